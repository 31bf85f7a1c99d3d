//! The kernel's part played on anonymous memory: both halves of an AF_XDP socket
//! over rings that no kernel knows of, so that their tests and benchmarks need no
//! device.

use std::cell::UnsafeCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use libxdp_sys::xdp_desc;
use rustix::net::{AddressFamily, SocketType, socket, sockopt::socket_cookie};

use super::Link;
use super::area::Area;
use super::frame::{Chunks, UmemId};
use super::large::Large;
use super::metadata::{self, TxChecksum};
use super::ring::{Consumer, Cursor, Layout, Producer};
use super::rx::{Rx, XDP_PKT_CONTD, prime};
use super::tx::Tx;

/// Where the kernel puts a received frame in its chunk: `XDP_PACKET_HEADROOM`.
pub(super) const HEADROOM: u64 = 256;

/// A ring in ordinary memory.
pub(super) struct Ring<T> {
    producer: AtomicU32,
    consumer: AtomicU32,
    pub flags: AtomicU32,
    entries: Box<[UnsafeCell<T>]>,
}

// SAFETY: the words are atomic, and the entries are only reached by the two
// cursors, which hand them over to each other.
unsafe impl<T: Send> Sync for Ring<T> {}

impl<T: Copy> Ring<T> {
    /// An empty ring of `size` entries whose indices both stand at `start`.
    pub fn new(size: u32, start: u32, blank: T) -> Ring<T> {
        Ring {
            producer: AtomicU32::new(start),
            consumer: AtomicU32::new(start),
            flags: AtomicU32::new(0),
            entries: (0..size).map(|_| UnsafeCell::new(blank)).collect(),
        }
    }

    fn layout(&self) -> Layout<T> {
        Layout {
            producer: self.producer.as_ptr(),
            consumer: self.consumer.as_ptr(),
            flags: self.flags.as_ptr(),
            // From the whole slice, not its first element: it leads to all of them.
            entries: self.entries.as_ptr().cast_mut().cast(),
            size: self.entries.len() as u32,
        }
    }

    /// Moves the producer's index, behind its back.
    #[cfg(test)]
    pub fn set_producer(&self, index: u32) {
        self.producer
            .store(index, std::sync::atomic::Ordering::Release);
    }

    /// Both ends.
    ///
    /// # Safety
    /// The ring must outlive them, and this be called once.
    pub unsafe fn ends(&self) -> (Cursor<T, Producer>, Cursor<T, Consumer>) {
        // SAFETY: live memory of the layout (contract), the only producer.
        let producer = unsafe { Cursor::new(self.layout()) };
        // SAFETY: live memory of the layout (contract), the only consumer.
        let consumer = unsafe { Cursor::new(self.layout()) };
        (producer, consumer)
    }
}

/// The memory of a fake socket, and a real socket of no use but its cookie.
pub(super) struct Memory {
    fill: Ring<u64>,
    rx: Ring<xdp_desc>,
    tx: Ring<xdp_desc>,
    completion: Ring<u64>,
    area: Area,
    fd: OwnedFd,
}

impl Link for Memory {
    fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn queue(&self) -> u32 {
        0
    }
}

/// The kernel's ends of the rings.
pub struct Kernel {
    pub(super) fill: Cursor<u64, Consumer>,
    pub(super) rx: Cursor<xdp_desc, Producer>,
    pub(super) tx: Cursor<xdp_desc, Consumer>,
    pub(super) completion: Cursor<u64, Producer>,
    pub(super) memory: Arc<Memory>,
    /// Room that the UMEM was registered to have before each descriptor to send.
    metadata_bytes: u64,
    /// What was there for the frame transmitted last, if it was to be looked at.
    pub(super) metadata: Option<Vec<u8>>,
}

/// Size of a chunk.
pub const FRAME_BYTES: u32 = 2048;
const BLANK: xdp_desc = xdp_desc {
    addr: 0,
    len: 0,
    options: 0,
};

/// Both halves, with so many frames each, and the kernel they talk to. The indices
/// start short of their wrap-around.
pub fn open(rx_frames: u32, tx_frames: u32) -> (Rx, Tx, Kernel) {
    open_large(rx_frames, tx_frames, 0, 1)
}

/// The same with so many stretches of neighbouring chunks beside the TX half's frames.
pub fn open_large(rx_frames: u32, tx_ring: u32, stretches: u32, chunks: u32) -> (Rx, Tx, Kernel) {
    open_asking(rx_frames, tx_ring, (stretches, chunks), None)
}

/// The same, the kernel asked to finish a checksum.
pub fn open_asking(
    rx_frames: u32,
    tx_ring: u32,
    (stretches, chunks): (u32, u32),
    checksum: Option<TxChecksum>,
) -> (Rx, Tx, Kernel) {
    let tx_frames = tx_ring + stretches * chunks;
    let start = u32::MAX - 3;
    let memory = Arc::new(Memory {
        fill: Ring::new(rx_frames.next_power_of_two(), start, 0),
        rx: Ring::new(rx_frames.next_power_of_two(), start, BLANK),
        tx: Ring::new(tx_ring, start, BLANK),
        completion: Ring::new(tx_frames.next_power_of_two(), start, 0),
        area: Area::new(
            ((rx_frames + tx_frames) * FRAME_BYTES) as usize,
            false,
            None,
        )
        .unwrap(),
        fd: socket(AddressFamily::UNIX, SocketType::DGRAM, None).unwrap(),
    });
    // SAFETY: all three parties hold the memory by an `Arc`; called once.
    let (mut fill, kernel_fill) = unsafe { memory.fill.ends() };
    // SAFETY: as above.
    let (kernel_rx, rx) = unsafe { memory.rx.ends() };
    // SAFETY: as above.
    let (tx, kernel_tx) = unsafe { memory.tx.ends() };
    // SAFETY: as above.
    let (kernel_completion, completion) = unsafe { memory.completion.ends() };
    let base = memory.area.base();
    // SAFETY: the area holds the chunks of both halves, these first.
    let mut rx_chunks = unsafe { Chunks::new(base, FRAME_BYTES, 0, rx_frames) };
    // SAFETY: and those behind them.
    let tx_chunks = unsafe { Chunks::new(base, FRAME_BYTES, rx_frames, tx_frames) };
    prime(&mut fill, &mut rx_chunks);
    let umem = UmemId(socket_cookie(&memory.fd).unwrap());
    let rx = Rx::new(fill, rx, rx_chunks, umem, memory.clone());
    let large = Large::new(tx_ring, stretches, chunks);
    let tx = Tx::new(
        tx,
        completion,
        tx_chunks,
        large,
        checksum,
        false,
        memory.clone(),
    );
    let (fill, completion) = (kernel_fill, kernel_completion);
    let kernel = Kernel {
        fill,
        rx: kernel_rx,
        tx: kernel_tx,
        completion,
        memory,
        metadata_bytes: checksum.map_or(0, |_| metadata::BYTES as u64),
        metadata: None,
    };
    (rx, tx, kernel)
}

impl Kernel {
    /// Receives a frame into the next chunk of the fill ring; false without one.
    pub fn receive(&mut self, frame: &[u8]) -> bool {
        self.receive_piece(frame, false)
    }

    /// The same for a piece of a frame, which goes on in the next chunk or not.
    pub fn receive_piece(&mut self, piece: &[u8], continues: bool) -> bool {
        assert!(piece.len() as u64 + HEADROOM <= FRAME_BYTES.into());
        let Some(chunk) = self.fill.pop() else {
            return false;
        };
        let address = chunk + HEADROOM;
        // SAFETY: an address of the fill ring lies in the area, with its chunk.
        let start = unsafe { self.memory.area.base().add(address as usize) };
        // SAFETY: the chunk was given to the kernel, which is us.
        unsafe {
            start
                .as_ptr()
                .copy_from_nonoverlapping(piece.as_ptr(), piece.len())
        };
        self.describe_piece(address, piece.len() as u32, continues);
        true
    }

    /// Puts a descriptor into the RX ring, whatever it says.
    pub fn describe(&mut self, addr: u64, len: u32) {
        self.describe_piece(addr, len, false);
    }

    /// The same for a piece of a frame.
    pub fn describe_piece(&mut self, addr: u64, len: u32, continues: bool) {
        assert!(self.rx.push(xdp_desc {
            addr,
            len,
            options: if continues { XDP_PKT_CONTD } else { 0 },
        }));
        self.rx.commit();
        self.fill.commit();
    }

    /// Transmits the next frame of the TX ring, whole, if there is one, and returns the
    /// addresses of its chunks, which are still to be completed, and its bytes.
    pub fn transmit_all(&mut self) -> Option<(Vec<u64>, Vec<u8>)> {
        let (mut addresses, mut frame) = (Vec::new(), Vec::new());
        loop {
            let next = self.tx.pop();
            let Some(xdp_desc { addr, len, options }) = next else {
                assert!(addresses.is_empty(), "half a frame was published");
                return None;
            };
            self.tx.commit();
            self.assert_valid(addr, len);
            if addresses.is_empty() {
                let before = addr - self.metadata_bytes;
                self.metadata = (options & metadata::OPTION != 0)
                    .then(|| self.read(before, self.metadata_bytes as u32));
            }
            addresses.push(addr);
            frame.extend(self.read(addr, len));
            if options & XDP_PKT_CONTD == 0 {
                return Some((addresses, frame));
            }
        }
    }

    /// Transmits the next frame of the TX ring, if there is one, and returns its
    /// address, which is still to be completed, and its bytes.
    pub fn transmit(&mut self) -> Option<(u64, Vec<u8>)> {
        let xdp_desc { addr, len, .. } = self.tx.pop()?;
        self.tx.commit();
        Some((addr, self.read(addr, len)))
    }

    /// As the kernel's `xp_aligned_validate_desc`: what is sent and the room before it
    /// are in one chunk.
    fn assert_valid(&self, addr: u64, len: u32) {
        let start = addr.checked_sub(self.metadata_bytes).expect("room before");
        let offset = start % u64::from(FRAME_BYTES);
        let end = offset + self.metadata_bytes + u64::from(len);
        assert!(len > 0 && end <= FRAME_BYTES.into(), "{addr}, {len}");
    }

    fn read(&self, addr: u64, len: u32) -> Vec<u8> {
        // SAFETY: an address of the TX ring lies in the area, with its chunk.
        let start = unsafe { self.memory.area.base().add(addr as usize) };
        // SAFETY: the chunk was given to the kernel, which is us.
        let bytes = unsafe { std::slice::from_raw_parts(start.as_ptr(), len as usize) };
        bytes.to_vec()
    }

    /// Puts an address into the completion ring, whatever it says.
    pub fn complete(&mut self, address: u64) {
        assert!(self.completion.push(address));
        self.completion.commit();
    }

    /// The flags of the fill and the TX ring.
    #[cfg(test)]
    pub(super) fn flags(&self) -> (&AtomicU32, &AtomicU32) {
        (&self.memory.fill.flags, &self.memory.tx.flags)
    }
}

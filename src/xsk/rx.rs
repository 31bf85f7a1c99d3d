//! The receiving half: frames circulate fill ring → kernel → RX ring → program →
//! fill ring.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use libxdp_sys::xdp_desc;
use rustix::io::Errno;
use rustix::net::sockopt::xdp_statistics;
use rustix::net::{RecvFlags, recv};

use super::frame::{Chunks, Frame, UmemId};
use super::gather::{Gather, Gathered};
use super::ring::{FillRing, RxRing};
use super::socket::has_napi;
use super::{Error, Link, Statistics};

/// `XDP_PKT_CONTD` of linux/if_xdp.h: the packet goes on in the next descriptor.
pub(super) const XDP_PKT_CONTD: u32 = 1;

/// What the receiving half has seen since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RxCounters {
    /// Frames handed out.
    pub frames: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Descriptors that pointed outside a chunk the kernel had.
    pub bad_descriptors: u64,
    /// Frames that came in several chunks and were put together.
    pub gathered: u64,
    /// Such frames that were thrown away: longer than any can be, or with a bad
    /// descriptor among theirs.
    pub ungathered: u64,
    /// Frames of another UMEM that were refused.
    pub foreign_frames: u64,
    /// Wake-up calls for the fill ring.
    pub wakeups: u64,
}

/// The receiving half of an [`Xsk`](super::Xsk).
pub struct Rx {
    fill: FillRing,
    ring: RxRing,
    chunks: Chunks,
    /// Chunks on their way back to the fill ring.
    returned: Vec<u32>,
    /// What has come of a frame of several chunks.
    gather: Gather,
    umem: UmemId,
    counters: RxCounters,
    /// Keeps the rings and the UMEM alive; not touched per frame.
    link: Arc<dyn Link>,
}

impl Rx {
    /// Puts the half together. The fill ring is primed with `chunks` and has room
    /// for them all; `link` keeps the memory of all three.
    pub(super) fn new(
        fill: FillRing,
        ring: RxRing,
        chunks: Chunks,
        umem: UmemId,
        link: Arc<dyn Link>,
    ) -> Rx {
        let returned = Vec::with_capacity(chunks.count());
        let counters = RxCounters::default();
        Rx {
            fill,
            ring,
            chunks,
            returned,
            gather: Gather::default(),
            umem,
            counters,
            link,
        }
    }

    /// The next received frame, if there is one.
    ///
    /// Its descriptor is checked here, once. One that does not describe bytes
    /// within a chunk that the kernel had is counted and skipped; a chunk that it
    /// does identify goes back to the fill ring.
    #[expect(
        clippy::should_implement_trait,
        reason = "adaptors would consume the half"
    )]
    pub fn next(&mut self) -> Option<Frame> {
        while let Some(descriptor) = self.ring.pop() {
            let admitted = self.admit(descriptor);
            self.counters.bad_descriptors += u64::from(admitted.is_none());
            let continues = descriptor.options & XDP_PKT_CONTD != 0;
            let frame = match continues || self.gather.is_within() {
                true => self.gather(admitted, !continues),
                false => admitted,
            };
            if let Some(frame) = frame {
                self.counters.frames += 1;
                self.counters.bytes += u64::from(frame.len);
                return Some(frame);
            }
        }
        None
    }

    /// Adds a piece, whose chunk goes back at once, to the frame that it is of; that, if
    /// it was the last.
    #[cold]
    fn gather(&mut self, piece: Option<Frame>, is_last: bool) -> Option<Frame> {
        let bytes = piece.as_ref().map(|piece| {
            // SAFETY: as in `bytes`; the piece is recycled after its bytes are copied.
            unsafe { self.chunks.bytes(piece.address, piece.len()) }
        });
        let gathered = self.gather.add(bytes, is_last);
        if let Some(piece) = piece {
            self.recycle(piece);
        }
        match gathered {
            Gathered::Part => None,
            Gathered::Bad => {
                self.counters.ungathered += 1;
                None
            }
            Gathered::Whole(buffer, len) => {
                self.counters.gathered += 1;
                Some(Frame {
                    umem: self.umem,
                    address: 0,
                    len: len as u32,
                    gathered: Some(buffer),
                })
            }
        }
    }

    fn admit(&mut self, descriptor: xdp_desc) -> Option<Frame> {
        let xdp_desc { addr, len, .. } = descriptor;
        let chunk = self.chunks.find(addr)?;
        if !self.chunks.take(chunk) {
            return None;
        }
        if !self.chunks.fits(addr, len) {
            self.returned.push(chunk);
            return None;
        }
        Some(Frame {
            umem: self.umem,
            address: addr as u32,
            len,
            gathered: None,
        })
    }

    /// The bytes of a frame; none of them if it is of another UMEM.
    pub fn bytes<'a>(&'a self, frame: &'a Frame) -> &'a [u8] {
        if frame.umem != self.umem {
            return &[];
        }
        if let Some(buffer) = &frame.gathered {
            return &buffer[..frame.len()];
        }
        // SAFETY: `admit`, which alone makes frames of this UMEM, found these
        // bytes in one chunk and made it ours; it stays so until the frame is
        // recycled, which its borrow forbids, and nothing writes to a frame.
        unsafe { self.chunks.bytes(frame.address, frame.len()) }
    }

    /// Sends a frame's chunk back towards the fill ring, to be published by
    /// `commit`. A frame of another UMEM is refused: counted, and lost to its own.
    pub fn recycle(&mut self, frame: Frame) {
        if let Some(buffer) = frame.gathered {
            return self.gather.give(buffer);
        }
        match self.chunks.find(frame.address.into()) {
            Some(chunk) if frame.umem == self.umem => self.returned.push(chunk),
            _ => self.counters.foreign_frames += 1,
        }
    }

    /// Publishes to the kernel, once a batch, that the frames handed out so far
    /// have left the RX ring and that those recycled are in the fill ring.
    pub fn commit(&mut self) {
        self.ring.commit();
        // The kernel publishes its place in the fill ring after the frames it
        // received, so for a moment the ring may seem full; the rest waits here.
        let room = self.fill.available(self.returned.len() as u32) as usize;
        let kept = self.returned.len().saturating_sub(room);
        for chunk in self.returned.drain(kept..) {
            if self.chunks.give(chunk) {
                self.fill.push(self.chunks.address(chunk));
            }
        }
        self.fill.commit();
    }

    /// Whether the kernel wants to be woken to go on receiving.
    pub fn needs_wakeup(&self) -> bool {
        self.fill.needs_wakeup()
    }

    /// Wakes the kernel if it asks for it, so that it takes up the fill ring.
    ///
    /// # Errors
    /// When the socket is beyond waiting for, such as `ENXIO` once the device is
    /// gone. A device that is merely down is not an error.
    pub fn wake(&mut self) -> Result<(), Error> {
        match self.needs_wakeup() {
            true => self.drive(),
            false => Ok(()),
        }
    }

    /// Wakes the kernel whether it asks for it or not: with busy polling that is what
    /// makes it receive.
    ///
    /// # Errors
    /// As [`wake`](Rx::wake).
    pub fn drive(&mut self) -> Result<(), Error> {
        self.counters.wakeups += 1;
        match recv(self.link.fd(), &mut [0u8; 0], RecvFlags::DONTWAIT) {
            Ok(_) => Ok(()),
            Err(Errno::AGAIN | Errno::BUSY | Errno::INTR | Errno::NOBUFS | Errno::NETDOWN) => {
                Ok(())
            }
            Err(errno) => Err(Error::Socket {
                call: "recv",
                queue: self.link.queue(),
                errno,
            }),
        }
    }

    /// How many chunks were handed out and not recycled.
    pub fn outstanding(&self) -> usize {
        self.chunks.count() - self.chunks.given() - self.returned.len()
    }

    /// The queue that the socket is bound to.
    pub fn queue(&self) -> u32 {
        self.link.queue()
    }

    /// Whether the socket knows the receive loop (NAPI) of its queue, without which it
    /// can't be busy-polled. Kernels before 6.14 tell it when the first frame comes.
    pub fn has_napi(&self) -> bool {
        has_napi(self.link.fd())
    }

    /// The kernel's counters of the socket.
    ///
    /// # Errors
    /// When the kernel refuses to tell.
    pub fn statistics(&self) -> Result<Statistics, Error> {
        let told = xdp_statistics(self.link.fd());
        let told = told.map_err(|errno| Error::Socket {
            call: "getsockopt(XDP_STATISTICS)",
            queue: self.queue(),
            errno,
        })?;
        Ok(Statistics {
            rx_dropped: told.rx_dropped,
            rx_invalid_descs: told.rx_invalid_descs,
            tx_invalid_descs: told.tx_invalid_descs,
            // Linux before 5.9 does not count these.
            rx_ring_full: told.rx_ring_full.unwrap_or(0),
            rx_fill_ring_empty_descs: told.rx_fill_ring_empty_descs.unwrap_or(0),
            tx_ring_empty_descs: told.tx_ring_empty_descs.unwrap_or(0),
        })
    }

    /// What this half has seen since it was opened.
    pub fn counters(&self) -> &RxCounters {
        &self.counters
    }
}

/// Gives the kernel every chunk of the RX half, through a fill ring that has room.
pub(super) fn prime(fill: &mut FillRing, chunks: &mut Chunks) {
    for chunk in 0..chunks.count() as u32 {
        if fill.push(chunks.address(chunk)) {
            chunks.give(chunk);
        }
    }
    fill.commit();
}

impl AsFd for Rx {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.fd()
    }
}

//! AF_XDP: frames between a queue of a network device and this program, through
//! memory that both share.
//!
//! An [`Xsk`] is one UMEM (the memory of frames, cut into chunks of equal size)
//! and one socket, bound to one queue. The rings between the kernel and us carry
//! addresses in the UMEM, never bytes:
//!
//! ```text
//!    ring         produced by   consumed by   entry says
//!    fill         program       kernel        receive into this chunk
//!    RX           kernel        program       here is a frame
//!    TX           program       kernel        transmit this frame
//!    completion   kernel        program       this chunk's transmission is over
//!
//!                      Rx                                  Tx
//!             +------------------+                +------------------+
//!    program  | next ... recycle |                | send ... reclaim |
//!             +--^-----------v---+                +--v-----------^---+
//!                |           |                       |           |
//!             RX ring    fill ring                TX ring   completion ring
//!                |           |                       |           |
//!             +--^-----------v---+                +--v-----------^---+
//!     kernel  |     receive      |                |     transmit     |
//!             +------------------+                +------------------+
//! ```
//!
//! **The life of a frame.** At the start every chunk of the RX half lies in the
//! fill ring. The kernel takes one, receives into it, and puts it into the RX
//! ring; [`Rx::next`] checks the descriptor and makes it a [`Frame`], which can't
//! be copied; [`Rx::bytes`] reads it; [`Rx::recycle`] ends it and the chunk goes
//! back to the fill ring. The chunks of the TX half wait in a pool of our own;
//! [`Tx::send`] takes one, has it written and puts it into the TX ring; the kernel
//! transmits it and puts it into the completion ring, and [`Tx::reclaim`] takes it
//! back to the pool.
//!
//! **Frames larger than a chunk** take several, a descriptor each, `XDP_PKT_CONTD` in
//! the options of all but the last. Those received are put together in a buffer
//! (`gather`): requests are small, so that is rare. Those sent are written into chunks
//! that are neighbours (`large`), a few of which are set aside at the start; what fits
//! into one chunk takes one.
//!
//! **The checksum** of what is sent may be left to the device, or in copy mode to the kernel
//! (`metadata`): then each chunk of the TX half begins with the word that asks for it.
//!
//! The halves share no chunk, so neither knows of the other and nothing on the
//! way of a packet locks, counts references or allocates. What a half queues or
//! takes is published by its `commit`, once a batch, and the kernel is woken by
//! `wake`, where it asks for it (`XDP_USE_NEED_WAKEUP`).
//!
//! **Who keeps what alive.** Both halves hold the socket by an `Arc`, the socket
//! holds the UMEM, the UMEM its memory: whatever order they are dropped in, the
//! socket is deleted first and the memory unmapped last.
//!
//! **What the kernel is trusted with.** That it writes only into chunks it was
//! given. Not that its rings hold sense: every address and length that comes out
//! of one is checked, in release builds too, against the table of who has which
//! chunk.
//!
//! No XDP program is loaded here: whoever has one puts the socket (its [`AsFd`])
//! into its XSKMAP.

mod area;
mod config;
mod error;
pub mod fake;
mod frame;
mod gather;
mod large;
mod mapped;
mod metadata;
mod ring;
mod rx;
mod socket;
mod tx;
mod umem;

#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities};

pub use area::{HUGE_PAGE_BYTES, Memory, Pages};
pub use config::{Config, CopyMode, MAX_FRAME, MAX_RING};
pub use error::Error;
pub use frame::Frame;
pub use metadata::TxChecksum;
pub use rx::{Rx, RxCounters};
pub use tx::{Tx, TxCounters, Wake};

use area::Area;
use frame::Chunks;
use large::Large;
use ring::Cursor;
use socket::{Bind, Socket};

/// What both halves hold on to: the memory of rings and frames, and the socket.
trait Link: Send + Sync {
    /// The socket, for wake-up calls.
    fn fd(&self) -> BorrowedFd<'_>;
    /// The queue it is bound to, for error messages.
    fn queue(&self) -> u32;
}

/// An AF_XDP socket on one queue, with its UMEM.
pub struct Xsk {
    /// The receiving half.
    pub rx: Rx,
    /// The transmitting half.
    pub tx: Tx,
    zero_copy: bool,
    fallback: Option<String>,
    socket: Arc<Socket>,
}

// The halves hold raw pointers, each with its reason to be `Send` (`Cursor`,
// `Chunks`, `Socket`): an `Xsk` moves into the thread of its worker.
const _: fn() = || {
    fn sends<T: Send>() {}
    sends::<Xsk>();
};

/// The kernel's counters of a socket (`XDP_STATISTICS`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Frames dropped for other reasons than a full RX ring.
    pub rx_dropped: u64,
    /// Entries of the fill ring that were no valid address.
    pub rx_invalid_descs: u64,
    /// Entries of the TX ring that were no valid frame.
    pub tx_invalid_descs: u64,
    /// Frames dropped because the RX ring was full.
    pub rx_ring_full: u64,
    /// Times the kernel found no chunk in the fill ring.
    pub rx_fill_ring_empty_descs: u64,
    /// Times the kernel found no frame in the TX ring.
    pub tx_ring_empty_descs: u64,
}

impl Xsk {
    /// Makes a UMEM and a socket and binds it to the queue, without an XDP
    /// program. A queue that is taken is asked for again for up to two seconds,
    /// since the kernel holds on to it for a while after a socket closes.
    ///
    /// # Errors
    /// What is wrong with the settings, the device, the queue, the permissions or
    /// the memory: see [`Error`].
    pub fn open(config: &Config) -> Result<Xsk, Error> {
        config.validate()?;
        let area = socket::map(config)?;
        let bind = |how, fallback| Xsk::bind(config, how, fallback, &area);
        match config.copy {
            CopyMode::Copy => bind(Bind::Copy, None),
            CopyMode::ZeroCopy => bind(Bind::ZeroCopy, None),
            // The kernel would fall back by itself, but not say why.
            CopyMode::Auto => match bind(Bind::ZeroCopy, None) {
                Err(Error::Busy { ifname, queue }) => Err(Error::Busy { ifname, queue }),
                Err(Error::NoZeroCopy { ifname }) => {
                    let reason = format!("the driver of {ifname} has no zero copy");
                    bind(Bind::Copy, Some(reason))
                }
                Err(other) => bind(Bind::Copy, Some(other.to_string())),
                opened => opened,
            },
        }
    }

    fn bind(
        config: &Config,
        bind: Bind,
        fallback: Option<String>,
        area: &Arc<Area>,
    ) -> Result<Xsk, Error> {
        let (socket, fill, rx_chunks) = Socket::open(config, bind, area)?;
        let asked = |errno| Error::Socket {
            call: "getsockopt",
            queue: config.queue,
            errno,
        };
        let zero_copy = socket.zero_copy().map_err(asked)?;
        let umem = socket.umem_id().map_err(asked)?;
        socket.raise_tx_budget(config.tx_ring);
        // SAFETY: the ring stays mapped while the socket, which the halves hold, lives,
        // and the kernel keeps its part; this is its only cursor.
        let rx = unsafe { Cursor::new(socket.rx.layout()) };
        // SAFETY: as above.
        let tx = unsafe { Cursor::new(socket.tx.layout()) };
        // SAFETY: as above, with the UMEM, which the socket holds.
        let completion = unsafe { Cursor::new(socket.umem.completion.layout()) };
        let (first, count) = (config.fill_frames, config.tx_frames());
        let large = Large::new(config.tx_ring, config.large_frames(), config.large_chunks());
        // SAFETY: the area holds `config.frames()` chunks: those of the RX half,
        // `0..first`, and these; it stays mapped while the socket lives.
        let tx_chunks =
            unsafe { Chunks::new(socket.umem.area.base(), config.frame_bytes, first, count) };
        let socket = Arc::new(socket);
        Ok(Xsk {
            rx: Rx::new(fill, rx, rx_chunks, umem, socket.clone()),
            tx: Tx::new(
                tx,
                completion,
                tx_chunks,
                large,
                config.tx_checksum,
                zero_copy,
                socket.clone(),
            ),
            zero_copy,
            fallback,
            socket,
        })
    }

    /// Whether frames pass between device and UMEM without being copied; what the
    /// kernel said after the bind (`XDP_OPTIONS`).
    pub fn zero_copy(&self) -> bool {
        self.zero_copy
    }

    /// Why zero copy was tried and not had, in one line.
    pub fn fallback(&self) -> Option<&str> {
        self.fallback.as_deref()
    }

    /// How the memory of the frames came out.
    pub fn memory(&self) -> Memory {
        self.socket.umem.area.memory()
    }

    /// Asks for preferred busy polling: wake-up calls ([`Rx::drive`] and those of the TX
    /// half) then run the device's receive loop themselves, up to `frames` of it, and the
    /// device holds its interrupts back as long as they come. `time` is what the kernel is
    /// told in `SO_BUSY_POLL`.
    ///
    /// # Errors
    /// When the kernel has no such thing, or does not permit it.
    pub fn prefer_busy_poll(&self, time: Duration, frames: u32) -> Result<(), Error> {
        let time_us = time.as_micros().try_into().unwrap_or(i32::MAX as u32);
        socket::prefer_busy_poll(self.socket.fd(), time_us, frames).map_err(|errno| Error::Socket {
            call: "setsockopt(SO_PREFER_BUSY_POLL)",
            queue: self.queue(),
            errno,
        })
    }

    /// The queue that the socket is bound to.
    pub fn queue(&self) -> u32 {
        self.socket.queue()
    }

    /// The kernel's counters of this socket.
    ///
    /// # Errors
    /// When the kernel refuses to tell.
    pub fn statistics(&self) -> Result<Statistics, Error> {
        self.rx.statistics()
    }
}

impl AsFd for Xsk {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.fd()
    }
}

/// Raises the limit on locked memory as far as possible, for the memory of a UMEM
/// counts against it.
///
/// # Errors
/// When it could not be lifted altogether, and CAP_IPC_LOCK does not make it irrelevant:
/// merely a warning, for a lower limit may do.
pub fn raise_memlock() -> Result<(), Error> {
    let now = getrlimit(Resource::Memlock);
    if now.current.is_none() {
        return Ok(());
    }
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    setrlimit(Resource::Memlock, unlimited).or_else(|errno| {
        let most = Rlimit {
            current: now.maximum,
            maximum: now.maximum,
        };
        match setrlimit(Resource::Memlock, most) {
            Ok(()) if now.maximum.is_none() => Ok(()),
            _ if is_exempt() => Ok(()),
            _ => Err(Error::Memlock(errno)),
        }
    })
}

/// Whether the limit does not count: `xdp_umem_account_pages` in net/xdp/xdp_umem.c asks
/// for CAP_IPC_LOCK first.
fn is_exempt() -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK))
}

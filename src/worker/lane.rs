//! One RX queue of a worker.

use crate::stats::Queue;
use crate::xsk::{self, Rx, Statistics};
use rustix::fd::{AsFd, BorrowedFd};

/// What a worker has of each of its queues.
pub struct Lane {
    pub rx: Rx,
    /// Frames taken in this round.
    taken: usize,
    /// Connections whose handshake ended here.
    accepted: u64,
    kernel: Statistics,
}

impl Lane {
    pub fn new(rx: Rx) -> Lane {
        Lane {
            rx,
            taken: 0,
            accepted: 0,
            kernel: Statistics::default(),
        }
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.rx.as_fd()
    }

    /// So many frames were taken in this round, and ended so many handshakes.
    pub fn note(&mut self, taken: usize, accepted: u64) {
        self.taken = taken;
        self.accepted += accepted;
    }

    /// Gives the chunks of the frames taken back to the kernel.
    pub fn refill(&mut self) -> Result<(), xsk::Error> {
        if self.taken == 0 {
            return Ok(());
        }
        self.rx.commit();
        self.rx.wake()
    }

    /// Has the kernel say what it counted; it may keep that to itself.
    pub fn ask_kernel(&mut self) {
        self.kernel = self.rx.statistics().unwrap_or(self.kernel);
    }

    pub fn figures(&self) -> Queue {
        Queue {
            queue: self.rx.queue(),
            accepted: self.accepted,
            rx: *self.rx.counters(),
            kernel: self.kernel,
        }
    }
}

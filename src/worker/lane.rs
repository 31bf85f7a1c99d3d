//! One RX queue of a worker.

use crate::config::RX_BATCH;
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
    /// Whether it is busy-polled, and whether that is known to work.
    busy_poll: bool,
    is_checked: bool,
}

impl Lane {
    pub fn new(rx: Rx, busy_poll: bool) -> Lane {
        Lane {
            rx,
            taken: 0,
            accepted: 0,
            kernel: Statistics::default(),
            busy_poll,
            is_checked: !busy_poll,
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

    /// Whether as many frames were taken as one round may: there may be more.
    pub fn is_behind(&self) -> bool {
        self.taken >= RX_BATCH
    }

    /// Gives the chunks of the frames taken back to the kernel. When there were none, and
    /// with busy polling, has it look for more.
    pub fn refill(&mut self) -> Result<(), xsk::Error> {
        if self.taken > 0 {
            self.rx.commit();
            self.rx.wake()
        } else if self.busy_poll {
            self.rx.drive()
        } else {
            Ok(())
        }
    }

    /// Has the kernel say what it counted; it may keep that to itself.
    pub fn ask_kernel(&mut self) {
        self.kernel = self.rx.statistics().unwrap_or(self.kernel);
        if !self.is_checked && self.rx.counters().frames > 0 {
            self.check_busy_poll();
        }
    }

    /// Ends busy polling if it can't work, which older kernels don't know before the first
    /// frame.
    fn check_busy_poll(&mut self) {
        self.is_checked = true;
        self.busy_poll = self.rx.has_napi();
        if !self.busy_poll {
            tracing::warn!(
                "queue {}: --busy-poll has no effect: the driver does not say which receive loop \
                 (NAPI) is this queue's, or XDP is generic; leave --busy-poll away",
                self.rx.queue()
            );
        }
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

//! Between the workers: segments that came to another queue than their
//! connection's.
//!
//! A flow's queue can change in mid-connection: a sender picks another after a
//! timeout, its process moves to another processor, somebody sets RSS anew. The
//! worker that does not know such a flow hands the frame on to the next one, and
//! so on round the ring; only the last answers as if there were no connection.
//! One that is known leaves through its own worker's queue as before.

use crate::worker::Waker;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Frames that may wait for a worker. A flood of strays fills it, and each
/// worker then answers its own.
const CAPACITY_FRAMES: usize = 256;

/// A frame under way.
pub struct Passed {
    /// The Ethernet frame.
    pub frame: Box<[u8]>,
    /// Workers that have not seen it, beside the one that gets it.
    left: usize,
}

/// A worker's place in the ring.
pub struct Relay {
    others: usize,
    next: Option<(SyncSender<Passed>, Waker)>,
    previous: Receiver<Passed>,
}

/// One place for each of the workers that `wakers` wake.
pub fn ring(wakers: &[Waker]) -> Vec<Relay> {
    let workers = wakers.len();
    let (senders, receivers): (Vec<_>, Vec<_>) =
        wakers.iter().map(|_| sync_channel(CAPACITY_FRAMES)).unzip();
    let nexts = senders.into_iter().zip(wakers.iter().cloned());
    let mut nexts: Vec<_> = nexts.map(|next| (workers > 1).then_some(next)).collect();
    nexts.rotate_left(1.min(workers));
    let place = |(next, previous)| Relay {
        others: workers - 1,
        next,
        previous,
    };
    nexts.into_iter().zip(receivers).map(place).collect()
}

impl Relay {
    /// Whether there is no other worker.
    pub fn is_alone(&self) -> bool {
        self.next.is_none()
    }

    /// Hands on a frame that has just come; false when there is nobody, or when
    /// too many wait already.
    pub fn pass(&self, frame: &[u8]) -> bool {
        // Not copied for nobody.
        self.next.is_some() && self.send(frame.into(), self.others - 1).is_ok()
    }

    /// Hands on a frame that was handed on; it comes back if this was the last
    /// worker to see it, or if too many wait already.
    pub fn pass_on(&self, passed: Passed) -> Result<(), Passed> {
        match passed.left.checked_sub(1) {
            Some(left) => self.send(passed.frame, left),
            None => Err(passed),
        }
    }

    fn send(&self, frame: Box<[u8]>, left: usize) -> Result<(), Passed> {
        let passed = Passed { frame, left };
        let Some((sender, waker)) = &self.next else {
            return Err(passed);
        };
        match sender.try_send(passed) {
            Ok(()) => {
                waker.wake();
                Ok(())
            }
            Err(error) => Err(match error {
                std::sync::mpsc::TrySendError::Full(passed)
                | std::sync::mpsc::TrySendError::Disconnected(passed) => passed,
            }),
        }
    }

    /// The next frame that was handed to this worker.
    pub fn take(&self) -> Option<Passed> {
        self.previous.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relays(workers: usize) -> Vec<Relay> {
        let waker = || Waker::new().expect("an eventfd");
        ring(&(0..workers).map(|_| waker()).collect::<Vec<_>>())
    }

    #[test]
    fn a_frame_is_seen_once_by_every_other_worker() {
        for workers in 2..5 {
            for first in 0..workers {
                let relays = relays(workers);
                assert!(relays[first].pass(b"frame"));
                let mut seen = vec![first];
                loop {
                    let at = (0..workers).find_map(|at| Some((at, relays[at].take()?)));
                    let (at, passed) = at.expect("it is somewhere");
                    assert_eq!(&*passed.frame, b"frame");
                    seen.push(at);
                    if relays[at].pass_on(passed).is_err() {
                        break;
                    }
                }
                seen.sort_unstable();
                assert_eq!(seen, (0..workers).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_single_worker_has_nobody_and_a_full_queue_takes_no_more() {
        assert!(!relays(1)[0].pass(b"frame"));
        let relays = relays(2);
        let passed = (0..1_000).filter(|_| relays[0].pass(b"frame")).count();
        assert_eq!(passed, CAPACITY_FRAMES);
        assert!(relays[1].pass(b"frame"), "the other way is free");
    }
}

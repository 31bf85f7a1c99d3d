//! Passwords that are being compared with their hashes: a few at a time, and a few in line.
//!
//! Whoever asks can make the server compute for long. So the computing has few threads, all of its own, and who comes
//! when the line is full is to come again later; one address alone does not fill it. Those who ask the same thing wait
//! for one answer.

use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;

use super::loader::{Job, Loader};
use super::{Event, Site, Waiter};
use crate::password::Question;

/// Comparisons that are made at once for one worker: more would take the processors away from those that send.
pub const MAX_AT_ONCE: usize = 2;

/// Comparisons that stand in line: some seconds' work at the usual cost.
pub const MAX_IN_LINE: usize = 32;

/// How many of them may be one address's.
pub const MAX_IN_LINE_OF_ONE: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Verifications {
    in_flight: usize,
    in_line: VecDeque<(Ipv4Addr, Job)>,
    /// Who waits for which.
    waiters: HashMap<u128, Vec<Waiter>>,
}

impl<L: Loader> Site<L> {
    /// Has `question` answered; [`Event::Verified`] brings the answer, to all who asked under the same `key`. False if
    /// too many are waiting already, or too many from `source`.
    pub fn verify(
        &mut self,
        key: u128,
        question: Question,
        waiter: Waiter,
        source: Ipv4Addr,
    ) -> bool {
        let verifications = &mut self.verifications;
        if let Some(waiters) = verifications.waiters.get_mut(&key) {
            waiters.push(waiter);
            return true;
        }
        let line = &verifications.in_line;
        let own = line.iter().filter(|(other, _)| *other == source).count();
        if line.len() >= MAX_IN_LINE || own >= MAX_IN_LINE_OF_ONE {
            return false;
        }
        verifications.waiters.insert(key, vec![waiter]);
        verifications
            .in_line
            .push_back((source, Job::Verify { key, question }));
        self.start_verifications();
        true
    }

    pub(super) fn start_verifications(&mut self) {
        let verifications = &mut self.verifications;
        while verifications.in_flight < MAX_AT_ONCE {
            let Some((source, job)) = verifications.in_line.pop_front() else {
                return;
            };
            if let Err(job) = self.loader.submit(job) {
                verifications.in_line.push_front((source, job));
                return;
            }
            verifications.in_flight += 1;
        }
    }

    pub(super) fn finish_verification(&mut self, key: u128, holds: bool) {
        self.verifications.in_flight -= 1;
        let waiters = self.verifications.waiters.remove(&key).unwrap_or_default();
        let events = waiters
            .into_iter()
            .map(|waiter| Event::Verified { waiter, key, holds });
        self.events.extend(events);
    }
}

impl Verifications {
    /// Nobody is behind `waiter` any more: what nobody else waits for need not be begun.
    pub(super) fn forget(&mut self, waiter: Waiter) {
        let waiters = &mut self.waiters;
        for others in waiters.values_mut() {
            others.retain(|&other| other != waiter);
        }
        self.in_line.retain(|(_, job)| {
            let Job::Verify { key, .. } = job else {
                return true;
            };
            let is_wanted = waiters.get(key).is_some_and(|others| !others.is_empty());
            if !is_wanted {
                waiters.remove(key);
            }
            is_wanted
        });
    }
}

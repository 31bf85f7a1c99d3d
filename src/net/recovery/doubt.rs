//! Whether repairs were in vain, and what is taken back then: D-SACK (RFC 2883,
//! RFC 3708), timestamps (RFC 3522) and F-RTO (RFC 5682).

use super::news::News;
use super::{Instant, Mode, Recovery, Repair};
use crate::net::congestion::Controller;
use std::ops::Range;

/// Repairs of which no D-SACK has said yet that they were in vain (RFC 3708), and
/// what timestamps say of them (RFC 3522).
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt {
    /// All repairs lie within: what else arrives twice was doubled by the network.
    start: u64,
    end: u64,
    /// Bytes of them; 0: none was made, or all were in vain.
    bytes: u64,
    /// When the first was made.
    first_at: Instant,
    /// Something that was repaired has arrived as it was before.
    was_late: bool,
    /// Something that was repaired has arrived by that, as far as is known.
    was_lost: bool,
    /// It is decided: what comes is only counted.
    is_undone: bool,
}

impl Doubt {
    pub(super) const NONE: Doubt = Doubt {
        start: u64::MAX,
        end: 0,
        bytes: 0,
        first_at: Instant::ZERO,
        was_late: false,
        was_lost: false,
        is_undone: false,
    };

    pub(super) fn add(&mut self, repair: Repair, now: Instant) {
        if self.end == 0 {
            self.first_at = now;
        }
        let len = u64::from(repair.len);
        self.start = self.start.min(repair.start);
        self.end = self.end.max(repair.start + len);
        self.bytes += len;
    }

    /// The peer has received `range` twice: whether that is due to a repair.
    fn take(&mut self, range: &Range<u64>) -> bool {
        let is_due = self.bytes > 0
            && self.start <= range.start
            && range.start < range.end
            && range.end <= self.end;
        if is_due {
            self.bytes = self.bytes.saturating_sub(range.end - range.start);
        }
        is_due
    }

    /// Something that was repaired is acknowledged up to `una`, by the arrival of what
    /// left `before`: whether that says that all repairs were in vain.
    fn judge(&mut self, una: u64, before: Option<Instant>) -> bool {
        match before {
            Some(before) if before <= self.first_at => self.was_late = true,
            _ => self.was_lost = true,
        }
        self.was_late && !self.was_lost && una >= self.end && !self.is_undone
    }
}

impl Recovery {
    /// Whether repairs are under suspicion.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.doubt.is_some_and(|doubt| !doubt.is_undone)
    }

    /// The Eifel algorithm (RFC 3522, RFC 4015): timestamps say what D-SACKs say
    /// later, if they are not lost. As in Linux an episode is undone when nothing of
    /// what it repaired was missing.
    pub(super) fn judge_repairs(
        &mut self,
        answers_before: Option<Instant>,
        now: Instant,
        congestion: &mut impl Controller,
    ) {
        let una = self.una;
        let is_in_vain = self.mode != Mode::Timeout
            && self
                .doubt
                .as_mut()
                .is_some_and(|doubt| doubt.judge(una, answers_before));
        if is_in_vain {
            self.rack.on_duplicate(self.una, self.nxt);
            self.undo(now, congestion);
        }
    }

    /// F-RTO (RFC 5682 §3.1): whether what the timer gave up arrives by itself.
    pub(super) fn judge_timeout(
        &mut self,
        news: &News,
        was_una: u64,
        now: Instant,
        congestion: &mut impl Controller,
    ) {
        if !self.may_be_spurious {
            return;
        }
        if self.una == was_una {
            // Step 2a: a duplicate ACK, unless it says nothing at all.
            self.may_be_spurious = news.delivery.bytes == 0 && self.dup_acks == 0;
        } else if news.has_given_up && self.una < self.point {
            self.board.find_again();
            // It was the originals that have arrived, not what was sent since.
            self.rack.rewind(news.newest_once, now);
            self.undo(now, congestion);
        }
    }

    /// A D-SACK: something has arrived twice.
    pub(super) fn on_duplicate(
        &mut self,
        range: &Range<u64>,
        now: Instant,
        congestion: &mut impl Controller,
    ) {
        if self
            .probe
            .is_some_and(|probe| probe.is_repair && range.end == probe.end)
        {
            self.probe = None; // the probe was not needed
            self.tally.spurious += 1;
            return;
        }
        let Some(doubt) = self.doubt.as_mut().filter(|doubt| doubt.bytes > 0) else {
            return;
        };
        if !doubt.take(range) {
            return; // the network has doubled it
        }
        let all_in_vain = doubt.bytes == 0 && !doubt.is_undone;
        self.tally.spurious += 1;
        self.rack.on_duplicate(self.una, self.nxt);
        if all_in_vain {
            // What else an episode has given up stays so: to look for it would cost
            // as much as is in flight, as often as the peer likes.
            if self.mode == Mode::Timeout {
                self.board.find_again();
            }
            self.undo(now, congestion);
        }
    }

    /// Nothing was lost after all.
    pub(super) fn undo(&mut self, now: Instant, congestion: &mut impl Controller) {
        if let Some(doubt) = &mut self.doubt {
            doubt.is_undone = true;
        }
        self.may_be_spurious = false;
        self.must_repair = false;
        self.backoffs = 0;
        self.mode = Mode::Open;
        self.tally.undone += 1;
        congestion.on_undo(now);
    }
}

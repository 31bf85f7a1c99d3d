//! The three timers: RACK's for reordering, the tail loss probe's, and that of
//! retransmission. One runs at a time.

use super::doubt::Doubt;
use super::{Duration, Heard, Instant, Mode, Recovery};
use crate::net::congestion::Controller;

/// How long a peer may put off the ACK of a single segment (RFC 8985 §7.2).
const MAX_ACK_DELAY: Duration = Duration::from_millis(200);

/// A probe comes no sooner than this, as in Linux (two jiffies): on short paths
/// it is the ends that take their time.
const MIN_PROBE: Duration = Duration::from_millis(2);

/// The probe timeout without a round-trip time (RFC 8985 §7.2).
const BLIND_PROBE: Duration = Duration::from_secs(1);

/// Losses presumed in a row without waiting for the retransmission timer.
const MAX_PRESUMED: u8 = 3;

/// What a timer has run out for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// RACK: reordering has had its time.
    Reordering,
    /// The tail loss probe, or a loss to be presumed.
    Probe,
    /// The retransmission timeout.
    Retransmission,
}

/// A tail loss probe under way (RFC 8985 §7.3).
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    /// TLP.end_seq.
    pub(super) end: u64,
    /// TLP.is_retrans.
    pub(super) is_repair: bool,
}

impl Recovery {
    /// When [`on_timer`](Recovery::on_timer) is to be called.
    pub fn next_at(&self) -> Option<Instant> {
        self.timer.map(|(at, _)| at)
    }

    /// The time has come, if it has: afterwards there may be repairs to make, or a
    /// segment of new data to send as a probe. Some if the path proves to be a black
    /// hole for segments of so many bytes.
    pub fn on_timer(&mut self, now: Instant, congestion: &mut impl Controller) -> Option<u32> {
        let (_, timer) = self.timer.take_if(|(at, _)| *at <= now)?;
        let prior_in_flight_bytes = self.board.in_flight_bytes();
        match timer {
            Timer::Reordering => {
                let (lost_bytes, again) = self.detect(self.una, now);
                if self.mode != Mode::Open {
                    self.untold_bytes += lost_bytes as u32;
                }
                if self.timeout_at <= now {
                    self.restart_timeout(now); // both are late: the gentler one first
                }
                self.begin_episode(lost_bytes, prior_in_flight_bytes, now, congestion);
                self.arm(again, None, now);
            }
            Timer::Probe if self.mode != Mode::Open || self.probe.is_some() => {
                self.presume_lost(prior_in_flight_bytes, now, congestion);
            }
            Timer::Probe => {
                self.is_probing = true;
                self.tally.probes += 1;
                self.restart_timeout(now);
                self.arm(None, None, now);
            }
            Timer::Retransmission => {
                self.time_out(prior_in_flight_bytes, now, congestion);
                let first_bytes = self.board.first().map_or(0, |first| first.len);
                let is_hole = self.black_hole.on_timeout(first_bytes);
                return is_hole.then_some(first_bytes);
            }
        }
        None
    }

    /// Nothing has come for so long that the probe, or the repair of the first
    /// segment, must be lost too, and nothing that was sent later is there to tell of
    /// it. RFC 8985 leaves that to the retransmission timer, which is thousands of
    /// round trips away on a short path; here, as in RFC 9002 §6.2, there are further
    /// probes.
    pub(super) fn presume_lost(
        &mut self,
        prior_in_flight_bytes: u64,
        now: Instant,
        congestion: &mut impl Controller,
    ) {
        self.tally.probes += 1;
        self.presumed += 1;
        if !self.has_lost() {
            let bytes = self.board.lose_first();
            self.sampler.on_loss(bytes);
            match self.mode {
                Mode::Open => self.begin_episode(bytes, prior_in_flight_bytes, now, congestion),
                _ => self.untold_bytes += bytes as u32,
            }
        }
        self.must_repair = true;
        if self.timeout_at <= now {
            self.restart_timeout(now); // both are late: the gentler one first
        }
        self.arm(None, None, now);
    }

    /// RFC 6298 §5.4 to §5.7, RFC 8985 §6.3.
    pub(super) fn time_out(
        &mut self,
        prior_in_flight_bytes: u64,
        now: Instant,
        congestion: &mut impl Controller,
    ) {
        if self.board.first().is_some_and(|first| first.is_sacked) {
            self.board.doubt(); // it has reneged
        }
        let (min_rtt, srtt) = (self.rtt.least(), self.rtt.smoothed());
        let window = self.rack.window(
            &self.board,
            true,
            min_rtt.unwrap_or(Duration::ZERO),
            srtt.unwrap_or(Duration::ZERO),
        );
        let lost_bytes = self.rack.lose_on_timeout(&mut self.board, window, now);
        self.sampler.on_loss(lost_bytes);
        if self
            .board
            .first()
            .is_some_and(|first| first.len > self.cut_bytes)
        {
            self.cut();
        }
        self.tally.timeouts += 1;
        let is_first = self.backoffs == 0;
        self.backoffs += 1;
        self.restart_timeout(now);
        self.probe = None;
        self.is_probing = false;
        self.must_repair = true;
        self.dup_acks = 0;
        self.mode = Mode::Timeout;
        self.point = self.nxt;
        if is_first {
            self.doubt = Some(Doubt::NONE);
            self.may_be_spurious = true;
            congestion.on_timeout(&self.loss(lost_bytes, prior_in_flight_bytes, now));
        }
        self.arm(None, None, now);
    }

    /// Whether one segment of new data may be sent beyond the congestion window.
    pub fn wants_probe(&self) -> bool {
        self.is_probing
    }

    /// RFC 8985 §7.4: what the fate of a probe says.
    pub(super) fn end_probe(
        &mut self,
        heard: &Heard<'_>,
        was_una: u64,
        now: Instant,
        congestion: &mut impl Controller,
    ) {
        let Some(probe) = self.probe.filter(|probe| self.una >= probe.end) else {
            return;
        };
        let has_sack = heard.duplicate.is_some() || !heard.sacks.is_empty();
        let is_duplicate = heard.is_bare && heard.una == was_una && !has_sack;
        if !probe.is_repair {
            self.probe = None;
        } else if is_duplicate {
            self.probe = None;
            self.tally.spurious += 1;
        } else if self.una > probe.end {
            // The probe has repaired a loss that nothing else tells of.
            self.probe = None;
            if self.mode == Mode::Open {
                let in_flight_bytes = self.board.in_flight_bytes();
                self.doubt = None;
                congestion.on_loss(&self.loss(0, in_flight_bytes, now));
                congestion.on_recovered(now);
            }
        }
    }

    /// RFC 6298 §5: the retransmission timer runs from now on.
    pub(super) fn restart_timeout(&mut self, now: Instant) {
        self.timeout_at = now + self.rtt.timeout(self.backoffs);
    }

    /// When the timer will run out, if it is one of these.
    pub(super) fn pending(&self, timer: Timer) -> Option<Instant> {
        self.timer.filter(|(_, t)| *t == timer).map(|(at, _)| at)
    }

    /// Sets the timer. `reordering_at` is when RACK wants to look again; `probe_at`
    /// when a probe was due already.
    pub(super) fn arm(
        &mut self,
        reordering_at: Option<Instant>,
        probe_at: Option<Instant>,
        now: Instant,
    ) {
        if self.board.is_empty() {
            self.timer = None;
            return;
        }
        let timeout_at = self.timeout_at;
        self.timer = Some(match reordering_at {
            Some(at) if at <= timeout_at => (at, Timer::Reordering),
            None if self.may_probe() => {
                let at = probe_at.unwrap_or_else(|| self.probe_at(now));
                (at.min(timeout_at), Timer::Probe)
            }
            None if self.may_presume() => match probe_at.unwrap_or_else(|| self.presume_at(now)) {
                at if at < timeout_at => (at, Timer::Probe),
                _ => (timeout_at, Timer::Retransmission),
            },
            _ => (timeout_at, Timer::Retransmission),
        });
    }

    /// RFC 8985 §7.2: nothing is known to be amiss, and no probe was sent.
    pub(super) fn may_probe(&self) -> bool {
        self.mode == Mode::Open
            && self.probe.is_none()
            && !self.is_probing
            && self.backoffs == 0
            && !self.is_suspicious()
    }

    /// See [`presume_lost`](Recovery::presume_lost).
    pub(super) fn may_presume(&self) -> bool {
        let is_silent = self.mode != Mode::Open || (self.probe.is_some() && !self.is_suspicious());
        is_silent && self.has_sack && self.backoffs == 0 && self.presumed < MAX_PRESUMED
    }

    /// Whether something may be missing, which RACK sees to.
    pub(super) fn is_suspicious(&self) -> bool {
        self.board.sacked() > 0 || self.board.lost() > 0
    }

    pub(super) fn presume_at(&self, now: Instant) -> Instant {
        let Some(srtt) = self.rtt.smoothed() else {
            return now + BLIND_PROBE;
        };
        let patience = (srtt * 2).max(srtt + self.rtt.variance() * 4);
        now + patience.max(MIN_PROBE) * (1 << self.presumed)
    }

    pub(super) fn probe_at(&self, now: Instant) -> Instant {
        let Some(srtt) = self.rtt.smoothed() else {
            return now + BLIND_PROBE;
        };
        let delay = match self.board.len() {
            1 => MAX_ACK_DELAY,
            _ => Duration::ZERO,
        };
        now + (srtt * 2 + delay).max(MIN_PROBE)
    }
}

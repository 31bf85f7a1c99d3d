//! Looking for more bandwidth now and then: the cycle of ProbeBW (draft §5.3.3).

use super::bounds::{Sample, UNBOUNDED};
use super::{Bbr, State};
use crate::net::congestion::Ack;
use smoltcp::time::{Duration, Instant};

/// Between probes: at least this, and up to a second more (T_bbr).
const PROBE_WAIT: Duration = Duration::from_secs(2);
/// But no more round trips than this, for those who grow by a segment in each (T_reno).
const RENO_ROUNDS: u64 = 63;
/// The slope of the long-term bound doubles in so many rounds of a probe at most.
const SLOPE_ROUNDS: u32 = 30;

/// What acknowledgments tell of the last probe: BBR.ack_phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feedback {
    /// Nothing.
    None,
    /// The pipe is being filled.
    Refilling,
    /// It was begun; they tell of what was before.
    Starting,
    /// How it goes.
    Coming,
    /// It is over; they still tell how it went.
    Ending,
}

/// Where the cycle is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    /// BBR.ack_phase.
    pub(super) feedback: Feedback,
    /// BBR.is_bw_probe_sample: samples are of a probe, and none told of too much loss yet.
    pub(super) is_sampling: bool,
    /// BBR.prev_probe_too_high: the last probe lost too much.
    pub(super) was_too_high: bool,
    /// BBR.prev_probe_precautionary: it was stopped at the bound of the one before.
    was_cautious: bool,
    /// BBR.rounds_since_probe_up.
    rounds_since: u64,
    began: Instant,
    wait: Duration,
    up_rounds: u32,
    up_acked_bytes: u64,
    /// The long-term bound grows by a segment for so much acknowledged.
    up_acked_per_segment_bytes: u64,
    dice: Dice,
}

impl Probe {
    pub(super) fn new(now: Instant, seed: u64) -> Self {
        Probe {
            feedback: Feedback::None,
            is_sampling: false,
            was_too_high: false,
            was_cautious: false,
            rounds_since: 0,
            began: now,
            wait: PROBE_WAIT,
            up_rounds: 0,
            up_acked_bytes: 0,
            up_acked_per_segment_bytes: UNBOUNDED,
            dice: Dice(seed),
        }
    }

    pub(super) fn on_round(&mut self) {
        self.rounds_since += 1;
    }

    /// PickProbeWait(): at random, so that flows mix.
    fn pick_wait(&mut self, now: Instant) {
        self.began = now;
        self.rounds_since = self.dice.below(2);
        self.wait = PROBE_WAIT + Duration::from_micros(self.dice.below(1_000_001));
    }

    /// RaiseInflightLongtermSlope(): twice as steep in every round.
    fn raise_slope(&mut self, window_bytes: u64, mss_bytes: u64) {
        self.up_acked_per_segment_bytes = (window_bytes >> self.up_rounds).max(mss_bytes);
        self.up_rounds = (self.up_rounds + 1).min(SLOPE_ROUNDS);
    }
}

impl Bbr {
    /// UpdateProbeBWCyclePhase().
    pub(super) fn update_cycle(&mut self, ack: &Ack, sample: &Sample) {
        if !self.full_pipe.was_reached || self.take_feedback(ack, sample) {
            return;
        }
        let state = self.state;
        match state {
            State::Down | State::Cruise if self.is_time_to_probe(ack.now) => self.start_refill(),
            State::Down if self.is_time_to_cruise(ack.in_flight_bytes) => {
                self.state = State::Cruise;
            }
            State::Refill if self.rounds.has_started => self.start_up(sample),
            State::Up if self.is_time_to_go_down(ack, sample) => {
                self.probe.was_too_high = false;
                self.start_down(ack.now);
            }
            _ => {}
        }
    }

    /// StartProbeBW_DOWN().
    pub(super) fn start_down(&mut self, now: Instant) {
        self.latest.reset();
        self.probe.up_acked_per_segment_bytes = UNBOUNDED;
        self.probe.pick_wait(now);
        self.probe.feedback = Feedback::Ending;
        self.rounds.start(self.delivered_bytes);
        self.state = State::Down;
    }

    /// StartProbeBW_REFILL(): what other traffic took is asked for again.
    pub(super) fn start_refill(&mut self) {
        self.probe.up_rounds = 0;
        self.probe.up_acked_bytes = 0;
        self.probe.was_cautious = false;
        self.probe.feedback = Feedback::Refilling;
        self.rounds.start(self.delivered_bytes);
        self.state = State::Refill;
    }

    /// StartProbeBW_UP().
    fn start_up(&mut self, sample: &Sample) {
        self.probe.is_sampling = true;
        self.probe.feedback = Feedback::Starting;
        self.rounds.start(self.delivered_bytes);
        self.full_pipe.restart(sample.bw);
        self.state = State::Up;
        self.probe.raise_slope(self.window_bytes, self.mss_bytes);
    }

    /// AdaptLongTermModel(); true if it began another state.
    fn take_feedback(&mut self, ack: &Ack, sample: &Sample) -> bool {
        let is_cycling = self.state.is_probe_bw();
        match self.probe.feedback {
            Feedback::Starting if self.rounds.has_started => {
                self.probe.feedback = Feedback::Coming;
            }
            Feedback::Ending if self.rounds.has_started => {
                self.probe.is_sampling = false;
                self.probe.feedback = Feedback::None;
                if is_cycling && !sample.is_limited {
                    self.bandwidth.advance_if_seen();
                }
                if is_cycling && self.probe.was_cautious && !self.probe.was_too_high {
                    self.start_refill();
                    return true;
                }
            }
            _ => {}
        }
        if !sample.is_inflight_too_high() && self.bounds.long_inflight_bytes != UNBOUNDED {
            let long_bytes = &mut self.bounds.long_inflight_bytes;
            *long_bytes = (*long_bytes).max(sample.sent_in_flight_bytes);
            if self.state == State::Up {
                self.raise_long_bound(ack);
            }
        }
        false
    }

    /// ProbeInflightLongtermUpward(): slowly first, by twice as much in every round.
    fn raise_long_bound(&mut self, ack: &Ack) {
        if !ack.is_window_limited || self.window_bytes < self.bounds.long_inflight_bytes {
            return;
        }
        let probe = &mut self.probe;
        probe.up_acked_bytes += ack.delivered_bytes;
        let segments = probe.up_acked_bytes / probe.up_acked_per_segment_bytes;
        probe.up_acked_bytes %= probe.up_acked_per_segment_bytes;
        self.bounds.long_inflight_bytes += segments * self.mss_bytes;
        if self.rounds.has_started {
            probe.raise_slope(self.window_bytes, self.mss_bytes);
        }
    }

    /// IsTimeToProbeBW(): a while has passed, or as many rounds as one who grows by a
    /// segment in each would need (draft §5.3.3.5).
    fn is_time_to_probe(&self, now: Instant) -> bool {
        let reno_rounds = self.target_inflight_bytes() / self.mss_bytes;
        now > self.probe.began + self.probe.wait
            || self.probe.rounds_since >= reno_rounds.min(RENO_ROUNDS)
    }

    /// IsTimeToCruise(): no queue is left, and there is room for others.
    fn is_time_to_cruise(&self, in_flight_bytes: u64) -> bool {
        in_flight_bytes <= self.with_headroom_bytes()
            && in_flight_bytes <= self.inflight_bytes(self.max_bw())
    }

    /// IsTimeToGoDown().
    fn is_time_to_go_down(&mut self, ack: &Ack, sample: &Sample) -> bool {
        let long_bytes = self.bounds.long_inflight_bytes;
        if self.probe.was_too_high && ack.in_flight_bytes >= long_bytes {
            self.probe.was_cautious = true;
            return true;
        }
        if ack.is_window_limited && self.window_bytes >= long_bytes {
            // The bound, not the path, keeps the bandwidth from growing.
            self.full_pipe.restart(sample.bw);
            return false;
        }
        self.full_pipe.is_now
    }

    /// TargetInflight(): the estimated BDP, unless congestion cut the window.
    pub(super) fn target_inflight_bytes(&self) -> u64 {
        self.bdp_bytes(self.max_bw(), 100).min(self.window_bytes)
    }
}

/// Chances that replay: SplitMix64.
#[derive(Clone, Copy, Debug)]
struct Dice(u64);

impl Dice {
    /// A number below `n`, all as likely as makes no difference for a small `n`.
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_random_within_bounds_and_replay() {
        let waits = |seed| {
            let mut probe = Probe::new(Instant::ZERO, seed);
            [(); 200].map(|()| {
                probe.pick_wait(Instant::ZERO);
                (probe.wait.total_micros(), probe.rounds_since)
            })
        };
        let ours = waits(1);
        assert_eq!(ours, waits(1));
        assert_ne!(ours, waits(2));
        assert!(
            ours.iter()
                .all(|(wait, _)| (2_000_000..=3_000_000).contains(wait))
        );
        assert!(ours.iter().all(|(_, rounds)| *rounds <= 1));
        let mean = ours.iter().map(|(wait, _)| wait).sum::<u64>() / 200;
        assert!((2_400_000..2_600_000).contains(&mean), "{mean}");
    }

    #[test]
    fn the_slope_doubles_and_ends_at_a_segment_for_a_segment() {
        let mut probe = Probe::new(Instant::ZERO, 1);
        let slopes = [(); 6].map(|()| {
            probe.raise_slope(16_000, 1_000);
            probe.up_acked_per_segment_bytes
        });
        assert_eq!(slopes, [16_000, 8_000, 4_000, 2_000, 1_000, 1_000]);
        (0..100).for_each(|_| probe.raise_slope(16_000, 1_000));
        assert_eq!(probe.up_rounds, SLOPE_ROUNDS);
    }
}

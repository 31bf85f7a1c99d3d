//! HyStart++ (RFC 9406): slow start ends when round trips become longer, before
//! the bottleneck's queue overflows.
//!
//! A longer round trip may be chance: first the window grows more slowly for some
//! rounds (conservative slow start), and goes on as before if they become shorter.

use super::Ack;

const MIN_RTT_THRESHOLD_US: u32 = 4_000;
const MAX_RTT_THRESHOLD_US: u32 = 16_000;
const MIN_RTT_DIVISOR: u32 = 8;
/// A round's shortest round trip means nothing before so many.
const RTT_SAMPLES: u8 = 8;
const CONSERVATIVE_DIVISOR: u64 = 4;
const CONSERVATIVE_ROUNDS: u8 = 5;
/// L: without pacing, the window grows by so many segments an ACK at most.
const BURST_SEGMENTS: u64 = 8;
/// No round trip was measured.
const UNKNOWN: u32 = u32::MAX;

/// The first slow start of a connection. Names are those of RFC 9406 §4.2.
#[derive(Clone, Copy, Debug)]
pub struct HyStart {
    /// windowEnd: the round ends when this is acknowledged; 0 before the first.
    round_end: u64,
    /// lastRoundMinRTT, currentRoundMinRTT, microseconds.
    last_round_us: u32,
    round_us: u32,
    /// cssBaselineMinRtt, what the round trip was on entry to conservative slow
    /// start; unknown outside of it.
    baseline_us: u32,
    samples: u8,
    /// Rounds of conservative slow start that are over.
    rounds: u8,
}

impl Default for HyStart {
    fn default() -> Self {
        HyStart {
            round_end: 0,
            last_round_us: UNKNOWN,
            round_us: UNKNOWN,
            baseline_us: UNKNOWN,
            samples: 0,
            rounds: 0,
        }
    }
}

impl HyStart {
    /// Takes an ACK of slow start in; says whether slow start is over.
    pub fn on_ack(&mut self, ack: &Ack) -> bool {
        if self.round_end == 0 {
            self.round_end = ack.nxt_offset;
        }
        if let Some(rtt) = ack.rtt {
            let rtt_us = u32::try_from(rtt.total_micros()).unwrap_or(UNKNOWN);
            self.round_us = self.round_us.min(rtt_us);
            self.samples = self.samples.saturating_add(1);
        }
        if self.samples >= RTT_SAMPLES {
            self.judge();
        }
        if ack.una_offset >= self.round_end {
            self.next_round(ack.nxt_offset);
        }
        self.rounds >= CONSERVATIVE_ROUNDS
    }

    /// By how much the window grows for `delivered_bytes`.
    pub fn growth_bytes(&self, delivered_bytes: u64, mss_bytes: u64, is_paced: bool) -> u64 {
        let limit = if is_paced {
            u64::MAX
        } else {
            BURST_SEGMENTS * mss_bytes
        };
        let divisor = if self.is_conservative() {
            CONSERVATIVE_DIVISOR
        } else {
            1
        };
        delivered_bytes.min(limit) / divisor
    }

    /// Whether conservative slow start goes on.
    pub fn is_conservative(&self) -> bool {
        self.baseline_us != UNKNOWN
    }

    fn judge(&mut self) {
        if self.is_conservative() {
            if self.round_us < self.baseline_us {
                self.baseline_us = UNKNOWN;
                self.rounds = 0;
            }
        } else if self.last_round_us != UNKNOWN && self.round_us != UNKNOWN {
            let threshold_us = (self.last_round_us / MIN_RTT_DIVISOR)
                .clamp(MIN_RTT_THRESHOLD_US, MAX_RTT_THRESHOLD_US);
            if self.round_us >= self.last_round_us.saturating_add(threshold_us) {
                self.baseline_us = self.round_us;
            }
        }
    }

    /// The round on whose way conservative slow start began counts too.
    fn next_round(&mut self, nxt_offset: u64) {
        self.round_end = nxt_offset;
        self.last_round_us = self.round_us;
        self.round_us = UNKNOWN;
        self.samples = 0;
        self.rounds += u8::from(self.is_conservative());
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::ACK;
    use super::*;
    use smoltcp::time::Duration;

    const ROUND: u64 = 10;

    /// A connection that sends ten segments a round, and HyStart++.
    #[derive(Default)]
    struct Run {
        hystart: HyStart,
        una: u64,
        is_over: bool,
    }

    impl Run {
        /// A round whose `samples` round trips are this long.
        fn round(&mut self, rtt_ms: f64, samples: u64) -> bool {
            for index in 0..ROUND {
                self.una += 1;
                let rtt = Duration::from_micros((rtt_ms * 1e3) as u64);
                self.is_over |= self.hystart.on_ack(&Ack {
                    rtt: (index < samples).then_some(rtt),
                    una_offset: self.una * 1_000,
                    nxt_offset: (self.una / ROUND + 1) * ROUND * 1_000,
                    ..ACK
                });
            }
            self.hystart.is_conservative()
        }
    }

    #[test]
    fn longer_round_trips_are_noticed() {
        for (name, before_ms, then_ms, samples, want) in [
            ("an eighth more", 80.0, 90.0, 8, true),
            ("a little less", 80.0, 89.9, 8, false),
            ("4 ms of a short one", 8.0, 12.0, 8, true),
            ("not so much", 8.0, 11.9, 8, false),
            ("16 ms of a long one", 400.0, 416.0, 8, true),
            ("not so much", 400.0, 415.9, 8, false),
            ("too few samples", 80.0, 200.0, 7, false),
            ("shorter", 80.0, 40.0, 10, false),
        ] {
            let mut run = Run::default();
            assert!(!run.round(before_ms, ROUND), "{name}");
            assert_eq!(run.round(then_ms, samples), want, "{name}");
            assert!(!run.is_over, "{name}");
        }
    }

    #[test]
    fn conservative_slow_start_lasts_five_rounds_with_its_first() {
        let mut run = Run::default();
        run.round(50.0, ROUND);
        for round in 1..=5 {
            assert!(!run.is_over, "{round}");
            assert!(run.round(50.0 + 10.0 * f64::from(round), ROUND));
        }
        assert!(run.is_over);
    }

    #[test]
    fn it_ends_when_round_trips_become_shorter() {
        let mut run = Run::default();
        run.round(50.0, ROUND);
        for _ in 0..4 {
            assert!(run.round(60.0, ROUND));
        }
        assert!(run.round(59.0, 7)); // too few to tell
        assert!(run.is_over);

        let mut run = Run::default();
        run.round(50.0, ROUND);
        for _ in 0..3 {
            assert!(run.round(60.0, ROUND));
        }
        assert!(!run.round(59.9, 8));
        // It was chance; and five rounds are counted anew.
        for round in 0..5 {
            assert!(!run.is_over, "{round}");
            assert!(run.round(80.0, ROUND));
        }
        assert!(run.is_over);
    }

    #[test]
    fn growth() {
        for (delivered, is_paced, slow, conservative) in [
            (1_000, false, 1_000, 250),
            (8_000, false, 8_000, 2_000),
            (9_000, false, 8_000, 2_000),
            (9_000, true, 9_000, 2_250),
            (3, true, 3, 0),
        ] {
            let mut run = Run::default();
            let growth = |run: &Run| run.hystart.growth_bytes(delivered, 1_000, is_paced);
            assert_eq!(growth(&run), slow);
            run.round(50.0, ROUND);
            run.round(60.0, ROUND);
            assert_eq!(growth(&run), conservative);
        }
    }

    #[test]
    fn without_samples_slow_start_goes_on() {
        let mut run = Run::default();
        for _ in 0..20 {
            assert!(!run.round(0.0, 0));
        }
        assert!(!run.is_over);
    }
}

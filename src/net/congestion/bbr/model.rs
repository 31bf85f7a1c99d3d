//! What is known of the path: filters over what acknowledgments said (draft §5.5).

use smoltcp::time::{Duration, Instant};

/// BBR.ProbeRTTInterval: how long a round-trip time is believed before the path is
/// emptied to measure it again.
const PROBE_RTT_INTERVAL: Duration = Duration::from_secs(5);
/// BBR.MinRTTFilterLen.
const MIN_RTT_FILTER: Duration = Duration::from_secs(10);
/// Half of BBR.ExtraAckedFilterLen, in rounds: [`Peak`] remembers two such spans.
const EXTRA_ACKED_ROUNDS: u64 = 5;

/// The highest value of this span and of the one before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peak {
    previous: u64,
    current: u64,
}

impl Peak {
    pub(super) fn note(&mut self, value: u64) {
        self.current = self.current.max(value);
    }

    pub(super) fn get(&self) -> u64 {
        self.previous.max(self.current)
    }

    /// A new span begins.
    pub(super) fn advance(&mut self) {
        self.previous = std::mem::take(&mut self.current);
    }

    /// The same, unless this span has seen nothing: then the old one is still the best.
    pub(super) fn advance_if_seen(&mut self) {
        if self.current > 0 {
            self.advance();
        }
    }
}

/// Round trips as packets take them (draft §5.5.1): one ends when something is
/// delivered that was sent after the last had ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rounds {
    /// So many so far.
    pub(super) count: u64,
    /// The present acknowledgment ended one.
    pub(super) has_started: bool,
    next_delivered_bytes: u64,
}

impl Rounds {
    /// Takes a sample of something sent when `prior_delivered_bytes` had arrived, now
    /// that `delivered_bytes` have.
    pub(super) fn on_sample(&mut self, prior_delivered_bytes: u64, delivered_bytes: u64) {
        self.has_started = prior_delivered_bytes >= self.next_delivered_bytes;
        if self.has_started {
            self.count += 1;
            self.start(delivered_bytes);
        }
    }

    /// A round begins here, whatever the last one was doing.
    pub(super) fn start(&mut self, delivered_bytes: u64) {
        self.next_delivered_bytes = delivered_bytes;
    }
}

/// The path's round-trip time without a queue, and when to measure it again
/// (draft §5.3.4.3).
#[derive(Clone, Copy, Debug)]
pub(super) struct MinRtt {
    min: Option<Duration>,
    at: Instant,
    /// The least of late, and when it was seen: BBR.probe_rtt_min_delay and its stamp.
    recent: Option<Duration>,
    recent_at: Instant,
    /// The recent one was too old when the present acknowledgment came.
    pub(super) has_expired: bool,
}

impl MinRtt {
    pub(super) fn new(now: Instant) -> Self {
        MinRtt {
            min: None,
            at: now,
            recent: None,
            recent_at: now,
            has_expired: false,
        }
    }

    pub(super) fn get(&self) -> Option<Duration> {
        self.min
    }

    pub(super) fn on_ack(&mut self, now: Instant, rtt: Option<Duration>) {
        self.has_expired = now > self.recent_at + PROBE_RTT_INTERVAL;
        if let Some(rtt) = rtt
            && (self.has_expired || self.recent.is_none_or(|recent| rtt < recent))
        {
            self.recent = Some(rtt);
            self.recent_at = now;
        }
        let is_lower = match (self.recent, self.min) {
            (Some(recent), Some(min)) => recent < min,
            (recent, None) => recent.is_some(),
            (None, Some(_)) => false,
        };
        if is_lower || now > self.at + MIN_RTT_FILTER {
            self.min = self.recent;
            self.at = self.recent_at;
        }
    }

    /// The path was emptied: next time in [`PROBE_RTT_INTERVAL`].
    pub(super) fn on_probed(&mut self, now: Instant) {
        self.recent_at = now;
    }
}

/// How much more than expected arrives at once: aggregation on the path and in the
/// receiver (draft §5.5.9).
#[derive(Clone, Copy, Debug)]
pub(super) struct Aggregation {
    since: Instant,
    delivered_bytes: u64,
    extra: Peak,
    span_begun: u64,
}

impl Aggregation {
    pub(super) fn new(now: Instant) -> Self {
        Aggregation {
            since: now,
            delivered_bytes: 0,
            extra: Peak::default(),
            span_begun: 0,
        }
    }

    /// BBR.extra_acked, bytes.
    pub(super) fn extra_bytes(&self) -> u64 {
        self.extra.get()
    }

    /// Takes `delivered_bytes` more at `now`, of a path that carries `bw` bytes a second.
    /// While `is_growing`, what was seen is soon outdated.
    pub(super) fn on_ack(
        &mut self,
        now: Instant,
        delivered_bytes: u64,
        bw: u64,
        window_bytes: u64,
        round: u64,
        is_growing: bool,
    ) {
        let rounds = if is_growing { 1 } else { EXTRA_ACKED_ROUNDS };
        if round >= self.span_begun + rounds {
            self.extra.advance();
            self.span_begun = round;
        }
        let mut expected_bytes = volume_bytes(bw, now - self.since);
        if self.delivered_bytes <= expected_bytes {
            self.restart(now);
            expected_bytes = 0;
        }
        self.delivered_bytes += delivered_bytes;
        let extra_bytes = self.delivered_bytes.saturating_sub(expected_bytes);
        self.extra.note(extra_bytes.min(window_bytes));
    }

    /// Nothing was expected until now.
    pub(super) fn restart(&mut self, now: Instant) {
        self.since = now;
        self.delivered_bytes = 0;
    }
}

/// What `bw` bytes a second carry in `time`, bytes.
pub(super) fn volume_bytes(bw: u64, time: Duration) -> u64 {
    bw.saturating_mul(time.total_micros()) / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn at(ms: i64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn a_peak_is_forgotten_after_two_spans() {
        let mut peak = Peak::default();
        peak.note(9);
        peak.note(5);
        assert_eq!(peak.get(), 9);
        peak.advance_if_seen();
        assert_eq!(peak.get(), 9);
        peak.advance_if_seen();
        assert_eq!(peak.get(), 9, "nothing newer was seen");
        peak.note(3);
        assert_eq!(peak.get(), 9);
        peak.advance_if_seen();
        assert_eq!(peak.get(), 3);
        peak.advance();
        peak.advance();
        assert_eq!(peak.get(), 0);
    }

    #[test]
    fn a_round_ends_with_what_was_sent_in_it() {
        let mut rounds = Rounds::default();
        // (delivered when it was sent, delivered now, is a new round)
        for (prior, delivered, want) in [
            (0, 1_000, true),
            (0, 2_000, false),
            (999, 2_500, false),
            (1_000, 3_000, true),
            (2_999, 4_000, false),
            (3_500, 5_000, true),
        ] {
            rounds.on_sample(prior, delivered);
            assert_eq!(rounds.has_started, want, "{prior} {delivered}");
        }
        assert_eq!(rounds.count, 3);
        rounds.start(6_000);
        rounds.on_sample(5_000, 6_500);
        assert!(!rounds.has_started, "a round was begun anew");
    }

    #[test]
    fn the_least_round_trip_of_ten_seconds() {
        let mut rtt = MinRtt::new(at(0));
        assert_eq!(rtt.get(), None);
        // (when, sample, minimum, the recent one had expired)
        for (when, sample, want, expired) in [
            (100, Some(50), 50, false),
            (200, Some(60), 50, false),
            (300, None, 50, false),
            (1_000, Some(40), 40, false),
            (6_000, Some(55), 40, false),
            (6_001, Some(55), 40, true),
            (6_002, Some(52), 40, false),
            (11_001, Some(58), 52, false),
            (11_003, Some(58), 52, true),
            (16_002, Some(70), 52, false),
            (16_003, Some(70), 58, false),
            (16_004, Some(70), 58, true),
            (21_003, Some(80), 58, false),
            (21_005, Some(80), 80, true),
        ] {
            rtt.on_ack(at(when), sample.map(ms));
            assert_eq!(rtt.get(), Some(ms(want)), "at {when}");
            assert_eq!(rtt.has_expired, expired, "at {when}");
        }
    }

    #[test]
    fn a_probe_of_the_round_trip_puts_off_the_next() {
        let mut rtt = MinRtt::new(at(0));
        rtt.on_ack(at(1), Some(ms(30)));
        rtt.on_probed(at(5_000));
        rtt.on_ack(at(10_000), Some(ms(30)));
        assert!(!rtt.has_expired);
        rtt.on_ack(at(10_001), Some(ms(30)));
        assert!(rtt.has_expired);
    }

    #[test]
    fn what_comes_at_once_is_extra() {
        let mut aggregation = Aggregation::new(at(0));
        let bw = 1_000_000; // 1,000 bytes a millisecond
        let mut ack = |when, bytes, round| {
            aggregation.on_ack(at(when), bytes, bw, 50_000, round, false);
            aggregation.extra_bytes()
        };
        assert_eq!(ack(10, 10_000, 1), 10_000, "all of the first is extra");
        assert_eq!(ack(15, 5_000, 1), 10_000, "as expected");
        assert_eq!(ack(16, 8_000, 1), 17_000, "ahead");
        assert_eq!(ack(17, 90_000, 1), 50_000, "no more than a window");
        assert_eq!(ack(900, 2_000, 6), 50_000, "late: counted anew");
        assert_eq!(ack(1_900, 2_000, 11), 2_000, "the old peak is forgotten");
    }

    #[test]
    fn volumes() {
        assert_eq!(volume_bytes(25_000_000, ms(20)), 500_000);
        assert_eq!(volume_bytes(0, ms(20)), 0);
        assert_eq!(volume_bytes(u64::MAX, ms(20)), u64::MAX / 1_000_000);
    }
}

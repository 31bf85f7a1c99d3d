//! Round-trip time and the retransmission timeout (RFC 6298), in microseconds.

use super::{Duration, Instant};

/// Before there is a sample (RFC 6298 §2.1).
const INITIAL_RTO: Duration = Duration::from_secs(1);
/// The least that the variance counts for: RFC 6298 §2.4 has a second for the
/// whole; Linux has this, which covers most delayed ACKs.
const MIN_VARIANCE: Duration = Duration::from_millis(200);
/// RFC 6298 §2.5.
const MAX_RTO: Duration = Duration::from_secs(60);
/// How long a least round-trip time is believed, as in Linux.
const MIN_RTT_LIFE: Duration = Duration::from_secs(300);

/// What is known of the path's round-trip time.
#[derive(Clone, Copy, Debug)]
pub struct Rtt {
    /// Zero, like `least`, while there was no sample.
    smoothed: Duration,
    variance: Duration,
    least: Duration,
    least_at: Instant,
}

impl Default for Rtt {
    fn default() -> Rtt {
        Rtt {
            smoothed: Duration::ZERO,
            variance: Duration::ZERO,
            least: Duration::ZERO,
            least_at: Instant::ZERO,
        }
    }
}

impl Rtt {
    /// Takes a sample in.
    pub fn sample(&mut self, rtt: Duration, now: Instant) {
        let rtt = rtt.max(Duration::from_micros(1));
        self.smoothed = match self.smoothed() {
            None => {
                self.variance = rtt / 2;
                rtt
            }
            Some(smoothed) => {
                let deviation = smoothed.max(rtt) - smoothed.min(rtt);
                self.variance = (self.variance * 3 + deviation) / 4;
                (smoothed * 7 + rtt) / 8
            }
        };
        let is_least = self
            .least()
            .is_none_or(|least| rtt <= least || now >= self.least_at + MIN_RTT_LIFE);
        if is_least {
            (self.least, self.least_at) = (rtt, now);
        }
    }

    /// SRTT.
    pub fn smoothed(&self) -> Option<Duration> {
        (self.smoothed > Duration::ZERO).then_some(self.smoothed)
    }

    /// RTTVAR.
    pub fn variance(&self) -> Duration {
        self.variance
    }

    /// The least of late.
    pub fn least(&self) -> Option<Duration> {
        (self.least > Duration::ZERO).then_some(self.least)
    }

    /// RTO, after `backoffs` time-outs in a row (RFC 6298 §5.5).
    pub fn timeout(&self, backoffs: u32) -> Duration {
        let base = match self.smoothed() {
            None => INITIAL_RTO,
            Some(smoothed) => smoothed + (self.variance * 4).max(MIN_VARIANCE),
        };
        (base * (1 << backoffs.min(10))).min(MAX_RTO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_formulas_of_the_rfc() {
        let mut rtt = Rtt::default();
        assert_eq!(rtt.timeout(0), ms(1_000));
        rtt.sample(ms(100), Instant::ZERO);
        assert_eq!((rtt.smoothed(), rtt.variance()), (Some(ms(100)), ms(50)));
        assert_eq!(rtt.timeout(0), ms(300));
        rtt.sample(ms(180), Instant::ZERO);
        // 3/4 of 50 and 1/4 of 80; 7/8 of 100 and 1/8 of 180.
        assert_eq!(rtt.variance(), Duration::from_micros(57_500));
        assert_eq!(rtt.smoothed(), Some(ms(110)));
        assert_eq!(rtt.timeout(0), ms(340));
    }

    #[test]
    fn the_timeout_has_a_floor_and_a_ceiling_and_doubles() {
        let mut rtt = Rtt::default();
        for _ in 0..50 {
            rtt.sample(Duration::from_micros(60), Instant::ZERO);
        }
        assert_eq!(rtt.timeout(0), Duration::from_micros(200_060));
        assert_eq!(rtt.timeout(1), Duration::from_micros(400_120));
        assert_eq!(rtt.timeout(31), MAX_RTO);
    }

    #[test]
    fn the_least_is_forgotten_after_a_while() {
        let mut rtt = Rtt::default();
        rtt.sample(ms(10), Instant::ZERO);
        rtt.sample(ms(20), Instant::from_secs(299));
        assert_eq!(rtt.least(), Some(ms(10)));
        rtt.sample(ms(20), Instant::from_secs(300));
        assert_eq!(rtt.least(), Some(ms(20)));
    }
}

//! Delivery rate samples (draft-ietf-ccwg-bbr §4.1): how fast what was sent is
//! known to have arrived.

use super::scoreboard::{Segment, SendState};
use super::{Duration, Instant};
use crate::net::congestion::Rate;

/// The totals of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Sampler {
    /// C.delivered.
    delivered_bytes: u64,
    /// C.delivered_time.
    delivered_at: Instant,
    /// C.first_send_time.
    first_sent_at: Instant,
    /// C.lost.
    lost_bytes: u64,
    /// C.app_limited: the total at which what was sent for want of data is gone.
    app_limited_until: u64,
    /// The last sample that says something of the path: bytes over microseconds, 0
    /// while there was none. Divided when somebody asks.
    last_bytes: u32,
    last_us: u32,
}

/// What the segments that one acknowledgment delivers have in common.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delivery {
    /// Newly delivered, bytes.
    pub bytes: u64,
    /// The one of them that was sent last.
    pub newest: Option<Segment>,
}

impl Delivery {
    /// One more segment was delivered.
    pub fn add(&mut self, segment: &Segment) {
        self.bytes += u64::from(segment.len);
        let is_newer = self
            .newest
            .is_none_or(|newest| segment.sent().is_after(newest.sent()));
        if is_newer {
            self.newest = Some(*segment);
        }
    }
}

impl Sampler {
    /// Nothing has been sent.
    pub fn new(now: Instant) -> Sampler {
        Sampler {
            delivered_bytes: 0,
            delivered_at: now,
            first_sent_at: now,
            lost_bytes: 0,
            app_limited_until: 0,
            last_bytes: 0,
            last_us: 0,
        }
    }

    /// How fast data was delivered last, bytes a second: when there was not enough to
    /// send, only if that was faster than before (Linux's tcpi_delivery_rate).
    pub fn last_bytes_per_s(&self) -> Option<u64> {
        let us = u64::from(self.last_us);
        (us > 0).then(|| u64::from(self.last_bytes) * 1_000_000 / us)
    }

    fn remember(&mut self, rate: &Rate) {
        let narrow = |wide| u32::try_from(wide).unwrap_or(u32::MAX);
        let bytes = narrow(rate.delivered_bytes);
        let us = narrow(rate.interval.total_micros());
        let product = |a: u32, b: u32| u64::from(a) * u64::from(b);
        let is_slower = product(bytes, self.last_us) < product(self.last_bytes, us);
        if us > 0 && !(rate.is_app_limited && is_slower) {
            (self.last_bytes, self.last_us) = (bytes, us);
        }
    }

    /// All bytes delivered so far.
    pub fn delivered_bytes(&self) -> u64 {
        self.delivered_bytes
    }

    /// A segment leaves, with `in_flight_bytes` under way before.
    pub fn on_send(&mut self, now: Instant, len: u32, in_flight_bytes: u64) -> SendState {
        if in_flight_bytes == 0 {
            self.first_sent_at = now;
            self.delivered_at = now;
        }
        let since_us = |at: Instant| u32::try_from((now - at).total_micros()).unwrap_or(u32::MAX);
        SendState {
            delivered_bytes: self.delivered_bytes,
            lost_bytes: self.lost_bytes,
            since_delivered_us: since_us(self.delivered_at),
            since_first_sent_us: since_us(self.first_sent_at),
            in_flight_bytes: (in_flight_bytes as u32).saturating_add(len),
            is_app_limited: self.app_limited_until > 0,
        }
    }

    /// There is nothing more to send, though there might be more in flight.
    pub fn on_app_limited(&mut self, in_flight_bytes: u64) {
        self.app_limited_until = (self.delivered_bytes + in_flight_bytes).max(1);
    }

    /// Segments were counted as lost.
    pub fn on_loss(&mut self, bytes: u64) {
        self.lost_bytes += bytes;
    }

    /// Takes in what an acknowledgment delivered; `min_rtt` rules out samples that
    /// are too short to be true.
    pub fn on_ack(
        &mut self,
        delivery: &Delivery,
        min_rtt: Option<Duration>,
        now: Instant,
    ) -> Option<Rate> {
        self.delivered_bytes += delivery.bytes;
        if self.app_limited_until > 0 && self.delivered_bytes > self.app_limited_until {
            self.app_limited_until = 0;
        }
        let Segment { sent_at, state, .. } = delivery.newest?;
        self.delivered_at = now;
        self.first_sent_at = sent_at;
        let sending = Duration::from_micros(state.since_first_sent_us.into());
        let acknowledging = now - sent_at + Duration::from_micros(state.since_delivered_us.into());
        let interval = sending.max(acknowledging);
        if interval < min_rtt.unwrap_or(Duration::ZERO) {
            return None;
        }
        let rate = Rate {
            delivered_bytes: self.delivered_bytes - state.delivered_bytes,
            interval,
            prior_delivered_bytes: state.delivered_bytes,
            total_delivered_bytes: self.delivered_bytes,
            sent_in_flight_bytes: state.in_flight_bytes.into(),
            lost_bytes: self.lost_bytes - state.lost_bytes,
            is_app_limited: state.is_app_limited,
        };
        self.remember(&rate);
        Some(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_sample_counts_unless_there_was_not_enough_to_send() {
        let mut sampler = Sampler::new(Instant::ZERO);
        assert_eq!(sampler.last_bytes_per_s(), None);
        for (delivered_bytes, us, is_app_limited, want) in [
            (10_000, 0, false, None),
            (10_000, 20_000, true, Some(500_000)),
            (8_000, 20_000, true, Some(500_000)),
            (8_000, 20_000, false, Some(400_000)),
            (9_000, 20_000, true, Some(450_000)),
            (1 << 40, 1_000_000, false, Some(u64::from(u32::MAX))),
        ] {
            sampler.remember(&Rate {
                delivered_bytes,
                interval: Duration::from_micros(us),
                prior_delivered_bytes: 0,
                total_delivered_bytes: delivered_bytes,
                sent_in_flight_bytes: delivered_bytes,
                lost_bytes: 0,
                is_app_limited,
            });
            assert_eq!(
                sampler.last_bytes_per_s(),
                want,
                "{delivered_bytes} in {us}"
            );
        }
    }
}

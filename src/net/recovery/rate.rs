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
        (interval >= min_rtt.unwrap_or(Duration::ZERO)).then_some(Rate {
            delivered_bytes: self.delivered_bytes - state.delivered_bytes,
            interval,
            prior_delivered_bytes: state.delivered_bytes,
            total_delivered_bytes: self.delivered_bytes,
            sent_in_flight_bytes: state.in_flight_bytes.into(),
            lost_bytes: self.lost_bytes - state.lost_bytes,
            is_app_limited: state.is_app_limited,
        })
    }
}

//! What one ACK tells of the segments that it newly delivers.

use super::rate::Delivery;
use super::scoreboard::{Segment, Sent};
use super::{Duration, Instant};

/// What one ACK tells of the segments that it newly delivers.
#[derive(Default)]
pub(super) struct News {
    pub(super) delivery: Delivery,
    /// When the last one was sent of those that have arrived for sure as they were
    /// last sent.
    pub(super) newest_sure: Option<Sent>,
    /// The same of those that were sent once only.
    pub(super) newest_once: Option<Sent>,
    /// One that was given up has arrived as it was first sent.
    pub(super) has_given_up: bool,
    /// One that was sent again is acknowledged in order.
    pub(super) has_repaired: bool,
    /// The largest one.
    pub(super) largest_bytes: u32,
}

impl News {
    pub(super) fn add(&mut self, segment: &Segment, min_rtt: Option<Duration>, now: Instant) {
        self.delivery.add(segment);
        self.largest_bytes = self.largest_bytes.max(segment.len);
        // RFC 8985 §6.2, step 2: too soon for the repair.
        let is_original =
            segment.sends > 1 && min_rtt.is_some_and(|least| now - segment.sent_at < least);
        let sent = segment.sent();
        if !is_original {
            self.newest_sure = Some(sent.latest(self.newest_sure));
        }
        if segment.sends == 1 {
            self.newest_once = Some(sent.latest(self.newest_once));
        }
        self.has_given_up |= match segment.sends {
            1 => segment.is_lost,
            sends => sends == 2 && is_original,
        };
    }

    /// Of the one that was sent last: it is what the ACK answers. Repairs give none
    /// (Karn).
    pub(super) fn rtt(&self, now: Instant) -> Option<Duration> {
        let newest = self.delivery.newest.filter(|newest| newest.sends == 1)?;
        Some(now - newest.sent_at)
    }
}

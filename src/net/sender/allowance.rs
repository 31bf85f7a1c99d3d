//! How much more may be handed to smoltcp: what the peer's window, the congestion
//! window, the pace and memory leave, in segments worth sending.

use super::Sender;
use crate::net::congestion::Controller;
use crate::net::pool::SEND_BUFFER_BYTES;
use crate::net::tcb::Log;
use smoltcp::time::{Duration, Instant};

/// How long a window too small for a decent segment is left alone (RFC 9293
/// §3.8.6.2.1 has 0.1 to 1 s).
const OVERRIDE: Duration = Duration::from_millis(200);

/// What limits how much may be handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Bytes.
    pub bytes: u64,
    /// It is the congestion window that allows no more, not the peer's.
    pub by_congestion: bool,
    /// It is the pace.
    pub by_pace: bool,
    /// Payload of a full segment, and what a last one, cut short, must have at
    /// least.
    pub segment_bytes: u16,
    /// See there.
    pub least_bytes: u16,
}

impl Allowance {
    /// What of `bytes`, with more to come behind them and `before` handed over, is
    /// worth sending: sender's avoidance of silly windows (RFC 9293 §3.8.6.2.1).
    pub fn without_silly_end(&self, before: usize, bytes: usize) -> usize {
        let end = (before + bytes) % usize::from(self.segment_bytes);
        match end < usize::from(self.least_bytes) {
            true => bytes.saturating_sub(end),
            false => bytes,
        }
    }
}

impl Sender {
    /// How much more may be handed over `now`, no more than a buffer's worth in all
    /// if memory `is_short`.
    pub fn allowance(&mut self, is_short: bool, now: Instant) -> Allowance {
        let mut allowance = Allowance {
            bytes: 0,
            by_congestion: false,
            by_pace: false,
            segment_bytes: self.segment_bytes(),
            least_bytes: self.least_bytes(),
        };
        let Some(log) = &self.log else {
            return allowance;
        };
        if self.held_until.is_some_and(|until| now < until) {
            return allowance;
        }
        let mss_bytes = u64::from(self.mss.bytes());
        let unsent = u64::from(self.end.wrapping_sub(self.sent));
        let (_, window) = self.shadow();
        let peer_bytes = match (u64::from(window) << self.shift, self.unacknowledged()) {
            // Something for smoltcp to probe the window with.
            (0, 0) => mss_bytes,
            (left, _) => left.saturating_sub(unsent),
        };
        let peer_bytes = peer_bytes.min(self.room_bytes(log, is_short, unsent));
        let idle = now - self.sent_at;
        let rto = log.recovery.rtt().timeout(0);
        if log.recovery.is_idle() && self.una_offset > 0 && idle > rto {
            self.congestion.on_idle(now, idle, rto);
            self.pacer.restart();
            self.sent_at = now;
        }
        let in_flight = log.recovery.in_flight_bytes() + unsent;
        let mut congestion_bytes = self.congestion.window_bytes().saturating_sub(in_flight);
        // A short segment would only be a nuisance, with others on the way.
        if congestion_bytes < mss_bytes && in_flight > 0 {
            congestion_bytes = 0;
        }
        if let Some(rate) = self.congestion.pace_bytes_per_s() {
            let paced = self.pacer.allowance_bytes(now, rate).saturating_sub(unsent);
            allowance.by_pace = paced < congestion_bytes;
            congestion_bytes = match paced < mss_bytes {
                true => 0,
                false => congestion_bytes.min(paced),
            };
        }
        if log.recovery.wants_probe() {
            congestion_bytes = congestion_bytes.max(mss_bytes);
        }
        allowance.bytes = peer_bytes.min(congestion_bytes);
        allowance.by_congestion = congestion_bytes < peer_bytes;
        allowance
    }

    /// What there is memory for beside what is in flight and `unsent_bytes`: on the
    /// scoreboard, and in all if that `is_short`. Nothing while smoltcp has sent what
    /// the scoreboard had no place for: the sooner that is acknowledged, the sooner
    /// recovery has all in hand again.
    fn room_bytes(&self, log: &Log, is_short: bool, unsent_bytes: u64) -> u64 {
        if self.offset(self.sent) > log.recovery.range().end {
            return 0;
        }
        let places = log.recovery.room() as u64;
        let room_bytes = (places * u64::from(self.segment_bytes())).saturating_sub(unsent_bytes);
        match is_short {
            true => {
                let least = SEND_BUFFER_BYTES.max(self.mss.bytes().into());
                room_bytes.min(least.saturating_sub(log.text.len_bytes()) as u64)
            }
            false => room_bytes,
        }
    }

    /// What a segment must have at least, if more is to follow that may not be sent
    /// yet (RFC 9293 §3.8.6.2.1), bytes.
    fn least_bytes(&self) -> u16 {
        let half = (self.max_window_bytes / 2).min(u16::MAX.into()) as u16;
        match self.held_until {
            Some(_) => 0, // it has waited long enough
            None if self.unacknowledged() > 0 => self.segment_bytes(),
            None => self.segment_bytes().min(half),
        }
    }

    /// The application has handed over `bytes`, and has more or not.
    pub fn note_handed_over(
        &mut self,
        bytes: usize,
        has_more: bool,
        allowance: &Allowance,
        now: Instant,
    ) {
        self.end = self.end.wrapping_add(bytes as u32);
        if has_more && self.unacknowledged() == 0 && !allowance.by_congestion {
            // A silly window, and no ACK to wait for.
            self.held_until = self.held_until.or(Some(now + OVERRIDE));
        }
        let unsent_bytes = self.end.wrapping_sub(self.sent);
        let Some(Log { recovery, .. }) = self.log.as_deref_mut() else {
            return;
        };
        if has_more && allowance.by_congestion {
            recovery.note_window_limited(unsent_bytes.into());
        } else if !has_more && (bytes as u64) < allowance.bytes && !recovery.is_idle() {
            recovery.note_app_limited();
        }
    }
}

//! How a connection gets on, and how long it may take for what it does.

use super::Connection;
use crate::net::app::{Application, Stage};
use crate::net::limits::{Limits, RATE_WINDOW};
use smoltcp::time::{Duration, Instant};

/// See [`Connection::pressed_after`]: with a closed window, and with one that is
/// open; then a retransmission or two may be under way.
const PRESSED_CLOSED: Duration = Duration::from_millis(100);
const PRESSED_STALL: Duration = Duration::from_secs(5);

/// How a response gets on.
#[derive(Clone, Copy)]
pub(super) struct Progress {
    pub(super) snd_una: u32,
    pub(super) snd_end: u32,
    /// When one of these last moved.
    pub(super) at: Instant,
    /// SND.UNA at the beginning of the time that the rate is averaged over.
    pub(super) window_una: u32,
    pub(super) window_since: Instant,
    /// In that time the application kept something back.
    pub(super) was_kept_back: bool,
}

/// Which limit has ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// No request came.
    KeepAlive,
    /// A request's head did not end.
    Head,
    /// A request's body did not end.
    Body,
    /// A response did not move.
    SendStall,
    /// A response moved too slowly.
    SendRate,
}

impl<A: Application> Connection<A> {
    /// Takes note of how far it has come.
    pub fn observe(&mut self, app: &A, now: Instant) {
        self.turned_at = now;
        let mut waits = app.waits(&self.app);
        if self.sender.unacknowledged() > 0 {
            waits.stage = Stage::Response;
        }
        let (snd_una, snd_end) = (self.sender.una(), self.sender.end());
        let is_new = waits != self.waits;
        if is_new {
            if waits.stage == Stage::Response && self.waits.stage != Stage::Response {
                self.progress.window_una = snd_una;
                self.progress.window_since = now;
                self.progress.was_kept_back = false;
            }
            self.waits = waits;
            self.since = now;
        }
        // What was handed over behind something unacknowledged is no progress.
        let was_empty = self.progress.snd_una == self.progress.snd_end;
        let begins = was_empty && self.progress.snd_end != snd_end;
        if self.progress.snd_una != snd_una || begins || (was_empty && is_new) {
            self.progress.at = now;
        }
        // What we keep back ourselves is no fault of the peer's, but to acknowledge the rest is its business.
        if let Some(until) = self.waits_until {
            self.progress.was_kept_back = true;
            if self.sender.unacknowledged() == 0 {
                self.progress.at = until.max(now);
            }
        }
        self.progress.snd_una = snd_una;
        self.progress.snd_end = snd_end;
    }

    /// How long it may stand still before it makes way to others, when there is no
    /// more memory: not for long if its peer does not read at all.
    pub fn pressed_after(&self) -> Duration {
        match self.sender.window() {
            0 => PRESSED_CLOSED,
            _ => PRESSED_STALL,
        }
    }

    /// Since when nothing of what it sends was acknowledged.
    pub fn stalled_since(&self) -> Instant {
        self.progress.at
    }

    /// When what it waits for must have come.
    pub fn patience_ends(&self, limits: &Limits) -> Instant {
        match self.waits.stage {
            Stage::Idle => self.since + limits.keep_alive,
            Stage::Head => self.since + limits.head,
            Stage::Body => self.since + limits.body,
            Stage::Response => {
                let rate = self.progress.window_since + RATE_WINDOW;
                rate.min(self.progress.at + limits.send_stall)
            }
        }
    }

    /// Which limit has been reached `now`, if any.
    pub fn expired(&mut self, limits: &Limits, now: Instant) -> Option<Expired> {
        if now < self.patience_ends(limits) {
            return None;
        }
        match self.waits.stage {
            Stage::Idle => Some(Expired::KeepAlive),
            Stage::Head => Some(Expired::Head),
            Stage::Body => Some(Expired::Body),
            Stage::Response if now >= self.progress.at + limits.send_stall => {
                Some(Expired::SendStall)
            }
            Stage::Response => self.rate_expired(limits, now),
        }
    }

    /// The end of a time that the rate is averaged over. A response that has
    /// nothing queued waits for us, not for the peer, and one that did not move at
    /// all has its own limit.
    fn rate_expired(&mut self, limits: &Limits, now: Instant) -> Option<Expired> {
        let progress = &mut self.progress;
        let acknowledged = progress.snd_una.wrapping_sub(progress.window_una);
        let least = u64::from(limits.min_send_bytes_per_s) * RATE_WINDOW.secs();
        progress.window_una = progress.snd_una;
        progress.window_since = now;
        let was_kept_back = std::mem::take(&mut progress.was_kept_back);
        let moves_slowly = (1..least).contains(&acknowledged.into()) && !was_kept_back;
        let is_slow = moves_slowly && self.sender.unacknowledged() > 0;
        is_slow.then_some(Expired::SendRate)
    }
}

//! Loss detection by time (RFC 8985 §6): a segment is lost when one that was
//! sent later has arrived, and some time for reordering has passed.

use super::scoreboard::{Scoreboard, Segment, Sent};
use super::{Duration, Instant};

/// RFC 6675's DupThresh: so many segments beyond a hole, and nobody waits for
/// reordering.
const DUP_THRESH: usize = 3;
/// For how many episodes a widened reordering window is kept (§6.2, step 4).
const WIDE_EPISODES: u8 = 16;
/// The most that the window is widened, in quarters of the least round-trip time.
const MAX_QUARTERS: u8 = 64;

/// RACK's variables.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rack {
    /// RACK.xmit_ts: the segment sent last among the delivered.
    newest: Option<Sent>,
    /// RACK.rtt.
    rtt: Duration,
    /// RACK.fack: the highest offset delivered.
    highest_end: u64,
    reordering: Reordering,
    /// SND.NXT when it was last widened: once a round trip will do.
    widened_until: u64,
}

/// What is known of a path that brings segments out of order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reordering {
    /// RACK.reordering_seen.
    is_seen: bool,
    /// RACK.reo_wnd_mult less one, and for how many episodes it stays.
    widened: u8,
    wide_for: u8,
}

impl Rack {
    /// Nothing is in flight, on a path of which this much is known.
    pub fn new(reordering: Reordering) -> Rack {
        Rack {
            reordering,
            ..Rack::default()
        }
    }

    /// What is known of the path.
    pub fn reordering(&self) -> Reordering {
        self.reordering
    }

    /// RACK.fack.
    pub fn highest_end(&self) -> u64 {
        self.highest_end
    }

    /// Step 3 for a segment that is newly known to have arrived: whether it was
    /// overtaken. What one ACK delivers has no order among itself, so that
    /// `highest_end` is that from before the ACK.
    pub fn on_delivered(&mut self, segment: &Segment, highest_end: u64) {
        self.highest_end = self.highest_end.max(segment.end());
        if segment.end() < highest_end && segment.sends == 1 {
            self.reordering.is_seen = true;
        }
    }

    /// Steps 1 and 2, for the segment that was sent last among those that an ACK
    /// delivered. It must not be a repair whose original
    /// may have arrived instead.
    pub fn on_newest(&mut self, sent: Sent, now: Instant) {
        self.rtt = now - sent.at;
        self.newest = Some(sent.latest(self.newest));
    }

    /// What it knows comes of repairs whose originals have arrived instead: `sent`
    /// is what it should know, if anything.
    pub fn rewind(&mut self, sent: Option<Sent>, now: Instant) {
        self.newest = sent;
        self.rtt = sent.map_or(self.rtt, |sent| now - sent.at);
    }

    /// Step 4, for a D-SACK: a repair was in vain, so that there is reordering, and
    /// it lasts longer than was thought. `una` and `nxt` are SND.UNA and SND.NXT.
    pub fn on_duplicate(&mut self, una: u64, nxt: u64) {
        self.reordering.is_seen = true;
        if una >= self.widened_until {
            self.widened_until = nxt;
            self.reordering.widened = (self.reordering.widened + 1).min(MAX_QUARTERS);
            self.reordering.wide_for = WIDE_EPISODES;
        }
    }

    /// Fast recovery has ended, or that after a time-out.
    pub fn on_recovered(&mut self) {
        self.reordering.wide_for = self.reordering.wide_for.saturating_sub(1);
        if self.reordering.wide_for == 0 {
            self.reordering.widened = 0;
        }
    }

    /// How long a segment may be overtaken (RACK.reo_wnd).
    pub fn window(
        &self,
        board: &Scoreboard,
        in_recovery: bool,
        min_rtt: Duration,
        srtt: Duration,
    ) -> Duration {
        if !self.reordering.is_seen && (in_recovery || board.sacked() >= DUP_THRESH) {
            return Duration::ZERO;
        }
        (min_rtt / 4 * (1 + u32::from(self.reordering.widened))).min(srtt)
    }

    /// Step 5: gives up what is lost; returns the bytes of it, and when the next
    /// one will be.
    pub fn detect(
        &self,
        board: &mut Scoreboard,
        window: Duration,
        now: Instant,
    ) -> (u64, Option<Instant>) {
        let Some(newest) = self.newest else {
            return (0, None);
        };
        let mut again = None;
        let patience = self.rtt + window;
        let bytes = board.lose_oldest(|segment| {
            if segment.sent().is_after(newest) {
                return false;
            }
            let at = segment.sent_at + patience;
            again = (at > now).then_some(at);
            at <= now
        });
        (bytes, again)
    }

    /// §6.3: on a time-out everything that was sent so long ago, and the first.
    pub fn lose_on_timeout(&self, board: &mut Scoreboard, window: Duration, now: Instant) -> u64 {
        let patience = self.rtt + window;
        board.lose_first() + board.lose_oldest(|segment| segment.sent_at + patience <= now)
    }
}

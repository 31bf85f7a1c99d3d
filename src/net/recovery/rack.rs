//! Loss detection by time (RFC 8985 §6): a segment is lost when one that was
//! sent later has arrived, and some time for reordering has passed.

use super::scoreboard::{Scoreboard, Segment};
use super::{Duration, Instant};

/// RFC 6675's DupThresh: so many segments beyond a hole, and nobody waits for
/// reordering.
const DUP_THRESH: usize = 3;
/// For how many episodes a widened reordering window is kept (§6.2, step 4).
const WIDE_EPISODES: u8 = 16;
/// The most that the window is widened, in quarters of the least round-trip time.
const MAX_QUARTERS: u32 = 64;

/// RACK's variables.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rack {
    /// RACK.xmit_ts and RACK.end_seq: the segment sent last among the delivered.
    newest: Option<(Instant, u64)>,
    /// RACK.rtt.
    rtt: Duration,
    /// RACK.fack: the highest offset delivered.
    highest_end: u64,
    /// RACK.reordering_seen.
    has_seen_reordering: bool,
    /// RACK.reo_wnd_mult less one, and for how many episodes it stays.
    widened: u32,
    wide_for: u8,
    /// SND.NXT when it was last widened: once a round trip will do.
    widened_until: u64,
}

impl Rack {
    /// Steps 1 to 3 for a segment that is newly known to have arrived.
    pub fn on_delivered(&mut self, segment: &Segment, min_rtt: Option<Duration>, now: Instant) {
        let was_repaired = segment.sends > 1;
        if segment.end() > self.highest_end {
            self.highest_end = segment.end();
        } else if !was_repaired && segment.end() < self.highest_end {
            self.has_seen_reordering = true;
        }
        let rtt = now - segment.sent_at;
        if was_repaired && min_rtt.is_some_and(|least| rtt < least) {
            return; // it is the original that has arrived
        }
        self.rtt = rtt;
        let is_newer = self
            .newest
            .is_none_or(|(sent_at, end)| segment.is_sent_after(sent_at, end));
        if is_newer {
            self.newest = Some((segment.sent_at, segment.end()));
        }
    }

    /// Step 4, for a D-SACK: a repair was in vain, so reordering lasts longer than
    /// was thought. `una` and `nxt` are SND.UNA and SND.NXT.
    pub fn on_duplicate(&mut self, una: u64, nxt: u64) {
        if una >= self.widened_until {
            self.widened_until = nxt;
            self.widened = (self.widened + 1).min(MAX_QUARTERS);
            self.wide_for = WIDE_EPISODES;
        }
    }

    /// An episode of recovery has ended.
    pub fn on_recovered(&mut self) {
        self.wide_for = self.wide_for.saturating_sub(1);
        if self.wide_for == 0 {
            self.widened = 0;
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
        if !self.has_seen_reordering && (in_recovery || board.sacked() >= DUP_THRESH) {
            return Duration::ZERO;
        }
        (min_rtt / 4 * (1 + self.widened)).min(srtt)
    }

    /// Step 5: gives up what is lost; returns the bytes of it, and when to look
    /// again.
    pub fn detect(
        &self,
        board: &mut Scoreboard,
        window: Duration,
        now: Instant,
    ) -> (u64, Option<Instant>) {
        let Some((newest_at, newest_end)) = self.newest else {
            return (0, None);
        };
        let mut again: Option<Instant> = None;
        let patience = self.rtt + window;
        // Beyond the highest delivered byte only repairs were overtaken; they
        // are looked at as well, for a repair may be lost too.
        let bytes = board.lose(self.highest_end.max(newest_end), |segment| {
            if segment.is_sent_after(newest_at, newest_end) {
                return false;
            }
            let at = segment.sent_at + patience;
            if at > now {
                again = Some(again.map_or(at, |again| again.max(at)));
            }
            at <= now
        });
        (bytes, again)
    }

    /// §6.3: on a time-out everything that was sent so long ago, and the first.
    pub fn lose_on_timeout(&self, board: &mut Scoreboard, window: Duration, now: Instant) -> u64 {
        let Some(first) = board.first().map(|segment| segment.start) else {
            return 0;
        };
        let patience = self.rtt + window;
        board.lose(u64::MAX, |segment| {
            segment.start == first || segment.sent_at + patience <= now
        })
    }
}

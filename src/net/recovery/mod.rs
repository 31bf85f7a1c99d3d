//! Loss recovery: its own layer beneath smoltcp, sans-IO.
//!
//! smoltcp cuts the byte stream into segments; from the moment one is sent it is
//! this layer's, and smoltcp is told that it was acknowledged. What was lost is
//! found out from SACK and time (RFC 2018, RFC 8985: RACK and the tail loss
//! probe, which is due in recovery too), at the latest by a timer (RFC 6298), and
//! sent again from references to the bodies ([`text`]). Repairs that prove to be in
//! vain (D-SACK, RFC 2883 and 3708; timestamps, RFC 3522; F-RTO, RFC 5682) give back
//! what they took from the congestion window. When segments prove too large for the path ([`mtu`](super::mtu)), those
//! in flight are cut to pieces.
//!
//! Everything is counted in offsets of the byte stream, 64 bits wide, so that
//! nothing wraps here. The connection translates.

mod doubt;
mod episode;
mod memory;
mod news;
pub mod rack;
pub mod rate;
pub mod rtt;
pub mod scoreboard;
mod segment;
mod tally;
pub mod text;
mod timers;

use crate::net::congestion::{Ack, Controller};
use crate::net::mtu::BlackHole;
use doubt::Doubt;
pub use memory::Memory;
use news::News;
use rack::Rack;
use rate::Sampler;
use rtt::Rtt;
use scoreboard::{Scoreboard, Segment};
pub use smoltcp::time::{Duration, Instant};
use std::ops::Range;
pub use tally::Tally;
use timers::{Probe, Timer};

/// Segments that the scoreboard remembers at most: 64 bytes each, 1.4 kB of text.
pub const MAX_SEGMENTS: usize = 4_096;
/// And in pieces: there are three of a segment, and more only of jumbo frames. The
/// scoreboard's chain reaches 32,767 places far.
const MAX_PIECES: usize = 4 * MAX_SEGMENTS;

/// An ACK, as the peer sent it.
#[derive(Clone, Debug)]
pub struct Heard<'a> {
    /// SEG.ACK.
    pub una: u64,
    /// Its SACK blocks, without a D-SACK.
    pub sacks: &'a [Range<u64>],
    /// What it says to have received twice (RFC 2883).
    pub duplicate: Option<Range<u64>>,
    /// Before when the segment that it answers had left, by its timestamp (RFC 7323
    /// §4.3), if it has one.
    pub answers_before: Option<Instant>,
    /// It carries neither text nor a new window, so that without SACK it may be a
    /// duplicate ACK (RFC 5681 §2).
    pub is_bare: bool,
}

/// Why repairs are being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// They are not.
    Open,
    /// RFC 6675: an episode of fast recovery.
    Recovery,
    /// RFC 5682: a time-out, and what follows from it.
    Timeout,
}

/// The loss recovery of one connection.
#[derive(Debug)]
pub struct Recovery {
    board: Scoreboard,
    rack: Rack,
    rtt: Rtt,
    sampler: Sampler,
    una: u64,
    nxt: u64,
    mode: Mode,
    /// SND.NXT when the episode or the time-out began: when it is acknowledged,
    /// that is over.
    point: u64,
    /// What the last episode or time-out has sent again, if it may be undone.
    doubt: Option<Doubt>,
    /// F-RTO: the timer has run out, and no ACK has said yet whether in vain.
    may_be_spurious: bool,
    /// The peer has sent SACK blocks: its duplicate ACKs mean nothing without.
    has_sack: bool,
    probe: Option<Probe>,
    /// A probe is due.
    is_probing: bool,
    /// The first repair of an episode does not ask for the window, nor does the one
    /// for a partial ACK.
    must_repair: bool,
    /// Time-outs in a row.
    backoffs: u32,
    /// Losses presumed since anything has arrived.
    presumed: u8,
    dup_acks: u32,
    /// When the retransmission timer runs out.
    timeout_at: Instant,
    timer: Option<(Instant, Timer)>,
    /// What is sent up to here was held back by the congestion window.
    limited_until: u64,
    /// Bytes that the timer has given up in an episode, of which the controller has
    /// not heard.
    untold_bytes: u32,
    /// What segments are cut to, bytes; no fall has been yet: `u32::MAX`.
    cut_bytes: u32,
    black_hole: BlackHole,
    /// What was counted since it was last asked.
    pub tally: Tally,
}

/// What is to be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repair {
    /// Offset of its first byte.
    pub start: u64,
    /// Bytes, FIN counted.
    pub len: u32,
}

impl Recovery {
    /// SND.UNA and SND.NXT, as far as this layer is concerned.
    pub fn range(&self) -> Range<u64> {
        self.una..self.nxt
    }

    /// RFC 6675 §4, "pipe".
    pub fn in_flight_bytes(&self) -> u64 {
        self.board.in_flight_bytes()
    }

    /// Whether everything that was sent is acknowledged.
    pub fn is_idle(&self) -> bool {
        self.board.is_empty()
    }

    /// How many more segments the scoreboard has room for.
    pub fn room(&self) -> usize {
        MAX_SEGMENTS.saturating_sub(self.board.len())
    }

    /// Memory of the scoreboard's segments, bytes.
    pub fn held_bytes(&self) -> usize {
        self.board.len() * size_of::<Segment>()
    }

    /// The round-trip time, as measured.
    pub fn rtt(&self) -> &Rtt {
        &self.rtt
    }

    /// RTO as it is now, after the time-outs of a row.
    pub fn timeout(&self) -> Duration {
        self.rtt.timeout(self.backoffs)
    }

    /// How fast data was delivered of late, bytes a second.
    pub fn rate_bytes_per_s(&self) -> Option<u64> {
        self.sampler.last_bytes_per_s()
    }

    /// The scoreboard.
    pub fn board(&self) -> &Scoreboard {
        &self.board
    }

    /// Starts anew at `offset`, for what was sent before is acknowledged or not
    /// this layer's.
    pub fn restart(&mut self, offset: u64) {
        debug_assert!(self.board.is_empty());
        if offset != self.nxt {
            // What is acknowledged next says nothing of the probe before.
            self.probe = None;
        }
        self.una = offset;
        self.nxt = offset;
        self.mode = Mode::Open;
        self.may_be_spurious = false;
        self.must_repair = false;
        self.is_probing = false;
        self.backoffs = 0;
        self.dup_acks = 0;
        self.untold_bytes = 0;
        self.timer = None;
        self.black_hole.on_progress();
    }

    // --- sending -----------------------------------------------------------------

    /// A segment of new data was sent: `len` bytes at SND.NXT, FIN counted.
    pub fn on_send(&mut self, len: u32, now: Instant, congestion: &mut impl Controller) {
        debug_assert!(self.room() > 0);
        let in_flight_bytes = self.board.in_flight_bytes();
        if self.board.is_empty() {
            self.restart_timeout(now);
        }
        let state = self.sampler.on_send(now, len, in_flight_bytes);
        self.board.push(Segment::new(self.nxt, len, now, state));
        self.nxt += u64::from(len);
        self.tally.segments += 1;
        if std::mem::take(&mut self.is_probing) {
            self.probe = Some(Probe {
                end: self.nxt,
                is_repair: false,
            });
        }
        congestion.on_send(now, len.into(), in_flight_bytes);
        self.arm(self.pending(Timer::Reordering), None, now);
    }

    /// Whether something lost is to be sent again.
    pub fn has_lost(&self) -> bool {
        self.board.lost() > 0
    }

    /// What should be sent again now, if a window of `window_bytes` allows it; with
    /// `probe`, if nothing is, the last segment when a probe is due.
    pub fn next_repair(&mut self, window_bytes: u64, probe: bool) -> Option<Repair> {
        let segment = match self.board.first_lost() {
            Some(segment) => segment,
            // A probe was due, and there was no new data for it.
            None if probe && self.is_probing => *self.board.last()?,
            None => return None,
        };
        let len = u64::from(segment.len);
        let in_flight_bytes = self.board.in_flight_bytes();
        let is_allowed = in_flight_bytes + len <= window_bytes
            || in_flight_bytes == 0
            || self.must_repair
            || !segment.is_lost;
        is_allowed.then_some(Repair {
            start: segment.start,
            len: segment.len,
        })
    }

    /// It was sent again.
    pub fn on_repair(&mut self, repair: Repair, now: Instant, congestion: &mut impl Controller) {
        self.must_repair = false;
        if std::mem::take(&mut self.is_probing) {
            self.probe = Some(Probe {
                end: self.nxt,
                is_repair: true,
            });
        } else if let Some(doubt) = &mut self.doubt {
            doubt.add(repair, now);
        }
        if repair.start == self.una && self.mode == Mode::Recovery {
            // SACK says that the path is alive: give the repair its time.
            self.restart_timeout(now);
        }
        let in_flight_bytes = self.board.in_flight_bytes();
        let state = self.sampler.on_send(now, repair.len, in_flight_bytes);
        self.board.sent_again(repair.start, now, state);
        self.tally.repairs += 1;
        congestion.on_send(now, repair.len.into(), in_flight_bytes);
        self.arm(self.pending(Timer::Reordering), None, now);
    }

    /// There is more to send, but the congestion window is full, or will be with the
    /// `unsent_bytes` that are about to leave.
    pub fn note_window_limited(&mut self, unsent_bytes: u64) {
        self.limited_until = self.nxt + unsent_bytes;
    }

    /// There is nothing more to send, but the congestion window is not full.
    pub fn note_app_limited(&mut self) {
        self.sampler.on_app_limited(self.board.in_flight_bytes());
    }

    // --- hearing -----------------------------------------------------------------

    /// Takes in an acceptable ACK, and tells `congestion` what it means.
    pub fn on_ack(&mut self, heard: &Heard<'_>, now: Instant, congestion: &mut impl Controller) {
        let prior_in_flight_bytes = self.board.in_flight_bytes();
        let was_una = self.una;
        let news = self.deliver(heard, now);
        self.black_hole.on_delivered(news.largest_bytes);
        let rtt = news.rtt(now);
        if let Some(rtt) = rtt {
            self.rtt.sample(rtt, now);
        }
        self.note_progress(heard, was_una, now);
        if let Some(range) = &heard.duplicate {
            self.on_duplicate(range, now, congestion);
        }
        if news.has_repaired {
            self.judge_repairs(heard.answers_before, now, congestion);
        }
        self.end_probe(heard, was_una, now, congestion);
        self.judge_timeout(&news, was_una, now, congestion);
        let (lost_bytes, again) = self.detect(was_una, now);
        self.begin_episode(lost_bytes, prior_in_flight_bytes, now, congestion);
        let rate = self.sampler.on_ack(&news.delivery, self.rtt.least(), now);
        let is_news = news.delivery.bytes > 0;
        let lost_bytes = lost_bytes + u64::from(std::mem::take(&mut self.untold_bytes));
        if is_news || lost_bytes > 0 {
            congestion.on_ack(&Ack {
                now,
                delivered_bytes: news.delivery.bytes,
                acknowledged_bytes: self.una - was_una,
                lost_bytes,
                prior_in_flight_bytes,
                in_flight_bytes: self.board.in_flight_bytes(),
                rtt,
                srtt: self.rtt.smoothed().unwrap_or(Duration::ZERO),
                una_offset: self.una,
                nxt_offset: self.nxt,
                is_window_limited: was_una < self.limited_until,
                in_recovery: self.mode == Mode::Recovery,
                rate,
            });
        }
        self.end_episode(now, congestion);
        let probe_at = self.pending(Timer::Probe).filter(|_| !is_news);
        self.arm(again, probe_at, now);
    }

    /// Takes off the board what has arrived.
    fn deliver(&mut self, heard: &Heard<'_>, now: Instant) -> News {
        let una = heard.una.clamp(self.una, self.nxt);
        let min_rtt = self.rtt.least();
        let highest_end = self.rack.highest_end();
        let mut news = News::default();
        let (board, rack) = (&mut self.board, &mut self.rack);
        let mut deliver = |segment: &Segment| {
            rack.on_delivered(segment, highest_end);
            news.add(segment, min_rtt, now);
        };
        let mut has_repaired = false;
        board.acknowledge(una, |segment| {
            if !segment.is_sacked {
                has_repaired |= segment.sends > 1;
                deliver(segment);
            }
        });
        for range in heard.sacks {
            if range.start >= una && range.start < range.end && range.end <= self.nxt {
                board.sack(range.clone(), &mut deliver);
            }
        }
        news.has_repaired = has_repaired;
        if let Some(newest) = news.newest_sure {
            rack.on_newest(newest, now);
        }
        self.una = una;
        self.has_sack |= heard.duplicate.is_some() || !heard.sacks.is_empty();
        if news.delivery.bytes > 0 {
            self.is_probing = false; // not needed any more
            self.presumed = 0;
        }
        news
    }

    /// What says that the path is alive (RFC 6298 §5.3, §5.7), and what does not.
    fn note_progress(&mut self, heard: &Heard<'_>, was_una: u64, now: Instant) {
        if self.una > was_una {
            self.backoffs = 0;
            self.black_hole.on_progress();
            self.restart_timeout(now);
            self.dup_acks = 0;
        } else if heard.is_bare && heard.una == self.una && !self.has_sack {
            self.dup_acks += u32::from(!self.board.is_empty());
        }
    }

    // --- smaller segments --------------------------------------------------------

    /// Segments carry `mss_bytes` at most from now on, those in flight too, the path
    /// being what `black_hole` watches for. To be called when
    /// [`on_timer`](Recovery::on_timer) has said so.
    pub fn on_mss(&mut self, mss_bytes: u32, black_hole: BlackHole, now: Instant) {
        self.tally.mtu_falls += 1;
        self.cut_bytes = mss_bytes;
        self.black_hole = black_hole;
        self.cut();
        // The pieces were never sent as such: what comes back is due to repairs.
        self.doubt = None;
        self.may_be_spurious = false;
        self.arm(None, None, now);
    }

    /// Cuts what is in flight; what there is no room for has its turn at a later
    /// time-out.
    fn cut(&mut self) {
        let lost_bytes = self.board.resegment(self.cut_bytes, MAX_PIECES);
        self.sampler.on_loss(lost_bytes);
    }
}

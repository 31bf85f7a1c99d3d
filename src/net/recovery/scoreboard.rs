//! What is known of every segment in flight (RFC 2018, RFC 6675 §3): sent when,
//! delivered, lost, sent again.

use super::Instant;
use std::collections::VecDeque;
use std::ops::Range;

/// A segment that was sent and not acknowledged in order.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// Offset of its first byte.
    pub start: u64,
    /// Its payload, bytes; FIN counts.
    pub len: u32,
    /// How often it was sent.
    pub sends: u8,
    /// Delivered, by SACK.
    pub is_sacked: bool,
    /// Given up and not yet sent again.
    pub is_lost: bool,
    /// When it was last sent.
    pub sent_at: Instant,
    /// The sender's state at that time.
    pub state: SendState,
}

/// What delivery rate samples need to know of the time when a segment was sent
/// (draft-ietf-ccwg-bbr §4.1.2.2).
#[derive(Clone, Copy, Debug)]
pub struct SendState {
    /// C.delivered.
    pub delivered_bytes: u64,
    /// C.delivered_time.
    pub delivered_at: Instant,
    /// C.first_send_time.
    pub first_sent_at: Instant,
    /// C.lost.
    pub lost_bytes: u64,
    /// In flight, this segment included.
    pub in_flight_bytes: u64,
    /// C.app_limited.
    pub is_app_limited: bool,
}

impl Segment {
    /// Offset after its last byte.
    pub fn end(&self) -> u64 {
        self.start + u64::from(self.len)
    }

    /// RFC 8985 §6.2: sent after another one that was sent at `sent_at` and ends
    /// at `end`.
    pub fn is_sent_after(&self, sent_at: Instant, end: u64) -> bool {
        (self.sent_at, self.end()) > (sent_at, end)
    }

    /// Whether it is under way, as far as is known.
    pub fn is_in_flight(&self) -> bool {
        !self.is_sacked && !self.is_lost
    }
}

/// All segments in flight, in order and without gaps.
#[derive(Debug, Default)]
pub struct Scoreboard {
    segments: VecDeque<Segment>,
    in_flight_bytes: u64,
    sacked: usize,
    lost: usize,
    /// No segment before this offset is lost.
    lost_from: u64,
    /// Offset after the last one that was SACKed.
    sacked_end: u64,
}

impl Scoreboard {
    /// How many segments there are.
    pub fn len(&self) -> usize {
        self.segments.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// RFC 6675 §4, "pipe": neither delivered nor lost.
    pub fn in_flight_bytes(&self) -> u64 {
        self.in_flight_bytes
    }

    /// How many are delivered out of order.
    pub fn sacked(&self) -> usize {
        self.sacked
    }

    /// How many are lost and not yet sent again.
    pub fn lost(&self) -> usize {
        self.lost
    }

    /// The first one, which SND.UNA is in or at.
    pub fn first(&self) -> Option<&Segment> {
        self.segments.front()
    }

    /// The last one.
    pub fn last(&self) -> Option<&Segment> {
        self.segments.back()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter()
    }

    /// Memory for how many there is.
    pub fn capacity(&self) -> usize {
        self.segments.capacity()
    }

    /// Forgets everything, and the memory for more than `kept` segments.
    pub fn clear(&mut self, kept: usize) {
        self.segments.clear();
        self.segments.shrink_to(kept);
        *self = Scoreboard {
            segments: std::mem::take(&mut self.segments),
            ..Scoreboard::default()
        };
    }

    /// A segment of new data was sent.
    pub fn push(&mut self, segment: Segment) {
        debug_assert!(self.last().is_none_or(|last| last.end() == segment.start));
        self.in_flight_bytes += u64::from(segment.len);
        self.segments.push_back(segment);
    }

    /// SND.UNA is `una` now: `gone` is told of every segment that this
    /// acknowledges, with whether it was known to be delivered before.
    pub fn acknowledge(&mut self, una: u64, mut gone: impl FnMut(&Segment)) {
        while let Some(segment) = self.segments.front().copied() {
            if segment.start >= una {
                return;
            }
            if segment.end() > una {
                // A part of it: the rest stays what it was.
                let part = (una - segment.start) as u32;
                gone(&Segment {
                    len: part,
                    ..segment
                });
                self.in_flight_bytes -= u64::from(part) * u64::from(segment.is_in_flight());
                if let Some(first) = self.segments.front_mut() {
                    first.start = una;
                    first.len -= part;
                }
                return;
            }
            gone(&segment);
            self.uncount(&segment);
            self.segments.pop_front();
        }
    }

    /// The peer holds `range`: `news` is told of every segment in it that was not
    /// known to be delivered. Parts of segments are not counted (RFC 6675 §3).
    pub fn sack(&mut self, range: Range<u64>, mut news: impl FnMut(&Segment)) {
        let first = self
            .segments
            .partition_point(|segment| segment.start < range.start);
        for index in first..self.segments.len() {
            let segment = self.segments[index];
            if segment.end() > range.end {
                return;
            }
            if segment.is_sacked {
                continue;
            }
            news(&segment);
            self.uncount(&segment);
            self.sacked += 1;
            self.sacked_end = self.sacked_end.max(segment.end());
            let segment = &mut self.segments[index];
            segment.is_sacked = true;
            segment.is_lost = false;
        }
    }

    fn uncount(&mut self, segment: &Segment) {
        self.in_flight_bytes -= u64::from(segment.len) * u64::from(segment.is_in_flight());
        self.lost -= usize::from(segment.is_lost);
        self.sacked -= usize::from(segment.is_sacked);
    }

    /// Gives up those in flight for which `is_lost` holds, among the ones before
    /// `end`; returns their bytes.
    pub fn lose(&mut self, end: u64, mut is_lost: impl FnMut(&Segment) -> bool) -> u64 {
        let mut bytes = 0;
        for segment in &mut self.segments {
            if segment.start >= end {
                break;
            }
            if segment.is_in_flight() && is_lost(segment) {
                segment.is_lost = true;
                self.lost += 1;
                self.lost_from = self.lost_from.min(segment.start);
                bytes += u64::from(segment.len);
            }
        }
        self.in_flight_bytes -= bytes;
        bytes
    }

    /// Takes back that segments are lost which were sent once only; returns their
    /// bytes.
    pub fn find_again(&mut self) -> u64 {
        let mut bytes = 0;
        for segment in &mut self.segments {
            if segment.is_lost && segment.sends == 1 {
                segment.is_lost = false;
                self.lost -= 1;
                bytes += u64::from(segment.len);
            }
        }
        self.in_flight_bytes += bytes;
        bytes
    }

    /// Everything that was SACKed is in doubt again: the receiver may renege
    /// (RFC 2018 §8), so a time-out forgets it.
    pub fn doubt(&mut self) {
        for segment in &mut self.segments {
            if std::mem::take(&mut segment.is_sacked) {
                self.in_flight_bytes += u64::from(segment.len);
            }
        }
        self.sacked = 0;
        self.sacked_end = 0;
    }

    /// The first lost segment.
    pub fn first_lost(&mut self) -> Option<Segment> {
        if self.lost == 0 {
            return None;
        }
        let from = self.lost_from;
        let first = self
            .segments
            .partition_point(|segment| segment.end() <= from);
        let found = self.segments.range(first..).find(|s| s.is_lost).copied();
        self.lost_from = found.map_or(self.lost_from, |segment| segment.start);
        found
    }

    /// The segment at `start` was sent again.
    pub fn sent_again(&mut self, start: u64, now: Instant, state: SendState) {
        let index = self
            .segments
            .partition_point(|segment| segment.start < start);
        let Some(segment) = self.segments.get_mut(index).filter(|s| s.start == start) else {
            return;
        };
        if std::mem::take(&mut segment.is_lost) {
            self.lost -= 1;
            self.in_flight_bytes += u64::from(segment.len);
        }
        segment.sends = segment.sends.saturating_add(1);
        segment.sent_at = now;
        segment.state = state;
    }

    /// Offset after the last SACKed segment; 0 if there is none.
    pub fn sacked_end(&self) -> u64 {
        match self.sacked {
            0 => 0,
            _ => self.sacked_end,
        }
    }
}

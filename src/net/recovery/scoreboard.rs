//! What is known of every segment in flight (RFC 2018, RFC 6675 §3): sent when,
//! delivered, lost, sent again.
//!
//! What an ACK costs must not depend on how much is in flight, whatever the peer
//! makes up. Two things see to it: those in flight are chained in the order in
//! which they were sent, so that the overdue are in front; and runs of what the
//! peer holds already are jumped over.

use super::Instant;
pub use super::segment::{Segment, SendState, Sent};
use std::collections::VecDeque;
use std::ops::Range;

/// All segments in flight, in order and without gaps.
#[derive(Debug, Default)]
pub struct Scoreboard {
    segments: VecDeque<Segment>,
    in_flight_bytes: u64,
    in_flight: u32,
    sacked: u32,
    lost: u32,
    /// No segment before this offset is lost.
    lost_from: u64,
    /// The first one's place: all have one, in order, that wraps around.
    first: u16,
    /// The places of those in flight that were sent first and last.
    oldest: u16,
    newest: u16,
    /// Counts what is sent, for [`Sent`].
    order: u16,
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
        self.sacked as usize
    }

    /// How many are lost and not yet sent again.
    pub fn lost(&self) -> usize {
        self.lost as usize
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
        debug_assert!(segment.len > 0 && segment.is_in_flight());
        debug_assert!(self.last().is_none_or(|last| last.end() == segment.start));
        self.order = self.order.wrapping_add(1);
        self.segments.push_back(Segment {
            order: self.order,
            ..segment
        });
        self.chain(self.segments.len() - 1);
    }

    /// SND.UNA is `una` now: `news` is told of every segment that this
    /// acknowledges, as it was known.
    pub fn acknowledge(&mut self, una: u64, mut news: impl FnMut(&Segment)) {
        while let Some(first) = self.segments.front_mut() {
            if first.start >= una {
                return;
            }
            let segment = *first;
            if segment.end() > una {
                // A part of it: the rest stays what it was.
                let len = (una - segment.start) as u32;
                first.start = una;
                first.len -= len;
                self.in_flight_bytes -= u64::from(len) * u64::from(segment.is_in_flight());
                news(&Segment { len, ..segment });
                return;
            }
            news(&segment);
            self.uncount(0);
            self.segments.pop_front();
            self.first = self.first.wrapping_add(1);
        }
    }

    /// The peer holds `range`: `news` is told of every segment in it that was not
    /// known to be delivered. Parts of segments are not counted (RFC 6675 §3).
    pub fn sack(&mut self, range: Range<u64>, mut news: impl FnMut(&Segment)) {
        let first = self
            .segments
            .partition_point(|segment| segment.start < range.start);
        let mut next = first;
        while let Some(&segment) = self.segments.get(next) {
            if segment.end() > range.end {
                break;
            }
            if segment.is_sacked {
                next += usize::from(segment.run.max(1));
                continue;
            }
            news(&segment);
            self.uncount(next);
            self.sacked += 1;
            let segment = &mut self.segments[next];
            segment.is_sacked = true;
            segment.is_lost = false;
            segment.run = 1;
            next += 1;
        }
        self.join_runs(first, next);
    }

    /// All from `at` to `end` are SACKed: who comes this way again jumps.
    fn join_runs(&mut self, mut at: usize, end: usize) {
        while at < end {
            let segment = &mut self.segments[at];
            let run = segment.run.max(1);
            segment.run = run.max((end - at) as u16);
            at += usize::from(run);
        }
    }

    /// What is at `index` is no longer what it was.
    fn uncount(&mut self, index: usize) {
        let segment = self.segments[index];
        if segment.is_in_flight() {
            self.unchain(index);
        }
        self.lost -= u32::from(segment.is_lost);
        self.sacked -= u32::from(segment.is_sacked);
    }

    /// Gives up those in flight for which `is_lost` holds, in the order in which
    /// they were sent, as far as the first for which it does not; returns their
    /// bytes.
    pub fn lose_oldest(&mut self, mut is_lost: impl FnMut(&Segment) -> bool) -> u64 {
        let mut bytes = 0;
        while self.in_flight > 0 {
            let index = self.index(self.oldest);
            if !is_lost(&self.segments[index]) {
                break;
            }
            bytes += self.lose(index);
        }
        bytes
    }

    /// Gives up the first one, if it is in flight; returns its bytes.
    pub fn lose_first(&mut self) -> u64 {
        match self.first().is_some_and(Segment::is_in_flight) {
            true => self.lose(0),
            false => 0,
        }
    }

    fn lose(&mut self, index: usize) -> u64 {
        self.unchain(index);
        let segment = &mut self.segments[index];
        segment.is_lost = true;
        self.lost += 1;
        self.lost_from = self.lost_from.min(segment.start);
        segment.len.into()
    }

    /// Takes back that segments are lost which were sent once only. Its cost is
    /// that of the whole board.
    pub fn find_again(&mut self) {
        for segment in &mut self.segments {
            if segment.is_lost && segment.sends == 1 {
                segment.is_lost = false;
                self.lost -= 1;
            }
        }
        self.chain_again();
    }

    /// Everything that was SACKed is in doubt again: the receiver may renege
    /// (RFC 2018 §8), so a time-out forgets it. Its cost is that of the whole
    /// board.
    pub fn doubt(&mut self) {
        for segment in &mut self.segments {
            segment.is_sacked = false;
        }
        self.sacked = 0;
        self.chain_again();
    }

    /// Cuts what is larger than `max_bytes` and not SACKed into pieces, which count as
    /// lost and as sent more than once, for whatever arrives is not they; returns
    /// the bytes that had not counted as lost. What there would be more than
    /// `max_segments` for stays whole. Its cost is that of the whole board.
    pub fn resegment(&mut self, max_bytes: u32, max_segments: usize) -> u64 {
        let mut room = max_segments.saturating_sub(self.segments.len());
        let mut lost_bytes = 0;
        let whole = std::mem::take(&mut self.segments);
        for segment in whole {
            let more = (segment.len.div_ceil(max_bytes) as usize).saturating_sub(1);
            if segment.is_sacked || more == 0 || more > room {
                self.segments.push_back(segment);
                continue;
            }
            room -= more;
            lost_bytes += u64::from(segment.len) * u64::from(!segment.is_lost);
            self.lost += (more + usize::from(!segment.is_lost)) as u32;
            self.segments.extend(segment.pieces(max_bytes));
        }
        self.lost_from = self.first().map_or(0, |first| first.start);
        self.chain_again();
        lost_bytes
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
        segment.sends = segment.sends.saturating_add(1);
        self.order = self.order.wrapping_add(1);
        segment.order = self.order;
        segment.sent_at = now;
        segment.state = state;
        if std::mem::take(&mut segment.is_lost) {
            self.lost -= 1;
            self.chain(index);
        } else if !segment.is_sacked {
            self.unchain(index);
            self.chain(index);
        }
    }

    // --- the chain of those in flight ------------------------------------------------

    fn index(&self, place: u16) -> usize {
        place.wrapping_sub(self.first).into()
    }

    /// The one at `index` was sent last.
    fn chain(&mut self, index: usize) {
        let place = self.first.wrapping_add(index as u16);
        let mut earlier = 0;
        if self.in_flight == 0 {
            self.oldest = place;
        } else {
            earlier = self.newest.wrapping_sub(place) as i16;
            let newest = self.index(self.newest);
            self.segments[newest].later = -earlier;
        }
        self.newest = place;
        self.in_flight += 1;
        let segment = &mut self.segments[index];
        (segment.earlier, segment.later) = (earlier, 0);
        self.in_flight_bytes += u64::from(segment.len);
    }

    /// The one at `index` is no longer in flight.
    fn unchain(&mut self, index: usize) {
        let Segment {
            earlier,
            later,
            len,
            ..
        } = self.segments[index];
        let place = self.first.wrapping_add(index as u16);
        match earlier {
            0 => self.oldest = place.wrapping_add_signed(later),
            _ => {
                let before = index.wrapping_add_signed(earlier.into());
                self.segments[before].later = if later == 0 { 0 } else { later - earlier };
            }
        }
        match later {
            0 => self.newest = place.wrapping_add_signed(earlier),
            _ => {
                let after = index.wrapping_add_signed(later.into());
                self.segments[after].earlier = if earlier == 0 { 0 } else { earlier - later };
            }
        }
        self.in_flight -= 1;
        self.in_flight_bytes -= u64::from(len);
    }

    /// Makes the chain anew.
    fn chain_again(&mut self) {
        let mut order: Vec<usize> = (0..self.segments.len())
            .filter(|&index| self.segments[index].is_in_flight())
            .collect();
        let next = self.order.wrapping_add(1);
        order.sort_by_key(|&index| {
            let segment = &self.segments[index];
            (segment.sent_at, segment.order.wrapping_sub(next))
        });
        (self.in_flight, self.in_flight_bytes) = (0, 0);
        for index in order {
            self.chain(index);
        }
    }

    /// Panics unless everything that is counted and chained is so. For tests, whole
    /// boards at a time.
    #[doc(hidden)]
    pub fn check(&self) {
        let count = |holds: fn(&Segment) -> bool| self.iter().filter(|s| holds(s)).count();
        assert_eq!(self.in_flight as usize, count(Segment::is_in_flight));
        assert_eq!(self.sacked(), count(|segment| segment.is_sacked));
        assert_eq!(self.lost(), count(|segment| segment.is_lost));
        let in_flight = self.iter().filter(|segment| segment.is_in_flight());
        let bytes: u64 = in_flight.map(|segment| u64::from(segment.len)).sum();
        assert_eq!(self.in_flight_bytes, bytes);
        let first_lost = self.iter().find(|segment| segment.is_lost);
        assert!(first_lost.is_none_or(|segment| segment.start >= self.lost_from));
        let ends = self.iter().map(Segment::end);
        assert!(ends.zip(self.iter().skip(1)).all(|(end, s)| end == s.start));
        let (mut place, mut earlier): (u16, Option<Sent>) = (self.oldest, None);
        for number in 1..=self.in_flight {
            let segment = &self.segments[self.index(place)];
            assert!(segment.is_in_flight());
            assert!(earlier.is_none_or(|earlier| segment.sent().is_after(earlier)));
            assert_eq!(segment.later == 0, number == self.in_flight);
            earlier = Some(segment.sent());
            place = place.wrapping_add_signed(segment.later);
        }
        for (index, segment) in self.iter().enumerate().filter(|(_, s)| s.is_sacked) {
            let run = self.segments.range(index..).take(segment.run.into());
            assert!(run.len() == usize::from(segment.run) && run.clone().all(|s| s.is_sacked));
        }
    }
}

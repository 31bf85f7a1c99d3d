//! What an ACK means to recovery, and what smoltcp is to believe of it.

use super::Sender;
use crate::net::demux::{Segment, after};
use crate::net::mtu::TIMESTAMPS_BYTES;
use crate::net::options;
use crate::net::recovery::Heard;
use smoltcp::time::{Duration, Instant};

/// How long a closed window is left alone (RFC 9293 §3.8.6.1 has the
/// retransmission timeout); smoltcp would probe it at once.
const FIRST_PROBE: Duration = Duration::from_secs(1);

impl Sender {
    /// Takes in the ACK and the window of an acceptable segment: these `current`
    /// unless a later one has overtaken it. What it answers left before then, if its
    /// timestamps say so.
    pub fn hear(
        &mut self,
        segment: &Segment<'_>,
        current: bool,
        answers_before: Option<Instant>,
        now: Instant,
    ) {
        let is_bare = current && segment.is_empty() && segment.window == self.window;
        if current {
            self.held_until = match segment.window {
                0 => self.held_until.or(Some(now + FIRST_PROBE)),
                _ => None,
            };
            self.window = segment.window;
            self.max_window_bytes = self.max_window_bytes.max(self.window_bytes());
        }
        // With nothing in flight only a D-SACK can be news.
        if !self.is_idle() || segment.options.len() > usize::from(TIMESTAMPS_BYTES) {
            self.tell_recovery(segment, is_bare, answers_before, now);
        }
        if after(segment.ack, self.una) {
            self.una_offset = self.offset(segment.ack);
            self.una = segment.ack;
            if let Some(log) = &mut self.log {
                log.text.forget_before(self.una_offset);
            }
            if after(self.una, self.sent) {
                self.sent = if after(self.una, self.end) {
                    self.end
                } else {
                    self.una
                };
            }
        }
        if let Some(log) = &mut self.log
            && log.recovery.is_idle()
            && self.sent == self.una
        {
            log.recovery.restart(self.una_offset);
        }
    }

    fn tell_recovery(
        &mut self,
        segment: &Segment<'_>,
        is_bare: bool,
        answers_before: Option<Instant>,
        now: Instant,
    ) {
        let mut sacks = [0..0, 0..0, 0..0, 0..0];
        let mut count = 0;
        for (left, right) in options::sacks(segment.options) {
            sacks[count] = self.offset(left)..self.offset(right);
            count += 1;
        }
        // RFC 2883 §4: the first block lies before the ACK, or in the second.
        let una = self.offset(segment.ack);
        let first = sacks[0].clone();
        let is_inside =
            |outer: &std::ops::Range<u64>| outer.start <= first.start && first.end <= outer.end;
        let is_duplicate = count > 0 && (first.end <= una || (count > 1 && is_inside(&sacks[1])));
        let heard = Heard {
            una,
            sacks: &sacks[usize::from(is_duplicate)..count],
            duplicate: is_duplicate.then_some(first),
            answers_before,
            is_bare,
        };
        if let Some(log) = &mut self.log {
            log.recovery.on_ack(&heard, now, &mut self.congestion);
        }
    }

    /// What smoltcp is to believe of an ACK: everything that recovery has taken
    /// over is acknowledged, and of the peer's window what is left then.
    pub fn shadow(&self) -> (u32, u16) {
        let taken_over = self.taken_over();
        let ack = if after(taken_over, self.una) {
            taken_over
        } else {
            self.una
        };
        let ack = if after(ack, self.end) { self.end } else { ack };
        let edge = self.una.wrapping_add(self.window_bytes());
        let left = if after(edge, ack) {
            edge.wrapping_sub(ack)
        } else {
            0
        };
        (ack, (left >> self.shift).min(u16::MAX.into()) as u16)
    }

    /// Whether smoltcp still holds what recovery has taken over, of the
    /// `held_bytes` that it holds.
    pub fn owes_shadow(&self, held_bytes: usize) -> bool {
        held_bytes as u64 > self.offset(self.end) - self.offset(self.shadow().0)
    }
}

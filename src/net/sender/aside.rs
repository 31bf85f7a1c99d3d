//! Text that is sent without smoltcp: straight from where its bytes are into frames.
//!
//! What smoltcp sends is copied into its buffer first, which is made for packets of
//! Ethernet's size, and handed back to it as acknowledged when it has left. A body's
//! segments need nothing of that: what was handed over is remembered in any case. So
//! all text goes this way but the segment that carries an ACK, which smoltcp must know
//! to have been sent, and what probes a closed window. Of the numbers that text took
//! smoltcp knows nothing: they are added to what it writes, and taken off what it
//! reads.

use super::Sender;
use crate::net::checksum::TextSum;
use crate::net::demux::after;
use crate::net::device::TextSent;
use crate::net::tcb::Log;
use smoltcp::time::Instant;
use std::ops::Range;

/// The next segment to send.
#[derive(Clone, Debug)]
pub struct Next {
    /// SEG.SEQ.
    pub seq: u32,
    /// Where its text is in the byte stream.
    pub text: Range<u64>,
    /// Nothing that was handed over is behind it.
    pub is_last: bool,
}

impl Sender {
    /// Whether text may go this way, smoltcp holding none and owing no ACK.
    pub fn may_go_aside(&self) -> bool {
        self.window > 0 && self.has_taken_over_all()
    }

    /// The next segment of what was handed over to be sent this way, if it may be sent.
    pub fn next_text(&self, now: Instant) -> Option<Next> {
        let log = self.log.as_ref()?;
        let unsent = self.end.wrapping_sub(self.sent);
        if unsent == 0 || log.recovery.room() == 0 {
            return None;
        }
        let edge = self.una.wrapping_add(self.window_bytes());
        let window = match after(edge, self.sent) {
            true => edge.wrapping_sub(self.sent),
            // The peer has taken back what it had offered. Repairs will ask it while
            // something is in flight, and then this.
            false if log.recovery.is_idle() && self.held_until.is_none_or(|at| at <= now) => 1,
            false => return None,
        };
        let bytes = unsent.min(window).min(self.segment_bytes().into());
        let start = self.offset(self.sent);
        Some(Next {
            seq: self.sent,
            text: start..start + u64::from(bytes),
            is_last: bytes == unsent,
        })
    }

    /// Writes the text of a segment into its `place`, adding it to `sum`.
    pub fn write_text(&self, text: Range<u64>, mut place: &mut [u8], sum: &mut TextSum) {
        let Some(Log { text: held, .. }) = self.log.as_deref() else {
            return;
        };
        held.each(text, |bytes| {
            let whole = std::mem::take(&mut place);
            let (here, rest) = whole.split_at_mut(bytes.len().min(whole.len()));
            sum.copy(here, &bytes[..here.len()]);
            place = rest;
        });
    }

    /// That segment was sent, with a FIN behind its text or not.
    pub fn on_sent_aside(&mut self, next: &Next, has_fin: bool, now: Instant) {
        let text = TextSent {
            seq: next.seq,
            bytes: (next.text.end - next.text.start) as u32,
            has_fin,
        };
        self.take_over(&text, now);
    }
}

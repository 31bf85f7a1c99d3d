//! What a sender of TCP may put on the wire, as far as the wire shows it: nothing
//! beyond the window, nothing that is known to have arrived, nothing behind FIN.
//!
//! What the server knows is what has reached it and what it must have believed: of
//! what it may have thrown away nothing is made use of here. So a forged segment
//! makes the rules laxer, never wrong.

use super::raw::{Seen, after};

/// The server's half of a flow, judged.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The shift that the client's last SYN asked for.
    asked_shift: Option<u8>,
    /// And what was agreed on, 0 without.
    shift: u8,
    /// ISS of the server's last SYN-ACK, and whether a client has answered that one.
    iss: u32,
    is_open: bool,
    /// After the last byte sent, FIN counted, and after that FIN.
    sent: u32,
    fin_end: Option<u32>,
    /// FIN is acknowledged, or somebody has sent RST.
    may_be_over: bool,
    /// SND.UNA as the server must know it.
    una: u32,
    /// The highest right edge that the server was ever told of.
    edge: u32,
    /// After the last byte that anybody has sent in the client's name, and the
    /// latest time.
    heard_end: u32,
    heard_stamp: Option<u32>,
}

impl Rules {
    /// A segment in the client's name reaches the server.
    pub fn hear(&mut self, seen: &Seen) {
        if seen.syn && !seen.ack_flag {
            self.asked_shift = seen.window_shift;
            return;
        }
        let is_newest = match (self.heard_stamp, seen.stamp) {
            (Some(heard), Some(stamp)) => !after(heard, stamp),
            _ => true,
        };
        let is_next = !after(seen.seq, self.heard_end) && !after(self.heard_end, seen.seq);
        let is_empty = seen.payload_bytes == 0 && !seen.fin;
        if after(seen.end(), self.heard_end) {
            self.heard_end = seen.end();
        }
        if is_newest && seen.stamp.is_some() {
            self.heard_stamp = seen.stamp;
        }
        self.may_be_over |= seen.rst;
        if seen.rst || seen.syn || !seen.ack_flag {
            return;
        }
        let acked = seen.ack.wrapping_sub(self.iss);
        // Perhaps by the client's own FIN: then TIME-WAIT may be cut short, and an old
        // segment that brings the cookie makes a connection.
        if self.may_be_over && acked == 1 {
            self.begin_again();
        }
        if acked > self.sent.wrapping_sub(self.iss) {
            return;
        }
        self.may_be_over |= self.fin_end == Some(seen.ack);
        self.is_open |= acked == 1;
        let edge = seen.ack.wrapping_add(u32::from(seen.window) << self.shift);
        if after(edge, self.edge) {
            self.edge = edge;
        }
        // Empty, in order and not outdated: it cannot but have been believed.
        if is_next && is_empty && is_newest && after(seen.ack, self.una) {
            self.una = seen.ack;
        }
    }

    /// The server sends a segment; what it must not have, if anything.
    pub fn judge(&mut self, seen: &Seen) -> Option<String> {
        if seen.rst {
            self.may_be_over = true;
            return None;
        }
        if seen.syn {
            if !self.is_open || seen.seq != self.iss {
                self.begin(seen);
            }
            return None;
        }
        let text_end = seen.seq.wrapping_add(seen.payload_bytes as u32);
        let is_something = seen.payload_bytes > 0 || seen.fin;
        let at = |seq: u32| seq.wrapping_sub(self.iss);
        // Of several cookies it need not be the last that was brought back.
        self.is_open &= at(seen.seq) <= at(self.sent);
        if !self.is_open || !is_something {
            return None;
        }
        // RFC 9293 §3.8.6.1 does not say which byte probes a closed window: one that has
        // arrived draws the same answer.
        let is_probe = seen.payload_bytes == 1 && seen.seq.wrapping_add(1) == self.una;
        let why = if is_probe && !after(self.edge, self.una) {
            return None;
        } else if after(self.una, seen.seq) {
            format!("what is acknowledged up to {}", at(self.una))
        } else if self.fin_end.is_some_and(|end| after(seen.end(), end)) {
            "what is behind its FIN".to_owned()
        // RFC 9293 §3.8.6.1: a closed window is probed with one byte.
        } else if after(text_end, self.edge) && seen.payload_bytes > 1 {
            format!("what is beyond the window's edge {}", at(self.edge))
        } else if seen.payload_bytes == 1 && after(seen.seq, self.edge) {
            format!("a probe far beyond the window's edge {}", at(self.edge))
        } else {
            if seen.fin {
                self.fin_end = Some(seen.end());
            }
            if after(seen.end(), self.sent) {
                self.sent = seen.end();
            }
            return None;
        };
        Some(format!("sends {}..{}, {why}", at(seen.seq), at(seen.end())))
    }

    /// The same cookie, brought once more, makes a connection of the same numbers. Or
    /// the old one is not over: the edge stays, and nothing else is held against it.
    fn begin_again(&mut self) {
        self.may_be_over = false;
        self.fin_end = None;
        self.sent = self.iss.wrapping_add(1);
        self.una = self.sent;
    }

    /// A new connection, or a handshake of one that is not complete.
    fn begin(&mut self, syn_ack: &Seen) {
        *self = Rules {
            asked_shift: self.asked_shift,
            shift: syn_ack.window_shift.and(self.asked_shift).unwrap_or(0),
            iss: syn_ack.seq,
            sent: syn_ack.end(),
            una: syn_ack.end(),
            edge: syn_ack.end(),
            heard_end: syn_ack.ack,
            ..Rules::default()
        };
    }
}

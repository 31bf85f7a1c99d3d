//! A segment that was sent, and when in relation to others.

use super::Instant;

/// A segment that was sent and not acknowledged in order. 64 bytes.
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
    /// If it is SACKed, so many from it on are, at least.
    pub(super) run: u16,
    /// How far away the ones are that were sent before and after it, of those in
    /// flight; 0: there is none.
    pub(super) earlier: i16,
    pub(super) later: i16,
    /// Of those that were sent at one time, the one sent later has more.
    pub(super) order: u16,
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
    /// C.lost.
    pub lost_bytes: u64,
    /// How long ago C.delivered_time was, microseconds.
    pub since_delivered_us: u32,
    /// How long ago C.first_send_time was, microseconds.
    pub since_first_sent_us: u32,
    /// In flight, this segment included.
    pub in_flight_bytes: u32,
    /// C.app_limited.
    pub is_app_limited: bool,
}

impl Segment {
    /// Sent `now` for the first time.
    pub fn new(start: u64, len: u32, now: Instant, state: SendState) -> Segment {
        Segment {
            start,
            len,
            sends: 1,
            is_sacked: false,
            is_lost: false,
            run: 0,
            earlier: 0,
            later: 0,
            order: 0,
            sent_at: now,
            state,
        }
    }

    /// Offset after its last byte.
    pub fn end(&self) -> u64 {
        self.start + u64::from(self.len)
    }

    /// When it was last sent, in relation to others.
    pub fn sent(&self) -> Sent {
        Sent {
            at: self.sent_at,
            order: self.order,
        }
    }

    /// It in lost pieces of `max_bytes`: FIN stays with the last.
    pub(super) fn pieces(self, max_bytes: u32) -> impl Iterator<Item = Segment> {
        let starts = (self.start..self.end()).step_by(max_bytes as usize);
        starts.map(move |start| Segment {
            start,
            len: max_bytes.min((self.end() - start) as u32),
            sends: self.sends.max(2),
            is_lost: true,
            ..self
        })
    }

    /// Whether it is under way, as far as is known.
    pub fn is_in_flight(&self) -> bool {
        !self.is_sacked && !self.is_lost
    }
}

/// When a segment was last sent, in relation to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The time.
    pub at: Instant,
    pub(super) order: u16,
}

impl Sent {
    /// RFC 8985 §6.2, RACK_sent_after. Where that looks at the offsets, for segments
    /// of one time, this knows: a repair may leave after new data.
    pub fn is_after(&self, other: Sent) -> bool {
        match self.at == other.at {
            true => (self.order.wrapping_sub(other.order) as i16) > 0,
            false => self.at > other.at,
        }
    }

    /// The later of two.
    pub fn latest(self, other: Option<Sent>) -> Sent {
        other.filter(|other| other.is_after(self)).unwrap_or(self)
    }
}

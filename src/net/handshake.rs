//! Handshakes: from a SYN to a synchronized connection, as a small record or,
//! when there are too many of those, with nothing but a cookie.
//!
//! No socket takes part: SYN-ACKs are made here, and what the final ACK brings
//! is a [`Synchronized`], the same whichever way it came about.

use super::check::Challenges;
use super::demux::{Flow, LinkAddresses, Segment};
use super::mtu::offered_mss;
use super::options::{self, Clock, Peer, Timestamps};
use super::reply::{Offer, Reply};
use super::tcb::{RECEIVE_BUFFER_BYTES, WINDOW_SHIFT};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::TcpControl;

/// RFC 6298 §2: the first retransmission timeout; it doubles each time.
const FIRST_REPEAT: Duration = Duration::from_secs(1);

/// A connection whose handshake is complete.
#[derive(Clone, Copy, Debug)]
pub struct Synchronized {
    /// Which.
    pub flow: Flow,
    /// The neighbours of the final ACK.
    pub link: LinkAddresses,
    /// ISS + 1.
    pub snd_nxt: u32,
    /// IRS + 1.
    pub rcv_nxt: u32,
    /// SEG.WND of the final ACK, unscaled.
    pub window: u16,
    /// What was agreed on.
    pub peer: Peer,
    /// TS.Recent; means something only with timestamps.
    pub ts_recent: u32,
    /// Our timestamps' clock.
    pub clock: Clock,
    /// From SYN-ACK to final ACK, if it is known of which SYN-ACK.
    pub rtt: Option<Duration>,
}

/// The SYN-ACK of a handshake.
#[derive(Clone, Copy, Debug)]
pub struct SynAck {
    /// Our initial sequence number.
    pub iss: u32,
    /// The client's.
    pub irs: u32,
    /// What is agreed on.
    pub peer: Peer,
    /// Our TSval and its echo, if timestamps were offered.
    pub timestamps: Option<Timestamps>,
}

impl SynAck {
    /// The segment.
    pub fn reply(&self, mtu_bytes: usize) -> Reply {
        Reply {
            seq: self.iss,
            ack: Some(self.irs.wrapping_add(1)),
            control: TcpControl::Syn,
            window: RECEIVE_BUFFER_BYTES as u16,
            offer: Some(Offer {
                mss: offered_mss(mtu_bytes),
                window_shift: self.peer.window_shift.map(|_| WINDOW_SHIFT),
                sack: self.peer.sack,
            }),
            timestamps: self.timestamps,
        }
    }
}

/// A handshake that waits for the final ACK.
#[derive(Clone, Copy, Debug)]
pub struct HalfOpen {
    flow: Flow,
    link: LinkAddresses,
    iss: u32,
    irs: u32,
    peer: Peer,
    ts_recent: u32,
    clock: Clock,
    challenges: Challenges,
    since: Instant,
    repeat_after: Duration,
    repeat_at: Instant,
    /// The SYN-ACK was sent again (RFC 6298 §3).
    was_repeated: bool,
}

/// What a segment does to a handshake.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Nothing.
    Drop,
    /// The SYN came again: so must the SYN-ACK.
    Repeat,
    /// Nothing, but it is answered.
    Answer(Reply),
    /// The same, and it counts as a challenge.
    Challenge(Reply),
    /// The client has given up.
    Reset,
    /// It is complete.
    Done(Synchronized),
}

impl HalfOpen {
    /// The handshake that `syn` asks for, with `iss` for our number.
    pub fn new(syn: &Segment<'_>, iss: u32, clock: Clock, now: Instant) -> HalfOpen {
        let (peer, stamps) = options::of_syn(syn.options);
        HalfOpen {
            flow: syn.flow,
            link: syn.link,
            iss,
            irs: syn.seq,
            peer,
            ts_recent: stamps.map_or(0, |stamps| stamps.value),
            clock,
            challenges: Challenges::default(),
            since: now,
            repeat_after: FIRST_REPEAT,
            repeat_at: now + FIRST_REPEAT,
            was_repeated: false,
        }
    }

    /// The flow and the neighbours.
    pub fn way(&self) -> (Flow, LinkAddresses) {
        (self.flow, self.link)
    }

    /// The SYN-ACK, as of `now`.
    pub fn syn_ack(&self, now: Instant) -> SynAck {
        SynAck {
            iss: self.iss,
            irs: self.irs,
            peer: self.peer,
            timestamps: self.stamps(now),
        }
    }

    fn stamps(&self, now: Instant) -> Option<Timestamps> {
        self.peer.timestamps.then(|| Timestamps {
            value: self.clock.value(now),
            echo: self.ts_recent,
        })
    }

    /// RFC 9293 §3.10.7.4 in SYN-RECEIVED, with RFC 5961 §3 and §4.
    pub fn arrive(&mut self, segment: &Segment<'_>, now: Instant) -> Step {
        let flags = segment.flags;
        let rcv_nxt = self.irs.wrapping_add(1);
        let in_window = segment.seq.wrapping_sub(rcv_nxt) < RECEIVE_BUFFER_BYTES as u32;
        if flags.rst {
            return match segment.seq == rcv_nxt {
                true => Step::Reset,
                false if in_window => self.challenge(now),
                false => Step::Drop,
            };
        }
        if flags.syn {
            return match segment.seq == self.irs && !flags.ack {
                true => {
                    self.link = segment.link;
                    self.was_repeated = true;
                    Step::Repeat
                }
                false => self.challenge(now),
            };
        }
        if !in_window {
            return self.challenge(now);
        }
        if !flags.ack {
            return Step::Drop;
        }
        if segment.ack != self.iss.wrapping_add(1) {
            return Step::Answer(Reply::reset(segment));
        }
        // RFC 7323 §4.3: not from a segment that has overtaken another.
        let is_next = self.peer.timestamps && segment.seq == rcv_nxt;
        let stamps = options::timestamps(segment.options).filter(|_| is_next);
        Step::Done(Synchronized {
            flow: self.flow,
            link: segment.link,
            snd_nxt: segment.ack,
            rcv_nxt,
            window: segment.window,
            peer: self.peer,
            ts_recent: stamps.map_or(self.ts_recent, |stamps| stamps.value),
            clock: self.clock,
            rtt: self.rtt(now),
        })
    }

    /// A first sample of the round trip. One that took longer than a SYN-ACK waits
    /// for its repeat may as well be of a client whose ACK was lost and that had
    /// nothing to say.
    fn rtt(&self, now: Instant) -> Option<Duration> {
        let rtt = now - self.since;
        (!self.was_repeated && rtt < FIRST_REPEAT).then_some(rtt)
    }

    fn challenge(&mut self, now: Instant) -> Step {
        if !self.challenges.allow(now) {
            return Step::Drop;
        }
        Step::Challenge(Reply {
            seq: self.iss.wrapping_add(1),
            ack: Some(self.irs.wrapping_add(1)),
            control: TcpControl::None,
            window: RECEIVE_BUFFER_BYTES as u16,
            offer: None,
            timestamps: self.stamps(now),
        })
    }

    /// Whether the SYN-ACK is due again; if so, the next time is put off by twice
    /// as long.
    pub fn must_repeat(&mut self, now: Instant) -> bool {
        let due = now >= self.repeat_at;
        if due {
            self.was_repeated = true;
            self.repeat_after *= 2;
            self.repeat_at = now + self.repeat_after;
        }
        due
    }

    /// Whether it has taken longer than `limit`.
    pub fn is_over(&self, limit: Duration, now: Instant) -> bool {
        now >= self.since + limit
    }

    /// When the first of these comes true.
    pub fn next_at(&self, limit: Duration) -> Instant {
        self.repeat_at.min(self.since + limit)
    }
}

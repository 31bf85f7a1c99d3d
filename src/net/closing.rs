//! The end of a connection: from our FIN, once all that was to be sent is
//! acknowledged, to the end of TIME-WAIT (RFC 9293 §3.6, §3.10.7.4).
//!
//! Nothing is sent any more but FIN and ACKs, and what the peer still sends is
//! acknowledged and thrown away: a lingering close, so that no RST destroys a
//! response that the peer has not read yet. That needs no buffers: a record.

use super::check::{self, Challenges, Verdict, View};
use super::demux::{Flow, LinkAddresses, Segment, after};
use super::limits::Limits;
use super::options::{self, Clock, Timestamps};
use super::reply::Reply;
use super::tcb::RECEIVE_BUFFER_BYTES;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::TcpControl;

/// RFC 6298 §2: the FIN is repeated after this time, then twice it, and so on.
const FIRST_REPEAT: Duration = Duration::from_secs(1);
/// What Linux leaves between the numbers of a connection in TIME-WAIT and of the
/// one that takes its place.
const REOPEN_GAP: u32 = 65_535 + 2;

/// RFC 9293 §3.3.2 states after CLOSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Our FIN is not acknowledged, the peer's has not come.
    FinWait1,
    /// Ours is acknowledged.
    FinWait2,
    /// Both were sent, ours not acknowledged, and it was sent first.
    Closing,
    /// The same, but the peer's came first.
    LastAck,
    /// Both are acknowledged; late segments are answered.
    TimeWait,
}

/// A connection that has nothing to send but its FIN.
#[derive(Clone, Copy, Debug)]
pub struct Closing {
    /// Its name.
    pub flow: Flow,
    /// The neighbours that it was last heard through.
    pub link: LinkAddresses,
    /// Where it is.
    pub state: State,
    /// The number of our FIN.
    fin: u32,
    fin_sent: bool,
    rcv_nxt: u32,
    max_window_bytes: u32,
    /// TS.Recent, if timestamps were agreed on.
    ts_recent: Option<u32>,
    clock: Clock,
    challenges: Challenges,
    /// Since when it is in this state.
    since: Instant,
    heard_at: Instant,
    repeat_after: Duration,
    repeat_at: Instant,
}

/// How a connection stands when its end begins.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// Its name.
    pub flow: Flow,
    /// Its neighbours.
    pub link: LinkAddresses,
    /// The number of our FIN: all before it is acknowledged.
    pub fin: u32,
    /// Whether it was sent already.
    pub fin_sent: bool,
    /// Whether it was acknowledged already.
    pub fin_acknowledged: bool,
    /// RCV.NXT, after the peer's FIN if that has come.
    pub rcv_nxt: u32,
    /// Whether it has.
    pub peer_closed: bool,
    /// Whether it came before ours went.
    pub passive: bool,
    /// MAX.SND.WND, bytes.
    pub max_window_bytes: u32,
    /// TS.Recent, if timestamps were agreed on.
    pub ts_recent: Option<u32>,
    /// Our timestamps' clock.
    pub clock: Clock,
}

/// What a segment deserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing.
    Silence,
    /// An ACK.
    Ack,
    /// An ACK that counts as a challenge.
    Challenge,
    /// It has ended the connection by RST.
    Reset,
    /// It has acknowledged the last FIN: nothing is left to wait for.
    Over,
}

/// What a timer brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// The FIN must be sent, for the first time or again.
    Fin,
    /// The peer has not acknowledged our FIN in time.
    Unacknowledged,
    /// The peer has not sent its FIN in time, or TIME-WAIT is over.
    Over,
    /// Nothing before this time.
    Until(Instant),
}

impl Closing {
    /// The record of a connection that stands so.
    pub fn new(ending: &Ending, now: Instant) -> Closing {
        let state = match (ending.fin_acknowledged, ending.peer_closed) {
            (false, false) => State::FinWait1,
            (true, false) => State::FinWait2,
            (false, true) if ending.passive => State::LastAck,
            (false, true) => State::Closing,
            (true, true) => State::TimeWait,
        };
        Closing {
            flow: ending.flow,
            link: ending.link,
            state,
            fin: ending.fin,
            fin_sent: ending.fin_sent,
            rcv_nxt: ending.rcv_nxt,
            max_window_bytes: ending.max_window_bytes,
            ts_recent: ending.ts_recent,
            clock: ending.clock,
            challenges: Challenges::default(),
            since: now,
            heard_at: now,
            repeat_after: FIRST_REPEAT,
            repeat_at: if ending.fin_sent {
                now + FIRST_REPEAT
            } else {
                now
            },
        }
    }

    /// Whether our FIN is acknowledged: a RST could then only do harm, for some
    /// systems throw away what their application has not read yet.
    pub fn is_acknowledged(&self) -> bool {
        matches!(self.state, State::FinWait2 | State::TimeWait)
    }

    /// How long nothing acceptable has been heard.
    pub fn silence(&self, now: Instant) -> Duration {
        now - self.heard_at
    }

    /// An ACK of all that was received.
    pub fn ack(&self, now: Instant) -> Reply {
        self.segment(self.snd_nxt(), TcpControl::None, now)
    }

    /// Our FIN.
    pub fn fin(&self, now: Instant) -> Reply {
        self.segment(self.fin, TcpControl::Fin, now)
    }

    /// A RST that the peer believes.
    pub fn reset(&self, now: Instant) -> Reply {
        self.segment(self.snd_nxt(), TcpControl::Rst, now)
    }

    fn segment(&self, seq: u32, control: TcpControl, now: Instant) -> Reply {
        Reply {
            seq,
            ack: Some(self.rcv_nxt),
            control,
            window: RECEIVE_BUFFER_BYTES as u16,
            offer: None,
            timestamps: self.ts_recent.map(|echo| Timestamps {
                value: self.clock.value(now),
                echo,
            }),
        }
    }

    fn snd_nxt(&self) -> u32 {
        self.fin.wrapping_add(u32::from(self.fin_sent))
    }

    /// Takes a segment of the connection.
    pub fn arrive(&mut self, segment: &Segment<'_>, now: Instant) -> Answer {
        let stamps = options::timestamps(segment.options).filter(|_| self.ts_recent.is_some());
        let view = View {
            snd_una: self.fin.wrapping_add(u32::from(self.is_acknowledged())),
            snd_nxt: self.snd_nxt(),
            max_window_bytes: self.max_window_bytes,
            rcv_nxt: self.rcv_nxt,
            rcv_window_bytes: RECEIVE_BUFFER_BYTES as u32,
            ts_recent: self.ts_recent,
        };
        let verdict = check::judge(segment, stamps, &view);
        if self.state == State::TimeWait {
            return self.arrive_late(segment, verdict, now);
        }
        match verdict {
            Verdict::Take | Verdict::TakeOld => self.take(segment, stamps, now),
            Verdict::Acknowledge => Answer::Ack,
            Verdict::Challenge => self.challenge(now),
            Verdict::Reset => Answer::Reset,
            Verdict::Drop => Answer::Silence,
        }
    }

    /// In TIME-WAIT. RFC 1337: a RST ends nothing, or a late one would let old
    /// segments into the flow's next connection.
    fn arrive_late(&mut self, segment: &Segment<'_>, verdict: Verdict, now: Instant) -> Answer {
        if segment.flags.rst {
            return Answer::Silence;
        }
        // Our last ACK was lost: the peer waits for it, and 2 MSL begin again.
        if segment.flags.fin && verdict == Verdict::Acknowledge {
            self.since = now;
        }
        match verdict {
            Verdict::Acknowledge => Answer::Ack,
            // Text after FIN has no meaning, but whoever sends it is told.
            Verdict::Take | Verdict::TakeOld if !segment.is_empty() => Answer::Ack,
            Verdict::Challenge => self.challenge(now),
            _ => Answer::Silence,
        }
    }

    fn challenge(&mut self, now: Instant) -> Answer {
        if self.challenges.allow(now) {
            Answer::Challenge
        } else {
            Answer::Silence
        }
    }

    fn take(&mut self, segment: &Segment<'_>, stamps: Option<Timestamps>, now: Instant) -> Answer {
        self.link = segment.link;
        self.heard_at = now;
        if let Some(stamps) = stamps.filter(|_| !after(segment.seq, self.rcv_nxt)) {
            self.ts_recent = Some(stamps.value);
        }
        let answer = if self.receive(segment, now) {
            Answer::Ack
        } else {
            Answer::Silence
        };
        if self.fin_sent && segment.ack == self.fin.wrapping_add(1) {
            match self.state {
                State::FinWait1 => self.enter(State::FinWait2, now),
                State::Closing => self.enter(State::TimeWait, now),
                State::LastAck => return Answer::Over,
                State::FinWait2 | State::TimeWait => {}
            }
        }
        answer
    }

    /// Throws text away and takes note of FIN; whether that wants an ACK.
    fn receive(&mut self, segment: &Segment<'_>, now: Instant) -> bool {
        if segment.is_empty() || matches!(self.state, State::Closing | State::LastAck) {
            return !segment.is_empty();
        }
        let end = segment.seq.wrapping_add(segment.payload_bytes);
        if !after(segment.seq, self.rcv_nxt) && !after(self.rcv_nxt, end) {
            self.rcv_nxt = end;
            if segment.flags.fin {
                self.rcv_nxt = end.wrapping_add(1);
                let next = match self.state {
                    State::FinWait2 => State::TimeWait,
                    _ => State::Closing,
                };
                self.enter(next, now);
            }
        }
        true
    }

    fn enter(&mut self, state: State, now: Instant) {
        self.state = state;
        // A slow peer has the whole time for each of the two steps.
        self.since = now;
    }

    /// What is to be done `now`.
    pub fn due(&self, limits: &Limits, now: Instant) -> Due {
        let limit = match self.state {
            State::TimeWait => limits.time_wait,
            _ => limits.fin_wait,
        };
        let over_at = self.since + limit;
        let waits_for_ack = !self.is_acknowledged();
        if now >= over_at {
            return if waits_for_ack {
                Due::Unacknowledged
            } else {
                Due::Over
            };
        }
        match waits_for_ack {
            true if now >= self.repeat_at => Due::Fin,
            true => Due::Until(over_at.min(self.repeat_at)),
            false => Due::Until(over_at),
        }
    }

    /// The FIN went out `now`.
    pub fn note_fin(&mut self, now: Instant) {
        if self.fin_sent {
            self.repeat_after *= 2;
        }
        self.fin_sent = true;
        self.repeat_at = now + self.repeat_after;
    }

    /// RFC 9293 §3.10.7.4, after RFC 1122 §4.2.2.13 and RFC 6191: in TIME-WAIT a
    /// SYN with a higher number or a later timestamp begins a new connection,
    /// with a number of ours not below what this returns.
    pub fn gives_way_to(&self, segment: &Segment<'_>) -> Option<u32> {
        let flags = segment.flags;
        if self.state != State::TimeWait || !flags.syn || flags.ack || flags.rst || flags.fin {
            return None;
        }
        let stamps = options::of_syn(segment.options).1;
        let newer = match (self.ts_recent, stamps) {
            (Some(recent), Some(stamps)) if stamps.value != recent => after(stamps.value, recent),
            _ => after(segment.seq, self.rcv_nxt),
        };
        newer.then(|| self.fin.wrapping_add(1 + REOPEN_GAP))
    }
}

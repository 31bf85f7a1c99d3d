//! One connection: its smoltcp socket, its application's state, its neighbours,
//! and how long silence is borne in each of its states.

use super::app::{Application, Stream};
use super::demux::{Flow, LinkAddresses, Segment, Sent, after};
use super::device::{Device, acknowledge};
use super::flow::ConnId;
use super::link::FrameSink;
use super::tcb::Tcb;
use smoltcp::iface::{Interface, PollResult};
use smoltcp::socket::tcp::State;
use smoltcp::time::{Duration, Instant};

/// Frames one connection may send in one turn before others have theirs.
const TURN_FRAMES: u32 = 32;
/// How long a handshake may take (RFC 9293 leaves it open; Linux gives up
/// after five SYN-ACK repeats).
const HANDSHAKE_SILENCE: Duration = Duration::from_secs(15);
/// How long a peer may leave our FIN, or its own, outstanding.
const CLOSING_SILENCE: Duration = Duration::from_secs(20);
/// The same while data before our FIN is outstanding too: it may have paused.
const SENDING_SILENCE: Duration = Duration::from_secs(60);
/// How long a peer that has acknowledged our FIN must be silent before the end
/// of the server no longer waits for its own.
const DRAIN_SILENCE: Duration = Duration::from_secs(1);
/// The least time between two challenge ACKs of a connection.
const CHALLENGE_EVERY: Duration = Duration::from_millis(500);
/// When smoltcp wants to act at once and yet does nothing, it is asked again
/// this much later instead of in a loop.
const STUCK_RETRY: Duration = Duration::from_millis(10);

/// A connection and what runs on it.
pub struct Connection<A: Application> {
    /// Its name.
    pub flow: Flow,
    /// The neighbours that it was last heard through.
    pub link: LinkAddresses,
    /// Its socket.
    pub tcb: Tcb,
    /// What the application keeps for it.
    pub app: A::Conn,
    /// Whether its handshake was completed.
    pub established: bool,
    /// Whether it stands in line for room to send.
    pub in_ready: bool,
    /// Since when silence is counted: the last segment heard, or the beginning
    /// of the phase if that came later.
    silent_since: Instant,
    phase: Phase,
    /// SND.NXT, RCV.NXT and RCV.WND as the peer was told; `None` before SYN-ACK.
    said: Option<Sent>,
    challenged_at: Option<Instant>,
    /// Highest SEG.SEQ seen, to tell a new SYN from an old one in TIME-WAIT.
    highest_seq: u32,
}

/// The part of its life that a connection is in: each has its own patience.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Handshake,
    Open,
    /// Our FIN is under way, and perhaps data before it.
    Closing,
    /// smoltcp's own timer rules.
    TimeWait,
    Over,
}

impl Phase {
    fn of(state: State) -> Phase {
        match state {
            State::Listen | State::SynSent | State::SynReceived => Phase::Handshake,
            State::Established | State::CloseWait => Phase::Open,
            State::FinWait1 | State::FinWait2 | State::Closing | State::LastAck => Phase::Closing,
            State::TimeWait => Phase::TimeWait,
            State::Closed => Phase::Over,
        }
    }
}

/// What a turn leaves a connection waiting for.
pub enum Next {
    /// Nothing: it is over.
    Over,
    /// Room to send more.
    Room,
    /// A time, or the peer.
    Until(Option<Instant>),
}

impl<A: Application> Connection<A> {
    /// The connection that `syn` opened in `tcb`.
    pub fn new(syn: &Segment<'_>, tcb: Tcb, app: A::Conn, now: Instant) -> Connection<A> {
        Connection {
            flow: syn.flow,
            link: syn.link,
            tcb,
            app,
            established: false,
            in_ready: false,
            silent_since: now,
            phase: Phase::Handshake,
            said: None,
            challenged_at: None,
            highest_seq: syn.seq,
        }
    }

    /// RFC 9293 §3.5 state.
    pub fn state(&mut self) -> State {
        self.tcb.socket().state()
    }

    /// A segment of this connection has come.
    pub fn hear(&mut self, segment: &Segment<'_>, now: Instant) {
        self.link = segment.link;
        // A SYN here is a stranger to the connection, or a client that has
        // forgotten it: no sign of life.
        if !segment.flags.syn {
            self.silent_since = now;
        }
        if after(segment.seq, self.highest_seq) {
            self.highest_seq = segment.seq;
        }
    }

    /// A segment that smoltcp must not see, for it would drop it without a word
    /// or believe it: in a synchronized state a SYN, or an ACK of what was never
    /// sent. RFC 9293 §3.10.7.4 (RFC 5961 §4 and §5) answers both with an ACK.
    pub fn must_challenge(&self, segment: &Segment<'_>) -> bool {
        let Some(said) = self.said.filter(|_| self.established) else {
            return false;
        };
        let flags = segment.flags;
        !flags.rst && (flags.syn || (flags.ack && after(segment.ack, said.end)))
    }

    /// Answers such a segment, but not too often (RFC 5961 §7).
    pub fn challenge<S: FrameSink>(&mut self, device: &mut Device<'_, S>, now: Instant) {
        let due = self
            .challenged_at
            .is_none_or(|at| now >= at + CHALLENGE_EVERY);
        if let Some(said) = self.said.filter(|_| due) {
            self.challenged_at = Some(now);
            acknowledge(device, self.flow, said, now);
        }
    }

    /// Takes note of what the peer was told.
    pub fn note(&mut self, told: Option<Sent>) {
        self.said = match (self.said, told) {
            (Some(said), Some(told)) => Some(said.then(told)),
            (said, told) => told.or(said),
        };
    }

    /// RFC 9293 §3.10.7.4 (after RFC 1122 §4.2.2.13): in TIME-WAIT a SYN with a
    /// higher sequence number opens the connection anew.
    pub fn gives_way_to(&mut self, segment: &Segment<'_>) -> bool {
        let flags = segment.flags;
        flags.syn
            && !flags.ack
            && !flags.rst
            && self.state() == State::TimeWait
            && after(segment.seq, self.highest_seq)
    }

    /// Whether the peer has acknowledged all, so that a RST could only do harm:
    /// some systems throw away what their application has not read yet.
    pub fn is_acknowledged(&mut self) -> bool {
        matches!(self.state(), State::FinWait2 | State::TimeWait)
    }

    /// Whether it only waits: out TIME-WAIT, or for the FIN of a peer that has
    /// acknowledged all and then fallen silent (an idle client need not look at
    /// its connection).
    pub fn is_drained(&mut self, now: Instant) -> bool {
        match self.state() {
            State::TimeWait => true,
            State::FinWait2 => now >= self.silent_since + DRAIN_SILENCE,
            _ => false,
        }
    }

    /// Lets the application move, once the handshake is done.
    pub fn drive(&mut self, id: ConnId, app: &mut A, now: Instant) {
        use State::{Closed, Listen, SynReceived, SynSent};
        if !matches!(self.state(), Closed | Listen | SynSent | SynReceived) {
            self.established = true;
            let mut stream = Stream::new(self.tcb.socket());
            app.drive(id, &mut self.app, &mut stream, now);
        }
    }

    /// Ends the connection if its peer has been silent for too long: by FIN where
    /// the application is polite, else by RST. Whether it did.
    pub fn enforce_patience(&mut self, app: &A, now: Instant) -> bool {
        let phase = Phase::of(self.state());
        if phase != self.phase {
            self.phase = phase;
            self.silent_since = now;
        }
        if self.patience_ends(app).is_none_or(|end| now < end) {
            return false;
        }
        if phase == Phase::Open && app.patience(&self.app).polite {
            self.tcb.socket().close();
            self.phase = Phase::Closing;
            self.silent_since = now;
        } else {
            self.tcb.socket().abort();
        }
        true
    }

    /// Sends until smoltcp has nothing more to send, the sink is full, or the
    /// turn is over.
    pub fn send<S: FrameSink>(
        &mut self,
        interface: &mut Interface,
        app: &A,
        device: &mut Device<'_, S>,
        now: Instant,
    ) -> Next {
        for _ in 0..TURN_FRAMES {
            if self.tcb.is_over() {
                return Next::Over;
            }
            let at = interface.poll_at(now, &self.tcb.sockets);
            if at.is_none_or(|at| at > now) {
                return self.wait(at, app);
            }
            if !device.sink.ready() {
                return Next::Room;
            }
            let sent = device.sent;
            let moved = interface.poll_egress(now, device, &mut self.tcb.sockets);
            if moved == PollResult::None && device.sent == sent && !self.tcb.is_over() {
                // A timer may have been due with nothing to send for it.
                let at = interface.poll_at(now, &self.tcb.sockets);
                return self.wait(at.map(|at| at.max(now + STUCK_RETRY)), app);
            }
        }
        if self.tcb.is_over() {
            Next::Over
        } else {
            Next::Room
        }
    }

    fn wait(&mut self, at: Option<Instant>, app: &A) -> Next {
        Next::Until(at.into_iter().chain(self.patience_ends(app)).min())
    }

    /// When the silence that its phase allows is over.
    fn patience_ends(&mut self, app: &A) -> Option<Instant> {
        let silence = match Phase::of(self.state()) {
            Phase::Handshake => HANDSHAKE_SILENCE,
            Phase::Open => app.patience(&self.app).silence,
            Phase::Closing if self.tcb.socket().send_queue() > 0 => SENDING_SILENCE,
            Phase::Closing => CLOSING_SILENCE,
            Phase::TimeWait | Phase::Over => return None,
        };
        Some(self.silent_since + silence)
    }
}

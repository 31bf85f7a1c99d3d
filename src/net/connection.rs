//! One connection: its smoltcp socket, its application's state, its neighbours,
//! and how long silence is borne in each of its states.

use super::app::{Application, Stream};
use super::demux::{Flow, LinkAddresses, Segment};
use super::device::Device;
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
/// How long a peer that has acknowledged our FIN must be silent before the end
/// of the server no longer waits for its own.
const DRAIN_SILENCE: Duration = Duration::from_secs(1);
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
    last_heard: Instant,
    /// Highest SEG.SEQ seen, to tell a new SYN from an old one in TIME-WAIT.
    highest_seq: u32,
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
            last_heard: now,
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
        self.last_heard = now;
        if after(segment.seq, self.highest_seq) {
            self.highest_seq = segment.seq;
        }
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
            State::FinWait2 => now >= self.last_heard + DRAIN_SILENCE,
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
        if self.patience_ends(app).is_none_or(|end| now < end) {
            return false;
        }
        let open = matches!(self.state(), State::Established | State::CloseWait);
        if open && app.patience(&self.app).polite {
            self.last_heard = now;
            self.tcb.socket().close();
        } else {
            self.tcb.socket().abort();
        }
        true
    }

    /// Sends until smoltcp has nothing more for now, the sink is full, or the
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

    /// When the silence that its state allows is over; `None` where smoltcp's own
    /// timer rules (TIME-WAIT).
    fn patience_ends(&mut self, app: &A) -> Option<Instant> {
        let silence = match self.state() {
            State::TimeWait | State::Closed | State::Listen => return None,
            State::SynReceived | State::SynSent => HANDSHAKE_SILENCE,
            State::Established | State::CloseWait => app.patience(&self.app).silence,
            State::FinWait1 | State::FinWait2 | State::Closing | State::LastAck => CLOSING_SILENCE,
        };
        Some(self.last_heard + silence)
    }
}

/// RFC 9293 §3.4: sequence numbers compare modulo 2^32.
fn after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) as i32 > 0
}

//! One synchronized connection: what TCP remembers of it, its socket while it
//! has one, its application's state, and how long it may take for what it does.

use super::app::{Application, Outcome, Stage, Stream, Waits};
use super::check::{Challenges, View};
use super::closing::Ending;
use super::demux::{Flow, LinkAddresses, Segment, Sent, after};
use super::device::{Device, Nowhere};
use super::flow::ConnId;
use super::handshake::Synchronized;
use super::limits::{Limits, RATE_WINDOW};
use super::link::FrameSink;
use super::options::{Clock, Peer, Timestamps};
use super::reply::Reply;
use super::tcb::{RECEIVE_BUFFER_BYTES, Resting, Tcb};
use smoltcp::iface::{Interface, PollResult};
use smoltcp::socket::tcp::State;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::TcpControl;

/// Frames one connection may send in one turn before others have theirs.
const TURN_FRAMES: u32 = 32;
/// When smoltcp wants to act at once and yet does nothing, it is asked again
/// this much later instead of in a loop.
const STUCK_RETRY: Duration = Duration::from_millis(10);
/// How long a closed window is left alone (RFC 9293 §3.8.6.1 has the
/// retransmission timeout); smoltcp would probe it at once.
const FIRST_PROBE: Duration = Duration::from_secs(1);

/// See [`Connection::pressed_after`]: with a closed window, and with one that is
/// open; then a retransmission or two may be under way.
const PRESSED_CLOSED: Duration = Duration::from_millis(100);
const PRESSED_STALL: Duration = Duration::from_secs(5);

/// A connection and what runs on it.
pub struct Connection<A: Application> {
    /// Its name.
    pub flow: Flow,
    /// The neighbours that it was last heard through.
    pub link: LinkAddresses,
    /// What the application keeps for it.
    pub app: A::Conn,
    /// Whether it stands in line for room to send.
    pub in_ready: bool,
    /// Whether it should have had a turn and there was no socket for it.
    pub wants_socket: bool,
    /// When it last had a turn.
    pub turned_at: Instant,
    /// Which of the stack's lists it is in.
    pub rank: Rank,
    /// When it was last put in order there, while busy.
    pub ranked_at: Instant,
    /// Its challenge ACKs.
    pub challenges: Challenges,
    tcb: Option<Tcb>,
    /// There was no large socket for it; it makes do with a small one.
    stays_small: bool,
    /// The application has nothing more to send.
    closed: bool,
    peer: Peer,
    /// SEG.WND of the peer's last segment.
    window: u16,
    max_window_bytes: u32,
    /// Until when the peer's window, which is closed, is left alone.
    held_until: Option<Instant>,
    ts_recent: u32,
    clock: Clock,
    /// The number after the last byte that the application handed over.
    snd_end: u32,
    /// The number of the first byte that the application has not taken.
    rcv_base: u32,
    /// SND.NXT, RCV.NXT and RCV.WND as the peer was told.
    said: Sent,
    waits: Waits,
    /// Since when it waits for that.
    since: Instant,
    progress: Progress,
}

/// What a socket holds.
#[derive(Clone, Copy, Default)]
struct Queues {
    /// Handed over and not acknowledged.
    send_bytes: u32,
    /// Received in order and not taken.
    recv_bytes: u32,
    /// The peer's FIN has come.
    peer_closed: bool,
}

/// How a response gets on.
#[derive(Clone, Copy)]
struct Progress {
    snd_una: u32,
    snd_end: u32,
    /// When one of these last moved.
    at: Instant,
    /// SND.UNA at the beginning of the time that the rate is averaged over.
    window_una: u32,
    window_since: Instant,
}

/// Which list of the stack's an open connection stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// None: it has no socket and waits for the rest of a request.
    None,
    /// With a socket that has something to do.
    Busy,
    /// With a socket that has not, in want of the rest of a request.
    Quiet,
    /// With such a socket, in want of a request.
    QuietIdle,
    /// Without a socket, in want of a request.
    Idle,
}

/// Which limit has ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// No request came.
    KeepAlive,
    /// A request's head did not end.
    Head,
    /// A request's body did not end.
    Body,
    /// A response did not move.
    SendStall,
    /// A response moved too slowly.
    SendRate,
}

/// What a turn leaves a connection waiting for.
pub enum Next {
    /// Room to send more.
    Room,
    /// A time, or the peer.
    Until(Option<Instant>),
}

impl<A: Application> Connection<A> {
    /// The connection that a handshake made.
    pub fn new(made: &Synchronized, app: A::Conn, waits: Waits, now: Instant) -> Connection<A> {
        Connection {
            flow: made.flow,
            link: made.link,
            app,
            in_ready: false,
            wants_socket: false,
            turned_at: now,
            rank: Rank::None,
            ranked_at: now,
            challenges: Challenges::default(),
            tcb: None,
            stays_small: false,
            closed: false,
            peer: made.peer,
            window: made.window,
            max_window_bytes: 0,
            held_until: None,
            ts_recent: made.ts_recent,
            clock: made.clock,
            snd_end: made.snd_nxt,
            rcv_base: made.rcv_nxt,
            said: Sent {
                end: made.snd_nxt,
                ack: made.rcv_nxt,
                window: RECEIVE_BUFFER_BYTES as u16,
            },
            waits,
            since: now,
            progress: Progress {
                snd_una: made.snd_nxt,
                snd_end: made.snd_nxt,
                at: now,
                window_una: made.snd_nxt,
                window_since: now,
            },
        }
    }

    /// What is known of it, for judging segments.
    #[inline]
    pub fn view(&self) -> View {
        let queues = self.queues();
        let rcv_nxt = self.rcv_nxt_after(queues);
        let edge = self.said.ack.wrapping_add(self.said.window.into());
        View {
            snd_una: self.snd_end.wrapping_sub(queues.send_bytes),
            snd_nxt: self.said.end,
            max_window_bytes: self.max_window_bytes,
            rcv_nxt,
            rcv_window_bytes: edge.wrapping_sub(rcv_nxt),
            ts_recent: self.peer.timestamps.then_some(self.ts_recent),
        }
    }

    /// Whether its segments carry timestamps.
    pub fn has_timestamps(&self) -> bool {
        self.peer.timestamps
    }

    /// What its socket holds; nothing if it has none.
    #[inline]
    fn queues(&self) -> Queues {
        use State::{CloseWait, Closed, Closing, LastAck, TimeWait};
        let Some(tcb) = &self.tcb else {
            return Queues::default();
        };
        let socket = tcb.peek();
        let peer_closed = matches!(
            socket.state(),
            CloseWait | LastAck | Closing | TimeWait | Closed
        );
        Queues {
            send_bytes: socket.send_queue() as u32,
            recv_bytes: socket.recv_queue() as u32,
            peer_closed,
        }
    }

    #[inline]
    fn rcv_nxt_after(&self, queues: Queues) -> u32 {
        self.rcv_base
            .wrapping_add(queues.recv_bytes + u32::from(queues.peer_closed))
    }

    /// SND.WND.
    fn window_bytes(&self) -> u32 {
        u32::from(self.window) << self.peer.window_shift.unwrap_or(0)
    }

    fn send_queue(&self) -> u32 {
        self.queues().send_bytes
    }

    fn snd_una(&self) -> u32 {
        self.snd_end.wrapping_sub(self.send_queue())
    }

    fn rcv_nxt(&self) -> u32 {
        self.rcv_nxt_after(self.queues())
    }

    fn peer_closed(&self) -> bool {
        self.queues().peer_closed
    }

    /// Takes note of what an acceptable segment says beside its text: `current`
    /// unless a later one has overtaken it.
    pub fn hear(
        &mut self,
        segment: &Segment<'_>,
        stamps: Option<Timestamps>,
        current: bool,
        now: Instant,
    ) {
        self.link = segment.link;
        if current {
            self.held_until = match segment.window {
                0 => self.held_until.or(Some(now + FIRST_PROBE)),
                _ => None,
            };
            self.window = segment.window;
            self.max_window_bytes = self.max_window_bytes.max(self.window_bytes());
        }
        // RFC 7323 §4.3.
        if let Some(stamps) = stamps
            && !after(segment.seq, self.said.ack)
            && !after(self.ts_recent, stamps.value)
        {
            self.ts_recent = stamps.value;
        }
    }

    /// The timestamps of a segment sent `now`.
    pub fn stamps(&self, now: Instant) -> Option<Timestamps> {
        self.peer.timestamps.then(|| Timestamps {
            value: self.clock.value(now),
            echo: self.ts_recent,
        })
    }

    /// `<SEQ=SND.NXT><ACK=RCV.NXT>` with `control`.
    pub fn reply(&self, control: TcpControl, now: Instant) -> Reply {
        Reply {
            seq: self.said.end,
            ack: Some(self.rcv_nxt()),
            control,
            window: self.said.window,
            offer: None,
            timestamps: self.stamps(now),
        }
    }

    // --- the socket --------------------------------------------------------------

    /// Whether it has a socket.
    pub fn is_awake(&self) -> bool {
        self.tcb.is_some()
    }

    /// What is all of it while nothing is in flight, queued or unread.
    fn resting(&self) -> Resting {
        Resting {
            flow: self.flow,
            snd_nxt: self.snd_end,
            rcv_nxt: self.rcv_base,
            window: self.window,
            peer: self.peer,
        }
    }

    /// Gives it `tcb` for its socket; the one that it had before comes back. To be
    /// called when it is [quiet](Connection::is_quiet), but for an ACK owed.
    pub fn wake_with(
        &mut self,
        mut tcb: Tcb,
        mtu_bytes: usize,
        nowhere: &mut Nowhere,
        now: Instant,
    ) -> Option<Tcb> {
        tcb.resume(&self.resting(), mtu_bytes, nowhere, now);
        self.said = Sent {
            end: self.snd_end,
            ack: self.said.ack,
            window: self.said.window,
        };
        self.tcb.replace(tcb)
    }

    /// No large socket is to be had.
    pub fn stay_small(&mut self) {
        self.stays_small = true;
    }

    /// Whether a segment without text, or the time, may let it go on: it has a
    /// socket, or a response that it gave its socket up with.
    pub fn may_go_on(&self) -> bool {
        self.is_awake() || self.waits.stage == Stage::Response
    }

    /// When it must have a turn though it has no socket.
    pub fn asleep_until(&self, limits: &Limits) -> Instant {
        let patience = self.patience_ends(limits);
        self.held_until
            .map_or(patience, |until| until.min(patience))
    }

    /// Whether its socket holds nothing that the record does not.
    pub fn is_quiet(&self) -> bool {
        self.tcb.as_ref().is_some_and(|tcb| {
            let socket = tcb.peek();
            socket.state() == State::Established
                && socket.send_queue() == 0
                && socket.recv_queue() == 0
                && self.said.ack == self.rcv_base
                && !self.in_ready
        })
    }

    /// Gives its socket up.
    pub fn sleep(&mut self) -> Option<Tcb> {
        self.stays_small = false;
        self.tcb.take()
    }

    // --- a turn ------------------------------------------------------------------

    /// Lets the application move.
    pub fn drive(&mut self, id: ConnId, app: &mut A, now: Instant) -> Outcome {
        let Some(tcb) = &mut self.tcb else {
            return Outcome::default();
        };
        let is_small = tcb.send_buffer_bytes() == super::pool::SMALL_SEND_BYTES;
        let may_send = self.held_until.is_none_or(|until| now >= until);
        let mut stream = Stream::new(tcb.socket(), is_small && !self.stays_small, may_send);
        app.drive(id, &mut self.app, &mut stream, now);
        let outcome = stream.outcome;
        self.rcv_base = self.rcv_base.wrapping_add(outcome.received as u32);
        self.snd_end = self.snd_end.wrapping_add(outcome.sent as u32);
        self.closed |= outcome.closed;
        outcome
    }

    /// Takes note of how far it has come.
    pub fn observe(&mut self, app: &A, now: Instant) {
        self.turned_at = now;
        let mut waits = app.waits(&self.app);
        let send_bytes = self.send_queue();
        if send_bytes > 0 {
            waits.stage = Stage::Response;
        }
        let snd_una = self.snd_end.wrapping_sub(send_bytes);
        let is_new = waits != self.waits;
        if is_new {
            if waits.stage == Stage::Response && self.waits.stage != Stage::Response {
                self.progress.window_una = snd_una;
                self.progress.window_since = now;
            }
            self.waits = waits;
            self.since = now;
        }
        // What was handed over behind something unacknowledged is no progress.
        let was_empty = self.progress.snd_una == self.progress.snd_end;
        let begins = was_empty && self.progress.snd_end != self.snd_end;
        if self.progress.snd_una != snd_una || begins || (was_empty && is_new) {
            self.progress.at = now;
        }
        self.progress.snd_una = snd_una;
        self.progress.snd_end = self.snd_end;
    }

    /// Whether it was in want of a request when it was last observed.
    pub fn is_idle(&self) -> bool {
        self.waits.stage == Stage::Idle
    }

    /// Which list it belongs in.
    pub fn due_rank(&self) -> Rank {
        match (self.is_awake(), self.is_idle()) {
            (true, _) if !self.is_quiet() => Rank::Busy,
            (true, true) => Rank::QuietIdle,
            (true, false) => Rank::Quiet,
            (false, true) => Rank::Idle,
            (false, false) => Rank::None,
        }
    }

    /// How long it may stand still before it makes way to others, when there is no
    /// more memory: not for long if its peer does not read at all.
    pub fn pressed_after(&self) -> Duration {
        match self.window {
            0 => PRESSED_CLOSED,
            _ => PRESSED_STALL,
        }
    }

    /// Since when nothing of what it sends was acknowledged.
    pub fn stalled_since(&self) -> Instant {
        self.progress.at
    }

    /// Sends until smoltcp has nothing more to send, the sink is full, or the
    /// turn is over.
    pub fn send<S: FrameSink>(
        &mut self,
        interface: &mut Interface,
        device: &mut Device<'_, S>,
        now: Instant,
    ) -> Next {
        let one_segment_bytes = self.window_bytes().min(self.peer.mss.into());
        let Some(tcb) = &mut self.tcb else {
            return Next::Until(None);
        };
        if self.closed {
            // With the last bytes, if there are any left; see `has_said_all`. But in
            // LAST-ACK smoltcp takes neither a new window nor duplicate ACKs: after
            // the peer's FIN only when no more than a segment is left.
            let is_short = tcb.peek().send_queue() <= one_segment_bytes as usize;
            if tcb.peek().state() != State::CloseWait || is_short {
                tcb.socket().close();
            }
        }
        for _ in 0..TURN_FRAMES {
            let at = interface.poll_at(now, &tcb.sockets);
            if at.is_none() && tcb.peek().send_queue() > 0 {
                // smoltcp has forgotten its timer: the window closed while
                // something was in flight. The window said again starts the probes.
                return self.say_window_again(interface, device, now);
            }
            if at.is_none_or(|at| at > now) {
                let held_until = self.held_until.filter(|&until| until > now);
                return Next::Until(at.into_iter().chain(held_until).min());
            }
            if !device.sink.ready() {
                return Next::Room;
            }
            let sent = device.sent;
            let moved = interface.poll_egress(now, device, &mut tcb.sockets);
            if moved == PollResult::None && device.sent == sent {
                // A timer was due with nothing to send for it: asked again, unless it
                // still is.
                let at = interface.poll_at(now, &tcb.sockets);
                if at.is_some_and(|at| at <= now) {
                    return Next::Until(Some(now + STUCK_RETRY));
                }
            }
        }
        Next::Room
    }

    fn say_window_again<S: FrameSink>(
        &mut self,
        interface: &mut Interface,
        device: &mut Device<'_, S>,
        now: Instant,
    ) -> Next {
        let mut buffer = [0; 80];
        let heard = Resting {
            snd_nxt: self.snd_una(),
            rcv_nxt: self.rcv_nxt(),
            ..self.resting()
        };
        let packet = heard.ack().as_if_received(self.flow, &mut buffer);
        let mut again = Device {
            packet: Some(packet),
            sink: &mut *device.sink,
            ..*device
        };
        if let Some(tcb) = &mut self.tcb {
            interface.poll_ingress_single(now, &mut again, &mut tcb.sockets);
            device.sent = again.sent;
            device.told = again.told;
            let at = interface.poll_at(now, &tcb.sockets);
            return Next::Until(Some(at.unwrap_or(now + STUCK_RETRY).max(now + STUCK_RETRY)));
        }
        Next::Until(None)
    }

    /// Hands a received packet to smoltcp.
    pub fn receive<S: FrameSink>(
        &mut self,
        interface: &mut Interface,
        device: &mut Device<'_, S>,
        now: Instant,
    ) {
        if let Some(tcb) = &mut self.tcb {
            interface.poll_ingress_single(now, device, &mut tcb.sockets);
        }
    }

    /// The current acknowledgment and window, to be put into a segment whose own
    /// were overtaken.
    pub fn current(&self) -> (u32, u16) {
        (self.snd_una(), self.window)
    }

    /// Takes note of what the peer was told.
    pub fn note(&mut self, told: Option<Sent>) {
        if let Some(told) = told {
            self.said = self.said.then(told);
        }
    }

    // --- its end -----------------------------------------------------------------

    /// Whether the application has nothing more to send and the peer has
    /// acknowledged all.
    pub fn has_said_all(&self) -> bool {
        self.closed && self.send_queue() == 0
    }

    /// How it stands, all that it had to send being acknowledged.
    pub fn ending(&self) -> Ending {
        use State::{CloseWait, Closed, FinWait2, LastAck, TimeWait};
        let state = self.tcb.as_ref().map(|tcb| tcb.peek().state());
        Ending {
            flow: self.flow,
            link: self.link,
            fin: self.snd_end,
            fin_sent: after(self.said.end, self.snd_end),
            fin_acknowledged: matches!(state, Some(FinWait2 | TimeWait | Closed)),
            rcv_nxt: self.rcv_nxt(),
            peer_closed: self.peer_closed(),
            passive: matches!(state, Some(CloseWait | LastAck | Closed)),
            max_window_bytes: self.max_window_bytes,
            ts_recent: self.peer.timestamps.then_some(self.ts_recent),
            clock: self.clock,
        }
    }

    /// An ACK of all that was received, which counts as having been sent.
    pub fn acknowledge(&mut self, now: Instant) -> Reply {
        self.said.ack = self.rcv_nxt();
        self.reply(TcpControl::None, now)
    }

    /// Whether something was received that no ACK has told the peer of.
    pub fn owes_ack(&self) -> bool {
        self.said.ack != self.rcv_nxt()
    }

    /// When what it waits for must have come.
    pub fn patience_ends(&self, limits: &Limits) -> Instant {
        match self.waits.stage {
            Stage::Idle => self.since + limits.keep_alive,
            Stage::Head => self.since + limits.head,
            Stage::Body => self.since + limits.body,
            Stage::Response => {
                let rate = self.progress.window_since + RATE_WINDOW;
                rate.min(self.progress.at + limits.send_stall)
            }
        }
    }

    /// Which limit has been reached `now`, if any.
    pub fn expired(&mut self, limits: &Limits, now: Instant) -> Option<Expired> {
        if now < self.patience_ends(limits) {
            return None;
        }
        match self.waits.stage {
            Stage::Idle => Some(Expired::KeepAlive),
            Stage::Head => Some(Expired::Head),
            Stage::Body => Some(Expired::Body),
            Stage::Response if now >= self.progress.at + limits.send_stall => {
                Some(Expired::SendStall)
            }
            Stage::Response => self.rate_expired(limits, now),
        }
    }

    /// The end of a time that the rate is averaged over. A response that has
    /// nothing queued waits for us, not for the peer, and one that did not move at
    /// all has its own limit.
    fn rate_expired(&mut self, limits: &Limits, now: Instant) -> Option<Expired> {
        let progress = &mut self.progress;
        let acknowledged = progress.snd_una.wrapping_sub(progress.window_una);
        let least = u64::from(limits.min_send_bytes_per_s) * RATE_WINDOW.secs();
        progress.window_una = progress.snd_una;
        progress.window_since = now;
        let moves_slowly = (1..least).contains(&acknowledged.into());
        let is_slow = moves_slowly && self.send_queue() > 0;
        is_slow.then_some(Expired::SendRate)
    }
}

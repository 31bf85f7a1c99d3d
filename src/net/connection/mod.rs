//! One synchronized connection: what TCP remembers of it, its socket while it
//! has one, its application's state, and how long it may take for what it does.

mod exchange;
mod patience;

use super::app::{Application, Stage, Waits, Way};
use super::check::{Challenges, View};
use super::closing::Ending;
use super::demux::{Flow, LinkAddresses, Segment, Sent, after};
use super::device::Nowhere;
use super::figures::Figures;
use super::handshake::Synchronized;
use super::limits::Limits;
use super::options::{Clock, Peer, Timestamps};
use super::pool::Pool;
use super::recovery::Tally;
use super::reply::Reply;
use super::sender::{Path, Sender};
use super::tcb::{RECEIVE_BUFFER_BYTES, Resting, Tcb};
pub use patience::Expired;
use patience::Progress;
use smoltcp::socket::tcp::State;
use smoltcp::time::Instant;
use smoltcp::wire::TcpControl;
use std::net::SocketAddrV4;

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
    opened_at: Instant,
    /// Which of the stack's lists it is in.
    pub rank: Rank,
    /// When it was last put in order there, while busy.
    pub ranked_at: Instant,
    /// Its challenge ACKs.
    pub challenges: Challenges,
    tcb: Option<Tcb>,
    /// How what was handed over and not sent is sent.
    way: Way,
    /// Bytes that were sent aside since it has its socket.
    aside_bytes: u32,
    /// The application has nothing more to send.
    closed: bool,
    peer: Peer,
    ts_recent: u32,
    clock: Clock,
    /// Its sending half.
    pub sender: Sender,
    /// What the pool has counted it to have in flight, bytes.
    pub counted_bytes: usize,
    /// It has more to send, and its pace keeps it back.
    is_paced: bool,
    /// Its application has more to send, and keeps that back until then.
    waits_until: Option<Instant>,
    /// The peer's FIN had come when ours was sent.
    is_passive: bool,
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
    /// Received in order and not taken.
    recv_bytes: u32,
    /// The peer's FIN has come.
    peer_closed: bool,
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

/// What a turn leaves a connection waiting for.
pub enum Next {
    /// Room to send more.
    Room,
    /// A time, or the peer.
    Until(Option<Instant>),
}

impl<A: Application> Connection<A> {
    /// The connection that a handshake made.
    pub fn new(
        made: &Synchronized,
        app: A::Conn,
        waits: Waits,
        path: Path,
        now: Instant,
    ) -> Connection<A> {
        Connection {
            flow: made.flow,
            link: made.link,
            app,
            in_ready: false,
            wants_socket: false,
            turned_at: now,
            opened_at: now,
            rank: Rank::None,
            ranked_at: now,
            challenges: Challenges::default(),
            tcb: None,
            way: Way::Socket,
            aside_bytes: 0,
            closed: false,
            peer: made.peer,
            ts_recent: made.ts_recent,
            clock: made.clock,
            sender: Sender::new(made, path, now),
            counted_bytes: 0,
            is_paced: false,
            waits_until: None,
            is_passive: false,
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
                was_kept_back: false,
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
            snd_una: self.sender.una(),
            snd_nxt: self.said.end,
            max_window_bytes: self.sender.max_window_bytes(),
            rcv_nxt,
            rcv_window_bytes: edge.wrapping_sub(rcv_nxt),
            ts_recent: self.peer.timestamps.then_some(self.ts_recent),
        }
    }

    /// What there is to show of it, unless it is at rest.
    pub fn figures(&self, now: Instant) -> Option<Figures> {
        Some(Figures {
            remote: SocketAddrV4::new(self.flow.remote, self.flow.remote_port),
            stage: self.waits.stage,
            age: now - self.opened_at,
            sending: self.sender.figures()?,
        })
    }

    /// Bytes of text that its socket knows nothing of.
    #[inline]
    pub fn aside_bytes(&self) -> u32 {
        self.aside_bytes
    }

    /// Whether its segments carry timestamps.
    pub fn has_timestamps(&self) -> bool {
        self.peer.timestamps
    }

    /// What its socket holds; nothing if it has none.
    #[inline]
    fn queues(&self) -> Queues {
        let Some(tcb) = &self.tcb else {
            return Queues::default();
        };
        let socket = tcb.peek();
        // We never tell smoltcp to close: FIN is written by the device.
        let peer_closed = socket.state() != State::Established;
        Queues {
            recv_bytes: socket.recv_queue() as u32,
            peer_closed,
        }
    }

    #[inline]
    fn rcv_nxt_after(&self, queues: Queues) -> u32 {
        self.rcv_base
            .wrapping_add(queues.recv_bytes + u32::from(queues.peer_closed))
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
        let answers_before = stamps.and_then(|stamps| self.clock.end_of(stamps.echo, now));
        self.sender.hear(segment, current, answers_before, now);
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
            snd_nxt: self.sender.end(),
            rcv_nxt: self.rcv_base,
            window: self.sender.window(),
            peer: self.peer,
        }
    }

    /// Gives it `tcb` for its socket.
    pub fn wake_with(
        &mut self,
        mut tcb: Tcb,
        mtu_bytes: usize,
        nowhere: &mut Nowhere,
        now: Instant,
    ) {
        tcb.resume(&self.resting(), mtu_bytes, nowhere, now);
        if let Some(log) = tcb.log.take() {
            self.sender.wake(log, now);
        }
        (self.way, self.aside_bytes) = (Way::Socket, 0);
        self.tcb = Some(tcb);
    }

    /// Whether a segment without text, or the time, may let it go on: it has a
    /// socket, or a response that it gave its socket up with.
    pub fn may_go_on(&self) -> bool {
        self.is_awake() || self.waits.stage == Stage::Response
    }

    /// Whether it is between two exchanges, with nothing to do for its socket or its
    /// application. smoltcp may not know yet that all is acknowledged: the next
    /// segment will tell it.
    pub fn is_at_rest(&self, app: &A) -> bool {
        !self.closed && self.is_quiet() && app.waits(&self.app).stage == Stage::Idle
    }

    /// When it must have a turn though it has no socket.
    pub fn asleep_until(&self, limits: &Limits) -> Instant {
        let patience = self.patience_ends(limits);
        let times = [self.sender.held_until(), self.waits_until];
        times.into_iter().flatten().fold(patience, Instant::min)
    }

    /// Whether its socket holds nothing that the record does not.
    pub fn is_quiet(&self) -> bool {
        self.tcb.as_ref().is_some_and(|tcb| {
            let socket = tcb.peek();
            socket.state() == State::Established
                && self.sender.end() == self.sender.una()
                && socket.recv_queue() == 0
                && self.said.ack == self.rcv_base
                && !self.in_ready
                && !self.is_paced
        })
    }

    /// Gives its socket up.
    pub fn sleep(&mut self) -> Option<Tcb> {
        let mut tcb = self.tcb.take()?;
        tcb.log = self.sender.rest();
        Some(tcb)
    }

    // --- a turn ------------------------------------------------------------------

    /// Has `pool` and `total` count what is in flight, and what was counted since.
    pub fn count_into(&mut self, pool: &mut Pool, total: &mut Tally) {
        pool.recount(&mut self.counted_bytes, self.sender.held_bytes());
        self.sender.count_into(total);
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
        self.closed && self.sender.unacknowledged() == 0
    }

    /// How it stands, all that it had to send being acknowledged.
    pub fn ending(&self) -> Ending {
        let fin = self.sender.end();
        Ending {
            flow: self.flow,
            link: self.link,
            fin,
            fin_sent: after(self.said.end, fin),
            fin_acknowledged: after(self.sender.una(), fin),
            rcv_nxt: self.rcv_nxt(),
            peer_closed: self.peer_closed(),
            passive: match after(self.said.end, fin) {
                true => self.is_passive,
                false => self.peer_closed(),
            },
            max_window_bytes: self.sender.max_window_bytes(),
            ts_recent: self.peer.timestamps.then_some(self.ts_recent),
            clock: self.clock,
        }
    }

    /// A segment with the ACK of all that was received, which counts as having been
    /// sent.
    fn acknowledge(&mut self, control: TcpControl, now: Instant) -> Reply {
        self.said.ack = self.rcv_nxt();
        self.reply(control, now)
    }

    /// Whether something was received that no ACK has told the peer of.
    pub fn owes_ack(&self) -> bool {
        self.said.ack != self.rcv_nxt()
    }
}

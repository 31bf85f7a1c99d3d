//! The stack: frames in, frames out, one TCP connection moved at a time.
//!
//! Sans-IO: the time is an argument, frames arrive as bytes and leave through a
//! [`FrameSink`], randomness is the secret given at the start. Each call does
//! work for one connection, or for those whose timers are due; none looks at
//! all of them.

use super::accept::{self, Deserves};
use super::app::{Application, Stream};
use super::demux::{self, Drop, Flow, LinkAddresses, Policy, Segment};
use super::device::{Device, capabilities};
use super::flow::{ConnId, FlowTable};
use super::isn::{IsnSecret, seed_for};
use super::link::FrameSink;
use super::tcb::Tcb;
use super::timers::Wheel;
use crate::stats::NetCounters;
use smoltcp::iface::{Config, Interface, PollResult, SocketSet};
use smoltcp::socket::tcp::State;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpCidr, Ipv4Address};
use std::collections::VecDeque;

/// Frames one connection may send in one turn before others have theirs.
const TURN_FRAMES: u32 = 32;
/// Closed sockets kept with their buffers for the next connections.
const MAX_SPARE_TCBS: usize = 1024;
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

/// What a stack is made with.
#[derive(Clone, Debug)]
pub struct StackConfig {
    /// Which frames are ours.
    pub policy: Policy,
    /// Largest IP packet, bytes.
    pub mtu_bytes: usize,
    /// Connections at most; a SYN above it is dropped and counted.
    pub max_connections: usize,
}

/// Keys the flow table's hash (first half) and the sequence numbers (second):
/// drawn at random for every stack, fixed where a run must replay.
pub type Secret = [u8; 32];

struct Connection<C> {
    flow: Flow,
    link: LinkAddresses,
    tcb: Tcb,
    app: C,
    last_heard: Instant,
    /// Highest SEG.SEQ seen, to tell a new SYN from an old one in TIME-WAIT.
    highest_seq: u32,
    established: bool,
    in_ready: bool,
}

/// What a turn leaves a connection waiting for.
enum Next {
    /// Nothing: it is over.
    Over,
    /// Room to send more.
    Room,
    /// A time, or the peer.
    Until(Option<Instant>),
}

/// All connections of one worker. See the [module](self).
pub struct Stack<A: Application> {
    policy: Policy,
    mtu_bytes: usize,
    max_connections: usize,
    isn_secret: IsnSecret,
    interface: Interface,
    no_sockets: SocketSet<'static>,
    table: FlowTable<Connection<A::Conn>>,
    timers: Wheel,
    ready: VecDeque<ConnId>,
    spare: Vec<Tcb>,
    draining: bool,
    /// What was counted so far.
    pub counters: NetCounters,
    /// What runs on the connections.
    pub app: A,
}

impl<A: Application> Stack<A> {
    /// A stack without connections.
    pub fn new(config: &StackConfig, secret: &Secret, app: A) -> Stack<A> {
        let (mut table_key, mut isn_key) = ([0; 16], [0; 16]);
        table_key.copy_from_slice(&secret[..16]);
        isn_key.copy_from_slice(&secret[16..]);
        Stack {
            policy: config.policy.clone(),
            mtu_bytes: config.mtu_bytes,
            max_connections: config.max_connections,
            isn_secret: IsnSecret(isn_key),
            interface: interface(config.mtu_bytes, 0, Instant::ZERO),
            no_sockets: SocketSet::new(vec![]),
            table: FlowTable::new(table_key),
            timers: Wheel::new(),
            ready: VecDeque::new(),
            spare: Vec::new(),
            draining: false,
            counters: NetCounters::default(),
            app,
        }
    }

    /// How many connections there are, in any state.
    pub fn connections(&self) -> usize {
        self.table.len()
    }

    /// Replaces the addresses served (`None`: any).
    pub fn set_addresses(&mut self, addresses: Option<Vec<std::net::Ipv4Addr>>) {
        self.policy.addresses = addresses;
    }

    /// Takes one received Ethernet frame. The caller makes sure that the sink
    /// is ready: a segment whose answer has no room is lost, and counted.
    pub fn frame<S: FrameSink>(&mut self, frame: &[u8], now: Instant, sink: &mut S) {
        self.counters.rx_frames += 1;
        self.counters.rx_bytes += frame.len() as u64;
        match demux::parse(frame, &self.policy) {
            Ok(segment) => self.segment(&segment, now, sink),
            Err(reason) => self.count_drop(reason),
        }
    }

    fn segment<S: FrameSink>(&mut self, segment: &Segment<'_>, now: Instant, sink: &mut S) {
        if !sink.ready() {
            self.counters.drop_no_room += 1;
            return;
        }
        if let Some(id) = self.table.find(segment.flow) {
            if !self.gives_way(id, segment) {
                return self.turn(id, Some(segment), now, sink);
            }
            self.forget(id);
        }
        match accept::deserves(segment.flags) {
            Deserves::Silence => self.counters.drop_stray += 1,
            Deserves::Reset => self.reset(segment, now, sink),
            Deserves::Connection if self.draining => self.reset(segment, now, sink),
            Deserves::Connection if self.table.len() >= self.max_connections => {
                self.counters.drop_table_full += 1;
            }
            Deserves::Connection => self.accept(segment, now, sink),
        }
    }

    /// RFC 9293 §3.10.7.4 (after RFC 1122 §4.2.2.13): in TIME-WAIT a SYN with a
    /// higher sequence number opens the connection anew.
    fn gives_way(&mut self, id: ConnId, segment: &Segment<'_>) -> bool {
        if !segment.flags.syn || segment.flags.ack || segment.flags.rst {
            return false;
        }
        self.table.get_mut(id).is_some_and(|connection| {
            connection.tcb.socket().state() == State::TimeWait
                && after(segment.seq, connection.highest_seq)
        })
    }

    /// Creates the connection that a SYN asks for and lets smoltcp, seeded for
    /// the sequence number wanted, take the SYN.
    fn accept<S: FrameSink>(&mut self, segment: &Segment<'_>, now: Instant, sink: &mut S) {
        let flow = segment.flow;
        let mut tcb = self.spare.pop().unwrap_or_default();
        tcb.listen(flow);
        let number = self.isn_secret.number(flow, now);
        let mut seeded = interface(self.mtu_bytes, seed_for(number), now);
        serve_address(&mut seeded, flow.local);
        let mut device = device(Some(segment.packet), sink, segment.link, self.mtu_bytes);
        seeded.poll_ingress_single(now, &mut device, &mut tcb.sockets);
        self.counters.tx_frames += device.sent;
        if tcb.is_over() {
            // smoltcp's own parser refused it (options cut off, for one).
            self.counters.drop_malformed += 1;
            return self.spare.push(tcb);
        }
        self.counters.syns += 1;
        let app = &mut self.app;
        let id = self.table.insert(flow, |id| Connection {
            flow,
            link: segment.link,
            tcb,
            app: app.open(id),
            last_heard: now,
            highest_seq: segment.seq,
            established: false,
            in_ready: false,
        });
        self.turn(id, None, now, sink);
    }

    /// Answers a segment that belongs to no connection as RFC 9293 §3.10.7.2
    /// says, which smoltcp does when it finds no socket.
    fn reset<S: FrameSink>(&mut self, segment: &Segment<'_>, now: Instant, sink: &mut S) {
        self.counters.resets_for_strays += 1;
        serve_address(&mut self.interface, segment.flow.local);
        let mut device = device(Some(segment.packet), sink, segment.link, self.mtu_bytes);
        self.interface
            .poll_ingress_single(now, &mut device, &mut self.no_sockets);
        self.counters.tx_frames += device.sent;
    }

    /// One turn of a connection: take the segment, let the application move,
    /// send what can be sent, note what it waits for.
    fn turn<S: FrameSink>(
        &mut self,
        id: ConnId,
        segment: Option<&Segment<'_>>,
        now: Instant,
        sink: &mut S,
    ) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        serve_address(&mut self.interface, connection.flow.local);
        if let Some(segment) = segment {
            connection.link = segment.link;
            connection.last_heard = now;
            if after(segment.seq, connection.highest_seq) {
                connection.highest_seq = segment.seq;
            }
        }
        let packet = segment.map(|segment| segment.packet);
        let mut device = device(packet, sink, connection.link, self.mtu_bytes);
        if packet.is_some() {
            self.interface
                .poll_ingress_single(now, &mut device, &mut connection.tcb.sockets);
        }
        if is_synchronized(connection.tcb.socket().state()) {
            if !connection.established {
                connection.established = true;
                self.counters.accepted += 1;
            }
            let mut stream = Stream::new(connection.tcb.socket());
            self.app.drive(id, &mut connection.app, &mut stream, now);
        }
        enforce_patience(&self.app, connection, &mut self.counters, now);
        let next = egress(&mut self.interface, connection, &self.app, &mut device, now);
        self.counters.tx_frames += device.sent;
        match next {
            Next::Over => self.forget(id),
            Next::Room => {
                if !std::mem::replace(&mut connection.in_ready, true) {
                    self.ready.push_back(id);
                }
            }
            Next::Until(Some(at)) => self.timers.set(id.index(), micros(at)),
            Next::Until(None) => self.timers.cancel(id.index()),
        }
    }

    /// Something that `id`'s application waited for has come: `with` hands it
    /// over, then the connection has its turn. Nothing happens when it is gone.
    pub fn wake<S: FrameSink>(
        &mut self,
        id: ConnId,
        now: Instant,
        sink: &mut S,
        with: impl FnOnce(&mut A, &mut A::Conn),
    ) {
        if let Some(connection) = self.table.get_mut(id) {
            with(&mut self.app, &mut connection.app);
            self.turn(id, None, now, sink);
        }
    }

    /// Gives a turn to the connections that waited for room, as far as there is
    /// some, and to those whose timers are due.
    pub fn poll<S: FrameSink>(&mut self, now: Instant, sink: &mut S) {
        for _ in 0..self.ready.len() {
            if !sink.ready() {
                break;
            }
            let Some(id) = self.ready.pop_front() else {
                break;
            };
            if let Some(connection) = self.table.get_mut(id) {
                connection.in_ready = false;
                self.turn(id, None, now, sink);
            }
        }
        while let Some(index) = self.timers.expired(micros(now)) {
            if let Some(id) = self.table.at(index) {
                self.turn(id, None, now, sink);
            }
        }
    }

    /// When [`Stack::poll`] must be called next if nothing comes before:
    /// `Instant::ZERO` when connections wait for room to send.
    pub fn next_at(&self) -> Option<Instant> {
        if !self.ready.is_empty() {
            return Some(Instant::ZERO);
        }
        self.timers
            .next_us()
            .map(|us| Instant::from_micros(us as i64))
    }

    /// Begins the end: no new connections, responses in flight are finished,
    /// idle connections closed. Walks over all connections, once.
    pub fn drain<S: FrameSink>(&mut self, now: Instant, sink: &mut S) {
        self.draining = true;
        for id in self.table.ids() {
            self.wake(id, now, sink, |app, conn| app.shut_down(conn));
        }
    }

    /// Whether every connection has ended, or only waits: out TIME-WAIT, or for
    /// the FIN of a peer that has acknowledged all and then fallen silent (an
    /// idle client need not look at its connection).
    pub fn is_drained(&mut self, now: Instant) -> bool {
        self.table.ids().into_iter().all(|id| {
            self.table
                .get_mut(id)
                .is_none_or(|connection| match connection.tcb.socket().state() {
                    State::TimeWait => true,
                    State::FinWait2 => now >= connection.last_heard + DRAIN_SILENCE,
                    _ => false,
                })
        })
    }

    /// Ends all connections: RST to those whose peers have not acknowledged all,
    /// as far as there is room to send it. To the others it could only do harm:
    /// some systems throw away what their application has not read yet.
    pub fn abort_all<S: FrameSink>(&mut self, now: Instant, sink: &mut S) {
        for id in self.table.ids() {
            if let Some(connection) = self.table.get_mut(id) {
                let state = connection.tcb.socket().state();
                if !matches!(state, State::FinWait2 | State::TimeWait) {
                    connection.tcb.socket().abort();
                    self.turn(id, None, now, sink);
                }
            }
            self.forget(id);
        }
    }

    fn forget(&mut self, id: ConnId) {
        self.timers.cancel(id.index());
        let Some(connection) = self.table.remove(id) else {
            return;
        };
        self.counters.closed += u64::from(connection.established);
        self.app.close(id, connection.app);
        if self.spare.len() < MAX_SPARE_TCBS {
            self.spare.push(connection.tcb);
        }
    }

    fn count_drop(&mut self, reason: Drop) {
        *match reason {
            Drop::NotTcp => &mut self.counters.drop_not_tcp,
            Drop::NotOurs => &mut self.counters.drop_not_ours,
            Drop::Malformed => &mut self.counters.drop_malformed,
            Drop::Fragment => &mut self.counters.drop_fragment,
            Drop::NotUnicast => &mut self.counters.drop_not_unicast,
            Drop::HeaderChecksum => &mut self.counters.drop_ip_checksum,
            Drop::TcpChecksum => &mut self.counters.drop_tcp_checksum,
        } += 1;
    }
}

/// Sends until smoltcp has nothing more for now, the sink is full, or the turn
/// is over.
fn egress<A: Application, S: FrameSink>(
    interface: &mut Interface,
    connection: &mut Connection<A::Conn>,
    app: &A,
    device: &mut Device<'_, S>,
    now: Instant,
) -> Next {
    for _ in 0..TURN_FRAMES {
        if connection.tcb.is_over() {
            return Next::Over;
        }
        let at = interface.poll_at(now, &connection.tcb.sockets);
        if at.is_none_or(|at| at > now) {
            return Next::Until(earliest(at, patience_ends(app, connection)));
        }
        if !device.sink.ready() {
            return Next::Room;
        }
        let sent = device.sent;
        let moved = interface.poll_egress(now, device, &mut connection.tcb.sockets);
        if moved == PollResult::None && device.sent == sent {
            if connection.tcb.is_over() {
                return Next::Over;
            }
            // A timer may have been due with nothing to send for it.
            let at = interface.poll_at(now, &connection.tcb.sockets);
            let at = at.map(|at| at.max(now + STUCK_RETRY));
            return Next::Until(earliest(at, patience_ends(app, connection)));
        }
    }
    if connection.tcb.is_over() {
        Next::Over
    } else {
        Next::Room
    }
}

/// When the silence that this connection's state allows is over; `None` where
/// smoltcp's own timer rules (TIME-WAIT).
fn patience_ends<A: Application>(app: &A, connection: &mut Connection<A::Conn>) -> Option<Instant> {
    let silence = match connection.tcb.socket().state() {
        State::TimeWait | State::Closed | State::Listen => return None,
        State::SynReceived | State::SynSent => HANDSHAKE_SILENCE,
        State::Established | State::CloseWait => app.patience(&connection.app).silence,
        State::FinWait1 | State::FinWait2 | State::Closing | State::LastAck => CLOSING_SILENCE,
    };
    Some(connection.last_heard + silence)
}

fn enforce_patience<A: Application>(
    app: &A,
    connection: &mut Connection<A::Conn>,
    counters: &mut NetCounters,
    now: Instant,
) {
    if patience_ends(app, connection).is_none_or(|end| now < end) {
        return;
    }
    counters.timed_out += 1;
    let open = matches!(
        connection.tcb.socket().state(),
        State::Established | State::CloseWait
    );
    if open && app.patience(&connection.app).polite {
        connection.last_heard = now;
        connection.tcb.socket().close();
    } else {
        connection.tcb.socket().abort();
    }
}

fn device<'a, S: FrameSink>(
    packet: Option<&'a [u8]>,
    sink: &'a mut S,
    link: LinkAddresses,
    mtu_bytes: usize,
) -> Device<'a, S> {
    Device {
        packet,
        sink,
        link,
        mtu_bytes,
        sent: 0,
    }
}

fn interface(mtu_bytes: usize, random_seed: u64, now: Instant) -> Interface {
    /// `Interface::new` asks a device for its capabilities, and nothing else.
    struct Nowhere;
    impl FrameSink for Nowhere {
        fn ready(&mut self) -> bool {
            false
        }
        fn send<R>(&mut self, _: usize, _: impl FnOnce(&mut [u8]) -> R) -> Option<R> {
            None
        }
    }
    let link = LinkAddresses {
        peer: [0; 6],
        local: [0; 6],
    };
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = random_seed;
    debug_assert_eq!(capabilities(mtu_bytes).max_transmission_unit, mtu_bytes);
    Interface::new(
        config,
        &mut device(None, &mut Nowhere, link, mtu_bytes),
        now,
    )
}

/// Makes `local` the interface's address. A prefix of length zero makes every
/// peer a neighbour: routes are the kernel's business, answers follow the MAC.
fn serve_address(interface: &mut Interface, local: Ipv4Address) {
    let cidr = IpCidr::new(local.into(), 0);
    if interface.ip_addrs().first() != Some(&cidr) {
        interface.update_ip_addrs(|addresses| {
            addresses.clear();
            // Cleared, and its capacity is one at least.
            let _ = addresses.push(cidr);
        });
    }
}

fn is_synchronized(state: State) -> bool {
    !matches!(
        state,
        State::Closed | State::Listen | State::SynSent | State::SynReceived
    )
}

/// RFC 9293 §3.4: sequence numbers compare modulo 2^32.
fn after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) as i32 > 0
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    [a, b].into_iter().flatten().min()
}

fn micros(at: Instant) -> u64 {
    at.total_micros().max(0) as u64
}

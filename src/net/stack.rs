//! The stack: frames in, frames out, one TCP connection moved at a time.
//!
//! Sans-IO: the time is an argument, frames arrive as bytes and leave through a
//! [`FrameSink`], randomness is the secret given at the start. Each call does
//! work for one connection, or for those whose timers are due; none looks at
//! all of them.

use super::accept::{self, Deserves};
use super::app::Application;
use super::connection::{Connection, Next};
use super::demux::{self, Drop, Policy, Segment};
use super::device::{Device, interface, serve_address};
use super::flow::{ConnId, FlowTable};
use super::isn::{IsnSecret, seed_for};
use super::link::FrameSink;
use super::tcb::Tcb;
use super::timers::Wheel;
use crate::stats::NetCounters;
use smoltcp::iface::{Interface, SocketSet};
use smoltcp::time::Instant;
use std::collections::VecDeque;

/// Closed sockets kept with their buffers for the next connections.
const MAX_SPARE_TCBS: usize = 1024;
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

/// All connections of one worker. See the [module](self).
pub struct Stack<A: Application> {
    policy: Policy,
    mtu_bytes: usize,
    max_connections: usize,
    isn_secret: IsnSecret,
    interface: Interface,
    no_sockets: SocketSet<'static>,
    table: FlowTable<Connection<A>>,
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
            let connection = self.table.get_mut(id);
            if connection.is_some_and(|connection| connection.gives_way_to(segment)) {
                self.forget(id);
            } else {
                return self.turn(id, Some(segment), now, sink);
            }
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

    /// Creates the connection that a SYN asks for and lets smoltcp, seeded for
    /// the sequence number wanted, take the SYN.
    fn accept<S: FrameSink>(&mut self, segment: &Segment<'_>, now: Instant, sink: &mut S) {
        let flow = segment.flow;
        let mut tcb = self.spare.pop().unwrap_or_default();
        tcb.listen(flow);
        let number = self.isn_secret.number(flow, now);
        let mut seeded = interface(self.mtu_bytes, seed_for(number), now);
        serve_address(&mut seeded, flow.local);
        let mut device = Device::new(Some(segment.packet), sink, segment.link, self.mtu_bytes);
        seeded.poll_ingress_single(now, &mut device, &mut tcb.sockets);
        self.counters.tx_frames += device.sent;
        if tcb.is_over() {
            // smoltcp's own parser refused it (options cut off, for one).
            self.counters.drop_malformed += 1;
            return self.spare.push(tcb);
        }
        self.counters.syns += 1;
        let app = &mut self.app;
        let id = self
            .table
            .insert(flow, |id| Connection::new(segment, tcb, app.open(id), now));
        self.turn(id, None, now, sink);
    }

    /// Answers a segment that belongs to no connection as RFC 9293 §3.10.7.2
    /// says, which smoltcp does when it finds no socket.
    fn reset<S: FrameSink>(&mut self, segment: &Segment<'_>, now: Instant, sink: &mut S) {
        self.counters.resets_for_strays += 1;
        serve_address(&mut self.interface, segment.flow.local);
        let mut device = Device::new(Some(segment.packet), sink, segment.link, self.mtu_bytes);
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
            if connection.must_challenge(segment) {
                self.counters.challenged += 1;
                let mut device = Device::new(None, sink, connection.link, self.mtu_bytes);
                connection.challenge(&mut device, now);
                self.counters.tx_frames += device.sent;
                return;
            }
            connection.hear(segment, now);
        }
        let packet = segment.map(|segment| segment.packet);
        let mut device = Device::new(packet, sink, connection.link, self.mtu_bytes);
        if packet.is_some() {
            self.interface
                .poll_ingress_single(now, &mut device, &mut connection.tcb.sockets);
        }
        let was_established = connection.established;
        connection.drive(id, &mut self.app, now);
        self.counters.accepted += u64::from(connection.established && !was_established);
        self.counters.timed_out += u64::from(connection.enforce_patience(&self.app, now));
        let next = connection.send(&mut self.interface, &self.app, &mut device, now);
        connection.note(device.told);
        self.counters.tx_frames += device.sent;
        match next {
            Next::Over => self.forget(id),
            Next::Room => {
                self.counters.waits_for_room += u64::from(!sink.ready());
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

    /// Whether every connection has ended or only waits. Walks over all of them.
    pub fn is_drained(&mut self, now: Instant) -> bool {
        self.table.ids().into_iter().all(|id| {
            let connection = self.table.get_mut(id);
            connection.is_none_or(|connection| connection.is_drained(now))
        })
    }

    /// Forgets all connections: with RST, as far as there is room to send it,
    /// those whose peers have not acknowledged all, in silence the others.
    pub fn abort_all<S: FrameSink>(&mut self, now: Instant, sink: &mut S) {
        for id in self.table.ids() {
            if let Some(connection) = self.table.get_mut(id)
                && !connection.is_acknowledged()
            {
                connection.tcb.socket().abort();
                self.turn(id, None, now, sink);
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

fn micros(at: Instant) -> u64 {
    at.total_micros().max(0) as u64
}

//! The stack: frames in, frames out, one TCP connection moved at a time.
//!
//! Sans-IO: the time is an argument, frames arrive as bytes and leave through a
//! [`FrameSink`], randomness is the secret given at the start. Each call does
//! work for one connection, or for those whose timers are due; none looks at
//! all of them.
//!
//! A flow is one of three things, each with its own module's rules:
//!
//! ```text
//!  SYN ──► half-open ──────► open ─────────────► closing ──► (forgotten)
//!          [handshake]       `connection`        [closing]
//!          a record, or      with a socket only  a record: our FIN,
//!          only a cookie     while data moves    then TIME-WAIT
//! ```
//!
//! `arrive` takes segments to them, `turn` moves an open one, `end` ends
//! them and finds room for new ones.
//!
//! [handshake]: super::handshake
//! [closing]: super::closing

mod arrive;
mod end;
mod turn;

use super::app::Application;
use super::closing::Closing;
use super::congestion::Algorithm;
use super::connection::Connection;
use super::cookie::Cookies;
use super::demux::{self, Drop, Flow, LinkAddresses, Policy};
use super::device::{Nowhere, interface};
use super::figures::Listing;
use super::flow::{ConnId, FlowTable};
use super::handshake::HalfOpen;
use super::isn::IsnSecret;
use super::limits::Limits;
use super::link::FrameSink;
use super::mtu;
use super::pool::Pool;
use super::ranks::Ranks;
use super::reply::Reply;
use super::sender::Path;
use super::sources::Sources;
use super::timers::Wheel;
use crate::stats::{Census, NetCounters};
use smoltcp::iface::Interface;
use smoltcp::time::{Duration, Instant};
use std::collections::VecDeque;

/// How long a connection keeps a socket that it has no use for.
const SLEEP_AFTER: Duration = Duration::from_secs(1);
/// Connections that keep one all the same at most: few enough that the sockets
/// which wander from connection to connection stay in the processor's cache.
const MAX_QUIET: usize = 256;

/// What a stack is made with.
#[derive(Clone, Debug)]
pub struct StackConfig {
    /// Which frames are ours.
    pub policy: Policy,
    /// Largest IP packet, bytes.
    pub mtu_bytes: usize,
    /// How much may be in flight.
    pub congestion: Algorithm,
    /// How many, how much, how long.
    pub limits: Limits,
}

/// Keys every hash: flow table and source counts (first half), sequence numbers,
/// cookies and timestamps (second). Drawn at random at every start, fixed where
/// a run must replay. Stacks that serve one address share it.
pub type Secret = [u8; 32];

/// What a flow is.
enum Entry<A: Application> {
    HalfOpen(HalfOpen),
    Open(Box<Connection<A>>),
    Closing(Closing),
}

/// All connections of one worker. See the [module](self).
pub struct Stack<A: Application> {
    policy: Policy,
    mtu_bytes: usize,
    path: Path,
    limits: Limits,
    key: [u8; 16],
    isn: IsnSecret,
    cookies: Cookies,
    /// Until when an ACK may bring a cookie back.
    cookies_until: Instant,
    /// One for each of the sizes that packets are kept to.
    interfaces: [Interface; mtu::SIZES],
    nowhere: Nowhere,
    table: FlowTable<Entry<A>>,
    half_open: usize,
    open: usize,
    sources: Sources,
    timers: Wheel,
    ready: VecDeque<ConnId>,
    pool: Pool,
    /// Open, idle, with or without a socket: by when that began.
    idle: Ranks,
    /// Open, with a socket that has nothing to do: by when that began.
    quiet: Ranks,
    /// Open, with a socket that has: by when it last got on.
    busy: Ranks,
    /// Closing, one of the FINs not acknowledged: by when that began.
    closing: Ranks,
    /// In TIME-WAIT: by when that began.
    time_wait: Ranks,
    draining: bool,
    /// A packet as smoltcp is to see it.
    packet: Vec<u8>,
    /// The text of a repair.
    text: Vec<u8>,
    /// What was counted so far.
    pub counters: NetCounters,
    /// What runs on the connections.
    pub app: A,
}

impl<A: Application> Stack<A> {
    /// A stack without connections.
    pub fn new(config: &StackConfig, secret: &Secret, app: A) -> Stack<A> {
        let (mut table_key, mut key) = ([0; 16], [0; 16]);
        table_key.copy_from_slice(&secret[..16]);
        key.copy_from_slice(&secret[16..]);
        let limits = config.limits.clone();
        Stack {
            policy: config.policy.clone(),
            mtu_bytes: config.mtu_bytes,
            path: Path {
                mtu_bytes: config.mtu_bytes,
                congestion: config.congestion,
            },
            key,
            isn: IsnSecret(key),
            cookies: Cookies::new(key),
            cookies_until: Instant::ZERO,
            interfaces: mtu::packet_sizes(config.mtu_bytes)
                .map(|packet_bytes| interface(packet_bytes, 0, Instant::ZERO)),
            nowhere: Nowhere::default(),
            table: FlowTable::new(table_key),
            half_open: 0,
            open: 0,
            sources: Sources::new(limits.max_per_source, limits.source_prefix_bits, table_key),
            timers: Wheel::new(),
            ready: VecDeque::new(),
            pool: Pool::new(limits.memory_bytes, limits.max_connections),
            idle: Ranks::new(),
            quiet: Ranks::new(),
            busy: Ranks::new(),
            closing: Ranks::new(),
            time_wait: Ranks::new(),
            limits,
            draining: false,
            packet: Vec::new(),
            text: Vec::new(),
            counters: NetCounters::default(),
            app,
        }
    }

    /// How many flows there are, in any state, TIME-WAIT included.
    pub fn connections(&self) -> usize {
        self.table.len()
    }

    /// How many there are of each kind.
    pub fn census(&self) -> Census {
        Census {
            half_open: self.half_open as u64,
            open: self.open as u64,
            closing: self.closing.len() as u64,
            time_wait: self.time_wait.len() as u64,
            sockets: self.pool.in_use() as u64,
        }
    }

    /// The connections that have a socket: all that are sending and some that have just
    /// stopped. Looks at `most` at most, at those that stand still longest first.
    pub fn listing(&self, most: usize, now: Instant) -> Listing {
        let awake = self.busy.iter().chain(self.quiet.iter());
        let figures =
            awake
                .take(most)
                .filter_map(|index| match self.table.get(self.table.at(index)?)? {
                    Entry::Open(connection) => connection.figures(now),
                    _ => None,
                });
        Listing {
            figures: figures.collect(),
            awake: self.busy.len() + self.quiet.len(),
            open: self.open,
            recovery: self.counters.recovery,
        }
    }

    /// How many timers run.
    pub fn timers(&self) -> usize {
        self.timers.len()
    }

    /// Replaces the addresses served (`None`: any).
    pub fn set_addresses(&mut self, addresses: Option<Vec<std::net::Ipv4Addr>>) {
        self.policy.addresses = addresses;
    }

    /// Takes one received Ethernet frame. The caller makes sure that the sink
    /// is ready: a segment whose answer has no room is lost, and counted.
    pub fn frame<S: FrameSink>(&mut self, frame: &[u8], now: Instant, sink: &mut S) {
        self.offer(frame, false, now, sink);
    }

    /// The same, but with `siblings` a segment that one of them may know the
    /// connection of, for here there is none, is left to the caller: then the
    /// answer is false.
    pub fn offer<S: FrameSink>(
        &mut self,
        frame: &[u8],
        siblings: bool,
        now: Instant,
        sink: &mut S,
    ) -> bool {
        let parsed = demux::parse(frame, &self.policy);
        if siblings && parsed.is_ok_and(|segment| self.is_stray(&segment, now)) {
            return false;
        }
        self.counters.rx_frames += 1;
        self.counters.rx_bytes += frame.len() as u64;
        match parsed {
            Ok(_) if !sink.ready() => self.counters.drop_no_room += 1,
            Ok(segment) => self.arrive(&segment, now, sink),
            Err(reason) => self.count_drop(reason),
        }
        true
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
        if let Some(Entry::Open(connection)) = self.table.get_mut(id) {
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
            match self.table.get_mut(id) {
                Some(Entry::Open(connection)) => {
                    connection.in_ready = false;
                    self.turn(id, None, now, sink);
                }
                Some(_) => self.timer(id, now, sink),
                None => {}
            }
        }
        while let Some(index) = self.timers.expired(micros(now)) {
            if let Some(id) = self.table.at(index) {
                self.timer(id, now, sink);
            }
        }
        self.put_to_sleep(now);
    }

    /// When [`Stack::poll`] must be called next if nothing comes before:
    /// `Instant::ZERO` when connections wait for room to send.
    pub fn next_at(&self) -> Option<Instant> {
        if !self.ready.is_empty() {
            return Some(Instant::ZERO);
        }
        let timer = self.timers.next_us();
        let timer = timer.map(|us| Instant::from_micros(us as i64));
        timer.into_iter().chain(self.next_sleep_at()).min()
    }

    /// Sends a segment without text; false, and counted, when there is no room: as
    /// if the wire had lost it.
    fn say<S: FrameSink>(
        &mut self,
        reply: Reply,
        (flow, link): (Flow, LinkAddresses),
        sink: &mut S,
    ) -> bool {
        let sent = reply.send(flow, link, sink);
        self.counters.tx_frames += u64::from(sent);
        self.counters.unsent += u64::from(!sent);
        sent
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

//! A discrete-event model of senders that share a bottleneck.
//!
//! ```text
//!  flow 0 ──┐
//!  flow 1 ──┼──► random loss ──► queue of `buffer_bytes`, ──► half a round trip ──► receiver
//!  ...    ──┘                    drained at `rate`                                     │
//!    ▲                                                                                │
//!    └───────────────────── half a round trip: one ACK a segment ◄────────────────────┘
//! ```
//!
//! Segments are all of [`MSS_BYTES`], ACKs are never lost, nothing is reordered. A run
//! depends on the path and its seed alone.

use crate::flow::{Flow, Packet, Step};
use fastrand::Rng;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use xdphttpd::net::congestion::Controller;
use xdphttpd::net::{Duration, Instant};

pub const MSS_BYTES: u64 = 1448;
pub const MSS: u16 = MSS_BYTES as u16;

/// What flows go through.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// Bytes of payload that the bottleneck carries in a second.
    pub rate: u64,
    /// The round trip without any queue.
    pub rtt: Duration,
    /// What waits at the bottleneck at most; what comes then is dropped.
    pub buffer_bytes: u64,
    /// Segments lost at random, of a million.
    pub loss_per_million: u32,
    pub seed: u64,
}

impl Path {
    /// A path of `mbit_per_s` and `rtt_ms`, with a buffer of so many percent of their product.
    pub fn new(mbit_per_s: u64, rtt_ms: u64, buffer_percent: u64) -> Self {
        let mut path = Path {
            rate: mbit_per_s * 125_000,
            rtt: Duration::from_millis(rtt_ms),
            buffer_bytes: 0,
            loss_per_million: 0,
            seed: 1,
        };
        path.buffer_bytes = (path.bdp_bytes() * buffer_percent / 100).max(2 * MSS_BYTES);
        path
    }

    /// Bandwidth times delay.
    pub fn bdp_bytes(&self) -> u64 {
        self.rate * self.rtt.total_micros() / 1_000_000
    }
}

/// What the bottleneck saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub carried_bytes: u64,
    /// Dropped by the full queue.
    pub overflowed_segments: u64,
    /// Lost at random.
    pub lost_segments: u64,
    /// The longest that the queue was.
    pub most_queued_bytes: u64,
}

/// Something that happens to a flow.
#[derive(Debug)]
enum Event {
    /// Its application begins or goes on.
    Write { bytes: u64 },
    /// An acknowledgment of this one arrives.
    Ack(Packet),
    /// Pacing lets it send.
    Wake,
    /// Its retransmission timer may be due.
    Timer,
}

/// When, and which came first; events are in [`Model::events`].
type Due = Reverse<(Instant, u64, usize, usize)>;

/// Flows and what they share.
pub struct Model {
    /// May be changed between runs.
    pub path: Path,
    pub seen: Seen,
    pub now: Instant,
    pub flows: Vec<Flow>,
    due: BinaryHeap<Due>,
    events: slab::Slab<Event>,
    count: u64,
    rng: Rng,
    /// When the bottleneck has sent all that it holds, nanoseconds.
    free_ns: u64,
}

impl Model {
    pub fn new(path: Path) -> Self {
        Model {
            path,
            seen: Seen::default(),
            now: Instant::ZERO,
            flows: Vec::new(),
            due: BinaryHeap::new(),
            events: slab::Slab::new(),
            count: 0,
            rng: Rng::with_seed(path.seed),
            free_ns: 0,
        }
    }

    /// A flow that has nothing to send yet; returns its index in [`flows`](Model::flows).
    pub fn add(&mut self, controller: Box<dyn Controller>) -> usize {
        self.flows.push(Flow::new(controller));
        self.flows.len() - 1
    }

    /// A flow that sends without end from `start` on.
    pub fn add_bulk(&mut self, controller: Box<dyn Controller>, start: Instant) -> usize {
        let flow = self.add(controller);
        self.write(flow, start, u64::MAX);
        flow
    }

    /// `flow`'s application has `bytes` more to send at `at`, in whole segments;
    /// `u64::MAX`: it never ends.
    pub fn write(&mut self, flow: usize, at: Instant, bytes: u64) {
        self.plan(at, flow, Event::Write { bytes });
    }

    /// Everything up to `until` happens.
    pub fn run_until(&mut self, until: Instant) {
        while let Some(&Reverse((at, _, flow, event))) = self.due.peek()
            && at <= until
        {
            self.due.pop();
            self.now = at;
            match self.events.remove(event) {
                Event::Write { bytes } => self.flows[flow].write(at, bytes),
                Event::Ack(packet) => self.flows[flow].on_ack(at, &packet),
                Event::Wake => self.flows[flow].on_wake(),
                Event::Timer => self.flows[flow].on_timer(at),
            }
            self.let_send(flow);
        }
        self.now = until;
    }

    /// Runs for a while and says which share of the bottleneck each flow had then.
    pub fn shares(&mut self, duration: Duration) -> Vec<f64> {
        let before: Vec<u64> = self
            .flows
            .iter()
            .map(|flow| flow.total.delivered_bytes)
            .collect();
        self.run_until(self.now + duration);
        let whole = self.path.rate as f64 * duration.total_micros() as f64 / 1e6;
        let delivered = self.flows.iter().map(|flow| flow.total.delivered_bytes);
        delivered
            .zip(before)
            .map(|(after, before)| (after - before) as f64 / whole)
            .collect()
    }

    /// What waits at the bottleneck now.
    pub fn queued_bytes(&self) -> u64 {
        let wait_ns = self.free_ns.saturating_sub(nanos(self.now));
        (u128::from(wait_ns) * u128::from(self.path.rate) / 1_000_000_000) as u64
    }

    fn let_send(&mut self, flow: usize) {
        let now = self.now;
        loop {
            match self.flows[flow].step(now) {
                Step::Send(packet) => self.carry(flow, packet),
                Step::WakeAt(at) => return self.plan(at, flow, Event::Wake),
                Step::TimerAt(at) => self.plan(at, flow, Event::Timer),
                Step::Wait => return,
            }
        }
    }

    /// The way of a segment.
    fn carry(&mut self, flow: usize, packet: Packet) {
        if self.rng.u32(0..1_000_000) < self.path.loss_per_million {
            self.seen.lost_segments += 1;
            return;
        }
        let queued = self.queued_bytes();
        if queued > self.path.buffer_bytes {
            self.seen.overflowed_segments += 1;
            return;
        }
        self.seen.carried_bytes += MSS_BYTES;
        self.seen.most_queued_bytes = self.seen.most_queued_bytes.max(queued + MSS_BYTES);
        self.free_ns =
            self.free_ns.max(nanos(self.now)) + MSS_BYTES * 1_000_000_000 / self.path.rate;
        let left = Instant::from_micros((self.free_ns.div_ceil(1_000)) as i64);
        self.plan(left + self.path.rtt, flow, Event::Ack(packet));
    }

    fn plan(&mut self, at: Instant, flow: usize, event: Event) {
        self.count += 1;
        let event = self.events.insert(event);
        self.due.push(Reverse((at, self.count, flow, event)));
    }
}

fn nanos(at: Instant) -> u64 {
    at.total_micros() as u64 * 1_000
}

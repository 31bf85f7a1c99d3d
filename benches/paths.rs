//! How long a download takes on a modelled path, in virtual time: recovery,
//! congestion control and pace against a receiver that answers as Linux does.
//! What it prints follows from its seeds alone, so that two versions can be
//! compared on the busiest machine.
//!
//! usage: cargo bench --bench paths [-- FILTER]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use xdphttpd::net::congestion::pace::Pacer;
use xdphttpd::net::congestion::{Algorithm, Congestion, Controller};
use xdphttpd::net::recovery::{Duration, Heard, Instant, Recovery, Tally};

const MSS: u64 = 1_448;
const SEEDS: u64 = 9;
/// Linux's delayed ACK once a connection is no longer new.
const DELAYED_ACK_US: u64 = 40_000;
/// Nothing takes longer than this.
const LIMIT: Instant = Instant::from_micros_const(900_000_000);

/// Chances are in 1,000, times microseconds.
#[derive(Clone, Copy)]
struct Path {
    name: &'static str,
    bytes: u64,
    one_way_us: u64,
    loss: u32,
    reorder: u32,
    hold_us: u64,
    /// `None`: any amount.
    bytes_per_s: Option<u64>,
    queue_us: u64,
}

const CLEAN: Path = Path {
    name: "",
    bytes: 30_000_000,
    one_way_us: 10_000,
    loss: 0,
    reorder: 0,
    hold_us: 0,
    bytes_per_s: None,
    queue_us: 100_000,
};
const MBIT: u64 = 125_000;

const PATHS: &[Path] = &[
    Path {
        name: "veth, 5 % loss, 20 MB",
        bytes: 20_000_000,
        one_way_us: 40,
        loss: 50,
        bytes_per_s: Some(8_000 * MBIT),
        ..CLEAN
    },
    Path {
        name: "20 ms, 1 % loss, 3 MB",
        bytes: 3_000_000,
        loss: 10,
        ..CLEAN
    },
    Path {
        name: "20 ms, 1 % loss, 30 MB",
        loss: 10,
        bytes_per_s: Some(1_000 * MBIT),
        ..CLEAN
    },
    Path {
        name: "20 ms, 30 % late by 2 ms",
        reorder: 300,
        hold_us: 2_000,
        bytes_per_s: Some(1_000 * MBIT),
        ..CLEAN
    },
    Path {
        name: "50 ms, 14 kB",
        bytes: 14_000,
        one_way_us: 25_000,
        bytes_per_s: Some(100 * MBIT),
        ..CLEAN
    },
    Path {
        name: "50 ms, 100 kB",
        bytes: 100_000,
        one_way_us: 25_000,
        bytes_per_s: Some(100 * MBIT),
        ..CLEAN
    },
    Path {
        name: "50 ms, 100 Mbit/s, 10 MB",
        bytes: 10_000_000,
        one_way_us: 25_000,
        bytes_per_s: Some(100 * MBIT),
        ..CLEAN
    },
    Path {
        name: "200 ms, 0.1 % loss, 10 MB",
        bytes: 10_000_000,
        one_way_us: 100_000,
        loss: 1,
        bytes_per_s: Some(1_000 * MBIT),
        ..CLEAN
    },
    Path {
        name: "200 ms, 100 kB",
        bytes: 100_000,
        one_way_us: 100_000,
        ..CLEAN
    },
];

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// From, to, and when it left.
    Data(u64, u64, Instant),
    /// Up to where, SACK blocks, what came twice, and when what it answers left.
    Ack(u64, Vec<(u64, u64)>, Option<(u64, u64)>, Option<Instant>),
    DelayedAck(u64),
}

/// RFC 5681 §4.2, RFC 2018 §4, RFC 2883 §4.
#[derive(Default)]
struct Receiver {
    next: u64,
    /// Beyond `next`: end by start, and when it last grew.
    beyond: BTreeMap<u64, (u64, u64)>,
    clock: u64,
    unanswered: u32,
    answers: u64,
    recent_at: Option<Instant>,
}

impl Receiver {
    /// Takes a segment in: whether to answer now, and what of it came twice.
    fn take(&mut self, from: u64, to: u64) -> (bool, Option<(u64, u64)>) {
        self.clock += 1;
        let holds = |start: u64, end: u64| start <= from && to <= end;
        if holds(0, self.next) || self.beyond.iter().any(|(&s, &(e, _))| holds(s, e)) {
            return (true, Some((from, to)));
        }
        let had_hole = !self.beyond.is_empty();
        let (mut start, mut end) = (from, to);
        self.beyond.retain(|&s, &mut (e, _)| {
            let touches = s <= end && start <= e;
            if touches {
                (start, end) = (start.min(s), end.max(e));
            }
            !touches
        });
        if start <= self.next {
            self.next = end;
            return (had_hole, None);
        }
        self.beyond.insert(start, (end, self.clock));
        (true, None)
    }

    fn blocks(&self, most: usize) -> Vec<(u64, u64)> {
        let mut blocks: Vec<_> = self
            .beyond
            .iter()
            .map(|(&s, &(e, at))| (at, s, e))
            .collect();
        blocks.sort_by_key(|&(at, ..)| Reverse(at));
        blocks.truncate(most);
        blocks.into_iter().map(|(_, s, e)| (s, e)).collect()
    }
}

struct World {
    path: Path,
    random: fastrand::Rng,
    now: Instant,
    events: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    count: u64,
    free_at: Instant,
    recovery: Recovery,
    congestion: Congestion,
    pacer: Pacer,
    pace_at: Option<Instant>,
    receiver: Receiver,
    tally: Tally,
    queue_drops: u64,
}

impl World {
    fn new(path: Path, algorithm: Algorithm, seed: u64) -> World {
        World {
            path,
            random: fastrand::Rng::with_seed(seed),
            now: Instant::ZERO,
            events: BinaryHeap::new(),
            count: 0,
            free_at: Instant::ZERO,
            recovery: Recovery::new(0, Instant::ZERO),
            congestion: Congestion::new(algorithm, MSS as u16, Instant::ZERO, seed),
            pacer: Pacer::new(MSS as u16),
            pace_at: None,
            receiver: Receiver::default(),
            tally: Tally::default(),
            queue_drops: 0,
        }
    }

    fn put(&mut self, at: Instant, event: Event) {
        self.count += 1;
        self.events.push(Reverse((at, self.count, event)));
    }

    /// To the receiver, through the bottleneck.
    fn carry(&mut self, from: u64, to: u64) {
        if self.random.u32(0..1_000) < self.path.loss {
            return;
        }
        let mut due = self.now;
        if let Some(rate) = self.path.bytes_per_s {
            if self.free_at > self.now + Duration::from_micros(self.path.queue_us) {
                self.queue_drops += 1;
                return;
            }
            let us = (to - from + 66) * 1_000_000 / rate;
            self.free_at = self.free_at.max(self.now) + Duration::from_micros(us);
            due = self.free_at;
        }
        let at = due + self.way();
        self.put(at, Event::Data(from, to, self.now));
    }

    fn way(&mut self) -> Duration {
        let is_late = self.random.u32(0..1_000) < self.path.reorder;
        let late_us = self.random.u64(0..=self.path.hold_us * u64::from(is_late));
        Duration::from_micros(self.path.one_way_us + late_us)
    }

    fn allowance(&mut self) -> u64 {
        let in_flight = self.recovery.in_flight_bytes();
        let mut allowed = self.congestion.window_bytes().saturating_sub(in_flight);
        if allowed < MSS && in_flight > 0 {
            allowed = 0;
        }
        self.pace_at = None;
        if let Some(rate) = self.congestion.pace_bytes_per_s() {
            let paced = self.pacer.allowance_bytes(self.now, rate);
            if paced < allowed {
                let at = self.pacer.next_at(self.now, rate);
                self.pace_at = Some(at.max(self.now + Duration::from_micros(50)));
            }
            allowed = if paced < MSS { 0 } else { allowed.min(paced) };
        }
        if self.recovery.wants_probe() {
            allowed.max(MSS)
        } else {
            allowed
        }
    }

    fn repair(&mut self, probe: bool) {
        while self.recovery.has_lost() || (probe && self.recovery.wants_probe()) {
            let window_bytes = self.congestion.window_bytes();
            let Some(repair) = self.recovery.next_repair(window_bytes, probe) else {
                break;
            };
            self.pacer.spend(repair.len.into());
            self.recovery
                .on_repair(repair, self.now, &mut self.congestion);
            self.carry(repair.start, repair.start + u64::from(repair.len));
        }
    }

    fn turn(&mut self) {
        self.repair(false);
        let mut left = self.allowance();
        let may = left;
        loop {
            let start = self.recovery.range().end;
            let rest = self.path.bytes - start;
            let len = MSS.min(rest);
            if len == 0 {
                if left > 0 {
                    self.recovery.note_app_limited();
                }
                break;
            }
            if left < len || self.recovery.room() == 0 {
                self.recovery.note_window_limited(0);
                break;
            }
            left -= len;
            self.pacer.spend(len);
            self.recovery
                .on_send(len as u32, self.now, &mut self.congestion);
            self.carry(start, start + len);
        }
        if may > 0 {
            self.allowance();
        }
        self.repair(true);
    }

    fn answer(&mut self, twice: Option<(u64, u64)>) {
        self.receiver.unanswered = 0;
        self.receiver.answers += 1;
        let blocks = self.receiver.blocks(if twice.is_some() { 2 } else { 3 });
        let ack = Event::Ack(self.receiver.next, blocks, twice, self.receiver.recent_at);
        if self.random.u32(0..1_000) >= self.path.loss {
            let at = self.now + self.way();
            self.put(at, ack);
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Data(from, to, left_at) => {
                if from <= self.receiver.next {
                    self.receiver.recent_at = Some(left_at); // RFC 7323 §4.3
                }
                let (at_once, twice) = self.receiver.take(from, to);
                self.receiver.unanswered += 1;
                if at_once || self.receiver.unanswered > 1 {
                    self.answer(twice);
                } else {
                    let at = self.now + Duration::from_micros(DELAYED_ACK_US);
                    self.put(at, Event::DelayedAck(self.receiver.answers));
                }
            }
            Event::DelayedAck(answers) => {
                if self.receiver.answers == answers {
                    self.answer(None);
                }
            }
            Event::Ack(una, blocks, twice, left_at) => {
                let sacks: Vec<_> = blocks.iter().map(|&(s, e)| s..e).collect();
                let una = una.max(self.recovery.range().start);
                let heard = Heard {
                    una,
                    sacks: &sacks,
                    duplicate: twice.map(|(s, e)| s..e),
                    answers_before: left_at.map(|at| Instant::from_millis(at.total_millis() + 1)),
                    is_bare: true,
                };
                self.recovery.on_ack(&heard, self.now, &mut self.congestion);
            }
        }
    }

    /// Until the receiver has all: when.
    fn run(&mut self) -> Duration {
        while self.receiver.next < self.path.bytes && self.now < LIMIT {
            self.turn();
            let timers = [self.recovery.next_at(), self.pace_at];
            let timer_at = timers.into_iter().flatten().min();
            let event_at = self.events.peek().map(|Reverse((at, ..))| *at);
            match (timer_at, event_at) {
                (Some(at), event_at) if event_at.is_none_or(|event| at < event) => {
                    self.now = self.now.max(at);
                }
                (_, Some(at)) => self.now = at,
                (..) => break,
            }
            self.recovery.on_timer(self.now, &mut self.congestion);
            if event_at == Some(self.now)
                && let Some(Reverse((_, _, event))) = self.events.pop()
            {
                self.handle(event);
            }
        }
        self.tally = self.recovery.tally;
        self.now - Instant::ZERO
    }
}

fn main() {
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    println!(
        "{:<28} {:>6} {:>22} {:>9} {:>9} {:>7} {:>9} {:>9} {:>7} {:>9}",
        "path",
        "",
        "seconds",
        "repairs",
        "in vain",
        "probes",
        "time-outs",
        "episodes",
        "undone",
        "overflow"
    );
    for path in PATHS {
        if filter
            .as_ref()
            .is_some_and(|f| !path.name.contains(f.as_str()))
        {
            continue;
        }
        for (name, algorithm) in [("cubic", Algorithm::Cubic), ("bbr", Algorithm::Bbr)] {
            let mut all: Vec<_> = (1..=SEEDS)
                .map(|seed| {
                    let mut world = World::new(*path, algorithm, seed);
                    (world.run(), world.tally, world.queue_drops)
                })
                .collect();
            all.sort_by_key(|run| run.0);
            let seconds = |at: usize| all[at].0.total_micros() as f64 / 1e6;
            let (_, tally, drops) = all[all.len() / 2];
            let spread = format!(
                "{:.3} ({:.3}–{:.3})",
                seconds(all.len() / 2),
                seconds(0),
                seconds(all.len() - 1)
            );
            println!(
                "{:<28} {name:>6} {spread:>22} {:>9} {:>9} {:>7} {:>9} {:>9} {:>7} {:>9}",
                path.name,
                tally.repairs,
                tally.spurious,
                tally.probes,
                tally.timeouts,
                tally.episodes,
                tally.undone,
                drops
            );
        }
    }
}

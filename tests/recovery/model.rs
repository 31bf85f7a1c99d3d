//! A path that loses, delays, reorders and doubles, with a receiver at its end
//! that answers as RFC 2018, RFC 2883 and RFC 5681 say.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::Range;
use xdphttpd::net::congestion::{Ack, Algorithm, Congestion, Controller, Loss};
use xdphttpd::net::mtu::{BlackHole, Mss};
use xdphttpd::net::options::Peer;
use xdphttpd::net::recovery::{Duration, Heard, Instant, Memory, Recovery, Repair};

const MSS: u64 = 1_460;
const PEER: Peer = Peer {
    mss: MSS as u16,
    window_shift: None,
    sack: true,
    timestamps: false,
};
/// More than this happens only when something goes round in circles.
const MAX_EVENTS: usize = 200_000;

/// What the path and its ends are like. Chances are in 100.
#[derive(Clone, Debug)]
struct Case {
    seed: u64,
    bytes: u64,
    window_segments: u64,
    control: Control,
    delay_us: u64,
    loss: u32,
    ack_loss: u32,
    reordered: u32,
    doubled: u32,
    delayed_ack_ms: u64,
    has_sack: bool,
    /// Larger segments vanish, once so many have been sent.
    carries: u64,
    narrow_after: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let path = (50..150_000u64, 0..30u32, 0..30u32, 0..20u32, 0..10u32);
    let ends = (
        1..300_000u64,
        1..64u64,
        prop::sample::select(&Control::ALL),
        prop::sample::select(vec![0, 40, 200]),
        prop::bool::weighted(0.8),
    );
    let narrow = (
        prop::sample::select(vec![MSS, MSS, 1_240, 536]),
        prop::sample::select(vec![0, 0, 20, 100]),
    );
    (any::<u64>(), path, ends, narrow).prop_map(|(seed, path, ends, narrow)| Case {
        seed,
        bytes: ends.0,
        window_segments: ends.1,
        control: ends.2,
        delay_us: path.0,
        loss: path.1,
        ack_loss: path.2,
        reordered: path.3,
        doubled: path.4,
        delayed_ack_ms: ends.3,
        has_sack: ends.4,
        carries: narrow.0,
        narrow_after: narrow.1,
    })
}

/// What says how much may be in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Control {
    /// The window stays as it is.
    Fixed,
    /// It halves and grows.
    Halves,
    /// One of the server's own.
    Real(Algorithm),
}

impl Control {
    const ALL: [Control; 5] = [
        Control::Fixed,
        Control::Halves,
        Control::Real(Algorithm::Cubic),
        Control::Real(Algorithm::Bbr),
        Control::Real(Algorithm::None),
    ];
}

/// A window of one of these kinds.
struct Window {
    bytes: u64,
    before: u64,
    adapts: bool,
    real: Option<Congestion>,
    forced: u64,
}

impl Window {
    fn new(case: &Case) -> Window {
        let real = match case.control {
            Control::Real(algorithm) => Some(algorithm),
            Control::Fixed | Control::Halves => None,
        };
        Window {
            bytes: case.window_segments * MSS,
            before: 0,
            adapts: case.control == Control::Halves,
            real: real
                .map(|algorithm| Congestion::new(algorithm, MSS as u16, Instant::ZERO, case.seed)),
            forced: 0,
        }
    }
}

impl Controller for Window {
    fn window_bytes(&self) -> u64 {
        let real = self.real.as_ref();
        real.map_or(self.bytes, Controller::window_bytes)
    }

    fn threshold_bytes(&self) -> u64 {
        u64::MAX
    }

    fn pace_bytes_per_s(&self) -> Option<u64> {
        None
    }

    fn on_send(&mut self, now: Instant, bytes: u64, in_flight_bytes: u64) {
        if let Some(real) = &mut self.real {
            real.on_send(now, bytes, in_flight_bytes);
        }
    }

    fn on_ack(&mut self, ack: &Ack) {
        if let Some(real) = &mut self.real {
            real.on_ack(ack);
            assert!(real.window_bytes() >= MSS, "no segment fits the window");
        }
        assert!(ack.acknowledged_bytes <= ack.nxt_offset);
        if self.adapts && ack.is_window_limited && !ack.in_recovery {
            self.bytes += ack.delivered_bytes;
        }
    }

    fn on_loss(&mut self, loss: &Loss) {
        if let Some(real) = &mut self.real {
            real.on_loss(loss);
        }
        self.before = self.bytes;
        if self.adapts {
            self.bytes = (self.bytes / 2).max(2 * MSS);
        }
    }

    fn on_recovered(&mut self, now: Instant) {
        if let Some(real) = &mut self.real {
            real.on_recovered(now);
        }
    }

    fn on_timeout(&mut self, loss: &Loss) {
        if let Some(real) = &mut self.real {
            real.on_timeout(loss);
        }
        self.before = self.bytes;
        if self.adapts {
            self.bytes = MSS;
        }
    }

    fn on_undo(&mut self, now: Instant) {
        if let Some(real) = &mut self.real {
            real.on_undo(now);
        }
        self.bytes = self.bytes.max(self.before);
    }

    fn on_idle(&mut self, _now: Instant, _idle: Duration, _rto: Duration) {}
}

/// What is on its way, or due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Data(u64, u64),
    Ack(u64, Vec<(u64, u64)>, Option<(u64, u64)>),
    DelayedAck,
}

/// RFC 5681 §4.2, RFC 2018 §4, RFC 2883 §4.
#[derive(Default)]
struct Receiver {
    next: u64,
    /// Beyond `next`: end by start, and when it last grew.
    beyond: BTreeMap<u64, (u64, u64)>,
    clock: u64,
    unanswered: u32,
}

impl Receiver {
    /// Takes a segment in: whether to answer now, and what of it came twice.
    fn take(&mut self, data: Range<u64>) -> (bool, Option<(u64, u64)>) {
        self.clock += 1;
        let holds = |(start, end): (u64, u64)| start <= data.start && data.end <= end;
        let is_held =
            holds((0, self.next)) || self.beyond.iter().any(|(&s, &(e, _))| holds((s, e)));
        if is_held {
            return (true, Some((data.start, data.end)));
        }
        let had_hole = !self.beyond.is_empty();
        let (mut start, mut end) = (data.start, data.end);
        self.beyond.retain(|&s, &mut (e, _)| {
            let touches = s <= end && start <= e;
            if touches {
                (start, end) = (start.min(s), end.max(e));
            }
            !touches
        });
        self.beyond.insert(start, (end, self.clock));
        let is_next = start <= self.next;
        if is_next {
            self.beyond.remove(&start);
            self.next = end;
        }
        (had_hole || !is_next, None)
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
    case: Case,
    random: fastrand::Rng,
    now: Instant,
    events: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    count: u64,
    recovery: Recovery,
    window: Window,
    receiver: Receiver,
    mss: Mss,
    sent: u64,
}

impl World {
    fn new(case: &Case) -> World {
        let mss = Mss::new(1_500, &PEER);
        let mut recovery = Recovery::new(0, Instant::ZERO);
        let memory = Memory::new(BlackHole::new(&mss), None, Instant::ZERO);
        recovery.resume(&memory, 0, Instant::ZERO);
        World {
            case: case.clone(),
            random: fastrand::Rng::with_seed(case.seed),
            now: Instant::ZERO,
            events: BinaryHeap::new(),
            count: 0,
            recovery,
            mss,
            sent: 0,
            window: Window::new(case),
            receiver: Receiver::default(),
        }
    }

    fn chance(&mut self, of_100: u32) -> bool {
        self.random.u32(0..100) < of_100
    }

    fn put(&mut self, after_us: u64, event: Event) {
        self.count += 1;
        let at = self.now + Duration::from_micros(after_us);
        self.events.push(Reverse((at, self.count, event)));
    }

    /// Puts a segment on the path, unless it is too large.
    fn carry_data(&mut self, start: u64, end: u64) {
        self.sent += 1;
        if self.sent <= self.case.narrow_after || end - start <= self.case.carries {
            self.carry(Event::Data(start, end), self.case.loss);
        }
    }

    /// Puts it on the path, if that takes it.
    fn carry(&mut self, event: Event, loss: u32) {
        for _ in 0..1 + u32::from(self.chance(self.case.doubled)) {
            if self.chance(loss) {
                continue;
            }
            let late = self.chance(self.case.reordered);
            let most = self.case.delay_us * u64::from(late);
            let more_us = self.random.u64(0..=most);
            self.put(self.case.delay_us + more_us, event.clone());
        }
    }

    /// Sends what may be sent, and checks that it may.
    fn send(&mut self) {
        while let Some(repair) = self.next_repair() {
            let range = self.recovery.range();
            let end = repair.start + u64::from(repair.len);
            assert!(range.start <= repair.start && end <= range.end);
            assert!(repair.len > 0);
            self.recovery.on_repair(repair, self.now, &mut self.window);
            self.carry_data(repair.start, end);
            self.check();
        }
        loop {
            let start = self.recovery.range().end;
            let len = u64::from(self.mss.bytes()).min(self.case.bytes - start);
            if len == 0 {
                self.recovery.note_app_limited();
                return;
            }
            let in_flight = self.recovery.in_flight_bytes();
            let window_bytes = self.window.window_bytes();
            let fits = in_flight.saturating_add(len) <= window_bytes || in_flight == 0;
            if self.recovery.room() == 0 || !(fits || self.recovery.wants_probe()) {
                self.recovery.note_window_limited(0);
                return;
            }
            self.recovery
                .on_send(len as u32, self.now, &mut self.window);
            self.carry_data(start, start + len);
            self.check();
        }
    }

    fn next_repair(&mut self) -> Option<Repair> {
        let nothing_new = self.recovery.range().end == self.case.bytes;
        let is_probe = nothing_new && !self.recovery.has_lost();
        let in_flight = self.recovery.in_flight_bytes();
        let window_bytes = self.window.window_bytes();
        let repair = self.recovery.next_repair(window_bytes, nothing_new)?;
        let fits = in_flight.saturating_add(repair.len.into()) <= window_bytes;
        self.window.forced += u64::from(!fits && in_flight > 0 && !is_probe);
        Some(repair)
    }

    fn answer(&mut self, twice: Option<(u64, u64)>) {
        self.receiver.unanswered = 0;
        let most = if twice.is_some() { 2 } else { 3 };
        let (blocks, twice) = match self.case.has_sack {
            true => (self.receiver.blocks(most), twice),
            false => (vec![], None),
        };
        let ack = Event::Ack(self.receiver.next, blocks, twice);
        self.carry(ack, self.case.ack_loss);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Data(start, end) => {
                let (at_once, twice) = self.receiver.take(start..end);
                self.receiver.unanswered += 1;
                if at_once || self.receiver.unanswered > 1 || self.case.delayed_ack_ms == 0 {
                    self.answer(twice);
                } else {
                    self.put(self.case.delayed_ack_ms * 1_000, Event::DelayedAck);
                }
            }
            Event::DelayedAck if self.receiver.unanswered > 0 => self.answer(None),
            Event::DelayedAck => {}
            Event::Ack(una, blocks, twice) => {
                let sacks: Vec<Range<u64>> = blocks.iter().map(|&(s, e)| s..e).collect();
                let heard = Heard {
                    una,
                    sacks: &sacks,
                    duplicate: twice.map(|(s, e)| s..e),
                    answers_before: None,
                    is_bare: true,
                };
                self.recovery.on_ack(&heard, self.now, &mut self.window);
            }
        }
    }

    fn time_out(&mut self) {
        let swallowed = self.recovery.on_timer(self.now, &mut self.window);
        if swallowed.is_some_and(|bytes| self.mss.fall_below(bytes)) {
            let black_hole = BlackHole::new(&self.mss);
            let mss_bytes = self.mss.bytes().into();
            self.recovery.on_mss(mss_bytes, black_hole, self.now);
            let board = self.recovery.board();
            assert!(board.iter().all(|s| s.is_sacked || s.len <= mss_bytes));
        }
    }

    fn check(&mut self) {
        self.recovery.board().check();
        let is_idle = self.recovery.is_idle();
        assert_eq!(self.recovery.next_at().is_none(), is_idle);
        assert!(!is_idle || self.recovery.in_flight_bytes() == 0);
        assert!(self.recovery.range().end <= self.case.bytes);
    }

    /// Until everything has arrived and is acknowledged.
    fn run(mut self) -> Recovery {
        for _ in 0..MAX_EVENTS {
            self.send();
            if self.recovery.range().start == self.case.bytes {
                assert_eq!(self.receiver.next, self.case.bytes);
                assert!(self.recovery.is_idle());
                let tally = self.recovery.tally;
                if self.case.has_sack {
                    assert!(self.window.forced <= tally.episodes + tally.timeouts);
                }
                assert!(tally.spurious <= tally.repairs);
                return self.recovery;
            }
            let event_at = self.events.peek().map(|Reverse((at, ..))| *at);
            let timer_at = self.recovery.next_at();
            assert!(timer_at.is_some(), "it waits forever");
            if event_at.is_none() || timer_at < event_at {
                self.now = self.now.max(timer_at.unwrap_or(self.now));
                self.time_out();
                assert!(self.recovery.next_at().is_none_or(|at| at > self.now));
            } else if let Some(Reverse((at, _, event))) = self.events.pop() {
                self.now = at;
                self.handle(event);
            }
            self.check();
        }
        panic!("it does not end: {:?}", self.recovery.tally);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        rng_seed: RngSeed::Fixed(8_985),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn everything_arrives_over_any_path(case in cases()) {
        World::new(&case).run();
    }

    /// Without losses nothing is sent twice, but for a probe of who waits for a
    /// delayed ACK.
    #[test]
    fn a_clean_path_needs_no_repairs(case in cases()) {
        let clean = Case {
            loss: 0, ack_loss: 0, reordered: 0, doubled: 0, delayed_ack_ms: 0, carries: MSS, ..case
        };
        let tally = World::new(&clean).run().tally;
        prop_assert_eq!((tally.repairs, tally.episodes, tally.timeouts), (0, 0, 0));
    }

    /// Nor does it take much more than what was lost, without reordering.
    #[test]
    fn what_is_lost_is_what_is_repaired(case in cases()) {
        let clean = Case {
            loss: case.loss / 6, ack_loss: 0, reordered: 0, doubled: 0, delayed_ack_ms: 0,
            has_sack: true, window_segments: case.window_segments.max(8), carries: MSS, ..case
        };
        let tally = World::new(&clean).run().tally;
        let in_vain = tally.spurious - tally.spurious.min(tally.probes + tally.timeouts * 2);
        prop_assert!(in_vain == 0, "{:?}", tally);
    }
}

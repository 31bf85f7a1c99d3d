//! What loss recovery costs a segment or an ACK, with little and with much in
//! flight, and with a peer that does its worst.
//!
//! ```text
//! cargo bench --bench recovery
//! ```

use std::hint::black_box;
use std::ops::Range;
use std::time::Instant as Clock;
use xdphttpd::net::congestion::{Ack, Controller, Loss};
use xdphttpd::net::recovery::scoreboard::Segment;
use xdphttpd::net::recovery::{Duration, Heard, Instant, MAX_SEGMENTS, Recovery};

const MSS: u64 = 1_460;
const ROUNDS: u64 = 200;

struct Unlimited;

impl Controller for Unlimited {
    fn window_bytes(&self) -> u64 {
        u64::MAX
    }

    fn threshold_bytes(&self) -> u64 {
        u64::MAX
    }

    fn pace_bytes_per_s(&self) -> Option<u64> {
        None
    }

    fn on_send(&mut self, _now: Instant, _bytes: u64, _in_flight_bytes: u64) {}
    fn on_ack(&mut self, _ack: &Ack) {}
    fn on_loss(&mut self, _loss: &Loss) {}
    fn on_recovered(&mut self, _now: Instant) {}
    fn on_timeout(&mut self, _loss: &Loss) {}
    fn on_undo(&mut self, _now: Instant) {}
    fn on_idle(&mut self, _now: Instant, _idle: Duration, _rto: Duration) {}
}

struct Bench {
    recovery: Recovery,
    now: Instant,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            recovery: Recovery::new(0, Instant::ZERO),
            now: Instant::ZERO,
        }
    }

    fn pass_us(&mut self, us: u64) {
        self.now += Duration::from_micros(us);
    }

    fn send(&mut self, segments: u64) {
        for _ in 0..segments {
            self.recovery.on_send(MSS as u32, self.now, &mut Unlimited);
        }
    }

    fn hear(&mut self, una: u64, sacks: &[Range<u64>], duplicate: Option<Range<u64>>) {
        let heard = Heard {
            una,
            sacks,
            duplicate,
            answers_before: None,
            is_bare: true,
        };
        self.recovery
            .on_ack(black_box(&heard), self.now, &mut Unlimited);
    }

    fn repair(&mut self, most: usize) {
        for _ in 0..most {
            let Some(repair) = self.recovery.next_repair(u64::MAX, true) else {
                return;
            };
            self.recovery.on_repair(repair, self.now, &mut Unlimited);
        }
    }

    fn acknowledge(&mut self, segments: u64) {
        let una = self.recovery.range().start + segments * MSS;
        self.hear(una, &[], None);
    }

    /// `segments` in flight; then, for ROUNDS times, `acks` ACKs, and a new flight.
    fn flights(
        &mut self,
        segments: u64,
        acks: u64,
        mut ack: impl FnMut(&mut Bench, u64, u64),
    ) -> f64 {
        let mut spent = std::time::Duration::ZERO;
        for _ in 0..ROUNDS {
            self.send(segments);
            self.pass_us(20_000);
            let una = self.recovery.range().start;
            let begin = Clock::now();
            for number in 0..acks {
                self.pass_us(1);
                ack(self, una, number);
            }
            spent += begin.elapsed();
            self.hear(self.recovery.range().end, &[], None);
        }
        spent.as_nanos() as f64 / (ROUNDS * acks) as f64
    }
}

fn segments(una: u64, from: u64, to: u64) -> Range<u64> {
    una + from * MSS..una + to * MSS
}

fn clean(in_flight: u64) -> f64 {
    let mut bench = Bench::new();
    let count = 2_000_000;
    bench.send(in_flight);
    let begin = Clock::now();
    for _ in 0..count {
        bench.pass_us(10);
        bench.acknowledge(1);
        bench.send(1);
    }
    begin.elapsed().as_nanos() as f64 / count as f64
}

fn report(what: &str, ns: f64) {
    println!("{what:<58}{ns:>9.1} ns");
}

fn main() {
    let (recovery, segment) = (size_of::<Recovery>(), size_of::<Segment>());
    println!("Recovery {recovery} bytes, Segment {segment} bytes");
    let all = MAX_SEGMENTS as u64;
    for in_flight in [1, 10, 100, all - 1] {
        report(
            &format!("a segment and its ACK, {in_flight} in flight"),
            clean(in_flight),
        );
    }
    let hole = Bench::new().flights(all, all - 1, |bench, una, number| {
        bench.hear(una, &[segments(una, 1, number + 2)], None);
        bench.repair(10);
    });
    report("an ACK behind a hole, one block that grows", hole);
    let comb = Bench::new().flights(all, all / 2, |bench, una, number| {
        let at = |back: u64| (number.saturating_sub(back)) * 2 + 1;
        let blocks = [0, 1, 2, 3].map(|back| segments(una, at(back), at(back) + 1));
        bench.hear(una, &blocks, None);
        bench.repair(10);
    });
    report("an ACK of every second segment, four blocks", comb);
    let late = Bench::new().flights(all, all / 2, |bench, una, number| {
        let at = all - 1 - number * 2;
        bench.hear(una, &[segments(una, at, at + 1)], None);
    });
    report("the same from behind, nothing repaired", late);
    let runs = Bench::new().flights(all, all, |bench, una, number| {
        if number == 0 {
            bench.hear(una, &[segments(una, 1, all)], None);
        }
        let from = |n: u64| 1 + (number * 1_021 + n * 511) % (all - 1);
        let blocks = [0, 1, 2, 3].map(|n| segments(una, from(n), all));
        bench.hear(una, &blocks, None);
    });
    report("an ACK without news, four blocks of any beginning", runs);
    let undo = Bench::new().flights(all, all / 2, |bench, una, number| {
        if number == 0 {
            bench.hear(una, &[segments(una, all - 1, all)], None);
            bench.pass_us(10_000);
        }
        bench.repair(1);
        bench.hear(una, &[], Some(segments(una, number, number + 1)));
    });
    report("a repair and the D-SACK that undoes it", undo);
}

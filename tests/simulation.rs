//! The server core in simulated worlds, one a seed: whatever peers, wire and
//! clock do, responses are exact, nothing is left over, and every run repeats.
//!
//! `XDPHTTPD_SEEDS` and `XDPHTTPD_FIRST_SEED` choose the seeds,
//! `XDPHTTPD_TRACE=1` prints every frame, `XDPHTTPD_STRICT=1` bears no known
//! fault. scripts/simulate.sh runs any number.

mod sim;

use sim::attack::Attack;
use sim::attacks_blind::{Forger, Oddities, Replay, SynFlood};
use sim::attacks_connected::{Flapper, HalfOpen, Liar, ReadsNothing};
use sim::cases::{besieged, showing};
use sim::files::Files;
use sim::known::{Bear, Known};
use sim::scenario::Scenario;
use sim::verdict::{Report, Terms, judge};
use sim::world::World;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant as WallClock;
use xdphttpd::net::Duration;

const SEEDS: u64 = 300;

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}: {text}")))
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some()
}

fn run(scenario: Scenario, files: &Files) -> Report {
    let strict = is_set("XDPHTTPD_STRICT");
    let terms = Terms::of(&scenario, if strict { Bear::Nothing } else { Bear::Known });
    judge(&play(scenario, files), &terms)
}

fn play(scenario: Scenario, files: &Files) -> World {
    let mut world = World::new(scenario, files, is_set("XDPHTTPD_TRACE"));
    world.run();
    world
}

/// What all seeds came to.
#[derive(Default)]
struct Total {
    seeds: u64,
    frames: u64,
    simulated_us: u64,
    ends: BTreeMap<&'static str, u64>,
    failed: BTreeMap<u64, Vec<String>>,
}

impl Total {
    fn add(&mut self, seed: u64, report: Report) {
        self.seeds += 1;
        self.frames += report.frames;
        self.simulated_us += report.simulated_us;
        for (end, count) in report.ends {
            *self.ends.entry(end).or_default() += count;
        }
        if !report.violations.is_empty() {
            self.failed.insert(seed, report.violations);
        }
    }
}

/// Runs the seeds on all cores; ends early at a failure, unless told to go on.
fn run_seeds(first: u64, count: u64) -> Total {
    let files = Files::new();
    let total = Mutex::new(Total::default());
    let next = AtomicU64::new(first);
    let go_on = is_set("XDPHTTPD_GO_ON");
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count {
                break;
            }
            let report = run(Scenario::draw(seed, &files), &files);
            let mut total = total.lock().expect("no other worker has panicked");
            total.add(seed, report);
            if !total.failed.is_empty() && !go_on {
                break;
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    total.into_inner().expect("no worker has panicked")
}

#[test]
fn every_seed_keeps_what_the_server_promises() {
    let first = number("XDPHTTPD_FIRST_SEED").unwrap_or(1);
    let count = number("XDPHTTPD_SEEDS").unwrap_or(SEEDS);
    let began = WallClock::now();
    let total = run_seeds(first, count);
    let (wall_s, simulated_s) = (
        began.elapsed().as_secs_f64(),
        total.simulated_us as f64 / 1e6,
    );
    println!(
        "{} seeds, {} frames; simulated {simulated_s:.0} s in {wall_s:.1} s: {:.0} times as fast",
        total.seeds,
        total.frames,
        simulated_s / wall_s
    );
    for (end, count) in &total.ends {
        println!("{count:>8} connections: {end}");
    }
    for (seed, violations) in &total.failed {
        println!("seed {seed}: {}", violations.join("; "));
    }
    if let Some(seed) = total.failed.keys().next() {
        println!("to replay the first: scripts/simulate.sh --trace 1 {seed}");
        panic!("{} of {} seeds failed", total.failed.len(), total.seeds);
    }
}

#[test]
fn a_seed_replays_bit_for_bit() {
    let files = Files::new();
    let again = Files::new();
    for seed in [1, 2, 3, 77, 1_000] {
        let first = run(Scenario::draw(seed, &files), &files);
        let second = run(Scenario::draw(seed, &again), &again);
        assert_eq!(first.digest, second.digest, "seed {seed}");
        assert_eq!(first.simulated_us, second.simulated_us, "seed {seed}");
    }
}

#[test]
fn each_attack_alone_leaves_honest_clients_served() {
    let files = Files::new();
    let (left, every) = (300, Duration::from_millis(3));
    let replay = |copies, garble| Replay {
        left,
        every,
        copies,
        garble,
    };
    for seed in 1..=5 {
        let with = |attack: Box<dyn Attack>| run(besieged(seed, &files, attack), &files);
        for (name, report) in [
            ("flood", with(Box::new(SynFlood { left, every }))),
            ("half-open", with(Box::new(HalfOpen { left: 300, every }))),
            ("oddities", with(Box::new(Oddities { left, every }))),
            ("replay", with(Box::new(replay(1, false)))),
            ("ACK storm", with(Box::new(replay(50, false)))),
            ("garbage", with(Box::new(replay(1, true)))),
            ("reads nothing", with(Box::new(ReadsNothing::new(0, 30)))),
            ("liar", with(Box::new(Liar::new(left)))),
            ("flapper", with(Box::new(Flapper::new(100)))),
            ("forger", with(Box::new(Forger::new(left, every)))),
        ] {
            assert_eq!(report.violations, [""; 0], "{name}, seed {seed}");
            assert_eq!(report.ends.get("served"), Some(&2), "{name}, seed {seed}");
        }
    }
}

/// The list of what is known is no longer than the truth: what shows is on it,
/// and what is on it shows.
#[test]
fn known_faults_show_and_mended_ones_do_not() {
    let files = Files::new();
    for known in Known::ALL {
        let shows = (1..=20).any(|seed| {
            let scenario = showing(known, seed, &files);
            let terms = Terms::of(&scenario, Bear::AllBut(known));
            !judge(&play(scenario, &files), &terms).violations.is_empty()
        });
        assert_eq!(
            shows,
            Bear::Known.bears(known),
            "{known:?}: see tests/sim/known.rs"
        );
    }
}

//! Scenarios by hand: one thing each, on an otherwise quiet wire.

use super::attack::Attack;
use super::attacks_blind::Forger;
use super::attacks_connected::{Liar, SlowDrip};
use super::files::Files;
use super::known::Known;
use super::raw::ETHERNET_BYTES;
use super::scenario::Scenario;
use super::script::{Ending, Pacing, Request, Session};
use xdphttpd::net::{Duration, Instant};
use xdphttpd::wire::Impairments;

const START: Instant = Instant::from_millis_const(1);

/// A hostile peer against two honest clients, one fast and one in no hurry.
pub fn besieged(seed: u64, files: &Files, attack: impl Attack + 'static) -> Scenario {
    let hurried = Session {
        ending: Ending::ClientCloses,
        ..Session::new(40_000, gets(files, &[200_000, 1_460]))
    };
    let think = Duration::from_millis(700);
    let patient = Session {
        pacing: Pacing::OneByOne { think },
        ..closing(files, 40_001, &[100, 20_000])
    };
    Scenario::plain(seed)
        .client(START, vec![hurried])
        .client(START, vec![patient])
        .attack(START, attack)
}

/// A scenario in which this fault shows, for most seeds.
pub fn showing(known: Known, seed: u64, files: &Files) -> Scenario {
    let forger = Forger::new(1_000, Duration::from_millis(3));
    match known {
        Known::ForgedRst => {
            let in_window_rst = true;
            besieged(
                seed,
                files,
                Forger {
                    in_window_rst,
                    ..forger
                },
            )
        }
        Known::ForgedMac => {
            let own_mac = true;
            let mut scenario = besieged(seed, files, Forger { own_mac, ..forger });
            // Answers are made long after the last word of who waits for them.
            scenario.load_latency = Duration::from_millis(500);
            scenario
        }
        Known::SlowDrip => besieged(seed, files, SlowDrip::new(100, Duration::from_secs(4))),
        Known::ZeroWindow => small_windows(seed, files),
        Known::LostFin => lost_fins(seed, files),
        Known::Hasty => backing_off(seed, files),
        Known::Starved => starving(seed, files),
        Known::TimeWaitPlace => one_after_another(seed, files),
        Known::BlackHole => black_hole(seed, files),
    }
}

/// Windows that every segment closes and every read opens, and ACKs that
/// overtake each other.
fn small_windows(seed: u64, files: &Files) -> Scenario {
    let mut scenario = clients(seed, 20, |port| closing(files, port, &[100_000]));
    for script in &mut scenario.clients {
        script.window_bytes = 2_000;
    }
    scenario.impairments = [overtaking(0.0), overtaking(0.02)];
    scenario
}

/// FINs that are lost, or come before what they end, while ACKs come twice.
fn lost_fins(seed: u64, files: &Files) -> Scenario {
    let mut scenario = clients(seed, 40, |port| closing(files, port, &[10_000]));
    scenario.impairments = [overtaking(0.0), overtaking(0.1)];
    for impairments in &mut scenario.impairments {
        impairments.duplicate = 0.5;
    }
    scenario
}

/// So much is lost that retransmission timeouts grow as long as they may.
fn backing_off(seed: u64, files: &Files) -> Scenario {
    let mut scenario = clients(seed, 40, |port| closing(files, port, &[100_000]));
    scenario.impairments[1].loss = 0.4;
    scenario
}

/// A slow link with a short ring, and hostile peers that never stop asking.
fn starving(seed: u64, files: &Files) -> Scenario {
    let mut scenario = clients(seed, 10, |port| closing(files, port, &[1_460, 20_000]));
    scenario.impairments[1].bytes_per_s = Some(50_000);
    scenario.tx_frames = 4;
    let scenario = scenario.attack(START, Liar::new(200));
    scenario.attack(START, Liar::new(200))
}

/// A router that takes 1,400 bytes and no more, and says nothing.
fn black_hole(seed: u64, files: &Files) -> Scenario {
    let scenario = clients(seed, 3, |port| closing(files, port, &[100, 100_000]));
    let mut scenario = scenario.exposing(Known::BlackHole);
    scenario.impairments[1].black_hole_bytes = Some(ETHERNET_BYTES + 1_400);
    scenario
}

/// Two clients that come back at once, and places for two and two more.
fn one_after_another(seed: u64, files: &Files) -> Scenario {
    let mut scenario = Scenario::plain(seed).exposing(Known::TimeWaitPlace);
    for first in [40_000, 41_000] {
        let sessions = (first..first + 10).map(|port| closing(files, port, &[100]));
        scenario = scenario.client(START, sessions.collect());
    }
    scenario.max_connections = 4;
    scenario
}

fn clients(seed: u64, count: u16, session: impl Fn(u16) -> Session) -> Scenario {
    (0..count).fold(Scenario::plain(seed), |scenario, number| {
        scenario.client(START, vec![session(40_000 + number)])
    })
}

/// The server is asked to close after the last of these files.
fn closing(files: &Files, port: u16, bytes: &[usize]) -> Session {
    let mut requests = gets(files, bytes);
    if let (Some(request), Some(&bytes)) = (requests.last_mut(), bytes.last()) {
        *request = Request::last(files, bytes);
    }
    Session::new(port, requests)
}

fn gets(files: &Files, bytes: &[usize]) -> Vec<Request> {
    bytes
        .iter()
        .map(|&bytes| Request::get(files, bytes))
        .collect()
}

fn overtaking(loss: f64) -> Impairments {
    Impairments {
        loss,
        reorder: 0.5,
        delay: Duration::from_millis(5),
        hold: Duration::from_millis(20),
        ..Impairments::NONE
    }
}

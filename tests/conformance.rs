//! The TCP endpoint against the RFCs: every script of the table in memory and,
//! unless it takes too long, from a packet socket against the live server.

mod common;
mod conform;
mod lab;

use conform::dialect::Dialect;
use conform::live::{self, Live};
use conform::memory::Memory;
use conform::runner::run;
use conform::script::Script;
use conform::{isn, table};
use lab::Lab;

/// The first client port; every run has two of its own.
const FIRST_PORT: u16 = 10_000;

/// Clients that run scripts on the live server at once: most of the time they wait.
const CLIENTS: usize = 5;

/// Runs that may fail in company and pass alone: the clients share one queue of
/// the veth pair, whose ring has room for 256 frames, and on a machine that stands
/// still for a moment one client's burst may cost another a frame.
const MOST_AGAIN: usize = 3;

/// Fails with all that failed.
fn report(ran: usize, failures: &[String]) {
    println!("{ran} runs, {} failed", failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// All scripts in both dialects, each run with ports of its own.
fn runs(scripts: &[Script], first: u16) -> impl Iterator<Item = (&Script, Dialect, u16)> {
    let pairs = scripts
        .iter()
        .flat_map(|script| Dialect::ALL.map(|dialect| (script, dialect)));
    pairs
        .zip((first..).step_by(2))
        .map(|((script, dialect), port)| (script, dialect, port))
}

#[test]
fn every_script_in_memory() {
    let scripts = table::scripts();
    let mut failures = Vec::new();
    for (script, dialect, port) in runs(&scripts, FIRST_PORT) {
        let mut memory = Memory::new();
        let outcome = run(&mut memory, dialect, port, script).and_then(|()| {
            let name = script.name;
            let left = |left| format!("{name} ({}): {left}", script.rfc);
            memory.settle().map_err(left)
        });
        failures.extend(outcome.err());
    }
    report(scripts.len() * Dialect::ALL.len(), &failures);
}

/// With `CONFORM_TARGET=linux`, on Linux and nginx instead of ours: a script that
/// fails there is to be suspected first.
#[test]
fn every_short_script_on_the_live_server() {
    let lab = Lab::new();
    live::prepare(&lab);
    let (ran, failures) = match std::env::var("CONFORM_TARGET").as_deref() {
        Ok("linux") => {
            let _nginx = live::nginx(&lab);
            // What an earlier run has left in the kernel keeps its ports.
            let first = FIRST_PORT + (std::process::id() % 50 * 1_000) as u16;
            on_veth(&lab, first, |script| script.not_linux.is_none())
        }
        Ok(other) => panic!("CONFORM_TARGET={other}: linux or nothing"),
        Err(_) => {
            let server = lab.serve(&[]);
            let outcome = on_veth(&lab, FIRST_PORT, |_| true);
            server.stop();
            outcome
        }
    };
    report(ran, &failures);
}

/// Runs what real time allows and `wanted` says, with ports from `first`; how
/// many those were, and what failed, in company and then alone.
fn on_veth(lab: &Lab, first: u16, wanted: fn(&Script) -> bool) -> (usize, Vec<String>) {
    let scripts: Vec<Script> = table::scripts()
        .into_iter()
        .filter(|script| script.memory_only.is_none() && wanted(script))
        .collect();
    let ran: Vec<_> = runs(&scripts, first).collect();
    let failed = in_company(lab, &ran);
    if failed.is_empty() || failed.len() > MOST_AGAIN {
        return (ran.len(), failed.into_iter().map(|(_, why)| why).collect());
    }
    let unused = (first + 2 * ran.len() as u16..).step_by(2);
    let ends = live::ends(lab, 0);
    let alone = || {
        let mut link = Live::new(ends);
        let again = failed.into_iter().zip(unused);
        let failures = again.filter_map(|(((script, dialect), why), port)| {
            println!("once more, alone: {why}");
            run(&mut link, dialect, port, script).err()
        });
        failures.collect()
    };
    (ran.len(), lab.inside(alone))
}

/// What failed when several clients ran `runs` at once, and why.
fn in_company<'a>(
    lab: &Lab,
    runs: &[(&'a Script, Dialect, u16)],
) -> Vec<((&'a Script, Dialect), String)> {
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let ends = live::ends(lab, client as u8);
                let mine = runs.iter().skip(client).step_by(CLIENTS);
                let work = move || {
                    let mut link = Live::new(ends);
                    mine.filter_map(|&(script, dialect, port)| {
                        let error = run(&mut link, dialect, port, script).err()?;
                        Some(((script, dialect), error))
                    })
                    .collect::<Vec<_>>()
                };
                scope.spawn(move || lab.inside(work))
            })
            .collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().expect("no client panics"))
            .collect()
    })
}

#[test]
fn initial_sequence_numbers_in_memory() {
    isn::differ_by_tuple(&mut Memory::new(), FIRST_PORT).unwrap_or_else(|error| panic!("{error}"));
    isn::grow_with_time(&mut Memory::new(), FIRST_PORT).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn initial_sequence_numbers_of_the_live_server() {
    let lab = Lab::new();
    live::prepare(&lab);
    let server = lab.serve(&[]);
    let ends = live::ends(&lab, 0);
    let outcome = lab.inside(|| {
        let mut link = Live::new(ends);
        isn::differ_by_tuple(&mut link, FIRST_PORT)?;
        isn::grow_with_time(&mut link, FIRST_PORT - 1)
    });
    server.stop();
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

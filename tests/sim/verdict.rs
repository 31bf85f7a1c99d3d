//! What must hold at the end of a world, whatever happened in it.

use super::client::Outcome;
use super::known::{Bear, Known};
use super::scenario::Scenario;
use super::script::Ending;
use super::talk::End;
use super::world::World;
use std::collections::BTreeMap;
use xdphttpd::net::{Duration, Instant};
use xdphttpd::wire::{Direction, Tally};

/// When the TX ring is full after every round for so long, who waits for room
/// has had none.
const LONG_WITHOUT_ROOM: Duration = Duration::from_secs(10);

/// The end of connections that may still be there.
const HANGS: &str = "borne: zero window";

/// What a scenario says about what may go wrong in it; taken before it runs.
#[derive(Clone, Debug)]
pub struct Terms {
    crowded: bool,
    drains: bool,
    exposes: Vec<Known>,
    bear: Bear,
}

impl Terms {
    pub fn of(scenario: &Scenario, bear: Bear) -> Terms {
        Terms {
            crowded: scenario.is_crowded(),
            drains: scenario.drains(),
            exposes: scenario.exposes.clone(),
            bear,
        }
    }
}

/// What became of one seed.
#[derive(Debug, Default)]
pub struct Report {
    pub simulated_us: u64,
    pub digest: u64,
    /// How many connections came to what end.
    pub ends: BTreeMap<&'static str, u64>,
    pub frames: u64,
    /// Everything that must not be.
    pub violations: Vec<String>,
}

/// Judges a world that has run.
pub fn judge(world: &World, terms: &Terms) -> Report {
    let mut report = Report {
        simulated_us: world.simulated().total_micros(),
        digest: world.watch.digest(),
        frames: world.to_server.tally.delivered + world.to_clients.tally.sent,
        violations: [&world.complaints, &world.watch.complaints]
            .into_iter()
            .flat_map(|complaints| complaints.first().cloned())
            .collect(),
        ..Report::default()
    };
    for outcome in world.clients.iter().flat_map(|client| &client.outcomes) {
        match judge_outcome(outcome, world, terms) {
            Ok(end) => *report.ends.entry(end).or_default() += 1,
            Err(why) => report.violations.push(why),
        }
    }
    for attacker in &world.attackers {
        let borne = terms.bear.bears(Known::SlowDrip);
        let success = attacker.success().filter(|_| !borne);
        report.violations.extend(success.map(str::to_owned));
    }
    let refused = world.stack.counters.drop_table_full;
    let places = terms.exposes.contains(&Known::TimeWaitPlace);
    if places && refused > 0 && !terms.bear.bears(Known::TimeWaitPlace) {
        let what = format!("{refused} SYNs found no place, though there were some");
        report.violations.push(what);
    }
    judge_wire(world, &mut report.violations);
    // A connection that hangs at a closed window may do so for ever.
    if !report.ends.contains_key(HANGS) {
        judge_leftovers(world, &mut report.violations);
    }
    report
}

/// How a connection ended, or why it must not have ended so.
fn judge_outcome(outcome: &Outcome, world: &World, terms: &Terms) -> Result<&'static str, String> {
    let wanted = outcome.session.requests.len();
    let complain = |what: &str| {
        let Outcome {
            endpoint,
            end,
            done,
            ..
        } = outcome;
        Err(format!(
            "{}:{} {what} ({end:?}, {done} of {wanted} responses)",
            endpoint.address, endpoint.port
        ))
    };
    if let Some(fault) = &outcome.fault {
        return complain(fault);
    }
    if outcome.end == End::Clean && outcome.short {
        return complain("got a short response with a clean FIN");
    }
    if outcome.end == End::Left {
        return Ok("left by the client");
    }
    if outcome.done == wanted && outcome.end == End::Clean {
        return Ok("served");
    }
    if let Some(excuse) = excuse(outcome, world, terms) {
        return Ok(excuse);
    }
    if outcome.done == wanted {
        return complain("got everything but the FIN");
    }
    complain("was not served")
}

/// Why a client may go without, the plainest reason first.
fn excuse(outcome: &Outcome, world: &World, terms: &Terms) -> Option<&'static str> {
    let flow = outcome.flow.as_ref();
    let all = outcome.done == outcome.session.requests.len();
    let since = |at: Option<Instant>| at.is_some_and(|at| at >= outcome.began);
    let hasty = flow.is_some_and(|flow| since(flow.hasty_at));
    let stuck = flow.is_some_and(|flow| since(flow.closed_window_at));
    // A client that has given up may have been cut off from the start.
    let unheard = outcome.end == End::GivenUp && since(Some(world.watch.blackout_until));
    let apart = unheard || flow.is_some_and(|flow| since(flow.blamed_at));
    let aborts = matches!(outcome.session.ending, Ending::Abort(_));
    let waited = world.longest_full >= LONG_WITHOUT_ROOM;
    let closing_full = world.stack.counters.closing_full > 0;
    let bear = |known| terms.bear.bears(known);
    let exposed = |known| terms.exposes.contains(&known) && bear(known);
    let reasons = [
        (aborts && all, "nothing left to abort"),
        (apart, "cut off"),
        (world.loader.failed.get() > 0, "file not readable"),
        (exposed(Known::ForgedRst), "borne: forged RST"),
        (exposed(Known::ForgedMac), "borne: forged MAC"),
        (exposed(Known::BlackHole), "borne: black hole"),
        (stuck && bear(Known::ZeroWindow), HANGS),
        (all && bear(Known::LostFin), "borne: lost FIN"),
        (hasty && bear(Known::Hasty), "borne: hasty"),
        (waited && bear(Known::Starved), "borne: starved"),
        (all && closing_full, "closing forgotten"),
        (terms.drains, "server ended"),
        (terms.crowded, "no place"),
    ];
    reasons
        .into_iter()
        .find_map(|(holds, reason)| holds.then_some(reason))
}

/// What is left when all is over: nothing.
fn judge_leftovers(world: &World, violations: &mut Vec<String>) {
    let counters = world.stack.counters;
    let open = world.stack.connections();
    let timer = world.stack.next_at();
    let in_flight = world.in_flight();
    complain_unless(
        violations,
        [
            (open == 0, format!("{open} connections left")),
            (timer.is_none(), format!("a timer left at {timer:?}")),
            (in_flight == 0, format!("{in_flight} frames under way")),
            (
                counters.accepted == counters.closed,
                format!("{} accepted, {} closed", counters.accepted, counters.closed),
            ),
        ],
    );
}

/// Frames in, frames out, frames counted.
fn judge_wire(world: &World, violations: &mut Vec<String>) {
    let counters = world.stack.counters;
    let (inwards, outwards) = (world.to_server.tally, world.to_clients.tally);
    let drops = counters.drop_no_room;
    complain_unless(
        violations,
        [
            (
                counters.rx_frames == inwards.delivered,
                format!("{} received, not {inwards:?}", counters.rx_frames),
            ),
            (
                counters.tx_frames == outwards.sent,
                format!("{} sent, not {outwards:?}", counters.tx_frames),
            ),
            (drops == 0, format!("{drops} segments taken without room")),
            (balances(&world.to_server), format!("lost: {inwards:?}")),
            (balances(&world.to_clients), format!("lost: {outwards:?}")),
        ],
    );
}

fn complain_unless<const N: usize>(violations: &mut Vec<String>, checks: [(bool, String); N]) {
    let broken = checks.into_iter().filter(|(holds, _)| !holds);
    violations.extend(broken.map(|(_, what)| what));
}

fn balances(direction: &Direction) -> bool {
    let Tally {
        sent,
        duplicated,
        delivered,
        lost,
    } = direction.tally;
    sent + duplicated == delivered + lost + direction.in_flight() as u64
}

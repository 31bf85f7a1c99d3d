//! BBR over the model: how much it gets, how much it keeps in flight, what it leaves.

use crate::model::{MSS, MSS_BYTES, Model, Path};
use xdphttpd::net::congestion::Bbr;
use xdphttpd::net::{Duration, Instant};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn flow(seed: u64) -> Box<Bbr> {
    Box::new(Bbr::new(MSS, Instant::ZERO, seed))
}

fn bulk(path: Path) -> Model {
    let mut model = Model::new(path);
    model.add_bulk(flow(path.seed), Instant::ZERO);
    model
}

/// Percent of the path's product of bandwidth and delay.
fn of_bdp(path: &Path, bytes: u64) -> u64 {
    bytes * 100 / path.bdp_bytes()
}

/// In flight of the first flow, percent, every 10 ms of `duration`.
fn in_flight(model: &mut Model, duration: Duration) -> Vec<u64> {
    let path = model.path;
    (0..duration.total_millis() / 10)
        .map(|_| {
            model.run_until(model.now + ms(10));
            of_bdp(&path, model.flows[0].in_flight_bytes)
        })
        .collect()
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

#[test]
fn a_clean_path_is_used_and_its_queue_short() {
    // Mbit/s, round trip ms, buffer percent
    for (mbit, rtt, buffer) in [
        (100, 50, 200),
        (100, 50, 50),
        (100, 50, 1_000),
        (10, 20, 200),
        (20, 200, 100),
        (1_000, 5, 200),
    ] {
        let path = Path::new(mbit, rtt, buffer);
        let mut model = bulk(path);
        model.run_until(Instant::from_secs(2));
        let total = model.flows[0].total;
        // Where a few segments are much, they come on top.
        let most = total.most_in_flight_bytes.saturating_sub(6 * MSS_BYTES);
        let most = of_bdp(&path, most);
        assert!(most <= 220, "{mbit} {rtt} {buffer}: {most} % in Startup");
        let before = total.delivered_bytes;
        let usual = median(in_flight(&mut model, secs(18)));
        assert!(
            (85..=130).contains(&usual),
            "{mbit} {rtt} {buffer}: {usual} % in flight"
        );
        let delivered = model.flows[0].total.delivered_bytes - before;
        let share = delivered as f64 / (path.rate * 18) as f64;
        assert!(share >= 0.90, "{mbit} {rtt} {buffer}: {share}");
        assert_eq!(model.flows[0].total.timeouts, 0);
    }
}

#[test]
fn random_loss_below_the_threshold_costs_little() {
    // Mbit/s, round trip ms, lost of a million, least share percent
    for (mbit, rtt, loss, least) in [
        (200, 20, 10_000, 0.80),
        (240, 20, 10_000, 0.80),
        (200, 20, 5_000, 0.85),
        (20, 20, 10_000, 0.75),
        (1_000, 20, 10_000, 0.75),
        (100, 100, 10_000, 0.80),
    ] {
        for seed in 1..=6 {
            let path = Path {
                loss_per_million: loss,
                seed,
                ..Path::new(mbit, rtt, 200)
            };
            let mut model = bulk(path);
            model.run_until(Instant::from_secs(3));
            let share = model.shares(secs(12))[0];
            assert!(share >= least, "{mbit} {rtt} {loss}, seed {seed}: {share}");
            assert_eq!(
                model.flows[0].total.timeouts, 0,
                "{mbit} {rtt}, seed {seed}"
            );
        }
    }
}

#[test]
fn the_path_is_emptied_now_and_then() {
    let path = Path::new(100, 50, 200);
    let mut model = bulk(path);
    let levels = in_flight(&mut model, secs(18));
    let is_low = |level: &u64| *level <= 60;
    let dips: Vec<usize> = (100..levels.len())
        .filter(|&at| is_low(&levels[at]) && !is_low(&levels[at - 1]))
        .collect();
    let low = levels[100..].iter().filter(|level| is_low(level)).count();
    assert!(
        (3..=4).contains(&dips.len()),
        "every five seconds: {dips:?}"
    );
    assert!(
        (60..=120).contains(&low),
        "for a fifth of a second each: {low}"
    );
    for &dip in &dips[..2] {
        let after = median(levels[dip + 50..dip + 150].to_vec());
        assert!((90..=130).contains(&after), "restored: {after}");
    }
}

#[test]
fn two_flows_share() {
    // It takes them some ten probes for bandwidth each.
    for (mbit, rtt, buffer) in [(100, 20, 50), (100, 20, 200), (50, 40, 400)] {
        for seed in 1..=3 {
            let mut model = Model::new(Path::new(mbit, rtt, buffer));
            model.add_bulk(flow(seed), Instant::ZERO);
            model.add_bulk(flow(seed + 100), Instant::from_secs(3));
            model.run_until(Instant::from_secs(40));
            let shares = model.shares(secs(60));
            let ratio = shares[0] / shares[1];
            let what = format!("{mbit} {rtt} {buffer}, seed {seed}: {shares:?}");
            assert!((0.5..=2.0).contains(&ratio), "{what}");
            assert!(shares[0] + shares[1] >= 0.90, "{what}");
        }
    }
}

#[test]
fn who_has_little_to_send_forgets_nothing() {
    let path = Path::new(100, 50, 100);
    let mut model = Model::new(path);
    let one = model.add(flow(1));
    model.write(one, Instant::ZERO, path.rate * 4);
    for tick in 0..100 {
        model.write(one, Instant::from_millis(5_000 + 100 * tick), 20_000);
    }
    model.write(one, Instant::from_millis(15_000), u64::MAX / 4);
    model.run_until(Instant::from_millis(15_000));
    let share = model.shares(secs(2))[0];
    assert!(share >= 0.85, "{share}");
}

#[test]
fn after_a_pause_it_goes_on_at_the_known_pace() {
    let path = Path::new(100, 50, 100);
    let mut model = Model::new(path);
    let one = model.add(flow(1));
    model.write(one, Instant::ZERO, path.rate * 4);
    model.write(one, Instant::from_secs(30), u64::MAX / 4);
    model.run_until(Instant::from_millis(29_999));
    assert_eq!(model.flows[one].in_flight_bytes, 0);
    let queued = (0..10).map(|_| {
        model.run_until(model.now + ms(10));
        model.queued_bytes()
    });
    let most = queued.max().unwrap_or(0);
    assert!(of_bdp(&path, most) <= 10, "no burst: {most}");
    let share = model.shares(secs(1))[0];
    assert!(share >= 0.90, "no ProbeRTT, no slow start: {share}");
}

#[test]
fn a_path_that_changes_is_followed() {
    // Rate and round trip before and after.
    for (before, after, settle) in [
        ((10, 20), (100, 20), 12),
        ((100, 20), (10, 20), 12),
        ((100, 20), (100, 80), 16),
        ((100, 80), (100, 20), 12),
    ] {
        let path = |(mbit, rtt)| Path::new(mbit, rtt, 200);
        let mut model = bulk(path(before));
        model.run_until(Instant::from_secs(6));
        model.path = path(after);
        model.run_until(model.now + secs(settle));
        let share = model.shares(secs(10))[0];
        assert!(share >= 0.85, "{before:?} {after:?}: {share}");
        let usual = median(in_flight(&mut model, secs(5)));
        assert!(
            (80..=150).contains(&usual),
            "{before:?} {after:?}: {usual} % in flight"
        );
    }
}

#[test]
fn after_a_blackout_it_comes_back() {
    let path = Path::new(100, 50, 100);
    let mut model = bulk(path);
    model.run_until(Instant::from_secs(4));
    model.path.loss_per_million = 1_000_000;
    model.run_until(Instant::from_secs(6));
    assert!(model.flows[0].total.timeouts >= 2);
    model.path.loss_per_million = 0;
    model.run_until(Instant::from_secs(8));
    let share = model.shares(secs(4))[0];
    assert!(share >= 0.85, "{share}");
}

#[test]
fn the_least_path_is_kept_busy() {
    // A segment takes longer than the round trip.
    let path = Path {
        rate: 20 * MSS_BYTES,
        rtt: ms(10),
        buffer_bytes: 20 * MSS_BYTES,
        loss_per_million: 0,
        seed: 1,
    };
    let mut model = bulk(path);
    model.run_until(Instant::from_secs(5));
    let share = model.shares(secs(30))[0];
    assert!(share >= 0.85, "{share}");
    let in_flight = model.flows[0].in_flight_bytes / MSS_BYTES;
    assert!(in_flight <= 10, "{in_flight}");
}

#[test]
fn a_run_repeats_and_another_seed_differs() {
    let play = |seed| {
        let mut model = Model::new(Path {
            loss_per_million: 10_000,
            ..Path::new(50, 30, 100)
        });
        model.add_bulk(flow(seed), Instant::ZERO);
        model.run_until(Instant::from_secs(10));
        (model.seen, model.flows[0].total)
    };
    assert_eq!(play(7), play(7));
    assert_ne!(play(7), play(8));
}

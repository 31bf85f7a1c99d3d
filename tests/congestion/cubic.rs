//! CUBIC over the model's bottleneck.

use crate::model::{MSS, MSS_BYTES, Model, Path};
use xdphttpd::net::congestion::{Ack, Algorithm, Congestion, Controller, Loss};
use xdphttpd::net::{Duration, Instant};

fn cubic() -> Box<Congestion> {
    Box::new(Congestion::new(Algorithm::Cubic, MSS, Instant::ZERO, 1))
}

fn bulk(path: Path, until_s: i64) -> Model {
    let mut model = Model::new(path);
    model.add_bulk(cubic(), Instant::ZERO);
    model.run_until(Instant::from_secs(until_s));
    model
}

#[test]
fn one_flow_fills_the_path() {
    for (mbit, rtt_ms, buffer_percent, least, most_lost) in [
        (100, 50, 100, 0.99, 0.005),
        (100, 50, 50, 0.99, 0.005),
        (100, 50, 25, 0.95, 0.005),
        (100, 50, 10, 0.85, 0.005),
        (10, 20, 100, 0.99, 0.005),
        (1_000, 10, 100, 0.99, 0.005),
        (1, 200, 100, 0.99, 0.02),
    ] {
        let mut model = bulk(Path::new(mbit, rtt_ms, buffer_percent), 10);
        let share = model.shares(Duration::from_secs(20))[0];
        let what = format!("{mbit} Mbit/s, {rtt_ms} ms, {buffer_percent} %");
        assert!(share >= least && share < 1.001, "{what}: {share}");
        let total = model.flows[0].total;
        assert_eq!(total.timeouts, 0, "{what}");
        // Loss tells it where the end is: but little of it, once slow start is over.
        let lost = total.lost_bytes as f64 / total.delivered_bytes as f64;
        assert!(lost < most_lost, "{what}: {lost}");
    }
}

#[test]
fn two_flows_share() {
    for (mbit, rtt_ms, buffer_percent) in
        [(100, 50, 100), (100, 50, 50), (10, 20, 100), (400, 20, 100)]
    {
        let mut model = bulk(Path::new(mbit, rtt_ms, buffer_percent), 5);
        model.add_bulk(cubic(), model.now);
        // Fast convergence takes some losses, seconds apart.
        model.run_until(Instant::from_secs(120));
        let shares = model.shares(Duration::from_secs(40));
        let what = format!("{mbit} Mbit/s, {rtt_ms} ms, {buffer_percent} %: {shares:?}");
        assert!(
            shares[0] < 2.0 * shares[1] && shares[1] < 2.0 * shares[0],
            "{what}"
        );
        assert!(shares.iter().sum::<f64>() > 0.98, "{what}");
    }
}

#[test]
fn random_loss_costs_speed_not_connections() {
    let mut last = 1.0;
    for loss_per_million in [100, 1_000, 10_000, 50_000] {
        let path = Path {
            loss_per_million,
            ..Path::new(100, 20, 100)
        };
        let mut model = bulk(path, 5);
        let share = model.shares(Duration::from_secs(20))[0];
        let most = path.rate as f64 / MSS_BYTES as f64;
        let rate = share * most;
        // CUBIC has no less than Reno would have (RFC 9438 §5.1).
        let reno = 1.5f64.sqrt() / (loss_per_million as f64 / 1e6).sqrt() / 0.02;
        assert!(share < last, "{loss_per_million}: {share}");
        assert!(
            rate > 0.9 * reno.min(most),
            "{loss_per_million}: {rate}, not {reno}"
        );
        last = share;
    }
}

/// CUBIC that never sees a round-trip time, so that HyStart++ has none.
struct Blind(Box<Congestion>);

impl Controller for Blind {
    fn window_bytes(&self) -> u64 {
        self.0.window_bytes()
    }
    fn threshold_bytes(&self) -> u64 {
        self.0.threshold_bytes()
    }
    fn pace_bytes_per_s(&self) -> Option<u64> {
        self.0.pace_bytes_per_s()
    }
    fn on_send(&mut self, now: Instant, bytes: u64, in_flight_bytes: u64) {
        self.0.on_send(now, bytes, in_flight_bytes);
    }
    fn on_ack(&mut self, ack: &Ack) {
        self.0.on_ack(&Ack { rtt: None, ..*ack });
    }
    fn on_loss(&mut self, loss: &Loss) {
        self.0.on_loss(loss);
    }
    fn on_recovered(&mut self, now: Instant) {
        self.0.on_recovered(now);
    }
    fn on_timeout(&mut self, loss: &Loss) {
        self.0.on_timeout(loss);
    }
    fn on_undo(&mut self, now: Instant) {
        self.0.on_undo(now);
    }
    fn on_idle(&mut self, now: Instant, idle: Duration, rto: Duration) {
        self.0.on_idle(now, idle, rto);
    }
}

/// Plays the first slow start: segments that overflowed, most that was in flight.
fn first_slow_start(path: Path, controller: Box<dyn Controller>) -> (u64, f64) {
    let mut model = Model::new(path);
    let flow = model.add_bulk(controller, Instant::ZERO);
    while model.flows[flow].controller.threshold_bytes() == u64::MAX {
        model.run_until(model.now + Duration::from_millis(1));
    }
    model.run_until(model.now + path.rtt * 3);
    let most = model.flows[flow].total.most_in_flight_bytes as f64;
    (
        model.seen.overflowed_segments,
        most / path.bdp_bytes() as f64,
    )
}

/// HyStart++ judges a round by its shortest round trip, so that it sees a queue only
/// when the window is at least twice what the path holds, and goes on by quarters for
/// five rounds (RFC 9406 §4.2): it can't save a buffer as small as that, but most of
/// what would have been lost.
#[test]
fn slow_start_ends_before_the_queue_overflows_massively() {
    for (mbit, rtt_ms) in [(100, 50), (1_000, 20), (10, 100)] {
        for (buffer_percent, most_percent) in
            [(50, 100), (100, 70), (200, 35), (400, 30), (1_500, 0)]
        {
            let path = Path::new(mbit, rtt_ms, buffer_percent);
            let (lost, most) = first_slow_start(path, cubic());
            let (blind_lost, blind_most) = first_slow_start(path, Box::new(Blind(cubic())));
            let what = format!("{mbit} Mbit/s, {rtt_ms} ms, {buffer_percent} %");
            assert!(blind_lost > 0, "{what}");
            assert!(
                lost * 100 <= blind_lost * most_percent,
                "{what}: {lost} of {blind_lost}"
            );
            assert!(most <= blind_most, "{what}: {most} of {blind_most}");
        }
    }
}

/// Requests with pauses between: each burst is no larger than what the pause left of
/// the window, and the path is filled again soon.
#[test]
fn idleness_ends_with_a_small_window_and_is_made_good() {
    let path = Path::new(100, 50, 100);
    let mut model = Model::new(path);
    let flow = model.add(cubic());
    for second in [0, 20, 40] {
        let before = model.seen;
        let start = Instant::from_secs(second);
        model.write(flow, start, 50_000_000);
        model.run_until(start + Duration::from_millis(1));
        if second > 0 {
            assert!(model.flows[flow].in_flight_bytes <= 14_480, "at {second} s");
        }
        model.run_until(start + Duration::from_secs(10));
        let done = model.flows[flow].total.done_at;
        let took = done.expect("50 MB need 4 s") - start;
        assert!(
            took < Duration::from_millis(5_000),
            "{took} from {second} s on"
        );
        let overflowed = model.seen.overflowed_segments - before.overflowed_segments;
        assert!(
            second == 0 || overflowed < 100,
            "{overflowed} from {second} s on"
        );
    }
}

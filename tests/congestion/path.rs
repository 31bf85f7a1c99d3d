//! The model itself, under windows that stay as they are.

use crate::model::{MSS_BYTES, Model, Path};
use xdphttpd::net::congestion::{Ack, Controller, Loss};
use xdphttpd::net::{Duration, Instant};

/// A window and a pace that never change.
struct Fixed {
    window_bytes: u64,
    pace: Option<u64>,
}

impl Controller for Fixed {
    fn window_bytes(&self) -> u64 {
        self.window_bytes
    }
    fn threshold_bytes(&self) -> u64 {
        u64::MAX
    }
    fn pace_bytes_per_s(&self) -> Option<u64> {
        self.pace
    }
    fn on_send(&mut self, _: Instant, _: u64, _: u64) {}
    fn on_ack(&mut self, _: &Ack) {}
    fn on_loss(&mut self, _: &Loss) {}
    fn on_recovered(&mut self, _: Instant) {}
    fn on_timeout(&mut self, _: &Loss) {}
    fn on_undo(&mut self, _: Instant) {}
    fn on_idle(&mut self, _: Instant, _: Duration, _: Duration) {}
}

fn run(path: Path, window_bytes: u64, pace: Option<u64>) -> (Model, f64) {
    let mut model = Model::new(path);
    let flow = Fixed { window_bytes, pace };
    model.add_bulk(Box::new(flow), Instant::ZERO);
    model.run_until(Instant::from_secs(1));
    let share = model.shares(Duration::from_secs(4))[0];
    (model, share)
}

fn is_near(value: f64, want: f64) -> bool {
    (value - want).abs() < 0.02
}

#[test]
fn a_window_fills_what_it_covers() {
    let path = Path::new(100, 50, 200);
    let bdp = path.bdp_bytes();
    for (percent, want) in [(25, 0.25), (50, 0.5), (100, 1.0), (150, 1.0), (190, 1.0)] {
        let (model, share) = run(path, bdp * percent / 100, None);
        assert!(is_near(share, want), "{percent} %: {share}");
        assert_eq!(model.seen.overflowed_segments, 0, "{percent} %");
        let queued = model.queued_bytes() as f64 / bdp as f64;
        let want = (percent as f64 / 100.0 - 1.0).max(0.0);
        assert!(
            percent <= 100 || is_near(queued, want),
            "{percent} %: {queued}"
        );
        let rtt = model.flows[0].srtt.total_micros() as f64 / 50_000.0;
        assert!(
            percent <= 100 || is_near(rtt, 1.0 + want),
            "{percent} %: {rtt}"
        );
    }
}

#[test]
fn what_does_not_fit_is_dropped_and_repaired() {
    let path = Path::new(100, 50, 50);
    let (model, share) = run(path, path.bdp_bytes() * 2, None);
    assert!(model.seen.overflowed_segments > 0);
    assert!(is_near(share, 1.0), "{share}");
    let total = model.flows[0].total;
    assert!(total.episodes > 0);
    assert!(total.repaired_segments * MSS_BYTES <= total.lost_bytes);
}

#[test]
fn a_pace_bounds_the_rate_and_the_queue() {
    let path = Path::new(100, 50, 100);
    let (model, share) = run(path, path.bdp_bytes() * 2, Some(path.rate * 3 / 4));
    assert!(is_near(share, 0.75), "{share}");
    assert!(
        model.seen.most_queued_bytes <= 20 * MSS_BYTES,
        "{:?}",
        model.seen
    );
}

#[test]
fn everything_arrives_whatever_is_lost() {
    for seed in 1..=20 {
        let path = Path {
            loss_per_million: 100_000,
            seed,
            ..Path::new(10, 20, 100)
        };
        let mut model = Model::new(path);
        let fixed = Fixed {
            window_bytes: 20 * MSS_BYTES,
            pace: None,
        };
        let flow = model.add(Box::new(fixed));
        model.write(flow, Instant::ZERO, 500 * MSS_BYTES);
        model.run_until(Instant::from_secs(60));
        let flow = &model.flows[flow];
        assert_eq!(flow.total.delivered_bytes, 500 * MSS_BYTES, "seed {seed}");
        assert!(flow.total.done_at.is_some(), "seed {seed}");
        assert_eq!(flow.in_flight_bytes, 0, "seed {seed}");
        let gone = model.seen.lost_segments + model.seen.overflowed_segments;
        assert_eq!(flow.total.lost_bytes, gone * MSS_BYTES, "seed {seed}");
    }
}

#[test]
fn a_run_repeats() {
    let path = Path {
        loss_per_million: 10_000,
        ..Path::new(50, 30, 50)
    };
    let play = || {
        let (model, share) = run(path, path.bdp_bytes() * 2, None);
        (model.seen, model.flows[0].total, share)
    };
    assert_eq!(play(), play());
}

//! CUBIC (RFC 9438), with HyStart++ in its first slow start and proportional rate
//! reduction in recovery.
//!
//! Where the RFC leaves a choice, this does as Linux: the window counts what is
//! delivered, by ACK or SACK, so that an ACK that fills a hole brings no burst; a
//! reduction is of the window, not of what is in flight, which is as safe since the
//! window grows only while it is what limits (§4.6); idleness halves it for each
//! retransmission timeout that passed, down to the first window.

use super::hystart::HyStart;
use super::prr::Prr;
use super::{Ack, Controller, Loss, initial_window_bytes};
use smoltcp::time::{Duration, Instant};

/// How steep the curve is, segments a second cubed (§5).
const C: f64 = 0.4;
/// What a loss leaves of the window (§4.6).
const BETA: f64 = 0.7;
/// Growth of a Reno window as large as ours on average, segments a round (§4.3).
const ALPHA: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);
/// The curve may ask for so much more of the window in one round trip (§4.2).
const MAX_GROWTH: f64 = 1.5;
/// RFC 5681 §3.1: a threshold is at least so many segments.
const MIN_THRESHOLD_SEGMENTS: f64 = 2.0;

/// A pace above the window a round trip, so that it is the window that limits: in
/// slow start, and near the threshold or above (Linux's tcp_update_pacing_rate).
const SLOW_START_PACE: f64 = 2.0;
const PACE: f64 = 1.2;
/// Up to here slow start is not paced: a burst that small is what a sender with
/// segmentation offload emits at once, and half a round trip is much for who fetches
/// a page.
const UNPACED_BYTES: f64 = 65_536.0;

/// A connection's CUBIC.
#[derive(Clone, Copy, Debug)]
pub struct Cubic {
    shape: Shape,
    /// As it was before the last reduction.
    undo: Option<Shape>,
    phase: Phase,
    /// When the last ACK came: what has passed since the curve does not count yet.
    last_ack_at: Instant,
    srtt_us: u32,
    mss_bytes: u16,
}

// Every connection keeps one.
const _: () = assert!(size_of::<Cubic>() <= 200);

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Outside of recovery, or after a time-out. HyStart++ has a say in the first slow
    /// start only (RFC 9406 §4.3).
    Growing(HyStart),
    /// In an episode of recovery.
    Recovering(Prr),
}

/// The window and the curve that it follows, bytes. Names are those of §4.1.2.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Shape {
    /// cwnd. Whole bytes count, but an ACK may let it grow by less than one.
    window: f64,
    /// ssthresh; infinite before the first reduction.
    threshold: f64,
    /// W_max, where the curve is flat; 0: wherever the next stage begins (§4.8, §4.10).
    plateau: f64,
    /// cwnd_prior: below it Reno's growth is the slower one of §4.3.
    prior: f64,
    stage: Option<Stage>,
}

/// A stage of congestion avoidance.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stage {
    /// t_epoch, later by all time in which the window was not what limited (§5.8).
    since: Instant,
    /// K, seconds until the curve reaches its plateau.
    rise_s: f64,
    /// W_est, what Reno would have.
    reno: f64,
}

impl Cubic {
    /// The controller of a new connection whose segments carry `mss_bytes`.
    pub fn new(mss_bytes: u16) -> Self {
        Cubic {
            shape: Shape {
                window: initial_window_bytes(mss_bytes) as f64,
                threshold: f64::INFINITY,
                plateau: 0.0,
                prior: 0.0,
                stage: None,
            },
            undo: None,
            phase: Phase::Growing(HyStart::default()),
            last_ack_at: Instant::ZERO,
            srtt_us: 0,
            mss_bytes: mss_bytes.max(1),
        }
    }

    /// What it is at, for whoever watches.
    pub fn phase(&self) -> &'static str {
        match self.phase {
            Phase::Recovering(_) => "recovery",
            Phase::Growing(_) if self.shape.window < self.shape.threshold => "slow-start",
            Phase::Growing(_) => "avoidance",
        }
    }

    fn mss(&self) -> f64 {
        f64::from(self.mss_bytes)
    }

    /// Slow start, up to the threshold; returns what of `delivered_bytes` is left for
    /// what comes after.
    fn start_slowly(&mut self, ack: &Ack) -> f64 {
        let mut growth_bytes = ack.delivered_bytes;
        if self.shape.threshold.is_infinite()
            && let Phase::Growing(hystart) = &mut self.phase
        {
            if hystart.on_ack(ack) {
                self.shape.threshold = self.shape.window;
                return growth_bytes as f64;
            }
            let is_paced = self.srtt_us > 0;
            let mss_bytes = u64::from(self.mss_bytes);
            growth_bytes = hystart.growth_bytes(growth_bytes, mss_bytes, is_paced);
        }
        let grown = self.shape.window + growth_bytes as f64;
        self.shape.window = grown.min(self.shape.threshold);
        grown - self.shape.window
    }

    /// §4.2 to §4.5: `delivered` bytes let the window follow the curve, or Reno
    /// where that is faster.
    fn avoid_congestion(&mut self, now: Instant, delivered: f64) {
        let mss = self.mss();
        let srtt_s = f64::from(self.srtt_us) / 1e6;
        let shape = &mut self.shape;
        let stage = shape.stage_at(now, mss);
        let t = (now - stage.since).total_micros() as f64 / 1e6;
        let alpha = if stage.reno < shape.prior { ALPHA } else { 1.0 };
        let reno = stage.reno + alpha * mss * delivered / shape.window;
        shape.stage = Some(Stage { reno, ..stage });
        if shape.curve(&stage, t, mss) < reno {
            shape.window = shape.window.max(reno);
            return;
        }
        let most = MAX_GROWTH * shape.window;
        let target = shape.curve(&stage, t + srtt_s, mss);
        let target = target.clamp(shape.window, most);
        shape.window += (target - shape.window) * (delivered / shape.window).min(1.0);
    }

    /// The time since the last ACK is not the curve's: the window was not what limited.
    fn stand_still(&mut self, until: Instant) {
        if let Some(stage) = &mut self.shape.stage {
            stage.since += until - self.last_ack_at;
        }
        self.last_ack_at = until;
    }

    /// §4.6 and §4.7: remembers the window and lowers threshold and window.
    fn reduce(&mut self) {
        self.undo = Some(self.shape);
        let Shape {
            window, plateau, ..
        } = self.shape;
        let is_losing_ground = window < plateau;
        let threshold = (BETA * window).max(MIN_THRESHOLD_SEGMENTS * self.mss());
        self.shape = Shape {
            window: threshold,
            threshold,
            plateau: if is_losing_ground {
                window * (1.0 + BETA) / 2.0
            } else {
                window
            },
            prior: window,
            stage: None,
        };
    }

    fn grow(&mut self) {
        self.phase = Phase::Growing(HyStart::default());
    }
}

impl Shape {
    /// The stage that goes on, or one that begins `now` (§4.2).
    fn stage_at(&mut self, now: Instant, mss: f64) -> Stage {
        if let Some(stage) = self.stage {
            return stage;
        }
        self.plateau = self.plateau.max(self.window);
        Stage {
            since: now,
            rise_s: ((self.plateau - self.window) / mss / C).cbrt(),
            reno: self.window,
        }
    }

    /// W_cubic(t), bytes (§4.2).
    fn curve(&self, stage: &Stage, t: f64, mss: f64) -> f64 {
        C * (t - stage.rise_s).powi(3) * mss + self.plateau
    }
}

impl Controller for Cubic {
    fn window_bytes(&self) -> u64 {
        match &self.phase {
            Phase::Growing(_) => self.shape.window as u64,
            Phase::Recovering(prr) => prr.window_bytes(),
        }
    }

    fn threshold_bytes(&self) -> u64 {
        self.shape.threshold as u64
    }

    fn pace_bytes_per_s(&self) -> Option<u64> {
        let Shape {
            window, threshold, ..
        } = self.shape;
        let gain = if window < threshold / 2.0 {
            if window <= UNPACED_BYTES {
                return None;
            }
            SLOW_START_PACE
        } else {
            PACE
        };
        (self.srtt_us > 0).then(|| (gain * window * 1e6 / f64::from(self.srtt_us)) as u64)
    }

    fn on_send(&mut self, now: Instant, bytes: u64, in_flight_bytes: u64) {
        if let Phase::Recovering(prr) = &mut self.phase {
            prr.on_send(bytes);
        }
        if in_flight_bytes == 0 {
            self.stand_still(now);
        }
    }

    fn on_ack(&mut self, ack: &Ack) {
        self.srtt_us = u32::try_from(ack.srtt.total_micros()).unwrap_or(u32::MAX);
        if let Phase::Recovering(prr) = &mut self.phase {
            prr.on_ack(ack, self.shape.threshold as u64, u64::from(self.mss_bytes));
        } else if !ack.is_window_limited {
            self.stand_still(ack.now);
        } else {
            let mut delivered = ack.delivered_bytes as f64;
            if self.shape.window < self.shape.threshold {
                delivered = self.start_slowly(ack);
            }
            if delivered > 0.0 {
                self.avoid_congestion(ack.now, delivered);
            }
        }
        self.last_ack_at = ack.now;
    }

    fn on_loss(&mut self, loss: &Loss) {
        self.reduce();
        self.phase = Phase::Recovering(Prr::new(loss, u64::from(self.mss_bytes)));
    }

    fn on_recovered(&mut self, _now: Instant) {
        if let Phase::Recovering(_) = self.phase {
            self.grow();
        }
    }

    /// §4.8: the curve begins anew where slow start will have ended.
    fn on_timeout(&mut self, _loss: &Loss) {
        self.reduce();
        self.shape.window = self.mss();
        self.shape.plateau = 0.0;
        self.grow();
    }

    /// §4.9: unless the window has outgrown what it was.
    fn on_undo(&mut self, _now: Instant) {
        if let Some(before) = self.undo.take() {
            self.grow();
            if before.window > self.shape.window {
                self.shape = before;
            }
        }
    }

    /// Linux's tcp_cwnd_restart: the window is halved for each `rto`, but stays the
    /// first one at least; slow start may soon bring back three quarters of it, and
    /// from there a new stage leads to the old plateau.
    fn on_idle(&mut self, now: Instant, idle: Duration, rto: Duration) {
        let halvings = idle.total_micros() / rto.total_micros().max(1);
        let first = initial_window_bytes(self.mss_bytes) as f64;
        let shape = &mut self.shape;
        let halved = shape.window * 0.5f64.powi(halvings.min(64) as i32);
        shape.threshold = shape.threshold.max(0.75 * shape.window);
        shape.window = halved.max(first.min(shape.window));
        shape.stage = None;
        self.undo = None;
        self.last_ack_at = now;
        self.grow();
    }

    /// As before the time-outs, but the window begins anew.
    fn on_mss(&mut self, mss_bytes: u16) {
        self.mss_bytes = mss_bytes.max(1);
        self.shape = self.undo.take().unwrap_or(self.shape);
        let first = initial_window_bytes(mss_bytes) as f64;
        self.shape.window = self.shape.window.min(first);
        self.shape.stage = None;
        self.grow();
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

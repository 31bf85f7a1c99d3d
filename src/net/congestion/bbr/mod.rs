//! BBR, version 3 (draft-ietf-ccwg-bbr, "the draft"): a model of the path, how much
//! it carries and how long it is, decides how fast to send and how much.
//!
//! `model` holds the filters, `startup` finds the bandwidth first, `probe` looks
//! for more of it now and then, `probe_rtt` empties the path to see its length,
//! `bounds` heed loss, `control` makes a pace and a window of all that.
//!
//! It differs from the draft in this: loss between probes bounds nothing (see `bounds`);
//! how much was in flight when something was lost is known from the newest segment
//! delivered since, not from each lost one; a plateau is looked for in every sample, not
//! in a round's first alone. It relies on selective acknowledgments.

mod bounds;
mod control;
mod model;
mod probe;
mod probe_rtt;
mod startup;
#[cfg(test)]
mod tests;

use super::{Ack, Controller, Loss, initial_window_bytes};
use bounds::{Bounds, Latest, Sample, Undo};
use model::{Aggregation, MinRtt, Peak, Rounds};
use probe::Probe;
use probe_rtt::ProbeRtt;
use smoltcp::time::{Duration, Instant};
use startup::FullPipe;

/// The state machine (draft §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Twice as fast in every round trip, until it brings no more.
    Startup,
    /// The queue that this has made is let go.
    Drain,
    /// ProbeBW_DOWN: slower, until queue and headroom are free.
    Down,
    /// ProbeBW_CRUISE: as fast as the path delivers.
    Cruise,
    /// ProbeBW_REFILL: a round trip to fill the pipe.
    Refill,
    /// ProbeBW_UP: faster, to see whether there is more.
    Up,
    /// Little in flight, to see the path's length.
    ProbeRtt,
}

impl State {
    fn is_probe_bw(self) -> bool {
        use State::*;
        matches!(self, Down | Cruise | Refill | Up)
    }

    /// BBR.pacing_gain, percent.
    fn pacing_percent(self) -> u64 {
        match self {
            State::Startup => 277,
            State::Drain => 50,
            State::Down => 90,
            State::Cruise | State::Refill | State::ProbeRtt => 100,
            State::Up => 125,
        }
    }

    /// BBR.cwnd_gain, percent.
    fn window_percent(self) -> u64 {
        match self {
            State::Up => 225,
            State::ProbeRtt => 50,
            _ => 200,
        }
    }
}

/// A BBR flow: 400 bytes, kept behind a box by connections that chose it.
#[derive(Clone, Debug)]
pub struct Bbr {
    mss_bytes: u64,
    /// C.InitialCwnd.
    initial_bytes: u64,
    state: State,
    window_bytes: u64,
    /// The last window that neither recovery nor ProbeRTT held down: BBR.prior_cwnd.
    prior_window_bytes: u64,
    pace_bytes_per_s: u64,
    has_seen_rtt: bool,
    in_recovery: bool,
    /// C.delivered.
    delivered_bytes: u64,
    rounds: Rounds,
    /// BBR.max_bw_filter: of this cycle and of the one before.
    bandwidth: Peak,
    min_rtt: MinRtt,
    aggregation: Aggregation,
    full_pipe: FullPipe,
    drain_began_round: u64,
    latest: Latest,
    bounds: Bounds,
    undo: Undo,
    probe: Probe,
    probe_rtt: ProbeRtt,
    /// What was sent until so much was delivered was held back by ProbeRTT: its
    /// bandwidth is not the path's.
    held_back_until_bytes: u64,
    /// BBR.idle_restart: nothing was in flight, so no queue of ours can be there.
    is_idle_restart: bool,
    /// When the pace allows the next segment.
    paced_until: Instant,
}

impl Bbr {
    /// A flow that begins at `now`, of segments of `mss_bytes`; `seed` decides when it
    /// looks for more bandwidth.
    pub fn new(mss_bytes: u16, now: Instant, seed: u64) -> Self {
        let initial_bytes = initial_window_bytes(mss_bytes);
        let mut bbr = Bbr {
            mss_bytes: u64::from(mss_bytes).max(1),
            initial_bytes,
            state: State::Startup,
            window_bytes: initial_bytes,
            prior_window_bytes: 0,
            pace_bytes_per_s: 0,
            has_seen_rtt: false,
            in_recovery: false,
            delivered_bytes: 0,
            rounds: Rounds::default(),
            bandwidth: Peak::default(),
            min_rtt: MinRtt::new(now),
            aggregation: Aggregation::new(now),
            full_pipe: FullPipe::default(),
            drain_began_round: 0,
            latest: Latest::default(),
            bounds: Bounds::NONE,
            undo: Undo {
                state: None,
                bounds: Bounds::NONE,
            },
            probe: Probe::new(now, seed),
            probe_rtt: ProbeRtt::default(),
            held_back_until_bytes: 0,
            is_idle_restart: false,
            paced_until: now,
        };
        bbr.init_pace(Duration::from_millis(1));
        bbr
    }

    /// What it is at, for whoever watches.
    pub fn phase(&self) -> &'static str {
        match self.state {
            State::Startup => "startup",
            State::Drain => "drain",
            State::Down => "down",
            State::Cruise => "cruise",
            State::Refill => "refill",
            State::Up => "up",
            State::ProbeRtt => "probe-rtt",
        }
    }

    /// BBR.max_bw, bytes a second.
    fn max_bw(&self) -> u64 {
        self.bandwidth.get()
    }

    /// UpdateRound() and UpdateMaxBw().
    fn update_bandwidth(&mut self, sample: &Sample) {
        self.rounds
            .on_sample(sample.prior_delivered_bytes, self.delivered_bytes);
        if self.rounds.has_started {
            self.probe.on_round();
        }
        if !sample.is_limited || sample.bw >= self.max_bw() {
            self.bandwidth.note(sample.bw);
        }
    }

    /// UpdateModelAndState(), what a sample has to say.
    fn take_sample(&mut self, ack: &Ack, sample: &Sample) {
        self.judge_probe(ack.now, sample);
        self.latest.on_sample(sample, self.delivered_bytes);
        self.update_bandwidth(sample);
        if !sample.is_limited && sample.bw > 0 {
            self.full_pipe.on_sample(sample.bw, self.rounds.has_started);
        }
        self.check_startup(ack, sample);
        self.check_drain(ack);
        self.update_cycle(ack, sample);
    }

    /// HandleRestartFromIdle(): at the known bandwidth, neither faster nor slower.
    fn restart_from_idle(&mut self, now: Instant) {
        self.is_idle_restart = true;
        self.aggregation.restart(now);
        if self.state.is_probe_bw() {
            self.set_pace(100);
        } else if self.state == State::ProbeRtt {
            self.check_probe_rtt_done(now);
        }
    }
}

impl Controller for Bbr {
    fn window_bytes(&self) -> u64 {
        self.window_bytes
    }

    /// The long-term bound: a probe goes beyond it a segment at a time.
    fn threshold_bytes(&self) -> u64 {
        self.bounds.long_inflight_bytes
    }

    fn pace_bytes_per_s(&self) -> Option<u64> {
        Some(self.pace_bytes_per_s)
    }

    fn on_send(&mut self, now: Instant, bytes: u64, in_flight_bytes: u64) {
        if in_flight_bytes == 0 && !self.in_recovery && now > self.paced_until + control::LATE {
            self.restart_from_idle(now);
        }
        self.count_pace(now, bytes);
    }

    fn on_ack(&mut self, ack: &Ack) {
        self.delivered_bytes = match ack.rate {
            Some(rate) => rate.total_delivered_bytes,
            None => self.delivered_bytes + ack.delivered_bytes,
        };
        if ack.lost_bytes > 0 {
            self.latest.on_loss(self.delivered_bytes);
            self.latest.loss_events = self.latest.loss_events.saturating_add(1);
        }
        self.rounds.has_started = false;
        self.latest.has_round_started = false;
        let sample = self.sample(ack);
        if let Some(sample) = &sample {
            self.take_sample(ack, sample);
        }
        self.aggregate(ack);
        self.min_rtt.on_ack(ack.now, ack.rtt);
        self.check_probe_rtt(ack);
        if let Some(sample) = &sample {
            self.latest.advance(sample);
        }
        self.update_control(ack);
    }

    fn on_loss(&mut self, _loss: &Loss) {
        self.save();
        self.in_recovery = true;
    }

    fn on_recovered(&mut self, _now: Instant) {
        self.in_recovery = false;
        self.restore_window();
    }

    fn on_timeout(&mut self, loss: &Loss) {
        self.save();
        self.in_recovery = true;
        self.judge_timeout(loss);
        self.window_bytes = loss.in_flight_bytes + self.mss_bytes;
    }

    fn on_undo(&mut self, _now: Instant) {
        self.in_recovery = false;
        self.undo_loss();
        self.restore_window();
    }

    fn on_idle(&mut self, now: Instant, _idle: Duration, _rto: Duration) {
        self.restart_from_idle(now);
    }

    /// The window stays what the time-outs have left of it.
    fn on_mss(&mut self, mss_bytes: u16) {
        self.mss_bytes = u64::from(mss_bytes).max(1);
        self.undo_loss();
    }
}

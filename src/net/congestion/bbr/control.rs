//! A pace and a window, made of the model (draft §5.6).

use super::bounds::{UNBOUNDED, percent};
use super::model::volume_bytes;
use super::{Bbr, State};
use crate::net::congestion::Ack;
use smoltcp::time::{Duration, Instant};

/// 1 - BBR.PacingMarginPercent: a little less than the path carries keeps queues short.
pub(super) const PACE_PERCENT: u64 = 99;
/// BBR.MinPipeCwnd, segments: enough for a receiver that acknowledges every other one.
const MIN_SEGMENTS: u64 = 4;
/// What leaves at once (BBR's send quantum, draft §5.6.3): so much time's worth ...
const QUANTUM: Duration = Duration::from_millis(1);
/// ... but at least so many segments, and at most so many bytes.
const QUANTUM_SEGMENTS: u64 = 2;
const MAX_QUANTUM_BYTES: u64 = 64 * 1024;
/// Quanta that sender, path and receiver may hold up between them (draft §5.5.8).
const OFFLOAD_QUANTA: u64 = 3;
/// Who sends so much later than the pace allowed had nothing to send.
pub(super) const LATE: Duration = Duration::from_millis(1);

impl Bbr {
    /// UpdateControlParameters().
    pub(super) fn update_control(&mut self, ack: &Ack) {
        if !self.has_seen_rtt && ack.rtt.is_some() {
            self.has_seen_rtt = true;
            self.init_pace(ack.srtt);
        }
        self.set_pace(self.state.pacing_percent());
        self.set_window(ack);
    }

    /// InitPacingRate(): the first window in one round trip.
    pub(super) fn init_pace(&mut self, rtt: Duration) {
        let bw = self.initial_bytes * 1_000_000 / rtt.total_micros().max(1);
        self.pace_bytes_per_s = percent(bw, State::Startup.pacing_percent()).max(1);
    }

    /// SetPacingRateWithGain(). Until the pipe was full once a sample only says what was
    /// sent, so that the pace does not fall.
    pub(super) fn set_pace(&mut self, gain_percent: u64) {
        let pace = percent(percent(self.max_bw(), gain_percent), PACE_PERCENT);
        if pace > self.pace_bytes_per_s || (self.full_pipe.was_reached && pace > 0) {
            self.pace_bytes_per_s = pace;
        }
    }

    /// `bytes` leave: the next may follow when the pace has brought them away.
    pub(super) fn count_pace(&mut self, now: Instant, bytes: u64) {
        let time_us = bytes.saturating_mul(1_000_000) / self.pace_bytes_per_s.max(1);
        self.paced_until = self.paced_until.max(now) + Duration::from_micros(time_us);
    }

    /// SetCwnd(): up by what was delivered at most, down at once.
    fn set_window(&mut self, ack: &Ack) {
        let max_inflight_bytes = self.max_inflight_bytes();
        let grown_bytes = self.window_bytes + ack.delivered_bytes;
        if self.full_pipe.was_reached {
            self.window_bytes = grown_bytes.min(max_inflight_bytes);
        } else if self.window_bytes < max_inflight_bytes
            || self.delivered_bytes < self.initial_bytes
        {
            self.window_bytes = grown_bytes;
        }
        self.bound_window();
    }

    /// BoundCwndForProbeRTT() and BoundCwndForModel().
    fn bound_window(&mut self) {
        let mut cap_bytes = match self.state {
            State::Down | State::Refill | State::Up => self.bounds.long_inflight_bytes,
            State::Cruise | State::ProbeRtt => self.with_headroom_bytes(),
            State::Startup | State::Drain => UNBOUNDED,
        };
        if self.state == State::ProbeRtt {
            cap_bytes = cap_bytes.min(self.probe_rtt_window_bytes());
        }
        self.window_bytes = self
            .window_bytes
            .min(cap_bytes)
            .max(self.min_window_bytes());
    }

    /// SaveCwnd().
    pub(super) fn save_window(&mut self) {
        if self.in_recovery || self.state == State::ProbeRtt {
            self.prior_window_bytes = self.prior_window_bytes.max(self.window_bytes);
        } else {
            self.prior_window_bytes = self.window_bytes;
        }
    }

    /// RestoreCwnd(), as far as the bounds allow.
    pub(super) fn restore_window(&mut self) {
        self.window_bytes = self.window_bytes.max(self.prior_window_bytes);
        self.bound_window();
    }

    /// BBR.MinPipeCwnd, bytes.
    pub(super) fn min_window_bytes(&self) -> u64 {
        MIN_SEGMENTS * self.mss_bytes
    }

    /// InflightWithHeadroom(), bytes.
    pub(super) fn with_headroom_bytes(&self) -> u64 {
        self.bounds
            .below_headroom_bytes(self.mss_bytes)
            .max(self.min_window_bytes())
    }

    /// BDPMultiple(): what `bw` fills the path with, times `gain_percent`.
    pub(super) fn bdp_bytes(&self, bw: u64, gain_percent: u64) -> u64 {
        match self.min_rtt.get() {
            Some(rtt) => percent(volume_bytes(bw, rtt), gain_percent),
            None => self.initial_bytes,
        }
    }

    /// Inflight(1.0) of `bw`, bytes: never less than keeps the pipe going.
    pub(super) fn inflight_bytes(&self, bw: u64) -> u64 {
        self.quantized_bytes(self.bdp_bytes(bw, 100))
    }

    /// BBR.max_inflight, bytes.
    fn max_inflight_bytes(&self) -> u64 {
        let bdp_bytes = self.bdp_bytes(self.max_bw(), self.state.window_percent());
        self.quantized_bytes(bdp_bytes.saturating_add(self.aggregation.extra_bytes()))
    }

    /// QuantizationBudget().
    fn quantized_bytes(&self, bytes: u64) -> u64 {
        let quantum_bytes = volume_bytes(self.pace_bytes_per_s, QUANTUM)
            .min(MAX_QUANTUM_BYTES)
            .max(QUANTUM_SEGMENTS * self.mss_bytes);
        let more_bytes = match self.state {
            State::Up => 2 * self.mss_bytes,
            _ => 0,
        };
        let least_bytes = self.min_window_bytes().max(OFFLOAD_QUANTA * quantum_bytes);
        bytes.max(least_bytes) + more_bytes
    }

    /// UpdateACKAggregation().
    pub(super) fn aggregate(&mut self, ack: &Ack) {
        self.aggregation.on_ack(
            ack.now,
            ack.delivered_bytes,
            self.max_bw(),
            self.window_bytes,
            self.rounds.count,
            !self.full_pipe.was_reached,
        );
    }
}

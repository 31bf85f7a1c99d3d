//! What loss says: a bound beneath what the path was seen to carry (draft §5.5.10).
//!
//! Loss while probing for bandwidth bounds what is in flight for long. Up to two percent
//! in a round trip are no answer to a probe: paths lose so much by themselves.
//!
//! The draft takes loss at other times for other traffic, and bounds bandwidth and what
//! is in flight until the next probe (its short-term model). That is left out: beside
//! flows of version 1, which cause loss and do not heed it, two of four were left an
//! eighth of the path (measured against Linux). What others take is seen all the same: in
//! the bandwidth that is delivered, and in the loss of the next probe.

use super::{Bbr, State};
use crate::net::congestion::{Ack, Loss, Rate};
use smoltcp::time::Instant;

/// No bound.
pub(super) const UNBOUNDED: u64 = u64::MAX;
/// BBR.LossThresh, percent of what was in flight.
const LOSS_PERCENT: u64 = 2;
/// BBR.Beta, percent: the most that one probe takes.
const BETA_PERCENT: u64 = 70;
/// 1 - BBR.Headroom, percent.
const BELOW_HEADROOM_PERCENT: u64 = 85;

/// A delivery rate sample as the model takes it; all zero if there was none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    /// RS.delivery_rate, bytes a second; zero if it means nothing.
    pub(super) bw: u64,
    /// RS.delivered, bytes.
    pub(super) delivered_bytes: u64,
    /// RS.tx_in_flight, bytes.
    pub(super) sent_in_flight_bytes: u64,
    /// RS.lost, bytes.
    pub(super) lost_bytes: u64,
    /// Of these, by the present acknowledgment.
    pub(super) newly_lost_bytes: u64,
    /// RS.prior_delivered, bytes.
    pub(super) prior_delivered_bytes: u64,
    /// The network was not what limited it.
    pub(super) is_limited: bool,
}

impl Sample {
    /// IsInflightTooHigh().
    pub(super) fn is_inflight_too_high(&self) -> bool {
        self.lost_bytes.saturating_mul(100) > self.sent_in_flight_bytes.saturating_mul(LOSS_PERCENT)
    }

    /// InflightAtLoss(), bytes: at what volume the losses of the present acknowledgment,
    /// taken for a burst just before what it delivered, crossed the threshold.
    pub(super) fn inflight_at_loss_bytes(&self) -> u64 {
        let before_bytes = self
            .sent_in_flight_bytes
            .saturating_sub(self.newly_lost_bytes);
        let lost_before_bytes = self.lost_bytes.saturating_sub(self.newly_lost_bytes);
        let tolerated_bytes = before_bytes.saturating_mul(LOSS_PERCENT) / 100;
        let prefix_bytes =
            tolerated_bytes.saturating_sub(lost_before_bytes) * 100 / (100 - LOSS_PERCENT);
        before_bytes.saturating_add(prefix_bytes)
    }
}

/// The bound that loss has set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// BBR.inflight_longterm.
    pub(super) long_inflight_bytes: u64,
}

impl Bounds {
    pub(super) const NONE: Bounds = Bounds {
        long_inflight_bytes: UNBOUNDED,
    };

    /// InflightWithHeadroom(): the long-term bound with room for others, bytes.
    pub(super) fn below_headroom_bytes(&self, mss_bytes: u64) -> u64 {
        if self.long_inflight_bytes == UNBOUNDED {
            return UNBOUNDED;
        }
        let share_bytes = percent(self.long_inflight_bytes, BELOW_HEADROOM_PERCENT);
        share_bytes.min(self.long_inflight_bytes.saturating_sub(mss_bytes))
    }

    /// Whatever was higher before.
    fn raise_to(&mut self, other: &Bounds) {
        self.long_inflight_bytes = self.long_inflight_bytes.max(other.long_inflight_bytes);
    }
}

/// The delivery process of the last round trip, counted from a first loss.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Latest {
    /// BBR.inflight_latest.
    pub(super) inflight_bytes: u64,
    /// The present acknowledgment ended such a round.
    pub(super) has_round_started: bool,
    /// Acknowledgments of this round that told of loss.
    pub(super) loss_events: u8,
    is_loss_in_round: bool,
    round_delivered_bytes: u64,
}

impl Latest {
    /// NoteLoss(): the first of a round begins it, to see all that the path carries.
    pub(super) fn on_loss(&mut self, delivered_bytes: u64) {
        if !self.is_loss_in_round {
            self.round_delivered_bytes = delivered_bytes;
        }
        self.is_loss_in_round = true;
    }

    /// UpdateLatestDeliverySignals().
    pub(super) fn on_sample(&mut self, sample: &Sample, delivered_bytes: u64) {
        self.inflight_bytes = self.inflight_bytes.max(sample.delivered_bytes);
        self.has_round_started = sample.prior_delivered_bytes >= self.round_delivered_bytes;
        if self.has_round_started {
            self.round_delivered_bytes = delivered_bytes;
        }
    }

    /// AdvanceLatestDeliverySignals().
    pub(super) fn advance(&mut self, sample: &Sample) {
        if self.has_round_started {
            self.inflight_bytes = sample.delivered_bytes;
            self.loss_events = 0;
            self.is_loss_in_round = false;
        }
    }

    /// ResetCongestionSignals().
    pub(super) fn reset(&mut self) {
        self.is_loss_in_round = false;
        self.inflight_bytes = 0;
    }
}

/// What an episode of recovery takes, should it prove spurious.
#[derive(Clone, Copy, Debug)]
pub(super) struct Undo {
    /// A probe that its loss ended.
    pub(super) state: Option<State>,
    /// The bounds before it.
    pub(super) bounds: Bounds,
}

impl Bbr {
    /// The sample of `ack`, and whether there is any.
    pub(super) fn sample(&self, ack: &Ack) -> Option<Sample> {
        let rate: Rate = ack.rate?;
        // Shorter than any round trip, it says how acknowledgments were bunched.
        let is_too_short = self.min_rtt.get().is_some_and(|min| rate.interval < min);
        let bw = rate.bytes_per_s().filter(|_| !is_too_short);
        let was_held_back = rate.prior_delivered_bytes < self.held_back_until_bytes;
        Some(Sample {
            bw: bw.unwrap_or(0),
            delivered_bytes: rate.delivered_bytes,
            sent_in_flight_bytes: rate.sent_in_flight_bytes,
            lost_bytes: rate.lost_bytes,
            newly_lost_bytes: ack.lost_bytes,
            prior_delivered_bytes: rate.prior_delivered_bytes,
            is_limited: rate.is_app_limited || was_held_back,
        })
    }

    /// HandleInflightTooHigh(), if a probe for bandwidth caused so much loss.
    pub(super) fn judge_probe(&mut self, now: Instant, sample: &Sample) {
        if !self.probe.is_sampling || !sample.is_inflight_too_high() {
            return;
        }
        self.probe.was_too_high = true;
        self.probe.is_sampling = false;
        if !sample.is_limited {
            self.bounds.long_inflight_bytes = sample
                .inflight_at_loss_bytes()
                .max(percent(self.target_inflight_bytes(), BETA_PERCENT));
        }
        if self.state == State::Up {
            self.undo.state = Some(State::Up);
            self.start_down(now);
        }
    }

    /// SaveStateUponLoss(): an episode begins.
    pub(super) fn save(&mut self) {
        self.save_window();
        self.undo = Undo {
            state: None,
            bounds: self.bounds,
        };
        self.latest.on_loss(self.delivered_bytes);
    }

    /// What time-outs say of a probe: everything in flight was too much.
    pub(super) fn judge_timeout(&mut self, loss: &Loss) {
        let sample = Sample {
            sent_in_flight_bytes: loss.prior_in_flight_bytes,
            lost_bytes: loss.lost_bytes,
            newly_lost_bytes: loss.lost_bytes,
            ..Sample::default()
        };
        self.judge_probe(loss.now, &sample);
    }

    /// HandleSpuriousLossDetection().
    pub(super) fn undo_loss(&mut self) {
        self.latest.is_loss_in_round = false;
        self.full_pipe.restart(0);
        self.bounds.raise_to(&self.undo.bounds);
        let state = self.undo.state.take();
        if state == Some(State::Startup) {
            self.full_pipe.was_reached = false;
        }
        match state {
            Some(State::Startup) if self.state != State::ProbeRtt => self.state = State::Startup,
            Some(State::Up) if !matches!(self.state, State::Up | State::ProbeRtt) => {
                self.start_refill();
            }
            _ => {}
        }
    }
}

/// `percent` of `value`.
pub(super) fn percent(value: u64, percent: u64) -> u64 {
    value.saturating_mul(percent) / 100
}

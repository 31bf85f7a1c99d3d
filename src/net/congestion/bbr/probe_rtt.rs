//! Emptying the path now and then to see how long it is (draft §5.3.4).

use super::probe::Feedback;
use super::{Bbr, State};
use crate::net::congestion::Ack;
use smoltcp::time::{Duration, Instant};

/// BBR.ProbeRTTDuration: so long little is in flight, that flows meet in it.
const PROBE_RTT_DURATION: Duration = Duration::from_millis(200);

/// How far it has got.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ProbeRtt {
    /// Little enough is in flight, and will be until then.
    done_at: Option<Instant>,
    has_round_passed: bool,
}

impl Bbr {
    /// CheckProbeRTT().
    pub(super) fn check_probe_rtt(&mut self, ack: &Ack) {
        if self.state != State::ProbeRtt && self.min_rtt.has_expired && !self.is_idle_restart {
            self.save_window();
            self.state = State::ProbeRtt;
            self.probe_rtt = ProbeRtt::default();
            self.probe.feedback = Feedback::Ending;
            self.rounds.start(self.delivered_bytes);
        }
        if self.state == State::ProbeRtt {
            self.handle_probe_rtt(ack);
        }
        if ack.delivered_bytes > 0 {
            self.is_idle_restart = false;
        }
    }

    fn handle_probe_rtt(&mut self, ack: &Ack) {
        self.held_back_until_bytes = self.delivered_bytes + ack.in_flight_bytes;
        if self.probe_rtt.done_at.is_none() {
            if ack.in_flight_bytes <= self.probe_rtt_window_bytes() {
                self.probe_rtt.done_at = Some(ack.now + PROBE_RTT_DURATION);
                self.rounds.start(self.delivered_bytes);
            }
            return;
        }
        self.probe_rtt.has_round_passed |= self.rounds.has_started;
        if self.probe_rtt.has_round_passed {
            self.check_probe_rtt_done(ack.now);
        }
    }

    /// CheckProbeRTTDone().
    pub(super) fn check_probe_rtt_done(&mut self, now: Instant) {
        if self.probe_rtt.done_at.is_some_and(|done| now > done) {
            self.min_rtt.on_probed(now);
            self.leave_probe_rtt(now);
            self.restore_window();
        }
    }

    /// ExitProbeRTT(): the queue is gone already, but the next probe for bandwidth waits.
    fn leave_probe_rtt(&mut self, now: Instant) {
        if self.full_pipe.was_reached {
            self.start_down(now);
            self.state = State::Cruise;
        } else {
            self.state = State::Startup;
        }
    }

    /// ProbeRTTCwnd().
    pub(super) fn probe_rtt_window_bytes(&self) -> u64 {
        self.bdp_bytes(self.max_bw(), State::ProbeRtt.window_percent())
            .max(self.min_window_bytes())
    }
}

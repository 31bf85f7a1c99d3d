//! No congestion control, for measurements in a lab: the peer's window is the only limit.

use super::{Ack, Controller, Loss};
use smoltcp::time::{Duration, Instant};

/// Lets everything be in flight, at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unlimited;

impl Controller for Unlimited {
    fn window_bytes(&self) -> u64 {
        u64::MAX
    }

    fn threshold_bytes(&self) -> u64 {
        u64::MAX
    }

    fn pace_bytes_per_s(&self) -> Option<u64> {
        None
    }

    fn on_send(&mut self, _now: Instant, _bytes: u64, _in_flight_bytes: u64) {}
    fn on_ack(&mut self, _ack: &Ack) {}
    fn on_loss(&mut self, _loss: &Loss) {}
    fn on_recovered(&mut self, _now: Instant) {}
    fn on_timeout(&mut self, _loss: &Loss) {}
    fn on_undo(&mut self, _now: Instant) {}
    fn on_idle(&mut self, _now: Instant, _idle: Duration, _rto: Duration) {}
}

//! The state machine, one acknowledgment at a time: its [`states`], and what becomes of
//! [`losses`].

mod losses;
mod states;

use super::probe::Feedback;
use super::*;
use crate::net::congestion::Rate;

const MSS: u64 = 1_000;
/// Of the path that the flows here know: ten segments are in it.
const BW: u64 = 1_000_000;
const BDP: u64 = 10 * MSS;

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms as i64)
}

/// A flow that knows its path and is in `state`, at its 1,000th millisecond.
fn flow(state: State) -> Bbr {
    let mut bbr = Bbr::new(MSS as u16, at(0), 1);
    bbr.min_rtt.on_ack(at(900), Some(Duration::from_millis(10)));
    bbr.bandwidth.note(BW);
    bbr.delivered_bytes = 100 * MSS;
    bbr.rounds.start(bbr.delivered_bytes);
    bbr.has_seen_rtt = true;
    bbr.full_pipe.was_reached = state != State::Startup;
    bbr.full_pipe.restart(BW);
    bbr.window_bytes = 2 * BDP;
    bbr.pace_bytes_per_s = BW;
    bbr.probe = Probe::new(at(1_000), 1);
    bbr.start_down(at(1_000));
    bbr.probe.feedback = Feedback::None;
    bbr.state = state;
    bbr
}

/// The next acknowledgment of a segment: by default of a path that is just full.
#[derive(Clone, Copy)]
struct Said {
    at_ms: u64,
    bw: u64,
    in_flight_bytes: u64,
    lost_bytes: u64,
    newly_lost_bytes: u64,
    ends_round: bool,
    is_limited: bool,
    is_window_limited: bool,
    in_recovery: bool,
}

impl Default for Said {
    fn default() -> Self {
        Said {
            at_ms: 1_100,
            bw: BW,
            in_flight_bytes: 12 * MSS,
            lost_bytes: 0,
            newly_lost_bytes: 0,
            ends_round: true,
            is_limited: false,
            is_window_limited: false,
            in_recovery: false,
        }
    }
}

fn hear(bbr: &mut Bbr, said: Said) {
    let prior = bbr.delivered_bytes;
    let interval = Duration::from_millis(10);
    bbr.on_ack(&Ack {
        now: at(said.at_ms),
        delivered_bytes: MSS,
        acknowledged_bytes: MSS,
        lost_bytes: said.newly_lost_bytes,
        prior_in_flight_bytes: said.in_flight_bytes + MSS,
        in_flight_bytes: said.in_flight_bytes,
        rtt: Some(Duration::from_millis(12)),
        srtt: Duration::from_millis(12),
        una_offset: 0,
        nxt_offset: 0,
        is_window_limited: said.is_window_limited,
        in_recovery: said.in_recovery,
        rate: Some(Rate {
            delivered_bytes: said.bw / 100,
            interval,
            prior_delivered_bytes: if said.ends_round { prior } else { 0 },
            total_delivered_bytes: prior + MSS,
            sent_in_flight_bytes: said.in_flight_bytes,
            lost_bytes: said.lost_bytes,
            is_app_limited: said.is_limited,
        }),
    });
}

fn loss(in_flight_bytes: u64, lost_bytes: u64) -> Loss {
    Loss {
        now: at(1_200),
        prior_in_flight_bytes: in_flight_bytes + lost_bytes,
        in_flight_bytes,
        lost_bytes,
    }
}

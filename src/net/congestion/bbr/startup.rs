//! Finding the path's bandwidth at first, and whether it is found (draft §5.3.1).

use super::bounds::Sample;
use super::{Bbr, State};
use crate::net::congestion::Ack;

/// Growth by less than this, percent ...
const FULL_BW_GROWTH_PERCENT: u64 = 125;
/// ... in so many rounds: the pipe is full.
const FULL_BW_ROUNDS: u8 = 3;
/// BBRStartupFullLossCnt: fewer losses in a round may be one burst.
const FULL_LOSS_EVENTS: u8 = 6;

/// Whether sending faster still brings more (draft §5.3.1.2).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FullPipe {
    /// It was found full at least once: Startup is over.
    pub(super) was_reached: bool,
    /// It was found full since looking began.
    pub(super) is_now: bool,
    baseline_bw: u64,
    flat_rounds: u8,
}

impl FullPipe {
    /// Looks anew, for more than `bw` bytes a second.
    pub(super) fn restart(&mut self, bw: u64) {
        self.is_now = false;
        self.baseline_bw = bw;
        self.flat_rounds = 0;
    }

    /// Takes the bandwidth of a sample that the network limited.
    pub(super) fn on_sample(&mut self, bw: u64, is_round_start: bool) {
        if self.is_now {
            return;
        }
        if bw >= self.baseline_bw.saturating_mul(FULL_BW_GROWTH_PERCENT) / 100 {
            self.restart(bw);
        } else if is_round_start {
            self.flat_rounds += 1;
            self.is_now = self.flat_rounds >= FULL_BW_ROUNDS;
            self.was_reached |= self.is_now;
        }
    }
}

impl Bbr {
    /// CheckStartupDone(): too much was lost, or there is no more to be had.
    pub(super) fn check_startup(&mut self, ack: &Ack, sample: &Sample) {
        if self.state != State::Startup {
            return;
        }
        if self.latest.has_round_started
            && ack.in_recovery
            && self.latest.loss_events >= FULL_LOSS_EVENTS
            && sample.is_inflight_too_high()
        {
            self.undo.state = Some(State::Startup);
            self.full_pipe.was_reached = true;
            self.bounds.long_inflight_bytes = self
                .bdp_bytes(self.max_bw(), 100)
                .max(self.latest.inflight_bytes);
        }
        if self.full_pipe.was_reached {
            self.state = State::Drain;
            self.drain_began_round = self.rounds.count;
        }
    }

    /// CheckDrainDone(): Startup's queue is gone, or was none.
    pub(super) fn check_drain(&mut self, ack: &Ack) {
        if self.state == State::Drain
            && (ack.in_flight_bytes <= self.inflight_bytes(self.max_bw())
                || self.rounds.count > self.drain_began_round + 3)
        {
            self.start_down(ack.now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_flat_rounds_are_a_full_pipe() {
        // Bandwidth of the rounds, and after which of them it is full.
        for (name, rounds, want) in [
            ("still", &[100, 100, 100, 100][..], Some(3)),
            ("doubling", &[1, 2, 4, 8, 16, 32], None),
            ("by a quarter", &[100, 125, 157, 197, 247], None),
            ("by less", &[1_000, 1_249, 1_249, 1_249, 1_249], Some(3)),
            ("grows late", &[10, 11, 12, 20, 21, 22, 23], Some(6)),
            ("falls", &[100, 50, 40, 30], Some(3)),
        ] {
            let mut pipe = FullPipe::default();
            let full = rounds.iter().position(|&bw| {
                pipe.on_sample(bw, true);
                pipe.is_now
            });
            assert_eq!(full, want, "{name}");
            assert_eq!(pipe.was_reached, want.is_some(), "{name}");
        }
    }

    #[test]
    fn looking_again_keeps_what_was_reached() {
        let mut pipe = FullPipe::default();
        for _ in 0..4 {
            pipe.on_sample(100, true);
        }
        pipe.restart(100);
        assert!(pipe.was_reached && !pipe.is_now);
        pipe.on_sample(110, false);
        pipe.on_sample(110, false);
        pipe.on_sample(110, false);
        assert!(!pipe.is_now, "within one round");
    }
}

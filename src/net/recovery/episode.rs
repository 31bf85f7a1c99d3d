//! What is found lost, and the episode of recovery that it begins (RFC 6675, RFC
//! 6582).

use super::doubt::Doubt;
use super::{Duration, Instant, Mode, Recovery};
use crate::net::congestion::{Controller, Loss};

/// Duplicate ACKs that say without SACK that a segment is lost (RFC 5681 §3.2).
const DUP_ACKS: u32 = 3;

impl Recovery {
    /// Counts segments as lost: by time and SACK, or by duplicate and partial ACKs
    /// of peers that have no SACK (RFC 6582).
    pub(super) fn detect(&mut self, was_una: u64, now: Instant) -> (u64, Option<Instant>) {
        let (min_rtt, srtt) = (self.rtt.least(), self.rtt.smoothed());
        let window = self.rack.window(
            &self.board,
            self.mode != Mode::Open,
            min_rtt.unwrap_or(Duration::ZERO),
            srtt.unwrap_or(Duration::ZERO),
        );
        // RFC 8985 §3: without SACK the delivered are not known.
        let (mut bytes, again) = match self.has_sack {
            true => self.rack.detect(&mut self.board, window, now),
            false => (0, None),
        };
        if self.is_hole(was_una) {
            bytes += self.board.lose_first();
            self.must_repair = true;
        }
        self.sampler.on_loss(bytes);
        (bytes, again)
    }

    /// RFC 6582: whether a peer without SACK says that the first segment is lost.
    fn is_hole(&self, was_una: u64) -> bool {
        if self.has_sack || self.board.first().is_none_or(|first| first.sends > 1) {
            return false;
        }
        match self.mode {
            // §3.2 step 1: what comes back of an episode's own repairs is no sign.
            Mode::Open => {
                self.dup_acks >= DUP_ACKS && (self.una > self.point || !self.is_in_doubt())
            }
            Mode::Recovery => self.una > was_una && self.una < self.point,
            Mode::Timeout => false,
        }
    }

    pub(super) fn begin_episode(
        &mut self,
        lost_bytes: u64,
        prior_in_flight_bytes: u64,
        now: Instant,
        congestion: &mut impl Controller,
    ) {
        if lost_bytes == 0 || self.mode != Mode::Open {
            return;
        }
        self.mode = Mode::Recovery;
        self.point = self.nxt;
        self.doubt = Some(Doubt::NONE);
        self.must_repair = true;
        self.probe = None;
        self.is_probing = false;
        self.tally.episodes += 1;
        congestion.on_loss(&self.loss(lost_bytes, prior_in_flight_bytes, now));
    }

    pub(super) fn loss(&self, lost_bytes: u64, prior_in_flight_bytes: u64, now: Instant) -> Loss {
        Loss {
            now,
            prior_in_flight_bytes,
            in_flight_bytes: self.board.in_flight_bytes(),
            lost_bytes,
        }
    }

    pub(super) fn end_episode(&mut self, now: Instant, congestion: &mut impl Controller) {
        if self.mode == Mode::Open || self.una < self.point {
            return;
        }
        self.rack.on_recovered();
        if self.mode == Mode::Recovery {
            congestion.on_recovered(now);
        }
        self.mode = Mode::Open;
        self.may_be_spurious = false;
        self.must_repair = false;
    }
}

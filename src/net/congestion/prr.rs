//! Proportional rate reduction (RFC 9937): in recovery about as much leaves as the
//! window was reduced to, spread over the round trip, whatever ACKs were lost.

use super::{Ack, Loss};

/// An episode of recovery. Names are those of RFC 9937 §6.
#[derive(Clone, Copy, Debug)]
pub struct Prr {
    /// RecoverFS: what could be delivered when it began, bytes.
    flight_bytes: u64,
    /// prr_delivered.
    delivered_bytes: u64,
    /// prr_out.
    out_bytes: u64,
    window_bytes: u64,
}

impl Prr {
    /// Begins an episode (§6.1). One segment may leave at once: the repair.
    pub fn new(loss: &Loss, mss_bytes: u64) -> Self {
        Prr {
            flight_bytes: loss.prior_in_flight_bytes,
            delivered_bytes: 0,
            out_bytes: 0,
            window_bytes: loss.in_flight_bytes + mss_bytes,
        }
    }

    /// cwnd: what was in flight after the last ACK, and sndcnt; at least a segment.
    pub fn window_bytes(&self) -> u64 {
        self.window_bytes
    }

    /// `bytes` leave, new or not (§6.3).
    pub fn on_send(&mut self, bytes: u64) {
        self.out_bytes += bytes;
    }

    /// §6.2. `threshold_bytes` is what the window will be in the end. An ACK that
    /// delivered nothing brings no credit.
    pub fn on_ack(&mut self, ack: &Ack, threshold_bytes: u64, mss_bytes: u64) {
        if ack.delivered_bytes == 0 {
            return;
        }
        if self.delivered_bytes == 0 {
            // The ACK that began it, whose data counts as delivered in it.
            self.flight_bytes = self.flight_bytes.max(ack.prior_in_flight_bytes);
        }
        self.delivered_bytes += ack.delivered_bytes;
        let mut allowed = if ack.in_flight_bytes > threshold_bytes {
            self.proportional_bytes(threshold_bytes)
        } else {
            self.bounded_bytes(ack, mss_bytes)
                .min(threshold_bytes - ack.in_flight_bytes)
        };
        if self.out_bytes == 0 {
            // The first repair leaves whole, though the share of one ACK is less.
            allowed = allowed.max(mss_bytes);
        }
        self.window_bytes = (ack.in_flight_bytes + allowed).max(mss_bytes);
    }

    /// So much for each byte delivered that it comes to the threshold in the end.
    fn proportional_bytes(&self, threshold_bytes: u64) -> u64 {
        let (delivered, flight) = (
            u128::from(self.delivered_bytes),
            u128::from(self.flight_bytes),
        );
        let out = (delivered * u128::from(threshold_bytes)).div_ceil(flight.max(1));
        u64::try_from(out)
            .unwrap_or(u64::MAX)
            .saturating_sub(self.out_bytes)
    }

    /// Below the threshold: what is delivered is replaced (PRR-CRB); and a segment
    /// more while repairs arrive and nothing else is lost (PRR-SSRB).
    fn bounded_bytes(&self, ack: &Ack, mss_bytes: u64) -> u64 {
        let owed = self.delivered_bytes.saturating_sub(self.out_bytes);
        let is_safe = ack.acknowledged_bytes > 0 && ack.lost_bytes == 0;
        owed.max(ack.delivered_bytes) + if is_safe { mss_bytes } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ACK, LOSS};
    use super::*;

    const MSS: u64 = 1_000;

    /// An episode in segments of 1,000 bytes.
    struct Episode {
        prr: Prr,
        threshold: u64,
        in_flight: u64,
    }

    impl Episode {
        fn new(flight: u64, lost: u64, threshold: u64) -> Self {
            let loss = Loss {
                prior_in_flight_bytes: flight * MSS,
                in_flight_bytes: (flight - lost) * MSS,
                lost_bytes: lost * MSS,
                ..LOSS
            };
            Episode {
                prr: Prr::new(&loss, MSS),
                threshold,
                in_flight: flight - lost,
            }
        }

        /// An ACK delivers, acknowledges in order and loses so many; returns sndcnt.
        fn ack(&mut self, delivered: u64, acknowledged: u64, lost: u64) -> u64 {
            let prior_in_flight_bytes = self.in_flight * MSS;
            self.in_flight -= delivered + lost;
            let ack = Ack {
                delivered_bytes: delivered * MSS,
                acknowledged_bytes: acknowledged * MSS,
                lost_bytes: lost * MSS,
                prior_in_flight_bytes,
                in_flight_bytes: self.in_flight * MSS,
                in_recovery: true,
                ..ACK
            };
            self.prr.on_ack(&ack, self.threshold * MSS, MSS);
            self.prr.window_bytes().saturating_sub(self.in_flight * MSS)
        }

        /// Sends what the window has room for; returns how many.
        fn send(&mut self) -> u64 {
            let room = self.prr.window_bytes().saturating_sub(self.in_flight * MSS) / MSS;
            self.prr.on_send(room * MSS);
            self.in_flight += room;
            room
        }
    }

    /// So many ACKs of one segment each: what leaves on each, and what is in flight then.
    fn play(mut episode: Episode, acks: usize) -> (Vec<u64>, Vec<u64>) {
        let turn = |_| {
            episode.ack(1, 0, 0);
            (episode.send(), episode.in_flight)
        };
        (0..acks).map(turn).unzip()
    }

    /// RFC 9937 §8: twenty in flight, the first of them lost.
    #[test]
    fn one_loss_spreads_the_reduction_over_the_round_trip() {
        let (sent, in_flight) = play(Episode::new(20, 1, 10), 19);
        // The repair at once, then one for two.
        // It stops for an ACK when the threshold is reached, and then is one for one.
        assert_eq!(
            sent,
            [1, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 1, 1, 1]
        );
        let want = [
            19, 18, 17, 17, 16, 16, 15, 15, 14, 14, 13, 13, 12, 12, 11, 10, 10, 10, 10,
        ];
        assert_eq!(in_flight, want);
        // CUBIC's reduction: seven for ten.
        let (sent, in_flight) = play(Episode::new(20, 1, 14), 19);
        assert_eq!(
            sent,
            [1, 0, 1, 0, 1, 1, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1]
        );
        assert_eq!(in_flight[10..], [15, 14, 14, 14, 14, 14, 14, 14, 14]);
    }

    /// RFC 9937 §8: all but the last four are lost; the window is a bound, not a goal.
    #[test]
    fn a_burst_of_losses_is_replaced_as_it_is_delivered() {
        let mut episode = Episode::new(20, 16, 10);
        // Before its ACK is seen the repair may leave: loss was found by a timer.
        assert_eq!(episode.prr.window_bytes(), 5 * MSS);
        for (delivered, acknowledged, lost, want, in_flight) in [
            (1, 0, 0, 1, 4), // one for one
            (1, 0, 0, 1, 4),
            (2, 0, 0, 2, 4),
            (1, 1, 0, 2, 5), // a repair arrived: one more
            (1, 1, 1, 1, 4), // but not while more is lost
            (2, 2, 0, 3, 5),
            (1, 1, 0, 2, 6),
            (1, 1, 0, 2, 7),
            (1, 1, 0, 2, 8),
            (1, 1, 0, 2, 9),
            (1, 1, 0, 2, 10),
            (1, 1, 0, 1, 10), // that is enough
            (3, 3, 0, 3, 10),
        ] {
            let allowed = episode.ack(delivered, acknowledged, lost);
            assert_eq!((allowed, episode.send()), (want * MSS, want));
            assert_eq!(episode.in_flight, in_flight);
        }
    }

    #[test]
    fn what_was_not_sent_may_be_sent_later() {
        let mut episode = Episode::new(20, 16, 10);
        for held_back in 1..=3 {
            assert_eq!(episode.ack(1, 0, 0), held_back * MSS);
        }
        assert_eq!(episode.send(), 3);
        assert_eq!(episode.ack(1, 0, 0), MSS);
    }

    #[test]
    fn an_ack_that_delivers_nothing_changes_nothing() {
        let mut episode = Episode::new(20, 1, 14);
        episode.ack(1, 0, 0);
        let before = episode.prr.window_bytes();
        episode.ack(0, 0, 3);
        assert_eq!(episode.prr.window_bytes(), before);
    }

    #[test]
    fn a_segment_may_always_leave_first_and_when_nothing_is_in_flight() {
        let mut episode = Episode::new(1_000, 1, 2);
        assert_eq!(episode.ack(1, 0, 0), MSS);
        let mut episode = Episode::new(3, 2, 2);
        episode.send();
        let byte = Ack {
            delivered_bytes: 1,
            acknowledged_bytes: 0,
            prior_in_flight_bytes: 1,
            in_flight_bytes: 0,
            ..ACK
        };
        episode.prr.on_ack(&byte, 2 * MSS, MSS);
        assert_eq!(episode.prr.window_bytes(), MSS);
    }
}

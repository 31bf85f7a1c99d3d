//! How much may be in flight: congestion controllers, each sans-IO and alone.
//!
//! Recovery (what was delivered, what was lost, how fast) tells a controller
//! what each acknowledgment said; the controller answers with a window and, if
//! it wants to, a pace. It never sees a segment, a socket or a clock.

pub mod bbr;
pub mod cubic;
pub mod hystart;
pub mod pace;
pub mod prr;
pub mod unlimited;

pub use bbr::Bbr;
use cubic::Cubic;
use smoltcp::time::{Duration, Instant};
use unlimited::Unlimited;

/// A congestion controller of one connection.
///
/// Times never run backwards. Windows and amounts are bytes of payload.
pub trait Controller {
    /// How much may be in flight now, bytes: at least one segment. In recovery this
    /// already is what proportional rate reduction allows.
    fn window_bytes(&self) -> u64;

    /// Above this the window grows carefully, bytes; `u64::MAX` while unknown.
    fn threshold_bytes(&self) -> u64;

    /// How fast segments should leave, bytes a second; `None`: as they come.
    fn pace_bytes_per_s(&self) -> Option<u64>;

    /// New data or repairs leave: `bytes`, with `in_flight_bytes` under way before.
    fn on_send(&mut self, now: Instant, bytes: u64, in_flight_bytes: u64);

    /// An acknowledgment brought news. Called for every one that delivered or
    /// lost something, after [`on_loss`](Controller::on_loss) if it began an episode.
    fn on_ack(&mut self, ack: &Ack);

    /// Loss was detected and no episode was going on: one begins (RFC 6675 §5 step 4).
    /// It ends when everything sent before now is acknowledged.
    fn on_loss(&mut self, loss: &Loss);

    /// The episode has ended: everything that was in flight when it began is
    /// acknowledged.
    fn on_recovered(&mut self, now: Instant);

    /// The retransmission timer ran out (RFC 6298 §5, RFC 5681 §3.1): everything
    /// in flight counts as lost. Called for the first time-out of a row only.
    fn on_timeout(&mut self, loss: &Loss);

    /// All repairs of the last episode, or since the last time-out, were spurious:
    /// what it took is given back (RFC 3708, RFC 5682).
    fn on_undo(&mut self, now: Instant);

    /// Nothing was in flight for `idle`, longer than the retransmission timeout
    /// `rto`, and the sender goes on now (RFC 5681 §4.1, RFC 7661).
    fn on_idle(&mut self, now: Instant, idle: Duration, rto: Duration);

    /// The path carries no segments larger than `mss_bytes`: it was for their size that
    /// the last ones were lost, and their time-outs say nothing of how much may be in
    /// flight. No more than the first window is from here on, nor than before them.
    fn on_mss(&mut self, _mss_bytes: u16) {}
}

/// What an acknowledgment said, once the scoreboard had taken it in.
#[derive(Clone, Copy, Debug)]
pub struct Ack {
    /// When it came.
    pub now: Instant,
    /// Bytes that are newly known to have arrived, by ACK or SACK.
    pub delivered_bytes: u64,
    /// Of these, by a move of SND.UNA.
    pub acknowledged_bytes: u64,
    /// Bytes newly counted as lost.
    pub lost_bytes: u64,
    /// In flight before and after it, bytes: sent, not delivered, not lost.
    pub prior_in_flight_bytes: u64,
    /// See there.
    pub in_flight_bytes: u64,
    /// Round-trip time of the segment sent last among those that it delivered, if
    /// that was sent once only.
    pub rtt: Option<Duration>,
    /// Smoothed round-trip time (RFC 6298), this sample included.
    pub srtt: Duration,
    /// Bytes acknowledged in order so far, counted from the connection's beginning
    /// (SND.UNA), and sent so far (SND.NXT). A round trip has passed when
    /// `una_offset` passes the `nxt_offset` of its beginning.
    pub una_offset: u64,
    /// See there.
    pub nxt_offset: u64,
    /// The window was what held the sender back when the delivered data was sent, so
    /// that it may grow (RFC 7661 §4.4).
    pub is_window_limited: bool,
    /// An episode of recovery is going on.
    pub in_recovery: bool,
    /// How fast data was delivered.
    pub rate: Option<Rate>,
}

/// A delivery rate sample: draft-ietf-ccwg-bbr §4.1, RFC 9438 has no use for it.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Bytes delivered over `interval`, from the sending of the newest delivered
    /// segment to its acknowledgment.
    pub delivered_bytes: u64,
    /// The longer of the sending and the acknowledging time.
    pub interval: Duration,
    /// All bytes delivered on the connection when that segment was sent: a round
    /// trip has passed when it reaches the total of the round's beginning.
    pub prior_delivered_bytes: u64,
    /// All bytes delivered on the connection so far.
    pub total_delivered_bytes: u64,
    /// In flight when that segment was sent, itself included.
    pub sent_in_flight_bytes: u64,
    /// Bytes lost between its sending and now.
    pub lost_bytes: u64,
    /// There was not enough to send: the sample may be less than the path carries.
    pub is_app_limited: bool,
}

/// What is known when loss is noticed.
#[derive(Clone, Copy, Debug)]
pub struct Loss {
    /// When it was noticed.
    pub now: Instant,
    /// In flight before the loss was taken off, bytes.
    pub prior_in_flight_bytes: u64,
    /// In flight now.
    pub in_flight_bytes: u64,
    /// Bytes counted as lost.
    pub lost_bytes: u64,
}

impl Rate {
    /// Bytes a second; `None` for an interval too short to mean anything.
    pub fn bytes_per_s(&self) -> Option<u64> {
        let interval_us = self.interval.total_micros();
        (interval_us > 0).then(|| self.delivered_bytes.saturating_mul(1_000_000) / interval_us)
    }
}

/// The first window, segments, of common sizes (RFC 6928).
pub const INITIAL_SEGMENTS: u64 = 10;
/// And in bytes: large segments are fewer.
const INITIAL_BYTES: u64 = 14_600;

/// RFC 6928 §2: the first window of segments of `mss_bytes`, and the one after idleness.
pub fn initial_window_bytes(mss_bytes: u16) -> u64 {
    let mss = u64::from(mss_bytes);
    (INITIAL_SEGMENTS * mss).min(INITIAL_BYTES.max(2 * mss))
}

/// Which controller connections have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// [`cubic`].
    #[default]
    Cubic,
    /// [`bbr`].
    Bbr,
    /// [`unlimited`].
    None,
}

/// A connection's controller. All that differs between them is said here: a further one
/// is a variant here and in [`Algorithm`], and an arm of each `match`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "Algorithm says it")]
pub enum Congestion {
    Cubic(Cubic),
    Bbr(Box<Bbr>),
    None(Unlimited),
}

impl Congestion {
    /// The controller of a connection that begins `now` and whose segments carry
    /// `mss_bytes`; what is left to chance follows from `seed`.
    pub fn new(algorithm: Algorithm, mss_bytes: u16, now: Instant, seed: u64) -> Self {
        match algorithm {
            Algorithm::Cubic => Congestion::Cubic(Cubic::new(mss_bytes)),
            Algorithm::Bbr => Congestion::Bbr(Box::new(Bbr::new(mss_bytes, now, seed))),
            Algorithm::None => Congestion::None(Unlimited),
        }
    }

    /// As `--congestion` calls it.
    pub fn name(&self) -> &'static str {
        match self {
            Congestion::Cubic(_) => "cubic",
            Congestion::Bbr(_) => "bbr",
            Congestion::None(_) => "none",
        }
    }

    /// What it is at, in a word; empty if it has no phases.
    pub fn phase(&self) -> &'static str {
        match self {
            Congestion::Cubic(cubic) => cubic.phase(),
            Congestion::Bbr(bbr) => bbr.phase(),
            Congestion::None(_) => "",
        }
    }

    fn get(&self) -> &dyn Controller {
        match self {
            Congestion::Cubic(cubic) => cubic,
            Congestion::Bbr(bbr) => bbr.as_ref(),
            Congestion::None(unlimited) => unlimited,
        }
    }

    fn get_mut(&mut self) -> &mut dyn Controller {
        match self {
            Congestion::Cubic(cubic) => cubic,
            Congestion::Bbr(bbr) => bbr.as_mut(),
            Congestion::None(unlimited) => unlimited,
        }
    }
}

impl Controller for Congestion {
    fn window_bytes(&self) -> u64 {
        self.get().window_bytes()
    }

    fn threshold_bytes(&self) -> u64 {
        self.get().threshold_bytes()
    }

    fn pace_bytes_per_s(&self) -> Option<u64> {
        self.get().pace_bytes_per_s()
    }

    fn on_send(&mut self, now: Instant, bytes: u64, in_flight_bytes: u64) {
        self.get_mut().on_send(now, bytes, in_flight_bytes);
    }

    fn on_ack(&mut self, ack: &Ack) {
        self.get_mut().on_ack(ack);
    }

    fn on_loss(&mut self, loss: &Loss) {
        self.get_mut().on_loss(loss);
    }

    fn on_recovered(&mut self, now: Instant) {
        self.get_mut().on_recovered(now);
    }

    fn on_timeout(&mut self, loss: &Loss) {
        self.get_mut().on_timeout(loss);
    }

    fn on_undo(&mut self, now: Instant) {
        self.get_mut().on_undo(now);
    }

    fn on_idle(&mut self, now: Instant, idle: Duration, rto: Duration) {
        self.get_mut().on_idle(now, idle, rto);
    }

    fn on_mss(&mut self, mss_bytes: u16) {
        self.get_mut().on_mss(mss_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A segment of 1,000 bytes was delivered in order over 100 ms: tests change what matters.
    pub(super) const ACK: Ack = Ack {
        now: Instant::from_millis_const(1_000),
        delivered_bytes: 1_000,
        acknowledged_bytes: 1_000,
        lost_bytes: 0,
        prior_in_flight_bytes: 10_000,
        in_flight_bytes: 9_000,
        rtt: Some(Duration::from_millis(100)),
        srtt: Duration::from_millis(100),
        una_offset: 1_000,
        nxt_offset: 10_000,
        is_window_limited: true,
        in_recovery: false,
        rate: None,
    };

    /// The first of ten segments of 1,000 bytes was lost.
    pub(super) const LOSS: Loss = Loss {
        now: Instant::from_millis_const(1_000),
        prior_in_flight_bytes: 10_000,
        in_flight_bytes: 8_000,
        lost_bytes: 1_000,
    };

    #[test]
    fn the_algorithm_decides() {
        for (algorithm, window, threshold) in [
            (Algorithm::Cubic, 14_480, u64::MAX),
            (Algorithm::None, u64::MAX, u64::MAX),
        ] {
            let mut congestion = Congestion::new(algorithm, 1_448, Instant::ZERO, 1);
            assert_eq!(congestion.window_bytes(), window);
            assert_eq!(congestion.threshold_bytes(), threshold);
            assert_eq!(congestion.pace_bytes_per_s(), None);
            congestion.on_timeout(&LOSS);
            let is_limited = algorithm != Algorithm::None;
            assert_eq!(congestion.window_bytes() == 1_448, is_limited);
        }
    }

    #[test]
    fn a_rate_is_bytes_in_a_second() {
        let rate = |delivered_bytes, us| Rate {
            delivered_bytes,
            interval: Duration::from_micros(us),
            prior_delivered_bytes: 0,
            total_delivered_bytes: delivered_bytes,
            sent_in_flight_bytes: delivered_bytes,
            lost_bytes: 0,
            is_app_limited: false,
        };
        for (bytes, us, want) in [
            (1_448, 1_000, Some(1_448_000)),
            (1, 3, Some(333_333)),
            (0, 5, Some(0)),
            (1_448, 0, None),
        ] {
            assert_eq!(rate(bytes, us).bytes_per_s(), want, "{bytes} in {us}");
        }
    }
}

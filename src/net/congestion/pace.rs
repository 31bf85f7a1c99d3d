//! Segments leave evenly: a token bucket (RFC 9002 §7.7; Linux's sk_pacing).
//!
//! What leaves at once is about a millisecond's worth, a quantum, so that a
//! connection needs no more than a thousand wake-ups a second.

use super::initial_window_bytes;
use smoltcp::time::{Duration, Instant};

/// A quantum is what leaves in this time ...
const QUANTUM_US: u64 = 1_000;
/// ... but at least so many segments, and ...
const MIN_SEGMENTS: u64 = 2;
/// ... at most so many bytes.
const MAX_QUANTUM_BYTES: u64 = 64 * 1024;

/// When a connection's next bytes may leave.
///
/// The bucket holds two quanta: one is what a wake-up is asked for, the other makes
/// good a late one. A longer pause is lost, and only [`restart`](Pacer::restart)
/// gives back the first window, which goes unpaced.
#[derive(Clone, Copy, Debug)]
pub struct Pacer {
    /// Up to when the bucket was filled.
    filled_at: Instant,
    /// Millionths of a byte: rate times microseconds, so that nothing is rounded off.
    credit: u64,
    mss_bytes: u16,
}

const PER_BYTE: u64 = 1_000_000;

impl Pacer {
    /// A pacer of segments of `mss_bytes`.
    pub fn new(mss_bytes: u16) -> Self {
        Pacer {
            filled_at: Instant::ZERO,
            credit: initial_window_bytes(mss_bytes) * PER_BYTE,
            mss_bytes,
        }
    }

    /// How much may leave now at `rate` bytes a second.
    pub fn allowance_bytes(&mut self, now: Instant, rate: u64) -> u64 {
        self.fill(now, rate);
        self.credit / PER_BYTE
    }

    /// `bytes` have left. More than the allowance, such as a probe that could not
    /// wait, leaves nothing, but no debt.
    pub fn spend(&mut self, bytes: u64) {
        self.credit = self.credit.saturating_sub(bytes.saturating_mul(PER_BYTE));
    }

    /// When a quantum may leave at `rate` bytes a second: `now` if it already may.
    pub fn next_at(&mut self, now: Instant, rate: u64) -> Instant {
        self.fill(now, rate);
        let missing = (self.quantum_bytes(rate) * PER_BYTE).saturating_sub(self.credit);
        now + Duration::from_micros(missing.div_ceil(rate.max(1)))
    }

    /// The sender was idle: the next window leaves unpaced.
    pub fn restart(&mut self) {
        let first = initial_window_bytes(self.mss_bytes) * PER_BYTE;
        self.credit = self.credit.max(first);
    }

    /// Segments are smaller from now on.
    pub fn on_mss(&mut self, mss_bytes: u16) {
        self.mss_bytes = mss_bytes;
    }

    fn fill(&mut self, now: Instant, rate: u64) {
        let us = now.total_micros() - self.filled_at.total_micros();
        let us = u64::try_from(us).unwrap_or(0);
        let full = 2 * self.quantum_bytes(rate) * PER_BYTE;
        let filled = self
            .credit
            .saturating_add(rate.saturating_mul(us))
            .min(full);
        self.credit = self.credit.max(filled);
        self.filled_at = now;
    }

    fn quantum_bytes(&self, rate: u64) -> u64 {
        let least = MIN_SEGMENTS * u64::from(self.mss_bytes);
        (rate / (1_000_000 / QUANTUM_US)).clamp(least, MAX_QUANTUM_BYTES.max(least))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u16 = 1_448;
    const MBIT: u64 = 125_000;

    fn at_us(us: i64) -> Instant {
        Instant::from_micros(us)
    }

    /// A pacer whose first window has left at time 0.
    fn spent(rate: u64) -> Pacer {
        let mut pacer = Pacer::new(MSS);
        let first = pacer.allowance_bytes(at_us(0), rate);
        pacer.spend(first);
        assert_eq!(pacer.allowance_bytes(at_us(0), rate), 0);
        pacer
    }

    #[test]
    fn the_first_window_leaves_at_once_and_after_idleness_again() {
        for (mss, want) in [
            (1_448, 14_480),
            (536, 5_360),
            (8_948, 17_896),
            (1_460, 14_600),
        ] {
            let mut pacer = Pacer::new(mss);
            assert_eq!(pacer.allowance_bytes(at_us(5), MBIT), want);
            pacer.spend(want - 100);
            assert_eq!(pacer.allowance_bytes(at_us(5), MBIT), 100);
            pacer.restart();
            assert_eq!(pacer.allowance_bytes(at_us(5), MBIT), want);
        }
    }

    #[test]
    fn quanta() {
        for (rate, mss, want) in [
            (MBIT, MSS, 2_896),
            (100 * MBIT, MSS, 12_500),
            (10_000 * MBIT, MSS, 65_536),
            (u64::MAX, MSS, 65_536),
            (0, 60_000, 120_000),
        ] {
            assert_eq!(Pacer::new(mss).quantum_bytes(rate), want, "{rate}");
        }
    }

    #[test]
    fn sequences() {
        let rate = 100 * MBIT; // 12.5 bytes a microsecond, quanta of a millisecond
        let mut pacer = spent(rate);
        // (time, allowance then, next quantum then, spent then)
        for (now, allowance, next, bytes) in [
            (0, 0, 1_000, 0),
            (115, 1_437, 1_000, 0),
            (116, 1_450, 1_000, 1_448), // 2 bytes left
            (116, 2, 1_116, 0),
            (1_116, 12_502, 1_116, 12_502),
            (2_400, 16_050, 2_400, 12_500), // 284 us late
            (2_400, 3_550, 3_116, 3_550),
            (9_000, 25_000, 9_000, 0), // late by far: two quanta
            (9_001, 25_000, 9_001, 30_000),
            (9_001, 0, 10_001, 0), // no debt
            (8_000, 0, 9_000, 0),  // not even from a clock that went back
        ] {
            assert_eq!(
                pacer.allowance_bytes(at_us(now), rate),
                allowance,
                "at {now}"
            );
            assert_eq!(pacer.next_at(at_us(now), rate), at_us(next), "at {now}");
            pacer.spend(bytes);
        }
    }

    #[test]
    fn late_wake_ups_cost_nothing() {
        for (rate, mss) in [(3 * MBIT, MSS), (100 * MBIT, MSS), (333 * MBIT + 7, 536)] {
            let mut pacer = Pacer::new(mss);
            let mut rng = fastrand::Rng::with_seed(7);
            let mut left = 0;
            let mut now = at_us(0);
            while now < at_us(10_000_000) {
                while pacer.allowance_bytes(now, rate) >= u64::from(mss) {
                    pacer.spend(u64::from(mss));
                    left += u64::from(mss);
                }
                now = pacer.next_at(now, rate) + Duration::from_micros(rng.u64(0..900));
            }
            let due = initial_window_bytes(mss) + rate * now.total_micros() as u64 / 1_000_000;
            let held = due - left;
            assert!(
                held <= 3 * pacer.quantum_bytes(rate),
                "{rate}: {held} of {due}"
            );
        }
    }

    #[test]
    fn extremes_end() {
        let mut pacer = spent(u64::MAX);
        let far = at_us(i64::MAX / 2);
        assert_eq!(pacer.allowance_bytes(far, u64::MAX), 2 * MAX_QUANTUM_BYTES);
        pacer.spend(u64::MAX);
        assert_eq!(pacer.next_at(at_us(0), u64::MAX), at_us(1));
        assert!(pacer.next_at(at_us(0), 0) > at_us(1_000_000_000));
    }
}

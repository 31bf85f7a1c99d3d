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

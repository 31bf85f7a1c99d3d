//! Initial sequence numbers after RFC 6528: `ISN = M + F(flow, secret)`, M a
//! clock of 4 µs ticks, F a keyed SipHash-2-4 of the 4-tuple.
//!
//! smoltcp draws the number of a new connection from a small generator that
//! `Config::random_seed` starts: the second draw, for the first one became the
//! IP identification. The generator can be run backwards, so a seed is computed
//! that yields exactly the wanted number, and a SYN is answered by a short-lived
//! `Interface` with that seed. tests/tcp_segments.rs holds smoltcp to it.

use super::demux::Flow;
use siphasher::sip::SipHasher24;
use smoltcp::time::Instant;
use std::hash::Hasher;

/// smoltcp's generator: `state = state * MULTIPLIER + INCREMENT`, and the top
/// three bits of the new state say how far to shift it for the 32-bit output.
const MULTIPLIER: u64 = 0xbb2e_fcec_3c39_611d;
const INCREMENT: u64 = 0x7590_ef39;
/// The shift that a state with its top three bits clear is given.
const OUTPUT_SHIFT: u32 = 29;
/// RFC 6528 §3: the clock M ticks every 4 µs.
const TICK_US: i64 = 4;

/// The secret half of sequence numbers, drawn once a start.
#[derive(Clone, Copy)]
pub struct IsnSecret(pub [u8; 16]);

impl IsnSecret {
    /// The sequence number for a connection of `flow` that begins `now`.
    pub fn number(&self, flow: Flow, now: Instant) -> u32 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(&flow.to_bytes());
        (hasher.finish() as u32).wrapping_add((now.total_micros() / TICK_US) as u32)
    }
}

/// The `random_seed` from which smoltcp's second draw is `number`.
pub fn seed_for(number: u32) -> u64 {
    // The low bits of the state do not show in the number: the first that do
    // for the draw before.
    let mut second = u64::from(number) << OUTPUT_SHIFT;
    while !is_identification(output(before(second))) {
        second += 1;
    }
    before(before(second))
}

/// smoltcp draws again until the identification is not zero.
fn is_identification(draw: u32) -> bool {
    (draw ^ (draw >> 16)) as u16 != 0
}

fn before(state: u64) -> u64 {
    state
        .wrapping_sub(INCREMENT)
        .wrapping_mul(inverse(MULTIPLIER))
}

fn output(state: u64) -> u32 {
    (state >> (u64::from(OUTPUT_SHIFT) - (state >> 61))) as u32
}

/// The inverse of an odd number modulo 2^64 (Newton: every step doubles the
/// number of correct bits, starting from three).
const fn inverse(odd: u64) -> u64 {
    let mut x = odd;
    let mut correct_bits = 3;
    while correct_bits < 64 {
        x = x.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(x)));
        correct_bits *= 2;
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_multiplier_is_inverted() {
        assert_eq!(MULTIPLIER.wrapping_mul(inverse(MULTIPLIER)), 1);
    }

    #[test]
    fn the_second_draw_is_the_number() {
        let after = |state: u64| state.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT);
        for number in [0, 1, 0x1234_5678, u32::MAX]
            .into_iter()
            .chain((0..200_000).map(|n| n * 21_001))
        {
            let first = after(seed_for(number));
            assert!(is_identification(output(first)));
            assert_eq!(output(after(first)), number);
        }
    }

    #[test]
    fn numbers_rise_with_time_and_differ_by_flow_and_secret() {
        let secret = IsnSecret([7; 16]);
        let at = |us| Instant::from_micros(us);
        let first = secret.number(Flow::from_port(1), at(0));
        assert_eq!(
            secret.number(Flow::from_port(1), at(4_000)),
            first.wrapping_add(1_000)
        );
        assert_ne!(secret.number(Flow::from_port(2), at(0)), first);
        assert_ne!(IsnSecret([8; 16]).number(Flow::from_port(1), at(0)), first);
    }
}

//! SYN cookies: handshakes that need no memory (RFC 4987 §3.6).
//!
//! The sequence number of the SYN-ACK says all that a connection must be rebuilt
//! from when it comes back in the final ACK:
//!
//! ```text
//!  31      27 26   24 23                     0
//! +----------+-------+------------------------+
//! | time slot|  MSS  |          MAC           |   + keyed hash of the flow
//! +----------+-------+------------------------+
//! ```
//!
//! The MAC covers flow, client's sequence number, slot, MSS class and what the
//! timestamp carries. Window scale and SACK ride in the low bits of our TSval,
//! which the ACK echoes; from a client without timestamps they are given up.

use super::demux::Flow;
use super::options::{Clock, DEFAULT_MSS, Peer};
use siphasher::sip::SipHasher24;
use smoltcp::time::{Duration, Instant};
use std::hash::Hasher;

/// How long a slot lasts. A cookie is good in its own and in the next one.
const SLOT_SECONDS: i64 = 64;
/// How long after it was sent the last cookie can come back.
pub const LIFETIME: Duration = Duration::from_secs(2 * SLOT_SECONDS as u64);
const SLOT_BITS: u32 = 5;
const MSS_BITS: u32 = 3;
const MAC_BITS: u32 = 24;
/// What an MSS is rounded down to: the default, what IPv6's least MTU and common
/// tunnels leave, PPPoE, Ethernet, jumbo frames.
const MSS_CLASSES: [u16; 1 << MSS_BITS] = [48, 536, 1220, 1360, 1400, 1440, 1460, 8940];
/// Low bits of a TSval: four for the window's shift, one for SACK.
const CARRIED_BITS: u32 = 5;
/// A shift that says that there is none.
const NO_SHIFT: u32 = 15;

/// Makes and checks cookies.
#[derive(Clone, Copy)]
pub struct Cookies {
    key: [u8; 16],
}

impl Cookies {
    /// Cookies that only a holder of `key` can make.
    pub fn new(key: [u8; 16]) -> Cookies {
        Cookies { key }
    }

    /// The sequence number of the SYN-ACK for the SYN of `flow` with number
    /// `syn`, and its TSval if the client has timestamps; and what remains of
    /// the options asked for.
    pub fn make(
        &self,
        flow: Flow,
        syn: u32,
        asked: Peer,
        clock: Clock,
        now: Instant,
    ) -> (u32, Option<u32>, Peer) {
        let class = MSS_CLASSES
            .iter()
            .rposition(|&mss| mss <= asked.mss)
            .unwrap_or(0);
        let carried = asked.timestamps.then(|| carried(asked));
        let slot = slot(now);
        let number = self.number(flow, syn, slot, class, carried);
        let given = Peer {
            mss: MSS_CLASSES[class],
            ..granted(asked, carried)
        };
        let value = carried.map(|bits| below(clock.value(now), bits));
        (number, value, given)
    }

    /// What the ACK that acknowledges `number` + 1 and has `syn` + 1 for its own
    /// sequence number rebuilds: the options of the connection; `None` if we
    /// never sent such a number, or too long ago. `echo` is its TSecr.
    pub fn check(
        &self,
        flow: Flow,
        syn: u32,
        number: u32,
        echo: Option<u32>,
        now: Instant,
    ) -> Option<Peer> {
        let carried = echo.map(|echo| echo & ((1 << CARRIED_BITS) - 1));
        let plain = number.wrapping_sub(self.mask(flow));
        let class = (plain >> MAC_BITS) as usize & (MSS_CLASSES.len() - 1);
        let said = i64::from(plain >> (MAC_BITS + MSS_BITS));
        let here = slot(now);
        let slot = [here, here - 1]
            .into_iter()
            .find(|slot| slot & ((1 << SLOT_BITS) - 1) == said)?;
        if self.number(flow, syn, slot, class, carried) != number {
            return None;
        }
        let asked = Peer {
            mss: MSS_CLASSES[class],
            window_shift: None,
            sack: false,
            timestamps: carried.is_some(),
        };
        Some(granted(asked, carried))
    }

    fn number(&self, flow: Flow, syn: u32, slot: i64, class: usize, carried: Option<u32>) -> u32 {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(b"cookie");
        hasher.write(&flow.to_bytes());
        hasher.write_u32(syn);
        hasher.write_i64(slot);
        hasher.write_u32(class as u32);
        hasher.write_u32(carried.map_or(u32::MAX, |bits| bits));
        let mac = hasher.finish() as u32 & ((1 << MAC_BITS) - 1);
        let plain = (slot as u32) << (MAC_BITS + MSS_BITS) | (class as u32) << MAC_BITS | mac;
        plain.wrapping_add(self.mask(flow))
    }

    /// Hides slot and class, and sets flows apart (RFC 6528).
    fn mask(&self, flow: Flow) -> u32 {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(b"mask");
        hasher.write(&flow.to_bytes());
        hasher.finish() as u32
    }
}

fn slot(now: Instant) -> i64 {
    now.total_micros() / (SLOT_SECONDS * 1_000_000)
}

fn carried(asked: Peer) -> u32 {
    asked.window_shift.map_or(NO_SHIFT, u32::from) << 1 | u32::from(asked.sack)
}

/// `asked` with what `carried` brings back; nothing of it without timestamps.
fn granted(asked: Peer, carried: Option<u32>) -> Peer {
    let shift = carried.map_or(NO_SHIFT, |bits| bits >> 1);
    Peer {
        window_shift: (shift != NO_SHIFT).then_some(shift as u8),
        sack: carried.is_some_and(|bits| bits & 1 != 0),
        ..asked
    }
}

/// The largest value not after `value` that ends in `bits`, so that later TSvals
/// never go back.
fn below(value: u32, bits: u32) -> u32 {
    let mask = (1 << CARRIED_BITS) - 1;
    let back = (value & mask).wrapping_sub(bits) & mask;
    value.wrapping_sub(back)
}

const _: () = assert!(SLOT_BITS + MSS_BITS + MAC_BITS == 32 && MSS_CLASSES[1] == DEFAULT_MSS);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: [u8; 16] = [9; 16];

    fn asked(mss: u16, window_shift: Option<u8>, sack: bool, timestamps: bool) -> Peer {
        Peer {
            mss,
            window_shift,
            sack,
            timestamps,
        }
    }

    proptest! {
        #[test]
        fn what_was_given_comes_back_and_nothing_else_does(
            port in 1u16.., syn: u32, mss in 48u16.., shift in prop::option::of(0u8..15),
            sack: bool, timestamps: bool, at_s in 0i64..1_000_000, later_s in 0i64..64,
            wrong in 1u32..,
        ) {
            let (flow, cookies) = (Flow::from_port(port), Cookies::new(KEY));
            let clock = Clock::of(flow, &KEY);
            let (made, came) = (Instant::from_secs(at_s), Instant::from_secs(at_s + later_s));
            let (number, value, given) =
                cookies.make(flow, syn, asked(mss, shift, sack, timestamps), clock, made);
            prop_assert_eq!(cookies.check(flow, syn, number, value, came), Some(given));
            prop_assert!(given.mss <= mss);
            prop_assert_eq!(value.is_some(), timestamps);
            if let Some(value) = value {
                prop_assert_eq!((given.window_shift, given.sack), (shift, sack));
                prop_assert!(clock.value(made).wrapping_sub(value) < 32);
            }
            prop_assert_eq!(cookies.check(flow, syn.wrapping_add(wrong), number, value, came), None);
            prop_assert_eq!(cookies.check(flow, syn, number.wrapping_add(wrong), value, came), None);
            let late = Instant::from_secs(at_s + 128);
            prop_assert_eq!(cookies.check(flow, syn, number, value, late), None);
            let other = Cookies::new([8; 16]);
            prop_assert_eq!(other.check(flow, syn, number, value, came), None);
        }
    }

    #[test]
    fn the_timestamp_cannot_be_forged_to_other_options() {
        let (flow, cookies) = (Flow::from_port(5), Cookies::new(KEY));
        let (clock, now) = (Clock::of(flow, &KEY), Instant::from_secs(9));
        let plain = asked(1460, Some(7), true, true);
        let (number, value, _) = cookies.make(flow, 1, plain, clock, now);
        let value = value.expect("timestamps were asked for");
        for forged in [None, Some(value ^ 1), Some(value ^ 16)] {
            assert_eq!(cookies.check(flow, 1, number, forged, now), None);
        }
        assert!(
            cookies
                .check(flow, 1, number, Some(value ^ 32), now)
                .is_some()
        );
    }
}

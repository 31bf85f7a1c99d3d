//! How many connections each source network has, for `--max-per-source`.

use super::flow::KeyedSip;
use std::collections::HashMap;
use std::net::Ipv4Addr;

/// Counts by network; O(1), and no entry for a network without connections.
pub struct Sources {
    most: Option<usize>,
    mask: u32,
    counts: HashMap<u32, usize, KeyedSip>,
}

impl Sources {
    /// `most` connections from each network of `prefix_bits`, 0 to 32; `None`:
    /// any number, and nothing is counted. `key` keys the hash.
    pub fn new(most: Option<usize>, prefix_bits: u8, key: [u8; 16]) -> Sources {
        let host_bits = 32 - u32::from(prefix_bits.min(32));
        Sources {
            most,
            mask: u32::MAX.checked_shl(host_bits).unwrap_or(0),
            counts: HashMap::with_hasher(KeyedSip(key)),
        }
    }

    /// Whether the network of `address` may have one more.
    pub fn has_room(&self, address: Ipv4Addr) -> bool {
        self.most.is_none_or(|most| {
            let network = u32::from(address) & self.mask;
            self.counts.get(&network).is_none_or(|&count| count < most)
        })
    }

    /// One more.
    pub fn enter(&mut self, address: Ipv4Addr) {
        if self.most.is_some() {
            *self
                .counts
                .entry(u32::from(address) & self.mask)
                .or_default() += 1;
        }
    }

    /// One less; it must have entered.
    pub fn leave(&mut self, address: Ipv4Addr) {
        let network = u32::from(address) & self.mask;
        if let Some(count) = self.counts.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_counted_apart_and_forgotten_when_empty() {
        for (prefix_bits, same, other) in [
            (32, [10, 0, 0, 1], [10, 0, 0, 2]),
            (24, [10, 0, 0, 9], [10, 0, 1, 1]),
            (8, [10, 9, 9, 9], [11, 0, 0, 1]),
        ] {
            let mut sources = Sources::new(Some(2), prefix_bits, [1; 16]);
            let first = Ipv4Addr::new(10, 0, 0, 1);
            sources.enter(first);
            assert!(sources.has_room(same.into()));
            sources.enter(same.into());
            assert!(!sources.has_room(first), "/{prefix_bits}");
            assert!(sources.has_room(other.into()), "/{prefix_bits}");
            sources.leave(first);
            assert!(sources.has_room(first));
            sources.leave(same.into());
            assert!(sources.counts.is_empty());
        }
    }

    #[test]
    fn prefix_0_is_everybody_and_no_limit_counts_nothing() {
        let (a, b) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(192, 168, 0, 1));
        let mut all = Sources::new(Some(1), 0, [1; 16]);
        all.enter(a);
        assert!(!all.has_room(b));
        let mut none = Sources::new(None, 32, [1; 16]);
        none.enter(a);
        assert!(none.has_room(a) && none.counts.is_empty());
        none.leave(a);
    }
}

//! Timer wheel: one deadline a connection, O(1) to set, move and cancel.
//!
//! A hierarchical wheel (Varghese and Lauck 1987, scheme 6): six levels of 64
//! slots, one microsecond a tick, so level *n* spans 64^(n+1) µs and the whole
//! wheel about 19 hours. A slot is an intrusive doubly linked list threaded
//! through the nodes, and every level keeps a bitmap of occupied slots, so the
//! next expiry is found by counting zeros, never by walking connections.

const LEVELS: usize = 6;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// Deadlines farther away than this are moved here; they only fire early, and
/// whoever is woken early sets the timer again. One slot short of the whole
/// wheel, so that the coarsest level never wraps onto the slot it is in.
const MAX_DELAY_US: u64 = (SLOTS as u64 - 1) << (SLOT_BITS * (LEVELS as u32 - 1));
const NIL: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Node {
    deadline_us: u64,
    prev: u32,
    next: u32,
    level: u8,
    slot: u8,
    armed: bool,
}

const IDLE: Node = Node {
    deadline_us: 0,
    prev: NIL,
    next: NIL,
    level: 0,
    slot: 0,
    armed: false,
};

#[derive(Clone, Copy)]
struct Level {
    occupied: u64,
    heads: [u32; SLOTS],
}

/// Timer wheel over small integer keys (slab indices). Times are microseconds
/// on the caller's clock and never run backwards inside the wheel.
pub struct Wheel {
    elapsed_us: u64,
    levels: [Level; LEVELS],
    nodes: Vec<Node>,
    armed: usize,
}

impl Default for Wheel {
    fn default() -> Self {
        Self::new()
    }
}

impl Wheel {
    /// An empty wheel at time zero.
    pub fn new() -> Wheel {
        Wheel {
            elapsed_us: 0,
            levels: [Level {
                occupied: 0,
                heads: [NIL; SLOTS],
            }; LEVELS],
            nodes: Vec::new(),
            armed: 0,
        }
    }

    /// How many keys have a deadline.
    pub fn len(&self) -> usize {
        self.armed
    }

    /// Whether no key has a deadline.
    pub fn is_empty(&self) -> bool {
        self.armed == 0
    }

    /// Gives `key` the deadline `at_us`, replacing the one it had. A deadline
    /// that has passed fires at the next [`Wheel::expired`] a tick later.
    pub fn set(&mut self, key: u32, at_us: u64) {
        let index = key as usize;
        if index >= self.nodes.len() {
            self.nodes.resize(index + 1, IDLE);
        }
        let at_us = at_us.clamp(self.elapsed_us + 1, self.elapsed_us + MAX_DELAY_US);
        if self.nodes[index].armed {
            if self.nodes[index].deadline_us == at_us {
                return;
            }
            self.unlink(key);
        }
        self.nodes[index].deadline_us = at_us;
        self.link(key);
    }

    /// Takes `key`'s deadline away, if it has one.
    pub fn cancel(&mut self, key: u32) {
        if self.nodes.get(key as usize).is_some_and(|node| node.armed) {
            self.unlink(key);
        }
    }

    /// The next key whose deadline is not after `now_us`; it is disarmed. Call
    /// until `None`.
    pub fn expired(&mut self, now_us: u64) -> Option<u32> {
        loop {
            let Some((level, slot, start_us)) = self.next_slot() else {
                self.elapsed_us = self.elapsed_us.max(now_us);
                return None;
            };
            if start_us > now_us {
                self.elapsed_us = self.elapsed_us.max(now_us);
                return None;
            }
            self.elapsed_us = self.elapsed_us.max(start_us);
            let key = self.levels[level].heads[slot];
            self.unlink(key);
            if self.nodes[key as usize].deadline_us <= now_us {
                return Some(key);
            }
            self.link(key); // cascades into a finer level
        }
    }

    /// A time not after the earliest deadline, for sleeping: exact for near
    /// deadlines, the start of a coarse slot for distant ones.
    pub fn next_us(&self) -> Option<u64> {
        self.next_slot().map(|(_, _, start_us)| start_us)
    }

    /// The occupied slot that begins first: its level, number and start. While a
    /// coarse slot is being emptied its start lies behind, so it stays first.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        let first_of = |level: usize| {
            let occupied = self.levels[level].occupied;
            if occupied == 0 {
                return None;
            }
            let shift = SLOT_BITS * level as u32;
            let here = ((self.elapsed_us >> shift) & (SLOTS as u64 - 1)) as u32;
            let ahead = occupied.rotate_right(here).trailing_zeros();
            let slot = (here + ahead) as usize % SLOTS;
            let start_us = ((self.elapsed_us >> shift) + u64::from(ahead)) << shift;
            Some((level, slot, start_us))
        };
        (0..LEVELS)
            .filter_map(first_of)
            .min_by_key(|&(_, _, start_us)| start_us)
    }

    fn link(&mut self, key: u32) {
        let deadline_us = self.nodes[key as usize].deadline_us;
        // The level is where the highest differing group of six bits lies, so
        // that the slot is reached before, and never after, the deadline.
        let differing = (deadline_us ^ self.elapsed_us) | (SLOTS as u64 - 1);
        let level = ((differing.ilog2() / SLOT_BITS) as usize).min(LEVELS - 1);
        let slot = (deadline_us >> (SLOT_BITS * level as u32)) as usize % SLOTS;
        let head = self.levels[level].heads[slot];
        self.nodes[key as usize] = Node {
            deadline_us,
            prev: NIL,
            next: head,
            level: level as u8,
            slot: slot as u8,
            armed: true,
        };
        if head != NIL {
            self.nodes[head as usize].prev = key;
        }
        self.levels[level].heads[slot] = key;
        self.levels[level].occupied |= 1 << slot;
        self.armed += 1;
    }

    fn unlink(&mut self, key: u32) {
        let node = self.nodes[key as usize];
        let level = &mut self.levels[node.level as usize];
        if node.prev == NIL {
            level.heads[node.slot as usize] = node.next;
            if node.next == NIL {
                level.occupied &= !(1 << node.slot);
            }
        } else {
            self.nodes[node.prev as usize].next = node.next;
        }
        if node.next != NIL {
            self.nodes[node.next as usize].prev = node.prev;
        }
        self.nodes[key as usize].armed = false;
        self.armed -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn fired(wheel: &mut Wheel, now_us: u64) -> Vec<u32> {
        let mut keys: Vec<u32> = std::iter::from_fn(|| wheel.expired(now_us)).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn fires_at_the_deadline_and_not_before() {
        let mut wheel = Wheel::new();
        for (key, at_us) in [
            (0, 1),
            (1, 63),
            (2, 64),
            (3, 4096),
            (4, 1_000_000),
            (5, 75_000_000),
        ] {
            wheel.set(key, at_us);
        }
        for (now_us, want) in [
            (0, vec![]),
            (1, vec![0]),
            (62, vec![]),
            (63, vec![1]),
            (4095, vec![2]),
            (4096, vec![3]),
            (999_999, vec![]),
            (1_000_000, vec![4]),
            (74_999_999, vec![]),
            (75_000_001, vec![5]),
        ] {
            assert_eq!(fired(&mut wheel, now_us), want, "at {now_us} µs");
        }
        assert!(wheel.is_empty());
        assert_eq!(wheel.next_us(), None);
    }

    #[test]
    fn a_moved_deadline_fires_once_and_a_cancelled_one_never() {
        let mut wheel = Wheel::new();
        wheel.set(7, 100);
        wheel.set(7, 5_000);
        wheel.set(8, 100);
        wheel.cancel(8);
        wheel.cancel(9);
        assert_eq!(fired(&mut wheel, 4_999), Vec::<u32>::new());
        assert_eq!(fired(&mut wheel, 5_000), vec![7]);
        assert_eq!(wheel.len(), 0);
    }

    #[test]
    fn deadlines_in_the_past_and_beyond_the_wheel_are_kept() {
        let mut wheel = Wheel::new();
        assert_eq!(fired(&mut wheel, 1_000), Vec::<u32>::new());
        wheel.set(1, 3);
        wheel.set(2, u64::MAX / 2);
        assert_eq!(fired(&mut wheel, 1_001), vec![1]);
        assert_eq!(wheel.len(), 1);
    }

    proptest! {
        /// Against an ordered map: the same keys fire at the same times, and
        /// `next_us` never promises later than the earliest deadline.
        #[test]
        fn agrees_with_an_ordered_map(
            ops in prop::collection::vec((0u32..24, 0u64..200_000_000, 0u8..4), 1..400)
        ) {
            let (mut wheel, mut model) = (Wheel::new(), BTreeMap::new());
            let mut now_us = 0u64;
            for (key, amount, op) in ops {
                match op {
                    0 | 1 => {
                        let at_us = now_us + 1 + amount % (if op == 0 { 5_000 } else { u64::MAX });
                        wheel.set(key, at_us);
                        model.insert(key, at_us);
                    }
                    2 => {
                        wheel.cancel(key);
                        model.remove(&key);
                    }
                    _ => {
                        now_us += amount % 3_000_000;
                        let due: Vec<u32> =
                            model.iter().filter(|&(_, &at)| at <= now_us).map(|(&k, _)| k).collect();
                        model.retain(|_, at| *at > now_us);
                        prop_assert_eq!(fired(&mut wheel, now_us), due);
                    }
                }
                prop_assert_eq!(wheel.len(), model.len());
                let earliest = model.values().min().copied();
                prop_assert_eq!(wheel.next_us().is_some(), earliest.is_some());
                if let (Some(next), Some(earliest)) = (wheel.next_us(), earliest) {
                    prop_assert!(next <= earliest);
                }
            }
        }
    }
}

//! The flow table: 4-tuple → connection, O(1) whatever the number.
//!
//! Keyed by SipHash with a secret drawn at start, so that nobody can choose
//! addresses and ports that collide. Connections live in a slab; a
//! [`ConnId`] carries a generation, so that an answer that arrives late (a file
//! read for a connection that is gone) never reaches its slot's next tenant.

use super::demux::Flow;
use siphasher::sip::SipHasher13;
use slab::Slab;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};

/// Names one connection for its whole life and never another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnId {
    index: u32,
    generation: u32,
}

impl ConnId {
    /// As one integer, for carrying through other layers.
    pub fn to_u64(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// Back from [`ConnId::to_u64`].
    pub fn from_u64(id: u64) -> ConnId {
        ConnId {
            index: id as u32,
            generation: (id >> 32) as u32,
        }
    }

    /// The slab slot, which timers are keyed by.
    pub fn index(self) -> u32 {
        self.index
    }
}

#[derive(Clone, Copy)]
pub(super) struct KeyedSip(pub(super) [u8; 16]);

impl BuildHasher for KeyedSip {
    type Hasher = SipHasher13;
    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_key(&self.0)
    }
}

#[derive(PartialEq, Eq)]
struct Key([u8; 12]);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

struct Slot<T> {
    generation: u32,
    flow: Flow,
    value: T,
}

/// Connections by flow and by id.
pub struct FlowTable<T> {
    by_flow: HashMap<Key, u32, KeyedSip>,
    slots: Slab<Slot<T>>,
    generation: u32,
}

impl<T> FlowTable<T> {
    /// An empty table; `secret` keys its hash.
    pub fn new(secret: [u8; 16]) -> FlowTable<T> {
        FlowTable {
            by_flow: HashMap::with_hasher(KeyedSip(secret)),
            slots: Slab::new(),
            generation: 0,
        }
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The connection of `flow`.
    pub fn find(&self, flow: Flow) -> Option<ConnId> {
        let index = *self.by_flow.get(&Key(flow.to_bytes()))?;
        self.at(index)
    }

    /// The id of the connection in slot `index`.
    pub fn at(&self, index: u32) -> Option<ConnId> {
        let slot = self.slots.get(index as usize)?;
        Some(ConnId {
            index,
            generation: slot.generation,
        })
    }

    /// Adds the connection that `make` builds from its id. The flow must not be
    /// in the table.
    pub fn insert(&mut self, flow: Flow, make: impl FnOnce(ConnId) -> T) -> ConnId {
        self.generation = self.generation.wrapping_add(1);
        let entry = self.slots.vacant_entry();
        let id = ConnId {
            index: entry.key() as u32,
            generation: self.generation,
        };
        entry.insert(Slot {
            generation: id.generation,
            flow,
            value: make(id),
        });
        self.by_flow.insert(Key(flow.to_bytes()), id.index);
        id
    }

    /// The connection `id`, unless it is gone.
    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut T> {
        let slot = self.slots.get_mut(id.index as usize)?;
        (slot.generation == id.generation).then_some(&mut slot.value)
    }

    /// The connection `id`, to look at.
    pub fn get(&self, id: ConnId) -> Option<&T> {
        let slot = self.slots.get(id.index as usize)?;
        (slot.generation == id.generation).then_some(&slot.value)
    }

    /// Takes the connection `id` out.
    pub fn remove(&mut self, id: ConnId) -> Option<T> {
        self.get_mut(id)?;
        let slot = self.slots.remove(id.index as usize);
        self.by_flow.remove(&Key(slot.flow.to_bytes()));
        Some(slot.value)
    }

    /// Every id: for the once-in-a-life walks of shutting down.
    pub fn ids(&self) -> Vec<ConnId> {
        let id = |(index, slot): (usize, &Slot<T>)| ConnId {
            index: index as u32,
            generation: slot.generation,
        };
        self.slots.iter().map(id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_inserted_until_removed() {
        let mut table = FlowTable::new([1; 16]);
        let ids: Vec<ConnId> = (0..1000)
            .map(|p| table.insert(Flow::from_port(p), |_| p))
            .collect();
        assert_eq!(table.len(), 1000);
        for (port, &id) in ids.iter().enumerate() {
            assert_eq!(table.find(Flow::from_port(port as u16)), Some(id));
            assert_eq!(table.get_mut(id).copied(), Some(port as u16));
        }
        for &id in &ids {
            assert!(table.remove(id).is_some());
            assert!(table.remove(id).is_none());
        }
        assert!(table.is_empty());
        assert_eq!(table.find(Flow::from_port(1)), None);
    }

    #[test]
    fn an_old_id_never_names_the_slots_next_tenant() {
        let mut table = FlowTable::new([1; 16]);
        let old = table.insert(Flow::from_port(1), |_| 'a');
        table.remove(old);
        let new = table.insert(Flow::from_port(2), |_| 'b');
        assert_eq!(old.index(), new.index());
        assert_eq!(table.get_mut(old), None);
        assert_eq!(table.get_mut(new), Some(&mut 'b'));
        assert_eq!(ConnId::from_u64(new.to_u64()), new);
    }
}

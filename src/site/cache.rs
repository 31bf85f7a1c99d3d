//! Entries in memory, and how far each may be trusted.

use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::RandomState;
use quick_cache::unsync::{self, DefaultLifecycle};
use quick_cache::{Equivalent, Weighter};

use super::entry::{Body, Entry};
use super::{HostId, Now};

/// An entry is not served when its last check is older than this.
pub const MAX_AGE: Duration = Duration::from_secs(1);

/// From this age on a hit also starts a check, so that an entry in steady demand is renewed before it is too old and
/// nobody waits for it.
pub const REFRESH_AFTER: Duration = Duration::from_millis(500);

/// What an entry weighs beside its bytes: the key, the slot, the allocations' own overhead, rounded up.
const ENTRY_WEIGHT_BYTES: u64 = 512;

/// What an open file weighs. It is chosen for the sake of descriptors, not memory: a cache of 64 MiB then keeps at most
/// 256 of them, which leaves most of even a 1,024 limit to connections in progress.
const OPEN_FILE_WEIGHT_BYTES: u64 = 256 * 1024;

/// What the cache knows of a name.
#[derive(Debug)]
pub(super) enum Lookup {
    /// An entry that may be served.
    Fresh(Arc<Entry>),
    /// An entry that may be served, but should be checked.
    Aging(Arc<Entry>),
    /// An entry that must be checked before it is served.
    Stale(Arc<Entry>),
    /// Nothing.
    Absent,
}

/// A name of one host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    host: HostId,
    name: Arc<[u8]>,
}

/// The same borrowed. Both hash alike, for an `Arc` does as what is in it.
#[derive(Hash)]
struct KeyRef<'n> {
    host: HostId,
    name: &'n [u8],
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.host == key.host && *self.name == *key.name
    }
}

#[derive(Debug, Clone)]
struct Slot {
    entry: Arc<Entry>,
    /// No later than the last look at the file system.
    checked: Now,
}

#[derive(Debug, Clone)]
struct Weight;

impl Weighter<Key, Slot> for Weight {
    fn weight(&self, key: &Key, slot: &Slot) -> u64 {
        let content = slot.entry.representations().map(|part| match &part.body {
            Body::Memory(bytes) => (part.head.len() + bytes.len()) as u64,
            Body::Open(_) => OPEN_FILE_WEIGHT_BYTES,
        });
        ENTRY_WEIGHT_BYTES + key.name.len() as u64 + content.sum::<u64>()
    }
}

/// Entries by host and name within a budget of bytes; those asked for again outlive those asked for once.
#[derive(Debug)]
pub(super) struct Cache {
    slots: unsync::Cache<Key, Slot, Weight, RandomState>,
}

impl Cache {
    /// A cache of at most `budget_bytes`.
    pub(super) fn new(budget_bytes: u64) -> Self {
        let likely_entries = usize::try_from(budget_bytes / (16 * 1024))
            .unwrap_or(usize::MAX)
            .max(16);
        Cache {
            slots: unsync::Cache::with(
                likely_entries,
                budget_bytes,
                Weight,
                RandomState::default(),
                DefaultLifecycle::default(),
            ),
        }
    }

    pub(super) fn look_up(&self, host: HostId, name: &[u8], now: Now) -> Lookup {
        let Some(slot) = self.slots.get(&KeyRef { host, name }) else {
            return Lookup::Absent;
        };
        let entry = slot.entry.clone();
        match now.saturating_sub(slot.checked) {
            _ if entry.is_outdated() => Lookup::Stale(entry),
            age if age < REFRESH_AFTER => Lookup::Fresh(entry),
            age if age < MAX_AGE => Lookup::Aging(entry),
            _ => Lookup::Stale(entry),
        }
    }

    /// Keeps `entry` as the truth at `checked`.
    pub(super) fn insert(&mut self, host: HostId, name: Arc<[u8]>, entry: Arc<Entry>, checked: Now) {
        let key = Key { host, name };
        self.slots.insert(key, Slot { entry, checked });
    }

    /// Gives the descriptors of the files kept open back, except those that connections still read from.
    pub(super) fn release_files(&mut self) {
        let keeps_file = |entry: &Entry| {
            let mut parts = entry.representations();
            parts.any(|part| matches!(part.body, Body::Open(_)))
        };
        self.slots.retain(|_, slot| !keeps_file(&slot.entry));
    }

    /// Bytes that the entries weigh together.
    pub(super) fn weight_bytes(&self) -> u64 {
        self.slots.weight()
    }
}

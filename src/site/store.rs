//! Entries in memory for all workers, within a budget of bytes, and how far each may be trusted.
//!
//! A worker comes here for what its own [`cache`](super::cache) does not know or no longer trusts. What one of them finds
//! out serves all: a file is in memory once, and looked at once.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foldhash::quality::RandomState;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{Equivalent, OptionsBuilder, Weighter};

use super::entry::{Body, Entry};
use super::{HostId, Limits, Now};

/// What an entry weighs beside its bytes: the key, the slot, the allocations' own overhead, rounded up.
const ENTRY_WEIGHT_BYTES: u64 = 512;

/// What an open file weighs. It is chosen for the sake of descriptors, not memory: a cache of 256 MiB then keeps at most
/// 1,024 of them.
const OPEN_FILE_WEIGHT_BYTES: u64 = 256 * 1024;

/// What the usual entry weighs; only a guess is needed.
const USUAL_WEIGHT_BYTES: u64 = 16 * 1024;

/// Parts of the store, each with its lock, are no smaller than this, so that none is full with a few large files; and no
/// more than that many, for workers seldom come here.
const PART_BYTES: u64 = 16 * 1024 * 1024;
const MOST_PARTS: u64 = 16;

/// A name of one host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) host: HostId,
    pub(super) name: Arc<[u8]>,
}

/// The same borrowed. Both hash alike, for an `Arc` does as what is in it.
#[derive(Hash)]
pub(super) struct KeyRef<'n> {
    pub(super) host: HostId,
    pub(super) name: &'n [u8],
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.host == key.host && *self.name == *key.name
    }
}

/// How long ago the file system was looked at.
#[derive(Debug)]
pub(super) struct Freshness {
    checked_us: AtomicU64,
    /// When somebody last went to look again.
    claimed_us: AtomicU64,
}

impl Freshness {
    fn new(checked: Now) -> Self {
        Freshness {
            checked_us: AtomicU64::new(microseconds(checked)),
            claimed_us: AtomicU64::new(0),
        }
    }

    /// Time since the last look; never understated.
    pub(super) fn age(&self, now: Now) -> Duration {
        let checked_us = self.checked_us.load(Ordering::Relaxed);
        Duration::from_micros(microseconds(now).saturating_sub(checked_us))
    }

    /// A look that began at `checked` found nothing changed.
    pub(super) fn confirm(&self, checked: Now) {
        self.checked_us
            .fetch_max(microseconds(checked), Ordering::Relaxed);
    }

    /// Whether who asks is to look again, as nobody else has gone to for as long as `patience`.
    pub(super) fn claim(&self, now: Now, patience: Duration) -> bool {
        let now_us = microseconds(now);
        let claimed_us = self.claimed_us.load(Ordering::Relaxed);
        let is_free = claimed_us == 0 || claimed_us + microseconds(patience) <= now_us;
        is_free
            && self
                .claimed_us
                .compare_exchange(
                    claimed_us,
                    now_us.max(1),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok()
    }

    /// Who was to look again could not.
    pub(super) fn give_up(&self) {
        self.claimed_us.store(0, Ordering::Relaxed);
    }
}

fn microseconds(time: Duration) -> u64 {
    time.as_micros() as u64
}

/// An entry under its name.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) name: Arc<[u8]>,
    pub(super) entry: Arc<Entry>,
    pub(super) freshness: Arc<Freshness>,
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

/// Entries by host and name; those asked for again outlive those asked for once.
#[derive(Debug)]
pub struct Store {
    slots: Cache<Key, Slot, Weight, RandomState>,
    max_age: Duration,
}

impl Store {
    /// An empty store.
    pub fn new(limits: Limits) -> Self {
        let budget_bytes = limits.cache_bytes;
        let likely_entries = usize::try_from(budget_bytes / USUAL_WEIGHT_BYTES);
        let parts = (budget_bytes / PART_BYTES).clamp(1, MOST_PARTS);
        let options = OptionsBuilder::new()
            .estimated_items_capacity(likely_entries.unwrap_or(usize::MAX).max(16))
            .weight_capacity(budget_bytes)
            .shards(1 << parts.ilog2())
            .build();
        Store {
            slots: Cache::with_options(
                options.expect("both capacities are set"),
                Weight,
                RandomState::default(),
                DefaultLifecycle::default(),
            ),
            max_age: limits.revalidate,
        }
    }

    /// An entry is not served when its last look is older than this.
    pub(super) fn max_age(&self) -> Duration {
        self.max_age
    }

    /// From this age on an entry in demand is looked at again while it is still served.
    pub(super) fn refresh_after(&self) -> Duration {
        self.max_age / 2
    }

    pub(super) fn get(&self, host: HostId, name: &[u8]) -> Option<Slot> {
        self.slots.get(&KeyRef { host, name })
    }

    /// Keeps `entry` as the truth at `checked`, unless there is the same or a later one; what is kept.
    pub(super) fn insert(
        &self,
        host: HostId,
        name: Arc<[u8]>,
        entry: Arc<Entry>,
        checked: Now,
    ) -> Slot {
        if let Some(other) = self.get(host, &name) {
            if other.entry.is_same_as(&entry) {
                other.freshness.confirm(checked);
                return other;
            }
            // Of two workers that looked, the other did so later.
            if other.freshness.checked_us.load(Ordering::Relaxed) > microseconds(checked) {
                return other;
            }
        }
        let freshness = Arc::new(Freshness::new(checked));
        let slot = Slot {
            name,
            entry,
            freshness,
        };
        self.put(host, slot.clone());
        slot
    }

    /// A look that began at `checked` found `slot` unchanged.
    pub(super) fn confirm(&self, host: HostId, slot: &Slot, checked: Now) {
        slot.freshness.confirm(checked);
        // It may have had to make room meanwhile.
        if self.get(host, &slot.name).is_none() {
            self.put(host, slot.clone());
        }
    }

    fn put(&self, host: HostId, slot: Slot) {
        let name = slot.name.clone();
        self.slots.insert(Key { host, name }, slot);
    }

    /// Gives the descriptors of the files kept open back, except those that connections still read from.
    pub(super) fn release_files(&self) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Now {
        Duration::from_millis(ms)
    }

    fn store() -> Store {
        Store::new(Limits::default())
    }

    fn put(store: &Store, entry: Entry, checked: Now) -> Slot {
        let name = Arc::from(&b"a"[..]);
        store.insert(HostId::DEFAULT, name, Arc::new(entry), checked)
    }

    #[test]
    fn one_of_all_who_ask_goes_to_look() {
        let freshness = Freshness::new(at(10));
        let patience = at(500);
        assert!(freshness.claim(at(600), patience));
        assert!(!freshness.claim(at(600), patience) && !freshness.claim(at(1_099), patience));
        assert!(
            freshness.claim(at(1_100), patience),
            "the first never came back"
        );
        freshness.give_up();
        assert!(freshness.claim(at(1_101), patience), "the second could not");
    }

    #[test]
    fn an_age_counts_from_the_latest_look_that_confirmed() {
        let freshness = Freshness::new(at(10));
        freshness.confirm(at(50));
        freshness.confirm(at(40));
        assert_eq!(freshness.age(at(60)), at(10));
        assert_eq!(freshness.age(at(45)), at(0));
    }

    #[test]
    fn what_was_looked_at_later_stays() {
        let store = store();
        put(&store, Entry::NotFound, at(20));
        let kept = put(&store, Entry::Directory, at(10));
        assert!(matches!(*kept.entry, Entry::NotFound));
        let kept = put(&store, Entry::Forbidden, at(30));
        assert!(matches!(*kept.entry, Entry::Forbidden));
        let stored = store.get(HostId::DEFAULT, b"a").expect("it is there");
        assert!(Arc::ptr_eq(&stored.entry, &kept.entry));
        assert!(store.get(HostId(1), b"a").is_none(), "a name is one host's");
    }
}

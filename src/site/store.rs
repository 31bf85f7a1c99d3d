//! Entries in memory for all workers, within a budget of bytes, and how far each may be trusted.
//!
//! A worker comes here for what its own [`cache`](super::cache) does not know or no longer trusts. What one of them finds
//! out serves all: a file is in memory once, and looked at once.

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::quality::RandomState;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{Equivalent, OptionsBuilder, Weighter};

use super::cache::MAX_AGE;
use super::entry::{Body, Entry};
use super::watches::{BELT, Quiet};
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

/// The time until the kernel's word of a change is heard, at most.
const HEARD_WITHIN: Duration = Duration::from_millis(100);

/// How often files kept open are given up for the sake of others, at most.
const RELEASED_EVERY: Duration = Duration::from_secs(1);

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

/// How long ago the file system was looked at, and how far that is believed.
#[derive(Debug)]
pub(super) struct Freshness {
    checked_us: AtomicU64,
    /// When somebody last went to look again.
    claimed_us: AtomicU64,
    /// How long a look is believed.
    believed_us: u64,
    /// What the entry stands for as long as this lasts, and when that was found; not for ever.
    quiet: Mutex<Option<(Quiet, Now)>>,
}

impl Freshness {
    fn new(checked: Now, believed: Duration) -> Self {
        Freshness {
            checked_us: AtomicU64::new(microseconds(checked)),
            claimed_us: AtomicU64::new(0),
            believed_us: microseconds(believed),
            quiet: Mutex::default(),
        }
    }

    /// Whether a look need not even begin.
    pub(super) fn is_young(&self, now: Now) -> bool {
        self.age_us(now) < self.believed_us / 2
    }

    /// Whether nobody may be served any more before a look has ended.
    pub(super) fn is_over(&self, now: Now) -> bool {
        self.age_us(now) >= self.believed_us
    }

    /// Time since the last look; never understated.
    fn age_us(&self, now: Now) -> u64 {
        microseconds(now).saturating_sub(self.checked_us.load(Ordering::Relaxed))
    }

    /// A look that began at `checked` found nothing changed.
    pub(super) fn confirm(&self, checked: Now) {
        self.checked_us
            .fetch_max(microseconds(checked), Ordering::Relaxed);
    }

    /// What a look that began at `checked` found is so while `quiet` lasts.
    pub(super) fn watch(&self, quiet: Quiet, checked: Now) {
        *self.quiet() = Some((quiet, checked));
    }

    /// Whether nothing can have happened since the last look; then it is as if there had been one a moment ago. What is
    /// believed for moments only is looked at.
    pub(super) fn is_quiet(&self, now: Now) -> bool {
        if self.believed_us < 4 * microseconds(HEARD_WITHIN) {
            return false;
        }
        let mut watched = self.quiet();
        let lasts = |(quiet, checked): &(Quiet, Now)| now < *checked + BELT && quiet.lasts();
        let is_quiet = watched.as_ref().is_some_and(lasts);
        if is_quiet {
            self.confirm(now.saturating_sub(HEARD_WITHIN));
        } else {
            *watched = None;
        }
        is_quiet
    }

    /// Held for moments only, and seldom asked for.
    fn quiet(&self) -> MutexGuard<'_, Option<(Quiet, Now)>> {
        self.quiet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether who asks is to look again, as nobody else has gone to for long.
    pub(super) fn claim(&self, now: Now) -> bool {
        let now_us = microseconds(now);
        let claimed_us = self.claimed_us.load(Ordering::Relaxed);
        let is_free = claimed_us == 0 || claimed_us + self.believed_us / 2 <= now_us;
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
    /// When files kept open were last given up; 0: never.
    released_us: AtomicU64,
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
            released_us: AtomicU64::new(0),
        }
    }

    /// A file is not served when the last look is older than this.
    pub(super) fn max_age(&self) -> Duration {
        self.max_age
    }

    pub(super) fn get(&self, host: HostId, name: &[u8]) -> Option<Slot> {
        self.slots.get(&KeyRef { host, name })
    }

    /// Keeps `entry` as the truth at `checked`, unless there is the same or a later one; what is kept, and whether it is
    /// the same.
    pub(super) fn insert(
        &self,
        host: HostId,
        name: Arc<[u8]>,
        entry: Arc<Entry>,
        checked: Now,
    ) -> (Slot, bool) {
        if let Some(other) = self.get(host, &name) {
            if other.entry.is_same_as(&entry) {
                other.freshness.confirm(checked);
                return (other, true);
            }
            // Of two workers that looked, the other did so later.
            if other.freshness.checked_us.load(Ordering::Relaxed) > microseconds(checked) {
                return (other, false);
            }
        }
        // What is not there may come, and what failed may be over, any moment.
        let believed = match *entry {
            Entry::File(_) => self.max_age,
            _ => self.max_age.min(MAX_AGE),
        };
        let freshness = Arc::new(Freshness::new(checked, believed));
        let slot = Slot {
            name,
            entry,
            freshness,
        };
        self.put(host, slot.clone());
        (slot, true)
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

    /// Gives the descriptors of the files kept open back, except those that connections still read from; not again
    /// within [`RELEASED_EVERY`], for it takes time in proportion to all entries.
    pub(super) fn release_files(&self, now: Now) {
        let now_us = microseconds(now).max(1);
        let last_us = self.released_us.load(Ordering::Relaxed);
        if last_us != 0 && now_us < last_us + microseconds(RELEASED_EVERY) {
            return;
        }
        self.released_us.store(now_us, Ordering::Relaxed);
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

    fn put(store: &Store, entry: Entry, checked: Now) -> (Slot, bool) {
        let name = Arc::from(&b"a"[..]);
        store.insert(HostId::DEFAULT, name, Arc::new(entry), checked)
    }

    #[test]
    fn one_of_all_who_ask_goes_to_look() {
        let freshness = Freshness::new(at(10), at(1_000));
        assert!(freshness.claim(at(600)));
        assert!(!freshness.claim(at(600)) && !freshness.claim(at(1_099)));
        assert!(freshness.claim(at(1_100)), "the first never came back");
        freshness.give_up();
        assert!(freshness.claim(at(1_101)), "the second could not");
    }

    #[test]
    fn an_age_counts_from_the_latest_look_that_confirmed() {
        let freshness = Freshness::new(at(10), at(1_000));
        freshness.confirm(at(50));
        freshness.confirm(at(40));
        assert_eq!(freshness.age_us(at(60)), 10_000);
        assert_eq!(freshness.age_us(at(45)), 0);
        assert!(freshness.is_young(at(549)) && !freshness.is_young(at(550)));
        assert!(!freshness.is_over(at(1_049)) && freshness.is_over(at(1_050)));
    }

    #[test]
    fn what_is_not_there_is_believed_for_a_second_at_most() {
        for (revalidate_ms, believed_ms) in [(0, 0), (300, 300), (1_000, 1_000), (60_000, 1_000)] {
            let store = Store::new(Limits {
                revalidate: at(revalidate_ms),
                ..Limits::default()
            });
            for entry in [Entry::NotFound, Entry::Failed(std::io::ErrorKind::Other)] {
                let (slot, _) = put(&store, entry, at(10));
                assert_eq!(slot.freshness.believed_us, believed_ms * 1_000);
            }
        }
    }

    #[test]
    fn what_was_looked_at_later_stays() {
        let store = store();
        put(&store, Entry::NotFound, at(20));
        let (kept, is_same) = put(&store, Entry::Directory, at(10));
        assert!(matches!(*kept.entry, Entry::NotFound) && !is_same);
        let (kept, is_same) = put(&store, Entry::Forbidden, at(30));
        assert!(matches!(*kept.entry, Entry::Forbidden) && is_same);
        let stored = store.get(HostId::DEFAULT, b"a").expect("it is there");
        assert!(Arc::ptr_eq(&stored.entry, &kept.entry));
        assert!(store.get(HostId(1), b"a").is_none(), "a name is one host's");
    }
}

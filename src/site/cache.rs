//! What a worker itself knows of the entries in the [`store`](super::store): enough to find those in demand without
//! touching what other workers write to, but for the count of who uses an entry.

use std::sync::{Arc, Weak};
use std::time::Duration;

use foldhash::quality::RandomState;
use quick_cache::UnitWeighter;
use quick_cache::unsync::{self, DefaultLifecycle};

use super::entry::Entry;
use super::store::{Freshness, Key, KeyRef, Slot, Store};
use super::{HostId, Now};

/// An entry is not served when its last check is older than this, if nothing else is said (`--revalidate`); one of
/// nothing, whatever is said.
pub const MAX_AGE: Duration = Duration::from_secs(1);

/// From half that age on a hit also starts a check, so that an entry in steady demand is renewed before it is too old
/// and nobody waits for it.
pub const REFRESH_AFTER: Duration = Duration::from_millis(500);

/// Names that a worker knows by itself. One takes a hundred bytes or two; the rest is found in the store.
const MOST_NAMES: usize = 8_192;

/// What is known of a name.
#[derive(Debug)]
pub(super) enum Lookup {
    /// An entry that may be served.
    Fresh(Arc<Entry>),
    /// An entry that may be served, but should be checked, by who asks if nobody else does.
    Aging(Slot, IsDue),
    /// An entry that must be checked before it is served.
    Stale(Slot),
    /// Nothing.
    Absent,
}

type IsDue = bool;

/// An entry of the store, as long as that keeps it.
#[derive(Debug, Clone)]
struct Known {
    entry: Weak<Entry>,
    freshness: Arc<Freshness>,
}

/// The names that a worker knows, and the store.
#[derive(Debug)]
pub(super) struct Cache {
    known: unsync::Cache<Key, Known, UnitWeighter, RandomState>,
    store: Arc<Store>,
}

impl Cache {
    /// A worker that knows no names yet.
    pub(super) fn new(store: Arc<Store>) -> Self {
        Cache {
            known: unsync::Cache::with(
                MOST_NAMES,
                MOST_NAMES as u64,
                UnitWeighter,
                RandomState::default(),
                DefaultLifecycle::default(),
            ),
            store,
        }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn look_up(&mut self, host: HostId, name: &[u8], now: Now) -> Lookup {
        if let Some(known) = self.known.get(&KeyRef { host, name })
            && known.freshness.is_young(now)
            && let Some(entry) = known.entry.upgrade()
            && !entry.is_outdated()
        {
            return Lookup::Fresh(entry);
        }
        self.look_in_store(host, name, now)
    }

    #[cold]
    fn look_in_store(&mut self, host: HostId, name: &[u8], now: Now) -> Lookup {
        let Some(slot) = self.store.get(host, name) else {
            return Lookup::Absent;
        };
        let freshness = &slot.freshness;
        if slot.entry.is_outdated() {
            Lookup::Stale(slot)
        } else if freshness.is_young(now) || freshness.is_quiet(now) {
            self.know(host, &slot);
            Lookup::Fresh(slot.entry)
        } else if freshness.is_over(now) {
            Lookup::Stale(slot)
        } else {
            let is_due = freshness.claim(now);
            Lookup::Aging(slot, is_due)
        }
    }

    /// Takes note of an entry of the store.
    pub(super) fn know(&mut self, host: HostId, slot: &Slot) {
        let name = slot.name.clone();
        let known = Known {
            entry: Arc::downgrade(&slot.entry),
            freshness: slot.freshness.clone(),
        };
        self.known.insert(Key { host, name }, known);
    }
}

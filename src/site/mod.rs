//! The site: a name beneath the root to what it stands for, in memory or being loaded.
//!
//! [`resolve`] turns the path of a request into a name. [`Site::find`] answers from memory, or takes note of who waits
//! and has a [`Loader`] look at the file system, off the packet thread. [`Site::poll`] hands out what has come back.
//! Nothing here blocks except what loaders do in their own threads, and time is always an argument.
//!
//! An entry may be served for [`Limits::revalidate`] after the file system was last looked at. One in steady demand is
//! looked at anew from half that age on while it is still served, so it never makes anybody wait; if the file
//! is unchanged only the time moves. Names that stand for nothing are remembered in the same way. Entries are in a
//! [`Store`], which the sites of all workers share; each site knows the way to those that it is asked for.
//! Where the kernel tells of changes, looks are spared as long as it tells of none ([`Roots::watch`]).
//!
//! A file is found together with its sidecars, which hold the same in other codings; when it has none, text is
//! compressed. All that is one entry, and the request decides which of its representations is sent.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub mod beneath;
mod buffers;
mod cache;
mod closing;
mod coding;
mod compress;
mod directory;
mod entry;
mod files;
mod headers;
mod host;
mod lanes;
pub mod listing;
mod loader;
mod media_type;
mod mounts;
mod parent;
mod pool;
pub mod prefixes;
pub mod resolve;
pub mod rules;
mod settings;
mod store;
mod turns;
mod verify;
mod version;
mod watches;

pub use buffers::{CHUNK_BYTES, FRUGAL_CHUNK_BYTES};
pub use cache::{MAX_AGE, REFRESH_AFTER};
pub use coding::Coding;
pub use entry::{Body, Entry, File, Representation};
pub(crate) use entry::{VARY, http_date};
pub use files::{CACHED_FILE_BYTES, Found, OpenFile, ReadError, Root, RootError};
pub use headers::{Field, FieldError, Fields, Headers, Pattern, PatternError, Rule, field_name};
pub use host::{HostId, Roots};
pub use lanes::Patience;
pub use listing::View;
pub use loader::{Done, InlineLoader, Job, Loader};
pub use media_type::{MediaTypeError, MediaTypes};
pub(crate) use mounts::DeviceId;
pub use pool::PoolLoader;
pub use settings::{Compress, Settings};
pub use store::Store;
pub use version::{Loaded, Validator, Versions};
pub use watches::Quiet;

use cache::{Cache, Lookup};
use store::Slot;
use verify::Verifications;

/// Monotonic time since an arbitrary start.
pub type Now = Duration;

/// Who waits for something: chosen by the caller, opaque to the site.
///
/// A value must never come back for somebody else, or they would receive what the first had asked for: let it contain
/// a generation beside an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Waiter(pub u64);

/// A read that was asked for; no other of the same site is called so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReadId(u64);

/// How much may be held, and how long it is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries in memory, in bytes.
    pub cache_bytes: u64,
    /// How long after a look at the file system what it found may be served; zero: each request has it looked at.
    pub revalidate: Duration,
}

impl Default for Limits {
    /// 256 MiB, enough for the hot part of most sites, and [`MAX_AGE`].
    fn default() -> Self {
        Limits {
            cache_bytes: 256 * 1024 * 1024,
            revalidate: MAX_AGE,
        }
    }
}

/// The answer to [`Site::find`].
#[derive(Debug)]
pub enum Find {
    /// It is in memory.
    Ready(Arc<Entry>),
    /// [`Event::Entry`] will bring it.
    Pending,
    /// The loader has too much to do: ask again later.
    Refused,
}

/// Something that somebody waited for.
#[derive(Debug)]
pub enum Event {
    /// An entry that [`Site::find`] had pending.
    Entry {
        /// Who waited.
        waiter: Waiter,
        /// What the name stands for.
        entry: Arc<Entry>,
    },
    /// A chunk that [`Site::read`] was asked for.
    Chunk {
        /// Who waited.
        waiter: Waiter,
        /// What [`Site::read`] called it.
        read: ReadId,
        /// All its bytes, or why there are none.
        result: Result<Bytes, ReadError>,
    },
    /// The answer to a question that [`Site::verify`] was asked.
    Verified {
        /// Who waited.
        waiter: Waiter,
        /// Under which it was asked.
        key: u128,
        /// Whether it was the password.
        holds: bool,
    },
}

impl Event {
    /// Who waited.
    pub fn waiter(&self) -> Waiter {
        match *self {
            Event::Entry { waiter, .. }
            | Event::Chunk { waiter, .. }
            | Event::Verified { waiter, .. } => waiter,
        }
    }
}

/// A look at the file system in progress.
#[derive(Debug)]
struct Check {
    started: Now,
    /// The entry that the check may confirm; kept here because the store may drop it meanwhile.
    known: Option<Slot>,
    /// Everybody who asked for the name since: one job serves them all.
    waiters: Vec<Waiter>,
    /// Those who asked so long after it started that it would tell them too old a truth: the next one is for them.
    late: Vec<Waiter>,
    /// When the last of these asked.
    late_at: Now,
}

/// The files beneath the roots of all hosts, as one worker sees them.
#[derive(Debug)]
pub struct Site<L> {
    loader: L,
    cache: Cache,
    /// By host, as far as there was anything to check.
    checks: Vec<HashMap<Arc<[u8]>, Check>>,
    verifications: Verifications,
    events: VecDeque<Event>,
    last_read: ReadId,
    /// Drawn when the site is made.
    secret: RandomState,
}

impl<L: Loader> Site<L> {
    /// A site whose files `loader` gets, and nobody else.
    pub fn new(loader: L, limits: Limits) -> Self {
        Site::sharing(Arc::new(Store::new(limits)), loader)
    }

    /// A site with its entries in `store`, beside other sites of the same roots and with the same time.
    pub fn sharing(store: Arc<Store>, loader: L) -> Self {
        Site {
            loader,
            cache: Cache::new(store),
            checks: Vec::new(),
            verifications: Verifications::default(),
            events: VecDeque::new(),
            last_read: ReadId(0),
            secret: RandomState::new(),
        }
    }

    /// What `name`, a result of [`resolve`](resolve::resolve), stands for at `host`. Allocates nothing when it is fresh.
    pub fn find(&mut self, host: HostId, name: &[u8], waiter: Waiter, now: Now) -> Find {
        match self.cache.look_up(host, name, now) {
            Lookup::Fresh(entry) => Find::Ready(entry),
            Lookup::Aging(slot, is_due) => {
                if is_due && !self.check(host, name, Some(&slot), None, now) {
                    // The next hit tries again.
                    slot.freshness.give_up();
                }
                Find::Ready(slot.entry)
            }
            Lookup::Stale(slot) => self.wait_for(host, name, Some(&slot), waiter, now),
            Lookup::Absent => self.wait_for(host, name, None, waiter, now),
        }
    }

    /// Asks for `len` bytes of `file` at `offset`; [`Event::Chunk`] brings them.
    pub fn read(&mut self, file: Arc<OpenFile>, offset: u64, len: usize, waiter: Waiter) -> ReadId {
        self.last_read.0 += 1;
        let read = self.last_read;
        let job = Job::Read {
            read,
            waiter,
            file,
            offset,
            len,
        };
        // A response in progress cannot be refused: loaders take every read.
        if let Err(job) = self.loader.submit(job) {
            self.take(job.failed());
        }
        read
    }

    /// The next thing that somebody waited for; `None` when nothing else has arrived.
    pub fn poll(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let done = self.loader.completed()?;
            self.take(done);
            self.start_verifications();
        }
    }

    fn take(&mut self, done: Done) {
        match done {
            Done::Open {
                host,
                name,
                found,
                quiet,
            } => self.finish_check(host, name, found, quiet),
            Done::Read {
                read,
                waiter,
                result,
            } => self.events.push_back(Event::Chunk {
                waiter,
                read,
                result,
            }),
            Done::Verify { key, holds } => self.finish_verification(key, holds),
        }
    }

    /// It is `now`: what the file system has not answered in time is answered for it, by [`poll`](Self::poll).
    pub fn tick(&mut self, now: Now) {
        self.loader.tick(now);
    }

    /// When that has something to do.
    pub fn next_at(&self) -> Option<Now> {
        self.loader.next_at()
    }

    /// Nobody is behind `waiter` any more. Takes time in proportion to what is outstanding, so it is meant for
    /// connections that end while they wait. Reads already under way still produce their event.
    pub fn forget(&mut self, waiter: Waiter) {
        for check in self.checks.iter_mut().flat_map(HashMap::values_mut) {
            check.waiters.retain(|&other| other != waiter);
            check.late.retain(|&other| other != waiter);
        }
        self.loader.forget(waiter);
        self.verifications.forget(waiter);
        self.events.retain(|event| event.waiter() != waiter);
    }

    /// 128 bits that always go with `text` as long as this site lives, and that nobody else can tell from it.
    pub fn mark(&self, text: &[u8]) -> u128 {
        let half = |which: u8| u128::from(self.secret.hash_one((which, text)));
        half(0) << 64 | half(1)
    }

    /// Bytes that the entries in memory weigh together, those of other sites included.
    pub fn cached_bytes(&self) -> u64 {
        self.cache.store().weight_bytes()
    }

    /// The loader.
    pub fn loader(&mut self) -> &mut L {
        &mut self.loader
    }

    fn wait_for(
        &mut self,
        host: HostId,
        name: &[u8],
        known: Option<&Slot>,
        waiter: Waiter,
        now: Now,
    ) -> Find {
        if self.check(host, name, known, Some(waiter), now) {
            Find::Pending
        } else {
            Find::Refused
        }
    }

    /// Has `name` looked at, unless that is under way already. False when the loader refuses.
    fn check(
        &mut self,
        host: HostId,
        name: &[u8],
        known: Option<&Slot>,
        waiter: Option<Waiter>,
        now: Now,
    ) -> bool {
        if self.checks.len() <= host.index() {
            self.checks.resize_with(host.index() + 1, HashMap::new);
        }
        let checks = &mut self.checks[host.index()];
        if let Some(check) = checks.get_mut(name) {
            if now.saturating_sub(check.started) < self.cache.store().max_age() {
                check.waiters.extend(waiter);
            } else {
                check.late.extend(waiter);
                check.late_at = now;
            }
            return true;
        }
        let name = known.map_or_else(|| name.into(), |slot| slot.name.clone());
        let versions = known.and_then(|slot| slot.entry.known()).map(Box::new);
        let job = Job::Open {
            waiter,
            host,
            name: name.clone(),
            known: versions,
        };
        if self.loader.submit(job).is_err() {
            return false;
        }
        let check = Check {
            started: now,
            known: known.cloned(),
            waiters: waiter.into_iter().collect(),
            late: Vec::new(),
            late_at: Now::ZERO,
        };
        checks.insert(name, check);
        true
    }

    fn finish_check(&mut self, host: HostId, name: Arc<[u8]>, found: Found, quiet: Option<Quiet>) {
        let checks = self.checks.get_mut(host.index());
        let Some(mut check) = checks.and_then(|checks| checks.remove(&name)) else {
            return;
        };
        let late = mem::take(&mut check.late);
        let Some((slot, is_what_was_found)) = self.settle(host, &name, found, &check) else {
            return; // "unchanged" is never said of what was not known
        };
        if let Some(quiet) = quiet
            && is_what_was_found
        {
            slot.freshness.watch(quiet, check.started);
        }
        self.cache.know(host, &slot);
        self.hand_out(check.waiters, &slot.entry);
        // Who asked while the file system did not answer has that answer.
        let is_answered = !matches!(*slot.entry, Entry::Failed(io::ErrorKind::TimedOut));
        let is_too_old = is_answered && !late.is_empty();
        let first = late.first().copied();
        let is_checked = is_too_old && self.check(host, &name, Some(&slot), first, check.late_at);
        match self.checks[host.index()].get_mut(&name) {
            Some(check) if is_checked => check.waiters = late,
            _ if is_too_old => self.hand_out(late, &Arc::new(Entry::BUSY)),
            _ => self.hand_out(late, &slot.entry),
        }
    }

    /// Keeps what a look has found, unless a later look knows better; what is kept, and whether it is that.
    fn settle(
        &mut self,
        host: HostId,
        name: &Arc<[u8]>,
        found: Found,
        check: &Check,
    ) -> Option<(Slot, bool)> {
        let store = self.cache.store();
        if let Found::NoDescriptor = found {
            // Files kept open would withhold them for ever.
            store.release_files(check.started);
        }
        // The file was looked at after the check had started: counting from its start never overstates freshness.
        let Some(entry) = Entry::from_found(found) else {
            let slot = check.known.clone()?;
            store.confirm(host, &slot, check.started);
            return Some((slot, true));
        };
        Some(store.insert(host, name.clone(), Arc::new(entry), check.started))
    }

    fn hand_out(&mut self, waiters: Vec<Waiter>, entry: &Arc<Entry>) {
        let events = waiters.into_iter().map(|waiter| Event::Entry {
            waiter,
            entry: entry.clone(),
        });
        self.events.extend(events);
    }
}

//! The site that is served, and a loader whose work takes virtual time.

use super::response::Expected;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration as StdDuration, UNIX_EPOCH};
use xdphttpd::net::{Duration, Instant};
use xdphttpd::site::{
    Done, Found, InlineLoader, Job, Loader, ReadError, Root, Validator, Versions,
};
use xdphttpd::wire::SplitMix;

/// Lengths of the files, each named `/<length>`: around a segment, around what
/// the send buffer and the cache hold, and streamed ones.
pub const SIZES: [usize; 14] = [
    0, 1, 100, 1_460, 1_461, 4_096, 10_000, 20_000, 65_536, 100_000, 200_000, 262_144, 262_145,
    1_000_000,
];

/// The files, on disk for the server and in memory for its judges.
pub struct Files {
    root: tempfile::TempDir,
    bodies: BTreeMap<usize, Arc<[u8]>>,
}

impl Files {
    pub fn new() -> Files {
        let root = tempfile::tempdir().expect("a temporary directory");
        let bodies = SIZES.map(|bytes| {
            let mut random = SplitMix(bytes as u64);
            let body: Arc<[u8]> = (0..bytes).map(|_| random.next_u64() as u8).collect();
            fs::write(root.path().join(bytes.to_string()), &body).expect("writing a test file");
            (bytes, body)
        });
        Files {
            root,
            bodies: bodies.into(),
        }
    }

    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// What a request for the file of `bytes` is answered with: 404 when there
    /// is none of that length.
    pub fn expected(&self, bytes: usize, head_only: bool) -> Expected {
        let body = self.bodies.get(&bytes).cloned();
        Expected {
            status: if body.is_some() { 200 } else { 404 },
            body,
            head_only,
        }
    }
}

/// What the loader and the world tell each other.
pub struct LoaderClock {
    pub now: Cell<Instant>,
    /// When the next job will be done.
    pub next_at: Cell<Option<Instant>>,
    /// Reads made to fail so far.
    pub failed: Cell<u64>,
}

impl Default for LoaderClock {
    fn default() -> Self {
        LoaderClock {
            now: Cell::new(Instant::ZERO),
            next_at: Cell::new(None),
            failed: Cell::new(0),
        }
    }
}

/// Reads files, but not before its time; some reads fail.
pub struct LateLoader {
    disk: InlineLoader,
    clock: Rc<LoaderClock>,
    jobs: BTreeMap<(Instant, u64), Job>,
    submitted: u64,
    latency: Duration,
    fail: f64,
    random: SplitMix,
}

impl LateLoader {
    /// A loader whose every job takes up to `latency`, and whose reads of chunks
    /// fail with probability `fail`.
    pub fn new(
        root: &Path,
        clock: Rc<LoaderClock>,
        latency: Duration,
        fail: f64,
        seed: u64,
    ) -> LateLoader {
        LateLoader {
            disk: InlineLoader::new(Root::open(root).expect("the site's root exists")),
            clock,
            jobs: BTreeMap::new(),
            submitted: 0,
            latency,
            fail,
            random: SplitMix(seed),
        }
    }

    fn tell_next(&self) {
        self.clock
            .next_at
            .set(self.jobs.first_key_value().map(|((due, _), _)| *due));
    }
}

impl Loader for LateLoader {
    fn submit(&mut self, job: Job) -> Result<(), Job> {
        let takes_us = self.random.next_u64() % (self.latency.total_micros() + 1);
        let due = self.clock.now.get() + Duration::from_micros(takes_us);
        self.jobs.insert((due, self.submitted), job);
        self.submitted += 1;
        self.tell_next();
        Ok(())
    }

    fn completed(&mut self) -> Option<Done> {
        let next = self.jobs.first_entry()?;
        if next.key().0 > self.clock.now.get() {
            return None;
        }
        let job = next.remove();
        self.tell_next();
        let known = match &job {
            Job::Open { known, .. } => known.clone(),
            Job::Read { .. } | Job::Verify { .. } => None,
        };
        self.disk.submit(job).ok()?;
        let mut done = self.disk.completed()?;
        match &mut done {
            Done::Open { found, .. } => same_in_every_run(found, known.as_deref()),
            Done::Read { result, .. } if self.random.chance(self.fail) => {
                self.clock.failed.set(self.clock.failed.get() + 1);
                *result = Err(ReadError::Shrank);
            }
            Done::Read { .. } | Done::Verify { .. } => {}
        }
        Some(done)
    }
}

/// Takes out what differs between runs (inode, times) and gets into responses.
fn same_in_every_run(found: &mut Found, known: Option<&Versions>) {
    let Found::File {
        identity, read_at, ..
    } = found
    else {
        return;
    };
    let validator = &mut identity.validator;
    *validator = Validator {
        mtime_s: 1_600_000_000,
        mtime_ns: 0,
        size_bytes: validator.size_bytes,
        inode: 7,
        device: 7,
    };
    *read_at = UNIX_EPOCH + StdDuration::from_secs(1_700_000_000);
    if known == Some(&Versions::new(*validator)) {
        *found = Found::Unchanged;
    }
}

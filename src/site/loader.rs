//! Work that may block, handed over and collected.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::files::{self, Found, OpenFile, ReadError, Root};
use super::host::{HostId, Roots};
use super::version::Versions;
use super::watches::{Quiet, Watches, is_bound};
use super::{Now, ReadId, Waiter};
use crate::password::Question;

/// Something to be done where blocking does no harm.
#[derive(Debug)]
pub enum Job {
    /// Look a name and its sidecars up, and read those that are small.
    Open {
        /// Who waits for it first; a look that nobody waits for has none.
        waiter: Option<Waiter>,
        /// Whose name it is.
        host: HostId,
        /// The name, as [`resolve`](super::resolve::resolve) gave it; that of a directory perhaps with a
        /// [`View`](super::View) behind it.
        name: Arc<[u8]>,
        /// The versions already in memory, which are not read again.
        known: Option<Box<Versions>>,
    },
    /// Read a chunk.
    Read {
        /// Which one it is.
        read: ReadId,
        /// Who waits for it.
        waiter: Waiter,
        /// The file to read from.
        file: Arc<OpenFile>,
        /// Where the chunk begins, in bytes.
        offset: u64,
        /// Its length in bytes.
        len: usize,
    },
    /// Compare a password with its hash.
    Verify {
        /// What its answer is known by.
        key: u128,
        /// The two.
        question: Question,
    },
}

/// A finished [`Job`].
#[derive(Debug)]
pub enum Done {
    /// A name was looked up.
    Open {
        /// Whose name it is.
        host: HostId,
        /// The name.
        name: Arc<[u8]>,
        /// What it stands for.
        found: Found,
        /// As long as this lasts it stands for the same.
        quiet: Option<Quiet>,
    },
    /// A chunk was read.
    Read {
        /// Which one it is.
        read: ReadId,
        /// Who waits for it.
        waiter: Waiter,
        /// The whole chunk, or why there is none.
        result: Result<Bytes, ReadError>,
    },
    /// A password was compared.
    Verify {
        /// What the answer is known by.
        key: u128,
        /// Whether it was that of the hash.
        holds: bool,
    },
}

impl Job {
    /// Does the work; blocks as long as the file system does, or takes the processor for as long as a hash costs.
    pub fn run(self, roots: &Roots) -> Done {
        match self {
            Job::Open {
                host, name, known, ..
            } => {
                let (found, quiet) = match roots.get(host) {
                    Some(root) => look(root, roots.watches(), &name, known.as_deref()),
                    None => (Found::NotFound, None),
                };
                Done::Open {
                    host,
                    name,
                    found,
                    quiet,
                }
            }
            Job::Read {
                read,
                waiter,
                file,
                offset,
                len,
            } => Done::Read {
                read,
                waiter,
                result: files::read(&file, offset, len),
            },
            Job::Verify { key, question } => Done::Verify {
                key,
                holds: question.holds(),
            },
        }
    }

    /// What has come of it if it could not be done.
    pub fn failed(&self) -> Done {
        self.without_success(io::ErrorKind::Other)
    }

    /// What has come of it if it did not end in time.
    pub fn too_late(&self) -> Done {
        self.without_success(io::ErrorKind::TimedOut)
    }

    fn without_success(&self, why: io::ErrorKind) -> Done {
        match self {
            Job::Open { host, name, .. } => Done::Open {
                host: *host,
                name: name.clone(),
                found: Found::Failed(why),
                quiet: None,
            },
            Job::Read { read, waiter, .. } => Done::Read {
                read: *read,
                waiter: *waiter,
                result: Err(ReadError::Io(why)),
            },
            Job::Verify { key, .. } => Done::Verify {
                key: *key,
                holds: false,
            },
        }
    }
}

/// Looks a name up. What was there before, and so is in demand, is watched from before the look on.
fn look(
    root: &Root,
    watches: Option<&Watches>,
    name: &[u8],
    known: Option<&Versions>,
) -> (Found, Option<Quiet>) {
    let file = match (
        name.ends_with(b"/") || name.is_empty(),
        &root.settings.index[..],
    ) {
        (true, [first, ..]) => [name, first.as_bytes()].concat(),
        _ => name.to_vec(),
    };
    let watched = watches.zip(known);
    let watched = watched.and_then(|(watches, known)| Some((watches.watch(root, &file)?, known)));
    let found = files::open(root, name, known);
    let quiet = watched.filter(|(_, known)| is_bound(root, &file, &found, known));
    (found, quiet.map(|(quiet, _)| quiet))
}

/// Where jobs are done. Neither call ever blocks.
pub trait Loader {
    /// Takes a job over.
    ///
    /// # Errors
    /// The job comes back when as many as the loader's limit allows are outstanding.
    fn submit(&mut self, job: Job) -> Result<(), Job>;

    /// A job that has been finished since, in any order.
    fn completed(&mut self) -> Option<Done>;

    /// It is `now`: jobs submitted from here on begin now, and what has taken too long ends.
    fn tick(&mut self, _now: Now) {}

    /// When that has something to end.
    fn next_at(&self) -> Option<Now> {
        None
    }

    /// Nobody is behind `waiter` any more: reads for them need not begin.
    fn forget(&mut self, _waiter: Waiter) {}
}

/// Does each job at once, in the calling thread, and reports it at the next [`completed`](Loader::completed): for
/// tests and simulations, where the order of events must repeat.
#[derive(Debug)]
pub struct InlineLoader {
    roots: Roots,
    done: VecDeque<Done>,
}

impl InlineLoader {
    /// A loader of files beneath `roots`.
    pub fn new(roots: impl Into<Roots>) -> Self {
        InlineLoader {
            roots: roots.into(),
            done: VecDeque::new(),
        }
    }
}

impl Loader for InlineLoader {
    fn submit(&mut self, job: Job) -> Result<(), Job> {
        self.done.push_back(job.run(&self.roots));
        Ok(())
    }

    fn completed(&mut self) -> Option<Done> {
        self.done.pop_front()
    }
}

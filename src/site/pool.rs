//! The loader of a running server: tokio's pool of blocking threads.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::runtime::Handle;

use super::host::Roots;
use super::loader::{Done, Job, Loader};

/// Jobs that a worker may have outstanding. A thousand waiting requests mean a file system that has stalled or cannot
/// keep up; further ones are better told to come back later.
pub const MAX_JOBS: usize = 1024;

/// Runs jobs on the blocking threads of a tokio runtime and wakes the worker when one is done.
pub struct PoolLoader {
    runtime: Handle,
    /// For passwords, which keep a thread busy for as long as somebody asks.
    passwords: Handle,
    roots: Arc<Roots>,
    wake: Arc<dyn Fn() + Send + Sync>,
    sender: Sender<Done>,
    receiver: Receiver<Done>,
    outstanding: usize,
    max_jobs: usize,
}

impl PoolLoader {
    /// A loader of files beneath `roots` that has at most `max_jobs` outstanding.
    ///
    /// `wake` is called on a pool thread after each completion can be collected; it must not block.
    pub fn new(
        runtime: Handle,
        roots: Arc<Roots>,
        max_jobs: usize,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let (sender, receiver) = channel();
        PoolLoader {
            passwords: runtime.clone(),
            runtime,
            roots,
            wake: Arc::new(wake),
            sender,
            receiver,
            outstanding: 0,
            max_jobs,
        }
    }

    /// The same with the blocking threads of another runtime for passwords.
    pub fn with_passwords(mut self, passwords: Handle) -> Self {
        self.passwords = passwords;
        self
    }

    /// Jobs submitted and not yet collected.
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }
}

impl Loader for PoolLoader {
    fn submit(&mut self, job: Job) -> Result<(), Job> {
        if self.outstanding >= self.max_jobs {
            return Err(job);
        }
        self.outstanding += 1;
        let (roots, sender, wake) = (self.roots.clone(), self.sender.clone(), self.wake.clone());
        let threads = match job {
            Job::Verify { .. } => &self.passwords,
            _ => &self.runtime,
        };
        threads.spawn_blocking(move || {
            // A job that panicked has failed: who waits for it must not wait for ever.
            let failed = job.failed();
            let done = catch_unwind(AssertUnwindSafe(|| job.run(&roots))).unwrap_or(failed);
            // The receiver is gone when the worker has ended: then nobody waits.
            if sender.send(done).is_ok() {
                wake();
            }
        });
        Ok(())
    }

    fn completed(&mut self) -> Option<Done> {
        let done = self.receiver.try_recv().ok()?;
        self.outstanding -= 1;
        Some(done)
    }
}

impl fmt::Debug for PoolLoader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolLoader")
            .field("roots", &self.roots)
            .field("outstanding", &self.outstanding)
            .field("max_jobs", &self.max_jobs)
            .finish_non_exhaustive()
    }
}

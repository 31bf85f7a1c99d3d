//! The loader of a running server: tokio's pool of blocking threads.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::runtime::Handle;

use super::host::Roots;
use super::lanes::{Lanes, Number, Patience};
use super::loader::{Done, Job, Loader};
use super::mounts::DeviceId;
use super::{Now, Waiter};

/// Runs jobs on the blocking threads of a tokio runtime and wakes the worker when one is done.
///
/// Jobs for files stand in `Lanes`, by mount; the runtime should have threads for all that these let run.
pub struct PoolLoader {
    runtime: Handle,
    /// For passwords, which keep a thread busy for as long as somebody asks.
    passwords: Handle,
    roots: Arc<Roots>,
    wake: Arc<dyn Fn() + Send + Sync>,
    sender: Sender<(Option<Number>, Done)>,
    receiver: Receiver<(Option<Number>, Done)>,
    lanes: Lanes,
    /// Passwords being compared.
    questions: usize,
    /// What was ended because its time was over.
    too_late: VecDeque<Done>,
    max_jobs: usize,
    now: Now,
}

impl PoolLoader {
    /// A loader of files beneath `roots` that looks at most `max_jobs` names of a mount up at a time,
    /// those in line included.
    ///
    /// `wake` is called on a pool thread after each completion can be collected; it must not block.
    pub fn new(
        runtime: Handle,
        roots: Arc<Roots>,
        max_jobs: usize,
        patience: Patience,
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
            lanes: Lanes::new(patience),
            questions: 0,
            too_late: VecDeque::new(),
            max_jobs,
            now: Now::ZERO,
        }
    }

    /// The same with the blocking threads of another runtime for passwords.
    pub fn with_passwords(mut self, passwords: Handle) -> Self {
        self.passwords = passwords;
        self
    }

    /// Jobs submitted that have not ended.
    pub fn outstanding(&self) -> usize {
        self.lanes.outstanding() + self.questions
    }

    /// Begins what may begin on a mount.
    fn start(&mut self, device: Option<DeviceId>) {
        while let Some((number, job)) = self.lanes.start(device) {
            self.spawn(Some(number), job);
        }
    }

    fn spawn(&self, number: Option<Number>, job: Job) {
        let (roots, sender, wake) = (self.roots.clone(), self.sender.clone(), self.wake.clone());
        let threads = match job {
            Job::Verify { .. } => &self.passwords,
            _ => &self.runtime,
        };
        threads.spawn_blocking(move || {
            // A job that panicked has failed: who waits for it must not wait for ever.
            let failed = job.failed();
            let done = catch_unwind(AssertUnwindSafe(|| job.run(&roots))).unwrap_or(failed);
            roots.look_at_mounts();
            // The receiver is gone when the worker has ended: then nobody waits.
            if sender.send((number, done)).is_ok() {
                wake();
            }
        });
    }
}

impl Loader for PoolLoader {
    fn submit(&mut self, job: Job) -> Result<(), Job> {
        let (device, waiter) = match &job {
            Job::Verify { .. } => {
                self.questions += 1;
                self.spawn(None, job);
                return Ok(());
            }
            Job::Read { file, waiter, .. } => (Some(file.device()), Some(*waiter)),
            Job::Open {
                host, name, waiter, ..
            } => {
                let device = self.roots.device_of(*host, name);
                // Those of a mount that hangs are not in the way of others.
                if self.lanes.looks(device) >= self.max_jobs {
                    return Err(job);
                }
                (device, *waiter)
            }
        };
        self.lanes.push(device, waiter, job, self.now);
        self.start(device);
        Ok(())
    }

    fn completed(&mut self) -> Option<Done> {
        loop {
            if let Some(done) = self.too_late.pop_front() {
                return Some(done);
            }
            let (number, done) = self.receiver.try_recv().ok()?;
            let Some(number) = number else {
                self.questions -= 1;
                return Some(done);
            };
            let (device, is_wanted) = self.lanes.end(number);
            self.start(device);
            if is_wanted {
                return Some(done);
            }
        }
    }

    fn tick(&mut self, now: Now) {
        self.now = now;
        while let Some((done, device)) = self.lanes.expire(now) {
            self.too_late.push_back(done);
            self.start(device);
        }
    }

    fn next_at(&self) -> Option<Now> {
        self.lanes.next_at()
    }

    fn forget(&mut self, waiter: Waiter) {
        self.lanes.forget(waiter);
    }
}

impl fmt::Debug for PoolLoader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolLoader")
            .field("roots", &self.roots)
            .field("lanes", &self.lanes)
            .field("questions", &self.questions)
            .field("max_jobs", &self.max_jobs)
            .finish_non_exhaustive()
    }
}

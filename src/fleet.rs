//! The workers' threads: one for each socket, pinned, started, watched, told
//! what has changed, and brought home.

use crate::access_log::Log;
use crate::config::{DRAIN_LIMIT, FILE_JOBS};
use crate::http::rate::Limiter;
use crate::http::{self, Hosts};
use crate::net::figures::Listing;
use crate::net::{Secret, Stack, StackConfig};
use crate::relay::{self, Relay};
use crate::service::HttpService;
use crate::site::{Limits, Patience, PoolLoader, Roots, Site};
use crate::stats::Snapshot;
use crate::worker::{self, Control, Remote, Waker, Worker};
use crate::xsk::Xsk;
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// How long workers may take to say how their connections stand: a busy one needs
/// less than a millisecond.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// Why workers did not start or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A worker failed.
    #[error(transparent)]
    Worker(#[from] worker::Error),
    /// A worker ended by a bug.
    #[error("the worker of queue {0} panicked; this is a bug in xdphttpd")]
    Panicked(u32),
    /// A processor in `--cores` cannot be used.
    #[error("--cores {core}: this process may run on {allowed} only")]
    Core {
        /// The processor asked for.
        core: usize,
        /// Those that are allowed.
        allowed: String,
    },
    /// The operating system refused something basic.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What it said.
        source: std::io::Error,
    },
}

fn refused(what: &'static str) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::System {
        what,
        source: errno.into(),
    }
}

/// One processor for each of `workers`: those `wanted`, or else the allowed ones
/// in order; when there are fewer, they are shared.
///
/// # Errors
/// A wanted processor does not exist or is not allowed.
pub fn cores(wanted: &[usize], workers: usize) -> Result<Vec<usize>, Error> {
    let allowed = sched_getaffinity(None).map_err(refused("ask for the processors"))?;
    let allowed: Vec<usize> = (0..CpuSet::MAX_CPU)
        .filter(|&core| allowed.is_set(core))
        .collect();
    if let Some(&core) = wanted.iter().find(|core| !allowed.contains(core)) {
        return Err(Error::Core {
            core,
            allowed: ranges(&allowed),
        });
    }
    let usable = if wanted.is_empty() {
        allowed
    } else {
        wanted.to_vec()
    };
    Ok(usable.into_iter().cycle().take(workers).collect())
}

/// Ascending numbers as `0-3,6`.
fn ranges(numbers: &[usize]) -> String {
    let consecutive = numbers.chunk_by(|a, b| a + 1 == *b);
    let texts = consecutive.map(|run| match run {
        [first, .., last] => format!("{first}-{last}"),
        only => only.iter().map(usize::to_string).collect(),
    });
    texts.collect::<Vec<String>>().join(",")
}

/// How a worker ended; `None`: it panicked.
type Outcome = Option<Result<(), worker::Error>>;

/// Tells of a worker's end, however it ends.
struct Obituary {
    queue: u32,
    outcome: Outcome,
    to: mpsc::UnboundedSender<(u32, Outcome)>,
}

impl Obituary {
    fn write(&mut self, result: Result<(), worker::Error>) {
        self.outcome = Some(result);
    }
}

impl Drop for Obituary {
    fn drop(&mut self) {
        // Nobody listens any more when the server itself has failed.
        let _ = self.to.send((self.queue, self.outcome.take()));
    }
}

/// What all workers serve.
#[derive(Debug, Clone)]
pub struct Serves {
    /// Where passwords are compared.
    pub passwords: Handle,
    /// The directories of all hosts.
    pub roots: Arc<Roots>,
    /// The same hosts by name.
    pub hosts: Arc<Hosts>,
    /// What requests may take.
    pub requests: http::Limits,
    /// How much is asked of the file systems at once, and how long it may take.
    pub patience: Patience,
}

/// The running workers.
pub struct Fleet {
    stack: StackConfig,
    /// Shared, so that a handshake may end on another queue than it began on.
    secret: Secret,
    /// Time zero of all workers: sequence numbers and cookies are made of time.
    origin: Instant,
    serves: Serves,
    body_bytes: usize,
    log: Option<Log>,
    limiter: Option<Limiter>,
    spin: Duration,
    /// For the workers that are still to be started.
    places: std::vec::IntoIter<(Waker, Relay)>,
    workers: Vec<(u32, Remote, JoinHandle<()>)>,
    ended: mpsc::UnboundedSender<(u32, Outcome)>,
    ends: mpsc::UnboundedReceiver<(u32, Outcome)>,
}

impl Fleet {
    /// No workers yet; the `workers` to come have such stacks, serve `serves`, each with
    /// `body_bytes` in memory before it reads in small pieces, write to `log`, and spin
    /// for `spin` before they sleep.
    ///
    /// # Errors
    /// The operating system gives no randomness or descriptors.
    pub fn new(
        workers: usize,
        stack: StackConfig,
        serves: Serves,
        body_bytes: usize,
        log: Option<Log>,
        spin: Duration,
    ) -> Result<Fleet, Error> {
        let (ended, ends) = mpsc::unbounded_channel();
        let wakers: Result<Vec<Waker>, Errno> = (0..workers).map(|_| Waker::new()).collect();
        let wakers = wakers.map_err(refused("make an eventfd"))?;
        let relays = relay::ring(&wakers);
        let places: Vec<_> = wakers.into_iter().zip(relays).collect();
        Ok(Fleet {
            places: places.into_iter(),
            stack,
            secret: secret()?,
            origin: Instant::now(),
            serves,
            body_bytes,
            log,
            limiter: None,
            spin,
            workers: Vec::new(),
            ended,
            ends,
        })
    }

    /// Each of the workers to come sends no faster than `limiter` lets it.
    pub fn limit(&mut self, limiter: Option<Limiter>) {
        self.limiter = limiter;
    }

    /// Starts the worker of `socket` on processor `core`, if one is still to come.
    /// Needs a tokio runtime, whose blocking threads will read its files.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(&mut self, socket: Xsk, core: usize) -> Result<(), Error> {
        let queue = socket.queue();
        let Some((waker, relay)) = self.places.next() else {
            return Ok(());
        };
        let mut obituary = Obituary {
            queue,
            outcome: None,
            to: self.ended.clone(),
        };
        let (stack, serves, spin) = (self.stack.clone(), self.serves.clone(), self.spin);
        let (secret, origin, body_bytes) = (self.secret, self.origin, self.body_bytes);
        let log = self.log.as_ref().map(Log::batch);
        let limiter = self.limiter.clone();
        let (runtime, (built, remote)) = (Handle::current(), std::sync::mpsc::channel());
        // Built in its thread: what a worker holds never crosses threads.
        let body = move || {
            pin(queue, core);
            let wake = waker.clone();
            let loader = PoolLoader::new(
                runtime,
                serves.roots,
                FILE_JOBS,
                serves.patience,
                move || {
                    wake.wake();
                },
            )
            .with_passwords(serves.passwords);
            let site = Site::new(loader, Limits::default());
            let mut service = HttpService::new(site, body_bytes, SystemTime::now())
                .with_hosts(serves.hosts)
                .with_log(log)
                .with_limiter(limiter);
            service.limits = serves.requests;
            let stack = Stack::new(&stack, &secret, service);
            let (worker, remote) = Worker::new(socket, stack, waker, relay, origin, spin);
            let _ = built.send(remote);
            obituary.write(worker.run());
        };
        let thread = std::thread::Builder::new()
            .name(format!("xdphttpd-q{queue}"))
            .spawn(body)
            .map_err(|source| Error::System {
                what: "start a worker's thread",
                source,
            })?;
        let remote = remote.recv().map_err(|_| Error::Panicked(queue))?;
        self.workers.push((queue, remote, thread));
        Ok(())
    }

    /// Resolves when a worker has ended that should not have.
    pub async fn failed(&mut self) -> Error {
        loop {
            match self.ends.recv().await {
                Some((queue, None)) => return Error::Panicked(queue),
                Some((_, Some(Err(error)))) => return error.into(),
                Some((_, Some(Ok(())))) => {}
                // `ended` is kept, so the channel cannot close.
                None => std::future::pending().await,
            }
        }
    }

    /// What the workers counted when they last had a moment.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let read = |remote: &Remote| remote.snapshot.lock().map(|s| *s).unwrap_or_default();
        self.workers
            .iter()
            .map(|(_, remote, _)| read(remote))
            .collect()
    }

    /// How the connections stand, by queue; without those of a worker that does not
    /// answer.
    pub async fn listings(&self) -> Vec<(u32, Listing)> {
        let ask = |(queue, remote, _): &(u32, Remote, JoinHandle<()>)| {
            let (to, answer) = oneshot::channel();
            remote.tell(Control::List(to));
            (*queue, answer)
        };
        // All at once: they look at the same time.
        let asked: Vec<_> = self.workers.iter().map(ask).collect();
        let mut listings = Vec::new();
        for (queue, answer) in asked {
            match timeout(ANSWER_LIMIT, answer).await {
                Ok(Ok(listing)) => listings.push((queue, listing)),
                _ => tracing::warn!("queue {queue}: its worker does not list its connections"),
            }
        }
        listings
    }

    /// Lines of the access log that were lost.
    pub fn lost_lines(&self) -> u64 {
        self.log.as_ref().map_or(0, Log::lost)
    }

    /// The access log was moved away.
    pub fn reopen_log(&self) {
        if let Some(log) = &self.log {
            log.reopen();
        }
    }

    /// The addresses served have changed.
    pub fn readdress(&self, addresses: Vec<Ipv4Addr>) {
        for (_, remote, _) in &self.workers {
            remote.tell(Control::Addresses(Some(addresses.clone())));
        }
    }

    /// Lets the workers finish what is in flight, for the limit at most or until
    /// `hurry` resolves.
    ///
    /// # Errors
    /// A worker failed on the way.
    pub async fn drain(mut self, hurry: impl Future<Output = ()>) -> Result<(), Error> {
        let drain = |limit| {
            for (_, remote, _) in &self.workers {
                remote.tell(Control::Drain(limit));
            }
        };
        drain(DRAIN_LIMIT);
        let mut hurry = std::pin::pin!(hurry);
        let mut hurried = false;
        let mut running = self.workers.len();
        while running > 0 {
            tokio::select! {
                end = self.ends.recv() => {
                    let Some((queue, outcome)) = end else { break };
                    outcome.ok_or(Error::Panicked(queue))??;
                    running -= 1;
                }
                () = &mut hurry, if !hurried => {
                    hurried = true;
                    tracing::warn!("told twice to end: not waiting for responses in flight");
                    drain(Duration::ZERO);
                }
            }
        }
        // Their last breath: sockets close, and the queues are free.
        for (queue, _, thread) in self.workers {
            thread.join().map_err(|_| Error::Panicked(queue))?;
        }
        match self.log.map(Log::close) {
            None | Some(0) => {}
            Some(lost) => tracing::warn!("{lost} lines of the access log were lost"),
        }
        Ok(())
    }
}

fn pin(queue: u32, core: usize) {
    let mut only = CpuSet::new();
    only.set(core);
    if let Err(errno) = sched_setaffinity(None, &only) {
        tracing::warn!("queue {queue}: its worker is not pinned to processor {core}: {errno}");
    }
}

fn secret() -> Result<Secret, Error> {
    let mut secret = [0; 32];
    // Up to 256 bytes come whole or not at all (getrandom(2)).
    getrandom(&mut secret, GetRandomFlags::empty()).map_err(refused("draw a secret"))?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_as_ranges() {
        assert_eq!(ranges(&[0, 1, 2, 3, 6, 8, 9]), "0-3,6,8-9");
        assert_eq!((ranges(&[5]), ranges(&[])), ("5".into(), String::new()));
    }
}

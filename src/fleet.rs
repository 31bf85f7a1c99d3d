//! The workers' threads: one for each processor that there is a queue for, pinned,
//! started, watched, told what has changed, and brought home.

use crate::access_log::Log;
use crate::config::{DRAIN_LIMIT, FILE_JOBS};
use crate::exchange::Exchanges;
use crate::http::rate::Limiter;
use crate::http::{self, Hosts};
use crate::net::figures::Listing;
use crate::net::{Secret, Stack, StackConfig};
use crate::relay::{self, Relay};
use crate::service::HttpService;
use crate::services::Services;
use crate::site::{Patience, PoolLoader, Roots, Site, Store};
use crate::stats::Snapshot;
use crate::worker::{self, Control, Remote, Waiting, Waker, Worker};
use crate::xsk::Xsk;
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::fmt;
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
    #[error("the worker of {0} panicked; this is a bug in xdphttpd")]
    Panicked(Queues),
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

/// The processors of the workers of so many `queues`, one a worker: those `wanted`, or
/// else the allowed ones in order, but no more than queues.
///
/// # Errors
/// A wanted processor does not exist or is not allowed.
pub fn cores(wanted: &[usize], queues: usize) -> Result<Vec<usize>, Error> {
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
    let mut usable = Vec::new();
    for &core in if wanted.is_empty() { &allowed } else { wanted } {
        if !usable.contains(&core) {
            usable.push(core);
        }
    }
    usable.truncate(queues);
    Ok(usable)
}

/// Deals `sockets` out to so many workers, as evenly as can be: the first to the first,
/// and so on round.
pub fn deal<T>(sockets: Vec<T>, workers: usize) -> Vec<Vec<T>> {
    let mut hands: Vec<Vec<T>> = (0..workers).map(|_| Vec::new()).collect();
    for (at, socket) in sockets.into_iter().enumerate() {
        if let Some(hand) = hands.get_mut(at % workers) {
            hand.push(socket);
        }
    }
    hands
}

/// The queues of a worker, by which it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queues(Vec<u32>);

impl Queues {
    /// As `0,2`.
    fn list(&self) -> String {
        let numbers: Vec<String> = self.0.iter().map(u32::to_string).collect();
        numbers.join(",")
    }
}

impl fmt::Display for Queues {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.0.len() == 1 { "queue" } else { "queues" };
        write!(to, "{noun} {}", self.list())
    }
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
    queues: Queues,
    outcome: Outcome,
    to: mpsc::UnboundedSender<(Queues, Outcome)>,
}

impl Obituary {
    fn write(&mut self, result: Result<(), worker::Error>) {
        self.outcome = Some(result);
    }
}

impl Drop for Obituary {
    fn drop(&mut self) {
        // Nobody listens any more when the server itself has failed.
        let _ = self.to.send((self.queues.clone(), self.outcome.take()));
    }
}

/// What all workers serve.
#[derive(Debug, Clone)]
pub struct Serves {
    /// Where passwords are compared.
    pub passwords: Handle,
    /// The directories of all hosts.
    pub roots: Arc<Roots>,
    /// What is in memory of their files.
    pub store: Arc<Store>,
    /// The same hosts by name.
    pub hosts: Arc<Hosts>,
    /// What requests may take.
    pub requests: http::Limits,
    /// What is answered elsewhere.
    pub services: Services,
    /// How much of that at once, a worker.
    pub exchanges: usize,
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
    waiting: Waiting,
    /// For the workers that are still to be started.
    places: std::vec::IntoIter<(Waker, Relay)>,
    workers: Vec<(Queues, Remote, JoinHandle<()>)>,
    ended: mpsc::UnboundedSender<(Queues, Outcome)>,
    ends: mpsc::UnboundedReceiver<(Queues, Outcome)>,
}

impl Fleet {
    /// No workers yet; the `workers` to come have such stacks, serve `serves`, each with
    /// `body_bytes` in memory before it reads in small pieces, write to `log`, and wait
    /// like that when nothing comes.
    ///
    /// # Errors
    /// The operating system gives no randomness or descriptors.
    pub fn new(
        workers: usize,
        stack: StackConfig,
        serves: Serves,
        body_bytes: usize,
        log: Option<Log>,
        waiting: Waiting,
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
            waiting,
            workers: Vec::new(),
            ended,
            ends,
        })
    }

    /// Each of the workers to come sends no faster than `limiter` lets it.
    pub fn limit(&mut self, limiter: Option<Limiter>) {
        self.limiter = limiter;
    }

    /// Starts the worker of `sockets` on processor `core`, if one is still to come.
    /// Needs a tokio runtime, whose blocking threads will read its files.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(&mut self, mut sockets: Vec<Xsk>, core: usize) -> Result<(), Error> {
        let queues = Queues(sockets.iter().map(Xsk::queue).collect());
        if sockets.is_empty() {
            return Ok(());
        }
        let sockets = (sockets.remove(0), sockets);
        let Some((waker, relay)) = self.places.next() else {
            return Ok(());
        };
        let named = queues.clone();
        let mut obituary = Obituary {
            queues: queues.clone(),
            outcome: None,
            to: self.ended.clone(),
        };
        let (stack, serves, waiting) = (self.stack.clone(), self.serves.clone(), self.waiting);
        let (secret, origin, body_bytes) = (self.secret, self.origin, self.body_bytes);
        let log = self.log.as_ref().map(Log::batch);
        let limiter = self.limiter.clone();
        let (runtime, (built, remote)) = (Handle::current(), std::sync::mpsc::channel());
        // Built in its thread: what a worker holds never crosses threads.
        let body = move || {
            pin(&named, core);
            let (wake, bell) = (waker.clone(), waker.clone());
            let begin = move |call, side| serves.services.begin(call, side);
            let exchanges = Exchanges::new(serves.exchanges, begin, move || bell.wake());
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
            let site = Site::sharing(serves.store, loader);
            let mut service = HttpService::new(site, body_bytes, SystemTime::now())
                .with_hosts(serves.hosts)
                .with_exchanges(exchanges)
                .with_log(log)
                .with_limiter(limiter);
            service.limits = serves.requests;
            let stack = Stack::new(&stack, &secret, service);
            let (worker, remote) = Worker::new(sockets, stack, waker, relay, origin, waiting);
            let _ = built.send(remote);
            obituary.write(worker.run());
        };
        let thread = std::thread::Builder::new()
            .name(format!("xdphttpd-q{}", queues.list()))
            .spawn(body)
            .map_err(|source| Error::System {
                what: "start a worker's thread",
                source,
            })?;
        let remote = remote.recv();
        let remote = remote.map_err(|_| Error::Panicked(queues.clone()))?;
        self.workers.push((queues, remote, thread));
        Ok(())
    }

    /// Resolves when a worker has ended that should not have.
    pub async fn failed(&mut self) -> Error {
        loop {
            match self.ends.recv().await {
                Some((queues, None)) => return Error::Panicked(queues),
                Some((_, Some(Err(error)))) => return error.into(),
                Some((_, Some(Ok(())))) => {}
                // `ended` is kept, so the channel cannot close.
                None => std::future::pending().await,
            }
        }
    }

    /// What the workers counted when they last had a moment.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let read = |remote: &Remote| {
            remote
                .snapshot
                .lock()
                .map(|s| s.clone())
                .unwrap_or_default()
        };
        self.workers
            .iter()
            .map(|(_, remote, _)| read(remote))
            .collect()
    }

    /// How the connections stand, by the queues of a worker (`0,2`); without those of one
    /// that does not answer.
    pub async fn listings(&self) -> Vec<(String, Listing)> {
        let ask = |(queues, remote, _): &(Queues, Remote, JoinHandle<()>)| {
            let (to, answer) = oneshot::channel();
            remote.tell(Control::List(to));
            (queues.clone(), answer)
        };
        // All at once: they look at the same time.
        let asked: Vec<_> = self.workers.iter().map(ask).collect();
        let mut listings = Vec::new();
        for (queues, answer) in asked {
            match timeout(ANSWER_LIMIT, answer).await {
                Ok(Ok(listing)) => listings.push((queues.list(), listing)),
                _ => tracing::warn!("{queues}: the worker does not list its connections"),
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
                    let Some((queues, outcome)) = end else { break };
                    outcome.ok_or(Error::Panicked(queues))??;
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
        for (queues, _, thread) in self.workers {
            thread.join().map_err(|_| Error::Panicked(queues))?;
        }
        match self.log.map(Log::close) {
            None | Some(0) => {}
            Some(lost) => tracing::warn!("{lost} lines of the access log were lost"),
        }
        Ok(())
    }
}

fn pin(queues: &Queues, core: usize) {
    let mut only = CpuSet::new();
    only.set(core);
    if let Err(errno) = sched_setaffinity(None, &only) {
        tracing::warn!("{queues}: the worker is not pinned to processor {core}: {errno}");
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

    #[test]
    fn queues_are_dealt_out_evenly_and_none_is_left() {
        for (queues, workers, want) in [
            (1, 1, vec![vec![0]]),
            (2, 1, vec![vec![0, 1]]),
            (2, 2, vec![vec![0], vec![1]]),
            (5, 2, vec![vec![0, 2, 4], vec![1, 3]]),
        ] {
            assert_eq!(deal((0..queues).collect(), workers), want);
        }
    }

    #[test]
    fn a_worker_has_a_processor_and_no_two_have_the_same() {
        let allowed = cores(&[], usize::MAX).expect("this process runs somewhere");
        let first = allowed[0];
        assert_eq!(cores(&[], 1).expect("allowed"), [first]);
        assert_eq!(cores(&[first, first], 4).expect("allowed"), [first]);
    }

    #[test]
    fn a_worker_is_called_by_its_queues() {
        assert_eq!(Queues(vec![3]).to_string(), "queue 3");
        assert_eq!(Queues(vec![0, 2]).to_string(), "queues 0,2");
    }
}

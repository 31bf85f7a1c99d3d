//! The life of the server: look at the device, load and attach the program,
//! open the sockets, start the workers, follow the device, drain, detach.
//!
//! Attached before the sockets exist, the program finds empty slots and passes
//! everything to the kernel; filling a slot is what starts the service, and a
//! socket that closes empties its slot by itself. Dropping the attachment (or
//! dying, in whatever way) gives the device back.

use crate::config::{self, Config};
use crate::net::{Policy, Stack, StackConfig};
use crate::report::{self, Reporter};
use crate::service::HttpService;
use crate::site::{Limits, PoolLoader, Root, Site};
use crate::stats::Snapshot;
use crate::worker::{self, Control, Remote, Waker, Worker};
use crate::xdp::device::inspect;
use crate::xdp::{self, Attachment, Device, Event, Program, Source, Verdicts, Watch};
use crate::xsk::{self, CopyMode, Xsk};
use rustix::fd::AsFd;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::rand::{GetRandomFlags, getrandom};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// Bytes of Ethernet header before the IP packet.
const ETHERNET_HEADER_BYTES: u32 = 14;

/// Why the server did not start or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A privilege is missing.
    #[error("not permitted: {0} missing; run as root (sudo) or grant it")]
    Privilege(String),
    /// The device is down.
    #[error("{0} is down; bring it up: ip link set dev {0} up")]
    Down(String),
    /// There is no address to serve.
    #[error(
        "{0} has no IPv4 address; give it one (ip address add ADDRESS/BITS dev {0}) or serve any \
         address with --any-address"
    )]
    NoAddress(String),
    /// `-Q` names a queue that is not there.
    #[error("-Q {queue}: {dev} has {}", queue_range(*.queues))]
    Queue {
        /// The device.
        dev: String,
        /// The queue asked for.
        queue: u32,
        /// How many there are.
        queues: u32,
    },
    /// Frames of the device's MTU do not fit into UMEM chunks.
    #[error(
        "{dev} has an MTU of {mtu} bytes and AF_XDP frames here hold {most}; lower it: ip link \
         set dev {dev} mtu {most}"
    )]
    Mtu {
        /// The device.
        dev: String,
        /// Its MTU, bytes.
        mtu: u32,
        /// The largest that works, bytes.
        most: u32,
    },
    /// The device was deleted while serving.
    #[error("{0} is gone: the device was deleted")]
    Gone(String),
    /// The XDP side failed.
    #[error(transparent)]
    Xdp(#[from] xdp::Error),
    /// The AF_XDP side failed.
    #[error(transparent)]
    Xsk(#[from] xsk::Error),
    /// The root cannot be served.
    #[error(transparent)]
    Root(#[from] crate::site::RootError),
    /// A worker failed.
    #[error(transparent)]
    Worker(#[from] worker::Error),
    /// A worker ended by a bug.
    #[error("worker of queue {0} panicked; this is a bug in xdphttpd")]
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
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What it said.
        source: std::io::Error,
    },
}

fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::System { what, source }
}

fn queue_range(queues: u32) -> String {
    match queues {
        0 | 1 => "only RX queue 0".to_owned(),
        queues => format!("RX queues 0 to {}", queues - 1),
    }
}

/// Runs the server until it is told to end by SIGINT or SIGTERM.
///
/// # Errors
/// What kept it from starting or made it end otherwise. Nothing stays attached.
pub fn run(config: &Config) -> Result<(), Error> {
    require_privileges()?;
    if let Err(error) = xsk::raise_memlock() {
        tracing::warn!("{error}; going on");
    }
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(config::FILE_THREADS)
        .thread_name("xdphttpd-files")
        .enable_all()
        .build()
        .map_err(system("starting the file threads"))?;
    let result = runtime.block_on(serve(config));
    // A file system that hangs must not keep the process from ending.
    runtime.shutdown_background();
    result
}

/// Lifts the limit on open files as far as it goes: each download of a file too
/// large for memory holds a descriptor, and the usual limit is 1,024.
fn raise_open_files() {
    let now = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: now.maximum, maximum: now.maximum };
    if let Err(errno) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!("cannot raise the limit on open files (ulimit -n): {errno}; going on");
    }
}

/// Names the capability that is missing, before some call fails with EPERM.
fn require_privileges() -> Result<(), Error> {
    use rustix::thread::{CapabilitySet, capabilities};
    let Ok(sets) = capabilities(None) else { return Ok(()) };
    let has = |set| sets.effective.contains(set);
    let missing: Vec<&str> = [
        ("CAP_NET_ADMIN", has(CapabilitySet::NET_ADMIN)),
        ("CAP_NET_RAW", has(CapabilitySet::NET_RAW)),
        ("CAP_BPF", has(CapabilitySet::BPF) || has(CapabilitySet::SYS_ADMIN)),
    ]
    .into_iter()
    .filter_map(|(name, held)| (!held).then_some(name))
    .collect();
    if missing.is_empty() { Ok(()) } else { Err(Error::Privilege(missing.join(", "))) }
}

async fn serve(config: &Config) -> Result<(), Error> {
    let mut signals = Signals::new()?;
    let root = Arc::new(Root::open(&config.root)?);
    // Followed first, looked at then: nothing is missed in between.
    let mut watch = Watch::open(inspect(&config.dev).await?.ifindex).await?;
    let device = inspect(&config.dev).await?;
    let queues = check(config, &device)?;
    let cores = cores(config, queues.len())?;
    let program = load(config, &device)?;
    let attachment = attach(config, &device, &program, &queues)?;

    let copy = match (config.copy, attachment.mode()) {
        // Zero copy needs the driver's own XDP.
        (CopyMode::Auto, xdp::Mode::Generic) => CopyMode::Copy,
        (copy, _) => copy,
    };
    let sockets = open_sockets(&device, &queues, copy)?;
    for socket in &sockets {
        program.xsks().set(socket.queue(), socket.as_fd())?;
    }
    let ready = report::Ready::new(config, &device, &attachment, &sockets);
    let (ended, mut ends) = mpsc::unbounded_channel();
    let mut fleet = Fleet::default();
    for (socket, core) in sockets.into_iter().zip(cores) {
        fleet.start(config, &device, &root, socket, core, ended.clone())?;
    }
    drop(ended);

    let mut served =
        Served { config, program: &program, device, ready: Some(ready), attached: true };
    served.follow(&mut watch, &mut signals, &mut ends, &fleet).await?;
    fleet.drain(&mut ends, &mut signals).await?;
    if served.attached {
        attachment.detach()?;
    }
    Ok(())
}

/// What must hold of the device, and the queues to serve.
fn check(config: &Config, device: &Device) -> Result<Vec<u32>, Error> {
    let dev = || device.name.clone();
    if !device.up {
        return Err(Error::Down(dev()));
    }
    if device.addresses.is_empty() && !config.any_address {
        return Err(Error::NoAddress(dev()));
    }
    let most = xsk::Config::new(dev(), 0).receivable_bytes() - ETHERNET_HEADER_BYTES;
    if device.mtu > most {
        return Err(Error::Mtu { dev: dev(), mtu: device.mtu, most });
    }
    match config.queue {
        Some(queue) if queue >= device.rx_queues => {
            Err(Error::Queue { dev: dev(), queue, queues: device.rx_queues })
        }
        Some(queue) => Ok(vec![queue]),
        None => Ok((0..device.rx_queues).collect()),
    }
}

/// Loads the program and tells it what is ours.
fn load(config: &Config, device: &Device) -> Result<Program, Error> {
    let source = match &config.object {
        Some((path, progname)) => Source::File { path, progname: progname.as_deref() },
        None => Source::Embedded,
    };
    let program = Program::load(source, device.rx_queues)?;
    if let Some(ports) = program.ports() {
        ports.insert(config.port)?;
    }
    if config.any_address {
        program.set_any_address(true)?;
    } else if let Some(addresses) = program.addresses() {
        for &address in &device.addresses {
            addresses.insert(address)?;
        }
    }
    Ok(program)
}

/// Attaches the program. Somebody else's makes way only if that is wanted, and
/// only when its queues can be had: what it serves is not stopped for nothing.
fn attach(
    config: &Config,
    device: &Device,
    program: &Program,
    queues: &[u32],
) -> Result<Attachment, Error> {
    let attach = |force| program.attach(device.ifindex, &device.name, config.mode, force);
    match attach(false) {
        Err(xdp::Error::Occupied { .. }) if config.force => {
            drop(open_sockets(device, queues, CopyMode::Copy)?);
            Ok(attach(true)?)
        }
        attached => Ok(attached?),
    }
}

fn open_sockets(device: &Device, queues: &[u32], copy: CopyMode) -> Result<Vec<Xsk>, Error> {
    let open = |&queue: &u32| {
        let wanted = xsk::Config { copy, ..xsk::Config::new(device.name.clone(), queue) };
        Ok(Xsk::open(&wanted)?)
    };
    queues.iter().map(open).collect()
}

/// One processor for each worker: those asked for, or the allowed ones in order.
fn cores(config: &Config, workers: usize) -> Result<Vec<usize>, Error> {
    let allowed = sched_getaffinity(None)
        .map_err(|errno| system("asking for the processors")(errno.into()))?;
    let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).collect();
    if let Some(&core) = config.cores.iter().find(|core| !allowed.contains(core)) {
        return Err(Error::Core { core, allowed: ranges(&allowed) });
    }
    let usable = if config.cores.is_empty() { allowed } else { config.cores.clone() };
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

fn secret() -> Result<[u8; 32], Error> {
    let mut secret = [0; 32];
    let filled = getrandom(&mut secret, GetRandomFlags::empty());
    match filled {
        Ok(32) => Ok(secret),
        Ok(_) => Err(system("drawing a secret")(std::io::ErrorKind::UnexpectedEof.into())),
        Err(errno) => Err(system("drawing a secret")(errno.into())),
    }
}

/// A worker's end: its queue and what came of it.
type End = (u32, Result<(), worker::Error>);

/// The running workers.
#[derive(Default)]
struct Fleet {
    workers: Vec<(u32, Remote, std::thread::JoinHandle<()>)>,
}

impl Fleet {
    fn start(
        &mut self,
        config: &Config,
        device: &Device,
        root: &Arc<Root>,
        socket: Xsk,
        core: usize,
        ended: mpsc::UnboundedSender<End>,
    ) -> Result<(), Error> {
        let queue = socket.queue();
        let waker = Waker::new().map_err(|errno| system("making an eventfd")(errno.into()))?;
        let stack_config = StackConfig {
            policy: Policy {
                port: config.port,
                addresses: served_addresses(config, &device.addresses.iter().copied().collect()),
                rx_checksum: config.rx_checksum,
            },
            mtu_bytes: device.mtu as usize,
            max_connections: (config.max_connections / device.rx_queues as usize).max(1),
            secret: secret()?,
        };
        let runtime = tokio::runtime::Handle::current();
        let (root, spin) = (root.clone(), config.spin);
        let (built, remote) = std::sync::mpsc::sync_channel(1);
        let body = move || {
            let mut only = CpuSet::new();
            only.set(core);
            if let Err(errno) = sched_setaffinity(None, &only) {
                tracing::warn!("queue {queue}: not pinned to processor {core}: {errno}");
            }
            let wake = waker.clone();
            let loader = PoolLoader::new(runtime, root, config::FILE_JOBS, move || wake.wake());
            let service = HttpService::new(Site::new(loader, Limits::default()), SystemTime::now());
            let stack = Stack::new(&stack_config, service);
            let (worker, remote) = Worker::new(socket, stack, waker, spin);
            let _ = built.send(remote);
            let _ = ended.send((queue, worker.run()));
        };
        let thread = std::thread::Builder::new()
            .name(format!("xdphttpd-q{queue}"))
            .spawn(body)
            .map_err(system("starting a worker"))?;
        let remote = remote.recv().map_err(|_| Error::Panicked(queue))?;
        self.workers.push((queue, remote, thread));
        Ok(())
    }

    fn tell_all(&self, message: impl Fn() -> Control) {
        for (_, remote, _) in &self.workers {
            remote.tell(message());
        }
    }

    fn snapshots(&self) -> Vec<Snapshot> {
        let read = |remote: &Remote| remote.snapshot.lock().map(|s| *s).unwrap_or_default();
        self.workers.iter().map(|(_, remote, _)| read(remote)).collect()
    }

    /// The queue of a worker that ended without saying so.
    fn panicked(&self) -> Error {
        let gone = self.workers.iter().find(|(_, _, thread)| thread.is_finished());
        Error::Panicked(gone.map_or(0, |&(queue, _, _)| queue))
    }

    /// Lets the workers finish what is in flight; a second signal cuts it short.
    async fn drain(
        self,
        ends: &mut mpsc::UnboundedReceiver<End>,
        signals: &mut Signals,
    ) -> Result<(), Error> {
        self.tell_all(|| Control::Drain(config::DRAIN_LIMIT));
        loop {
            tokio::select! {
                end = ends.recv() => match end {
                    Some((_, result)) => result?,
                    None => break,
                },
                () = signals.next() => {
                    tracing::warn!("told twice to end: not waiting for responses in flight");
                    self.tell_all(|| Control::Drain(std::time::Duration::ZERO));
                }
            }
        }
        for (queue, _, thread) in self.workers {
            thread.join().map_err(|_| Error::Panicked(queue))?;
        }
        Ok(())
    }
}

/// What the policy of a stack says: `None` is any address.
fn served_addresses(config: &Config, addresses: &BTreeSet<Ipv4Addr>) -> Option<Vec<Ipv4Addr>> {
    (!config.any_address).then(|| addresses.iter().copied().collect())
}

/// The device while it is served.
struct Served<'a> {
    config: &'a Config,
    program: &'a Program,
    device: Device,
    /// What is to be printed as soon as frames can flow.
    ready: Option<report::Ready>,
    /// Whether there is still something to detach from.
    attached: bool,
}

impl Served<'_> {
    /// Follows the device until a signal, a failure, or its deletion.
    async fn follow(
        &mut self,
        watch: &mut Watch,
        signals: &mut Signals,
        ends: &mut mpsc::UnboundedReceiver<End>,
        fleet: &Fleet,
    ) -> Result<(), Error> {
        let mut addresses: BTreeSet<Ipv4Addr> = self.device.addresses.iter().copied().collect();
        let mut reporter = Reporter::new(self.config.stats);
        if self.device.running {
            self.say_ready();
        } else {
            tracing::info!("{} has no carrier yet; waiting for it", self.device.name);
        }
        loop {
            tokio::select! {
                () = signals.next() => return Ok(()),
                end = ends.recv() => {
                    let Some((_, result)) = end else { return Err(fleet.panicked()) };
                    return Ok(result?);
                }
                () = reporter.due() => {
                    reporter.print(fleet.snapshots(), self.verdicts());
                }
                event = watch.next() => {
                    let before = addresses.clone();
                    match event {
                        Some(Event::AddressAdded(address)) => { addresses.insert(address); }
                        Some(Event::AddressRemoved(address)) => { addresses.remove(&address); }
                        Some(Event::Link { up, running }) => self.note_link(up, running),
                        Some(Event::Resync) => {
                            let device = inspect(&self.device.name).await?;
                            self.note_link(device.up, device.running);
                            addresses = device.addresses.into_iter().collect();
                        }
                        Some(Event::Gone) | None => {
                            self.attached = false;
                            return Err(Error::Gone(self.device.name.clone()));
                        }
                    }
                    self.readdress(&before, &addresses, fleet)?;
                }
            }
        }
    }

    /// What the program counted; that it can't be had just now is no reason to end.
    fn verdicts(&self) -> Option<Verdicts> {
        self.program.verdicts().unwrap_or_else(|error| {
            tracing::warn!("{error}");
            None
        })
    }

    fn note_link(&mut self, up: bool, running: bool) {
        if running == self.device.running {
            return;
        }
        self.device.running = running;
        if running && self.say_ready() {
            return;
        }
        let state = if running { "up again" } else if up { "without carrier" } else { "down" };
        tracing::info!("{} is {state}", self.device.name);
    }

    /// Says once that the server is ready; whether this was the time.
    fn say_ready(&mut self) -> bool {
        let ready = self.ready.take();
        ready.map(|ready| ready.print(self.config.quiet)).is_some()
    }

    /// Makes the program and the workers serve `now` instead of `before`.
    fn readdress(
        &self,
        before: &BTreeSet<Ipv4Addr>,
        now: &BTreeSet<Ipv4Addr>,
        fleet: &Fleet,
    ) -> Result<(), Error> {
        if before == now || self.config.any_address {
            return Ok(());
        }
        if let Some(map) = self.program.addresses() {
            for &address in before.difference(now) {
                map.remove(address)?;
            }
            for &address in now.difference(before) {
                map.insert(address)?;
            }
        }
        let dev = &self.device.name;
        if now.is_empty() {
            tracing::warn!("{dev} has no IPv4 address any more; serving again when it has one");
        } else {
            let list: Vec<String> = now.iter().map(Ipv4Addr::to_string).collect();
            tracing::info!("{dev} now has the addresses served: {}", list.join(", "));
        }
        fleet.tell_all(|| Control::Addresses(served_addresses(self.config, now)));
        Ok(())
    }
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Signals, Error> {
        let listen = |kind| signal(kind).map_err(system("listening for signals"));
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
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

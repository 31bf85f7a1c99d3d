//! The life of the server: look at the device, load and attach the program,
//! open the sockets, start the workers, follow the device, drain, detach.
//!
//! Attached before the sockets exist, the program finds empty slots and passes
//! everything to the kernel; filling a slot is what starts the service, and a
//! socket that closes empties its slot by itself. Dropping the attachment (or
//! dying, in whatever way) gives the device back.

use crate::access_log::{self, Log};
use crate::busy_poll;
use crate::config::packets::{self, check_memory};
use crate::config::{self, Config};
use crate::fleet::{self, Fleet, Serves};
use crate::http::Hosts;
use crate::http::rate::Limiter;
use crate::net::demux::ETHERNET_HEADER_BYTES;
use crate::net::{Policy, StackConfig};
use crate::numa::Place;
use crate::offload;
use crate::report::{self, Ready, Reporter};
use crate::services::Services;
use crate::site::{Patience, Root, Roots, Store};
use crate::upload::Inbox;
use crate::worker::Waiting;
use crate::xdp::device::inspect;
use crate::xdp::{self, Attachment, Device, Event, Program, Source, Verdicts, Watch};
use crate::xsk::{self, CopyMode, Xsk};
use rustix::fd::AsFd;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Descriptors of a TX ring that nothing is sent by: a frame of any size fits, as the
/// settings of a socket want it, and little memory is set aside.
const UNUSED_TX_RING: u32 = 32;

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
    /// `-Q` names a queue that could only receive.
    #[error(
        "-Q {queue}: {dev} has {}, so nothing could be sent there; leave -Q away",
        tx_queue_range(*.queues)
    )]
    TxQueue {
        /// The device.
        dev: String,
        /// The queue asked for.
        queue: u32,
        /// How many of the device can send.
        queues: u32,
    },
    /// Frames of the device's MTU take several chunks, which the program or the device
    /// does not allow, or are larger than IPv4 packets can be.
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
    /// Packets would take too much memory.
    #[error(transparent)]
    Packets(#[from] packets::Error),
    /// The root cannot be served.
    #[error(transparent)]
    Root(#[from] crate::site::RootError),
    /// The access log cannot be written.
    #[error(transparent)]
    Log(#[from] access_log::OpenError),
    /// The workers did not start, or one failed.
    #[error(transparent)]
    Fleet(#[from] fleet::Error),
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

fn tx_queue_range(queues: u32) -> String {
    match queues {
        0 | 1 => "TX queue 0 only".to_owned(),
        queues => format!("TX queues 0 to {} only", queues - 1),
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
    let passwords = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(config::PASSWORD_THREADS)
        .thread_name("xdphttpd-passwords")
        .build()
        .map_err(system("starting the password threads"))?;
    let result = runtime.block_on(serve(config, passwords.handle()));
    // A file system that hangs must not keep the process from ending, nor a guess.
    runtime.shutdown_background();
    passwords.shutdown_background();
    result
}

/// Lifts the limit on open files as far as it goes: each download of a file too
/// large for memory holds a descriptor, and the usual limit is 1,024.
fn raise_open_files() {
    let now = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: now.maximum,
        maximum: now.maximum,
    };
    if let Err(errno) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!("cannot raise the limit on open files (ulimit -n): {errno}; going on");
    }
}

/// Names the capability that is missing, before some call fails with EPERM.
fn require_privileges() -> Result<(), Error> {
    use rustix::thread::{CapabilitySet, capabilities};
    let Ok(sets) = capabilities(None) else {
        return Ok(());
    };
    let has = |set| sets.effective.contains(set);
    // CAP_SYS_ADMIN stood for both before they were split off it.
    let admin = has(CapabilitySet::SYS_ADMIN);
    let missing: Vec<&str> = [
        ("CAP_NET_ADMIN", has(CapabilitySet::NET_ADMIN)),
        ("CAP_NET_RAW", has(CapabilitySet::NET_RAW)),
        ("CAP_BPF", admin || has(CapabilitySet::BPF)),
        ("CAP_PERFMON", admin || has(CapabilitySet::PERFMON)),
    ]
    .into_iter()
    .filter_map(|(name, held)| (!held).then_some(name))
    .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Error::Privilege(missing.join(", ")))
    }
}

async fn serve(config: &Config, passwords: &Handle) -> Result<(), Error> {
    let mut signals = Signals::new(config.access_log.is_some())?;
    let roots = Arc::new(roots(&config.hosts)?);
    let hosts = Arc::new(hosts(&config.hosts));
    let open = |(target, format)| Log::open(target, format);
    let log = config.access_log.clone().map(open).transpose()?;
    // Followed first, looked at then: nothing is missed in between.
    let mut watch = Watch::open(inspect(&config.dev).await?.ifindex).await?;
    let device = inspect(&config.dev).await?;
    let queues = check(config, &device)?;
    check_memory(&socket(config, &device, 0), queues.len())?;
    let place = Place::of(Path::new("/sys"), &device.name);
    // A worker sends on its first queue.
    let most_workers = queues.len().min(device.tx_queues as usize);
    let cores = fleet::cores(&place.cores(&config.cores), most_workers)?;
    let program = load(config, &device)?;
    let attachment = attach(config, &device, &program, &queues)?;

    check_mtu(config, &device, &attachment)?;
    let copy = match (config.copy, attachment.mode()) {
        // Zero copy needs the driver's own XDP.
        (CopyMode::Auto, xdp::Mode::Generic) => CopyMode::Copy,
        (copy, _) => copy,
    };
    let sockets = offload::open(config.tx_checksum, &device, |tx_checksum| {
        open_sockets(&queues, cores.len(), |queue| xsk::Config {
            copy,
            node: place.node,
            tx_checksum,
            ..socket(config, &device, queue)
        })
    })?;
    let busy_poll = config.busy_poll;
    let busy_poll = busy_poll.filter(|&time| busy_poll::prefer(&device, &sockets, time));
    for socket in &sockets {
        program.xsks().set(socket.queue(), socket.as_fd())?;
    }
    let ready = Ready::new(config, &device, &attachment, &sockets, cores.len());
    let stack = StackConfig {
        policy: Policy {
            port: config.port,
            addresses: (!config.any_address).then(|| device.addresses.clone()),
            rx_checksum: config.rx_checksum,
        },
        mtu_bytes: device.mtu as usize,
        congestion: config.congestion,
        limits: config.limits.share(cores.len()),
    };
    let all = config.hosts.iter().flat_map(|host| &host.services);
    let inbox =
        |max_bytes| Inbox::new(roots.clone(), hosts.clone(), max_bytes, config.file_timeout);
    let services = Services::new(all, config.proxy_timeout, inbox);
    let (at_once, lost) = config::files_at_once(cores.len());
    let mut fleet = Fleet::new(
        cores.len(),
        stack,
        Serves {
            passwords: passwords.clone(),
            roots,
            store: Arc::new(Store::new(config.cache)),
            hosts,
            requests: config.requests,
            services,
            exchanges: (config.exchanges / cores.len()).max(1),
            patience: Patience {
                at_once,
                lost,
                limit: config.file_timeout,
            },
        },
        config.body_bytes / cores.len(),
        log,
        Waiting {
            spin: config.spin.max(busy_poll.unwrap_or_default()),
            busy_poll: busy_poll.is_some(),
        },
    )?;
    let share = |rate: u64| (rate / cores.len() as u64).max(1);
    let limiter = Limiter::new(config.rate, config.rate_total.map(share));
    fleet.limit(limiter);
    let hands = fleet::deal(sockets, cores.len());
    for (sockets, core) in hands.into_iter().zip(cores) {
        fleet.start(sockets, core)?;
    }

    let mut served = Served::new(config, &program, device, ready);
    served.follow(&mut watch, &mut signals, &mut fleet).await?;
    fleet.drain(signals.end()).await?;
    attachment.detach()?;
    Ok(())
}

/// The directories of all hosts, open.
fn roots(hosts: &[config::Host]) -> Result<Roots, Error> {
    let open = |host: &config::Host| Ok(Root::open(&host.root)?.with(host.files.clone()));
    let roots = hosts
        .iter()
        .map(open)
        .collect::<Result<Vec<Root>, Error>>()?;
    let mut roots = Roots::new(roots);
    if let Err(error) = roots.watch() {
        tracing::info!(
            "directories are not watched (inotify): {error}; files are looked at instead"
        );
    }
    Ok(roots)
}

/// The same hosts by name.
fn hosts(hosts: &[config::Host]) -> Hosts {
    let mut count = 0;
    let mut hosts = hosts.iter().map(|host| {
        let mut http = host.http.clone();
        for service in &host.services {
            // The configuration has no paths that are none.
            let _ = http.services.insert(&service.path, service.numbered(count));
            count += 1;
        }
        (host, http)
    });
    let default = hosts.next().map(|(_, http)| http);
    let mut by_name = Hosts::new(default.unwrap_or_default());
    hosts.for_each(|(host, http)| by_name.add(&host.names, http));
    by_name
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
    match config.queue {
        Some(queue) if queue >= device.rx_queues => Err(Error::Queue {
            dev: dev(),
            queue,
            queues: device.rx_queues,
        }),
        Some(queue) if queue >= device.tx_queues => Err(Error::TxQueue {
            dev: dev(),
            queue,
            queues: device.tx_queues,
        }),
        Some(queue) => Ok(vec![queue]),
        None => Ok((0..device.rx_queues).collect()),
    }
}

/// Whether packets of the device's MTU can be received and sent.
fn check_mtu(config: &Config, device: &Device, attachment: &Attachment) -> Result<(), Error> {
    let most = match attachment.has_frags() {
        true => xsk::MAX_FRAME,
        // An XDP program that sees one buffer only has frames of one chunk.
        false => config.packets.socket(&device.name, 0).receivable_bytes(),
    } - ETHERNET_HEADER_BYTES as u32;
    match device.mtu > most {
        true => Err(Error::Mtu {
            dev: device.name.clone(),
            mtu: device.mtu,
            most,
        }),
        false => Ok(()),
    }
}

/// Loads the program and tells it what is ours.
fn load(config: &Config, device: &Device) -> Result<Program, Error> {
    let source = match &config.object {
        Some((path, progname)) => Source::File {
            path,
            progname: progname.as_deref(),
        },
        None => Source::Embedded,
    };
    let program = Program::load(source, device.rx_queues)?;
    if let Some(ports) = program.ports() {
        ports.insert(config.port)?;
    }
    if config.any_address {
        match program.set_any_address(true) {
            // A program of the user's own may have its own idea of addresses.
            Err(xdp::Error::NoSuchMap { .. }) if config.object.is_some() => {}
            done => done?,
        }
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
            // On ordinary pages: huge ones are not free again at once.
            drop(open_sockets(queues, queues.len(), |queue| xsk::Config {
                copy: CopyMode::Copy,
                hugepages: false,
                ..socket(config, device, queue)
            })?);
            Ok(attach(true)?)
        }
        attached => Ok(attached?),
    }
}

/// A socket on each of `queues`, of which the workers send on the first `senders`.
fn open_sockets(
    queues: &[u32],
    senders: usize,
    socket: impl Fn(u32) -> xsk::Config,
) -> Result<Vec<Xsk>, xsk::Error> {
    let open = |(at, &queue): (usize, &u32)| {
        let mut wanted = socket(queue);
        if at >= senders {
            wanted.tx_ring = UNUSED_TX_RING;
        }
        Xsk::open(&wanted)
    };
    queues.iter().enumerate().map(open).collect()
}

/// The settings of a socket as far as they don't depend on how the program is attached.
fn socket(config: &Config, device: &Device, queue: u32) -> xsk::Config {
    xsk::Config {
        largest_bytes: device.mtu + ETHERNET_HEADER_BYTES as u32,
        ..config.packets.socket(&device.name, queue)
    }
}

/// The device while it is served, as far as it changes.
struct Served<'a> {
    config: &'a Config,
    program: &'a Program,
    /// What is said once, when a request would first succeed.
    ready: Option<Ready>,
    name: String,
    running: bool,
    addresses: BTreeSet<Ipv4Addr>,
}

impl<'a> Served<'a> {
    fn new(config: &'a Config, program: &'a Program, device: Device, ready: Ready) -> Served<'a> {
        Served {
            config,
            program,
            ready: Some(ready),
            name: device.name,
            running: device.running,
            addresses: device.addresses.into_iter().collect(),
        }
    }

    /// Follows the device until a signal, a failure, or its deletion.
    async fn follow(
        &mut self,
        watch: &mut Watch,
        signals: &mut Signals,
        fleet: &mut Fleet,
    ) -> Result<(), Error> {
        let mut reporter = Reporter::new(self.config.stats);
        if self.running {
            self.say_ready();
        } else {
            tracing::warn!("{} has no carrier yet: waiting for it", self.name);
        }
        loop {
            tokio::select! {
                // In this order: a deleted device makes workers fail too.
                biased;
                told = signals.next() => match told {
                    Told::End => return Ok(()),
                    Told::Reopen => fleet.reopen_log(),
                    Told::Show => report::print_connections(&fleet.listings().await),
                },
                event = watch.next() => self.note(event, fleet).await?,
                failure = fleet.failed() => return Err(self.blame(failure).await),
                () = reporter.due() => {
                    reporter.print(fleet.snapshots(), self.verdicts(), fleet.lost_lines());
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

    /// A worker failed: because the device is gone, if it is.
    async fn blame(&self, failure: fleet::Error) -> Error {
        match inspect(&self.name).await {
            Err(_) => Error::Gone(self.name.clone()),
            Ok(_) => failure.into(),
        }
    }

    /// Takes note of what happened to the device.
    async fn note(&mut self, event: Option<Event>, fleet: &Fleet) -> Result<(), Error> {
        let mut addresses = self.addresses.clone();
        match event {
            Some(Event::AddressAdded(address)) => {
                addresses.insert(address);
            }
            Some(Event::AddressRemoved(address)) => {
                addresses.remove(&address);
            }
            Some(Event::Link { up, running }) => self.note_link(up, running),
            Some(Event::Resync) => {
                let device = inspect(&self.name).await?;
                self.note_link(device.up, device.running);
                addresses = device.addresses.into_iter().collect();
            }
            Some(Event::Gone) | None => return Err(Error::Gone(self.name.clone())),
        }
        self.readdress(addresses, fleet)
    }

    fn note_link(&mut self, up: bool, running: bool) {
        if running == self.running {
            return;
        }
        self.running = running;
        if !(running && self.say_ready()) {
            let state = match (running, up) {
                (true, _) => "up again",
                (false, true) => "without carrier",
                (false, false) => "down",
            };
            tracing::warn!("{} is {state}", self.name);
        }
    }

    /// Says that the server is ready, if that has not been said; whether it was.
    fn say_ready(&mut self) -> bool {
        let ready = self.ready.take();
        ready.map(|ready| ready.print(self.config.quiet)).is_some()
    }

    /// Makes the program and the workers serve these addresses.
    fn readdress(&mut self, now: BTreeSet<Ipv4Addr>, fleet: &Fleet) -> Result<(), Error> {
        let before = std::mem::replace(&mut self.addresses, now);
        let now = &self.addresses;
        if before == *now || self.config.any_address {
            return Ok(());
        }
        if let Some(map) = self.program.addresses() {
            for &address in before.difference(now) {
                map.remove(address)?;
            }
            for &address in now.difference(&before) {
                map.insert(address)?;
            }
        }
        let dev = &self.name;
        if now.is_empty() {
            tracing::warn!("{dev} has no IPv4 address any more; serving again when it has one");
        } else {
            let list: Vec<String> = now.iter().map(Ipv4Addr::to_string).collect();
            tracing::info!("{dev} now has the addresses served: {}", list.join(", "));
        }
        fleet.readdress(now.iter().copied().collect());
        Ok(())
    }
}

/// What a signal asks for.
enum Told {
    /// SIGINT, SIGTERM: the end.
    End,
    /// SIGUSR1: the connections.
    Show,
    /// SIGHUP: the access log was moved away.
    Reopen,
}

/// The signals that are listened to.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    show: Signal,
    /// Without an access log SIGHUP stays what it is: the end of a terminal's programs.
    reopen: Option<Signal>,
}

impl Signals {
    fn new(has_log: bool) -> Result<Signals, Error> {
        let listen = |kind| signal(kind).map_err(system("listening for signals"));
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            show: listen(SignalKind::user_defined1())?,
            reopen: has_log.then(|| listen(SignalKind::hangup())).transpose()?,
        })
    }

    async fn next(&mut self) -> Told {
        let reopen = async {
            match &mut self.reopen {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Told::End,
            _ = self.terminate.recv() => Told::End,
            _ = self.show.recv() => Told::Show,
            _ = reopen => Told::Reopen,
        }
    }

    /// Resolves when the server is to end.
    async fn end(&mut self) {
        while !matches!(self.next().await, Told::End) {}
    }
}

//! The life of the server: look at the device, load and attach the program,
//! open the sockets, start the workers, follow the device, drain, detach.
//!
//! Attached before the sockets exist, the program finds empty slots and passes
//! everything to the kernel; filling a slot is what starts the service, and a
//! socket that closes empties its slot by itself. Dropping the attachment (or
//! dying, in whatever way) gives the device back.

mod contents;
mod device;
mod error;
mod process;
mod served;
mod signals;

use crate::access_log::Log;
use crate::busy_poll;
use crate::config::packets::check_memory;
use crate::config::{self, Config};
use crate::fleet::{self, Fleet, Serves};
use crate::http::rate::Limiter;
use crate::net::{Policy, StackConfig};
use crate::numa::Place;
use crate::report::Ready;
use crate::worker::Waiting;
use crate::xdp::device::inspect;
use crate::xdp::{Device, Watch};
use crate::xsk;
pub use error::Error;
use error::system;
use rustix::fd::AsFd;
use served::Served;
use signals::Signals;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Runs the server until it is told to end by SIGINT or SIGTERM.
///
/// # Errors
/// What kept it from starting or made it end otherwise. Nothing stays attached.
pub fn run(config: &Config) -> Result<(), Error> {
    process::require_privileges()?;
    if let Err(error) = xsk::raise_memlock() {
        tracing::warn!("{error}; going on");
    }
    process::raise_open_files();
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

async fn serve(config: &Config, passwords: &Handle) -> Result<(), Error> {
    let mut signals = Signals::new(config.access_log.is_some())?;
    let roots = Arc::new(contents::roots(&config.hosts)?);
    let hosts = Arc::new(contents::hosts(&config.hosts));
    let open = |(target, format)| Log::open(target, format);
    let log = config.access_log.clone().map(open).transpose()?;
    // Followed first, looked at then: nothing is missed in between.
    let mut watch = Watch::open(inspect(&config.dev).await?.ifindex).await?;
    let device = inspect(&config.dev).await?;
    let queues = device::check(config, &device)?;
    check_memory(&device::socket(config, &device, 0), queues.len())?;
    let place = Place::of(Path::new("/sys"), &device.name);
    // A worker sends on its first queue.
    let most_workers = queues.len().min(device.tx_queues as usize);
    let cores = fleet::cores(&place.cores(&config.cores), most_workers)?;
    let workers = cores.len();
    let program = device::load(config, &device)?;
    let attachment = device::attach(config, &device, &program, &queues)?;

    device::check_mtu(config, &device, &attachment)?;
    let sockets = device::sockets(config, &device, &attachment, &queues, workers, place.node)?;
    let busy_poll = config.busy_poll;
    let busy_poll = busy_poll.filter(|&time| busy_poll::prefer(&device, &sockets, time));
    for socket in &sockets {
        program.xsks().set(socket.queue(), socket.as_fd())?;
    }
    let ready = Ready::new(config, &device, &attachment, &sockets, workers);
    let serves = contents::serves(config, roots, hosts, workers, passwords);
    let mut fleet = fleet(config, &device, serves, workers, log, busy_poll)?;
    let hands = fleet::deal(sockets, workers);
    for (sockets, core) in hands.into_iter().zip(cores) {
        fleet.start(sockets, core)?;
    }

    let mut served = Served::new(config, &program, device, ready);
    served.follow(&mut watch, &mut signals, &mut fleet).await?;
    fleet.drain(signals.end()).await?;
    attachment.detach()?;
    Ok(())
}

/// So many workers that have yet to start, each with its share of what is limited.
fn fleet(
    config: &Config,
    device: &Device,
    serves: Serves,
    workers: usize,
    log: Option<Log>,
    busy_poll: Option<Duration>,
) -> Result<Fleet, Error> {
    let stack = StackConfig {
        policy: Policy {
            port: config.port,
            addresses: (!config.any_address).then(|| device.addresses.clone()),
            rx_checksum: config.rx_checksum,
        },
        mtu_bytes: device.mtu as usize,
        congestion: config.congestion,
        limits: config.limits.share(workers),
    };
    let waiting = Waiting {
        spin: config.spin.max(busy_poll.unwrap_or_default()),
        busy_poll: busy_poll.is_some(),
    };
    let body_bytes = config.body_bytes / workers;
    let mut fleet = Fleet::new(workers, stack, serves, body_bytes, log, waiting)?;
    let share = |rate: u64| (rate / workers as u64).max(1);
    fleet.limit(Limiter::new(config.rate, config.rate_total.map(share)));
    Ok(fleet)
}

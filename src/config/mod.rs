//! Validated settings: what the rest of the program is given, with every limit
//! named and explained. What the site's flags and the file have in common is put together in [`host`].

use crate::access_log;
use crate::cli::{self, Cli};
use crate::http;
use crate::net::{self, Algorithm, Limits, RxChecksum, pool};
use crate::site;
pub use host::Host;
pub use packets::Packets;

use bytesize::ByteSize;
use rustix::system::sysinfo;
use std::path::PathBuf;
use std::time::Duration;

mod cache;
pub mod error;
mod file;
pub mod host;
pub mod packets;
mod policy;
mod requests;
pub mod services;

/// How long responses in flight may take to finish after SIGTERM.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// Threads that open, stat and read files at most, for all workers and mounts together.
pub const FILE_THREADS: usize = 512;
/// Of these, for one worker and one mount: a slow disk keeps that many busy. Fewer if there
/// are many workers, see [`files_at_once`].
pub const FILES_AT_ONCE: usize = 8;
/// Those of one mount, for all workers together and one for each at least, that did not come
/// back in time and are replaced by others: a mount that hangs costs so many threads more, and
/// what is on it by another name than its own, by a symbolic link, has others still.
pub const FILES_LOST: usize = 24;
/// Threads that compare passwords with their hashes, which is nothing but computing:
/// so many processors at most can be kept busy by guesses.
pub const PASSWORD_THREADS: usize = 2;
/// Names of one mount that a worker may have in line to be looked up; above it requests get 503.
pub const FILE_JOBS: usize = 4_096;
/// Received frames taken in one go, before timers and file reads have a look.
pub const RX_BATCH: usize = 64;
/// Connections that `--max-connections` may ask for, and of anything else that is
/// counted: what slab indices and the timer wheel are made for.
pub const MAX_CONNECTIONS: usize = 1 << 24;
/// The longest time that a limit can be: an hour is long for any of them.
const MAX_TIMEOUT_S: f64 = 3_600.0;
/// The least that a rate can be limited to: a segment a second or two.
const LEAST_RATE: ByteSize = ByteSize(1_000);
/// The part of `--memory` that is for bodies read from files while they are sent;
/// the rest is for connections.
const BODY_SHARE: usize = 4;

/// Of `workers` each: file threads for one mount, and how many that did not come back in
/// time are replaced. A mount that hangs leaves others half of all threads with up to 85
/// workers.
pub fn files_at_once(workers: usize) -> (usize, usize) {
    let at_once = (FILE_THREADS / 4 / workers).clamp(2, FILES_AT_ONCE);
    (at_once, (FILES_LOST / workers).max(1))
}

/// A setting that cannot be.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum Error {
    /// Port 0 is no port.
    #[error("--port 0: a port is 1 to 65535")]
    Port,
    /// No time between two reports.
    #[error("--stats {0}: a number of seconds of 0.1 or more is needed")]
    Stats(f64),
    /// Out of range.
    #[error("--{flag} {number}: 1 to {MAX_CONNECTIONS} can be held")]
    Number {
        /// The flag.
        flag: &'static str,
        /// Its value.
        number: usize,
    },
    /// No such time.
    #[error("--{flag} {seconds}: a number of seconds from 0.001 to {MAX_TIMEOUT_S} is needed")]
    Timeout {
        /// The flag.
        flag: &'static str,
        /// Its value.
        seconds: f64,
    },
    /// So slow that nothing would ever be done.
    #[error("--{flag} {rate}: {LEAST_RATE} a second are needed at least")]
    Rate {
        /// The flag.
        flag: &'static str,
        /// Its value.
        rate: ByteSize,
    },
    /// No such prefix.
    #[error("--source-prefix {0}: an IPv4 address has 0 to 32 leading bits")]
    Prefix(u8),
    /// Too little memory.
    #[error(
        "--memory {memory}: {connections} connections need {least} at least; \
         raise --memory or lower --max-connections"
    )]
    Memory {
        /// What was given.
        memory: ByteSize,
        /// What it must suffice for.
        connections: usize,
        /// What does.
        least: ByteSize,
    },
    /// More memory than there is.
    #[error("--memory {memory}: this machine has {machine}")]
    Machine {
        /// What was given.
        memory: ByteSize,
        /// What there is.
        machine: ByteSize,
    },
    /// The memory of packets cannot be so.
    #[error(transparent)]
    Packets(#[from] packets::Error),
    /// The configuration file is none.
    #[error(transparent)]
    File(#[from] file::ReadError),
    /// A setting that the file may have too cannot be.
    #[error(transparent)]
    Setting(#[from] error::Error),
}

/// Who finishes TCP checksums of what is sent.
pub use crate::cli::TxChecksum;
/// Which XDP mode is wanted.
pub use crate::xdp::ModeWanted;
/// How frames may cross between kernel and UMEM.
pub use crate::xsk::CopyMode;

/// Everything that was decided before the first system call.
#[derive(Debug, Clone)]
pub struct Config {
    /// The device's name.
    pub dev: String,
    /// What is served: the default host, and those that have names.
    pub hosts: Vec<Host>,
    /// What requests may take.
    pub requests: http::Limits,
    /// What is kept of files, over all workers, and for how long.
    pub cache: site::Limits,
    /// The TCP port served.
    pub port: u16,
    /// Whether any destination address is served.
    pub any_address: bool,
    /// XDP mode.
    pub mode: ModeWanted,
    /// Whether a foreign XDP program may be replaced.
    pub force: bool,
    /// AF_XDP mode.
    pub copy: CopyMode,
    /// Memory and rings of each queue.
    pub packets: Packets,
    /// The only RX queue to serve, or all.
    pub queue: Option<u32>,
    /// How long to spin before sleeping.
    pub spin: Duration,
    /// How long to busy-poll before sleeping, if at all.
    pub busy_poll: Option<Duration>,
    /// A custom XDP object and the name of the program in it.
    pub object: Option<(PathBuf, Option<String>)>,
    /// How TCP checksums are judged.
    pub rx_checksum: RxChecksum,
    /// Who finishes those of what is sent.
    pub tx_checksum: TxChecksum,
    /// Congestion control.
    pub congestion: Algorithm,
    /// How many, how much, how long, over all workers.
    pub limits: Limits,
    /// Bytes of bodies on their way, over all workers, above which files are read
    /// in small pieces.
    pub body_bytes: usize,
    /// How long the file system may take to answer.
    pub file_timeout: Duration,
    /// Requests that may be being answered elsewhere, over all workers; above it they get 503.
    pub exchanges: usize,
    /// How long a server behind this one may be silent while it is its turn.
    pub proxy_timeout: Duration,
    /// Bytes a second that are sent on a connection at most.
    pub rate: Option<u64>,
    /// Bytes a second that are sent at most, over all workers.
    pub rate_total: Option<u64>,
    /// Processors for the workers; empty: the first ones that are allowed.
    pub cores: Vec<usize>,
    /// The access log and its format, if one is to be written.
    pub access_log: Option<(access_log::Target, access_log::Format)>,
    /// Time between two reports.
    pub stats: Option<Duration>,
    /// Whether only errors are printed.
    pub quiet: bool,
}

impl Config {
    /// Reads the configuration file, if there is one, and validates it and the command line.
    ///
    /// # Errors
    /// The first flag or key whose value cannot be.
    pub fn new(cli: Cli) -> Result<Config, Error> {
        if cli.port == 0 {
            return Err(Error::Port);
        }
        let file = cli.config.as_deref().map(file::File::read).transpose()?;
        let flags = file::Table::from((&cli.site, &cli.requests));
        let (limits, body_bytes) = limits(&cli.limits)?;
        let rate = |flag, rate: Option<ByteSize>| match rate {
            Some(rate) if rate < LEAST_RATE => Err(Error::Rate { flag, rate }),
            rate => Ok(rate.map(|rate| rate.as_u64())),
        };
        let stats = match cli.stats {
            Some(seconds) if !(0.1..=1e9).contains(&seconds) => return Err(Error::Stats(seconds)),
            seconds => seconds.map(Duration::from_secs_f64),
        };
        Ok(Config {
            mode: match (cli.native_mode, cli.skb_mode) {
                (true, _) => ModeWanted::Native,
                (_, true) => ModeWanted::Generic,
                _ => ModeWanted::Auto,
            },
            copy: match (cli.copy, cli.zero_copy) {
                (true, _) => CopyMode::Copy,
                (_, true) => CopyMode::ZeroCopy,
                _ => CopyMode::Auto,
            },
            spin: Duration::from_micros(if cli.poll_mode { 0 } else { cli.spin.into() }),
            busy_poll: cli.busy_poll.map(|us| Duration::from_micros(us.into())),
            object: cli.filename.map(|file| (file, cli.progname)),
            rx_checksum: match cli.rx_checksum {
                cli::RxChecksum::Auto => RxChecksum::Auto,
                cli::RxChecksum::Strict => RxChecksum::Strict,
                cli::RxChecksum::Ignore => RxChecksum::Ignore,
            },
            tx_checksum: cli.tx_checksum,
            congestion: match cli.congestion {
                cli::Congestion::Cubic => Algorithm::Cubic,
                cli::Congestion::Bbr => Algorithm::Bbr,
                cli::Congestion::None => Algorithm::None,
            },
            dev: cli.dev,
            hosts: host::hosts(file.as_ref(), &flags)?,
            requests: requests::limits(file.as_ref(), &flags)?,
            cache: cache::limits(file.as_ref(), &flags)?,
            port: cli.port,
            any_address: cli.any_address,
            force: cli.force,
            queue: cli.queue,
            packets: Packets::new(&cli.packets)?,
            limits,
            body_bytes,
            file_timeout: time("file-timeout", cli.limits.file_timeout)?.into(),
            exchanges: number("max-exchanges", cli.limits.max_exchanges)?,
            proxy_timeout: time("proxy-timeout", cli.limits.proxy_timeout)?.into(),
            rate: rate("rate", cli.limits.rate)?,
            rate_total: rate("rate-total", cli.limits.rate_total)?,
            cores: cli.cores,
            access_log: cli.access_log.map(|path| log(path, cli.log_format)),
            stats,
            quiet: cli.quiet,
        })
    }
}

/// Where the access log goes, and how it looks.
fn log(path: PathBuf, format: cli::LogFormat) -> (access_log::Target, access_log::Format) {
    let target = match path.to_str() {
        Some("-") => access_log::Target::Stdout,
        Some("journal") => access_log::Target::Journal,
        _ => access_log::Target::File(path),
    };
    let format = match format {
        cli::LogFormat::Common => access_log::Format::Common,
        cli::LogFormat::Combined => access_log::Format::Combined,
        cli::LogFormat::Json => access_log::Format::Json,
    };
    (target, format)
}

fn number(flag: &'static str, number: usize) -> Result<usize, Error> {
    match (1..=MAX_CONNECTIONS).contains(&number) {
        true => Ok(number),
        false => Err(Error::Number { flag, number }),
    }
}

/// Validates the limits: those of the connections, and the bytes for bodies.
fn limits(flags: &cli::Limits) -> Result<(Limits, usize), Error> {
    if flags.source_prefix > 32 {
        return Err(Error::Prefix(flags.source_prefix));
    }
    let max_connections = number("max-connections", flags.max_connections)?;
    let memory_bytes = memory(flags.memory, max_connections)?;
    let body_bytes = memory_bytes / BODY_SHARE;
    let limits = Limits {
        max_connections,
        memory_bytes: memory_bytes - body_bytes,
        max_half_open: number("max-half-open", flags.max_half_open)?,
        max_time_wait: number("max-time-wait", flags.max_time_wait)?,
        max_per_source: flags
            .max_per_source
            .map(|most| number("max-per-source", most))
            .transpose()?,
        source_prefix_bits: flags.source_prefix,
        handshake: time("handshake-timeout", flags.handshake_timeout)?,
        head: time("head-timeout", flags.head_timeout)?,
        body: time("body-timeout", flags.body_timeout)?,
        keep_alive: time("keep-alive-timeout", flags.keep_alive_timeout)?,
        send_stall: time("send-timeout", flags.send_timeout)?,
        min_send_bytes_per_s: flags.min_send_rate,
        fin_wait: time("fin-timeout", flags.fin_timeout)?,
        time_wait: time("time-wait", flags.time_wait)?,
    };
    Ok((limits, body_bytes))
}

/// A time of so many seconds.
fn time(flag: &'static str, seconds: f64) -> Result<net::Duration, Error> {
    match (0.001..=MAX_TIMEOUT_S).contains(&seconds) {
        true => Ok(net::Duration::from_micros((seconds * 1e6) as u64)),
        false => Err(Error::Timeout { flag, seconds }),
    }
}

/// The bytes of `--memory`, which must suffice and exist.
fn memory(memory: ByteSize, connections: usize) -> Result<usize, Error> {
    let least = pool::least_bytes(connections) as u64;
    let least = least + least.div_ceil(BODY_SHARE as u64 - 1);
    let machine = sysinfo_bytes();
    if memory.as_u64() < least {
        return Err(Error::Memory {
            memory,
            connections,
            least: ByteSize(least),
        });
    }
    if memory.as_u64() > machine {
        return Err(Error::Machine {
            memory,
            machine: ByteSize(machine),
        });
    }
    Ok(memory.as_u64() as usize)
}

/// The machine's memory.
fn sysinfo_bytes() -> u64 {
    let info = sysinfo();
    info.totalram as u64 * u64::from(info.mem_unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn config(args: &[&str]) -> Result<Config, Error> {
        let base = ["xdphttpd", "-d", "veth0", "--root", "www"];
        Config::new(Cli::parse_from(base.iter().chain(args)))
    }

    #[test]
    fn a_mount_that_hangs_leaves_others_half_of_the_threads() {
        assert_eq!(files_at_once(1), (FILES_AT_ONCE, FILES_LOST));
        for workers in 1..=85 {
            let (at_once, lost) = files_at_once(workers);
            assert!(at_once >= 2 && lost >= 1, "{workers}");
            assert!(workers * (at_once + lost) <= FILE_THREADS / 2, "{workers}");
        }
    }

    #[test]
    fn values_that_cannot_be_are_named() {
        for (args, want) in [
            (["--port", "0"], Error::Port),
            (["--stats", "0"], Error::Stats(0.0)),
            (["--stats", "inf"], Error::Stats(f64::INFINITY)),
            (
                ["--max-connections", "0"],
                Error::Number {
                    flag: "max-connections",
                    number: 0,
                },
            ),
            (
                ["--max-per-source", "0"],
                Error::Number {
                    flag: "max-per-source",
                    number: 0,
                },
            ),
            (["--source-prefix", "33"], Error::Prefix(33)),
            (
                ["--head-timeout", "0"],
                Error::Timeout {
                    flag: "head-timeout",
                    seconds: 0.0,
                },
            ),
            (
                ["--keep-alive-timeout", "inf"],
                Error::Timeout {
                    flag: "keep-alive-timeout",
                    seconds: f64::INFINITY,
                },
            ),
        ] {
            assert_eq!(config(&args).err(), Some(want), "{args:?}");
        }
    }

    #[test]
    fn memory_must_suffice_and_exist() {
        let refusal = |args: &[&str]| config(args).err().map(|error| error.to_string());
        let little = refusal(&["--memory", "64MiB"]).expect("too little for 100,000");
        assert!(
            little.starts_with("--memory 64.0 MiB: 100000 connections need 264.6 MiB at least;"),
            "{little}"
        );
        assert_eq!(
            refusal(&["--memory", "64MiB", "--max-connections", "10000"]),
            None
        );
        let much = refusal(&["--memory", "1000000TiB"]).expect("no machine has it");
        assert!(much.contains("this machine has"), "{much}");
        let limits = config(&["--memory", "400MiB"]).expect("valid");
        assert_eq!(limits.body_bytes, 100 << 20);
        assert_eq!(limits.limits.memory_bytes, 300 << 20);
    }

    #[test]
    fn the_health_check_can_be_elsewhere_or_nowhere() {
        for (args, want) in [
            (&[][..], Ok(Some(".well-known/health"))),
            (&["--health-path", "/up/"], Ok(Some("up/"))),
            (&["--health-path", "off"], Ok(None)),
            (
                &["--health-path", "up"],
                Err("--health-path: \"up\" is no path of a site: "),
            ),
        ] {
            let health = |config: Config| config.hosts[0].http.policy.health.clone();
            match (config(args).map(health), want) {
                (Ok(name), Ok(want)) => assert_eq!(name.as_deref(), want.map(str::as_bytes)),
                (Err(error), Err(want)) => assert!(error.to_string().starts_with(want), "{error}"),
                (got, want) => panic!("{args:?}: {got:?}, not {want:?}"),
            }
        }
    }

    #[test]
    fn rates_are_bytes_a_second() {
        let rates = |args: &[&str]| config(args).map(|config| (config.rate, config.rate_total));
        assert_eq!(rates(&[]), Ok((None, None)));
        let both = rates(&["--rate", "500KB", "--rate-total", "10MiB"]);
        assert_eq!(both, Ok((Some(500_000), Some(10 << 20))));
        let (flag, rate) = ("rate", ByteSize(999));
        assert_eq!(rates(&["--rate", "999"]), Err(Error::Rate { flag, rate }));
    }

    #[test]
    fn defaults_are_the_stacks_own() {
        let config = config(&["--memory", "512MiB"]).expect("valid");
        let own = Limits::default();
        assert_eq!(
            config.limits,
            Limits {
                memory_bytes: config.limits.memory_bytes,
                ..own
            }
        );
    }

    #[test]
    fn flags_become_settings() {
        let plain = config(&[]).expect("valid");
        assert_eq!((plain.mode, plain.copy), (ModeWanted::Auto, CopyMode::Auto));
        assert_eq!(plain.tx_checksum, TxChecksum::Auto);
        assert_eq!(
            (plain.port, plain.queue, plain.spin),
            (80, None, Duration::from_micros(10))
        );
        let set = config(&["-N", "-z", "-p", "-Q", "3", "--cores", "1,0"]).expect("valid");
        assert_eq!(
            (set.mode, set.copy),
            (ModeWanted::Native, CopyMode::ZeroCopy)
        );
        assert_eq!(
            (set.queue, set.spin, set.cores),
            (Some(3), Duration::ZERO, vec![1, 0])
        );
        for (flags, want) in [
            (&["--spin", "5"][..], None),
            (&["--busy-poll"], Some(Duration::from_micros(50))),
            (&["--busy-poll", "7"], Some(Duration::from_micros(7))),
        ] {
            assert_eq!(config(flags).expect("valid").busy_poll, want);
        }
    }
}

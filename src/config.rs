//! Validated settings: what the rest of the program is given, with every limit
//! named and explained.

use crate::cli::{self, Cli};
use crate::net::RxChecksum;
use std::path::PathBuf;
use std::time::Duration;

/// How long responses in flight may take to finish after SIGTERM.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// Threads that open, stat and read files; a slow disk keeps that many busy.
pub const FILE_THREADS: usize = 8;
/// Jobs that may wait for those threads, a worker; above it requests get 503.
pub const FILE_JOBS: usize = 4_096;
/// Received frames taken in one go, before timers and file reads have a look.
pub const RX_BATCH: usize = 64;
/// Connections that `--max-connections` may ask for: what indices, timers and
/// memory (about 300 KiB of address space each) are made for.
pub const MAX_CONNECTIONS: usize = 1 << 20;

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
    #[error("--max-connections {0}: 1 to {MAX_CONNECTIONS} can be held")]
    Connections(usize),
}

/// Which XDP mode is wanted.
pub use crate::xdp::ModeWanted;
/// How frames may cross between kernel and UMEM.
pub use crate::xsk::CopyMode;

/// Everything that was decided before the first system call.
#[derive(Debug, Clone)]
pub struct Config {
    /// The device's name.
    pub dev: String,
    /// The directory served.
    pub root: PathBuf,
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
    /// The only RX queue to serve, or all.
    pub queue: Option<u32>,
    /// How long to spin before sleeping.
    pub spin: Duration,
    /// A custom XDP object and the name of the program in it.
    pub object: Option<(PathBuf, Option<String>)>,
    /// How TCP checksums are judged.
    pub rx_checksum: RxChecksum,
    /// Connections at most, over all workers.
    pub max_connections: usize,
    /// Processors for the workers; empty: the first ones that are allowed.
    pub cores: Vec<usize>,
    /// Time between two reports.
    pub stats: Option<Duration>,
    /// Whether only errors are printed.
    pub quiet: bool,
}

impl Config {
    /// Validates the command line.
    ///
    /// # Errors
    /// The first flag whose value cannot be.
    pub fn new(cli: Cli) -> Result<Config, Error> {
        if cli.port == 0 {
            return Err(Error::Port);
        }
        if !(1..=MAX_CONNECTIONS).contains(&cli.max_connections) {
            return Err(Error::Connections(cli.max_connections));
        }
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
            object: cli.filename.map(|file| (file, cli.progname)),
            rx_checksum: match cli.rx_checksum {
                cli::RxChecksum::Auto => RxChecksum::Auto,
                cli::RxChecksum::Strict => RxChecksum::Strict,
                cli::RxChecksum::Ignore => RxChecksum::Ignore,
            },
            dev: cli.dev,
            root: cli.root,
            port: cli.port,
            any_address: cli.any_address,
            force: cli.force,
            queue: cli.queue,
            max_connections: cli.max_connections,
            cores: cli.cores,
            stats,
            quiet: cli.quiet,
        })
    }
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
    fn values_that_cannot_be_are_named() {
        for (args, want) in [
            (["--port", "0"], Error::Port),
            (["--stats", "0"], Error::Stats(0.0)),
            (["--stats", "inf"], Error::Stats(f64::INFINITY)),
            (["--max-connections", "0"], Error::Connections(0)),
        ] {
            assert_eq!(config(&args).err(), Some(want), "{args:?}");
        }
    }

    #[test]
    fn flags_become_settings() {
        let plain = config(&[]).expect("valid");
        assert_eq!((plain.mode, plain.copy), (ModeWanted::Auto, CopyMode::Auto));
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
    }
}

//! The command line.

use clap::Parser;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

/// Opens many connections to one server, in several processes, and reports what
/// became of them.
#[derive(Clone, Debug, Parser)]
#[command(name = "crowd", max_term_width = 100)]
pub struct Cli {
    /// What the connections do
    #[arg(value_enum)]
    pub mode: Mode,

    /// Where to connect to
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub server: SocketAddrV4,

    /// Addresses to connect from, in turn [default: the system's choice]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub sources: Vec<Ipv4Addr>,

    /// Connections in all
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub connections: usize,

    /// The directory that the server serves, to compare with
    #[arg(long, value_name = "DIR")]
    pub root: PathBuf,

    /// What is asked for: `verify` takes each in turn, the others the first
    #[arg(long, value_name = "LIST", value_delimiter = ',', required = true)]
    pub paths: Vec<String>,

    /// idle: ask for nothing before the order comes
    #[arg(long)]
    pub silent: bool,

    /// Seconds from `opened` to the order, if none comes on stdin
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub hold: u64,

    /// Seconds after which everything ends
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub limit: u64,

    /// Seconds that one handshake, request or answer may take
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    pub patience: u64,

    /// Handshakes and requests under way at a time, in all processes together
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub at_once: usize,

    /// Connections of one process at most
    #[arg(long, value_name = "N", default_value_t = 15_000)]
    pub per_process: usize,

    /// drip: seconds from byte to byte; noread: from look to look
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    pub every: u64,

    /// drip, noread: replace what the server has ended
    #[arg(long)]
    pub reopen: bool,

    /// noread: SO_RCVBUF
    #[arg(long, value_name = "BYTES", default_value_t = 4_096)]
    pub receive_buffer: u32,

    /// verify: choices follow from this
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Which of the processes this is
    #[arg(long, hide = true)]
    pub part: Option<usize>,
}

/// What the connections do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// One request, then silence; one more when the order comes
    Idle,
    /// A byte of a request head every few seconds
    Drip,
    /// A request for a large file, whose answer nobody reads
    Noread,
    /// Requests without pause until the order comes
    Verify,
}

impl Cli {
    /// How many processes share the connections.
    pub fn parts(&self) -> usize {
        self.connections.div_ceil(self.per_process.max(1)).max(1)
    }

    /// The connections that process `part` opens, by number.
    pub fn share(&self, part: usize) -> std::ops::Range<usize> {
        let first = |part| self.connections * part / self.parts();
        first(part)..first(part + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_are_all_connections_once() {
        for (connections, per_process) in [(1, 1), (10, 3), (100_000, 15_000), (64, 16), (0, 5)] {
            let text = format!(
                "crowd idle --server 10.0.0.1:80 --root . --paths /a \
                 --connections {connections} --per-process {per_process}"
            );
            let cli = Cli::try_parse_from(text.split_whitespace()).expect("a command line");
            let mut next = 0;
            for part in 0..cli.parts() {
                let share = cli.share(part);
                assert_eq!(share.start, next, "{text}");
                assert!(share.len() <= per_process, "{text}");
                next = share.end;
            }
            assert_eq!(next, connections, "{text}");
        }
    }
}

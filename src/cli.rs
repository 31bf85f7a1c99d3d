//! The command line, one field a flag, nothing decided yet: see
//! [`config`](crate::config) for what becomes of it.

use bytesize::ByteSize;
use clap::Parser;
use std::path::PathBuf;

/// The end of `--help`.
const SIGNALS: &str = "\
Signals:
  SIGUSR1          Print how the connections stand, a line each
  SIGHUP           Open the access log anew, after it was moved away
  SIGINT, SIGTERM  Finish what is in flight, then end; twice: end at once";

/// Serves a directory over HTTP from an AF_XDP socket: TCP to the port is taken
/// from the device before the kernel's stack sees it, everything else goes on
/// through the kernel.
#[derive(Debug, Clone, Parser)]
#[command(name = "xdphttpd", version, max_term_width = 100, after_help = SIGNALS)]
pub struct Cli {
    /// Network device to serve on
    #[arg(short, long, value_name = "DEVICE")]
    pub dev: String,

    /// Settings of the site, and of further hosts by name, in TOML; flags win over it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// TCP port to serve
    #[arg(long, value_name = "PORT", default_value_t = 80)]
    pub port: u16,

    /// Serve any destination address, not only the device's own IPv4 addresses
    #[arg(long)]
    pub any_address: bool,

    /// Generic XDP (skb mode): works with every driver
    #[arg(short = 'S', long, group = "mode")]
    pub skb_mode: bool,

    /// Native XDP (in the driver), or fail
    #[arg(short = 'N', long, group = "mode")]
    pub native_mode: bool,

    /// Native XDP, falling back to generic (the default)
    #[arg(short = 'A', long, group = "mode")]
    pub auto_mode: bool,

    /// Replace an XDP program that somebody else has attached
    #[arg(short = 'F', long)]
    pub force: bool,

    /// AF_XDP copy mode
    #[arg(short = 'c', long, group = "copying")]
    pub copy: bool,

    /// AF_XDP zero copy, or fail [default: zero copy, falling back to copy]
    #[arg(short = 'z', long, group = "copying")]
    pub zero_copy: bool,

    /// Serve this RX queue only [default: all]
    #[arg(short = 'Q', long, value_name = "N")]
    pub queue: Option<u32>,

    /// Sleep in poll() at once when nothing comes, never spin
    #[arg(short = 'p', long)]
    pub poll_mode: bool,

    /// Look for frames this long before sleeping: less delay, more processor time
    #[arg(
        long,
        value_name = "MICROSECONDS",
        default_value_t = 10,
        conflicts_with = "poll_mode"
    )]
    pub spin: u32,

    /// Have the worker itself run the driver's receive loop (NAPI), and the device hold its
    /// interrupts back, from when something comes until nothing has come for so long [default: off]
    #[arg(
        long,
        value_name = "MICROSECONDS",
        num_args = 0..=1,
        default_missing_value = "50",
        conflicts_with = "poll_mode"
    )]
    pub busy_poll: Option<u32>,

    /// Print errors only
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Load this XDP object instead of the built-in one; it must have a map
    /// `xsks_map`
    #[arg(long, value_name = "FILE")]
    pub filename: Option<PathBuf>,

    /// Name of the program in FILE [default: its only one]
    #[arg(long, value_name = "NAME", requires = "filename")]
    pub progname: Option<String>,

    /// How TCP checksums of received segments are judged: auto also accepts
    /// exactly what a sender on this machine leaves for its device to finish
    #[arg(long, value_name = "HOW", value_enum, default_value_t = RxChecksum::Auto)]
    pub rx_checksum: RxChecksum,

    /// Who finishes TCP checksums of what is sent: auto leaves them to a device that says it
    /// can, offload to kernel or device in any case
    #[arg(long, value_name = "WHO", value_enum, default_value_t = TxChecksum::Auto)]
    pub tx_checksum: TxChecksum,

    /// What decides how much may be in flight; none is for the lab only
    #[arg(long, value_name = "ALGORITHM", value_enum, default_value_t = Congestion::Cubic)]
    pub congestion: Congestion,

    /// Processors for the workers, in queue order [default: as allowed, those of the
    /// device's NUMA node first]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub cores: Vec<usize>,

    /// Write a line for each response to FILE, to stdout (`-`) or to systemd's `journal`;
    /// SIGHUP opens FILE anew
    #[arg(long, value_name = "FILE")]
    pub access_log: Option<PathBuf>,

    /// What such a line looks like
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Combined, requires = "access_log")]
    pub log_format: LogFormat,

    /// Print statistics every so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub stats: Option<f64>,

    /// Say more; twice: say everything
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// What is served
    #[command(flatten)]
    pub site: Site,

    /// What a request may take
    #[command(flatten)]
    pub requests: Requests,

    /// The memory of packets
    #[command(flatten)]
    pub packets: Packets,

    /// How many, how much, how long
    #[command(flatten)]
    pub limits: Limits,
}

/// The flags that the configuration file has too, by the same names.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Site")]
pub struct Site {
    /// Directory to serve
    #[arg(long, value_name = "DIR", required_unless_present = "config")]
    pub root: Option<PathBuf>,

    /// List directories that have no index
    #[arg(long)]
    pub list: bool,

    /// Which symbolic links are followed [default: inside]
    #[arg(long, value_name = "WHICH", value_enum)]
    pub symlinks: Option<Symlinks>,

    /// Serve files and directories whose names begin with a dot
    #[arg(long)]
    pub dotfiles: bool,

    /// What a directory is answered with: the first of these files that it has [default: index.html]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub index: Option<Vec<String>>,

    /// How hard texts without compressed copies are compressed when they are loaded [default: best]
    #[arg(long, value_name = "HOW", value_enum)]
    pub compress: Option<Compress>,

    /// Memory for files, their heads and their compressed copies, as in 1GiB [default: 256MiB]
    #[arg(long, value_name = "SIZE")]
    pub cache: Option<ByteSize>,

    /// How long after a look at a file what was found may be sent; 0: each request has it looked
    /// at [default: 1]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub revalidate: Option<f64>,

    /// The Cache-Control field of every file, as in "max-age=3600" [default: none]
    #[arg(long, value_name = "VALUE")]
    pub cache_control: Option<String>,

    /// Answer an error with this file, as in 404=/404.html; may be given again for others
    #[arg(long, value_name = "STATUS=PATH", value_parser = error_page)]
    pub error_page: Vec<(String, String)>,

    /// Answer with this file when a path without an extension names nothing
    #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = "/index.html")]
    pub spa: Option<String>,

    /// Have a server behind this one answer what lies beneath a path, as in /api=http://127.0.0.1:9090; may be given
    /// again for others
    #[arg(long, value_name = "PATH=URL", value_parser = proxy)]
    pub proxy: Vec<(String, String)>,

    /// Let files be put (PUT, POST) and deleted (DELETE) beneath a path; may be given again for others
    #[arg(long, value_name = "PATH")]
    pub upload: Vec<String>,

    /// The largest file that may be put [default: 1GiB]
    #[arg(long, value_name = "SIZE", requires = "upload")]
    pub upload_max_bytes: Option<ByteSize>,

    /// Let anybody put and delete files, without a password
    #[arg(long, requires = "upload")]
    pub upload_anonymous: bool,

    /// Where the server says whether it is well, to everybody; off: nowhere [default: /.well-known/health]
    #[arg(long, value_name = "PATH")]
    pub health_path: Option<String>,
}

fn proxy(text: &str) -> Result<(String, String), &'static str> {
    let (path, url) = text
        .split_once('=')
        .ok_or("write it as in /api=http://127.0.0.1:9090")?;
    Ok((path.to_owned(), url.to_owned()))
}

fn error_page(text: &str) -> Result<(String, String), &'static str> {
    let (status, path) = text.split_once('=').ok_or("write it as in 404=/404.html")?;
    Ok((status.to_owned(), path.to_owned()))
}

/// The flags that bound what a request may take; the configuration file has them too.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Requests")]
pub struct Requests {
    /// The longest request line, as in 8KiB [default: 8KiB]
    #[arg(long, value_name = "SIZE")]
    pub max_request_line_bytes: Option<ByteSize>,

    /// The longest head, its request line included [default: 16KiB]
    #[arg(long, value_name = "SIZE")]
    pub max_head_bytes: Option<ByteSize>,

    /// The most field lines in a head, 100 or fewer [default: 100]
    #[arg(long, value_name = "N")]
    pub max_fields: Option<u64>,

    /// The longest body that is read, and thrown away, to keep a connection [default: 1MiB]
    #[arg(long, value_name = "SIZE")]
    pub max_body_bytes: Option<ByteSize>,

    /// The longest line with a chunk's size [default: 1KiB]
    #[arg(long, value_name = "SIZE")]
    pub max_chunk_line_bytes: Option<ByteSize>,

    /// The longest trailer section of a chunked body [default: 4KiB]
    #[arg(long, value_name = "SIZE")]
    pub max_trailer_bytes: Option<ByteSize>,
}

/// `--symlinks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Symlinks {
    /// None: they count as not there
    Never,
    /// Those that stay beneath the root, each step of the way
    Inside,
    /// All, wherever they lead
    Always,
}

/// The flags of the memory that a queue's packets are in, and of the rings to and from
/// the kernel.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Packets, for each queue")]
pub struct Packets {
    /// Packets that may wait to be looked at; a power of two
    #[arg(long, value_name = "N", default_value_t = 2_048)]
    pub rx_ring: u32,

    /// Packets that may wait to be sent; a power of two
    #[arg(long, value_name = "N", default_value_t = 2_048)]
    pub tx_ring: u32,

    /// Frames that packets are received into
    #[arg(long, value_name = "N", default_value_t = 2_048)]
    pub fill_frames: u32,

    /// Size of a frame, 2048 or 4096; larger packets take several
    #[arg(long, value_name = "BYTES", default_value_t = 4_096)]
    pub frame_bytes: u32,

    /// Frames in huge pages of 2 MiB, which vm.nr_hugepages sets aside, if there are
    /// enough
    #[arg(long)]
    pub hugepages: bool,
}

/// `--compress`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compress {
    /// Not at all
    Off,
    /// With little time
    Fast,
    /// As far as the time is well spent
    Best,
}

/// The flags that bound what the server holds and how long it waits; numbers are
/// for all queues together, times in seconds.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Connections at most; at the limit the longest-idle one makes room
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub max_connections: usize,

    /// Memory for connections and for bodies on their way, as in 512MiB or 2GiB
    #[arg(long, value_name = "SIZE", default_value = "512MiB")]
    pub memory: ByteSize,

    /// Connections at most from one source network [default: any number]
    #[arg(long, value_name = "N")]
    pub max_per_source: Option<usize>,

    /// Leading bits of an IPv4 address that make the source network
    #[arg(long, value_name = "BITS", default_value_t = 32)]
    pub source_prefix: u8,

    /// Handshakes remembered at most; further ones get SYN cookies
    #[arg(long, value_name = "N", default_value_t = 1_024)]
    pub max_half_open: usize,

    /// Connections in TIME-WAIT at most; the oldest gives way
    #[arg(long, value_name = "N", default_value_t = 65_536)]
    pub max_time_wait: usize,

    /// From SYN to the end of the handshake
    #[arg(long, value_name = "SECONDS", default_value_t = 20.0)]
    pub handshake_timeout: f64,

    /// From the first byte of a request's head to its last
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    pub head_timeout: f64,

    /// From the end of a request's head to the end of its body
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    pub body_timeout: f64,

    /// From the end of a response to the next request
    #[arg(long, value_name = "SECONDS", default_value_t = 75.0)]
    pub keep_alive_timeout: f64,

    /// Within a response without any progress
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    pub send_timeout: f64,

    /// For the file system to answer: to open a file, or to read some of it
    #[arg(long, value_name = "SECONDS", default_value_t = 15.0)]
    pub file_timeout: f64,

    /// Requests that servers behind this one answer, or that put files, at a time
    #[arg(long, value_name = "N", default_value_t = 4_096)]
    pub max_exchanges: usize,

    /// For a server behind this one to answer, and to go on
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    pub proxy_timeout: f64,

    /// The least speed of a response that has more to send, bytes a second over
    /// 60 s; 0: any
    #[arg(long, value_name = "BYTES", default_value_t = 128)]
    pub min_send_rate: u32,

    /// The most that is sent on a connection, bytes a second, as in 500KB or 1MiB
    /// [default: no limit]
    #[arg(long, value_name = "RATE")]
    pub rate: Option<ByteSize>,

    /// The most that is sent on all connections, bytes a second; each worker has an
    /// equal part of it [default: no limit]
    #[arg(long, value_name = "RATE")]
    pub rate_total: Option<ByteSize>,

    /// From our FIN to its acknowledgment, and from there to the client's FIN
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    pub fin_timeout: f64,

    /// How long late segments of a closed connection are answered for
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    pub time_wait: f64,
}

/// `--rx-checksum`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[expect(missing_docs, reason = "the flag's help says it")]
pub enum RxChecksum {
    Auto,
    Strict,
    Ignore,
}

/// `--tx-checksum`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TxChecksum {
    /// The device, if it says that it can, else this server
    Auto,
    /// This server
    Software,
    /// The kernel or the device
    Offload,
}

/// `--log-format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// The Common Log Format
    Common,
    /// That, with referer and user agent
    Combined,
    /// An object of JSON, with host, time taken, connection and request number too
    Json,
}

/// Congestion control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Congestion {
    /// RFC 9438, with HyStart++
    Cubic,
    /// draft-ietf-ccwg-bbr (BBRv3), which random loss does not slow down
    Bbr,
    /// None: the peer's window alone
    None,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn modes_exclude_each_other() {
        let parse = |args: &[&str]| {
            let base = ["xdphttpd", "-d", "veth0", "--root", "www"];
            Cli::try_parse_from(base.iter().chain(args)).map(|_| ())
        };
        assert!(parse(&["-S"]).is_ok());
        assert!(parse(&["-N", "-c", "-F", "-p", "-Q", "1"]).is_ok());
        assert!(parse(&["--filename", "af_xdp_kern.o", "--progname", "xdp_sock_prog"]).is_ok());
        assert!(parse(&["-S", "-N"]).is_err());
        assert!(parse(&["-c", "-z"]).is_err());
        assert!(parse(&["--progname", "x"]).is_err());
        assert!(parse(&["-q", "-v"]).is_err());
    }
}

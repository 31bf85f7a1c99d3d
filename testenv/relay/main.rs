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
//! It ends at SIGTERM or SIGINT, or by itself when one of its devices is down or gone.
//!
//! One thread does all. It sleeps until a frame comes or is nearly due, and
//! watches the clock for the last microseconds. When frames come fast it doesn't,
//! since server and client need the cores too: then it wakes up for several
//! frames together, and the kernel knows when each one came.

mod cli;
mod direction;
mod port;

use clap::Parser;
use cli::Cli;
use direction::Direction;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use port::{Port, Received};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Frames taken from a port, or given to it, before the other has its turn.
const BATCH: usize = 64;
/// The kernel wakes a sleeper up to this much late, even one of real-time
/// priority: the rest is waited for awake.
const WAKE_UP: Duration = Duration::from_micros(100);
/// After that, so many times as long is not,
const REST: u32 = 9;
/// and sleep takes no less than this.
const NAP: Duration = Duration::from_micros(100);
/// Frames that come are left to the kernel for so long: its buffer holds more.
const LONGEST_DEAF: Duration = Duration::from_millis(1);
/// A frame doesn't lie with the kernel for longer, whatever the clock says.
const OLDEST: Duration = Duration::from_secs(1);
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
            Err(error) if error.kind() == io::ErrorKind::NetworkDown => {
                say(&format!("the end: {error}\n"));
                break Ok(());
            }
            Err(error) => break Err(error),
        }
    };
    relay.report();
    outcome
}

/// How long ago a frame came. The kernel's clock may have been set since.
fn age(at: Option<Duration>) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    let age = now.zip(at).and_then(|(now, at)| now.checked_sub(at));
    age.filter(|age| *age < OLDEST).unwrap_or_default()
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
    /// The shortest time that a frame is under way.
    delay: Duration,
    /// Since when the clock is being watched.
    awake_since: Option<Duration>,
    /// Until when it won't be.
    rest_until: Duration,
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
            delay: impairments.delay,
            awake_since: None,
            rest_until: Duration::ZERO,
            room: vec![0; LARGEST_FRAME_BYTES],
        })
    }

    /// Waits for something to do and does it; false when it was told to end.
    fn pass(&mut self) -> io::Result<bool> {
        let sleep = self.plan();
        let is_signalled = self.sleep(sleep)?;
        if is_signalled && !self.heed_signals()? {
            return Ok(false);
        }
        for from in 0..self.ports.len() {
            self.receive(from)?;
        }
        for from in 0..self.ports.len() {
            self.send(from)?;
        }
        Ok(true)
    }

    /// How long to sleep, at most, before the next frame is due.
    fn plan(&mut self) -> Option<Duration> {
        let now = self.start.elapsed();
        let next_at = self.directions.iter().filter_map(Direction::next_at).min();
        let left = next_at?.saturating_sub(now);
        let is_resting = now < self.rest_until;
        if !is_resting && !left.is_zero() && left <= WAKE_UP {
            self.awake_since.get_or_insert(now);
            return Some(Duration::ZERO);
        }
        if let Some(since) = self.awake_since.take() {
            self.rest_until = now + (now - since) * REST;
        }
        Some(match left {
            Duration::ZERO => left,
            _ if is_resting => left.max(NAP),
            _ => left.saturating_sub(WAKE_UP),
        })
    }

    /// Sleeps for `time`, or until a signal has come, or a frame, unless that
    /// would not be due before; whether a signal has come.
    fn sleep(&self, time: Option<Duration>) -> io::Result<bool> {
        let is_deaf = time.is_some_and(|time| time <= self.delay.min(LONGEST_DEAF));
        let mut waits = [
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(&self.ports[0], PollFlags::IN),
            PollFd::new(&self.ports[1], PollFlags::IN),
        ];
        let waits = if is_deaf { &mut waits[..1] } else { &mut waits };
        let timeout = time.map(|time| Timespec {
            tv_sec: time.as_secs() as i64,
            tv_nsec: time.subsec_nanos().into(),
        });
        match poll(waits, timeout.as_ref()) {
            Ok(_) => Ok(!waits[0].revents().is_empty()),
            Err(Errno::INTR) => Ok(false),
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
            let Some(Received { bytes, at }) = self.ports[from].receive(&mut self.room)? else {
                break;
            };
            let frame = &self.room[..bytes.min(LARGEST_FRAME_BYTES)];
            let at = self.start.elapsed().saturating_sub(age(at));
            self.directions[from].accept(frame, at);
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

    /// In one write, so that nobody reads half of it.
    fn report(&self) {
        let [to_inner, to_outer] = [&self.directions[0].tally, &self.directions[1].tally];
        say(&format!("to_inner {to_inner}\nto_outer {to_outer}\n"));
    }
}

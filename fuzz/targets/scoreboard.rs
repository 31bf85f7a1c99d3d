//! Any ACKs, SACK blocks, losses of time and timers, for loss recovery alone.
//!
//! ```text
//! input = { step:u8 ... }
//! step % 8 = 0, 1   segments:u8 length:u8           new data
//!            2      time:u8                         passes; a timer may run out
//!                                                   (bit 7: if it is the last one,
//!                                                   segments are half as large now)
//!            3..=5  una:distance blocks:u8 { start:distance length:distance }
//!                                                   an ACK
//!            6      repairs:u8 window:u16           are made, as far as it allows
//!            7                                      the sender waits for data
//! ```
//!
//! In the step of an ACK bit 7 says that it carries text, and bit 6 that its first
//! block is a D-SACK. Distances are from SND.UNA, or from a block's beginning.

use super::input::Input;
use std::ops::Range;
use std::path::Path;
use xdphttpd::net::congestion::{Ack, Controller, Loss};
use xdphttpd::net::mtu::BlackHole;
use xdphttpd::net::recovery::scoreboard::Segment;
use xdphttpd::net::recovery::{Duration, Heard, Instant, MAX_SEGMENTS, Recovery};

const CARRIES_TEXT: u8 = 0x80;
const HAS_D_SACK: u8 = 0x40;
const FALLS: u8 = 0x80;
/// Boards longer than this are checked only now and then.
const SHORT: usize = 64;

/// A window, and whether what it is told is in order.
struct Judge {
    window_bytes: u64,
    is_recovering: bool,
    delivered_bytes: u64,
    una: u64,
}

impl Controller for Judge {
    fn window_bytes(&self) -> u64 {
        self.window_bytes
    }

    fn threshold_bytes(&self) -> u64 {
        u64::MAX
    }

    fn pace_bytes_per_s(&self) -> Option<u64> {
        None
    }

    fn on_send(&mut self, _now: Instant, bytes: u64, _in_flight_bytes: u64) {
        assert!(bytes > 0);
    }

    fn on_ack(&mut self, ack: &Ack) {
        assert!(ack.delivered_bytes > 0 || ack.lost_bytes > 0);
        assert!(self.una <= ack.una_offset && ack.una_offset <= ack.nxt_offset);
        self.una = ack.una_offset;
        self.delivered_bytes += ack.delivered_bytes;
        if let Some(rate) = ack.rate {
            assert_eq!(rate.total_delivered_bytes, self.delivered_bytes);
            assert!(rate.delivered_bytes <= self.delivered_bytes);
        }
    }

    fn on_loss(&mut self, _loss: &Loss) {
        assert!(!self.is_recovering, "an episode within an episode");
        self.is_recovering = true;
    }

    fn on_recovered(&mut self, _now: Instant) {
        assert!(std::mem::take(&mut self.is_recovering));
    }

    fn on_timeout(&mut self, _loss: &Loss) {
        self.is_recovering = false;
    }

    fn on_undo(&mut self, _now: Instant) {
        self.is_recovering = false;
    }

    fn on_idle(&mut self, _now: Instant, _idle: Duration, _rto: Duration) {}
}

struct World {
    recovery: Recovery,
    judge: Judge,
    now: Instant,
    /// What segments carry at most.
    mss: u32,
    steps: usize,
}

pub fn run(_site: &Path, input: &[u8]) {
    let mut input = Input(input);
    let mut world = World {
        recovery: Recovery::new(1 << 32, Instant::ZERO),
        judge: Judge {
            window_bytes: 10_000,
            is_recovering: false,
            delivered_bytes: 0,
            una: 0,
        },
        now: Instant::ZERO,
        mss: u8::MAX.into(),
        steps: 0,
    };
    while !input.is_empty() {
        let step = input.u8();
        match step % 8 {
            0 | 1 => world.send(input.u8(), input.u8()),
            2 => world.pass(Duration::from_micros(input.time_us()), step & FALLS != 0),
            3..=5 => world.hear(step, &mut input),
            6 => world.repair(input.u8(), input.u16()),
            _ => world.recovery.note_app_limited(),
        }
        world.check();
    }
    world.settle();
}

impl World {
    fn send(&mut self, segments: u8, len: u8) {
        for _ in 0..segments {
            if self.recovery.room() > 0 {
                let len = u32::from(len).clamp(1, self.mss);
                self.recovery.on_send(len, self.now, &mut self.judge);
            }
        }
        self.recovery.note_window_limited(0);
    }

    fn pass(&mut self, time: Duration, falls: bool) {
        self.now += time;
        let timeouts = self.recovery.tally.timeouts;
        self.recovery.on_timer(self.now, &mut self.judge);
        if falls && self.recovery.tally.timeouts > timeouts {
            self.fall();
        }
        let next_at = self.recovery.next_at();
        assert!(next_at.is_none_or(|at| at > self.now), "due again");
    }

    fn fall(&mut self) {
        self.mss = (self.mss / 2).max(1);
        self.recovery.on_mss(self.mss, BlackHole::NONE, self.now);
        let board = self.recovery.board();
        board.check();
        let is_cut = |segment: &Segment| segment.is_sacked || segment.len <= self.mss;
        assert!(board.len() > 2 * MAX_SEGMENTS || board.iter().all(is_cut));
    }

    fn hear(&mut self, step: u8, input: &mut Input<'_>) {
        let from = |origin: u64, distance: i32| origin.saturating_add_signed(distance.into());
        let was = self.recovery.range();
        let una = from(was.start, input.distance());
        let mut blocks: Vec<Range<u64>> = Vec::new();
        for _ in 0..input.u8() {
            let start = from(was.start, input.distance());
            blocks.push(start..from(start, input.distance()));
            if input.is_empty() {
                break;
            }
        }
        let twice = step & HAS_D_SACK != 0 && !blocks.is_empty();
        let heard = Heard {
            una,
            duplicate: twice.then(|| blocks[0].clone()),
            sacks: &blocks[usize::from(twice)..],
            answers_before: None,
            is_bare: step & CARRIES_TEXT == 0,
        };
        self.recovery.on_ack(&heard, self.now, &mut self.judge);
        let is = self.recovery.range();
        assert_eq!(is, una.clamp(was.start, was.end)..was.end);
        if self.recovery.is_idle() {
            self.recovery.restart(is.end + u64::from(step / 8));
        }
    }

    /// Also, that what is in flight stays below the window but where it may not.
    fn repair(&mut self, repairs: u8, window_bytes: u16) {
        let window_bytes = u64::from(window_bytes);
        self.judge.window_bytes = window_bytes;
        let mut forced = 0;
        for _ in 0..repairs {
            let Some(repair) = self.recovery.next_repair(window_bytes, repairs % 2 == 1) else {
                break;
            };
            let range = self.recovery.range();
            let end = repair.start + u64::from(repair.len);
            assert!(range.start <= repair.start && repair.start < end && end <= range.end);
            let in_flight = self.recovery.in_flight_bytes();
            forced += u32::from(in_flight > 0 && in_flight + (end - repair.start) > window_bytes);
            self.recovery.on_repair(repair, self.now, &mut self.judge);
        }
        assert!(forced <= 2, "the first of an episode, and a probe");
    }

    fn check(&mut self) {
        self.steps += 1;
        let is_idle = self.recovery.is_idle();
        assert_eq!(self.recovery.next_at().is_none(), is_idle);
        if self.recovery.board().len() <= SHORT || self.steps.is_multiple_of(64) {
            self.recovery.board().check();
        }
    }

    /// Whatever has happened: timers and repairs go on, and an ACK ends them.
    fn settle(&mut self) {
        for _ in 0..10 {
            let Some(at) = self.recovery.next_at() else {
                break;
            };
            self.now = self.now.max(at);
            self.pass(Duration::ZERO, false);
            self.repair(255, u16::MAX);
            self.check();
        }
        self.recovery.board().check();
        let heard = Heard {
            una: self.recovery.range().end,
            sacks: &[],
            duplicate: None,
            answers_before: None,
            is_bare: true,
        };
        self.recovery.on_ack(&heard, self.now, &mut self.judge);
        assert!(self.recovery.is_idle() && self.recovery.next_at().is_none());
        assert!(!self.judge.is_recovering);
        self.recovery.board().check();
    }
}

//! A scripted peer, and a controller that only writes down what it is told.
//!
//! Segments have 1000 bytes and are numbered from 0; times are milliseconds.

use std::ops::Range;
use xdphttpd::net::congestion::{Ack, Controller, Loss};
use xdphttpd::net::recovery::{Duration, Heard, Instant, Recovery};

pub const MSS: u64 = 1_000;
/// Where segment 0 begins; the one before it is for the first round trip.
pub const BASE: u64 = 5 << 32;

/// What a controller was told, but for ACKs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// With segments lost.
    Loss(u64),
    Recovered,
    Timeout(u64),
    Undo,
}

/// A window that stays what it is.
#[derive(Debug)]
pub struct Recorder {
    pub window_bytes: u64,
    pub calls: Vec<Call>,
    pub acks: Vec<Ack>,
}

impl Controller for Recorder {
    fn window_bytes(&self) -> u64 {
        self.window_bytes
    }

    fn threshold_bytes(&self) -> u64 {
        u64::MAX
    }

    fn pace_bytes_per_s(&self) -> Option<u64> {
        None
    }

    fn on_send(&mut self, _now: Instant, _bytes: u64, _in_flight_bytes: u64) {}

    fn on_ack(&mut self, ack: &Ack) {
        self.acks.push(*ack);
    }

    fn on_loss(&mut self, loss: &Loss) {
        self.calls.push(Call::Loss(loss.lost_bytes / MSS));
    }

    fn on_recovered(&mut self, _now: Instant) {
        self.calls.push(Call::Recovered);
    }

    fn on_timeout(&mut self, loss: &Loss) {
        self.calls.push(Call::Timeout(loss.lost_bytes / MSS));
    }

    fn on_undo(&mut self, _now: Instant) {
        self.calls.push(Call::Undo);
    }

    fn on_idle(&mut self, _now: Instant, _idle: Duration, _rto: Duration) {}
}

pub struct Script {
    pub recovery: Recovery,
    pub congestion: Recorder,
    now: Instant,
    una: u64,
    answers_before: Option<Instant>,
}

fn offset(segment: u64) -> u64 {
    BASE + segment * MSS
}

fn offsets(segments: &Range<u64>) -> Range<u64> {
    offset(segments.start)..offset(segments.end)
}

impl Script {
    /// A path with a round-trip time measured once: it is 0 ms now, and nothing is
    /// in flight.
    pub fn new(rtt_ms: u64) -> Script {
        let mut script = Script::unmeasured();
        let mut begun = Recovery::new(BASE - MSS, Instant::from_millis(-(rtt_ms as i64)));
        let sent_at = script.now - Duration::from_millis(rtt_ms);
        begun.on_send(MSS as u32, sent_at, &mut script.congestion);
        script.recovery = begun;
        script.ack(0, &[]);
        script.congestion.acks.clear();
        script
    }

    /// Nothing is known of the path.
    pub fn unmeasured() -> Script {
        Script {
            recovery: Recovery::new(BASE, Instant::ZERO),
            congestion: Recorder {
                window_bytes: 1_000 * MSS,
                calls: Vec::new(),
                acks: Vec::new(),
            },
            now: Instant::ZERO,
            una: 0,
            answers_before: None,
        }
    }

    /// The next ACK answers a segment that left before `ms`.
    pub fn answer_before(&mut self, ms: u64) -> &mut Script {
        self.answers_before = Some(self.at(ms));
        self
    }

    pub fn at(&self, ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    /// It is `ms` now; what timers were due have run out, each at its time.
    pub fn until(&mut self, ms: u64) -> &mut Script {
        while let Some(at) = self.recovery.next_at().filter(|at| *at <= self.at(ms)) {
            self.now = at;
            self.recovery.on_timer(at, &mut self.congestion);
            let next = self.recovery.next_at();
            assert!(next.is_none_or(|next| next > at), "a timer in the past");
        }
        assert!(self.at(ms) >= self.now);
        self.now = self.at(ms);
        self
    }

    pub fn send(&mut self, segments: u64) -> &mut Script {
        for _ in 0..segments {
            self.send_bytes(MSS as u32);
        }
        self
    }

    pub fn send_bytes(&mut self, bytes: u32) {
        let recovery = &mut self.recovery;
        recovery.on_send(bytes, self.now, &mut self.congestion);
        self.check();
    }

    /// Sends again what may be, and says what that was.
    pub fn repairs(&mut self) -> Vec<u64> {
        let mut repaired = Vec::new();
        let window_bytes = self.congestion.window_bytes;
        while let Some(repair) = self.recovery.next_repair(window_bytes, true) {
            let recovery = &mut self.recovery;
            recovery.on_repair(repair, self.now, &mut self.congestion);
            self.check();
            repaired.push((repair.start - BASE) / MSS);
        }
        repaired
    }

    /// An ACK up to segment `una`, with SACK blocks of segments.
    pub fn ack(&mut self, una: u64, sacks: &[Range<u64>]) -> &mut Script {
        self.hear(una, sacks, None)
    }

    /// An ACK that says with D-SACK that segment `twice` came twice.
    pub fn duplicate(&mut self, una: u64, twice: u64) -> &mut Script {
        self.hear(una, &[], Some(twice..twice + 1))
    }

    fn hear(&mut self, una: u64, sacks: &[Range<u64>], twice: Option<Range<u64>>) -> &mut Script {
        let sacks: Vec<Range<u64>> = sacks.iter().map(offsets).collect();
        let twice = twice.as_ref().map(offsets);
        self.hear_bytes(offset(una), &sacks, twice);
        self.una = una;
        self
    }

    /// The same in offsets.
    pub fn hear_bytes(&mut self, una: u64, sacks: &[Range<u64>], duplicate: Option<Range<u64>>) {
        let heard = Heard {
            una,
            sacks,
            duplicate,
            answers_before: self.answers_before.take(),
            is_bare: true,
        };
        let recovery = &mut self.recovery;
        recovery.on_ack(&heard, self.now, &mut self.congestion);
        self.check();
    }

    fn check(&mut self) {
        self.recovery.board().check();
        let is_idle = self.recovery.is_idle();
        assert_eq!(self.recovery.next_at().is_none(), is_idle);
    }

    /// When the timer runs out.
    pub fn timer_ms(&self) -> Option<u64> {
        let at = self.recovery.next_at()?;
        Some((at - Instant::ZERO).total_micros() / 1_000)
    }

    /// Segments in flight.
    pub fn in_flight(&self) -> u64 {
        self.recovery.in_flight_bytes() / MSS
    }

    /// What the controller was told since the last time.
    pub fn calls(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.congestion.calls)
    }
}

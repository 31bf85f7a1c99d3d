//! The sending half of a connection: what is handed over, in flight and
//! acknowledged, and how much more may be.
//!
//! smoltcp cuts the byte stream into segments. Once one is sent it belongs to
//! [`recovery`](super::recovery), and smoltcp is told that it was acknowledged
//! ([`Sender::shadow`]), so that a small buffer is enough for any window and
//! smoltcp never sends anything twice. Only what the scoreboard has no room for
//! stays smoltcp's own.
//!
//! Sequence numbers outside, offsets of 64 bits inside.

use super::congestion::pace::Pacer;
use super::congestion::{Algorithm, Congestion, Controller};
use super::demux::{Segment, after};
use super::device::TextSent;
use super::figures::{Counts, Sending};
use super::handshake::Synchronized;
use super::mtu::{BlackHole, Mss, TIMESTAMPS_BYTES};
use super::options;
use super::pool::SEND_BUFFER_BYTES;
use super::recovery::text::Text;
use super::recovery::{Heard, Recovery, Repair, Tally};
use super::tcb::Log;
use smoltcp::time::{Duration, Instant};

/// How long a closed window is left alone (RFC 9293 §3.8.6.1 has the
/// retransmission timeout); smoltcp would probe it at once.
const FIRST_PROBE: Duration = Duration::from_secs(1);
/// How long a window too small for a decent segment is (RFC 9293 §3.8.6.2.1 has 0.1 to
/// 1 s).
const OVERRIDE: Duration = Duration::from_millis(200);
/// A pause below this is not worth a wake-up.
const SHORTEST_PAUSE: Duration = Duration::from_micros(50);
/// Segments that there is memory for from one use to the next.
const KEPT_SEGMENTS: usize = 64;

/// See the [module](self).
pub struct Sender {
    /// SND.UNA.
    una: u32,
    /// Where that is in the byte stream.
    una_offset: u64,
    /// After the last byte that was sent.
    sent: u32,
    /// After the last byte that was handed over.
    end: u32,
    /// SEG.WND of the peer's last segment, and its scale.
    window: u16,
    shift: u8,
    max_window_bytes: u32,
    /// Until when the peer's window, which is closed or silly, is left alone.
    held_until: Option<Instant>,
    mss: Mss,
    sent_at: Instant,
    recovery: Recovery,
    congestion: Congestion,
    pacer: Pacer,
    /// What was counted on this connection.
    counts: Counts,
    /// What is in flight, and what is about to be.
    pub text: Text,
}

/// What is the same for all connections.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// Largest IP packet, bytes.
    pub mtu_bytes: usize,
    /// The congestion control.
    pub congestion: Algorithm,
}

/// What limits how much may be handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Bytes.
    pub bytes: u64,
    /// It is the congestion window that allows no more, not the peer's.
    pub by_congestion: bool,
    /// It is the pace.
    pub by_pace: bool,
    /// Payload of a full segment, and what a last one, cut short, must have at
    /// least.
    pub segment_bytes: u16,
    /// See there.
    pub least_bytes: u16,
}

impl Allowance {
    /// What of `bytes`, with more to come behind them and `before` handed over, is
    /// worth sending: sender's avoidance of silly windows (RFC 9293 §3.8.6.2.1).
    pub fn without_silly_end(&self, before: usize, bytes: usize) -> usize {
        let end = (before + bytes) % usize::from(self.segment_bytes);
        match end < usize::from(self.least_bytes) {
            true => bytes.saturating_sub(end),
            false => bytes,
        }
    }
}

impl Sender {
    /// The sending half of the connection that a handshake made.
    pub fn new(made: &Synchronized, path: Path, now: Instant) -> Sender {
        let mss = Mss::new(path.mtu_bytes, &made.peer);
        let (algorithm, mss_bytes) = (path.congestion, mss.bytes());
        let mut recovery = Recovery::new(0, now);
        recovery.watch(BlackHole::new(&mss));
        if let Some(rtt) = made.rtt {
            recovery.on_handshake(rtt, now);
        }
        Sender {
            una: made.snd_nxt,
            una_offset: 0,
            sent: made.snd_nxt,
            end: made.snd_nxt,
            window: made.window,
            shift: made.peer.window_shift.unwrap_or(0),
            max_window_bytes: 0,
            held_until: None,
            mss,
            sent_at: now,
            recovery,
            congestion: Congestion::new(algorithm, mss_bytes, now, made.snd_nxt.into()),
            pacer: Pacer::new(mss_bytes),
            counts: Counts::default(),
            text: Text::default(),
        }
    }

    /// SND.UNA.
    pub fn una(&self) -> u32 {
        self.una
    }

    /// Which of the [`packet_sizes`](super::mtu::packet_sizes) it keeps to.
    #[inline]
    pub fn packet_step(&self) -> usize {
        self.mss.step()
    }

    /// After the last byte that was handed over: where FIN will be.
    pub fn end(&self) -> u32 {
        self.end
    }

    /// Whether everything that was handed over has been sent.
    pub fn has_sent_all(&self) -> bool {
        self.sent == self.end
    }

    /// Whether all of it is recovery's too.
    pub fn has_taken_over_all(&self) -> bool {
        self.has_sent_all() && self.taken_over() == self.end
    }

    /// Bytes handed over and not acknowledged.
    pub fn unacknowledged(&self) -> u32 {
        match after(self.una, self.end) {
            true => 0, // FIN is acknowledged too
            false => self.end.wrapping_sub(self.una),
        }
    }

    /// SEG.WND of the peer's last segment, unscaled.
    pub fn window(&self) -> u16 {
        self.window
    }

    /// MAX.SND.WND (RFC 5961 §5), bytes.
    pub fn max_window_bytes(&self) -> u32 {
        self.max_window_bytes
    }

    /// Until when a closed window is left alone.
    pub fn held_until(&self) -> Option<Instant> {
        self.held_until
    }

    /// Adds what was counted since the last time to `total`.
    pub fn count_into(&mut self, total: &mut Tally) {
        let segments = std::mem::take(&mut self.recovery.tally.segments);
        self.counts.segments = self.counts.segments.saturating_add(segments as u32);
        total.segments += segments;
        // Nothing else, mostly.
        if self.recovery.tally != Tally::default() {
            let tally = std::mem::take(&mut self.recovery.tally);
            self.counts.add(&tally);
            total.add(&tally);
        }
    }

    /// What there is to show of it.
    pub fn figures(&self) -> Sending {
        let (recovery, congestion) = (&self.recovery, &self.congestion);
        let rtt = recovery.rtt();
        let finite = |bytes| (bytes != u64::MAX).then_some(bytes);
        Sending {
            algorithm: congestion.name(),
            phase: congestion.phase(),
            window_bytes: finite(congestion.window_bytes()),
            threshold_bytes: finite(congestion.threshold_bytes()),
            in_flight_bytes: recovery.in_flight_bytes(),
            peer_window_bytes: self.window_bytes(),
            mss_bytes: self.mss.bytes(),
            srtt: rtt.smoothed(),
            rttvar: rtt.smoothed().map(|_| rtt.variance()),
            min_rtt: rtt.least(),
            rto: recovery.timeout(),
            rate_bytes_per_s: recovery.rate_bytes_per_s(),
            pace_bytes_per_s: congestion.pace_bytes_per_s(),
            counts: self.counts,
        }
    }

    fn window_bytes(&self) -> u32 {
        u32::from(self.window) << self.shift
    }

    fn offset(&self, seq: u32) -> u64 {
        let ahead = i64::from(seq.wrapping_sub(self.una) as i32);
        self.una_offset.saturating_add_signed(ahead)
    }

    fn seq(&self, offset: u64) -> u32 {
        self.una
            .wrapping_add(offset.wrapping_sub(self.una_offset) as u32)
    }

    // --- hearing -----------------------------------------------------------------

    /// Takes in the ACK and the window of an acceptable segment: these `current`
    /// unless a later one has overtaken it. What it answers left before then, if its
    /// timestamps say so.
    pub fn hear(
        &mut self,
        segment: &Segment<'_>,
        current: bool,
        answers_before: Option<Instant>,
        now: Instant,
    ) {
        let is_bare = current && segment.is_empty() && segment.window == self.window;
        if current {
            self.held_until = match segment.window {
                0 => self.held_until.or(Some(now + FIRST_PROBE)),
                _ => None,
            };
            self.window = segment.window;
            self.max_window_bytes = self.max_window_bytes.max(self.window_bytes());
        }
        // With nothing in flight only a D-SACK can be news.
        if !self.recovery.is_idle() || segment.options.len() > usize::from(TIMESTAMPS_BYTES) {
            self.tell_recovery(segment, is_bare, answers_before, now);
        }
        if after(segment.ack, self.una) {
            self.una_offset = self.offset(segment.ack);
            self.una = segment.ack;
            self.text.forget_before(self.una_offset);
            if after(self.una, self.sent) {
                self.sent = if after(self.una, self.end) {
                    self.end
                } else {
                    self.una
                };
            }
        }
        if self.recovery.is_idle() && self.sent == self.una {
            self.recovery.restart(self.una_offset);
        }
    }

    fn tell_recovery(
        &mut self,
        segment: &Segment<'_>,
        is_bare: bool,
        answers_before: Option<Instant>,
        now: Instant,
    ) {
        let mut sacks = [0..0, 0..0, 0..0, 0..0];
        let mut count = 0;
        for (left, right) in options::sacks(segment.options) {
            sacks[count] = self.offset(left)..self.offset(right);
            count += 1;
        }
        // RFC 2883 §4: the first block lies before the ACK, or in the second.
        let una = self.offset(segment.ack);
        let first = sacks[0].clone();
        let is_inside =
            |outer: &std::ops::Range<u64>| outer.start <= first.start && first.end <= outer.end;
        let is_duplicate = count > 0 && (first.end <= una || (count > 1 && is_inside(&sacks[1])));
        let heard = Heard {
            una,
            sacks: &sacks[usize::from(is_duplicate)..count],
            duplicate: is_duplicate.then_some(first),
            answers_before,
            is_bare,
        };
        self.recovery.on_ack(&heard, now, &mut self.congestion);
    }

    /// What smoltcp is to believe of an ACK: everything that recovery has taken
    /// over is acknowledged, and of the peer's window what is left then.
    pub fn shadow(&self) -> (u32, u16) {
        let taken_over = self.seq(self.recovery.range().end);
        let ack = if after(taken_over, self.una) {
            taken_over
        } else {
            self.una
        };
        let ack = if after(ack, self.end) { self.end } else { ack };
        let edge = self.una.wrapping_add(self.window_bytes());
        let left = if after(edge, ack) {
            edge.wrapping_sub(ack)
        } else {
            0
        };
        (ack, (left >> self.shift).min(u16::MAX.into()) as u16)
    }

    /// Whether smoltcp still holds what recovery has taken over, of the
    /// `held_bytes` that it holds.
    pub fn owes_shadow(&self, held_bytes: usize) -> bool {
        held_bytes as u64 > self.offset(self.end) - self.offset(self.shadow().0)
    }

    // --- sending -----------------------------------------------------------------

    /// Memory for what is in flight, bytes: its text, and what is remembered of its
    /// segments, which is more if the peer wants them tiny.
    pub fn held_bytes(&self) -> usize {
        self.text_bytes() + self.recovery.held_bytes()
    }

    fn text_bytes(&self) -> usize {
        let held = self.text.range();
        (held.end - held.start) as usize
    }

    /// How much more may be handed over `now`, no more than a buffer's worth in all
    /// if memory `is_short`.
    pub fn allowance(&mut self, is_short: bool, now: Instant) -> Allowance {
        let mut allowance = Allowance {
            bytes: 0,
            by_congestion: false,
            by_pace: false,
            segment_bytes: self.mss.bytes(),
            least_bytes: self.least_bytes(),
        };
        if self.held_until.is_some_and(|until| now < until) {
            return allowance;
        }
        let mss_bytes = u64::from(self.mss.bytes());
        let unsent = u64::from(self.end.wrapping_sub(self.sent));
        let (_, window) = self.shadow();
        let peer_bytes = match (u64::from(window) << self.shift, self.unacknowledged()) {
            // Something for smoltcp to probe the window with.
            (0, 0) => mss_bytes,
            (left, _) => left.saturating_sub(unsent),
        };
        let peer_bytes = peer_bytes.min(self.room_bytes(is_short, unsent));
        let idle = now - self.sent_at;
        let rto = self.recovery.rtt().timeout(0);
        if self.recovery.is_idle() && self.una_offset > 0 && idle > rto {
            self.congestion.on_idle(now, idle, rto);
            self.pacer.restart();
            self.sent_at = now;
        }
        let in_flight = self.recovery.in_flight_bytes() + unsent;
        let mut congestion_bytes = self.congestion.window_bytes().saturating_sub(in_flight);
        // A short segment would only be a nuisance, with others on the way.
        if congestion_bytes < mss_bytes && in_flight > 0 {
            congestion_bytes = 0;
        }
        if let Some(rate) = self.congestion.pace_bytes_per_s() {
            let paced = self.pacer.allowance_bytes(now, rate).saturating_sub(unsent);
            allowance.by_pace = paced < congestion_bytes;
            congestion_bytes = match paced < mss_bytes {
                true => 0,
                false => congestion_bytes.min(paced),
            };
        }
        if self.recovery.wants_probe() {
            congestion_bytes = congestion_bytes.max(mss_bytes);
        }
        allowance.bytes = peer_bytes.min(congestion_bytes);
        allowance.by_congestion = congestion_bytes < peer_bytes;
        allowance
    }

    /// What there is memory for beside what is in flight and `unsent_bytes`: on the
    /// scoreboard, and in all if that `is_short`. Nothing while smoltcp has sent what
    /// the scoreboard had no place for: the sooner that is acknowledged, the sooner
    /// recovery has all in hand again.
    fn room_bytes(&self, is_short: bool, unsent_bytes: u64) -> u64 {
        if self.offset(self.sent) > self.recovery.range().end {
            return 0;
        }
        let places = self.recovery.room() as u64;
        let room_bytes = (places * u64::from(self.mss.bytes())).saturating_sub(unsent_bytes);
        match is_short {
            true => room_bytes.min(SEND_BUFFER_BYTES.saturating_sub(self.text_bytes()) as u64),
            false => room_bytes,
        }
    }

    /// What a segment must have at least, if more is to follow that may not be sent
    /// yet (RFC 9293 §3.8.6.2.1), bytes.
    fn least_bytes(&self) -> u16 {
        let half = (self.max_window_bytes / 2).min(u16::MAX.into()) as u16;
        match self.held_until {
            Some(_) => 0, // it has waited long enough
            None if self.unacknowledged() > 0 => self.mss.bytes(),
            None => self.mss.bytes().min(half),
        }
    }

    /// The application has handed over `bytes`, and has more or not.
    pub fn note_handed_over(
        &mut self,
        bytes: usize,
        has_more: bool,
        allowance: &Allowance,
        now: Instant,
    ) {
        self.end = self.end.wrapping_add(bytes as u32);
        if has_more && self.unacknowledged() == 0 && !allowance.by_congestion {
            // A silly window, and no ACK to wait for.
            self.held_until = self.held_until.or(Some(now + OVERRIDE));
        }
        if has_more && allowance.by_congestion {
            let unsent_bytes = self.end.wrapping_sub(self.sent);
            self.recovery.note_window_limited(unsent_bytes.into());
        } else if !has_more && (bytes as u64) < allowance.bytes && !self.recovery.is_idle() {
            self.recovery.note_app_limited();
        }
    }

    /// smoltcp has sent text, or a FIN of ours has left behind all text.
    pub fn on_sent(&mut self, text: &TextSent, now: Instant) {
        let is_next = text.seq == self.sent;
        let is_taken_over = self.taken_over() == text.seq;
        if !is_next || (self.window == 0 && text.bytes > 0) {
            return; // smoltcp's own business
        }
        self.sent = text.seq.wrapping_add(text.bytes);
        self.sent_at = now;
        self.pacer.spend(text.bytes.into());
        if is_taken_over && self.recovery.room() > 0 {
            let len = text.bytes + u32::from(text.has_fin);
            self.recovery.on_send(len, now, &mut self.congestion);
        }
    }

    /// When the pace allows more.
    pub fn pace_at(&mut self, now: Instant) -> Option<Instant> {
        let rate = self.congestion.pace_bytes_per_s()?;
        // At once it would have been sent already.
        Some(self.pacer.next_at(now, rate).max(now + SHORTEST_PAUSE))
    }

    /// Up to where what was sent is recovery's, not smoltcp's, to send again.
    pub fn taken_over(&self) -> u32 {
        self.seq(self.recovery.range().end)
    }

    /// Whether there may be something to send again; with `probe`, a tail loss probe
    /// too.
    pub fn wants_repair(&self, probe: bool) -> bool {
        self.recovery.has_lost() || (probe && self.recovery.wants_probe())
    }

    /// What is to be sent again: its number, its text in `text`, and whether FIN
    /// follows.
    pub fn next_repair(&mut self, probe: bool, text: &mut Vec<u8>) -> Option<(Repair, u32, bool)> {
        let window_bytes = self.congestion.window_bytes();
        let repair = self.recovery.next_repair(window_bytes, probe)?;
        let held = self.text.range();
        let end = repair.start + u64::from(repair.len);
        text.clear();
        self.text.read(repair.start..end.min(held.end), text);
        let has_fin = end > self.offset(self.end);
        Some((repair, self.seq(repair.start), has_fin))
    }

    /// That was sent.
    pub fn on_repair(&mut self, repair: Repair, now: Instant) {
        self.sent_at = now;
        self.pacer.spend(repair.len.into());
        self.recovery.on_repair(repair, now, &mut self.congestion);
    }

    // --- timers ------------------------------------------------------------------

    /// When [`on_timer`](Sender::on_timer) has something to do.
    pub fn next_at(&self) -> Option<Instant> {
        self.recovery.next_at()
    }

    /// Does what is due.
    pub fn on_timer(&mut self, now: Instant) {
        if self.recovery.on_timer(now, &mut self.congestion) && self.mss.fall() {
            let mss_bytes = self.mss.bytes();
            self.congestion.on_mss(mss_bytes);
            self.pacer.on_mss(mss_bytes);
            self.recovery
                .on_mss(mss_bytes.into(), BlackHole::new(&self.mss), now);
        }
    }

    // --- memory ------------------------------------------------------------------

    /// Borrows the memory for what will be in flight.
    pub fn borrow_memory(&mut self, log: &mut Log) {
        std::mem::swap(&mut self.text, &mut log.text);
        std::mem::swap(self.recovery.board(), &mut log.board);
        self.text.restart(self.una_offset);
    }

    /// Gives it back, and forgets what is in flight, if anything is.
    pub fn return_memory(&mut self, log: &mut Log) {
        std::mem::swap(&mut self.text, &mut log.text);
        std::mem::swap(self.recovery.board(), &mut log.board);
        log.text.restart(0);
        log.board.clear(KEPT_SEGMENTS);
    }
}

//! The sending half of a connection: what is handed over, in flight and
//! acknowledged, and how much more may be.
//!
//! smoltcp cuts the byte stream into segments. Once one is sent it belongs to
//! [`recovery`](super::recovery), and smoltcp is told that it was acknowledged
//! ([`Sender::shadow`]), so that a small buffer is enough for any window and
//! smoltcp never sends anything twice. Only what the scoreboard has no room for
//! stays smoltcp's own. Most text of a long response does not go through smoltcp at
//! all (`aside`).
//!
//! Sequence numbers outside, offsets of 64 bits inside.
//!
//! What is remembered of what is in flight ([`Log`]) is lent to a connection while it
//! has a socket; at rest the numbers here are all of it.

mod allowance;
mod aside;
mod hear;

use crate::net::congestion::pace::Pacer;
use crate::net::congestion::{Algorithm, Congestion, Controller};
use crate::net::demux::after;
use crate::net::device::TextSent;
use crate::net::figures::{Counts, Sending};
use crate::net::handshake::Synchronized;
use crate::net::mtu::{BlackHole, Mss};
use crate::net::recovery::text::Text;
use crate::net::recovery::{Memory, Repair, Tally};
use crate::net::tcb::Log;
pub use allowance::Allowance;
use smoltcp::time::{Duration, Instant};

/// A pause below this is not worth a wake-up.
const SHORTEST_PAUSE: Duration = Duration::from_micros(50);

/// Payload of Ethernet's full packets, bytes.
const ETHERNET_MSS: u16 = 1460;

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
    congestion: Congestion,
    pacer: Pacer,
    /// What was counted on this connection.
    counts: Counts,
    /// What recovery knew of the path before this rest.
    memory: Memory,
    /// What is in flight, and what is about to be; none at rest.
    log: Option<Box<Log>>,
}

/// What is the same for all connections.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// Largest IP packet, bytes.
    pub mtu_bytes: usize,
    /// The congestion control.
    pub congestion: Algorithm,
}

impl Sender {
    /// The sending half of the connection that a handshake made.
    pub fn new(made: &Synchronized, path: Path, now: Instant) -> Sender {
        let mss = Mss::new(path.mtu_bytes, &made.peer);
        let (algorithm, mss_bytes) = (path.congestion, mss.bytes());
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
            congestion: Congestion::new(algorithm, mss_bytes, now, made.snd_nxt.into()),
            pacer: Pacer::new(mss_bytes),
            counts: Counts::default(),
            memory: Memory::new(BlackHole::new(&mss), made.rtt, now),
            log: None,
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

    /// Payload of a full segment, bytes: four should fit into the peer's largest window,
    /// lest each wait for the delayed ACK of the one before it, as long as they are larger
    /// than Ethernet's.
    #[inline]
    pub fn segment_bytes(&self) -> u16 {
        let quarter = (self.max_window_bytes / 4).clamp(ETHERNET_MSS.into(), u16::MAX.into());
        self.mss.bytes().min(quarter as u16)
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
        let Some(log) = &mut self.log else {
            return;
        };
        let tally = &mut log.recovery.tally;
        let segments = std::mem::take(&mut tally.segments);
        self.counts.segments = self.counts.segments.saturating_add(segments as u32);
        total.segments += segments;
        // Nothing else, mostly.
        if *tally != Tally::default() {
            let tally = std::mem::take(tally);
            self.counts.add(&tally);
            total.add(&tally);
        }
    }

    /// What there is to show of it, unless it is at rest.
    pub fn figures(&self) -> Option<Sending> {
        let (recovery, congestion) = (&self.log.as_ref()?.recovery, &self.congestion);
        let rtt = recovery.rtt();
        let finite = |bytes| (bytes != u64::MAX).then_some(bytes);
        Some(Sending {
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
        })
    }

    /// Whether nothing is in recovery's hands.
    fn is_idle(&self) -> bool {
        self.log.as_ref().is_none_or(|log| log.recovery.is_idle())
    }

    /// Up to where what was sent is recovery's.
    fn taken_over_offset(&self) -> u64 {
        let end = |log: &Log| log.recovery.range().end;
        self.log.as_deref().map_or(self.una_offset, end)
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

    // --- sending -----------------------------------------------------------------

    /// Memory for what is in flight, bytes: its text, and what is remembered of its
    /// segments, which is more if the peer wants them tiny.
    pub fn held_bytes(&self) -> usize {
        let held = |log: &Log| log.text.len_bytes() + log.recovery.held_bytes();
        self.log.as_deref().map_or(0, held)
    }

    /// smoltcp has sent text, or a FIN of ours has left behind all text.
    pub fn on_sent(&mut self, text: &TextSent, now: Instant) {
        let is_next = text.seq == self.sent;
        if !is_next || (self.window == 0 && text.bytes > 0) {
            return; // smoltcp's own business
        }
        self.take_over(text, now);
    }

    /// The next text was sent, and is recovery's if there is a place for it.
    fn take_over(&mut self, text: &TextSent, now: Instant) {
        let is_taken_over = self.taken_over() == text.seq;
        self.sent = text.seq.wrapping_add(text.bytes);
        self.sent_at = now;
        self.pacer.spend(text.bytes.into());
        if let Some(Log { recovery, .. }) = self.log.as_deref_mut()
            && is_taken_over
            && recovery.room() > 0
        {
            let len = text.bytes + u32::from(text.has_fin);
            recovery.on_send(len, now, &mut self.congestion);
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
        self.seq(self.taken_over_offset())
    }

    /// Whether there may be something to send again; with `probe`, a tail loss probe
    /// too.
    pub fn wants_repair(&self, probe: bool) -> bool {
        self.log
            .as_ref()
            .is_some_and(|log| log.recovery.has_lost() || (probe && log.recovery.wants_probe()))
    }

    /// What is to be sent again: its number, its text in `text`, and whether FIN
    /// follows.
    pub fn next_repair(&mut self, probe: bool, text: &mut Vec<u8>) -> Option<(Repair, u32, bool)> {
        let window_bytes = self.congestion.window_bytes();
        let log = self.log.as_mut()?;
        let repair = log.recovery.next_repair(window_bytes, probe)?;
        let held = log.text.range();
        let end = repair.start + u64::from(repair.len);
        text.clear();
        log.text.read(repair.start..end.min(held.end), text);
        let has_fin = end > self.offset(self.end);
        Some((repair, self.seq(repair.start), has_fin))
    }

    /// That was sent.
    pub fn on_repair(&mut self, repair: Repair, now: Instant) {
        self.sent_at = now;
        self.pacer.spend(repair.len.into());
        if let Some(log) = &mut self.log {
            log.recovery.on_repair(repair, now, &mut self.congestion);
        }
    }

    // --- timers ------------------------------------------------------------------

    /// When [`on_timer`](Sender::on_timer) has something to do.
    pub fn next_at(&self) -> Option<Instant> {
        self.log.as_ref()?.recovery.next_at()
    }

    /// Does what is due.
    pub fn on_timer(&mut self, now: Instant) {
        let Some(Log { recovery, .. }) = self.log.as_deref_mut() else {
            return;
        };
        let swallowed = recovery.on_timer(now, &mut self.congestion);
        if swallowed.is_some_and(|bytes| self.mss.fall_below(bytes)) {
            let mss_bytes = self.mss.bytes();
            self.congestion.on_mss(mss_bytes);
            self.pacer.on_mss(mss_bytes);
            recovery.on_mss(mss_bytes.into(), BlackHole::new(&self.mss), now);
        }
    }

    // --- memory ------------------------------------------------------------------

    /// Takes `log` for what will be in flight.
    pub fn wake(&mut self, mut log: Box<Log>, now: Instant) {
        log.recovery.resume(&self.memory, self.una_offset, now);
        log.text.restart(self.una_offset);
        self.log = Some(log);
    }

    /// Gives it back, and forgets what is in flight, if anything is.
    pub fn rest(&mut self) -> Option<Box<Log>> {
        let mut log = self.log.take()?;
        self.memory = log.recovery.rest();
        log.text.restart(0);
        Some(log)
    }

    /// What is handed over next; none at rest.
    pub fn text(&mut self) -> Option<&mut Text> {
        Some(&mut self.log.as_mut()?.text)
    }
}

//! A sender of the model: a scoreboard, a retransmission timer and a pacer around a
//! controller, with perfect selective acknowledgments.

use crate::model::{MSS, MSS_BYTES};
use std::collections::VecDeque;
use xdphttpd::net::congestion::pace::Pacer;
use xdphttpd::net::congestion::{Ack, Controller, Loss, Rate};
use xdphttpd::net::{Duration, Instant};

/// So many later ones arrived: it is lost (RFC 6675).
const DUPLICATES: u64 = 3;
const MIN_RTO: Duration = Duration::from_millis(200);

/// A segment under way, and what was so when it was sent.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// Counts segments of the flow.
    segment: u64,
    /// Counts transmissions of the flow.
    serial: u64,
    sent_at: Instant,
    is_repair: bool,
    in_flight_bytes: u64,
    delivered_bytes: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    lost_bytes: u64,
    is_app_limited: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The serial of its last transmission.
    Flying(u64),
    Lost,
    Delivered,
}

/// What a flow wants from the model.
#[derive(Debug)]
pub enum Step {
    Send(Packet),
    WakeAt(Instant),
    TimerAt(Instant),
    Wait,
}

/// What a flow has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    pub delivered_bytes: u64,
    pub sent_segments: u64,
    pub repaired_segments: u64,
    pub lost_bytes: u64,
    pub episodes: u64,
    pub timeouts: u64,
    pub most_in_flight_bytes: u64,
    /// When the last byte that there was to send was acknowledged.
    pub done_at: Option<Instant>,
}

pub struct Flow {
    pub controller: Box<dyn Controller>,
    pub total: Total,
    pub srtt: Duration,
    pub in_flight_bytes: u64,
    var: Duration,
    pacer: Pacer,
    /// Segments not sent yet.
    unsent: u64,
    /// From the first that is not acknowledged on.
    segments: VecDeque<State>,
    una: u64,
    /// Transmissions in order.
    flying: VecDeque<(u64, u64)>,
    to_repair: VecDeque<u64>,
    /// The episode ends there.
    recovery_until: Option<u64>,
    newest_delivered: u64,
    /// Transmissions up to this one were followed by a full window.
    limited_until: u64,
    app_limited_until: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    last_sent_at: Instant,
    timer_from: Instant,
    backoff: u32,
    is_wake_planned: bool,
    is_timer_planned: bool,
}

impl Flow {
    pub fn new(controller: Box<dyn Controller>) -> Self {
        Flow {
            controller,
            total: Total::default(),
            srtt: Duration::ZERO,
            in_flight_bytes: 0,
            var: Duration::ZERO,
            pacer: Pacer::new(MSS),
            unsent: 0,
            segments: VecDeque::new(),
            una: 0,
            flying: VecDeque::new(),
            to_repair: VecDeque::new(),
            recovery_until: None,
            newest_delivered: 0,
            limited_until: 0,
            app_limited_until: 0,
            delivered_at: Instant::ZERO,
            first_sent_at: Instant::ZERO,
            last_sent_at: Instant::ZERO,
            timer_from: Instant::ZERO,
            backoff: 0,
            is_wake_planned: false,
            is_timer_planned: false,
        }
    }

    fn next_segment(&self) -> u64 {
        self.una + self.segments.len() as u64
    }

    fn rto(&self) -> Duration {
        if self.srtt == Duration::ZERO {
            return Duration::from_secs(1);
        }
        MIN_RTO.max(self.srtt + self.var * 4) * (1 << self.backoff.min(6))
    }

    /// The application has more; after a pause the controller is told.
    pub fn write(&mut self, now: Instant, bytes: u64) {
        self.unsent = self.unsent.saturating_add(bytes.div_ceil(MSS_BYTES));
        self.total.done_at = None;
        let idle = now - self.last_sent_at;
        if self.segments.is_empty() && self.total.sent_segments > 0 && idle > self.rto() {
            self.controller.on_idle(now, idle, self.rto());
            self.pacer.restart();
        }
    }

    pub fn on_wake(&mut self) {
        self.is_wake_planned = false;
    }

    /// What to do next, after anything has happened.
    pub fn step(&mut self, now: Instant) -> Step {
        if !self.is_timer_planned && self.in_flight_bytes > 0 {
            self.is_timer_planned = true;
            return Step::TimerAt(self.timer_from + self.rto());
        }
        let repair = self.next_repair();
        if repair.is_none() && self.unsent == 0 {
            if self.has_room() {
                self.app_limited_until = self.total.delivered_bytes + self.in_flight_bytes;
            }
            return Step::Wait;
        }
        if !self.has_room() {
            self.limited_until = self.total.sent_segments;
            return Step::Wait;
        }
        if let Some(rate) = self.controller.pace_bytes_per_s() {
            if self.pacer.allowance_bytes(now, rate) < MSS_BYTES {
                if self.is_wake_planned {
                    return Step::Wait;
                }
                self.is_wake_planned = true;
                return Step::WakeAt(self.pacer.next_at(now, rate));
            }
            self.pacer.spend(MSS_BYTES);
        }
        Step::Send(self.send(now, repair))
    }

    fn has_room(&self) -> bool {
        self.in_flight_bytes.saturating_add(MSS_BYTES) <= self.controller.window_bytes()
    }

    fn next_repair(&mut self) -> Option<u64> {
        while let Some(&segment) = self.to_repair.front() {
            if segment >= self.una && self.state(segment) == State::Lost {
                return Some(segment);
            }
            self.to_repair.pop_front();
        }
        None
    }

    fn state(&self, segment: u64) -> State {
        self.segments[(segment - self.una) as usize]
    }

    fn set(&mut self, segment: u64, state: State) {
        self.segments[(segment - self.una) as usize] = state;
    }

    fn send(&mut self, now: Instant, repair: Option<u64>) -> Packet {
        self.total.sent_segments += 1;
        let serial = self.total.sent_segments;
        let segment = repair.unwrap_or(self.next_segment());
        if repair.is_some() {
            self.to_repair.pop_front();
            self.total.repaired_segments += 1;
            self.set(segment, State::Flying(serial));
        } else {
            self.unsent -= u64::from(self.unsent != u64::MAX);
            self.segments.push_back(State::Flying(serial));
        }
        self.flying.push_back((serial, segment));
        if self.in_flight_bytes == 0 {
            (self.first_sent_at, self.delivered_at, self.timer_from) = (now, now, now);
        }
        self.controller
            .on_send(now, MSS_BYTES, self.in_flight_bytes);
        self.in_flight_bytes += MSS_BYTES;
        self.total.most_in_flight_bytes = self.total.most_in_flight_bytes.max(self.in_flight_bytes);
        self.last_sent_at = now;
        Packet {
            segment,
            serial,
            sent_at: now,
            is_repair: repair.is_some(),
            in_flight_bytes: self.in_flight_bytes,
            delivered_bytes: self.total.delivered_bytes,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            lost_bytes: self.total.lost_bytes,
            is_app_limited: self.app_limited_until > 0,
        }
    }

    /// The receiver has `packet`.
    pub fn on_ack(&mut self, now: Instant, packet: &Packet) {
        if packet.segment < self.una || self.state(packet.segment) == State::Delivered {
            return;
        }
        let prior_in_flight_bytes = self.in_flight_bytes;
        if let State::Flying(_) = self.state(packet.segment) {
            self.in_flight_bytes -= MSS_BYTES;
        }
        self.set(packet.segment, State::Delivered);
        self.total.delivered_bytes += MSS_BYTES;
        self.newest_delivered = self.newest_delivered.max(packet.serial);
        self.delivered_at = now;
        self.timer_from = now;
        self.backoff = 0;
        let rtt = (!packet.is_repair).then(|| now - packet.sent_at);
        rtt.into_iter().for_each(|rtt| self.smooth(rtt));
        let acknowledged_bytes = self.advance();
        let lost_bytes = self.find_lost();
        self.begin_or_end(now, prior_in_flight_bytes, lost_bytes);
        let rate = Some(self.rate(now, packet));
        self.controller.on_ack(&Ack {
            now,
            delivered_bytes: MSS_BYTES,
            acknowledged_bytes,
            lost_bytes,
            prior_in_flight_bytes,
            in_flight_bytes: self.in_flight_bytes,
            rtt,
            srtt: self.srtt,
            una_offset: self.una * MSS_BYTES,
            nxt_offset: self.next_segment() * MSS_BYTES,
            is_window_limited: packet.serial <= self.limited_until,
            in_recovery: self.recovery_until.is_some(),
            rate,
        });
        if self.segments.is_empty() && self.unsent == 0 {
            self.total.done_at = Some(now);
        }
    }

    /// RFC 6298.
    fn smooth(&mut self, rtt: Duration) {
        let rtt_us = rtt.total_micros();
        let (srtt_us, var_us) = match self.srtt.total_micros() {
            0 => (rtt_us, rtt_us / 2),
            srtt => {
                let var = self.var.total_micros();
                (
                    (7 * srtt + rtt_us) / 8,
                    (3 * var + srtt.abs_diff(rtt_us)) / 4,
                )
            }
        };
        self.srtt = Duration::from_micros(srtt_us);
        self.var = Duration::from_micros(var_us);
    }

    /// Moves SND.UNA; returns by how much.
    fn advance(&mut self) -> u64 {
        let before = self.una;
        while self.segments.front() == Some(&State::Delivered) {
            self.segments.pop_front();
            self.una += 1;
        }
        (self.una - before) * MSS_BYTES
    }

    /// Finds transmissions that later ones have overtaken; returns how much they were.
    fn find_lost(&mut self) -> u64 {
        let before = self.total.lost_bytes;
        while let Some(&(serial, segment)) = self.flying.front()
            && serial + DUPLICATES <= self.newest_delivered
        {
            self.flying.pop_front();
            self.lose(serial, segment);
        }
        self.total.lost_bytes - before
    }

    fn lose(&mut self, serial: u64, segment: u64) {
        if segment >= self.una && self.state(segment) == State::Flying(serial) {
            self.set(segment, State::Lost);
            self.to_repair.push_back(segment);
            self.in_flight_bytes -= MSS_BYTES;
            self.total.lost_bytes += MSS_BYTES;
        }
    }

    fn begin_or_end(&mut self, now: Instant, prior_in_flight_bytes: u64, lost_bytes: u64) {
        if self.recovery_until.is_some_and(|until| self.una >= until) {
            self.recovery_until = None;
            self.controller.on_recovered(now);
        }
        if lost_bytes > 0 && self.recovery_until.is_none() {
            self.recovery_until = Some(self.next_segment());
            self.total.episodes += 1;
            self.controller.on_loss(&Loss {
                now,
                prior_in_flight_bytes,
                in_flight_bytes: self.in_flight_bytes,
                lost_bytes,
            });
        }
    }

    /// The delivery rate that `packet`'s arrival shows.
    fn rate(&mut self, now: Instant, packet: &Packet) -> Rate {
        self.first_sent_at = packet.sent_at;
        if self.total.delivered_bytes > self.app_limited_until {
            self.app_limited_until = 0;
        }
        let sending = packet.sent_at - packet.first_sent_at;
        let acknowledging = now - packet.delivered_at;
        Rate {
            delivered_bytes: self.total.delivered_bytes - packet.delivered_bytes,
            interval: sending.max(acknowledging),
            prior_delivered_bytes: packet.delivered_bytes,
            total_delivered_bytes: self.total.delivered_bytes,
            sent_in_flight_bytes: packet.in_flight_bytes,
            lost_bytes: self.total.lost_bytes - packet.lost_bytes,
            is_app_limited: packet.is_app_limited,
        }
    }

    /// RFC 6298 §5: all that is in flight is lost, if the timer is due indeed.
    pub fn on_timer(&mut self, now: Instant) {
        self.is_timer_planned = false;
        if self.in_flight_bytes == 0 || now < self.timer_from + self.rto() {
            return;
        }
        let prior_in_flight_bytes = self.in_flight_bytes;
        while let Some((serial, segment)) = self.flying.pop_front() {
            self.lose(serial, segment);
        }
        self.total.timeouts += 1;
        self.recovery_until = Some(self.next_segment());
        self.timer_from = now;
        self.backoff += 1;
        if self.backoff == 1 {
            self.controller.on_timeout(&Loss {
                now,
                prior_in_flight_bytes,
                in_flight_bytes: 0,
                lost_bytes: prior_in_flight_bytes,
            });
        }
        self.to_repair.make_contiguous().sort_unstable();
    }
}

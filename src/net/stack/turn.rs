//! A turn of an open connection: its socket takes what came, its application
//! moves, what can be sent is sent, and what it waits for is noted.

use super::{Entry, MAX_QUIET, SLEEP_AFTER, Stack, micros};
use crate::net::app::Application;
use crate::net::connection::{Next, Rank};
use crate::net::demux::Segment;
use crate::net::device::{Device, serve_address};
use crate::net::flow::ConnId;
use crate::net::link::FrameSink;
use smoltcp::time::{Duration, Instant};

/// Frames one connection may send in one turn before others have theirs.
const TURN_FRAMES: u32 = 32;
/// How many of those that stand still are looked at for one to make way.
const PRESSED_CANDIDATES: usize = 16;
/// How soon a connection that found no socket tries again.
const SOCKET_RETRY: Duration = Duration::from_millis(20);
/// How exactly the busy ones are kept in order of their progress.
const RANK_EVERY: Duration = Duration::from_millis(50);

impl<A: Application> Stack<A> {
    /// See the [module](self); `segment` is what came.
    pub(super) fn turn<S: FrameSink>(
        &mut self,
        id: ConnId,
        segment: Option<&Segment<'_>>,
        now: Instant,
        sink: &mut S,
    ) {
        let is_awake = match self.table.get(id) {
            Some(Entry::Open(connection)) => connection.is_awake(),
            _ => return,
        };
        if !is_awake && !self.give_socket(id, now, sink) {
            return self.go_without_socket(id, segment.is_some(), now);
        }
        let Some(Entry::Open(connection)) = self.table.get_mut(id) else {
            return;
        };
        connection.wants_socket = false;
        connection.sender.on_timer(now);
        let interface = &mut self.interfaces[connection.sender.packet_step()];
        serve_address(interface, connection.flow.local);
        let packet = segment.map(|segment| connection.shadowed(segment, &mut self.packet));
        let mut device = Device::new(packet, sink, connection.link, self.mtu_bytes);
        device.stamps = connection.stamps(now);
        device.aside_bytes = connection.aside_bytes();
        if packet.is_some() {
            connection.receive(interface, &mut device, now);
            // Making room for it may have taken the last frame.
            self.counters.drop_room_gone += u64::from(device.packet.is_some());
        } else {
            connection.shadow(interface, &mut device, now);
        }
        let mut has_room = connection.repair(&mut device, &mut self.text, false, now);
        let mut frames = TURN_FRAMES;
        let (outcome, next) = loop {
            let outcome = connection.drive(id, &mut self.app, self.pool.is_short(), now);
            if outcome.aborted || connection.has_said_all() {
                break (outcome, Next::Until(None));
            }
            let before = frames;
            let next = connection.send(interface, &mut device, &mut frames, now);
            if !outcome.wants_room || frames == before || matches!(next, Next::Room) {
                break (outcome, next);
            }
            connection.shadow(interface, &mut device, now);
        };
        connection.observe(&self.app, now);
        has_room &= connection.repair(&mut device, &mut self.text, true, now);
        connection.note(device.told);
        self.counters.tx_frames += device.sent;
        connection.count_into(&mut self.pool, &mut self.counters.recovery);
        if outcome.aborted {
            self.abort(id, now, sink);
        } else if connection.has_said_all() {
            self.close(id, now, sink);
        } else {
            let next = if has_room { next } else { Next::Room };
            self.counters.waits_for_room += u64::from(matches!(next, Next::Room) && !sink.ready());
            self.settle(id, Some(next), now);
        }
    }

    /// What is left of a turn when there is nothing to do but to note that all is
    /// acknowledged.
    pub(super) fn pause(&mut self, id: ConnId, now: Instant) {
        let Some(Entry::Open(connection)) = self.table.get_mut(id) else {
            return;
        };
        if !connection.is_awake() {
            return;
        }
        connection.observe(&self.app, now);
        connection.count_into(&mut self.pool, &mut self.counters.recovery);
        self.settle(id, None, now);
    }

    /// Gives a connection at rest a socket; false when there is none.
    fn give_socket<S: FrameSink>(&mut self, id: ConnId, now: Instant, sink: &mut S) -> bool {
        let tcb = match self.pool.take() {
            Some(tcb) => tcb,
            None if self.free_socket(now, sink) => match self.pool.take() {
                Some(tcb) => tcb,
                None => return false,
            },
            None => return false,
        };
        match self.table.get_mut(id) {
            Some(Entry::Open(connection)) => {
                connection.wake_with(tcb, self.mtu_bytes, &mut self.nowhere, now);
                true
            }
            _ => {
                self.pool.give(tcb);
                false
            }
        }
    }

    /// Takes a socket from a connection that has no use for it, or else from the
    /// one whose response has stood still longest.
    fn free_socket<S: FrameSink>(&mut self, now: Instant, sink: &mut S) -> bool {
        if let Some(id) = self.quiet.first().and_then(|index| self.table.at(index)) {
            self.sleep(id);
            return true;
        }
        let stalled = |&id: &ConnId| match self.table.get(id) {
            Some(Entry::Open(connection)) => {
                now >= connection.stalled_since() + connection.pressed_after()
            }
            _ => false,
        };
        let candidates = self.busy.iter().take(PRESSED_CANDIDATES);
        let ids = candidates.filter_map(|index| self.table.at(index));
        let Some(id) = ids.into_iter().find(stalled) else {
            return false;
        };
        self.counters.pressed_out += 1;
        self.abort(id, now, sink);
        true
    }

    /// A packet is dropped, for the peer will send it again; anything else is tried
    /// again.
    fn go_without_socket(&mut self, id: ConnId, is_packet: bool, now: Instant) {
        if is_packet {
            self.counters.drop_no_memory += 1;
        } else if let Some(Entry::Open(connection)) = self.table.get_mut(id) {
            let waits = std::mem::replace(&mut connection.wants_socket, true);
            self.counters.waits_for_memory += u64::from(!waits);
            let at = connection.patience_ends(&self.limits);
            self.timers
                .set(id.index(), micros(at.min(now + SOCKET_RETRY)));
        }
    }

    /// Notes what a connection waits for: `next`, or a sign of its peer's, and in
    /// the end its patience.
    pub(super) fn settle(&mut self, id: ConnId, next: Option<Next>, now: Instant) {
        let Some(Entry::Open(connection)) = self.table.get_mut(id) else {
            return;
        };
        let index = id.index();
        match next {
            Some(Next::Room) => {
                if !std::mem::replace(&mut connection.in_ready, true) {
                    self.ready.push_back(id);
                }
            }
            Some(Next::Until(Some(at))) => {
                let at = at.min(connection.patience_ends(&self.limits));
                self.timers.set(index, micros(at));
            }
            Some(Next::Until(None)) | None => {
                let at = connection.patience_ends(&self.limits);
                self.timers.set(index, micros(at));
            }
        }
        let (rank, was) = (connection.due_rank(), connection.rank);
        // Put in order again as rarely as the order's use allows.
        let is_late = match rank {
            Rank::Busy => connection.stalled_since() >= connection.ranked_at + RANK_EVERY,
            Rank::Quiet | Rank::QuietIdle => true,
            Rank::None | Rank::Idle => false,
        };
        if rank != was || is_late {
            connection.rank = rank;
            connection.ranked_at = now;
            self.rank(index, rank);
        }
    }

    /// Puts a connection last in its lists.
    fn rank(&mut self, index: u32, rank: Rank) {
        let is_idle = matches!(rank, Rank::Idle | Rank::QuietIdle);
        if is_idle {
            self.idle.enter(index);
        } else {
            self.idle.leave(index);
        }
        if rank == Rank::Busy {
            self.busy.renew(index);
        } else {
            self.busy.leave(index);
        }
        if matches!(rank, Rank::Quiet | Rank::QuietIdle) {
            self.quiet.renew(index);
            self.bound_quiet();
        } else {
            self.quiet.leave(index);
        }
    }

    /// Takes the sockets of connections that had no use for them of late.
    pub(super) fn put_to_sleep(&mut self, now: Instant) {
        while let Some(id) = self.quiet.first().and_then(|index| self.table.at(index)) {
            match self.table.get_mut(id) {
                Some(Entry::Open(connection)) if now < connection.turned_at + SLEEP_AFTER => break,
                _ => self.sleep(id),
            }
        }
    }

    fn bound_quiet(&mut self) {
        if self.quiet.len() > MAX_QUIET
            && let Some(id) = self.quiet.first().and_then(|index| self.table.at(index))
        {
            self.sleep(id);
        }
    }

    /// When the next one is to sleep.
    pub(super) fn next_sleep_at(&self) -> Option<Instant> {
        let id = self.table.at(self.quiet.first()?)?;
        match self.table.get(id)? {
            Entry::Open(connection) => Some(connection.turned_at + SLEEP_AFTER),
            _ => None,
        }
    }

    fn sleep(&mut self, id: ConnId) {
        self.quiet.leave(id.index());
        if let Some(Entry::Open(connection)) = self.table.get_mut(id) {
            self.app.rest(&mut connection.app);
            let tcb = connection.sleep();
            connection.rank = connection.due_rank();
            let at = connection.asleep_until(&self.limits);
            self.timers.set(id.index(), micros(at));
            if let Some(tcb) = tcb {
                self.pool.give(tcb);
            }
        }
    }
}

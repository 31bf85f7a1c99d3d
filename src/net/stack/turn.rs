//! A turn of an open connection: its socket takes what came, its application
//! moves, what can be sent is sent, and what it waits for is noted.

use super::{Entry, MAX_QUIET, SLEEP_AFTER, Stack, micros};
use crate::net::app::{Application, Outcome};
use crate::net::connection::{Connection, Next};
use crate::net::device::{Device, serve_address};
use crate::net::flow::ConnId;
use crate::net::link::FrameSink;
use crate::net::pool::{Pool, Size};
use smoltcp::time::Instant;

/// A connection whose response has not got on for this long loses its socket to
/// one that has use for it, when memory is used up.
const PRESSED_STALL: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(5);

impl<A: Application> Stack<A> {
    /// See the [module](self); `packet` is what came.
    pub(super) fn turn<S: FrameSink>(
        &mut self,
        id: ConnId,
        packet: Option<&[u8]>,
        now: Instant,
        sink: &mut S,
    ) {
        if !self.give_socket(id, now, sink) {
            return self.go_without_socket(id, packet.is_some());
        }
        let Some(Entry::Open(connection)) = self.table.get_mut(id) else {
            return;
        };
        serve_address(&mut self.interface, connection.flow.local);
        let mut device = Device::new(packet, sink, connection.link, self.mtu_bytes);
        device.stamps = connection.stamps(now);
        if packet.is_some() {
            connection.receive(&mut self.interface, &mut device, now);
        }
        let mut outcome = connection.drive(id, &mut self.app, now);
        if outcome.wants_large {
            enlarge(
                connection,
                &mut self.pool,
                self.mtu_bytes,
                &mut self.nowhere,
                now,
            );
            outcome = connection.drive(id, &mut self.app, now);
        }
        connection.observe(&self.app, now);
        connection.note(device.told.take());
        let Outcome { aborted, .. } = outcome;
        let is_said = connection.has_said_all();
        let next = if aborted || is_said {
            Next::Until(None)
        } else {
            connection.send(&mut self.interface, &mut device, now)
        };
        connection.note(device.told);
        self.counters.tx_frames += device.sent;
        if aborted {
            self.abort(id, now, sink);
        } else if is_said {
            self.close(id, now, sink);
        } else {
            self.counters.waits_for_room += u64::from(matches!(next, Next::Room) && !sink.ready());
            self.settle(id, Some(next), now);
        }
    }

    /// Makes sure that a connection has a socket; false when there is none.
    fn give_socket<S: FrameSink>(&mut self, id: ConnId, now: Instant, sink: &mut S) -> bool {
        let is_awake = |entry: Option<&mut Entry<A>>| match entry {
            Some(Entry::Open(connection)) => connection.is_awake(),
            _ => false,
        };
        if is_awake(self.table.get_mut(id)) {
            return true;
        }
        let tcb = match self.pool.take(Size::Small) {
            Some(tcb) => tcb,
            None if self.free_socket(now, sink) => match self.pool.take(Size::Small) {
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
        let Some(id) = self.busy.first().and_then(|index| self.table.at(index)) else {
            return false;
        };
        let is_stalled = match self.table.get_mut(id) {
            Some(Entry::Open(connection)) => now >= connection.stalled_since() + PRESSED_STALL,
            _ => false,
        };
        if is_stalled {
            self.counters.pressed_out += 1;
            self.abort(id, now, sink);
        }
        is_stalled
    }

    /// A packet is dropped, for the peer will send it again; anything else waits.
    fn go_without_socket(&mut self, id: ConnId, is_packet: bool) {
        self.counters.drop_no_memory += 1;
        if is_packet {
            return;
        }
        if let Some(Entry::Open(connection)) = self.table.get_mut(id)
            && !std::mem::replace(&mut connection.in_ready, true)
        {
            self.ready.push_back(id);
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
        let (is_quiet, is_awake) = (connection.is_quiet(), connection.is_awake());
        if is_quiet {
            self.busy.leave(index);
            self.quiet.renew(index);
        } else if is_awake {
            self.quiet.leave(index);
            // Moved only when it got on, so that the first has stood still longest.
            if connection.stalled_since() == now {
                self.busy.renew(index);
            } else {
                self.busy.enter(index);
            }
        }
        if connection.is_idle() && (is_quiet || !is_awake) {
            self.idle.enter(index);
        } else {
            self.idle.leave(index);
        }
        if is_quiet {
            self.bound_quiet();
        }
    }

    /// Takes the sockets of connections that had no use for them of late.
    pub(super) fn put_to_sleep(&mut self, now: Instant) {
        while let Some(id) = self.quiet.first().and_then(|index| self.table.at(index)) {
            match self.table.get_mut(id) {
                Some(Entry::Open(connection)) if now < connection.turned_at + SLEEP_AFTER => break,
                Some(Entry::Open(connection)) => self.app.rest(&mut connection.app),
                _ => {}
            }
            self.sleep(id);
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
            let tcb = connection.sleep();
            let at = connection.patience_ends(&self.limits);
            self.timers.set(id.index(), micros(at));
            if let Some(tcb) = tcb {
                self.pool.give(tcb);
            }
        }
    }
}

/// Moves a connection to a large socket, if memory has one.
fn enlarge<A: Application>(
    connection: &mut Connection<A>,
    pool: &mut Pool,
    mtu_bytes: usize,
    nowhere: &mut crate::net::device::Nowhere,
    now: Instant,
) {
    match pool.take(Size::Large) {
        Some(tcb) => {
            if let Some(small) = connection.wake_with(tcb, mtu_bytes, nowhere, now) {
                pool.give(small);
            }
        }
        None => connection.stay_small(),
    }
}

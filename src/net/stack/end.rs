//! Timers, and every way in which a connection ends.

use super::{Entry, Stack, micros};
use crate::net::app::Application;
use crate::net::closing::{Closing, Due, State};
use crate::net::connection::{Connection, Expired};
use crate::net::demux::{Flow, LinkAddresses};
use crate::net::flow::ConnId;
use crate::net::link::FrameSink;
use crate::net::reply::Reply;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::TcpControl;

/// How long a peer that has acknowledged our FIN must be silent before the end
/// of the server no longer waits for its own.
const DRAIN_SILENCE: Duration = Duration::from_secs(1);

impl<A: Application> Stack<A> {
    /// A flow's timer is due, or there is room for what it wanted to send.
    pub(super) fn timer<S: FrameSink>(&mut self, id: ConnId, now: Instant, sink: &mut S) {
        match self.table.get_mut(id) {
            Some(Entry::HalfOpen(_)) => self.time_half_open(id, now, sink),
            Some(Entry::Open(_)) => self.time_open(id, now, sink),
            Some(Entry::Closing(_)) => self.time_closing(id, now, sink),
            None => {}
        }
    }

    fn time_half_open<S: FrameSink>(&mut self, id: ConnId, now: Instant, sink: &mut S) {
        let Some(Entry::HalfOpen(half_open)) = self.table.get_mut(id) else {
            return;
        };
        if half_open.is_over(self.limits.handshake, now) {
            self.counters.expired_handshake += 1;
            return self.forget(id);
        }
        if !sink.ready() {
            return self.ready.push_back(id);
        }
        let must_repeat = half_open.must_repeat(now);
        let (way, syn_ack) = (half_open.way(), half_open.syn_ack(now));
        let at = half_open.next_at(self.limits.handshake);
        self.timers.set(id.index(), micros(at));
        if must_repeat {
            let sent = self.say(syn_ack.reply(self.mtu_bytes), way, sink);
            self.counters.repeated_syn_acks += u64::from(sent);
        }
    }

    fn time_open<S: FrameSink>(&mut self, id: ConnId, now: Instant, sink: &mut S) {
        let Some(Entry::Open(connection)) = self.table.get_mut(id) else {
            return;
        };
        let expired = connection.expired(&self.limits, now);
        let has_turn = connection.may_go_on() || connection.wants_socket;
        *match expired {
            Some(Expired::KeepAlive) => &mut self.counters.expired_keep_alive,
            Some(Expired::Head) => &mut self.counters.expired_head,
            Some(Expired::Body) => &mut self.counters.expired_body,
            Some(Expired::SendStall) => &mut self.counters.expired_send_stall,
            Some(Expired::SendRate) => &mut self.counters.expired_send_rate,
            None if has_turn => return self.turn(id, None, now, sink),
            None => return self.settle(id, None, now),
        } += 1;
        match expired {
            Some(Expired::SendStall | Expired::SendRate) => self.abort(id, now, sink),
            _ => self.close(id, now, sink),
        }
    }

    fn time_closing<S: FrameSink>(&mut self, id: ConnId, now: Instant, sink: &mut S) {
        let Some(Entry::Closing(closing)) = self.table.get_mut(id) else {
            return;
        };
        let way = (closing.flow, closing.link);
        match closing.due(&self.limits, now) {
            Due::Fin => {
                let fin = closing.fin(now);
                if !sink.ready() {
                    return self.ready.push_back(id);
                }
                closing.note_fin(now);
                let due = closing.due(&self.limits, now);
                self.say(fin, way, sink);
                if let Due::Until(at) = due {
                    self.timers.set(id.index(), micros(at));
                }
            }
            Due::Unacknowledged => {
                self.counters.expired_fin_wait += 1;
                let reset = closing.reset(now);
                self.counters.resets_sent += u64::from(self.say(reset, way, sink));
                self.forget(id);
            }
            Due::Over => {
                self.counters.expired_fin_wait += u64::from(closing.state != State::TimeWait);
                self.forget(id);
            }
            Due::Until(at) => self.timers.set(id.index(), micros(at)),
        }
    }

    // --- the ends of an open connection ------------------------------------------

    /// Ends a connection politely: what remains is a record, and the FIN.
    pub(super) fn close<S: FrameSink>(&mut self, id: ConnId, now: Instant, sink: &mut S) {
        let Some(Entry::Open(connection)) = self.table.get_mut(id) else {
            return;
        };
        let (ending, owes_ack) = (connection.ending(), connection.owes_ack());
        if ending.passive && ending.fin_acknowledged {
            return self.forget(id);
        }
        let closing = Closing::new(&ending, now);
        if ending.fin_sent && owes_ack {
            self.say(closing.ack(now), (ending.flow, ending.link), sink);
        }
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        if let Entry::Open(connection) = std::mem::replace(entry, Entry::Closing(closing)) {
            self.leave_open(id, *connection);
        }
        self.rank_closing(id);
        self.timer(id, now, sink);
        self.bound_closing(now, sink);
    }

    /// Ends a connection with RST.
    pub(super) fn abort<S: FrameSink>(&mut self, id: ConnId, now: Instant, sink: &mut S) {
        let Some(Entry::Open(connection)) = self.table.get_mut(id) else {
            return;
        };
        let way = (connection.flow, connection.link);
        let reset = connection.reply(TcpControl::Rst, now);
        self.counters.resets_sent += u64::from(self.say(reset, way, sink));
        self.forget(id);
    }

    /// Removes a flow, whatever it is.
    pub(super) fn forget(&mut self, id: ConnId) {
        self.timers.cancel(id.index());
        match self.table.remove(id) {
            Some(Entry::Open(connection)) => self.leave_open(id, *connection),
            Some(Entry::HalfOpen(_)) => self.half_open -= 1,
            Some(Entry::Closing(_)) => {
                self.closing.leave(id.index());
                self.time_wait.leave(id.index());
            }
            None => {}
        }
    }

    /// Takes back what being open had given to a connection.
    fn leave_open(&mut self, id: ConnId, mut connection: Connection<A>) {
        for ranks in [&mut self.idle, &mut self.quiet, &mut self.busy] {
            ranks.leave(id.index());
        }
        self.pool.recount(&mut connection.counted_bytes, 0);
        connection.sender.count_into(&mut self.counters.recovery);
        if let Some(tcb) = connection.sleep() {
            self.pool.give(tcb);
        }
        self.sources.leave(connection.flow.remote);
        self.open -= 1;
        self.counters.closed += 1;
        self.app.close(id, connection.app);
    }

    /// Above the limit the oldest record is forgotten, for it has had most of its
    /// time: of those in TIME-WAIT, if there are any.
    fn bound_closing<S: FrameSink>(&mut self, now: Instant, sink: &mut S) {
        if self.closing.len() + self.time_wait.len() <= self.limits.max_time_wait {
            return;
        }
        let oldest = self.time_wait.first().or(self.closing.first());
        let Some(id) = oldest.and_then(|index| self.table.at(index)) else {
            return;
        };
        self.counters.closing_full += 1;
        // Its peer would wait for our FIN for ever.
        if let Some((reset, way)) = self.last_word(id, now) {
            self.counters.resets_sent += u64::from(self.say(reset, way, sink));
        }
        self.forget(id);
    }

    /// Puts a closing connection in the list of its state.
    pub(super) fn rank_closing(&mut self, id: ConnId) {
        match self.table.get(id) {
            Some(Entry::Closing(closing)) if closing.state == State::TimeWait => {
                self.closing.leave(id.index());
                self.time_wait.enter(id.index());
            }
            Some(Entry::Closing(_)) => self.closing.enter(id.index()),
            _ => {}
        }
    }

    /// Room for one more connection: the longest-idle one is closed for it when
    /// there is none. False when none is idle.
    pub(super) fn make_room<S: FrameSink>(&mut self, now: Instant, sink: &mut S) -> bool {
        if self.open < self.limits.max_connections {
            return true;
        }
        let Some(id) = self.idle.first().and_then(|index| self.table.at(index)) else {
            return false;
        };
        self.counters.evicted_idle += 1;
        self.close(id, now, sink);
        true
    }

    // --- the end of all ----------------------------------------------------------

    /// Begins the end: no new connections, responses in flight are finished,
    /// idle connections closed. Walks over all connections, once.
    pub fn drain<S: FrameSink>(&mut self, now: Instant, sink: &mut S) {
        self.draining = true;
        for id in self.table.ids() {
            match self.table.get_mut(id) {
                Some(Entry::Open(connection)) => {
                    self.app.shut_down(&mut connection.app);
                    if connection.is_awake() {
                        self.turn(id, None, now, sink);
                    } else if connection.is_idle() {
                        self.close(id, now, sink);
                    }
                }
                Some(Entry::HalfOpen(_)) => self.forget(id),
                _ => {}
            }
        }
    }

    /// Whether every connection has ended or only waits: out TIME-WAIT, or for the
    /// FIN of a peer that has acknowledged all and then fallen silent (an idle
    /// client need not look at its connection). Walks over all of them.
    pub fn is_drained(&mut self, now: Instant) -> bool {
        self.table
            .ids()
            .into_iter()
            .all(|id| match self.table.get(id) {
                Some(Entry::Open(_)) => false,
                Some(Entry::Closing(closing)) => match closing.state {
                    State::TimeWait => true,
                    State::FinWait2 => closing.silence(now) >= DRAIN_SILENCE,
                    _ => false,
                },
                Some(Entry::HalfOpen(_)) | None => true,
            })
    }

    /// Forgets all connections: with RST, as far as there is room to send it,
    /// those whose peers have not acknowledged all, in silence the others.
    pub fn abort_all<S: FrameSink>(&mut self, now: Instant, sink: &mut S) {
        for id in self.table.ids() {
            if let Some((reset, way)) = self.last_word(id, now) {
                self.counters.resets_sent += u64::from(self.say(reset, way, sink));
            }
            self.forget(id);
        }
    }

    fn last_word(&self, id: ConnId, now: Instant) -> Option<(Reply, (Flow, LinkAddresses))> {
        match self.table.get(id)? {
            Entry::Open(connection) => Some((
                connection.reply(TcpControl::Rst, now),
                (connection.flow, connection.link),
            )),
            Entry::Closing(closing) if !closing.is_acknowledged() => {
                Some((closing.reset(now), (closing.flow, closing.link)))
            }
            _ => None,
        }
    }
}

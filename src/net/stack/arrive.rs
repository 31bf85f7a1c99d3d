//! SEGMENT ARRIVES (RFC 9293 §3.10.7), flow by flow.

use super::{Entry, Stack, micros};
use crate::net::accept::{self, Deserves};
use crate::net::app::Application;
use crate::net::check::{self, Verdict};
use crate::net::closing::{Answer, State};
use crate::net::connection::Connection;
use crate::net::cookie::LIFETIME;
use crate::net::demux::{Segment, after};
use crate::net::flow::ConnId;
use crate::net::handshake::{HalfOpen, Step, SynAck, Synchronized};
use crate::net::link::FrameSink;
use crate::net::options::{self, Clock, Timestamps};
use crate::net::reply::Reply;
use smoltcp::time::Instant;
use smoltcp::wire::TcpControl;
use std::net::SocketAddrV4;

impl<A: Application> Stack<A> {
    pub(super) fn arrive<S: FrameSink>(
        &mut self,
        segment: &Segment<'_>,
        now: Instant,
        sink: &mut S,
    ) {
        let Some(id) = self.table.find(segment.flow) else {
            return self.arrive_first(segment, now, sink);
        };
        match self.table.get(id) {
            Some(Entry::Open(_)) => self.arrive_open(id, segment, now, sink),
            Some(Entry::Closing(_)) => self.arrive_closing(id, segment, now, sink),
            Some(Entry::HalfOpen(_)) => self.arrive_half_open(id, segment, now, sink),
            None => {}
        }
    }

    /// Whether it belongs to no connection here, and begins none.
    pub(super) fn is_stray(&self, segment: &Segment<'_>, now: Instant) -> bool {
        !segment.flags.syn
            && self.table.find(segment.flow).is_none()
            && self.redeem(segment, now).is_none()
    }

    // --- no connection -----------------------------------------------------------

    fn arrive_first<S: FrameSink>(&mut self, segment: &Segment<'_>, now: Instant, sink: &mut S) {
        match accept::deserves(segment.flags) {
            Deserves::Silence => self.counters.drop_stray += 1,
            Deserves::Connection if self.may_begin(segment, sink) => {
                self.begin(segment, 0, now, sink);
            }
            Deserves::Connection => {}
            Deserves::Reset => match self.redeem(segment, now) {
                Some(made) => {
                    self.counters.cookies_redeemed += 1;
                    self.admit(None, &made, segment, now, sink);
                }
                // While cookies are out it may be the second segment of a client
                // whose first was lost: that one will come again.
                None if now < self.cookies_until => self.counters.drop_no_cookie += 1,
                None => self.refuse(segment, sink),
            },
        }
    }

    fn refuse<S: FrameSink>(&mut self, segment: &Segment<'_>, sink: &mut S) {
        self.counters.resets_for_strays += 1;
        let way = (segment.flow, segment.link);
        self.say(Reply::refusal(segment), way, sink);
    }

    /// Whether a SYN may begin a connection; if not, it is refused or dropped.
    fn may_begin<S: FrameSink>(&mut self, syn: &Segment<'_>, sink: &mut S) -> bool {
        if self.draining {
            self.refuse(syn, sink);
            false
        } else if self.open >= self.limits.max_connections && self.idle.is_empty() {
            self.counters.drop_table_full += 1;
            false
        } else if !self.sources.has_room(syn.flow.remote) {
            self.counters.drop_source_full += 1;
            false
        } else {
            true
        }
    }

    /// Answers a SYN, with a number of ours not below `floor`, if that is not 0.
    fn begin<S: FrameSink>(&mut self, syn: &Segment<'_>, floor: u32, now: Instant, sink: &mut S) {
        let clock = Clock::of(syn.flow, &self.key);
        // One that takes over from TIME-WAIT takes that one's place, and a cookie
        // could not keep to the floor.
        let syn_ack = if floor != 0 || self.half_open < self.limits.max_half_open {
            self.counters.syns += 1;
            let number = self.isn.number(syn.flow, now);
            let iss = if floor != 0 && after(floor, number) {
                floor
            } else {
                number
            };
            self.remember(HalfOpen::new(syn, iss, clock, now), now)
        } else {
            self.counters.cookies_sent += 1;
            self.cookies_until = now + LIFETIME;
            self.cookie(syn, clock, now)
        };
        let reply = syn_ack.reply(self.mtu_bytes);
        self.say(reply, (syn.flow, syn.link), sink);
    }

    fn remember(&mut self, half_open: HalfOpen, now: Instant) -> SynAck {
        let (flow, _) = half_open.way();
        let at = half_open.next_at(self.limits.handshake);
        let id = self.table.insert(flow, |_| Entry::HalfOpen(half_open));
        self.half_open += 1;
        self.timers.set(id.index(), micros(at));
        half_open.syn_ack(now)
    }

    fn cookie(&self, syn: &Segment<'_>, clock: Clock, now: Instant) -> SynAck {
        let (asked, stamps) = options::of_syn(syn.options);
        let (iss, value, peer) = self.cookies.make(syn.flow, syn.seq, asked, clock, now);
        let timestamps = value.zip(stamps).map(|(value, stamps)| Timestamps {
            value,
            echo: stamps.value,
        });
        SynAck {
            iss,
            irs: syn.seq,
            peer,
            timestamps,
        }
    }

    /// The connection that the ACK of a cookie stands for.
    fn redeem(&self, ack: &Segment<'_>, now: Instant) -> Option<Synchronized> {
        if now >= self.cookies_until || ack.flags.syn || self.draining {
            return None;
        }
        let stamps = options::timestamps(ack.options);
        let (syn, number) = (ack.seq.wrapping_sub(1), ack.ack.wrapping_sub(1));
        let echo = stamps.map(|stamps| stamps.echo);
        let peer = self.cookies.check(ack.flow, syn, number, echo, now)?;
        Some(Synchronized {
            flow: ack.flow,
            link: ack.link,
            snd_nxt: ack.ack,
            rcv_nxt: ack.seq,
            window: ack.window,
            peer,
            ts_recent: stamps.map_or(0, |stamps| stamps.value),
            clock: Clock::of(ack.flow, &self.key),
            rtt: None,
        })
    }

    // --- SYN-RECEIVED ------------------------------------------------------------

    fn arrive_half_open<S: FrameSink>(
        &mut self,
        id: ConnId,
        segment: &Segment<'_>,
        now: Instant,
        sink: &mut S,
    ) {
        let Some(Entry::HalfOpen(half_open)) = self.table.get_mut(id) else {
            return;
        };
        let way = half_open.way();
        let step = half_open.arrive(segment, now);
        let syn_ack = half_open.syn_ack(now);
        // The client may have had a cookie before somebody else, or an old SYN of
        // its own, made this handshake.
        if matches!(step, Step::Answer(_) | Step::Challenge(_) | Step::Drop)
            && segment.flags.ack
            && !segment.flags.rst
            && let Some(made) = self.redeem(segment, now)
        {
            self.counters.cookies_redeemed += 1;
            return self.admit(Some(id), &made, segment, now, sink);
        }
        match step {
            Step::Drop => self.counters.drop_unacceptable += 1,
            Step::Repeat => {
                let reply = syn_ack.reply(self.mtu_bytes);
                self.say(reply, (segment.flow, segment.link), sink);
            }
            // As in `arrive_first`: it may be behind one that brings a cookie.
            Step::Answer(_) if now < self.cookies_until => self.counters.drop_no_cookie += 1,
            Step::Answer(reply) => {
                self.counters.resets_for_strays += 1;
                self.say(reply, way, sink);
            }
            Step::Challenge(reply) => {
                self.counters.challenged += 1;
                self.say(reply, way, sink);
            }
            Step::Reset => {
                self.counters.reset_by_peer += 1;
                self.forget(id);
            }
            Step::Done(made) => self.admit(Some(id), &made, segment, now, sink),
        }
    }

    /// A handshake is complete: room is made for the connection, in the place of
    /// its handshake if that has one, and it takes the `segment` that completed it.
    fn admit<S: FrameSink>(
        &mut self,
        half_open: Option<ConnId>,
        made: &Synchronized,
        segment: &Segment<'_>,
        now: Instant,
        sink: &mut S,
    ) {
        if !self.sources.has_room(made.flow.remote) {
            self.counters.drop_source_full += 1;
            return;
        }
        if !self.make_room(now, sink) {
            self.counters.drop_table_full += 1;
            return;
        }
        self.sources.enter(made.flow.remote);
        self.open += 1;
        self.counters.accepted += 1;
        let app = &mut self.app;
        let path = self.path;
        let remote = SocketAddrV4::new(made.flow.remote, made.flow.remote_port);
        let mut open = |id| {
            let conn = app.open(id, remote);
            let waits = app.waits(&conn);
            Entry::Open(Box::new(Connection::new(made, conn, waits, path, now)))
        };
        let id = match half_open {
            Some(id) => {
                self.half_open -= 1;
                if let Some(entry) = self.table.get_mut(id) {
                    *entry = open(id);
                }
                id
            }
            None => self.table.insert(made.flow, open),
        };
        self.settle(id, None, now);
        self.arrive_open(id, segment, now, sink);
    }

    // --- ESTABLISHED and what follows while there is something to send -----------

    fn arrive_open<S: FrameSink>(
        &mut self,
        id: ConnId,
        segment: &Segment<'_>,
        now: Instant,
        sink: &mut S,
    ) {
        let Some(Entry::Open(connection)) = self.table.get_mut(id) else {
            return;
        };
        let stamps = connection
            .has_timestamps()
            .then(|| options::timestamps(segment.options))
            .flatten();
        match check::judge(segment, stamps, &connection.view()) {
            Verdict::Take => {
                connection.hear(segment, stamps, true, now);
                if !segment.is_empty()
                    || (connection.may_go_on() && !connection.is_at_rest(&self.app))
                {
                    self.turn(id, Some(segment), now, sink);
                } else {
                    // Between exchanges there is nothing else in an empty segment.
                    self.pause(id, now);
                }
            }
            Verdict::TakeOld => {
                connection.hear(segment, stamps, false, now);
                if !segment.is_empty() {
                    self.turn(id, Some(segment), now, sink);
                }
            }
            Verdict::Acknowledge => {
                let way = (connection.flow, connection.link);
                let reply = connection.reply(TcpControl::None, now);
                self.counters.reacknowledged += 1;
                self.say(reply, way, sink);
            }
            Verdict::Challenge if connection.challenges.allow(now) => {
                let way = (connection.flow, connection.link);
                let reply = connection.reply(TcpControl::None, now);
                self.counters.challenged += 1;
                self.say(reply, way, sink);
            }
            Verdict::Reset => {
                self.counters.reset_by_peer += 1;
                self.forget(id);
            }
            Verdict::Challenge | Verdict::Drop => self.counters.drop_unacceptable += 1,
        }
    }

    // --- FIN-WAIT-1 to TIME-WAIT -------------------------------------------------

    fn arrive_closing<S: FrameSink>(
        &mut self,
        id: ConnId,
        segment: &Segment<'_>,
        now: Instant,
        sink: &mut S,
    ) {
        let Some(Entry::Closing(closing)) = self.table.get_mut(id) else {
            return;
        };
        if let Some(floor) = closing.gives_way_to(segment) {
            if self.may_begin(segment, sink) {
                self.forget(id);
                self.begin(segment, floor.max(1), now, sink);
            }
            return;
        }
        let answer = closing.arrive(segment, now);
        let (way, ack) = ((closing.flow, closing.link), closing.ack(now));
        let is_late = closing.state == State::TimeWait;
        match answer {
            Answer::Silence => {}
            Answer::Ack => {
                self.counters.reacknowledged += u64::from(is_late);
                self.say(ack, way, sink);
            }
            Answer::Challenge => {
                self.counters.challenged += 1;
                self.say(ack, way, sink);
            }
            Answer::Reset => {
                self.counters.reset_by_peer += 1;
                return self.forget(id);
            }
            Answer::Over => return self.forget(id),
        }
        self.rank_closing(id);
        self.timer(id, now, sink);
    }
}

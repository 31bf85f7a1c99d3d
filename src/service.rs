//! HTTP on the stack: what joins [`http`](crate::http) and
//! [`site`](crate::site), which know no network, to [`net`](crate::net), which
//! knows no HTTP.

use crate::http::{Conn, Context, Counters, Date};
use crate::net::{Application, ConnId, Duration, Instant, Patience, Stream};
use crate::site::{Event, Loader, Site, Waiter};
use std::time::SystemTime;

/// A connection between requests may stay silent this long (nginx: 75 s).
const IDLE_SILENCE: Duration = Duration::from_secs(75);
/// A request that has begun must go on within this time (nginx: 60 s).
const REQUEST_SILENCE: Duration = Duration::from_secs(30);
/// A peer that we are sending to, or loading for, must be heard of within this
/// time (nginx: 60 s).
const RESPONSE_SILENCE: Duration = Duration::from_secs(60);

/// The HTTP server of one worker.
pub struct HttpService<L> {
    site: Site<L>,
    date: Date,
    date_second: u64,
    /// What was counted so far.
    pub counters: Counters,
}

impl<L: Loader> HttpService<L> {
    /// A server of `site`; `wall` is the time of day.
    pub fn new(site: Site<L>, wall: SystemTime) -> HttpService<L> {
        HttpService {
            site,
            date: Date::new(wall),
            date_second: 0,
            counters: Counters::default(),
        }
    }

    /// Renders the Date field anew when `now` is in another second than at the
    /// last call; `wall` is asked only then.
    pub fn tick(&mut self, now: Instant, wall: impl FnOnce() -> SystemTime) {
        let second = now.total_micros() as u64 / 1_000_000;
        if second != self.date_second {
            self.date_second = second;
            self.date = Date::new(wall());
        }
    }

    /// The next file event that has come, with the connection that it is for.
    pub fn completed(&mut self) -> Option<(ConnId, Event)> {
        let event = self.site.poll()?;
        Some((ConnId::from_u64(event.waiter().0), event))
    }

    /// Hands a file event to its connection.
    pub fn deliver(&mut self, id: ConnId, conn: &mut Conn, event: Event, now: Instant) {
        conn.event(event, &mut self.context(id, now));
    }

    fn context(&mut self, id: ConnId, now: Instant) -> Context<'_, L> {
        Context {
            site: &mut self.site,
            now: std::time::Duration::from_micros(now.total_micros() as u64),
            date: &self.date,
            waiter: Waiter(id.to_u64()),
            counters: &mut self.counters,
        }
    }
}

impl<L: Loader> Application for HttpService<L> {
    type Conn = Conn;

    fn open(&mut self, _id: ConnId) -> Conn {
        Conn::new()
    }

    fn drive(&mut self, id: ConnId, conn: &mut Conn, stream: &mut Stream<'_>, now: Instant) {
        let mut cx = self.context(id, now);
        loop {
            let received = stream.recv(|bytes| conn.input(bytes, &mut cx));
            if stream.peer_closed() {
                conn.input_end();
            }
            let mut sent = 0;
            loop {
                let output = conn.output();
                let taken = stream.send(output);
                if taken == 0 {
                    break;
                }
                sent += taken;
                conn.advance(taken, &mut cx);
            }
            if conn.must_abort() {
                return stream.abort();
            }
            if received == 0 && sent == 0 {
                break;
            }
        }
        if conn.wants_close() {
            stream.close();
        }
    }

    fn patience(&self, conn: &Conn) -> Patience {
        if conn.is_idle() {
            Patience {
                silence: IDLE_SILENCE,
                polite: true,
            }
        } else if conn.in_response() {
            Patience {
                silence: RESPONSE_SILENCE,
                polite: false,
            }
        } else {
            Patience {
                silence: REQUEST_SILENCE,
                polite: true,
            }
        }
    }

    fn shut_down(&mut self, conn: &mut Conn) {
        conn.shut_down();
    }

    fn close(&mut self, id: ConnId, conn: Conn) {
        if conn.is_waiting() {
            self.site.forget(Waiter(id.to_u64()));
        }
    }
}

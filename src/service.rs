//! HTTP on the stack: what joins [`http`](crate::http) and
//! [`site`](crate::site), which know no network, to [`net`](crate::net), which
//! knows no HTTP.

use crate::access_log::Batch;
use crate::http::{Conn, Context, Counters, Date, Limits};
use crate::net::{Application, ConnId, Instant, Stage, Stream, Waits};
use crate::site::{Event, Loader, Now, Site, Waiter};
use std::net::SocketAddrV4;
use std::time::SystemTime;

/// The HTTP server of one worker.
pub struct HttpService<L> {
    site: Site<L>,
    date: Date,
    date_second: u64,
    /// When it was last asked for the time of day.
    ticked_at: Instant,
    /// Bytes of bodies being read from files, and of unfinished request heads,
    /// that may be in memory before further bodies are read in small pieces and
    /// long heads refused.
    generous_bytes: u64,
    /// Bytes that are.
    held_bytes: u64,
    log: Option<Batch>,
    /// What requests may take.
    pub limits: Limits,
    /// What was counted so far.
    pub counters: Counters,
}

impl<L: Loader> HttpService<L> {
    /// A server of `site`; `wall` is the time of day. Above `generous_bytes` of
    /// bodies in memory it reads in small pieces.
    pub fn new(site: Site<L>, generous_bytes: usize, wall: SystemTime) -> HttpService<L> {
        HttpService {
            site,
            date: Date::new(wall),
            date_second: 0,
            ticked_at: Instant::ZERO,
            generous_bytes: generous_bytes as u64,
            held_bytes: 0,
            log: None,
            limits: Limits::default(),
            counters: Counters::default(),
        }
    }

    /// The same with an access log, if one is to be written.
    pub fn with_log(mut self, log: Option<Batch>) -> Self {
        self.log = log;
        self
    }

    /// Renders the Date field anew when `now` is in another second than at the
    /// last call; `wall` is asked only then.
    pub fn tick(&mut self, now: Instant, wall: impl FnOnce() -> SystemTime) {
        self.ticked_at = now;
        let second = now.total_micros() as u64 / 1_000_000;
        if second != self.date_second {
            self.date_second = second;
            self.date = Date::new(wall());
        }
        if let Some(log) = &mut self.log {
            log.flush(since_start(now));
        }
    }

    /// When [`tick`](HttpService::tick) has more to do than to look at the clock.
    pub fn next_at(&self) -> Option<Instant> {
        let at = self.log.as_ref()?.due_at()?;
        Some(Instant::from_micros(at.as_micros() as i64))
    }

    /// The next file event that has come, with the connection that it is for.
    pub fn completed(&mut self) -> Option<(ConnId, Event)> {
        let event = self.site.poll()?;
        Some((ConnId::from_u64(event.waiter().0), event))
    }

    /// Hands a file event to its connection.
    pub fn deliver(&mut self, id: ConnId, conn: &mut Conn, event: Event, now: Instant) {
        let before = conn.held_bytes();
        conn.event(event, &mut self.context(id, now));
        self.account(before, conn);
    }

    /// Bytes of bodies and unfinished heads in memory, or on their way there.
    pub fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    fn account(&mut self, before: u64, conn: &Conn) {
        self.held_bytes = self.held_bytes + conn.held_bytes() - before;
    }

    fn context(&mut self, id: ConnId, now: Instant) -> Context<'_, L> {
        Context {
            site: &mut self.site,
            now: since_start(now),
            date: &self.date,
            waiter: Waiter(id.to_u64()),
            frugal: self.held_bytes > self.generous_bytes,
            limits: &self.limits,
            log: self.log.as_mut(),
            counters: &mut self.counters,
        }
    }
}

/// The clock of the site, which is that of the stack.
fn since_start(now: Instant) -> Now {
    Now::from_micros(now.total_micros() as u64)
}

impl<L: Loader> Application for HttpService<L> {
    type Conn = Conn;

    fn open(&mut self, _id: ConnId, remote: SocketAddrV4) -> Conn {
        Conn::from_client(remote)
    }

    fn drive(&mut self, id: ConnId, conn: &mut Conn, stream: &mut Stream<'_>, now: Instant) {
        let before = conn.held_bytes();
        let mut cx = self.context(id, now);
        loop {
            let received = stream.recv(|bytes| conn.input(bytes, &mut cx));
            if stream.peer_closed() {
                conn.input_end();
            }
            let mut sent = 0;
            loop {
                let taken = match conn.output_body() {
                    Some(body) => stream.send_body(body),
                    None => stream.send(conn.output()),
                };
                if taken == 0 {
                    break;
                }
                sent += taken;
                conn.advance(taken, &mut cx);
            }
            if conn.must_abort() {
                stream.abort();
                break;
            }
            if received == 0 && sent == 0 {
                break;
            }
        }
        if conn.wants_close() {
            stream.close();
        }
        self.account(before, conn);
    }

    fn waits(&self, conn: &Conn) -> Waits {
        let stage = if conn.in_response() {
            Stage::Response
        } else if conn.is_idle() {
            Stage::Idle
        } else if conn.in_body() {
            Stage::Body
        } else {
            Stage::Head
        };
        Waits {
            stage,
            request: conn.requests(),
        }
    }

    fn rest(&mut self, conn: &mut Conn) {
        conn.rest();
    }

    fn shut_down(&mut self, conn: &mut Conn) {
        conn.shut_down();
    }

    fn close(&mut self, id: ConnId, mut conn: Conn) {
        let now = self.ticked_at;
        conn.hang_up(&mut self.context(id, now));
        if conn.is_waiting() {
            self.site.forget(Waiter(id.to_u64()));
        }
        self.held_bytes -= conn.held_bytes();
    }
}

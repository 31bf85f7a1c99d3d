//! HTTP on the stack: what joins [`http`](crate::http) and
//! [`site`](crate::site), which know no network, to [`net`](crate::net), which
//! knows no HTTP.

use crate::access_log::Batch;
use crate::exchange::Exchanges;
use crate::http::rate::Limiter;
use crate::http::{Conn, Context, Counters, Date, Hosts, Limits, Verified};
use crate::net::{Application, ConnId, Duration, Instant, Stage, Stream, Waits};
use crate::site::{Event, Loader, Now, Site, Waiter};
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// How often a connection is looked at whose service takes its time; its bell rings when it has moved.
const SERVICE_LOOK: std::time::Duration = std::time::Duration::from_secs(20);

/// Something that a connection has waited for.
#[derive(Debug)]
pub enum Completed {
    /// Of the site.
    Event(Event),
    /// The task that answers it has moved.
    Exchange,
}

/// The HTTP server of one worker.
pub struct HttpService<L> {
    site: Site<L>,
    hosts: Arc<Hosts>,
    date: Date,
    /// When it will say the wrong second.
    date_until: Instant,
    /// When it was last asked whether it does.
    ticked_at: Instant,
    /// Bytes of bodies being read from files, and of unfinished request heads,
    /// that may be in memory before further bodies are read in small pieces and
    /// long heads refused.
    generous_bytes: u64,
    /// Bytes that are.
    held_bytes: u64,
    log: Option<Batch>,
    verified: Verified,
    limiter: Option<Box<Limiter>>,
    exchanges: Exchanges,
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
            hosts: Arc::default(),
            date: Date::new(wall),
            date_until: Instant::ZERO,
            ticked_at: Instant::ZERO,
            generous_bytes: generous_bytes as u64,
            held_bytes: 0,
            log: None,
            verified: Verified::default(),
            limiter: None,
            exchanges: Exchanges::default(),
            limits: Limits::default(),
            counters: Counters::default(),
        }
    }

    /// The same with an access log, if one is to be written.
    pub fn with_log(mut self, log: Option<Batch>) -> Self {
        self.log = log;
        self
    }

    /// The same with its responses sent no faster than that, if that is limited.
    pub fn with_limiter(mut self, limiter: Option<Limiter>) -> Self {
        self.limiter = limiter.map(Box::new);
        self
    }

    /// The same with what is answered elsewhere.
    pub fn with_exchanges(mut self, exchanges: Exchanges) -> Self {
        self.exchanges = exchanges;
        self
    }

    /// The same with other hosts than the default one, whose roots the site's loader has in the same order.
    pub fn with_hosts(mut self, hosts: Arc<Hosts>) -> Self {
        self.hosts = hosts;
        self
    }

    /// Renders the Date field anew when the second is over that it says, by the time
    /// of day and not by that of `now`: else a file could be modified after it was
    /// sent. `wall` is asked only then.
    pub fn tick(&mut self, now: Instant, wall: impl FnOnce() -> SystemTime) {
        self.ticked_at = now;
        self.site.tick(since_start(now));
        if let Some(log) = &mut self.log {
            log.flush(since_start(now));
        }
        if now < self.date_until {
            return;
        }
        let wall = wall();
        self.date = Date::new(wall);
        let since_epoch = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        let left_us = 1_000_000 - u64::from(since_epoch.subsec_micros());
        self.date_until = now + Duration::from_micros(left_us);
    }

    /// When [`tick`](HttpService::tick) has more to do than to look at the clock.
    pub fn next_at(&self) -> Option<Instant> {
        let log = self.log.as_ref().and_then(Batch::due_at);
        let at = log.into_iter().chain(self.site.next_at()).min()?;
        Some(Instant::from_micros(at.as_micros() as i64))
    }

    /// The next thing that has happened elsewhere, with the connection that it is for.
    pub fn completed(&mut self) -> Option<(ConnId, Completed)> {
        let (waiter, completed) = match self.site.poll() {
            Some(event) => (event.waiter(), Completed::Event(event)),
            None => (self.exchanges.next_ready()?, Completed::Exchange),
        };
        Some((ConnId::from_u64(waiter.0), completed))
    }

    /// Hands it to its connection.
    pub fn deliver(&mut self, id: ConnId, conn: &mut Conn, completed: Completed, now: Instant) {
        let before = conn.held_bytes();
        let mut cx = self.context(id, now);
        match completed {
            Completed::Event(event) => conn.event(event, &mut cx),
            Completed::Exchange => conn.go_on(&mut cx),
        }
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
            hosts: &self.hosts,
            site: &mut self.site,
            now: since_start(now),
            date: &self.date,
            waiter: Waiter(id.to_u64()),
            frugal: self.held_bytes > self.generous_bytes,
            limits: &self.limits,
            verified: &mut self.verified,
            exchanges: &mut self.exchanges,
            log: self.log.as_mut(),
            counters: &mut self.counters,
        }
    }
}

/// Hands over what `conn` has to send and may be sent now; returns how much that was.
fn hand_over<L: Loader>(
    conn: &mut Conn,
    stream: &mut Stream<'_>,
    limiter: &mut Option<Box<Limiter>>,
    cx: &mut Context<'_, L>,
) -> usize {
    let mut sent = 0;
    loop {
        // What there is no room for is nothing to be reserved for.
        if let Some(limiter) = limiter
            && stream.has_room()
            && !may_send(conn, stream, limiter, cx.now)
        {
            // The second time round it is the same turn.
            cx.counters.kept_back += u64::from(sent == 0);
            return sent;
        }
        let taken = match conn.output_body() {
            Some(body) => stream.send_body(body),
            None => stream.send(conn.output()),
        };
        if taken == 0 {
            return sent;
        }
        if let (Some(limiter), Some(share)) = (&limiter, &mut conn.share) {
            limiter.spend(share, taken, cx.now);
        }
        sent += taken;
        conn.advance(taken, cx);
    }
}

/// Sees to it that no more is sent than the limit allows; false when that is nothing, and more is to be sent later.
fn may_send(conn: &mut Conn, stream: &mut Stream<'_>, limiter: &mut Limiter, now: Now) -> bool {
    let len = conn.output().len();
    let Some(share) = conn.share.as_mut().filter(|_| len > 0) else {
        return true;
    };
    match limiter.allow(share, len, now) {
        Ok(most) => {
            stream.limit(most);
            true
        }
        Err(at) => {
            stream.wait_until(Instant::from_micros(at.as_micros() as i64));
            false
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
        let mut conn = Conn::from_client(remote);
        let share = self.limiter.as_deref().map(Limiter::share);
        conn.share = share.map(Box::new);
        conn
    }

    fn drive(&mut self, id: ConnId, conn: &mut Conn, stream: &mut Stream<'_>, now: Instant) {
        let before = conn.held_bytes();
        let mut limiter = self.limiter.take();
        let mut cx = self.context(id, now);
        conn.go_on(&mut cx);
        loop {
            let received = stream.recv(|bytes| conn.input(bytes, &mut cx));
            if stream.peer_closed() {
                conn.input_end();
            }
            let sent = hand_over(conn, stream, &mut limiter, &mut cx);
            if conn.must_abort() {
                stream.abort();
                break;
            }
            // What was sent makes room for another request, if there is one.
            if (received == 0 && sent == 0) || !stream.can_recv() {
                break;
            }
        }
        if conn.wants_close() {
            stream.close();
        }
        // The client is not to blame that nothing moves.
        if conn.waits_for_service() {
            stream.wait_until(now + SERVICE_LOOK.into());
        }
        self.limiter = limiter;
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
            request: conn.progress(),
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
        if let (Some(limiter), Some(share)) = (&mut self.limiter, &conn.share) {
            limiter.end(share, since_start(now));
        }
        self.held_bytes -= conn.held_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::{InlineLoader, Limits, Root};

    /// 10 ms before the second of RFC 9110's example is over, and `ms` later.
    fn wall(ms: u64) -> SystemTime {
        UNIX_EPOCH + std::time::Duration::from_millis(784_111_777_990 + ms)
    }

    #[test]
    fn the_date_is_that_of_the_wall_to_the_second() {
        let root = Root::open("/".as_ref()).expect("there is a root");
        let site = Site::new(InlineLoader::new(root), Limits::default());
        let mut service = HttpService::new(site, 0, wall(0));
        for (ms, second) in [(0, 37), (10, 38), (1009, 38), (1010, 39), (5_500, 43)] {
            service.tick(Instant::from_millis(3_600 + ms), || wall(ms as u64));
            let line = format!("Date: Sun, 06 Nov 1994 08:49:{second} GMT\r\n");
            assert_eq!(service.date.line(), line.as_bytes(), "{ms} ms");
        }
        service.tick(Instant::from_millis(3_600 + 5_501), || {
            panic!("asked again")
        });
    }
}

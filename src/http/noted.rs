//! What the access log will need of a request, kept until its response is over.

use super::request::Request as Head;
use super::{Conn, Context};
use crate::access_log::{Request, Response};
use crate::site::{Loader, Now};
use std::net::{Ipv4Addr, SocketAddrV4};

/// What is kept of something that is no request line.
const NO_LINE_BYTES: usize = 256;

/// The client; nobody, unless said otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Remote(pub SocketAddrV4);

impl Default for Remote {
    fn default() -> Self {
        Remote(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0))
    }
}

impl Conn {
    /// A request, or what should have been one, is about to be answered: `head` is what
    /// there is of its head.
    pub(super) fn note<L: Loader>(
        &mut self,
        head: &[u8],
        request: Option<&Head<'_, '_>>,
        cx: &Context<'_, L>,
    ) {
        if cx.log.is_none() {
            return;
        }
        let value = |name| request.and_then(|request| request.header(name).next());
        let fields = ["host", "referer", "user-agent"].map(|name| value(name).unwrap_or_default());
        self.noted
            .get_or_insert_default()
            .begin(head, fields, cx.now);
    }

    /// The request's credentials prove that it is `user`'s.
    pub(super) fn note_user(&mut self, user: &[u8]) {
        if let Some(noted) = &mut self.noted {
            noted.authenticated(user);
        }
    }

    /// Its response is over.
    pub(super) fn log<L: Loader>(&mut self, is_aborted: bool, cx: &mut Context<'_, L>) {
        let who = (self.remote.0, cx.waiter.0, self.requests);
        let (Some(noted), Some(log)) = (&mut self.noted, &mut cx.log) else {
            return;
        };
        if let Some((request, response)) = noted.end(who, is_aborted, cx.now) {
            log.add(cx.date.clock(), &request, &response, cx.now);
        }
    }
}

/// See the [module](self). Its memory is used again by the connection's next request.
#[derive(Debug, Default)]
pub struct Noted {
    /// Line, host, referer, user agent and user, one after the other.
    text: Vec<u8>,
    /// Where each of them ends.
    ends: [usize; 5],
    /// When the request's head had come.
    began: Now,
    status: u16,
    body_bytes: u64,
    is_open: bool,
}

impl Noted {
    /// A request, or what should have been one, came `now`: `head` is what there is of
    /// its head, `fields` are the values of host, referer and user agent.
    pub fn begin(&mut self, head: &[u8], fields: [&[u8]; 3], now: Now) {
        let line = line(head);
        self.text.clear();
        for (end, part) in self
            .ends
            .iter_mut()
            .zip([line, fields[0], fields[1], fields[2], b""])
        {
            self.text.extend_from_slice(part);
            *end = self.text.len();
        }
        self.began = now;
        self.status = 0;
        self.body_bytes = 0;
        self.is_open = true;
    }

    /// It is `user`'s, as has been proved.
    pub fn authenticated(&mut self, user: &[u8]) {
        let [.., start, end] = &mut self.ends;
        self.text.truncate(*start);
        self.text.extend_from_slice(user);
        *end = self.text.len();
    }

    /// It is answered with `status`.
    pub fn answered(&mut self, status: u16) {
        self.status = status;
    }

    /// So many bytes of the body were taken.
    pub fn sent(&mut self, body_bytes: u64) {
        self.body_bytes += body_bytes;
    }

    /// Its response is over: what there is to log of it, unless that was asked for
    /// before.
    pub fn end(
        &mut self,
        (remote, connection, number): (SocketAddrV4, u64, u32),
        is_aborted: bool,
        now: Now,
    ) -> Option<(Request<'_>, Response)> {
        if !std::mem::take(&mut self.is_open) {
            return None;
        }
        let [line, host, referer, agent, user] = self.parts();
        let request = Request {
            remote,
            connection,
            number,
            line,
            host,
            referer,
            agent,
            user,
        };
        let response = Response {
            status: self.status,
            body_bytes: self.body_bytes,
            taken: now.saturating_sub(self.began),
            is_aborted,
        };
        Some((request, response))
    }

    fn parts(&self) -> [&[u8]; 5] {
        let mut start = 0;
        self.ends.map(|end| {
            let part = self.text.get(start..end).unwrap_or_default();
            start = end;
            part
        })
    }
}

/// The request line at the beginning of `head`, without its end; of what has none, not
/// too much.
fn line(head: &[u8]) -> &[u8] {
    match memchr::memchr2(b'\r', b'\n', head) {
        Some(end) => &head[..end],
        None => &head[..head.len().min(NO_LINE_BYTES)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const WHO: (SocketAddrV4, u64, u32) = (SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1), 7, 3);

    #[test]
    fn what_went_in_comes_out_once() {
        let mut noted = Noted::default();
        assert!(noted.end(WHO, false, Now::ZERO).is_none());
        for (head, line, fields) in [
            (
                &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
                &b"GET / HTTP/1.1"[..],
                [&b"a"[..], b"", b"curl"],
            ),
            (b"\x16\x03\x01", b"\x16\x03\x01", [b"", b"", b""]),
            (&[b'x'; 300], &[b'x'; 256], [b"", b"r", b""]),
            (b"\n", b"", [b"", b"", b"longer than before"]),
        ] {
            noted.begin(head, fields, Now::from_millis(5));
            for user in [&b"somebody"[..], b"ann"] {
                noted.authenticated(user);
            }
            noted.answered(206);
            noted.sent(10);
            noted.sent(1);
            let (request, response) = noted.end(WHO, true, Now::from_millis(9)).expect("a line");
            assert_eq!(request.line, line);
            assert_eq!([request.host, request.referer, request.agent], fields);
            assert_eq!(request.user, b"ann");
            assert_eq!((request.remote, request.connection, request.number), WHO);
            assert_eq!(
                (response.status, response.body_bytes, response.is_aborted),
                (206, 11, true)
            );
            assert_eq!(response.taken, Now::from_millis(4));
            assert!(noted.end(WHO, false, Now::ZERO).is_none());
        }
    }
}

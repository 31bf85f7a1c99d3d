//! One connection: requests in, responses out.
//!
//! The caller hands what the client sent to [`Conn::input`], what the site answered to [`Conn::event`], and sends what
//! [`Conn::output`] shows, acknowledging it by [`Conn::advance`]. After each of these the others may be able to go on;
//! when none can, the connection waits for the client or for the site.

use std::mem;
use std::rc::Rc;

use bytes::{Buf, Bytes};

use super::Context;
use super::request::{Method, Request, RequestBody, Slots, Target};
use super::response::{self, Connection};
use super::scan::{HeadScanner, MAX_HEAD_BYTES, MAX_LEADING_BYTES, Scan};
use super::status::Status;
use super::stream::Stream;
use crate::site::resolve::{Refusal, resolve};
use crate::site::{Body, Entry, Event, Find, Loader};

/// The longest request body that is read and thrown away to keep the connection; a new connection costs less than more.
pub const MAX_DISCARDED_BODY_BYTES: u64 = 1024 * 1024;

/// What the head buffer may keep between requests. Common heads fit; only a redirect with a long query does not.
const KEPT_HEAD_BYTES: usize = 1024;

/// The state of one connection.
#[derive(Debug, Default)]
pub struct Conn {
    phase: Phase,
    /// The beginning of a head whose end has not arrived; never more than one head.
    stash: Vec<u8>,
    /// How far the stash has been searched.
    scanner: HeadScanner,
    /// Bytes of the last request's body still to be thrown away.
    body_left: u64,
    /// While an entry is awaited the name and query it was asked by, then the response's head.
    head: Vec<u8>,
}

#[derive(Debug, Default)]
enum Phase {
    /// Between requests, or within a head.
    #[default]
    Idle,
    /// The site is looking for the entry.
    Waiting(Asked),
    /// A response is on its way.
    Sending(Sending),
    /// All is said.
    Closed,
    /// A response could not be completed.
    Aborted,
}

/// What the response depends on beside the entry.
#[derive(Debug, Clone, Copy)]
struct Asked {
    head_only: bool,
    connection: Connection,
    /// Length of the name at the beginning of [`Conn::head`]; a query follows after its question mark.
    name_len: usize,
}

#[derive(Debug)]
struct Sending {
    /// Bytes of the head that have been taken.
    head_sent: usize,
    /// The part of the body in hand.
    body: Bytes,
    /// What comes after it.
    stream: Option<Stream>,
    connection: Connection,
}

impl Conn {
    /// A connection on which nothing has happened.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes from the client and returns how many were consumed.
    ///
    /// Those that were not belong to a later request and must be offered again once [`wants_input`](Self::wants_input):
    /// while a response is in progress only the rest of its request's body is consumed. After the last response
    /// everything is, and thrown away.
    pub fn input<L: Loader>(&mut self, bytes: &[u8], cx: &mut Context<'_, L>) -> usize {
        let mut consumed = 0;
        while consumed < bytes.len() && self.wants_input() {
            consumed += self.take(&bytes[consumed..], cx);
        }
        consumed
    }

    /// Whether [`input`](Self::input) would consume anything now.
    pub fn wants_input(&self) -> bool {
        self.body_left > 0 || self.is_ending() || matches!(self.phase, Phase::Idle)
    }

    /// The client will send no more; to be called once all that it had sent was consumed. A request that is complete
    /// still gets its whole response, an incomplete one gets none (RFC 9112 section 8 leaves that to the server).
    pub fn input_end(&mut self) {
        self.shut_down();
    }

    /// Takes what the site had been asked for. Anything else is ignored.
    pub fn event<L: Loader>(&mut self, event: Event, cx: &mut Context<'_, L>) {
        match (event, &mut self.phase) {
            (Event::Entry { entry, .. }, Phase::Waiting(asked)) => {
                let asked = *asked;
                self.answer(&entry, asked, cx);
            }
            (
                Event::Chunk { offset, result, .. },
                Phase::Sending(Sending {
                    stream: Some(stream),
                    ..
                }),
            ) => match stream.arrived(offset, result) {
                Ok(()) => self.refill(cx),
                Err(_) => self.abort(cx),
            },
            _ => {}
        }
    }

    /// The next bytes for the client; empty when there are none yet.
    pub fn output(&self) -> &[u8] {
        match &self.phase {
            Phase::Sending(sending) if sending.head_sent < self.head.len() => {
                &self.head[sending.head_sent..]
            }
            Phase::Sending(sending) => &sending.body,
            _ => &[],
        }
    }

    /// Takes note that the first `len` bytes of [`output`](Self::output) were taken.
    pub fn advance<L: Loader>(&mut self, len: usize, cx: &mut Context<'_, L>) {
        let len = len.min(self.output().len());
        let Phase::Sending(sending) = &mut self.phase else {
            return;
        };
        if sending.head_sent < self.head.len() {
            sending.head_sent += len;
        } else {
            sending.body.advance(len);
            cx.counters.body_bytes += len as u64;
        }
        self.refill(cx);
        self.finish_if_sent();
    }

    /// No further request is to be taken: the response in progress becomes the last one.
    pub fn shut_down(&mut self) {
        match &mut self.phase {
            Phase::Idle => self.close(),
            Phase::Waiting(asked) => asked.connection = Connection::Close,
            Phase::Sending(sending) => {
                let before = mem::replace(&mut sending.connection, Connection::Close);
                if sending.head_sent == 0 {
                    response::change_connection(&mut self.head, before, Connection::Close);
                }
            }
            Phase::Closed | Phase::Aborted => {}
        }
    }

    /// Everything has been sent: close the connection in good order.
    pub fn wants_close(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// A response had to be broken off: reset the connection, so that the client cannot take it for complete.
    pub fn must_abort(&self) -> bool {
        matches!(self.phase, Phase::Aborted)
    }

    /// Between requests, with nothing of the next one there.
    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle) && self.stash.is_empty() && self.body_left == 0
    }

    /// A request has been accepted and its response not sent completely.
    pub fn in_response(&self) -> bool {
        matches!(self.phase, Phase::Waiting(_) | Phase::Sending(_))
    }

    /// Something has been asked of the site and not arrived.
    pub fn is_waiting(&self) -> bool {
        match &self.phase {
            Phase::Waiting(_) => true,
            Phase::Sending(sending) => sending.stream.as_ref().is_some_and(Stream::is_waiting),
            _ => false,
        }
    }

    /// Whether no request can follow any more.
    fn is_ending(&self) -> bool {
        match &self.phase {
            Phase::Idle => false,
            Phase::Waiting(asked) => asked.connection == Connection::Close,
            Phase::Sending(sending) => sending.connection == Connection::Close,
            Phase::Closed | Phase::Aborted => true,
        }
    }

    /// One step of [`input`](Self::input); consumes at least one byte when input is wanted.
    fn take<L: Loader>(&mut self, bytes: &[u8], cx: &mut Context<'_, L>) -> usize {
        if self.is_ending() {
            bytes.len()
        } else if self.body_left > 0 {
            let len = usize::try_from(self.body_left)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            self.body_left -= len as u64;
            len
        } else if self.stash.is_empty() {
            self.take_head(bytes, cx)
        } else {
            self.take_rest_of_head(bytes, cx)
        }
    }

    /// The common case: a head that arrives whole is parsed where it lies.
    fn take_head<L: Loader>(&mut self, bytes: &[u8], cx: &mut Context<'_, L>) -> usize {
        self.scanner = HeadScanner::default();
        match self.scanner.scan(bytes) {
            Scan::Partial => {
                self.stash.extend_from_slice(bytes);
                bytes.len()
            }
            Scan::Complete { start, end } => {
                self.accept(&bytes[start..end], cx);
                end
            }
            Scan::Bad(status) => {
                self.refuse(bytes, status, cx);
                bytes.len()
            }
        }
    }

    fn take_rest_of_head<L: Loader>(&mut self, bytes: &[u8], cx: &mut Context<'_, L>) -> usize {
        let before = self.stash.len();
        // One byte above the limits is enough to exceed them.
        let room = (MAX_LEADING_BYTES + MAX_HEAD_BYTES + 1)
            .saturating_sub(before)
            .max(1);
        let taken = room.min(bytes.len());
        self.stash.extend_from_slice(&bytes[..taken]);
        match self.scanner.scan(&self.stash) {
            Scan::Partial => taken,
            Scan::Complete { start, end } => {
                let stash = mem::take(&mut self.stash);
                self.accept(&stash[start..end], cx);
                end.saturating_sub(before)
            }
            Scan::Bad(status) => {
                let stash = mem::take(&mut self.stash);
                self.refuse(&stash, status, cx);
                bytes.len()
            }
        }
    }

    /// Answers bytes that are no acceptable head.
    fn refuse<L: Loader>(&mut self, bytes: &[u8], status: Status, cx: &mut Context<'_, L>) {
        cx.counters.refused_heads += 1;
        let head_only = bytes.trim_ascii_start().starts_with(b"HEAD ");
        self.answer_page(
            status,
            Asked {
                head_only,
                connection: Connection::Close,
                name_len: 0,
            },
            cx,
        );
    }

    /// Parses a whole head and begins to answer it.
    fn accept<L: Loader>(&mut self, head: &[u8], cx: &mut Context<'_, L>) {
        let mut slots = Slots::new();
        let request = match Request::parse(head, &mut slots) {
            Ok(request) => request,
            Err(status) => return self.refuse(head, status, cx),
        };
        cx.counters.requests += 1;
        let asked = Asked {
            head_only: request.method == Method::Head,
            connection: self.connection_after(&request),
            name_len: 0,
        };
        let target = match request.method {
            Method::Get | Method::Head => request.target(),
            Method::Unsupported => Err(Status::MethodNotAllowed),
            Method::Unknown => Err(Status::NotImplemented),
        };
        match target {
            Ok(target) => self.look_up(target, asked, cx),
            Err(status) => self.answer_page(status, asked, cx),
        }
    }

    /// Decides whether the connection outlives `request`, and sets its body up to be thrown away.
    fn connection_after(&mut self, request: &Request<'_, '_>) -> Connection {
        self.body_left = match request.body {
            RequestBody::Length(length) if length <= MAX_DISCARDED_BODY_BYTES => length,
            _ => return Connection::Close,
        };
        if !request.keep_alive {
            Connection::Close
        } else if request.minor_version == 0 {
            Connection::KeepAlive
        } else {
            Connection::Persist
        }
    }

    /// Asks the site for what `target` names.
    fn look_up<L: Loader>(&mut self, target: Target<'_>, asked: Asked, cx: &mut Context<'_, L>) {
        match resolve(target.path, &mut self.head) {
            Ok(()) => {}
            Err(Refusal::Malformed) => return self.answer_page(Status::BadRequest, asked, cx),
            Err(Refusal::NoSuchName) => return self.answer_page(Status::NotFound, asked, cx),
        }
        let asked = Asked {
            name_len: self.head.len(),
            ..asked
        };
        let found = cx.site.find(&self.head, cx.waiter, cx.now);
        if let Some(query) = target.query {
            self.head.push(b'?');
            self.head.extend_from_slice(query);
        }
        match found {
            Find::Ready(entry) => self.answer(&entry, asked, cx),
            Find::Pending => self.phase = Phase::Waiting(asked),
            Find::Refused => self.answer_page(Status::ServiceUnavailable, asked, cx),
        }
    }

    /// Begins the response that `entry` makes.
    fn answer<L: Loader>(&mut self, entry: &Rc<Entry>, asked: Asked, cx: &mut Context<'_, L>) {
        let file = match &**entry {
            Entry::File(file) => file,
            Entry::Directory => return self.answer_redirect(asked, cx),
            Entry::NotFound => return self.answer_page(Status::NotFound, asked, cx),
            Entry::Forbidden => return self.answer_page(Status::Forbidden, asked, cx),
            Entry::Failed(_) => return self.answer_page(Status::InternalServerError, asked, cx),
        };
        self.head.clear();
        response::write_ready(&mut self.head, &file.head, cx.date, asked.connection);
        let (body, stream) = match &file.body {
            _ if asked.head_only => (Bytes::new(), None),
            Body::Memory(bytes) => (bytes.clone(), None),
            Body::Open(open) => (
                Bytes::new(),
                Some(Stream::new(open.clone(), 0..file.length())),
            ),
        };
        self.send(200, body, stream, asked.connection, cx);
    }

    fn answer_redirect<L: Loader>(&mut self, asked: Asked, cx: &mut Context<'_, L>) {
        let request = mem::take(&mut self.head);
        let (name, query) = request.split_at(asked.name_len);
        response::write_redirect(
            &mut self.head,
            name,
            query.strip_prefix(b"?"),
            cx.date,
            asked.connection,
        );
        self.send_page(Status::MovedPermanently, asked, cx);
    }

    fn answer_page<L: Loader>(&mut self, status: Status, asked: Asked, cx: &mut Context<'_, L>) {
        self.head.clear();
        response::write_page(&mut self.head, status, cx.date, asked.connection);
        self.send_page(status, asked, cx);
    }

    fn send_page<L: Loader>(&mut self, status: Status, asked: Asked, cx: &mut Context<'_, L>) {
        let page = if asked.head_only { "" } else { status.page() };
        let body = Bytes::from_static(page.as_bytes());
        self.send(status.code(), body, None, asked.connection, cx);
    }

    /// Begins to send; the response's head is in place.
    fn send<L: Loader>(
        &mut self,
        code: u16,
        body: Bytes,
        stream: Option<Stream>,
        connection: Connection,
        cx: &mut Context<'_, L>,
    ) {
        cx.counters.count_response(code);
        self.phase = Phase::Sending(Sending {
            head_sent: 0,
            body,
            stream,
            connection,
        });
        self.refill(cx);
    }

    /// Moves the next chunk into hand when the last is sent, and has further ones read.
    fn refill<L: Loader>(&mut self, cx: &mut Context<'_, L>) {
        let Phase::Sending(Sending {
            body,
            stream: Some(stream),
            ..
        }) = &mut self.phase
        else {
            return;
        };
        if body.is_empty() {
            *body = stream.next_chunk().unwrap_or_default();
        }
        stream.ask(usize::from(!body.is_empty()), cx);
    }

    /// Ends the response when all of it was taken.
    fn finish_if_sent(&mut self) {
        let Phase::Sending(sending) = &self.phase else {
            return;
        };
        let stream_done = sending.stream.as_ref().is_none_or(Stream::is_done);
        if sending.head_sent < self.head.len() || !sending.body.is_empty() || !stream_done {
            return;
        }
        if sending.connection == Connection::Close {
            return self.close();
        }
        self.phase = Phase::Idle;
        self.head.clear();
        self.head.shrink_to(KEPT_HEAD_BYTES);
    }

    fn close(&mut self) {
        self.phase = Phase::Closed;
        self.release();
    }

    fn abort<L: Loader>(&mut self, cx: &mut Context<'_, L>) {
        cx.counters.aborted += 1;
        self.phase = Phase::Aborted;
        self.release();
    }

    /// Gives all memory back.
    fn release(&mut self) {
        self.stash = Vec::new();
        self.head = Vec::new();
        self.body_left = 0;
    }
}

//! One connection: requests in, responses out.
//!
//! The caller hands what the client sent to [`Conn::input`], what the site answered to [`Conn::event`], and sends what
//! [`Conn::output`] shows, acknowledging it by [`Conn::advance`]. After each of these the others may be able to go on;
//! when none can, the connection waits for the client or for the site.

use std::io;
use std::mem;
use std::net::SocketAddrV4;

use bytes::{Buf, Bytes};

use super::Context;
use super::Status;
use super::calling::Calling;
use super::chunked::Chunked;
use super::cors::Audience;
use super::discard::Discard;
use super::guard::Proof;
use super::instead::Purpose;
use super::noted::{Noted, Remote};
use super::rate::Share;
use super::response::{self, Connection};
use super::scan::{HeadScanner, Scan};
use super::stream::Stream;
use super::wishes::Wishes;
use crate::site::{Event, HostId, Loader, ReadError};

/// What the head buffer may keep between requests. Common heads fit; only a redirect with a long query does not.
const KEPT_HEAD_BYTES: usize = 1024;

/// What an unfinished request head may take when memory is short; most are shorter.
const FRUGAL_HEAD_BYTES: usize = 1024;

/// The state of one connection.
#[derive(Debug, Default)]
pub struct Conn {
    pub(super) phase: Phase,
    /// The beginning of a head whose end has not arrived, or a head whose body must; never more than one.
    stash: Vec<u8>,
    /// How far the stash has been searched.
    scanner: HeadScanner,
    /// What of the last request's body is still to be thrown away.
    pub(super) body: Discard,
    /// Requests taken so far, modulo 2^32.
    pub(super) requests: u32,
    /// While an entry is awaited the name and query it was asked by, then the response's head.
    pub(super) head: Vec<u8>,
    /// The client.
    pub(super) remote: Remote,
    /// For the access log, if there is one.
    pub(super) noted: Option<Box<Noted>>,
    /// What it may send, if that is limited.
    pub share: Option<Box<Share>>,
}

#[derive(Debug, Default)]
pub(super) enum Phase {
    /// Between requests, or within a head.
    #[default]
    Idle,
    /// The password that came with a request is being looked at.
    Proving(Box<Proof>),
    /// The site is looking for the entry, of which something may be wished.
    Waiting(Asked, Option<Box<Wishes<'static>>>),
    /// A response is on its way.
    Sending(Sending),
    /// A service is answering.
    Calling(Box<Calling>),
    /// All is said.
    Closed,
    /// A response could not be completed.
    Aborted,
}

/// What the response depends on beside the entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) head_only: bool,
    pub(super) connection: Connection,
    /// Length of the name at the beginning of [`Conn::head`]; a query follows after its question mark.
    pub(super) name_len: usize,
    /// Whose the target is.
    pub(super) host: HostId,
    /// To whom the response goes.
    pub(super) audience: Audience,
    /// What the entry is looked up for.
    pub(super) purpose: Purpose,
    /// A listing is to be JSON.
    pub(super) prefers_json: bool,
    /// Files may be put there.
    pub(super) takes_files: bool,
}

#[derive(Debug)]
pub(super) struct Sending {
    /// Bytes of the head that have been taken.
    head_sent: usize,
    /// The part of the body in hand.
    body: Bytes,
    /// What comes after it; most responses need none, nor the place for it.
    stream: Option<Box<Stream>>,
    connection: Connection,
}

impl Sending {
    /// Whether nothing of the body is in hand, and some of it is to come.
    fn waits_for_body(&self) -> bool {
        self.body.is_empty() && self.stream.as_ref().is_some_and(|stream| !stream.is_done())
    }
}

impl Conn {
    /// A connection on which nothing has happened.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with a client at `remote`.
    pub fn from_client(remote: SocketAddrV4) -> Self {
        Conn {
            remote: Remote(remote),
            ..Self::default()
        }
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
        match &self.phase {
            Phase::Calling(calling) => calling.has_room() || self.is_ending(),
            _ => !self.body.is_done() || self.is_ending() || matches!(self.phase, Phase::Idle),
        }
    }

    /// The client will send no more; to be called once all that it had sent was consumed. A request that is complete
    /// still gets its whole response, an incomplete one gets none (RFC 9112 section 8 leaves that to the server).
    pub fn input_end(&mut self) {
        let may_go_on = match &mut self.phase {
            Phase::Calling(calling) => calling.input_end(),
            Phase::Proving(proof) => proof.call.as_ref().is_none_or(|call| call.is_complete()),
            _ => true,
        };
        match may_go_on {
            true => self.shut_down(),
            false => self.close(),
        }
    }

    /// Takes what the site had been asked for. Anything else is ignored.
    pub fn event<L: Loader>(&mut self, event: Event, cx: &mut Context<'_, L>) {
        match (event, &mut self.phase) {
            (Event::Entry { entry, .. }, Phase::Waiting(asked, wishes)) => {
                let (asked, wishes) = (*asked, wishes.take());
                self.answer(&entry, asked, &wishes.unwrap_or_default(), cx);
            }
            (Event::Verified { key, holds, .. }, Phase::Proving(_)) => self.proved(key, holds, cx),
            (
                Event::Chunk { read, result, .. },
                Phase::Sending(Sending {
                    stream: Some(stream),
                    ..
                }),
            ) => match stream.arrived(read, result) {
                Ok(()) => self.refill(cx),
                Err(why) => self.break_off(why, cx),
            },
            _ => {}
        }
    }

    /// The next bytes for the client; empty when there are none yet. A head whose body
    /// is still being read waits for it: alone it would take one of the first window's
    /// ten segments.
    pub fn output(&self) -> &[u8] {
        match &self.phase {
            Phase::Sending(sending) if sending.head_sent < self.head.len() => {
                if sending.waits_for_body() {
                    return &[];
                }
                &self.head[sending.head_sent..]
            }
            Phase::Sending(sending) => &sending.body,
            Phase::Calling(calling) => calling.output().map_or(&[], |bytes| bytes),
            _ => &[],
        }
    }

    /// The same bytes, when they are of a body, as what they are shared by.
    pub fn output_body(&self) -> Option<&Bytes> {
        match &self.phase {
            Phase::Sending(sending) if sending.head_sent == self.head.len() => Some(&sending.body),
            Phase::Calling(calling) => calling.output(),
            _ => None,
        }
    }

    /// Takes note that the first `len` bytes of [`output`](Self::output) were taken.
    pub fn advance<L: Loader>(&mut self, len: usize, cx: &mut Context<'_, L>) {
        let len = len.min(self.output().len());
        if matches!(self.phase, Phase::Calling(_)) {
            return self.advance_call(len, cx);
        }
        let Phase::Sending(sending) = &mut self.phase else {
            return;
        };
        if sending.head_sent < self.head.len() {
            if let Some(stream) = &mut sending.stream {
                // What has begun cannot become something else.
                stream.take_asked();
            }
            sending.head_sent += len;
        } else {
            sending.body.advance(len);
            cx.counters.body_bytes += len as u64;
            if let Some(noted) = &mut self.noted {
                noted.sent(len as u64);
            }
        }
        self.refill(cx);
        self.finish_if_sent(cx);
    }

    /// No further request is to be taken: the response in progress becomes the last one.
    pub fn shut_down(&mut self) {
        match &mut self.phase {
            Phase::Idle => self.close(),
            Phase::Proving(proof) => {
                proof.asked.connection = Connection::Close;
                if let Some(call) = &mut proof.call {
                    call.connection = Connection::Close;
                }
            }
            Phase::Waiting(asked, _) => asked.connection = Connection::Close,
            Phase::Sending(sending) => {
                let before = mem::replace(&mut sending.connection, Connection::Close);
                if sending.head_sent == 0 {
                    response::change_connection(&mut self.head, before, Connection::Close);
                }
            }
            Phase::Calling(calling) => calling.asked.connection = Connection::Close,
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
        matches!(self.phase, Phase::Idle) && self.stash.is_empty() && self.body.is_done()
    }

    /// A part of a request's body is still to come, and nothing else to be done.
    pub fn in_body(&self) -> bool {
        match &self.phase {
            Phase::Idle => !self.body.is_done(),
            Phase::Calling(calling) => calling.wants_body(),
            _ => false,
        }
    }

    /// A service has something to say before anything else can happen.
    pub fn waits_for_service(&self) -> bool {
        matches!(&self.phase, Phase::Calling(calling) if calling.waits_for_task())
    }

    /// A request has been accepted and its response not sent completely.
    pub fn in_response(&self) -> bool {
        match &self.phase {
            Phase::Proving(_) | Phase::Waiting(..) | Phase::Sending(_) => true,
            Phase::Calling(calling) => !calling.wants_body(),
            _ => false,
        }
    }

    /// Requests taken so far, and how much of the body that a service takes, modulo 2^32: tells what is waited for from
    /// what was.
    pub fn progress(&self) -> u32 {
        match &self.phase {
            Phase::Calling(calling) => self.requests.wrapping_add(calling.progress()),
            _ => self.requests,
        }
    }

    /// Bytes of memory that an unfinished request takes, or what is kept of one, and a body beside what the cache has.
    pub fn held_bytes(&self) -> u64 {
        let held = match &self.phase {
            Phase::Proving(proof) => proof.len_bytes() as u64,
            Phase::Calling(calling) => calling.held_bytes(),
            Phase::Waiting(_, Some(wishes)) => wishes.len_bytes() as u64,
            Phase::Sending(sending) => sending
                .stream
                .as_ref()
                .map_or(0, |stream| stream.held_bytes()),
            _ => 0,
        };
        self.stash.capacity() as u64 + held
    }

    /// Gives back memory that the next request can have again; between requests only.
    pub fn rest(&mut self) {
        if matches!(self.phase, Phase::Idle) {
            self.head = Vec::new();
            self.noted = None;
        }
    }

    /// The connection is over, whatever was in progress.
    pub fn hang_up<L: Loader>(&mut self, cx: &mut Context<'_, L>) {
        self.log(true, cx);
    }

    /// Something has been asked of the site and not arrived.
    pub fn is_waiting(&self) -> bool {
        match &self.phase {
            Phase::Proving(_) | Phase::Waiting(..) => true,
            Phase::Sending(sending) => sending
                .stream
                .as_ref()
                .is_some_and(|stream| stream.is_waiting()),
            _ => false,
        }
    }

    /// Whether no request can follow any more.
    fn is_ending(&self) -> bool {
        match &self.phase {
            Phase::Idle => false,
            // What it has sent already is the service's.
            Phase::Proving(proof) if proof.call.is_some() => false,
            Phase::Proving(proof) => proof.asked.connection == Connection::Close,
            Phase::Calling(calling) => {
                calling.has_request() && calling.asked.connection == Connection::Close
            }
            Phase::Waiting(asked, _) => asked.connection == Connection::Close,
            Phase::Sending(sending) => sending.connection == Connection::Close,
            Phase::Closed | Phase::Aborted => true,
        }
    }

    /// One step of [`input`](Self::input); consumes at least one byte when input is wanted.
    fn take<L: Loader>(&mut self, bytes: &[u8], cx: &mut Context<'_, L>) -> usize {
        if self.is_ending() {
            bytes.len()
        } else if matches!(self.phase, Phase::Calling(_)) {
            self.take_for_call(bytes, cx)
        } else if !self.body.is_done() {
            self.take_body(bytes, cx)
        } else if self.stash.is_empty() {
            self.take_head(bytes, cx)
        } else {
            self.take_rest_of_head(bytes, cx)
        }
    }

    fn take_body<L: Loader>(&mut self, bytes: &[u8], cx: &mut Context<'_, L>) -> usize {
        match self.body.take(bytes, cx.limits) {
            Ok(taken) => {
                if self.body.is_done() && !self.stash.is_empty() {
                    let head = mem::take(&mut self.stash);
                    self.accept_held(&head, cx);
                }
                taken
            }
            Err(status) => {
                self.body = Discard::default();
                let head = mem::take(&mut self.stash);
                self.refuse(&head, status, cx);
                bytes.len()
            }
        }
    }

    /// Keeps `head` until its chunked body has come.
    pub(super) fn hold<L: Loader>(&mut self, head: &[u8], cx: &mut Context<'_, L>) {
        if self.keep(head, cx) {
            self.body = Discard::Chunked(Chunked::new(cx.limits));
        }
    }

    /// The common case: a head that arrives whole is parsed where it lies.
    fn take_head<L: Loader>(&mut self, bytes: &[u8], cx: &mut Context<'_, L>) -> usize {
        self.scanner = HeadScanner::default();
        match self.scanner.scan(bytes, cx.limits) {
            Scan::Partial => {
                self.keep(bytes, cx);
                bytes.len()
            }
            Scan::Complete { start, end } => {
                self.requests = self.requests.wrapping_add(1);
                self.accept(&bytes[start..end], cx);
                end
            }
            Scan::Bad(status) => {
                self.refuse(self.scanner.begun(bytes), status, cx);
                bytes.len()
            }
        }
    }

    fn take_rest_of_head<L: Loader>(&mut self, bytes: &[u8], cx: &mut Context<'_, L>) -> usize {
        let before = self.stash.len();
        // One byte above the limits is enough to exceed them.
        let most = cx.limits.leading_bytes + cx.limits.head_bytes + 1;
        let room = most.saturating_sub(before).max(1);
        let taken = room.min(bytes.len());
        if !self.keep(&bytes[..taken], cx) {
            return bytes.len();
        }
        match self.scanner.scan(&self.stash, cx.limits) {
            Scan::Partial => taken,
            Scan::Complete { start, end } => {
                let stash = mem::take(&mut self.stash);
                self.requests = self.requests.wrapping_add(1);
                self.accept(&stash[start..end], cx);
                end.saturating_sub(before)
            }
            Scan::Bad(status) => {
                let stash = mem::take(&mut self.stash);
                self.refuse(self.scanner.begun(&stash), status, cx);
                bytes.len()
            }
        }
    }

    /// Keeps a part of an unfinished head; false when there is no memory for it: then it has been refused.
    fn keep<L: Loader>(&mut self, bytes: &[u8], cx: &mut Context<'_, L>) -> bool {
        if cx.frugal && self.stash.len() + bytes.len() > FRUGAL_HEAD_BYTES {
            let begun = mem::take(&mut self.stash);
            self.refuse(&begun, Status::ServiceUnavailable, cx);
            return false;
        }
        // No more than there is to keep: thousands of connections may do this.
        self.stash.reserve_exact(bytes.len());
        self.stash.extend_from_slice(bytes);
        true
    }

    /// Begins to send; the response's head is in place.
    pub(super) fn send<L: Loader>(
        &mut self,
        code: u16,
        body: Bytes,
        stream: Option<Stream>,
        connection: Connection,
        cx: &mut Context<'_, L>,
    ) {
        cx.counters.count_response(code);
        if let Some(noted) = &mut self.noted {
            noted.answered(code);
        }
        self.phase = Phase::Sending(Sending {
            head_sent: 0,
            body,
            stream: stream.map(Box::new),
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
        stream.ask(cx);
        // What was in memory need not be asked for.
        if body.is_empty() {
            *body = stream.next_chunk().unwrap_or_default();
        }
    }

    /// Ends the response when all of it was taken.
    fn finish_if_sent<L: Loader>(&mut self, cx: &mut Context<'_, L>) {
        let Phase::Sending(sending) = &self.phase else {
            return;
        };
        let stream_done = sending
            .stream
            .as_ref()
            .is_none_or(|stream| stream.is_done());
        if sending.head_sent < self.head.len() || !sending.body.is_empty() || !stream_done {
            return;
        }
        let is_last = sending.connection == Connection::Close;
        self.end_response(is_last, cx);
    }

    /// The response has been sent completely.
    pub(super) fn end_response<L: Loader>(&mut self, is_last: bool, cx: &mut Context<'_, L>) {
        self.log(false, cx);
        if is_last {
            return self.close();
        }
        self.phase = Phase::Idle;
        self.head.clear();
        self.head.shrink_to(KEPT_HEAD_BYTES);
    }

    /// Ends a response whose file cannot be read: with an error if none of it has been sent.
    fn break_off<L: Loader>(&mut self, why: ReadError, cx: &mut Context<'_, L>) {
        let Phase::Sending(sending) = &mut self.phase else {
            return;
        };
        let unsent = sending
            .stream
            .as_mut()
            .and_then(|stream| stream.take_asked());
        let Some((mut asked, code)) = unsent else {
            return self.abort(cx);
        };
        // A shutdown may have come meanwhile.
        asked.connection = sending.connection;
        let status = match why {
            // The next request will find the file as it is now.
            ReadError::Shrank | ReadError::Changed => Status::ServiceUnavailable,
            ReadError::Io(io::ErrorKind::TimedOut) => Status::GatewayTimeout,
            ReadError::Io(_) => Status::InternalServerError,
        };
        cx.counters.take_back_response(code);
        match asked.purpose {
            // Not with the page that has just failed.
            Purpose::Explain(_) => self.answer_problem(status.into(), asked, cx),
            _ => self.fail(status, asked, &Wishes::default(), cx),
        }
    }

    fn close(&mut self) {
        self.phase = Phase::Closed;
        self.release();
    }

    pub(super) fn abort<L: Loader>(&mut self, cx: &mut Context<'_, L>) {
        cx.counters.aborted += 1;
        self.log(true, cx);
        self.phase = Phase::Aborted;
        self.release();
    }

    /// Gives all memory back.
    fn release(&mut self) {
        self.stash = Vec::new();
        self.head = Vec::new();
        self.body = Discard::default();
    }
}

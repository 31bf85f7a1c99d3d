//! A request that a service is answering: its body to the task, the response from it.

use std::collections::VecDeque;
use std::fmt::Write;

use bytes::{Buf, Bytes};

use super::Context;
use super::chunked::Chunked;
use super::conn::{Asked, Conn, Phase};
use super::limits::Limits;
use super::response::{self, Connection};
use super::status::Status;
use super::wishes::Wishes;
use crate::exchange::{Exchange, Head, Heard, Said};
use crate::site::Loader;

/// So much of a body must come in the time that bodies have, or all of it; a client that sends a byte now and then would
/// hold its task for ever.
const PROGRESS_BYTES: u64 = 16 * 1024;

/// What of the request's body is still to come.
#[derive(Debug)]
pub(super) enum Inbound {
    /// So many bytes.
    Length(u64),
    /// What its own framing says.
    Chunked(Chunked),
    /// Whatever comes: the connection is a tunnel.
    Tunnel,
    /// Nothing.
    Done,
}

/// How the response's body is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outbound {
    /// Its head has not come.
    Head,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// Until the connection is closed.
    Bare,
    /// It has none, or all of it has come.
    Done,
}

/// What is to be sent next.
#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    is_content: bool,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Calling {
    exchange: Exchange,
    inbound: Inbound,
    outbound: Outbound,
    pieces: VecDeque<Piece>,
    pub(super) asked: Asked,
    /// The client sends its body only when it was told to.
    waits_for_leave: bool,
    /// Its version is 1.1.
    is_latest: bool,
    has_ended: bool,
    /// Bytes of the body that were taken.
    taken_bytes: u64,
}

impl Calling {
    pub(super) fn new(
        exchange: Exchange,
        inbound: Inbound,
        asked: Asked,
        waits_for_leave: bool,
        is_latest: bool,
    ) -> Calling {
        Calling {
            exchange,
            inbound,
            outbound: Outbound::Head,
            pieces: VecDeque::new(),
            asked,
            waits_for_leave,
            is_latest,
            has_ended: false,
            taken_bytes: 0,
        }
    }

    /// Whether the whole request has been taken.
    pub(super) fn has_request(&self) -> bool {
        matches!(self.inbound, Inbound::Done)
    }

    /// Whether it is for the client to go on with its request.
    pub(super) fn wants_body(&self) -> bool {
        let is_body = matches!(self.inbound, Inbound::Length(_) | Inbound::Chunked(_));
        is_body && self.pieces.is_empty() && self.exchange.has_room()
    }

    /// Whether bytes of the client would be taken.
    pub(super) fn has_room(&self) -> bool {
        !self.has_request() && self.exchange.has_room()
    }

    /// Whether it is for the task to go on.
    pub(super) fn waits_for_task(&self) -> bool {
        self.pieces.is_empty() && !self.wants_body()
    }

    /// Changes when enough of the body was taken that its time begins anew.
    pub(super) fn progress(&self) -> u32 {
        (self.taken_bytes / PROGRESS_BYTES) as u32
    }

    pub(super) fn output(&self) -> Option<&Bytes> {
        self.pieces.front().map(|piece| &piece.bytes)
    }

    /// Bytes in hand; what is on its way between connection and task has a bound of its own.
    pub(super) fn held_bytes(&self) -> u64 {
        let bytes = self.pieces.iter().map(|piece| piece.bytes.len() as u64);
        bytes.sum()
    }

    pub(super) fn answer_bell(&self) {
        self.exchange.answer_bell();
    }

    /// The client has sent all that it will; false if that is too little.
    pub(super) fn input_end(&mut self) -> bool {
        match self.inbound {
            Inbound::Length(_) | Inbound::Chunked(_) => return false,
            Inbound::Tunnel => {
                self.inbound = Inbound::Done;
                self.exchange.end();
            }
            Inbound::Done => {}
        }
        self.asked.connection = Connection::Close;
        true
    }

    /// Takes what belongs to the request's body: how many bytes.
    ///
    /// # Errors
    /// It is no body.
    fn take(&mut self, bytes: &[u8], limits: &Limits) -> Result<usize, Status> {
        let taken = match &mut self.inbound {
            Inbound::Done => return Ok(0),
            Inbound::Tunnel => self.exchange.push(bytes),
            Inbound::Length(left) => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX);
                let taken = self.exchange.push(&bytes[..most.min(bytes.len())]);
                *left -= taken as u64;
                taken
            }
            Inbound::Chunked(chunked) => {
                let line = chunked.take_line(bytes, limits)?;
                let data = &bytes[line..];
                let pushed = match chunked.data_ahead(data.len()) {
                    0 => 0,
                    len => self.exchange.push(&data[..len]),
                };
                line + chunked.take_data(pushed)?
            }
        };
        self.taken_bytes += taken as u64;
        let is_whole = match &self.inbound {
            Inbound::Length(left) => *left == 0,
            Inbound::Chunked(chunked) => chunked.is_done(),
            Inbound::Tunnel | Inbound::Done => false,
        };
        if is_whole {
            self.inbound = Inbound::Done;
            self.exchange.end();
        }
        Ok(taken)
    }

    /// Begins the response: how its body is framed, and what becomes of the connection (RFC 9112 section 6). False if
    /// there cannot be such a one.
    fn begin(&mut self, head: &Head) -> bool {
        if head.status == 101 {
            self.inbound = Inbound::Tunnel;
            self.outbound = Outbound::Bare;
            self.asked.connection = Connection::Close;
            return self.exchange.is_open();
        }
        self.outbound = match (head.has_body, head.length) {
            (false, _) => Outbound::Done,
            (true, Some(length)) => Outbound::Length(length),
            (true, None) if self.is_latest => Outbound::Chunked,
            (true, None) => Outbound::Bare,
        };
        // Who is answered before it has said all may say no more.
        if !self.has_request() || self.outbound == Outbound::Bare {
            self.asked.connection = Connection::Close;
        }
        true
    }

    /// Puts a piece of the body in line; false if there is more than was promised.
    fn add(&mut self, data: Bytes) -> bool {
        match &mut self.outbound {
            _ if data.is_empty() => return true,
            Outbound::Head | Outbound::Done => return false,
            Outbound::Bare => {}
            Outbound::Length(left) => match left.checked_sub(data.len() as u64) {
                Some(rest) => *left = rest,
                None => return false,
            },
            Outbound::Chunked => {
                let mut line = String::with_capacity(10);
                // Writing to a String cannot fail.
                let _ = write!(line, "{:x}\r\n", data.len());
                self.push(line.into(), false);
                self.push(data, true);
                self.push(Bytes::from_static(b"\r\n"), false);
                return true;
            }
        }
        self.push(data, true);
        true
    }

    /// The response is complete; false if it is not.
    fn end(&mut self) -> bool {
        match self.outbound {
            Outbound::Head => return false,
            Outbound::Length(left) if left > 0 => return false,
            Outbound::Chunked => self.push(Bytes::from_static(b"0\r\n\r\n"), false),
            Outbound::Length(_) | Outbound::Bare | Outbound::Done => {}
        }
        self.outbound = Outbound::Done;
        self.has_ended = true;
        true
    }

    fn push(&mut self, bytes: Bytes, is_content: bool) {
        self.pieces.push_back(Piece { bytes, is_content });
    }

    /// Takes note that so many bytes were sent: how many of these were content.
    fn advance(&mut self, len: usize) -> usize {
        let Some(piece) = self.pieces.front_mut() else {
            return 0;
        };
        piece.bytes.advance(len);
        let content = if piece.is_content { len } else { 0 };
        if piece.bytes.is_empty() {
            self.pieces.pop_front();
        }
        content
    }
}

impl Conn {
    /// Takes bytes of the request's body: how many.
    pub(super) fn take_for_call<L: Loader>(
        &mut self,
        bytes: &[u8],
        cx: &mut Context<'_, L>,
    ) -> usize {
        let Phase::Calling(calling) = &mut self.phase else {
            return bytes.len();
        };
        match calling.take(bytes, cx.limits) {
            Ok(taken) => taken,
            Err(status) => {
                self.give_up(status, cx);
                bytes.len()
            }
        }
    }

    /// Takes what the task has said, as far as there is room for it.
    pub fn go_on<L: Loader>(&mut self, cx: &mut Context<'_, L>) {
        loop {
            let Phase::Calling(calling) = &mut self.phase else {
                return;
            };
            calling.answer_bell();
            if !calling.pieces.is_empty() {
                return;
            }
            if calling.has_ended {
                return self.finish_call(cx);
            }
            let is_good = match calling.exchange.hear() {
                Heard::Nothing => return,
                Heard::Gone => false,
                Heard::Said(Said::Refuse(status)) => return self.give_up(status, cx),
                Heard::Said(Said::Continue) => {
                    if calling.waits_for_leave && calling.taken_bytes == 0 {
                        calling.push(Bytes::from_static(response::CONTINUE), false);
                    }
                    true
                }
                Heard::Said(Said::Head(head)) => self.begin_response(head, cx),
                Heard::Said(Said::Data(data)) => calling.add(data),
                Heard::Said(Said::End) => calling.end(),
            };
            if !is_good {
                return self.give_up(Status::BadGateway, cx);
            }
        }
    }

    /// Puts the response's head in line; false if it cannot be one.
    fn begin_response<L: Loader>(&mut self, head: Head, cx: &mut Context<'_, L>) -> bool {
        let Phase::Calling(calling) = &mut self.phase else {
            return false;
        };
        if calling.outbound != Outbound::Head || !calling.begin(&head) {
            return false;
        }
        cx.counters.count_response(head.status);
        if let Some(noted) = &mut self.noted {
            noted.answered(head.status);
        }
        let end = response::End {
            more: b"",
            date: cx.date,
            connection: calling.asked.connection,
            takes_files: calling.asked.takes_files,
        };
        let is_chunked = calling.outbound == Outbound::Chunked;
        let bytes = response::finish_service(head, is_chunked, &end);
        calling.push(bytes.into(), false);
        true
    }

    /// Takes note that the first `len` bytes of the output were sent.
    pub(super) fn advance_call<L: Loader>(&mut self, len: usize, cx: &mut Context<'_, L>) {
        let Phase::Calling(calling) = &mut self.phase else {
            return;
        };
        let content = calling.advance(len) as u64;
        cx.counters.body_bytes += content;
        if let Some(noted) = &mut self.noted {
            noted.sent(content);
        }
        self.go_on(cx);
    }

    fn finish_call<L: Loader>(&mut self, cx: &mut Context<'_, L>) {
        let Some(calling) = self.take_calling() else {
            return;
        };
        let may_follow = calling.has_request() && calling.asked.connection != Connection::Close;
        self.end_response(!may_follow, cx);
    }

    /// Ends a call that cannot be completed: with an error if nothing was said of a response.
    fn give_up<L: Loader>(&mut self, status: Status, cx: &mut Context<'_, L>) {
        let Some(calling) = self.take_calling() else {
            return;
        };
        if calling.outbound != Outbound::Head || !calling.pieces.is_empty() {
            return self.abort(cx);
        }
        let connection = match calling.has_request() {
            true => calling.asked.connection,
            false => Connection::Close,
        };
        let asked = Asked {
            connection,
            ..calling.asked
        };
        self.fail(status, asked, &Wishes::default(), cx);
    }
}

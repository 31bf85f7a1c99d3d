//! From a head to the beginning of its response: what [`Conn`] does between reading and sending.

use std::mem;

use bytes::Bytes;

use super::Context;
use super::conn::{Asked, Conn, Phase};
use super::request::{Method, Request, RequestBody, Slots, Target};
use super::response::{self, Connection};
use super::status::Status;
use super::stream::Stream;
use crate::site::resolve::{Refusal, resolve};
use crate::site::{Body, Entry, Find, Loader};

/// The longest request body that is read and thrown away to keep the connection; a new connection costs less than more.
pub const MAX_DISCARDED_BODY_BYTES: u64 = 1024 * 1024;

impl Conn {
    /// Answers bytes that are no acceptable head.
    pub(super) fn refuse<L: Loader>(
        &mut self,
        bytes: &[u8],
        status: Status,
        cx: &mut Context<'_, L>,
    ) {
        cx.counters.refused_heads += 1;
        let head_only = bytes.starts_with(b"HEAD ");
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
    pub(super) fn accept<L: Loader>(&mut self, head: &[u8], cx: &mut Context<'_, L>) {
        self.requests = self.requests.wrapping_add(1);
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
    pub(super) fn answer<L: Loader>(
        &mut self,
        entry: &Entry,
        asked: Asked,
        cx: &mut Context<'_, L>,
    ) {
        let file = match entry {
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
}

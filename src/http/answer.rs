//! From a head to the beginning of its response: what [`Conn`] does between reading and sending.

use std::mem;

use bytes::Bytes;

use super::Context;
use super::conn::{Asked, Conn, Phase};
use super::discard::Discard;
use super::request::{self, Action, Method, Request, RequestBody, Slots};
use super::response::{self, Connection};
use super::status::Status;
use super::stream::Stream;
use super::target::Target;
use crate::site::resolve::{Refusal, resolve};
use crate::site::{Body, Entry, Find, Loader};

impl Conn {
    /// Answers bytes that are no acceptable head.
    pub(super) fn refuse<L: Loader>(
        &mut self,
        bytes: &[u8],
        status: Status,
        cx: &mut Context<'_, L>,
    ) {
        cx.counters.refused_heads += 1;
        self.note(bytes, None, cx);
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

    /// Parses a whole head, and begins to answer it or to read what must come before the answer.
    pub(super) fn accept<L: Loader>(&mut self, head: &[u8], cx: &mut Context<'_, L>) {
        let mut slots = Slots::new();
        match Request::parse(head, &mut slots, cx.limits) {
            Ok(request) if request.body_comes_first() => self.hold(head, cx),
            Ok(request) => self.respond(head, &request, cx),
            Err(Status::VersionNotSupported) => match request::as_version_1_1(head) {
                Some(head) => self.accept(&head, cx),
                None => self.refuse(head, Status::VersionNotSupported, cx),
            },
            Err(status) => self.refuse(head, status, cx),
        }
    }

    /// Answers a head that was [held](Self::hold), its body having come.
    pub(super) fn accept_held<L: Loader>(&mut self, head: &[u8], cx: &mut Context<'_, L>) {
        let mut slots = Slots::new();
        match Request::parse(head, &mut slots, cx.limits) {
            Ok(request) => self.respond(head, &request, cx),
            Err(status) => self.refuse(head, status, cx),
        }
    }

    /// Begins to answer a request.
    fn respond<L: Loader>(
        &mut self,
        head: &[u8],
        request: &Request<'_, '_>,
        cx: &mut Context<'_, L>,
    ) {
        cx.counters.requests += 1;
        self.note(head, Some(request), cx);
        let asked = Asked {
            head_only: request.method == Method::Head,
            connection: self.connection_after(request, cx),
            name_len: 0,
        };
        match request.action(cx.limits) {
            Action::Find(target) => self.look_up(target, asked, cx),
            Action::Options => self.answer_options(asked, cx),
            Action::Refuse(status) => self.answer_page(status, asked, cx),
        }
    }

    /// Decides whether the connection outlives `request`, and sets its body up to be thrown away.
    fn connection_after<L: Loader>(
        &mut self,
        request: &Request<'_, '_>,
        cx: &Context<'_, L>,
    ) -> Connection {
        if !request.may_be_followed(cx.limits) {
            return Connection::Close;
        }
        if let RequestBody::Length(length) = request.body {
            self.body = Discard::Length(length);
        }
        match request.minor_version {
            0 => Connection::KeepAlive,
            _ => Connection::Persist,
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

    fn answer_options<L: Loader>(&mut self, asked: Asked, cx: &mut Context<'_, L>) {
        self.head.clear();
        response::write_options(&mut self.head, cx.date, asked.connection);
        self.send(200, Bytes::new(), None, asked.connection, cx);
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

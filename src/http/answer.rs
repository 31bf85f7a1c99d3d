//! From a head to the beginning of its response: what [`Conn`] does between reading and sending.

use std::io;
use std::mem;
use std::ops::Range;

use bytes::Bytes;

use super::Context;
use super::conditional::{self, Verdict};
use super::conn::{Asked, Conn};
use super::cors::{self, Audience, Cors};
use super::discard::Discard;
use super::hosts::Host;
use super::instead::{Problem, Purpose};
use super::multipart::{self, Boundary};
use super::negotiate;
use super::range::{self, ContentRange, Wanted};
use super::request::{self, Action, Method, Request, RequestBody, Slots};
use super::response::{self, Connection, End, Partial};
use super::status::Status;
use super::stream::{Part, Stream};
use super::wishes::Wishes;
use crate::site::rules::Code;
use crate::site::{Entry, File, HostId, Loader, Representation};

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
        self.fail(
            status,
            Asked {
                head_only,
                connection: Connection::Close,
                name_len: 0,
                host: HostId::DEFAULT,
                audience: Audience::default(),
                purpose: Purpose::default(),
                prefers_json: false,
                takes_files: false,
            },
            &Wishes::default(),
            cx,
        );
    }

    /// Parses a whole head, and begins to answer it or to read what must come before the answer.
    pub(super) fn accept<L: Loader>(&mut self, head: &[u8], cx: &mut Context<'_, L>) {
        let mut slots = Slots::new();
        match Request::parse(head, &mut slots, cx.limits) {
            Ok(request) if cx.hosts.have_services() && self.call(head, &request, cx) => {}
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
        let host = cx.hosts.choose(request.authority());
        let cors = cx.hosts.get(host).cors.as_ref();
        let asked = Asked {
            head_only: request.method == Method::Head,
            connection: self.connection_after(request, cx),
            name_len: 0,
            host,
            audience: cors.map_or_else(Audience::default, |cors| cors.audience(request)),
            purpose: Purpose::default(),
            prefers_json: prefers_json(request, cx.hosts.get(host)),
            takes_files: cx.hosts.have_services() && self.takes_files_at(request, host, cx),
        };
        match request.action(cx.limits) {
            Action::Find(target) => {
                let credentials = credentials(request, asked.host, cx);
                self.look_up(target, asked, &Wishes::of(request), credentials, cx);
            }
            Action::Options => match cors.filter(|_| cors::is_preflight(request)) {
                Some(cors) => self.answer_preflight(cors, asked, cx),
                None => self.answer_options(asked, cx),
            },
            Action::Refuse(status) => self.fail(status, asked, &Wishes::of(request), cx),
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
        request.connection()
    }

    /// Begins the response that `entry` makes.
    pub(super) fn answer<L: Loader>(
        &mut self,
        entry: &Entry,
        asked: Asked,
        wishes: &Wishes<'_>,
        cx: &mut Context<'_, L>,
    ) {
        match (entry, asked.purpose) {
            (_, Purpose::Explain(problem)) => self.explain(entry, problem, asked, wishes, cx),
            (Entry::File(file), _) => self.answer_file(file, asked, wishes, cx),
            (_, Purpose::FallBack) => self.fail(Status::NotFound, asked, wishes, cx),
            (Entry::Directory, _) => self.answer_redirect(asked, cx),
            (Entry::NotFound, _) => self.answer_missing(asked, wishes, cx),
            (Entry::Forbidden, _) => self.fail(Status::Forbidden, asked, wishes, cx),
            (Entry::Failed(io::ErrorKind::TimedOut), _) => {
                self.fail(Status::GatewayTimeout, asked, wishes, cx)
            }
            (Entry::Failed(io::ErrorKind::ResourceBusy), _) => {
                self.fail(Status::ServiceUnavailable, asked, wishes, cx)
            }
            (Entry::Failed(_), _) => self.fail(Status::InternalServerError, asked, wishes, cx),
        }
    }

    /// Conditions count only for what would be sent with 200, and ranges only if they hold (RFC 9110 sections 13.2.1
    /// and 14.2).
    fn answer_file<L: Loader>(
        &mut self,
        file: &File,
        asked: Asked,
        wishes: &Wishes<'_>,
        cx: &mut Context<'_, L>,
    ) {
        let file = negotiate::select(file, wishes.accept_encoding.as_deref());
        match conditional::judge(wishes, file) {
            Verdict::Proceed => {}
            Verdict::NotModified => return self.answer_not_modified(file, asked, cx),
            Verdict::Failed => {
                let problem = Problem::with(Status::PreconditionFailed, file);
                return self.fail(problem, asked, wishes, cx);
            }
        }
        match ranges(wishes, file, asked) {
            Wanted::Whole => self.answer_whole(file, asked, cx),
            Wanted::Nothing => {
                let problem = Problem::with(Status::RangeNotSatisfiable, file);
                self.fail(problem, asked, wishes, cx);
            }
            Wanted::Parts(parts) => self.answer_parts(file, &parts, asked, cx),
        }
    }

    fn answer_whole<L: Loader>(
        &mut self,
        file: &Representation,
        asked: Asked,
        cx: &mut Context<'_, L>,
    ) {
        self.head.clear();
        response::write_ready(&mut self.head, &file.head, &end(asked, cx));
        let body = match asked.head_only {
            true => Part::Memory(Bytes::new()),
            false => multipart::part(file, 0..file.length()),
        };
        self.send_part(200, body, asked, cx);
    }

    /// Begins the response with parts of a file, at least one.
    fn answer_parts<L: Loader>(
        &mut self,
        file: &Representation,
        parts: &[Range<u64>],
        asked: Asked,
        cx: &mut Context<'_, L>,
    ) {
        if let [range] = parts {
            return self.answer_part(file, range.clone(), asked, cx);
        }
        let boundary = Boundary(cx.site.mark(file.etag.as_bytes()));
        let body = multipart::body(file, parts, boundary);
        let partial = Partial::Several(boundary, body.length);
        self.head.clear();
        response::write_partial(&mut self.head, file, &partial, &end(asked, cx));
        let stream = Some(Stream::new(body.parts, asked, 206));
        self.send(206, Bytes::new(), stream, asked.connection, cx);
    }

    fn answer_part<L: Loader>(
        &mut self,
        file: &Representation,
        range: Range<u64>,
        asked: Asked,
        cx: &mut Context<'_, L>,
    ) {
        let partial = Partial::One(ContentRange {
            range: range.clone(),
            of: file.length(),
        });
        self.head.clear();
        response::write_partial(&mut self.head, file, &partial, &end(asked, cx));
        self.send_part(206, multipart::part(file, range), asked, cx);
    }

    /// Sends a body of one part.
    pub(super) fn send_part<L: Loader>(
        &mut self,
        code: u16,
        part: Part,
        asked: Asked,
        cx: &mut Context<'_, L>,
    ) {
        let (body, stream) = match part {
            Part::Memory(bytes) => (bytes, None),
            part => (Bytes::new(), Some(Stream::new([part], asked, code))),
        };
        self.send(code, body, stream, asked.connection, cx);
    }

    fn answer_not_modified<L: Loader>(
        &mut self,
        file: &Representation,
        asked: Asked,
        cx: &mut Context<'_, L>,
    ) {
        self.head.clear();
        response::write_not_modified(&mut self.head, file, &end(asked, cx));
        self.send(304, Bytes::new(), None, asked.connection, cx);
    }

    fn answer_redirect<L: Loader>(&mut self, asked: Asked, cx: &mut Context<'_, L>) {
        let request = mem::take(&mut self.head);
        let (name, query) = request.split_at(asked.name_len);
        response::write_redirect(
            &mut self.head,
            name,
            query.strip_prefix(b"?"),
            &end(asked, cx),
        );
        self.send_page(Status::MovedPermanently, asked, cx);
    }

    fn answer_options<L: Loader>(&mut self, asked: Asked, cx: &mut Context<'_, L>) {
        self.head.clear();
        response::write_options(&mut self.head, &end(asked, cx));
        self.send(200, Bytes::new(), None, asked.connection, cx);
    }

    /// Sends the client to `location`, where a rule has it.
    pub(super) fn answer_lead<L: Loader>(
        &mut self,
        code: Code,
        location: &[u8],
        asked: Asked,
        cx: &mut Context<'_, L>,
    ) {
        let status = match code {
            Code::MovedPermanently => Status::MovedPermanently,
            Code::Found => Status::Found,
            Code::SeeOther => Status::SeeOther,
            Code::TemporaryRedirect => Status::TemporaryRedirect,
            Code::PermanentRedirect => Status::PermanentRedirect,
        };
        self.head.clear();
        response::write_lead(&mut self.head, status, location, &end(asked, cx));
        self.send_page(status, asked, cx);
    }

    pub(super) fn answer_health<L: Loader>(&mut self, asked: Asked, cx: &mut Context<'_, L>) {
        self.head.clear();
        response::write_health(&mut self.head, &end(asked, cx));
        let body = match asked.head_only {
            true => Bytes::new(),
            false => Bytes::from_static(response::HEALTHY),
        };
        self.send(200, body, None, asked.connection, cx);
    }

    fn answer_preflight<L: Loader>(&mut self, cors: &Cors, asked: Asked, cx: &mut Context<'_, L>) {
        self.head.clear();
        let lines = cors.preflight(asked.audience);
        response::write_preflight(&mut self.head, lines, &end(asked, cx));
        self.send(204, Bytes::new(), None, asked.connection, cx);
    }

    pub(super) fn send_page<L: Loader>(
        &mut self,
        status: Status,
        asked: Asked,
        cx: &mut Context<'_, L>,
    ) {
        let page = if asked.head_only { "" } else { status.page() };
        let body = Bytes::from_static(page.as_bytes());
        self.send(status.code(), body, None, asked.connection, cx);
    }
}

/// How the head of the response ends.
pub(super) fn end<'a, L>(asked: Asked, cx: &Context<'a, L>) -> End<'a> {
    let cors = cx.hosts.get(asked.host).cors.as_ref();
    End {
        more: cors.map_or(b"", |cors| cors.lines(asked.audience)),
        date: cx.date,
        connection: asked.connection,
        takes_files: asked.takes_files,
    }
}

/// Whether a listing is to be JSON.
fn prefers_json(request: &Request<'_, '_>, host: &Host) -> bool {
    host.lists && negotiate::prefers_json(request.header("accept"))
}

/// The parts of `file` that are to be sent. `Range` is defined for GET alone (RFC 9110 section 14.2).
fn ranges(wishes: &Wishes<'_>, file: &Representation, asked: Asked) -> Wanted {
    let holds = |value: &[u8]| conditional::if_range_holds(value, file);
    match &wishes.range {
        Some(value) if !asked.head_only && wishes.if_range.as_deref().is_none_or(holds) => {
            range::wanted(value, file.length())
        }
        _ => Wanted::Whole,
    }
}

/// The credentials of `request`, where some may be needed. There is one such field (RFC 9110 section 11.6.2); of two
/// nobody knows which counts.
pub(super) fn credentials<'b, L>(
    request: &Request<'_, 'b>,
    host: HostId,
    cx: &Context<'_, L>,
) -> Option<&'b [u8]> {
    if cx.hosts.get(host).policy.auth.is_empty() {
        return None;
    }
    let mut values = request.header("authorization");
    let first = values.next();
    first.filter(|_| values.next().is_none())
}

//! Requests that a service answers and not the site: which these are, and how they get there.
//!
//! A service has all that lies beneath a prefix, for some methods. What the [`Policy`](super::Policy) says of access
//! and passwords holds for it as for files; its rules do not.

use std::fmt;
use std::mem;

use super::Context;
use super::calling::{Calling, Inbound};
use super::chunked::Chunked;
use super::conn::{Asked, Conn, Phase};
use super::cors::Audience;
use super::fields::Expects;
use super::guard::Way;
use super::instead::Purpose;
use super::request::{Method, Request, RequestBody};
use super::response::Connection;
use super::status::Status;
use super::target::{Form, Target};
use super::wishes::Wishes;
use crate::exchange::{self, ServiceId};
use crate::site::resolve::{Dotfiles, Refusal, resolve};
use crate::site::{HostId, Loader};

/// A service beneath a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// Which.
    pub id: ServiceId,
    /// What it does.
    pub kind: Kind,
}

/// What a service does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It answers everything.
    Proxy,
    /// It changes files; those who would read them ask the site.
    Upload,
}

impl Kind {
    /// Whether a request with this method is for it.
    fn takes(self, method: &str) -> bool {
        match self {
            Kind::Proxy => method != "CONNECT",
            Kind::Upload => matches!(method, "PUT" | "POST" | "DELETE"),
        }
    }
}

/// A request on its way to a service.
pub(super) struct Call {
    service: ServiceId,
    rest: Option<usize>,
    head: Box<[u8]>,
    body: RequestBody,
    expects: Expects,
    is_latest: bool,
    /// What becomes of the connection once the body has been taken.
    pub(super) connection: Connection,
}

impl Call {
    /// Whether nothing more of it is to come.
    pub(super) fn is_complete(&self) -> bool {
        self.body == RequestBody::Length(0)
    }

    /// Bytes that it keeps.
    pub(super) fn len_bytes(&self) -> usize {
        self.head.len()
    }
}

impl fmt::Debug for Call {
    /// Without the head, in which there may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("service", &self.service)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

impl Conn {
    /// Begins to have `request` answered by a service, if there is one for it; false if the site is to answer.
    pub(super) fn call<L: Loader>(
        &mut self,
        head: &[u8],
        request: &Request<'_, '_>,
        cx: &mut Context<'_, L>,
    ) -> bool {
        let (Form::Origin(target) | Form::Absolute(_, target)) = request.form else {
            return false;
        };
        let host = cx.hosts.choose(request.authority());
        let services = &cx.hosts.get(host).services;
        // What cannot be resolved is refused in the usual way.
        if services.is_empty() || resolve(target.path, &mut self.head, Dotfiles::Served).is_err() {
            return false;
        }
        let is_read = matches!(request.method, Method::Get | Method::Head);
        if is_read && cx.hosts.get(host).policy.is_health(&self.head) {
            return false;
        }
        let (service, rest) = match services.longest(&self.head) {
            Some((service, rest)) if service.kind.takes(request.token) => {
                (*service, rest.map(|rest| self.head.len() - rest.len()))
            }
            _ => return false,
        };
        cx.counters.requests += 1;
        self.note(head, Some(request), cx);
        let connection = request.connection();
        let asked = Asked {
            head_only: request.method == Method::Head,
            // As long as the body has not been taken, a refusal is the last word.
            connection: match request.body {
                RequestBody::Length(0) => connection,
                _ => Connection::Close,
            },
            name_len: self.head.len(),
            host,
            audience: Audience::default(),
            purpose: Purpose::default(),
            prefers_json: false,
            takes_files: service.kind == Kind::Upload,
        };
        let call = Box::new(Call {
            service: service.id,
            rest,
            head: head.into(),
            body: request.body,
            expects: request.expects,
            is_latest: request.minor_version > 0,
            connection,
        });
        self.present(service.kind, call, asked, target, request, cx);
        true
    }

    /// Whether files may be put where the request's target is.
    pub(super) fn takes_files_at<L>(
        &mut self,
        request: &Request<'_, '_>,
        host: HostId,
        cx: &Context<'_, L>,
    ) -> bool {
        let (Form::Origin(target) | Form::Absolute(_, target)) = request.form else {
            return false;
        };
        let services = &cx.hosts.get(host).services;
        resolve(target.path, &mut self.head, Dotfiles::Served).is_ok()
            && services
                .longest(&self.head)
                .is_some_and(|(service, _)| service.kind == Kind::Upload)
    }

    /// Has what is said of names judge the call.
    fn present<L: Loader>(
        &mut self,
        kind: Kind,
        call: Box<Call>,
        asked: Asked,
        target: Target<'_>,
        request: &Request<'_, '_>,
        cx: &mut Context<'_, L>,
    ) {
        let wishes = Wishes::of(request);
        let host = cx.hosts.get(asked.host);
        let is_hidden = kind == Kind::Upload
            && resolve(target.path, &mut self.head, host.dotfiles) == Err(Refusal::NoSuchName);
        if is_hidden {
            return self.fail(Status::Forbidden, asked, &wishes, cx);
        }
        if request.expects == Expects::More {
            return self.fail(Status::ExpectationFailed, asked, &wishes, cx);
        }
        let credentials = super::answer::credentials(request, asked.host, cx);
        let way = Way::of_call(call, asked, &wishes, credentials);
        self.judge(way, cx);
    }

    /// Hands the call over.
    pub(super) fn hand_over<L: Loader>(
        &mut self,
        call: Call,
        asked: Asked,
        wishes: &Wishes<'_>,
        cx: &mut Context<'_, L>,
    ) {
        let ask = exchange::Call {
            service: call.service,
            head: call.head,
            name: self.head[..asked.name_len].into(),
            rest: call.rest,
            host: asked.host,
            remote: self.remote.0,
            body_bytes: match call.body {
                RequestBody::Length(length) => Some(length),
                RequestBody::Chunked => None,
            },
        };
        let Ok(exchange) = cx.exchanges.begin(ask, cx.waiter) else {
            return self.fail(Status::ServiceUnavailable, asked, wishes, cx);
        };
        let inbound = match call.body {
            RequestBody::Chunked => Inbound::Chunked(Chunked::unbounded()),
            // Its way stays open: it may become a tunnel's.
            RequestBody::Length(0) => Inbound::Done,
            RequestBody::Length(length) => Inbound::Length(length),
        };
        let asked = Asked {
            connection: call.connection,
            ..asked
        };
        let waits_for_leave = call.expects == Expects::Continue;
        let calling = Calling::new(exchange, inbound, asked, waits_for_leave, call.is_latest);
        self.phase = Phase::Calling(Box::new(calling));
        self.go_on(cx);
    }

    /// Takes the phase out if it is that of a call.
    pub(super) fn take_calling(&mut self) -> Option<Box<Calling>> {
        match mem::take(&mut self.phase) {
            Phase::Calling(calling) => Some(calling),
            other => {
                self.phase = other;
                None
            }
        }
    }
}

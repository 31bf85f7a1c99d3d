//! A request's head, parsed and validated (RFC 9112 sections 2 to 6). The only module that knows httparse.
//!
//! What httparse lets through and this module, or [`scan`](super::scan) before it, does not: bare LF as a line end, more
//! than one `Host`, contradictory body lengths, versions other than 1.x (told from malformed ones), fragments.
//! httparse itself refuses line folding, space before a colon, NUL, bare CR and other controls, and targets that are
//! not UTF-8. What no URI may have but people type (quotes, braces, backslashes) it lets through, and so do we.

use std::mem::MaybeUninit;

pub use super::fields::Expects;
use super::fields::Fields;
use super::limits::{Limits, MAX_FIELDS};
use super::response::Connection;
use super::status::Status;
use super::target::{Form, Target};

/// Room for the fields of one head, on the caller's stack.
#[derive(Debug)]
pub struct Slots<'b>([MaybeUninit<httparse::Header<'b>>; MAX_FIELDS]);

impl Slots<'_> {
    /// Empty room.
    pub fn new() -> Self {
        Slots([const { MaybeUninit::uninit() }; MAX_FIELDS])
    }
}

impl Default for Slots<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// What the client wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `HEAD`.
    Head,
    /// `OPTIONS`.
    Options,
    /// `CONNECT`.
    Connect,
    /// Another method of RFC 9110 or RFC 5789.
    Unsupported,
    /// None of these.
    Unknown,
}

impl Method {
    fn parse(token: &str) -> Self {
        match token {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "OPTIONS" => Method::Options,
            "CONNECT" => Method::Connect,
            "POST" | "PUT" | "DELETE" | "PATCH" | "TRACE" => Method::Unsupported,
            _ => Method::Unknown,
        }
    }
}

/// What follows the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestBody {
    /// This many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// What a valid request leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action<'b> {
    /// Send what the target names.
    Find(Target<'b>),
    /// Say what may be asked.
    Options,
    /// Explain why not.
    Refuse(Status),
}

/// A valid request; borrows from the bytes it was parsed from.
#[derive(Debug)]
pub struct Request<'h, 'b> {
    /// The method.
    pub method: Method,
    /// The method as it was sent.
    pub token: &'b str,
    /// What it is about.
    pub form: Form<'b>,
    /// The minor version: 0 or 1.
    pub minor_version: u8,
    /// The body after the head.
    pub body: RequestBody,
    /// What the client expects before it sends that.
    pub expects: Expects,
    keep_alive: bool,
    host: Option<&'b [u8]>,
    headers: &'h [httparse::Header<'b>],
}

impl<'h, 'b> Request<'h, 'b> {
    /// Parses `head`, from its request line to its empty line, as [`scan`](super::scan) delimited it.
    ///
    /// # Errors
    /// The status to answer with; the connection cannot go on after it.
    pub fn parse(
        head: &'b [u8],
        slots: &'h mut Slots<'b>,
        limits: &Limits,
    ) -> Result<Self, Status> {
        let mut parsed = httparse::Request::new(&mut []);
        let slots = &mut slots.0[..limits.fields.min(MAX_FIELDS)];
        match parsed.parse_with_uninit_headers(head, slots) {
            Ok(httparse::Status::Complete(len)) if len == head.len() => {}
            Ok(_) => return Err(Status::BadRequest),
            Err(httparse::Error::TooManyHeaders) => return Err(Status::HeaderFieldsTooLarge),
            Err(httparse::Error::Version) if version_at(head).is_some() => {
                return Err(Status::VersionNotSupported);
            }
            Err(_) => return Err(Status::BadRequest),
        }
        let (Some(token), Some(target), Some(minor_version)) =
            (parsed.method, parsed.path, parsed.version)
        else {
            return Err(Status::BadRequest);
        };
        let headers: &'h [httparse::Header<'b>] = parsed.headers;
        let mut fields = Fields::default();
        for header in headers {
            fields.add(header.name, header.value)?;
        }
        let method = Method::parse(token);
        let form = Form::parse(method, target.as_bytes())?;
        fields.check_host(minor_version, &form)?;
        Ok(Request {
            method,
            token,
            form,
            minor_version,
            body: fields.body(minor_version)?,
            expects: fields.expects(minor_version),
            keep_alive: fields.keep_alive(minor_version),
            host: fields.host(),
            headers,
        })
    }

    /// Whose the target is: host and port as they were sent, if they were.
    pub fn authority(&self) -> Option<&'b [u8]> {
        match self.form {
            Form::Absolute(authority, _) => Some(authority),
            _ => self.host,
        }
    }

    /// The values of the field `name`, in the order they were sent.
    pub fn header(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        self.headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    }

    /// The names and values of all fields, in the order they were sent.
    pub fn fields(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> {
        self.headers
            .iter()
            .map(|header| (header.name, header.value))
    }

    /// Whether the body must be read before the answer: only then is it known that the request is a valid one, and
    /// where it ends. Who waits for our word before sending it is answered at once.
    pub fn body_comes_first(&self) -> bool {
        self.body == RequestBody::Chunked
            && self.expects == Expects::Nothing
            && self.method != Method::Connect
    }

    /// Whether the next request can be found after this one, and the client wants to send one (RFC 9112 section 9.3).
    ///
    /// A client that was answered before it had sent what it asked leave for may send it or not (RFC 9110
    /// section 10.1.1), and what follows a CONNECT may be meant for another server.
    pub fn may_be_followed(&self, limits: &Limits) -> bool {
        let end_is_known = match self.body {
            RequestBody::Length(0) => true,
            RequestBody::Length(length) => {
                self.expects == Expects::Nothing && length <= limits.body_bytes
            }
            RequestBody::Chunked => self.expects == Expects::Nothing,
        };
        end_is_known && self.keep_alive && self.method != Method::Connect
    }

    /// What becomes of the connection when nothing of the request is left to be read (RFC 9112 section 9.3).
    pub fn connection(&self) -> Connection {
        match (self.keep_alive, self.minor_version) {
            (false, _) => Connection::Close,
            (true, 0) => Connection::KeepAlive,
            (true, _) => Connection::Persist,
        }
    }

    /// What is to be done.
    pub fn action(&self, limits: &Limits) -> Action<'b> {
        match self.method {
            Method::Unknown | Method::Connect => return Action::Refuse(Status::NotImplemented),
            Method::Unsupported => return Action::Refuse(Status::MethodNotAllowed),
            _ if self.expects == Expects::More => {
                return Action::Refuse(Status::ExpectationFailed);
            }
            _ if matches!(self.body, RequestBody::Length(length) if length > limits.body_bytes) => {
                return Action::Refuse(Status::ContentTooLarge);
            }
            Method::Options => return Action::Options,
            Method::Get | Method::Head => {}
        }
        match self.form {
            Form::Origin(target) | Form::Absolute(_, target) => Action::Find(target),
            Form::Authority | Form::Asterisk => Action::Refuse(Status::BadRequest),
        }
    }
}

/// A copy of `head` that says 1.1, if it says a higher minor version. Such a request is to be processed as one of the
/// highest version known (RFC 9110 section 2.5).
pub fn as_version_1_1(head: &[u8]) -> Option<Vec<u8>> {
    let at = version_at(head)?;
    let is_later = matches!(head[at..], [b'1', b'.', b'2'..=b'9', ..]);
    is_later.then(|| {
        let mut copy = head.to_vec();
        copy[at + 2] = b'1';
        copy
    })
}

/// Where the digits of a well-formed version are in the request line of `head`.
fn version_at(head: &[u8]) -> Option<usize> {
    let line = head.split(|&byte| byte == b'\r').next()?;
    let words = line.split(|&byte| byte == b' ').count();
    (words == 3 && ends_in_version(line)).then(|| line.len() - 3)
}

/// Whether a request line ends in a version, whichever.
pub(super) fn ends_in_version(line: &[u8]) -> bool {
    matches!(line, [.., b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit())
}

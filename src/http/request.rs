//! A request's head, parsed and validated (RFC 9112 sections 2 to 6). The only module that knows httparse.
//!
//! What httparse lets through and this module, or [`scan`](super::scan) before it, does not: bare LF as a line end, more
//! than one `Host`, contradictory body lengths, versions other than 1.0 and 1.1 (told from malformed ones), fragments.
//! httparse itself refuses line folding, space before a colon, NUL, bare CR and other controls.

use std::mem::MaybeUninit;

use super::status::Status;

/// The most header fields in a head; browsers send about fifteen.
pub const MAX_HEADERS: usize = 100;

/// Room for the fields of one head, on the caller's stack.
#[derive(Debug)]
pub struct Slots<'b>([MaybeUninit<httparse::Header<'b>>; MAX_HEADERS]);

impl Slots<'_> {
    /// Empty room.
    pub fn new() -> Self {
        Slots([const { MaybeUninit::uninit() }; MAX_HEADERS])
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
            "POST" | "PUT" | "DELETE" | "PATCH" | "OPTIONS" | "CONNECT" | "TRACE" => {
                Method::Unsupported
            }
            _ => Method::Unknown,
        }
    }
}

/// What follows the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestBody {
    /// This many bytes.
    Length(u64),
    /// Bytes whose end is not known here, or that the client may decide not to send: no further request can be found
    /// after them.
    Indefinite,
}

/// The path and query of a target, as they were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'b> {
    /// The path, with its leading slash.
    pub path: &'b [u8],
    /// What follows the question mark.
    pub query: Option<&'b [u8]>,
}

/// A valid request; borrows from the bytes it was parsed from.
#[derive(Debug)]
pub struct Request<'h, 'b> {
    /// The method.
    pub method: Method,
    /// The minor version: 0 or 1.
    pub minor_version: u8,
    /// Whether the client expects the connection to stay open (RFC 9112 section 9.3).
    pub keep_alive: bool,
    /// The body after the head.
    pub body: RequestBody,
    target: &'b str,
    headers: &'h [httparse::Header<'b>],
}

impl<'h, 'b> Request<'h, 'b> {
    /// Parses `head`, from its request line to its empty line, as [`scan`](super::scan) delimited it.
    ///
    /// # Errors
    /// The status to answer with; the connection cannot go on after it.
    pub fn parse(head: &'b [u8], slots: &'h mut Slots<'b>) -> Result<Self, Status> {
        let mut parsed = httparse::Request::new(&mut []);
        match parsed.parse_with_uninit_headers(head, &mut slots.0) {
            Ok(httparse::Status::Complete(len)) if len == head.len() => {}
            Ok(_) => return Err(Status::BadRequest),
            Err(httparse::Error::TooManyHeaders) => return Err(Status::HeaderFieldsTooLarge),
            Err(httparse::Error::Version) if names_other_version(head) => {
                return Err(Status::VersionNotSupported);
            }
            Err(_) => return Err(Status::BadRequest),
        }
        let (Some(method), Some(target), Some(minor_version)) =
            (parsed.method, parsed.path, parsed.version)
        else {
            return Err(Status::BadRequest);
        };
        let headers: &'h [httparse::Header<'b>] = parsed.headers;
        let fields = Fields::collect(headers)?;
        fields.check_host(minor_version)?;
        Ok(Request {
            method: Method::parse(method),
            minor_version,
            keep_alive: !fields.close && (minor_version == 1 || fields.keep_alive),
            body: fields.body(minor_version)?,
            target,
            headers,
        })
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

    /// The target in origin-form, or what an absolute-form says beside scheme and authority (RFC 9112 section 3.2).
    ///
    /// # Errors
    /// 400 for other forms, other schemes than `http`, and fragments.
    pub fn target(&self) -> Result<Target<'b>, Status> {
        let target = self.target.as_bytes();
        if target.contains(&b'#') {
            return Err(Status::BadRequest);
        }
        let local = if target.starts_with(b"/") {
            target
        } else {
            after_authority(target)?
        };
        let (path, query) = match local.iter().position(|&byte| byte == b'?') {
            Some(mark) => (&local[..mark], Some(&local[mark + 1..])),
            None => (local, None),
        };
        let path = if path.is_empty() { b"/" } else { path };
        Ok(Target { path, query })
    }
}

/// Path and query of an absolute-form target.
fn after_authority(target: &[u8]) -> Result<&[u8], Status> {
    const SCHEME: &[u8] = b"http://";
    let (scheme, rest) = target
        .split_at_checked(SCHEME.len())
        .ok_or(Status::BadRequest)?;
    let authority_len = rest
        .iter()
        .position(|&byte| byte == b'/' || byte == b'?')
        .unwrap_or(rest.len());
    // An http URI has a host (RFC 9110 section 4.2.1).
    if !scheme.eq_ignore_ascii_case(SCHEME)
        || authority_len == 0
        || !is_authority(&rest[..authority_len])
    {
        return Err(Status::BadRequest);
    }
    Ok(&rest[authority_len..])
}

/// Whether a request line that httparse found no version in has a well-formed one, which then is not supported.
fn names_other_version(head: &[u8]) -> bool {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|&byte| byte == b' ');
    let version = match (words.next(), words.next(), words.next(), words.next()) {
        (Some(_), Some(_), Some(version), None) => version,
        _ => return false,
    };
    matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// The fields that decide about framing and persistence, collected in one pass.
#[derive(Debug, Default)]
struct Fields<'b> {
    host: Option<&'b [u8]>,
    hosts: usize,
    content_length: Option<u64>,
    transfer_codings: usize,
    chunked: bool,
    expects: bool,
    close: bool,
    keep_alive: bool,
}

impl<'b> Fields<'b> {
    fn collect(headers: &[httparse::Header<'b>]) -> Result<Self, Status> {
        let mut fields = Fields::default();
        for &httparse::Header { name, value } in headers {
            if name.eq_ignore_ascii_case("host") {
                fields.host = Some(value);
                fields.hosts += 1;
            } else if name.eq_ignore_ascii_case("connection") {
                fields.add_connection_options(value);
            } else if name.eq_ignore_ascii_case("content-length") {
                fields.add_content_length(value)?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                fields.transfer_codings += 1;
                fields.chunked = value.eq_ignore_ascii_case(b"chunked");
            } else if name.eq_ignore_ascii_case("expect") {
                fields.expects = true;
            }
        }
        Ok(fields)
    }

    fn add_connection_options(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// Digits alone; said twice, they must agree (RFC 9112 section 6.3).
    fn add_content_length(&mut self, value: &[u8]) -> Result<(), Status> {
        // `u64::from_str` would accept a sign.
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let length = str::from_utf8(value)
            .ok()
            .filter(|_| digits)
            .and_then(|text| text.parse().ok());
        match (length, self.content_length) {
            (Some(length), None) => self.content_length = Some(length),
            (Some(length), Some(earlier)) if length == earlier => {}
            _ => return Err(Status::BadRequest),
        }
        Ok(())
    }

    /// Exactly one `Host` in 1.1, at most one in 1.0, and none that cannot be one (RFC 9112 section 3.2).
    fn check_host(&self, minor_version: u8) -> Result<(), Status> {
        let count_fits = self.hosts == 1 || (self.hosts == 0 && minor_version == 0);
        if count_fits && self.host.is_none_or(is_authority) {
            Ok(())
        } else {
            Err(Status::BadRequest)
        }
    }

    /// RFC 9112 sections 6.1 and 6.3. What 1.0 says about transfer codings cannot be trusted.
    fn body(&self, minor_version: u8) -> Result<RequestBody, Status> {
        match (self.transfer_codings, self.content_length) {
            (0, length) if self.expects && length.unwrap_or(0) > 0 => Ok(RequestBody::Indefinite),
            (0, length) => Ok(RequestBody::Length(length.unwrap_or(0))),
            (_, Some(_)) => Err(Status::BadRequest),
            (_, None) if minor_version == 0 => Err(Status::BadRequest),
            (1, None) if self.chunked => Ok(RequestBody::Indefinite),
            (_, None) => Err(Status::NotImplemented),
        }
    }
}

/// Whether every byte may stand in `uri-host [ ":" port ]` (RFC 3986 section 3.2.2). A user's name may not.
fn is_authority(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| IN_AUTHORITY[usize::from(byte)])
}

const IN_AUTHORITY: [bool; 256] = alphanumeric_and(b"-._~!$&'()*+,;=%:[]");

/// A table of which bytes are letters, digits or among `others`.
pub(super) const fn alphanumeric_and(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
}

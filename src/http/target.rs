//! The four forms of a request target (RFC 9112 section 3.2).

use super::authority::Authority;
use super::request::Method;
use super::status::Status;

/// The path and query of a target, as they were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'b> {
    /// The path, with its leading slash.
    pub path: &'b [u8],
    /// What follows the question mark.
    pub query: Option<&'b [u8]>,
}

/// What a request is about, by the form in which it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form<'b> {
    /// `/path?query`; `Host` has the rest.
    Origin(Target<'b>),
    /// `http://host/path?query`: the authority, and the rest; `Host` does not matter (RFC 9112 section 3.2.2).
    Absolute(&'b [u8], Target<'b>),
    /// `host:port`, of CONNECT alone.
    Authority,
    /// `*`, the server itself, of OPTIONS alone.
    Asterisk,
}

impl<'b> Form<'b> {
    /// Tells the form of `target`, which has neither controls nor spaces and is UTF-8, in a request with `method`.
    ///
    /// # Errors
    /// 421 for what is asked of an https server, 400 for all else that the method does not take.
    pub fn parse(method: Method, target: &'b [u8]) -> Result<Self, Status> {
        let form = match target {
            _ if method == Method::Connect => {
                return parse_authority(target).ok_or(Status::BadRequest);
            }
            // No fragment is ever sent (RFC 9110 section 7.1).
            _ if target.contains(&b'#') => return Err(Status::BadRequest),
            b"*" if method == Method::Options => Form::Asterisk,
            [b'/', ..] => Form::Origin(Target::split(target)),
            _ => {
                let (authority, rest) = split_authority(target)?;
                Form::Absolute(authority, Target::split(rest))
            }
        };
        Ok(form)
    }
}

impl<'b> Target<'b> {
    /// Splits path and query; an empty path is the root (RFC 9110 section 4.2.3).
    fn split(target: &'b [u8]) -> Self {
        let (path, query) = match target.iter().position(|&byte| byte == b'?') {
            Some(mark) => (&target[..mark], Some(&target[mark + 1..])),
            None => (target, None),
        };
        let path = if path.is_empty() { b"/" } else { path };
        Target { path, query }
    }
}

/// CONNECT must name a port (RFC 9110 section 9.3.6).
fn parse_authority(target: &[u8]) -> Option<Form<'_>> {
    let authority = Authority::parse(target)?;
    (authority.has_host && authority.has_port).then_some(Form::Authority)
}

/// The authority of an absolute-form target, and its path and query.
fn split_authority(target: &[u8]) -> Result<(&[u8], &[u8]), Status> {
    let mark = target
        .windows(3)
        .position(|window| window == b"://")
        .ok_or(Status::BadRequest)?;
    let (scheme, rest) = (&target[..mark], &target[mark + 3..]);
    let len = rest
        .iter()
        .position(|&byte| byte == b'/' || byte == b'?')
        .unwrap_or(rest.len());
    let authority = Authority::parse(&rest[..len]);
    // A URI of http or https has a host (RFC 9110 section 4.2.1).
    if !authority.is_some_and(|authority| authority.has_host) {
        return Err(Status::BadRequest);
    }
    if scheme.eq_ignore_ascii_case(b"http") {
        Ok(rest.split_at(len))
    } else if scheme.eq_ignore_ascii_case(b"https") {
        // It may be answered on a secured connection only (RFC 9110 section 7.4).
        Err(Status::MisdirectedRequest)
    } else {
        Err(Status::BadRequest)
    }
}

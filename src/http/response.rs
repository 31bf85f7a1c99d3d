//! Response heads. Each is written whole into the connection's buffer.

use std::io::Write;

use percent_encoding::{CONTROLS, percent_encode};

use super::date::Date;
use super::instead::Problem;
use super::multipart::Boundary;
use super::range::ContentRange;
use super::status::Status;
use crate::exchange::Head;
use crate::site::rules::PATH_ESCAPES;
use crate::site::{Coding, Representation, VARY};

/// The methods that every resource supports (RFC 9110 section 10.2.1).
const ALLOW: &[u8] = b"Allow: GET, HEAD, OPTIONS\r\n";
/// The same where files may be put.
const ALLOW_FILES: &[u8] = b"Allow: GET, HEAD, OPTIONS, PUT, POST, DELETE\r\n";

/// When to come back after a 503, in seconds: by then a stalled check has been tried again.
const RETRY_AFTER: &[u8] = b"Retry-After: 1\r\n";

const CRLF: &[u8] = b"\r\n";

/// What the response says about the connection (RFC 9112 section 9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// It stays open; in HTTP/1.1 that goes without saying.
    Persist,
    /// It stays open, as a client of HTTP/1.0 asked for.
    KeepAlive,
    /// It ends after this response.
    Close,
}

impl Connection {
    fn line(self) -> &'static [u8] {
        match self {
            Connection::Persist => b"",
            Connection::KeepAlive => b"Connection: keep-alive\r\n",
            Connection::Close => b"Connection: close\r\n",
        }
    }
}

/// How every head ends.
#[derive(Debug, Clone, Copy)]
pub struct End<'a> {
    /// Fields that depend on who asks, each with its CRLF.
    pub more: &'a [u8],
    /// The time of the response.
    pub date: &'a Date,
    /// What becomes of the connection.
    pub connection: Connection,
    /// Whether files may be put where the target is.
    pub takes_files: bool,
}

impl End<'_> {
    fn allow(&self) -> &'static [u8] {
        match self.takes_files {
            true => ALLOW_FILES,
            false => ALLOW,
        }
    }
}

/// Appends the head of a response whose first lines an entry has ready.
pub fn write_ready(out: &mut Vec<u8>, lines: &[u8], end: &End<'_>) {
    out.extend_from_slice(lines);
    finish(out, end);
}

/// Appends the head of a response that carries a part or parts of `file` (RFC 9110 section 15.3.7).
///
/// It has all fields that the whole would have, also when `If-Range` says that the client knows them: section 15.3.7
/// would rather leave them out then, but no server does and not every client can bear it.
pub fn write_partial(out: &mut Vec<u8>, file: &Representation, body: &Partial, end: &End<'_>) {
    // Writing to a Vec cannot fail.
    out.extend_from_slice(b"HTTP/1.1 206 Partial Content\r\nServer: xdphttpd\r\n");
    let _ = match body {
        Partial::One(part) => write!(
            out,
            "Content-Type: {}\r\nContent-Length: {}\r\nContent-Range: {part}\r\n",
            file.content_type,
            part.length(),
        ),
        Partial::Several(boundary, length) => write!(
            out,
            "Content-Type: multipart/byteranges; boundary={boundary}\r\nContent-Length: {length}\r\n",
        ),
    };
    out.extend_from_slice(file.common_fields());
    finish(out, end);
}

/// What the body of a 206 response is.
#[derive(Debug)]
pub enum Partial {
    /// These bytes.
    One(ContentRange),
    /// Several parts with this between them, and how many bytes that is in all.
    Several(Boundary, u64),
}

/// Appends the head, which is all there is, of the response to who has the file already: what is needed to know which
/// version and representation that is, what guides caches, and nothing that describes a body (RFC 9110 section 15.4.5).
pub fn write_not_modified(out: &mut Vec<u8>, file: &Representation, end: &End<'_>) {
    // Writing to a Vec cannot fail.
    let _ = write!(
        out,
        "HTTP/1.1 304 Not Modified\r\nServer: xdphttpd\r\n{}ETag: {}\r\n",
        file.vary(),
        file.etag
    );
    out.extend_from_slice(file.fields_for_caches());
    finish(out, end);
}

/// Appends the head of our own page about `problem`; `challenge` asks for credentials, if that is it (RFC 9110 section
/// 15.5.2).
pub fn write_problem(out: &mut Vec<u8>, problem: Problem, challenge: &[u8], end: &End<'_>) {
    start_page(out, problem.status);
    out.extend_from_slice(challenge);
    write_fields_of(out, problem, end);
    if problem.varies {
        out.extend_from_slice(VARY.as_bytes());
    }
    finish(out, end);
}

/// Appends the head of the response that tells of `problem` by a file of the host.
///
/// It has nothing of what tells one version of that file from another, nor how long it may be kept: both would be
/// taken for what the address stands for.
pub fn write_problem_file(
    out: &mut Vec<u8>,
    problem: Problem,
    challenge: &[u8],
    file: &Representation,
    end: &End<'_>,
) {
    out.extend_from_slice(problem.status.line().as_bytes());
    // Writing to a Vec cannot fail.
    let _ = write!(
        out,
        "Server: xdphttpd\r\nContent-Type: {}\r\nContent-Length: {}\r\n",
        file.content_type,
        file.length()
    );
    if file.coding != Coding::Identity {
        let _ = write!(out, "Content-Encoding: {}\r\n", file.coding.token());
    }
    out.extend_from_slice(file.other_fields());
    out.extend_from_slice(challenge);
    write_fields_of(out, problem, end);
    if problem.varies || file.varies {
        out.extend_from_slice(VARY.as_bytes());
    }
    finish(out, end);
}

/// Appends the fields that a problem brings with it, whatever the page.
fn write_fields_of(out: &mut Vec<u8>, problem: Problem, end: &End<'_>) {
    match problem.status {
        Status::MethodNotAllowed => out.extend_from_slice(end.allow()),
        Status::ServiceUnavailable => out.extend_from_slice(RETRY_AFTER),
        _ => {}
    }
    if let Some(length) = problem.length {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "Content-Range: bytes */{length}\r\n");
    }
}

/// Appends the head of the answer to OPTIONS, which has no content (RFC 9110 section 9.3.7).
pub fn write_options(out: &mut Vec<u8>, end: &End<'_>) {
    out.extend_from_slice(b"HTTP/1.1 200 OK\r\nServer: xdphttpd\r\nContent-Length: 0\r\n");
    out.extend_from_slice(end.allow());
    finish(out, end);
}

/// Appends the head of the answer to a preflight request; `lines` say what is allowed.
pub fn write_preflight(out: &mut Vec<u8>, lines: &[u8], end: &End<'_>) {
    out.extend_from_slice(b"HTTP/1.1 204 No Content\r\nServer: xdphttpd\r\n");
    out.extend_from_slice(lines);
    finish(out, end);
}

/// Appends the head of a redirect from the directory `name` to itself with a slash; `query` keeps its place.
///
/// The location is made from the name and not from the path that was sent. A name has no empty components and its
/// backslashes are escaped, so no browser can take it for the name of another host (`//host`, `/\host`).
pub fn write_redirect(out: &mut Vec<u8>, name: &[u8], query: Option<&[u8]>, end: &End<'_>) {
    start_page(out, Status::MovedPermanently);
    // Writing to a Vec cannot fail.
    let _ = write!(out, "Location: /{}/", percent_encode(name, PATH_ESCAPES));
    if let Some(query) = query {
        let _ = write!(out, "?{}", percent_encode(query, CONTROLS));
    }
    out.extend_from_slice(b"\r\n");
    finish(out, end);
}

/// Appends the head of a redirect to `location`, a field's value.
pub fn write_lead(out: &mut Vec<u8>, status: Status, location: &[u8], end: &End<'_>) {
    start_page(out, status);
    out.extend_from_slice(b"Location: ");
    out.extend_from_slice(location);
    out.extend_from_slice(CRLF);
    finish(out, end);
}

/// What a healthy server says.
pub const HEALTHY: &[u8] = b"ok\n";

/// Appends the head of the answer to a health check, which nobody may keep.
pub fn write_health(out: &mut Vec<u8>, end: &End<'_>) {
    out.extend_from_slice(
        b"HTTP/1.1 200 OK\r\nServer: xdphttpd\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n\
          Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n",
    );
    finish(out, end);
}

fn start_page(out: &mut Vec<u8>, status: Status) {
    out.extend_from_slice(status.line().as_bytes());
    let length = status.page().len();
    // Writing to a Vec cannot fail.
    let _ = write!(
        out,
        "Server: xdphttpd\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {length}\r\n\
         X-Content-Type-Options: nosniff\r\n"
    );
}

/// Tells the client to go on with its request (RFC 9110 section 15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Finishes the head of a service's response.
pub fn finish_service(head: Head, is_chunked: bool, end: &End<'_>) -> Vec<u8> {
    let mut out = head.lines;
    if head.status == 101 {
        out.extend_from_slice(b"Connection: Upgrade\r\n\r\n");
        return out;
    }
    if is_chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    } else if let Some(length) = head.length {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "Content-Length: {length}\r\n");
    }
    if !head.has_date {
        out.extend_from_slice(end.date.line());
    }
    finish_connection(&mut out, end.connection);
    out
}

/// Changes what a finished head says about the connection; it said `from`.
pub fn change_connection(head: &mut Vec<u8>, from: Connection, to: Connection) {
    let end = from.line().len() + CRLF.len();
    head.truncate(head.len().saturating_sub(end));
    finish_connection(head, to);
}

fn finish(out: &mut Vec<u8>, end: &End<'_>) {
    out.extend_from_slice(end.more);
    out.extend_from_slice(end.date.line());
    finish_connection(out, end.connection);
}

/// The last lines of every head.
fn finish_connection(out: &mut Vec<u8>, connection: Connection) {
    out.extend_from_slice(connection.line());
    out.extend_from_slice(CRLF);
}

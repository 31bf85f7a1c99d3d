//! Where a request's head ends.
//!
//! The scanner looks at each byte once, however few arrive at a time, and its verdict depends on the bytes alone, never
//! on how they were cut up. It accepts CRLF as the only line end: lenient servers and strict proxies disagree about
//! requests, which is how requests are smuggled (RFC 9112 sections 2.2 and 11.2).

use super::request::alphanumeric_and;
use super::status::Status;
use memchr::memchr;

/// The longest request line, without its CRLF. What browsers and other servers accept too.
pub const MAX_REQUEST_LINE_BYTES: usize = 8 * 1024;

/// The longest head with all its CRLFs: room for a full request line and as much in fields.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Bytes of empty lines tolerated before a request line (RFC 9112 section 2.2 speaks of one line).
pub const MAX_LEADING_BYTES: usize = 8;

/// What is known about the head so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    /// It goes on after these bytes.
    Partial,
    /// It is the bytes in this range, from the request line to the empty line; empty lines came before.
    Complete {
        /// Where the request line begins.
        start: usize,
        /// Where the body, or the next request, begins.
        end: usize,
    },
    /// It is not a head that can be accepted.
    Bad(Status),
}

/// How far the search for one head has come. A new one begins at the first byte after the last request.
#[derive(Debug, Clone, Copy, Default)]
pub struct HeadScanner {
    /// Where the request line begins.
    start: usize,
    /// Whether `start` is final.
    begun: bool,
    /// Where the current line begins.
    line_start: usize,
    /// The first byte not looked at.
    next: usize,
}

impl HeadScanner {
    /// Goes on through `bytes`, which hold all that came before and more.
    pub fn scan(&mut self, bytes: &[u8]) -> Scan {
        if !self.begun {
            match self.skip_empty_lines(bytes) {
                Ok(begun) => self.begun = begun,
                Err(status) => return Scan::Bad(status),
            }
            if !self.begun {
                return Scan::Partial;
            }
        }
        while let Some(offset) = memchr(b'\n', &bytes[self.next..]) {
            let lf = self.next + offset;
            if let Err(status) = self.check_limits(lf + 1) {
                return Scan::Bad(status);
            }
            if lf == self.line_start || bytes[lf - 1] != b'\r' {
                return Scan::Bad(Status::BadRequest);
            }
            if lf - 1 == self.line_start {
                return Scan::Complete {
                    start: self.start,
                    end: lf + 1,
                };
            }
            self.line_start = lf + 1;
            self.next = lf + 1;
        }
        self.next = bytes.len();
        self.check_limits(bytes.len())
            .map_or_else(Scan::Bad, |()| Scan::Partial)
    }

    /// What `bytes` hold of the request line and after it; nothing if no request line has begun.
    pub fn begun<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        if self.begun {
            &bytes[self.start..]
        } else {
            &[]
        }
    }

    /// Whether the first byte of a request line is among `bytes`.
    fn skip_empty_lines(&mut self, bytes: &[u8]) -> Result<bool, Status> {
        loop {
            match bytes[self.start..] {
                [] | [b'\r'] => return Ok(false),
                [b'\r', b'\n', ..] if self.start < MAX_LEADING_BYTES => self.start += 2,
                // A method begins with a token character; a TLS client is told at once that this is no TLS server.
                [first, ..] if is_token_char(first) => break,
                _ => return Err(Status::BadRequest),
            }
        }
        self.line_start = self.start;
        self.next = self.start;
        Ok(true)
    }

    /// The limits, given that the head has at least the bytes up to `end` and the current line too.
    fn check_limits(&self, end: usize) -> Result<(), Status> {
        const CRLF_BYTES: usize = 2;
        if self.line_start == self.start && end - self.start > MAX_REQUEST_LINE_BYTES + CRLF_BYTES {
            return Err(Status::UriTooLong);
        }
        if end - self.start > MAX_HEAD_BYTES {
            return Err(Status::HeaderFieldsTooLarge);
        }
        Ok(())
    }
}

/// `tchar` of RFC 9110 section 5.6.2.
fn is_token_char(byte: u8) -> bool {
    const TOKEN: [bool; 256] = alphanumeric_and(b"!#$%&'*+-.^_`|~");
    TOKEN[usize::from(byte)]
}

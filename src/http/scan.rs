//! Where a request's head ends.
//!
//! The scanner looks at each byte once, however few arrive at a time, and its verdict depends on the bytes alone, never
//! on how they were cut up. It accepts CRLF as the only line end: lenient servers and strict proxies disagree about
//! requests, which is how requests are smuggled (RFC 9112 sections 2.2 and 11.2).

use super::bytes::is_token_char;
use super::limits::Limits;
use super::request::ends_in_version;
use super::status::Status;
use memchr::memchr;

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
    pub fn scan(&mut self, bytes: &[u8], limits: &Limits) -> Scan {
        if !self.begun {
            match self.skip_empty_lines(bytes, limits) {
                Ok(begun) => self.begun = begun,
                Err(status) => return Scan::Bad(status),
            }
            if !self.begun {
                return Scan::Partial;
            }
        }
        while let Some(offset) = memchr(b'\n', &bytes[self.next..]) {
            let lf = self.next + offset;
            if let Err(status) = self.check_limits(&bytes[..lf + 1], limits) {
                return Scan::Bad(status);
            }
            if lf == self.line_start || bytes[lf - 1] != b'\r' {
                return Scan::Bad(Status::BadRequest);
            }
            // A client of HTTP/0.9 sends no more than such a line.
            if self.line_start == self.start && !ends_in_version(&bytes[self.start..lf - 1]) {
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
        self.check_limits(bytes, limits)
            .map_or_else(Scan::Bad, |()| Scan::Partial)
    }

    /// What `bytes` hold of the request line and after it, or of what stands in its place.
    pub fn begun<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        &bytes[self.start..]
    }

    /// Whether the first byte of a request line is among `bytes`.
    fn skip_empty_lines(&mut self, bytes: &[u8], limits: &Limits) -> Result<bool, Status> {
        loop {
            match bytes[self.start..] {
                [] | [b'\r'] => return Ok(false),
                [b'\r', b'\n', ..] if self.start < limits.leading_bytes => self.start += 2,
                // A method begins with a token character; a TLS client is told at once that this is no TLS server.
                [first, ..] if is_token_char(first) => break,
                _ => return Err(Status::BadRequest),
            }
        }
        self.line_start = self.start;
        self.next = self.start;
        Ok(true)
    }

    /// The limits, given that the head goes on to the end of `bytes` at least, and the current line too.
    fn check_limits(&self, bytes: &[u8], limits: &Limits) -> Result<(), Status> {
        const CRLF_BYTES: usize = 2;
        let head = &bytes[self.start..];
        let line_bytes = limits.request_line_bytes + CRLF_BYTES;
        if self.line_start == self.start && head.len() > line_bytes {
            // A method longer than any that is known is another matter than a long target (RFC 9112 section 3).
            return Err(match memchr(b' ', &head[..line_bytes]) {
                Some(_) => Status::UriTooLong,
                None => Status::NotImplemented,
            });
        }
        if head.len() > limits.head_bytes {
            return Err(Status::HeaderFieldsTooLarge);
        }
        Ok(())
    }
}

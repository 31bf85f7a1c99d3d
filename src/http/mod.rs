//! HTTP/1.1 and 1.0 for one connection at a time: bytes in, bytes out, no I/O.
//!
//! [`Conn`] takes the bytes that a client sends and gives the bytes to send back. A request goes through five steps:
//!
//! 1. [`scan`] finds where its head ends, however it is cut up on the way (RFC 9112 section 2).
//! 2. [`request`] parses and validates the head, once, where it lies: its [`target`], and what its fields say of
//!    framing. A [`chunked`] body is read to its end before the answer, and the head kept till then.
//! 3. The authority chooses among the [`hosts`], and the target's path becomes a name. The host's [`policy`] may have
//!    something to say about it; else [`Site::find`] makes it an entry, now or by an
//!    [`Event`](crate::site::Event).
//! 4. [`answer`] decides what to say and [`response`] writes the head that says it; an entry has most of it ready. What
//!    the request [`wishes`] decides about that: its coding ([`negotiate`]), whether the client has it
//!    ([`conditional`]), the parts of it ([`range`], [`multipart`]).
//!    When there is nothing to send, something may be sent [`instead`].
//! 5. The body follows from memory, or chunk by chunk as [`stream`] has it read.
//!
//! Only then is the next request taken: what a client sends ahead stays in its TCP window. [`limits`] has the other
//! bounds.

use crate::access_log::Batch;
use crate::exchange::Exchanges;
use crate::site::{Now, Site, Waiter};

pub mod access;
pub mod answer;
pub mod auth;
mod authority;
mod bytes;
pub mod call;
mod calling;
pub mod chunked;
pub mod conditional;
pub mod conn;
pub mod cors;
pub mod date;
mod discard;
mod fields;
mod guard;
pub mod hosts;
pub mod instead;
pub mod limits;
pub mod multipart;
pub mod negotiate;
pub mod noted;
pub mod policy;
pub mod range;
pub mod rate;
pub mod request;
pub mod response;
pub mod scan;
pub mod status;
pub mod stream;
pub mod target;
pub mod verified;
pub mod wishes;

pub use conn::Conn;
pub use date::Date;
pub use hosts::{Host, HostName, HostNameError, Hosts};
pub use limits::Limits;
pub use policy::Policy;
pub use status::Status;
pub use verified::Verified;

/// What a connection needs from its worker for the time of one call.
#[derive(Debug)]
pub struct Context<'a, L> {
    /// Whose the files may be, and how they are sent.
    pub hosts: &'a Hosts,
    /// The files.
    pub site: &'a mut Site<L>,
    /// Monotonic time.
    pub now: Now,
    /// The `Date` of a response that begins now.
    pub date: &'a Date,
    /// The name under which the site knows this connection.
    pub waiter: Waiter,
    /// Memory is short: bodies are read in small pieces, one at a time, and long heads that would have to be kept refused.
    pub frugal: bool,
    /// What requests may take.
    pub limits: &'a Limits,
    /// Whose passwords have been looked at.
    pub verified: &'a mut Verified,
    /// What is answered elsewhere.
    pub exchanges: &'a mut Exchanges,
    /// The access log, if there is one.
    pub log: Option<&'a mut Batch>,
    /// Where the connection counts what it does.
    pub counters: &'a mut Counters,
}

/// What the connections of one worker have done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests whose head was valid.
    pub requests: u64,
    /// Heads refused before they became a request.
    pub refused_heads: u64,
    /// Responses begun with a status of 200 to 299.
    pub responses_2xx: u64,
    /// Responses begun with a status of 300 to 399.
    pub responses_3xx: u64,
    /// Responses begun with a status of 400 to 499.
    pub responses_4xx: u64,
    /// Responses begun with a status of 500 to 599.
    pub responses_5xx: u64,
    /// Bytes of response bodies that the caller took.
    pub body_bytes: u64,
    /// Requests of clients that may not ask.
    pub kept_out: u64,
    /// Requests with credentials that are nobody's.
    pub wrong_credentials: u64,
    /// Requests whose password was not looked at, for too many were in line.
    pub refused_credentials: u64,
    /// Turns in which a connection had more to send and a limited rate kept it back.
    pub kept_back: u64,
    /// Responses broken off because the file no longer held what their head had promised.
    pub aborted: u64,
}

impl Counters {
    fn count_response(&mut self, code: u16) {
        *self.responses(code) += 1;
    }

    /// One that was counted is not sent after all.
    fn take_back_response(&mut self, code: u16) {
        *self.responses(code) -= 1;
    }

    fn responses(&mut self, code: u16) -> &mut u64 {
        match code {
            200..300 => &mut self.responses_2xx,
            300..400 => &mut self.responses_3xx,
            400..500 => &mut self.responses_4xx,
            _ => &mut self.responses_5xx,
        }
    }
}

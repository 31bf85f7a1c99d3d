//! The `Date` field, rendered once a second instead of once a response.

use std::time::SystemTime;

use crate::access_log::Clock;
use crate::site::http_date;

/// A rendered `Date` field line (RFC 9110 section 6.6.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Date {
    line: String,
    clock: Clock,
}

impl Date {
    /// The line for `time`.
    pub fn new(time: SystemTime) -> Self {
        Date {
            line: format!("Date: {}\r\n", http_date(time)),
            clock: Clock::new(http_date(time)),
        }
    }

    /// The same time for the access log.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The line with its CRLF.
    pub fn line(&self) -> &[u8] {
        self.line.as_bytes()
    }
}

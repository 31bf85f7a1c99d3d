//! The `Date` field, rendered once a second instead of once a response.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::access_log::Clock;
use crate::site::http_date;

/// A rendered `Date` field line (RFC 9110 section 6.6.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Date {
    line: String,
    clock: Clock,
    since_epoch_s: u64,
}

impl Date {
    /// The line for `time`.
    pub fn new(time: SystemTime) -> Self {
        Date {
            line: format!("Date: {}\r\n", http_date(time)),
            clock: Clock::new(http_date(time)),
            since_epoch_s: since_epoch_s(time),
        }
    }

    /// Renders the line anew if `time` is in another second.
    pub fn update(&mut self, time: SystemTime) {
        if since_epoch_s(time) != self.since_epoch_s {
            *self = Date::new(time);
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

fn since_epoch_s(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

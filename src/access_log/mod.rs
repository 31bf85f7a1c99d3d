//! The access log: a line for each response, written off the packet path.
//!
//! A worker puts [`mod@format`]ted lines into a [`Batch`] of its own. A batch that is full,
//! or has waited for [`MAX_AGE`], goes through a bounded queue to the [`writer`]'s
//! thread, which alone touches files. When the writer is too slow, and the queue full,
//! the batch's lines are dropped and counted: clients never wait for a log.

pub mod format;
mod sink;
mod text;
pub mod writer;

pub use format::{Clock, Format, Request, Response};
pub use sink::{OpenError, Target};
pub use writer::Log;

use crate::site::Now;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use writer::Message;

/// A batch is sent on when it has so many bytes.
pub const BATCH_BYTES: usize = 32 * 1024;
/// And when its first line has waited so long.
pub const MAX_AGE: Duration = Duration::from_millis(100);

/// One worker's way to the log.
#[derive(Debug)]
pub struct Batch {
    format: Format,
    lines: Vec<u8>,
    count: u64,
    /// When its first line came.
    since: Now,
    to: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl Batch {
    fn new(format: Format, to: SyncSender<Message>, dropped: Arc<AtomicU64>) -> Batch {
        Batch {
            format,
            lines: Vec::new(),
            count: 0,
            since: Now::ZERO,
            to,
            dropped,
        }
    }

    /// Adds a line.
    pub fn add(&mut self, clock: &Clock, request: &Request<'_>, response: &Response, now: Now) {
        if self.lines.is_empty() {
            self.lines.reserve(BATCH_BYTES);
            self.since = now;
        }
        self.format.write(&mut self.lines, clock, request, response);
        self.count += 1;
        if self.lines.len() >= BATCH_BYTES {
            self.send();
        }
    }

    /// When [`flush`](Batch::flush) has something to do.
    pub fn due_at(&self) -> Option<Now> {
        (self.count > 0).then(|| self.since + MAX_AGE)
    }

    /// Sends on what has waited long enough.
    pub fn flush(&mut self, now: Now) {
        if self.due_at().is_some_and(|at| at <= now) {
            self.send();
        }
    }

    fn send(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        let count = std::mem::take(&mut self.count);
        if self.to.try_send(Message::Lines { lines, count }).is_err() {
            self.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if self.count > 0 {
            self.send();
        }
    }
}

//! The server in memory, in virtual time.

use super::dialect::Dialect;
use super::runner::{Link, Wait, run};
use super::script::{BIG_REQ, BIG_REQUEST, ONE, REQ, big, c, script, seg};
use crate::common::segment::Ends;
use crate::common::{ENDS, Lab};
use std::collections::VecDeque;
use xdphttpd::net::{Duration, Instant};
use xdphttpd::wire::Impairments;

/// The longest that an ACK may be delayed (RFC 9293 §3.8.6.3) is not half of this.
const ANSWER: Duration = Duration::from_millis(1_200);
/// Longer than any ACK is delayed here, shorter than a first retransmission.
const SILENCE: Duration = Duration::from_millis(300);
/// After so long nothing may be left of any connection.
const LONG: Duration = Duration::from_secs(15 * 60);

/// How long the server has run: clocks that begin near zero hide mistakes.
const UPTIME: Duration = Duration::from_secs(3_600);
const WARMING_PORT: u16 = 9_999;

/// A stack of its own.
pub struct Memory {
    pub lab: Lab,
    inbox: VecDeque<Vec<u8>>,
    _root: tempfile::TempDir,
}

impl Memory {
    pub fn new() -> Memory {
        let root = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(root.path().join("one"), ONE).expect("writing a test file");
        std::fs::write(root.path().join("big"), big()).expect("writing a test file");
        let mut memory = Memory {
            lab: Lab::new(root.path(), Impairments::NONE, 1),
            inbox: VecDeque::new(),
            _root: root,
        };
        memory.lab.now += UPTIME;
        memory.warm();
        memory
    }

    /// Has both files loaded, so that responses do not depend on what a loader
    /// takes.
    fn warm(&mut self) {
        let end = 1 + REQ + BIG_REQ;
        let script = script("warming", "")
            .open()
            .alive(1)
            .send(seg("PA").seq(c(1 + REQ)).data(BIG_REQUEST))
            .read(c(end), &big())
            .send(seg("R").seq(c(end)))
            .silence();
        run(self, Dialect::Plain, WARMING_PORT, &script).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(self.lab.stack.connections(), 0);
    }

    /// Lets the server be until nothing can be left.
    ///
    /// # Errors
    /// How many connections there still are.
    pub fn settle(&mut self) -> Result<(), String> {
        self.lab.settle(&mut [], LONG);
        match self.lab.stack.connections() {
            0 => Ok(()),
            left => Err(format!("{left} connections left after {LONG}")),
        }
    }

    fn receive_until(&mut self, end: Instant) -> Option<Vec<u8>> {
        loop {
            self.lab.serve();
            if let Some(frame) = self.lab.to_client.deliver(self.lab.now) {
                return Some(frame);
            }
            if self.lab.now >= end {
                return None;
            }
            let next = [
                self.lab.to_server.next_at(),
                self.lab.to_client.next_at(),
                self.lab.stack.next_at(),
            ];
            let soonest = self.lab.now + Duration::from_micros(1);
            let next = next.into_iter().flatten().min().unwrap_or(end);
            self.lab.now = next.max(soonest).min(end);
        }
    }
}

impl Link for Memory {
    fn ends(&self) -> Ends {
        ENDS
    }

    fn send(&mut self, frame: &[u8]) {
        self.lab.inject(frame);
    }

    fn receive(&mut self, wait: Wait) -> Option<Vec<u8>> {
        let patience = match wait {
            Wait::Answer => ANSWER,
            Wait::Silence => SILENCE,
            Wait::Microseconds(us) => Duration::from_micros(us),
        };
        self.inbox
            .pop_front()
            .or_else(|| self.receive_until(self.lab.now + patience))
    }

    fn pass_ms(&mut self, milliseconds: u32) {
        let end = self.lab.now + Duration::from_millis(milliseconds.into());
        while let Some(frame) = self.receive_until(end) {
            self.inbox.push_back(frame);
        }
    }

    fn now_us(&self) -> u64 {
        self.lab.now.total_micros() as u64
    }

    fn is_live(&self) -> bool {
        false
    }
}

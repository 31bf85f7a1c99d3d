//! A stack with HTTP on a small site, and what must hold whatever comes.

use crate::common::segment::Answer;
use crate::common::{ENDS, stack_of};
use std::path::Path;
use xdphttpd::net::{Duration, FrameSink, Instant, Stack, StackConfig};
use xdphttpd::service::HttpService;
use xdphttpd::site::InlineLoader;
use xdphttpd::stats::NetCounters;

/// Frames that one turn may send: the stack's own limit is 32.
const MOST_ANSWERS: usize = 40;
/// Polls in a row that may bring nothing forward.
const MOST_POLLS: u32 = 200_000;
/// After so long without a frame nothing may be left.
const QUIET: Duration = Duration::from_secs(30 * 60);
/// How long the server has run at the beginning.
const UPTIME: Duration = Duration::from_secs(3_600);

/// The server, the time, and what the server has sent.
pub struct World {
    pub stack: Stack<HttpService<InlineLoader>>,
    now: Instant,
    sent: Sent,
}

/// A sink that keeps all.
#[derive(Default)]
struct Sent {
    frame: Vec<u8>,
    frames: Vec<Vec<u8>>,
}

impl FrameSink for Sent {
    fn ready(&mut self) -> bool {
        true
    }

    fn reserve(&mut self, len_bytes: usize) -> Option<&mut [u8]> {
        // Not zeroed, as a reused UMEM frame is not.
        self.frame = vec![0xa5; len_bytes];
        Some(&mut self.frame)
    }

    fn submit(&mut self, _len_bytes: usize) {
        self.frames.push(std::mem::take(&mut self.frame));
    }
}

impl World {
    pub fn new(site: &Path, config: &StackConfig) -> World {
        World {
            stack: stack_of(site, config),
            now: Instant::ZERO + UPTIME,
            sent: Sent::default(),
        }
    }

    /// Gives a frame to the server; what it sends at once.
    ///
    /// # Panics
    /// When that is too much, or no right answer, or the frame left no trace.
    pub fn frame(&mut self, frame: &[u8]) -> Vec<Answer> {
        let before = self.counted();
        let connections = self.stack.connections();
        self.stack.frame(frame, self.now, &mut self.sent);
        let answers = self.sent.frames.len();
        assert!(answers <= MOST_ANSWERS, "{answers} answers to one frame");
        // Segments of a connection may be taken without a word.
        let taken = connections > 0 || self.stack.connections() > 0;
        assert!(
            answers > 0 || taken || self.counted() != before,
            "a frame was neither answered nor counted: {frame:02x?}"
        );
        if connections == 0 {
            assert!(answers <= 1, "{answers} answers to a stranger");
        }
        self.load();
        self.answers()
    }

    /// Lets time pass; what the server sends meanwhile.
    pub fn pass(&mut self, time: Duration) -> Vec<Answer> {
        let end = self.now + time;
        let mut polls = 0;
        while let Some(at) = self.stack.next_at().filter(|&at| at <= end) {
            polls += 1;
            assert!(polls < MOST_POLLS, "the stack spins at {}", self.now);
            self.now = self.now.max(at);
            self.stack.poll(self.now, &mut self.sent);
            self.load();
        }
        self.now = end;
        self.answers()
    }

    /// Falls silent for so long that nothing may be left.
    ///
    /// # Panics
    /// When something is left.
    pub fn settle(mut self) {
        self.pass(QUIET);
        assert_eq!(self.stack.connections(), 0, "connections are left");
        assert_eq!(self.stack.next_at(), None, "a timer is left");
    }

    /// Delivers what the file loader has found.
    fn load(&mut self) {
        while let Some((id, event)) = self.stack.app.completed() {
            let now = self.now;
            self.stack.wake(id, now, &mut self.sent, |app, conn| {
                app.deliver(id, conn, event, now)
            });
        }
    }

    fn answers(&mut self) -> Vec<Answer> {
        let read = |frame: Vec<u8>| {
            Answer::read(&frame, &ENDS).unwrap_or_else(|error| panic!("{error}: {frame:02x?}"))
        };
        self.sent.frames.drain(..).map(read).collect()
    }

    /// Everything counted but the frames themselves.
    fn counted(&self) -> NetCounters {
        NetCounters {
            rx_frames: 0,
            rx_bytes: 0,
            ..self.stack.counters
        }
    }
}

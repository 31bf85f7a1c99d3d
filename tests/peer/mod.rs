//! Clients made of segments by hand, against a stack with any limits, in virtual
//! time: for tests of what the stack remembers, how long, and what it forgets.
#![allow(dead_code, reason = "each test file uses a part of this")]

use crate::common::segment::{Answer, Ends, Segment, flag_bits};
use crate::common::{ENDS, Lab, stack_config, stack_with};
use std::net::Ipv4Addr;
use xdphttpd::net::{Duration, Limits, StackConfig};
use xdphttpd::stats::NetCounters;
use xdphttpd::wire::Impairments;

/// A request for [`BODY`], and one after which the server closes.
pub const GET: &[u8] = b"GET /one HTTP/1.1\r\nHost: lab\r\n\r\n";
pub const GET_AND_CLOSE: &[u8] = b"GET /one HTTP/1.0\r\n\r\n";
/// A request for [`BIG_BYTES`].
pub const GET_BIG: &[u8] = b"GET /big HTTP/1.1\r\nHost: lab\r\n\r\n";
pub const BODY: &[u8] = b"one";
pub const BIG_BYTES: usize = 400_000;
/// A request for [`PAGE_BYTES`], which are kept in memory.
pub const GET_PAGE: &[u8] = b"GET /page HTTP/1.1\r\nHost: lab\r\n\r\n";
pub const PAGE_BYTES: usize = 100_000;
/// MSS, SACK permitted, timestamps with the value 1000, window scale 7.
pub const MODERN: [u8; 20] = [
    2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 3, 232, 0, 0, 0, 0, 1, 3, 3, 7,
];

/// A server and everything that its clients share.
pub struct Host {
    pub lab: Lab,
    pub root: tempfile::TempDir,
}

impl Host {
    /// A server with these limits.
    pub fn new(limits: Limits) -> Host {
        Host::with_bodies(limits, 64 << 20)
    }

    /// The same, with so many bytes for bodies and unfinished heads.
    pub fn with_bodies(limits: Limits, body_bytes: usize) -> Host {
        let mut config = stack_config(1);
        config.limits = limits;
        Host::of(&config, body_bytes)
    }

    /// A server of any configuration.
    pub fn with(config: &StackConfig) -> Host {
        Host::of(config, 64 << 20)
    }

    fn of(config: &StackConfig, body_bytes: usize) -> Host {
        let root = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(root.path().join("one"), BODY).expect("writing a file");
        std::fs::write(root.path().join("page"), vec![b'x'; PAGE_BYTES]).expect("writing a file");
        std::fs::write(root.path().join("big"), vec![b'x'; BIG_BYTES]).expect("writing a file");
        let mut lab = Lab::new(root.path(), Impairments::NONE, 1);
        lab.stack = stack_with(root.path(), config, body_bytes);
        Host { lab, root }
    }

    pub fn counters(&self) -> NetCounters {
        self.lab.stack.counters
    }

    /// Lets time pass and returns what the server sends meanwhile.
    pub fn wait(&mut self, time: Duration) -> Vec<Answer> {
        let end = self.lab.now + time;
        let mut answers = Vec::new();
        loop {
            self.lab.serve();
            while let Some(frame) = self.lab.to_client.deliver(self.lab.now) {
                let answer = Answer::read(&frame, &ENDS);
                answers.push(answer.unwrap_or_else(|error| panic!("{error}")));
            }
            if self.lab.now >= end {
                return answers;
            }
            let next = [
                self.lab.stack.next_at(),
                self.lab.to_server.next_at(),
                self.lab.to_client.next_at(),
            ];
            let next = next.into_iter().flatten().min().unwrap_or(end);
            let soon = self.lab.now + Duration::from_micros(50);
            self.lab.now = next.max(soon).min(end);
        }
    }

    pub fn wait_s(&mut self, seconds: u64) -> Vec<Answer> {
        self.wait(Duration::from_secs(seconds))
    }
}

/// One client's connection.
#[derive(Clone, Debug)]
pub struct Peer {
    pub ends: Ends,
    pub port: u16,
    /// SND.NXT and RCV.NXT.
    pub seq: u32,
    pub ack: u32,
    pub window: u16,
    /// Options of every segment but the SYN.
    pub options: Vec<u8>,
}

impl Peer {
    pub fn new(port: u16) -> Peer {
        Peer {
            ends: ENDS,
            port,
            seq: 5_000,
            ack: 0,
            window: 60_000,
            options: Vec::new(),
        }
    }

    pub fn from(client: Ipv4Addr, port: u16) -> Peer {
        let ends = Ends { client, ..ENDS };
        Peer {
            ends,
            ..Peer::new(port)
        }
    }

    /// The next segment, which is not sent.
    pub fn segment(&self, flags: &'static str, payload: &[u8]) -> Segment {
        Segment {
            port: self.port,
            flags: flag_bits(flags),
            seq: self.seq,
            ack: if flags.contains('A') { self.ack } else { 0 },
            window: self.window,
            options: self.options.clone(),
            payload: payload.to_vec(),
            ..Segment::default()
        }
    }

    /// Sends the next segment; what comes back within a millisecond.
    pub fn say(&mut self, host: &mut Host, flags: &'static str, payload: &[u8]) -> Vec<Answer> {
        let segment = self.segment(flags, payload);
        let control = flags.chars().filter(|flag| "SF".contains(*flag)).count();
        self.seq = self.seq.wrapping_add(payload.len() as u32 + control as u32);
        self.send(host, &segment)
    }

    /// Sends any segment; what comes back within a millisecond.
    pub fn send(&self, host: &mut Host, segment: &Segment) -> Vec<Answer> {
        host.lab.inject(&segment.frame(&self.ends));
        let mut answers = host.wait(Duration::from_millis(1));
        answers.retain(|answer| answer.tcp.destination_port == self.port);
        answers
    }

    /// SYN with options; the answer, from which RCV.NXT is taken.
    pub fn syn(&mut self, host: &mut Host, options: &[u8]) -> Option<Answer> {
        let own = std::mem::replace(&mut self.options, options.to_vec());
        let answers = self.say(host, "S", b"");
        self.options = own;
        let answer = answers.into_iter().next()?;
        if answer.flags() == "SA" {
            self.ack = answer.end();
        }
        Some(answer)
    }

    /// A whole handshake.
    pub fn open(&mut self, host: &mut Host) {
        let answer = self.syn(host, &[]).expect("an answer to SYN");
        assert_eq!(answer.flags(), "SA");
        assert_eq!(flags(&self.say(host, "A", b"")), [""; 0]);
    }

    /// Sends a request, takes the whole answer and acknowledges it; its text.
    pub fn ask(&mut self, host: &mut Host, request: &[u8]) -> Vec<u8> {
        let mut answers = self.say(host, "PA", request);
        let mut text = Vec::new();
        while !answers.is_empty() {
            for answer in &answers {
                assert!(!answer.tcp.rst, "a RST for an answer");
                if answer.tcp.sequence_number == self.ack {
                    text.extend_from_slice(&answer.payload);
                    self.ack = answer.end();
                }
            }
            answers = self.say(host, "A", b"");
        }
        text
    }

    /// Whether the connection answers a request.
    pub fn is_served(&mut self, host: &mut Host) -> bool {
        self.ask(host, GET).ends_with(BODY)
    }
}

/// The flags of each.
pub fn flags(answers: &[Answer]) -> Vec<String> {
    answers.iter().map(Answer::flags).collect()
}

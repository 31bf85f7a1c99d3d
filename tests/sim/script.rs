//! What an honest client is going to do.

use super::files::Files;
use super::raw::Place;
use super::response::Expected;
use std::collections::VecDeque;
use xdphttpd::net::{Duration, Instant};

/// One request and its answer.
#[derive(Clone, Debug)]
pub struct Request {
    pub text: Vec<u8>,
    pub expected: Expected,
}

impl Request {
    /// `method` on the file of `bytes`, in HTTP/`version`, with one more header
    /// line or none.
    pub fn new(files: &Files, method: &str, bytes: usize, version: &str, header: &str) -> Request {
        let text = format!("{method} /{bytes} HTTP/{version}\r\nHost: lab\r\n{header}\r\n");
        Request {
            text: text.into_bytes(),
            expected: files.expected(bytes, method == "HEAD"),
        }
    }

    pub fn get(files: &Files, bytes: usize) -> Request {
        Request::new(files, "GET", bytes, "1.1", "")
    }

    pub fn last(files: &Files, bytes: usize) -> Request {
        Request::new(files, "GET", bytes, "1.1", "Connection: close\r\n")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pacing {
    /// All requests at once.
    Pipelined,
    /// Each after the answer to the one before, and so much later.
    OneByOne { think: Duration },
}

/// Who ends a connection, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The last request asks the server to; or the server, tired of waiting.
    Server,
    /// FIN right after the last request.
    HalfClose,
    /// FIN after the last response.
    ClientCloses,
    /// RST when so many bytes have come.
    Abort(usize),
}

/// One connection.
#[derive(Clone, Debug)]
pub struct Session {
    pub port: u16,
    pub requests: Vec<Request>,
    pub pacing: Pacing,
    pub ending: Ending,
    /// After so many bytes it reads nothing for a while.
    pub pause: Option<(usize, Duration)>,
}

impl Session {
    /// One after the other, all read at once, until the server closes.
    pub fn new(port: u16, requests: Vec<Request>) -> Session {
        Session {
            port,
            requests,
            pacing: Pacing::OneByOne {
                think: Duration::ZERO,
            },
            ending: Ending::Server,
            pause: None,
        }
    }
}

/// When a client is never heard of again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vanish {
    AfterSyn,
    /// Its first request sent by half.
    MidRequest,
    AfterBytes(usize),
    /// The server's FIN is not acknowledged.
    OnFin,
}

/// What a host's TCP can do, and how long it puts ACKs off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    pub sack: bool,
    pub timestamps: bool,
    pub window_scale: bool,
    pub ack_delay: Option<Duration>,
}

impl Dialect {
    pub const MODERN: Dialect = Dialect {
        sack: true,
        timestamps: false,
        window_scale: true,
        ack_delay: Some(Duration::from_millis(10)),
    };
}

/// A host's whole life.
#[derive(Clone, Debug)]
pub struct Script {
    pub place: Place,
    pub start: Instant,
    pub sessions: VecDeque<Session>,
    pub sessions_in_all: usize,
    /// In its last session.
    pub vanish: Option<Vanish>,
    /// After so many bytes of a session it is behind another neighbour.
    pub moves_after: usize,
    pub next_mac: [u8; 6],
    pub mtu_bytes: usize,
    pub window_bytes: usize,
    pub dialect: Dialect,
    ports: Vec<u16>,
}

impl Script {
    pub fn new(place: Place, start: Instant, sessions: Vec<Session>) -> Script {
        Script {
            place,
            start,
            ports: sessions.iter().map(|session| session.port).collect(),
            sessions_in_all: sessions.len(),
            sessions: sessions.into(),
            vanish: None,
            moves_after: usize::MAX,
            next_mac: place.mac,
            mtu_bytes: 1_500,
            window_bytes: 64 * 1024,
            dialect: Dialect::MODERN,
        }
    }

    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.ports.iter().copied()
    }

    /// Vanishes at that point of the last session.
    pub fn vanishing(mut self, vanish: Vanish) -> Script {
        self.vanish = Some(vanish);
        if let (Vanish::MidRequest, Some(session)) = (vanish, self.sessions.back_mut())
            && let Some(request) = session.requests.first_mut()
        {
            request.text.truncate(request.text.len() / 2);
        }
        self
    }
}

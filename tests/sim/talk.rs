//! One connection of an honest client.

use super::response::Reader;
use super::script::{Ending, Pacing, Session};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{self, State};
use std::collections::VecDeque;
use xdphttpd::net::{Duration, Instant};

/// A client that has heard nothing for so long gives up.
pub const PATIENCE: Duration = Duration::from_secs(400);

/// How one connection ended, as its client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By the server's FIN, everything before it received.
    Clean,
    /// By RST.
    Broken,
    /// By the client, to which the server had been silent for too long.
    GivenUp,
    /// The client broke it off or vanished.
    Left,
    /// Not at all.
    Unfinished,
}

/// A connection in progress.
pub struct Talk {
    pub session: Session,
    pub began: Instant,
    pub socket: SocketHandle,
    pub reader: Reader,
    pub received: usize,
    pub asked: usize,
    pub to_send: VecDeque<u8>,
    pub opened: bool,
    pub closed: bool,
    pub end: Option<End>,
    pub heard_at: Instant,
    /// While it reads nothing, or thinks about what to ask next.
    pub reads_at: Instant,
    pub asks_at: Instant,
}

impl Talk {
    pub fn receive(&mut self, socket: &mut tcp::Socket<'_>, now: Instant) {
        self.opened |= socket.may_send();
        // smoltcp forgets at the end of TIME-WAIT what was not read.
        let must_read = socket.state() == State::TimeWait;
        while socket.can_recv() && (now >= self.reads_at || must_read) {
            let reader = &mut self.reader;
            let mut limit = usize::MAX;
            if let Some((at, _)) = self.session.pause {
                limit = (at - self.received).max(1);
            }
            let taken = socket
                .recv(|bytes| {
                    let taken = bytes.len().min(limit);
                    reader.feed(&bytes[..taken]);
                    (taken, taken)
                })
                .expect("can_recv was true");
            self.received += taken;
            if let Some((at, pause)) = self.session.pause
                && self.received >= at
            {
                self.session.pause = None;
                self.reads_at = now + pause;
            }
        }
    }

    pub fn ask(&mut self, socket: &mut tcp::Socket<'_>, now: Instant) {
        while self.opened && self.asked < self.session.requests.len() && now >= self.asks_at {
            if let Pacing::OneByOne { think } = self.session.pacing {
                if self.asked > self.reader.done {
                    break;
                }
                self.asks_at = now + think;
            }
            let text = &self.session.requests[self.asked].text;
            self.to_send.extend(text);
            self.asked += 1;
        }
        while socket.can_send() && !self.to_send.is_empty() {
            let (front, _) = self.to_send.as_slices();
            let sent = socket.send_slice(front).expect("can_send was true");
            self.to_send.drain(..sent);
        }
    }

    pub fn notice_end(&mut self, socket: &mut tcp::Socket<'_>, now: Instant) {
        if self.end.is_some() || socket.can_recv() {
            return;
        }
        if now >= self.heard_at + PATIENCE {
            socket.abort();
            self.end = Some(End::GivenUp);
            return;
        }
        match socket.state() {
            State::CloseWait | State::Closing | State::LastAck | State::TimeWait => {
                self.end = Some(End::Clean);
            }
            State::Closed => self.end = Some(End::Broken),
            _ => {}
        }
    }

    pub fn close(&mut self, socket: &mut tcp::Socket<'_>) {
        let session = &self.session;
        let said_all = self.asked == session.requests.len() && self.to_send.is_empty();
        let heard_all = self.reader.done >= session.requests.len();
        match session.ending {
            Ending::Abort(bytes) if self.received >= bytes && self.end.is_none() => {
                socket.abort();
                self.end = Some(End::Left);
                self.closed = true;
            }
            Ending::HalfClose if self.opened && said_all => self.close_once(socket),
            Ending::ClientCloses if said_all && heard_all => self.close_once(socket),
            _ if self.end == Some(End::Clean) => self.close_once(socket),
            _ => {}
        }
    }

    fn close_once(&mut self, socket: &mut tcp::Socket<'_>) {
        if !std::mem::replace(&mut self.closed, true) {
            socket.close();
        }
    }
}

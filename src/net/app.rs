//! What runs on a connection, as the stack sees it.

use super::flow::ConnId;
use super::recovery::text::Text;
use super::sender::Allowance;
use bytes::Bytes;
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use std::net::SocketAddrV4;

/// A protocol spoken over the stack's connections. Calls never block and never
/// wait; whatever takes time answers later through
/// [`Stack::wake`](super::Stack::wake).
pub trait Application {
    /// What it keeps for each connection.
    type Conn;

    /// A connection with the client at `remote` begins.
    fn open(&mut self, id: ConnId, remote: SocketAddrV4) -> Self::Conn;

    /// Something moved (bytes came, room came, an event came): takes what can be
    /// read and hands over what can be sent.
    fn drive(&mut self, id: ConnId, conn: &mut Self::Conn, stream: &mut Stream<'_>, now: Instant);

    /// What it waits for, as things stand.
    fn waits(&self, conn: &Self::Conn) -> Waits;

    /// Nothing has moved for a while: memory that can be had again is given back.
    fn rest(&mut self, conn: &mut Self::Conn);

    /// The server is going: finish what was begun, begin nothing.
    fn shut_down(&mut self, conn: &mut Self::Conn);

    /// A connection is over, in whatever way.
    fn close(&mut self, id: ConnId, conn: Self::Conn);
}

/// What a connection waits for, and in which of its exchanges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// What for.
    pub stage: Stage,
    /// Changes with every request, so that one stage is told from the next of
    /// its kind.
    pub request: u32,
}

/// A part of an exchange; each has its own time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Between requests, or before the first.
    Idle,
    /// The rest of a request's head.
    Head,
    /// The rest of a request's body.
    Body,
    /// The end of a response.
    Response,
}

/// The byte stream of one connection.
pub struct Stream<'a> {
    socket: &'a mut tcp::Socket<'static>,
    text: &'a mut Text,
    allowance: Allowance,
    /// What the application lets be taken at most, bytes.
    most: usize,
    /// How it is sent.
    way: Way,
    /// What that has room for, bytes.
    room: usize,
    /// What became of it in this turn.
    pub(super) outcome: Outcome,
}

/// How what is handed over is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// smoltcp makes segments of it.
    Socket,
    /// The connection does, from where the bytes are.
    Aside,
}

/// What the application did to a stream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    /// Bytes that it took.
    pub received: usize,
    /// Bytes that it handed over.
    pub sent: usize,
    /// It has more, which may not be sent yet.
    pub was_held_back: bool,
    /// It has more, which may be sent when the socket's buffer has room.
    pub wants_room: bool,
    /// It has more, which it does not want to be sent before then.
    pub waits_until: Option<Instant>,
    /// It has nothing more to send.
    pub closed: bool,
    /// It gives up.
    pub aborted: bool,
}

impl<'a> Stream<'a> {
    /// A stream that takes what is allowed, and has `room` for so many bytes.
    pub(super) fn new(
        socket: &'a mut tcp::Socket<'static>,
        text: &'a mut Text,
        allowance: Allowance,
        way: Way,
        room: usize,
    ) -> Self {
        Stream {
            socket,
            text,
            allowance,
            most: usize::MAX,
            way,
            room,
            outcome: Outcome::default(),
        }
    }

    /// Offers received bytes, piece by contiguous piece, to `take`, which says
    /// how many it consumed; stops when it takes less than it was offered.
    /// Returns the number consumed in all.
    pub fn recv(&mut self, mut take: impl FnMut(&[u8]) -> usize) -> usize {
        let mut total = 0;
        while self.socket.can_recv() {
            let step = |bytes: &mut [u8]| {
                let taken = take(bytes).min(bytes.len());
                (taken, (taken, bytes.len()))
            };
            let Ok((taken, offered)) = self.socket.recv(step) else {
                break;
            };
            total += taken;
            if taken < offered {
                break;
            }
        }
        self.outcome.received += total;
        total
    }

    /// Whether there are received bytes that were not taken.
    pub fn can_recv(&self) -> bool {
        self.socket.can_recv()
    }

    /// Whether the peer has sent FIN and everything before it has been taken.
    pub fn peer_closed(&self) -> bool {
        !self.socket.may_recv()
    }

    /// Bytes that were handed over and are not acknowledged.
    pub fn in_flight_bytes(&self) -> u64 {
        let held = self.text.range();
        held.end - held.start
    }

    /// Whether anything that is handed over now would be taken.
    pub fn has_room(&self) -> bool {
        self.allowance.bytes > 0 && self.room > 0 && self.socket.can_send()
    }

    /// Of what is handed over from now on no more than `most` bytes are taken: the application keeps to a rate of its
    /// own.
    pub fn limit(&mut self, most: usize) {
        self.most = most;
    }

    /// The application has more to send, and keeps it back until then: it is driven again at that time, and until then
    /// nobody is to blame that nothing moves.
    pub fn wait_until(&mut self, at: Instant) {
        self.outcome.waits_until = Some(at);
    }

    /// Hands bytes over for sending, which are copied; returns how many there was
    /// room for.
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        let sent = self.hand_over(bytes);
        self.text.push_copy(&bytes[..sent]);
        sent
    }

    /// The same for bytes that are shared: what is in flight stays a reference.
    pub fn send_body(&mut self, bytes: &Bytes) -> usize {
        let sent = self.hand_over(bytes);
        if sent > 0 {
            self.text.push_body(bytes, sent);
        }
        sent
    }

    fn hand_over(&mut self, bytes: &[u8]) -> usize {
        if bytes.is_empty() {
            return 0;
        }
        let bytes = &bytes[..bytes.len().min(self.most)];
        let mut allowed = (bytes.len() as u64).min(self.allowance.bytes) as usize;
        if allowed < bytes.len() {
            self.outcome.was_held_back = true;
            allowed = self.allowance.without_silly_end(self.outcome.sent, allowed);
        }
        if allowed == 0 {
            return 0;
        }
        let fits = allowed.min(self.room);
        let sent = match self.way {
            Way::Socket => self.socket.send_slice(&bytes[..fits]).unwrap_or(0),
            Way::Aside => fits,
        };
        self.outcome.wants_room |= sent < allowed;
        self.room -= sent;
        self.allowance.bytes -= sent as u64;
        self.most -= sent;
        self.outcome.sent += sent;
        sent
    }

    /// Ends our direction with FIN once everything handed over is sent.
    pub fn close(&mut self) {
        self.outcome.closed = true;
    }

    /// Ends the connection with RST.
    pub fn abort(&mut self) {
        self.outcome.aborted = true;
    }
}

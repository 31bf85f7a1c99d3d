//! What runs on a connection, as the stack sees it.

use super::flow::ConnId;
use smoltcp::socket::tcp;
use smoltcp::time::{Duration, Instant};

/// A protocol spoken over the stack's connections. Calls never block and never
/// wait; whatever takes time answers later through
/// [`Stack::wake`](super::Stack::wake).
pub trait Application {
    /// What it keeps for each connection.
    type Conn;

    /// A connection begins.
    fn open(&mut self, id: ConnId) -> Self::Conn;

    /// Something moved (bytes came, room came, an event came): takes what can be
    /// read and hands over what can be sent.
    fn drive(&mut self, id: ConnId, conn: &mut Self::Conn, stream: &mut Stream<'_>, now: Instant);

    /// How long the peer may be silent as things stand.
    fn patience(&self, conn: &Self::Conn) -> Patience;

    /// The server is going: finish what was begun, begin nothing.
    fn shut_down(&mut self, conn: &mut Self::Conn);

    /// A connection is over, in whatever way.
    fn close(&mut self, id: ConnId, conn: Self::Conn);
}

/// How long silence is borne, and what ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From the last segment heard of the peer.
    pub silence: Duration,
    /// Whether the connection ends politely (FIN) or at once (RST).
    pub polite: bool,
}

/// The byte stream of one connection.
pub struct Stream<'a> {
    socket: &'a mut tcp::Socket<'static>,
}

impl<'a> Stream<'a> {
    pub(super) fn new(socket: &'a mut tcp::Socket<'static>) -> Self {
        Stream { socket }
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
        total
    }

    /// Whether the peer has sent FIN and everything before it has been taken.
    pub fn peer_closed(&self) -> bool {
        !self.socket.may_recv()
    }

    /// Hands bytes over for sending; returns how many there was room for.
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        self.socket.send_slice(bytes).unwrap_or(0)
    }

    /// Ends our direction with FIN once everything handed over is sent.
    pub fn close(&mut self) {
        self.socket.close();
    }

    /// Ends the connection with RST.
    pub fn abort(&mut self) {
        self.socket.abort();
    }
}

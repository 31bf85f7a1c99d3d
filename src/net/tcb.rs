//! One connection's smoltcp state: a `SocketSet` of exactly one TCP socket.
//!
//! `Interface` scans its whole `SocketSet` for each segment, but the set is an
//! argument: with one set a connection, chosen by our own flow table, every
//! segment costs the same whatever the number of connections.

use super::demux::Flow;
use smoltcp::iface::{SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::tcp;
use smoltcp::wire::IpListenEndpoint;

/// Receive buffer, bytes: the largest request head and room for the next.
pub const RECEIVE_BUFFER_BYTES: usize = 32 * 1024;
/// Send buffer, bytes: what may be in flight. Its memory is touched only as far
/// as traffic fills it, for an empty ring restarts at its beginning.
pub const SEND_BUFFER_BYTES: usize = 256 * 1024;

/// A transmission control block: the set and the handle of its only socket.
pub struct Tcb {
    /// What `Interface` is given to poll.
    pub sockets: SocketSet<'static>,
    handle: SocketHandle,
}

impl Tcb {
    /// A closed socket with its buffers.
    pub fn new() -> Tcb {
        let receive = tcp::SocketBuffer::new(vec![0; RECEIVE_BUFFER_BYTES]);
        let send = tcp::SocketBuffer::new(vec![0; SEND_BUFFER_BYTES]);
        let mut sockets = SocketSet::new(vec![SocketStorage::EMPTY]);
        let handle = sockets.add(tcp::Socket::new(receive, send));
        Tcb { sockets, handle }
    }

    /// Makes the socket, new or used before, ready for the SYN of `flow`.
    pub fn listen(&mut self, flow: Flow) {
        let socket = self.socket();
        socket.abort();
        // Only an open socket or port 0 is refused; it is neither.
        let _ = socket.listen(IpListenEndpoint {
            addr: Some(flow.local.into()),
            port: flow.local_port,
        });
        socket.set_congestion_control(tcp::CongestionControl::Cubic);
        // Responses end where they end: the last short segment must not wait.
        socket.set_nagle_enabled(false);
    }

    /// The socket.
    pub fn socket(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    /// Whether nothing is left to send or wait for: the connection can be
    /// forgotten. A handshake that was reset falls back to LISTEN.
    pub fn is_over(&mut self) -> bool {
        let socket = self.socket();
        match socket.state() {
            tcp::State::Closed => socket.remote_endpoint().is_none(),
            state => state == tcp::State::Listen,
        }
    }
}

impl Default for Tcb {
    fn default() -> Self {
        Tcb::new()
    }
}

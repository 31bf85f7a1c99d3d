//! One connection's smoltcp state: a `SocketSet` of exactly one TCP socket.
//!
//! `Interface` scans its whole `SocketSet` for each segment, but the set is an
//! argument: with one set a connection, chosen by our own flow table, every
//! segment costs the same whatever the number of connections.
//!
//! A connection has a socket only while it has something to send or to receive.
//! Between those times a few numbers say all of it ([`Resting`]), and a socket
//! is brought to exactly that state by a handshake played to it: a SYN before
//! RCV.NXT, answered with a number before SND.NXT, and the ACK of that.

use super::demux::Flow;
use super::device::{Device, NOBODY, Nowhere, interface, serve_address};
use super::isn::seed_for;
use super::options::{Peer, Timestamps};
use super::recovery::Recovery;
use super::recovery::text::Text;
use super::reply::{Offer, Reply};
use smoltcp::iface::{SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{IpListenEndpoint, TcpControl};

/// Receive buffer, bytes: the window that peers see, at rest as in motion.
pub const RECEIVE_BUFFER_BYTES: usize = 16 * 1024;
/// Below 2^16 no window that we send needs scaling.
pub const WINDOW_SHIFT: u8 = 0;
const _: () = assert!(RECEIVE_BUFFER_BYTES < 1 << 16);

/// A transmission control block: the set and the handle of its only socket.
pub struct Tcb {
    /// What `Interface` is given to poll.
    pub sockets: SocketSet<'static>,
    handle: SocketHandle,
    /// What remembers what is in flight, lent to the sending half.
    pub log: Option<Box<Log>>,
}

/// What a connection in motion remembers of what is in flight.
pub struct Log {
    /// The bytes.
    pub text: Text,
    /// The segments.
    pub recovery: Recovery,
}

/// A synchronized connection with nothing in flight, queued or unread.
#[derive(Clone, Copy, Debug)]
pub struct Resting {
    /// Which.
    pub flow: Flow,
    /// SND.UNA and SND.NXT.
    pub snd_nxt: u32,
    /// RCV.NXT.
    pub rcv_nxt: u32,
    /// SEG.WND of the peer's last segment, unscaled.
    pub window: u16,
    /// What was agreed on in the handshake.
    pub peer: Peer,
}

impl Tcb {
    /// A closed socket that can have `send_buffer_bytes` in flight.
    pub fn new(send_buffer_bytes: usize) -> Tcb {
        let receive = tcp::SocketBuffer::new(vec![0; RECEIVE_BUFFER_BYTES]);
        let send = tcp::SocketBuffer::new(vec![0; send_buffer_bytes]);
        let mut sockets = SocketSet::new(vec![SocketStorage::EMPTY]);
        let handle = sockets.add(tcp::Socket::new(receive, send));
        Tcb {
            sockets,
            handle,
            log: Some(Box::new(Log {
                text: Text::default(),
                recovery: Recovery::new(0, Instant::ZERO),
            })),
        }
    }

    /// Brings the socket, new or used before, to the state `resting`.
    pub fn resume(
        &mut self,
        resting: &Resting,
        mtu_bytes: usize,
        nowhere: &mut Nowhere,
        now: Instant,
    ) {
        let flow = resting.flow;
        self.listen(flow, resting.peer.timestamps);
        let iss = resting.snd_nxt.wrapping_sub(1);
        let mut player = interface(mtu_bytes, seed_for(iss), now);
        serve_address(&mut player, flow.local);
        let mut play = |reply: Reply| {
            let mut buffer = [0; 80];
            let packet = reply.as_if_received(flow, &mut buffer);
            let mut device = Device::new(Some(packet), nowhere, NOBODY, mtu_bytes);
            player.poll_ingress_single(now, &mut device, &mut self.sockets);
            player.poll_egress(now, &mut device, &mut self.sockets);
        };
        play(resting.syn());
        play(resting.ack());
    }

    fn listen(&mut self, flow: Flow, timestamps: bool) {
        let socket = self.socket();
        socket.abort();
        // Only an open socket or port 0 is refused; it is neither.
        let _ = socket.listen(IpListenEndpoint {
            addr: Some(flow.local.into()),
            port: flow.local_port,
        });
        // It is handed no more than the congestion window allows.
        socket.set_congestion_control(tcp::CongestionControl::None);
        // Responses end where they end: the last short segment must not wait.
        socket.set_nagle_enabled(false);
        // The device writes the time.
        socket.set_tsval_generator(timestamps.then_some(|| 0));
    }

    /// The socket.
    pub fn socket(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    /// The socket, to look at.
    pub fn peek(&self) -> &tcp::Socket<'static> {
        self.sockets.get(self.handle)
    }
}

impl Resting {
    fn syn(&self) -> Reply {
        let peer = self.peer;
        Reply {
            seq: self.rcv_nxt.wrapping_sub(1),
            ack: None,
            control: TcpControl::Syn,
            window: self.window,
            offer: Some(Offer {
                mss: peer.mss,
                window_shift: peer.window_shift,
                sack: peer.sack,
            }),
            timestamps: self.stamps(),
        }
    }

    /// The peer's last segment, as far as it acknowledged and offered a window.
    pub fn ack(&self) -> Reply {
        Reply {
            seq: self.rcv_nxt,
            ack: Some(self.snd_nxt),
            control: TcpControl::None,
            window: self.window,
            offer: None,
            timestamps: self.stamps(),
        }
    }

    fn stamps(&self) -> Option<Timestamps> {
        self.peer
            .timestamps
            .then_some(Timestamps { value: 0, echo: 0 })
    }
}

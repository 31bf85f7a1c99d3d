//! The sans-IO server and smoltcp clients on the in-memory wire, in virtual
//! time.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod segment;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::Device as _;
use smoltcp::socket::tcp;
use smoltcp::wire::{HardwareAddress, IpCidr};
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration as StdDuration, UNIX_EPOCH};
use xdphttpd::net::demux::{self, LinkAddresses};
use xdphttpd::net::device::Device;
use xdphttpd::net::{
    Algorithm, Duration, FrameSink, Instant, Limits as NetLimits, Policy, RxChecksum, Stack,
    StackConfig,
};
use xdphttpd::service::HttpService;
use xdphttpd::site::{InlineLoader, Limits, Root, Site};
use xdphttpd::wire::{Direction, Impairments, SplitMix};

pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 1);
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 2);
pub const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub const MTU_BYTES: usize = 1500;
const RING_FRAMES: usize = 2048;

/// The ends of the wire, for frames made by hand.
pub const ENDS: segment::Ends = segment::Ends {
    client: CLIENT,
    server: SERVER,
    client_mac: CLIENT_MAC,
    server_mac: SERVER_MAC,
    server_port: 80,
};

/// Starts a stack that serves `root` to anybody on the wire.
pub fn stack(root: &Path, max_connections: usize) -> Stack<HttpService<InlineLoader>> {
    stack_of(root, &stack_config(max_connections))
}

/// What stacks on the wire are made with.
pub fn stack_config(max_connections: usize) -> StackConfig {
    StackConfig {
        policy: Policy {
            port: 80,
            addresses: Some(vec![SERVER]),
            rx_checksum: RxChecksum::Strict,
        },
        mtu_bytes: MTU_BYTES,
        congestion: Algorithm::Cubic,
        limits: NetLimits {
            max_connections,
            ..NetLimits::default()
        },
    }
}

/// Starts a stack of any configuration.
pub fn stack_of(root: &Path, config: &StackConfig) -> Stack<HttpService<InlineLoader>> {
    stack_with(root, config, 64 << 20)
}

/// The same, with so many bytes for bodies and unfinished heads.
pub fn stack_with(
    root: &Path,
    config: &StackConfig,
    body_bytes: usize,
) -> Stack<HttpService<InlineLoader>> {
    let root = Root::open(root).expect("the test's root exists");
    let site = Site::new(InlineLoader::new(root), Limits::default());
    let wall = UNIX_EPOCH + StdDuration::from_secs(1_700_000_000);
    Stack::new(config, &[42; 32], HttpService::new(site, body_bytes, wall))
}

/// The server, the wire in both directions, and the time.
pub struct Lab {
    pub stack: Stack<HttpService<InlineLoader>>,
    pub to_server: Direction,
    pub to_client: Direction,
    pub now: Instant,
}

impl Lab {
    pub fn new(root: &Path, impairments: Impairments, seed: u64) -> Lab {
        Lab::with_ring(root, impairments, seed, RING_FRAMES)
    }

    /// A lab whose wire holds so many frames in each direction.
    pub fn with_ring(root: &Path, impairments: Impairments, seed: u64, frames: usize) -> Lab {
        Lab::with_mtu(root, impairments, seed, (frames, MTU_BYTES))
    }

    /// A lab whose wire holds so many frames in each direction, and whose packets are of
    /// so many bytes at most.
    pub fn with_mtu(
        root: &Path,
        impairments: Impairments,
        seed: u64,
        (frames, mtu_bytes): (usize, usize),
    ) -> Lab {
        let direction = |seed| Direction::new(impairments, frames, mtu_bytes + 14, seed);
        let config = StackConfig {
            mtu_bytes,
            ..stack_config(1_000)
        };
        Lab {
            stack: stack_of(root, &config),
            to_server: direction(seed),
            to_client: direction(seed ^ 0x5555_5555),
            now: Instant::from_millis(1),
        }
    }

    /// Lets the server do everything that it can do now.
    pub fn serve(&mut self) {
        let mut sink = self.to_client.sender(self.now);
        while sink.ready() {
            let Some(frame) = self.to_server.deliver(self.now) else {
                break;
            };
            self.stack.frame(&frame, self.now, &mut sink);
        }
        while let Some((id, event)) = self.stack.app.completed() {
            let now = self.now;
            self.stack.wake(id, now, &mut sink, |app, conn| {
                app.deliver(id, conn, event, now)
            });
        }
        self.stack.poll(self.now, &mut sink);
    }

    /// Sends a frame to the server past any client.
    pub fn inject(&mut self, frame: &[u8]) {
        let sent = self.to_server.sender(self.now).send(frame);
        assert!(sent, "room on the wire");
    }

    /// Lets the clients and the server run until every client is done, or until
    /// `limit` of virtual time has passed; whether all were done.
    pub fn run(&mut self, clients: &mut [Client], limit: Duration) -> bool {
        let end = self.now + limit;
        while self.now < end {
            self.serve();
            self.step_clients(clients);
            if clients.iter().all(Client::is_done) {
                return true;
            }
            self.pass_time(clients);
        }
        false
    }

    /// Runs the server alone until it has no connection left or `limit` passes.
    pub fn settle(&mut self, clients: &mut [Client], limit: Duration) {
        let end = self.now + limit;
        while self.now < end && (self.stack.connections() > 0 || self.in_flight() > 0) {
            self.serve();
            self.step_clients(clients);
            self.pass_time(clients);
        }
    }

    pub fn in_flight(&self) -> usize {
        self.to_server.in_flight() + self.to_client.in_flight()
    }

    fn step_clients(&mut self, clients: &mut [Client]) {
        while let Some(frame) = self.to_client.deliver(self.now) {
            for client in clients.iter_mut() {
                // Its own frames only, and none with a wrong checksum.
                if let Ok(segment) = demux::parse(&frame, &client.policy()) {
                    client.step(Some(segment.packet), self.now, &mut self.to_server);
                }
            }
        }
        for client in clients {
            client.step(None, self.now, &mut self.to_server);
        }
    }

    /// Moves the clock to whatever happens next.
    fn pass_time(&mut self, clients: &mut [Client]) {
        let clients = clients
            .iter_mut()
            .filter_map(|client| client.next_at(self.now))
            .min();
        let next = [
            self.to_server.next_at(),
            self.to_client.next_at(),
            self.stack.next_at(),
            clients,
        ]
        .into_iter()
        .flatten()
        .min();
        let floor = self.now + Duration::from_micros(1);
        let ceiling = self.now + Duration::from_millis(100);
        self.now = next.unwrap_or(ceiling).clamp(floor, ceiling);
    }
}

/// A smoltcp client that sends a script of bytes and reads to the end.
pub struct Client {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    pub port: u16,
    mtu_bytes: usize,
    request: Vec<u8>,
    half_close: bool,
    closed: bool,
    pub received: Vec<u8>,
    /// The server's FIN came after everything before it.
    pub finished: bool,
    /// The connection ended otherwise.
    pub broken: bool,
    opened: bool,
}

impl Client {
    /// A client on its own port that sends `request` (and then FIN, with
    /// `half_close`).
    pub fn new(port: u16, request: &[u8], half_close: bool, seed: u64, now: Instant) -> Client {
        Client::with_mtu(port, request, half_close, seed, now, MTU_BYTES)
    }

    /// The same with packets of so many bytes at most.
    pub fn with_mtu(
        port: u16,
        request: &[u8],
        half_close: bool,
        seed: u64,
        now: Instant,
        mtu_bytes: usize,
    ) -> Client {
        let mut nowhere = Direction::new(Impairments::NONE, 0, 0, 0);
        let mut sink = nowhere.sender(now);
        let mut device = client_device(None, &mut sink, mtu_bytes);
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed ^ u64::from(port);
        let mut interface = Interface::new(config, &mut device, now);
        interface.update_ip_addrs(|addresses| {
            let _ = addresses.push(IpCidr::new(CLIENT.into(), 0));
        });
        let buffer = || tcp::SocketBuffer::new(vec![0; 64 * 1024]);
        let jumbo = || tcp::SocketBuffer::new(vec![0; (4 * mtu_bytes).max(64 * 1024)]);
        let mut socket = tcp::Socket::new(jumbo(), buffer());
        socket
            .connect(interface.context(), (SERVER, 80), port)
            .expect("a new socket connects");
        let mut sockets = SocketSet::new(vec![]);
        let handle = sockets.add(socket);
        Client {
            interface,
            sockets,
            handle,
            port,
            mtu_bytes,
            request: request.to_vec(),
            half_close,
            closed: false,
            received: Vec::new(),
            finished: false,
            broken: false,
            opened: false,
        }
    }

    /// Sends another request on the same connection.
    pub fn ask(&mut self, request: &[u8]) {
        self.request.extend_from_slice(request);
    }

    fn policy(&self) -> Policy {
        Policy {
            port: self.port,
            addresses: Some(vec![CLIENT]),
            rx_checksum: RxChecksum::Strict,
        }
    }

    pub fn is_done(&self) -> bool {
        self.finished || self.broken
    }

    fn step(&mut self, packet: Option<&[u8]>, now: Instant, wire: &mut Direction) {
        let mut sink = wire.sender(now);
        let mut device = client_device(packet, &mut sink, self.mtu_bytes);
        if packet.is_some() {
            self.interface
                .poll_ingress_single(now, &mut device, &mut self.sockets);
        }
        let socket = self.sockets.get_mut::<tcp::Socket>(self.handle);
        self.opened |= socket.may_send();
        while socket.can_recv() {
            let received = &mut self.received;
            let take = |bytes: &mut [u8]| {
                received.extend_from_slice(bytes);
                (bytes.len(), ())
            };
            socket.recv(take).expect("can_recv was true");
        }
        if socket.can_send() && !self.request.is_empty() {
            let sent = socket.send_slice(&self.request).expect("can_send was true");
            self.request.drain(..sent);
        }
        if self.opened && !self.finished && !self.broken {
            use tcp::State::*;
            match socket.state() {
                CloseWait | Closing | LastAck | TimeWait => self.finished = true,
                Closed | Listen => self.broken = true,
                _ => {}
            }
        }
        let said_all = self.half_close && self.request.is_empty();
        if !self.closed && self.opened && (said_all || self.finished) {
            self.closed = true;
            socket.close();
        }
        while self
            .interface
            .poll_egress(now, &mut device, &mut self.sockets)
            != smoltcp::iface::PollResult::None
        {}
    }

    fn next_at(&mut self, now: Instant) -> Option<Instant> {
        self.interface.poll_at(now, &self.sockets)
    }
}

fn client_device<'a, S: FrameSink>(
    packet: Option<&'a [u8]>,
    sink: &'a mut S,
    mtu_bytes: usize,
) -> Device<'a, S> {
    let link = LinkAddresses {
        peer: SERVER_MAC,
        local: CLIENT_MAC,
    };
    let device = Device::new(packet, sink, link, mtu_bytes);
    debug_assert_eq!(device.capabilities().max_transmission_unit, mtu_bytes);
    device
}

/// Splits a stream of responses with `Content-Length` into (status, body).
///
/// # Panics
/// When it is anything else, or cut short.
pub fn responses(mut stream: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut found = Vec::new();
    while !stream.is_empty() {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        let head = match response.parse(stream).expect("a well-formed response") {
            httparse::Status::Complete(head) => head,
            httparse::Status::Partial => panic!("a response head is cut short"),
        };
        let length = response
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("content-length"))
            .map(|header| String::from_utf8_lossy(header.value).parse::<usize>())
            .expect("Content-Length is there")
            .expect("Content-Length is a number");
        let body = stream
            .get(head..head + length)
            .expect("the whole body is there");
        found.push((response.code.expect("a status"), body.to_vec()));
        stream = &stream[head + length..];
    }
    found
}

/// So many bytes that follow from `seed`.
pub fn content(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = SplitMix(seed);
    (0..bytes).map(|_| random.next_u64() as u8).collect()
}

/// A GET, after which the connection is to be closed if it is the last.
pub fn get(path: &str, last: bool) -> String {
    let connection = if last { "close" } else { "keep-alive" };
    format!("GET {path} HTTP/1.1\r\nHost: lab\r\nConnection: {connection}\r\n\r\n")
}

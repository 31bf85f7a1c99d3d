//! A stack with the HTTP server on it and its connections open, seen from their
//! clients: what benchmarks of the sans-IO core are made of. No kernel, no device and
//! no disk: frames are prebuilt, and what the stack sends is only counted.

use bytes::Bytes;
use etherparse::{PacketBuilder, TcpHeader, TcpHeaderSlice, TcpOptionElement};
use std::collections::{BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::time::UNIX_EPOCH;
use xdphttpd::net::{
    Algorithm, Duration, FrameSink, Instant, Limits, Policy, RxChecksum, Stack, StackConfig,
};
use xdphttpd::service::HttpService;
use xdphttpd::site::{self, Body, Done, Fields, Found, Job, Loaded, Loader, Site, Validator};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 1);
const PORT: u16 = 80;
const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const MTU_BYTES: usize = 1500;
/// Clients are 10.12.0.0 and up, each with so many connections.
const FIRST_CLIENT: u32 = 0x0a0c_0000;
const PER_CLIENT: usize = 1_000;
const FIRST_PORT: u16 = 10_000;
/// Every client's initial sequence number, and the window it offers.
const ISS: u32 = 5_000;
const WINDOW: u16 = 64_240;
/// Ethernet and IPv4 without options.
const TCP_AT: usize = 14 + 20;
const BODY: &[u8] = &[b'x'; 1024];
const REQUEST: &[u8] = b"GET /small.bin HTTP/1.1\r\nHost: 10.11.1.1\r\n\r\n";
/// Requests between two looks at the timers, as in a worker's batch.
const BATCH: usize = 32;
/// Virtual time from request to request: short, so that nobody becomes impatient
/// and no file is looked at again within a run.
const BETWEEN_REQUESTS: Duration = Duration::from_micros(1);

/// A stack with its connections open, seen from their clients.
pub struct Table {
    stack: Stack<HttpService<OneFile>>,
    clients: Vec<Client>,
    sink: Counted,
    now: Instant,
}

impl Table {
    /// Opens so many connections and has each answer once.
    pub fn open(connections: usize) -> Table {
        let mut table = Table {
            stack: stack(connections),
            clients: Vec::new(),
            sink: Counted::new(),
            now: Instant::from_millis(1),
        };
        for number in 0..connections {
            let client = table.connect(number);
            table.clients.push(client);
        }
        assert_eq!(table.stack.connections(), connections, "all are open");
        table
    }

    fn connect(&mut self, number: usize) -> Client {
        let address = Ipv4Addr::from(FIRST_CLIENT + (number / PER_CLIENT) as u32);
        let port = FIRST_PORT + (number % PER_CLIENT) as u16;
        let mut client = Client {
            address,
            port,
            seq: ISS,
            ack: None,
            echo: 0,
            answer_bytes: 0,
        };
        let syn = client.frame(&[]);
        self.give(&syn);
        client.seq = client.seq.wrapping_add(1);
        client.ack = Some(self.sink.tcp().sequence_number().wrapping_add(1));
        client.echo = self.sink.timestamp();
        let ack = client.frame(&[]);
        self.give(&ack);
        let sent = self.sink.payload_bytes;
        self.give(&client.frame(REQUEST));
        client.answer_bytes = (self.sink.payload_bytes - sent) as u32;
        assert!(client.answer_bytes as usize > BODY.len(), "a whole answer");
        client.move_on();
        self.give(&client.frame(&[]));
        self.now += BETWEEN_REQUESTS;
        client
    }

    /// What is measured; scripts/instructions.sh counts within this function.
    #[inline(never)]
    pub fn give_all(&mut self, exchanges: &[Vec<Vec<u8>>]) {
        for batch in exchanges.chunks(BATCH) {
            for exchange in batch {
                for frame in exchange {
                    self.give(frame);
                }
                self.now += BETWEEN_REQUESTS;
            }
            self.stack.poll(self.now, &mut self.sink);
        }
    }

    /// Gives the stack one frame and, as the worker does, whatever files the
    /// site has loaded for it.
    fn give(&mut self, frame: &[u8]) {
        self.stack.frame(frame, self.now, &mut self.sink);
        while let Some((id, event)) = self.stack.app.completed() {
            let now = self.now;
            self.stack.wake(id, now, &mut self.sink, |app, conn| {
                app.deliver(id, conn, event, now)
            });
        }
    }

    /// Which connections are asked: each of `touched` once in random order, then
    /// each once more in another order, until there are enough.
    pub fn order(&self, touched: usize, requests: usize, random: &mut fastrand::Rng) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.clients.len()).collect();
        random.shuffle(&mut all);
        all.truncate(touched.max(1));
        let mut order = Vec::with_capacity(requests);
        while order.len() < requests {
            random.shuffle(&mut all);
            order.extend(all.iter().take(requests - order.len()));
        }
        order
    }

    /// How long one request on each connection of `order` takes, and how many segments
    /// these were; with `riding`, ACKs ride on the next request.
    pub fn time(&mut self, order: &[usize], riding: bool) -> (std::time::Duration, usize) {
        let exchange = |&i: &usize| self.clients[i].exchange(riding);
        let frames: Vec<_> = order.iter().map(exchange).collect();
        let answers = order
            .iter()
            .map(|&i| u64::from(self.clients[i].answer_bytes));
        let want = self.sink.payload_bytes + answers.sum::<u64>();
        let start = std::time::Instant::now();
        self.give_all(&frames);
        let elapsed = start.elapsed();
        assert_eq!(self.sink.payload_bytes, want, "every request was answered");
        assert_eq!(self.stack.connections(), self.clients.len(), "all are open");
        if riding {
            self.acknowledge(order);
        }
        (elapsed, frames.iter().map(Vec::len).sum())
    }

    /// The last answers' ACKs come too, or they would be sent again some day.
    fn acknowledge(&mut self, order: &[usize]) {
        let touched: BTreeSet<usize> = order.iter().copied().collect();
        for index in touched {
            let ack = self.clients[index].frame(&[]);
            self.give(&ack);
        }
    }
}

/// A stack that serves one file and has room for so many connections.
fn stack(max_connections: usize) -> Stack<HttpService<OneFile>> {
    let site = Site::new(OneFile::default(), site::Limits::default());
    let config = StackConfig {
        policy: Policy {
            port: PORT,
            addresses: Some(vec![SERVER]),
            rx_checksum: RxChecksum::Strict,
        },
        mtu_bytes: MTU_BYTES,
        congestion: Algorithm::Cubic,
        limits: Limits {
            max_connections,
            max_half_open: max_connections,
            ..Limits::default()
        },
    };
    let wall = UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    Stack::new(&config, &[42; 32], HttpService::new(site, 64 << 20, wall))
}

/// A site on which every name is [`BODY`].
#[derive(Default)]
struct OneFile {
    done: VecDeque<Done>,
}

impl Loader for OneFile {
    fn submit(&mut self, job: Job) -> Result<(), Job> {
        let Job::Open { host, name, .. } = job else {
            return Err(job);
        };
        let validator = Validator {
            mtime_s: 1_700_000_000,
            mtime_ns: 0,
            size_bytes: BODY.len() as u64,
            inode: 1,
            device: 1,
        };
        let body = Body::Memory(Bytes::from_static(BODY));
        let found = Found::File {
            identity: Box::new(Loaded::own(validator, body)),
            variants: Vec::new(),
            media_type: "application/octet-stream".to_owned(),
            fields: Fields::default(),
            read_at: UNIX_EPOCH,
        };
        self.done.push_back(Done::Open {
            host,
            name,
            found,
            quiet: None,
        });
        Ok(())
    }

    fn completed(&mut self) -> Option<Done> {
        self.done.pop_front()
    }
}

/// The peer of one connection: what it says next.
struct Client {
    address: Ipv4Addr,
    port: u16,
    /// SND.NXT.
    seq: u32,
    /// RCV.NXT, once the server's number is known.
    ack: Option<u32>,
    /// TSval of the server's SYN-ACK, of which it never makes more.
    echo: u32,
    /// Bytes of one answer, head and body.
    answer_bytes: u32,
}

impl Client {
    /// The frames of one request: the GET and, unless that is `riding` on the next
    /// one, the ACK of its answer.
    fn exchange(&mut self, riding: bool) -> Vec<Vec<u8>> {
        let mut frames = vec![self.frame(REQUEST)];
        self.move_on();
        if !riding {
            frames.push(self.frame(&[]));
        }
        frames
    }

    /// One request was sent and answered.
    fn move_on(&mut self) {
        self.seq = self.seq.wrapping_add(REQUEST.len() as u32);
        self.ack = self.ack.map(|ack| ack.wrapping_add(self.answer_bytes));
    }

    /// The next segment as a frame: a SYN as long as there is nothing to acknowledge.
    fn frame(&self, payload: &[u8]) -> Vec<u8> {
        let mut tcp = TcpHeader::new(self.port, PORT, self.seq, WINDOW);
        tcp.acknowledgment_number = self.ack.unwrap_or(0);
        (tcp.syn, tcp.ack) = (self.ack.is_none(), self.ack.is_some());
        tcp.psh = !payload.is_empty();
        let timestamps = TcpOptionElement::Timestamp(1, self.echo);
        let on_syn = [
            TcpOptionElement::MaximumSegmentSize(1_460),
            TcpOptionElement::SelectiveAcknowledgementPermitted,
            timestamps.clone(),
            TcpOptionElement::Noop,
            TcpOptionElement::WindowScale(7),
        ];
        let on_others = [TcpOptionElement::Noop, TcpOptionElement::Noop, timestamps];
        let options: &[_] = if tcp.syn { &on_syn } else { &on_others };
        tcp.set_options(options).expect("options that fit");
        let builder = PacketBuilder::ethernet2(CLIENT_MAC, SERVER_MAC)
            .ipv4(self.address.octets(), SERVER.octets(), 64)
            .tcp_header(tcp);
        let mut frame = Vec::with_capacity(builder.size(payload.len()));
        builder
            .write(&mut frame, payload)
            .expect("writing to a Vec");
        frame
    }
}

/// A frame with a request, the first after a handshake.
#[allow(dead_code)] // not for all who share this file
pub fn request_frame() -> Vec<u8> {
    let client = Client {
        address: Ipv4Addr::from(FIRST_CLIENT),
        port: FIRST_PORT,
        seq: ISS + 1,
        ack: Some(1),
        echo: 1,
        answer_bytes: 0,
    };
    client.frame(REQUEST)
}

/// A link whose frames go nowhere; the last is kept.
struct Counted {
    frame: [u8; MTU_BYTES + 14],
    /// TCP payload sent so far.
    payload_bytes: u64,
}

impl Counted {
    fn new() -> Counted {
        Counted {
            frame: [0; MTU_BYTES + 14],
            payload_bytes: 0,
        }
    }

    /// The last frame's header.
    fn tcp(&self) -> TcpHeaderSlice<'_> {
        TcpHeaderSlice::from_slice(&self.frame[TCP_AT..]).expect("the stack sends TCP")
    }

    /// The last frame's TSval.
    fn timestamp(&self) -> u32 {
        let tcp = self.tcp();
        tcp.options_iterator()
            .find_map(|option| match option {
                Ok(TcpOptionElement::Timestamp(value, _)) => Some(value),
                _ => None,
            })
            .expect("the stack agrees to timestamps")
    }
}

impl FrameSink for Counted {
    fn ready(&mut self) -> bool {
        true
    }

    fn reserve(&mut self, len_bytes: usize) -> Option<&mut [u8]> {
        self.frame.get_mut(..len_bytes)
    }

    fn submit(&mut self, len_bytes: usize) {
        // The data offset of RFC 9293 counts words of four bytes.
        let tcp_header_bytes = usize::from(self.frame[TCP_AT + 12] >> 4) * 4;
        self.payload_bytes += (len_bytes - TCP_AT - tcp_header_bytes) as u64;
    }
}

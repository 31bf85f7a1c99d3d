//! xdphttpd: an HTTP server whose TCP runs in user space on AF_XDP.
//!
//! An XDP program on the device sends IPv4 TCP for our port and addresses into
//! AF_XDP sockets; everything else (ssh, ARP, ping, IPv6, other ports) goes on
//! through the kernel as if nothing had happened. This page is the tour of the
//! house for whoever works on it; the README is for those who run it.
//!
//! # The flow of a frame
//!
//! ```text
//!  NIC ──► bpf/xdphttpd.bpf.c ──► everything else: XDP_PASS ──► kernel
//!              │ ours
//!              ▼
//!          RX ring ──► worker ──► net::demux ──► net::flow ──► smoltcp ──► http::conn ──► site
//!          (xsk::Rx)               whose?         which         TCP         request,       entry in
//!                                  checksums      connection?               response       memory?
//!                                     │               │                        │             │ no
//!                                     ▼               ▼                        ▼             ▼
//!                                 a counter     net::accept:            head and body    site loader
//!                                 by cause      RST, silence, new       into the socket  (threads), then
//!                                                                              │         an eventfd
//!  NIC ◄── TX ring ◄── frames written in place ◄── smoltcp ◄───────────────────┘
//!          (xsk::Tx)   one wake-up a batch
//! ```
//!
//! 1. The XDP program ([`xdp`]) redirects what is ours to the XSK of its RX
//!    queue. An empty slot means `XDP_PASS`.
//! 2. The [`worker`] takes a batch from the RX ring of each of its queues, as a rule one; each
//!    descriptor becomes a move-only [`xsk::Frame`]. It takes none while it could not answer.
//! 3. [`net::demux`] reads the headers once: a segment of ours, or a named
//!    reason to drop it.
//! 4. [`net::flow`] finds the connection, or [`net::accept`] says what a first
//!    segment deserves. [`net::isn`] gives a new one its number (RFC 6528), a
//!    [`net::cookie`] one that is not remembered. In a connection [`net::check`]
//!    judges the segment before anything believes it (RFC 5961).
//! 5. [`net::stack`] has smoltcp move that one connection: one `Interface` for each
//!    size of packets a worker, one `SocketSet` of one socket a connection, so that the cost does
//!    not depend on how many there are. [`net::timers`] is a timer wheel. A flow
//!    that no worker's table has is passed on by the [`relay`] to the next one.
//! 6. [`service`] carries readable bytes to [`http::Conn`] and takes its
//!    response. [`site`] answers from memory or loads in its own threads.
//!    What a server behind this one answers ([`proxy`]), or what changes files ([`upload`]),
//!    becomes a task on tokio; [`exchange`] is all that it and the connection share.
//! 7. smoltcp writes segments straight into reserved UMEM frames, and the rest of a
//!    response the connection itself, from where its bytes are; the Ethernet
//!    header goes back to the neighbour that the connection's frames came from.
//!    Where the device can, it finishes the checksums ([`offload`]).
//! 8. With nothing to do the worker spins a little, then sleeps in `poll()` on
//!    the XSKs and one eventfd until the next timer.
//!
//! # Who may know whom
//!
//! `main → server → fleet → worker → {xsk, net, service → {http → exchange, site}}`, and beside
//! them `server → services → {proxy, upload} → exchange`. [`xsk`] and
//! [`xdp`] know nothing above them and hold all `unsafe` code. [`net`] knows
//! frames, not rings; [`http`] and [`site`] know no network. [`stats`] and the
//! types of [`config`], the [`calendar`] and [`password`]s are for everyone; where memory and
//! processors are best, [`numa`] tells [`server`]. Each outside
//! library has one owner: hyper [`proxy`], multer [`upload`], etherparse [`net::demux`], httparse `http::request`, base64
//! [`http::auth`], bcrypt [`password`], toml [`config`], globset [`site`], smoltcp [`net`],
//! libxdp and libbpf [`xsk`] and [`xdp`], tokio [`server`] and the file loader, never the
//! packet path. The [`access_log`] is lines in a worker's hands and files in its own
//! thread's.
//!
//! # The seam
//!
//! Everything between the rings is sans-IO: frames in, frames out, with time
//! and secrets as arguments ([`net::Stack`]). Two links carry its frames: the
//! AF_XDP socket, and the in-memory [`wire`] that loses, reorders, duplicates
//! and corrupts from a seed. What needs no kernel is tested on the second.
//!
//! # A connection's life
//!
//! What lasts is small: a half-open connection is a record ([`net::handshake`]),
//! or nothing at all when there are too many; an open one is a record with its
//! application's state; a closing one, TIME-WAIT included, is a record again
//! ([`net::closing`]). Only an open connection that is sending or receiving has a
//! smoltcp socket, out of a pool bounded in bytes ([`net::pool`]), and a handshake
//! played to it brings that to the record's state. So smoltcp does what it does
//! well, the transfer of data, and what must hold against crowds, floods and
//! forgeries stands before and after it.
//!
//! Considered and left: a smoltcp socket for each connection (300 KiB of buffers
//! for an idle one, forged RSTs believed, TIME-WAIT with buffers); buffers that
//! grow page by page beneath one socket (needs `unsafe`, and keeps what traffic
//! once touched); a TCP of our own for data too (smoltcp's is sound).
//!
//! # What is in flight
//!
//! smoltcp cuts the byte stream into segments and no more, and only where an ACK goes
//! with them: what is behind that one is sent aside (`net::sender`), without being
//! copied into smoltcp's buffer first. It is handed only what
//! the congestion window ([`net::congestion`]), its pace and the peer's window
//! allow, and once a segment is sent it is told that it was acknowledged: its
//! buffer stays small, and it never repeats anything. From then on the segment is
//! [`net::recovery`]'s, which remembers it as a reference to the body, learns from
//! SACK and time what is lost, and sends that again. FIN rides on the last text,
//! written by the device. No more is handed over than the scoreboard has room for;
//! should segments be so short that it is full all the same, they stay smoltcp's own,
//! with smoltcp's own timer, and nothing new is sent until they are acknowledged.
//!
//! The TX ring is not the queue: from 64 KiB of window on what is sent is paced, and
//! a turn sends 32 frames at most.
//!
//! What all that comes to is seen from outside: [`stats`] are totals, copied out by the
//! worker now and then; [`net::figures`] are a connection's, copied when somebody asks
//! (SIGUSR1), a bounded number in one round. [`report`] puts both into words.
//!
//! Nobody tells us that packets are too large for the path. [`net::mtu`] finds it out
//! from time-outs in a row; then recovery cuts what is in flight to pieces, and an
//! `Interface` of a smaller MTU has smoltcp cut what follows so.
//!
//! # Where the time of a GET goes
//!
//! Instructions of a keep-alive GET of 1 KiB whose segment brings the ACK of the answer
//! before (`scripts/instructions.sh` counts them, callgrind shows where):
//!
//! ```text
//!   590  net::demux with the checksum, the flow looked up
//! 1,030  the segment judged, its ACK told to recovery and congestion control
//! 1,140  smoltcp takes the segment
//! 2,660  HTTP: the head found and parsed, its path resolved, the entry looked up,
//!          the response's head (that itself is ready: a copy and the date)
//!   560  head and body handed over, and remembered in case they are lost
//! 1,450  smoltcp makes the segment; half of it is the checksum
//! 2,580  the turn around that: allowance, timers, lists, what recovery notes
//! ------
//! 10,010  in 1.5 µs; 10,490 before paths that need no decoding were left as they are,
//!          the cache had its own hash, and a turn's second look was spared
//! ```
//!
//! In the lab, where one core serves and the other asks, that and the rings are 3 to
//! 4 µs of the 8 to 9 µs that a request takes of the server's core, for nothing is in
//! the caches when its turn comes. 2 µs are system calls, most of them XSK's copy of the
//! frame into an skb, and 3 µs the softirq that carries this to the client's TCP, on a
//! veth still on the sender's core. The client's core is the busier one.
//!
//! Tried there in pairs of runs, and left, for what they gained was less than what two runs
//! differ: the next frame's headers fetched ahead (rate 1.03, of 0.62 to 1.26), spinning
//! for 50 or 200 µs, sleeping 20 or 50 µs after each batch so that the next is larger, a
//! checksum of 16 bytes at a time, huge pages by madvise, batches of 256 and 1,024 frames.
//! smoltcp's segmentation offload would save passes through smoltcp for long responses;
//! sending aside saves all of them but the first.
//!
//! # Rules of ownership
//!
//! - A frame ends in the pool, a ring or the kernel; frames in are frames out.
//! - Room to answer is made sure of before a segment is taken: backpressure.
//! - Memory is taken at start or when a connection opens; a request that is
//!   answered from memory allocates nothing.
//! - Every table, queue, head, body and wait has a limit with a name and a
//!   reason, and a counter that says when it bit.
//! - "More bytes needed" and "not ours" are values, not errors.

#[allow(unsafe_code)]
pub mod xdp;
#[allow(unsafe_code)]
pub mod xsk;

pub mod access_log;
pub mod busy_poll;
pub mod calendar;
pub mod cli;
pub mod config;
pub mod exchange;
pub mod fleet;
pub mod http;
pub mod net;
pub mod numa;
pub mod offload;
pub mod password;
pub mod proxy;
pub mod relay;
pub mod report;
pub mod server;
pub mod service;
pub mod services;
pub mod site;
pub mod stats;
pub mod upload;

pub mod wire;
pub mod worker;

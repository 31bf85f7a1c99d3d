//! Any segments on an established connection, their numbers told from where the
//! connection stands.
//!
//! ```text
//! input = dialect:u8 { step }
//! step  = 0x00..=0x3f flags, how:u8 seq:distance ack:distance window:u16 load
//!       | 0x40..=0xff time:u8
//! load  = nothing | number:u8 | length:u8 bytes | nothing     by bits 4 and 5 of how
//! ```
//!
//! Besides what holds for every [`World`]: the server acknowledges nothing that
//! was not sent to it, and sends nothing beyond the window that it was given.

use super::input::Input;
use super::world::World;
use crate::common::segment::{Answer, Segment, flag_bits};
use crate::common::{ENDS, stack_config};
use etherparse::TcpOptionElement;
use std::path::Path;
use xdphttpd::net::Duration;

const PORT: u16 = 40_000;
const ISS: u32 = u32::MAX - 20;
const CONNECTIONS: usize = 64;
const REQUESTS: [&[u8]; 4] = [
    b"GET /one HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /many HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /one HTTP/1.0\r\n\r\n",
    b"GET /one HT",
];
/// The window scale that is offered in the dialect with options.
const SCALE: u8 = 2;
/// A closed window is probed with one byte.
const PROBE_BYTES: i32 = 1;
const LAST_FLAGS: u8 = 0x3f;

/// Bits of a step's `how`.
const NO_TIMESTAMPS: u8 = 1;
const OLD_TIMESTAMP: u8 = 2;
const GARBAGE_OPTIONS: u8 = 4;

pub fn run(site: &Path, input: &[u8]) {
    let mut input = Input(input);
    let mut world = World::new(site, &stack_config(CONNECTIONS));
    let mut peer = Peer::connect(&mut world, input.u8() & 1 == 1);
    while !input.is_empty() {
        let step = input.u8();
        let answers = if step <= LAST_FLAGS {
            let segment = peer.segment(step, &mut input);
            peer.say(&segment);
            world.frame(&segment.frame(&ENDS))
        } else {
            world.pass(Duration::from_micros(input.time_us()))
        };
        answers.iter().for_each(|answer| peer.hear(answer));
    }
    world.settle();
}

/// The client's view of the connection. What is relative is so to `iss` or `isn`.
struct Peer {
    iss: u32,
    isn: u32,
    scale: u8,
    timestamps: bool,
    clock: u32,
    heard_clock: u32,
    /// RCV.NXT and the window as the server last said, relative.
    acked: i32,
    edge: i32,
    /// The end of what the server has sent, relative.
    next: i32,
    /// What the server may acknowledge and send up to, relative.
    said: i32,
    granted: i32,
}

impl Peer {
    fn connect(world: &mut World, modern: bool) -> Peer {
        let mut peer = Peer {
            iss: ISS,
            isn: 0,
            scale: 0,
            timestamps: false,
            clock: 1_000,
            heard_clock: 0,
            acked: 1,
            edge: 1,
            next: 1,
            said: 1,
            granted: 0,
        };
        let syn = Segment {
            port: PORT,
            flags: flag_bits("S"),
            seq: ISS,
            window: 8_000,
            options: match modern {
                true => [&[2, 4, 5, 180, 4, 2][..], &peer.timestamp(), &[3, 3, SCALE]].concat(),
                false => Vec::new(),
            },
            ..Segment::default()
        };
        let answers = world.frame(&syn.frame(&ENDS));
        assert_eq!(answers.len(), 1, "a SYN-ACK for a SYN");
        peer.hear(&answers[0]);
        let ack = Segment {
            flags: flag_bits("A"),
            seq: ISS.wrapping_add(1),
            ack: peer.isn.wrapping_add(1),
            options: if peer.timestamps {
                peer.timestamp()
            } else {
                Vec::new()
            },
            ..syn
        };
        peer.say(&ack);
        assert!(world.frame(&ack.frame(&ENDS)).is_empty());
        assert_eq!(world.stack.connections(), 1);
        peer
    }

    fn timestamp(&mut self) -> Vec<u8> {
        self.clock += 1;
        let clocks = [self.clock.to_be_bytes(), self.heard_clock.to_be_bytes()];
        [&[8, 10][..], clocks.as_flattened()].concat()
    }

    /// The segment that the input asks for.
    fn segment(&mut self, flags: u8, input: &mut Input<'_>) -> Segment {
        let how = input.u8();
        let seq = self.iss.wrapping_add(self.acked as u32);
        let ack = self.isn.wrapping_add(self.next as u32);
        let mut options = Vec::new();
        if self.timestamps && how & NO_TIMESTAMPS == 0 {
            options = self.timestamp();
            if how & OLD_TIMESTAMP != 0 {
                options[2..6].copy_from_slice(&1_u32.to_be_bytes());
            }
        }
        let mut segment = Segment {
            port: PORT,
            flags,
            seq: seq.wrapping_add(input.distance() as u32),
            ack: ack.wrapping_add(input.distance() as u32),
            window: input.u16(),
            ..Segment::default()
        };
        segment.payload = match how >> 4 & 3 {
            1 => REQUESTS[usize::from(input.u8()) % REQUESTS.len()].to_vec(),
            2 => {
                let length = input.u8();
                input.take(length.into()).to_vec()
            }
            _ => Vec::new(),
        };
        if how & GARBAGE_OPTIONS != 0 {
            let length = usize::from(input.u8() % 41).min(40 - options.len());
            options.extend(input.take(length));
        }
        segment.options = options;
        segment
    }

    /// Takes note of what a segment lets the server do, if it is believed.
    fn say(&mut self, segment: &Segment) {
        let start = segment.seq.wrapping_sub(self.iss) as i32;
        let flags = (segment.flags & flag_bits("S") != 0) as i32
            + (segment.flags & flag_bits("F") != 0) as i32;
        if start <= self.edge {
            let end = start.saturating_add(segment.payload.len() as i32 + flags);
            self.said = self.said.max(end);
        }
        let ack = segment.ack.wrapping_sub(self.isn) as i32;
        if segment.flags & flag_bits("A") != 0 && ack <= self.next {
            let window = i32::from(segment.window) << self.scale;
            self.granted = self.granted.max(ack.saturating_add(window));
        }
    }

    /// Takes note of an answer.
    ///
    /// # Panics
    /// When the server may not say that.
    fn hear(&mut self, answer: &Answer) {
        let tcp = &answer.tcp;
        if tcp.rst {
            return;
        }
        if tcp.syn {
            return self.hear_syn(answer);
        }
        let timestamp = tcp
            .options_iterator()
            .flatten()
            .find_map(|option| match option {
                TcpOptionElement::Timestamp(value, _) => Some(value),
                _ => None,
            });
        self.heard_clock = timestamp.unwrap_or(self.heard_clock);
        self.acked = tcp.acknowledgment_number.wrapping_sub(self.iss) as i32;
        assert!(
            self.acked <= self.said,
            "{} acknowledged, {} sent",
            self.acked,
            self.said
        );
        // The server's scale is not needed: more is only more careful.
        self.edge = self.acked.saturating_add(i32::from(tcp.window_size) << 14);
        let start = tcp.sequence_number.wrapping_sub(self.isn) as i32;
        let end = start.saturating_add(answer.payload.len() as i32);
        assert!(
            answer.payload.is_empty() || end <= self.granted + PROBE_BYTES,
            "sent up to {end}, granted {}",
            self.granted
        );
        self.next = self.next.max(answer.end().wrapping_sub(self.isn) as i32);
    }

    /// A connection begins: the first, or one in place of it.
    fn hear_syn(&mut self, answer: &Answer) {
        let tcp = &answer.tcp;
        let iss = tcp.acknowledgment_number.wrapping_sub(1);
        if tcp.sequence_number == self.isn && iss == self.iss {
            return;
        }
        let options: Vec<_> = tcp.options_iterator().flatten().collect();
        let has = |wanted: fn(&TcpOptionElement) -> bool| options.iter().any(wanted);
        self.timestamps = has(|option| matches!(option, TcpOptionElement::Timestamp(..)));
        let scaled = has(|option| matches!(option, TcpOptionElement::WindowScale(_)));
        // A SYN from the input may have asked for any scale.
        let first = iss == ISS && self.isn == 0;
        self.scale = match (scaled, first) {
            (true, true) => SCALE,
            (true, false) => 14,
            (false, _) => 0,
        };
        (self.iss, self.isn) = (iss, tcp.sequence_number);
        (self.acked, self.next, self.said) = (1, 1, 1);
        self.edge = i32::from(tcp.window_size);
        // Data on the SYN counts, if the server takes it.
        self.said += 2_000;
        self.granted = i32::from(u16::MAX);
    }
}

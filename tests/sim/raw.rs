//! Frames by hand: what hostile peers send, and what anybody reads off the wire.

use etherparse::checksum::Sum16BitWords;
use etherparse::{Ipv4HeaderSlice, PacketBuilder, TcpHeader, TcpHeaderSlice, TcpOptionElement};
use std::net::Ipv4Addr;

pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 11, 1, 1);
pub const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub const SERVER_PORT: u16 = 80;
pub const MTU_BYTES: usize = 1500;
pub const ETHERNET_BYTES: usize = 14;

/// A client's end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    pub address: Ipv4Addr,
    pub port: u16,
}

/// An endpoint and the neighbour that the server sees it behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub mac: [u8; 6],
    pub address: Ipv4Addr,
    pub port: u16,
}

impl Place {
    pub fn endpoint(self) -> Endpoint {
        Endpoint {
            address: self.address,
            port: self.port,
        }
    }

    pub fn at_port(self, port: u16) -> Place {
        Place { port, ..self }
    }
}

/// A segment to the server. Flags are letters: S, A, R, F, P, U.
#[derive(Clone, Debug)]
pub struct Raw {
    pub from: Place,
    pub flags: &'static str,
    pub seq: u32,
    pub ack: u32,
    pub window: u16,
    pub payload: Vec<u8>,
}

impl Raw {
    pub fn new(from: Place, flags: &'static str, seq: u32, ack: u32) -> Raw {
        Raw {
            from,
            flags,
            seq,
            ack,
            window: 64_000,
            payload: Vec::new(),
        }
    }

    pub fn window(self, window: u16) -> Raw {
        Raw { window, ..self }
    }

    pub fn payload(self, payload: &[u8]) -> Raw {
        Raw {
            payload: payload.to_vec(),
            ..self
        }
    }

    pub fn frame(&self) -> Vec<u8> {
        let mut tcp = TcpHeader::new(self.from.port, SERVER_PORT, self.seq, self.window);
        tcp.acknowledgment_number = self.ack;
        for flag in self.flags.chars() {
            match flag {
                'S' => tcp.syn = true,
                'A' => tcp.ack = true,
                'R' => tcp.rst = true,
                'F' => tcp.fin = true,
                'P' => tcp.psh = true,
                'U' => tcp.urg = true,
                other => panic!("no such flag: {other}"),
            }
        }
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(self.from.mac, SERVER_MAC)
            .ipv4(self.from.address.octets(), SERVER.octets(), 64)
            .tcp_header(tcp)
            .write(&mut frame, &self.payload)
            .expect("writing to a Vec");
        frame
    }
}

/// What a frame says to whoever can read it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub to_mac: [u8; 6],
    pub from_mac: [u8; 6],
    pub from: Endpoint,
    pub to: Endpoint,
    pub syn: bool,
    pub ack_flag: bool,
    pub rst: bool,
    pub fin: bool,
    pub seq: u32,
    pub ack: u32,
    pub window: u16,
    pub window_shift: Option<u8>,
    /// TSval.
    pub stamp: Option<u32>,
    pub payload_bytes: usize,
}

impl Seen {
    /// Reads a frame; `None` for anything but IPv4 TCP with right checksums.
    pub fn read(frame: &[u8]) -> Option<Seen> {
        let (ethernet, packet) = frame.split_at_checked(ETHERNET_BYTES)?;
        if ethernet[12..] != [0x08, 0x00] {
            return None;
        }
        let ip = Ipv4HeaderSlice::from_slice(packet).ok()?;
        let segment = packet.get(ip.slice().len()..usize::from(ip.total_len()))?;
        let tcp = TcpHeaderSlice::from_slice(segment).ok()?;
        let payload = &segment[tcp.slice().len()..];
        // Of the bytes: etherparse's own header has no place for the reserved flag.
        let ip_sum = Sum16BitWords::new().add_slice(ip.slice());
        let holds = ip_sum.ones_complement() == 0
            && tcp.calc_checksum_ipv4(&ip, payload) == Ok(tcp.checksum());
        let end = |address, port| Endpoint { address, port };
        let options = || tcp.options_iterator().flatten();
        holds.then_some(Seen {
            to_mac: ethernet[..6].try_into().ok()?,
            from_mac: ethernet[6..12].try_into().ok()?,
            from: end(ip.source_addr(), tcp.source_port()),
            to: end(ip.destination_addr(), tcp.destination_port()),
            syn: tcp.syn(),
            ack_flag: tcp.ack(),
            rst: tcp.rst(),
            fin: tcp.fin(),
            seq: tcp.sequence_number(),
            ack: tcp.acknowledgment_number(),
            window: tcp.window_size(),
            window_shift: options().find_map(|option| match option {
                TcpOptionElement::WindowScale(shift) => Some(shift.min(14)),
                _ => None,
            }),
            stamp: options().find_map(|option| match option {
                TcpOptionElement::Timestamp(value, _) => Some(value),
                _ => None,
            }),
            payload_bytes: payload.len(),
        })
    }

    /// The sequence number after this segment.
    pub fn end(&self) -> u32 {
        let control = u32::from(self.syn) + u32::from(self.fin);
        self.seq.wrapping_add(self.payload_bytes as u32 + control)
    }

    pub fn flags(&self) -> String {
        let letters = [
            (self.syn, 'S'),
            (self.ack_flag, 'A'),
            (self.rst, 'R'),
            (self.fin, 'F'),
        ];
        letters
            .into_iter()
            .filter_map(|(set, letter)| set.then_some(letter))
            .collect()
    }
}

/// RFC 9293 §3.4: sequence numbers compare modulo 2^32.
pub fn after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) as i32 > 0
}

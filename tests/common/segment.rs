//! Segments made byte by byte, also such as no honest sender makes, and the
//! answers to them read back.

use etherparse::checksum::Sum16BitWords;
use etherparse::{PacketHeaders, TcpHeader, TransportHeader, ip_number};
use std::net::Ipv4Addr;

const IPV4_HEADER_BYTES: usize = 20;
const TCP_HEADER_BYTES: usize = 20;

/// Who talks to whom.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    pub client: Ipv4Addr,
    pub server: Ipv4Addr,
    pub client_mac: [u8; 6],
    pub server_mac: [u8; 6],
    /// The port served.
    pub server_port: u16,
}

/// A segment from the client.
#[derive(Clone, Debug, Default)]
pub struct Segment {
    /// The client's port.
    pub port: u16,
    /// By the bits of [`FLAGS`].
    pub flags: u8,
    pub seq: u32,
    pub ack: u32,
    pub window: u16,
    pub urgent: u16,
    /// Filled up with zeros to whole words.
    pub options: Vec<u8>,
    pub payload: Vec<u8>,
    pub odd: Odd,
}

/// What is odd about a frame, below and around its segment.
#[derive(Clone, Debug)]
pub struct Odd {
    pub source: Source,
    /// Another source port than the client's.
    pub source_port: Option<u16>,
    /// Another destination than the server's MAC.
    pub server_mac: Option<[u8; 6]>,
    pub time_to_live: u8,
    /// DSCP and ECN.
    pub service: u8,
    /// Flags and fragment offset.
    pub fragment: u16,
    /// Filled up with zeros to whole words.
    pub ip_options: Vec<u8>,
    /// What is added to the IP total length.
    pub total_length: i16,
    /// Words that the TCP header claims to have.
    pub data_offset: Option<u8>,
    /// Bits that are wrong in a checksum.
    pub ip_checksum: u16,
    pub tcp_checksum: u16,
    /// What follows the IP packet in the frame.
    pub padding: Vec<u8>,
}

/// Whose address a frame comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    Client,
    /// The server's own.
    Server,
    Other(Ipv4Addr),
}

impl Default for Odd {
    fn default() -> Odd {
        Odd {
            source: Source::Client,
            source_port: None,
            server_mac: None,
            time_to_live: 64,
            service: 0,
            fragment: 0x4000,
            ip_options: Vec::new(),
            total_length: 0,
            data_offset: None,
            ip_checksum: 0,
            tcp_checksum: 0,
            padding: Vec::new(),
        }
    }
}

/// The letters of flags, by bit from FIN up.
pub const FLAGS: &str = "FSRPAUEC";

/// The bits of letters.
pub fn flag_bits(letters: &str) -> u8 {
    letters.chars().fold(0, |bits, letter| {
        bits | 1 << FLAGS.find(letter).expect("a flag's letter")
    })
}

impl Segment {
    /// The Ethernet frame that carries it.
    pub fn frame(&self, ends: &Ends) -> Vec<u8> {
        let source = match self.odd.source {
            Source::Client => ends.client,
            Source::Server => ends.server,
            Source::Other(address) => address,
        };
        let tcp = self.tcp(source, ends);
        let mut frame = Vec::new();
        frame.extend(self.odd.server_mac.unwrap_or(ends.server_mac));
        frame.extend(ends.client_mac);
        frame.extend([0x08, 0x00]);
        frame.extend(self.ip(source, ends, tcp.len()));
        frame.extend(tcp);
        frame.extend(&self.odd.padding);
        frame
    }

    fn ip(&self, source: Ipv4Addr, ends: &Ends, segment_bytes: usize) -> Vec<u8> {
        let odd = &self.odd;
        let options = words(&odd.ip_options);
        let header_bytes = IPV4_HEADER_BYTES + options.len();
        let total = (header_bytes + segment_bytes) as i16 + odd.total_length;
        let mut ip = vec![0x40 | (header_bytes / 4) as u8, odd.service];
        ip.extend(total.to_be_bytes());
        ip.extend([0, 7]);
        ip.extend(odd.fragment.to_be_bytes());
        ip.extend([odd.time_to_live, ip_number::TCP.0, 0, 0]);
        ip.extend(source.octets());
        ip.extend(ends.server.octets());
        ip.extend(options);
        let sum = Sum16BitWords::new().add_slice(&ip).ones_complement();
        set(&mut ip, 10, u16::from_be(sum) ^ odd.ip_checksum);
        ip
    }

    fn tcp(&self, source: Ipv4Addr, ends: &Ends) -> Vec<u8> {
        let options = words(&self.options);
        let header_words = ((TCP_HEADER_BYTES + options.len()) / 4) as u8;
        let mut tcp = Vec::new();
        tcp.extend(self.odd.source_port.unwrap_or(self.port).to_be_bytes());
        tcp.extend(ends.server_port.to_be_bytes());
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        tcp.push(self.odd.data_offset.unwrap_or(header_words) << 4);
        tcp.push(self.flags);
        tcp.extend(self.window.to_be_bytes());
        tcp.extend([0, 0]);
        tcp.extend(self.urgent.to_be_bytes());
        tcp.extend(options);
        tcp.extend(&self.payload);
        let sum = Sum16BitWords::new()
            .add_4bytes(source.octets())
            .add_4bytes(ends.server.octets())
            .add_2bytes([0, ip_number::TCP.0])
            .add_2bytes((tcp.len() as u16).to_be_bytes())
            .add_slice(&tcp)
            .ones_complement();
        set(&mut tcp, 16, u16::from_be(sum) ^ self.odd.tcp_checksum);
        tcp
    }
}

fn words(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn set(header: &mut [u8], at: usize, value: u16) {
    header[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// A segment from the server.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The MAC addresses.
    pub destination: [u8; 6],
    pub source: [u8; 6],
    /// To whom.
    pub client: Ipv4Addr,
    pub tcp: TcpHeader,
    pub payload: Vec<u8>,
}

impl Answer {
    /// Reads a frame of the server.
    ///
    /// # Errors
    /// What is wrong with it: a header, a length or a checksum.
    pub fn read(frame: &[u8], ends: &Ends) -> Result<Answer, String> {
        let packet = PacketHeaders::from_ethernet_slice(frame).map_err(|e| e.to_string())?;
        let Some(etherparse::LinkHeader::Ethernet2(ethernet)) = packet.link else {
            return Err("no Ethernet header".into());
        };
        let Some(etherparse::NetHeaders::Ipv4(ip, _)) = packet.net else {
            return Err("no IPv4 header".into());
        };
        let Some(TransportHeader::Tcp(tcp)) = packet.transport else {
            return Err("no TCP header".into());
        };
        let payload = packet.payload.slice();
        let right = [
            ("source address", ip.source == ends.server.octets()),
            ("source port", tcp.source_port == ends.server_port),
            (
                "IP checksum",
                ip.calc_header_checksum() == ip.header_checksum,
            ),
            ("TCP checksum", {
                // Both zeros of ones' complement are right.
                let sum = tcp.calc_checksum_ipv4(&ip, payload);
                sum == Ok(tcp.checksum) || sum == Ok(!tcp.checksum) && tcp.checksum == !0
            }),
            (
                "frame length",
                frame.len() == 14 + usize::from(ip.total_len),
            ),
        ];
        if let Some((what, _)) = right.iter().find(|(_, right)| !right) {
            return Err(format!("wrong {what}: {ip:?} {tcp:?}"));
        }
        Ok(Answer {
            destination: ethernet.destination,
            source: ethernet.source,
            client: ip.destination.into(),
            tcp,
            payload: payload.to_vec(),
        })
    }

    /// Its flags without PSH, by the bits of [`FLAGS`].
    pub fn bits(&self) -> u8 {
        let tcp = &self.tcp;
        [tcp.fin, tcp.syn, tcp.rst, false, tcp.ack, tcp.urg]
            .into_iter()
            .rev()
            .fold(0, |bits, set| bits << 1 | u8::from(set))
    }

    /// The same as letters, in the order of [`FLAGS`].
    pub fn flags(&self) -> String {
        let bits = self.bits();
        let set = |(bit, letter)| (bits >> bit & 1 == 1).then_some(letter);
        FLAGS.chars().enumerate().filter_map(set).collect()
    }

    /// SEG.LEN: payload, SYN and FIN.
    pub fn len(&self) -> u32 {
        self.payload.len() as u32 + u32::from(self.tcp.syn) + u32::from(self.tcp.fin)
    }

    /// The sequence number after it.
    pub fn end(&self) -> u32 {
        self.tcp.sequence_number.wrapping_add(self.len())
    }
}

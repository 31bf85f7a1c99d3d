//! Demultiplexing: reads the headers of a received Ethernet frame once and says
//! whose it is.
//!
//! The only place that trusts nothing about a frame. What leaves it as a
//! [`Segment`] is IPv4 (RFC 791) carrying an unfragmented TCP segment
//! (RFC 9293 §3.1) to one of our ports and addresses, unicast on both layers,
//! with lengths that fit and checksums that hold. Everything else is a [`Drop`]
//! with a name, so that each has its counter.

use etherparse::checksum::Sum16BitWords;
use etherparse::{Ethernet2HeaderSlice, Ipv4HeaderSlice, TcpHeaderSlice, ether_type, ip_number};
use std::net::Ipv4Addr;

/// Ethernet II header, bytes.
pub const ETHERNET_HEADER_BYTES: usize = 14;
/// TCP header without options, bytes.
pub const TCP_HEADER_BYTES: usize = 20;

/// A connection's name, as its server sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// The client's address.
    pub remote: Ipv4Addr,
    /// Our address.
    pub local: Ipv4Addr,
    /// The client's port.
    pub remote_port: u16,
    /// Our port.
    pub local_port: u16,
}

impl Flow {
    /// The 12 bytes that keyed hashes are made of.
    pub fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&self.remote.octets());
        bytes[4..8].copy_from_slice(&self.local.octets());
        bytes[8..10].copy_from_slice(&self.remote_port.to_be_bytes());
        bytes[10..].copy_from_slice(&self.local_port.to_be_bytes());
        bytes
    }
}

/// The two Ethernet addresses of a frame, from our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkAddresses {
    /// Where the frame came from: where answers go.
    pub peer: [u8; 6],
    /// Where the frame was sent: where answers come from.
    pub local: [u8; 6],
}

/// TCP control bits that decide what a first segment deserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags {
    /// Synchronize sequence numbers.
    pub syn: bool,
    /// The acknowledgment field is significant.
    pub ack: bool,
    /// Reset.
    pub rst: bool,
    /// No more data from the sender.
    pub fin: bool,
}

/// A frame that is ours, its headers read.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Which connection.
    pub flow: Flow,
    /// Which neighbours.
    pub link: LinkAddresses,
    /// Control bits.
    pub flags: Flags,
    /// SEG.SEQ.
    pub seq: u32,
    /// SEG.ACK; means something only if the ACK flag is set.
    pub ack: u32,
    /// SEG.WND, unscaled.
    pub window: u16,
    /// TCP options, whole.
    pub options: &'a [u8],
    /// Bytes of text.
    pub payload_bytes: u32,
    /// The IP packet, without Ethernet header and padding.
    pub packet: &'a [u8],
}

impl Segment<'_> {
    /// SEG.LEN: what it occupies of the sequence space (RFC 9293 §3.4).
    pub fn len(&self) -> u32 {
        self.payload_bytes + u32::from(self.flags.syn) + u32::from(self.flags.fin)
    }

    /// Whether it occupies none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
impl Flow {
    /// A connection between two fixed addresses, for tests.
    pub fn from_port(remote_port: u16) -> Flow {
        Flow {
            remote: [10, 0, 0, 2].into(),
            local: [10, 0, 0, 1].into(),
            remote_port,
            local_port: 80,
        }
    }
}

/// What segments of ours said of our side: enough to say it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// SEG.SEQ + SEG.LEN, SYN and FIN counted.
    pub end: u32,
    /// SEG.ACK.
    pub ack: u32,
    /// SEG.WND, unscaled.
    pub window: u16,
}

impl Sent {
    /// Reads an IP packet that the stack has made; `None` if it carries no TCP.
    pub fn read(packet: &[u8]) -> Option<Sent> {
        let ip = Ipv4HeaderSlice::from_slice(packet).ok()?;
        let segment = packet.get(ip.slice().len()..)?;
        let tcp = TcpHeaderSlice::from_slice(segment).ok()?;
        let payload_bytes = (segment.len() - tcp.slice().len()) as u32;
        let flags = u32::from(tcp.syn()) + u32::from(tcp.fin());
        Some(Sent {
            end: tcp.sequence_number().wrapping_add(payload_bytes + flags),
            ack: tcp.acknowledgment_number(),
            window: tcp.window_size(),
        })
    }

    /// What the peer knows after `later` too: a segment sent again ends before
    /// SND.NXT and takes nothing back.
    pub fn then(self, later: Sent) -> Sent {
        let end = if after(self.end, later.end) {
            self.end
        } else {
            later.end
        };
        Sent { end, ..later }
    }
}

/// RFC 9293 §3.4: sequence numbers compare modulo 2^32.
pub fn after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) as i32 > 0
}

/// Why a frame is not ours or not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drop {
    /// Ethernet type, IP version or protocol other than IPv4 TCP.
    NotTcp,
    /// Another port or address: only a custom XDP program sends us those.
    NotOurs,
    /// A header is cut off, or a length field contradicts the frame.
    Malformed,
    /// A fragment; the kernel reassembles those.
    Fragment,
    /// Multicast, broadcast, loopback or unspecified where TCP allows unicast only
    /// (RFC 9293 §3.9.2.3, MUST-57).
    NotUnicast,
    /// The IP header checksum is wrong.
    HeaderChecksum,
    /// The TCP checksum is wrong.
    TcpChecksum,
}

/// What to believe of TCP checksums (`--rx-checksum`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RxChecksum {
    /// Right, or exactly what a local sender leaves for its device to finish
    /// (`CHECKSUM_PARTIAL`: the folded sum of the
    /// pseudo-header alone).
    #[default]
    Auto,
    /// Right.
    Strict,
    /// Anything.
    Ignore,
}

/// Which frames are ours.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The TCP port served.
    pub port: u16,
    /// The addresses served; `None` takes any unicast address.
    pub addresses: Option<Vec<Ipv4Addr>>,
    /// How TCP checksums are judged.
    pub rx_checksum: RxChecksum,
}

/// Reads `frame`, an Ethernet frame as received, padding included.
///
/// # Errors
/// The first reason, in header order, not to take it.
pub fn parse<'a>(frame: &'a [u8], policy: &Policy) -> Result<Segment<'a>, Drop> {
    let ethernet = Ethernet2HeaderSlice::from_slice(frame).map_err(|_| Drop::Malformed)?;
    if ethernet.ether_type() != ether_type::IPV4 {
        return Err(Drop::NotTcp);
    }
    let link = LinkAddresses {
        peer: ethernet.source(),
        local: ethernet.destination(),
    };
    let packet = &frame[ETHERNET_HEADER_BYTES..];
    let ip = Ipv4HeaderSlice::from_slice(packet).map_err(|_| Drop::Malformed)?;
    let header_bytes = ip.slice().len();
    let packet = packet
        .get(..usize::from(ip.total_len()))
        .filter(|packet| packet.len() >= header_bytes)
        .ok_or(Drop::Malformed)?;
    if ip.protocol() != ip_number::TCP {
        return Err(Drop::NotTcp);
    }
    if ip.is_fragmenting_payload() {
        return Err(Drop::Fragment);
    }
    let (remote, local) = (ip.source_addr(), ip.destination_addr());
    if is_group(link.peer) || is_group(link.local) || !is_unicast(remote) || !is_unicast(local) {
        return Err(Drop::NotUnicast);
    }
    if Sum16BitWords::new().add_slice(ip.slice()).ones_complement() != 0 {
        return Err(Drop::HeaderChecksum);
    }
    let segment = &packet[header_bytes..];
    let tcp = TcpHeaderSlice::from_slice(segment).map_err(|_| Drop::Malformed)?;
    let flow = Flow {
        remote,
        local,
        remote_port: tcp.source_port(),
        local_port: tcp.destination_port(),
    };
    let ours = policy
        .addresses
        .as_ref()
        .is_none_or(|list| list.contains(&local));
    if flow.local_port != policy.port || !ours {
        return Err(Drop::NotOurs);
    }
    // Port 0 is reserved (RFC 6335 §6): no answer could be told from an error.
    if flow.remote_port == 0 {
        return Err(Drop::Malformed);
    }
    if !checksum_holds(policy.rx_checksum, &flow, segment, tcp.checksum()) {
        return Err(Drop::TcpChecksum);
    }
    let flags = Flags {
        syn: tcp.syn(),
        ack: tcp.ack(),
        rst: tcp.rst(),
        fin: tcp.fin(),
    };
    Ok(Segment {
        flow,
        link,
        flags,
        seq: tcp.sequence_number(),
        ack: tcp.acknowledgment_number(),
        window: tcp.window_size(),
        options: &segment[TCP_HEADER_BYTES..tcp.slice().len()],
        payload_bytes: (segment.len() - tcp.slice().len()) as u32,
        packet,
    })
}

/// RFC 9293 §3.1 checksum over pseudo-header and segment, as `judge` wants it.
fn checksum_holds(judge: RxChecksum, flow: &Flow, segment: &[u8], field: u16) -> bool {
    if judge == RxChecksum::Ignore {
        return true;
    }
    let pseudo_header = || {
        Sum16BitWords::new()
            .add_4bytes(flow.remote.octets())
            .add_4bytes(flow.local.octets())
            .add_2bytes([0, ip_number::TCP.0])
            .add_2bytes((segment.len() as u16).to_be_bytes())
    };
    if pseudo_header().add_slice(segment).ones_complement() == 0 {
        return true;
    }
    // skb_partial_csum_set: the field holds the folded, uncomplemented sum of
    // the pseudo-header, waiting for the device to add the segment. etherparse
    // sums 16-bit words as they lie in memory.
    judge == RxChecksum::Auto && field.to_be() == !pseudo_header().ones_complement()
}

fn is_group(mac: [u8; 6]) -> bool {
    mac[0] & 1 != 0
}

fn is_unicast(address: Ipv4Addr) -> bool {
    // Loopback addresses are no more those of a host (RFC 1122 §3.2.1.3 (g)).
    !(address.is_multicast()
        || address.is_broadcast()
        || address.is_unspecified()
        || address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    const CLIENT: [u8; 4] = [10, 11, 1, 2];
    const SERVER: [u8; 4] = [10, 11, 1, 1];

    fn policy(rx_checksum: RxChecksum) -> Policy {
        Policy {
            port: 80,
            addresses: Some(vec![SERVER.into()]),
            rx_checksum,
        }
    }

    fn request_frame(payload: &[u8]) -> Vec<u8> {
        frame_to(SERVER, 80, payload)
    }

    fn frame_to(address: [u8; 4], port: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1])
            .ipv4(CLIENT, address, 64)
            .tcp(40_000, port, 7, 1_000)
            .ack(9)
            .write(&mut frame, payload)
            .expect("writing to a Vec");
        frame
    }

    fn partial(mut frame: Vec<u8>) -> Vec<u8> {
        let length = (frame.len() - 34) as u16;
        let mut sum =
            [CLIENT, SERVER].concat().chunks(2).map(be).sum::<u32>() + 6 + u32::from(length);
        sum = (sum & 0xffff) + (sum >> 16);
        frame[50..52].copy_from_slice(&((sum & 0xffff) as u16 + (sum >> 16) as u16).to_be_bytes());
        frame
    }

    fn be(pair: &[u8]) -> u32 {
        u32::from(u16::from_be_bytes([pair[0], pair[1]]))
    }

    #[test]
    fn ours_is_read_and_padding_cut() {
        let mut frame = request_frame(b"");
        let bytes = frame.len();
        frame.resize(60, 0xaa);
        let segment = parse(&frame, &policy(RxChecksum::Auto)).expect("ours");
        assert_eq!(segment.packet, &frame[14..bytes]);
        assert_eq!(
            segment.flow,
            Flow {
                remote: CLIENT.into(),
                local: SERVER.into(),
                remote_port: 40_000,
                local_port: 80
            }
        );
        assert_eq!(segment.link.peer, [2, 0, 0, 0, 0, 2]);
        assert_eq!(segment.link.local, [2, 0, 0, 0, 0, 1]);
        assert_eq!(
            segment.flags,
            Flags {
                syn: false,
                ack: true,
                rst: false,
                fin: false
            }
        );
        assert_eq!(segment.seq, 7);
    }

    #[test]
    fn each_reason_has_its_frame() {
        let edit = |at: usize, value: u8| {
            let mut frame = request_frame(b"GET");
            frame[at] = value;
            let sum = Sum16BitWords::new()
                .add_slice(&frame[14..24])
                .add_slice(&frame[26..34]);
            if at != 24 {
                frame[24..26].copy_from_slice(&sum.ones_complement().to_le_bytes());
            }
            frame
        };
        for (name, frame, want) in [
            ("ARP", edit(13, 0x06), Drop::NotTcp),
            ("UDP", edit(23, 17), Drop::NotTcp),
            ("IP version 6", edit(14, 0x65), Drop::Malformed),
            ("header length below 20", edit(14, 0x44), Drop::Malformed),
            (
                "total length beyond the frame",
                edit(17, 200),
                Drop::Malformed,
            ),
            (
                "total length below the header",
                edit(17, 19),
                Drop::Malformed,
            ),
            ("TCP offset below 20", edit(46, 0x40), Drop::Malformed),
            (
                "TCP offset beyond the segment",
                edit(46, 0xf0),
                Drop::Malformed,
            ),
            ("more fragments", edit(20, 0x20), Drop::Fragment),
            ("later fragment", edit(21, 1), Drop::Fragment),
            ("group destination MAC", edit(0, 0x03), Drop::NotUnicast),
            ("group source MAC", edit(6, 0x03), Drop::NotUnicast),
            ("multicast source", edit(26, 224), Drop::NotUnicast),
            ("loopback source", edit(26, 127), Drop::NotUnicast),
            ("IP checksum", edit(24, 0x11), Drop::HeaderChecksum),
            ("another port", frame_to(SERVER, 8081, b""), Drop::NotOurs),
            (
                "another address",
                frame_to([10, 11, 1, 9], 80, b""),
                Drop::NotOurs,
            ),
            ("TCP checksum", edit(55, b'X'), Drop::TcpChecksum),
        ] {
            assert_eq!(
                parse(&frame, &policy(RxChecksum::Auto)).err(),
                Some(want),
                "{name}"
            );
        }
        let frame = frame_to([10, 11, 1, 9], 80, b"");
        let any = Policy {
            addresses: None,
            ..policy(RxChecksum::Strict)
        };
        assert!(parse(&frame, &any).is_ok(), "any address");
    }

    #[test]
    fn a_frame_cut_anywhere_is_malformed() {
        let frame = request_frame(b"");
        for bytes in 0..frame.len() {
            let verdict = parse(&frame[..bytes], &policy(RxChecksum::Ignore));
            assert_eq!(verdict.err(), Some(Drop::Malformed), "{bytes} bytes");
        }
    }

    #[test]
    fn exactly_a_partial_checksum_is_accepted_and_only_in_auto() {
        for payload in [&b""[..], b"G", b"GET / HTTP/1.1\r\n\r\n"] {
            let frame = partial(request_frame(payload));
            assert!(parse(&frame, &policy(RxChecksum::Auto)).is_ok());
            assert!(parse(&frame, &policy(RxChecksum::Ignore)).is_ok());
            let strict = parse(&frame, &policy(RxChecksum::Strict));
            assert_eq!(strict.err(), Some(Drop::TcpChecksum));
            let mut off_by_one = frame;
            off_by_one[51] ^= 1;
            let auto = parse(&off_by_one, &policy(RxChecksum::Auto));
            assert_eq!(auto.err(), Some(Drop::TcpChecksum));
        }
    }

    #[test]
    fn what_was_sent_is_read_and_repeats_take_nothing_back() {
        let sent = |frame: &[u8]| Sent::read(&frame[14..]).expect("TCP");
        let first = sent(&request_frame(b"abc"));
        assert_eq!(
            first,
            Sent {
                end: 10,
                ack: 9,
                window: 1_000
            }
        );
        let later = Sent {
            end: u32::MAX,
            ack: 20,
            window: 5,
        };
        assert_eq!(later.then(first), first, "10 comes after 2^32 - 1");
        assert_eq!(first.then(later), Sent { end: 10, ..later });
        assert_eq!(Sent::read(&request_frame(b"")[14..40]), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes, &policy(RxChecksum::Auto));
        }

        #[test]
        fn any_flipped_bit_of_the_segment_is_noticed(
            payload in prop::collection::vec(any::<u8>(), 0..100), at in 0usize..1000, bit in 0u8..8
        ) {
            let mut frame = request_frame(&payload);
            let at = 34 + at % (frame.len() - 34);
            frame[at] ^= 1 << bit;
            prop_assert!(parse(&frame, &policy(RxChecksum::Strict)).is_err());
        }
    }
}

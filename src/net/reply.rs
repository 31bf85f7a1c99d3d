//! Segments without text that the stack makes itself: SYN-ACKs, ACKs, FINs and
//! RSTs of connections that have no socket at the moment, or none at all.

use super::checksum::{TextSum, seal_with};
use super::demux::{ETHERNET_HEADER_BYTES, Flow, LinkAddresses, Segment};
use super::device::{checksums, stamp, write_ethernet};
use super::link::FrameSink;
use super::options::Timestamps;
use smoltcp::wire::{
    IpProtocol, Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
    TcpTimestampRepr,
};

/// Time to live of all our packets (RFC 1700).
const HOP_LIMIT: u8 = 64;

/// What a segment without text says.
#[derive(Clone, Copy, Debug)]
pub struct Reply {
    /// SEG.SEQ.
    pub seq: u32,
    /// SEG.ACK; `None`: the ACK bit is not set.
    pub ack: Option<u32>,
    /// SYN, FIN, RST or none of them.
    pub control: TcpControl,
    /// SEG.WND, unscaled.
    pub window: u16,
    /// MSS, window scale and whether SACK is permitted, of a SYN.
    pub offer: Option<Offer>,
    /// Timestamps, where they were agreed on.
    pub timestamps: Option<Timestamps>,
}

/// The options of our SYN-ACK, beside timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Largest text that we take in one segment, bytes.
    pub mss: u16,
    /// Shift of the windows that we send; `None`: the peer did not offer scaling.
    pub window_shift: Option<u8>,
    /// Whether the peer may expect SACK from us.
    pub sack: bool,
}

impl Reply {
    /// `<SEQ=SEG.ACK><CTL=RST>`: what RFC 9293 §3.10.7 has for an ACK that
    /// belongs to nothing.
    pub fn reset(segment: &Segment<'_>) -> Reply {
        Reply {
            seq: segment.ack,
            ack: None,
            control: TcpControl::Rst,
            window: 0,
            offer: None,
            timestamps: None,
        }
    }

    /// What RFC 9293 §3.10.7.1 has for a segment of no connection: a RST that its
    /// sender can tell from a forged one.
    pub fn refusal(segment: &Segment<'_>) -> Reply {
        if segment.flags.ack {
            return Reply::reset(segment);
        }
        Reply {
            seq: 0,
            ack: Some(segment.seq.wrapping_add(segment.len())),
            ..Reply::reset(segment)
        }
    }

    /// Sends it on `flow`; false when there is no room.
    pub fn send<S: FrameSink>(self, flow: Flow, link: LinkAddresses, sink: &mut S) -> bool {
        self.send_text(flow, link, &[], sink)
    }

    /// Sends it on `flow` with `text`; false when there is no room.
    pub fn send_text<S: FrameSink>(
        self,
        flow: Flow,
        link: LinkAddresses,
        text: &[u8],
        sink: &mut S,
    ) -> bool {
        let write = |place: &mut [u8], sum: &mut TextSum| sum.copy(place, text);
        self.send_with(flow, link, text.len(), write, sink)
    }

    /// Sends it on `flow` with a text of so many bytes, which `write` writes and sums;
    /// false when there is no room.
    pub fn send_with<S: FrameSink>(
        self,
        flow: Flow,
        link: LinkAddresses,
        text_bytes: usize,
        write: impl FnOnce(&mut [u8], &mut TextSum),
        sink: &mut S,
    ) -> bool {
        let tcp = self.repr(flow);
        let header_bytes = packet_bytes(&tcp);
        let bytes = header_bytes + text_bytes;
        if !sink.ready() {
            return false;
        }
        let mut sum = TextSum::new(sink.finishes_checksums());
        let Some(frame) = sink.reserve(ETHERNET_HEADER_BYTES + bytes) else {
            return false;
        };
        let packet = write_ethernet(frame, link);
        emit(flow.local, flow.remote, &tcp, text_bytes, packet);
        if let Some(stamps) = self.timestamps.filter(|_| self.offer.is_none()) {
            stamp(packet, stamps);
        }
        write(&mut packet[header_bytes..], &mut sum);
        seal_with(packet, sum);
        sink.submit(ETHERNET_HEADER_BYTES + bytes);
        true
    }

    fn repr(self, flow: Flow) -> TcpRepr<'static> {
        TcpRepr {
            src_port: flow.local_port,
            dst_port: flow.remote_port,
            control: self.control,
            seq_number: TcpSeqNumber(self.seq as i32),
            ack_number: self.ack.map(|ack| TcpSeqNumber(ack as i32)),
            window_len: self.window,
            window_scale: self.offer.and_then(|offer| offer.window_shift),
            max_seg_size: self.offer.map(|offer| offer.mss),
            sack_permitted: self.offer.is_some_and(|offer| offer.sack),
            sack_ranges: [None; 3],
            timestamp: self
                .timestamps
                .map(|stamps| TcpTimestampRepr::new(stamps.value, stamps.echo)),
            payload: &[],
        }
    }

    /// The same as if the peer had sent it: an IP packet for a socket of ours,
    /// with `shift` in place of our own window scale. Checksums are not made.
    pub fn as_if_received(self, flow: Flow, buffer: &mut [u8; 80]) -> &[u8] {
        let mirrored = Flow {
            remote: flow.local,
            local: flow.remote,
            remote_port: flow.local_port,
            local_port: flow.remote_port,
        };
        let tcp = self.repr(mirrored);
        // 20 bytes of IP and at most 60 of TCP.
        let packet = &mut buffer[..packet_bytes(&tcp)];
        emit(flow.remote, flow.local, &tcp, 0, packet);
        packet
    }
}

fn packet_bytes(tcp: &TcpRepr<'_>) -> usize {
    smoltcp::wire::IPV4_HEADER_LEN + tcp.buffer_len()
}

fn emit(
    source: std::net::Ipv4Addr,
    destination: std::net::Ipv4Addr,
    tcp: &TcpRepr<'_>,
    text_bytes: usize,
    packet: &mut [u8],
) {
    let checksums = checksums();
    let ip = Ipv4Repr {
        src_addr: source,
        dst_addr: destination,
        next_header: IpProtocol::Tcp,
        payload_len: tcp.buffer_len() + text_bytes,
        hop_limit: HOP_LIMIT,
    };
    ip.emit(&mut Ipv4Packet::new_unchecked(&mut *packet), &checksums);
    let mut segment = TcpPacket::new_unchecked(&mut packet[ip.buffer_len()..]);
    tcp.emit(
        &mut segment,
        &source.into(),
        &destination.into(),
        &checksums,
    );
}

//! smoltcp's view of the link for the time of one poll: at most one received IP
//! packet in, Ethernet frames out.
//!
//! smoltcp runs with `Medium::Ip`, for ARP belongs to the kernel: the 14 bytes
//! of Ethernet are stripped by [`demux`](crate::net::demux) and written here,
//! towards the neighbour that the connection's own frames came from.

use super::demux::{ETHERNET_HEADER_BYTES, Flow, LinkAddresses, Sent};
use super::link::FrameSink;
use smoltcp::iface::{Config, Interface};
use smoltcp::phy::{self, Checksum, ChecksumCapabilities, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use smoltcp::wire::{
    HardwareAddress, IpCidr, IpProtocol, Ipv4Address, Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket,
    TcpRepr, TcpSeqNumber,
};

/// A device for one connection and one poll.
pub struct Device<'a, S> {
    /// The IP packet still to be received, if any.
    pub packet: Option<&'a [u8]>,
    /// Where frames go.
    pub sink: &'a mut S,
    /// The neighbours that this connection talks through.
    pub link: LinkAddresses,
    /// Largest IP packet, bytes.
    pub mtu_bytes: usize,
    /// Frames sent through this device so far.
    pub sent: u64,
    /// What they said together.
    pub told: Option<Sent>,
}

impl<'a, S: FrameSink> Device<'a, S> {
    /// A device that has `packet` to receive.
    pub fn new(
        packet: Option<&'a [u8]>,
        sink: &'a mut S,
        link: LinkAddresses,
        mtu_bytes: usize,
    ) -> Device<'a, S> {
        Device {
            packet,
            sink,
            link,
            mtu_bytes,
            sent: 0,
            told: None,
        }
    }
}

/// An interface of no connection yet, its generator seeded by `random_seed`.
pub fn interface(mtu_bytes: usize, random_seed: u64, now: Instant) -> Interface {
    /// `Interface::new` asks a device for its capabilities, and nothing else.
    struct Nowhere;
    impl FrameSink for Nowhere {
        fn ready(&mut self) -> bool {
            false
        }
        fn reserve(&mut self, _: usize) -> Option<&mut [u8]> {
            None
        }
        fn submit(&mut self, _: usize) {}
    }
    let link = LinkAddresses {
        peer: [0; 6],
        local: [0; 6],
    };
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = random_seed;
    Interface::new(
        config,
        &mut Device::new(None, &mut Nowhere, link, mtu_bytes),
        now,
    )
}

/// Makes `local` the interface's address. A prefix of length zero makes every
/// peer a neighbour: routes are the kernel's business, answers follow the MAC.
pub fn serve_address(interface: &mut Interface, local: Ipv4Address) {
    let cidr = IpCidr::new(local.into(), 0);
    if interface.ip_addrs().first() != Some(&cidr) {
        interface.update_ip_addrs(|addresses| {
            addresses.clear();
            // Cleared, and its capacity is one at least.
            let _ = addresses.push(cidr);
        });
    }
}

/// Sends an ACK that says again what `said` did: for segments that smoltcp must
/// not see and that deserve an answer all the same.
pub fn acknowledge<S: FrameSink>(device: &mut Device<'_, S>, flow: Flow, said: Sent, now: Instant) {
    let checksums = capabilities(device.mtu_bytes).checksum;
    let tcp = TcpRepr {
        src_port: flow.local_port,
        dst_port: flow.remote_port,
        control: TcpControl::None,
        seq_number: TcpSeqNumber(said.end as i32),
        ack_number: Some(TcpSeqNumber(said.ack as i32)),
        window_len: said.window,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let ip = Ipv4Repr {
        src_addr: flow.local,
        dst_addr: flow.remote,
        next_header: IpProtocol::Tcp,
        payload_len: tcp.buffer_len(),
        hop_limit: 64,
    };
    let Some(token) = phy::Device::transmit(device, now) else {
        return;
    };
    phy::TxToken::consume(token, ip.buffer_len() + tcp.buffer_len(), |packet| {
        ip.emit(&mut Ipv4Packet::new_unchecked(&mut *packet), &checksums);
        let segment = &mut packet[ip.buffer_len()..];
        let (local, remote) = (flow.local.into(), flow.remote.into());
        tcp.emit(
            &mut TcpPacket::new_unchecked(segment),
            &local,
            &remote,
            &checksums,
        );
    });
}

/// What smoltcp learns of the link: checksums are made by it for sending and
/// were already judged by demux on receipt.
fn capabilities(mtu_bytes: usize) -> DeviceCapabilities {
    let mut checksum = ChecksumCapabilities::ignored();
    checksum.ipv4 = Checksum::Tx;
    checksum.tcp = Checksum::Tx;
    let mut capabilities = DeviceCapabilities::default();
    capabilities.medium = Medium::Ip;
    capabilities.max_transmission_unit = mtu_bytes;
    capabilities.checksum = checksum;
    capabilities
}

impl<S: FrameSink> phy::Device for Device<'_, S> {
    type RxToken<'t>
        = RxToken<'t>
    where
        Self: 't;
    type TxToken<'t>
        = TxToken<'t, S>
    where
        Self: 't;

    fn receive(&mut self, _now: Instant) -> Option<(RxToken<'_>, TxToken<'_, S>)> {
        // No packet is given up while its answer has no frame to go into.
        if !self.sink.ready() {
            return None;
        }
        let packet = self.packet.take()?;
        let token = TxToken {
            sink: self.sink,
            link: self.link,
            sent: &mut self.sent,
            told: &mut self.told,
        };
        Some((RxToken(packet), token))
    }

    fn transmit(&mut self, _now: Instant) -> Option<TxToken<'_, S>> {
        self.sink.ready().then_some(TxToken {
            sink: self.sink,
            link: self.link,
            sent: &mut self.sent,
            told: &mut self.told,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities(self.mtu_bytes)
    }
}

/// The received packet.
pub struct RxToken<'a>(&'a [u8]);

impl phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// The right to send one frame; handed out only when the sink was ready.
pub struct TxToken<'a, S> {
    sink: &'a mut S,
    link: LinkAddresses,
    sent: &'a mut u64,
    told: &'a mut Option<Sent>,
}

impl<S: FrameSink> phy::TxToken for TxToken<'_, S> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, packet_bytes: usize, f: F) -> R {
        let Self {
            sink,
            link,
            sent,
            told,
        } = self;
        let frame_bytes = ETHERNET_HEADER_BYTES + packet_bytes;
        let Some(frame) = sink.reserve(frame_bytes) else {
            // smoltcp must write somewhere. Only a packet larger than the link
            // carries gets here, and the MTU given to smoltcp rules that out.
            return f(&mut vec![0; packet_bytes]);
        };
        let (ethernet, packet) = frame.split_at_mut(ETHERNET_HEADER_BYTES);
        ethernet[..6].copy_from_slice(&link.peer);
        ethernet[6..12].copy_from_slice(&link.local);
        ethernet[12..].copy_from_slice(&[0x08, 0x00]);
        let result = f(packet);
        if let Some(sent) = Sent::read(packet) {
            *told = Some(told.map_or(sent, |told| told.then(sent)));
        }
        sink.submit(frame_bytes);
        *sent += 1;
        result
    }
}

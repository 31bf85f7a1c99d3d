//! smoltcp's view of the link for the time of one poll: at most one received IP
//! packet in, Ethernet frames out.
//!
//! smoltcp runs with `Medium::Ip`, for ARP belongs to the kernel: the 14 bytes
//! of Ethernet are stripped by [`demux`](crate::net::demux) and written here,
//! towards the neighbour that the connection's own frames came from. Timestamps
//! are written here too: smoltcp's generator knows no clock but a global one.

use super::checksum::{TextSum, seal_with};
use super::demux::{ETHERNET_HEADER_BYTES, LinkAddresses, Sent, after};
use super::link::FrameSink;
use super::options::Timestamps;
use smoltcp::iface::{Config, Interface};
use smoltcp::phy::{self, Checksum, ChecksumCapabilities, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IPV4_HEADER_LEN, IpCidr, Ipv4Address};

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
    /// What goes into the timestamps of segments that have some.
    pub stamps: Option<Timestamps>,
    /// Bytes that were sent aside: smoltcp's numbers are so much lower.
    pub aside_bytes: u32,
    /// Where FIN is to follow the text, if it is to.
    pub fin_at: Option<u32>,
    /// Text before this number was sent already and is not smoltcp's to repeat.
    pub taken_over: Option<u32>,
    /// The text that was sent last.
    pub text: Option<TextSent>,
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
            stamps: None,
            aside_bytes: 0,
            fin_at: None,
            taken_over: None,
            text: None,
            sent: 0,
            told: None,
        }
    }
}

/// Text that left in a segment.
#[derive(Clone, Copy, Debug)]
pub struct TextSent {
    /// SEG.SEQ.
    pub seq: u32,
    /// Its bytes.
    pub bytes: u32,
    /// FIN is behind it.
    pub has_fin: bool,
}

/// A link that takes every frame and carries it nowhere.
#[derive(Default)]
pub struct Nowhere(Vec<u8>);

impl FrameSink for Nowhere {
    fn ready(&mut self) -> bool {
        true
    }
    fn reserve(&mut self, len_bytes: usize) -> Option<&mut [u8]> {
        if self.0.len() < len_bytes {
            self.0.resize(len_bytes, 0);
        }
        Some(&mut self.0[..len_bytes])
    }
    fn submit(&mut self, _: usize) {}
}

/// The neighbours of a device that goes nowhere.
pub const NOBODY: LinkAddresses = LinkAddresses {
    peer: [0; 6],
    local: [0; 6],
};

/// An interface of no connection yet, its generator seeded by `random_seed`.
pub fn interface(mtu_bytes: usize, random_seed: u64, now: Instant) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = random_seed;
    // It is asked for its capabilities only.
    let mut nowhere = Nowhere::default();
    Interface::new(
        config,
        &mut Device::new(None, &mut nowhere, NOBODY, mtu_bytes),
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

/// Writes the Ethernet header of `frame`, and gives what follows it.
pub fn write_ethernet(frame: &mut [u8], link: LinkAddresses) -> &mut [u8] {
    let (ethernet, packet) = frame.split_at_mut(ETHERNET_HEADER_BYTES);
    ethernet[..6].copy_from_slice(&link.peer);
    ethernet[6..12].copy_from_slice(&link.local);
    ethernet[12..].copy_from_slice(&[0x08, 0x00]);
    packet
}

/// Checksums were judged by demux on receipt; for sending, `seal_with` makes TCP's.
pub fn checksums() -> ChecksumCapabilities {
    let mut checksums = ChecksumCapabilities::ignored();
    checksums.ipv4 = Checksum::Tx;
    checksums
}

/// Puts `stamps` in place of the zeros that the generator gave, which smoltcp
/// writes last. Alone they stand behind two NOPs
/// (RFC 7323 appendix A), where receivers take their short cut.
pub fn stamp(packet: &mut [u8], stamps: Timestamps) {
    const OPTIONS: usize = IPV4_HEADER_LEN + 20;
    /// Kind and length of the timestamps option.
    const TIMESTAMPS: [u8; 2] = [8, 10];
    let Some(offset) = packet.get(IPV4_HEADER_LEN + 12) else {
        return;
    };
    let options_bytes = (usize::from(offset >> 4) * 4).saturating_sub(20);
    let is_alone = options_bytes == 12;
    // Behind SACK blocks, ten bytes each and more, they stand at an even place too.
    let at = OPTIONS
        + if is_alone {
            0
        } else {
            options_bytes.saturating_sub(10)
        };
    let mut new = [1; 12];
    new[2..4].copy_from_slice(&TIMESTAMPS);
    new[4..8].copy_from_slice(&stamps.value.to_be_bytes());
    new[8..].copy_from_slice(&stamps.echo.to_be_bytes());
    let new = if is_alone { &new[..] } else { &new[2..] };
    let Some(option) = packet
        .get_mut(at..at + new.len())
        .filter(|option| option.starts_with(&TIMESTAMPS))
    else {
        return;
    };
    option.copy_from_slice(new);
}

impl<S> Device<'_, S> {
    fn token(&mut self) -> TxToken<'_, S> {
        TxToken {
            sink: self.sink,
            link: self.link,
            stamps: self.stamps,
            aside_bytes: self.aside_bytes,
            fin_at: self.fin_at,
            taken_over: self.taken_over,
            text: &mut self.text,
            sent: &mut self.sent,
            told: &mut self.told,
        }
    }
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
        Some((RxToken(packet), self.token()))
    }

    fn transmit(&mut self, _now: Instant) -> Option<TxToken<'_, S>> {
        self.sink.ready().then(|| self.token())
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu_bytes;
        capabilities.checksum = checksums();
        capabilities
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
    stamps: Option<Timestamps>,
    aside_bytes: u32,
    fin_at: Option<u32>,
    taken_over: Option<u32>,
    text: &'a mut Option<TextSent>,
    sent: &'a mut u64,
    told: &'a mut Option<Sent>,
}

impl<S: FrameSink> phy::TxToken for TxToken<'_, S> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, packet_bytes: usize, f: F) -> R {
        let frame_bytes = ETHERNET_HEADER_BYTES + packet_bytes;
        let sum = TextSum::new(self.sink.finishes_checksums());
        let Some(frame) = self.sink.reserve(frame_bytes) else {
            // smoltcp must write somewhere. Only a packet larger than the link
            // carries gets here, and the MTU given to smoltcp rules that out.
            return f(&mut vec![0; packet_bytes]);
        };
        let packet = write_ethernet(frame, self.link);
        let result = f(packet);
        if self.aside_bytes != 0 {
            renumber(packet, self.aside_bytes);
        }
        let text = text_of(packet);
        if let Some(text) = text
            && self
                .taken_over
                .is_some_and(|number| after(number, text.seq))
        {
            return result; // recovery sends it again when it is time
        }
        if let Some(stamps) = self.stamps {
            stamp(packet, stamps);
        }
        if let Some(mut text) = text {
            text.has_fin = self.fin_at == Some(text.seq.wrapping_add(text.bytes));
            if text.has_fin {
                add_fin(packet);
            }
            *self.text = Some(text);
        }
        if let Some(sent) = Sent::read(packet) {
            *self.told = Some(self.told.map_or(sent, |told| told.then(sent)));
        }
        seal_with(packet, sum);
        self.sink.submit(frame_bytes);
        *self.sent += 1;
        result
    }
}

/// The text of a packet that smoltcp has made; `None` if it carries none.
fn text_of(packet: &[u8]) -> Option<TextSent> {
    let header = packet.get(IPV4_HEADER_LEN..IPV4_HEADER_LEN + 20)?;
    let text_at = IPV4_HEADER_LEN + usize::from(header[12] >> 4) * 4;
    let bytes = packet.len().saturating_sub(text_at) as u32;
    let seq = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    (bytes > 0).then_some(TextSent {
        seq,
        bytes,
        has_fin: false,
    })
}

/// Adds to SEG.SEQ what smoltcp does not know of.
fn renumber(packet: &mut [u8], aside_bytes: u32) {
    const SEQ: std::ops::Range<usize> = IPV4_HEADER_LEN + 4..IPV4_HEADER_LEN + 8;
    if let Some(number) = packet
        .get_mut(SEQ)
        .and_then(|seq| seq.as_chunks_mut().0.first_mut())
    {
        *number = u32::from_be_bytes(*number)
            .wrapping_add(aside_bytes)
            .to_be_bytes();
    }
}

/// Sets the FIN flag.
fn add_fin(packet: &mut [u8]) {
    const FLAGS: usize = IPV4_HEADER_LEN + 13;
    const FIN: u8 = 1;
    packet[FLAGS] |= FIN;
}

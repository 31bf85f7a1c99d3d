//! smoltcp's view of a client's link.

use super::raw::{ETHERNET_BYTES, SERVER_MAC};
use super::script::Dialect;
use etherparse::{Ipv4HeaderSlice, TcpHeaderSlice};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use xdphttpd::net::Instant;

/// One received packet in, frames out.
pub struct Device<'a> {
    pub packet: Option<&'a [u8]>,
    pub mac: [u8; 6],
    pub mtu_bytes: usize,
    pub dialect: Dialect,
    pub now: Instant,
    pub out: &'a mut Vec<Vec<u8>>,
}

pub struct RxToken<'a>(&'a [u8]);

impl phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

pub struct TxToken<'a> {
    mac: [u8; 6],
    dialect: Dialect,
    now: Instant,
    out: &'a mut Vec<Vec<u8>>,
}

impl phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, packet_bytes: usize, f: F) -> R {
        let mut frame = Vec::with_capacity(ETHERNET_BYTES + packet_bytes);
        frame.extend(SERVER_MAC);
        frame.extend(self.mac);
        frame.extend([0x08, 0x00]);
        frame.resize(ETHERNET_BYTES + packet_bytes, 0);
        let packet = &mut frame[ETHERNET_BYTES..];
        let result = f(packet);
        speak(packet, self.dialect, self.now);
        self.out.push(frame);
        result
    }
}

impl Device<'_> {
    fn token(&mut self) -> TxToken<'_> {
        TxToken {
            mac: self.mac,
            dialect: self.dialect,
            now: self.now,
            out: self.out,
        }
    }
}

/// Takes out of a packet of smoltcp's what its host cannot do, and writes the time
/// into its timestamps, for smoltcp's generator knows none.
fn speak(packet: &mut [u8], dialect: Dialect, now: Instant) {
    const NOP: u8 = 1;
    const WINDOW_SCALE: u8 = 3;
    const SACK_PERMITTED: u8 = 4;
    const TIMESTAMPS: u8 = 8;
    let header = 20;
    let text = header + usize::from(packet[header + 12] >> 4) * 4;
    let mut at = header + 20;
    while at < text && packet[at] != 0 {
        let bytes = match packet[at] {
            NOP => 1,
            _ => usize::from(packet[at + 1]),
        };
        let option = &mut packet[at..at + bytes];
        match option[0] {
            WINDOW_SCALE if !dialect.window_scale => option.fill(NOP),
            SACK_PERMITTED if !dialect.sack => option.fill(NOP),
            TIMESTAMPS => {
                let value = (now.total_millis() as u32).to_be_bytes();
                option[2..6].copy_from_slice(&value);
            }
            _ => {}
        }
        at += bytes;
    }
    let ip = Ipv4HeaderSlice::from_slice(packet).expect("smoltcp sends IPv4");
    let tcp = TcpHeaderSlice::from_slice(&packet[header..]).expect("and TCP");
    let checksum = tcp
        .calc_checksum_ipv4(&ip, &packet[text..])
        .expect("a short one");
    packet[header + 16..header + 18].copy_from_slice(&checksum.to_be_bytes());
}

impl phy::Device for Device<'_> {
    type RxToken<'t>
        = RxToken<'t>
    where
        Self: 't;
    type TxToken<'t>
        = TxToken<'t>
    where
        Self: 't;

    fn receive(&mut self, _now: Instant) -> Option<(RxToken<'_>, TxToken<'_>)> {
        let packet = self.packet.take()?;
        Some((RxToken(packet), self.token()))
    }

    fn transmit(&mut self, _now: Instant) -> Option<TxToken<'_>> {
        Some(self.token())
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu_bytes;
        capabilities
    }
}

//! smoltcp's view of a client's link.

use super::raw::{ETHERNET_BYTES, SERVER_MAC};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use xdphttpd::net::Instant;

/// One received packet in, frames out.
pub struct Device<'a> {
    pub packet: Option<&'a [u8]>,
    pub mac: [u8; 6],
    pub mtu_bytes: usize,
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
    out: &'a mut Vec<Vec<u8>>,
}

impl phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, packet_bytes: usize, f: F) -> R {
        let mut frame = Vec::with_capacity(ETHERNET_BYTES + packet_bytes);
        frame.extend(SERVER_MAC);
        frame.extend(self.mac);
        frame.extend([0x08, 0x00]);
        frame.resize(ETHERNET_BYTES + packet_bytes, 0);
        let result = f(&mut frame[ETHERNET_BYTES..]);
        self.out.push(frame);
        result
    }
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
        let (mac, out) = (self.mac, &mut *self.out);
        Some((RxToken(packet), TxToken { mac, out }))
    }

    fn transmit(&mut self, _now: Instant) -> Option<TxToken<'_>> {
        let (mac, out) = (self.mac, &mut *self.out);
        Some(TxToken { mac, out })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu_bytes;
        capabilities
    }
}

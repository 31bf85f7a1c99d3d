//! From a device to packets: what must hold of it, the program on it, sockets on its queues.

use super::Error;
use crate::config::Config;
use crate::net::demux::ETHERNET_HEADER_BYTES;
use crate::offload;
use crate::xdp::{self, Attachment, Device, Program, Source};
use crate::xsk::{self, CopyMode, Xsk};

/// Descriptors of a TX ring that nothing is sent by: a frame of any size fits, as the
/// settings of a socket want it, and little memory is set aside.
const UNUSED_TX_RING: u32 = 32;

/// What must hold of the device, and the queues to serve.
pub(super) fn check(config: &Config, device: &Device) -> Result<Vec<u32>, Error> {
    let dev = || device.name.clone();
    if !device.up {
        return Err(Error::Down(dev()));
    }
    if device.addresses.is_empty() && !config.any_address {
        return Err(Error::NoAddress(dev()));
    }
    match config.queue {
        Some(queue) if queue >= device.rx_queues => Err(Error::Queue {
            dev: dev(),
            queue,
            queues: device.rx_queues,
        }),
        Some(queue) if queue >= device.tx_queues => Err(Error::TxQueue {
            dev: dev(),
            queue,
            queues: device.tx_queues,
        }),
        Some(queue) => Ok(vec![queue]),
        None => Ok((0..device.rx_queues).collect()),
    }
}

/// Whether packets of the device's MTU can be received and sent.
pub(super) fn check_mtu(
    config: &Config,
    device: &Device,
    attachment: &Attachment,
) -> Result<(), Error> {
    let most = match attachment.has_frags() {
        true => xsk::MAX_FRAME,
        // An XDP program that sees one buffer only has frames of one chunk.
        false => config.packets.socket(&device.name, 0).receivable_bytes(),
    } - ETHERNET_HEADER_BYTES as u32;
    match device.mtu > most {
        true => Err(Error::Mtu {
            dev: device.name.clone(),
            mtu: device.mtu,
            most,
        }),
        false => Ok(()),
    }
}

/// Loads the program and tells it what is ours.
pub(super) fn load(config: &Config, device: &Device) -> Result<Program, Error> {
    let source = match &config.object {
        Some((path, progname)) => Source::File {
            path,
            progname: progname.as_deref(),
        },
        None => Source::Embedded,
    };
    let program = Program::load(source, device.rx_queues)?;
    if let Some(ports) = program.ports() {
        ports.insert(config.port)?;
    }
    if config.any_address {
        match program.set_any_address(true) {
            // A program of the user's own may have its own idea of addresses.
            Err(xdp::Error::NoSuchMap { .. }) if config.object.is_some() => {}
            done => done?,
        }
    } else if let Some(addresses) = program.addresses() {
        for &address in &device.addresses {
            addresses.insert(address)?;
        }
    }
    Ok(program)
}

/// Attaches the program. Somebody else's makes way only if that is wanted, and
/// only when its queues can be had: what it serves is not stopped for nothing.
pub(super) fn attach(
    config: &Config,
    device: &Device,
    program: &Program,
    queues: &[u32],
) -> Result<Attachment, Error> {
    let attach = |force| program.attach(device.ifindex, &device.name, config.mode, force);
    match attach(false) {
        Err(xdp::Error::Occupied { .. }) if config.force => {
            // On ordinary pages: huge ones are not free again at once.
            drop(open_sockets(queues, queues.len(), |queue| xsk::Config {
                copy: CopyMode::Copy,
                hugepages: false,
                ..socket(config, device, queue)
            })?);
            Ok(attach(true)?)
        }
        attached => Ok(attached?),
    }
}

/// A socket on each of `queues`, its memory on `node`; each worker sends on one of them.
pub(super) fn sockets(
    config: &Config,
    device: &Device,
    attachment: &Attachment,
    queues: &[u32],
    workers: usize,
    node: Option<u32>,
) -> Result<Vec<Xsk>, Error> {
    let copy = match (config.copy, attachment.mode()) {
        // Zero copy needs the driver's own XDP.
        (CopyMode::Auto, xdp::Mode::Generic) => CopyMode::Copy,
        (copy, _) => copy,
    };
    let open = |tx_checksum| {
        open_sockets(queues, workers, |queue| xsk::Config {
            copy,
            node,
            tx_checksum,
            ..socket(config, device, queue)
        })
    };
    Ok(offload::open(config.tx_checksum, device, open)?)
}

/// A socket on each of `queues`, of which the workers send on the first `senders`.
fn open_sockets(
    queues: &[u32],
    senders: usize,
    socket: impl Fn(u32) -> xsk::Config,
) -> Result<Vec<Xsk>, xsk::Error> {
    let open = |(at, &queue): (usize, &u32)| {
        let mut wanted = socket(queue);
        if at >= senders {
            wanted.tx_ring = UNUSED_TX_RING;
        }
        Xsk::open(&wanted)
    };
    queues.iter().enumerate().map(open).collect()
}

/// The settings of a socket as far as they don't depend on how the program is attached.
pub(super) fn socket(config: &Config, device: &Device, queue: u32) -> xsk::Config {
    xsk::Config {
        largest_bytes: device.mtu + ETHERNET_HEADER_BYTES as u32,
        ..config.packets.socket(&device.name, queue)
    }
}

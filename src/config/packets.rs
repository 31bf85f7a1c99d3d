//! The memory of packets and its rings, of each queue.

use super::sysinfo_bytes;
use crate::cli;
use crate::xsk;
use bytesize::ByteSize;
use std::ops::RangeInclusive;

/// Descriptors that a ring may have: what two connections send in a turn each fits into
/// the least, and so do three of the largest packets.
const RING: RangeInclusive<u32> = 64..=xsk::MAX_RING;
/// The part of the machine's memory that packets may take: it can't be swapped out.
const MACHINE_SHARE: u64 = 2;

/// Validated settings of each socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packets {
    rx_ring: u32,
    tx_ring: u32,
    fill_frames: u32,
    frame_bytes: u32,
    hugepages: bool,
}

/// A setting that cannot be.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// No size of a ring.
    #[error(
        "--{flag} {size}: a ring holds a power of two of packets, from {least} to {most}; \
         {nearest} is the nearest", least = RING.start(), most = RING.end()
    )]
    Ring {
        /// The flag.
        flag: &'static str,
        /// Its value.
        size: u32,
        /// What could be.
        nearest: u32,
    },
    /// Too few or too many.
    #[error("--fill-frames {0}: from {least} to {most} are needed", least = RING.start(), most = RING.end())]
    Frames(u32),
    /// Neither of the sizes that there are.
    #[error("--frame-bytes {0}: 2048 or 4096 is needed")]
    FrameBytes(u32),
    /// More than there should be.
    #[error(
        "packet memory of {wanted} is wanted, {each} for each of {queues} queues, and this machine \
         has {machine}: lower --fill-frames or --tx-ring, or serve one queue with -Q"
    )]
    Memory {
        /// For all queues.
        wanted: ByteSize,
        /// For one.
        each: ByteSize,
        /// How many there are.
        queues: usize,
        /// Memory of the machine.
        machine: ByteSize,
    },
}

impl Packets {
    /// Validates the flags.
    ///
    /// # Errors
    /// The first one whose value cannot be.
    pub fn new(flags: &cli::Packets) -> Result<Packets, Error> {
        if !RING.contains(&flags.fill_frames) {
            return Err(Error::Frames(flags.fill_frames));
        }
        if !matches!(flags.frame_bytes, 2048 | 4096) {
            return Err(Error::FrameBytes(flags.frame_bytes));
        }
        Ok(Packets {
            rx_ring: ring("rx-ring", flags.rx_ring)?,
            tx_ring: ring("tx-ring", flags.tx_ring)?,
            fill_frames: flags.fill_frames,
            frame_bytes: flags.frame_bytes,
            hugepages: flags.hugepages,
        })
    }

    /// The settings of the socket on a queue of a device.
    pub fn socket(&self, device: &str, queue: u32) -> xsk::Config {
        xsk::Config {
            rx_ring: self.rx_ring,
            tx_ring: self.tx_ring,
            fill_frames: self.fill_frames,
            frame_bytes: self.frame_bytes,
            hugepages: self.hugepages,
            ..xsk::Config::new(device, queue)
        }
    }
}

/// That so many `queues` with such sockets don't take more memory than is sensible.
///
/// # Errors
/// They do.
pub fn check_memory(socket: &xsk::Config, queues: usize) -> Result<(), Error> {
    let (each, machine) = (socket.umem_bytes() as u64, sysinfo_bytes());
    let wanted = each * queues as u64;
    match wanted > machine / MACHINE_SHARE {
        true => Err(Error::Memory {
            wanted: ByteSize(wanted),
            each: ByteSize(each),
            queues,
            machine: ByteSize(machine),
        }),
        false => Ok(()),
    }
}

fn ring(flag: &'static str, size: u32) -> Result<u32, Error> {
    if RING.contains(&size) && size.is_power_of_two() {
        return Ok(size);
    }
    let within = size.clamp(*RING.start(), *RING.end());
    let below = 1 << within.ilog2();
    let nearest = match within - below < below / 2 {
        true => below,
        false => 2 * below,
    };
    Err(Error::Ring {
        flag,
        size,
        nearest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;

    fn packets(args: &[&str]) -> Result<Packets, Error> {
        let base = ["xdphttpd", "-d", "veth0", "--root", "www"];
        Packets::new(&Cli::parse_from(base.iter().chain(args)).packets)
    }

    #[test]
    fn defaults_are_the_sockets_own() {
        let socket = packets(&[]).expect("valid").socket("veth0", 3);
        let own = xsk::Config::new("veth0", 3);
        assert_eq!(format!("{socket:?}"), format!("{own:?}"));
    }

    #[test]
    fn flags_become_settings() {
        let args =
            "--rx-ring 64 --tx-ring 262144 --fill-frames 1000 --frame-bytes 2048 --hugepages";
        let args: Vec<&str> = args.split(' ').collect();
        let socket = packets(&args).expect("valid").socket("veth0", 0);
        assert_eq!((socket.rx_ring, socket.tx_ring), (64, 262_144));
        assert_eq!((socket.fill_frames, socket.frame_bytes), (1_000, 2_048));
        assert!(socket.hugepages);
    }

    #[test]
    fn values_that_cannot_be_are_named() {
        for (args, want) in [
            (
                ["--rx-ring", "1000"],
                "--rx-ring 1000: a ring holds a power of two of packets, from 64 to 262144; 1024 \
                 is the nearest",
            ),
            (
                ["--rx-ring", "3071"],
                "--rx-ring 3071: a ring holds a power of two of packets, from 64 to 262144; 2048 \
                 is the nearest",
            ),
            (
                ["--rx-ring", "3072"],
                "--rx-ring 3072: a ring holds a power of two of packets, from 64 to 262144; 4096 \
                 is the nearest",
            ),
            (
                ["--tx-ring", "0"],
                "--tx-ring 0: a ring holds a power of two of packets, from 64 to 262144; 64 is the \
                 nearest",
            ),
            (
                ["--tx-ring", "524288"],
                "--tx-ring 524288: a ring holds a power of two of packets, from 64 to 262144; \
                 262144 is the nearest",
            ),
            (
                ["--fill-frames", "63"],
                "--fill-frames 63: from 64 to 262144 are needed",
            ),
            (
                ["--fill-frames", "262145"],
                "--fill-frames 262145: from 64 to 262144 are needed",
            ),
            (
                ["--frame-bytes", "8192"],
                "--frame-bytes 8192: 2048 or 4096 is needed",
            ),
        ] {
            let refused = packets(&args).err().map(|error| error.to_string());
            assert_eq!(refused.as_deref(), Some(want), "{args:?}");
        }
    }

    #[test]
    fn memory_must_be_there() {
        let socket = packets(&[]).expect("valid").socket("veth0", 0);
        assert_eq!(check_memory(&socket, 1), Ok(()));
        let refused = check_memory(&socket, 1 << 20)
            .err()
            .map(|error| error.to_string());
        let refused = refused.expect("no machine has 16 TiB for it");
        assert!(
            refused.starts_with(
                "packet memory of 16.0 TiB is wanted, 16.0 MiB for each of 1048576 queues, and"
            ),
            "{refused}"
        );
    }
}

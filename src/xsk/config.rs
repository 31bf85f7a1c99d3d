//! What an AF_XDP socket is asked to be.

use super::Error;
use super::metadata::{self, TxChecksum};

/// Descriptors a ring has unless told otherwise; libxdp's own default.
const DEFAULT_RING: u32 = 2048;
/// The smallest chunk the kernel takes: `XDP_UMEM_MIN_CHUNK_SIZE`.
const MIN_FRAME_BYTES: u32 = 2048;
/// The largest chunk without huge pages: a page on the machines XDP runs on.
const MAX_FRAME_BYTES: u32 = 4096;
/// A quarter of a million descriptors: 1 GiB of frames, far more than any
/// device's own ring, and every address of a UMEM then fits 32 bits.
pub const MAX_RING: u32 = 1 << 18;

/// Chunks that a frame may take: the pages of a `struct sk_buff`, `CONFIG_MAX_SKB_FRAGS`
/// unless a kernel was built with more.
const MAX_CHUNKS: u32 = 17;

/// The largest frame: an IPv4 packet's length is a number of 16 bits.
pub const MAX_FRAME: u32 = 14 + u16::MAX as u32;
/// Memory of the frames that span chunks: what leaves within 80 µs at 100 Gbit/s, and
/// small enough to be in a processor's cache still when it does.
const LARGE_BYTES: u32 = 1 << 20;
/// So many of them at least.
const MIN_LARGE: u32 = 8;

/// Whether frames are to be copied between device and UMEM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CopyMode {
    /// Zero copy if the driver has it, else copy.
    #[default]
    Auto,
    /// Always copy (`XDP_COPY`).
    Copy,
    /// Zero copy or nothing (`XDP_ZEROCOPY`).
    ZeroCopy,
}

/// Settings of one [`Xsk`](super::Xsk): one UMEM and one socket on one queue.
#[derive(Clone, Debug)]
pub struct Config {
    /// The network device, by name.
    pub ifname: String,
    /// The queue of that device, counted from 0.
    pub queue: u32,
    /// Size of a UMEM chunk: 2048 or 4096. The kernel keeps the first 256 bytes
    /// of a received frame's chunk as headroom.
    pub frame_bytes: u32,
    /// How many frames circulate for reception.
    pub fill_frames: u32,
    /// Descriptors in the RX ring; a power of two.
    pub rx_ring: u32,
    /// Descriptors in the TX ring; a power of two. As many frames are set aside
    /// for transmission.
    pub tx_ring: u32,
    /// Copy or zero copy.
    pub copy: CopyMode,
    /// The largest frame to send or receive, in bytes with its Ethernet header. One
    /// that does not fit into a chunk takes several (`XDP_USE_SG`, Linux 6.6).
    pub largest_bytes: u32,
    /// Whether the frames' memory is to be of huge pages, if they are to be had.
    pub hugepages: bool,
    /// The NUMA node that it is to be on, as far as that has room.
    pub node: Option<u32>,
    /// The checksum that is left to device or kernel in frames that are sent (Linux 6.11).
    pub tx_checksum: Option<TxChecksum>,
}

/// `XDP_PACKET_HEADROOM` of linux/bpf.h.
const HEADROOM_BYTES: u32 = 256;

impl Config {
    /// The usual settings for one queue: 2048 frames of 4096 bytes each way.
    pub fn new(ifname: impl Into<String>, queue: u32) -> Config {
        Config {
            ifname: ifname.into(),
            queue,
            frame_bytes: MAX_FRAME_BYTES,
            fill_frames: DEFAULT_RING,
            rx_ring: DEFAULT_RING,
            tx_ring: DEFAULT_RING,
            copy: CopyMode::default(),
            largest_bytes: MAX_FRAME_BYTES - HEADROOM_BYTES,
            hugepages: false,
            node: None,
            tx_checksum: None,
        }
    }

    /// The largest frame that is received in one chunk, in bytes with its Ethernet header:
    /// less the headroom that the kernel keeps (`XDP_PACKET_HEADROOM`).
    pub fn receivable_bytes(&self) -> u32 {
        self.frame_bytes - HEADROOM_BYTES
    }

    /// Refuses what the kernel would refuse with a bare `EINVAL`.
    pub(super) fn validate(&self) -> Result<(), Error> {
        let refuse = |what: String| Err(Error::Setting(what));
        if !self.frame_bytes.is_power_of_two()
            || !(MIN_FRAME_BYTES..=MAX_FRAME_BYTES).contains(&self.frame_bytes)
        {
            return refuse(format!(
                "frames are 2048 or 4096 bytes, not {}",
                self.frame_bytes
            ));
        }
        for (ring, size) in [("RX", self.rx_ring), ("TX", self.tx_ring)] {
            if !size.is_power_of_two() || size > MAX_RING {
                return refuse(format!(
                    "the {ring} ring holds a power of two of descriptors up to {MAX_RING}, not {size}"
                ));
            }
        }
        if self.largest_bytes > MAX_FRAME {
            return refuse(format!(
                "the largest frame has {MAX_FRAME} bytes, not {}",
                self.largest_bytes
            ));
        }
        if self.large_chunks() > MAX_CHUNKS {
            return refuse(format!(
                "a frame of {} bytes takes {} chunks of {}, and {MAX_CHUNKS} are the most; use \
                 larger ones (--frame-bytes {MAX_FRAME_BYTES})",
                self.largest_bytes,
                self.large_chunks(),
                self.frame_bytes,
            ));
        }
        if self.tx_ring < self.large_chunks() {
            return refuse(format!(
                "a frame of {} bytes takes {} descriptors, and the TX ring holds {}",
                self.largest_bytes,
                self.large_chunks(),
                self.tx_ring
            ));
        }
        if !(1..=MAX_RING).contains(&self.fill_frames) {
            return refuse(format!(
                "1 to {MAX_RING} frames circulate for reception, not {}",
                self.fill_frames
            ));
        }
        Ok(())
    }

    /// Descriptors in the fill ring: room for every frame of the RX half.
    pub(super) fn fill_ring(&self) -> u32 {
        self.fill_frames.next_power_of_two()
    }

    /// Whether a frame may lie in several chunks.
    pub(super) fn has_frags(&self) -> bool {
        self.largest_bytes > self.receivable_bytes()
    }

    /// Chunks that the largest frame takes when it is sent.
    pub(super) fn large_chunks(&self) -> u32 {
        let piece_bytes = self.frame_bytes - self.tx_metadata_bytes();
        self.largest_bytes.div_ceil(piece_bytes).max(1)
    }

    /// Room before what is sent in each chunk.
    pub(super) fn tx_metadata_bytes(&self) -> u32 {
        self.tx_checksum.map_or(0, |_| metadata::BYTES as u32)
    }

    /// How many frames of several chunks are set aside for transmission.
    pub(super) fn large_frames(&self) -> u32 {
        match self.large_chunks() {
            1 => 0,
            chunks => (LARGE_BYTES / (chunks * self.frame_bytes)).max(MIN_LARGE),
        }
    }

    /// Chunks of the TX half: one for each descriptor of the TX ring, then those of the
    /// large frames.
    pub(super) fn tx_frames(&self) -> u32 {
        self.tx_ring + self.large_frames() * self.large_chunks()
    }

    /// Descriptors in the completion ring: room for every chunk of the TX half.
    pub(super) fn completion_ring(&self) -> u32 {
        self.tx_frames().next_power_of_two()
    }

    /// Chunks in the UMEM: those of the RX half, then those of the TX half.
    pub(super) fn frames(&self) -> u32 {
        self.fill_frames + self.tx_frames()
    }

    /// Size of the UMEM.
    pub fn umem_bytes(&self) -> usize {
        self.frames() as usize * self.frame_bytes as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_the_kernel_would() {
        let good = Config::new("hx0", 0);
        assert!(good.validate().is_ok());
        let bad = [
            Config {
                frame_bytes: 3000,
                ..good.clone()
            },
            Config {
                frame_bytes: 1024,
                ..good.clone()
            },
            Config {
                frame_bytes: 8192,
                ..good.clone()
            },
            Config {
                rx_ring: 0,
                ..good.clone()
            },
            Config {
                rx_ring: 1000,
                ..good.clone()
            },
            Config {
                tx_ring: 3,
                ..good.clone()
            },
            Config {
                tx_ring: 1 << 19,
                ..good.clone()
            },
            Config {
                largest_bytes: 65_550,
                ..good.clone()
            },
            Config {
                largest_bytes: 65_549,
                tx_ring: 16,
                ..good.clone()
            },
            Config {
                largest_bytes: 2_048 * 17 + 1,
                frame_bytes: 2_048,
                ..good.clone()
            },
            Config {
                fill_frames: 0,
                ..good.clone()
            },
            Config {
                fill_frames: u32::MAX,
                ..good.clone()
            },
        ];
        for config in bad {
            assert!(
                matches!(config.validate(), Err(Error::Setting(_))),
                "{config:?}"
            );
        }
    }

    #[test]
    fn the_fill_ring_holds_every_frame() {
        let config = Config {
            fill_frames: 3000,
            tx_ring: 1024,
            ..Config::new("hx0", 0)
        };
        assert_eq!(config.fill_ring(), 4096);
        assert_eq!(config.umem_bytes(), 4024 * 4096);
    }

    #[test]
    fn metadata_takes_room_in_every_chunk() {
        for (largest_bytes, chunks) in [(4_072, 1), (4_073, 2), (9_014, 3), (65_549, 17)] {
            let config = Config {
                largest_bytes,
                tx_checksum: Some(TxChecksum {
                    start: 34,
                    offset: 16,
                }),
                ..Config::new("hx0", 0)
            };
            assert!(config.validate().is_ok());
            assert_eq!(config.large_chunks(), chunks, "{largest_bytes}");
        }
    }

    #[test]
    fn large_frames_take_what_their_size_needs() {
        for (largest_bytes, has_frags, chunks, frames) in [
            (1_514, false, 1, 0),
            (3_840, false, 1, 0),
            (3_841, true, 1, 0),
            (4_096, true, 1, 0),
            (4_097, true, 2, 128),
            (9_014, true, 3, 85),
            (65_549, true, 17, 15),
        ] {
            let config = Config {
                largest_bytes,
                ..Config::new("hx0", 0)
            };
            assert!(config.validate().is_ok());
            assert_eq!(config.has_frags(), has_frags, "{largest_bytes}");
            assert_eq!(config.large_chunks(), chunks, "{largest_bytes}");
            assert_eq!(config.large_frames(), frames, "{largest_bytes}");
            assert_eq!(config.tx_frames(), 2_048 + chunks * frames);
            assert!(config.completion_ring() >= config.tx_frames());
        }
    }
}

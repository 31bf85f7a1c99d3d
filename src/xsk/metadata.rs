//! What is before a frame that is sent, where somebody else is to finish its checksum
//! (`struct xsk_tx_metadata` of linux/if_xdp.h, Linux 6.8).
//!
//! ```text
//!   chunk
//!   +-------------------+---------------------------------------------+
//!   | xsk_tx_metadata   | frame, or a piece of it                     |
//!   +-------------------+---------------------------------------------+
//!   0                   24: what the descriptor says
//! ```
//!
//! The kernel wants the room before every descriptor of the UMEM, a large frame's further
//! pieces too. All our frames ask for the same, so it is written once, at the start.

/// Size of `struct xsk_tx_metadata`.
pub(super) const BYTES: usize = 24;
/// `XDP_UMEM_TX_METADATA_LEN` of linux/if_xdp.h (Linux 6.11): the UMEM has such room.
pub(super) const UMEM_FLAG: u32 = libc::XDP_UMEM_TX_METADATA_LEN;
/// `XDP_TX_METADATA` of linux/if_xdp.h: the kernel is to look at it for this frame.
pub(super) const OPTION: u32 = libc::XDP_TX_METADATA;
/// What is asked for: `XDP_TXMD_FLAGS_CHECKSUM` of linux/if_xdp.h.
const FLAGS: u64 = libc::XDP_TXMD_FLAGS_CHECKSUM as u64;

/// A checksum in all frames of a socket that is finished after they were submitted: by
/// the device, or in copy mode by whoever of kernel and device knows how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxChecksum {
    /// Where the bytes begin that are summed, to the frame's end.
    pub start: u16,
    /// Where its field is, counted from there. It holds what else is to be summed.
    pub offset: u16,
}

impl TxChecksum {
    /// The metadata that asks for it.
    pub(super) fn metadata(self) -> [u8; BYTES] {
        let mut metadata = [0; BYTES];
        metadata[..8].copy_from_slice(&FLAGS.to_ne_bytes());
        metadata[8..10].copy_from_slice(&self.start.to_ne_bytes());
        metadata[10..12].copy_from_slice(&self.offset.to_ne_bytes());
        metadata
    }
}

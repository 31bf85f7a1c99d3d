//! Who finishes the TCP checksums of what we send, decided once at the start: the stack
//! itself (`software`), or whoever is behind the AF_XDP socket (`offload`).
//!
//! In zero copy that is the device, and one whose driver can't sends frames as they are, so
//! it is asked first. In copy mode the kernel makes each frame a packet with an unfinished
//! checksum (`CHECKSUM_PARTIAL`), as its own TCP does, and the device finishes it, or the
//! kernel for one that can't. A veth says it can and does not: its packets stay in this
//! machine, and the kernel at the other end takes their word. They are right for it, and
//! made right if it forwards them to a wire, but a capture or a program there sees them
//! unfinished. That is why `auto` wants a device's own word, which a veth does not give.

use crate::config::TxChecksum;
use crate::net::checksum::{FIELD_AT, SUMMED_FROM};
use crate::xdp::Device;
use crate::xdp::features::finishes_tx_checksums;
use crate::xsk::{self, Xsk};

/// Where the checksum is in every frame that we send.
const OURS: xsk::TxChecksum = xsk::TxChecksum {
    start: SUMMED_FROM as u16,
    offset: FIELD_AT as u16,
};

/// Opens sockets by `open`, whose frames leave what is to be left of their checksums.
///
/// # Errors
/// Those of `open`; [`xsk::Error::NoTxChecksum`] where `offload` was demanded and can't be.
pub fn open(
    wanted: TxChecksum,
    device: &Device,
    mut open: impl FnMut(Option<xsk::TxChecksum>) -> Result<Vec<Xsk>, xsk::Error>,
) -> Result<Vec<Xsk>, xsk::Error> {
    let is_auto = wanted == TxChecksum::Auto;
    let is_capable = wanted != TxChecksum::Software && says_it_can(device);
    if wanted == TxChecksum::Software || is_auto && !is_capable {
        return open(None);
    }
    let sockets = match open(Some(OURS)) {
        // Linux 6.8 to 6.10.
        Err(error @ xsk::Error::NoTxMetadata { .. }) if is_auto => {
            tracing::debug!("{error}");
            return open(None);
        }
        opened => opened?,
    };
    if !is_capable && sockets.iter().any(Xsk::zero_copy) {
        let ifname = device.name.clone();
        return Err(xsk::Error::NoTxChecksum { ifname });
    }
    tracing::info!(
        "{}: TCP checksums of what is sent are left to {}",
        device.name,
        if is_capable { "it" } else { "the kernel" }
    );
    Ok(sockets)
}

/// Whether the device says that it finishes checksums; one that can't be asked does not.
fn says_it_can(device: &Device) -> bool {
    finishes_tx_checksums(device.ifindex).unwrap_or_else(|error| {
        tracing::debug!("{error}");
        false
    })
}

//! Frames whose checksum is left to the kernel: what is before them, and where it lets
//! their pieces be.

use proptest::prelude::*;

use super::halves::pattern;
use crate::xsk::TxChecksum;
use crate::xsk::fake::{FRAME_BYTES, Kernel, open_asking, open_large};

const CHECKSUM: TxChecksum = TxChecksum {
    start: 34,
    offset: 16,
};
/// What a chunk holds of a frame.
const PIECE: usize = FRAME_BYTES as usize - 24;

/// `struct xsk_tx_metadata` of linux/if_xdp.h: flags (`XDP_TXMD_FLAGS_CHECKSUM`), then
/// `csum_start` and `csum_offset`, then what is not asked for.
fn metadata() -> Vec<u8> {
    let mut bytes = 2u64.to_ne_bytes().to_vec();
    bytes.extend(34u16.to_ne_bytes());
    bytes.extend(16u16.to_ne_bytes());
    bytes.resize(24, 0);
    bytes
}

/// Transmits a frame; its bytes, and where its pieces are in their chunks.
fn transmit(kernel: &mut Kernel) -> (Vec<u8>, Vec<u64>) {
    let (addresses, bytes) = kernel.transmit_all().expect("a frame");
    let places = addresses.iter().map(|at| at % u64::from(FRAME_BYTES));
    let places = places.collect();
    addresses.into_iter().for_each(|at| kernel.complete(at));
    (bytes, places)
}

#[test]
fn every_frame_asks_for_its_checksum_and_every_piece_has_room_before_it() {
    let (_rx, mut tx, mut kernel) = open_asking(2, 16, (2, 5), Some(CHECKSUM));
    assert!(tx.finishes_checksums());
    assert_eq!(tx.frame_capacity(), 5 * PIECE);
    // Twice: chunks are used again, after larger frames lay across them.
    for len in [1, PIECE, PIECE + 1, 9_014, 5 * PIECE, 60, PIECE + 1, 60].repeat(2) {
        let sent = pattern(len, len);
        let wrote = tx.send(len, |frame| frame.copy_from_slice(&sent));
        assert_eq!(wrote, Some(()), "{len}");
        tx.commit();
        let (bytes, places) = transmit(&mut kernel);
        assert_eq!(bytes, sent, "{len}");
        assert_eq!(places, vec![24; len.div_ceil(PIECE)], "{len}");
        assert_eq!(kernel.metadata, Some(metadata()), "{len}");
        assert_eq!(tx.reclaim(), len.div_ceil(PIECE));
        assert_eq!(tx.pending(), 0);
    }
    assert_eq!(tx.send(5 * PIECE + 1, |_| unreachable!()), None::<()>);
}

#[test]
fn nothing_is_asked_for_where_nothing_is_left() {
    let (_rx, mut tx, mut kernel) = open_large(2, 16, 2, 5);
    assert!(!tx.finishes_checksums());
    for len in [60, 9_014] {
        assert_eq!(tx.send(len, |frame| frame.fill(7)), Some(()));
        tx.commit();
        let (bytes, places) = transmit(&mut kernel);
        assert_eq!(bytes, vec![7; len]);
        assert!(places.iter().all(|&place| place == 0));
        assert_eq!(kernel.metadata, None);
    }
}

proptest! {
    /// Whatever is sent and in whatever order chunks come back.
    #[test]
    fn frames_of_any_size_are_sent_whole(
        steps in prop::collection::vec((1..4 * PIECE, any::<usize>(), any::<bool>()), 1..100),
    ) {
        let (_rx, mut tx, mut kernel) = open_asking(2, 16, (4, 4), Some(CHECKSUM));
        let mut out = Vec::new();
        for (seed, (len, which, is_complete)) in steps.into_iter().enumerate() {
            let sent = pattern(seed, len);
            if tx.send(len, |frame| frame.copy_from_slice(&sent)).is_some() {
                tx.commit();
                let (addresses, bytes) = kernel.transmit_all().expect("a frame");
                prop_assert_eq!(bytes, sent);
                prop_assert_eq!(kernel.metadata.take(), Some(metadata()));
                out.extend(addresses);
            }
            if is_complete && !out.is_empty() {
                kernel.complete(out.swap_remove(which % out.len()));
            }
        }
        out.into_iter().for_each(|address| kernel.complete(address));
        tx.reclaim();
        prop_assert_eq!((tx.pending(), tx.counters().bad_completions), (0, 0));
    }
}

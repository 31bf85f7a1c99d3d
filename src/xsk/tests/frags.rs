//! Frames of several chunks: received in pieces, sent from neighbours, and no chunk
//! lost on the way, whatever comes.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::halves::pattern;
use crate::xsk::Rx;
use crate::xsk::fake::{FRAME_BYTES, HEADROOM, Kernel, open, open_large};

/// The most that a piece holds.
const PIECE: usize = (FRAME_BYTES as u64 - HEADROOM) as usize;

/// Receives a frame in as many chunks as it needs; false without them.
fn receive(kernel: &mut Kernel, frame: &[u8]) -> bool {
    let mut pieces = frame.chunks(PIECE).peekable();
    while let Some(piece) = pieces.next() {
        if !kernel.receive_piece(piece, pieces.peek().is_some()) {
            return false;
        }
    }
    true
}

/// Every chunk of the RX half is in the fill ring again.
fn assert_all_back(rx: &mut Rx, kernel: &mut Kernel, count: u64) {
    rx.commit();
    assert_eq!(rx.outstanding(), 0);
    let mut chunks: Vec<u64> = std::iter::from_fn(|| kernel.fill.pop()).collect();
    chunks.sort_unstable();
    let all: Vec<u64> = (0..count)
        .map(|chunk| chunk * u64::from(FRAME_BYTES))
        .collect();
    assert_eq!(chunks, all);
}

#[test]
fn frames_in_pieces_are_put_together() {
    let (mut rx, _tx, mut kernel) = open(40, 2);
    for (round, len) in [1, PIECE, PIECE + 1, 9_014, 30_014, 65_549, 60, 2 * PIECE]
        .into_iter()
        .enumerate()
    {
        let sent = pattern(round, len);
        assert!(receive(&mut kernel, &sent));
        let frame = rx.next().expect("a frame");
        assert_eq!((frame.len(), rx.bytes(&frame)), (len, &sent[..]), "{len}");
        rx.recycle(frame);
        assert!(rx.next().is_none());
        rx.commit();
    }
    assert_eq!((rx.counters().frames, rx.counters().gathered), (8, 5));
    assert_eq!(
        (rx.counters().ungathered, rx.counters().bad_descriptors),
        (0, 0)
    );
    assert_all_back(&mut rx, &mut kernel, 40);
}

#[test]
fn a_frame_may_be_split_over_two_looks_at_the_ring() {
    let (mut rx, _tx, mut kernel) = open(8, 2);
    let sent = pattern(3, 3 * PIECE - 5);
    for (at, piece) in sent.chunks(PIECE).enumerate() {
        assert!(rx.next().is_none(), "piece {at} has not come");
        rx.commit();
        assert_eq!(
            rx.outstanding(),
            0,
            "pieces go back before the whole is there"
        );
        assert!(kernel.receive_piece(piece, at < 2));
    }
    assert!(kernel.receive(b"the next"));
    let (frame, next) = (rx.next().expect("whole"), rx.next().expect("the next"));
    assert_eq!(rx.bytes(&frame), sent);
    assert_eq!(rx.bytes(&next), b"the next");
    rx.recycle(next);
    rx.recycle(frame);
    assert_all_back(&mut rx, &mut kernel, 8);
}

#[test]
fn frames_in_pieces_may_be_held_at_the_same_time() {
    let (mut rx, _tx, mut kernel) = open(8, 2);
    let sent = [pattern(1, PIECE + 7), pattern(2, 2 * PIECE)];
    sent.iter()
        .for_each(|frame| assert!(receive(&mut kernel, frame)));
    let held: Vec<_> = std::iter::from_fn(|| rx.next()).collect();
    assert_eq!(held.len(), 2);
    for (frame, bytes) in held.into_iter().zip(&sent) {
        assert_eq!(rx.bytes(&frame), bytes);
        rx.recycle(frame);
    }
    assert_all_back(&mut rx, &mut kernel, 8);
}

#[test]
fn a_frame_longer_than_any_can_be_is_thrown_away_to_its_end() {
    let (mut rx, _tx, mut kernel) = open(64, 2);
    assert!(receive(&mut kernel, &pattern(1, 65_550)));
    assert!(receive(&mut kernel, &pattern(2, 2 * PIECE)));
    let frame = rx.next().expect("the one behind it");
    assert_eq!(rx.bytes(&frame), pattern(2, 2 * PIECE));
    rx.recycle(frame);
    assert_eq!((rx.counters().ungathered, rx.counters().frames), (1, 1));
    assert_all_back(&mut rx, &mut kernel, 64);
}

#[test]
fn a_bad_descriptor_spoils_the_frame_that_it_is_of() {
    for bad_at in 0..3 {
        let (mut rx, _tx, mut kernel) = open(8, 2);
        for at in 0..3 {
            match at == bad_at {
                // Of the TX half.
                true => kernel.describe_piece(9 * u64::from(FRAME_BYTES), 60, at < 2),
                false => assert!(kernel.receive_piece(&pattern(at, PIECE), at < 2)),
            }
        }
        assert!(kernel.receive(b"the next"));
        let frame = rx.next().expect("the one behind it");
        assert_eq!(rx.bytes(&frame), b"the next", "{bad_at}");
        rx.recycle(frame);
        assert!(rx.next().is_none());
        let counters = *rx.counters();
        assert_eq!((counters.ungathered, counters.bad_descriptors), (1, 1));
        assert_all_back(&mut rx, &mut kernel, 8);
    }
}

#[test]
fn large_frames_are_sent_whole_and_small_ones_in_one_chunk() {
    // Stretches of five chunks, 10,240 bytes.
    let (_rx, mut tx, mut kernel) = open_large(2, 16, 2, 5);
    assert_eq!(tx.frame_capacity(), 10_240);
    for (len, chunks) in [
        (1, 1),
        (2_048, 1),
        (2_049, 2),
        (6_000, 3),
        (10_240, 5),
        (60, 1),
    ] {
        let bytes = pattern(len, len);
        assert_eq!(
            tx.send(len, |frame| frame.copy_from_slice(&bytes)),
            Some(())
        );
        tx.commit();
        let (addresses, got) = kernel.transmit_all().expect("a frame");
        assert_eq!((got == bytes, addresses.len()), (true, chunks), "{len}");
        let is_row = |pair: &[u64]| pair[1] == pair[0] + u64::from(FRAME_BYTES);
        assert!(
            addresses.windows(2).all(is_row),
            "neighbours: {addresses:?}"
        );
        addresses
            .into_iter()
            .for_each(|address| kernel.complete(address));
        assert_eq!(tx.reclaim(), chunks);
        assert_eq!(tx.pending(), 0);
    }
    assert_eq!(tx.send(10_241, |_| unreachable!()), None::<()>);
    assert_eq!((tx.counters().frames, tx.counters().large), (6, 3));
}

#[test]
fn no_frame_is_begun_that_has_no_room_for_its_end() {
    // Three stretches, but slots for two large frames and six small ones.
    let (_rx, mut tx, mut kernel) = open_large(2, 16, 3, 5);
    let large = |tx: &mut crate::xsk::Tx| tx.send(10_000, |frame| frame.fill(1)).is_some();
    assert!(large(&mut tx) && large(&mut tx));
    assert!(tx.ready(), "six slots are left");
    assert_eq!(tx.send(60, |frame| frame.fill(2)), Some(()));
    assert!(tx.ready(), "five slots are left");
    assert_eq!(tx.send(60, |frame| frame.fill(2)), Some(()));
    assert!(
        !tx.ready(),
        "four slots are left, and any frame may be large"
    );
    assert!(!large(&mut tx) && tx.send(60, |_| ()).is_none());
    tx.commit();
    // The kernel publishes whole packets only, and completes chunk by chunk.
    let sent: Vec<_> = std::iter::from_fn(|| kernel.transmit_all()).collect();
    assert_eq!(sent.len(), 4);
    assert!(large(&mut tx), "the third stretch has slots now");
    assert!(!tx.ready(), "no stretch is free");
    let addresses: Vec<u64> = sent
        .into_iter()
        .flat_map(|(addresses, _)| addresses)
        .collect();
    for &address in &addresses[..4] {
        kernel.complete(address);
        tx.reclaim();
        assert!(!tx.ready(), "a stretch is free when all of it is");
    }
    kernel.complete(addresses[4]);
    assert!(tx.ready());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Receive(usize),
    Next,
    Recycle,
    Send(usize),
    Transmit,
    Complete,
    Commit,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..9_000usize).prop_map(Step::Receive),
        Just(Step::Next),
        Just(Step::Recycle),
        (1..8_192usize).prop_map(Step::Send),
        Just(Step::Transmit),
        Just(Step::Complete),
        Just(Step::Commit),
    ]
}

proptest! {
    /// As `frames_in_are_frames_out`, with frames of up to six chunks.
    #[test]
    fn chunks_in_are_chunks_out(steps in prop::collection::vec(step(), 1..200)) {
        let (mut rx, mut tx, mut kernel) = open_large(16, 8, 3, 4);
        let (mut arrived, mut held) = (VecDeque::new(), VecDeque::new());
        let (mut queued, mut sent) = (VecDeque::new(), VecDeque::new());
        for (seed, step) in steps.into_iter().enumerate() {
            match step {
                Step::Receive(len) => {
                    let needs = len.div_ceil(PIECE) as u32;
                    if kernel.fill.available(needs) >= needs {
                        prop_assert!(receive(&mut kernel, &pattern(seed, len)));
                        arrived.push_back(pattern(seed, len));
                    }
                }
                Step::Next => {
                    let frame = rx.next();
                    prop_assert_eq!(frame.is_some(), !arrived.is_empty());
                    held.extend(frame.zip(arrived.pop_front()));
                }
                Step::Recycle => if let Some((frame, bytes)) = held.pop_front() {
                    prop_assert_eq!(rx.bytes(&frame), bytes);
                    rx.recycle(frame);
                },
                Step::Send(len) => {
                    let bytes = pattern(seed, len);
                    let ready = tx.ready();
                    let result = tx.send(len, |frame| frame.copy_from_slice(&bytes));
                    prop_assert_eq!(result.is_some(), ready);
                    queued.extend(result.map(|()| bytes));
                }
                Step::Transmit => if let Some((addresses, bytes)) = kernel.transmit_all() {
                    prop_assert_eq!(Some(bytes), queued.pop_front());
                    sent.extend(addresses);
                },
                // In any order at all.
                Step::Complete => if let Some(address) = sent.swap_remove_back(seed % 7) {
                    kernel.complete(address);
                },
                Step::Commit => {
                    rx.commit();
                    tx.commit();
                }
            }
        }
        tx.commit();
        while let Some((addresses, _)) = kernel.transmit_all() {
            sent.extend(addresses);
        }
        sent.into_iter().for_each(|address| kernel.complete(address));
        tx.reclaim();
        prop_assert_eq!(tx.pending(), 0);
        prop_assert!(tx.ready());
        held.into_iter().for_each(|(frame, _)| rx.recycle(frame));
        while let Some(frame) = rx.next() {
            rx.recycle(frame);
        }
        assert_all_back(&mut rx, &mut kernel, 16);
        prop_assert_eq!((rx.counters().ungathered, rx.counters().bad_descriptors), (0, 0));
        prop_assert_eq!(tx.counters().bad_completions, 0);
    }
}

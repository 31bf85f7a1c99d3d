//! Both halves over rings in anonymous memory: no frame is lost, doubled, or
//! taken from where it does not belong.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use libxdp_sys::{XDP_RING_NEED_WAKEUP, xdp_desc};
use proptest::prelude::*;

use crate::xsk::Wake;
use crate::xsk::fake::{FRAME_BYTES, HEADROOM, open};

pub fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (seed * 31 + at * 7) as u8).collect()
}

#[test]
fn frames_are_received_whole_over_many_laps() {
    let (mut rx, _tx, mut kernel) = open(6, 2);
    for lap in 0..100 {
        let sent: Vec<_> = (0..6)
            .map(|i| pattern(lap * 6 + i, 1 + (lap * 97 + i * 331) % 1792))
            .collect();
        for frame in &sent {
            assert!(kernel.receive(frame));
        }
        assert!(!kernel.receive(&[1]), "the kernel has no chunk left");
        for bytes in &sent {
            let frame = rx.next().expect("a frame was received");
            assert_eq!(frame.len(), bytes.len());
            assert_eq!(rx.bytes(&frame), bytes);
            rx.recycle(frame);
        }
        assert!(rx.next().is_none());
        rx.commit();
        assert_eq!(rx.outstanding(), 0);
    }
    assert_eq!(rx.counters().frames, 600);
    assert_eq!(rx.counters().bad_descriptors, 0);
}

#[test]
fn a_frame_of_another_umem_is_refused() {
    let (mut rx, _tx, mut kernel) = open(4, 4);
    let (mut other, _other_tx, mut other_kernel) = open(4, 4);
    assert!(kernel.receive(b"ours"));
    assert!(other_kernel.receive(b"theirs"));
    let (ours, theirs) = (rx.next().unwrap(), other.next().unwrap());
    assert_eq!(rx.bytes(&theirs), b"");
    assert_eq!(other.bytes(&ours), b"");
    rx.recycle(theirs);
    assert_eq!(rx.counters().foreign_frames, 1);
    assert_eq!(rx.outstanding(), 1, "only our own frame is out");
    assert_eq!(rx.bytes(&ours), b"ours");
    rx.recycle(ours);
    rx.commit();
    assert_eq!((rx.outstanding(), other.outstanding()), (0, 1));
}

#[test]
fn bad_descriptors_are_skipped_and_their_chunks_recovered() {
    let (mut rx, _tx, mut kernel) = open(4, 4);
    let chunks: Vec<u64> = std::iter::from_fn(|| kernel.fill.pop()).collect();
    assert_eq!(chunks, [0, 2048, 4096, 6144]);
    // Too long for its chunk, by one byte: identifiable.
    kernel.describe(HEADROOM, FRAME_BYTES - HEADROOM as u32 + 1);
    // In the TX half; outside the UMEM; at the end of the address space.
    kernel.describe(4 * 2048 + HEADROOM, 60);
    kernel.describe(8 * 2048, 60);
    kernel.describe(u64::MAX, u32::MAX);
    assert!(rx.next().is_none());
    assert_eq!(rx.counters().bad_descriptors, 4);
    rx.commit();
    assert_eq!(
        kernel.fill.pop(),
        Some(0),
        "the chunk of the first came back"
    );
    assert_eq!(kernel.fill.pop(), None);

    // Exactly as long as its chunk allows; then the same chunk once more.
    kernel.describe(2048 + HEADROOM, FRAME_BYTES - HEADROOM as u32);
    kernel.describe(2048 + HEADROOM, 60);
    let frame = rx.next().expect("a chunk's last byte may be used");
    assert_eq!(frame.len(), 1792);
    assert!(
        rx.next().is_none(),
        "a chunk that is ours can't be received again"
    );
    assert_eq!(rx.counters().bad_descriptors, 5);
    rx.recycle(frame);
    rx.commit();
    assert_eq!(kernel.fill.pop(), Some(2048));
    assert_eq!(kernel.fill.pop(), None, "not twice");
}

#[test]
fn recycled_frames_wait_for_room_in_the_fill_ring() {
    let (mut rx, _tx, mut kernel) = open(4, 4);
    // The frames are there before the kernel says that it took their chunks.
    let taken: Vec<u64> = (0..3).map(|_| kernel.fill.pop().unwrap()).collect();
    for chunk in taken {
        assert!(kernel.rx.push(xdp_desc {
            addr: chunk,
            len: 9,
            options: 0
        }));
    }
    kernel.rx.commit();
    while let Some(frame) = rx.next() {
        rx.recycle(frame);
    }
    rx.commit();
    assert_eq!(rx.outstanding(), 0);
    assert_eq!(kernel.fill.available(9), 1);
    kernel.fill.commit();
    rx.commit();
    assert_eq!(kernel.fill.available(9), 4, "none was lost");
}

#[test]
fn frames_are_sent_whole_and_come_back() {
    let (_rx, mut tx, mut kernel) = open(2, 4);
    for lap in 0..50 {
        let sent: Vec<_> = (0..4)
            .map(|i| pattern(lap * 4 + i, 1 + (lap * 513 + i * 97) % 2048))
            .collect();
        for (at, bytes) in sent.iter().enumerate() {
            assert!(tx.ready());
            let returned = tx.send(bytes.len(), |frame| {
                assert_eq!(frame.len(), bytes.len());
                frame.copy_from_slice(bytes);
                at
            });
            assert_eq!(returned, Some(at));
        }
        assert!(!tx.ready());
        assert_eq!(tx.send(1, |_| ()), None);
        assert!(kernel.transmit().is_none(), "nothing is published yet");
        tx.commit();
        let (addresses, bytes): (Vec<_>, Vec<_>) = std::iter::from_fn(|| kernel.transmit()).unzip();
        assert_eq!(bytes, sent);
        assert_eq!(tx.pending(), 4);
        assert!(!tx.ready(), "slots are free, frames are not");
        addresses
            .into_iter()
            .for_each(|address| kernel.complete(address));
        assert_eq!(tx.reclaim(), 4);
        assert_eq!(tx.pending(), 0);
    }
    assert_eq!(tx.counters().frames, 200);
    assert_eq!(tx.counters().not_ready, 50);
}

#[test]
fn lengths_that_no_frame_has_are_refused() {
    let (_rx, mut tx, mut kernel) = open(2, 4);
    assert_eq!(tx.send(0, |_| unreachable!()), None::<()>);
    assert_eq!(tx.send(2049, |_| unreachable!()), None::<()>);
    assert_eq!(tx.send(usize::MAX, |_| unreachable!()), None::<()>);
    assert_eq!(tx.counters().bad_length, 3);
    assert_eq!(tx.send(2048, |frame| frame.fill(9)), Some(()));
    tx.commit();
    assert_eq!(
        kernel.transmit().map(|(_, bytes)| bytes),
        Some(vec![9; 2048])
    );
}

#[test]
fn completions_without_sense_are_refused() {
    let (_rx, mut tx, mut kernel) = open(2, 2);
    assert_eq!(tx.send(60, |frame| frame.fill(1)), Some(()));
    tx.commit();
    let (address, _) = kernel.transmit().unwrap();
    kernel.complete(address);
    kernel.complete(address);
    assert_eq!(tx.reclaim(), 1, "a frame comes back once");
    kernel.complete(0);
    kernel.complete(u64::MAX);
    assert_eq!(tx.reclaim(), 0);
    assert_eq!(tx.counters().bad_completions, 3);
    assert_eq!(tx.pending(), 0);
}

#[test]
fn a_panic_while_writing_loses_no_frame() {
    let (_rx, mut tx, mut kernel) = open(2, 2);
    let attempt = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        tx.send(60, |_| panic!("the writer fails"))
    }));
    assert!(attempt.is_err());
    assert_eq!(tx.pending(), 0);
    tx.commit();
    assert!(kernel.transmit().is_none());
    assert_eq!((0..3).filter(|_| tx.send(60, |_| ()).is_some()).count(), 2);
}

#[test]
fn the_memory_goes_with_the_last_that_holds_it() {
    let (rx, tx, kernel) = open(2, 2);
    let memory = Arc::downgrade(&kernel.memory);
    drop(kernel);
    drop(rx);
    assert!(memory.upgrade().is_some());
    drop(tx);
    assert!(memory.upgrade().is_none());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Receive(usize),
    Next,
    Recycle,
    Send(usize),
    Transmit,
    Complete,
    Reclaim,
    Commit,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..1792usize).prop_map(Step::Receive),
        Just(Step::Next),
        Just(Step::Recycle),
        (1..2048usize).prop_map(Step::Send),
        Just(Step::Transmit),
        Just(Step::Complete),
        Just(Step::Reclaim),
        Just(Step::Commit),
    ]
}

proptest! {
    /// Whatever the order of events, frames arrive in order and whole, and in the
    /// end every chunk is where it was in the beginning.
    #[test]
    fn frames_in_are_frames_out(steps in prop::collection::vec(step(), 1..300)) {
        let (rx_frames, tx_frames) = (5, 4);
        let (mut rx, mut tx, mut kernel) = open(rx_frames, tx_frames);
        let mut seed = 0;
        let (mut arrived, mut held) = (VecDeque::new(), VecDeque::new());
        let (mut queued, mut sent) = (VecDeque::new(), VecDeque::new());
        for step in steps {
            seed += 1;
            match step {
                Step::Receive(len) => if kernel.receive(&pattern(seed, len)) {
                    arrived.push_back(pattern(seed, len));
                },
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
                Step::Transmit => if let Some((address, bytes)) = kernel.transmit() {
                    prop_assert_eq!(Some(bytes), queued.pop_front());
                    sent.push_back(address);
                },
                Step::Complete => if let Some(address) = sent.pop_front() {
                    kernel.complete(address);
                },
                Step::Reclaim => { tx.reclaim(); }
                Step::Commit => {
                    rx.commit();
                    tx.commit();
                }
            }
            prop_assert_eq!(rx.outstanding(), held.len());
            prop_assert!(tx.pending() <= tx_frames as usize);
        }
        tx.commit();
        sent.into_iter().for_each(|address| kernel.complete(address));
        while let Some((address, _)) = kernel.transmit() {
            kernel.complete(address);
        }
        tx.reclaim();
        prop_assert_eq!(tx.pending(), 0);
        held.into_iter().for_each(|(frame, _)| rx.recycle(frame));
        while let Some(frame) = rx.next() {
            rx.recycle(frame);
        }
        rx.commit();
        let mut chunks: Vec<u64> = std::iter::from_fn(|| kernel.fill.pop()).collect();
        chunks.sort_unstable();
        let all: Vec<u64> = (0..u64::from(rx_frames)).map(|chunk| chunk * 2048).collect();
        prop_assert_eq!(chunks, all);
        prop_assert_eq!(rx.counters().bad_descriptors, 0);
        prop_assert_eq!(tx.counters().bad_completions, 0);
    }
}

#[test]
fn wakeups_are_made_only_where_the_kernel_asks() {
    let (mut rx, mut tx, kernel) = open(2, 2);
    let (fill_flags, tx_flags) = kernel.flags();
    assert!(rx.wake().is_ok());
    assert_eq!(rx.counters().wakeups, 0);
    fill_flags.store(XDP_RING_NEED_WAKEUP, Ordering::Relaxed);
    assert!(rx.wake().is_ok());
    assert_eq!(rx.counters().wakeups, 1);

    assert_eq!(tx.send(60, |_| ()), Some(()));
    tx.commit();
    assert_eq!(tx.wake().ok(), Some(Wake::Done), "the flag is not set");
    tx_flags.store(XDP_RING_NEED_WAKEUP, Ordering::Relaxed);
    let Err(error) = tx.wake() else {
        panic!("the fake socket is connected to nothing")
    };
    assert!(
        error
            .to_string()
            .starts_with("send on the AF_XDP socket of queue 0 failed: ")
    );
    assert_eq!(tx.counters().wakeups, 1);
}

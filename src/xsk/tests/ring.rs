//! The ring cursor against an oracle, and between two threads.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use libxdp_sys::XDP_RING_NEED_WAKEUP;
use proptest::prelude::*;

use crate::xsk::fake::Ring;

#[derive(Clone, Copy, Debug)]
enum Step {
    Push(u32),
    CommitPushes,
    Pop(u32),
    CommitPops,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..20u32).prop_map(Step::Push),
        Just(Step::CommitPushes),
        (1..20u32).prop_map(Step::Pop),
        Just(Step::CommitPops),
    ]
}

/// Where a ring's entries are, by what was published when.
#[derive(Default)]
struct Oracle {
    /// Pushed and not yet published.
    pushed: VecDeque<u64>,
    /// Published and not yet popped.
    waiting: VecDeque<u64>,
    /// Popped and the slot not yet given back.
    popped: usize,
}

impl Oracle {
    fn used(&self) -> usize {
        self.pushed.len() + self.waiting.len() + self.popped
    }
}

proptest! {
    #[test]
    fn a_ring_is_a_bounded_queue(
        size in (0..6u32).prop_map(|bits| 1 << bits),
        start in prop_oneof![any::<u32>(), (u32::MAX - 40)..=u32::MAX, Just(0)],
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let ring = Ring::new(size, start, 0u64);
        // SAFETY: the ring outlives its ends, which are made once.
        let (mut producer, mut consumer) = unsafe { ring.ends() };
        let mut oracle = Oracle::default();
        let mut value = 0;
        for step in steps {
            match step {
                Step::Push(count) => for _ in 0..count {
                    let fits = oracle.used() < size as usize;
                    prop_assert_eq!(producer.push(value), fits);
                    if fits {
                        oracle.pushed.push_back(value);
                        value += 1;
                    }
                },
                Step::CommitPushes => {
                    producer.commit();
                    oracle.waiting.append(&mut oracle.pushed);
                }
                Step::Pop(count) => for _ in 0..count {
                    let expected = oracle.waiting.pop_front();
                    oracle.popped += usize::from(expected.is_some());
                    prop_assert_eq!(consumer.pop(), expected);
                },
                Step::CommitPops => {
                    consumer.commit();
                    oracle.popped = 0;
                }
            }
            prop_assert_eq!(consumer.available(u32::MAX) as usize, oracle.waiting.len());
            prop_assert_eq!(producer.available(u32::MAX) as usize, size as usize - oracle.used());
            prop_assert_eq!(producer.drained(), oracle.waiting.is_empty() && oracle.popped == 0);
        }
    }
}

#[test]
fn two_threads_pass_everything_in_order() {
    const ENTRIES: u64 = 200_000;
    let ring = Ring::new(64, u32::MAX - 1000, 0u64);
    // SAFETY: the ring outlives its ends, which are made once.
    let (mut producer, mut consumer) = unsafe { ring.ends() };
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut next = 0;
            while next < ENTRIES {
                while next < ENTRIES && producer.push(next) {
                    next += 1;
                }
                producer.commit();
                std::thread::yield_now();
            }
        });
        let mut expected = 0;
        while expected < ENTRIES {
            while let Some(entry) = consumer.pop() {
                assert_eq!(entry, expected);
                expected += 1;
            }
            consumer.commit();
            std::thread::yield_now();
        }
        assert_eq!(consumer.pop(), None);
    });
}

#[test]
fn the_peer_index_is_read_only_when_needed() {
    let ring = Ring::new(8, 0, 0u64);
    // SAFETY: the ring outlives its ends, which are made once.
    let (mut producer, mut consumer) = unsafe { ring.ends() };
    producer.push(1);
    producer.commit();
    assert_eq!(consumer.available(1), 1);
    producer.push(2);
    producer.commit();
    assert_eq!(
        consumer.available(1),
        1,
        "one entry suffices, so the index was not read"
    );
    assert_eq!(consumer.available(2), 2);
}

#[test]
fn a_peer_index_without_sense_gives_no_more_than_the_ring_holds() {
    let ring = Ring::new(8, 0, 7u64);
    // SAFETY: the ring outlives its ends, which are made once.
    let (_, mut consumer) = unsafe { ring.ends() };
    ring.set_producer(1_000_000);
    assert_eq!(consumer.available(u32::MAX), 8);
}

#[test]
fn the_wakeup_flag_is_seen() {
    let ring = Ring::new(8, 0, 0u64);
    // SAFETY: the ring outlives its ends, which are made once.
    let (producer, _) = unsafe { ring.ends() };
    assert!(!producer.needs_wakeup());
    ring.flags.store(XDP_RING_NEED_WAKEUP, Ordering::Relaxed);
    assert!(producer.needs_wakeup());
}

//! The in-memory wire: the link that tests, fuzzers and benchmarks use instead
//! of AF_XDP.
//!
//! Two directions, each a queue of Ethernet frames with due times. What goes
//! wrong on real paths (loss, duplication, reordering, corruption, delay, slow
//! links with short queues, routers that swallow large frames) goes wrong here
//! from a seed, so that a failing run replays bit for bit: the same as between
//! the devices of the lab (testenv/relay). Room is bounded as a ring's is: a full
//! direction is not [`ready`](FrameSink::ready).

use crate::net::checksum;
use crate::net::{Duration, FrameSink, Instant};
use std::collections::BTreeMap;

/// Destination and source at the beginning of an Ethernet frame.
const LINK_ADDRESSES_BYTES: usize = 12;

/// What happens to frames, as probabilities, independently for each frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Impairments {
    /// The frame vanishes.
    pub loss: f64,
    /// And frames in a row do.
    pub bursts: Option<Bursts>,
    /// The frame arrives twice, each copy in its own time.
    pub duplicate: f64,
    /// The frame is held back by up to [`Impairments::hold`], and others pass it.
    pub reorder: f64,
    /// One bit of the frame is flipped: past the link's addresses, which no
    /// checksum but the link's own covers.
    pub corrupt: f64,
    /// Every frame's way takes this long,
    pub delay: Duration,
    /// and up to so much longer; the order is kept.
    pub jitter: Duration,
    /// The most that a reordered frame is held back.
    pub hold: Duration,
    /// What the narrowest link carries; frames stand in line for it. `None`: any
    /// amount.
    pub bytes_per_s: Option<u64>,
    /// Frames that would stand in line for longer are lost: that link's queue.
    pub longest_wait: Duration,
    /// A router swallows larger frames and says nothing. `None`: there is none.
    pub black_hole_bytes: Option<usize>,
}

/// Losses that come together (Gilbert 1960): the path is good or bad, and all that
/// comes while it is bad is lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bursts {
    /// With each frame it turns bad,
    pub begin: f64,
    /// or good again: on average after 1 / `end` frames.
    pub end: f64,
}

impl Impairments {
    /// A perfect wire with 50 µs each way.
    pub const NONE: Impairments = Impairments {
        loss: 0.0,
        bursts: None,
        duplicate: 0.0,
        reorder: 0.0,
        corrupt: 0.0,
        delay: Duration::from_micros(50),
        jitter: Duration::ZERO,
        hold: Duration::from_micros(500),
        bytes_per_s: None,
        longest_wait: Duration::from_secs(1),
        black_hole_bytes: None,
    };
}

/// What became of the frames of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Given to the wire by the sender.
    pub sent: u64,
    /// Made by the wire.
    pub duplicated: u64,
    /// Handed to the receiver.
    pub delivered: u64,
    /// Thrown away by the wire.
    pub lost: u64,
}

/// One direction of a wire.
pub struct Direction {
    impairments: Impairments,
    capacity_frames: usize,
    largest_frame_bytes: usize,
    in_flight: BTreeMap<(Instant, u64), Vec<u8>>,
    random: SplitMix,
    sequence: u64,
    /// When the narrowest link will have sent all that it has taken.
    free_at: Instant,
    /// When the last frame arrives of those that keep their order.
    last_due: Instant,
    is_bad: bool,
    is_cut: bool,
    finishes_checksums: bool,
    /// What became of the frames so far.
    pub tally: Tally,
}

impl Direction {
    /// A direction that holds at most `capacity_frames` of `largest_frame_bytes`.
    pub fn new(
        impairments: Impairments,
        capacity_frames: usize,
        largest_frame_bytes: usize,
        seed: u64,
    ) -> Direction {
        Direction {
            impairments,
            capacity_frames,
            largest_frame_bytes,
            in_flight: BTreeMap::new(),
            random: SplitMix(seed),
            sequence: 0,
            free_at: Instant::ZERO,
            last_due: Instant::ZERO,
            is_bad: false,
            is_cut: false,
            finishes_checksums: false,
            tally: Tally::default(),
        }
    }

    /// The same, sent to by a device that finishes checksums.
    pub fn finishing_checksums(self) -> Direction {
        Direction {
            finishes_checksums: true,
            ..self
        }
    }

    /// The sending end, for frames sent at `now`.
    pub fn sender(&mut self, now: Instant) -> Sender<'_> {
        Sender {
            direction: self,
            frame: Vec::new(),
            now,
        }
    }

    /// The next frame that has arrived by `now`.
    pub fn deliver(&mut self, now: Instant) -> Option<Vec<u8>> {
        let entry = self.in_flight.first_entry()?;
        if entry.key().0 > now {
            return None;
        }
        self.tally.delivered += 1;
        Some(entry.remove())
    }

    /// When the next frame arrives.
    pub fn next_at(&self) -> Option<Instant> {
        self.in_flight.first_key_value().map(|((due, _), _)| *due)
    }

    /// Frames under way.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Changes what happens to the frames sent from now on.
    pub fn impair(&mut self, impairments: Impairments) {
        self.impairments = impairments;
    }

    /// Partitions: what is under way is lost, and so is all that is sent until
    /// [`mend`](Direction::mend).
    pub fn cut(&mut self) {
        self.is_cut = true;
        self.tally.lost += self.in_flight.len() as u64;
        self.in_flight.clear();
    }

    /// Heals a [`cut`](Direction::cut).
    pub fn mend(&mut self) {
        self.is_cut = false;
    }

    /// Takes a frame: the narrowest link first, then the long way, on which the rest
    /// happens.
    fn accept(&mut self, mut frame: Vec<u8>, now: Instant) {
        self.tally.sent += 1;
        let Some(left_at) = self.pass_bottleneck(frame.len(), now) else {
            self.tally.lost += 1;
            return;
        };
        let Impairments {
            loss,
            duplicate,
            corrupt,
            ..
        } = self.impairments;
        let [is_lost, is_doubled, is_corrupt] =
            [loss, duplicate, corrupt].map(|share| self.random.chance(share));
        if self.is_in_burst() || is_lost {
            self.tally.lost += 1;
            return;
        }
        if is_corrupt && !frame.is_empty() {
            let spared = LINK_ADDRESSES_BYTES.min(frame.len() - 1);
            let bit = self.random.next_u64() as usize % ((frame.len() - spared) * 8);
            frame[spared + bit / 8] ^= 1 << (bit % 8);
        }
        if is_doubled {
            self.tally.duplicated += 1;
            self.push(frame.clone(), left_at);
        }
        self.push(frame, left_at);
    }

    /// When a frame that came `now` has passed; `None`: it doesn't.
    fn pass_bottleneck(&mut self, bytes: usize, now: Instant) -> Option<Instant> {
        let Impairments {
            bytes_per_s,
            longest_wait,
            black_hole_bytes,
            ..
        } = self.impairments;
        let is_swallowed = black_hole_bytes.is_some_and(|largest| bytes > largest);
        if self.is_cut || is_swallowed {
            return None;
        }
        let Some(rate) = bytes_per_s else {
            return Some(now);
        };
        if self.free_at > now + longest_wait {
            return None;
        }
        let takes_us = (bytes as u64 * 1_000_000).div_ceil(rate.max(1));
        self.free_at = self.free_at.max(now) + Duration::from_micros(takes_us);
        Some(self.free_at)
    }

    /// Whether the path is bad for the next frame.
    fn is_in_burst(&mut self) -> bool {
        if let Some(Bursts { begin, end }) = self.impairments.bursts {
            let turns = self.random.chance(if self.is_bad { end } else { begin });
            self.is_bad ^= turns;
        } else {
            self.is_bad = false;
        }
        self.is_bad
    }

    /// Brings a frame on its way that has passed the narrowest link at `left_at`.
    fn push(&mut self, frame: Vec<u8>, left_at: Instant) {
        let Impairments {
            reorder,
            delay,
            jitter,
            hold,
            ..
        } = self.impairments;
        let is_held = self.random.chance(reorder);
        let mut due = left_at + delay + self.up_to(jitter);
        if is_held {
            due += self.up_to(hold);
        } else {
            due = due.max(self.last_due);
            self.last_due = due;
        }
        self.sequence += 1;
        self.in_flight.insert((due, self.sequence), frame);
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.random.next_u64() % (most.total_micros() + 1))
    }
}

/// The sending end of a [`Direction`] at one moment.
pub struct Sender<'a> {
    direction: &'a mut Direction,
    frame: Vec<u8>,
    now: Instant,
}

impl FrameSink for Sender<'_> {
    fn ready(&mut self) -> bool {
        self.direction.in_flight.len() < self.direction.capacity_frames
    }

    fn reserve(&mut self, len_bytes: usize) -> Option<&mut [u8]> {
        if !self.ready() || len_bytes > self.direction.largest_frame_bytes {
            return None;
        }
        // Not zeroed, as a reused UMEM frame is not.
        self.frame = vec![0xa5; len_bytes];
        Some(&mut self.frame)
    }

    fn submit(&mut self, _len_bytes: usize) {
        let mut frame = std::mem::take(&mut self.frame);
        if self.direction.finishes_checksums {
            checksum::finish(&mut frame);
        }
        self.direction.accept(frame, self.now);
    }

    fn finishes_checksums(&self) -> bool {
        self.direction.finishes_checksums
    }
}

impl Sender<'_> {
    /// The frame that was reserved and not yet submitted.
    pub fn reserved(&self) -> &[u8] {
        &self.frame
    }

    /// What became of the frames so far.
    pub fn tally(&self) -> Tally {
        self.direction.tally
    }

    /// Sends a copy of `frame`; false when there is no room for it.
    pub fn send(&mut self, frame: &[u8]) -> bool {
        let Some(bytes) = self.reserve(frame.len()) else {
            return false;
        };
        bytes.copy_from_slice(frame);
        self.submit(frame.len());
        true
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, seedable, good enough to choose
/// which frames suffer.
#[derive(Clone, Debug)]
pub struct SplitMix(pub u64);

impl SplitMix {
    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        ((self.next_u64() >> 11) as f64) < probability * (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(impairments: Impairments, seed: u64) -> (Vec<Vec<u8>>, Tally) {
        let mut wire = Direction::new(impairments, 10_000, 64, seed);
        for number in 0..1_000u32 {
            let at = Instant::from_micros(i64::from(number));
            assert!(wire.sender(at).send(&number.to_be_bytes()));
        }
        let end = Instant::from_secs(1);
        let arrived = std::iter::from_fn(|| wire.deliver(end)).collect();
        assert_eq!(wire.in_flight(), 0);
        (arrived, wire.tally)
    }

    #[test]
    fn a_perfect_wire_keeps_order_and_bytes() {
        let (arrived, tally) = run(Impairments::NONE, 1);
        let want: Vec<Vec<u8>> = (0..1_000u32).map(|n| n.to_be_bytes().to_vec()).collect();
        assert_eq!(arrived, want);
        assert_eq!(
            tally,
            Tally {
                sent: 1_000,
                duplicated: 0,
                delivered: 1_000,
                lost: 0
            }
        );
    }

    #[test]
    fn impairments_happen_about_as_often_as_asked_and_replay_from_the_seed() {
        let bad = Impairments {
            loss: 0.1,
            duplicate: 0.05,
            reorder: 0.2,
            corrupt: 0.05,
            ..Impairments::NONE
        };
        let (arrived, tally) = run(bad, 7);
        assert_eq!(run(bad, 7), (arrived.clone(), tally));
        assert_ne!(run(bad, 8).0, arrived);
        assert!((60..160).contains(&tally.lost), "{tally:?}");
        assert!((20..90).contains(&tally.duplicated), "{tally:?}");
        assert_eq!(tally.sent + tally.duplicated, tally.delivered + tally.lost);
        assert!(!arrived.is_sorted());
    }

    #[test]
    fn a_full_direction_is_not_ready_and_a_large_frame_not_carried() {
        let mut wire = Direction::new(Impairments::NONE, 1, 64, 1);
        let mut sender = wire.sender(Instant::ZERO);
        assert!(!sender.send(&[0; 65]));
        assert!(sender.send(&[0; 64]));
        assert!(!sender.ready());
        assert!(!sender.send(&[0]));
    }

    #[test]
    fn a_cut_loses_what_is_under_way_and_what_is_sent_until_it_is_mended() {
        let mut wire = Direction::new(Impairments::NONE, 10, 64, 1);
        assert!(wire.sender(Instant::ZERO).send(&[1]));
        wire.cut();
        assert!(wire.sender(Instant::ZERO).send(&[2]));
        wire.mend();
        assert!(wire.sender(Instant::ZERO).send(&[3]));
        assert_eq!(wire.deliver(Instant::from_secs(1)), Some(vec![3]));
        assert_eq!(wire.deliver(Instant::from_secs(1)), None);
        assert_eq!((wire.tally.lost, wire.tally.delivered), (2, 1));
    }

    #[test]
    fn a_rate_makes_frames_stand_in_line() {
        let slow = Impairments {
            bytes_per_s: Some(1_000_000),
            delay: Duration::ZERO,
            ..Impairments::NONE
        };
        let mut wire = Direction::new(slow, 10, 64, 1);
        for _ in 0..3 {
            assert!(wire.sender(Instant::ZERO).send(&[0; 50]));
        }
        for us in [50, 100, 150] {
            assert_eq!(wire.next_at(), Some(Instant::from_micros(us)));
            assert!(wire.deliver(Instant::from_micros(us)).is_some());
        }
    }

    #[test]
    fn a_queue_drops_what_would_wait_too_long() {
        // 100 bytes take 100 µs; 250 µs of queue hold what comes within 250 µs.
        let slow = Impairments {
            bytes_per_s: Some(1_000_000),
            longest_wait: Duration::from_micros(250),
            ..Impairments::NONE
        };
        let mut wire = Direction::new(slow, 100, 100, 1);
        for _ in 0..10 {
            assert!(wire.sender(Instant::ZERO).send(&[0; 100]));
        }
        assert_eq!((wire.in_flight(), wire.tally.lost), (3, 7));
    }

    #[test]
    fn jitter_lengthens_the_way_and_keeps_the_order() {
        let shaky = Impairments {
            jitter: Duration::from_millis(50),
            ..Impairments::NONE
        };
        let (arrived, tally) = run(shaky, 5);
        assert!(arrived.is_sorted());
        assert_eq!((arrived.len(), tally.lost), (1_000, 0));
        let mut wire = Direction::new(shaky, 10, 64, 5);
        assert!(wire.sender(Instant::ZERO).send(&[0]));
        let (least, most) = (Instant::from_micros(51), Instant::from_micros(50_050));
        assert!(
            wire.next_at()
                .is_some_and(|at| (least..=most).contains(&at))
        );
    }

    #[test]
    fn losses_come_in_bursts() {
        let bursts = Some(Bursts {
            begin: 0.02,
            end: 0.25,
        });
        let (arrived, tally) = run(
            Impairments {
                bursts,
                ..Impairments::NONE
            },
            3,
        );
        let number = |frame: &Vec<u8>| u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
        let gaps: Vec<u32> = arrived
            .windows(2)
            .map(|pair| number(&pair[1]) - number(&pair[0]) - 1)
            .filter(|&gap| gap > 0)
            .collect();
        let mean = gaps.iter().sum::<u32>() as f64 / gaps.len() as f64;
        assert!((2.5..6.0).contains(&mean), "{mean} of {gaps:?}");
        assert!((30..150).contains(&tally.lost), "{tally:?}");
    }

    #[test]
    fn a_black_hole_swallows_large_frames_only() {
        let hole = Impairments {
            black_hole_bytes: Some(50),
            ..Impairments::NONE
        };
        let mut wire = Direction::new(hole, 10, 64, 1);
        for bytes in [50, 51, 64] {
            assert!(wire.sender(Instant::ZERO).send(&vec![1; bytes]));
        }
        assert_eq!(wire.deliver(Instant::from_secs(1)), Some(vec![1; 50]));
        assert_eq!((wire.in_flight(), wire.tally.lost), (0, 2));
    }

    #[test]
    fn corruption_spares_the_links_addresses() {
        let corrupt = Impairments {
            corrupt: 1.0,
            ..Impairments::NONE
        };
        let mut wire = Direction::new(corrupt, 1_000, 64, 3);
        for _ in 0..500 {
            assert!(wire.sender(Instant::ZERO).send(&[0; 20]));
        }
        while let Some(frame) = wire.deliver(Instant::from_secs(1)) {
            assert_eq!(frame[..12], [0; 12]);
            assert_ne!(frame[12..], [0; 8]);
        }
    }
}

//! One direction of the path: what happens to a frame between its arrival at
//! one port and its departure at the other. No sockets and no clock here: times
//! are given, as time since the relay's start.

use fastrand::Rng;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fmt;
use std::time::Duration;

/// Destination and source at the beginning of an Ethernet frame.
const LINK_ADDRESSES_BYTES: usize = 12;
/// The type that follows them.
const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
/// Memory that frames under way may take: more than a second of 1 Gbit/s.
const MOST_UNDER_WAY_BYTES: usize = 256 << 20;
const NS_PER_S: u128 = 1_000_000_000;

/// What happens to frames. Shares are probabilities, drawn for each frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Impairments {
    /// Every frame's way takes this long,
    pub delay: Duration,
    /// and up to so much longer; the order is kept.
    pub jitter: Duration,
    /// The frame vanishes.
    pub loss: f64,
    /// The frame is held back and others pass it,
    pub reorder: f64,
    /// by up to this time.
    pub hold: Duration,
    /// The frame arrives twice.
    pub duplicate: f64,
    /// One bit of the frame is flipped.
    pub corrupt: f64,
    /// The narrowest link of the path.
    pub bottleneck: Option<Bottleneck>,
}

/// A link of limited rate and the queue before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bottleneck {
    /// What it carries, counting frames from their link addresses on.
    pub bits_per_s: u64,
    /// A frame that would wait longer for its turn is dropped.
    pub longest_wait: Duration,
}

impl Bottleneck {
    /// How long the link takes to send so many bytes.
    pub fn sends_in(&self, bytes: u64) -> Duration {
        let ns = (u128::from(bytes) * 8 * NS_PER_S).div_ceil(u128::from(self.bits_per_s.max(1)));
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }
}

/// What became of the frames of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Frames that came.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames that were lost at random.
    pub lost: u64,
    /// Frames that went out twice.
    pub duplicated: u64,
    /// Frames that were held back.
    pub reordered: u64,
    /// Frames with a flipped bit.
    pub corrupted: u64,
    /// Frames for which the queue had no room.
    pub queue_drops: u64,
    /// Frames that the port at the far end did not take: too large for it, or no room.
    pub refused: u64,
    /// The longest time by which a frame left later than it should have.
    pub latest: Duration,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "frames={} bytes={} lost={} duplicated={} reordered={} corrupted={} queue_drops={} refused={} latest_us={}",
            self.frames,
            self.bytes,
            self.lost,
            self.duplicated,
            self.reordered,
            self.corrupted,
            self.queue_drops,
            self.refused,
            self.latest.as_micros()
        )
    }
}

/// The frames under way in one direction.
pub struct Direction {
    impairments: Impairments,
    random: Rng,
    under_way: BinaryHeap<UnderWay>,
    under_way_bytes: usize,
    sequence: u64,
    /// When the bottleneck will have sent all that it has taken.
    free_at: Duration,
    /// When the last frame arrives of those that keep their order.
    last_due: Duration,
    /// What became of the frames so far.
    pub tally: Tally,
}

impl Direction {
    /// A direction with nothing under way, whose random choices follow from `seed`.
    pub fn new(impairments: Impairments, seed: u64) -> Direction {
        Direction {
            impairments,
            random: Rng::with_seed(seed),
            under_way: BinaryHeap::new(),
            under_way_bytes: 0,
            sequence: 0,
            free_at: Duration::ZERO,
            last_due: Duration::ZERO,
            tally: Tally::default(),
        }
    }

    /// Takes a frame that came at `now`: the queue and the bottleneck first, then
    /// the long way, on which the rest happens.
    pub fn accept(&mut self, frame: &[u8], now: Duration) {
        self.tally.frames += 1;
        self.tally.bytes += frame.len() as u64;
        let Some(sent_at) = self.pass_bottleneck(frame.len(), now) else {
            self.tally.queue_drops += 1;
            return;
        };
        // All four are drawn for every frame, so that one share doesn't change
        // which frames another one hits.
        let Impairments {
            loss,
            reorder,
            duplicate,
            corrupt,
            ..
        } = self.impairments;
        let [is_lost, is_held, is_doubled, is_corrupt] =
            [loss, reorder, duplicate, corrupt].map(|share| self.random.f64() < share);
        if is_lost {
            self.tally.lost += 1;
            return;
        }
        let mut frame = frame.to_vec();
        if is_corrupt && is_checked(&frame) {
            self.tally.corrupted += 1;
            self.flip_bit(&mut frame);
        }
        let due = self.arrival(sent_at, is_held);
        if is_doubled {
            self.tally.duplicated += 1;
            self.push(frame.clone(), due);
        }
        self.push(frame, due);
    }

    /// When the bottleneck will have sent a frame that came at `now`; `None` if
    /// there is no room for it.
    fn pass_bottleneck(&mut self, bytes: usize, now: Duration) -> Option<Duration> {
        if self.under_way_bytes + bytes > MOST_UNDER_WAY_BYTES {
            return None;
        }
        let Some(bottleneck) = self.impairments.bottleneck else {
            return Some(now);
        };
        if self.free_at.saturating_sub(now) > bottleneck.longest_wait {
            return None;
        }
        self.free_at = self.free_at.max(now) + bottleneck.sends_in(bytes as u64);
        Some(self.free_at)
    }

    /// When a frame is at the far end that the bottleneck sent at `sent_at`.
    fn arrival(&mut self, sent_at: Duration, is_held: bool) -> Duration {
        let Impairments {
            delay,
            jitter,
            hold,
            ..
        } = self.impairments;
        let due = sent_at + delay + self.up_to(jitter);
        if is_held {
            self.tally.reordered += 1;
            return due + self.up_to(hold);
        }
        self.last_due = self.last_due.max(due);
        self.last_due
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        if most.is_zero() {
            return most;
        }
        most.mul_f64(self.random.f64())
    }

    /// Flips a bit past the link addresses, which no checksum but the link's own
    /// covers.
    fn flip_bit(&mut self, frame: &mut [u8]) {
        let bits = frame.len().saturating_sub(LINK_ADDRESSES_BYTES) * 8;
        if bits > 0 {
            let bit = self.random.usize(..bits);
            frame[LINK_ADDRESSES_BYTES + bit / 8] ^= 1 << (bit % 8);
        }
    }

    fn push(&mut self, frame: Vec<u8>, due: Duration) {
        self.sequence += 1;
        self.under_way_bytes += frame.len();
        self.under_way.push(UnderWay {
            due,
            sequence: self.sequence,
            frame,
        });
    }

    /// When the next frame leaves.
    pub fn next_at(&self) -> Option<Duration> {
        self.under_way.peek().map(|next| next.due)
    }

    /// The next frame that is due by `now`.
    pub fn release(&mut self, now: Duration) -> Option<Vec<u8>> {
        let late = now.checked_sub(self.next_at()?)?;
        self.tally.latest = self.tally.latest.max(late);
        let frame = self.under_way.pop()?.frame;
        self.under_way_bytes -= frame.len();
        Some(frame)
    }
}

/// Whether a flipped bit would be noticed: ARP has no checksum, and a wrong
/// address learned from it would cut the ends off for a minute. A real link's
/// own checksum would not let it through.
fn is_checked(frame: &[u8]) -> bool {
    !frame
        .get(LINK_ADDRESSES_BYTES..)
        .is_some_and(|rest| rest.starts_with(&ETHERTYPE_ARP))
}

/// A frame and when it leaves; the greatest is the first to leave.
struct UnderWay {
    due: Duration,
    /// Frames due at one time leave in the order in which they came.
    sequence: u64,
    frame: Vec<u8>,
}

impl Ord for UnderWay {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.sequence).cmp(&(self.due, self.sequence))
    }
}

impl PartialOrd for UnderWay {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for UnderWay {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for UnderWay {}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// What comes out of a direction, with times, when frames of `bytes` bytes
    /// that carry their number go in every `gap`.
    fn run(
        impairments: Impairments,
        seed: u64,
        frames: u32,
        bytes: usize,
        gap: Duration,
    ) -> (Vec<(Duration, Vec<u8>)>, Tally) {
        let mut direction = Direction::new(impairments, seed);
        for number in 0..frames {
            let mut frame = vec![0; bytes];
            frame[LINK_ADDRESSES_BYTES..][..4].copy_from_slice(&number.to_be_bytes());
            direction.accept(&frame, gap * number);
        }
        let mut out = Vec::new();
        while let Some(at) = direction.next_at() {
            out.push((at, direction.release(at).expect("due now")));
        }
        assert_eq!(direction.under_way_bytes, 0);
        (out, direction.tally)
    }

    fn number(frame: &[u8]) -> u32 {
        u32::from_be_bytes(
            frame[LINK_ADDRESSES_BYTES..][..4]
                .try_into()
                .expect("4 bytes"),
        )
    }

    #[test]
    fn without_impairments_frames_pass_unchanged_at_once_and_in_order() {
        let (out, tally) = run(Impairments::default(), 1, 1_000, 60, MS);
        for (want, (at, frame)) in (0..).zip(&out) {
            assert_eq!((number(frame), *at), (want, MS * want));
        }
        assert_eq!(
            tally,
            Tally {
                frames: 1_000,
                bytes: 60_000,
                ..Tally::default()
            }
        );
    }

    #[test]
    fn delay_is_exact_and_nothing_leaves_early() {
        let delay = 25 * MS;
        let mut direction = Direction::new(
            Impairments {
                delay,
                ..Impairments::default()
            },
            1,
        );
        direction.accept(&[1; 60], MS);
        assert_eq!(direction.next_at(), Some(26 * MS));
        assert_eq!(direction.release(26 * MS - Duration::from_nanos(1)), None);
        assert_eq!(direction.release(27 * MS), Some(vec![1; 60]));
        assert_eq!(direction.tally.latest, MS);
    }

    #[test]
    fn jitter_lengthens_the_way_and_keeps_the_order() {
        let impairments = Impairments {
            delay: 10 * MS,
            jitter: 5 * MS,
            ..Impairments::default()
        };
        let (out, _) = run(impairments, 1, 1_000, 60, MS);
        for (want, (at, frame)) in (0..).zip(&out) {
            let took = *at - MS * want;
            assert_eq!(number(frame), want);
            assert!((10 * MS..=15 * MS).contains(&took), "{took:?}");
        }
        assert!(
            out.iter()
                .any(|(at, frame)| *at - MS * number(frame) > 14 * MS)
        );
    }

    #[test]
    fn shares_are_about_as_asked_and_replay_from_the_seed() {
        let impairments = Impairments {
            loss: 0.10,
            reorder: 0.20,
            hold: 5 * MS,
            duplicate: 0.05,
            corrupt: 0.02,
            ..Impairments::default()
        };
        let (out, tally) = run(impairments, 7, 10_000, 60, MS);
        assert_eq!(run(impairments, 7, 10_000, 60, MS), (out.clone(), tally));
        assert_ne!(run(impairments, 8, 10_000, 60, MS).0, out);
        assert!((900..1_100).contains(&tally.lost), "{tally}");
        assert!((1_650..1_950).contains(&tally.reordered), "{tally}");
        assert!((380..520).contains(&tally.duplicated), "{tally}");
        assert!((140..220).contains(&tally.corrupted), "{tally}");
        assert_eq!(
            out.len() as u64,
            tally.frames - tally.lost + tally.duplicated
        );
    }

    #[test]
    fn frames_that_are_held_back_are_passed_and_others_are_not() {
        let impairments = Impairments {
            reorder: 0.1,
            hold: 5 * MS,
            ..Impairments::default()
        };
        let (out, tally) = run(impairments, 3, 1_000, 60, MS);
        let late = out
            .iter()
            .filter(|(at, frame)| *at != MS * number(frame))
            .count();
        assert_eq!(late as u64, tally.reordered);
        assert!(
            out.iter()
                .all(|(at, frame)| *at - MS * number(frame) <= 5 * MS)
        );
        assert!(!out.is_sorted_by_key(|(_, frame)| number(frame)));
    }

    #[test]
    fn one_share_does_not_change_which_frames_another_hits() {
        let loss = Impairments {
            loss: 0.1,
            ..Impairments::default()
        };
        let both = Impairments {
            reorder: 0.3,
            ..loss
        };
        let lost = |impairments| {
            let mut seen = [false; 1_000];
            for (_, frame) in run(impairments, 5, 1_000, 60, MS).0 {
                seen[number(&frame) as usize] = true;
            }
            seen
        };
        assert_eq!(lost(loss), lost(both));
    }

    #[test]
    fn corruption_flips_one_bit_past_the_addresses() {
        let impairments = Impairments {
            corrupt: 1.0,
            ..Impairments::default()
        };
        let mut direction = Direction::new(impairments, 1);
        for _ in 0..1_000 {
            direction.accept(&[0; 60], Duration::ZERO);
            let frame = direction.release(Duration::ZERO).expect("due at once");
            assert_eq!(frame.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
            assert_eq!(frame[..LINK_ADDRESSES_BYTES], [0; LINK_ADDRESSES_BYTES]);
        }
        // Too short for a bit to flip, and ARP.
        let mut arp = [0; 42];
        arp[LINK_ADDRESSES_BYTES..][..2].copy_from_slice(&ETHERTYPE_ARP);
        for frame in [&[0; 12][..], &arp] {
            direction.accept(frame, Duration::ZERO);
            assert_eq!(direction.release(Duration::ZERO).as_deref(), Some(frame));
        }
    }

    #[test]
    fn the_bottleneck_spaces_frames_and_drops_what_would_wait_too_long() {
        // 1,000 bytes take 8 ms; 20 ms of queue hold what comes within 20 ms.
        let bottleneck = Bottleneck {
            bits_per_s: 1_000_000,
            longest_wait: 20 * MS,
        };
        let impairments = Impairments {
            bottleneck: Some(bottleneck),
            delay: 100 * MS,
            ..Impairments::default()
        };
        let (out, tally) = run(impairments, 1, 10, 1_000, Duration::ZERO);
        let times: Vec<Duration> = out.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [108 * MS, 116 * MS, 124 * MS]);
        assert_eq!((tally.frames, tally.queue_drops), (10, 7));
        // As fast as it can: nothing waits, nothing is dropped.
        let (out, tally) = run(impairments, 1, 10, 1_000, 8 * MS);
        assert_eq!((out.len(), tally.queue_drops), (10, 0));
    }

    #[test]
    fn what_is_under_way_is_bounded() {
        let mut direction = Direction::new(
            Impairments {
                delay: 10 * MS,
                ..Impairments::default()
            },
            1,
        );
        let frame = vec![0; 1 << 20];
        for _ in 0..300 {
            direction.accept(&frame, Duration::ZERO);
        }
        assert_eq!(direction.tally.queue_drops, 300 - 256);
    }
}

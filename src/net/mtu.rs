//! Path MTU: how large packets may be, found out from what does not arrive.
//!
//! Packets leave as large as the device and the peer allow, and nobody may
//! fragment them (DF). A router whose next link is smaller says so by ICMP, or not
//! at all (RFC 2923 §2.1); here it is all one, for ICMP is the kernel's, which has
//! no socket of ours to tell. So a connection finds out by itself, in the style of
//! RFC 4821 §7.7 and RFC 8899 §4.2: when the retransmission timer runs out several
//! times in a row for a segment that would be smaller one step down, and none so
//! large arrives meanwhile, then packets fall to 1280 bytes, the least
//! that every IPv6 link carries and so most tunnels, and from there to 576. What is
//! in flight is cut into pieces and sent again.
//!
//! Linux (`tcp_mtu_probing=1`) waits for three retransmissions and for 3 s at least,
//! falls to 1024 bytes of text, halves them at each further time-out and then
//! searches upwards. Here two time-outs will do, 0.6 s on a short path, for a fall that
//! proves wrong costs little: of the same text one packet in six more. When segments
//! so large have arrived before it takes four, for then chance is the likelier cause:
//! with three, one of twenty transfers of 400 kB over a path that loses a tenth fell.
//! The timer doubles all along, so that 576 bytes are reached after 3 s at least; one
//! time-out more for that step, against outages, which look the same, and a path of a
//! third of a second reached it after the connection was given up. A segment that only
//! the last fall makes smaller asks for both at once, after four time-outs.
//!
//! There is no way up again but a new connection. A larger packet tried is one that
//! may be lost, which congestion control must not be told, and that with timers and
//! state of its own; a path hardly widens in a connection's life; and a sixth more
//! packets is all that there is to win.

use super::options::Peer;

/// IP and TCP header without options, bytes.
const HEADERS_BYTES: usize = 40;
/// The timestamps option, with its two NOPs.
pub const TIMESTAMPS_BYTES: u16 = 12;

/// The IP packets, bytes, that connections fall to; the least is what every host takes
/// (RFC 791). See the [module](self).
const STEPS_BYTES: [usize; 2] = [1280, 576];

/// Time-outs in a row that a fall takes.
const PATIENCE: u8 = 2;

/// So many more when segments of that size have arrived before, or when the next fall
/// makes nothing of it smaller.
const DOUBT: u8 = 2;

/// How many sizes of packets there are: the device's, and those below it.
pub const SIZES: usize = STEPS_BYTES.len() + 1;

/// The largest IP packets, bytes, of connections by their [`Mss::step`].
pub fn packet_sizes(mtu_bytes: usize) -> [usize; SIZES] {
    std::array::from_fn(|step| match step {
        0 => mtu_bytes,
        _ => STEPS_BYTES[step - 1].min(mtu_bytes),
    })
}

/// The MSS that peers are offered by a device of `mtu_bytes` (RFC 9293 §3.7.1:
/// options are not counted off).
pub fn offered_mss(mtu_bytes: usize) -> u16 {
    mtu_bytes.saturating_sub(HEADERS_BYTES).min(u16::MAX.into()) as u16
}

/// Payload of a connection's full segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mss {
    bytes: u16,
    options_bytes: u8,
    step: u8,
}

impl Mss {
    /// The payload that a device of `mtu_bytes` and `peer` allow.
    pub fn new(mtu_bytes: usize, peer: &Peer) -> Mss {
        let options_bytes = if peer.timestamps { TIMESTAMPS_BYTES } else { 0 };
        let most = offered_mss(mtu_bytes).min(peer.mss);
        Mss {
            bytes: most.saturating_sub(options_bytes).max(1),
            options_bytes: options_bytes as u8,
            step: 0,
        }
    }

    /// Bytes.
    pub fn bytes(&self) -> u16 {
        self.bytes
    }

    /// Which of the [`packet_sizes`] its packets keep to.
    pub fn step(&self) -> usize {
        self.step.into()
    }

    /// The first step down that makes segments smaller, as they would be then.
    fn next(&self) -> Option<Mss> {
        (self.step()..STEPS_BYTES.len()).find_map(|index| {
            let text_bytes = offered_mss(STEPS_BYTES[index]);
            let bytes = text_bytes - u16::from(self.options_bytes);
            (bytes < self.bytes).then_some(Mss {
                bytes,
                step: index as u8 + 1,
                ..*self
            })
        })
    }

    /// The last step down.
    fn least(&self) -> Mss {
        let mut least = *self;
        while least.fall() {}
        least
    }

    /// Goes one step down; false if there is none.
    fn fall(&mut self) -> bool {
        let next = self.next();
        *self = next.unwrap_or(*self);
        next.is_some()
    }

    /// Goes down to where a segment of `bytes` is too large; false if there is no such
    /// step.
    pub fn fall_below(&mut self, bytes: u32) -> bool {
        let mut below = *self;
        while u32::from(below.bytes) >= bytes {
            if !below.fall() {
                return false;
            }
        }
        let is_lower = below != *self;
        *self = below;
        is_lower
    }
}

/// Whether a path swallows large segments.
#[derive(Clone, Copy, Debug)]
pub struct BlackHole {
    /// Larger segments, bytes, are those that a fall would make smaller.
    suspect_above: u32,
    /// Segments no larger than this stay as they are, however often it falls.
    least_bytes: u32,
    /// Time-outs in a row for a segment that a fall makes smaller, none so large having
    /// arrived.
    timeouts: u8,
    /// The largest one that has arrived, bytes.
    proven_bytes: u32,
}

impl BlackHole {
    /// What is never suspected, whatever happens.
    pub const NONE: BlackHole = BlackHole {
        suspect_above: u32::MAX,
        least_bytes: u32::MAX,
        timeouts: 0,
        proven_bytes: 0,
    };

    /// Nothing is known of the path for segments of `mss`.
    pub fn new(mss: &Mss) -> BlackHole {
        mss.next().map_or(BlackHole::NONE, |next| BlackHole {
            suspect_above: next.bytes.into(),
            least_bytes: mss.least().bytes.into(),
            ..BlackHole::NONE
        })
    }

    /// Segments have arrived, the largest of `bytes`.
    #[inline]
    pub fn on_delivered(&mut self, bytes: u32) {
        if bytes > self.suspect_above && bytes >= self.proven_bytes {
            self.proven_bytes = bytes;
            self.timeouts = 0;
        }
    }

    /// SND.UNA has moved: what times out next is something else.
    #[inline]
    pub fn on_progress(&mut self) {
        self.timeouts = 0;
    }

    /// The retransmission timer has run out, the first segment being of `bytes`:
    /// whether its size must be the reason.
    pub fn on_timeout(&mut self, bytes: u32) -> bool {
        if bytes <= self.least_bytes {
            return false;
        }
        self.timeouts = self.timeouts.saturating_add(1);
        // That a smaller one has arrived says nothing of this one.
        let is_doubtful = bytes <= self.proven_bytes || bytes <= self.suspect_above;
        let doubt = if is_doubtful { DOUBT } else { 0 };
        self.timeouts >= PATIENCE + doubt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(mss: u16, timestamps: bool) -> Peer {
        Peer {
            mss,
            window_shift: None,
            sack: false,
            timestamps,
        }
    }

    #[test]
    fn a_smaller_one_that_arrives_proves_nothing_for_a_larger() {
        for (arrived, is_soon) in [(0, true), (784, true), (1_240, false)] {
            let mut hole = BlackHole {
                suspect_above: 536,
                least_bytes: 536,
                ..BlackHole::NONE
            };
            hole.on_delivered(arrived);
            let said = [hole.on_timeout(1_240), hole.on_timeout(1_240)];
            assert_eq!(said, [false, is_soon], "{arrived} bytes arrived");
        }
    }

    #[test]
    fn a_segment_too_small_for_the_next_fall_asks_for_two() {
        let mut mss = Mss::new(1500, &peer(1460, false));
        for (bytes, want) in [(987, 536), (1_460, 1_240), (536, 1_460)] {
            let mut fallen = mss;
            let mut hole = BlackHole::new(&fallen);
            if (0..4).any(|_| hole.on_timeout(bytes)) {
                assert!(fallen.fall_below(bytes), "{bytes}");
            }
            assert_eq!(fallen.bytes(), want, "{bytes}");
        }
        assert!(!mss.fall_below(536) && mss.bytes() == 1_460);
    }

    #[test]
    fn segments_are_as_large_as_both_ends_allow() {
        for (mtu, mss, timestamps, want) in [
            (1500, 1460, false, 1460),
            (1500, 1460, true, 1448),
            (1500, 536, false, 536), // also what a SYN without the option stands for
            (1500, 536, true, 524),
            (1500, 8960, true, 1448),
            (9000, 8960, true, 8948),
            (9000, 1460, false, 1460),
            (1500, u16::MAX, false, 1460),
            (1500, 48, true, 36),
            (1500, 1, true, 1),
            (1500, 0, false, 1),
            (usize::MAX, u16::MAX, false, u16::MAX),
            (0, 1460, false, 1),
        ] {
            let got = Mss::new(mtu, &peer(mss, timestamps)).bytes();
            assert_eq!(got, want, "{mtu} {mss} {timestamps}");
        }
        for (mtu, want) in [(1500, 1460), (576, 536), (9000, 8960), (20, 0)] {
            assert_eq!(offered_mss(mtu), want, "{mtu}");
        }
    }

    #[test]
    fn falls_pass_over_what_makes_nothing_smaller() {
        for (mtu, mss, timestamps, want) in [
            (1500, 1460, false, &[(1240, 1), (536, 2)][..]),
            (1500, 1460, true, &[(1228, 1), (524, 2)]),
            (9000, 8960, true, &[(1228, 1), (524, 2)]),
            (1500, 1240, true, &[(524, 2)]),
            (1500, 1241, true, &[(1228, 1), (524, 2)]),
            (1280, 1460, false, &[(536, 2)]),
            (1000, 1460, false, &[(536, 2)]),
            (1500, 536, true, &[]),
            (576, 1460, true, &[]),
            (1500, 48, true, &[]),
        ] {
            let mut mss = Mss::new(mtu, &peer(mss, timestamps));
            let sizes = packet_sizes(mtu);
            let mut falls = Vec::new();
            while mss.fall() {
                assert!(usize::from(mss.bytes()) + 40 <= sizes[mss.step()]);
                falls.push((mss.bytes(), mss.step()));
            }
            assert_eq!(falls, want, "{mtu} {timestamps}");
        }
        assert_eq!(packet_sizes(1500), [1500, 1280, 576]);
        assert_eq!(packet_sizes(1000), [1000, 1000, 576]);
        assert_eq!(packet_sizes(300), [300, 300, 300]);
    }

    #[test]
    fn time_outs_in_a_row_for_large_segments_decide() {
        #[derive(Clone, Copy)]
        enum Event {
            Out(u32, bool),
            Arrives(u32),
            Progress,
        }
        use Event::*;
        let large = Mss::new(1500, &peer(1460, true));
        let mut middle = large;
        assert!(middle.fall());
        let mut least = middle;
        assert!(least.fall());
        for (name, mss, events) in [
            ("two", large, &[Out(1448, false), Out(1448, true)][..]),
            (
                "large ones have arrived before",
                large,
                &[
                    Arrives(1448),
                    Progress,
                    Out(1448, false),
                    Out(1448, false),
                    Out(1448, false),
                    Out(1448, true),
                ],
            ),
            (
                "small ones say nothing",
                large,
                &[Arrives(1228), Out(1448, false), Out(1448, true)],
            ),
            (
                "a large one arrives meanwhile",
                large,
                &[
                    Out(1448, false),
                    Arrives(1448),
                    Out(1448, false),
                    Out(1448, false),
                    Out(1448, false),
                    Out(1448, true),
                ],
            ),
            (
                "not in a row",
                large,
                &[Out(1448, false), Progress, Out(1448, false)],
            ),
            (
                "small segments, for which it takes both falls",
                large,
                &[
                    Out(1228, false),
                    Out(1228, false),
                    Out(1228, false),
                    Out(1228, true),
                ],
            ),
            ("too small for any fall", large, &[Out(524, false); 300]),
            (
                "two for the last step too",
                middle,
                &[Out(1228, false), Out(1228, true)],
            ),
            ("no step left", least, &[Out(524, false); 300]),
        ] {
            let mut hole = BlackHole::new(&mss);
            for (number, event) in events.iter().enumerate() {
                match *event {
                    Out(bytes, want) => {
                        assert_eq!(hole.on_timeout(bytes), want, "{name}: {number}")
                    }
                    Arrives(bytes) => hole.on_delivered(bytes),
                    Progress => hole.on_progress(),
                }
            }
        }
    }
}

//! TCP options (RFC 9293 §3.2, RFC 7323, RFC 2018): what a SYN asks for, and
//! timestamps.

use super::demux::Flow;
use siphasher::sip::SipHasher24;
use smoltcp::time::Instant;
use smoltcp::wire::TcpOption;
use std::hash::Hasher;

/// The MSS of a peer that does not say (RFC 9293 §3.7.1).
pub const DEFAULT_MSS: u16 = 536;
/// Smaller ones are taken for this, as Linux does (TCP_MIN_SND_MSS), lest
/// segments carry more header than data.
pub const MIN_MSS: u16 = 48;
/// RFC 7323 §2.3: a larger shift counts as this one.
const MAX_WINDOW_SHIFT: u8 = 14;
/// NOP, NOP, kind and length of the timestamps option: the form that RFC 7323
/// appendix A recommends, and the only one that common systems send.
const ALIGNED_TIMESTAMPS: [u8; 4] = [1, 1, 8, 10];

/// What both sides may do, as the peer's SYN had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Bytes of text that a segment to it may carry, options not counted off.
    pub mss: u16,
    /// Shift of the windows that it sends; `None`: no scaling either way.
    pub window_shift: Option<u8>,
    /// Whether it understands SACK.
    pub sack: bool,
    /// Whether segments carry timestamps.
    pub timestamps: bool,
}

/// TSval and TSecr of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamps {
    /// The sender's clock.
    pub value: u32,
    /// The last value that the sender had from the other side.
    pub echo: u32,
}

/// Reads the options of a SYN; what is malformed ends the reading, as in Linux.
pub fn of_syn(options: &[u8]) -> (Peer, Option<Timestamps>) {
    let mut peer = Peer {
        mss: DEFAULT_MSS,
        window_shift: None,
        sack: false,
        timestamps: false,
    };
    let mut stamps = None;
    for option in elements(options) {
        match option {
            TcpOption::MaxSegmentSize(mss) if mss > 0 => peer.mss = mss.max(MIN_MSS),
            TcpOption::WindowScale(shift) => peer.window_shift = Some(shift.min(MAX_WINDOW_SHIFT)),
            TcpOption::SackPermitted => peer.sack = true,
            TcpOption::TimeStamp { tsval, tsecr } => {
                stamps = Some(Timestamps {
                    value: tsval,
                    echo: tsecr,
                });
            }
            _ => {}
        }
    }
    peer.timestamps = stamps.is_some();
    (peer, stamps)
}

/// The timestamps among the options of a segment.
pub fn timestamps(options: &[u8]) -> Option<Timestamps> {
    if let Some((&ALIGNED_TIMESTAMPS, stamps)) = options.split_first_chunk::<4>() {
        let (value, rest) = stamps.split_first_chunk::<4>()?;
        let echo = rest.first_chunk::<4>()?;
        return Some(Timestamps {
            value: u32::from_be_bytes(*value),
            echo: u32::from_be_bytes(*echo),
        });
    }
    elements(options).find_map(|option| match option {
        TcpOption::TimeStamp { tsval, tsecr } => Some(Timestamps {
            value: tsval,
            echo: tsecr,
        }),
        _ => None,
    })
}

/// The SACK blocks among the options of a segment (RFC 2018), four at most.
pub fn sacks(options: &[u8]) -> impl Iterator<Item = (u32, u32)> + '_ {
    // Timestamps alone, the common case, are these.
    let options = match options {
        [1, 1, 8, 10, _, _, _, _, _, _, _, _, rest @ ..] => rest,
        _ => options,
    };
    elements(options)
        .filter_map(|option| match option {
            TcpOption::SackRange(ranges) => Some(ranges.into_iter().flatten()),
            _ => None,
        })
        .flatten()
        .take(4)
}

fn elements(mut options: &[u8]) -> impl Iterator<Item = TcpOption<'_>> {
    std::iter::from_fn(move || {
        let (rest, option) = TcpOption::parse(options).ok()?;
        options = rest;
        (option != TcpOption::EndOfList).then_some(option)
    })
}

/// The clock of our TSvals: milliseconds (RFC 7323 §5.4 wants 1 ms to 1 s), from
/// an origin that is secret and the same for all connections between two
/// addresses, so that a later one continues where an earlier one stopped
/// (RFC 7323 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    offset: u32,
}

impl Clock {
    /// The clock of the connections between `flow`'s addresses.
    pub fn of(flow: Flow, key: &[u8; 16]) -> Clock {
        let mut hasher = SipHasher24::new_with_key(key);
        hasher.write(b"timestamp");
        hasher.write(&flow.remote.octets());
        hasher.write(&flow.local.octets());
        Clock {
            offset: hasher.finish() as u32,
        }
    }

    /// The TSval of `now`.
    pub fn value(self, now: Instant) -> u32 {
        (now.total_millis() as u32).wrapping_add(self.offset)
    }

    /// When the last millisecond ended in which `value` was the TSval; `None` if that
    /// is still to come.
    pub fn end_of(self, value: u32, now: Instant) -> Option<Instant> {
        let ago_ms = self.value(now).wrapping_sub(value) as i32;
        (ago_ms > 0).then(|| Instant::from_millis(now.total_millis() - i64::from(ago_ms) + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamps_millisecond_is_found_again() {
        for offset in [0, 7, u32::MAX - 3] {
            let clock = Clock { offset };
            let now = Instant::from_micros(20_000_900);
            for (us, want) in [
                (20_000_900, None), // it is not over
                (19_999_999, Some(20_000_000)),
                (19_999_000, Some(20_000_000)),
                (5_000_500, Some(5_001_000)),
                (20_001_500, None),
            ] {
                let value = clock.value(Instant::from_micros(us));
                let end = clock.end_of(value, now);
                assert_eq!(end, want.map(Instant::from_micros), "{us}");
            }
        }
    }

    #[test]
    fn a_syns_options_in_any_order_and_damage() {
        let plain = Peer {
            mss: DEFAULT_MSS,
            window_shift: None,
            sack: false,
            timestamps: false,
        };
        let stamped = [8, 10, 0, 0, 0, 7, 0, 0, 0, 9];
        for (name, options, want) in [
            ("none", &[][..], plain),
            ("MSS", &[2, 4, 5, 180], Peer { mss: 1460, ..plain }),
            ("MSS 0", &[2, 4, 0, 0], plain),
            ("MSS 1", &[2, 4, 0, 1], Peer { mss: 48, ..plain }),
            (
                "window scale 14 at most",
                &[1, 3, 3, 15],
                Peer {
                    window_shift: Some(14),
                    ..plain
                },
            ),
            (
                "SACK after an unknown option",
                &[254, 4, 9, 9, 4, 2],
                Peer {
                    sack: true,
                    ..plain
                },
            ),
            ("nothing after the end", &[0, 4, 2, 0], plain),
            ("length 0", &[254, 0, 4, 2], plain),
            ("length 1", &[254, 1, 4, 2], plain),
            (
                "cut off",
                &[4, 2, 2, 4, 5],
                Peer {
                    sack: true,
                    ..plain
                },
            ),
            (
                "timestamps",
                &stamped,
                Peer {
                    timestamps: true,
                    ..plain
                },
            ),
        ] {
            assert_eq!(of_syn(options).0, want, "{name}");
        }
        let both = Some(Timestamps { value: 7, echo: 9 });
        assert_eq!(of_syn(&stamped).1, both);
        assert_eq!(timestamps(&stamped), both);
        assert_eq!(timestamps(&[&[1, 1][..], &stamped].concat()), both);
        assert_eq!(timestamps(&[1, 1, 8, 10, 0, 0]), None);
        assert_eq!(timestamps(&[4, 2]), None);
        assert_eq!(timestamps(&[]), None);
    }

    #[test]
    fn clocks_tick_by_milliseconds_and_differ_by_host() {
        let key = [3; 16];
        let clock = Clock::of(Flow::from_port(1), &key);
        assert_eq!(clock, Clock::of(Flow::from_port(2), &key));
        let other = Flow {
            remote: [10, 0, 0, 3].into(),
            ..Flow::from_port(1)
        };
        assert_ne!(clock, Clock::of(other, &key));
        let at = |ms| clock.value(Instant::from_millis(ms));
        assert_eq!(at(5).wrapping_sub(at(0)), 5);
    }
}

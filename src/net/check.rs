//! The first checks on a segment of a synchronized connection: RFC 9293
//! §3.10.7.4 with RFC 5961 (blind attacks) and RFC 7323 §5 (PAWS).
//!
//! They stand before anything else believes the segment, so that what a forger
//! sends without knowing the sequence numbers changes nothing: not the window,
//! not the neighbour, not the time of the last sign of life.

use super::demux::{Segment, after};
use super::options::Timestamps;
use smoltcp::time::{Duration, Instant};

/// RFC 5961 §7 suggests: so many challenge ACKs of a connection ...
const CHALLENGES: u8 = 10;
/// ... in any so long time.
const CHALLENGE_WINDOW: Duration = Duration::from_secs(5);

/// How many challenge ACKs a connection has sent of late.
#[derive(Clone, Copy, Debug)]
pub struct Challenges {
    since: Instant,
    sent: u8,
}

impl Default for Challenges {
    fn default() -> Self {
        Challenges {
            since: Instant::ZERO,
            sent: 0,
        }
    }
}

impl Challenges {
    /// Whether one more may be sent; if so, it counts.
    pub fn allow(&mut self, now: Instant) -> bool {
        if now >= self.since + CHALLENGE_WINDOW || self.sent == 0 {
            *self = Challenges {
                since: now,
                sent: 0,
            };
        }
        let allowed = self.sent < CHALLENGES;
        self.sent += u8::from(allowed);
        allowed
    }
}

/// What a connection knows, as the RFC names it.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// SND.UNA.
    pub snd_una: u32,
    /// SND.NXT.
    pub snd_nxt: u32,
    /// MAX.SND.WND (RFC 5961 §5), bytes.
    pub max_window_bytes: u32,
    /// RCV.NXT.
    pub rcv_nxt: u32,
    /// RCV.WND, bytes.
    pub rcv_window_bytes: u32,
    /// TS.Recent, if timestamps were agreed on.
    pub ts_recent: Option<u32>,
}

/// What a segment deserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// To be processed.
    Take,
    /// To be processed for its text only: its ACK was overtaken by a later one.
    TakeOld,
    /// `<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>`, then dropped.
    Acknowledge,
    /// The same, but not too often: it need not be an answer to ours.
    Challenge,
    /// The end of the connection.
    Reset,
    /// Nothing.
    Drop,
}

/// Judges `segment`, whose timestamps are `stamps`.
pub fn judge(segment: &Segment<'_>, stamps: Option<Timestamps>, view: &View) -> Verdict {
    let flags = segment.flags;
    if flags.rst {
        return judge_reset(segment.seq, view);
    }
    let is_old = |recent: u32, stamps: Timestamps| after(recent, stamps.value);
    if let (Some(recent), Some(stamps)) = (view.ts_recent, stamps)
        && is_old(recent, stamps)
        && !flags.syn
    {
        return answer(segment);
    }
    if flags.syn {
        return Verdict::Challenge; // RFC 5961 §4, wherever it lies
    }
    if !is_acceptable(segment, view) {
        return answer(segment);
    }
    if !flags.ack {
        return Verdict::Drop;
    }
    if after(segment.ack, view.snd_nxt) {
        return Verdict::Challenge;
    }
    // RFC 5961 §5: further back than any window reached, it is a guess.
    let behind = view.snd_una.wrapping_sub(segment.ack);
    match behind {
        _ if !after(view.snd_una, segment.ack) => Verdict::Take,
        _ if behind <= view.max_window_bytes => Verdict::TakeOld,
        _ => Verdict::Challenge,
    }
}

/// RFC 5961 §3: only the exact number resets.
fn judge_reset(seq: u32, view: &View) -> Verdict {
    if seq == view.rcv_nxt {
        Verdict::Reset
    } else if is_in_window(seq, view) {
        Verdict::Challenge
    } else {
        Verdict::Drop
    }
}

/// Text and FIN that were sent again must be acknowledged again, always; of
/// empty segments two broken peers could exchange any number.
fn answer(segment: &Segment<'_>) -> Verdict {
    if segment.is_empty() {
        Verdict::Challenge
    } else {
        Verdict::Acknowledge
    }
}

/// RFC 9293 §3.10.7.4, first check: the table of four cases.
fn is_acceptable(segment: &Segment<'_>, view: &View) -> bool {
    let last = segment.seq.wrapping_add(segment.len().wrapping_sub(1));
    match (segment.is_empty(), view.rcv_window_bytes == 0) {
        (true, true) => segment.seq == view.rcv_nxt,
        (true, false) => is_in_window(segment.seq, view) || is_right_edge(segment.seq, view),
        (false, true) => false,
        (false, false) => is_in_window(segment.seq, view) || is_in_window(last, view),
    }
}

fn is_in_window(seq: u32, view: &View) -> bool {
    seq.wrapping_sub(view.rcv_nxt) < view.rcv_window_bytes
}

/// A peer that has filled our window acknowledges from just beyond it.
fn is_right_edge(seq: u32, view: &View) -> bool {
    seq.wrapping_sub(view.rcv_nxt) == view.rcv_window_bytes
}

#[cfg(test)]
mod tests {
    use super::super::demux::{Flags, Flow, LinkAddresses};
    use super::*;

    const VIEW: View = View {
        snd_una: 5_000,
        snd_nxt: 6_000,
        max_window_bytes: 1_000,
        rcv_nxt: 100,
        rcv_window_bytes: 50,
        ts_recent: Some(10),
    };

    fn segment(flags: &str, seq: u32, payload_bytes: u32, ack: u32) -> Segment<'static> {
        let has = |flag| flags.contains(flag);
        Segment {
            flow: Flow::from_port(1),
            link: LinkAddresses {
                peer: [0; 6],
                local: [0; 6],
            },
            flags: Flags {
                syn: has('S'),
                ack: has('A'),
                rst: has('R'),
                fin: has('F'),
            },
            seq,
            ack,
            window: 0,
            options: &[],
            payload_bytes,
            packet: &[],
        }
    }

    #[test]
    fn the_table_of_the_rfcs() {
        use Verdict::*;
        for (name, flags, seq, bytes, ack, want) in [
            ("next text", "A", 100, 10, 5_500, Take),
            ("empty at RCV.NXT", "A", 100, 0, 6_000, Take),
            ("last byte of the window", "A", 149, 1, 5_500, Take),
            ("beyond the window", "A", 151, 1, 5_500, Acknowledge),
            ("empty at the right edge", "A", 150, 0, 5_500, Take),
            ("empty beyond it", "A", 151, 0, 5_500, Challenge),
            ("overlaps the left edge", "A", 95, 6, 5_500, Take),
            ("old text", "A", 90, 10, 5_500, Acknowledge),
            ("keep-alive", "A", 99, 0, 5_500, Challenge),
            ("keep-alive with a byte", "A", 99, 1, 5_500, Acknowledge),
            ("old FIN", "AF", 99, 0, 5_500, Acknowledge),
            ("FIN in order", "AF", 100, 0, 5_500, Take),
            ("no ACK", "", 100, 10, 0, Drop),
            ("ACK of nothing sent", "A", 100, 10, 6_001, Challenge),
            ("duplicate ACK", "A", 100, 0, 5_000, Take),
            ("overtaken ACK", "A", 100, 5, 4_999, TakeOld),
            ("as far as the window", "A", 100, 5, 4_000, TakeOld),
            ("further", "A", 100, 5, 3_999, Challenge),
            ("exact RST", "R", 100, 0, 0, Reset),
            ("exact RST and FIN", "RF", 100, 0, 0, Reset),
            ("RST in the window", "R", 101, 0, 0, Challenge),
            ("RST at its end", "R", 149, 0, 0, Challenge),
            ("RST outside", "R", 150, 0, 0, Drop),
            ("RST before", "R", 99, 0, 0, Drop),
            ("SYN in the window", "S", 120, 0, 0, Challenge),
            ("SYN far away", "S", 9_999, 0, 0, Challenge),
            ("SYN-ACK", "SA", 100, 0, 5_500, Challenge),
        ] {
            let segment = segment(flags, seq, bytes, ack);
            assert_eq!(judge(&segment, None, &VIEW), want, "{name}");
        }
    }

    #[test]
    fn a_closed_window_takes_only_the_empty_and_exact() {
        let view = View {
            rcv_window_bytes: 0,
            ..VIEW
        };
        let verdict = |seq, bytes| judge(&segment("A", seq, bytes, 5_500), None, &view);
        assert_eq!(verdict(100, 0), Verdict::Take);
        assert_eq!(verdict(100, 1), Verdict::Acknowledge);
        assert_eq!(verdict(101, 0), Verdict::Challenge);
        let reset = |seq| judge(&segment("R", seq, 0, 0), None, &view);
        assert_eq!(reset(100), Verdict::Reset);
        assert_eq!(reset(101), Verdict::Drop);
    }

    #[test]
    fn old_timestamps_are_refused_except_on_a_reset() {
        let stamps = |value| Some(Timestamps { value, echo: 0 });
        let next = segment("A", 100, 10, 5_500);
        assert_eq!(judge(&next, stamps(10), &VIEW), Verdict::Take);
        assert_eq!(judge(&next, stamps(9), &VIEW), Verdict::Acknowledge);
        assert_eq!(judge(&next, None, &VIEW), Verdict::Take);
        let without = View {
            ts_recent: None,
            ..VIEW
        };
        assert_eq!(judge(&next, stamps(9), &without), Verdict::Take);
        let reset = segment("R", 100, 0, 0);
        assert_eq!(judge(&reset, stamps(9), &VIEW), Verdict::Reset);
    }

    #[test]
    fn challenges_are_ten_in_five_seconds() {
        let mut challenges = Challenges::default();
        let sent = |challenges: &mut Challenges, ms| {
            let now = Instant::from_millis(ms);
            (0..1_000).filter(|_| challenges.allow(now)).count()
        };
        assert_eq!(sent(&mut challenges, 60_000), 10);
        assert_eq!(sent(&mut challenges, 64_999), 0);
        assert_eq!(sent(&mut challenges, 65_000), 10);
    }

    #[test]
    fn numbers_wrap() {
        let view = View {
            snd_una: u32::MAX - 5,
            snd_nxt: 5,
            rcv_nxt: u32::MAX,
            ..VIEW
        };
        assert_eq!(
            judge(&segment("A", u32::MAX, 10, 3), None, &view),
            Verdict::Take
        );
        assert_eq!(
            judge(&segment("A", 20, 10, u32::MAX), None, &view),
            Verdict::Take
        );
    }
}

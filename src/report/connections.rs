//! How connections stand, a line each: what SIGUSR1 asks for, in the manner of
//! `ss -ti`.

use super::recovery;
use crate::net::figures::{Figures, Listing};
use crate::net::recovery::Tally;
use crate::net::{Duration, Stage};

/// All lines, of the workers of these queues.
pub fn lines(listings: &[(String, Listing)]) -> String {
    let mut text = head(listings);
    for (queue, listing) in listings {
        for figures in &listing.figures {
            text.push_str(&format!("\n  {} queue:{queue}", line(figures)));
        }
    }
    let mut all = Tally::default();
    for (_, listing) in listings {
        all.add(&listing.recovery);
    }
    if let Some(line) = recovery::line(&all, None) {
        text.push_str(&format!("\n  {line}"));
    }
    text
}

fn head(listings: &[(String, Listing)]) -> String {
    let sum = |count: fn(&Listing) -> usize| -> usize {
        listings.iter().map(|(_, listing)| count(listing)).sum()
    };
    let (open, awake) = (sum(|all| all.open), sum(|all| all.awake));
    let listed = sum(|all| all.figures.len());
    let at_rest = open.saturating_sub(awake);
    match (open, listed) {
        (0, _) => "connections: none open".to_owned(),
        (_, listed) if listed < awake => format!(
            "connections: {open} open, {awake} in motion ({listed} listed), {at_rest} at rest"
        ),
        _ => format!("connections: {open} open, {awake} in motion, {at_rest} at rest"),
    }
}

/// One connection. What is not known, or has no limit, is a `-`.
fn line(figures: &Figures) -> String {
    let stage = match figures.stage {
        Stage::Idle => "idle",
        Stage::Head => "head",
        Stage::Body => "body",
        Stage::Response => "response",
    };
    let sending = &figures.sending;
    let control = match sending.phase {
        "" => sending.algorithm.to_owned(),
        phase => format!("{}/{phase}", sending.algorithm),
    };
    let rtt = match (sending.srtt, sending.rttvar) {
        (Some(srtt), Some(rttvar)) => format!("{}/{}ms", millis(srtt), millis(rttvar)),
        _ => "-".to_owned(),
    };
    let counts = sending.counts;
    [
        format!("{} {stage} {control}", figures.remote),
        format!("cwnd:{}", or_dash(sending.window_bytes)),
        format!("ssthresh:{}", or_dash(sending.threshold_bytes)),
        format!("flight:{}", sending.in_flight_bytes),
        format!("window:{}", sending.peer_window_bytes),
        format!("mss:{}", sending.mss_bytes),
        format!("rtt:{rtt}"),
        format!(
            "minrtt:{}",
            or_dash(sending.min_rtt.map(|rtt| format!("{}ms", millis(rtt))))
        ),
        format!("rto:{}ms", millis(sending.rto)),
        format!("rate:{}", or_dash(sending.rate_bytes_per_s.map(bits))),
        format!("pace:{}", or_dash(sending.pace_bytes_per_s.map(bits))),
        format!("segs:{}", counts.segments),
        format!("repairs:{}", counts.repairs),
        format!("spurious:{}", counts.spurious),
        format!("probes:{}", counts.probes),
        format!("timeouts:{}", counts.timeouts),
        format!("episodes:{}", counts.episodes),
        format!("undone:{}", counts.undone),
        format!("open:{:.1}s", figures.age.total_micros() as f64 / 1e6),
    ]
    .join(" ")
}

fn or_dash(figure: Option<impl ToString>) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| figure.to_string())
}

/// Milliseconds, to the microsecond.
fn millis(time: Duration) -> String {
    let us = time.total_micros();
    format!("{}.{:03}", us / 1_000, us % 1_000)
}

/// Bytes a second as bits a second.
fn bits(bytes_per_s: u64) -> String {
    let bits = bytes_per_s as f64 * 8.0;
    for (unit, name) in [(1e9, "G"), (1e6, "M"), (1e3, "k")] {
        if bits >= unit {
            return format!("{:.1}{name}bit/s", bits / unit);
        }
    }
    format!("{bits:.0}bit/s")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::figures::{Counts, Sending};
    use std::net::{Ipv4Addr, SocketAddrV4};

    fn us(us: u64) -> Option<Duration> {
        Some(Duration::from_micros(us))
    }

    /// One on a long path that has lost something.
    fn tried() -> Figures {
        Figures {
            remote: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 41_234),
            stage: Stage::Response,
            age: Duration::from_millis(12_345),
            sending: Sending {
                algorithm: "cubic",
                phase: "avoidance",
                window_bytes: Some(28_960),
                threshold_bytes: Some(20_272),
                in_flight_bytes: 14_480,
                peer_window_bytes: 65_536,
                mss_bytes: 1_448,
                srtt: us(20_100),
                rttvar: us(412),
                min_rtt: us(20_003),
                rto: Duration::from_micros(220_100),
                rate_bytes_per_s: Some(725_000),
                pace_bytes_per_s: Some(1_729_000),
                counts: Counts {
                    segments: 1_200,
                    repairs: 7,
                    spurious: 2,
                    probes: 3,
                    timeouts: 1,
                    episodes: 4,
                    undone: 1,
                },
            },
        }
    }

    /// One that has not sent anything yet.
    fn fresh() -> Figures {
        let Figures {
            remote, sending, ..
        } = tried();
        Figures {
            remote,
            stage: Stage::Idle,
            age: Duration::ZERO,
            sending: Sending {
                algorithm: "none",
                phase: "",
                window_bytes: None,
                threshold_bytes: None,
                in_flight_bytes: 0,
                srtt: None,
                rttvar: None,
                min_rtt: None,
                rto: Duration::from_secs(1),
                rate_bytes_per_s: None,
                pace_bytes_per_s: None,
                counts: Counts::default(),
                ..sending
            },
        }
    }

    const TRIED: &str = "10.0.0.2:41234 response cubic/avoidance cwnd:28960 ssthresh:20272 \
         flight:14480 window:65536 mss:1448 rtt:20.100/0.412ms minrtt:20.003ms rto:220.100ms \
         rate:5.8Mbit/s pace:13.8Mbit/s segs:1200 repairs:7 spurious:2 probes:3 timeouts:1 \
         episodes:4 undone:1 open:12.3s";
    const FRESH: &str = "10.0.0.2:41234 idle none cwnd:- ssthresh:- flight:0 window:65536 \
         mss:1448 rtt:- minrtt:- rto:1000.000ms rate:- pace:- segs:0 repairs:0 spurious:0 \
         probes:0 timeouts:0 episodes:0 undone:0 open:0.0s";

    #[test]
    fn a_connection_is_a_line() {
        assert_eq!(line(&tried()), TRIED);
        assert_eq!(line(&fresh()), FRESH);
        for (stage, word) in [(Stage::Head, "head"), (Stage::Body, "body")] {
            let figures = Figures { stage, ..fresh() };
            assert_eq!(line(&figures), FRESH.replace("idle", word));
        }
    }

    #[test]
    fn the_list_counts_what_it_leaves_out() {
        let listing = |figures: &[Figures], awake, open, repairs| Listing {
            figures: figures.to_vec(),
            awake,
            open,
            recovery: Tally {
                segments: 10 * repairs - repairs,
                repairs,
                ..Tally::default()
            },
        };
        let queues = str::to_owned;
        let none = "connections: none open".to_owned();
        for (listings, want) in [
            (vec![], none.clone()),
            (vec![(queues("0"), listing(&[], 0, 0, 0))], none.clone()),
            (
                vec![(queues("0"), listing(&[], 0, 0, 1))],
                none + "\n  recovery: 1 segment sent again (10.00 %), 0 in vain, 0 probes, \
                        0 time-outs, 0 episodes, 0 undone, 0 MTU falls",
            ),
            (
                vec![(queues("0"), listing(&[], 0, 9, 0))],
                "connections: 9 open, 0 in motion, 9 at rest".to_owned(),
            ),
            (
                vec![
                    (queues("0"), listing(&[tried()], 1, 5, 1)),
                    (queues("0,2"), listing(&[fresh()], 1, 2, 2)),
                ],
                format!(
                    "connections: 7 open, 2 in motion, 5 at rest\n  {TRIED} queue:0\n  {FRESH} \
                     queue:0,2\n  recovery: 3 segments sent again (10.00 %), 0 in vain, 0 probes, \
                     0 time-outs, 0 episodes, 0 undone, 0 MTU falls"
                ),
            ),
            (
                vec![(queues("1"), listing(&[fresh()], 30, 50, 0))],
                format!(
                    "connections: 50 open, 30 in motion (1 listed), 20 at rest\n  {FRESH} queue:1"
                ),
            ),
        ] {
            assert_eq!(lines(&listings), want);
        }
    }

    #[test]
    fn figures_are_short_and_exact_enough() {
        for (bytes_per_s, want) in [
            (0, "0bit/s"),
            (124, "992bit/s"),
            (125, "1.0kbit/s"),
            (125_000, "1.0Mbit/s"),
            (1_250_000_000, "10.0Gbit/s"),
        ] {
            assert_eq!(bits(bytes_per_s), want);
        }
        for (time_us, want) in [(0, "0.000"), (45, "0.045"), (60_000_000, "60000.000")] {
            assert_eq!(millis(Duration::from_micros(time_us)), want);
        }
    }
}

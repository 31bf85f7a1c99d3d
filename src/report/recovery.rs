//! What loss recovery did, in a line.

use super::plural;
use crate::net::recovery::Tally;

/// `all` that it did so far, and of it what it did before the `last` report; nothing
/// when there was nothing to do.
pub fn line(all: &Tally, last: Option<&Tally>) -> Option<String> {
    let quiet = Tally {
        segments: all.segments,
        ..Tally::default()
    };
    if *all == quiet {
        return None;
    }
    let of_late = last.map(|last| {
        let segments = all.segments.saturating_sub(last.segments);
        share(all.repairs.saturating_sub(last.repairs), segments)
    });
    Some(format!(
        "recovery: {} sent again ({}{}), {} in vain, {}, {}, {}, {} undone, {}",
        plural(all.repairs, "segment"),
        share(all.repairs, all.segments),
        of_late.map_or(String::new(), |share| format!(", of late {share}")),
        all.spurious,
        plural(all.probes, "probe"),
        plural(all.timeouts, "time-out"),
        plural(all.episodes, "episode"),
        all.undone,
        plural(all.mtu_falls, "MTU fall"),
    ))
}

/// The share of `repairs` in all that was sent, with `segments` of new data.
fn share(repairs: u64, segments: u64) -> String {
    let percent = 100.0 * repairs as f64 / (repairs + segments).max(1) as f64;
    if percent > 0.0 && percent < 0.01 {
        "<0.01 %".to_owned()
    } else {
        format!("{percent:.2} %")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_was_done_and_its_share() {
        let one = Tally {
            segments: 49,
            repairs: 1,
            spurious: 1,
            probes: 1,
            timeouts: 1,
            episodes: 1,
            undone: 1,
            mtu_falls: 0,
        };
        let many = Tally {
            segments: 37_000,
            repairs: 120,
            spurious: 3,
            probes: 5,
            timeouts: 0,
            episodes: 8,
            undone: 2,
            mtu_falls: 0,
        };
        let probes = Tally {
            segments: 9,
            probes: 2,
            ..Tally::default()
        };
        let sent = |segments| Tally {
            segments,
            ..Tally::default()
        };
        let rare = Tally {
            repairs: 1,
            ..sent(1 << 40)
        };
        for (all, last, want) in [
            (sent(0), None, None),
            (sent(1_000), Some(sent(0)), None),
            (
                one,
                None,
                Some(
                    "recovery: 1 segment sent again (2.00 %), 1 in vain, 1 probe, 1 time-out, \
                     1 episode, 1 undone, 0 MTU falls",
                ),
            ),
            (
                many,
                Some(Tally {
                    segments: 36_020,
                    repairs: 100,
                    ..one
                }),
                Some(
                    "recovery: 120 segments sent again (0.32 %, of late 2.00 %), 3 in vain, \
                     5 probes, 0 time-outs, 8 episodes, 2 undone, 0 MTU falls",
                ),
            ),
            (
                many,
                Some(many),
                Some(
                    "recovery: 120 segments sent again (0.32 %, of late 0.00 %), 3 in vain, \
                     5 probes, 0 time-outs, 8 episodes, 2 undone, 0 MTU falls",
                ),
            ),
            (
                probes,
                None,
                Some(
                    "recovery: 0 segments sent again (0.00 %), 0 in vain, 2 probes, \
                     0 time-outs, 0 episodes, 0 undone, 0 MTU falls",
                ),
            ),
            (
                rare,
                None,
                Some(
                    "recovery: 1 segment sent again (<0.01 %), 0 in vain, 0 probes, \
                     0 time-outs, 0 episodes, 0 undone, 0 MTU falls",
                ),
            ),
        ] {
            assert_eq!(line(&all, last.as_ref()).as_deref(), want);
        }
    }
}

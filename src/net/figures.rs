//! What an operator is shown of connections: a copy of what they know, made when
//! somebody asks.

use super::app::Stage;
use super::recovery::Tally;
use smoltcp::time::Duration;
use std::net::SocketAddrV4;

/// The connections of a stack that have a socket, as far as there was room for them.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Those that stand still longest first.
    pub figures: Vec<Figures>,
    /// How many have a socket: they are sending, receiving, or have been of late.
    pub awake: usize,
    /// How many are open, at rest or not.
    pub open: usize,
    /// What loss recovery did on all connections so far.
    pub recovery: Tally,
}

/// One connection.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// The peer.
    pub remote: SocketAddrV4,
    /// Where in an exchange it is.
    pub stage: Stage,
    /// How long it has been open.
    pub age: Duration,
    /// Its sending half.
    pub sending: Sending,
}

/// What the sending half of a connection knows of the path and has done on it.
#[derive(Clone, Copy, Debug)]
pub struct Sending {
    /// The congestion control, as `--congestion` calls it.
    pub algorithm: &'static str,
    /// What that is at; empty if it has no phases.
    pub phase: &'static str,
    /// cwnd, bytes; `None`: unlimited.
    pub window_bytes: Option<u64>,
    /// ssthresh, bytes; `None` while there is none.
    pub threshold_bytes: Option<u64>,
    /// Sent, not acknowledged, not counted as lost; bytes.
    pub in_flight_bytes: u64,
    /// What the peer has room for, bytes.
    pub peer_window_bytes: u32,
    /// Payload of a full segment, bytes.
    pub mss_bytes: u16,
    /// SRTT; `None`, like what follows from it, before the first sample.
    pub srtt: Option<Duration>,
    /// RTTVAR.
    pub rttvar: Option<Duration>,
    /// The least round-trip time of late.
    pub min_rtt: Option<Duration>,
    /// RTO, doubled for each time-out in a row.
    pub rto: Duration,
    /// How fast data was delivered of late, bytes a second.
    pub rate_bytes_per_s: Option<u64>,
    /// How fast it may leave, bytes a second; `None`: at once.
    pub pace_bytes_per_s: Option<u64>,
    /// What was counted on it.
    pub counts: Counts,
}

/// A [`Tally`] of one connection's whole life, in the 28 bytes that each connection
/// has for it. What has come to 2³² − 1 stays so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "Tally says it")]
pub struct Counts {
    pub segments: u32,
    pub repairs: u32,
    pub spurious: u32,
    pub probes: u32,
    pub timeouts: u32,
    pub episodes: u32,
    pub undone: u32,
}

impl Counts {
    /// Adds what was counted since.
    pub fn add(&mut self, tally: &Tally) {
        for (count, more) in [
            (&mut self.segments, tally.segments),
            (&mut self.repairs, tally.repairs),
            (&mut self.spurious, tally.spurious),
            (&mut self.probes, tally.probes),
            (&mut self.timeouts, tally.timeouts),
            (&mut self.episodes, tally.episodes),
            (&mut self.undone, tally.undone),
        ] {
            *count = count.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_and_do_not_wrap() {
        let tally = |repairs| Tally {
            segments: 10,
            repairs,
            spurious: 2,
            probes: 3,
            timeouts: 4,
            episodes: 5,
            undone: 6,
            mtu_falls: 1,
        };
        let mut counts = Counts::default();
        counts.add(&tally(7));
        counts.add(&tally(8));
        let mut want = Counts {
            segments: 20,
            repairs: 15,
            spurious: 4,
            probes: 6,
            timeouts: 8,
            episodes: 10,
            undone: 12,
        };
        assert_eq!(counts, want);
        for much in [u64::from(u32::MAX) - 1, u64::MAX] {
            counts.add(&Tally {
                repairs: much,
                ..Tally::default()
            });
            want.repairs = u32::MAX;
            assert_eq!(counts, want);
        }
        assert_eq!(size_of::<Counts>(), 28);
    }
}

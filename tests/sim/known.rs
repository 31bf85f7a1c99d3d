//! What is known to be wrong with the server and therefore borne.
//!
//! Whoever mends something takes its name out of [`STILL_THERE`]: from then on
//! the simulation insists. With `XDPHTTPD_STRICT` set it insists on all of it.

/// A way in which an honest client may be failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Known {
    /// An RST anywhere in the window ends a connection (RFC 5961 §3.2).
    ForgedRst,
    /// Answers follow the Ethernet address of any segment, a forged one too.
    ForgedMac,
    /// A pure ACK that closes the window while the retransmit timer runs: nothing
    /// is retransmitted any more, or single bytes of the wrong place for ever.
    ZeroWindow,
    /// A lost FIN is not sent again when duplicate ACKs follow.
    LostFin,
    /// A request head may arrive byte by byte for ever.
    SlowDrip,
    /// A retransmission timeout grows as long as the patience with a silent peer:
    /// the connection is reset before its last retransmission can be answered.
    Hasty,
    /// Frames that come take the room that connections stand in line for.
    Starved,
    /// A connection in TIME-WAIT counts against the limit of connections.
    TimeWaitPlace,
    /// Segments larger than a router takes that does not say so are sent again and
    /// again, as large as they were.
    BlackHole,
}

impl Known {
    /// All there ever were.
    pub const ALL: [Known; 9] = [
        Known::Hasty,
        Known::ForgedRst,
        Known::ForgedMac,
        Known::ZeroWindow,
        Known::LostFin,
        Known::SlowDrip,
        Known::Starved,
        Known::TimeWaitPlace,
        Known::BlackHole,
    ];
}

/// See the [module](self).
const STILL_THERE: &[Known] = &[];

/// How much is borne.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bear {
    /// What is known.
    Known,
    /// Everything but this, whatever is known.
    AllBut(Known),
    Nothing,
}

impl Bear {
    pub fn bears(self, known: Known) -> bool {
        match self {
            Bear::Known => STILL_THERE.contains(&known),
            Bear::AllBut(other) => known != other,
            Bear::Nothing => false,
        }
    }
}

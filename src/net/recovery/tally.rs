//! What recovery counts.

/// What was counted on a connection, or on all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Segments sent for the first time.
    pub segments: u64,
    /// Segments sent again.
    pub repairs: u64,
    /// Of these, such as the peer had received already.
    pub spurious: u64,
    /// Tail loss probes, and losses presumed when one is not answered.
    pub probes: u64,
    /// Retransmission time-outs.
    pub timeouts: u64,
    /// Episodes of fast recovery.
    pub episodes: u64,
    /// Episodes and time-outs taken back.
    pub undone: u64,
    /// Times that a path proved to carry smaller packets only.
    pub mtu_falls: u64,
}

impl Tally {
    /// Adds what another one counted.
    pub fn add(&mut self, other: &Tally) {
        self.segments += other.segments;
        self.repairs += other.repairs;
        self.spurious += other.spurious;
        self.probes += other.probes;
        self.timeouts += other.timeouts;
        self.episodes += other.episodes;
        self.undone += other.undone;
        self.mtu_falls += other.mtu_falls;
    }
}

//! Counters: plain integers, one writer each, copied out now and then.

/// What the stack counts. Frames are Ethernet frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each name says what it counts")]
pub struct NetCounters {
    pub rx_frames: u64,
    pub rx_bytes: u64,
    pub tx_frames: u64,
    /// SYNs that opened a connection.
    pub syns: u64,
    /// Connections whose handshake was completed.
    pub accepted: u64,
    /// Of those, the ones that are over.
    pub closed: u64,
    /// Connections ended because the peer was silent for too long.
    pub timed_out: u64,
    /// RSTs in answer to segments of no connection.
    pub resets_for_strays: u64,
    pub drop_not_tcp: u64,
    pub drop_not_ours: u64,
    pub drop_malformed: u64,
    pub drop_fragment: u64,
    pub drop_not_unicast: u64,
    pub drop_ip_checksum: u64,
    pub drop_tcp_checksum: u64,
    /// Segments of no connection that deserve no answer.
    pub drop_stray: u64,
    /// SYNs above the limit of connections.
    pub drop_table_full: u64,
    /// Segments whose answer would have had no frame to go into.
    pub drop_no_room: u64,
}

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
    /// Segments that a connection answered with an ACK and otherwise ignored: SYNs,
    /// and ACKs of what was never sent.
    pub challenged: u64,
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
    /// Turns that ended because no frame could be had to send.
    pub waits_for_room: u64,
    /// Segments whose answer would have had no frame to go into.
    pub drop_no_room: u64,
}

/// What one worker counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Snapshot {
    /// Connections in any state.
    pub connections: u64,
    /// Frames and connections.
    pub net: NetCounters,
    /// Requests and responses.
    pub http: crate::http::Counters,
    /// The RX half of the AF_XDP socket.
    pub rx: crate::xsk::RxCounters,
    /// The TX half of the AF_XDP socket.
    pub tx: crate::xsk::TxCounters,
    /// What the kernel counted for the socket.
    pub kernel: crate::xsk::Statistics,
}

/// A name and where its count is.
pub type Trouble = (&'static str, fn(&Snapshot) -> u64);

impl Snapshot {
    /// What can go wrong, by the name that a report gives it.
    pub const TROUBLES: &[Trouble] = &[
        ("not TCP", |s| s.net.drop_not_tcp),
        ("not our port or address", |s| s.net.drop_not_ours),
        ("malformed", |s| s.net.drop_malformed),
        ("fragment", |s| s.net.drop_fragment),
        ("not unicast", |s| s.net.drop_not_unicast),
        ("bad IP checksum", |s| s.net.drop_ip_checksum),
        ("bad TCP checksum", |s| s.net.drop_tcp_checksum),
        ("stray segment", |s| s.net.drop_stray),
        ("connection table full", |s| s.net.drop_table_full),
        ("wait for TX room", |s| s.net.waits_for_room),
        ("answered 5xx", |s| s.http.responses_5xx),
        ("no room to answer", |s| s.net.drop_no_room),
        ("timed out", |s| s.net.timed_out),
        ("challenged", |s| s.net.challenged),
        ("reset for stray", |s| s.net.resets_for_strays),
        ("bad request head", |s| s.http.refused_heads),
        ("response broken off", |s| s.http.aborted),
        ("RX ring full", |s| s.kernel.rx_ring_full),
        ("fill ring empty", |s| s.kernel.rx_fill_ring_empty_descs),
        ("dropped by XSK", |s| s.kernel.rx_dropped),
        ("bad RX descriptor", |s| s.rx.bad_descriptors),
        ("bad TX descriptor", |s| s.kernel.tx_invalid_descs),
        ("TX frame refused by device", |s| s.tx.dropped),
        ("no kernel memory for TX", |s| s.tx.full),
        ("device down on TX", |s| s.tx.down),
    ];
}

/// One figure over all workers.
pub fn total(workers: &[Snapshot], figure: impl Fn(&Snapshot) -> u64) -> u64 {
    workers.iter().map(figure).sum()
}

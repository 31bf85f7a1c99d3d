//! Counters: plain integers, one writer each, copied out now and then.

/// What the stack counts. Frames are Ethernet frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each name says what it counts")]
pub struct NetCounters {
    pub rx_frames: u64,
    pub rx_bytes: u64,
    pub tx_frames: u64,
    /// Frames that came to another queue than their connection's.
    pub relayed: u64,
    /// SYNs that a handshake is remembered for.
    pub syns: u64,
    /// SYNs answered with a cookie, for too many handshakes were remembered.
    pub cookies_sent: u64,
    /// Connections rebuilt from one.
    pub cookies_redeemed: u64,
    /// Segments of no connection that brought none back while some were out.
    pub drop_no_cookie: u64,
    /// Connections whose handshake was completed.
    pub accepted: u64,
    /// Of those, the ones that are open no more: all that they had to send is
    /// acknowledged, or they were reset.
    pub closed: u64,
    /// SYN-ACKs sent again.
    pub repeated_syn_acks: u64,
    /// Handshakes not completed in time.
    pub expired_handshake: u64,
    /// Connections closed because no request came in time,
    pub expired_keep_alive: u64,
    /// because a request's head did not end in time,
    pub expired_head: u64,
    /// because a request's body did not end in time;
    pub expired_body: u64,
    /// reset because a response stood still for too long,
    pub expired_send_stall: u64,
    /// because it was taken too slowly,
    pub expired_send_rate: u64,
    /// because it stood still while others wanted the memory.
    pub pressed_out: u64,
    /// Connections forgotten because our FIN was not acknowledged, or the peer's
    /// did not come, in time.
    pub expired_fin_wait: u64,
    /// Idle connections closed to make room for new ones.
    pub evicted_idle: u64,
    /// Closing connections forgotten early because there were too many.
    pub closing_full: u64,
    /// Connections reset by their peer.
    pub reset_by_peer: u64,
    /// RSTs that ended a connection of ours.
    pub resets_sent: u64,
    /// Segments that a connection answered with an ACK and otherwise ignored: SYNs,
    /// inexact RSTs, ACKs of what was never sent, empty ones outside the window.
    pub challenged: u64,
    /// Segments with text or FIN that had been received before.
    pub reacknowledged: u64,
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
    /// Segments of a connection that it neither takes nor answers.
    pub drop_unacceptable: u64,
    /// SYNs and final ACKs above the limit of connections.
    pub drop_table_full: u64,
    /// The same above the limit for their source.
    pub drop_source_full: u64,
    /// Segments of connections that no memory was left for.
    pub drop_no_memory: u64,
    /// Connections that had something to do and no memory for it at once.
    pub waits_for_memory: u64,
    /// Turns that ended because no frame could be had to send.
    pub waits_for_room: u64,
    /// ACKs, FINs and RSTs that there was no frame for.
    pub unsent: u64,
    /// Segments whose answer's frame went to one who had to make way for them.
    pub drop_room_gone: u64,
    /// Segments whose answer would have had no frame to go into.
    pub drop_no_room: u64,
    /// What loss recovery did.
    pub recovery: crate::net::recovery::Tally,
}

/// How many flows there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each name says what it counts")]
pub struct Census {
    pub half_open: u64,
    /// Connections: accepted, and not closed yet.
    pub open: u64,
    /// From our FIN until it and the peer's are acknowledged.
    pub closing: u64,
    pub time_wait: u64,
    /// Of the open ones, those with a socket.
    pub sockets: u64,
}

/// What one worker counted.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Flows of each kind.
    pub census: Census,
    /// Frames and connections.
    pub net: NetCounters,
    /// Requests and responses.
    pub http: crate::http::Counters,
    /// The TX half of the AF_XDP socket that it sends on.
    pub tx: crate::xsk::TxCounters,
    /// Each of its RX queues.
    pub queues: Vec<Queue>,
}

/// What came in by one RX queue.
#[derive(Clone, Copy, Debug, Default)]
pub struct Queue {
    /// Its number on the device.
    pub queue: u32,
    /// Connections whose handshake ended there.
    pub accepted: u64,
    /// The RX half of its AF_XDP socket.
    pub rx: crate::xsk::RxCounters,
    /// What the kernel counted for the socket.
    pub kernel: crate::xsk::Statistics,
}

/// A name and where its count is.
pub type Trouble = (&'static str, fn(&Snapshot) -> u64);

impl Snapshot {
    /// One figure over all of its queues.
    pub fn over(&self, figure: impl Fn(&Queue) -> u64) -> u64 {
        self.queues.iter().map(figure).sum()
    }

    /// What can go wrong, by the name that a report gives it.
    pub const TROUBLES: &[Trouble] = &[
        ("not TCP", |s| s.net.drop_not_tcp),
        ("not our port or address", |s| s.net.drop_not_ours),
        ("malformed", |s| s.net.drop_malformed),
        ("fragment", |s| s.net.drop_fragment),
        ("not unicast", |s| s.net.drop_not_unicast),
        ("bad IP checksum", |s| s.net.drop_ip_checksum),
        ("bad TCP checksum", |s| s.net.drop_tcp_checksum),
        ("came to another queue", |s| s.net.relayed),
        ("stray segment", |s| s.net.drop_stray),
        ("unacceptable segment", |s| s.net.drop_unacceptable),
        ("connection table full", |s| s.net.drop_table_full),
        ("source has too many connections", |s| {
            s.net.drop_source_full
        }),
        ("no memory for a socket", |s| {
            s.net.drop_no_memory + s.net.waits_for_memory
        }),
        ("idle closed for room", |s| s.net.evicted_idle),
        ("stalled reset for memory", |s| s.net.pressed_out),
        ("closing forgotten early", |s| s.net.closing_full),
        ("answered with a cookie", |s| s.net.cookies_sent),
        ("stray without a cookie", |s| s.net.drop_no_cookie),
        ("handshake timed out", |s| s.net.expired_handshake),
        ("request head timed out", |s| s.net.expired_head),
        ("request body timed out", |s| s.net.expired_body),
        ("idle timed out", |s| s.net.expired_keep_alive),
        ("response stalled", |s| s.net.expired_send_stall),
        ("response too slow", |s| s.net.expired_send_rate),
        ("FIN timed out", |s| s.net.expired_fin_wait),
        ("reset by peer", |s| s.net.reset_by_peer),
        ("wait for TX room", |s| s.net.waits_for_room),
        ("answered 5xx", |s| s.http.responses_5xx),
        ("no room to answer", |s| {
            s.net.drop_no_room + s.net.drop_room_gone + s.net.unsent
        }),
        ("challenged", |s| s.net.challenged),
        ("reset for stray", |s| s.net.resets_for_strays),
        ("bad request head", |s| s.http.refused_heads),
        ("client may not ask", |s| s.http.kept_out),
        ("wrong credentials", |s| s.http.wrong_credentials),
        ("too many passwords in line", |s| s.http.refused_credentials),
        ("kept back by the rate", |s| s.http.kept_back),
        ("response broken off", |s| s.http.aborted),
        ("RX ring full", |s| s.over(|q| q.kernel.rx_ring_full)),
        ("fill ring empty", |s| {
            s.over(|q| q.kernel.rx_fill_ring_empty_descs)
        }),
        ("dropped by XSK", |s| s.over(|q| q.kernel.rx_dropped)),
        ("bad RX descriptor", |s| s.over(|q| q.rx.bad_descriptors)),
        ("RX frame in pieces that don't fit", |s| {
            s.over(|q| q.rx.ungathered)
        }),
        ("bad TX descriptor", |s| {
            s.over(|q| q.kernel.tx_invalid_descs)
        }),
        ("TX frame refused by device", |s| s.tx.dropped),
        ("no kernel memory for TX", |s| s.tx.full),
        ("device down on TX", |s| s.tx.down),
    ];
}

/// One figure over all workers.
pub fn total(workers: &[Snapshot], figure: impl Fn(&Snapshot) -> u64) -> u64 {
    workers.iter().map(figure).sum()
}

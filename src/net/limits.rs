//! Every limit of a stack: how many, how much, how long.

use smoltcp::time::Duration;

/// What the stack may hold and how long it waits; see the fields' documentation
/// for what happens when one bites, and
/// [`NetCounters`](crate::stats::NetCounters) for the count of that.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Connections at most, from the completed handshake until all that they had
    /// to send is acknowledged. At the limit the longest-idle keep-alive
    /// connection is closed for a new one; with none idle, new ones are ignored.
    pub max_connections: usize,
    /// Bytes for all of them: [`RECORD_BYTES`](super::pool::RECORD_BYTES) each,
    /// the rest for the buffers of those with something to do.
    pub memory_bytes: usize,
    /// Handshakes remembered at most; further ones are answered with SYN cookies.
    pub max_half_open: usize,
    /// Closing connections at most, TIME-WAIT included; above it the oldest in
    /// TIME-WAIT is forgotten.
    pub max_time_wait: usize,
    /// Connections at most from one source network; SYNs above it are ignored.
    pub max_per_source: Option<usize>,
    /// How many leading bits of an address are the source network.
    pub source_prefix_bits: u8,
    /// From SYN to the final ACK; SYN-ACKs are repeated after 1, 2, 4, … s.
    pub handshake: Duration,
    /// From the first byte of a request head to its end.
    pub head: Duration,
    /// From the end of a request head to the end of the request's body.
    pub body: Duration,
    /// Between the end of a response and the next request.
    pub keep_alive: Duration,
    /// Within a response without anything sent or acknowledged.
    pub send_stall: Duration,
    /// Of a response, over [`RATE_WINDOW`] at a time while there is more to send.
    pub min_send_bytes_per_s: u32,
    /// From our FIN to its acknowledgment, and from there to the peer's FIN.
    pub fin_wait: Duration,
    /// How long a closed connection's late segments are answered for (2 MSL).
    pub time_wait: Duration,
}

/// How long the rate of sending is averaged: no shorter than a pause may be.
pub const RATE_WINDOW: Duration = Duration::from_secs(60);

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_connections: 100_000,
            memory_bytes: 512 << 20,
            max_half_open: 1_024,
            max_time_wait: 65_536,
            max_per_source: None,
            source_prefix_bits: 32,
            // SYN-ACKs after 0, 1, 3, 7 and 15 s; Linux gives up after 63.
            handshake: Duration::from_secs(20),
            head: Duration::from_secs(30),
            body: Duration::from_secs(60),
            keep_alive: Duration::from_secs(75), // as nginx
            send_stall: Duration::from_secs(60), // as nginx
            min_send_bytes_per_s: 128,
            fin_wait: Duration::from_secs(30),
            time_wait: Duration::from_secs(60), // as Linux
        }
    }
}

impl Limits {
    /// What each of `workers` may hold, so that all together hold this.
    pub fn share(&self, workers: usize) -> Limits {
        let part = |whole: usize| (whole / workers).max(1);
        Limits {
            max_connections: part(self.max_connections),
            memory_bytes: part(self.memory_bytes),
            max_half_open: part(self.max_half_open),
            max_time_wait: part(self.max_time_wait),
            ..self.clone()
        }
    }
}

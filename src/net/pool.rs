//! The sockets and their buffers, within the memory allowed.
//!
//! Every connection with something to do gets one. Sockets given back are kept
//! with their buffers, the last one used on top, where it is still in the
//! processor's cache.

use super::tcb::{RECEIVE_BUFFER_BYTES, Tcb};

/// Memory of a connection without a socket, bytes: its place in the tables, what
/// TCP and HTTP remember, the head of a response and the beginning of one of a
/// request.
pub const RECORD_BYTES: usize = 2 * 1024;
/// Send buffer of a socket, bytes: a turn's frames. What is in flight takes none of
/// it.
pub const SEND_BUFFER_BYTES: usize = 32 * 1024;
/// What smoltcp itself needs for a socket, bytes, rounded up.
const SOCKET_BYTES: usize = 2 * 1024;
/// All that a socket takes, bytes.
const ALL_BYTES: usize = SEND_BUFFER_BYTES + RECEIVE_BUFFER_BYTES + SOCKET_BYTES;
/// Sockets that memory must suffice for at least, lest the server crawl.
pub const MIN_SOCKETS: usize = 64;

/// The least memory for `max_connections`, bytes.
pub fn least_bytes(max_connections: usize) -> usize {
    bytes_for(max_connections, MIN_SOCKETS)
}

/// Memory for `max_connections` and so many small `sockets`, bytes.
pub fn bytes_for(max_connections: usize, sockets: usize) -> usize {
    max_connections
        .saturating_mul(RECORD_BYTES)
        .saturating_add(sockets.saturating_mul(ALL_BYTES))
}

/// All sockets of a stack, in use or spare.
pub struct Pool {
    allowed_bytes: usize,
    made: usize,
    /// What connections have in flight; it may be bodies that nobody else holds.
    in_flight_bytes: usize,
    spare: Vec<Tcb>,
}

impl Pool {
    /// A pool for what `memory_bytes` leave beside `max_connections` records.
    pub fn new(memory_bytes: usize, max_connections: usize) -> Pool {
        let records_bytes = max_connections.saturating_mul(RECORD_BYTES);
        Pool {
            allowed_bytes: memory_bytes.saturating_sub(records_bytes),
            made: 0,
            in_flight_bytes: 0,
            spare: Vec::new(),
        }
    }

    fn held_bytes(&self) -> usize {
        self.made * ALL_BYTES + self.in_flight_bytes
    }

    /// A connection that had `counted` bytes in flight has so many `now`.
    pub fn recount(&mut self, counted: &mut usize, now: usize) {
        self.in_flight_bytes = self.in_flight_bytes + now - *counted;
        *counted = now;
    }

    /// Whether memory is so short that nobody should have more in flight than a
    /// socket's buffer holds.
    pub fn is_short(&self) -> bool {
        self.held_bytes() > self.allowed_bytes / 4 * 3
    }

    /// How many are in use.
    pub fn in_use(&self) -> usize {
        self.made - self.spare.len()
    }

    /// A socket, or `None` when memory is used up.
    pub fn take(&mut self) -> Option<Tcb> {
        if let Some(tcb) = self.spare.pop() {
            return Some(tcb);
        }
        (self.held_bytes() + ALL_BYTES <= self.allowed_bytes).then(|| {
            self.made += 1;
            Tcb::new(SEND_BUFFER_BYTES)
        })
    }

    /// Takes a socket back.
    pub fn give(&mut self, tcb: Tcb) {
        self.spare.push(tcb);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_the_limit() {
        let memory_bytes = 10 * RECORD_BYTES + 4 * ALL_BYTES + ALL_BYTES / 2;
        let mut pool = Pool::new(memory_bytes, 10);
        let mut all: Vec<Tcb> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!((all.len(), pool.in_use()), (4, 4));
        pool.give(all.remove(0));
        assert_eq!(pool.in_use(), 3);
        assert!(pool.take().is_some() && pool.take().is_none());
    }

    #[test]
    fn what_is_in_flight_counts() {
        let mut pool = Pool::new(4 * ALL_BYTES, 0);
        let mut counted = 0;
        assert!(!pool.is_short());
        pool.recount(&mut counted, 3 * ALL_BYTES + 1);
        assert!(pool.is_short() && pool.take().is_none());
        pool.recount(&mut counted, 1_000);
        assert!(!pool.is_short() && pool.take().is_some());
        pool.recount(&mut counted, 0);
        assert_eq!((pool.in_flight_bytes, counted), (0, 0));
    }

    #[test]
    fn the_last_one_given_back_is_the_next_one_taken() {
        let mut pool = Pool::new(1 << 30, 1);
        let (first, second) = (pool.take(), pool.take());
        let second = second.expect("memory for two");
        let mark = second
            .sockets
            .iter()
            .next()
            .map(|(_, socket)| socket as *const _);
        pool.give(first.expect("memory for two"));
        pool.give(second);
        let again = pool.take().expect("two are spare");
        let same = again
            .sockets
            .iter()
            .next()
            .map(|(_, socket)| socket as *const _);
        assert_eq!(same, mark);
        assert_eq!(pool.in_use(), 1);
    }
}

//! The sockets and their buffers, within the memory allowed.
//!
//! Two sizes: every connection with something to do gets a small one, and one
//! that has more to send than fits is moved to a large one while there is plenty
//! of memory. Sockets given back are kept with their buffers, the last one used
//! on top, where it is still in the processor's cache.

use super::tcb::{RECEIVE_BUFFER_BYTES, Tcb};

/// Memory of a connection without a socket, bytes: its place in the tables, what
/// TCP and HTTP remember, the head of a response and the beginning of one of a
/// request.
pub const RECORD_BYTES: usize = 2 * 1024;
/// Send buffer of a small socket, bytes: most pages and all heads.
pub const SMALL_SEND_BYTES: usize = 32 * 1024;
/// Send buffer of a large socket, bytes: what may be in flight.
pub const LARGE_SEND_BYTES: usize = 256 * 1024;
/// What smoltcp itself needs for a socket, bytes, rounded up.
const SOCKET_BYTES: usize = 2 * 1024;
/// Sockets that memory must suffice for at least, lest the server crawl.
pub const MIN_SOCKETS: usize = 64;

/// Which of the two sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// [`SMALL_SEND_BYTES`].
    Small,
    /// [`LARGE_SEND_BYTES`].
    Large,
}

impl Size {
    fn send_bytes(self) -> usize {
        match self {
            Size::Small => SMALL_SEND_BYTES,
            Size::Large => LARGE_SEND_BYTES,
        }
    }

    fn bytes(self) -> usize {
        self.send_bytes() + RECEIVE_BUFFER_BYTES + SOCKET_BYTES
    }
}

/// The least memory for `max_connections`, bytes.
pub fn least_bytes(max_connections: usize) -> usize {
    bytes_for(max_connections, MIN_SOCKETS)
}

/// Memory for `max_connections` and so many small `sockets`, bytes.
pub fn bytes_for(max_connections: usize, sockets: usize) -> usize {
    max_connections
        .saturating_mul(RECORD_BYTES)
        .saturating_add(sockets.saturating_mul(Size::Small.bytes()))
}

/// All sockets of a stack, in use or spare.
pub struct Pool {
    allowed_bytes: usize,
    /// Held by sockets, in use or spare.
    held_bytes: usize,
    in_use: usize,
    small: Vec<Tcb>,
    large: Vec<Tcb>,
}

impl Pool {
    /// A pool for what `memory_bytes` leave beside `max_connections` records.
    pub fn new(memory_bytes: usize, max_connections: usize) -> Pool {
        let records_bytes = max_connections.saturating_mul(RECORD_BYTES);
        Pool {
            allowed_bytes: memory_bytes.saturating_sub(records_bytes),
            held_bytes: 0,
            in_use: 0,
            small: Vec::new(),
            large: Vec::new(),
        }
    }

    /// How many are in use.
    pub fn in_use(&self) -> usize {
        self.in_use
    }

    /// A socket, or `None` when memory is used up. A quarter of it is kept for
    /// small ones.
    pub fn take(&mut self, size: Size) -> Option<Tcb> {
        let tcb = self.spare(size).pop().or_else(|| self.make(size))?;
        self.in_use += 1;
        Some(tcb)
    }

    fn make(&mut self, size: Size) -> Option<Tcb> {
        let allowed_bytes = match size {
            Size::Small => self.allowed_bytes,
            Size::Large => self.allowed_bytes / 4 * 3,
        };
        while self.held_bytes + size.bytes() > allowed_bytes {
            // Spare ones of the other size give way.
            let other = match size {
                Size::Small => Size::Large,
                Size::Large => Size::Small,
            };
            drop(self.spare(other).pop()?);
            self.held_bytes -= other.bytes();
        }
        self.held_bytes += size.bytes();
        Some(Tcb::new(size.send_bytes()))
    }

    /// Takes a socket back.
    pub fn give(&mut self, tcb: Tcb) {
        self.in_use -= 1;
        let size = if tcb.send_buffer_bytes() == LARGE_SEND_BYTES {
            Size::Large
        } else {
            Size::Small
        };
        self.spare(size).push(tcb);
    }

    fn spare(&mut self, size: Size) -> &mut Vec<Tcb> {
        match size {
            Size::Small => &mut self.small,
            Size::Large => &mut self.large,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_the_limit_and_spares_of_the_other_size_give_way() {
        let memory_bytes = 10 * RECORD_BYTES + 4 * Size::Large.bytes();
        let mut pool = Pool::new(memory_bytes, 10);
        let mut large: Vec<Tcb> = std::iter::from_fn(|| pool.take(Size::Large)).collect();
        assert_eq!(large.len(), 3, "a quarter is kept for small ones");
        let small: Vec<Tcb> = std::iter::from_fn(|| pool.take(Size::Small)).collect();
        assert_eq!(small.len(), Size::Large.bytes() / Size::Small.bytes());
        assert!(pool.take(Size::Large).is_none());
        pool.give(large.remove(0));
        let more: Vec<Tcb> = std::iter::from_fn(|| pool.take(Size::Small)).collect();
        assert!(more.len() >= Size::Large.bytes() / Size::Small.bytes());
        assert_eq!(pool.in_use(), 2 + small.len() + more.len());
        assert!(pool.held_bytes <= pool.allowed_bytes);
    }

    #[test]
    fn the_last_one_given_back_is_the_next_one_taken() {
        let mut pool = Pool::new(1 << 30, 1);
        let (first, second) = (pool.take(Size::Small), pool.take(Size::Small));
        let second = second.expect("memory for two");
        let mark = second.peek() as *const _;
        pool.give(first.expect("memory for two"));
        pool.give(second);
        let again = pool.take(Size::Small).expect("two are spare");
        assert_eq!(again.peek() as *const _, mark);
        assert_eq!(pool.in_use(), 1);
    }
}

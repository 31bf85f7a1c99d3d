//! Memory for the chunks of large files, used again and again.
//!
//! A chunk is large enough that the allocator would ask the kernel for it and give it
//! back each time, and to map, clear and unmap pages takes longer than to fill them.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Bytes read at once: large enough that the pool's overhead vanishes, small enough for
/// many connections.
pub const CHUNK_BYTES: usize = 256 * 1024;

/// Bytes read at once, and one piece at a time, when memory for bodies is short.
pub const FRUGAL_CHUNK_BYTES: usize = 32 * 1024;

/// Sizes of buffers that are kept: of the chunks that connections ask for, but for the last
/// of a file. A larger one than was asked for would be more than the connection is said to hold.
const SIZES_BYTES: [usize; 2] = [FRUGAL_CHUNK_BYTES, CHUNK_BYTES];

/// Buffers of a size that are kept: as many as [`FILES_AT_ONCE`](crate::config::FILES_AT_ONCE)
/// fill and some connections send from.
const MOST: usize = 16;

/// Buffers that nobody uses, by size. Copies share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Buffers([Shelf; SIZES_BYTES.len()]);

/// Those of a size.
///
/// File threads take them and may wait for each other; whoever sends from them, a
/// worker, gives them back and never waits.
#[derive(Debug, Clone)]
struct Shelf {
    spare: Arc<Mutex<Receiver<Vec<u8>>>>,
    home: SyncSender<Vec<u8>>,
}

impl Default for Shelf {
    fn default() -> Self {
        let (home, spare) = sync_channel(MOST);
        Shelf {
            spare: Arc::new(Mutex::new(spare)),
            home,
        }
    }
}

impl Shelf {
    fn take(&self) -> Option<Vec<u8>> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        spare.try_recv().ok()
    }
}

impl Buffers {
    /// An empty buffer with room for `len` bytes.
    pub(super) fn take(&self, len: usize) -> Vec<u8> {
        let spare = self.shelf(len).and_then(Shelf::take);
        spare.unwrap_or_else(|| Vec::with_capacity(len))
    }

    /// What a buffer holds, as bytes that come back here with their last copy.
    pub(super) fn share(&self, bytes: Vec<u8>) -> Bytes {
        match self.shelf(bytes.capacity()) {
            Some(shelf) => Bytes::from_owner(Lent {
                bytes,
                home: shelf.home.clone(),
            }),
            None => bytes.into(),
        }
    }

    fn shelf(&self, size: usize) -> Option<&Shelf> {
        let at = SIZES_BYTES.iter().position(|&kept| kept == size)?;
        Some(&self.0[at])
    }
}

struct Lent {
    bytes: Vec<u8>,
    home: SyncSender<Vec<u8>>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        // There are enough of them.
        let _ = self.home.try_send(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_with_the_last_copy_and_empty() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take(CHUNK_BYTES);
        buffer.extend_from_slice(b"content");
        let place = buffer.as_ptr();
        let bytes = buffers.share(buffer);
        let part = bytes.slice(3..);
        drop(bytes);
        let other = buffers.take(CHUNK_BYTES);
        assert_ne!(other.as_ptr(), place);
        assert_eq!(&part[..], b"tent");
        drop(part);
        let again = buffers.take(CHUNK_BYTES);
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
    }

    #[test]
    fn a_buffer_is_as_large_as_was_asked_for_whatever_came_back() {
        let buffers = Buffers::default();
        for size in [10, FRUGAL_CHUNK_BYTES, 40_000, CHUNK_BYTES] {
            drop(buffers.share(Vec::with_capacity(size)));
        }
        for size in [
            9,
            1_000,
            FRUGAL_CHUNK_BYTES,
            40_000,
            CHUNK_BYTES,
            CHUNK_BYTES,
        ] {
            assert_eq!(buffers.take(size).capacity(), size);
        }
    }

    #[test]
    fn no_more_are_kept_than_that() {
        let buffers = Buffers::default();
        let many = (0..2 * MOST).map(|_| buffers.share(Vec::with_capacity(CHUNK_BYTES)));
        drop(many.collect::<Vec<_>>());
        let kept = std::iter::from_fn(|| buffers.shelf(CHUNK_BYTES)?.take());
        assert_eq!(kept.count(), MOST);
    }
}

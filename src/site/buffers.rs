//! Memory for the chunks of large files, used again and again.
//!
//! A chunk is large enough that the allocator would ask the kernel for it and give it
//! back each time, and to map, clear and unmap pages takes longer than to fill them.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Buffers that are kept: as many as [`FILES_AT_ONCE`](crate::config::FILES_AT_ONCE) fill
/// and some connections send from.
const MOST: usize = 16;

/// Buffers that nobody uses. Copies share them.
///
/// File threads take them and may wait for each other; whoever sends from them, a
/// worker, gives them back and never waits.
#[derive(Debug, Clone)]
pub(super) struct Buffers {
    spare: Arc<Mutex<Receiver<Vec<u8>>>>,
    home: SyncSender<Vec<u8>>,
}

impl Default for Buffers {
    fn default() -> Self {
        let (home, spare) = sync_channel(MOST);
        Buffers {
            spare: Arc::new(Mutex::new(spare)),
            home,
        }
    }
}

impl Buffers {
    /// An empty buffer with room for `len` bytes at least.
    pub(super) fn take(&self, len: usize) -> Vec<u8> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let buffer = spare.try_recv().ok();
        drop(spare);
        buffer
            .filter(|buffer| buffer.capacity() >= len)
            .unwrap_or_else(|| Vec::with_capacity(len))
    }

    /// What a buffer holds, as bytes that come back here with their last copy.
    pub(super) fn share(&self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent {
            bytes,
            home: self.home.clone(),
        })
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
        let mut buffer = buffers.take(1_000);
        buffer.extend_from_slice(b"content");
        let place = buffer.as_ptr();
        let bytes = buffers.share(buffer);
        let part = bytes.slice(3..);
        drop(bytes);
        let other = buffers.take(1_000);
        assert_ne!(other.as_ptr(), place);
        assert_eq!(&part[..], b"tent");
        drop(part);
        let again = buffers.take(1_000);
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
    }

    #[test]
    fn one_that_is_too_small_is_not_used_and_no_more_are_kept_than_that() {
        let buffers = Buffers::default();
        drop(buffers.share(Vec::with_capacity(10)));
        assert!(buffers.take(1_000).capacity() >= 1_000);
        let many: Vec<Bytes> = (0..2 * MOST).map(|_| buffers.share(vec![1; 9])).collect();
        drop(many);
        let spare = buffers.spare.lock().expect("no panic");
        assert_eq!(spare.try_iter().count(), MOST);
    }
}

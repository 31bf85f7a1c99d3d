//! A body that is read from its file while it is sent.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::Context;
use crate::site::{Loader, OpenFile, ReadError};

/// Bytes read at once: large enough that the pool's overhead vanishes, small enough for many connections.
pub const CHUNK_BYTES: usize = 256 * 1024;

/// Chunks that a connection may have in memory or on the way: while one is sent, the next is read.
pub const MAX_CHUNKS: usize = 2;

/// Bytes read at once, and one piece at a time, when memory for bodies is short.
pub const FRUGAL_CHUNK_BYTES: usize = 32 * 1024;

/// The part of a file that is still to be read, and what of it has been.
#[derive(Debug)]
pub struct Stream {
    file: Arc<OpenFile>,
    /// Bytes of the file not asked for yet.
    to_ask: Range<u64>,
    /// Chunks asked for, in order: where each begins and ends, and its bytes when they have arrived.
    chunks: VecDeque<(Range<u64>, Option<Bytes>)>,
    /// Length of the chunk that was handed out last, while it is in hand.
    in_hand_bytes: u64,
}

impl Stream {
    /// The bytes of `file` in `range`.
    pub fn new(file: Arc<OpenFile>, range: Range<u64>) -> Self {
        Stream {
            file,
            to_ask: range,
            chunks: VecDeque::with_capacity(MAX_CHUNKS),
            in_hand_bytes: 0,
        }
    }

    /// Whether all bytes have been handed out.
    pub fn is_done(&self) -> bool {
        self.to_ask.is_empty() && self.chunks.is_empty()
    }

    /// Bytes of memory that its chunks take, or will.
    pub fn held_bytes(&self) -> u64 {
        let chunks = self.chunks.iter().map(|(range, _)| range.end - range.start);
        chunks.sum::<u64>() + self.in_hand_bytes
    }

    /// Whether a chunk has been asked for and not arrived.
    pub fn is_waiting(&self) -> bool {
        self.chunks.iter().any(|(_, bytes)| bytes.is_none())
    }

    /// Asks for chunks until, with the `held` that the connection has in hand, there are [`MAX_CHUNKS`];
    /// only one, and a small one, when memory is short.
    pub fn ask<L: Loader>(&mut self, held: usize, cx: &mut Context<'_, L>) {
        let (most, bytes) = match cx.frugal {
            true => (1, FRUGAL_CHUNK_BYTES),
            false => (MAX_CHUNKS, CHUNK_BYTES),
        };
        while self.chunks.len() + held < most && !self.to_ask.is_empty() {
            let offset = self.to_ask.start;
            let end = self.to_ask.end.min(offset + bytes as u64);
            cx.site.read(
                self.file.clone(),
                offset,
                (end - offset) as usize,
                cx.waiter,
            );
            self.chunks.push_back((offset..end, None));
            self.to_ask.start = end;
        }
    }

    /// Takes note of the chunk at `offset`; one that was not asked for is ignored.
    ///
    /// # Errors
    /// The chunk could not be read, so the body cannot be completed.
    pub fn arrived(
        &mut self,
        offset: u64,
        result: Result<Bytes, ReadError>,
    ) -> Result<(), ReadError> {
        if let Some((_, bytes)) = self
            .chunks
            .iter_mut()
            .find(|(range, bytes)| range.start == offset && bytes.is_none())
        {
            *bytes = Some(result?);
        }
        Ok(())
    }

    /// The next chunk in order, if it is there.
    pub fn next_chunk(&mut self) -> Option<Bytes> {
        self.in_hand_bytes = 0;
        let (range, bytes) = self.chunks.front_mut()?;
        let bytes = bytes.take()?;
        self.in_hand_bytes = range.end - range.start;
        self.chunks.pop_front();
        Some(bytes)
    }
}

//! A body that is read from its file while it is sent.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::Context;
use super::conn::Asked;
pub use crate::site::{CHUNK_BYTES, FRUGAL_CHUNK_BYTES};
use crate::site::{Loader, OpenFile, ReadError, ReadId};

/// Chunks that a connection may have in memory or on the way: while one is sent, the next is read.
pub const MAX_CHUNKS: usize = 2;

/// A piece of a body.
#[derive(Debug)]
pub enum Part {
    /// In memory.
    Memory(Bytes),
    /// To be read from the file.
    File(Arc<OpenFile>, Range<u64>),
}

/// What of a body is still to be read, and what of it has been.
#[derive(Debug)]
pub struct Stream {
    /// What has not been asked for yet. Ranges of one body do not overlap.
    to_ask: VecDeque<Part>,
    /// What comes next: chunks asked for, and what stands between them.
    chunks: VecDeque<Chunk>,
    /// Length of the chunk read that was handed out last, while it is in hand.
    in_hand_bytes: u64,
    /// What the response with this status answers, until any of it has been sent.
    asked: Option<(Asked, u16)>,
}

#[derive(Debug)]
enum Chunk {
    Memory(Bytes),
    /// Where in the file it begins and ends, as what it was asked for, and its bytes when they have arrived.
    File(Range<u64>, ReadId, Option<Bytes>),
}

impl Stream {
    /// A body of these parts, of the response with the status `code` to what was `asked`.
    pub(super) fn new(parts: impl Into<VecDeque<Part>>, asked: Asked, code: u16) -> Self {
        Stream {
            asked: Some((asked, code)),
            to_ask: parts.into(),
            chunks: VecDeque::with_capacity(MAX_CHUNKS),
            in_hand_bytes: 0,
        }
    }

    /// What the response answers, and its status, if it is still to begin.
    pub(super) fn take_asked(&mut self) -> Option<(Asked, u16)> {
        self.asked.take()
    }

    /// Whether all bytes have been handed out.
    pub fn is_done(&self) -> bool {
        self.to_ask.is_empty() && self.chunks.is_empty()
    }

    /// Bytes of memory that its chunks take, or will.
    pub fn held_bytes(&self) -> u64 {
        let chunks = self.reads().map(|(range, _)| range.end - range.start);
        chunks.sum::<u64>() + self.in_hand_bytes
    }

    /// Whether a chunk has been asked for and not arrived.
    pub fn is_waiting(&self) -> bool {
        self.reads().any(|(_, bytes)| bytes.is_none())
    }

    /// The chunks that are read from the file.
    fn reads(&self) -> impl Iterator<Item = (&Range<u64>, &Option<Bytes>)> {
        self.chunks.iter().filter_map(|chunk| match chunk {
            Chunk::File(range, _, bytes) => Some((range, bytes)),
            Chunk::Memory(_) => None,
        })
    }

    /// Asks for chunks until, with the one in hand, there are [`MAX_CHUNKS`]; only one, and a small one, when memory is
    /// short.
    pub fn ask<L: Loader>(&mut self, cx: &mut Context<'_, L>) {
        let (most, bytes) = match cx.frugal {
            true => (1, FRUGAL_CHUNK_BYTES),
            false => (MAX_CHUNKS, CHUNK_BYTES),
        };
        let mut held = self.reads().count() + usize::from(self.in_hand_bytes > 0);
        while held < most {
            let Some(part) = self.to_ask.pop_front() else {
                return;
            };
            let (file, range) = match part {
                Part::Memory(bytes) => {
                    self.chunks.push_back(Chunk::Memory(bytes));
                    continue;
                }
                Part::File(file, range) => (file, range),
            };
            let end = range.end.min(range.start + bytes as u64);
            let len = (end - range.start) as usize;
            let id = cx.site.read(file.clone(), range.start, len, cx.waiter);
            self.chunks
                .push_back(Chunk::File(range.start..end, id, None));
            held += 1;
            if end < range.end {
                self.to_ask.push_front(Part::File(file, end..range.end));
            }
        }
    }

    /// Takes note of what was read; what another response asked for is ignored.
    ///
    /// # Errors
    /// The chunk could not be read, so the body cannot be completed.
    pub fn arrived(
        &mut self,
        read: ReadId,
        result: Result<Bytes, ReadError>,
    ) -> Result<(), ReadError> {
        let awaited = self.chunks.iter_mut().find_map(|chunk| match chunk {
            Chunk::File(_, id, bytes @ None) if *id == read => Some(bytes),
            _ => None,
        });
        if let Some(bytes) = awaited {
            *bytes = Some(result?);
        }
        Ok(())
    }

    /// The next chunk in order, if it is there.
    pub fn next_chunk(&mut self) -> Option<Bytes> {
        self.in_hand_bytes = 0;
        let (bytes, read_bytes) = match self.chunks.front_mut()? {
            Chunk::Memory(bytes) => (std::mem::take(bytes), 0),
            Chunk::File(range, _, bytes) => (bytes.take()?, range.end - range.start),
        };
        self.in_hand_bytes = read_bytes;
        self.chunks.pop_front();
        Some(bytes)
    }
}

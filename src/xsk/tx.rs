//! The transmitting half: frames circulate pool → TX ring → kernel → completion
//! ring → pool.

use std::sync::Arc;

use libxdp_sys::xdp_desc;
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use super::frame::Chunks;
use super::large::Large;
use super::metadata::{self, TxChecksum};
use super::ring::{CompletionRing, TxRing};
use super::rx::XDP_PKT_CONTD;
use super::{Error, Link};

/// What the transmitting half has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxCounters {
    /// Frames queued.
    pub frames: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Frames not queued because no frame or no TX slot was free.
    pub not_ready: u64,
    /// Of those queued, the ones that took several chunks.
    pub large: u64,
    /// Frames not queued because they were empty or larger than any may be.
    pub bad_length: u64,
    /// Completions of chunks that the kernel did not have.
    pub bad_completions: u64,
    /// Wake-up calls.
    pub wakeups: u64,
    /// Wake-up calls that left work in the ring.
    pub again: u64,
    /// Frames that the kernel took and dropped (`EBUSY`).
    pub dropped: u64,
    /// Wake-up calls that found no kernel memory (`ENOBUFS`).
    pub full: u64,
    /// Wake-up calls that found the device down (`ENETDOWN`).
    pub down: u64,
}

/// What a wake-up call left behind.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The TX ring is drained, or the driver drains it by itself (zero copy).
    Done,
    /// There is more to send than one call does: wake again.
    Again,
    /// The kernel took a frame and dropped it, for the device refused it or has
    /// no carrier. Others may wait: wake again.
    Dropped,
    /// The kernel has no memory for a frame now; it stays. Wake again later.
    Full,
    /// The device is down; the frames stay. Wake again when it is up.
    Down,
}

/// The transmitting half of an [`Xsk`](super::Xsk).
pub struct Tx {
    ring: TxRing,
    completion: CompletionRing,
    chunks: Chunks,
    /// Chunks that are free; the one used last is on top, for it may be cached.
    free: Vec<u32>,
    /// Chunks that are neighbours, for frames that one does not hold.
    large: Large,
    /// Room before the frame, or a piece of it, in each chunk.
    metadata_bytes: usize,
    /// Options of a frame's first descriptor.
    options: u32,
    /// Whether the driver drains the ring by itself once it was woken.
    zero_copy: bool,
    counters: TxCounters,
    /// Keeps the rings and the UMEM alive; not touched per frame.
    link: Arc<dyn Link>,
}

impl Tx {
    /// Puts the half together. `chunks` are all ours, the last of them `large`'s;
    /// `completion` has room for them all, and `link` keeps the memory of all three.
    /// With a `checksum` the UMEM was registered for metadata.
    pub(super) fn new(
        ring: TxRing,
        completion: CompletionRing,
        mut chunks: Chunks,
        large: Large,
        checksum: Option<TxChecksum>,
        zero_copy: bool,
        link: Arc<dyn Link>,
    ) -> Tx {
        if let Some(metadata) = checksum.map(TxChecksum::metadata) {
            for chunk in 0..chunks.count() as u32 {
                if let Some(place) = chunks.chunks_mut(chunk, metadata.len()) {
                    place.copy_from_slice(&metadata);
                }
            }
        }
        let small = (0..chunks.count() as u32).filter(|&chunk| !large.holds(chunk));
        let free = small.rev().collect();
        let counters = TxCounters::default();
        Tx {
            ring,
            completion,
            chunks,
            free,
            large,
            metadata_bytes: checksum.map_or(0, |_| metadata::BYTES),
            options: checksum.map_or(0, |_| metadata::OPTION),
            zero_copy,
            counters,
            link,
        }
    }

    /// Takes finished chunks back into the pool; how many.
    pub fn reclaim(&mut self) -> usize {
        let before = self.chunks.given();
        while let Some(address) = self.completion.pop() {
            match self.chunks.find(address) {
                Some(chunk) if self.chunks.take(chunk) => match self.large.holds(chunk) {
                    true => self.large.take(chunk),
                    false => self.free.push(chunk),
                },
                _ => self.counters.bad_completions += 1,
            }
        }
        self.completion.commit();
        before - self.chunks.given()
    }

    /// Whether there are chunks and TX slots for a frame of any size, so that the next
    /// `send` succeeds.
    #[inline]
    pub fn ready(&mut self) -> bool {
        if !self.has_chunks() {
            self.reclaim();
        }
        self.has_chunks() && self.ring.available(self.large.chunks()) >= self.large.chunks()
    }

    #[inline]
    fn has_chunks(&self) -> bool {
        !self.free.is_empty() && self.large.has_room()
    }

    /// Whether the [`TxChecksum`] of what is submitted is finished by somebody else.
    #[inline]
    pub fn finishes_checksums(&self) -> bool {
        self.options != 0
    }

    /// The largest frame that `send` takes, in bytes.
    pub fn frame_capacity(&self) -> usize {
        self.piece_bytes() * self.large.chunks() as usize
    }

    /// The most of a frame that is in one chunk.
    fn piece_bytes(&self) -> usize {
        self.chunks.frame_bytes() - self.metadata_bytes
    }

    /// The bytes of the next frame, `len` of them, to be written in place; they are
    /// not zeroed. Nothing is queued before [`submit`](Tx::submit).
    ///
    /// None, counted, when not `ready` or when `len` is 0 or more than the frame
    /// capacity.
    pub fn reserve(&mut self, len: usize) -> Option<&mut [u8]> {
        // The kernel never completes a descriptor of no length: the frame would be lost.
        if len == 0 || len > self.frame_capacity() {
            self.counters.bad_length += 1;
            return None;
        }
        if !self.ready() {
            self.counters.not_ready += 1;
            return None;
        }
        let chunk = match len <= self.piece_bytes() {
            true => *self.free.last()?,
            false => self.large.next()?,
        };
        let before = self.metadata_bytes;
        let place = self.chunks.chunks_mut(chunk, before + len)?;
        place.get_mut(before..)
    }

    /// Queues the first `len` bytes of the frame reserved last, which was reserved with
    /// that length, to be published by [`commit`](Tx::commit). Without a frame to be
    /// had it does nothing.
    pub fn submit(&mut self, len: usize) {
        if len == 0 || !self.ready() {
            return;
        }
        if len > self.piece_bytes() {
            return self.submit_large(len.min(self.frame_capacity()));
        }
        let Some(chunk) = self.free.pop() else {
            return;
        };
        self.push(chunk, len, self.options);
        self.counters.frames += 1;
        self.counters.bytes += len as u64;
    }

    /// The same for a frame of several chunks: there is room for all of it.
    fn submit_large(&mut self, len: usize) {
        let Some(first) = self.large.next() else {
            return;
        };
        let piece_bytes = self.piece_bytes();
        let chunks = len.div_ceil(piece_bytes) as u32;
        self.spread(first, len);
        self.large.give(chunks);
        let mut options = self.options;
        for (chunk, start) in (first..first + chunks).zip((0..len).step_by(piece_bytes)) {
            let left = len - start;
            let continues = if left > piece_bytes { XDP_PKT_CONTD } else { 0 };
            self.push(chunk, left.min(piece_bytes), options | continues);
            options = 0;
        }
        self.counters.frames += 1;
        self.counters.large += 1;
        self.counters.bytes += len as u64;
    }

    /// Moves the pieces of a large frame, which was written in one go, to behind the
    /// room for metadata of their chunks.
    fn spread(&mut self, first: u32, len: usize) {
        let (before, piece_bytes) = (self.metadata_bytes, self.piece_bytes());
        let chunk_bytes = self.chunks.frame_bytes();
        let count = len.div_ceil(piece_bytes);
        if before == 0 {
            return;
        }
        let Some(bytes) = self.chunks.chunks_mut(first, count * chunk_bytes) else {
            return;
        };
        // The last first: each goes to where the beginning of the next one was.
        for piece in (1..count).rev() {
            let (start, end) = (piece * piece_bytes, len.min((piece + 1) * piece_bytes));
            bytes.copy_within(before + start..before + end, piece * chunk_bytes + before);
        }
    }

    /// Puts a chunk into the TX ring, which has room.
    fn push(&mut self, chunk: u32, len: usize, options: u32) {
        self.chunks.give(chunk);
        self.ring.push(xdp_desc {
            addr: self.chunks.address(chunk) + self.metadata_bytes as u64,
            len: len as u32,
            options,
        });
    }

    /// Reserves, lets `fill` write, and submits.
    pub fn send<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> Option<R> {
        // Should `fill` panic, the frame is still in the pool.
        let result = fill(self.reserve(len)?);
        self.submit(len);
        Some(result)
    }

    /// Publishes the frames queued so far to the kernel.
    pub fn commit(&mut self) {
        self.ring.commit();
    }

    /// Makes the kernel transmit what was published, if it needs to be told.
    ///
    /// In copy mode the call itself transmits, up to a budget; in zero copy it
    /// starts the driver. Follows `__xsk_generic_xmit` in net/xdp/xsk.c.
    ///
    /// # Errors
    /// When the socket is beyond waiting for, such as `ENXIO` once the device is
    /// gone.
    pub fn wake(&mut self) -> Result<Wake, Error> {
        if self.ring.drained() || !self.ring.needs_wakeup() {
            return Ok(Wake::Done);
        }
        self.counters.wakeups += 1;
        let wake = match send(self.link.fd(), &[], SendFlags::DONTWAIT) {
            Ok(_) if self.zero_copy || self.ring.drained() => Wake::Done,
            Ok(_) => Wake::Again,
            Err(errno) => outcome(errno).ok_or_else(|| Error::Socket {
                call: "send",
                queue: self.link.queue(),
                errno,
            })?,
        };
        match wake {
            Wake::Done => {}
            Wake::Again => self.counters.again += 1,
            Wake::Dropped => self.counters.dropped += 1,
            Wake::Full => self.counters.full += 1,
            Wake::Down => self.counters.down += 1,
        }
        Ok(wake)
    }

    /// How many chunks were queued and are not yet completed.
    pub fn pending(&self) -> usize {
        self.chunks.given()
    }

    /// What this half has done since it was opened.
    pub fn counters(&self) -> &TxCounters {
        &self.counters
    }
}

/// What a failed wake-up call means, unless the socket is beyond waiting for.
fn outcome(errno: Errno) -> Option<Wake> {
    match errno {
        // Budget spent, completion ring or socket buffer full, or a signal came.
        Errno::AGAIN | Errno::INTR => Some(Wake::Again),
        Errno::BUSY => Some(Wake::Dropped),
        Errno::NOBUFS => Some(Wake::Full),
        Errno::NETDOWN => Some(Wake::Down),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_of_a_wakeup_has_its_meaning() {
        assert_eq!(outcome(Errno::AGAIN), Some(Wake::Again));
        assert_eq!(outcome(Errno::INTR), Some(Wake::Again));
        assert_eq!(outcome(Errno::BUSY), Some(Wake::Dropped));
        assert_eq!(outcome(Errno::NOBUFS), Some(Wake::Full));
        assert_eq!(outcome(Errno::NETDOWN), Some(Wake::Down));
        assert_eq!(outcome(Errno::NXIO), None);
        assert_eq!(outcome(Errno::OPNOTSUPP), None);
    }
}

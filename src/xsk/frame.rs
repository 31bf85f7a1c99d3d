//! A received frame as a value that has one owner, and the table of who has
//! which chunk.

use std::ptr::NonNull;

/// Names a UMEM for as long as the machine is up: the kernel's cookie of its
/// socket (`SO_COOKIE`), which is never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UmemId(pub u64);

/// A received frame: the right to read it, and the duty to give it back with
/// [`Rx::recycle`](super::Rx::recycle).
///
/// It can't be copied, so that its chunk can't be given back twice or read after
/// it was given back, and it is of no use with another UMEM than its own. One
/// that is dropped instead is lost to reception until the socket closes.
#[must_use = "a frame that is not recycled is lost to reception"]
#[derive(Debug)]
pub struct Frame {
    pub(super) umem: UmemId,
    /// Offset of the first byte in the UMEM; behind the headroom of its chunk.
    pub(super) address: u32,
    pub(super) len: u32,
    /// Where it was put together, if it came in several chunks, which have gone back.
    pub(super) gathered: Option<Box<[u8]>>,
}

impl Frame {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is no byte in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The chunks of one half, RX or TX: a stretch of the UMEM, and who has each.
///
/// A chunk is either the kernel's, from when its address is put into the fill or
/// TX ring until it comes back by the RX or completion ring, or it is ours. The
/// table makes sure that no address, whatever comes out of a ring, leads to a
/// chunk of the other half, or to one that is already ours.
pub(super) struct Chunks {
    /// Byte 0 of the UMEM.
    umem: NonNull<u8>,
    frame_bytes: u32,
    /// The UMEM's number of the first chunk of this half.
    first: u32,
    /// By number within the half.
    with_kernel: Box<[bool]>,
    /// How many are set in `with_kernel`.
    given: usize,
}

// SAFETY: the bytes of a chunk that is ours are reached only through `Chunks`, by
// the ordinary rules of borrowing, and no two `Chunks` share one (contract of
// `new`); nothing in it belongs to a thread.
unsafe impl Send for Chunks {}

impl Chunks {
    /// The chunks `first..first + count` of a UMEM, all of them ours.
    ///
    /// # Safety
    /// While the `Chunks` is used, `umem` must point to live, initialised memory
    /// of at least `(first + count) * frame_bytes` bytes, at most 4 GiB, in which
    /// no one else uses these chunks but a kernel that touches only those it
    /// was given. `frame_bytes` must be a power of two.
    pub unsafe fn new(umem: NonNull<u8>, frame_bytes: u32, first: u32, count: u32) -> Chunks {
        debug_assert!(frame_bytes.is_power_of_two());
        let with_kernel = vec![false; count as usize].into_boxed_slice();
        Chunks {
            umem,
            frame_bytes,
            first,
            with_kernel,
            given: 0,
        }
    }

    /// How many chunks the kernel has.
    pub fn given(&self) -> usize {
        self.given
    }

    /// How many chunks there are.
    pub fn count(&self) -> usize {
        self.with_kernel.len()
    }

    /// Size of a chunk in bytes.
    pub fn frame_bytes(&self) -> usize {
        self.frame_bytes as usize
    }

    /// Where a chunk begins in the UMEM, for a ring entry.
    pub fn address(&self, chunk: u32) -> u64 {
        u64::from(self.first + chunk) * u64::from(self.frame_bytes)
    }

    /// The chunk, by number within this half, that an address from a ring lies
    /// in. An RX descriptor points behind the headroom, so any byte of it counts.
    pub fn find(&self, address: u64) -> Option<u32> {
        let chunk =
            (address >> self.frame_bytes.trailing_zeros()).checked_sub(self.first.into())?;
        (chunk < self.with_kernel.len() as u64).then_some(chunk as u32)
    }

    /// Whether `len` bytes from `address` on stay within their chunk.
    pub fn fits(&self, address: u64, len: u32) -> bool {
        let offset = address & u64::from(self.frame_bytes - 1);
        offset + u64::from(len) <= u64::from(self.frame_bytes)
    }

    /// Notes that the kernel gets a chunk; false if it had it already.
    pub fn give(&mut self, chunk: u32) -> bool {
        let given = self.set(chunk, true);
        self.given += usize::from(given);
        given
    }

    /// Notes that a chunk came back; false if the kernel did not have it.
    pub fn take(&mut self, chunk: u32) -> bool {
        let taken = self.set(chunk, false);
        self.given -= usize::from(taken);
        taken
    }

    /// Whether that changed anything.
    fn set(&mut self, chunk: u32, with_kernel: bool) -> bool {
        self.with_kernel
            .get_mut(chunk as usize)
            .is_some_and(|entry| std::mem::replace(entry, with_kernel) != with_kernel)
    }

    /// Bytes of the UMEM.
    ///
    /// # Safety
    /// They must lie in one chunk of this half that is ours and stays so, and is
    /// not written to, while the slice is in use.
    pub unsafe fn bytes(&self, address: u32, len: usize) -> &[u8] {
        // SAFETY: the address is inside the UMEM (contract of this function and `new`).
        let start = unsafe { self.umem.add(address as usize) };
        // SAFETY: live, initialised, and neither kernel nor program writes to it.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), len) }
    }

    /// The first `len` bytes of a chunk that is ours and of its neighbours, as far as
    /// they are needed and ours; or none if that is not enough.
    pub fn chunks_mut(&mut self, first: u32, len: usize) -> Option<&mut [u8]> {
        let count = len.div_ceil(self.frame_bytes()).max(1);
        let first_index = first as usize;
        let chunks = self.with_kernel.get(first_index..first_index + count)?;
        if chunks.contains(&true) {
            return None;
        }
        // SAFETY: the chunk is one of this half, so it is inside the UMEM.
        let start = unsafe { self.umem.add(self.address(first) as usize) };
        // SAFETY: live and initialised; the chunks are neighbours and of this half, ours,
        // not the kernel's, and `&mut self` is the only way to their bytes.
        Some(unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), len) })
    }
}

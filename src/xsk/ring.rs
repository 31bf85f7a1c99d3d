//! One end of a single-producer, single-consumer ring in shared memory, and the
//! four rings of AF_XDP made from it.
//!
//! A ring is a power-of-two array and two free-running 32-bit indices. The
//! producer alone writes the producer index, the consumer alone the consumer
//! index; the difference says how many entries wait. Our end is called *own*, the
//! kernel's *peer*.
//!
//! ```text
//!             consumer index            producer index
//!                  v                         v
//!   ... | free | entry | entry | ... | entry | free | ...      (index & mask)
//!
//!   a producer may write from producer up to consumer + size
//!   a consumer may read  from consumer up to producer
//! ```
//!
//! So either end may touch the entries from `next` up to `limit`, where
//! `limit = peer + reach`, and reach is the ring's size for a producer and 0 for
//! a consumer: that is all in which the ends differ. `next` runs ahead of our
//! published index until [`Cursor::commit`]; `limit` lags behind the peer's until
//! it is read again, which happens only when the entries known of don't suffice.
//! All arithmetic wraps modulo 2^32. Memory ordering follows the kernel's
//! net/xdp/xsk_queue.h: release on publishing our index, acquire on reading the
//! peer's.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use libxdp_sys::{XDP_RING_NEED_WAKEUP, xdp_desc};

/// Chunks we give to the kernel to receive into.
pub(super) type FillRing = Cursor<u64, Producer>;
/// Frames the kernel received for us.
pub(super) type RxRing = Cursor<xdp_desc, Consumer>;
/// Frames we want transmitted.
pub(super) type TxRing = Cursor<xdp_desc, Producer>;
/// Chunks whose transmission the kernel has finished.
pub(super) type CompletionRing = Cursor<u64, Consumer>;

/// Which end of a ring a cursor is.
pub(super) trait End {
    /// Whether this end writes entries.
    const PRODUCES: bool;
}

/// The end that writes entries.
pub(super) struct Producer;
/// The end that reads entries.
pub(super) struct Consumer;

impl End for Producer {
    const PRODUCES: bool = true;
}

impl End for Consumer {
    const PRODUCES: bool = false;
}

/// Where a ring lies in memory.
#[derive(Clone, Copy)]
pub(super) struct Layout<T> {
    /// The producer's index.
    pub producer: *mut u32,
    /// The consumer's index.
    pub consumer: *mut u32,
    /// The flags, `XDP_RING_NEED_WAKEUP` among them.
    pub flags: *mut u32,
    /// The first of `size` entries.
    pub entries: *mut T,
    /// How many entries; a power of two.
    pub size: u32,
}

/// One end of a ring.
pub(super) struct Cursor<T, E> {
    layout: Layout<T>,
    /// The next entry to write or read; ahead of our published index.
    next: u32,
    /// The first entry that is still the peer's, as far as we know.
    limit: u32,
    end: PhantomData<E>,
}

// SAFETY: a cursor is the only user of its end (contract of `new`), wherever it
// is; the other end is met only through atomic indices that hand entries over.
unsafe impl<T: Send, E> Send for Cursor<T, E> {}

impl<T: Copy, E: End> Cursor<T, E> {
    /// Takes hold of one end of a ring, where its index now stands.
    ///
    /// # Safety
    /// While the cursor is used, `layout` must point to live, aligned memory:
    /// three words that are only accessed atomically, and `size` (a power of two)
    /// initialised entries, for which every bit pattern is valid. No one else may
    /// act as this end, and the other end must keep to its part of the array.
    pub unsafe fn new(layout: Layout<T>) -> Self {
        debug_assert!(layout.size.is_power_of_two());
        let mut cursor = Cursor {
            layout,
            next: 0,
            limit: 0,
            end: PhantomData,
        };
        cursor.next = cursor.own().load(Ordering::Relaxed);
        cursor.refresh();
        cursor
    }

    /// How many entries may be written or read now. The peer's index is read
    /// again only when fewer than `want` are known of.
    pub fn available(&mut self, want: u32) -> u32 {
        if self.known() < want {
            self.refresh();
        }
        self.known()
    }

    /// Publishes every entry written or read so far to the other end.
    pub fn commit(&mut self) {
        self.own().store(self.next, Ordering::Release);
    }

    /// Whether the kernel asks to be woken for this ring.
    pub fn needs_wakeup(&self) -> bool {
        // A full fence: the kernel raises the flag and then looks at our index,
        // we publish our index and then look at the flag; one must see the other.
        fence(Ordering::SeqCst);
        self.word(self.layout.flags).load(Ordering::Relaxed) & XDP_RING_NEED_WAKEUP != 0
    }

    fn known(&self) -> u32 {
        // A peer whose index made no sense must not make us run round the ring.
        self.limit.wrapping_sub(self.next).min(self.layout.size)
    }

    fn refresh(&mut self) {
        let reach = if E::PRODUCES { self.layout.size } else { 0 };
        self.limit = self.peer().load(Ordering::Acquire).wrapping_add(reach);
    }

    fn own(&self) -> &AtomicU32 {
        self.word(if E::PRODUCES {
            self.layout.producer
        } else {
            self.layout.consumer
        })
    }

    fn peer(&self) -> &AtomicU32 {
        self.word(if E::PRODUCES {
            self.layout.consumer
        } else {
            self.layout.producer
        })
    }

    fn word(&self, word: *mut u32) -> &AtomicU32 {
        // SAFETY: `word` is one of the three of `layout`: live, aligned and only
        // accessed atomically while `self` is used (contract of `new`).
        unsafe { AtomicU32::from_ptr(word) }
    }

    fn slot(&self) -> *mut T {
        let index = self.next & (self.layout.size - 1);
        // SAFETY: `index` is below `size`, the number of entries (contract of `new`).
        unsafe { self.layout.entries.add(index as usize) }
    }
}

impl<T: Copy> Cursor<T, Producer> {
    /// Writes an entry, to be published by `commit`; false when the ring is full.
    pub fn push(&mut self, entry: T) -> bool {
        if self.available(1) == 0 {
            return false;
        }
        // SAFETY: the slot is inside the array and, being below `limit`, is ours
        // to write: the consumer has published that it is done with it.
        unsafe { self.slot().write(entry) };
        self.next = self.next.wrapping_add(1);
        true
    }

    /// Whether the consumer has taken every entry that was published.
    pub fn drained(&self) -> bool {
        self.peer().load(Ordering::Acquire) == self.own().load(Ordering::Relaxed)
    }
}

impl<T: Copy> Cursor<T, Consumer> {
    /// Reads an entry; its slot goes back to the producer with `commit`.
    pub fn pop(&mut self) -> Option<T> {
        if self.available(1) == 0 {
            return None;
        }
        // SAFETY: the slot is inside the array and, being below `limit`, has been
        // written and published by the producer, who leaves it alone until `commit`.
        let entry = unsafe { self.slot().read() };
        self.next = self.next.wrapping_add(1);
        Some(entry)
    }
}

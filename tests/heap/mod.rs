//! What a test's threads take of the heap.
#![allow(unsafe_code)]
#![allow(dead_code, reason = "each test file uses a part of this")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Allocations of this thread so far.
    pub static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// Bytes that it has allocated, less those that it has freed.
    pub static HELD_BYTES: Cell<i64> = const { Cell::new(0) };
    /// The most that these have been.
    pub static MOST_HELD_BYTES: Cell<i64> = const { Cell::new(0) };
}

/// The system's allocator, counting for each thread.
struct Counting;

fn count(more_bytes: i64) {
    let held_bytes = HELD_BYTES.get() + more_bytes;
    HELD_BYTES.set(held_bytes);
    MOST_HELD_BYTES.set(MOST_HELD_BYTES.get().max(held_bytes));
}

// SAFETY: every call goes unchanged to `System`, which upholds the contract; the counters are const-initialised
// thread-locals without a destructor, so touching them never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        count(layout.size() as i64);
        // SAFETY: the caller upholds the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: `pointer` came from `System` through `alloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        count(new_size as i64 - layout.size() as i64);
        // SAFETY: `pointer` came from `System` through `alloc`.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

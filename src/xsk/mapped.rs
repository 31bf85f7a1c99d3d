//! A ring of the kernel's, mapped into our memory.

use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};

use rustix::io::Errno;
use rustix::net::xdp::XdpRingOffset;

use super::ring::Layout;
use super::umem::last_error;

/// Which of a socket's rings: `XDP_PGOFF_*` and `XDP_UMEM_PGOFF_*` of linux/if_xdp.h.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(super) enum Which {
    Rx = 0,
    Tx = 0x8000_0000,
    Fill = 0x1_0000_0000,
    Completion = 0x1_8000_0000,
}

/// A mapped ring of `T`s, which the socket must have already.
pub(super) struct Mapped<T> {
    base: NonNull<u8>,
    bytes: usize,
    size: u32,
    producer: usize,
    consumer: usize,
    flags: usize,
    entries: usize,
    kind: PhantomData<T>,
}

// SAFETY: a mapping belongs to the process, not to a thread, and a `Mapped` gives no
// access to its bytes: it only says where they are.
unsafe impl<T> Send for Mapped<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Mapped<T> {}

impl<T> Mapped<T> {
    /// Maps a ring of `size` entries, its parts where `offsets` says.
    pub fn map(
        socket: BorrowedFd<'_>,
        which: Which,
        offsets: &XdpRingOffset,
        size: u32,
    ) -> Result<Mapped<T>, Errno> {
        // Linux before 5.4 has none, and no AF_XDP to speak of.
        let flags = offsets.flags.ok_or(Errno::AFNOSUPPORT)? as usize;
        let entries = offsets.desc as usize;
        let bytes = entries + size as usize * size_of::<T>();
        let (protection, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        let (fd, at) = (socket.as_raw_fd(), which as libc::off_t);
        // Populated, so that no page fault comes later.
        let how = shared | libc::MAP_POPULATE;
        // SAFETY: a new mapping, wherever the kernel likes, touches no other memory.
        let base = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, how, fd, at) };
        if base == libc::MAP_FAILED {
            return Err(last_error());
        }
        Ok(Mapped {
            base: NonNull::new(base.cast()).ok_or(Errno::NOMEM)?,
            bytes,
            size,
            producer: offsets.producer as usize,
            consumer: offsets.consumer as usize,
            flags,
            entries,
            kind: PhantomData,
        })
    }

    /// Where its parts are, for a cursor, which must not outlive the mapping.
    pub fn layout(&self) -> Layout<T> {
        let base = self.base.as_ptr();
        Layout {
            producer: base.wrapping_add(self.producer).cast(),
            consumer: base.wrapping_add(self.consumer).cast(),
            flags: base.wrapping_add(self.flags).cast(),
            entries: base.wrapping_add(self.entries).cast(),
            size: self.size,
        }
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: exactly what `map` mapped; cursors are held together with their
        // socket, which owns the mapping, so none is in use.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

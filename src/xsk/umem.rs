//! The memory of frames, and its registration with the kernel.

use std::ptr::{self, NonNull};
use std::sync::Arc;

use libxdp_sys::{
    xsk_ring_cons, xsk_ring_prod, xsk_umem, xsk_umem__create, xsk_umem__delete, xsk_umem__fd,
    xsk_umem_config,
};
use rustix::io::Errno;

use super::area::Area;
use super::config::Config;

/// A ring's description at an address that stays the same: libxdp keeps a pointer
/// to it, from which it unmaps the ring in the end.
pub(super) struct Pinned<T>(NonNull<T>);

// SAFETY: after creation libxdp reads it only in the deletion of its UMEM or
// socket, which has one owner; the pointers within are only copied from it here.
unsafe impl<T> Send for Pinned<T> {}
// SAFETY: as above; through a shared reference it is only read.
unsafe impl<T> Sync for Pinned<T> {}

impl Pinned<xsk_ring_prod> {
    /// A ring that libxdp is still to describe.
    pub fn producer() -> Pinned<xsk_ring_prod> {
        Pinned::new(xsk_ring_prod {
            cached_prod: 0,
            cached_cons: 0,
            mask: 0,
            size: 0,
            producer: ptr::null_mut(),
            consumer: ptr::null_mut(),
            ring: ptr::null_mut(),
            flags: ptr::null_mut(),
        })
    }
}

impl Pinned<xsk_ring_cons> {
    /// A ring that libxdp is still to describe.
    pub fn consumer() -> Pinned<xsk_ring_cons> {
        Pinned::new(xsk_ring_cons {
            cached_prod: 0,
            cached_cons: 0,
            mask: 0,
            size: 0,
            producer: ptr::null_mut(),
            consumer: ptr::null_mut(),
            ring: ptr::null_mut(),
            flags: ptr::null_mut(),
        })
    }
}

impl<T: Copy> Pinned<T> {
    fn new(value: T) -> Pinned<T> {
        Pinned(NonNull::from(Box::leak(Box::new(value))))
    }

    /// Where it is, for libxdp to keep.
    pub fn as_ptr(&self) -> *mut T {
        self.0.as_ptr()
    }

    /// What libxdp wrote there.
    pub fn get(&self) -> T {
        // SAFETY: allocated and initialised by `new`, freed only in `drop`.
        unsafe { self.0.as_ptr().read() }
    }
}

impl<T> Drop for Pinned<T> {
    fn drop(&mut self) {
        // SAFETY: leaked from a box in `new`; the deletion that used it is past,
        // for the owner deletes in its own `drop`, before that of its fields.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// An area registered with the kernel, with its fill and completion rings.
pub(super) struct Umem {
    handle: NonNull<xsk_umem>,
    pub fill: Pinned<xsk_ring_prod>,
    pub completion: Pinned<xsk_ring_cons>,
    /// Last, so that it is unmapped last.
    pub area: Arc<Area>,
}

// SAFETY: libxdp binds a UMEM to no thread; the handle is used in creation and
// deletion only, both by the one owner.
unsafe impl Send for Umem {}
// SAFETY: a shared reference only reads the handle's file descriptor.
unsafe impl Sync for Umem {}

impl Umem {
    /// Registers an area with a socket of its own and makes the two rings.
    pub fn register(area: Arc<Area>, config: &Config) -> Result<Umem, Errno> {
        let (fill, completion) = (Pinned::producer(), Pinned::consumer());
        let umem_config = xsk_umem_config {
            fill_size: config.fill_ring(),
            // Room for every chunk of the TX half, so it can't overflow.
            comp_size: config.completion_ring(),
            frame_size: config.frame_bytes,
            frame_headroom: 0,
            flags: 0,
        };
        let mut handle = ptr::null_mut();
        // SAFETY: all pointers are live; libxdp keeps those to `area`, `fill` and
        // `completion`, which the `Umem` keeps in place until it is deleted.
        let result = unsafe {
            xsk_umem__create(
                &mut handle,
                area.base().as_ptr().cast(),
                config.umem_bytes() as u64,
                fill.as_ptr(),
                completion.as_ptr(),
                &umem_config,
            )
        };
        check(result)?;
        let handle = NonNull::new(handle).ok_or(Errno::NOMEM)?;
        Ok(Umem {
            handle,
            fill,
            completion,
            area,
        })
    }

    /// libxdp's handle, for the creation of the socket.
    pub fn as_ptr(&self) -> *mut xsk_umem {
        self.handle.as_ptr()
    }

    /// The file descriptor of the UMEM, which its first socket shares.
    pub fn raw_fd(&self) -> i32 {
        // SAFETY: the handle is live until `drop`.
        unsafe { xsk_umem__fd(self.handle.as_ptr()) }
    }
}

impl Drop for Umem {
    fn drop(&mut self) {
        // SAFETY: the handle is live, its socket (which holds the `Umem` as a
        // field) has been deleted before, and area and rings outlive this call.
        unsafe { xsk_umem__delete(self.handle.as_ptr()) };
    }
}

/// The result of a libxdp function: 0 or a negated errno.
pub(super) fn check(result: i32) -> Result<(), Errno> {
    match result {
        0 => Ok(()),
        negative => Err(Errno::from_raw_os_error(-negative)),
    }
}

/// What the last failed libc call of this thread said.
pub(super) fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

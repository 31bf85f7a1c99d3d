//! The memory of frames, and its registration with the kernel.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::sockopt::{
    set_xdp_umem_completion_ring_size, set_xdp_umem_fill_ring_size, set_xdp_umem_reg,
    xdp_mmap_offsets,
};
use rustix::net::xdp::{XdpUmemReg, XdpUmemRegFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::area::Area;
use super::config::Config;
use super::mapped::{Mapped, Which};
use super::metadata;

/// An area registered with the kernel, with its fill and completion rings.
pub(super) struct Umem {
    pub fill: Mapped<u64>,
    pub completion: Mapped<u64>,
    fd: OwnedFd,
    /// Last, so that it is unmapped last.
    pub area: Arc<Area>,
}

impl Umem {
    /// Registers an area with a new socket and makes the two rings.
    pub fn register(area: Arc<Area>, config: &Config) -> Result<Umem, Errno> {
        let cloexec = SocketFlags::CLOEXEC;
        let fd = socket_with(AddressFamily::XDP, SocketType::RAW, cloexec, None)?;
        let tx_metadata_len = config.tx_metadata_bytes();
        let flags = match tx_metadata_len {
            0 => XdpUmemRegFlags::empty(),
            _ => XdpUmemRegFlags::from_bits_retain(metadata::UMEM_FLAG),
        };
        set_xdp_umem_reg(
            &fd,
            XdpUmemReg {
                addr: area.base().as_ptr() as u64,
                len: config.umem_bytes() as u64,
                chunk_size: config.frame_bytes,
                headroom: 0,
                flags,
                tx_metadata_len,
            },
        )?;
        // Room for every chunk of the TX half, so the completion ring can't overflow.
        let (fill, completion) = (config.fill_ring(), config.completion_ring());
        set_xdp_umem_fill_ring_size(&fd, fill)?;
        set_xdp_umem_completion_ring_size(&fd, completion)?;
        let offsets = xdp_mmap_offsets(&fd)?;
        Ok(Umem {
            fill: Mapped::map(fd.as_fd(), Which::Fill, &offsets.fr, fill)?,
            completion: Mapped::map(fd.as_fd(), Which::Completion, &offsets.cr, completion)?,
            fd,
            area,
        })
    }
}

impl AsFd for Umem {
    /// The socket that it was registered with.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What the last failed libc call of this thread said.
pub(super) fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

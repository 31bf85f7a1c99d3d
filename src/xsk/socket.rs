//! An AF_XDP socket on one queue of a device: created, bound, deleted.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use libxdp_sys::xdp_desc;
use rustix::io::Errno;
use rustix::net::netdevice::name_to_index;
use rustix::net::sockopt::{
    set_xdp_rx_ring_size, set_xdp_tx_ring_size, socket_cookie, xdp_mmap_offsets, xdp_options,
};
use rustix::net::xdp::{SocketAddrXdp, SocketAddrXdpFlags, XdpOptionsFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::area::Area;
use super::config::Config;
use super::frame::{Chunks, UmemId};
use super::mapped::{Mapped, Which};
use super::ring::{Cursor, FillRing};
use super::rx::prime;
use super::umem::Umem;
use super::{Error, Link};

/// How long a queue is asked for again. The kernel lets go of a closed socket's
/// queue only after a grace period, tens of milliseconds as a rule.
const BUSY_PATIENCE: Duration = Duration::from_secs(2);
/// The first pause between two attempts; each further one doubles.
const BUSY_FIRST_PAUSE: Duration = Duration::from_millis(5);
/// The longest pause between two attempts.
const BUSY_LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// `XDP_MAX_TX_SKB_BUDGET` of linux/if_xdp.h (Linux 6.17), not yet in libc.
const XDP_MAX_TX_SKB_BUDGET: libc::c_int = 9;

/// How a socket is to be bound.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Bind {
    Copy,
    ZeroCopy,
}

/// A bound socket with its RX and TX rings, and the UMEM it can't be without.
pub(super) struct Socket {
    queue: u32,
    pub rx: Mapped<xdp_desc>,
    pub tx: Mapped<xdp_desc>,
    /// Last, so that the socket is closed after its rings are unmapped.
    pub umem: Umem,
}

impl Link for Socket {
    fn fd(&self) -> BorrowedFd<'_> {
        self.umem.as_fd()
    }

    fn queue(&self) -> u32 {
        self.queue
    }
}

impl Socket {
    /// Binds, asking again for a while if the queue is taken. Returns the fill
    /// ring and the RX half's chunks with the socket. `area` is the memory of the frames.
    pub fn open(
        config: &Config,
        bind: Bind,
        area: &Arc<Area>,
    ) -> Result<(Socket, FillRing, Chunks), Error> {
        let deadline = Instant::now() + BUSY_PATIENCE;
        let mut pause = BUSY_FIRST_PAUSE;
        loop {
            match Socket::attempt(config, bind, area) {
                Err(Error::Busy { .. }) if Instant::now() + pause < deadline => {
                    std::thread::sleep(pause);
                    pause = (2 * pause).min(BUSY_LONGEST_PAUSE);
                }
                result => return result,
            }
        }
    }

    // A failed attempt starts over from the UMEM: what a refused bind leaves behind in a
    // socket has differed between kernels. The memory stays the same: a closed socket's
    // pages are free only a moment later, and huge ones are few.
    fn attempt(
        config: &Config,
        bind: Bind,
        area: &Arc<Area>,
    ) -> Result<(Socket, FillRing, Chunks), Error> {
        let umem =
            Umem::register(area.clone(), config).map_err(|errno| umem_error(config, errno))?;
        // SAFETY: the ring stays mapped while the UMEM, which the halves hold, lives, and
        // the kernel keeps its part; this is its only cursor.
        let mut fill: FillRing = unsafe { Cursor::new(umem.fill.layout()) };
        // SAFETY: the area holds `config.frames()` chunks, these come first, and
        // the TX half uses only those behind them.
        let mut chunks =
            unsafe { Chunks::new(umem.area.base(), config.frame_bytes, 0, config.fill_frames) };
        // Before the bind, at which a zero-copy driver looks for frames.
        prime(&mut fill, &mut chunks);
        let socket =
            Socket::create(umem, config, bind).map_err(|errno| bind_error(config, bind, errno))?;
        Ok((socket, fill, chunks))
    }

    fn create(umem: Umem, config: &Config, bind: Bind) -> Result<Socket, Errno> {
        let fd = umem.as_fd();
        set_xdp_rx_ring_size(fd, config.rx_ring)?;
        set_xdp_tx_ring_size(fd, config.tx_ring)?;
        let offsets = xdp_mmap_offsets(fd)?;
        let rx = Mapped::map(fd, Which::Rx, &offsets.rx, config.rx_ring)?;
        let tx = Mapped::map(fd, Which::Tx, &offsets.tx, config.tx_ring)?;
        let mut flags = SocketAddrXdpFlags::XDP_USE_NEED_WAKEUP;
        flags |= match bind {
            Bind::Copy => SocketAddrXdpFlags::XDP_COPY,
            Bind::ZeroCopy => SocketAddrXdpFlags::XDP_ZEROCOPY,
        };
        // Linux 6.6.
        flags.set(SocketAddrXdpFlags::XDP_USE_SG, config.has_frags());
        // An AF_XDP socket does not know names of devices.
        let cloexec = SocketFlags::CLOEXEC;
        let names = socket_with(AddressFamily::UNIX, SocketType::DGRAM, cloexec, None)?;
        let device = name_to_index(names, &config.ifname)?;
        rustix::net::bind(fd, &SocketAddrXdp::new(flags, device, config.queue))?;
        Ok(Socket {
            queue: config.queue,
            rx,
            tx,
            umem,
        })
    }

    /// The kernel's cookie of the socket, which names its UMEM.
    pub fn umem_id(&self) -> Result<UmemId, Errno> {
        socket_cookie(self.fd()).map(UmemId)
    }

    /// Whether frames pass without being copied, asked of the kernel.
    pub fn zero_copy(&self) -> Result<bool, Errno> {
        Ok(xdp_options(self.fd())?.contains(XdpOptionsFlags::XDP_OPTIONS_ZEROCOPY))
    }

    /// Lets one wake-up call of copy mode transmit up to `frames`, instead of 32.
    /// Kernels before 6.17 can't; nothing depends on it.
    ///
    /// `SO_SNDBUF`, which each frame is charged to until the device is done with it, stays as
    /// it is: on veth that is before the call returns. Whether it was 208 KiB or 8 MiB, with
    /// bodies of 1 KiB, 100 KiB and 10 MiB no call ended for want of it.
    pub fn raise_tx_budget(&self, frames: u32) {
        let value: *const u32 = &frames;
        let bytes = size_of::<u32>() as libc::socklen_t;
        let fd = self.fd().as_raw_fd();
        // SAFETY: `value` points to `bytes` readable bytes during the call.
        unsafe {
            libc::setsockopt(
                fd,
                libc::SOL_XDP,
                XDP_MAX_TX_SKB_BUDGET,
                value.cast(),
                bytes,
            )
        };
    }
}

/// Maps the memory of the frames.
pub(super) fn map(config: &Config) -> Result<Arc<Area>, Error> {
    let area = Area::new(config.umem_bytes(), config.hugepages, config.node);
    let area = area.map_err(|errno| umem_error(config, errno))?;
    Ok(Arc::new(area))
}

/// Has the wake-up calls of a socket run its device's receive loop (NAPI) on their own
/// processor, up to `frames` of them a call, instead of waiting for the interrupt to do it.
///
/// # Errors
/// `ENOPROTOOPT` from a kernel without busy polling (`CONFIG_NET_RX_BUSY_POLL`) or before
/// 5.11, `EPERM` without CAP_NET_ADMIN.
pub(super) fn prefer_busy_poll(fd: BorrowedFd<'_>, time_us: u32, frames: u32) -> Result<(), Errno> {
    set(fd, libc::SO_PREFER_BUSY_POLL, 1)?;
    set(fd, libc::SO_BUSY_POLL, time_us)?;
    set(fd, libc::SO_BUSY_POLL_BUDGET, frames)
}

/// Whether the socket knows the NAPI that it would poll.
pub(super) fn has_napi(fd: BorrowedFd<'_>) -> bool {
    let mut id: u32 = 0;
    let mut bytes = size_of::<u32>() as libc::socklen_t;
    let value: *mut u32 = &mut id;
    // SAFETY: `value` points to `bytes` writable bytes during the call.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_INCOMING_NAPI_ID,
            value.cast(),
            &mut bytes,
        )
    };
    result == 0 && id != 0
}

/// Sets an option of any socket whose value is a number.
fn set(fd: BorrowedFd<'_>, option: libc::c_int, value: u32) -> Result<(), Errno> {
    let value: *const u32 = &value;
    let bytes = size_of::<u32>() as libc::socklen_t;
    let fd = fd.as_raw_fd();
    // SAFETY: `value` points to `bytes` readable bytes during the call.
    match unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, option, value.cast(), bytes) } {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)),
    }
}

fn umem_error(config: &Config, errno: Errno) -> Error {
    let ifname = config.ifname.clone();
    match errno {
        Errno::PERM | Errno::ACCESS => Error::Permission { ifname },
        Errno::AFNOSUPPORT => Error::NoAfXdp,
        // ENOBUFS is what XDP_UMEM_REG says when RLIMIT_MEMLOCK is reached.
        Errno::NOMEM | Errno::NOBUFS => Error::Memory {
            ifname,
            bytes: config.umem_bytes(),
            errno,
        },
        // A kernel before 6.11 does not know the flag.
        Errno::INVAL if config.tx_checksum.is_some() => Error::NoTxMetadata { ifname },
        errno => Error::System {
            what: "registering packet memory (UMEM)",
            ifname,
            queue: config.queue,
            errno,
        },
    }
}

fn bind_error(config: &Config, bind: Bind, errno: Errno) -> Error {
    let (ifname, queue) = (config.ifname.clone(), config.queue);
    match errno {
        Errno::PERM | Errno::ACCESS => Error::Permission { ifname },
        Errno::NODEV | Errno::NXIO => Error::NoDevice { ifname },
        Errno::BUSY => Error::Busy { ifname, queue },
        Errno::NOMEM | Errno::NOBUFS => Error::Memory {
            ifname,
            bytes: config.umem_bytes(),
            errno,
        },
        Errno::OPNOTSUPP if bind == Bind::ZeroCopy => Error::NoZeroCopy { ifname },
        errno => match queues(&ifname) {
            Some(queues) if errno == Errno::INVAL && queue >= queues => Error::NoQueue {
                ifname,
                queue,
                queues,
            },
            // A kernel before 6.6 does not know the flag.
            _ if errno == Errno::INVAL && config.has_frags() => Error::NoFrags {
                ifname,
                bytes: config.largest_bytes,
                most: config.receivable_bytes(),
            },
            _ => Error::System {
                what: "binding an AF_XDP socket",
                ifname,
                queue,
                errno,
            },
        },
    }
}

/// How many queues a device has, from sysfs: the kernel admits a socket on a
/// queue of either direction.
fn queues(ifname: &str) -> Option<u32> {
    let (mut rx, mut tx) = (0, 0);
    for entry in std::fs::read_dir(format!("/sys/class/net/{ifname}/queues")).ok()? {
        let name = entry.ok()?.file_name();
        rx += u32::from(name.as_encoded_bytes().starts_with(b"rx-"));
        tx += u32::from(name.as_encoded_bytes().starts_with(b"tx-"));
    }
    Some(rx.max(tx))
}

//! What can go wrong with a UMEM or an AF_XDP socket, one line a cause.

use rustix::io::Errno;

/// Why an AF_XDP socket could not be had, or no longer works.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value of [`Config`](super::Config) that the kernel would refuse.
    #[error("AF_XDP socket settings: {0}")]
    Setting(String),
    /// `EPERM` or `EACCES`.
    #[error(
        "not permitted to open an AF_XDP socket on {ifname}: run as root, or grant CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF"
    )]
    Permission {
        /// The network device.
        ifname: String,
    },
    /// `EAFNOSUPPORT`: `CONFIG_XDP_SOCKETS` is off.
    #[error(
        "this kernel has no AF_XDP sockets: it needs CONFIG_XDP_SOCKETS=y (Linux 5.4 or newer)"
    )]
    NoAfXdp,
    /// `ENODEV`.
    #[error("there is no network device {ifname} in this network namespace")]
    NoDevice {
        /// The name that was asked for.
        ifname: String,
    },
    /// `EINVAL` at bind, and the device has fewer queues.
    #[error("{ifname} has no queue {queue}: it has {queues}, counted from 0")]
    NoQueue {
        /// The network device.
        ifname: String,
        /// The queue that was asked for.
        queue: u32,
        /// How many queues the device has.
        queues: u32,
    },
    /// `EOPNOTSUPP` when zero copy was demanded.
    #[error("the driver of {ifname} has no zero copy; leave out -z")]
    NoZeroCopy {
        /// The network device.
        ifname: String,
    },
    /// `EINVAL` at bind, when frames were to take several chunks.
    #[error(
        "this kernel's AF_XDP has no frames of {bytes} bytes on {ifname}, {most} at most (larger \
         ones need Linux 6.6): ip link set dev {ifname} mtu {}", .most - 14
    )]
    NoFrags {
        /// The network device.
        ifname: String,
        /// The largest frame of the device's MTU, bytes.
        bytes: u32,
        /// The largest that would work, bytes.
        most: u32,
    },
    /// `EINVAL` from the registration of a UMEM with room for metadata.
    #[error(
        "this kernel's AF_XDP leaves no checksum to {ifname} (that needs Linux 6.11): use \
         --tx-checksum software"
    )]
    NoTxMetadata {
        /// The network device.
        ifname: String,
    },
    /// Zero copy, in which nobody would do what the driver does not.
    #[error(
        "the driver of {ifname} finishes no checksum of AF_XDP frames in zero copy: use \
         --tx-checksum software, or copy mode (-c)"
    )]
    NoTxChecksum {
        /// The network device.
        ifname: String,
    },
    /// `EBUSY` for longer than a closing socket needs.
    #[error(
        "queue {queue} of {ifname} is taken: another process has an AF_XDP socket there; end it, or choose another queue with -Q"
    )]
    Busy {
        /// The network device.
        ifname: String,
        /// The queue that is taken.
        queue: u32,
    },
    /// `ENOMEM`, or `ENOBUFS` when the limit on locked memory is reached.
    #[error(
        "cannot get {bytes} bytes of packet memory (UMEM) for {ifname}: {errno}; raise the limit on locked memory (ulimit -l) or grant CAP_IPC_LOCK"
    )]
    Memory {
        /// The network device.
        ifname: String,
        /// The size of the UMEM.
        bytes: usize,
        /// What the kernel said.
        errno: Errno,
    },
    /// The limit on locked memory stays as it is; only a warning, because the packets'
    /// memory may be less.
    #[error("cannot raise the limit on locked memory (ulimit -l), without CAP_IPC_LOCK: {0}")]
    Memlock(Errno),
    /// Any other refusal.
    #[error("{what} failed on queue {queue} of {ifname}: {errno}")]
    System {
        /// The step that failed.
        what: &'static str,
        /// The network device.
        ifname: String,
        /// The queue.
        queue: u32,
        /// What the kernel said.
        errno: Errno,
    },
    /// A system call on an open socket failed in a way that waiting won't cure,
    /// such as `ENXIO`: the device is gone.
    #[error("{call} on the AF_XDP socket of queue {queue} failed: {errno}")]
    Socket {
        /// The system call.
        call: &'static str,
        /// The queue.
        queue: u32,
        /// What the kernel said.
        errno: Errno,
    },
}

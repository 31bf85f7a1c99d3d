//! The libbpf calls we need, made safe: numbers in, `io::Result` and owned descriptors out.
//!
//! Each function is one libbpf call (its documentation: libbpf's `bpf.h` and `libbpf.h`).

use std::ffi::{CStr, c_int, c_void};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use libbpf_sys as sys;

/// libbpf's own error numbers begin here, above the kernel's.
const LIBBPF_ERRNO_START: i32 = 4000;

/// Turns libbpf's "0 or more, or minus errno" into a result.
pub(super) fn check(returned: c_int) -> io::Result<c_int> {
    match returned {
        0.. => Ok(returned),
        failed => Err(error(-failed)),
    }
}

/// An error number of libbpf or the kernel with its text.
pub(super) fn error(number: i32) -> io::Error {
    if number < LIBBPF_ERRNO_START {
        return io::Error::from_raw_os_error(number);
    }
    let mut text = [0u8; 128];
    // SAFETY: libbpf writes at most `text.len()` bytes, the terminating 0 included.
    unsafe { sys::libbpf_strerror(number, text.as_mut_ptr().cast(), text.len() as sys::size_t) };
    let text = CStr::from_bytes_until_nul(&text).unwrap_or(c"unknown libbpf error");
    io::Error::other(text.to_string_lossy().into_owned())
}

fn owned(returned: c_int) -> io::Result<OwnedFd> {
    let fd = check(returned)?;
    // SAFETY: the call that returned `fd` opened it for its caller alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// BPF_LINK_CREATE of type XDP. `flags`: one of XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE.
pub(super) fn xdp_link_create(
    program: BorrowedFd<'_>,
    ifindex: u32,
    flags: u32,
) -> io::Result<OwnedFd> {
    let options = sys::bpf_link_create_opts {
        sz: size_of::<sys::bpf_link_create_opts>() as sys::size_t,
        flags,
        ..Default::default()
    };
    let (program, ifindex) = (program.as_raw_fd(), ifindex as c_int);
    // SAFETY: `options` is valid for the call and names its own size.
    owned(unsafe { sys::bpf_link_create(program, ifindex, sys::BPF_XDP, &options) })
}

/// BPF_LINK_DETACH: frees the hook at once, whoever else holds the link open.
pub(super) fn link_detach(link: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: only a number goes in.
    check(unsafe { sys::bpf_link_detach(link.as_raw_fd()) }).map(drop)
}

/// The id of the first link above `id`, or `None` after the last one.
pub(super) fn link_next_id(id: u32) -> io::Result<Option<u32>> {
    let mut next = 0;
    // SAFETY: `next` is valid for the write.
    match check(unsafe { sys::bpf_link_get_next_id(id, &mut next) }) {
        Ok(_) => Ok(Some(next)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn link_by_id(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: only a number goes in.
    owned(unsafe { sys::bpf_link_get_fd_by_id(id) })
}

/// What an XDP link holds where.
pub(super) struct XdpLinkInfo {
    pub(super) program_id: u32,
    /// As counted in the device's own network namespace, which isn't told.
    pub(super) ifindex: u32,
}

/// `None` if the link is not of type XDP.
pub(super) fn xdp_link_info(link: BorrowedFd<'_>) -> io::Result<Option<XdpLinkInfo>> {
    let mut info = sys::bpf_link_info::default();
    let mut size = size_of::<sys::bpf_link_info>() as u32;
    // SAFETY: `info` is valid for writes of `size` bytes.
    check(unsafe { sys::bpf_link_get_info_by_fd(link.as_raw_fd(), &mut info, &mut size) })?;
    if info.type_ != sys::BPF_LINK_TYPE_XDP {
        return Ok(None);
    }
    // SAFETY: for this type the kernel filled the member `xdp`, and any bits are a number.
    let ifindex = unsafe { info.__bindgen_anon_1.xdp.ifindex };
    let program_id = info.prog_id;
    Ok(Some(XdpLinkInfo {
        program_id,
        ifindex,
    }))
}

/// The ids of the programs attached to a device; 0 is none.
pub(super) struct XdpQuery {
    pub(super) native: u32,
    pub(super) generic: u32,
}

pub(super) fn xdp_query(ifindex: u32) -> io::Result<XdpQuery> {
    let mut options = sys::bpf_xdp_query_opts {
        // Up to here: beyond, libbpf would also ask for the driver's features.
        sz: std::mem::offset_of!(sys::bpf_xdp_query_opts, feature_flags) as sys::size_t,
        ..Default::default()
    };
    // SAFETY: `options` is valid for writes and names a size not above its own.
    check(unsafe { sys::bpf_xdp_query(ifindex as c_int, 0, &mut options) })?;
    // With a single program older kernels fill only prog_id and the mode.
    let only = |mode: u32, id: u32| match id {
        0 if u32::from(options.attach_mode) == mode => options.prog_id,
        id => id,
    };
    Ok(XdpQuery {
        native: only(sys::XDP_ATTACHED_DRV, options.drv_prog_id),
        generic: only(sys::XDP_ATTACHED_SKB, options.skb_prog_id),
    })
}

pub(super) fn program_by_id(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: only a number goes in.
    owned(unsafe { sys::bpf_prog_get_fd_by_id(id) })
}

/// A program's name, cut to 15 bytes as the kernel keeps it.
pub(super) fn program_name(program: BorrowedFd<'_>) -> io::Result<String> {
    let mut info = sys::bpf_prog_info::default();
    let mut size = size_of::<sys::bpf_prog_info>() as u32;
    // SAFETY: `info` is valid for writes of `size` bytes, and all its pointers are null.
    check(unsafe { sys::bpf_prog_get_info_by_fd(program.as_raw_fd(), &mut info, &mut size) })?;
    let name: Vec<u8> = info
        .name
        .iter()
        .map(|&c| c as u8)
        .take_while(|&c| c != 0)
        .collect();
    Ok(String::from_utf8_lossy(&name).into_owned())
}

/// Attaches by netlink: stays until somebody takes it away.
pub(super) fn xdp_attach(program: BorrowedFd<'_>, ifindex: u32, flags: u32) -> io::Result<()> {
    let (program, ifindex) = (program.as_raw_fd(), ifindex as c_int);
    // SAFETY: the options may be null.
    check(unsafe { sys::bpf_xdp_attach(ifindex, program, flags, ptr::null()) }).map(drop)
}

/// Detaches a program that was attached by netlink, if it is `expected`.
pub(super) fn xdp_detach(expected: BorrowedFd<'_>, ifindex: u32, flags: u32) -> io::Result<()> {
    let options = sys::bpf_xdp_attach_opts {
        sz: size_of::<sys::bpf_xdp_attach_opts>() as sys::size_t,
        old_prog_fd: expected.as_raw_fd(),
        ..Default::default()
    };
    // SAFETY: `options` is valid for the call and names its own size.
    check(unsafe { sys::bpf_xdp_detach(ifindex as c_int, flags, &options) }).map(drop)
}

/// BPF_PROG_TEST_RUN once over `frame`: the XDP action it returned.
pub(super) fn test_run(program: BorrowedFd<'_>, frame: &[u8]) -> io::Result<u32> {
    let mut options = sys::bpf_test_run_opts {
        sz: size_of::<sys::bpf_test_run_opts>() as sys::size_t,
        data_in: frame.as_ptr().cast::<c_void>(),
        data_size_in: frame.len().try_into().map_err(|_| error(libc::E2BIG))?,
        repeat: 1,
        ..Default::default()
    };
    // SAFETY: `data_in` is valid for reads of `data_size_in` bytes and no output is asked for.
    check(unsafe { sys::bpf_prog_test_run_opts(program.as_raw_fd(), &mut options) })?;
    Ok(options.retval)
}

/// How many columns a per-CPU map has.
pub(super) fn possible_cpus() -> io::Result<usize> {
    // SAFETY: takes nothing.
    check(unsafe { sys::libbpf_num_possible_cpus() }).map(|cpus| cpus as usize)
}

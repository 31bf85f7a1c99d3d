//! What can go wrong between us and the kernel's XDP, one line for the user each.

use std::io;

use rustix::thread::{CapabilitySet, capabilities};

use super::Mode;

/// An error of the XDP layer. Its text says what failed, on what, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No device has that name here.
    #[error("there is no device {name}; there are: {existing}")]
    NoSuchDevice {
        /// The name asked for.
        name: String,
        /// The names of the devices of this network namespace.
        existing: String,
    },
    /// The device has no 6-byte hardware address.
    #[error("{name} is not an Ethernet device")]
    NotEthernet {
        /// The device.
        name: String,
    },
    /// The device was there and isn't any more.
    #[error("{device} is gone")]
    DeviceGone {
        /// The device.
        device: String,
    },
    /// The kernel said EPERM.
    #[error("not allowed to {action}: {why}")]
    Permission {
        /// What was tried.
        action: String,
        /// Which capabilities are missing, or what else it may be.
        why: String,
    },
    /// The device already has an XDP program, which isn't ours to replace.
    #[error("{device} already has an XDP program: {name} (id {id}, {mode} mode); -F replaces it")]
    Occupied {
        /// The device.
        device: String,
        /// The program's name, at most 15 bytes long as the kernel keeps it.
        name: String,
        /// The program's id.
        id: u32,
        /// How it is attached.
        mode: Mode,
    },
    /// The program that is there could not be moved out of the way, or not put back.
    #[error("can't {action} the XDP program {name} (id {id}) on {device}: {source}")]
    Displace {
        /// `detach` or `put back`.
        action: &'static str,
        /// The device.
        device: String,
        /// The other program's name.
        name: String,
        /// The other program's id.
        id: u32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The object file could not be read as a BPF object.
    #[error("can't open {object} as a BPF object: {source}")]
    Open {
        /// Which object.
        object: String,
        /// libbpf's answer.
        source: io::Error,
    },
    /// The object has no such XDP program.
    #[error("{object} has no XDP program {wanted}; it has: {existing}")]
    NoSuchProgram {
        /// Which object.
        object: String,
        /// The name asked for, empty if any would have done.
        wanted: String,
        /// The names of the XDP programs in it.
        existing: String,
    },
    /// The object has more than one XDP program and none was chosen.
    #[error("{object} has several XDP programs ({existing}): choose one with --progname")]
    AmbiguousProgram {
        /// Which object.
        object: String,
        /// The names of the XDP programs in it.
        existing: String,
    },
    /// The object lacks a map that is needed.
    #[error("{object} has no map {map} of type {kind}")]
    NoSuchMap {
        /// Which object.
        object: String,
        /// The map's name.
        map: &'static str,
        /// Its type, key and value.
        kind: &'static str,
    },
    /// The kernel refused to load the object.
    #[error("the kernel refused {object}: {source}{}", .verifier.as_deref().map(|line| format!("; the verifier says: {line}")).unwrap_or_default())]
    Load {
        /// Which object.
        object: String,
        /// The kernel's answer.
        source: io::Error,
        /// The verifier's last line about the program, if it came that far.
        verifier: Option<String>,
    },
    /// The program could not be attached.
    #[error("can't attach the XDP program to {device} in {mode} mode: {reason}")]
    Attach {
        /// The device.
        device: String,
        /// The last mode tried.
        mode: Mode,
        /// What the kernel said, what it means, what to do.
        reason: String,
    },
    /// Our program could not be detached.
    #[error("can't detach the XDP program from {device}: {source}")]
    Detach {
        /// The device.
        device: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A map could not be read or written.
    #[error("can't {action} in the map {map}: {source}")]
    Map {
        /// What was tried, with the key.
        action: String,
        /// The map's name.
        map: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// BPF_PROG_TEST_RUN failed.
    #[error("can't run the XDP program over a test frame of {frame_bytes} bytes: {source}")]
    TestRun {
        /// The frame's length.
        frame_bytes: usize,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel's answer about devices, addresses or attached programs could not be had.
    #[error("can't ask the kernel about {about}: {source}")]
    Netlink {
        /// What was asked for.
        about: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl Error {
    /// EPERM on `action`, explained by the capabilities that this process lacks.
    pub(super) fn permission(action: impl Into<String>) -> Self {
        Error::Permission {
            action: action.into(),
            why: why_not_permitted(),
        }
    }
}

/// Which of the capabilities that loading and attaching take (capabilities(7)) are not there.
///
/// Before CAP_BPF and CAP_PERFMON were split off CAP_SYS_ADMIN it stood for them, and still does.
/// Without CAP_PERFMON the verifier forbids to compare packet pointers as the program does.
pub(super) fn missing_capabilities() -> Vec<&'static str> {
    let Ok(sets) = capabilities(None) else {
        return Vec::new();
    };
    let has = |wanted| sets.effective.contains(wanted);
    let admin = has(CapabilitySet::SYS_ADMIN);
    [
        ("CAP_BPF", admin || has(CapabilitySet::BPF)),
        ("CAP_PERFMON", admin || has(CapabilitySet::PERFMON)),
        ("CAP_NET_ADMIN", has(CapabilitySet::NET_ADMIN)),
    ]
    .into_iter()
    .filter_map(|(name, there)| (!there).then_some(name))
    .collect()
}

fn why_not_permitted() -> String {
    match missing_capabilities().as_slice() {
        [] => "though the capabilities are there (a container, seccomp or kernel lockdown may \
               forbid it)"
            .into(),
        missing => format!("{} missing (run as root)", missing.join(", ")),
    }
}

/// Whether the kernel refused for want of a capability. (EACCES is the verifier's.)
pub(super) fn is_permission(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EPERM)
}

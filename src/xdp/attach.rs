//! Getting the program onto a device: native if the driver can, else generic.
//!
//! The hook is held by a bpf_link: the kernel frees it with its last descriptor, so however this
//! process ends, the device is the kernel's again. A link never replaces a program attached by
//! netlink (`dev_xdp_attach` in the kernel's net/core/dev.c says EBUSY), so with `force` that one
//! is detached first.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::str::FromStr;

use rustix::io::Errno;
use rustix::net::netdevice::index_to_name;
use rustix::net::{AddressFamily, SocketType, socket};

use super::error::is_permission;
use super::occupant::{Displaced, Occupant};
use super::{Error, Program, bpf};

/// The largest MTU whose frame fits into one 4 KiB page beside XDP's headroom (256 bytes), the
/// kernel's `skb_shared_info` (320) and the Ethernet header (14): the limit of veth and virtio_net
/// for a program without `xdp.frags`. Other drivers' limits are near it.
const SINGLE_PAGE_MTU: u32 = 4096 - 256 - 320 - 14;

/// Which mode to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ModeWanted {
    /// Native, else generic (`-A`, the default).
    #[default]
    Auto,
    /// Native or nothing (`-N`).
    Native,
    /// Generic (`-S`).
    Generic,
}

/// Where a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// In the driver, before an skb exists.
    Native,
    /// On an skb, in the kernel's receive path ("skb mode"): slower, works with any driver.
    Generic,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Native => "native",
            Mode::Generic => "generic",
        })
    }
}

/// The program on the device, for as long as this value lives. Dropping it detaches the program and
/// puts back the one it replaced, if that one was attached by netlink.
#[derive(Debug)]
pub struct Attachment {
    // Dropped first: the hook must be free before the displaced program is put back.
    link: Link,
    displaced: Option<Displaced>,
    device: String,
    mode: Mode,
    has_frags: bool,
    fallback: Option<String>,
}

impl Program {
    /// Attaches the program to a device, by a link that goes with this process.
    ///
    /// With `force`, another program on the device makes way: one attached by netlink (such as
    /// libxdp's dispatcher) comes back when the [`Attachment`] goes, one held by another process's
    /// bpf_link can't be put back. If the attach fails, the former is put back at once.
    ///
    /// # Errors
    /// [`Error::Occupied`] without `force` if there is another program; [`Error::Permission`];
    /// [`Error::DeviceGone`]; [`Error::Attach`] with the reason and, for MTU, what to set.
    pub fn attach(
        &self,
        ifindex: u32,
        ifname: &str,
        wanted: ModeWanted,
        force: bool,
    ) -> Result<Attachment, Error> {
        let displaced = match Occupant::find(ifindex, ifname)? {
            None => None,
            Some(occupant) if force => occupant.displace()?,
            Some(occupant) => return Err(occupant.into_error()),
        };
        let (Held { link, has_frags }, mode, fallback) = self.climb(ifindex, ifname, wanted)?;
        Ok(Attachment {
            link,
            has_frags,
            displaced,
            device: ifname.to_owned(),
            mode,
            fallback,
        })
    }

    /// The ladder. Third, why native was not had though it was tried.
    fn climb(
        &self,
        ifindex: u32,
        ifname: &str,
        wanted: ModeWanted,
    ) -> Result<(Held, Mode, Option<String>), Error> {
        let try_mode = |mode: Mode| {
            let mut refusal = None;
            for (program, has_frags) in self.variants() {
                match bpf::xdp_link_create(program, ifindex, mode.flag()).map(Link) {
                    Ok(link) => return Ok(Held { link, has_frags }),
                    Err(error) => match Refusal::new(error, ifindex, ifname, mode) {
                        last @ Refusal::Final(_) => return Err(last),
                        other => refusal = Some(other),
                    },
                }
            }
            Err(refusal.unwrap_or(Refusal::Mode {
                device: ifname.to_owned(),
                mode,
                reason: "there is no program".to_owned(),
            }))
        };
        let native = match wanted {
            ModeWanted::Generic => None,
            ModeWanted::Native | ModeWanted::Auto => match try_mode(Mode::Native) {
                Ok(link) => return Ok((link, Mode::Native, None)),
                Err(Refusal::Final(error)) => return Err(error),
                Err(refusal) if wanted == ModeWanted::Native => return Err(refusal.into_error()),
                Err(Refusal::Mode { reason, .. }) => Some(reason),
            },
        };
        match try_mode(Mode::Generic) {
            Ok(link) => Ok((link, Mode::Generic, native)),
            Err(refusal) => Err(refusal.after(native).into_error()),
        }
    }
}

impl Attachment {
    /// The mode obtained.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether frames that lie in several buffers reach the program.
    pub fn has_frags(&self) -> bool {
        self.has_frags
    }

    /// Why native mode was not had though it was asked for first, in one line.
    pub fn fallback(&self) -> Option<&str> {
        self.fallback.as_deref()
    }

    /// Detaches now, and says what went wrong if anything did (dropping only logs it).
    pub fn detach(self) -> Result<(), Error> {
        let Attachment {
            link,
            displaced,
            device,
            ..
        } = self;
        let detached = link
            .detach()
            .map_err(|source| Error::Detach { device, source });
        drop(link);
        let put_back = displaced.map_or(Ok(()), |mut displaced| displaced.put_back());
        detached.and(put_back)
    }
}

/// What the ladder ended with.
struct Held {
    link: Link,
    has_frags: bool,
}

/// The bpf_link. Closing its last descriptor would free the hook too, but perhaps a little later;
/// detaching it frees the hook before the call returns.
#[derive(Debug)]
struct Link(OwnedFd);

impl Link {
    fn detach(&self) -> io::Result<()> {
        bpf::link_detach(self.0.as_fd())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Err(error) = self.detach() {
            tracing::warn!("can't detach the XDP link, closing it: {error}");
        }
    }
}

/// Why one rung of the ladder did not hold.
enum Refusal {
    /// Another mode won't help.
    Final(Error),
    /// This mode is not to be had on this device as it is.
    Mode {
        device: String,
        mode: Mode,
        reason: String,
    },
}

impl Refusal {
    fn new(error: io::Error, ifindex: u32, ifname: &str, mode: Mode) -> Self {
        let device = ifname.to_owned();
        if is_permission(&error) {
            return Refusal::Final(Error::permission(format!("attach to {device}")));
        }
        match error.raw_os_error() {
            // bpf_xdp_link_attach says EINVAL where it finds no device.
            Some(libc::EINVAL | libc::ENODEV) if !exists(ifindex) => {
                Refusal::Final(Error::DeviceGone { device })
            }
            // Somebody was faster than us.
            Some(libc::EBUSY | libc::EEXIST)
                if let Ok(Some(occupant)) = Occupant::find(ifindex, ifname) =>
            {
                Refusal::Final(occupant.into_error())
            }
            _ => Refusal::Mode {
                reason: reason(&error, ifname, mtu(ifindex, ifname), mode),
                device,
                mode,
            },
        }
    }

    /// Adds why the rung above did not hold, if there was one.
    fn after(mut self, native: Option<String>) -> Self {
        if let (Refusal::Mode { reason, .. }, Some(native)) = (&mut self, native) {
            reason.push_str("; native mode was not had either: ");
            reason.push_str(&native);
        }
        self
    }

    fn into_error(self) -> Error {
        match self {
            Refusal::Final(error) => error,
            Refusal::Mode {
                device,
                mode,
                reason,
            } => Error::Attach {
                device,
                mode,
                reason,
            },
        }
    }
}

fn exists(ifindex: u32) -> bool {
    let any_socket = socket(AddressFamily::INET, SocketType::DGRAM, None);
    !matches!(
        any_socket.and_then(|socket| index_to_name(socket, ifindex)),
        Err(Errno::NODEV | Errno::NXIO)
    )
}

/// The device's MTU by sysfs, if what sysfs shows is this device: a process that has changed its
/// network namespace may see another namespace's there.
fn mtu(ifindex: u32, ifname: &str) -> Option<u32> {
    let read = |what| number(&format!("/sys/class/net/{ifname}/{what}"));
    match read("ifindex") == Some(ifindex) {
        true => read("mtu"),
        false => None,
    }
}

fn number<T: FromStr>(path: &str) -> Option<T> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// What the kernel's answer to an attach means. The drivers' own words (netlink's extended ack)
/// don't come with a bpf_link, so the known cases are told apart by errno and MTU.
fn reason(error: &io::Error, ifname: &str, mtu: Option<u32>, mode: Mode) -> String {
    if mode == Mode::Generic {
        return error.to_string();
    }
    let too_large = mtu.filter(|&mtu| mtu > SINGLE_PAGE_MTU);
    match (error.raw_os_error(), too_large) {
        (
            Some(libc::ERANGE | libc::EINVAL | libc::EOPNOTSUPP | libc::E2BIG | libc::EMSGSIZE),
            Some(mtu),
        ) => format!(
            "its MTU {mtu} is above {SINGLE_PAGE_MTU}, the most that native XDP takes: \
             ip link set {ifname} mtu {SINGLE_PAGE_MTU} (a veth's peer likewise)"
        ),
        // veth_xdp_set compares the peer's MTU, not the device's.
        (Some(libc::ERANGE), None) => format!(
            "the MTU of its veth peer is above {SINGLE_PAGE_MTU}, the most that native XDP takes: \
             ip link set PEER mtu {SINGLE_PAGE_MTU}"
        ),
        (Some(libc::ENOSPC), _) => "its veth peer has more TX queues than it has RX queues \
                                    (ethtool -L sets both)"
            .into(),
        (Some(libc::ENOTCONN), _) => "its veth peer is gone".into(),
        (Some(libc::EOPNOTSUPP), None) => "its driver has no native XDP".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn native(errno: i32, mtu: Option<u32>) -> String {
        reason(
            &io::Error::from_raw_os_error(errno),
            "eth7",
            mtu,
            Mode::Native,
        )
    }

    #[test]
    fn an_mtu_too_large_is_named_with_its_limit_and_the_command() {
        for errno in [libc::ERANGE, libc::EINVAL, libc::EOPNOTSUPP] {
            let text = native(errno, Some(9000));
            assert!(text.contains("MTU 9000 is above 3506"), "{text}");
            assert!(text.contains("ip link set eth7 mtu 3506"), "{text}");
        }
    }

    #[test]
    fn an_mtu_within_the_limit_is_not_blamed() {
        assert_eq!(
            native(libc::EOPNOTSUPP, Some(1500)),
            "its driver has no native XDP"
        );
        assert!(native(libc::ERANGE, Some(1500)).contains("veth peer"));
        assert!(native(libc::EINVAL, Some(3506)).starts_with("Invalid argument"));
    }
}

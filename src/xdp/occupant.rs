//! Somebody else's XDP program on the device: who it is, moving it out of the way, putting it back.
//!
//! A program can hold a device's hook in two ways. By netlink (`ip link set ... xdp`, libxdp's
//! dispatcher): then anybody may detach it, and we keep a descriptor to put the same program back.
//! By a bpf_link of another process: then only the link can let go, which BPF_LINK_DETACH makes it
//! do for good; the program can't be put back, as its owner would not own the hook again.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use libbpf_sys::{XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE, XDP_FLAGS_UPDATE_IF_NOEXIST};

use super::error::is_permission;
use super::{Error, Mode, bpf};

impl Mode {
    pub(super) fn flag(self) -> u32 {
        match self {
            Mode::Native => XDP_FLAGS_DRV_MODE,
            Mode::Generic => XDP_FLAGS_SKB_MODE,
        }
    }
}

/// The program that holds a device's hook. Native and generic programs exclude each other, so
/// there is at most one (one offloaded to the hardware would not be in our way).
pub(super) struct Occupant<'a> {
    ifindex: u32,
    device: &'a str,
    id: u32,
    mode: Mode,
    /// Unknown without CAP_SYS_ADMIN, which opening a program by its id takes.
    program: Option<OwnedFd>,
    name: String,
}

impl<'a> Occupant<'a> {
    pub(super) fn find(ifindex: u32, device: &'a str) -> Result<Option<Self>, Error> {
        let query = query(ifindex, device)?;
        let (id, mode) = match (query.native, query.generic) {
            (0, 0) => return Ok(None),
            (0, generic) => (generic, Mode::Generic),
            (native, _) => (native, Mode::Native),
        };
        let program = bpf::program_by_id(id).ok();
        let name = program
            .as_ref()
            .and_then(|program| bpf::program_name(program.as_fd()).ok());
        Ok(Some(Occupant {
            ifindex,
            device,
            id,
            mode,
            program,
            name: name.unwrap_or_else(|| "name unknown".into()),
        }))
    }

    /// The error that says whose the device is.
    pub(super) fn into_error(self) -> Error {
        Error::Occupied {
            device: self.device.to_owned(),
            name: self.name,
            id: self.id,
            mode: self.mode,
        }
    }

    /// Frees the hook. What comes back puts the program back when dropped; `None` if the program
    /// was held by a link and can't be put back.
    pub(super) fn displace(self) -> Result<Option<Displaced>, Error> {
        if self.detach_its_link()? {
            tracing::warn!(
                device = self.device,
                program = self.name,
                id = self.id,
                "detached another process's link; its program can't be put back"
            );
            return Ok(None);
        }
        let Some(program) = self.program else {
            return Err(Error::permission(
                "open the program to be replaced (CAP_SYS_ADMIN)",
            ));
        };
        let mut displaced = Displaced {
            program: None,
            name: self.name,
            id: self.id,
            ifindex: self.ifindex,
            device: self.device.to_owned(),
            mode: self.mode,
        };
        bpf::xdp_detach(program.as_fd(), self.ifindex, self.mode.flag())
            .map_err(|error| displaced.failed("detach", error))?;
        displaced.program = Some(program);
        Ok(Some(displaced))
    }

    /// Looks for the link that holds this program on this device, and detaches it.
    ///
    /// A link tells an ifindex but not of which network namespace: the same program held by a link
    /// on the device of that number in another namespace can't be told apart. So the device is
    /// asked after each one whether that was it, and no further link is touched.
    fn detach_its_link(&self) -> Result<bool, Error> {
        let mut id = 0;
        while let Some(next) = bpf::link_next_id(id).map_err(|error| self.unlinkable(error))? {
            id = next;
            // A link may go between being listed and being opened.
            let Ok(link) = bpf::link_by_id(id) else {
                continue;
            };
            let Ok(Some(info)) = bpf::xdp_link_info(link.as_fd()) else {
                continue;
            };
            if (info.program_id, info.ifindex) != (self.id, self.ifindex) {
                continue;
            }
            bpf::link_detach(link.as_fd()).map_err(|error| self.unlinkable(error))?;
            let query = query(self.ifindex, self.device)?;
            if query.native == 0 && query.generic == 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn unlinkable(&self, source: io::Error) -> Error {
        if is_permission(&source) {
            return Error::permission("go through the BPF links (CAP_SYS_ADMIN)");
        }
        Error::Displace {
            action: "detach",
            device: self.device.to_owned(),
            name: self.name.clone(),
            id: self.id,
            source,
        }
    }
}

fn query(ifindex: u32, device: &str) -> Result<bpf::XdpQuery, Error> {
    bpf::xdp_query(ifindex).map_err(|source| Error::Netlink {
        about: format!("the XDP program of {device}"),
        source,
    })
}

/// A program that was attached by netlink and has made way for ours. Put back when dropped.
#[derive(Debug)]
pub(super) struct Displaced {
    /// `None` before it is detached and once it is put back.
    program: Option<OwnedFd>,
    name: String,
    id: u32,
    ifindex: u32,
    device: String,
    mode: Mode,
}

impl Displaced {
    /// Puts it back in the mode it had, unless somebody else has taken the hook meanwhile.
    pub(super) fn put_back(&mut self) -> Result<(), Error> {
        let Some(program) = self.program.take() else {
            return Ok(());
        };
        let flags = self.mode.flag() | XDP_FLAGS_UPDATE_IF_NOEXIST;
        match bpf::xdp_attach(program.as_fd(), self.ifindex, flags) {
            // No device, nothing to put it back on.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
            attached => attached.map_err(|error| self.failed("put back", error)),
        }
    }

    fn failed(&self, action: &'static str, source: io::Error) -> Error {
        Error::Displace {
            action,
            device: self.device.clone(),
            name: self.name.clone(),
            id: self.id,
            source,
        }
    }
}

impl Drop for Displaced {
    fn drop(&mut self) {
        if let Err(error) = self.put_back() {
            tracing::error!("{error}");
        }
    }
}

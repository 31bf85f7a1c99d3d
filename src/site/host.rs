//! Which host a file is of, the roots of all hosts, and what is mounted beneath them.

use std::fs;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::files::Root;
use super::mounts::{DeviceId, Mounts};
use super::watches::Watches;

/// How old the list of mounts may be.
const MOUNTS_AGE: Duration = Duration::from_secs(1);

/// One of a server's hosts, by its place in the configuration. Names of files count within one host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostId(pub u16);

impl HostId {
    /// The host of requests that name no other.
    pub const DEFAULT: HostId = HostId(0);

    /// Its place in tables by host.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The roots of all hosts, by [`HostId`].
#[derive(Debug)]
pub struct Roots {
    roots: Vec<Root>,
    listed: Mutex<Listed>,
    watches: Option<Watches>,
}

/// What was mounted when that was last looked at.
#[derive(Debug, Default)]
struct Listed {
    /// As the kernel lists it.
    mountinfo: Vec<u8>,
    /// By host.
    mounts: Vec<Mounts>,
    at: Option<Instant>,
}

impl Roots {
    /// Those of the hosts in their order, the default host's first.
    pub fn new(roots: Vec<Root>) -> Self {
        let roots = Roots {
            roots,
            listed: Mutex::default(),
            watches: None,
        };
        roots.look_at_mounts();
        roots
    }

    /// From now on directories are watched, where that can be, and files in them looked at less often.
    ///
    /// # Errors
    /// The kernel lends no descriptor or thread for it.
    pub fn watch(&mut self) -> io::Result<()> {
        self.watches = Some(Watches::start()?);
        Ok(())
    }

    pub(super) fn watches(&self) -> Option<&Watches> {
        self.watches.as_ref()
    }

    /// That of `host`.
    pub fn get(&self, host: HostId) -> Option<&Root> {
        self.roots.get(host.index())
    }

    /// The device of the mount that a name is on, as of the last look.
    pub(super) fn device_of(&self, host: HostId, name: &[u8]) -> Option<DeviceId> {
        self.listed().mounts.get(host.index())?.device_of(name)
    }

    /// Looks anew at what is mounted, if that was long ago. It may wait, but for no file system.
    pub(super) fn look_at_mounts(&self) {
        let now = Instant::now();
        let mut listed = self.listed();
        if listed.at.is_some_and(|at| now < at + MOUNTS_AGE) {
            return;
        }
        listed.at = Some(now);
        drop(listed);
        // Without procfs there is one line for all.
        let Ok(mountinfo) = fs::read("/proc/self/mountinfo") else {
            return;
        };
        if self.listed().mountinfo == mountinfo {
            return;
        }
        let parse = |root: &Root| Mounts::parse(&mountinfo, &root.path);
        let mounts = self.roots.iter().map(parse).collect();
        let mut listed = self.listed();
        (listed.mountinfo, listed.mounts) = (mountinfo, mounts);
        drop(listed);
        // What is mounted over a directory hides it, and nothing has happened in it.
        if let Some(watches) = &self.watches {
            watches.disturb();
        }
    }

    /// Held for moments only.
    fn listed(&self) -> MutexGuard<'_, Listed> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The root of the only host there is.
impl From<Root> for Roots {
    fn from(root: Root) -> Self {
        Roots::new(vec![root])
    }
}

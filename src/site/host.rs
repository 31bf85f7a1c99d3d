//! Which host a file is of, the roots of all hosts, and what is mounted beneath them.

use std::io;
use std::sync::Arc;

use super::closing::Closing;
use super::files::Root;
use super::mounts::{DeviceId, MountTable};
use super::watches::Watches;

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
    mounts: Arc<MountTable>,
    watches: Option<Watches>,
}

impl Roots {
    /// Those of the hosts in their order, the default host's first.
    pub fn new(mut roots: Vec<Root>) -> Self {
        // A mount has one thread that closes, whatever host's its files are.
        let closing = Closing::default();
        for root in &mut roots {
            root.closing = closing.clone();
        }
        let paths = roots.iter().map(|root| root.path.clone()).collect();
        Roots {
            roots,
            mounts: Arc::new(MountTable::new(paths)),
            watches: None,
        }
    }

    /// From now on directories are watched, where that can be, and files in them looked at less often.
    ///
    /// # Errors
    /// The kernel lends no descriptor or thread for it.
    pub fn watch(&mut self) -> io::Result<()> {
        self.watches = Some(Watches::start(self.mounts.clone())?);
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
    pub(crate) fn device_of(&self, host: HostId, name: &[u8]) -> Option<DeviceId> {
        self.mounts.device_of(host.index(), name)
    }

    /// Whether something is mounted at a name, as of the last look.
    pub(crate) fn is_mount_point(&self, host: HostId, name: &[u8]) -> bool {
        self.mounts.is_point(host.index(), name)
    }

    /// Looks anew at what is mounted, if that was long ago. It may wait, but for no file system.
    pub(crate) fn look_at_mounts(&self) {
        if self.mounts.look_again()
            && let Some(watches) = &self.watches
        {
            watches.disturb();
        }
    }
}

/// The root of the only host there is.
impl From<Root> for Roots {
    fn from(root: Root) -> Self {
        Roots::new(vec![root])
    }
}

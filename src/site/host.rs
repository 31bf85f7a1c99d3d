//! Which host a file is of, and the roots of all hosts.

use super::files::Root;

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
pub struct Roots(Vec<Root>);

impl Roots {
    /// Those of the hosts in their order, the default host's first.
    pub fn new(roots: Vec<Root>) -> Self {
        Roots(roots)
    }

    pub(super) fn get(&self, host: HostId) -> Option<&Root> {
        self.0.get(host.index())
    }
}

/// The root of the only host there is.
impl From<Root> for Roots {
    fn from(root: Root) -> Self {
        Roots(vec![root])
    }
}

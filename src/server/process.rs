//! What the process needs of the operating system: privileges and open files.

use super::Error;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lifts the limit on open files as far as it goes: each download of a file too
/// large for memory holds a descriptor, and the usual limit is 1,024.
pub(super) fn raise_open_files() {
    let now = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: now.maximum,
        maximum: now.maximum,
    };
    if let Err(errno) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!("cannot raise the limit on open files (ulimit -n): {errno}; going on");
    }
}

/// Names the capability that is missing, before some call fails with EPERM.
pub(super) fn require_privileges() -> Result<(), Error> {
    use rustix::thread::{CapabilitySet, capabilities};
    let Ok(sets) = capabilities(None) else {
        return Ok(());
    };
    let has = |set| sets.effective.contains(set);
    // CAP_SYS_ADMIN stood for both before they were split off it.
    let admin = has(CapabilitySet::SYS_ADMIN);
    let missing: Vec<&str> = [
        ("CAP_NET_ADMIN", has(CapabilitySet::NET_ADMIN)),
        ("CAP_NET_RAW", has(CapabilitySet::NET_RAW)),
        ("CAP_BPF", admin || has(CapabilitySet::BPF)),
        ("CAP_PERFMON", admin || has(CapabilitySet::PERFMON)),
    ]
    .into_iter()
    .filter_map(|(name, held)| (!held).then_some(name))
    .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Error::Privilege(missing.join(", ")))
    }
}

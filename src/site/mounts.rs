//! Which mount a name beneath a root is on, as the kernel lists them
//! (/proc/self/mountinfo, proc_pid_mountinfo(5)): no file system is asked, for the one
//! that is asked may never answer.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The list. It can be polled (proc_pid_mounts(5)): POLLPRI when it has changed.
pub(super) const MOUNTINFO: &str = "/proc/self/mountinfo";

/// How old the list may be.
const AGE: Duration = Duration::from_secs(1);

/// The number of a device that a file system is on, or stands for one: `st_dev`.
pub type DeviceId = u64;

/// The mounts at and beneath one root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mounts {
    /// What is mounted, by where: relative to the root, without a final slash.
    beneath: BTreeMap<Box<[u8]>, DeviceId>,
}

impl Mounts {
    /// Those that `mountinfo` lists for `root`, an absolute path without symbolic links.
    pub fn parse(mountinfo: &[u8], root: &Path) -> Mounts {
        let root = root.as_os_str().as_bytes();
        let mut beneath = BTreeMap::new();
        let mut above = None;
        for (device, point) in mountinfo.split(|&byte| byte == b'\n').filter_map(entry) {
            if let Some(relative) = within(&point, root) {
                // The last one at a place hides those before it.
                beneath.insert(relative.into(), device);
            } else if within(root, &point).is_some()
                && above
                    .as_ref()
                    .is_none_or(|(longest, _)| *longest <= point.len())
            {
                above = Some((point.len(), device));
            }
        }
        if let Some((_, device)) = above {
            beneath.entry(Box::default()).or_insert(device);
        }
        Mounts { beneath }
    }

    /// Whether something is mounted at `name` beneath the root.
    pub fn is_point(&self, name: &[u8]) -> bool {
        // What the root itself is on is listed too.
        !name.is_empty() && self.beneath.contains_key(name)
    }

    /// The device of the mount that `name`, relative to the root, is on, as far as no
    /// symbolic link leads elsewhere; `None` without a list of mounts.
    pub fn device_of(&self, name: &[u8]) -> Option<DeviceId> {
        let mut prefix = name;
        loop {
            if let Some(&device) = self.beneath.get(prefix) {
                return Some(device);
            }
            let end = prefix.iter().rposition(|&byte| byte == b'/');
            prefix = match (end, prefix.is_empty()) {
                (Some(end), _) => &prefix[..end],
                (None, false) => b"",
                (None, true) => return None,
            };
        }
    }
}

/// What is mounted at and beneath some roots, as of the last look.
#[derive(Debug)]
pub(super) struct MountTable {
    /// Absolute and without symbolic links.
    roots: Vec<PathBuf>,
    listed: Mutex<Listed>,
    /// Held from the reading of the list until it is kept, so that no older one takes its place.
    looking: Mutex<()>,
}

#[derive(Debug, Default)]
struct Listed {
    /// As the kernel lists it.
    mountinfo: Vec<u8>,
    /// By root.
    mounts: Vec<Mounts>,
    at: Option<Instant>,
}

impl MountTable {
    /// What is mounted now.
    pub(super) fn new(roots: Vec<PathBuf>) -> MountTable {
        let table = MountTable {
            roots,
            listed: Mutex::default(),
            looking: Mutex::default(),
        };
        table.look();
        table
    }

    /// The device of the mount that a name beneath the root of that index is on.
    pub(super) fn device_of(&self, root: usize, name: &[u8]) -> Option<DeviceId> {
        self.listed().mounts.get(root)?.device_of(name)
    }

    /// Whether something is mounted at that name.
    pub(super) fn is_point(&self, root: usize, name: &[u8]) -> bool {
        let listed = self.listed();
        let mounts = listed.mounts.get(root);
        mounts.is_some_and(|mounts| mounts.is_point(name))
    }

    /// Looks anew if that was long ago; whether there is a change. It may wait, but for no file system.
    pub(super) fn look_again(&self) -> bool {
        let now = Instant::now();
        let is_old = self.listed().at.is_none_or(|at| now >= at + AGE);
        is_old && self.look()
    }

    /// Looks anew; whether there is a change.
    pub(super) fn look(&self) -> bool {
        let _looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        self.listed().at = Some(Instant::now());
        // Without procfs there is one line for all.
        let Ok(mountinfo) = fs::read(MOUNTINFO) else {
            return false;
        };
        if self.listed().mountinfo == mountinfo {
            return false;
        }
        let parse = |root: &PathBuf| Mounts::parse(&mountinfo, root);
        let mounts = self.roots.iter().map(parse).collect();
        let mut listed = self.listed();
        (listed.mountinfo, listed.mounts) = (mountinfo, mounts);
        true
    }

    /// Held for moments only.
    fn listed(&self) -> MutexGuard<'_, Listed> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What of `path` follows `root`, without a slash at either end.
fn within<'p>(path: &'p [u8], root: &[u8]) -> Option<&'p [u8]> {
    let root = root.strip_suffix(b"/").unwrap_or(root);
    let rest = path.strip_prefix(root)?;
    match rest {
        b"" | b"/" => Some(b""),
        [b'/', rest @ ..] => Some(rest),
        _ => None,
    }
}

/// Device and mount point of a line.
fn entry(line: &[u8]) -> Option<(DeviceId, Vec<u8>)> {
    let mut fields = line.split(|&byte| byte == b' ');
    let device = std::str::from_utf8(fields.nth(2)?).ok()?;
    let (major, minor) = device.split_once(':')?;
    let device = rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?);
    Some((device, unescape(fields.nth(1)?)))
}

/// Blanks and backslashes are written in octal: `\040`.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let escaped = match rest {
            [b'\\', digits @ ..] => digits.get(..3).and_then(octal),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[3..] } else { tail };
    }
    bytes
}

fn octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::makedev;

    const MOUNTINFO: &[u8] = b"\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /proc rw - proc proc rw
41 22 8:17 / /srv rw - xfs /dev/vdb rw
42 41 0:51 / /srv/www/jfs rw - fuse.juicefs JuiceFS:x rw
43 41 0:52 / /srv/www/deep/er\\040and\\134er ro - nfs4 nas:/x rw
44 42 0:53 / /srv/www/jfs/inner rw - tmpfs none rw
45 41 0:54 / /srv/www2 rw - tmpfs none rw
46 41 0:55 / /srv/www/twice rw - tmpfs none rw
47 46 0:56 / /srv/www/twice rw - tmpfs none rw
what is no line
";

    #[test]
    fn the_longest_mount_point_that_contains_a_name_is_its_mount() {
        let mounts = Mounts::parse(MOUNTINFO, Path::new("/srv/www"));
        for (name, device) in [
            (&b""[..], (8, 17)),
            (b"index.html", (8, 17)),
            (b"jfs", (0, 51)),
            (b"jfs/", (0, 51)),
            (b"jfs/a/b.txt", (0, 51)),
            (b"jfs/inner/x", (0, 53)),
            (b"jfs2/x", (8, 17)),
            (b"deep/er and\\er/x", (0, 52)),
            (b"deep/er", (8, 17)),
            (b"twice/x", (0, 56)),
        ] {
            let want = Some(makedev(device.0, device.1));
            assert_eq!(mounts.device_of(name), want, "{}", name.escape_ascii());
        }
        for (name, is_point) in [
            (&b"jfs"[..], true),
            (b"jfs/inner", true),
            (b"deep/er and\\er", true),
            (b"jfs/inner/x", false),
            (b"jf", false),
            (b"index.html", false),
            (b"", false),
        ] {
            assert_eq!(mounts.is_point(name), is_point, "{}", name.escape_ascii());
        }
    }

    #[test]
    fn a_root_may_itself_be_a_mount_or_the_whole_system() {
        for (root, name, device) in [
            ("/srv/www/jfs", &b"a"[..], (0, 51)),
            ("/srv/www/jfs", b"inner/a", (0, 53)),
            ("/", b"etc/passwd", (8, 1)),
            ("/", b"srv/www/jfs/a", (0, 51)),
            ("/home/www", b"a", (8, 1)),
        ] {
            let mounts = Mounts::parse(MOUNTINFO, Path::new(root));
            let want = Some(makedev(device.0, device.1));
            assert_eq!(mounts.device_of(name), want, "{root}");
        }
        assert_eq!(Mounts::parse(b"", Path::new("/srv")).device_of(b"a"), None);
    }

    #[test]
    fn this_machine_lists_the_mount_that_a_directory_is_on() {
        let mountinfo = std::fs::read("/proc/self/mountinfo").expect("procfs");
        let mounts = Mounts::parse(&mountinfo, Path::new("/proc"));
        let stat = rustix::fs::stat("/proc/self/status").expect("procfs");
        assert_eq!(mounts.device_of(b"self/status"), Some(stat.st_dev));
    }
}

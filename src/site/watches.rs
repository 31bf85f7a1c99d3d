//! Directories that the kernel tells of when something happens in them (inotify(7)): as long as nothing has, what was
//! found there is still so, and need not be looked at again and again.
//!
//! The kernel tells only of what happens through it. So this is for file systems that nobody else writes to; and what can
//! change by another way than its directory is not vouched for: what a symbolic link leads to, a file with several names,
//! a listing. Writes through a mapping (mmap(2)) are told of when the file is closed; [`BELT`] is for these. What is
//! mounted over a directory hides it without a word to inotify, but the list of mounts says when it changes.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, StatxAttributes, StatxFlags, fstatfs, open, statx,
};
use rustix::io::Errno;

use super::beneath::{self, Symlinks};
use super::coding::Coding;
use super::files::{Found, Root};
use super::mounts::{DeviceId, MOUNTINFO, MountTable};
use super::version::{Validator, Versions, look};

/// However quiet it is, a file is looked at after that time.
pub(super) const BELT: Duration = Duration::from_secs(30);

/// Directories watched at most: the kernel lends each user some thousands (fs.inotify.max_user_watches).
const MOST_WATCHES: usize = 1_024;

/// What changes an answer.
const CHANGES: WatchFlags = WatchFlags::ATTRIB
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// File systems that change through this kernel alone, by their numbers in linux/magic.h: ext2 to ext4, XFS, Btrfs,
/// F2FS, tmpfs, ramfs, bcachefs, EROFS and squashfs.
const LOCAL: [u32; 9] = [
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0xf2f5_2010,
    0x0102_1994,
    0x8584_58f6,
    0xca45_1a4e,
    0xe0f5_e1e2,
    0x7371_7368,
];

const EVENTS_BYTES: usize = 64 * 1024;

/// How often something happened in a directory.
type Count = Arc<AtomicU64>;

/// The directories watched, and the thread that hears of them.
#[derive(Debug)]
pub(super) struct Watches {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    inotify: OwnedFd,
    /// By watch descriptor.
    directories: Mutex<HashMap<i32, Count>>,
    mounts: Arc<MountTable>,
    /// The list that tells of mounts; without procfs nobody does.
    mountinfo: Option<OwnedFd>,
    /// Nobody listens any more.
    is_deaf: AtomicBool,
    /// Readable when the thread is to end.
    end: OwnedFd,
}

/// That nothing has happened in some directories.
#[derive(Debug, Clone)]
pub struct Quiet {
    shared: Arc<Shared>,
    seen: Box<[(Count, u64)]>,
}

impl Quiet {
    /// Whether that is still so, as far as it has been heard.
    pub(super) fn lasts(&self) -> bool {
        let is_same = |(count, seen): &(Count, u64)| count.load(Ordering::Acquire) == *seen;
        !self.shared.is_deaf.load(Ordering::Acquire) && self.seen.iter().all(is_same)
    }
}

impl Watches {
    /// Nothing watched yet but what is mounted.
    ///
    /// # Errors
    /// The kernel lends no descriptor (fs.inotify.max_user_instances) or thread.
    pub(super) fn start(mounts: Arc<MountTable>) -> Result<Watches, std::io::Error> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let shared = Arc::new(Shared {
            inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
            directories: Mutex::default(),
            mounts,
            mountinfo: open(MOUNTINFO, flags, Mode::empty()).ok(),
            is_deaf: AtomicBool::new(false),
            end: eventfd(0, EventfdFlags::CLOEXEC)?,
        });
        let listening = shared.clone();
        std::thread::Builder::new()
            .name("xdphttpd-watch".into())
            .spawn(move || {
                listening.listen();
                listening.is_deaf.store(true, Ordering::Release);
            })?;
        Ok(Watches { shared })
    }

    /// Watches the directories on the way from `root` to what `name` stands for, which is looked at afterwards. Nothing
    /// if one of them is reached by a symbolic link, or on a file system that others write to.
    pub(super) fn watch(&self, root: &Root, name: &[u8]) -> Option<Quiet> {
        let slashes = name.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let beneath = slashes.map(|(at, _)| &name[..at]);
        let seen = std::iter::once(&b"."[..]).chain(beneath).map(|directory| {
            let directory = beneath::open(root.as_fd(), directory, Symlinks::Never).ok()?;
            let kind = fstatfs(&directory).ok()?.f_type as u32;
            LOCAL
                .contains(&kind)
                .then(|| self.shared.watch(&directory).ok())?
        });
        Some(Quiet {
            seen: seen.collect::<Option<_>>()?,
            shared: self.shared.clone(),
        })
    }

    /// Something may have happened anywhere.
    pub(super) fn disturb(&self) {
        self.shared.disturb();
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        // Writing to a new eventfd does not fail.
        let _ = rustix::io::write(&self.shared.end, &1u64.to_ne_bytes());
    }
}

impl Shared {
    fn watch(&self, directory: &OwnedFd) -> Result<(Count, u64), Errno> {
        // Held while the kernel is told, so that nothing is heard of a directory that is not listed yet.
        let mut directories = self.directories();
        let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let watch = inotify::add_watch(&self.inotify, path, CHANGES)?;
        let is_full = directories.len() >= MOST_WATCHES;
        if is_full && !directories.contains_key(&watch) {
            inotify::remove_watch(&self.inotify, watch)?;
            return Err(Errno::NOSPC);
        }
        let count = directories.entry(watch).or_default();
        Ok((count.clone(), count.load(Ordering::Acquire)))
    }

    /// Hears what happens until the end.
    fn listen(&self) {
        let mut buffer = [MaybeUninit::uninit(); EVENTS_BYTES];
        loop {
            let mut fds = [&self.inotify, &self.end]
                .map(|fd| PollFd::new(fd, PollFlags::IN))
                .to_vec();
            let mountinfo = self.mountinfo.iter();
            fds.extend(mountinfo.map(|fd| PollFd::new(fd, PollFlags::PRI)));
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
            if fds
                .get(2)
                .is_some_and(|mounts| !mounts.revents().is_empty())
            {
                self.mounts.look();
                self.disturb();
            }
            if !fds[1].revents().is_empty() || self.hear(&mut buffer).is_err() {
                return;
            }
        }
    }

    /// Hears what has happened.
    fn hear(&self, buffer: &mut [MaybeUninit<u8>]) -> Result<(), Errno> {
        let mut events = Reader::new(&self.inotify, buffer);
        loop {
            match events.next() {
                Ok(event) => self.note(event.wd(), event.events()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(errno) => return Err(errno),
            }
        }
    }

    fn note(&self, watch: i32, events: ReadFlags) {
        if events.contains(ReadFlags::QUEUE_OVERFLOW) {
            return self.disturb();
        }
        let mut directories = self.directories();
        if let Some(count) = directories.get(&watch) {
            count.fetch_add(1, Ordering::Release);
        }
        if events.contains(ReadFlags::IGNORED) {
            directories.remove(&watch);
        }
    }

    fn disturb(&self) {
        for count in self.directories().values() {
            count.fetch_add(1, Ordering::Release);
        }
    }

    /// Held for moments only.
    fn directories(&self) -> MutexGuard<'_, HashMap<i32, Count>> {
        self.directories
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether what was `found` beneath `root`, or is still the version `known`, changes in no way but through the
/// directories of `name`.
pub(super) fn is_bound(root: &Root, name: &[u8], found: &Found, known: &Versions) -> bool {
    let file = match found {
        Found::Unchanged => known.identity(),
        Found::File { identity, .. } => identity.validator,
        _ => return false,
    };
    let end = name.iter().rposition(|&byte| byte == b'/');
    let (directory, last) = match end {
        Some(end) => (&name[..end], &name[end + 1..]),
        None => (&b"."[..], name),
    };
    let Ok(directory) = beneath::open(root.as_fd(), directory, Symlinks::Never) else {
        return false;
    };
    let Ok((_, place)) = look(&directory) else {
        return false;
    };
    let own = |name: &[u8]| own_version(&directory, place.device, name);
    let beside = |coding: &Coding| match own(&[last, coding.suffix()].concat()) {
        Ok(sidecar) => sidecar.is_some(),
        Err(errno) => errno == Errno::NOENT,
    };
    own(last) == Ok(Some(file)) && Coding::COMPRESSED.iter().all(beside)
}

/// The version of what a directory on that device has under a name, if that is a regular file with no other name and not
/// mounted there.
fn own_version(
    directory: &OwnedFd,
    device: DeviceId,
    name: &[u8],
) -> Result<Option<Validator>, Errno> {
    let wanted = StatxFlags::BASIC_STATS;
    let stat = statx(directory, name, AtFlags::SYMLINK_NOFOLLOW, wanted)?;
    let version = Validator::of_extended(&stat);
    let is_file = FileType::from_raw_mode(stat.stx_mode.into()) == FileType::RegularFile;
    let is_mounted = stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
    let is_own = is_file && stat.stx_nlink == 1 && version.device == device && !is_mounted;
    Ok(is_own.then_some(version))
}

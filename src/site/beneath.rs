//! Opening a name without leaving the root: by `openat2` (Linux 5.6), or step by step in
//! the same way where the kernel, or what is around us, has no such call.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    CWD, FileType, Mode, OFlags, ResolveFlags, fstat, fstatfs, openat, openat2, readlinkat,
};
use rustix::io::{Errno, retry_on_intr};

/// Tries at a name whose directories are being renamed.
const ATTEMPTS: usize = 4;
/// Symbolic links that one name may lead through: `MAXSYMLINKS` of Linux.
const MAX_LINKS: usize = 40;
/// `PROC_SUPER_MAGIC` of linux/magic.h: the file system with links that are none.
const PROC_MAGIC: u32 = 0x9fa0;

/// NONBLOCK: opening a FIFO must not wait for its writer. NOCTTY: nor may a terminal become
/// ours.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOCTTY);
/// A look at what is there, whatever it is.
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Which symbolic links are followed. Magic links, those of /proc, never are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Symlinks {
    /// None.
    Never,
    /// Those that stay beneath the root, each step of the way.
    #[default]
    Inside,
    /// All.
    Always,
}

/// Opens `name`, which is relative and without `..`, for reading.
///
/// # Errors
/// `XDEV`: a link leads out of the root. `LOOP`: a link that may not be followed, or too
/// many of them. Else as `openat`.
pub fn open(root: BorrowedFd<'_>, name: &[u8], symlinks: Symlinks) -> Result<OwnedFd, Errno> {
    let mut outcome = Err(Errno::AGAIN);
    for _ in 0..ATTEMPTS {
        outcome = match at_once(root, name, symlinks) {
            Err(Errno::NOSYS) => step_by_step(root, name, symlinks),
            outcome => outcome,
        };
        // AGAIN: a rename raced with the look-up (openat2(2)).
        if !matches!(outcome, Err(Errno::AGAIN)) {
            break;
        }
    }
    outcome
}

fn at_once(root: BorrowedFd<'_>, name: &[u8], symlinks: Symlinks) -> Result<OwnedFd, Errno> {
    let within = match symlinks {
        Symlinks::Never => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
        Symlinks::Inside => ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
        Symlinks::Always => ResolveFlags::NO_MAGICLINKS,
    };
    retry_on_intr(|| openat2(root, name, READ, Mode::empty(), within))
}

/// The same without `openat2`.
fn step_by_step(root: BorrowedFd<'_>, name: &[u8], symlinks: Symlinks) -> Result<OwnedFd, Errno> {
    if name.is_empty() {
        return Err(Errno::NOENT);
    }
    let mut walk = Walk {
        root,
        beneath: Vec::new(),
        ahead: Vec::new(),
        links: 0,
    };
    walk.prepend(name);
    while let Some(component) = walk.ahead.pop() {
        if let Some(file) = walk.step(&component, symlinks)? {
            return Ok(file);
        }
    }
    openat(walk.here(), c".", READ | OFlags::DIRECTORY, Mode::empty())
}

struct Walk<'r> {
    root: BorrowedFd<'r>,
    /// The directories on the way from the root to where we are.
    beneath: Vec<OwnedFd>,
    /// Components still to come, the next one last.
    ahead: Vec<Vec<u8>>,
    links: usize,
}

impl Walk<'_> {
    fn here(&self) -> BorrowedFd<'_> {
        self.beneath.last().map_or(self.root, AsFd::as_fd)
    }

    /// Puts a path before what is still to come. An empty last component, behind a slash,
    /// wants a directory.
    fn prepend(&mut self, path: &[u8]) {
        let components = path.split(|&byte| byte == b'/').map(<[u8]>::to_vec);
        let at = self.ahead.len();
        self.ahead.extend(components);
        self.ahead[at..].reverse();
    }

    /// Goes one component on; the file if that is where the way ends.
    fn step(&mut self, component: &[u8], symlinks: Symlinks) -> Result<Option<OwnedFd>, Errno> {
        match component {
            b"" | b"." => return Ok(None),
            b".." => return self.up(symlinks).map(|()| None),
            _ => {}
        }
        let there = openat(self.here(), component, LOOK, Mode::empty())?;
        match FileType::from_raw_mode(fstat(&there)?.st_mode) {
            FileType::Directory => self.beneath.push(there),
            FileType::Symlink => self.follow(&there, symlinks)?,
            _ if !self.ahead.is_empty() => return Err(Errno::NOTDIR),
            _ => return self.read(component).map(Some),
        }
        Ok(None)
    }

    /// To the directory that we came from, or with all links the one that contains ours.
    fn up(&mut self, symlinks: Symlinks) -> Result<(), Errno> {
        if symlinks == Symlinks::Always {
            let parent = openat(self.here(), c"..", LOOK, Mode::empty())?;
            self.beneath.push(parent);
            return Ok(());
        }
        self.beneath.pop().map(drop).ok_or(Errno::XDEV)
    }

    fn follow(&mut self, link: &OwnedFd, symlinks: Symlinks) -> Result<(), Errno> {
        self.links += 1;
        let is_magic = fstatfs(self.here())?.f_type as u32 == PROC_MAGIC;
        if symlinks == Symlinks::Never || self.links > MAX_LINKS || is_magic {
            return Err(Errno::LOOP);
        }
        let target = readlinkat(link, c"", Vec::new())?.into_bytes();
        if target.starts_with(b"/") {
            if symlinks != Symlinks::Always {
                return Err(Errno::XDEV);
            }
            self.beneath = vec![openat(CWD, c"/", LOOK, Mode::empty())?];
        }
        self.prepend(&target);
        Ok(())
    }

    /// Opens what was looked at, and is still no link.
    fn read(&self, component: &[u8]) -> Result<OwnedFd, Errno> {
        let flags = READ | OFlags::NOFOLLOW;
        match retry_on_intr(|| openat(self.here(), component, flags, Mode::empty())) {
            // It has become one.
            Err(Errno::LOOP) => Err(Errno::AGAIN),
            opened => opened,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs::{self, File};
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    /// The same file, or the same refusal.
    type Outcome = Result<(u64, u64, bool), Errno>;

    fn outcome(opened: Result<OwnedFd, Errno>) -> Outcome {
        let stat = fstat(opened?)?;
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        Ok((stat.st_dev, stat.st_ino, is_directory))
    }

    /// What both ways say; they must agree.
    fn both(root: &Path, name: &[u8], symlinks: Symlinks) -> Outcome {
        let root = File::open(root).expect("a directory");
        let at_once = outcome(at_once(root.as_fd(), name, symlinks));
        let stepwise = outcome(step_by_step(root.as_fd(), name, symlinks));
        assert_eq!(stepwise, at_once, "{} {symlinks:?}", name.escape_ascii());
        at_once
    }

    #[test]
    fn links_are_followed_as_far_as_they_may_be() {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let (root, outside) = (
            temporary.path().join("www"),
            temporary.path().join("secret"),
        );
        fs::create_dir_all(root.join("deep/er")).expect("directories");
        fs::write(&outside, "secret").expect("a file");
        fs::write(root.join("file"), "file").expect("a file");
        for (link, target) in [
            ("to_file", "file"),
            ("deep/up", "../file"),
            ("deep/er/around", "../../deep/./er/../up"),
            ("to_dir", "deep"),
            ("out", "../secret"),
            ("deep/out", "../../secret"),
            ("there_and_back", "../www/file"),
            ("absolute", outside.to_str().expect("text")),
            ("absolute_inside", root.join("file").to_str().expect("text")),
            ("loop", "loop"),
            ("dangling", "nowhere"),
            ("magic", "/proc/self/cwd"),
        ] {
            symlink(target, root.join(link)).expect("a link");
        }
        use Symlinks::{Always, Inside, Never};
        let (loops, leads_out, nothing) = (Err(Errno::LOOP), Err(Errno::XDEV), Err(Errno::NOENT));
        for (name, never, inside, always) in [
            ("file", Ok(()), Ok(()), Ok(())),
            ("deep/er", Ok(()), Ok(()), Ok(())),
            (".", Ok(()), Ok(()), Ok(())),
            ("to_file", loops, Ok(()), Ok(())),
            ("to_dir/er/around", loops, Ok(()), Ok(())),
            ("to_dir/", loops, Ok(()), Ok(())),
            ("out", loops, leads_out, Ok(())),
            ("deep/out", loops, leads_out, Ok(())),
            ("there_and_back", loops, leads_out, Ok(())),
            ("absolute", loops, leads_out, Ok(())),
            ("absolute_inside", loops, leads_out, Ok(())),
            ("loop", loops, loops, loops),
            ("dangling", loops, nothing, nothing),
            ("magic", loops, leads_out, loops),
            ("nothing", nothing, nothing, nothing),
            ("", nothing, nothing, nothing),
        ] {
            for (symlinks, want) in [(Never, never), (Inside, inside), (Always, always)] {
                let got = both(&root, name.as_bytes(), symlinks);
                assert_eq!(got.map(drop), want, "{name:?} {symlinks:?}");
            }
        }
        let not_a_directory = Err(Errno::NOTDIR);
        assert_eq!(both(&root, b"file/", Inside).map(drop), not_a_directory);
        assert_eq!(both(&root, b"to_file/x", Inside).map(drop), not_a_directory);
    }

    #[test]
    fn forty_links_are_the_most() {
        let root = tempfile::tempdir().expect("a temporary directory");
        fs::write(root.path().join("0"), "file").expect("a file");
        for link in 1..=41 {
            symlink((link - 1).to_string(), root.path().join(link.to_string())).expect("a link");
        }
        assert!(both(root.path(), b"40", Symlinks::Inside).is_ok());
        assert_eq!(both(root.path(), b"41", Symlinks::Inside), Err(Errno::LOOP));
    }

    /// Paths of a few names, so that they meet.
    fn path() -> impl Strategy<Value = String> {
        let component = prop::sample::select(vec!["a", "b", "c", ".", "..", ""]);
        let components = prop::collection::vec(component, 1..5);
        components.prop_map(|components| components.join("/"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn both_ways_end_at_the_same_place(
            things in prop::collection::vec((path(), prop::option::of(path()), any::<bool>()), 0..12),
            names in prop::collection::vec(path(), 1..8),
        ) {
            let temporary = tempfile::tempdir().expect("a temporary directory");
            let root = temporary.path().join("a");
            fs::create_dir(&root).expect("a directory");
            for (at, target, is_directory) in things {
                // What is in the way, or out of the tree, is not made.
                let at = root.join(at.trim_start_matches('/'));
                if !is_within(&root, &at) {
                    continue;
                }
                let _ = match target {
                    Some(target) if !target.starts_with('/') => symlink(target, at),
                    _ if is_directory => fs::create_dir(at),
                    _ => fs::write(at, "x"),
                };
            }
            for name in names {
                let name = name.trim_start_matches('/');
                if name.split('/').any(|component| component == "..") {
                    continue;
                }
                for symlinks in [Symlinks::Never, Symlinks::Inside, Symlinks::Always] {
                    let _ = both(&root, name.as_bytes(), symlinks);
                }
            }
        }
    }

    /// Whether what contains `path` is beneath `root`, links and all.
    fn is_within(root: &Path, path: &Path) -> bool {
        let (Some(parent), Ok(root)) = (path.parent(), root.canonicalize()) else {
            return false;
        };
        let is_dots = path.as_os_str().as_bytes().ends_with(b".");
        !is_dots
            && parent
                .canonicalize()
                .is_ok_and(|parent| parent.starts_with(root))
    }
}

//! A file system for tests, on FUSE: one directory of files with made-up content, which
//! delays, fails, hangs, changes and drops them when told so. Needs root and /dev/fuse.
//!
//! What waits does so in a thread of its own, so that one file that hangs does not keep
//! the others. The kernel is told to remember nothing, unless a test says otherwise: each
//! look reaches the file system.
#![allow(dead_code, reason = "each test file uses a part of this")]

pub mod plain;

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, Request, SessionACL,
};
use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// What is done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Its name is looked up, or its size and times.
    LookUp,
    /// It is opened.
    Open,
    /// It is read.
    Read,
    /// The directory is listed.
    List,
    /// The directory itself is asked for its size and times; what is done with any file is not that.
    Stat,
    /// A descriptor is closed.
    Close,
}

/// How that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trouble {
    /// It takes so long.
    Delay(Duration),
    /// It yields so many bytes a second; reads only.
    Rate(f64),
    /// It fails with EIO.
    Fail,
    /// It does not end before the trouble does.
    Hang,
}

/// A mounted file system, unmounted when dropped.
pub struct Mount {
    files: Files,
    session: Option<BackgroundSession>,
    at: PathBuf,
}

impl Mount {
    /// Mounts one without files at the directory `at`.
    pub fn new(at: &Path) -> Mount {
        load_module();
        let mut config = Config::default();
        config.mount_options = vec![MountOption::RO, MountOption::FSName("troubled".to_owned())];
        config.acl = SessionACL::All;
        let files = Files::default();
        let session = fuser::spawn_mount(files.clone(), at, &config);
        Mount {
            files,
            session: Some(session.expect("this test mounts a FUSE file system: run it as root")),
            at: at.to_owned(),
        }
    }

    /// Where it is.
    pub fn at(&self) -> &Path {
        &self.at
    }

    /// Its files.
    pub fn files(&self) -> &Files {
        &self.files
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // What hangs would keep the session's threads.
        self.files.heal();
        // At once, whoever has a file open: a busy mount would stay when the test is over.
        let _ = rustix::mount::unmount(&self.at, rustix::mount::UnmountFlags::DETACH);
        drop(self.session.take());
    }
}

/// The kernel's part may be a module that nobody has used yet.
fn load_module() {
    let device = Path::new("/dev/fuse");
    if !device.exists() {
        let _ = Command::new("modprobe").arg("fuse").status();
    }
    assert!(
        device.exists(),
        "there is no /dev/fuse, which this test needs: a kernel with FUSE, and in a container its device"
    );
}

/// The files; copies share them.
#[derive(Clone, Default)]
pub struct Files(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Trouble has ended or begun.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    nodes: HashMap<u64, Node>,
    names: BTreeMap<OsString, u64>,
    last_ino: u64,
    troubles: HashMap<(Op, Option<OsString>), Trouble>,
    /// How long the kernel may believe sizes and times.
    remembered: Duration,
    /// How often each was done.
    counts: HashMap<Op, u64>,
}

/// A file, with a name or without one any more.
struct Node {
    name: OsString,
    seed: u64,
    size_bytes: u64,
    modified: SystemTime,
    /// When the bytes asked for so far have all been yielded, by the rate.
    busy_until: Instant,
}

/// The byte at `offset` of the file made from `seed`.
pub fn byte(seed: u64, offset: u64) -> u8 {
    // SplitMix64 of every eighth.
    let mut word = seed.wrapping_add((offset / 8 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (word ^ (word >> 31)).to_le_bytes()[(offset % 8) as usize]
}

/// A part of that file.
pub fn content(seed: u64, range: std::ops::Range<u64>) -> Vec<u8> {
    range.map(|offset| byte(seed, offset)).collect()
}

impl Files {
    /// Puts a file made from `seed` in the place of whatever has this name: a new inode.
    pub fn put(&self, name: &str, seed: u64, size_bytes: u64) {
        let mut state = self.state();
        // 1 is the directory.
        state.last_ino = (state.last_ino + 1).max(2);
        let node = Node {
            name: name.into(),
            seed,
            size_bytes,
            modified: SystemTime::now(),
            busy_until: Instant::now(),
        };
        let ino = state.last_ino;
        state.nodes.insert(ino, node);
        state.names.insert(name.into(), ino);
    }

    /// Changes a file in place.
    pub fn change(&self, name: &str, seed: u64, size_bytes: u64) {
        let mut state = self.state();
        let ino = state.names[OsStr::new(name)];
        let node = state.nodes.get_mut(&ino).expect("it has a name");
        (node.seed, node.size_bytes) = (seed, size_bytes);
        node.modified = SystemTime::now();
    }

    /// Whether there is a file of this name.
    pub fn has(&self, name: &str) -> bool {
        self.state().names.contains_key(OsStr::new(name))
    }

    /// Takes a file's name away; who has it open goes on reading.
    pub fn remove(&self, name: &str) {
        self.state().names.remove(OsStr::new(name));
    }

    /// From now on this happens to what is done with the file `name`, or with any file.
    pub fn trouble(&self, op: Op, name: Option<&str>, trouble: Trouble) {
        let key = (op, name.map(OsString::from));
        self.state().troubles.insert(key, trouble);
        self.0.changed.notify_all();
    }

    /// The kernel may believe sizes and times for so long, and so not ask for them.
    pub fn remember(&self, time: Duration) {
        self.state().remembered = time;
    }

    /// Ends all trouble; what hung goes on.
    pub fn heal(&self) {
        self.state().troubles.clear();
        self.0.changed.notify_all();
    }

    /// How often that was done.
    pub fn count(&self, op: Op) -> u64 {
        self.state().counts.get(&op).copied().unwrap_or(0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `go` do something with a file when, and if, it can be done.
    fn when(
        &self,
        op: Op,
        name: Option<OsString>,
        len_bytes: u64,
        go: impl FnOnce(Result<(), Errno>) + Send + 'static,
    ) {
        let mut state = self.state();
        *state.counts.entry(op).or_default() += 1;
        if state.trouble_of(op, name.as_deref()).is_none() {
            drop(state);
            return go(Ok(()));
        }
        drop(state);
        let files = self.clone();
        std::thread::spawn(move || go(files.suffer(op, name, len_bytes)));
    }

    /// Waits as the trouble wants it.
    fn suffer(&self, op: Op, name: Option<OsString>, len_bytes: u64) -> Result<(), Errno> {
        let began = Instant::now();
        let mut until = None;
        let mut state = self.state();
        loop {
            let left = match state.trouble_of(op, name.as_deref()) {
                None => return Ok(()),
                Some(Trouble::Fail) => return Err(Errno::EIO),
                Some(Trouble::Hang) => Duration::from_secs(3_600),
                Some(Trouble::Delay(time)) => time.saturating_sub(began.elapsed()),
                Some(Trouble::Rate(rate)) => {
                    let line =
                        *until.get_or_insert_with(|| state.stand_in_line(&name, len_bytes, rate));
                    line.saturating_duration_since(Instant::now())
                }
            };
            if left.is_zero() {
                return Ok(());
            }
            let waited = self.0.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl State {
    fn trouble_of(&self, op: Op, name: Option<&OsStr>) -> Option<Trouble> {
        let own = name.and_then(|name| self.troubles.get(&(op, Some(name.to_owned()))));
        own.or_else(|| self.troubles.get(&(op, None))).copied()
    }

    /// When a further read of a file will have been served, at so many bytes a second.
    fn stand_in_line(&mut self, name: &Option<OsString>, len_bytes: u64, rate: f64) -> Instant {
        let ino = name.as_ref().and_then(|name| self.names.get(name));
        let node = ino.and_then(|ino| self.nodes.get_mut(ino));
        let time = Duration::from_secs_f64(len_bytes as f64 / rate);
        match node {
            Some(node) => {
                node.busy_until = node.busy_until.max(Instant::now()) + time;
                node.busy_until
            }
            None => Instant::now() + time,
        }
    }

    fn named(&self, name: &OsStr) -> Result<FileAttr, Errno> {
        let ino = self.names.get(name).ok_or(Errno::ENOENT)?;
        self.attributes(*ino)
    }

    fn attributes(&self, ino: u64) -> Result<FileAttr, Errno> {
        if INodeNo(ino) == INodeNo::ROOT {
            return Ok(attributes(
                ino,
                FileType::Directory,
                0,
                SystemTime::UNIX_EPOCH,
            ));
        }
        let node = self.nodes.get(&ino).ok_or(Errno::ENOENT)?;
        Ok(attributes(
            ino,
            FileType::RegularFile,
            node.size_bytes,
            node.modified,
        ))
    }

    fn name_of(&self, ino: u64) -> Option<OsString> {
        self.nodes.get(&ino).map(|node| node.name.clone())
    }
}

fn attributes(ino: u64, kind: FileType, size: u64, time: SystemTime) -> FileAttr {
    FileAttr {
        ino: INodeNo(ino),
        size,
        blocks: size.div_ceil(512),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind,
        perm: if kind == FileType::Directory {
            0o755
        } else {
            0o644
        },
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4_096,
        flags: 0,
    }
}

impl Filesystem for Files {
    fn lookup(&self, _: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let (files, name) = (self.clone(), name.to_owned());
        self.when(Op::LookUp, Some(name.clone()), 0, move |can| {
            let remembered = files.state().remembered;
            match can.and_then(|()| files.state().named(&name)) {
                Ok(attributes) => reply.entry(&remembered, &attributes, Generation(0)),
                Err(errno) => reply.error(errno),
            }
        });
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let (files, name) = (self.clone(), self.state().name_of(ino.0));
        let remembered = self.state().remembered;
        let answer = move |can: Result<(), Errno>| match can
            .and_then(|()| files.state().attributes(ino.0))
        {
            Ok(attributes) => reply.attr(&remembered, &attributes),
            Err(errno) => reply.error(errno),
        };
        let op = name.as_ref().map_or(Op::Stat, |_| Op::LookUp);
        self.when(op, name, 0, answer);
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let name = self.state().name_of(ino.0);
        self.when(Op::Open, name, 0, move |can| match can {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::empty()),
            Err(errno) => reply.error(errno),
        });
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let (files, name) = (self.clone(), self.state().name_of(ino.0));
        self.when(Op::Read, name, size.into(), move |can| {
            let node = |()| {
                let state = files.state();
                let node = state.nodes.get(&ino.0).ok_or(Errno::ENOENT)?;
                Ok((node.seed, node.size_bytes))
            };
            match can.and_then(node) {
                Ok((seed, size_bytes)) => {
                    let end = size_bytes.min(offset + u64::from(size));
                    reply.data(&content(seed, offset.min(end)..end));
                }
                Err(errno) => reply.error(errno),
            }
        });
    }

    fn flush(&self, _: &Request, ino: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        let name = self.state().name_of(ino.0);
        self.when(Op::Close, name, 0, move |can| match can {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        });
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let files = self.clone();
        self.when(Op::List, None, 0, move |can| {
            if let Err(errno) = can {
                return reply.error(errno);
            }
            let state = files.state();
            let dots = [".", ".."].map(|name| (name.into(), ino.0, FileType::Directory));
            let names = state.names.iter();
            let files = names.map(|(name, &ino)| (name.clone(), ino, FileType::RegularFile));
            for (at, (name, ino, kind)) in (1..)
                .zip(dots.into_iter().chain(files))
                .skip(offset as usize)
            {
                if reply.add(INodeNo(ino), at, kind, name) {
                    break;
                }
            }
            reply.ok();
        });
    }
}

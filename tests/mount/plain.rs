//! A file system that can be written and knows no more than it must: no file without a
//! name, none with two unless it `knows` that, and to rename without replacing neither.

use super::{attributes, load_module};
use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem,
    FopenFlags, Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr,
    ReplyCreate, ReplyEmpty, ReplyEntry, ReplyWrite, Request, SessionACL, TimeOrNow, WriteFlags,
};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// What it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knows {
    /// A second name for a file.
    Link,
    /// To rename a file unless that name is taken.
    NoReplace,
}

/// One that is mounted, until it is dropped.
pub struct Plain {
    files: Files,
    session: Option<BackgroundSession>,
    at: PathBuf,
}

impl Plain {
    /// Mounts an empty one at the directory `at`.
    pub fn new(at: &Path, knows: Knows) -> Plain {
        load_module();
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("plain".to_owned())];
        config.acl = SessionACL::All;
        let state = Arc::default();
        let files = Files { knows, state };
        let session = fuser::spawn_mount(files.clone(), at, &config);
        Plain {
            files,
            session: Some(session.expect("this test mounts a FUSE file system: run it as root")),
            at: at.to_owned(),
        }
    }

    /// Names of its files and what is in them.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let state = self.files.state();
        let names = state.names.iter();
        let file = |(name, ino): (&OsString, &u64)| {
            let name = name.to_str().expect("UTF-8").to_owned();
            (name, state.contents[ino].clone())
        };
        names.map(file).collect()
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.at, rustix::mount::UnmountFlags::DETACH);
        drop(self.session.take());
    }
}

#[derive(Clone)]
struct Files {
    knows: Knows,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    names: BTreeMap<OsString, u64>,
    contents: BTreeMap<u64, Vec<u8>>,
}

impl Files {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn attributes(&self, ino: u64) -> Result<FileAttr, Errno> {
        let (kind, size) = match INodeNo(ino) == INodeNo::ROOT {
            true => (FileType::Directory, 0),
            false => {
                let content = self.contents.get(&ino).ok_or(Errno::ENOENT)?;
                (FileType::RegularFile, content.len() as u64)
            }
        };
        Ok(attributes(ino, kind, size, SystemTime::UNIX_EPOCH))
    }

    fn named(&self, name: &OsStr) -> Result<FileAttr, Errno> {
        self.attributes(*self.names.get(name).ok_or(Errno::ENOENT)?)
    }

    fn create(&mut self, name: &OsStr) -> Result<FileAttr, Errno> {
        // 1 is the directory.
        let ino = self.contents.last_key_value().map_or(2, |(ino, _)| ino + 1);
        self.contents.insert(ino, Vec::new());
        self.names.insert(name.to_owned(), ino);
        self.attributes(ino)
    }

    fn write(&mut self, ino: u64, offset: usize, data: &[u8]) -> Result<(), Errno> {
        let content = self.contents.get_mut(&ino).ok_or(Errno::ENOENT)?;
        content.resize(content.len().max(offset + data.len()), 0);
        content[offset..][..data.len()].copy_from_slice(data);
        Ok(())
    }

    fn rename(&mut self, from: &OsStr, to: &OsStr, flags: RenameFlags) -> Result<(), Errno> {
        if flags.contains(RenameFlags::RENAME_NOREPLACE) && self.names.contains_key(to) {
            return Err(Errno::EEXIST);
        }
        let ino = self.names.remove(from).ok_or(Errno::ENOENT)?;
        self.names.insert(to.to_owned(), ino);
        Ok(())
    }
}

fn entry(found: Result<FileAttr, Errno>, reply: ReplyEntry) {
    match found {
        Ok(attributes) => reply.entry(&Duration::ZERO, &attributes, Generation(0)),
        Err(errno) => reply.error(errno),
    }
}

fn attribute(found: Result<FileAttr, Errno>, reply: ReplyAttr) {
    match found {
        Ok(attributes) => reply.attr(&Duration::ZERO, &attributes),
        Err(errno) => reply.error(errno),
    }
}

fn end(done: Result<(), Errno>, reply: ReplyEmpty) {
    match done {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

impl Filesystem for Files {
    fn lookup(&self, _: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        entry(self.state().named(name), reply);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        attribute(self.state().attributes(ino.0), reply);
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        _size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        attribute(self.state().attributes(ino.0), reply);
    }

    fn create(
        &self,
        _: &Request,
        _parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let (handle, flags) = (FileHandle(0), FopenFlags::empty());
        match self.state().create(name) {
            Ok(made) => reply.created(&Duration::ZERO, &made, Generation(0), handle, flags),
            Err(errno) => reply.error(errno),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.state().write(ino.0, offset as usize, data) {
            Ok(()) => reply.written(data.len() as u32),
            Err(errno) => reply.error(errno),
        }
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn unlink(&self, _: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.state().names.remove(name);
        end(removed.map(drop).ok_or(Errno::ENOENT), reply);
    }

    fn link(&self, _: &Request, ino: INodeNo, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut state = self.state();
        if self.knows != Knows::Link {
            return reply.error(Errno::EPERM);
        }
        state.names.insert(name.to_owned(), ino.0);
        entry(state.named(name), reply);
    }

    fn rename(
        &self,
        _: &Request,
        _parent: INodeNo,
        name: &OsStr,
        _new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        match flags.is_empty() || self.knows == Knows::NoReplace {
            true => end(self.state().rename(name, new_name, flags), reply),
            false => reply.error(Errno::EINVAL),
        }
    }
}

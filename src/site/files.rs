//! The blocking half: opening and reading files beneath the root. Loaders run this; nothing else does.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::fs::{CWD, FileType, Mode, OFlags, openat};
use rustix::io::{Errno, pread, retry_on_intr};

use super::buffers::Buffers;
use super::closing::{Closing, Held};
use super::coding::Coding;
use super::entry::Body;
use super::headers::Fields;
use super::listing::View;
use super::mounts::DeviceId;
use super::settings::{Compress, Settings};
use super::version::{Loaded, Validator, Versions, look};
use super::{beneath, compress, directory};

/// Files up to this length are kept whole in memory; longer ones are read in chunks as they are sent. Most of a page's
/// parts are smaller, and a connection never waits for the disk while it sends one.
pub const CACHED_FILE_BYTES: u64 = 256 * 1024;

/// Tries at a file that changes while it is read, before it counts as failed.
const ATTEMPTS: usize = 4;

/// The steps in which the kernel's clock of files moves, if they are long. Of two changes within one both may have the
/// same time: before it is over, that does not tell a version from the next one.
const TICK: Duration = Duration::from_millis(10);

/// The root cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the root directory {}: {source}; give a directory that the server may read", path.display())]
pub struct RootError {
    path: PathBuf,
    source: io::Error,
}

/// The directory beneath which every name is looked up.
#[derive(Debug)]
pub struct Root {
    directory: OwnedFd,
    /// Where it was when it was opened, without symbolic links.
    pub(super) path: PathBuf,
    /// For the chunks of its files.
    buffers: Buffers,
    /// For those that stay open.
    pub(super) closing: Closing<OwnedFd>,
    pub(super) settings: Settings,
}

impl Root {
    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// It does not exist, is no directory, or may not be read.
    pub fn open(path: &Path) -> Result<Self, RootError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match openat(CWD, path, flags, Mode::empty()) {
            Ok(directory) => Ok(Root {
                directory,
                path: path.canonicalize().unwrap_or_else(|_| path.to_owned()),
                buffers: Buffers::default(),
                closing: Closing::default(),
                settings: Settings::default(),
            }),
            Err(errno) => Err(RootError {
                path: path.to_owned(),
                source: errno.into(),
            }),
        }
    }

    /// The directory itself.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// The same directory with other settings than the default ones.
    pub fn with(self, settings: Settings) -> Self {
        Root { settings, ..self }
    }

    /// Whether text is compressed when it is loaded, unless there are sidecars: it is if nothing else is said.
    pub fn compressing(mut self, compress: bool) -> Self {
        self.settings.compress = match compress {
            true => Compress::Best,
            false => Compress::Off,
        };
        self
    }

    /// Whether directories without an index are listed: they are not if nothing else is said.
    pub fn listing(mut self, list: bool) -> Self {
        self.settings.list = list;
        self
    }
}

/// An open regular file that chunks of one version are read from.
#[derive(Debug)]
pub struct OpenFile {
    fd: Held,
    buffers: Buffers,
    /// The version. The time of the last change of status (ctime) is no part of it: that changes with a new name or none
    /// any more, and with permissions, and no byte does.
    validator: Validator,
    /// Whether a read has found another one.
    is_outdated: AtomicBool,
}

impl OpenFile {
    /// The device of its file system.
    pub(super) fn device(&self) -> DeviceId {
        self.validator.device
    }

    /// Whether it is known to hold another version by now.
    pub(super) fn is_outdated(&self) -> bool {
        self.is_outdated.load(Ordering::Relaxed)
    }
}

/// What a look at the file system found.
#[derive(Debug)]
pub enum Found {
    /// The file and its sidecars are still the versions that were known.
    Unchanged,
    /// A regular file, or the listing of a directory without an index.
    File {
        /// The file itself.
        identity: Box<Loaded>,
        /// Its sidecars, or what was made of it in their place, in the order of [`Coding::COMPRESSED`].
        variants: Vec<(Coding, Loaded)>,
        /// Its media type with its charset, whatever the coding.
        media_type: String,
        /// What else its responses say.
        fields: Fields,
        /// Wall-clock time just before it was looked at.
        read_at: SystemTime,
    },
    /// A directory, named without a final slash.
    Directory,
    /// Nothing that is served.
    NotFound,
    /// A file that may not be read.
    Forbidden,
    /// An input/output error.
    Failed(io::ErrorKind),
    /// There was no descriptor for it.
    NoDescriptor,
}

impl From<Errno> for Found {
    fn from(errno: Errno) -> Self {
        match errno {
            // XDEV: the name, or a symbolic link in it, leads out of the root (openat2(2), RESOLVE_BENEATH).
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::LOOP | Errno::XDEV => {
                Found::NotFound
            }
            // What opening a socket, or a device without a driver, says.
            Errno::NXIO | Errno::NODEV => Found::NotFound,
            Errno::ACCESS | Errno::PERM => Found::Forbidden,
            Errno::MFILE | Errno::NFILE => Found::NoDescriptor,
            _ => Found::Failed(io::Error::from(errno).kind()),
        }
    }
}

/// Looks up `name`, a result of [`resolve`](super::resolve::resolve) with, perhaps, a [`View`] behind it,
/// beneath `root`.
///
/// Files that are still the versions `known` are not read again.
pub fn open(root: &Root, name: &[u8], known: Option<&Versions>) -> Found {
    let (name, view) = View::of_key(name);
    let found = if name.is_empty() || name.ends_with(b"/") {
        match index(root, name, known) {
            Err(Found::NotFound) if root.settings.list => directory::list(root, name, view),
            found => found,
        }
    } else {
        look_up(root, name, known)
    };
    found.unwrap_or_else(|reason| reason)
}

/// The first index that the directory `name` has.
fn index(root: &Root, name: &[u8], known: Option<&Versions>) -> Result<Found, Found> {
    let names = root.settings.index.iter();
    let look_up = |index: &String| look_up(root, &[name, index.as_bytes()].concat(), known);
    let is_there = |found: &_| !matches!(found, Err(Found::Directory | Found::NotFound));
    names
        .map(look_up)
        .find(is_there)
        .unwrap_or(Err(Found::NotFound))
}

fn look_up(root: &Root, name: &[u8], known: Option<&Versions>) -> Result<Found, Found> {
    for _ in 0..ATTEMPTS {
        if let Some(found) = look_once(root, name, known)? {
            return Ok(found);
        }
    }
    Err(Found::Failed(io::ErrorKind::ResourceBusy))
}

/// Nothing if the file changed while it was read. Whoever tries again must open it again: file systems elsewhere forget
/// then what they had of its content.
fn look_once(root: &Root, name: &[u8], known: Option<&Versions>) -> Result<Option<Found>, Found> {
    let read_at = SystemTime::now();
    let file = Regular::open(root, name)?;
    let sidecars = sidecars(root, name, &file.validator);
    let mut versions = Versions::new(file.validator);
    for (coding, sidecar) in &sidecars {
        versions.add(*coding, sidecar.validator);
    }
    if known == Some(&versions) {
        return Ok(Some(Found::Unchanged));
    }
    let Some(identity) = file.load()? else {
        return Ok(None);
    };
    let mut variants: Vec<_> = sidecars
        .into_iter()
        .filter_map(|(coding, sidecar)| Some((coding, sidecar.load().ok()??)))
        .collect();
    let media_type = root.settings.media_types.of(name);
    if variants.is_empty() {
        variants = compressed(root, &media_type, &identity);
    }
    Ok(Some(Found::File {
        identity: Box::new(identity),
        variants,
        media_type,
        fields: root.settings.headers.of(name),
        read_at,
    }))
}

/// Variants of a file that nobody has put any beside. What is read in chunks stays as it is.
fn compressed(root: &Root, media_type: &str, file: &Loaded) -> Vec<(Coding, Loaded)> {
    let Body::Memory(content) = &file.body else {
        return Vec::new();
    };
    compress::variants(root.settings.compress, media_type, content)
        .into_iter()
        .map(|(coding, content)| (coding, Loaded::made(file.validator, content)))
        .collect()
}

/// The files beside `name` that hold the same in another coding. One that is older than the original was forgotten when
/// that was edited; one without a byte was not finished, for every coding has a header. Whatever else is wrong with a
/// sidecar, the original can be sent.
fn sidecars<'r>(root: &'r Root, name: &[u8], original: &Validator) -> Vec<(Coding, Regular<'r>)> {
    if Coding::COMPRESSED
        .iter()
        .any(|coding| name.ends_with(coding.suffix()))
    {
        return Vec::new();
    }
    let open = |coding: Coding| Regular::open(root, &[name, coding.suffix()].concat()).ok();
    // Whole seconds, for not every copy or archive keeps more of a time.
    let serves = |sidecar: &Regular| {
        sidecar.validator.size_bytes > 0 && sidecar.validator.mtime_s >= original.mtime_s
    };
    Coding::COMPRESSED
        .into_iter()
        .filter_map(|coding| Some((coding, open(coding).filter(serves)?)))
        .collect()
}

/// A regular file that was opened.
struct Regular<'r> {
    root: &'r Root,
    fd: OwnedFd,
    validator: Validator,
}

impl<'r> Regular<'r> {
    /// Opens `name` beneath `root`; what stands there instead is an error.
    fn open(root: &'r Root, name: &[u8]) -> Result<Self, Found> {
        let fd = open_beneath(root, name)?;
        let (file_type, mut validator) = look(&fd)?;
        if let Some(rest) = rest_of_tick(&validator) {
            sleep(rest);
            validator = look(&fd)?.1;
        }
        match file_type {
            FileType::RegularFile => Ok(Regular {
                root,
                fd,
                validator,
            }),
            FileType::Directory => Err(Found::Directory),
            _ => Err(Found::NotFound),
        }
    }

    /// Reads it if it is small; nothing if it changed meanwhile.
    fn load(self) -> Result<Option<Loaded>, Found> {
        if self.validator.size_bytes > CACHED_FILE_BYTES {
            let version = self.validator;
            return Ok(Some(Loaded::own(version, Body::Open(self.keep()))));
        }
        let len = self.validator.size_bytes as usize;
        match read_version(&self.fd, &self.validator, 0, Vec::with_capacity(len), len) {
            Ok(bytes) => {
                let body = Body::Memory(Bytes::from(bytes));
                Ok(Some(Loaded::own(self.validator, body)))
            }
            Err(ReadError::Shrank | ReadError::Changed) => Ok(None),
            Err(ReadError::Io(kind)) => Err(Found::Failed(kind)),
        }
    }

    /// Keeps it open, to be read in chunks.
    fn keep(self) -> Arc<OpenFile> {
        let closing = self.root.closing.clone();
        Arc::new(OpenFile {
            fd: Held::new(self.fd, self.validator.device, closing),
            buffers: self.root.buffers.clone(),
            validator: self.validator,
            is_outdated: AtomicBool::new(false),
        })
    }
}

/// How long the tick lasts in which this version was made, if it is not over.
fn rest_of_tick(version: &Validator) -> Option<Duration> {
    let age = SystemTime::now().duration_since(version.modified());
    // What seems to be from the future is by another clock.
    TICK.checked_sub(age.ok()?).filter(|rest| !rest.is_zero())
}

/// Opens `name` without ever leaving the root: not by `..`, not by a symbolic link unless all are followed.
pub(super) fn open_beneath(root: &Root, name: &[u8]) -> Result<OwnedFd, Errno> {
    beneath::open(root.directory.as_fd(), name, root.settings.symlinks)
}

/// Why bytes that a file was to hold could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadError {
    /// The file ends earlier than it did.
    Shrank,
    /// It has been modified, so that these bytes may be of another version.
    Changed,
    /// An input/output error.
    Io(io::ErrorKind),
}

/// Reads `len` bytes at `offset`, all of them or none, and of the version that was opened.
///
/// # Errors
/// The file no longer reaches that far, is no longer that version, or cannot be read.
pub fn read(file: &OpenFile, offset: u64, len: usize) -> Result<Bytes, ReadError> {
    let buffer = file.buffers.take(len);
    let bytes = read_version(&file.fd, &file.validator, offset, buffer, len);
    if let Err(ReadError::Shrank | ReadError::Changed) = bytes {
        file.is_outdated.store(true, Ordering::Relaxed);
    }
    Ok(file.buffers.share(bytes?))
}

/// Reads into `bytes`, which is empty and has room for them, what is of that version.
fn read_version(
    fd: impl AsFd,
    version: &Validator,
    offset: u64,
    bytes: Vec<u8>,
    len: usize,
) -> Result<Vec<u8>, ReadError> {
    let bytes = read_exact(&fd, offset, bytes, len)?;
    // Asked afterwards: a writer changes the time first, then the bytes.
    match look(&fd) {
        Ok((_, found)) if found == *version => Ok(bytes),
        Ok(_) => Err(ReadError::Changed),
        Err(errno) => Err(ReadError::Io(io::Error::from(errno).kind())),
    }
}

/// Reads into `bytes`, which is empty and has room for them.
fn read_exact(
    fd: impl AsFd,
    offset: u64,
    mut bytes: Vec<u8>,
    len: usize,
) -> Result<Vec<u8>, ReadError> {
    while bytes.len() < len {
        let at = offset + bytes.len() as u64;
        match retry_on_intr(|| pread(&fd, spare_capacity(&mut bytes), at)) {
            Ok(0) => return Err(ReadError::Shrank),
            Ok(_) => {}
            Err(errno) => return Err(ReadError::Io(io::Error::from(errno).kind())),
        }
    }
    // There may have been more room than was asked for.
    bytes.truncate(len);
    Ok(bytes)
}

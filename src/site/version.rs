//! Versions of files: what tells them apart, and what there is of one to send.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, FileType, Stat, Statx, StatxFlags, fstat, makedev, statx};
use rustix::io::Errno;

use super::coding::Coding;
use super::compress;
use super::entry::Body;

/// What tells one version of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validator {
    /// Modification time, seconds since the Unix epoch.
    pub mtime_s: i64,
    /// Nanoseconds within that second.
    pub mtime_ns: u32,
    /// Length in bytes.
    pub size_bytes: u64,
    /// Inode number.
    pub inode: u64,
    /// Device that the inode is on.
    pub device: u64,
}

impl Validator {
    /// That of the file with this `stat`.
    pub fn of(stat: &Stat) -> Self {
        // The types of these fields differ between architectures.
        #[allow(clippy::unnecessary_cast)]
        Validator {
            mtime_s: stat.st_mtime as i64,
            mtime_ns: stat.st_mtime_nsec as u32,
            size_bytes: stat.st_size.max(0) as u64,
            inode: stat.st_ino as u64,
            device: stat.st_dev as u64,
        }
    }

    pub(super) fn of_extended(stat: &Statx) -> Self {
        Validator {
            mtime_s: stat.stx_mtime.tv_sec,
            mtime_ns: stat.stx_mtime.tv_nsec,
            size_bytes: stat.stx_size,
            inode: stat.stx_ino,
            device: makedev(stat.stx_dev_major, stat.stx_dev_minor),
        }
    }

    /// The modification time; times before the epoch count as the epoch.
    pub fn modified(&self) -> SystemTime {
        let since_epoch = Duration::new(self.mtime_s.max(0) as u64, self.mtime_ns);
        UNIX_EPOCH.checked_add(since_epoch).unwrap_or(UNIX_EPOCH)
    }

    /// The same, changed not earlier than `time`.
    pub(super) fn not_before(self, time: SystemTime) -> Self {
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (mtime_s, mtime_ns) = (self.mtime_s, self.mtime_ns)
            .max((since_epoch.as_secs() as i64, since_epoch.subsec_nanos()));
        Validator {
            mtime_s,
            mtime_ns,
            ..self
        }
    }

    /// A strong entity tag, quotes included, of the file's bytes as a representation in `coding`, or of bytes with this
    /// fingerprint that were made of them.
    pub fn etag(&self, coding: Coding, fingerprint: Option<u64>) -> String {
        let mut tag = format!(
            "\"{:x}.{:x}-{:x}-{:x}",
            self.mtime_s, self.mtime_ns, self.size_bytes, self.inode
        );
        // Writing to a String cannot fail.
        if coding != Coding::Identity {
            let _ = write!(tag, "-{}", coding.token());
        }
        if let Some(fingerprint) = fingerprint {
            let _ = write!(tag, "-{fingerprint:x}");
        }
        tag.push('"');
        tag
    }
}

/// What an open file is, and which version of it there is now. A file system elsewhere is asked itself: what this
/// machine remembers of it may be older than the bytes that a read gets.
pub(super) fn look(file: impl AsFd) -> Result<(FileType, Validator), Errno> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
    let wanted = StatxFlags::TYPE | StatxFlags::MTIME | StatxFlags::SIZE | StatxFlags::INO;
    match statx(&file, c"", flags, wanted) {
        Ok(stat) => {
            let file_type = FileType::from_raw_mode(stat.stx_mode.into());
            Ok((file_type, Validator::of_extended(&stat)))
        }
        // Filters of system calls may not know this one.
        Err(Errno::NOSYS | Errno::PERM) => {
            let stat = fstat(&file)?;
            let file_type = FileType::from_raw_mode(stat.st_mode);
            Ok((file_type, Validator::of(&stat)))
        }
        Err(errno) => Err(errno),
    }
}

/// What tells one state of a file and its sidecars from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    identity: Validator,
    /// In the order of [`Coding::COMPRESSED`].
    sidecars: [Option<Validator>; Coding::COMPRESSED.len()],
}

impl Versions {
    /// Those of a file without sidecars.
    pub fn new(identity: Validator) -> Self {
        Versions {
            identity,
            sidecars: [None; Coding::COMPRESSED.len()],
        }
    }

    /// That of the file itself.
    pub(super) fn identity(&self) -> Validator {
        self.identity
    }

    /// Adds the sidecar in `coding`.
    pub fn add(&mut self, coding: Coding, validator: Validator) {
        let codings = Coding::COMPRESSED.iter().zip(&mut self.sidecars);
        for (_, sidecar) in codings.filter(|(other, _)| **other == coding) {
            *sidecar = Some(validator);
        }
    }
}

/// A version of a file, ready to be sent.
#[derive(Debug)]
pub struct Loaded {
    /// Identity of the version that was opened.
    pub validator: Validator,
    /// Its content, or the way to it.
    pub body: Body,
    /// What tells the content from others of this version, if it is not the file's own but was made of it.
    pub fingerprint: Option<u64>,
}

impl Loaded {
    /// A file with its own content.
    pub fn own(validator: Validator, body: Body) -> Self {
        Loaded {
            validator,
            body,
            fingerprint: None,
        }
    }

    /// What was made of a file.
    pub(super) fn made(of: Validator, content: Bytes) -> Self {
        Loaded {
            validator: of,
            fingerprint: Some(compress::fingerprint(&content)),
            body: Body::Memory(content),
        }
    }
}

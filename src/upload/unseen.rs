//! A file before it has its name.

use super::Trouble;
use super::place::Place;
use crate::site::{Coding, Validator};
use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, RenameFlags, fdatasync, fstat, fsync, linkat, openat,
    renameat_with, unlinkat,
};
use rustix::io::{Errno, fcntl_dupfd_cloexec, retry_on_intr, write};
use rustix::rand::{GetRandomFlags, getrandom};
use std::os::fd::{AsRawFd, OwnedFd};

/// Who else may read it is the umask's business.
const MODE: Mode = Mode::RUSR
    .union(Mode::WUSR)
    .union(Mode::RGRP)
    .union(Mode::ROTH);
const FLAGS: OFlags = OFlags::WRONLY.union(OFlags::CLOEXEC);
/// So much is written before it is brought to the disk: the last step is not to take all the time.
const SYNC_BYTES: u64 = 16 << 20;
/// Tries at a name that nobody has.
const ATTEMPTS: usize = 8;

/// A file without a name, or where the file system has no such, with a hidden one. Its end blocks.
#[derive(Debug)]
pub(super) struct Unseen {
    file: OwnedFd,
    /// Bytes that were written since it was last on the disk.
    unsynced_bytes: u64,
    /// Its name, while it has one that is not its own, and the directory for it.
    hidden: Option<(OwnedFd, Vec<u8>)>,
}

impl Unseen {
    /// An empty one for `place`.
    pub(super) fn new(place: &Place) -> Result<Unseen, Trouble> {
        match openat(&place.directory, ".", FLAGS | OFlags::TMPFILE, MODE) {
            Ok(file) => Ok(Unseen {
                file,
                unsynced_bytes: 0,
                hidden: None,
            }),
            // What kernels and file systems without it say (open(2)).
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL | Errno::NOSYS) => {
                Unseen::hidden(place)
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// One that has a name.
    pub(super) fn hidden(place: &Place) -> Result<Unseen, Trouble> {
        let directory = fcntl_dupfd_cloexec(&place.directory, 0)?;
        let flags = FLAGS | OFlags::CREATE | OFlags::EXCL;
        let made = some_name(&place.name, |name| openat(&directory, name, flags, MODE));
        let (file, name) = made?;
        Ok(Unseen {
            file,
            unsynced_bytes: 0,
            hidden: Some((directory, name)),
        })
    }

    /// Adds to it.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), Errno> {
        while !bytes.is_empty() {
            let written = retry_on_intr(|| write(&self.file, bytes))?;
            bytes = &bytes[written..];
            self.unsynced_bytes += written as u64;
        }
        if self.unsynced_bytes >= SYNC_BYTES {
            fdatasync(&self.file)?;
            self.unsynced_bytes = 0;
        }
        Ok(())
    }

    /// Gives it its name.
    pub(super) fn name_it(&mut self, place: &Place, must_be_new: bool) -> Result<(), Trouble> {
        let named = match &self.hidden {
            Some(_) => self.rename(place, must_be_new),
            None => match self.link(place, &place.name) {
                // What has a name already gets it by renaming.
                Err(Errno::EXIST) if !must_be_new => {
                    self.hide(place).and_then(|()| self.rename(place, false))
                }
                linked => linked,
            },
        };
        named.map_err(|errno| match errno {
            Errno::EXIST if must_be_new => Trouble::Condition,
            errno => errno.into(),
        })
    }

    /// Gives what has no name a hidden one.
    fn hide(&mut self, place: &Place) -> Result<(), Errno> {
        let directory = fcntl_dupfd_cloexec(&place.directory, 0)?;
        let ((), name) = some_name(&place.name, |name| self.link(place, name))?;
        self.hidden = Some((directory, name));
        Ok(())
    }

    /// Gives what has a hidden name this one.
    fn rename(&mut self, place: &Place, must_be_new: bool) -> Result<(), Errno> {
        let (directory, hidden) = self.hidden.as_ref().ok_or(Errno::BADF)?;
        let (from, to) = (&hidden[..], &place.name[..]);
        let flags = match must_be_new {
            true => RenameFlags::NOREPLACE,
            false => RenameFlags::empty(),
        };
        match renameat_with(directory, from, &place.directory, to, flags) {
            // Where that is not known: this replaces nothing either, and our other name goes when we do.
            Err(Errno::INVAL | Errno::NOSYS) if must_be_new => {
                linkat(directory, from, &place.directory, to, AtFlags::empty())
            }
            Err(errno) => Err(errno),
            Ok(()) => {
                self.hidden = None;
                Ok(())
            }
        }
    }

    /// Brings it to the disk.
    pub(super) fn sync(&self) -> Result<(), Errno> {
        fsync(&self.file)
    }

    /// Its entity tag.
    pub(super) fn etag(&self) -> Result<String, Errno> {
        Ok(Validator::of(&fstat(&self.file)?).etag(Coding::Identity, None))
    }

    /// Gives what has no name this one.
    fn link(&self, place: &Place, name: &[u8]) -> Result<(), Errno> {
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        linkat(CWD, path, &place.directory, name, AtFlags::SYMLINK_FOLLOW)
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        if let Some((directory, name)) = &self.hidden {
            // If that cannot be done either, it stays hidden.
            let _ = unlinkat(directory, &name[..], AtFlags::empty());
        }
    }
}

/// Does something with a name that nobody has: hidden, and told from those of others by chance.
fn some_name<T>(
    name: &[u8],
    mut with: impl FnMut(&[u8]) -> Result<T, Errno>,
) -> Result<(T, Vec<u8>), Errno> {
    for _ in 0..ATTEMPTS {
        let mut chance = [0; 8];
        getrandom(&mut chance, GetRandomFlags::empty())?;
        // With a long name in it, it would be too long.
        let beginning =
            String::from_utf8_lossy(&name[..name.len().min(64)]).replace('\u{fffd}', "_");
        let hidden = format!(".{beginning}.{:016x}.part", u64::from_ne_bytes(chance)).into_bytes();
        match with(&hidden) {
            Err(Errno::EXIST) => {}
            outcome => return outcome.map(|done| (done, hidden)),
        }
    }
    Err(Errno::EXIST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_names_are_not_too_long() {
        let name = "长".repeat(85);
        let (length, hidden) = some_name(name.as_bytes(), |name| Ok(name.len())).expect("a name");
        assert!(length < 255 && hidden.starts_with(".长".as_bytes()) && hidden.ends_with(b".part"));
    }
}

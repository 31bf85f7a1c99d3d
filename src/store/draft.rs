//! A file that is being written and not yet in its place.

use super::Trouble;
use super::place::Place;
use crate::http::wishes::Wishes;
use crate::site::{Coding, Validator};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, fstat, fsync, linkat, openat, renameat, unlinkat};
use rustix::io::{Errno, retry_on_intr, write};
use rustix::rand::{GetRandomFlags, getrandom};
use std::os::fd::{AsRawFd, OwnedFd};
use tokio::runtime::Handle;

/// Who else may read it is the umask's business.
const MODE: Mode = Mode::RUSR
    .union(Mode::WUSR)
    .union(Mode::RGRP)
    .union(Mode::ROTH);
/// Tries at a name that nobody has.
const ATTEMPTS: usize = 8;

/// A file that nobody sees. All that it does blocks, but its end.
#[derive(Debug)]
pub(super) struct Draft(Option<Unseen>);

/// A file without a name, or where the file system has no such, with a hidden one. Its end blocks.
#[derive(Debug)]
struct Unseen {
    file: OwnedFd,
    /// Its name, while it has one that is not its own, and the directory for it.
    hidden: Option<(OwnedFd, Vec<u8>)>,
}

impl Draft {
    /// An empty one for `place`.
    pub(super) fn new(place: &Place) -> Result<Draft, Trouble> {
        Ok(Draft(Some(Unseen::new(place)?)))
    }

    /// Adds to it.
    pub(super) fn write(mut self, bytes: &[u8]) -> Result<Draft, Trouble> {
        match &mut self.0 {
            Some(unseen) => unseen.write(bytes)?,
            None => return Err(Errno::BADF.into()),
        }
        Ok(self)
    }

    /// Puts it in its place if the conditions still hold: its entity tag, and whether nothing was there before.
    pub(super) fn put(
        mut self,
        place: &Place,
        wishes: &Wishes<'_>,
    ) -> Result<(String, bool), Trouble> {
        let unseen = self.0.take().ok_or(Errno::BADF)?;
        unseen.put(place, wishes)
    }
}

impl Drop for Draft {
    /// To close a file may take as long as to write it: not here, if this is a task.
    fn drop(&mut self) {
        if let (Some(unseen), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn_blocking(move || drop(unseen));
        }
    }
}

impl Unseen {
    fn new(place: &Place) -> Result<Unseen, Trouble> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        match openat(&place.directory, ".", flags | OFlags::TMPFILE, MODE) {
            Ok(file) => Ok(Unseen { file, hidden: None }),
            // What kernels and file systems without it say (open(2)).
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL | Errno::NOSYS) => {
                let directory = rustix::io::fcntl_dupfd_cloexec(&place.directory, 0)?;
                let made = some_name(&place.name, |name| {
                    openat(
                        &directory,
                        name,
                        flags | OFlags::CREATE | OFlags::EXCL,
                        MODE,
                    )
                });
                let (file, name) = made?;
                Ok(Unseen {
                    file,
                    hidden: Some((directory, name)),
                })
            }
            Err(errno) => Err(errno.into()),
        }
    }

    fn write(&self, mut bytes: &[u8]) -> Result<(), Errno> {
        while !bytes.is_empty() {
            let written = retry_on_intr(|| write(&self.file, bytes))?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    fn put(mut self, place: &Place, wishes: &Wishes<'_>) -> Result<(String, bool), Trouble> {
        fsync(&self.file)?;
        let before = place.judge(wishes)?;
        let must_be_new = wishes.if_none_match.as_deref() == Some(b"*");
        self.name_it(place, must_be_new)?;
        // What a crash might undo was not put.
        fsync(&place.directory)?;
        let etag = Validator::of(&fstat(&self.file)?).etag(Coding::Identity, None);
        Ok((etag, before.is_none()))
    }

    fn name_it(&mut self, place: &Place, must_be_new: bool) -> Result<(), Trouble> {
        if self.hidden.is_none() {
            match self.link(place, &place.name) {
                Err(Errno::EXIST) if must_be_new => return Err(Trouble::Condition),
                // What has a name already gets it by renaming.
                Err(Errno::EXIST) => {
                    let ((), name) = some_name(&place.name, |name| self.link(place, name))?;
                    let directory = rustix::io::fcntl_dupfd_cloexec(&place.directory, 0)?;
                    self.hidden = Some((directory, name));
                }
                linked => return Ok(linked?),
            }
        }
        if let Some((directory, name)) = &self.hidden {
            match must_be_new {
                // Unlike renaming, this replaces nothing; our other name goes when we do.
                true => linkat(
                    directory,
                    &name[..],
                    &place.directory,
                    &place.name[..],
                    AtFlags::empty(),
                )
                .map_err(|errno| match errno {
                    Errno::EXIST => Trouble::Condition,
                    errno => errno.into(),
                })?,
                false => {
                    renameat(directory, &name[..], &place.directory, &place.name[..])?;
                    self.hidden = None;
                }
            }
        }
        Ok(())
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

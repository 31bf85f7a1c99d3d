//! A file that is being written and not yet in its place.

use super::place::Place;
use super::{Decision, Trouble};
use crate::http::wishes::Wishes;
use crate::site::{Coding, Validator};
use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, RenameFlags, fdatasync, fstat, fsync, linkat, openat,
    renameat_with, unlinkat,
};
use rustix::io::{Errno, fcntl_dupfd_cloexec, retry_on_intr, write};
use rustix::rand::{GetRandomFlags, getrandom};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

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

/// A file that nobody sees. All that it does blocks, but its end.
#[derive(Debug)]
pub(super) struct Draft {
    unseen: Option<Unseen>,
    /// In which its end takes place.
    turns: Arc<Semaphore>,
}

/// A file without a name, or where the file system has no such, with a hidden one. Its end blocks.
#[derive(Debug)]
struct Unseen {
    file: OwnedFd,
    /// Bytes that were written since it was last on the disk.
    unsynced_bytes: u64,
    /// Its name, while it has one that is not its own, and the directory for it.
    hidden: Option<(OwnedFd, Vec<u8>)>,
}

impl Draft {
    /// An empty one for `place`.
    pub(super) fn new(place: &Place, turns: Arc<Semaphore>) -> Result<Draft, Trouble> {
        let unseen = Some(Unseen::new(place)?);
        Ok(Draft { unseen, turns })
    }

    /// Adds to it.
    pub(super) fn write(mut self, bytes: &[u8]) -> Result<Draft, Trouble> {
        match &mut self.unseen {
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
        change: &Mutex<()>,
        decision: &Decision,
    ) -> Result<(String, bool), Trouble> {
        let unseen = self.unseen.take().ok_or(Errno::BADF)?;
        unseen.put(place, wishes, change, decision)
    }

    /// Writes what is left to the disk, so that putting it takes no time.
    pub(super) fn sync(self) -> Result<Draft, Trouble> {
        if let Some(unseen) = &self.unseen {
            fsync(&unseen.file)?;
        }
        Ok(self)
    }
}

impl Drop for Draft {
    /// To close a file may take as long as to write it: not here, if this is a task.
    fn drop(&mut self) {
        let Some(unseen) = self.unseen.take() else {
            return;
        };
        let turns = self.turns.clone();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                // Never closed: there is a turn some day, unless a file system hangs for ever.
                let turn = turns.acquire_owned().await;
                spawn_blocking(move || drop((unseen, turn)));
            });
        }
    }
}

impl Unseen {
    fn new(place: &Place) -> Result<Unseen, Trouble> {
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
    fn hidden(place: &Place) -> Result<Unseen, Trouble> {
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

    fn write(&mut self, mut bytes: &[u8]) -> Result<(), Errno> {
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

    fn put(
        mut self,
        place: &Place,
        wishes: &Wishes<'_>,
        change: &Mutex<()>,
        decision: &Decision,
    ) -> Result<(String, bool), Trouble> {
        fsync(&self.file)?;
        // Else another request could change what this one has judged.
        let alone = change.lock().unwrap_or_else(PoisonError::into_inner);
        let before = place.judge(wishes)?;
        if !decision.take() {
            return Err(Trouble::TooLate);
        }
        let must_be_new = wishes.if_none_match.as_deref() == Some(b"*");
        self.name_it(place, must_be_new)?;
        drop(alone);
        // What a crash might undo was not put.
        fsync(&place.directory)?;
        let etag = Validator::of(&fstat(&self.file)?).etag(Coding::Identity, None);
        Ok((etag, before.is_none()))
    }

    /// Gives it its name.
    fn name_it(&mut self, place: &Place, must_be_new: bool) -> Result<(), Trouble> {
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
    use crate::http::wishes::Wishes;
    use std::fs;
    use std::path::Path;

    fn place(directory: &Path, name: &str) -> Place {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        Place {
            directory: openat(CWD, directory, flags, Mode::empty()).expect("a directory"),
            name: name.as_bytes().to_vec(),
        }
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("a directory");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<String> = names
            .map(|name| name.into_string().expect("UTF-8"))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn with_a_name_or_without() {
        let new = Wishes {
            if_none_match: Some(b"*".into()),
            ..Wishes::default()
        };
        for begin in [Unseen::new, Unseen::hidden] {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path();
            let write = |name: &str, text: &str, wishes: &Wishes<'_>| {
                let place = place(path, name);
                let mut unseen = begin(&place).expect("begun");
                unseen.write(text.as_bytes()).expect("written");
                assert!(
                    !names(path)
                        .iter()
                        .any(|name| !name.starts_with('.') && name != "a" && name != "d")
                );
                let put = unseen.put(&place, wishes, &Mutex::default(), &Decision::default());
                put.map(|(_, is_new)| is_new)
            };
            let read = || fs::read_to_string(path.join("a")).expect("a file");
            let any = Wishes::default();
            assert_eq!(write("a", "one", &new), Ok(true));
            assert_eq!(
                (read(), write("a", "two", &any)),
                ("one".to_owned(), Ok(false))
            );
            assert_eq!(write("a", "three", &new), Err(Trouble::Condition));
            assert_eq!(
                (read(), names(path)),
                ("two".to_owned(), vec!["a".to_owned()])
            );
            // Somebody else was faster than the look at what is there.
            let place = place(path, "a");
            let mut unseen = begin(&place).expect("begun");
            assert_eq!(unseen.name_it(&place, true), Err(Trouble::Condition));
            drop(unseen);
            assert_eq!(
                (read(), names(path)),
                ("two".to_owned(), vec!["a".to_owned()])
            );
            // It was given up meanwhile.
            let (late, change) = (Decision::default(), Mutex::default());
            assert!(late.take());
            let unseen = begin(&place).expect("begun");
            let given_up = unseen.put(&place, &any, &change, &late);
            assert_eq!(given_up, Err(Trouble::TooLate));
            assert_eq!(place.delete(&any, &change, &late), Err(Trouble::TooLate));
            assert_eq!(
                (read(), names(path)),
                ("two".to_owned(), vec!["a".to_owned()])
            );
            drop(begin(&place).expect("begun"));
            assert_eq!(names(path), ["a"], "nothing is left");
            fs::create_dir(path.join("d")).expect("a directory");
            assert_eq!(write("d", "file", &any), Err(Errno::ISDIR.into()));
            assert_eq!(names(path), ["a", "d"]);
        }
    }

    #[test]
    fn hidden_names_are_not_too_long() {
        let name = "长".repeat(85);
        let (length, hidden) = some_name(name.as_bytes(), |name| Ok(name.len())).expect("a name");
        assert!(length < 255 && hidden.starts_with(".长".as_bytes()) && hidden.ends_with(b".part"));
    }
}

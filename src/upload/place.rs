//! Where a file is, or would be.

use super::Trouble;
use super::lanes::{Decision, Lane, Lanes};
use crate::http::conditional::may_change;
use crate::http::wishes::Wishes;
use crate::site::{Coding, HostId, Roots, Validator, http_date};
use rustix::fs::{AtFlags, FileType, fsync, statat, unlinkat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A name in an open directory. All that it does blocks.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) directory: OwnedFd,
    /// Without a slash; empty for the directory itself.
    pub(super) name: Vec<u8>,
    /// That of the mount which the directory is on, whatever way led there.
    pub(super) lane: Arc<Lane>,
}

impl Place {
    /// The place of `name`, as a request has it. The directory must be there.
    pub(super) fn find(
        roots: &Roots,
        lanes: &Lanes,
        host: HostId,
        name: &[u8],
    ) -> Result<Place, Trouble> {
        let root = roots.get(host).ok_or(Errno::NOENT)?;
        let (directory, device, last) = root.directory_of(name)?;
        Ok(Place {
            directory,
            name: last.to_vec(),
            lane: lanes.of(Some(device)),
        })
    }

    /// That of another name in the same directory.
    pub(super) fn beside(&self, name: Vec<u8>) -> Result<Place, Errno> {
        Ok(Place {
            directory: fcntl_dupfd_cloexec(&self.directory, 0)?,
            name,
            lane: self.lane.clone(),
        })
    }

    /// Whether it is a directory's, by its name.
    pub(super) fn is_directory(&self) -> bool {
        self.name.is_empty()
    }

    /// What is there, if anything is.
    pub(super) fn current(&self) -> Result<Option<Validator>, Errno> {
        match statat(&self.directory, &self.name[..], AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                Err(Errno::ISDIR)
            }
            Ok(stat) => Ok(Some(Validator::of(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Whether what is there may be changed by a request with these conditions; what it is.
    pub(super) fn judge(&self, wishes: &Wishes<'_>) -> Result<Option<Validator>, Trouble> {
        let current = self.current()?;
        let described = current.map(|validator| {
            let modified = http_date(validator.modified());
            (validator.etag(Coding::Identity, None), modified)
        });
        let described = described
            .as_ref()
            .map(|(etag, modified)| (etag.as_str(), *modified));
        match may_change(wishes, described) {
            true => Ok(current),
            false => Err(Trouble::Condition),
        }
    }

    /// Deletes what is there.
    pub(super) fn delete(&self, wishes: &Wishes<'_>, decision: &Decision) -> Result<(), Trouble> {
        let alone = self.lane.alone();
        self.judge(wishes)?;
        if !decision.take() {
            return Err(Trouble::TooLate);
        }
        unlinkat(&self.directory, &self.name[..], AtFlags::empty())?;
        drop(alone);
        fsync(&self.directory)?;
        Ok(())
    }
}

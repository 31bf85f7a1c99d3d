//! Where files are put: the one thing about a site that is not read.

use super::files::{Root, open_beneath};
use super::mounts::DeviceId;
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

impl Root {
    /// The directory that `name` is in, open, the device that it is on, and the last component of the name, which is
    /// empty for that of a directory. Blocks.
    ///
    /// # Errors
    /// As [`open`](super::beneath::open); `NOTDIR` if it is none.
    pub fn directory_of<'n>(&self, name: &'n [u8]) -> Result<(OwnedFd, DeviceId, &'n [u8]), Errno> {
        let slash = name.iter().rposition(|&byte| byte == b'/');
        let (parent, last) = match slash {
            Some(slash) => (&name[..slash], &name[slash + 1..]),
            None => (&b"."[..], name),
        };
        let directory = open_beneath(self, parent)?;
        let stat = fstat(&directory)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Ok((directory, stat.st_dev, last)),
            _ => Err(Errno::NOTDIR),
        }
    }
}

//! Where files are put: the one thing about a site that is not read.

use super::files::{Root, open_beneath};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

impl Root {
    /// The directory that `name` is in, open, and the last component of the name, which is empty for that of a
    /// directory. Blocks.
    ///
    /// # Errors
    /// As [`open`](super::beneath::open); `NOTDIR` if it is none.
    pub fn directory_of<'n>(&self, name: &'n [u8]) -> Result<(OwnedFd, &'n [u8]), Errno> {
        let slash = name.iter().rposition(|&byte| byte == b'/');
        let (parent, last) = match slash {
            Some(slash) => (&name[..slash], &name[slash + 1..]),
            None => (&b"."[..], name),
        };
        let directory = open_beneath(self, parent)?;
        match FileType::from_raw_mode(fstat(&directory)?.st_mode) {
            FileType::Directory => Ok((directory, last)),
            _ => Err(Errno::NOTDIR),
        }
    }
}

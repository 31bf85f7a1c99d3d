//! Reading a directory for its listing: the blocking half of [`listing`](super::listing).

use std::os::fd::OwnedFd;
use std::time::SystemTime;

use bytes::Bytes;
use rustix::fs::{AtFlags, Dir, FileType, StatxFlags, fstat, statat, statx};
use rustix::io::Errno;

use super::coding::Coding;
use super::compress;
use super::files::{CACHED_FILE_BYTES, Found, Root, open_beneath};
use super::listing::{Item, MAX_ITEMS, View, render};
use super::mounts::DeviceId;
use super::resolve::Dotfiles;
use super::settings::Compress;
use super::version::{Loaded, Validator};

/// The listing of the directory `name`, which is empty or ends with a slash.
pub(super) fn list(root: &Root, name: &[u8], view: View) -> Result<Found, Found> {
    let read_at = SystemTime::now();
    let directory = open_beneath(root, if name.is_empty() { b"." } else { name })?;
    let validator = Validator::of(&fstat(&directory)?);
    let (mut items, is_cut) = items(root, name, &directory)?;
    // What is shown of a file changes without the directory.
    let newest = items.iter().map(|item| item.modified).max();
    let validator = newest.map_or(validator, |newest| validator.not_before(newest));
    view.sort(&mut items);
    let content = Bytes::from(render(name, &items, is_cut, view));
    // A long one is made anew too often for that.
    let compress = match content.len() as u64 <= CACHED_FILE_BYTES {
        true => root.settings.compress,
        false => Compress::Off,
    };
    let variants = compress::variants(compress, view.media_type(), &content)
        .into_iter()
        .map(|(coding, content)| (coding, Loaded::made(validator, content)))
        .collect::<Vec<(Coding, Loaded)>>();
    Ok(Found::File {
        identity: Box::new(Loaded::made(validator, content)),
        variants,
        media_type: view.media_type().to_owned(),
        fields: root.settings.headers.of(name).depending_on_accept(),
        read_at,
    })
}

/// What of a directory is served, and whether there is more.
fn items(root: &Root, name: &[u8], directory: &OwnedFd) -> Result<(Vec<Item>, bool), Errno> {
    let mut items = Vec::new();
    let device = Validator::of(&fstat(directory)?).device;
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let bytes = entry.file_name().to_bytes();
        if is_hidden(root.settings.dotfiles, bytes) {
            continue;
        }
        // What vanished meanwhile, or leads out of the root, is not there.
        let Ok((file_type, validator)) = look_at(root, name, (directory, device), bytes) else {
            continue;
        };
        let is_directory = match file_type {
            FileType::RegularFile => false,
            FileType::Directory => true,
            _ => continue,
        };
        if items.len() == MAX_ITEMS {
            return Ok((items, true));
        }
        items.push(Item {
            name: bytes.to_vec(),
            is_directory,
            size_bytes: validator.size_bytes,
            modified: validator.modified(),
        });
    }
    Ok((items, false))
}

/// As [`resolve`](super::resolve::resolve) has it; the directory itself and what contains it are no entries.
fn is_hidden(dotfiles: Dotfiles, name: &[u8]) -> bool {
    match dotfiles {
        Dotfiles::Hidden => name.starts_with(b"."),
        Dotfiles::Served => matches!(name, b"." | b".."),
    }
}

/// The entry `name` of a directory on that device, or what it leads to within the root.
fn look_at(
    root: &Root,
    parent: &[u8],
    (directory, device): (&OwnedFd, DeviceId),
    name: &[u8],
) -> Result<(FileType, Validator), Errno> {
    // Links are followed, and on an overlay have another device than their directory.
    if let Some((file_type, mounted)) = remembered(directory, name)
        && mounted.device != device
        && file_type != FileType::Symlink
    {
        return Ok((file_type, mounted));
    }
    let mut stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
        stat = fstat(open_beneath(root, &[parent, name].concat())?)?;
    }
    Ok((FileType::from_raw_mode(stat.st_mode), Validator::of(&stat)))
}

/// What the kernel knows of an entry without asking its file system. That of a mount would be
/// another one than that of the directory, which may hang without it.
fn remembered(directory: &OwnedFd, name: &[u8]) -> Option<(FileType, Validator)> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    let stat = statx(directory, name, flags, StatxFlags::BASIC_STATS).ok()?;
    let file_type = FileType::from_raw_mode(stat.stx_mode.into());
    Some((file_type, Validator::of_extended(&stat)))
}

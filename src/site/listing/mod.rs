//! What a directory without an index looks like, when listing is allowed: a `page` that
//! works without scripts, or `json`, as a `view` of it asks for.
//!
//! Made by the loader, not on the packet path: a directory may be large.

mod json;
mod page;
mod view;

pub use view::{Order, View};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use std::time::SystemTime;

/// Entries of one directory that are shown at most.
pub const MAX_ITEMS: usize = 10_000;

/// What stays as it is in a reference to a name (RFC 3986 section 2.3).
const NAME_ESCAPES: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its name: bytes, as the file system has it.
    pub name: Vec<u8>,
    /// It is a directory; anything else that is shown is a regular file.
    pub is_directory: bool,
    /// Length, bytes; of no meaning for a directory.
    pub size_bytes: u64,
    /// When it was last changed.
    pub modified: SystemTime,
}

/// The listing of the directory `name` (relative to the root, with its final slash, empty
/// for the root itself), its items in order. `is_cut` says that there are more.
pub fn render(name: &[u8], items: &[Item], is_cut: bool, view: View) -> String {
    match view.is_json {
        true => json::render(items),
        false => page::render(name, items, is_cut, view),
    }
}

/// A relative reference. `./` keeps a name with a colon from being a scheme (RFC 3986
/// section 4.2).
fn href(item: &Item) -> String {
    let slash = if item.is_directory { "/" } else { "" };
    format!("./{}{slash}", percent_encode(&item.name, NAME_ESCAPES))
}

/// What the tests of the parts have in common.
#[cfg(test)]
mod tests {
    use super::Item;
    use std::time::{Duration, UNIX_EPOCH};

    pub fn item(name: &[u8], size_bytes: u64, modified_s: u64) -> Item {
        Item {
            name: name.strip_suffix(b"/").unwrap_or(name).to_vec(),
            is_directory: name.ends_with(b"/"),
            size_bytes,
            modified: UNIX_EPOCH + Duration::from_secs(modified_s),
        }
    }
}

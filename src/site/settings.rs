//! How the files of one host are looked up and loaded.

use super::beneath::Symlinks;
use super::headers::Headers;
use super::media_type::MediaTypes;
use super::resolve::Dotfiles;

/// Settings of a [`Root`](super::Root).
#[derive(Debug, Clone)]
pub struct Settings {
    /// What a directory is answered with: the first of these names that it has.
    pub index: Vec<String>,
    /// Whether directories without an index are listed.
    pub list: bool,
    /// Which symbolic links are followed.
    pub symlinks: Symlinks,
    /// Whether listings show files whose names begin with a dot.
    pub dotfiles: Dotfiles,
    /// How hard text is compressed when it is loaded, unless there are sidecars.
    pub compress: Compress,
    /// What media types files have.
    pub media_types: MediaTypes,
    /// What else responses with a file say.
    pub headers: Headers,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            index: vec!["index.html".to_owned()],
            list: false,
            symlinks: Symlinks::default(),
            dotfiles: Dotfiles::default(),
            compress: Compress::Best,
            media_types: MediaTypes::default(),
            headers: Headers::default(),
        }
    }
}

/// How hard text is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compress {
    /// Not at all.
    Off,
    /// With little time.
    Fast,
    /// As far as the time is well spent.
    Best,
}

//! The files that DisGraFS serves, by path and size as its repository has them
//! (`tests/fixtures/disgrafs-tree.tsv`), with content made from their paths.

use crate::lab::{Lab, noise};

const TABLE: &str = include_str!("../fixtures/disgrafs-tree.tsv");
/// Of the two archives whose size the table does not know.
const ARCHIVE_BYTES: usize = 3 << 20;
/// A small file of a page, as most are: the server keeps it in memory.
const SMALL_BYTES: usize = 32 << 10;

/// A file of the tree.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// Beneath the root, without a slash in front.
    pub path: &'static str,
    /// Its length.
    pub size_bytes: usize,
}

impl File {
    fn parse(line: &'static str) -> File {
        let (size, path) = line.split_once('\t').expect("size and path");
        let size_bytes = match size {
            "BAD" => ARCHIVE_BYTES,
            size => size.parse().expect("a size"),
        };
        File { path, size_bytes }
    }

    /// The same bytes in every run, other ones for every path.
    pub fn content(&self) -> Vec<u8> {
        // FNV-1a.
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let seed = self.path.bytes().fold(0xcbf2_9ce4_8422_2325, mix);
        noise(seed, self.size_bytes)
    }

    /// The path of its URL; none of the tree has to be escaped.
    pub fn target(&self) -> String {
        format!("/{}", self.path)
    }
}

/// All of them.
pub fn files() -> Vec<File> {
    TABLE.lines().map(File::parse).collect()
}

/// Those that a page is made of: many, and small.
pub fn small_files() -> Vec<File> {
    let is_small = |file: &File| file.size_bytes <= SMALL_BYTES;
    files().into_iter().filter(is_small).collect()
}

/// Makes the whole tree in the directory that `lab` serves.
pub fn plant(lab: &Lab) {
    for file in files() {
        lab.file(file.path, &file.content());
    }
}

#[test]
fn the_table_is_whole() {
    let files = files();
    assert_eq!(files.len(), 196);
    let total: usize = files.iter().map(|file| file.size_bytes).sum();
    assert_eq!(total, 25_392_049 + 2 * ARCHIVE_BYTES);
    assert!(small_files().len() > 100);
    for file in &files {
        assert_eq!(file.content().len(), file.size_bytes, "{}", file.path);
    }
    let (first, second) = (files[0].content(), files[1].content());
    assert_ne!(first, second, "content goes by path");
    assert_eq!(first, files[0].content(), "and by nothing else");
}

//! What the fuzz targets do with an input: for libFuzzer, and for the tests that
//! run the corpus again.
//!
//! A run ends in a panic when the [`world`] is out of order, and in nothing else.

pub mod accept_encoding;
pub mod cookie_acks;
mod echo;
pub mod established;
pub mod frames;
pub mod http_requests;
mod input;
pub mod range;
pub mod resolve;
pub mod scoreboard;
mod world;

use std::path::{Path, PathBuf};

/// A target's name and what it does.
pub type Target = (&'static str, fn(&Path, &[u8]));

/// All targets. Each corpus is the directory of its name.
pub const TARGETS: [Target; 8] = [
    ("frames", frames::run),
    ("established", established::run),
    ("cookie_acks", cookie_acks::run),
    ("scoreboard", scoreboard::run),
    ("http_requests", http_requests::run),
    ("range", range::run),
    ("resolve", resolve::run),
    ("accept_encoding", accept_encoding::run),
];

/// The files served, given the directory of the fuzz crate.
pub fn site(fuzz: impl AsRef<Path>) -> PathBuf {
    fuzz.as_ref().join("site")
}

//! The sender of the whole server, against a receiver of our own on bad paths:
//! with all that RFC 2018 and RFC 2883 let it say, which no client in the
//! simulation says, and with what they let it take back. A seed is a case.
//!
//! Every frame of the server's is judged when it is sent; what was sent twice must
//! have been the same both times, and what arrives in the end the file.

mod common;
#[allow(dead_code, reason = "what is read off the wire is used")]
#[path = "sim/raw.rs"]
mod raw;
#[path = "sender/receiver.rs"]
mod receiver;
#[path = "sim/rules.rs"]
mod rules;
#[path = "sender/world.rs"]
mod world;

use common::{stack_config, stack_of};
use std::fs;
use world::{Case, World};
use xdphttpd::wire::SplitMix;

const SEEDS: u64 = 400;
/// Lengths of the files: around a segment, and more than any window.
const SIZES: [usize; 5] = [1, 1_461, 30_000, 200_000, 700_000];

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}: {text}")))
}

/// `XDPHTTPD_SEEDS` and `XDPHTTPD_FIRST_SEED` choose others, `XDPHTTPD_TRACE=1`
/// prints every segment.
#[test]
fn every_response_arrives_whole_and_every_segment_is_in_order() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let files = SIZES.map(|bytes| {
        let mut random = SplitMix(bytes as u64);
        let body: Vec<u8> = (0..bytes).map(|_| random.next_u64() as u8).collect();
        fs::write(root.path().join(bytes.to_string()), &body).expect("writing a test file");
        body
    });
    let first = number("XDPHTTPD_FIRST_SEED").unwrap_or(1);
    let count = number("XDPHTTPD_SEEDS").unwrap_or(SEEDS);
    let mut failed = Vec::new();
    for seed in first..first + count {
        let case = Case::draw(seed);
        let body = &files[seed as usize % files.len()];
        let mut config = stack_config(10);
        config.congestion = case.congestion;
        let stack = stack_of(root.path(), &config);
        let mut world = World::new(case.clone(), stack, body.len());
        if let Err(why) = world.run(body) {
            println!("seed {seed}: {why}: {case:?}");
            failed.push(seed);
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {count} seeds failed: {failed:?}",
        failed.len()
    );
}

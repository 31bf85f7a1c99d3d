//! The fuzz targets on their corpus: what was once found stays found.
//! scripts/fuzz.sh looks for more.

mod common;
#[path = "../fuzz/targets/mod.rs"]
mod targets;

use std::path::PathBuf;

#[test]
fn every_input_of_the_corpus_passes() {
    let fuzz = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let site = targets::site(&fuzz);
    for (name, run) in targets::TARGETS {
        let mut inputs: Vec<PathBuf> = std::fs::read_dir(fuzz.join("corpus").join(name))
            .unwrap_or_else(|error| panic!("the corpus of {name}: {error}"))
            .map(|entry| entry.expect("an entry").path())
            .collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for path in &inputs {
            let input = std::fs::read(path).expect("an input");
            // The last one printed is the one that panicked.
            println!("{}", path.display());
            run(&site, &input);
        }
    }
}

/// Inputs of every length up to some bytes, from a seed: the targets take
/// anything.
#[test]
fn random_inputs_pass() {
    let site = targets::site(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz"));
    let mut random = xdphttpd::wire::SplitMix(5);
    for (_, run) in targets::TARGETS {
        for length in 0..200 {
            let input: Vec<u8> = (0..length).map(|_| random.next_u64() as u8).collect();
            run(&site, &input);
        }
    }
}

#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../targets/mod.rs"]
#[allow(dead_code, reason = "each target uses its part")]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    targets::resolve::run(targets::site(env!("CARGO_MANIFEST_DIR")).as_path(), input);
});

//! Builds the XDP program with clang.
fn main() {}

//! The `xdphttpd` command.
fn main() {}

//! What the tests of refusals share: starting the server in other circumstances, the one line
//! that it must end with, and BPF objects built from `tests/fixtures`.
#![allow(dead_code, reason = "each test file uses a part of this")]

use crate::lab::{Lab, PATIENCE, Server, ip};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The server's command line for a lab, run by `wrapper` (such as `setpriv` and its flags), which
/// must become the server by exec.
pub fn command(lab: &Lab, wrapper: &[&str], flags: &[&str]) -> Command {
    on(&lab.name, lab.root(), wrapper, flags)
}

/// As [`command`], for any device and root.
pub fn on(dev: &str, root: &Path, wrapper: &[&str], flags: &[&str]) -> Command {
    let server = [env!("CARGO_BIN_EXE_xdphttpd")];
    let mut words = wrapper.iter().chain(&server);
    let mut command = Command::new(words.next().expect("the server at least"));
    command
        .args(words)
        .args(["-d", dev, "--root"])
        .arg(root)
        .args(flags);
    command
}

/// Runs a server that must not start. Returns why, without the leading `xdphttpd: `.
///
/// It must end by itself with exit code 1 and without having been ready; besides warnings there is
/// that one line on stderr, neither a panic nor a chain of causes.
#[track_caller]
pub fn refusal(command: Command) -> String {
    let mut server = Server::start(command);
    let status = server.process.end(PATIENCE);
    let stderr = server
        .stderr
        .wait_for("an error", |text| text.contains("xdphttpd: "));
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert_eq!(server.stdout.text(), "", "stdout");
    let notice = |line: &&str| !line.starts_with(" WARN ") && !line.starts_with(" INFO ");
    let lines: Vec<&str> = stderr.lines().filter(notice).collect();
    let [line] = lines.as_slice() else {
        panic!("not one line but {lines:?}")
    };
    let why = line
        .strip_prefix("xdphttpd: ")
        .unwrap_or_else(|| panic!("{line}"));
    why.to_owned()
}

/// As [`refusal`] on the lab's device, on which nothing may be left.
#[track_caller]
pub fn refused(lab: &Lab, flags: &[&str]) -> String {
    refused_by(lab, &[], flags)
}

/// As [`refused`], run by `wrapper`.
#[track_caller]
pub fn refused_by(lab: &Lab, wrapper: &[&str], flags: &[&str]) -> String {
    let why = refusal(command(lab, wrapper, flags));
    assert!(!lab.has_xdp(), "a program is left on the device; {why}");
    why
}

/// Fails unless `line` says all of `words`.
#[track_caller]
pub fn assert_says(line: &str, words: &[&str]) {
    for word in words {
        assert!(line.contains(word), "{word:?} is not in: {line}");
    }
}

/// Builds `tests/fixtures/NAME.bpf.c` into `directory` as the build script builds the server's own.
pub fn object(name: &str, directory: &Path) -> PathBuf {
    let source = format!("{}/tests/fixtures/{name}.bpf.c", env!("CARGO_MANIFEST_DIR"));
    let object = directory.join(format!("{name}.bpf.o"));
    let include = format!("-I/usr/include/{}-linux-gnu", std::env::consts::ARCH);
    let clang = std::env::var_os("CLANG");
    let output = Command::new(clang.as_deref().unwrap_or(OsStr::new("clang")))
        .args([
            "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-target", "bpf", &include, "-c",
        ])
        .args([&source, "-o"])
        .arg(&object)
        .output()
        .expect("clang is installed");
    assert!(
        output.status.success(),
        "{source}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    object
}

/// The id of the XDP program on a device, as iproute2 tells it.
pub fn program_id(dev: &str) -> Option<u32> {
    let text = ip(&format!("-j -d link show dev {dev}"));
    let (_, xdp) = text.split_once("\"prog\":{\"id\":")?;
    xdp.split(',').next()?.parse().ok()
}

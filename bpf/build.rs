//! Builds the XDP program with clang into `OUT_DIR/xdphttpd.bpf.o`, which the library embeds.
//!
//! Headers come from two places and no third: libbpf's own (`bpf_helpers.h`, `bpf_endian.h`) as
//! installed by the libbpf-sys crate, and the kernel's user API from Debian's linux-libc-dev.
//! `CLANG` in the environment names another clang than the one on the path.

use std::env::{self, VarError};
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

const SOURCES: [&str; 2] = ["bpf/xdphttpd.bpf.c", "bpf/cursor.h"];

fn main() {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    println!("cargo::rerun-if-env-changed=CLANG");

    let object = PathBuf::from(required("OUT_DIR")).join("xdphttpd.bpf.o");
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".into());
    match clang_command(&clang, &object).output() {
        Ok(output) if output.status.success() => {
            for line in String::from_utf8_lossy(&output.stderr).lines() {
                println!("cargo::warning={line}");
            }
        }
        Ok(output) => fail(&format!(
            "{clang} could not build {}:\n{}",
            SOURCES[0],
            String::from_utf8_lossy(&output.stderr)
        )),
        Err(error) => fail(&format!(
            "the XDP program is built with clang, and `{clang}` could not be run ({error}). \
             On Debian: apt-get install clang linux-libc-dev; or name one: CLANG=/path/to/clang"
        )),
    }
}

fn clang_command(clang: &str, object: &Path) -> Command {
    let byte_order = match required("CARGO_CFG_TARGET_ENDIAN").as_str() {
        "big" => "bpfeb",
        _ => "bpfel",
    };
    let mut command = Command::new(clang);
    command
        // -g for the BTF: libbpf reads the maps' key and value types from it.
        .args(["-O2", "-g", "-Wall", "-Wextra", "-target", byte_order])
        .arg(format!(
            "-fdebug-prefix-map={}=.",
            required("CARGO_MANIFEST_DIR")
        ))
        .arg("-I")
        .arg(required("DEP_BPF_INCLUDE"))
        // Debian keeps <asm/types.h> in the multiarch directory, where -target bpf doesn't look.
        .arg(format!(
            "-I/usr/include/{}-linux-gnu",
            required("CARGO_CFG_TARGET_ARCH")
        ))
        .args(["-c", SOURCES[0], "-o"])
        .arg(object);
    command
}

/// A variable that cargo sets for every build script of this crate.
fn required(name: &str) -> String {
    match env::var(name) {
        Ok(value) => value,
        Err(VarError::NotPresent) => fail(&format!("{name} is not set: run by cargo only")),
        Err(VarError::NotUnicode(_)) => fail(&format!("{name} is not UTF-8")),
    }
}

fn fail(message: &str) -> ! {
    // The last lines of a failed build script are what cargo shows.
    eprintln!("\nerror: {message}\n");
    exit(1);
}

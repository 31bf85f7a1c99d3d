//! What is asked for cannot be had: one clear line, exit code 1, and the device as it was.

mod lab;
mod refusal;

use lab::{Lab, ip};
use refusal::{assert_says, command, on, refusal, refused, refused_by};
use std::os::unix::fs::PermissionsExt;

#[test]
fn values_that_cannot_be_are_named() {
    let lab = Lab::new();
    for (flags, words) in [
        (["--port", "0"], ["--port 0", "1 to 65535"]),
        (["--stats", "0"], ["--stats 0", "0.1 or more"]),
        (
            ["--max-connections", "0"],
            ["--max-connections 0", "1 to 16777216"],
        ),
        (["--cores", "99"], ["--cores 99", "may run on "]),
    ] {
        assert_says(&refused(&lab, &flags), &words);
    }
}

#[test]
fn a_value_that_is_no_number_is_a_matter_of_the_command_line() {
    let lab = Lab::new();
    for flags in [
        ["--port", "70000"],
        ["--cores", "a"],
        ["--queue", "x"],
        ["--stats", "x"],
    ] {
        let output = command(&lab, &[], &flags)
            .output()
            .expect("the server's binary");
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        let stderr = lab::text(output.stderr);
        assert_says(&stderr, &["error: ", flags[0]]);
        assert!(output.stdout.is_empty() && !lab.has_xdp());
    }
}

#[test]
fn an_unknown_device_is_answered_with_those_that_exist() {
    let lab = Lab::new();
    let why = refusal(on("he-nosuch", lab.root(), &[], &[]));
    assert_says(&why, &["no device he-nosuch", "lo", &lab.name]);
}

#[test]
fn a_device_that_is_down_is_told_how_to_bring_up() {
    let lab = Lab::new();
    ip(&format!("link set {} down", lab.name));
    let how = format!("ip link set dev {} up", lab.name);
    assert_says(&refused(&lab, &[]), &[&lab.name, "is down", &how]);
}

#[test]
fn a_device_without_an_address_is_told_how_to_give_it_one() {
    let lab = Lab::new();
    ip(&format!("-4 addr flush dev {}", lab.name));
    let how = format!("dev {}", lab.name);
    assert_says(
        &refused(&lab, &[]),
        &["no IPv4 address", "ip address add", &how, "--any-address"],
    );
}

#[test]
fn a_root_that_cannot_be_read_is_named() {
    let lab = Lab::new();
    let file = lab.file("page.html", b"a page");
    let missing = lab.root().join("missing");
    let locked = lab.root().join("locked");
    std::fs::create_dir(&locked).expect("a directory");
    std::fs::set_permissions(&locked, PermissionsExt::from_mode(0o0)).expect("its permissions");
    let ordinary = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
    for (root, wrapper, why) in [
        (&missing, &[][..], "No such file or directory"),
        (&file, &[], "Not a directory"),
        (&locked, &ordinary, "Permission denied"),
    ] {
        let line = refusal(on(&lab.name, root, wrapper, &[]));
        assert_says(
            &line,
            &[&root.display().to_string(), why, "give a directory"],
        );
        assert!(!lab.has_xdp());
    }
}

#[test]
fn a_queue_out_of_range_is_told_the_range() {
    let one = Lab::new();
    assert_says(
        &refused(&one, &["-Q", "1"]),
        &["-Q 1", &one.name, "only RX queue 0"],
    );
    let two = Lab::with_queues(2);
    assert_says(
        &refused(&two, &["-Q", "2"]),
        &["-Q 2", &two.name, "RX queues 0 to 1"],
    );
}

#[test]
fn missing_privileges_are_named() {
    let lab = Lab::new();
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--clear-groups",
        "--bounding-set=-all",
    ];
    let words = ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_BPF", "root"];
    assert_says(&refused_by(&lab, &nobody, &[]), &words);
    let why = refused_by(&lab, &["setpriv", "--bounding-set=-net_raw"], &[]);
    assert_says(&why, &["CAP_NET_RAW", "root"]);
    assert!(
        !why.contains("CAP_BPF") && !why.contains("CAP_NET_ADMIN"),
        "{why}"
    );
}

/// Leaves the server only its hard limit of 64 KiB of locked memory.
const LITTLE_MEMORY: [&str; 2] = ["prlimit", "--memlock=65536:65536"];

/// What the server warns of when it cannot raise its limit of locked memory, and serves.
fn warnings_beneath(limit: &str, without: &str, flags: &[&str]) -> Vec<String> {
    let lab = Lab::new();
    lab.file("index.html", b"served all the same");
    let wrapper = ["prlimit", limit, "setpriv", without];
    let server = lab::Server::start(command(&lab, &wrapper, flags));
    server
        .stdout
        .wait_for("the ready line", |text| text.contains("ready"));
    assert_eq!(lab.get("/"), b"served all the same");
    let stderr = server.stderr.text();
    server.stop();
    let warnings = stderr.lines().filter(|line| line.starts_with(" WARN "));
    warnings.map(str::to_owned).collect()
}

#[test]
fn a_limit_on_locked_memory_that_stays_is_a_warning_where_it_counts() {
    let exempt = warnings_beneath(LITTLE_MEMORY[1], "--bounding-set=-sys_resource", &[]);
    assert!(exempt.is_empty(), "{exempt:?}");
    let little = ["--rx-ring=64", "--tx-ring=64", "--fill-frames=128"];
    let warned = warnings_beneath(
        "--memlock=4194304:4194304",
        "--bounding-set=-sys_resource,-ipc_lock",
        &little,
    );
    let [warning] = warned.as_slice() else {
        panic!("{warned:?}")
    };
    assert_says(warning, &["limit on locked memory", "CAP_IPC_LOCK"]);
}

#[test]
fn packet_memory_that_cannot_be_had_is_named_with_the_limit() {
    let lab = Lab::new();
    let wrapper = [
        &LITTLE_MEMORY[..],
        &["setpriv", "--bounding-set=-sys_resource,-ipc_lock"],
    ];
    let why = refused_by(&lab, &wrapper.concat(), &[]);
    assert_says(
        &why,
        &["packet memory", &lab.name, "ulimit -l", "CAP_IPC_LOCK"],
    );
}

#[test]
fn without_a_bpf_file_system_the_server_serves() {
    let lab = Lab::new();
    lab.file("index.html", b"no pins needed");
    let without = "while umount /sys/fs/bpf 2> /dev/null; do :; done; \
                   test -z \"$(ls -A /sys/fs/bpf)\" && exec \"$@\"";
    let wrapper = ["unshare", "-m", "sh", "-c", without, "sh"];
    let server = lab::Server::start(command(&lab, &wrapper, &[]));
    server
        .stdout
        .wait_for("the ready line", |text| text.contains("ready"));
    assert_eq!(lab.get("/"), b"no pins needed");
    server.stop();
    assert!(!lab.has_xdp());
}

#[test]
fn zero_copy_that_the_driver_lacks_is_said() {
    let lab = Lab::new();
    assert_says(&refused(&lab, &["-z"]), &[&lab.name, "no zero copy", "-z"]);
}

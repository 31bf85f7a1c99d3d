//! TCP checksums that the server leaves to kernel and device (`--tx-checksum`), as a client
//! and a capture at the other end have them. Needs root.

mod lab;

use lab::{Lab, assert_same, ip, noise};

/// Files as small as one, and as large as many segments.
const SIZES: [usize; 7] = [0, 1, 1_024, 4_000, 65_483, 1 << 20, 10_000_019];

fn lab() -> Lab {
    let lab = Lab::new();
    for size in SIZES {
        lab.file(&size.to_string(), &noise(size as u64, size));
    }
    lab
}

/// Sets the MTU of both ends.
fn set_mtu(lab: &Lab, mtu: u32) {
    ip(&format!("link set {} mtu {mtu}", lab.name));
    ip(&format!(
        "-n {} link set {} mtu {mtu}",
        lab.name,
        lab::INNER
    ));
}

/// Whether the device is to say that it makes checksums.
fn set_device_checksum(lab: &Lab, state: &str) {
    let output = std::process::Command::new("ethtool")
        .args(["-K", &lab.name, "tx", state])
        .output()
        .expect("ethtool is installed");
    assert!(output.status.success(), "{output:?}");
}

fn assert_serves_all(lab: &Lab) {
    for size in SIZES {
        assert_same(&lab.get(&format!("/{size}")), &noise(size as u64, size));
    }
}

/// A veth does not say that it finishes checksums of AF_XDP frames, for it does not.
#[test]
fn checksums_are_right_on_the_wire_unless_they_are_left_to_others() {
    let lab = lab();
    for mtu in [1_500, 9_000] {
        set_mtu(&lab, mtu);
        for flags in [&[][..], &["--tx-checksum", "software"]] {
            let server = lab.serve(flags);
            let verdicts = lab.captured(|| assert_serves_all(&lab));
            assert!(verdicts.segments > 1_000, "{}", verdicts.segments);
            verdicts.assert_all_right();
            assert_eq!(server.stderr.text().matches("are left to").count(), 0);
            server.stop();
        }
    }
}

#[test]
fn a_kernel_client_takes_what_is_left_to_the_device() {
    let lab = lab();
    for mtu in [1_280, 1_500, 3_506, 4_058, 4_059, 9_000, 65_535] {
        set_mtu(&lab, mtu);
        for mode in ["-N", "-S"] {
            let server = lab.serve(&[mode, "--tx-checksum", "offload", "--stats", "0.2"]);
            let said = format!("{}: TCP checksums of what is sent are left to", lab.name);
            server
                .stderr
                .wait_for("a word about it", |text| text.contains(&said));
            assert_serves_all(&lab);
            let closed = lab.talk(b"GET / HTTP/1.1\r\n\r\n");
            assert!(closed.starts_with(b"HTTP/1.1 400 "), "no Host");
            let accepted = format!("({} accepted", SIZES.len() + 1);
            let report = server
                .stdout
                .wait_for("a report", |text| text.contains(&accepted));
            for trouble in ["bad TX descriptor", "TX frame refused"] {
                assert!(!report.contains(trouble), "{mtu}, {mode}: {report}");
            }
            server.stop();
        }
    }
}

/// The kernel finishes what a device can't, as for packets of its own.
#[test]
fn a_device_without_checksums_has_them_finished_before() {
    let lab = lab();
    set_device_checksum(&lab, "off");
    for mtu in [1_500, 9_000, 65_535] {
        set_mtu(&lab, mtu);
        let server = lab.serve(&["--tx-checksum", "offload"]);
        let verdicts = lab.captured(|| assert_serves_all(&lab));
        assert!(verdicts.segments > 100, "{}", verdicts.segments);
        verdicts.assert_all_right();
        server.stop();
    }
}

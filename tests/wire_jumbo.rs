//! Packets larger than Ethernet's on the in-memory wire, between ends of one size and
//! of two, on paths that lose and in rings that are nearly full.

mod common;

use common::{Client, Lab, content, get, responses};
use std::fs;
use xdphttpd::net::Duration;
use xdphttpd::wire::Impairments;

const LOSSY: Impairments = Impairments {
    loss: 0.03,
    duplicate: 0.01,
    reorder: 0.05,
    corrupt: 0.002,
    ..Impairments::NONE
};

#[test]
fn bodies_are_exact_at_every_mtu() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let sizes = [1, 1_399, 8_960, 32_768, 65_483, 65_536, 200_001, 1_000_003];
    let files: Vec<(String, Vec<u8>)> = sizes
        .into_iter()
        .map(|bytes| (format!("/{bytes}.bin"), content(bytes as u64, bytes)))
        .collect();
    for (name, body) in &files {
        fs::write(root.path().join(&name[1..]), body).expect("writing a test file");
    }
    let last = files.len() - 1;
    let pipeline: String = files
        .iter()
        .enumerate()
        .map(|(at, (name, _))| get(name, at == last))
        .collect();
    for (server_mtu, client_mtu) in [
        (9_000, 9_000),
        (30_000, 30_000),
        (65_535, 65_535),
        (65_535, 1_500),
        (65_535, 576),
        (1_500, 65_535),
        (4_082, 4_083),
    ] {
        for (impairments, frames) in [(Impairments::NONE, 2_048), (LOSSY, 2_048), (LOSSY, 3)] {
            let name = format!("{server_mtu} to {client_mtu}, {frames} frames");
            let size = (frames, server_mtu.max(client_mtu));
            let mut lab = Lab::with_mtu(root.path(), impairments, 7, size);
            if server_mtu < client_mtu {
                lab = Lab::with_mtu(root.path(), impairments, 7, (frames, server_mtu));
            }
            let client = |port| {
                let request = pipeline.as_bytes();
                Client::with_mtu(port, request, false, 7, lab.now, client_mtu.min(server_mtu))
            };
            let mut clients = [client(40_000), client(40_001)];
            assert!(lab.run(&mut clients, Duration::from_secs(3_600)), "{name}");
            for client in &clients {
                assert!(client.finished, "{name}: broken");
                let got = responses(&client.received);
                assert_eq!(got.len(), files.len(), "{name}");
                for ((status, body), (path, want)) in got.iter().zip(&files) {
                    assert_eq!(*status, 200, "{name}");
                    assert!(body == want, "{name}: wrong bytes in {path}");
                }
            }
            lab.to_client.impair(Impairments::NONE);
            lab.to_server.impair(Impairments::NONE);
            lab.settle(&mut clients, Duration::from_secs(120));
            assert_eq!(lab.stack.connections(), 0, "{name}");
            assert_eq!(lab.stack.counters.drop_no_room, 0, "{name}");
            assert_eq!(
                lab.stack.counters.tx_frames, lab.to_client.tally.sent,
                "{name}"
            );
        }
    }
}

/// What is sent is cut as the ends allow, not as a buffer happens to end.
#[test]
fn a_body_leaves_in_full_segments() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let body = content(5, 3_000_000);
    fs::write(root.path().join("body"), &body).expect("writing a test file");
    for (mtu_bytes, segment_bytes) in [(1_500, 1_460), (9_000, 8_960), (65_535, 65_495)] {
        let mut lab = Lab::with_mtu(root.path(), Impairments::NONE, 1, (2_048, mtu_bytes));
        let request = get("/body", true);
        let mut clients = [Client::with_mtu(
            40_000,
            request.as_bytes(),
            false,
            1,
            lab.now,
            mtu_bytes,
        )];
        assert!(lab.run(&mut clients, Duration::from_secs(600)));
        assert!(responses(&clients[0].received)[0].1 == body);
        let segments = lab.stack.counters.recovery.segments as usize;
        let least = body.len().div_ceil(segment_bytes);
        assert!(
            segments <= least + least / 8 + 40,
            "MTU {mtu_bytes}: {segments} segments for {least}"
        );
    }
}

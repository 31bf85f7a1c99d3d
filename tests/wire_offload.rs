//! A link that finishes checksums: whatever the stack sends through it, from the SYN-ACK to
//! repairs and FIN, has left the right half to it.

mod common;

use common::{Client, Lab, content, get, responses};
use std::fs;
use xdphttpd::net::Duration;
use xdphttpd::wire::{Direction, Impairments};

const LOSSY: Impairments = Impairments {
    loss: 0.05,
    duplicate: 0.01,
    reorder: 0.05,
    ..Impairments::NONE
};

/// Clients judge every checksum, so what is left wrong never arrives.
#[test]
fn bodies_arrive_over_a_link_that_finishes_checksums() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let sizes = [0, 1, 1_023, 1_024, 20_001, 300_003];
    for bytes in sizes {
        let body = content(bytes as u64, bytes);
        fs::write(root.path().join(bytes.to_string()), body).expect("writing a test file");
    }
    let requests = sizes.map(|bytes| get(&format!("/{bytes}"), bytes == 300_003));
    for mtu_bytes in [576, 1_500, 9_000, 65_535] {
        for impairments in [Impairments::NONE, LOSSY] {
            let name = format!("MTU {mtu_bytes}, {impairments:?}");
            let mut lab = Lab::with_mtu(root.path(), impairments, 3, (2_048, mtu_bytes));
            let to_client = Direction::new(impairments, 2_048, mtu_bytes + 14, 4);
            lab.to_client = to_client.finishing_checksums();
            let request = requests.concat();
            let request = request.as_bytes();
            let mut clients = [Client::with_mtu(
                40_000, request, false, 3, lab.now, mtu_bytes,
            )];
            assert!(lab.run(&mut clients, Duration::from_secs(600)), "{name}");
            let got = responses(&clients[0].received);
            assert_eq!(got.len(), sizes.len(), "{name}");
            for ((status, body), bytes) in got.iter().zip(sizes) {
                assert_eq!(*status, 200, "{name}");
                assert!(*body == content(bytes as u64, bytes), "{name}: {bytes}");
            }
        }
    }
}

//! Stack and HTTP on the in-memory wire: whatever the wire does to frames, a
//! body arrives whole and exact, and no frame is lost inside the server.

mod common;

use common::{Client, Lab, content, get, responses};
use std::fs;
use xdphttpd::net::Duration;
use xdphttpd::wire::{Impairments, Tally};

const SEEDS: u64 = 200;

const BAD: Impairments = Impairments {
    loss: 0.05,
    duplicate: 0.02,
    reorder: 0.10,
    corrupt: 0.002,
    ..Impairments::NONE
};

fn balanced(tally: Tally) -> bool {
    tally.sent + tally.duplicated == tally.delivered + tally.lost
}

#[test]
fn bodies_are_exact_for_200_seeds_of_loss_reordering_and_duplication() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let files: Vec<(String, Vec<u8>)> = [1, 1_024, 20_000, 70_000]
        .into_iter()
        .map(|bytes| (format!("/{bytes}.bin"), content(bytes as u64, bytes)))
        .chain([("/large.bin".to_owned(), content(9, 600_000))])
        .collect();
    for (name, body) in &files {
        fs::write(root.path().join(&name[1..]), body).expect("writing a test file");
    }
    let (mut waited, mut lost) = (0, 0);
    for seed in 1..=SEEDS {
        // Every other seed has room for a handful of frames only.
        let frames = if seed % 2 == 0 { 2_048 } else { 6 };
        let mut lab = Lab::with_ring(root.path(), BAD, seed, frames);
        // Two clients take everything pipelined on one connection, one asks for
        // one file and half-closes. The large file is streamed, and long at this
        // loss: every tenth seed has it.
        let wanted: Vec<_> = files
            .iter()
            .filter(|(name, _)| seed % 10 == 0 || name != "/large.bin")
            .collect();
        let last = wanted.len() - 1;
        let pipeline: String = wanted
            .iter()
            .enumerate()
            .map(|(i, (name, _))| get(name, i == last))
            .collect();
        let mut clients = [
            Client::new(40_000, pipeline.as_bytes(), false, seed, lab.now),
            Client::new(40_001, pipeline.as_bytes(), false, seed, lab.now),
            Client::new(
                40_002,
                get(&files[1].0, false).as_bytes(),
                true,
                seed,
                lab.now,
            ),
        ];
        assert!(
            lab.run(&mut clients, Duration::from_secs(3_600)),
            "seed {seed}: not done; received {:?}",
            clients
                .iter()
                .map(|client| client.received.len())
                .collect::<Vec<_>>()
        );
        for client in &clients[..2] {
            assert!(client.finished, "seed {seed}: connection broken");
            let got = responses(&client.received);
            assert_eq!(got.len(), wanted.len(), "seed {seed}");
            for ((status, body), (name, want)) in got.iter().zip(&wanted) {
                assert_eq!(*status, 200, "seed {seed}: {name}");
                assert!(body == want, "seed {seed}: wrong bytes in {name}");
            }
        }
        assert_eq!(
            responses(&clients[2].received),
            [(200, files[1].1.clone())],
            "seed {seed}"
        );

        lab.to_client.impair(Impairments::NONE);
        lab.to_server.impair(Impairments::NONE);
        lab.settle(&mut clients, Duration::from_secs(120));
        assert_eq!(lab.stack.connections(), 0, "seed {seed}: connections left");
        let counters = lab.stack.counters;
        waited += counters.waits_for_room;
        assert_eq!(counters.drop_no_room, 0, "seed {seed}");
        lost += lab.to_client.tally.lost;
        assert_eq!(counters.accepted, counters.closed, "seed {seed}");
        assert_eq!(
            counters.rx_frames, lab.to_server.tally.delivered,
            "seed {seed}"
        );
        assert_eq!(counters.tx_frames, lab.to_client.tally.sent, "seed {seed}");
        assert!(
            balanced(lab.to_server.tally) && balanced(lab.to_client.tally),
            "seed {seed}"
        );
    }
    assert!(waited > SEEDS, "the short rings were felt: {waited}");
    assert!(lost > SEEDS, "the losses were felt: {lost}");
}

#[test]
fn a_seed_replays_bit_for_bit() {
    let root = tempfile::tempdir().expect("a temporary directory");
    fs::write(root.path().join("a"), content(3, 50_000)).expect("writing a test file");
    let run = || {
        let mut lab = Lab::new(root.path(), BAD, 77);
        let mut clients = [Client::new(
            40_000,
            get("/a", true).as_bytes(),
            false,
            1,
            lab.now,
        )];
        assert!(lab.run(&mut clients, Duration::from_secs(3_600)));
        (
            lab.now,
            lab.to_client.tally,
            lab.to_server.tally,
            clients[0].received.clone(),
        )
    };
    assert_eq!(run(), run());
}

//! What a thousand slow downloads of large files take.

mod common;
mod heap;
mod peer;

use std::fs::File;

use common::segment::Answer;
use heap::{HELD_BYTES, MOST_HELD_BYTES};
use peer::{Host, Peer};
use xdphttpd::http::stream::{CHUNK_BYTES, FRUGAL_CHUNK_BYTES, MAX_CHUNKS};
use xdphttpd::net::{Duration, Limits};

const CONNECTIONS: u16 = 1_000;
const FIRST_PORT: u16 = 1_024;
/// As much as `--memory 512MiB` leaves for bodies, and for connections.
const BODY_BYTES: usize = 128 << 20;
const CONNECTION_BYTES: usize = 384 << 20;
const FILE_BYTES: u64 = 1 << 30;
/// Enough that some chunks end within what is in flight.
const ROUNDS: usize = 20;

/// What bodies may take: what there is for them, the two chunks that are asked for when it is just not used up, and
/// a small one for each connection beyond.
const BOUND_BYTES: usize =
    BODY_BYTES + MAX_CHUNKS * CHUNK_BYTES + CONNECTIONS as usize * FRUGAL_CHUNK_BYTES;

/// Takes note of what has come, each segment in its order.
fn take(peers: &mut [Peer], answers: &[Answer]) {
    for answer in answers {
        assert!(!answer.tcp.rst, "a download was broken off");
        let at = usize::from(answer.tcp.destination_port - FIRST_PORT);
        if answer.tcp.sequence_number == peers[at].ack {
            peers[at].ack = answer.end();
        }
    }
}

#[test]
fn a_thousand_slow_downloads_keep_to_the_memory_there_is() {
    let limits = Limits {
        max_connections: CONNECTIONS.into(),
        memory_bytes: CONNECTION_BYTES,
        ..Limits::default()
    };
    let mut host = Host::with_bodies(limits, BODY_BYTES);
    let file = File::create(host.root.path().join("huge")).expect("a file");
    file.set_len(FILE_BYTES).expect("a sparse file");
    let before = HELD_BYTES.get();
    MOST_HELD_BYTES.set(before);
    let mut peers: Vec<Peer> = (FIRST_PORT..FIRST_PORT + CONNECTIONS)
        .map(Peer::new)
        .collect();
    for peer in &mut peers {
        peer.open(&mut host);
    }
    let began: Vec<u32> = peers.iter().map(|peer| peer.ack).collect();
    let ask = b"GET /huge HTTP/1.1\r\nHost: lab\r\n\r\n";
    let mut most_bytes = 0;
    for round in 0..=ROUNDS {
        for at in 0..peers.len() {
            let text: &[u8] = if round == 0 { ask } else { b"" };
            let segment = peers[at].segment("A", text);
            peers[at].seq = peers[at].seq.wrapping_add(text.len() as u32);
            host.lab.inject(&segment.frame(&peers[at].ends));
            let answers = host.wait(Duration::from_micros(20));
            take(&mut peers, &answers);
            most_bytes = most_bytes.max(host.lab.stack.app.held_bytes());
        }
    }
    let got = |(peer, began): (&Peer, &u32)| peer.ack.wrapping_sub(*began);
    let least = peers.iter().zip(&began).map(got).min();
    assert!(least > Some(CHUNK_BYTES as u32), "{least:?} bytes in all");
    assert!(
        most_bytes > BODY_BYTES as u64,
        "{most_bytes}: memory was never short"
    );
    assert!(
        most_bytes <= BOUND_BYTES as u64,
        "{most_bytes}, of {BOUND_BYTES}"
    );
    let heap_bytes = MOST_HELD_BYTES.get() - before;
    let allowed = (BOUND_BYTES + CONNECTION_BYTES) as i64;
    assert!(heap_bytes <= allowed, "{heap_bytes}, of {allowed}");
}

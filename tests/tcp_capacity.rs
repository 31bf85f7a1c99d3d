//! How many the stack holds: connections, handshakes, sources, memory; and whom
//! it lets go for whom.

mod common;
mod peer;

use peer::{BIG_BYTES, BODY, GET, GET_AND_CLOSE, GET_BIG, Host, MODERN, Peer, flags};
use xdphttpd::net::options::{self, Timestamps};
use xdphttpd::net::pool::{self, RECORD_BYTES};
use xdphttpd::net::{Duration, Limits};
use xdphttpd::stats::Census;

fn open(host: &mut Host, ports: std::ops::Range<u16>) -> Vec<Peer> {
    ports
        .map(|port| {
            let mut peer = Peer::new(port);
            peer.open(host);
            peer
        })
        .collect()
}

// --- connections -----------------------------------------------------------------

#[test]
fn at_capacity_the_longest_idle_connection_is_closed_for_a_new_one() {
    let mut host = Host::new(Limits {
        max_connections: 4,
        ..Limits::default()
    });
    let mut peers = open(&mut host, 1..5);
    for quiet_s in [0, 5] {
        // With and without sockets.
        host.wait_s(quiet_s);
        assert!(
            peers[0].is_served(&mut host),
            "so it is not the longest idle"
        );
        let mut fifth = Peer::new(10 + quiet_s as u16);
        fifth.syn(&mut host, &[]).expect("there is one to close");
        let mut all = host.lab.stack.counters;
        assert_eq!(all.evicted_idle, quiet_s / 5, "a SYN alone closes nothing");
        let frame = fifth.segment("A", b"").frame(&fifth.ends);
        host.lab.inject(&frame);
        let answers = host.wait(Duration::from_millis(1));
        assert_eq!(flags(&answers), ["FA"]);
        assert_eq!(answers[0].tcp.destination_port, peers[1].port);
        assert!(fifth.is_served(&mut host));
        all = host.lab.stack.counters;
        assert_eq!(
            (all.evicted_idle, all.drop_table_full),
            (quiet_s / 5 + 1, 0)
        );
        peers.remove(1);
        peers.push(fifth);
        for peer in &mut peers {
            assert!(peer.is_served(&mut host));
        }
        assert_eq!(host.lab.stack.census().open, 4);
    }
}

#[test]
fn at_capacity_with_none_idle_syns_are_ignored_and_counted() {
    let mut host = Host::new(Limits {
        max_connections: 3,
        ..Limits::default()
    });
    let mut peers = open(&mut host, 1..4);
    for peer in &mut peers {
        peer.say(&mut host, "PA", b"GET /o");
    }
    let mut fourth = Peer::new(4);
    assert!(fourth.syn(&mut host, &[]).is_none());
    assert_eq!(host.counters().drop_table_full, 1);
    // One of them finishes its request: now it is idle, and makes room.
    assert!(
        peers[1]
            .ask(&mut host, b"ne HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            .ends_with(BODY)
    );
    let mut fourth = Peer::new(4);
    fourth.open(&mut host);
    assert!(fourth.is_served(&mut host));
    assert_eq!(host.counters().evicted_idle, 1);
}

#[test]
fn connections_that_have_ended_take_no_place() {
    let mut host = Host::new(Limits {
        max_connections: 4,
        max_time_wait: 6,
        ..Limits::default()
    });
    for port in 1..21 {
        let mut peer = Peer::new(port);
        peer.open(&mut host);
        assert!(peer.ask(&mut host, GET_AND_CLOSE).ends_with(BODY));
        assert_eq!(flags(&peer.say(&mut host, "FA", b"")), ["A"]);
    }
    let census = host.lab.stack.census();
    let want = Census {
        time_wait: 6,
        ..Census::default()
    };
    assert_eq!(census, want, "bounded, and without sockets");
    let counters = host.counters();
    assert_eq!((counters.accepted, counters.closed), (20, 20));
    assert_eq!((counters.closing_full, counters.evicted_idle), (14, 0));
    host.wait_s(61);
    assert_eq!(
        (host.lab.stack.connections(), host.lab.stack.timers()),
        (0, 0)
    );
}

#[test]
fn each_source_network_has_its_limit() {
    let mut host = Host::new(Limits {
        max_per_source: Some(2),
        source_prefix_bits: 24,
        ..Limits::default()
    });
    let from = |network, host, port| Peer::from([10, 1, network, host].into(), port);
    let mut first = from(1, 1, 1);
    first.open(&mut host);
    let mut second = from(1, 2, 1);
    second.open(&mut host);
    assert!(
        from(1, 3, 1).syn(&mut host, &[]).is_none(),
        "the network has two"
    );
    assert_eq!(host.counters().drop_source_full, 1);
    let mut other = from(2, 1, 1);
    other.open(&mut host);
    assert!(other.is_served(&mut host));
    // Half-open ones count for nobody: anybody can forge them.
    for port in 10..20 {
        assert!(from(3, 1, port).syn(&mut host, &[]).is_some());
    }
    assert_eq!(flags(&second.say(&mut host, "FA", b"")), ["FA"]);
    let mut third = from(1, 3, 2);
    third.open(&mut host);
    assert!(third.is_served(&mut host));
}

// --- handshakes ------------------------------------------------------------------

fn flooded() -> Host {
    let mut host = Host::new(Limits {
        max_half_open: 3,
        ..Limits::default()
    });
    for port in 60_000..60_010 {
        let answer = Peer::new(port).syn(&mut host, &[]);
        assert_eq!(answer.map(|answer| answer.flags()).as_deref(), Some("SA"));
    }
    let counters = host.counters();
    assert_eq!((counters.syns, counters.cookies_sent), (3, 7));
    assert_eq!(host.lab.stack.connections(), 3);
    host
}

#[test]
fn above_the_half_open_limit_a_cookie_makes_a_connection() {
    let mut host = flooded();
    let mut plain = Peer::new(1);
    let syn_ack = plain.syn(&mut host, &[2, 4, 2, 0]).expect("a SYN-ACK");
    assert_eq!(syn_ack.tcp.options.len(), 4, "MSS alone");
    assert_eq!(host.lab.stack.connections(), 3, "nothing is remembered");
    // The request is the third segment, as if the ACK had been lost.
    let text = plain.ask(&mut host, GET_BIG);
    assert!(text.len() > BIG_BYTES && text.ends_with(b"xxx"));
    let counters = host.counters();
    assert_eq!((counters.cookies_redeemed, counters.accepted), (1, 1));
}

/// Timestamps with the next value and the echo of `answer`'s.
fn stamps(answer: &common::segment::Answer) -> Vec<u8> {
    let options = answer.tcp.options.as_slice();
    let (_, Some(Timestamps { value, echo })) = options::of_syn(options) else {
        panic!("no timestamps in {options:?}");
    };
    assert_eq!(echo, 1_000);
    [&[1, 1, 8, 10, 0, 0, 4, 0][..], &value.to_be_bytes()].concat()
}

#[test]
fn a_cookie_carries_window_scale_and_sack_in_the_timestamp() {
    for is_flooded in [false, true] {
        let mut host = if is_flooded {
            flooded()
        } else {
            Host::new(Limits::default())
        };
        let mut peer = Peer::new(1);
        let syn_ack = peer.syn(&mut host, &MODERN).expect("a SYN-ACK");
        let (offer, _) = options::of_syn(syn_ack.tcp.options.as_slice());
        assert!(offer.sack && offer.timestamps && offer.window_shift == Some(0));
        peer.options = stamps(&syn_ack);
        // 2 means 256 bytes if, and only if, the scale came back.
        peer.window = 2;
        let answers = peer.say(&mut host, "PA", GET_BIG);
        let bytes: usize = answers.iter().map(|answer| answer.payload.len()).sum();
        // Of those the head has most; a byte of the body behind it would be silly.
        assert!(
            (240..=256).contains(&bytes),
            "{bytes}, flooded: {is_flooded}"
        );
        let first = options::timestamps(answers[0].tcp.options.as_slice()).expect("timestamps");
        assert_eq!(first.echo, 1_024);
        // As RFC 7323 appendix A has it, and as receivers' short cuts expect it.
        let laid_out = |answer: &common::segment::Answer| {
            let options = answer.tcp.options.as_slice();
            options.len() == 12 && options.starts_with(&[1, 1, 8, 10])
        };
        assert!(answers.iter().all(laid_out), "flooded: {is_flooded}");
        // Text after a gap is reported by SACK if that came back too.
        peer.window = 2_000;
        peer.ack = answers.last().expect("256 bytes").end();
        let mut ahead = peer.segment("A", b"ahead");
        ahead.seq += 10;
        let answers = peer.send(&mut host, &ahead);
        let sack = answers.iter().find_map(|answer| {
            let options = answer.tcp.options.as_slice();
            let sacks = options.windows(2).any(|kind| kind == [5, 10]);
            sacks.then(|| options::timestamps(options)).flatten()
        });
        let sack = sack.expect("a SACK block and timestamps");
        let passed_ms = sack.value.wrapping_sub(first.value);
        assert!(
            sack.echo == 1_024 && passed_ms < 1_000,
            "{sack:?} {first:?}"
        );
    }
}

#[test]
fn cookies_that_were_not_given_or_are_too_old_make_no_connection() {
    let mut host = flooded();
    let mut peer = Peer::new(1);
    peer.syn(&mut host, &[]).expect("a SYN-ACK");
    let genuine = peer.clone();
    for (seq, ack) in [(0, 1), (1, 0), (0, 1 << 24), (u32::MAX, 0)] {
        let mut forged = genuine.segment("PA", GET);
        forged.seq = forged.seq.wrapping_add(seq);
        forged.ack = forged.ack.wrapping_add(ack);
        // Silence, not RST: it may be a later segment of one that was lost.
        assert_eq!(
            flags(&peer.send(&mut host, &forged)),
            [""; 0],
            "{seq} {ack}"
        );
    }
    assert_eq!(host.counters().accepted, 0);
    let mut other = Peer {
        port: 2,
        ..genuine.clone()
    };
    assert_eq!(flags(&other.say(&mut host, "PA", GET)), [""; 0]);
    assert_eq!(host.counters().drop_no_cookie, 5);
    host.wait_s(129);
    assert_eq!(flags(&peer.say(&mut host, "PA", GET)), ["R"]);
    assert_eq!(
        (host.counters().accepted, host.lab.stack.connections()),
        (0, 0)
    );
}

#[test]
fn syn_acks_are_repeated_with_back_off_but_never_those_with_cookies() {
    let mut host = flooded();
    let mut at_s = Vec::new();
    for second in 1..=25 {
        let repeats = host.wait_s(1);
        assert!(repeats.iter().all(|answer| answer.flags() == "SA"));
        assert!(repeats.iter().all(|a| a.tcp.destination_port < 60_003));
        at_s.extend(repeats.iter().map(|_| second));
    }
    // 1, 3, 7 and 15 s, each for the three that are remembered.
    at_s.dedup();
    assert_eq!(at_s.len(), 4, "{at_s:?}");
    let counters = host.counters();
    assert_eq!(
        (counters.repeated_syn_acks, counters.expired_handshake),
        (12, 3)
    );
    assert_eq!(
        (host.lab.stack.connections(), host.lab.stack.timers()),
        (0, 0)
    );
}

// --- memory ----------------------------------------------------------------------

/// Memory for `connections` and a little more than the least number of sockets.
fn tight(connections: usize) -> Limits {
    Limits {
        max_connections: connections,
        memory_bytes: pool::least_bytes(connections) + RECORD_BYTES,
        ..Limits::default()
    }
}

#[test]
fn a_connection_at_rest_has_no_socket_and_wakes_without_a_trace() {
    let mut host = Host::new(Limits::default());
    let mut peer = Peer::new(1);
    peer.open(&mut host);
    assert_eq!(host.lab.stack.census().sockets, 0, "nothing was asked yet");
    for _ in 0..5 {
        assert!(peer.is_served(&mut host));
        assert_eq!(host.lab.stack.census().sockets, 1);
        host.wait_s(2);
        assert_eq!(host.lab.stack.census().sockets, 0);
        let mut probe = peer.segment("A", b"");
        probe.seq -= 1;
        let answers = peer.send(&mut host, &probe);
        assert_eq!(flags(&answers), ["A"], "a keep-alive probe");
        assert_eq!(answers[0].tcp.acknowledgment_number, peer.seq);
        assert_eq!(answers[0].tcp.sequence_number, peer.ack);
        assert_eq!(host.lab.stack.census().sockets, 0);
    }
    let text = peer.ask(&mut host, GET_BIG);
    assert!(text.len() > BIG_BYTES);
}

#[test]
fn ten_times_more_connections_than_sockets_are_all_served() {
    let mut host = Host::new(tight(1_000));
    let mut peers = open(&mut host, 1..1_001);
    for _ in 0..2 {
        for peer in &mut peers {
            assert!(peer.is_served(&mut host));
        }
    }
    let census = host.lab.stack.census();
    assert_eq!(census.open, 1_000);
    assert!(census.sockets <= 70, "{census:?}");
    assert_eq!(host.counters().drop_no_memory, 0);
}

#[test]
fn who_stands_still_makes_way_when_memory_is_used_up() {
    // Who reads nothing sooner than who reads slowly.
    for (window, after) in [(600, 6_000), (0, 1_600)] {
        let mut host = Host::new(tight(200));
        let mut stuck = open(&mut host, 1..101);
        for peer in &mut stuck {
            peer.window = window;
            peer.say(&mut host, "PA", GET_BIG);
        }
        let pressed = host.counters();
        // A closed or silly window is left alone for a while, and needs no memory meanwhile.
        let must_wait = window > 0;
        assert!(
            !must_wait || pressed.drop_no_memory > 0,
            "those above the limit"
        );
        assert_eq!(pressed.pressed_out, 0, "nobody has stood still for long");
        let mut probe = Peer::new(1_000);
        probe.open(&mut host);
        host.wait(Duration::from_millis(after));
        assert!(probe.is_served(&mut host), "one of them has made way");
        let counters = host.counters();
        assert!(counters.pressed_out > 0 && counters.resets_sent > 0);
    }
}

#[test]
fn a_response_held_by_a_closed_window_goes_on_though_its_socket_is_gone() {
    const PEERS: u16 = 300; // more than may keep a socket without using it
    for is_opened in [false, true] {
        let mut host = Host::new(Limits::default());
        let mut peers: Vec<Peer> = (1..=PEERS).map(Peer::new).collect();
        for peer in &mut peers {
            peer.open(&mut host);
            peer.window = 0;
            peer.say(&mut host, "PA", GET);
        }
        assert!(host.lab.stack.census().sockets < u64::from(PEERS));
        let mut heard: Vec<u16> = Vec::new();
        let mut note = |answers: Vec<common::segment::Answer>| {
            let with_text = answers.into_iter().filter(|a| !a.payload.is_empty());
            heard.extend(with_text.map(|a| a.tcp.destination_port));
        };
        if is_opened {
            for peer in &mut peers {
                peer.window = 64_000;
                note(peer.say(&mut host, "A", b""));
            }
        } else {
            note(host.wait_s(5)); // RFC 9293 §3.8.6.1: the window is probed
        }
        heard.sort_unstable();
        heard.dedup();
        assert_eq!(heard.len(), usize::from(PEERS), "opened: {is_opened}");
    }
}

//! What a hostile or unlucky peer may try on the TCP core: each case was once a
//! fault, or was suspected of being one.

mod common;
mod peer;

use peer::{BODY, GET, GET_AND_CLOSE, GET_BIG, Host, MODERN, Peer, flags};
use xdphttpd::net::pool;
use xdphttpd::net::{Duration, Limits};
use xdphttpd::wire::{Direction, Impairments};

#[test]
fn partial_heads_stay_within_the_memory_allowed() {
    const ALLOWED_BYTES: usize = 1 << 20;
    let mut host = Host::with_bodies(Limits::default(), ALLOWED_BYTES);
    let line = [&b"GET /"[..], &[b'a'; 1_300]].concat();
    let field = [&b" HTTP/1.1\r\nX: "[..], &[b'a'; 1_300]].concat();
    let mut refused = 0;
    for port in 1..2_001 {
        let mut peer = Peer::new(port);
        peer.open(&mut host);
        for part in [&line[..], &field, &[b'a'; 1_400], &[b'a'; 1_400]] {
            let answers = peer.say(&mut host, "A", part);
            let is_503 = |text: &[u8]| text.starts_with(b"HTTP/1.1 503 ");
            refused += usize::from(answers.iter().any(|answer| is_503(&answer.payload)));
        }
    }
    let held_bytes = host.lab.stack.app.held_bytes() as usize;
    let most_bytes = ALLOWED_BYTES + 2_000 * 1_024;
    assert!(held_bytes <= most_bytes, "{held_bytes}");
    assert!(refused > 1_500, "{refused}");
    // Who asks in one piece is served all the same.
    let mut peer = Peer::new(5_000);
    peer.open(&mut host);
    assert!(peer.is_served(&mut host));
    host.wait_s(31);
    assert_eq!(host.lab.stack.app.held_bytes(), 0);
}

#[test]
fn bare_acks_do_not_make_an_idle_connection_look_less_idle() {
    let mut host = Host::new(Limits {
        max_connections: 2,
        ..Limits::default()
    });
    let (mut old, mut recent) = (Peer::new(1), Peer::new(2));
    old.open(&mut host);
    assert!(old.is_served(&mut host));
    recent.open(&mut host);
    host.wait(Duration::from_millis(500));
    assert!(recent.is_served(&mut host));
    old.say(&mut host, "A", b"");
    let mut third = Peer::new(3);
    third.open(&mut host);
    assert!(recent.is_served(&mut host), "it was idle for less long");
}

#[test]
fn who_is_over_its_source_limit_evicts_nobody() {
    let mut host = Host::new(Limits {
        max_connections: 2,
        max_per_source: Some(1),
        ..Limits::default()
    });
    let (mut a, mut b) = (
        Peer::from([10, 1, 0, 1].into(), 1),
        Peer::from([10, 2, 0, 1].into(), 2),
    );
    // Two handshakes of one source, one of which makes a connection.
    let mut extra = Peer::from([10, 2, 0, 1].into(), 3);
    assert!(extra.syn(&mut host, &[]).is_some());
    a.open(&mut host);
    b.open(&mut host);
    assert!(a.is_served(&mut host) && b.is_served(&mut host));
    let frame = extra.segment("A", b"").frame(&extra.ends);
    host.lab.inject(&frame);
    let answers = host.wait(Duration::from_millis(1));
    assert_eq!(host.counters().drop_source_full, 1);
    assert_eq!(flags(&answers), [""; 0]);
    assert_eq!(host.counters().evicted_idle, 0);
}

#[test]
fn a_request_for_much_is_acknowledged_in_time_though_the_window_is_closed() {
    for request in [GET, GET_BIG] {
        let mut host = Host::new(Limits::default());
        let mut peer = Peer::new(1);
        peer.open(&mut host);
        peer.window = 0;
        let mut answers = peer.say(&mut host, "PA", request);
        answers.extend(host.wait(Duration::from_millis(500)));
        let is_acked = |a: &common::segment::Answer| a.tcp.acknowledgment_number == peer.seq;
        let name = String::from_utf8_lossy(&request[..8]);
        assert!(answers.iter().any(is_acked), "{name}");
    }
}

#[test]
fn a_peer_that_never_acknowledges_anything_is_not_served_for_ever() {
    let mut host = Host::new(Limits::default());
    let mut peer = Peer::new(1);
    peer.open(&mut host);
    for second in 0..30 {
        peer.say(&mut host, "PA", GET);
        host.wait_s(50);
        if host.lab.stack.census().open == 0 {
            assert!(second < 30);
            return;
        }
    }
    panic!("{:?} after 1500 s", host.lab.stack.census());
}

fn with_stamp(peer: &mut Peer, value: u32, echo: u32) {
    peer.options = [
        &[1, 1, 8, 10][..],
        &value.to_be_bytes(),
        &echo.to_be_bytes(),
    ]
    .concat();
}

#[test]
fn text_overtaken_in_the_handshake_is_not_taken_for_old() {
    let mut host = Host::new(Limits::default());
    let mut peer = Peer::new(1);
    peer.syn(&mut host, &MODERN).expect("a SYN-ACK");
    with_stamp(&mut peer, 1_002, 0);
    let (head, tail) = GET.split_at(10);
    let mut second = peer.segment("PA", tail);
    second.seq += head.len() as u32;
    peer.send(&mut host, &second);
    with_stamp(&mut peer, 1_001, 0);
    let answers = peer.say(&mut host, "A", head);
    assert!(
        answers.iter().any(|answer| answer.payload.ends_with(BODY)),
        "{:?} {}",
        flags(&answers),
        host.counters().reacknowledged
    );
}

#[test]
fn a_syn_that_is_dropped_leaves_time_wait_as_it_is() {
    let mut host = Host::new(Limits {
        max_connections: 1,
        ..Limits::default()
    });
    let mut first = Peer::new(1);
    first.open(&mut host);
    assert!(first.ask(&mut host, GET_AND_CLOSE).ends_with(BODY));
    assert_eq!(flags(&first.say(&mut host, "FA", b"")), ["A"]);
    assert_eq!(host.lab.stack.census().time_wait, 1);
    let mut second = Peer::new(2);
    second.open(&mut host);
    second.say(&mut host, "PA", b"GET /o");
    first.seq += 1_000;
    assert!(first.syn(&mut host, &[]).is_none());
    assert_eq!(host.counters().drop_table_full, 1);
    assert_eq!(
        host.lab.stack.census().time_wait,
        1,
        "its 2 MSL are not over"
    );
}

fn lost_fin_is_repeated(max_time_wait: usize) {
    let mut host = Host::new(Limits {
        max_time_wait,
        ..Limits::default()
    });
    let mut victim = Peer::new(1);
    victim.open(&mut host);
    victim.say(&mut host, "PA", GET_AND_CLOSE);
    // The text is acknowledged, the FIN lost on its way.
    let answers = host.wait_s(3);
    let end = answers
        .iter()
        .find(|a| !a.payload.is_empty())
        .map(|a| a.end());
    let end = end.expect("the response, sent again");
    victim.ack = end.wrapping_sub(u32::from(answers.iter().any(|a| a.tcp.fin)));
    victim.say(&mut host, "A", b"");
    assert_eq!(host.lab.stack.census().closing, 1);
    for port in 10..13 {
        let mut other = Peer::new(port);
        other.open(&mut host);
        assert!(other.ask(&mut host, GET_AND_CLOSE).ends_with(BODY));
        other.say(&mut host, "FA", b"");
    }
    let repeated = host.wait_s(10);
    assert!(
        repeated
            .iter()
            .any(|a| a.tcp.destination_port == 1 && (a.tcp.fin || a.tcp.rst)),
        "{:?}",
        host.lab.stack.census()
    );
}

#[test]
fn a_lost_fin_is_repeated_while_there_is_room() {
    lost_fin_is_repeated(20);
}

#[test]
fn a_lost_fin_is_repeated_though_many_others_close() {
    lost_fin_is_repeated(2);
}

#[test]
fn a_request_lost_for_want_of_room_is_counted() {
    let mut host = Host::new(Limits {
        max_connections: 1,
        ..Limits::default()
    });
    let mut first = Peer::new(1);
    first.open(&mut host);
    assert!(first.is_served(&mut host));
    host.lab.to_client = Direction::new(Impairments::NONE, 1, 1_514, 1);
    let mut second = Peer::new(2);
    second.syn(&mut host, &[]).expect("a SYN-ACK");
    let answers = second.say(&mut host, "PA", GET);
    let counters = host.counters();
    assert_eq!((counters.accepted, counters.evicted_idle), (2, 1));
    assert!(
        counters.drop_room_gone > 0 || answers.iter().any(|a| a.payload.ends_with(BODY)),
        "lost, and not counted: {:?}",
        flags(&answers)
    );
}

#[test]
fn with_room_for_one_frame_all_is_served_and_nothing_left() {
    let mut host = Host::new(Limits {
        max_connections: 3,
        max_half_open: 2,
        ..Limits::default()
    });
    host.lab.to_client = Direction::new(Impairments::NONE, 1, 1_514, 1);
    for port in 1..13 {
        let mut peer = Peer::new(port);
        peer.open(&mut host);
        assert!(peer.is_served(&mut host), "{port}");
        assert!(peer.ask(&mut host, GET_BIG).len() > peer::BIG_BYTES);
    }
    let mut sink = host.lab.to_client.sender(host.lab.now);
    let now = host.lab.now;
    host.lab.stack.drain(now, &mut sink);
    host.wait_s(100);
    let counters = host.counters();
    assert_eq!((counters.accepted, counters.closed), (12, 12));
    assert_eq!(
        (host.lab.stack.connections(), host.lab.stack.timers()),
        (0, 0)
    );
    assert_eq!(host.lab.stack.next_at(), None);
}

#[test]
fn a_fin_beyond_a_full_window_does_not_open_it() {
    let mut host = Host::new(Limits::default());
    let mut peer = Peer::new(1);
    peer.window = 1_000;
    peer.open(&mut host);
    peer.say(&mut host, "PA", GET_BIG);
    let mut left = 16_384usize - GET_BIG.len();
    // What was read opened the window again.
    left += GET_BIG.len();
    while left > 0 {
        let bytes = left.min(1_400);
        left -= bytes;
        peer.say(
            &mut host,
            if left == 0 { "FA" } else { "A" },
            &vec![b'a'; bytes],
        );
    }
    let mut far = peer.segment("R", b"");
    far.seq = peer.seq.wrapping_add(1_000_000);
    let answers = peer.send(&mut host, &far);
    assert_eq!(flags(&answers), [""; 0], "a RST far outside is dropped");
}

#[test]
fn who_waits_for_a_socket_does_not_make_the_worker_spin() {
    let mut host = Host::new(Limits {
        max_connections: 200,
        memory_bytes: pool::least_bytes(200),
        ..Limits::default()
    });
    let mut asleep = Peer::new(1);
    asleep.open(&mut host);
    for port in 10..110 {
        let mut stuck = Peer::new(port);
        stuck.open(&mut host);
        stuck.say(&mut host, "PA", GET_BIG);
    }
    let before = host.counters().drop_no_memory;
    // As when its file comes: the first connection of all.
    let id = xdphttpd::net::ConnId::from_u64(1 << 32);
    let now = host.lab.now;
    let mut sink = host.lab.to_client.sender(now);
    host.lab.stack.wake(id, now, &mut sink, |_, _| {});
    host.wait_s(1);
    let tries = host.counters().drop_no_memory - before;
    assert!(tries < 100, "{tries} tries in a second");
}

#[test]
fn an_old_syn_does_not_keep_a_cookie_from_being_redeemed() {
    let mut host = Host::new(Limits {
        max_half_open: 1,
        ..Limits::default()
    });
    let mut other = Peer::new(2);
    other.syn(&mut host, &[]).expect("a SYN-ACK");
    let mut peer = Peer::new(1);
    peer.syn(&mut host, &[]).expect("a SYN-ACK with a cookie");
    other.say(&mut host, "A", b"");
    // There is a place again, and the SYN of an earlier connection takes it.
    let mut old = Peer {
        seq: peer.seq - 1_000,
        ..Peer::new(1)
    };
    old.syn(&mut host, &[]).expect("a SYN-ACK");
    assert_eq!(host.lab.stack.census().half_open, 1);
    assert!(peer.is_served(&mut host));
    let census = host.lab.stack.census();
    assert_eq!((census.half_open, census.open), (0, 2));
}

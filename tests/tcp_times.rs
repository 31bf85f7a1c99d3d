//! How long the stack waits: every time limit, its end and its counter; and how
//! connections close.

mod common;
mod peer;

use common::segment::Answer;
use peer::{BODY, GET, GET_AND_CLOSE, GET_BIG, Host, MODERN, Peer, flags};
use xdphttpd::net::options;
use xdphttpd::net::{Duration, Limits};
use xdphttpd::stats::NetCounters;

fn opened() -> (Host, Peer) {
    let mut host = Host::new(Limits::default());
    let mut peer = Peer::new(1);
    peer.open(&mut host);
    (host, peer)
}

/// Nothing may be left, and what was accepted must have been closed.
fn assert_empty(host: &mut Host) {
    host.wait_s(100);
    assert_eq!(
        (host.lab.stack.connections(), host.lab.stack.timers()),
        (0, 0)
    );
    assert_eq!(host.lab.stack.next_at(), None);
    let counters = host.counters();
    assert_eq!(counters.accepted, counters.closed);
    assert_eq!(counters.tx_frames, host.lab.to_client.tally.sent);
}

type Limit = (
    &'static str,
    fn(&mut Host, &mut Peer),
    u64,
    &'static str,
    fn(&NetCounters) -> u64,
);

/// Name, what the client does, after how many seconds it is answered how, and
/// which counter says so.
const LIMITS: [Limit; 7] = [
    (
        "keep-alive before the first request",
        |_, _| {},
        75,
        "FA",
        |c| c.expired_keep_alive,
    ),
    (
        "keep-alive between requests",
        |host, peer| assert!(peer.is_served(host)),
        75,
        "FA",
        |c| c.expired_keep_alive,
    ),
    (
        "request head",
        |host, peer| {
            peer.say(host, "PA", b"GET /one HT");
        },
        30,
        "FA",
        |c| c.expired_head,
    ),
    (
        "request body",
        |host, peer| {
            let text = b"GET /one HTTP/1.1\r\nHost: lab\r\nContent-Length: 9\r\n\r\nab";
            assert!(peer.ask(host, text).ends_with(BODY));
        },
        60,
        "FA",
        |c| c.expired_body,
    ),
    (
        // A second later: so long the closed window is left alone.
        "send stall by a closed window",
        |host, peer| {
            peer.window = 0;
            peer.say(host, "PA", GET);
        },
        61,
        "RA",
        |c| c.expired_send_stall,
    ),
    (
        "send stall by silence",
        |host, peer| {
            peer.say(host, "PA", GET);
        },
        60,
        "RA",
        |c| c.expired_send_stall,
    ),
    (
        "FIN-WAIT-1",
        |host, peer| {
            peer.window = 0;
            let all = peer.ask(host, GET);
            assert_eq!(all, b"");
            peer.window = 9_000;
            assert!(peer.ask(host, GET_AND_CLOSE).ends_with(BODY));
            peer.say(host, "A", b"");
        },
        30,
        "",
        |c| c.expired_fin_wait,
    ),
];

#[test]
fn every_limit_ends_what_it_limits_then_and_no_sooner() {
    for (name, begin, seconds, end, counter) in LIMITS {
        let (mut host, mut peer) = opened();
        begin(&mut host, &mut peer);
        let start = host.lab.now;
        let early = host.wait(Duration::from_millis(seconds * 1_000 - 200));
        let is_end = |answer: &Answer| answer.tcp.fin || answer.tcp.rst;
        assert!(!early.iter().any(is_end), "{name}: {:?}", flags(&early));
        assert_eq!(counter(&host.counters()), 0, "{name}");
        let answers = host.wait(Duration::from_millis(500));
        assert_eq!(
            counter(&host.counters()),
            1,
            "{name}, {}",
            host.lab.now - start
        );
        let last = answers.iter().find(|a| is_end(a)).map(Answer::flags);
        assert_eq!(last.unwrap_or_default(), end, "{name}");
        assert_empty(&mut host);
    }
}

#[test]
fn a_head_and_a_body_that_drip_are_ended_all_the_same() {
    let head = "GET /one HTTP/1.1\r\nHost: lab\r\nX-Padding: ";
    let body = "GET /one HTTP/1.1\r\nHost: lab\r\nContent-Length: 5000\r\n\r\n";
    for (text, limit_s) in [(head, 30), (body, 60)] {
        let (mut host, mut peer) = opened();
        peer.ask(&mut host, text.as_bytes());
        let mut ended_s = None;
        for second in 0..90 {
            let answers = host.wait(Duration::from_millis(999));
            let answers = [answers, peer.say(&mut host, "PA", b"x")].concat();
            if answers.iter().any(|answer| answer.tcp.fin) {
                ended_s = ended_s.or(Some(second));
            }
        }
        let ended_s = ended_s.expect("it was ended");
        assert!(
            (limit_s - 2..limit_s + 2).contains(&ended_s),
            "{ended_s} of {limit_s} s"
        );
        assert_empty(&mut host);
    }
}

#[test]
fn a_response_taken_too_slowly_is_reset_and_one_taken_slowly_is_not() {
    for (bytes_per_20_s, is_ended) in [(100u16, true), (4_000, false)] {
        let (mut host, mut peer) = opened();
        peer.window = bytes_per_20_s;
        let mut edge = peer.ack.wrapping_add(bytes_per_20_s.into());
        let mut answers = peer.say(&mut host, "PA", GET_BIG);
        let mut reset = false;
        for tenth in 1..4_000 {
            reset |= answers.iter().any(|answer| answer.tcp.rst);
            // It reads so much at once, and then nothing for 20 s.
            let opens = tenth % 200 == 0;
            edge = edge.wrapping_add(if opens { bytes_per_20_s.into() } else { 0 });
            for answer in &answers {
                let fits = edge.wrapping_sub(answer.end()) as i32 >= 0;
                if answer.tcp.sequence_number == peer.ack && fits {
                    peer.ack = answer.end();
                }
            }
            peer.window = edge.wrapping_sub(peer.ack) as u16;
            let again = if answers.is_empty() && !opens {
                Vec::new()
            } else {
                peer.say(&mut host, "A", b"")
            };
            answers = host.wait(Duration::from_millis(100));
            answers.splice(0..0, again);
        }
        assert_eq!(reset, is_ended, "{bytes_per_20_s}");
        assert_eq!(host.counters().expired_send_rate, u64::from(is_ended));
        assert_eq!(host.counters().expired_send_stall, 0);
    }
}

#[test]
fn a_fin_is_repeated_with_back_off_and_then_given_up_with_rst() {
    let (mut host, mut peer) = opened();
    // Its text is acknowledged, its FIN is not.
    let answers = peer.say(&mut host, "PA", GET_AND_CLOSE);
    assert_eq!(flags(&answers), ["FA"]);
    peer.ack = answers[0].end() - 1;
    peer.say(&mut host, "A", b"");
    let mut at_s = Vec::new();
    let mut last = String::new();
    for second in 1..=40 {
        // Duplicate ACKs, as after a lost FIN when something came behind it.
        for _ in 0..3 {
            peer.say(&mut host, "A", b"");
        }
        for answer in host.wait(Duration::from_millis(997)) {
            at_s.push(second);
            last = answer.flags();
            if last == "FA" {
                assert_eq!(answer.tcp.sequence_number, peer.ack);
            }
        }
    }
    assert_eq!(at_s, [1, 3, 7, 15, 30], "repeats, and the end");
    assert_eq!((last.as_str(), host.counters().expired_fin_wait), ("RA", 1));
    assert_empty(&mut host);
}

/// A connection that the server has closed first, and its last ACK.
fn time_wait(options: &[u8]) -> (Host, Peer, Answer) {
    time_wait_with(options, Limits::default())
}

fn time_wait_with(options: &[u8], limits: Limits) -> (Host, Peer, Answer) {
    let mut host = Host::new(limits);
    let mut peer = Peer::new(1);
    let syn_ack = peer.syn(&mut host, options).expect("a SYN-ACK");
    if let (_, Some(stamps)) = options::of_syn(syn_ack.tcp.options.as_slice()) {
        peer.options = [
            &[1, 1, 8, 10, 0, 0, 7, 208][..],
            &stamps.value.to_be_bytes(),
        ]
        .concat();
    }
    assert!(peer.ask(&mut host, GET_AND_CLOSE).ends_with(BODY));
    let answers = peer.say(&mut host, "FA", b"");
    assert_eq!(flags(&answers), ["A"]);
    (host, peer, answers[0].clone())
}

#[test]
fn in_time_wait_the_last_ack_is_repeated_and_a_rst_ends_nothing() {
    let (mut host, peer, last) = time_wait(&[]);
    let mut fin = peer.segment("FA", b"");
    fin.seq -= 1;
    let mut rst = peer.segment("R", b"");
    for seq in [peer.seq, peer.seq + 1, peer.seq - 1] {
        rst.seq = seq;
        assert_eq!(flags(&peer.send(&mut host, &rst)), [""; 0]);
        let again = peer.send(&mut host, &fin);
        assert_eq!(flags(&again), ["A"]);
        assert_eq!(
            again[0].tcp.acknowledgment_number,
            last.tcp.acknowledgment_number
        );
    }
    // Each repeated FIN begins 2 MSL anew.
    host.wait_s(40);
    assert_eq!(flags(&peer.send(&mut host, &fin)), ["A"]);
    host.wait_s(40);
    assert_eq!(host.lab.stack.connections(), 1);
    host.wait_s(21);
    assert_eq!(host.lab.stack.connections(), 0);
    assert_eq!(flags(&peer.send(&mut host, &fin)), ["R"]);
}

#[test]
fn in_time_wait_a_newer_syn_takes_over_with_a_number_beyond_the_old_ones() {
    let syn = |value: u32| [&[2, 4, 5, 180, 8, 10][..], &value.to_be_bytes(), &[0; 4]].concat();
    for (name, options, seq, value, is_newer) in [
        ("a higher number", &[][..], 1_000, None, true),
        ("a lower one", &[], -1_000, None, false),
        ("a later timestamp", &MODERN, -1_000, Some(2_001), true),
        (
            "a higher number, an earlier timestamp",
            &MODERN,
            1_000,
            Some(1_999),
            false,
        ),
        (
            "a higher number, the same timestamp",
            &MODERN,
            1_000,
            Some(2_000),
            true,
        ),
    ] {
        let (mut host, peer, last) = time_wait(options);
        let mut new = peer.clone();
        new.seq = peer.seq.wrapping_add_signed(seq);
        let options = value.map_or(vec![], syn);
        let answer = new.syn(&mut host, &options).expect("an answer");
        if is_newer {
            assert_eq!(answer.flags(), "SA", "{name}");
            let beyond = answer
                .tcp
                .sequence_number
                .wrapping_sub(last.tcp.sequence_number);
            assert!((1..1 << 31).contains(&beyond), "{name}: {beyond}");
            if let (_, Some(stamps)) = options::of_syn(answer.tcp.options.as_slice()) {
                new.options = [&[1, 1, 8, 10][..], &value.unwrap_or(0).to_be_bytes()].concat();
                new.options.extend(stamps.value.to_be_bytes());
            } else {
                new.options.clear();
            }
            new.say(&mut host, "A", b"");
            assert!(new.is_served(&mut host), "{name}");
        } else {
            assert_eq!(answer.flags(), "A", "{name}");
            assert_eq!(answer.tcp.acknowledgment_number, peer.seq, "{name}");
        }
    }
}

#[test]
fn in_time_wait_a_newer_syn_takes_over_in_a_flood_of_handshakes_too() {
    let limits = Limits {
        max_half_open: 2,
        ..Limits::default()
    };
    let (mut host, peer, last) = time_wait_with(&[], limits);
    for port in 100..110 {
        Peer::new(port).syn(&mut host, &[]).expect("a SYN-ACK");
    }
    assert_eq!(host.counters().cookies_sent, 8);
    let mut new = Peer {
        seq: peer.seq + 1_000,
        ..peer
    };
    let answer = new.syn(&mut host, &[]).expect("an answer");
    assert_eq!(answer.flags(), "SA");
    let beyond = answer
        .tcp
        .sequence_number
        .wrapping_sub(last.tcp.sequence_number);
    assert!((1..1 << 31).contains(&beyond));
    new.say(&mut host, "A", b"");
    assert!(new.is_served(&mut host));
    assert_eq!(host.counters().cookies_sent, 8);
}

#[test]
fn a_refusal_outlives_the_rest_of_the_request() {
    let (mut host, mut peer) = opened();
    let head = b"POST /one HTTP/1.1\r\nHost: lab\r\nContent-Length: 900000000\r\n\r\n";
    let mut answers = peer.say(&mut host, "PA", head);
    let mut text = Vec::new();
    for _ in 0..200 {
        for answer in &answers {
            assert!(!answer.tcp.rst);
            if answer.tcp.sequence_number == peer.ack {
                text.extend_from_slice(&answer.payload);
                peer.ack = answer.end();
            }
        }
        // The client goes on sending, and is told that it arrives.
        answers = peer.say(&mut host, "A", &[b'x'; 1_000]);
        let acknowledged = answers
            .last()
            .map(|answer| answer.tcp.acknowledgment_number);
        assert_eq!(acknowledged, Some(peer.seq));
    }
    assert!(text.starts_with(b"HTTP/1.1 405 "));
    assert_eq!(flags(&peer.say(&mut host, "FA", b"")), ["A"]);
    assert_empty(&mut host);
}

#[test]
fn a_forger_without_the_numbers_changes_nothing() {
    let (mut host, mut peer) = opened();
    host.wait_s(70);
    let mut forged = Peer {
        ends: common::segment::Ends {
            client_mac: [2, 0, 0, 0, 0, 0x66],
            ..peer.ends
        },
        ..peer.clone()
    };
    for flags in ["A", "PA", "FA", "S", "R", "SA", "RA", "", "SRFPAU"] {
        for seq in [
            peer.seq.wrapping_add(100_000),
            peer.seq.wrapping_sub(70_000),
        ] {
            forged.seq = seq;
            forged.window = 0;
            forged.say(&mut host, flags, b"GET / HTTP/1.1\r\n");
        }
    }
    // Neither neighbour nor window ...
    let answers = peer.say(&mut host, "PA", GET);
    assert_eq!(answers[0].destination, peer.ends.client_mac);
    assert!(answers[0].payload.ends_with(BODY));
    // ... nor the time since the last request.
    let (mut host, peer) = opened();
    host.wait_s(74);
    forged.ack = peer.ack;
    forged.seq = peer.seq.wrapping_add(100_000);
    forged.say(&mut host, "A", b"alive");
    host.wait_s(2);
    assert_eq!(host.counters().expired_keep_alive, 1);
}

#[test]
fn a_client_is_answered_where_it_was_heard_last() {
    let (mut host, mut peer) = opened();
    for last in 3..6 {
        peer.ends.client_mac[5] = last;
        let answers = peer.say(&mut host, "PA", GET);
        assert_eq!(answers[0].destination, peer.ends.client_mac);
        peer.ack = answers[0].end();
        // At rest, an empty segment suffices.
        host.wait_s(3);
        peer.ends.client_mac[4] = last;
        peer.say(&mut host, "A", b"");
    }
    let fin = host.wait_s(76);
    assert_eq!(fin[0].destination, peer.ends.client_mac);
}

#[test]
fn text_with_an_overtaken_ack_is_taken() {
    let (mut host, mut peer) = opened();
    let early = peer.ack;
    let answers = peer.say(&mut host, "PA", GET);
    peer.ack = answers[0].end();
    peer.say(&mut host, "A", b"");
    let mut second = peer.segment("PA", GET);
    second.ack = early;
    let answers = peer.send(&mut host, &second);
    assert!(answers[0].payload.ends_with(BODY), "{:?}", flags(&answers));
}

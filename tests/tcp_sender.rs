//! What the sender makes of the windows that its peer offers: segments by hand,
//! virtual time.

mod common;
mod peer;

use common::ENDS;
use common::segment::Answer;
use peer::{GET, GET_BIG, GET_PAGE, Host, PAGE_BYTES, Peer, flags};
use xdphttpd::net::congestion::Algorithm;
use xdphttpd::net::recovery::MAX_SEGMENTS;
use xdphttpd::net::{Duration, Limits};
use xdphttpd::wire::{Direction, Impairments};

/// An MSS of 1,000 bytes.
const MSS_1000: [u8; 4] = [2, 4, 3, 232];

/// A connection to a server with segments of 1,000 bytes that has a window of 300.
fn open() -> (Host, Peer) {
    let mut host = Host::new(Limits::default());
    let mut peer = Peer {
        window: 300,
        ..Peer::new(2_000)
    };
    let answer = peer.syn(&mut host, &MSS_1000).expect("an answer to SYN");
    assert_eq!(answer.flags(), "SA");
    assert_eq!(flags(&peer.say(&mut host, "A", b"")), [""; 0]);
    (host, peer)
}

fn lengths(answers: &[Answer]) -> Vec<usize> {
    answers.iter().map(|answer| answer.payload.len()).collect()
}

/// The ACK of what came, with another window; what is sent for it.
fn acknowledge(host: &mut Host, peer: &mut Peer, answers: &[Answer], window: u16) -> Vec<Answer> {
    peer.ack = answers.last().expect("something came").end();
    peer.window = window;
    peer.say(host, "A", b"")
}

/// The beginning of a response has filled the window; its ACK brings another one.
fn head_then(window: u16) -> (Host, Peer, Vec<Answer>) {
    let (mut host, mut peer) = open();
    let answers = peer.say(&mut host, "PA", GET_BIG);
    assert_eq!(answers.len(), 1, "a window full");
    let answers = acknowledge(&mut host, &mut peer, &answers, window);
    (host, peer, answers)
}

/// RFC 9293 §3.8.6.2.1.
#[test]
fn a_window_is_filled_with_whole_segments() {
    for (window, want) in [
        (3_000, vec![1_000, 1_000, 1_000]),
        (3_999, vec![1_000, 1_000, 1_000]),
        (1_001, vec![1_000]),
        // Half of the largest one ever is worth a segment.
        (999, vec![999]),
        (150, vec![150]),
        (149, vec![]),
    ] {
        let (_, _, answers) = head_then(window);
        assert_eq!(lengths(&answers), want, "a window of {window}");
    }
}

#[test]
fn what_is_left_of_a_window_waits_for_an_ack_while_one_is_due() {
    let (mut host, mut peer, answers) = head_then(2_000);
    assert_eq!(lengths(&answers), [1_000, 1_000]);
    // One is still in flight, and 999 bytes are open beside it.
    let more = acknowledge(&mut host, &mut peer, &answers[..1], 1_999);
    assert_eq!(lengths(&more), [0; 0]);
    peer.window = 2_000;
    assert_eq!(lengths(&peer.say(&mut host, "A", b"")), [1_000]);
}

#[test]
fn a_silly_window_is_used_after_a_while_when_no_ack_is_due() {
    let (mut host, mut peer, answers) = head_then(2_000);
    let more = acknowledge(&mut host, &mut peer, &answers, 999);
    assert_eq!(lengths(&more), [0; 0]);
    let early = host.wait(Duration::from_millis(190));
    assert_eq!(lengths(&early), [0; 0]);
    let answers = host.wait(Duration::from_millis(15));
    assert_eq!(lengths(&answers), [999]);
}

/// RFC 9293 §3.8.6: a sender must be robust against a window that is taken back.
#[test]
fn a_window_that_is_taken_back_is_kept_to_and_probed() {
    let mut host = Host::new(Limits::default());
    let mut peer = Peer::new(2_000);
    peer.syn(&mut host, &MSS_1000).expect("an answer to SYN");
    peer.say(&mut host, "A", b"");
    // Room for four frames, so that six of the first window wait.
    host.lab.to_client = Direction::new(Impairments::NONE, 4, 1_514, 1);
    host.lab
        .inject(&peer.segment("PA", GET_PAGE).frame(&peer.ends));
    peer.seq += GET_PAGE.len() as u32;
    host.lab.now += Duration::from_millis(1);
    host.lab.serve();
    host.lab.now += Duration::from_millis(1);
    let frames = std::iter::from_fn(|| host.lab.to_client.deliver(host.lab.now));
    let mut answers: Vec<Answer> = frames
        .map(|frame| Answer::read(&frame, &ENDS).expect("a segment"))
        .collect();
    assert_eq!(lengths(&answers), [1_000; 4]);
    let mut bytes = 4_000;
    // It is there before the server sees that there is room again.
    (peer.ack, peer.window) = (answers[3].end(), 0);
    host.lab.inject(&peer.segment("A", b"").frame(&peer.ends));
    host.lab.now += Duration::from_millis(1);
    let early = host.wait(Duration::from_millis(990));
    assert_eq!(lengths(&early), [0; 0]);
    answers = host.wait(Duration::from_millis(20));
    assert_eq!(lengths(&answers), [1], "a probe");
    while !answers.is_empty() {
        assert_eq!(answers[0].tcp.sequence_number, peer.ack);
        bytes += lengths(&answers).iter().sum::<usize>();
        let follows = |pair: &[Answer]| pair[1].tcp.sequence_number == pair[0].end();
        assert!(answers.windows(2).all(follows), "in order");
        answers = acknowledge(&mut host, &mut peer, &answers, 20_000);
    }
    assert!((PAGE_BYTES..PAGE_BYTES + 1_000).contains(&bytes), "{bytes}");
}

#[test]
fn what_fits_is_sent_at_once_into_any_window() {
    let (mut host, mut peer) = open();
    peer.window = 2_000;
    assert!(peer.is_served(&mut host));
    peer.window = 300;
    let answers = peer.say(&mut host, "PA", GET);
    assert_eq!(answers.len(), 1, "a response of one segment");
    assert!(answers[0].payload.ends_with(peer::BODY));
}

/// A peer that wants tiny segments, whose window the scoreboard can't remember all of.
#[test]
fn what_is_in_flight_is_bounded_by_the_scoreboard_and_all_of_it_recoverys() {
    let mut config = common::stack_config(1);
    config.congestion = Algorithm::None;
    let mut host = Host::with(&config);
    let mut peer = Peer::new(2_000);
    // An MSS of 48 bytes, and windows of up to 8 MB.
    peer.syn(&mut host, &[2, 4, 0, 48, 3, 3, 7])
        .expect("an answer to SYN");
    peer.say(&mut host, "A", b"");
    let mut answers = peer.say(&mut host, "PA", GET_BIG);
    answers.extend(host.wait(Duration::from_millis(100)));
    let (mut segments, mut bytes) = (0, 0);
    while !answers.is_empty() {
        // But for tail loss probes.
        answers.dedup_by_key(|answer| answer.tcp.sequence_number);
        assert!(answers.len() <= MAX_SEGMENTS, "{}", answers.len());
        segments += answers.len() as u64;
        bytes += lengths(&answers).iter().sum::<usize>();
        peer.ack = answers.last().expect("something came").end();
        answers = peer.say(&mut host, "A", b"");
        answers.extend(host.wait(Duration::from_millis(100)));
    }
    assert!(bytes > peer::BIG_BYTES);
    assert_eq!(host.counters().recovery.segments, segments);
}

/// RFC 6298 §2.2: the handshake is a first sample of the round trip. Without one a
/// lost response waits for a second.
#[test]
fn a_lost_first_response_is_repeated_soon_unless_the_syn_ack_was_repeated() {
    for (is_repeated, probe_ms) in [(false, 200), (true, 1_000)] {
        let mut host = Host::new(Limits::default());
        let mut peer = Peer::new(2_000);
        if is_repeated {
            peer.syn(&mut host, &MSS_1000).expect("an answer to SYN");
            peer.seq -= 1;
        }
        peer.open(&mut host);
        let answers = peer.say(&mut host, "PA", GET);
        assert_eq!(answers.len(), 1, "a response of one segment");
        let early = host.wait(Duration::from_millis(probe_ms - 10));
        assert_eq!(lengths(&early), [0; 0]);
        let again = host.wait(Duration::from_millis(20));
        assert_eq!(lengths(&again), lengths(&answers), "after {probe_ms} ms");
    }
}

/// A first window of ten segments (RFC 6928), all of them full though the body has
/// to be read first.
#[test]
fn the_head_shares_its_segment_with_the_body() {
    let mut host = Host::new(Limits::default());
    let mut peer = Peer::new(2_000);
    peer.syn(&mut host, &MSS_1000).expect("an answer to SYN");
    peer.say(&mut host, "A", b"");
    let answers = peer.say(&mut host, "PA", GET_BIG);
    assert_eq!(lengths(&answers), [1_000; 10]);
    assert!(answers[0].payload.starts_with(b"HTTP/1.1 200"));
}

/// RFC 5681 §3.1: in slow start the window grows by what each ACK acknowledges, the first
/// one's too.
#[test]
fn the_first_window_doubles_with_its_first_ack_already() {
    let mut host = Host::new(Limits::default());
    let mut peer = Peer {
        window: 60_000,
        ..Peer::new(2_000)
    };
    let answer = peer.syn(&mut host, &MSS_1000).expect("an answer to SYN");
    assert_eq!(answer.flags(), "SA");
    assert_eq!(flags(&peer.say(&mut host, "A", b"")), [""; 0]);
    let first = peer.say(&mut host, "PA", GET_PAGE);
    let mut second = Vec::new();
    // A receiver that acknowledges every other segment.
    for pair in first.chunks(2) {
        peer.ack = pair.last().expect("a segment").end();
        second.extend(peer.say(&mut host, "A", b""));
    }
    assert_eq!((first.len(), second.len()), (10, 20));
}

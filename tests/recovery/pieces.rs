//! The scoreboard cuts segments to pieces.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use xdphttpd::net::recovery::Instant;
use xdphttpd::net::recovery::scoreboard::{Scoreboard, Segment, SendState};

const STATE: SendState = SendState {
    delivered_bytes: 0,
    lost_bytes: 0,
    since_delivered_us: 0,
    since_first_sent_us: 0,
    in_flight_bytes: 0,
    is_app_limited: false,
};

/// A board of segments of these lengths, one sent each millisecond, from offset 0 on.
fn board(lens: &[u32]) -> Scoreboard {
    let (mut board, mut start) = (Scoreboard::default(), 0);
    for (ms, &len) in (0..).zip(lens) {
        board.push(Segment::new(start, len, Instant::from_millis(ms), STATE));
        start += u64::from(len);
    }
    board
}

/// Offset, length, and whether it is lost, of each.
fn shape(board: &Scoreboard) -> Vec<(u64, u32, bool)> {
    let shape = |segment: &Segment| (segment.start, segment.len, segment.is_lost);
    board.iter().map(shape).collect()
}

#[test]
fn what_is_large_and_not_sacked_is_lost_in_pieces() {
    let mut board = board(&[1_448, 1_000, 1_448, 1_448, 525]);
    board.sack(2_448..3_896, |_| {});
    board.lose_first();
    assert_eq!(board.resegment(524, 100), 1_000 + 1_448 + 525);
    board.check();
    let lost = |start, len| (start, len, true);
    assert_eq!(
        shape(&board),
        [
            lost(0, 524),
            lost(524, 524),
            lost(1_048, 400),
            lost(1_448, 524),
            lost(1_972, 476),
            (2_448, 1_448, false),
            lost(3_896, 524),
            lost(4_420, 524),
            lost(4_944, 400),
            // The last byte is the FIN.
            lost(5_344, 524),
            lost(5_868, 1),
        ]
    );
    assert_eq!((board.in_flight_bytes(), board.sacked()), (0, 1));
}

#[test]
fn what_is_small_enough_stays_as_it_was() {
    let mut board = board(&[1_228, 100, 1_228]);
    board.lose_first();
    assert_eq!(board.resegment(1_228, 100), 0);
    board.check();
    let want = [(0, 1_228, true), (1_228, 100, false), (1_328, 1_228, false)];
    assert_eq!(shape(&board), want);
    assert_eq!(board.in_flight_bytes(), 1_328);
}

#[test]
fn what_there_is_no_room_for_stays_whole() {
    let mut board = board(&[1_448, 1_448, 1_000, 1_448]);
    assert_eq!(board.resegment(524, 7), 1_448 + 1_000);
    board.check();
    let lens: Vec<u32> = board.iter().map(|segment| segment.len).collect();
    assert_eq!(lens, [524, 524, 400, 1_448, 524, 476, 1_448]);
    assert_eq!(board.in_flight_bytes(), 2 * 1_448);
}

#[test]
fn pieces_are_never_taken_for_segments_that_arrived_as_they_were_sent() {
    let mut board = board(&[1_448, 1_448]);
    board.resegment(1_228, 100);
    board.find_again();
    board.check();
    assert_eq!(board.lost(), 4);
    assert!(board.iter().all(|segment| segment.sends == 2));
}

/// What may happen to a board: a byte says what and to whom.
fn happen(board: &mut Scoreboard, (what, which): (u8, u8), now: Instant) {
    let picked = board.iter().nth(usize::from(which) % board.len().max(1));
    let Some(segment) = picked.copied() else {
        return;
    };
    match what % 6 {
        0 => board.acknowledge(segment.end(), |_| {}),
        1 => board.sack(segment.start..segment.end(), |_| {}),
        2 => drop(board.lose_oldest(|oldest| oldest.sent_at <= segment.sent_at)),
        3 => board.sent_again(segment.start, now, STATE),
        4 => board.acknowledge(segment.start + u64::from(which) % 7, |_| {}),
        _ => board.find_again(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        rng_seed: RngSeed::Fixed(4_821),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever has happened to a board and happens after: nothing is missing, what is
    /// counted is so, and what was delivered stays that.
    #[test]
    fn boards_stay_whole(
        lens in prop::collection::vec(1..3_000u32, 1..80),
        before in prop::collection::vec(any::<(u8, u8)>(), 0..30),
        max_bytes in prop::sample::select(vec![1u32, 36, 524, 1_228, 1_240]),
        room in 0..200usize,
        after in prop::collection::vec(any::<(u8, u8)>(), 0..30),
    ) {
        let mut board = board(&lens);
        let mut now = Instant::from_secs(1);
        for step in before {
            now += smoltcp::time::Duration::from_micros(10);
            happen(&mut board, step, now);
        }
        board.check();
        let range = |board: &Scoreboard| {
            board.first().map(|first| first.start)..board.last().map(Segment::end)
        };
        let sacked = |board: &Scoreboard| -> Vec<(u64, u32)> {
            board.iter().filter(|s| s.is_sacked).map(|s| (s.start, s.len)).collect()
        };
        let (was, held) = (range(&board), sacked(&board));
        let (len, in_flight) = (board.len(), board.in_flight_bytes());
        let lost = board.resegment(max_bytes, len + room);
        board.check();
        prop_assert_eq!(range(&board), was);
        prop_assert_eq!(sacked(&board), held);
        prop_assert_eq!(board.in_flight_bytes() + lost, in_flight);
        prop_assert!(board.len() <= len + room);
        let large = |segment: &&Segment| !segment.is_sacked && segment.len > max_bytes;
        let left = room - (board.len() - len);
        let fits = |segment: &Segment| segment.len.div_ceil(max_bytes) as usize - 1 <= left;
        prop_assert!(!board.iter().filter(large).any(fits));
        for step in after {
            now += smoltcp::time::Duration::from_micros(10);
            happen(&mut board, step, now);
            board.check();
        }
        let end = board.last().map_or(0, Segment::end);
        board.acknowledge(end, |_| {});
        board.check();
        prop_assert!(board.is_empty());
    }
}

//! ACKs that are none, or not of what is in flight.

use crate::script::{BASE, MSS, Script};

#[test]
fn numbers_out_of_range_are_cut_down() {
    let mut s = Script::new(100);
    s.send(5).until(100);
    // Before SND.UNA.
    s.hear_bytes(BASE - 5_000, &[], None);
    s.hear_bytes(0, &[], None);
    assert_eq!(s.in_flight(), 5);
    // Beyond SND.NXT.
    s.hear_bytes(u64::MAX, &[], None);
    assert_eq!(s.recovery.range(), BASE + 5_000..BASE + 5_000);
    assert!(s.recovery.is_idle());
}

#[test]
#[allow(clippy::reversed_empty_ranges, reason = "that is what they are")]
fn blocks_out_of_range_are_ignored() {
    let mut s = Script::new(100);
    s.send(5).until(100).ack(2, &[]);
    let blocks = [
        BASE..BASE + 1_000,
        BASE + 1_000..BASE + 3_000,
        BASE + 4_000..BASE + 6_000,
        BASE + 4_000..BASE + 3_000,
        BASE + 3_000..BASE + 3_000,
        0..u64::MAX,
        u64::MAX..0,
    ];
    s.hear_bytes(BASE + 2_000, &blocks, Some(u64::MAX..0));
    s.hear_bytes(BASE + 2_000, &blocks, Some(0..u64::MAX));
    assert_eq!(s.in_flight(), 3);
    assert_eq!(s.recovery.board().sacked(), 0);
}

#[test]
fn parts_of_segments() {
    let mut s = Script::new(100);
    s.send(5).until(100);
    // A part is not SACKed (RFC 6675 §3) ...
    let part = BASE + 1_500..BASE + 3_500;
    s.hear_bytes(BASE, &[part], None);
    assert_eq!(s.recovery.board().sacked(), 1);
    // ... but acknowledged.
    s.hear_bytes(BASE + 300, &[], None);
    assert_eq!(s.recovery.in_flight_bytes(), 3_700);
    assert_eq!(s.recovery.range().start, BASE + 300);
    s.until(130);
    let repair = s.recovery.next_repair(u64::MAX, false).expect("a repair");
    assert_eq!((repair.start, repair.len), (BASE + 300, 700));
    assert_eq!(s.repairs(), [0, 1]);
    s.hear_bytes(BASE + 2_500, &[], None);
    assert_eq!(s.in_flight(), 2, "2 was SACKed");
    s.hear_bytes(BASE + 5_000, &[], None);
    assert!(s.recovery.is_idle());
}

#[test]
fn fin_is_a_byte() {
    let mut s = Script::new(100);
    s.send(1).send_bytes(1);
    s.until(100).ack(1, &[]);
    assert_eq!(s.recovery.in_flight_bytes(), 1);
    s.until(5_000);
    let repair = s.recovery.next_repair(MSS, true).expect("a repair");
    assert_eq!((repair.start, repair.len), (BASE + 1_000, 1));
    s.hear_bytes(BASE + 1_001, &[], None);
    assert!(s.recovery.is_idle());
}

#[test]
fn time_may_stand_still() {
    let mut s = Script::new(0);
    s.send(10).ack(0, &[1..4]);
    assert_eq!(s.repairs(), [0]);
    s.ack(0, &[1..9]).ack(10, &[]);
    assert!(s.recovery.is_idle());
}

#[test]
fn blocks_in_any_number_and_order_count_once() {
    /// Blocks in segments, and which are SACKed then.
    type Row<'a> = (&'a str, &'a [(u64, u64)], &'a [u64]);
    let table: [Row<'_>; 6] = [
        ("overlapping", &[(2, 5), (3, 7), (4, 6)], &[2, 3, 4, 5, 6]),
        ("the same again", &[(2, 4), (2, 4), (2, 4)], &[2, 3]),
        ("one within another", &[(2, 8), (3, 4)], &[2, 3, 4, 5, 6, 7]),
        (
            "touching, backwards",
            &[(6, 8), (4, 6), (2, 4)],
            &[2, 3, 4, 5, 6, 7],
        ),
        (
            "more than four",
            &[(1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (2, 3)],
            &[1, 2, 3, 5, 7, 9],
        ),
        (
            "all but the first",
            &[(1, 10)],
            &[1, 2, 3, 4, 5, 6, 7, 8, 9],
        ),
    ];
    for (what, blocks, sacked) in table {
        let mut s = Script::new(100);
        s.send(10).until(100);
        let blocks: Vec<_> = blocks
            .iter()
            .map(|(start, end)| BASE + start * MSS..BASE + end * MSS)
            .collect();
        for _ in 0..2 {
            s.hear_bytes(BASE, &blocks, None);
            let board = s.recovery.board();
            let marked: Vec<u64> = board
                .iter()
                .filter(|segment| segment.is_sacked)
                .map(|segment| (segment.start - BASE) / MSS)
                .collect();
            assert_eq!(marked, sacked, "{what}");
            assert_eq!(board.sacked(), sacked.len(), "{what}");
        }
        let delivered: u64 = s
            .congestion
            .acks
            .iter()
            .map(|ack| ack.delivered_bytes)
            .sum();
        assert_eq!(delivered, sacked.len() as u64 * MSS, "{what}");
        s.hear_bytes(BASE + 10 * MSS, &[], None);
        let delivered: u64 = s
            .congestion
            .acks
            .iter()
            .map(|ack| ack.delivered_bytes)
            .sum();
        assert_eq!(delivered, 10 * MSS, "{what}");
        assert!(s.recovery.is_idle(), "{what}");
    }
}

/// RFC 2018 §8: what was SACKed may be dropped, all but the last of it.
#[test]
fn a_peer_that_takes_back_what_it_has_sacked_gets_it_again() {
    let mut s = Script::new(100);
    s.send(6).until(100).ack(0, &[1..6]);
    assert_eq!(s.repairs(), [0]);
    // It has dropped 1 to 4 meanwhile, and SACKs no more than 5.
    s.until(200).ack(1, &[5..6]);
    let mut repaired = Vec::new();
    for _ in 0..4 {
        let due_ms = s.timer_ms().expect("a timer, for something is in flight");
        s.until(due_ms);
        repaired.extend(s.repairs());
    }
    repaired.sort_unstable();
    repaired.dedup();
    assert_eq!(repaired, [1, 2, 3, 4, 5], "5 is no longer believed in");
    s.ack(6, &[]);
    assert!(s.recovery.is_idle());
}

#[test]
fn forged_duplicates_give_nothing_back() {
    for (what, twice) in [
        ("what was never sent again", 3..4),
        ("more than was sent again", 0..3),
        ("before SND.UNA", 0..1),
        ("beyond SND.NXT", 50..51),
        ("nothing", 1..1),
    ] {
        let mut s = Script::new(100);
        s.send(1).until(100).ack(1, &[]);
        s.send(9).until(200).ack(1, &[2..10]);
        assert_eq!(s.repairs(), [1], "{what}");
        s.calls();
        let twice = BASE + twice.start * MSS..BASE + twice.end * MSS;
        for _ in 0..3 {
            s.hear_bytes(BASE + MSS, &[], Some(twice.clone()));
        }
        assert_eq!(s.calls(), [], "{what}");
        assert_eq!(s.recovery.tally.undone, 0, "{what}");
    }
}

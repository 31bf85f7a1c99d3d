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

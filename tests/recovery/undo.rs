//! Repairs in vain: RFC 2883, RFC 3708, and RACK's adaptation to them.

use crate::script::{Call, Script};

/// Segments 0 and 1 are late, and repaired.
fn repaired_in_vain() -> Script {
    let mut s = Script::new(100);
    s.send(10).until(100).ack(0, &[2..6]);
    assert_eq!(s.calls(), [Call::Loss(2)]);
    assert_eq!(s.repairs(), [0, 1]);
    s
}

#[test]
fn all_in_vain_undoes_the_episode() {
    let mut s = repaired_in_vain();
    s.until(130).ack(6, &[]).until(200).duplicate(6, 0);
    assert_eq!(s.calls(), []);
    s.duplicate(6, 1);
    assert_eq!(s.calls(), [Call::Undo]);
    assert_eq!((s.recovery.tally.spurious, s.recovery.tally.undone), (2, 1));
    s.ack(10, &[]);
    assert_eq!(s.calls(), [], "it is over");
}

#[test]
fn after_its_end_too() {
    let mut s = repaired_in_vain();
    s.until(130).ack(10, &[]);
    assert_eq!(s.calls(), [Call::Recovered]);
    s.until(200).duplicate(10, 0).duplicate(10, 1);
    assert_eq!(s.calls(), [Call::Undo]);
}

#[test]
fn one_repair_that_was_needed_forbids_it() {
    let mut s = repaired_in_vain();
    s.until(130).ack(1, &[2..6]).until(200).ack(10, &[]);
    s.duplicate(10, 0);
    assert_eq!(s.calls(), [Call::Recovered]);
    assert_eq!((s.recovery.tally.spurious, s.recovery.tally.undone), (1, 0));
}

#[test]
fn what_the_network_doubles_undoes_nothing() {
    let mut s = repaired_in_vain();
    s.until(200).ack(10, &[]).send(1);
    s.duplicate(10, 5).duplicate(10, 6).duplicate(10, 7);
    s.duplicate(10, 2).duplicate(10, 3);
    assert_eq!(s.calls(), [Call::Recovered]);
    assert_eq!(s.recovery.tally.spurious, 0);
}

/// D-SACKs of an episode do not count for the next one.
#[test]
fn episodes_are_not_confused() {
    let mut s = repaired_in_vain();
    s.until(130)
        .ack(10, &[])
        .send(10)
        .until(230)
        .ack(10, &[11..16]);
    s.until(260);
    assert_eq!(s.repairs(), [10]);
    s.duplicate(10, 0).duplicate(10, 1);
    assert_eq!(s.calls(), [Call::Recovered, Call::Loss(1)]);
    assert_eq!(s.recovery.tally.undone, 0);
}

#[test]
fn a_time_out_is_undone_by_them_too() {
    let mut s = Script::new(100);
    s.send(1).until(300);
    assert_eq!(s.repairs(), [0]);
    s.until(600);
    assert_eq!(s.repairs(), [0]);
    s.until(650).ack(1, &[]).duplicate(1, 0);
    assert_eq!(s.calls(), [Call::Timeout(1), Call::Undo]);
}

/// One flight of which the first segment is overtaken by the others for long,
/// so that it is repaired; says how long that was waited for, milliseconds.
fn patience_ms(s: &mut Script, first: u64, begin_ms: u64) -> u64 {
    s.until(begin_ms).send(8).until(begin_ms + 100);
    s.ack(first, &[first + 1..first + 8]);
    let mut now_ms = begin_ms + 100;
    while s.repairs().is_empty() {
        now_ms += 1;
        s.until(now_ms);
    }
    now_ms - begin_ms - 100
}

#[test]
fn the_reordering_window_widens_with_them_and_for_sixteen_episodes() {
    let mut s = Script::new(100);
    let (mut first, mut begin_ms) = (0, 0);
    let mut episode = |s: &mut Script, in_vain: bool| {
        let patience = patience_ms(s, first, begin_ms);
        s.until(begin_ms + 260).ack(first + 8, &[]);
        if in_vain {
            s.duplicate(first + 8, first);
        }
        first += 8;
        begin_ms += 1_000;
        patience
    };
    assert_eq!(episode(&mut s, true), 0, "no reordering was seen");
    assert_eq!(episode(&mut s, true), 50);
    assert_eq!(episode(&mut s, true), 75);
    assert_eq!(episode(&mut s, false), 100);
    for number in 2..=16 {
        assert_eq!(episode(&mut s, false), 100, "{number}");
    }
    assert_eq!(episode(&mut s, false), 25);
}

/// RFC 3522: the ACK of what was repaired answers what had left before.
#[test]
fn an_old_timestamp_undoes_an_episode() {
    for (answers_before, want) in [(1, Call::Undo), (100, Call::Undo), (101, Call::Recovered)] {
        let mut s = Script::new(100);
        s.send(10).until(100).ack(0, &[1..4]);
        assert_eq!((s.repairs(), s.calls()), (vec![0], vec![Call::Loss(1)]));
        s.until(110).answer_before(answers_before).ack(10, &[]);
        assert_eq!(s.calls(), [want], "before {answers_before} ms");
        // The D-SACK that follows is counted, and undoes nothing again.
        let undone = s.recovery.tally.undone;
        s.until(200).duplicate(10, 0);
        assert_eq!(s.recovery.tally.spurious, 1);
        assert_eq!(s.recovery.tally.undone, 1, "{undone} before");
    }
}

#[test]
fn one_that_was_lost_is_enough() {
    for (second, want) in [(1, Call::Undo), (101, Call::Recovered)] {
        let mut s = Script::new(100);
        s.send(10).until(100).ack(0, &[1..4, 6..10]);
        assert_eq!(s.repairs(), [0, 4, 5]);
        assert_eq!(s.calls(), [Call::Loss(3)]);
        s.until(110).answer_before(1).ack(4, &[6..10]);
        assert_eq!(s.calls(), [], "there are others");
        s.until(120).answer_before(second).ack(10, &[]);
        assert_eq!(s.calls(), [want]);
    }
}

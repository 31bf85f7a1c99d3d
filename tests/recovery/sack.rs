//! What SACK and time tell: RFC 6675, RFC 8985 §6.

use crate::script::{BASE, Call, MSS, Script};

#[test]
fn three_segments_beyond_a_hole_are_enough() {
    let mut s = Script::new(100);
    s.send(10).until(100).ack(0, &[1..2]).ack(0, &[1..3]);
    assert_eq!((s.repairs(), s.calls()), (vec![], vec![]));
    assert_eq!(s.in_flight(), 8);
    s.ack(0, &[1..4]);
    assert_eq!(s.calls(), [Call::Loss(1)]);
    assert_eq!(s.in_flight(), 6);
    assert_eq!(s.repairs(), [0]);
    assert_eq!(s.in_flight(), 7);
    s.until(110).ack(0, &[1..10]);
    s.until(200).ack(10, &[]);
    assert_eq!(s.calls(), [Call::Recovered]);
    assert_eq!((s.repairs(), s.timer_ms()), (vec![], None));
    let tally = s.recovery.tally;
    assert_eq!((tally.repairs, tally.episodes, tally.spurious), (1, 1, 0));
}

#[test]
fn reordering_within_a_quarter_of_the_round_trip_is_waited_for() {
    let mut s = Script::new(100);
    s.send(3).until(100).ack(0, &[1..2]);
    assert_eq!(s.timer_ms(), Some(125));
    s.until(124).ack(3, &[]);
    assert_eq!((s.repairs(), s.calls()), (vec![], vec![]));
    assert_eq!(s.timer_ms(), None);
}

#[test]
fn reordering_beyond_it_is_loss() {
    let mut s = Script::new(100);
    s.send(3).until(100).ack(0, &[1..2]).until(125);
    assert_eq!(s.calls(), [Call::Loss(1)]);
    assert_eq!(s.repairs(), [0]);
}

#[test]
fn no_timer_waits_for_what_has_arrived() {
    let mut s = Script::new(100);
    s.send(2).until(50).send(8).until(100).ack(0, &[1..2]);
    assert_eq!(s.timer_ms(), Some(125));
    s.until(120).ack(2, &[]);
    // The probe timeout of the others.
    assert!(s.timer_ms() > Some(300), "{:?}", s.timer_ms());
}

/// Once reordering was seen, DupThresh counts no more.
#[test]
fn who_reorders_is_given_time_even_with_many_beyond() {
    let mut s = Script::new(100);
    s.send(3).until(100).ack(0, &[1..2]).until(110).ack(3, &[]);
    s.send(10).until(210).ack(3, &[4..8]);
    assert_eq!((s.repairs(), s.calls()), (vec![], vec![]));
    s.until(234);
    assert_eq!(s.calls(), []);
    s.until(236);
    assert_eq!(s.calls(), [Call::Loss(1)]);
    assert_eq!(s.repairs(), [3]);
}

/// Blocks that one ACK brings say nothing of the order of arrival.
#[test]
fn blocks_of_one_ack_are_no_reordering() {
    let mut s = Script::new(100);
    s.send(10).until(100).ack(0, &[6..8, 1..3]);
    assert_eq!(s.calls(), [Call::Loss(4)]);
    assert_eq!(s.repairs(), [0, 3, 4, 5]);
}

#[test]
fn a_repair_may_be_lost_too() {
    let mut s = Script::new(100);
    s.send(10).until(100).ack(0, &[1..5, 6..10]);
    assert_eq!(s.repairs(), [0, 5]);
    // The repair of 5 arrives, that of 0 does not.
    s.until(200).ack(0, &[1..10]);
    assert_eq!(s.in_flight(), 0);
    assert_eq!(s.repairs(), [0]);
    s.until(300).ack(10, &[]);
    assert_eq!(s.calls(), [Call::Loss(2), Call::Recovered]);
    assert_eq!(s.recovery.tally.repairs, 3);
    assert_eq!(s.recovery.tally.episodes, 1);
}

/// Even if all left at one time: a repair after new data is later than that.
#[test]
fn the_order_within_one_time_counts() {
    let mut s = Script::new(100);
    s.send(5).until(100).send(5).ack(0, &[1..5]);
    assert_eq!(s.repairs(), [0]);
    s.until(200).ack(0, &[1..10]);
    assert_eq!(s.repairs(), []);
    s.ack(10, &[]);
    assert_eq!(s.recovery.tally.repairs, 1);
}

#[test]
fn what_was_sent_later_than_the_newest_is_not_judged() {
    let mut s = Script::new(100);
    s.send(5).until(60).send(5).until(100).ack(0, &[1..5]);
    assert_eq!(s.calls(), [Call::Loss(1)]);
    assert_eq!(s.repairs(), [0]);
    assert_eq!(s.in_flight(), 6);
}

/// Losses of one flight are one episode; the next flight's another.
#[test]
fn an_episode_ends_with_what_was_in_flight() {
    let mut s = Script::new(100);
    s.send(10).until(100).ack(0, &[1..4]);
    assert_eq!(s.repairs(), [0]);
    s.until(110).ack(0, &[1..4, 5..9]);
    assert_eq!(s.repairs(), [4]);
    s.send(10);
    s.until(200).ack(4, &[5..9]);
    s.until(210).ack(9, &[]);
    assert_eq!(s.calls(), [Call::Loss(1)], "up to 10 it goes on");
    s.ack(10, &[]);
    assert_eq!(s.calls(), [Call::Recovered]);
    s.ack(10, &[11..14]);
    assert_eq!(s.calls(), [Call::Loss(1)]);
    assert_eq!(s.repairs(), [10]);
}

/// A partial ACK means nothing to who has SACK: the rest is on its way.
#[test]
fn a_partial_ack_with_nothing_sacked_is_no_loss() {
    let mut s = Script::new(100);
    s.send(3).until(100).ack(0, &[1..2]).until(110).ack(3, &[]);
    s.send(4).until(200).send(6).until(210).ack(3, &[4..7]);
    assert_eq!(s.until(240).repairs(), [3]);
    // The original, late.
    s.until(245).ack(7, &[]);
    assert_eq!(s.repairs(), []);
    assert_eq!(s.in_flight(), 6);
}

#[test]
fn the_window_holds_all_repairs_back_but_the_first() {
    let mut s = Script::new(100);
    s.congestion.window_bytes = 3 * MSS;
    s.send(10).until(100).ack(0, &[3..6]);
    assert_eq!(s.in_flight(), 4);
    assert_eq!(s.repairs(), [0]);
    assert_eq!(s.in_flight(), 5);
    s.until(110).ack(0, &[3..8]);
    assert_eq!((s.in_flight(), s.repairs()), (3, vec![]));
    s.ack(0, &[3..9]);
    assert_eq!((s.in_flight(), s.repairs()), (2, vec![1]));
    s.ack(0, &[3..10]);
    assert_eq!((s.in_flight(), s.repairs()), (2, vec![2]));
}

#[test]
fn an_ack_says_what_it_delivered() {
    let mut s = Script::new(100);
    s.send(10);
    s.recovery.note_window_limited(0);
    s.until(100).ack(2, &[4..6]);
    let ack = s.congestion.acks[0];
    assert_eq!(
        (ack.delivered_bytes, ack.acknowledged_bytes),
        (4_000, 2_000)
    );
    assert_eq!(
        (ack.prior_in_flight_bytes, ack.in_flight_bytes),
        (10_000, 6_000)
    );
    assert_eq!(
        (ack.una_offset, ack.nxt_offset),
        (BASE + 2_000, BASE + 10_000)
    );
    assert_eq!(ack.rtt.map(|rtt| rtt.total_millis()), Some(100));
    assert!(ack.is_window_limited && !ack.in_recovery);
    let rate = ack.rate.expect("a sample");
    assert_eq!(rate.bytes_per_s(), Some(40_000));
    assert_eq!(
        (rate.prior_delivered_bytes, rate.total_delivered_bytes),
        (1_000, 5_000)
    );
    assert_eq!(rate.sent_in_flight_bytes, 6_000, "of the newest, the sixth");
    s.ack(2, &[4..6]);
    assert_eq!(s.congestion.acks.len(), 1, "no news");
    s.ack(2, &[4..7]);
    let ack = s.congestion.acks[1];
    assert_eq!((ack.lost_bytes, ack.in_recovery), (2_000, true));
    assert_eq!(ack.rate.map(|rate| rate.lost_bytes), Some(2_000));
}

/// What was held up behind a hole tells nothing of the path (Karn).
#[test]
fn repairs_give_no_round_trip_time() {
    let mut s = Script::new(100);
    s.send(5).until(100).ack(0, &[1..4]);
    assert_eq!(s.repairs(), [0]);
    s.until(210).ack(5, &[]);
    let last = s.congestion.acks.last().expect("an ACK");
    assert_eq!((last.acknowledged_bytes, last.rtt), (5_000, None));
}

#[test]
fn what_is_sent_for_want_of_data_is_marked() {
    let mut s = Script::new(100);
    s.send(1).recovery.note_app_limited();
    s.send(2).until(100).ack(3, &[]);
    s.send(1).until(200).ack(4, &[]);
    let limited = |ack: usize| s.congestion.acks[ack].rate.map(|rate| rate.is_app_limited);
    assert_eq!((limited(0), limited(1)), (Some(true), Some(false)));
}

/// The controller hears of it with the next ACK.
#[test]
fn what_the_timer_gives_up_within_an_episode_is_told() {
    let mut s = Script::new(100);
    s.send(3).until(100).ack(0, &[1..2]).until(110).ack(3, &[]);
    s.send(2).until(150).send(3);
    s.until(210).ack(3, &[4..5]).until(235);
    assert_eq!(s.calls(), [Call::Loss(1)]);
    assert_eq!(s.repairs(), [3]);
    s.until(250).ack(3, &[4..5, 6..7]).until(275);
    assert_eq!(s.calls(), []);
    assert_eq!(s.repairs(), [5]);
    s.until(280)
        .ack(3, &[4..5, 6..8])
        .until(290)
        .ack(5, &[6..8]);
    let lost: Vec<u64> = s.congestion.acks.iter().map(|ack| ack.lost_bytes).collect();
    assert_eq!(lost[lost.len() - 2..], [MSS, 0]);
}

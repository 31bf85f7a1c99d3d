//! Peers without SACK: RFC 5681 §3.2, RFC 6582.

use crate::script::{Call, MSS, Script};

#[test]
fn three_duplicates_and_partial_acks() {
    let mut s = Script::new(100);
    s.send(10).until(100).ack(0, &[]).ack(0, &[]);
    assert_eq!(s.calls(), []);
    s.ack(0, &[]);
    assert_eq!(s.calls(), [Call::Loss(1)]);
    s.congestion.window_bytes = 5 * MSS;
    assert_eq!(s.repairs(), [0]);
    s.ack(0, &[]).ack(0, &[]);
    assert_eq!(s.repairs(), []);
    // 4 was lost too: that is repaired though the window is full.
    s.until(200).ack(4, &[]);
    assert_eq!(s.in_flight(), 5);
    assert_eq!(s.repairs(), [4]);
    s.until(300).ack(10, &[]);
    assert_eq!(s.calls(), [Call::Recovered]);
    assert_eq!(s.recovery.tally.repairs, 2);
}

/// What comes back of repairs in vain is no sign of loss.
#[test]
fn duplicates_after_an_episode_do_not_begin_another() {
    let mut s = Script::new(100);
    s.send(5).until(100);
    s.ack(0, &[]).ack(0, &[]).ack(0, &[]);
    assert_eq!(s.repairs(), [0]);
    s.until(200).ack(5, &[]).send(5);
    s.ack(5, &[]).ack(5, &[]).ack(5, &[]).ack(5, &[]);
    assert_eq!(s.calls(), [Call::Loss(1), Call::Recovered]);
    s.until(300).ack(6, &[]).ack(6, &[]).ack(6, &[]).ack(6, &[]);
    assert_eq!(s.repairs(), [6]);
}

#[test]
fn duplicates_of_who_has_sack_mean_nothing() {
    let mut s = Script::new(100);
    s.send(3).until(100).ack(0, &[1..2]).until(110).ack(3, &[]);
    s.send(5);
    for _ in 0..10 {
        s.ack(3, &[]);
    }
    assert_eq!((s.repairs(), s.calls()), (vec![], vec![]));
}

#[test]
fn a_time_out_goes_back_to_the_first() {
    let mut s = Script::new(100);
    s.send(4).until(200);
    assert_eq!(s.repairs(), [3]);
    s.until(500);
    assert_eq!(s.repairs(), [0, 1, 2, 3]);
    s.until(600).ack(4, &[]);
    assert_eq!((s.calls(), s.timer_ms()), (vec![Call::Timeout(4)], None));
}

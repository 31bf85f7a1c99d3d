//! The retransmission timer (RFC 6298) and F-RTO (RFC 5682).

use crate::script::{Call, MSS, Script};

/// Segments in flight of which nothing is heard, until the time-out that follows
/// the probe of the last one, in vain as well.
fn timed_out(segments: u64) -> Script {
    let mut s = Script::new(100);
    s.send(segments).until(200);
    assert_eq!(s.repairs(), [segments - 1]);
    s.until(500);
    assert_eq!(s.recovery.tally.timeouts, 1);
    s.congestion.window_bytes = 2 * MSS;
    s
}

#[test]
fn it_backs_off_and_starts_again_with_progress() {
    let mut s = timed_out(3);
    assert_eq!(s.calls(), [Call::Timeout(3)]);
    assert_eq!(s.repairs(), [0, 1]);
    assert_eq!(s.timer_ms(), Some(500 + 600));
    s.until(1_100);
    assert_eq!(s.timer_ms(), Some(1_100 + 1_200));
    assert_eq!(s.calls(), [], "the first of the row only");
    assert_eq!(s.repairs(), [0, 1]);
    s.until(1_200).ack(1, &[]);
    assert_eq!(s.timer_ms(), Some(1_200 + 300));
    // That was progress: another one would be another row.
    s.until(1_500);
    assert_eq!(s.calls().len(), 1);
    assert_eq!(s.recovery.tally.timeouts, 3);
}

#[test]
fn it_goes_up_to_a_minute() {
    let mut s = Script::new(100);
    s.send(1).until(300);
    assert_eq!(s.repairs(), [0]);
    let mut last_ms = 300;
    for _ in 0..12 {
        let next_ms = s.timer_ms().expect("a timer");
        assert!(next_ms - last_ms <= 60_000);
        last_ms = next_ms;
        s.until(next_ms);
        assert_eq!(s.repairs(), [0]);
    }
    assert_eq!(s.timer_ms(), Some(last_ms + 60_000));
}

/// RFC 8985 §6.3: what was sent shortly before may well arrive.
#[test]
fn only_what_was_sent_long_enough_ago_is_given_up() {
    let mut s = Script::new(100);
    s.send(4).until(200);
    assert_eq!(s.repairs(), [3]);
    s.until(450).send(2).until(500);
    assert_eq!(s.calls(), [Call::Timeout(4)]);
    assert_eq!(s.in_flight(), 2);
    assert_eq!(s.repairs(), [0, 1, 2, 3]);
}

#[test]
fn sending_new_data_does_not_put_it_off() {
    let mut s = Script::new(100);
    s.send(1);
    for ms in [90, 180, 270] {
        s.until(ms).send(1);
    }
    assert_eq!(s.timer_ms(), Some(300));
}

/// A true one: what comes after it are its repairs.
#[test]
fn a_true_one_is_not_undone() {
    let mut s = timed_out(6);
    assert_eq!(s.calls(), [Call::Timeout(6)]);
    assert_eq!(s.repairs(), [0, 1]);
    s.until(600).ack(2, &[]);
    assert_eq!(s.repairs(), [2, 3]);
    s.until(700).ack(4, &[]);
    assert_eq!(s.repairs(), [4, 5]);
    s.until(800).ack(6, &[]);
    assert_eq!((s.calls(), s.timer_ms()), (vec![], None));
    assert_eq!(s.recovery.tally.undone, 0);
}

/// The path was only slow: originals come that were not sent again.
#[test]
fn a_spurious_one_is_undone() {
    let mut s = timed_out(6);
    s.calls();
    s.congestion.window_bytes = MSS;
    assert_eq!(s.repairs(), [0]);
    s.until(700).ack(2, &[]);
    assert_eq!(s.calls(), [Call::Undo]);
    assert_eq!(
        (s.in_flight(), s.recovery.tally.undone),
        (3, 1),
        "but for 5, probed"
    );
    s.congestion.window_bytes = 9 * MSS;
    assert_eq!(s.repairs(), [5]);
    s.until(710).ack(6, &[]);
    assert_eq!((s.calls(), s.timer_ms()), (vec![], None));
}

/// The ACK of the original comes sooner than that of the repair can.
#[test]
fn a_spurious_one_shows_by_time_too() {
    let mut s = timed_out(6);
    s.calls();
    s.congestion.window_bytes = MSS;
    assert_eq!(s.repairs(), [0]);
    s.until(540).ack(1, &[]);
    assert_eq!(s.calls(), [Call::Undo]);
}

#[test]
fn a_duplicate_ack_after_it_says_that_it_was_true() {
    let mut s = timed_out(6);
    s.calls();
    s.congestion.window_bytes = MSS;
    assert_eq!(s.repairs(), [0]);
    s.until(600).ack(0, &[3..4]);
    s.until(610).ack(2, &[3..4]);
    assert_eq!(s.calls(), []);
}

/// New data that was sent after it is no sign, nor is what was SACKed before.
#[test]
fn new_data_is_no_sign() {
    let mut s = timed_out(6);
    s.calls();
    s.congestion.window_bytes = MSS;
    assert_eq!(s.repairs(), [0]);
    s.send(2).until(600).ack(1, &[6..8]);
    assert_eq!(s.calls(), []);
    assert_eq!(s.recovery.tally.undone, 0);
}

/// RFC 2018 §8: what was SACKed may have been thrown away.
#[test]
fn a_peer_that_reneges_is_served_again() {
    let mut s = Script::new(100);
    s.send(4).until(100).ack(0, &[1..4]);
    assert_eq!(s.repairs(), [0]);
    s.until(200).ack(1, &[]);
    assert_eq!((s.in_flight(), s.repairs()), (0, vec![]));
    s.until(500);
    assert_eq!(s.calls(), [Call::Loss(1), Call::Timeout(3)]);
    assert_eq!(s.repairs(), [1, 2, 3]);
    s.until(600).ack(4, &[]);
    assert!(s.recovery.is_idle());
}

/// A reordering timer does not outlive the retransmission timer.
#[test]
fn the_earliest_of_two_timers_runs_out() {
    let mut s = Script::new(400);
    s.send(2).until(400).ack(0, &[1..2]).until(450).ack(2, &[]);
    s.send(1).until(900).send(2);
    // Of 3 it would know at 1450 ms.
    s.until(1_350).ack(2, &[4..5]);
    assert_eq!(s.timer_ms(), Some(1_356));
    s.until(1_400);
    assert_eq!(s.recovery.tally.timeouts, 1);
}

#[test]
fn the_head_of_an_episode_is_given_its_time() {
    let mut s = Script::new(100);
    s.send(1).until(190).send(9).until(290).ack(0, &[1..10]);
    assert_eq!(s.repairs(), [0]);
    // Unless the repair is presumed lost before.
    s.until(550);
    assert_eq!(s.recovery.tally.timeouts, 0);
}

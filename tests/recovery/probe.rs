//! The tail loss probe: RFC 8985 §7.

use crate::script::{Call, MSS, Script};

#[test]
fn its_time_is_two_round_trips_and_an_ack_delay_for_a_single_segment() {
    // (RTT, in flight, milliseconds); RTO is 3 RTT, at least RTT + 200 ms
    let table = [
        (300, 2, 600),
        (300, 1, 800),
        (100, 2, 200),
        (100, 1, 300),
        (10, 1, 210),
    ];
    for (rtt_ms, segments, expected_ms) in table {
        let mut s = Script::new(rtt_ms);
        s.send(segments);
        assert_eq!(s.timer_ms(), Some(expected_ms), "{rtt_ms} {segments}");
        s.until(expected_ms);
        assert!(s.recovery.wants_probe());
        assert_eq!(s.calls(), []);
    }
}

#[test]
fn without_a_round_trip_time_it_is_a_second() {
    let mut s = Script::unmeasured();
    s.send(2);
    assert_eq!(s.timer_ms(), Some(1_000));
    s.until(1_000);
    assert!(s.recovery.wants_probe());
}

#[test]
fn the_last_segment_is_sent_again_if_nothing_is_new() {
    let mut s = Script::new(100);
    s.congestion.window_bytes = MSS;
    s.send(3).until(200);
    assert_eq!(s.repairs(), [2]);
    assert_eq!((s.in_flight(), s.recovery.tally.probes), (3, 1));
    assert!(!s.recovery.wants_probe());
    // The retransmission timer runs from here.
    assert_eq!(s.timer_ms(), Some(500));
    assert_eq!(s.repairs(), []);
}

#[test]
fn new_data_is_as_good() {
    let mut s = Script::new(100);
    s.send(3).until(200);
    assert!(s.recovery.wants_probe());
    assert!(s.recovery.next_repair(u64::MAX, false).is_none());
    s.send(1);
    assert_eq!(s.repairs(), []);
    s.until(300).ack(4, &[]).send(1).until(400).ack(5, &[]);
    assert_eq!(s.calls(), []);
    assert_eq!((s.recovery.tally.probes, s.recovery.tally.repairs), (1, 0));
}

#[test]
fn one_that_could_not_be_sent_stays_due_until_an_ack() {
    let mut s = Script::new(100);
    s.send(3).until(200);
    assert!(s.recovery.next_repair(0, true).is_some());
    assert!(s.recovery.wants_probe(), "asked for, not sent");
    s.until(210).ack(1, &[]);
    assert!(!s.recovery.wants_probe());
    s.ack(3, &[]).send(1);
    let due_ms = s.timer_ms().expect("a timer") + 1;
    assert!(s.until(due_ms).recovery.wants_probe(), "and nothing worse");
}

/// The probe's SACK makes RACK find the rest.
#[test]
fn it_reveals_what_was_lost_with_the_tail() {
    let mut s = Script::new(100);
    s.send(5).until(100).ack(1, &[]);
    s.until(300);
    assert_eq!(s.repairs(), [4]);
    s.until(400).ack(1, &[4..5]);
    assert_eq!(s.calls(), [Call::Loss(3)]);
    assert_eq!(s.repairs(), [1, 2, 3]);
    s.until(500).ack(5, &[]);
    assert_eq!(s.calls(), [Call::Recovered]);
    assert_eq!(s.recovery.tally.timeouts, 0);
}

/// A probe of the last segment of three, which `answer` answers; what follows is
/// one more segment and its ACK.
fn probed(answer: impl FnOnce(&mut Script) -> &mut Script) -> Script {
    let mut s = Script::new(100);
    s.send(3).until(100).ack(2, &[]);
    while !s.recovery.wants_probe() {
        s.until(s.timer_ms().expect("a probe") + 1);
    }
    assert_eq!(s.repairs(), [2]);
    answer(&mut s);
    let now_ms = s.timer_ms().unwrap_or(600);
    s.until(now_ms).send(1).until(now_ms + 90).ack(4, &[]);
    s
}

#[test]
fn a_loss_that_it_repaired_counts_as_one() {
    let mut s = probed(|s| s.until(500).ack(3, &[]));
    assert_eq!(s.calls(), [Call::Loss(0), Call::Recovered]);
    assert_eq!(s.recovery.tally.spurious, 0);
}

#[test]
fn one_in_vain_costs_nothing() {
    let mut s = probed(|s| s.until(490).ack(3, &[]).until(500).duplicate(3, 2));
    assert_eq!(s.calls(), []);
    assert_eq!(s.recovery.tally.spurious, 1);
    let mut s = probed(|s| s.until(490).ack(3, &[]).until(500).ack(3, &[]));
    assert_eq!(s.calls(), []);
    assert_eq!(s.recovery.tally.spurious, 1);
}

#[test]
fn what_is_not_this_layers_says_nothing_of_it() {
    let mut s = Script::new(100);
    s.send(3).until(200);
    assert_eq!(s.repairs(), [2]);
    s.until(210).ack(3, &[]);
    s.recovery.restart(crate::script::BASE + 9_000);
    s.send(1).until(310).ack(10, &[]);
    assert_eq!(s.calls(), []);
}

#[test]
fn acks_without_news_do_not_put_it_off_but_data_does() {
    let mut s = Script::new(100);
    s.send(3).until(150).ack(0, &[]);
    assert_eq!(s.timer_ms(), Some(200));
    s.send(1);
    assert_eq!(s.timer_ms(), Some(300), "the retransmission timeout");
    s.until(160).ack(1, &[]);
    assert_eq!(s.timer_ms(), Some(360 + 15), "two smoothed round trips");
}

/// Beyond RFC 8985, as RFC 9002 §6.2 has it: neither a lost repair nor a lost probe
/// with nothing behind it has to wait for the retransmission timer.
#[test]
fn a_lost_repair_with_nothing_behind_it_is_presumed_lost() {
    let mut s = Script::new(10);
    s.send(5).until(10).ack(0, &[1..5]);
    assert_eq!(s.repairs(), [0]);
    // The variance is three quarters of 5 ms: 10 + 4 × 3.75.
    assert_eq!(s.timer_ms(), Some(35));
    s.until(35);
    assert_eq!((s.repairs(), s.calls()), (vec![0], vec![Call::Loss(1)]));
    assert_eq!(s.timer_ms(), Some(85), "twice as patient");
    s.until(50).ack(5, &[]);
    assert_eq!(s.calls(), [Call::Recovered]);
    let tally = s.recovery.tally;
    assert_eq!((tally.repairs, tally.probes, tally.timeouts), (2, 1, 0));
}

#[test]
fn an_unanswered_probe_begins_an_episode() {
    let mut s = Script::new(10);
    s.send(3).until(10).ack(0, &[1..2]).until(12).ack(3, &[]);
    s.send(4).until(40);
    assert_eq!(s.repairs(), [6], "the tail loss probe");
    assert_eq!(s.calls(), []);
    s.until(200);
    assert_eq!(s.calls()[0], Call::Loss(1));
    assert_eq!(s.recovery.tally.timeouts, 0);
}

#[test]
fn three_presumptions_are_enough() {
    let mut s = Script::new(10);
    s.send(5).until(10).ack(0, &[1..5]);
    assert_eq!(s.repairs(), [0]);
    for ms in [40, 100, 220] {
        s.until(ms);
        assert_eq!(s.repairs(), [0], "at {ms} ms");
    }
    assert!(matches!(s.calls()[..], [Call::Loss(1)]));
    s.until(1_000);
    assert!(matches!(s.calls()[..], [Call::Timeout(_)]));
}

//! What loss does to a flow, and what of it is undone.

use super::super::bounds::UNBOUNDED;
use super::*;

#[test]
fn startup_ends_on_loss_that_is_much_and_many() {
    // Acknowledgments with loss in the round, bytes lost in it, in recovery, ends
    for (name, events, lost, in_recovery, ends) in [
        ("all of it", 6, 3 * MSS, true, true),
        ("five holes", 5, 3 * MSS, true, false),
        ("just two percent", 6, 2 * MSS, true, false),
        ("nobody repairs", 6, 3 * MSS, false, false),
    ] {
        let mut bbr = flow(State::Startup);
        bbr.on_loss(&loss(99 * MSS, MSS));
        let said = Said {
            in_flight_bytes: 100 * MSS,
            lost_bytes: lost,
            newly_lost_bytes: MSS / 2,
            ends_round: false,
            bw: 2 * BW,
            in_recovery,
            ..Said::default()
        };
        (0..events).for_each(|_| hear(&mut bbr, said));
        assert_eq!(bbr.state, State::Startup, "{name}: the round goes on");
        let end = Said {
            ends_round: true,
            newly_lost_bytes: 0,
            ..said
        };
        hear(&mut bbr, end);
        assert_eq!(bbr.state == State::Drain, ends, "{name}");
        let want = if ends { 2 * BDP } else { UNBOUNDED };
        assert_eq!(bbr.bounds.long_inflight_bytes, want, "{name}");
        bbr.on_undo(at(1_300));
        assert_eq!(bbr.state, State::Startup, "{name}");
        assert_eq!(bbr.bounds.long_inflight_bytes, UNBOUNDED, "{name}");
    }
}

#[test]
fn a_probe_that_loses_too_much_bounds_what_is_in_flight() {
    // State, sampling, lost of 50 segments in flight, app-limited, state then, bound
    for (name, state, is_sampling, lost, is_limited, want, bound) in [
        ("two percent", State::Up, true, 1, false, State::Up, None),
        ("more", State::Up, true, 2, false, State::Down, Some(49)),
        (
            "much more",
            State::Up,
            true,
            40,
            false,
            State::Down,
            Some(11),
        ),
        ("all", State::Up, true, 50, false, State::Down, Some(7)),
        ("app-limited", State::Up, true, 2, true, State::Down, None),
        (
            "not of a probe",
            State::Up,
            false,
            2,
            false,
            State::Up,
            None,
        ),
        (
            "afterwards",
            State::Cruise,
            true,
            2,
            false,
            State::Cruise,
            Some(49),
        ),
    ] {
        let mut bbr = flow(state);
        bbr.probe.is_sampling = is_sampling;
        let said = Said {
            in_flight_bytes: 50 * MSS,
            lost_bytes: lost * MSS,
            newly_lost_bytes: lost.saturating_sub(1) * MSS,
            ends_round: false,
            is_limited,
            ..Said::default()
        };
        bbr.on_loss(&loss(49 * MSS, MSS));
        hear(&mut bbr, said);
        assert_eq!(bbr.state, want, "{name}");
        let segments = (bbr.threshold_bytes() != UNBOUNDED).then(|| bbr.threshold_bytes() / MSS);
        assert_eq!(segments, bound, "{name}");
        if !bbr.probe.is_sampling {
            let before = bbr.threshold_bytes();
            let less = Said {
                in_flight_bytes: 20 * MSS,
                ..said
            };
            hear(&mut bbr, less);
            assert!(bbr.threshold_bytes() >= before, "{name}: once a probe");
        }
        bbr.on_undo(at(1_300));
        let undone = if want == State::Down {
            State::Refill
        } else {
            want
        };
        assert_eq!(
            (bbr.state, bbr.threshold_bytes()),
            (undone, UNBOUNDED),
            "{name}"
        );
    }
}

#[test]
fn loss_while_cruising_is_not_taken_for_other_traffic() {
    for state in [State::Cruise, State::Down, State::Refill] {
        let mut bbr = flow(state);
        bbr.window_bytes = BDP;
        for delivered in [99, 60, 99] {
            let lost = Said {
                bw: BW * delivered / 100,
                newly_lost_bytes: MSS,
                ends_round: false,
                ..Said::default()
            };
            let ends = Said {
                newly_lost_bytes: 0,
                ends_round: true,
                ..lost
            };
            hear(&mut bbr, lost);
            hear(&mut bbr, ends);
        }
        let bounds = (bbr.max_bw(), bbr.bounds.long_inflight_bytes);
        assert_eq!(bounds, (BW, UNBOUNDED), "{state:?}");
    }
}

#[test]
fn the_long_term_bound_grows_faster_in_every_round() {
    let mut bbr = flow(State::Refill);
    let bound = 15 * MSS;
    bbr.bounds.long_inflight_bytes = bound;
    bbr.window_bytes = bound;
    let said = Said {
        is_window_limited: true,
        ends_round: false,
        in_flight_bytes: 12 * MSS,
        ..Said::default()
    };
    let end = Said {
        ends_round: true,
        ..said
    };
    hear(&mut bbr, end);
    assert_eq!(bbr.state, State::Up);
    let grown: Vec<u64> = (0..5)
        .map(|_| {
            let before = bbr.bounds.long_inflight_bytes;
            (0..14).for_each(|_| hear(&mut bbr, said));
            hear(&mut bbr, end);
            (bbr.bounds.long_inflight_bytes - before) / MSS
        })
        .collect();
    assert_eq!(grown[0], 1, "{grown:?}");
    assert!(grown.is_sorted() && grown[4] >= 5, "{grown:?}");
    assert_eq!(
        bbr.state,
        State::Up,
        "the bound, not the path, was in the way"
    );
}

#[test]
fn after_a_probe_that_was_too_high_the_next_is_cautious() {
    let mut bbr = flow(State::Up);
    bbr.bounds.long_inflight_bytes = 12 * MSS;
    bbr.probe.was_too_high = true;
    hear(
        &mut bbr,
        Said {
            ends_round: false,
            ..Said::default()
        },
    );
    assert_eq!(bbr.state, State::Down, "it ends at the bound");
    hear(&mut bbr, Said::default());
    assert_eq!(
        bbr.state,
        State::Refill,
        "and goes on, for nothing was lost"
    );
}

#[test]
fn a_timeout_leaves_a_segment_and_recovery_restores() {
    let mut bbr = flow(State::Cruise);
    bbr.on_timeout(&loss(0, 12 * MSS));
    assert_eq!(bbr.window_bytes(), MSS);
    hear(
        &mut bbr,
        Said {
            in_flight_bytes: 0,
            ..Said::default()
        },
    );
    assert_eq!(bbr.window_bytes(), 4 * MSS);
    let mut spurious = bbr.clone();
    bbr.on_recovered(at(1_300));
    assert_eq!(bbr.window_bytes(), 2 * BDP);
    spurious.on_undo(at(1_300));
    assert_eq!(spurious.window_bytes(), 2 * BDP);
}

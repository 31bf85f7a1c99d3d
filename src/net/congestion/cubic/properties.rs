use super::super::tests::LOSS;
use super::tests::{MSS, SEGMENT, ack_at};
use super::*;
use proptest::prelude::*;

/// What may happen to a controller.
#[derive(Clone, Debug)]
enum Event {
    Ack { segments: u64, is_limited: bool },
    Loss,
    Recovered,
    Timeout,
    Undo,
    Idle { ms: u64 },
}

fn event() -> impl Strategy<Value = Event> {
    let ack = (0..40u64, any::<bool>());
    prop_oneof![
        20 => ack.prop_map(|(segments, is_limited)| Event::Ack { segments, is_limited }),
        1 => Just(Event::Loss),
        2 => Just(Event::Recovered),
        1 => Just(Event::Timeout),
        1 => Just(Event::Undo),
        1 => (1..100_000u64).prop_map(|ms| Event::Idle { ms }),
    ]
}

/// `event`, after `us`; what must hold of it.
fn happen(cubic: &mut Cubic, event: &Event, now: Instant) -> Result<(), TestCaseError> {
    let before = *cubic;
    let is_recovering = matches!(before.phase, Phase::Recovering(_));
    match *event {
        Event::Ack {
            segments,
            is_limited,
        } => {
            let in_flight_bytes = before.window_bytes().saturating_sub(segments * SEGMENT);
            cubic.on_ack(&Ack {
                is_window_limited: is_limited,
                in_flight_bytes,
                ..ack_at(now.total_micros(), segments)
            });
            let growth = cubic.shape.window - before.shape.window;
            prop_assert!(growth >= 0.0);
            prop_assert!(growth <= (segments * SEGMENT) as f64 + 1.0, "{}", growth);
            prop_assert!(growth == 0.0 || is_limited && !is_recovering);
        }
        Event::Loss if is_recovering => {}
        Event::Loss => {
            cubic.on_loss(&LOSS);
            let want = (before.shape.window * 0.7).max(2_000.0);
            prop_assert_eq!(cubic.threshold_bytes(), want as u64);
        }
        Event::Recovered => {
            cubic.on_recovered(now);
            prop_assert!(!is_recovering || cubic.window_bytes() == before.threshold_bytes());
        }
        Event::Timeout => {
            cubic.on_timeout(&LOSS);
            prop_assert_eq!(cubic.window_bytes(), SEGMENT);
        }
        Event::Undo => {
            cubic.on_undo(now);
            prop_assert!(cubic.shape.window >= before.shape.window);
        }
        Event::Idle { ms } => {
            cubic.on_idle(now, Duration::from_millis(ms), Duration::from_millis(200));
            prop_assert!(cubic.shape.window <= before.shape.window);
        }
    }
    prop_assert!(cubic.window_bytes() >= SEGMENT);
    prop_assert!(cubic.threshold_bytes() >= 2 * SEGMENT);
    prop_assert!(cubic.shape.window.is_finite() && !cubic.shape.threshold.is_nan());
    prop_assert!(cubic.pace_bytes_per_s() != Some(0));
    Ok(())
}

proptest! {
    #[test]
    fn whatever_happens(events in prop::collection::vec((event(), 0..200_000i64), 0..300)) {
        let mut cubic = Cubic::new(MSS);
        let mut now_us = 0;
        for (event, us) in events {
            now_us += us;
            happen(&mut cubic, &event, Instant::from_micros(now_us))?;
        }
    }

    /// However its ACKs are cut.
    #[test]
    fn slow_start_at_most_doubles_in_a_round(cuts in prop::collection::vec(1..30u64, 1..200)) {
        let mut cubic = Cubic::new(MSS);
        let (mut una_offset, mut round_end, mut at_round_start) = (0, 10_000, 10_000);
        for segments in cuts {
            let segments = segments.min((round_end - una_offset) / SEGMENT);
            una_offset += segments * SEGMENT;
            cubic.on_ack(&Ack { una_offset, ..ack_at(0, segments) });
            prop_assert!(cubic.window_bytes() <= 2 * at_round_start);
            if una_offset == round_end {
                prop_assert_eq!(cubic.window_bytes(), 2 * at_round_start);
                at_round_start = cubic.window_bytes();
                round_end += at_round_start;
            }
        }
    }
}

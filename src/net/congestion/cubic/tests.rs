use super::super::tests::{ACK, LOSS};
use super::*;

pub(super) const MSS: u16 = 1_000;
pub(super) const SEGMENT: u64 = 1_000;

/// In congestion avoidance from `segments` on, after a loss at `prior` segments.
fn after_loss(segments: f64, prior: f64) -> Cubic {
    let mut cubic = Cubic::new(MSS);
    cubic.shape.window = segments * 1e3;
    cubic.shape.threshold = segments * 1e3;
    cubic.shape.plateau = prior * 1e3;
    cubic.shape.prior = prior * 1e3;
    cubic
}

pub(super) fn ack_at(us: i64, segments: u64) -> Ack {
    Ack {
        now: Instant::from_micros(us),
        delivered_bytes: segments * SEGMENT,
        ..ACK
    }
}

/// Each millisecond a window's worth over the round trip of 100 ms; the window in
/// segments after each second of them.
fn seconds(cubic: &mut Cubic, count: i64) -> Vec<f64> {
    let from_ms = cubic.last_ack_at.total_millis();
    let mut windows = Vec::new();
    for ms in 1..=count * 1_000 {
        let delivered_bytes = cubic.window_bytes() / 100;
        cubic.on_ack(&Ack {
            delivered_bytes,
            ..ack_at((from_ms + ms) * 1_000, 0)
        });
        if ms % 1_000 == 0 {
            windows.push(cubic.shape.window / 1e3);
        }
    }
    windows
}

fn is_near(value: f64, want: f64, by: f64) -> bool {
    (value - want).abs() <= by
}

#[test]
fn the_first_window_is_that_of_rfc_6928() {
    for (mss, want) in [
        (536, 5_360),
        (1_448, 14_480),
        (1_460, 14_600),
        (8_948, 17_896),
    ] {
        assert_eq!(Cubic::new(mss).window_bytes(), want, "{mss}");
        assert_eq!(Cubic::new(mss).threshold_bytes(), u64::MAX);
    }
}

/// Losses for size give back the threshold, but not the window.
#[test]
fn smaller_segments_begin_with_the_first_window() {
    for (window, threshold, want) in [
        (14.48, f64::INFINITY, 12_280),
        (500.0, f64::INFINITY, 12_280),
        (500.0, 200.0, 12_280),
        (4.0, 8.0, 4_000),
    ] {
        let mut cubic = Cubic::new(1_448);
        cubic.shape.window = window * 1e3;
        cubic.shape.threshold = threshold * 1e3;
        cubic.on_timeout(&LOSS);
        cubic.on_mss(1_228);
        assert_eq!(cubic.window_bytes(), want);
        assert_eq!(cubic.shape.threshold, threshold * 1e3);
        assert_eq!(cubic.mss_bytes, 1_228);
        cubic.on_undo(LOSS.now);
        assert_eq!(cubic.window_bytes(), want, "there is nothing to undo");
    }
}

/// RFC 9438 figures 1 and 2: from 700 segments after a loss at 1,000 (K is 9.0856 s).
#[test]
fn the_curve_of_the_rfc() {
    let mut cubic = after_loss(700.0, 1_000.0);
    cubic.on_ack(&ack_at(0, 1));
    let stage = cubic.shape.stage.unwrap();
    assert!(is_near(stage.rise_s, 9.0856, 1e-4));
    for (t, want) in [
        (0.0, 700.0),
        (1.0, 788.555),
        (5.0, 972.721),
        (9.0856, 1_000.0),
        (10.0, 1_000.306),
        (18.171_2, 1_300.0),
    ] {
        let window = cubic.shape.curve(&stage, t, 1e3) / 1e3;
        assert!(is_near(window, want, 0.01), "{window} at {t} s");
    }
}

#[test]
fn the_window_follows_the_curve_a_round_trip_ahead() {
    let mut cubic = after_loss(700.0, 1_000.0);
    let windows = seconds(&mut cubic, 18);
    let stage = cubic.shape.stage.unwrap();
    for (second, window) in windows.into_iter().enumerate() {
        // At the end of a round trip the window is where its beginning had aimed.
        let want = cubic.shape.curve(&stage, second as f64 + 1.0, 1e3) / 1e3;
        assert!(
            is_near(window, want, 10.0),
            "{second} s: {window}, not {want}"
        );
    }
}

/// Below what a Reno connection would have, the window grows as its: 9/17 of a segment
/// in a round trip up to the old window, one beyond it (RFC 9438 figure 4).
#[test]
fn a_small_window_grows_as_renos() {
    let mut cubic = after_loss(7.0, 10.0);
    let mut windows = vec![7.0];
    for round in 0..12 {
        // In a round trip of 10 ms the curve hardly moves.
        for part in 0..10 {
            let delivered_bytes = cubic.window_bytes() / 10;
            cubic.on_ack(&Ack {
                delivered_bytes,
                srtt: Duration::from_millis(10),
                ..ack_at(round * 10_000 + part * 1_000, 0)
            });
        }
        windows.push(cubic.shape.window / 1e3);
    }
    let growth: Vec<f64> = windows.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        growth[..5].iter().all(|&by| is_near(by, 9.0 / 17.0, 0.02)),
        "{growth:?}"
    );
    assert!(
        growth[6..].iter().all(|&by| is_near(by, 1.0, 0.05)),
        "{growth:?}"
    );
}

#[test]
fn a_loss_leaves_seven_tenths_and_another_before_the_plateau_gives_room() {
    let mut cubic = after_loss(1_000.0, 500.0);
    // (window in segments, plateau then, window then)
    for (window, plateau, left) in [
        (1_000.0, 1_000.0, 700.0),
        (1_200.0, 1_200.0, 840.0), // beyond the last plateau
        (900.0, 765.0, 630.0),     // short of it: fast convergence, 0.85 of the window
        (765.0, 765.0, 535.5),
        (2.0, 1.7, 2.0), // two segments at least
    ] {
        cubic.shape.window = window * 1e3;
        cubic.on_loss(&LOSS);
        assert!(
            is_near(cubic.shape.plateau, plateau * 1e3, 0.01),
            "{window}"
        );
        assert!(is_near(cubic.shape.prior, window * 1e3, 0.01), "{window}");
        cubic.on_recovered(LOSS.now);
        assert_eq!(cubic.window_bytes(), (left * 1e3) as u64);
        assert_eq!(cubic.threshold_bytes(), (left * 1e3) as u64);
    }
}

#[test]
fn in_recovery_the_window_is_what_proportional_reduction_allows() {
    let mut cubic = Cubic::new(MSS); // ten segments in flight, one of them lost
    cubic.on_loss(&LOSS);
    assert_eq!(cubic.threshold_bytes(), 7_000);
    let mut windows = Vec::new();
    for delivered in 1..=3 {
        let in_flight_bytes = 9_000 - delivered * SEGMENT + u64::from(delivered > 1) * SEGMENT;
        cubic.on_ack(&Ack {
            acknowledged_bytes: 0,
            prior_in_flight_bytes: in_flight_bytes + SEGMENT,
            in_flight_bytes,
            in_recovery: true,
            ..ACK
        });
        windows.push((in_flight_bytes, cubic.window_bytes()));
        if delivered == 1 {
            cubic.on_send(ACK.now, SEGMENT, in_flight_bytes);
        }
    }
    // 0.7 rounds up to a segment, 1.4 and 2.1 less the one that was sent are left.
    assert_eq!(windows, [(8_000, 9_000), (8_000, 8_400), (7_000, 7_000)]);
    cubic.on_recovered(ACK.now);
    assert_eq!(cubic.window_bytes(), 7_000);
}

#[test]
fn a_time_out_begins_anew_from_one_segment() {
    let mut cubic = after_loss(100.0, 120.0);
    cubic.on_timeout(&LOSS);
    assert_eq!(cubic.window_bytes(), SEGMENT);
    assert_eq!(cubic.threshold_bytes(), 70_000);
    // Slow start, though recovery goes on, up to the threshold and by the curve beyond.
    let mut windows = vec![1];
    for round in 1..=8 {
        let segments = cubic.window_bytes() / SEGMENT;
        cubic.on_ack(&Ack {
            in_recovery: true,
            ..ack_at(round * 100_000, segments)
        });
        windows.push(cubic.window_bytes() / SEGMENT);
    }
    assert_eq!(windows[..7], [1, 2, 4, 8, 16, 32, 64]);
    assert!((70..=71).contains(&windows[7]), "{windows:?}");
    // §4.8: flat where slow start ended.
    assert_eq!(cubic.shape.plateau, 70_000.0);
    assert_eq!(cubic.shape.stage.unwrap().rise_s, 0.0);
    cubic.on_recovered(ACK.now);
    assert!(cubic.window_bytes() >= windows[8] * SEGMENT);
}

#[test]
fn a_spurious_reduction_is_undone() {
    type Event = fn(&mut Cubic);
    let events: [(&str, Event); 4] = [
        ("in recovery", |cubic| cubic.on_loss(&LOSS)),
        ("after it", |cubic| {
            cubic.on_loss(&LOSS);
            cubic.on_recovered(LOSS.now);
        }),
        ("a time-out", |cubic| cubic.on_timeout(&LOSS)),
        ("a time-out in recovery", |cubic| {
            cubic.on_timeout(&LOSS);
            cubic.on_ack(&ack_at(40_000_000, 3));
        }),
    ];
    for (name, event) in events {
        let mut cubic = after_loss(700.0, 1_000.0);
        seconds(&mut cubic, 5);
        let before = cubic.shape;
        assert!(before.stage.is_some());
        event(&mut cubic);
        assert!(cubic.shape.window < before.window, "{name}");
        cubic.on_undo(LOSS.now);
        assert_eq!(cubic.shape, before, "{name}");
        assert_eq!(cubic.window_bytes(), before.window as u64, "{name}");
        cubic.on_undo(LOSS.now);
        assert_eq!(cubic.shape, before, "{name}: only once");
    }
}

#[test]
fn an_undo_takes_nothing_away() {
    let mut cubic = after_loss(10.0, 10.0);
    cubic.on_loss(&LOSS);
    cubic.on_recovered(LOSS.now);
    seconds(&mut cubic, 20);
    let grown = cubic.shape;
    assert!(grown.window > 10_000.0);
    cubic.on_undo(LOSS.now);
    assert_eq!(cubic.shape, grown);
}

#[test]
fn idleness_halves_the_window_for_each_timeout() {
    let ms = Duration::from_millis;
    for (window, idle_ms, rto_ms, want, threshold) in [
        (100, 250, 200, 50, 75),
        (100, 400, 200, 25, 75),
        (100, 5_000, 200, 10, 75), // the first window
        (100, u64::MAX / 1_000, 1, 10, 75),
        (12, 250, 200, 10, 9),
        (4, 5_000, 200, 4, 4), // less than that stays
    ] {
        let mut cubic = after_loss(window as f64, 200.0);
        cubic.shape.threshold = 4_000.0;
        cubic.on_ack(&ack_at(0, 0));
        cubic.on_idle(Instant::from_secs(9), ms(idle_ms), ms(rto_ms));
        let segments = |bytes| bytes / SEGMENT;
        assert_eq!(
            segments(cubic.window_bytes()),
            want,
            "{window}, {idle_ms} ms"
        );
        assert_eq!(segments(cubic.threshold_bytes()), threshold, "{window}");
    }
    // Before any loss the threshold stays unknown.
    let mut cubic = Cubic::new(MSS);
    cubic.shape.window = 80_000.0;
    cubic.on_idle(Instant::from_secs(9), ms(900), ms(200));
    assert_eq!(
        (cubic.window_bytes(), cubic.threshold_bytes()),
        (10_000, u64::MAX)
    );
}

/// RFC 9438 §5.8: whoever does not use the window finds the curve where it was left.
#[test]
fn time_without_need_of_the_window_does_not_count() {
    let mut steady = after_loss(700.0, 1_000.0);
    let want = seconds(&mut steady, 4);
    type Pause = fn(&mut Cubic);
    let pauses: [(&str, Pause); 2] = [
        ("not limited", |cubic| {
            for ms in 1..=7_000 {
                cubic.on_ack(&Ack {
                    is_window_limited: false,
                    ..ack_at(2_000_000 + ms * 1_000, 10)
                });
            }
        }),
        ("nothing in flight", |cubic| {
            cubic.on_send(Instant::from_secs(9), SEGMENT, 0);
        }),
    ];
    for (name, pause) in pauses {
        let mut cubic = after_loss(700.0, 1_000.0);
        let mut windows = seconds(&mut cubic, 2);
        pause(&mut cubic);
        assert_eq!(cubic.last_ack_at, Instant::from_secs(9), "{name}");
        windows.extend(seconds(&mut cubic, 2));
        assert_eq!(windows, want, "{name}");
    }
}

#[test]
fn after_idleness_the_old_plateau_is_aimed_at() {
    let mut cubic = after_loss(700.0, 1_000.0);
    seconds(&mut cubic, 5);
    let window = cubic.shape.window;
    let second = Duration::from_secs(1);
    cubic.on_idle(Instant::from_secs(3_600), second * 3, second);
    // Slow start to three quarters, then the curve's beginning, not what an hour made of it.
    let windows = seconds(&mut cubic, 1);
    assert!(
        windows[0] > window / 1e3 * 0.75 && windows[0] < 1_000.0,
        "{windows:?}"
    );
    assert_eq!(cubic.shape.plateau, 1_000_000.0);
    assert!(seconds(&mut cubic, 8)[7] > 990.0);
}

#[test]
fn the_pace_is_above_the_window_a_round_trip() {
    let mut cubic = Cubic::new(MSS);
    assert_eq!(cubic.pace_bytes_per_s(), None);
    cubic.on_ack(&ack_at(0, 10));
    for (window, threshold, want) in [
        (65_536.0, f64::INFINITY, None), // short bursts
        (70_000.0, f64::INFINITY, Some(1_400_000)),
        (70_000.0, 141_000.0, Some(1_400_000)),
        (70_000.0, 140_000.0, Some(840_000)), // slow start is about to end
        (20_000.0, 41_000.0, None),
        (20_000.0, 40_000.0, Some(240_000)),
        (20_000.0, 20_000.0, Some(240_000)),
    ] {
        cubic.shape.window = window;
        cubic.shape.threshold = threshold;
        assert_eq!(cubic.pace_bytes_per_s(), want, "{window} {threshold}");
    }
}

#[test]
fn hystart_ends_the_first_slow_start_without_a_loss() {
    let mut cubic = Cubic::new(MSS);
    let mut una_offset = 0;
    let mut windows = Vec::new();
    for round in 0..8 {
        let rtt = Duration::from_millis(if round < 2 { 50 } else { 60 });
        let segments = cubic.window_bytes() / SEGMENT;
        for _ in 0..segments {
            una_offset += SEGMENT;
            cubic.on_ack(&Ack {
                rtt: Some(rtt),
                una_offset,
                nxt_offset: una_offset + cubic.window_bytes(),
                ..ack_at(round * 60_000, 1)
            });
        }
        windows.push(cubic.window_bytes() / SEGMENT);
    }
    // Doubles twice, and by a quarter once round trips are longer: five rounds of that.
    assert_eq!(windows[..2], [20, 40]);
    let is_slow = |pair: &[u64]| (5..=7).contains(&(pair[1] * 5 / pair[0]));
    assert!(windows[2..].windows(2).all(is_slow), "{windows:?}");
    assert!(
        cubic.threshold_bytes() <= cubic.window_bytes(),
        "{windows:?}"
    );
    assert_eq!(cubic.shape.plateau, cubic.shape.threshold);
}

//! Initial sequence numbers (RFC 6528): what many SYN-ACKs tell together.

use super::dialect::Dialect;
use super::runner::{Link, Wait};
use crate::common::segment::{Answer, Segment, flag_bits};
use std::collections::HashSet;

/// RFC 6528 §3: a tick of M, microseconds.
const TICK_US: u64 = 4;

/// The number in the answer to a SYN from `port`, and between which two times,
/// in microseconds, it was made.
fn number<L: Link>(link: &mut L, port: u16) -> Result<(u32, u64, u64), String> {
    let segment = |flags, seq| Segment {
        port,
        flags: flag_bits(flags),
        seq,
        window: 1_000,
        ..Segment::default()
    };
    let iss = Dialect::Plain.iss();
    let ends = link.ends();
    let before_us = link.now_us();
    link.send(&segment("S", iss).frame(&ends));
    loop {
        let frame = link.receive(Wait::Answer).ok_or("no SYN-ACK")?;
        let answer = Answer::read(&frame, &ends)?;
        if answer.tcp.destination_port != port {
            continue;
        }
        if answer.flags() != "SA" {
            return Err(format!("expected SA, got {}", answer.flags()));
        }
        let times = (before_us, link.now_us());
        link.send(&segment("R", iss + 1).frame(&ends));
        return Ok((answer.tcp.sequence_number, times.0, times.1));
    }
}

/// Numbers of neighbouring ports share nothing: all differ, and no distance
/// between two neighbours occurs twice or is small.
///
/// # Errors
/// What they share.
pub fn differ_by_tuple<L: Link>(link: &mut L, first_port: u16) -> Result<(), String> {
    const PORTS: u16 = 200;
    let mut numbers = Vec::new();
    for port in first_port..first_port + PORTS {
        numbers.push(number(link, port)?.0);
    }
    let steps: HashSet<u32> = numbers
        .windows(2)
        .map(|pair| pair[1].wrapping_sub(pair[0]))
        .collect();
    // Of 199 random steps about 0.01 would be smaller than 2^16 in either
    // direction; and two are the same with a chance of 5e-6.
    let small = steps
        .iter()
        .filter(|&&step| (step as i32).unsigned_abs() < 1 << 16)
        .count();
    if steps.len() < usize::from(PORTS) - 2 || small > 2 {
        return Err(format!(
            "{} different steps, {small} small: {numbers:?}",
            steps.len()
        ));
    }
    Ok(())
}

/// The number of one 4-tuple grows by one each 4 µs, however often it is asked.
///
/// # Errors
/// By how much it grew instead.
pub fn grow_with_time<L: Link>(link: &mut L, port: u16) -> Result<(), String> {
    let (mut last, mut last_before, mut last_after) = number(link, port)?;
    for pause_ms in [1, 10, 100, 300, 20] {
        link.pass_ms(pause_ms);
        let (number, before, after) = number(link, port)?;
        let grown = u64::from(number.wrapping_sub(last));
        // Rounding to whole ticks may take or give one.
        let least = before.saturating_sub(last_after) / TICK_US;
        let most = (after - last_before) / TICK_US + 1;
        if grown + 1 < least || grown > most {
            return Err(format!("grew by {grown}, expected {least} to {most}"));
        }
        (last, last_before, last_after) = (number, before, after);
    }
    Ok(())
}

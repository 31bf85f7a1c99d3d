//! Any value of a `Range` field, for a short file: what is sent is what a reading
//! byte by byte says.
//!
//! ```text
//! input = length:u8 value
//! ```

use super::input::Input;
use std::path::Path;
use xdphttpd::http::range::{MAX_LISTED, MAX_PARTS, Wanted, wanted};

pub fn run(_site: &Path, input: &[u8]) {
    let mut input = Input(input);
    let length = u64::from(input.u8());
    let value = input.0;
    let named = named(value, length);
    match wanted(value, length) {
        Wanted::Whole => {
            let Some(named) = named else { return };
            // What is valid is served unless it is too much, or the end of nothing.
            let runs = named.chunk_by(|one, other| one == other);
            let parts = runs.filter(|run| run[0]).count();
            let listed = value.split(|&byte| byte == b',').count();
            assert!(parts > MAX_PARTS || listed > MAX_LISTED || length == 0);
        }
        Wanted::Nothing => {
            let named = named.expect("valid");
            assert!(!named.contains(&true), "there was something");
        }
        Wanted::Parts(parts) => {
            let mut sent = vec![false; length as usize];
            assert!(!parts.is_empty() && parts.len() <= MAX_PARTS);
            for part in parts {
                assert!(part.start < part.end && part.end <= length);
                let bytes = &mut sent[part.start as usize..part.end as usize];
                assert!(!bytes.contains(&true), "sent twice");
                bytes.fill(true);
            }
            assert_eq!(sent, named.expect("valid"));
        }
    }
}

/// Which bytes of a file of `length` a value names; `None` if it is not valid.
fn named(value: &[u8], length: u64) -> Option<Vec<bool>> {
    let value = std::str::from_utf8(value).ok()?;
    let value = value.trim_matches([' ', '\t', '\r', '\n', '\x0c']);
    let (unit, set) = value.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut bytes = vec![false; length as usize];
    let mut any = false;
    for element in set.split(',') {
        let element = element.trim_matches([' ', '\t', '\r', '\n', '\x0c']);
        if element.is_empty() {
            continue;
        }
        any = true;
        let (first, last) = element.split_once('-')?;
        let (first, last) = (number(first)?, number(last)?);
        if first > last && last.is_some() || (first, last) == (None, None) {
            return None;
        }
        for (at, named) in (0..length).zip(&mut bytes) {
            let at = u128::from(at);
            *named |= match (first, last) {
                (Some(first), last) => at >= first && last.is_none_or(|last| at <= last),
                (None, Some(count)) => at.saturating_add(count) >= u128::from(length),
                (None, None) => false,
            };
        }
    }
    any.then_some(bytes)
}

/// Digits, or nothing.
fn number(digits: &str) -> Option<Option<u128>> {
    if digits.is_empty() {
        return Some(None);
    }
    let digits_only = digits.bytes().all(|byte| byte.is_ascii_digit());
    // Above 64 bits all are the same: larger than any file.
    let largest = u128::from(u64::MAX);
    digits_only.then(|| Some(digits.parse().unwrap_or(largest).min(largest)))
}

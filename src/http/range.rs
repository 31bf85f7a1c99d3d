//! Parts of a file that a request asks for (RFC 9110 section 14).

use std::fmt::{self, Display, Formatter};
use std::ops::Range;

/// The most ranges that are looked at; whoever lists more is not after parts of a file.
pub const MAX_LISTED: usize = 64;

/// The most parts of a response, once ranges that overlap or touch are one. Readers of documents ask for a few.
pub const MAX_PARTS: usize = 16;

/// What a `Range` field comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The whole file: the field is malformed, in an unknown unit, or asks for too many parts.
    Whole,
    /// Nothing that the file has: 416.
    Nothing,
    /// These bytes, none of them twice, in the order in which they were asked for; none is empty.
    Parts(Vec<Range<u64>>),
}

/// What of `length` bytes the `Range` field of this value asks for.
pub fn wanted(value: &[u8], length: u64) -> Wanted {
    let Some(set) = range_set(value.trim_ascii()) else {
        return Wanted::Whole;
    };
    let mut parts = Vec::new();
    let mut listed = 0;
    for element in set.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
        // Empty elements are to be borne (RFC 9110 section 5.6.1.2).
        if element.is_empty() {
            continue;
        }
        listed += 1;
        if listed > MAX_LISTED {
            return Wanted::Whole;
        }
        match Spec::parse(element) {
            // The last bytes of nothing are there, but no Content-Range can say so.
            Some(Spec::Last(1..)) if length == 0 => return Wanted::Whole,
            Some(spec) => parts.extend(spec.within(length)),
            None => return Wanted::Whole,
        }
    }
    match coalesce(parts) {
        _ if listed == 0 => Wanted::Whole,
        parts if parts.is_empty() => Wanted::Nothing,
        parts if parts.len() > MAX_PARTS => Wanted::Whole,
        parts => Wanted::Parts(parts),
    }
}

/// What follows the unit, if that is bytes; units are case-insensitive (section 14.1).
fn range_set(value: &[u8]) -> Option<&[u8]> {
    let (unit, set) = value.split_at_checked("bytes=".len())?;
    unit.eq_ignore_ascii_case(b"bytes=").then_some(set)
}

/// One element of the list (section 14.1.1).
enum Spec {
    /// From the first position to the last, inclusive.
    FromTo(u64, u64),
    /// So many bytes at the end.
    Last(u64),
}

impl Spec {
    fn parse(element: &[u8]) -> Option<Self> {
        let dash = element.iter().position(|&byte| byte == b'-')?;
        match (&element[..dash], &element[dash + 1..]) {
            (b"", suffix) => Some(Spec::Last(number(suffix)?)),
            (first, b"") => Some(Spec::FromTo(number(first)?, u64::MAX)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Spec::FromTo(first, last))
            }
        }
    }

    /// The bytes of a file of `length` that it names, if there are any.
    fn within(self, length: u64) -> Option<Range<u64>> {
        let range = match self {
            Spec::FromTo(first, last) => first..last.saturating_add(1).min(length),
            Spec::Last(count) => length.saturating_sub(count)..length,
        };
        (!range.is_empty()).then_some(range)
    }
}

/// A position. However large it is, it is valid (RFC 9110 section 14.1.2), and none above 64 bits differs from another.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let value = u64::from(digit.checked_sub(b'0').filter(|&value| value < 10)?);
        Some(number.saturating_mul(10).saturating_add(value))
    })
}

/// Makes one of ranges that overlap or touch; it takes the place of the first of them (section 15.3.7.2).
fn coalesce(ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut ordered: Vec<_> = ranges.into_iter().enumerate().collect();
    ordered.sort_unstable_by_key(|(_, range)| range.start);
    let mut merged: Vec<(usize, Range<u64>)> = Vec::with_capacity(ordered.len());
    for (place, range) in ordered {
        match merged.last_mut() {
            Some((earlier, last)) if range.start <= last.end => {
                *earlier = place.min(*earlier);
                last.end = last.end.max(range.end);
            }
            _ => merged.push((place, range)),
        }
    }
    merged.sort_unstable_by_key(|(place, _)| *place);
    merged.into_iter().map(|(_, range)| range).collect()
}

/// The value of a `Content-Range` (RFC 9110 section 14.4): which bytes, not none, of how many.
#[derive(Debug, Clone)]
pub struct ContentRange {
    /// The bytes.
    pub range: Range<u64>,
    /// The length of the whole.
    pub of: u64,
}

impl ContentRange {
    /// How many bytes it names.
    pub fn length(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }
}

impl Display for ContentRange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let last = self.range.end.saturating_sub(1);
        write!(f, "bytes {}-{last}/{}", self.range.start, self.of)
    }
}

//! Conditions that a request sets (RFC 9110 section 13), judged for the representation that would be sent with 200.
//!
//! What cannot be read never decides in favour of a shortcut: a malformed list of entity tags matches nothing, so that
//! `If-None-Match` has the whole file sent and `If-Match` the request refused; an invalid date is as if it were not
//! there, which section 13.1 demands, or, in `If-Range`, has the whole file sent.

use httpdate::HttpDate;

use super::wishes::Wishes;
use crate::site::Representation;

/// What the conditions come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// They hold, or there are none: 200, or 206.
    Proceed,
    /// The client has what would be sent: 304.
    NotModified,
    /// What the client insisted on is not so: 412.
    Failed,
}

/// Judges all conditions but `If-Range`, in the order of RFC 9110 section 13.2.2, for a GET or HEAD.
pub fn judge(wishes: &Wishes<'_>, current: &Representation) -> Verdict {
    if let Some(tags) = &wishes.if_match {
        if !matches_any(tags, &current.etag, Comparison::Strong) {
            return Verdict::Failed;
        }
    } else if let Some(date) = wishes.if_unmodified_since.as_deref().and_then(date)
        && current.last_modified > date
    {
        return Verdict::Failed;
    }
    if let Some(tags) = &wishes.if_none_match {
        if matches_any(tags, &current.etag, Comparison::Weak) {
            return Verdict::NotModified;
        }
    } else if let Some(date) = wishes.if_modified_since.as_deref().and_then(date)
        && current.last_modified <= date
    {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether a request that changes something may, by its conditions: `current` is the entity tag and the time of what is
/// there, if anything is.
pub fn may_change(wishes: &Wishes<'_>, current: Option<(&str, HttpDate)>) -> bool {
    if let Some(tags) = &wishes.if_match {
        if !current.is_some_and(|(etag, _)| names_version(tags, etag)) {
            return false;
        }
    } else if let Some(date) = wishes.if_unmodified_since.as_deref().and_then(date)
        && current.is_some_and(|(_, modified)| modified > date)
    {
        return false;
    }
    let unwanted = wishes.if_none_match.as_deref();
    let is_there =
        |tags| current.is_some_and(|(etag, _)| matches_any(tags, etag, Comparison::Weak));
    !unwanted.is_some_and(is_there)
}

/// Whether `list` has the entity tag `current` of a file, or that of the same version in another coding, which has the
/// coding behind it: browsers are given no other.
fn names_version(list: &[u8], current: &str) -> bool {
    let version = current.strip_suffix('"').unwrap_or(current);
    any_tag(list, |is_weak, tag| {
        let rest = tag.strip_prefix(version.as_bytes());
        !is_weak && rest.is_some_and(|rest| matches!(rest, [b'"'] | [b'-', ..]))
    })
}

/// Whether an `If-Range` of this value lets a range be sent (RFC 9110 section 13.1.5): it names exactly this version.
///
/// A date does so only when no two versions can have had it.
pub fn if_range_holds(value: &[u8], current: &Representation) -> bool {
    let value = value.trim_ascii();
    match value {
        [b'"', ..] => value == current.etag.as_bytes(),
        _ => current.settled && date(value) == Some(current.last_modified),
    }
}

/// How entity tags are compared (RFC 9110 section 8.8.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// A weak tag is equal to none.
    Strong,
    /// Weakness makes no difference.
    Weak,
}

/// Whether `list`, a list of entity tags or `*`, has one equal to `current`, a strong one with its quotes.
pub fn matches_any(list: &[u8], current: &str, comparison: Comparison) -> bool {
    any_tag(list, |is_weak, tag| {
        tag == current.as_bytes() && (comparison == Comparison::Weak || !is_weak)
    })
}

/// Whether `list` is `*`, or a list of entity tags with one that suits: it is given whether it is weak, and its quotes
/// and what is between.
fn any_tag(list: &[u8], suits: impl Fn(bool, &[u8]) -> bool) -> bool {
    let mut rest = list.trim_ascii();
    if rest == b"*" {
        return true;
    }
    let mut found = false;
    while !rest.is_empty() {
        // Empty elements are to be borne (RFC 9110 section 5.6.1.2).
        if let [b',', after @ ..] = rest {
            rest = after.trim_ascii_start();
            continue;
        }
        let Some((weak, tag, after)) = entity_tag(rest) else {
            return false;
        };
        found |= suits(weak, tag);
        rest = after.trim_ascii_start();
        if !matches!(rest, [] | [b',', ..]) {
            return false;
        }
    }
    found
}

/// The entity tag that `bytes` begin with: whether it is weak, its part in quotes, and what follows.
fn entity_tag(bytes: &[u8]) -> Option<(bool, &[u8], &[u8])> {
    let (weak, quoted) = match bytes.strip_prefix(b"W/") {
        Some(quoted) => (true, quoted),
        None => (false, bytes),
    };
    let content = quoted.strip_prefix(b"\"")?;
    let len = content.iter().position(|&byte| byte == b'"')?;
    // `etagc` of RFC 9110 section 8.8.3.
    let valid = |&byte: &u8| byte > b' ' && byte != 0x7f;
    if !content[..len].iter().all(valid) {
        return None;
    }
    let (tag, after) = quoted.split_at(len + 2);
    Some((weak, tag, after))
}

/// The date that `value` is, in any of the three formats of RFC 9110 section 5.6.7.
fn date(value: &[u8]) -> Option<HttpDate> {
    str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_in_any_coding_may_be_changed() {
        let modified: HttpDate = "Sun, 06 Nov 1994 08:49:37 GMT".parse().expect("a date");
        let current = Some(("\"1.2-3-4\"", modified));
        for (tags, with, without) in [
            ("*", true, false),
            ("\"1.2-3-4\"", true, false),
            ("\"1.2-3-4-gzip\"", true, false),
            ("\"1.2-3-4-br-5f\"", true, false),
            ("\"x\", \"1.2-3-4\"", true, false),
            ("\"1.2-3-45\"", false, false),
            ("\"1.2-3\"", false, false),
            ("W/\"1.2-3-4\"", false, false),
        ] {
            let wishes = Wishes {
                if_match: Some(tags.as_bytes().into()),
                ..Wishes::default()
            };
            assert_eq!(may_change(&wishes, current), with, "{tags}");
            assert_eq!(may_change(&wishes, None), without, "{tags}");
            let wishes = Wishes {
                if_none_match: Some(tags.as_bytes().into()),
                ..Wishes::default()
            };
            assert!(may_change(&wishes, None), "{tags}");
        }
        for (date, may) in [
            ("Sun, 06 Nov 1994 08:49:36 GMT", false),
            ("Sun, 06 Nov 1994 08:49:37 GMT", true),
        ] {
            let wishes = Wishes {
                if_unmodified_since: Some(date.as_bytes().into()),
                ..Wishes::default()
            };
            assert_eq!(may_change(&wishes, current), may, "{date}");
        }
    }
}

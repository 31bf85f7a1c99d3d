//! Several parts of a file in one body (RFC 9110 section 14.6, RFC 2046 section 5.1).

use std::collections::VecDeque;
use std::fmt::{self, Display, Formatter};
use std::ops::Range;

use bytes::Bytes;

use super::range::ContentRange;
use super::stream::Part;
use crate::site::{Body, Representation};

/// What stands between the parts. It must occur in none of them, which nobody can look up in a file that is read while
/// it is sent. So it has 128 bits that depend on the version of the file and on a secret: not even who writes
/// the file can have it in there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boundary(pub u128);

impl Display for Boundary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A multipart body, and how long it is.
#[derive(Debug)]
pub struct Multipart {
    /// Heads, ranges and the end, in order.
    pub parts: VecDeque<Part>,
    /// Bytes of all of them.
    pub length: u64,
}

/// The body that carries `ranges` of `file`, all of them within it.
pub fn body(file: &Representation, ranges: &[Range<u64>], boundary: Boundary) -> Multipart {
    let mut body = Multipart {
        parts: VecDeque::with_capacity(2 * ranges.len() + 1),
        length: 0,
    };
    let mut line_end = "";
    for range in ranges {
        let content_range = ContentRange {
            range: range.clone(),
            of: file.length(),
        };
        body.push_text(format!(
            "{line_end}--{boundary}\r\nContent-Type: {}\r\nContent-Range: {content_range}\r\n\r\n",
            file.content_type,
        ));
        body.length += content_range.length();
        body.parts.push_back(part(file, range.clone()));
        line_end = "\r\n";
    }
    body.push_text(format!("{line_end}--{boundary}--\r\n"));
    body
}

impl Multipart {
    fn push_text(&mut self, text: String) {
        self.length += text.len() as u64;
        self.parts.push_back(Part::Memory(text.into()));
    }
}

/// The bytes of `file` in `range`, which lies within it.
pub fn part(file: &Representation, range: Range<u64>) -> Part {
    match &file.body {
        // What is in memory fits a usize.
        Body::Memory(bytes) => Part::Memory(slice(bytes, range.start as usize..range.end as usize)),
        Body::Open(open) => Part::File(open.clone(), range),
    }
}

/// The bytes in `range`, as far as there are any.
fn slice(bytes: &Bytes, range: Range<usize>) -> Bytes {
    let end = range.end.min(bytes.len());
    bytes.slice(range.start.min(end)..end)
}

//! What is in flight, as references: bodies are never copied, heads are, for
//! they are short and written over by the next.

use bytes::Bytes;
use std::collections::VecDeque;
use std::ops::Range;

/// Bytes handed over for sending and not acknowledged, in order.
#[derive(Debug, Default)]
pub struct Text {
    pieces: VecDeque<Piece>,
    /// The bytes of all copied pieces, one after the other.
    copied: VecDeque<u8>,
    start: u64,
    end: u64,
}

/// A part of it that comes from one place.
#[derive(Debug)]
struct Piece {
    /// Offset after its last byte.
    end: u64,
    /// `None`: the next bytes of [`Text::copied`].
    body: Option<Body>,
}

/// The beginning of a buffer that is shared with who else sends from it.
#[derive(Debug)]
struct Body {
    bytes: Bytes,
    /// What of it is in flight or was.
    used: usize,
}

impl Text {
    /// Nothing is in flight, and what comes next is at `offset`.
    pub fn restart(&mut self, offset: u64) {
        self.pieces.clear();
        self.copied.clear();
        self.start = offset;
        self.end = offset;
    }

    /// Offsets of what is held.
    pub fn range(&self) -> Range<u64> {
        self.start..self.end
    }

    /// How many bytes it holds.
    pub fn len_bytes(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Adds bytes that will not stay where they are.
    pub fn push_copy(&mut self, bytes: &[u8]) {
        self.copied.extend(bytes);
        self.end += bytes.len() as u64;
        match self.pieces.back_mut() {
            Some(Piece { end, body: None }) => *end = self.end,
            _ => self.pieces.push_back(Piece {
                end: self.end,
                body: None,
            }),
        }
    }

    /// Adds the first `len` of `bytes`; what follows on the last time's is only
    /// counted.
    pub fn push_body(&mut self, bytes: &Bytes, len: usize) {
        self.end += len as u64;
        if let Some(Piece {
            end,
            body: Some(body),
        }) = self.pieces.back_mut()
        {
            let rest = body.bytes.get(body.used..).unwrap_or_default();
            if rest.len() >= len && std::ptr::eq(rest.as_ptr(), bytes.as_ptr()) {
                body.used += len;
                *end = self.end;
                return;
            }
        }
        self.pieces.push_back(Piece {
            end: self.end,
            body: Some(Body {
                bytes: bytes.clone(),
                used: len,
            }),
        });
    }

    /// Lets go of what is before `offset`.
    pub fn forget_before(&mut self, offset: u64) {
        if offset >= self.end {
            return self.restart(self.end);
        }
        while let Some(piece) = self.pieces.front() {
            let end = piece.end.min(offset);
            let len = end.saturating_sub(self.start) as usize;
            if piece.body.is_none() {
                self.copied.drain(..len.min(self.copied.len()));
            }
            self.start = self.start.max(end);
            if piece.end > offset {
                return;
            }
            self.pieces.pop_front();
        }
    }

    /// Writes the bytes of `range`, all of them held, to `out`.
    pub fn read(&self, range: Range<u64>, out: &mut Vec<u8>) {
        self.each(range, |bytes| out.extend_from_slice(bytes));
    }

    /// Gives the bytes of `range`, all of them held, to `take`, piece by piece.
    pub fn each(&self, range: Range<u64>, mut take: impl FnMut(&[u8])) {
        let first = self
            .pieces
            .partition_point(|piece| piece.end <= range.start);
        let before = self.pieces.range(..first);
        let mut copied_at: usize = self.copied_before(before);
        let mut start = match first {
            0 => self.start,
            _ => self.pieces[first - 1].end,
        };
        for piece in self.pieces.range(first..) {
            let from = range.start.max(start);
            let to = range.end.min(piece.end);
            if from >= to {
                return;
            }
            match &piece.body {
                Some(Body { bytes, used }) => {
                    // The piece ends where what was used of its buffer ends.
                    let at = |offset: u64| used - (piece.end - offset) as usize;
                    take(&bytes[at(from)..at(to)]);
                }
                None => {
                    let at = |offset: u64| copied_at + (offset - start) as usize;
                    let (from, to) = (at(from), at(to));
                    let (front, back) = self.copied.as_slices();
                    let middle = front.len();
                    take(&front[from.min(middle)..to.min(middle)]);
                    take(&back[from.max(middle) - middle..to.max(middle) - middle]);
                    copied_at += (piece.end - start) as usize;
                }
            }
            start = piece.end;
        }
    }

    /// How many copied bytes are held before a piece.
    fn copied_before<'a>(&self, before: impl Iterator<Item = &'a Piece>) -> usize {
        let mut start = self.start;
        before
            .map(|piece| {
                let len = (piece.end - start) as usize;
                start = piece.end;
                if piece.body.is_none() { len } else { 0 }
            })
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &Text, range: Range<u64>) -> Vec<u8> {
        let mut out = Vec::new();
        text.read(range, &mut out);
        out
    }

    #[test]
    fn heads_and_bodies_in_turn() {
        let body = Bytes::from_static(b"the body of it");
        let mut text = Text::default();
        text.restart(100);
        text.push_copy(b"head");
        text.push_body(&body, 3);
        text.push_body(&body.slice(3..), 5);
        text.push_copy(b"HEAD");
        text.push_body(&body, body.len());
        assert_eq!(text.range(), 100..130);
        assert_eq!(text.pieces.len(), 4, "what follows on is one piece");
        assert_eq!(read(&text, 100..130), b"headthe bodyHEADthe body of it");
        assert_eq!(read(&text, 103..106), b"dth");
        text.forget_before(102);
        text.forget_before(101);
        assert_eq!(read(&text, 102..104), b"ad");
        text.forget_before(114);
        assert_eq!(read(&text, 114..120), b"ADthe ");
        text.forget_before(200);
        assert!(text.pieces.is_empty() && text.copied.is_empty());
        assert_eq!(text.range(), 130..130);
    }

    #[test]
    fn a_body_is_shared_not_copied() {
        let body = Bytes::from(vec![7; 1_000]);
        let mut text = Text::default();
        text.push_body(&body, 1_000);
        assert!(!body.is_unique());
        text.forget_before(1_000);
        assert!(body.is_unique());
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(
            steps in prop::collection::vec((any::<bool>(), 1..40usize, 0..60usize), 1..60)
        ) {
            let body = Bytes::from((0..=255).collect::<Vec<u8>>());
            let (mut text, mut all, mut forgotten) = (Text::default(), Vec::new(), 0);
            for (copies, len, forget) in steps {
                if copies {
                    let bytes: Vec<u8> = (0..len).map(|n| (n * 7) as u8).collect();
                    text.push_copy(&bytes);
                    all.extend(bytes);
                } else {
                    let from = forget.min(200);
                    text.push_body(&body.slice(from..), len);
                    all.extend(&body[from..from + len]);
                }
                forgotten = (forgotten + forget).min(all.len());
                text.forget_before(forgotten as u64);
                let end = all.len() as u64;
                prop_assert_eq!(text.range(), forgotten as u64..end);
                let middle = (forgotten + all.len()) / 2;
                prop_assert_eq!(read(&text, middle as u64..end), &all[middle..]);
                prop_assert_eq!(read(&text, forgotten as u64..end), &all[forgotten..]);
            }
        }
    }
}

//! Responses judged while they arrive: not a byte is kept.

use std::collections::VecDeque;
use std::sync::Arc;

/// What a request is to be answered with.
#[derive(Clone, Debug)]
pub struct Expected {
    pub status: u16,
    /// `None`: any, as long as `Content-Length` says.
    pub body: Option<Arc<[u8]>>,
    pub head_only: bool,
}

/// Reads one connection's responses in order.
#[derive(Default)]
pub struct Reader {
    expected: VecDeque<Expected>,
    head: Vec<u8>,
    /// The response whose body is arriving: how much has, of how much.
    body: Option<(Expected, usize, usize)>,
    /// Responses that have arrived whole.
    pub done: usize,
    /// The first thing that was wrong.
    pub fault: Option<String>,
}

impl Reader {
    pub fn new(expected: impl IntoIterator<Item = Expected>) -> Reader {
        Reader {
            expected: expected.into_iter().collect(),
            ..Reader::default()
        }
    }

    /// Whether a response has begun and not ended.
    pub fn is_within(&self) -> bool {
        !self.head.is_empty() || self.body.is_some()
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        while !bytes.is_empty() && self.fault.is_none() {
            bytes = match self.body.take() {
                Some(body) => self.feed_body(body, bytes),
                None => self.feed_head(bytes),
            };
        }
    }

    fn feed_body(&mut self, body: (Expected, usize, usize), mut bytes: Vec<u8>) -> Vec<u8> {
        let (expected, at, length) = body;
        let rest = bytes.split_off(bytes.len().min(length - at));
        let end = at + bytes.len();
        let want = expected.body.as_ref().map(|body| &body[at..end]);
        if want.is_some_and(|want| want != bytes) {
            self.fault = Some(format!(
                "response {}: wrong bytes in {at}..{end} of {length}",
                self.done
            ));
        }
        self.begin_or_end(expected, end, length);
        rest
    }

    fn feed_head(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        let searched = self.head.len().saturating_sub(3);
        self.head.extend(bytes);
        let ends = self.head[searched..].windows(4);
        let Some(at) = ends.into_iter().position(|four| four == b"\r\n\r\n") else {
            return Vec::new();
        };
        let rest = self.head.split_off(searched + at + 4);
        let head = std::mem::take(&mut self.head);
        match self.judge_head(&head) {
            Ok((expected, length)) => self.begin_or_end(expected, 0, length),
            Err(why) => self.fault = Some(format!("response {}: {why}", self.done)),
        }
        rest
    }

    fn judge_head(&mut self, head: &[u8]) -> Result<(Expected, usize), String> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(head).map_err(|error| error.to_string())?;
        if parsed.is_partial() {
            return Err("an empty line in the head".to_owned());
        }
        let expected = self.expected.pop_front().ok_or("not asked for")?;
        let length: usize = response
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("content-length"))
            .and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok())
            .ok_or("no Content-Length")?;
        if response.code != Some(expected.status) {
            return Err(format!(
                "status {:?} instead of {}",
                response.code, expected.status
            ));
        }
        if expected
            .body
            .as_ref()
            .is_some_and(|body| body.len() != length)
        {
            return Err(format!("Content-Length {length}"));
        }
        let length = if expected.head_only { 0 } else { length };
        Ok((expected, length))
    }

    fn begin_or_end(&mut self, expected: Expected, at: usize, length: usize) {
        if at == length {
            self.done += 1;
        } else {
            self.body = Some((expected, at, length));
        }
    }
}

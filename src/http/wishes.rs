//! What a request asks of the file that it names: which coding, under what conditions, which parts.

use std::borrow::Cow;

use super::request::Request;

/// The value of a field; that of several lines is theirs with commas between (RFC 9110 section 5.3).
type Value<'b> = Option<Cow<'b, [u8]>>;

/// The fields that a response depends on beside the entry, unparsed: most are never looked at.
#[derive(Debug, Default)]
pub struct Wishes<'b> {
    /// `Accept-Encoding`.
    pub accept_encoding: Value<'b>,
    /// `If-Match`.
    pub if_match: Value<'b>,
    /// `If-Unmodified-Since`.
    pub if_unmodified_since: Value<'b>,
    /// `If-None-Match`.
    pub if_none_match: Value<'b>,
    /// `If-Modified-Since`.
    pub if_modified_since: Value<'b>,
    /// `If-Range`.
    pub if_range: Value<'b>,
    /// `Range`.
    pub range: Value<'b>,
}

impl<'b> Wishes<'b> {
    /// Those of `request`; allocates only for fields in several lines.
    pub fn of(request: &Request<'_, 'b>) -> Self {
        let mut wishes = Wishes::default();
        for (name, value) in request.fields() {
            if let Some(wish) = wishes.named(name) {
                add_line(wish, value);
            }
        }
        wishes
    }

    /// The same on its own; `None` if there are none.
    pub fn keep(&self) -> Option<Box<Wishes<'static>>> {
        let kept = Wishes {
            accept_encoding: own(&self.accept_encoding),
            if_match: own(&self.if_match),
            if_unmodified_since: own(&self.if_unmodified_since),
            if_none_match: own(&self.if_none_match),
            if_modified_since: own(&self.if_modified_since),
            if_range: own(&self.if_range),
            range: own(&self.range),
        };
        let any = kept.values().into_iter().any(Option::is_some);
        any.then(|| Box::new(kept))
    }

    /// Bytes of all values.
    pub fn len_bytes(&self) -> usize {
        let values = self.values().into_iter().flatten();
        values.map(|value| value.len()).sum()
    }

    fn values(&self) -> [&Value<'b>; 7] {
        [
            &self.accept_encoding,
            &self.if_match,
            &self.if_unmodified_since,
            &self.if_none_match,
            &self.if_modified_since,
            &self.if_range,
            &self.range,
        ]
    }

    /// Where the value of the field `name` goes. The lengths tell all apart but two, so that a field that is none of
    /// these costs one jump.
    fn named(&mut self, name: &str) -> Option<&mut Value<'b>> {
        let (full_name, value) = match name.len() {
            5 => ("range", &mut self.range),
            8 if name.as_bytes()[3].eq_ignore_ascii_case(&b'r') => ("if-range", &mut self.if_range),
            8 => ("if-match", &mut self.if_match),
            13 => ("if-none-match", &mut self.if_none_match),
            15 => ("accept-encoding", &mut self.accept_encoding),
            17 => ("if-modified-since", &mut self.if_modified_since),
            19 => ("if-unmodified-since", &mut self.if_unmodified_since),
            _ => return None,
        };
        name.eq_ignore_ascii_case(full_name).then_some(value)
    }
}

fn add_line<'b>(value: &mut Value<'b>, line: &'b [u8]) {
    match value {
        None => *value = Some(Cow::Borrowed(line)),
        Some(earlier) => {
            let joined = earlier.to_mut();
            joined.extend_from_slice(b", ");
            joined.extend_from_slice(line);
        }
    }
}

fn own(value: &Value<'_>) -> Value<'static> {
    value.as_ref().map(|value| Cow::Owned(value.to_vec()))
}

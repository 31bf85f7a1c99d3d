//! Which coding a client gets (RFC 9110 section 12.5.3), and of a listing which type.

use crate::site::{Coding, File, Representation};

/// The representation of `file` that suits a request with this `Accept-Encoding`.
///
/// Without the field any coding would be acceptable, but who does not speak of codings may not know them: identity.
/// That is also sent when nothing is acceptable, identity included. No rule demands 406 (section 12.5.3 only says that a
/// response should then not be coded, unless identity is refused), and who refused it can do more with a file than with
/// an error.
pub fn select<'f>(file: &'f File, accept_encoding: Option<&[u8]>) -> &'f Representation {
    let Some(value) = accept_encoding.filter(|_| file.identity.varies) else {
        return &file.identity;
    };
    let weights = Weights::parse(value);
    let mut best = (&file.identity, weights.of(Coding::Identity));
    // From the least welcome on, so that among equals the most welcome stays.
    for variant in file.variants.iter().rev() {
        let weight = weights.of(variant.coding);
        if weight > 0 && weight >= best.1 {
            best = (variant, weight);
        }
    }
    best.0
}

/// Whether who sends these `Accept` fields, which are one list, names JSON, and would rather have it than a page: browsers name HTML, programs that
/// want JSON name that. Ranges of types say nothing about either (RFC 9110 section 12.5.1).
pub fn prefers_json<'a>(accept: impl Iterator<Item = &'a [u8]>) -> bool {
    let (mut json, mut html) = (0, 0);
    for element in accept.flat_map(|value| value.split(|&byte| byte == b',')) {
        let mut parts = element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let media_type = parts.next().unwrap_or_default();
        // Other parameters, such as a charset, may come before the weight.
        let q = parts.find_map(|part| match part {
            [b'q' | b'Q', b'=', weight @ ..] => Some(weight),
            _ => None,
        });
        let Some(weight) = q.map_or(Some(1_000), thousandths) else {
            continue;
        };
        if media_type.eq_ignore_ascii_case(b"application/json") {
            json = json.max(weight);
        } else if media_type.eq_ignore_ascii_case(b"text/html") {
            html = html.max(weight);
        }
    }
    json > html
}

/// What weight a client gives to each coding, in thousandths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weights {
    brotli: Option<u16>,
    zstd: Option<u16>,
    gzip: Option<u16>,
    identity: Option<u16>,
    any: Option<u16>,
}

impl Weights {
    /// Reads the value of an `Accept-Encoding`. What is malformed, or not known here, is passed over; what is named
    /// twice counts with the higher weight.
    pub fn parse(value: &[u8]) -> Self {
        let mut weights = Weights::default();
        for element in value.split(|&byte| byte == b',') {
            let Some((coding, weight)) = weighted(element) else {
                continue;
            };
            if let Some(slot) = weights.named(coding) {
                *slot = Some(slot.map_or(weight, |earlier| earlier.max(weight)));
            }
        }
        weights
    }

    /// The weight of `coding`; 0 for one that is not acceptable.
    ///
    /// Identity need not be named to be acceptable, but is then liked less than anything named, whose weight is at
    /// least one thousandth.
    pub fn of(&self, coding: Coding) -> u16 {
        let (named, otherwise) = match coding {
            Coding::Brotli => (self.brotli, 0),
            Coding::Zstd => (self.zstd, 0),
            Coding::Gzip => (self.gzip, 0),
            Coding::Identity => (self.identity, 1),
        };
        named.or(self.any).unwrap_or(otherwise)
    }

    fn named(&mut self, coding: &[u8]) -> Option<&mut Option<u16>> {
        // Section 8.4.1: names of codings are case-insensitive, and x-gzip means gzip.
        let is = |name: &str| coding.eq_ignore_ascii_case(name.as_bytes());
        match coding {
            _ if is("gzip") || is("x-gzip") => Some(&mut self.gzip),
            _ if is("br") => Some(&mut self.brotli),
            _ if is("zstd") => Some(&mut self.zstd),
            _ if is("identity") => Some(&mut self.identity),
            b"*" => Some(&mut self.any),
            _ => None,
        }
    }
}

/// A coding and its weight in thousandths (RFC 9110 section 12.4.2).
fn weighted(element: &[u8]) -> Option<(&[u8], u16)> {
    let Some(semicolon) = element.iter().position(|&byte| byte == b';') else {
        return Some((element.trim_ascii(), 1000));
    };
    let weight = match element[semicolon + 1..].trim_ascii() {
        [b'q' | b'Q', b'=', weight @ ..] => thousandths(weight)?,
        _ => return None,
    };
    Some((element[..semicolon].trim_ascii(), weight))
}

/// `qvalue`: from 0 to 1 with at most three decimals.
fn thousandths(value: &[u8]) -> Option<u16> {
    let (whole, decimals): (_, &[u8]) = match value {
        [whole @ (b'0' | b'1')] => (whole, b""),
        [whole @ (b'0' | b'1'), b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    let mut thousandths = u16::from(whole - b'0') * 1000;
    for (digit, worth) in decimals.iter().zip([100, 10, 1]) {
        if !digit.is_ascii_digit() {
            return None;
        }
        thousandths += u16::from(digit - b'0') * worth;
    }
    (thousandths <= 1000).then_some(thousandths)
}

#[cfg(test)]
mod tests {
    use super::prefers_json;

    #[test]
    fn json_is_for_who_names_it_first() {
        for (accept, is_json) in [
            ("application/json", true),
            ("Application/JSON;q=0.5", true),
            ("application/json, text/plain, */*", true),
            ("text/html;q=0.9, application/json", true),
            ("*/*", false),
            ("application/*", false),
            ("text/html, application/json", false),
            ("text/html, application/json;q=0.9", false),
            ("application/json; charset=utf-8", true),
            (
                "application/json;charset=utf-8;q=0.5, text/html;q=0.6",
                false,
            ),
            ("application/json;q=0", false),
            ("application/json;q=2", false),
            ("application/jsonp", false),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                false,
            ),
            ("", false),
            (",;,", false),
        ] {
            let got = prefers_json([accept.as_bytes()].into_iter());
            assert_eq!(got, is_json, "{accept}");
        }
        let fields = [&b"text/html"[..], b"application/json;q=0.5"];
        assert!(!prefers_json(fields.into_iter()), "two fields are one list");
    }
}

//! The media type that a name tells.

use std::collections::BTreeMap;

/// Extensions for which the table of the library is behind the registrations: RFC 9239 has one type for every
/// JavaScript, RFC 8081 types for fonts; a `.ts` on a web site is a piece of HLS video (RFC 8216), a `.map` JSON.
const BETTER_KNOWN: [(&str, &str); 5] = [
    ("map", "application/json"),
    ("mjs", "text/javascript"),
    ("otf", "font/otf"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("ts", "video/mp2t"),
];

/// What text is said to be written in, if nothing else is said.
const CHARSET: &str = "utf-8";

/// Why there is no such type or charset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MediaTypeError {
    /// It is no media type.
    #[error("\"{0}\" is no media type; write one as in \"text/plain\"")]
    Type(String),
    /// It is no name of a charset.
    #[error("\"{0}\" is no name of a charset; write one as in \"utf-8\", or \"\" for none")]
    Charset(String),
    /// It can be no name of a file, nor its end.
    #[error("\"{0}\" is neither an extension nor the name of a file")]
    Name(String),
}

/// From names to media types: the library's table, and what settings put in its place.
#[derive(Debug, Clone)]
pub struct MediaTypes {
    /// By whole name, as it is, or by extension, in lower case.
    own: BTreeMap<String, String>,
    /// Behind text that does not say it itself.
    charset: String,
}

impl Default for MediaTypes {
    fn default() -> Self {
        MediaTypes {
            own: BTreeMap::new(),
            charset: format!("; charset={CHARSET}"),
        }
    }
}

impl MediaTypes {
    /// Forgets what [`set`](Self::set) was told.
    pub fn clear(&mut self) {
        self.own.clear();
    }

    /// Says what files are that have this name or this extension, written with or without its dot. A whole name comes
    /// before an extension, a long extension before a short one.
    ///
    /// # Errors
    /// There is no such type or name.
    pub fn set(&mut self, name: &str, media_type: &str) -> Result<(), MediaTypeError> {
        if !is_media_type(media_type) {
            return Err(MediaTypeError::Type(media_type.to_owned()));
        }
        let key = name.strip_prefix('.').unwrap_or(name);
        if key.is_empty() || key.contains(['/', '\0']) {
            return Err(MediaTypeError::Name(name.to_owned()));
        }
        for key in [key.to_owned(), key.to_ascii_lowercase()] {
            self.own.insert(key, media_type.to_owned());
        }
        Ok(())
    }

    /// Says what text is written in that does not say it itself; nothing is said if it is empty.
    ///
    /// # Errors
    /// It is no name of a charset.
    pub fn set_charset(&mut self, charset: &str) -> Result<(), MediaTypeError> {
        if !charset.bytes().all(is_token) {
            return Err(MediaTypeError::Charset(charset.to_owned()));
        }
        self.charset = match charset {
            "" => String::new(),
            _ => format!("; charset={charset}"),
        };
        Ok(())
    }

    /// The media type of the file `name`.
    ///
    /// JSON is UTF-8 and nothing else, so that its type has no charset (RFC 8259 section 11), and XML outside of
    /// `text/` says itself what it is.
    pub fn of(&self, name: &[u8]) -> String {
        let base = name.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        let base = String::from_utf8_lossy(base);
        let media_type = self.own(&base).unwrap_or_else(|| usual(&base));
        match media_type.starts_with("text/") && !media_type.contains(';') {
            true => format!("{media_type}{}", self.charset),
            false => media_type.to_owned(),
        }
    }

    fn own(&self, base: &str) -> Option<&str> {
        if self.own.is_empty() {
            return None;
        }
        let ends = base.match_indices('.').map(|(dot, _)| &base[dot + 1..]);
        let by_extension = |end: &str| self.own.get(&end.to_ascii_lowercase());
        let own = self
            .own
            .get(base)
            .or_else(|| ends.into_iter().find_map(by_extension));
        own.map(String::as_str)
    }
}

/// What the tables say of a name without its directories.
fn usual(base: &str) -> &'static str {
    let extension = base.rsplit_once('.').map_or("", |(_, extension)| extension);
    let better = BETTER_KNOWN
        .iter()
        .find(|(other, _)| other.eq_ignore_ascii_case(extension));
    match better {
        Some((_, media_type)) => media_type,
        None => mime_guess::from_ext(extension)
            .first_raw()
            .unwrap_or("application/octet-stream"),
    }
}

/// `type "/" subtype *( ";" parameter )`; of parameters only that they are no danger (RFC 9110 section 8.3.1).
fn is_media_type(text: &str) -> bool {
    let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(is_token);
    let is_essence = |(main, sub): (&str, &str)| is_word(main) && is_word(sub);
    let essence = essence.trim_end_matches([' ', '\t']);
    essence.split_once('/').is_some_and(is_essence)
        && parameters.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_types_come_before_the_tables() {
        let mut types = MediaTypes::default();
        for (name, media_type) in [
            (".md", "text/markdown"),
            ("tar.gz", "application/x-tgz"),
            ("LICENSE", "text/plain"),
            ("feed.xml", "application/atom+xml"),
            ("txt", "text/plain; charset=iso-8859-1"),
        ] {
            types.set(name, media_type).expect("a type");
        }
        for (name, media_type) in [
            ("a.md", "text/markdown; charset=utf-8"),
            ("b/A.MD", "text/markdown; charset=utf-8"),
            ("a.tar.gz", "application/x-tgz"),
            ("a.gz", "application/gzip"),
            ("b/LICENSE", "text/plain; charset=utf-8"),
            ("LICENSE.html", "text/html; charset=utf-8"),
            ("feed.xml", "application/atom+xml"),
            ("other.xml", "text/xml; charset=utf-8"),
            ("a.txt", "text/plain; charset=iso-8859-1"),
            ("a.json", "application/json"),
            ("a.MJS", "text/javascript; charset=utf-8"),
            ("none", "application/octet-stream"),
        ] {
            assert_eq!(types.of(name.as_bytes()), media_type, "{name}");
        }
        types.set_charset("").expect("none");
        assert_eq!(types.of(b"a.md"), "text/markdown");
        types.set_charset("koi8-r").expect("a charset");
        assert_eq!(types.of(b"a.html"), "text/html; charset=koi8-r");
    }

    #[test]
    fn what_is_no_type_or_name() {
        let mut types = MediaTypes::default();
        for media_type in [
            "",
            "text",
            "text/",
            "/plain",
            "te xt/plain",
            "text/plain;\r\nX: y",
            "a/b/c",
        ] {
            let error = types.set("x", media_type);
            assert_eq!(error, Err(MediaTypeError::Type(media_type.to_owned())));
        }
        for name in ["", ".", "a/b"] {
            let error = types.set(name, "text/plain");
            assert_eq!(error, Err(MediaTypeError::Name(name.to_owned())));
        }
        for bad in [
            "text/plain\r\n",
            "text/plain\r\n\r\n;x=y",
            "text/plain\n",
            "text/\tplain",
        ] {
            assert!(types.set("md", bad).is_err(), "{bad:?}");
        }
        assert!(types.set_charset("utf 8").is_err());
    }
}

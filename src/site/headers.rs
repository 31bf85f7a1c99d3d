//! Header fields that settings add to the responses with a file: decided when it is loaded, once for all who will ask.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};

/// What a response with a file has to say beside what the file says, unless a rule takes it away.
const NOSNIFF: (&str, &str) = ("X-Content-Type-Options", "nosniff");

/// Fields that guide caches: these are on a 304 response too (RFC 9110 section 15.4.5, RFC 9213), and not on an error's
/// page, of which they do not speak.
const FOR_CACHES: [&str; 5] = [
    "Cache-Control",
    "CDN-Cache-Control",
    "Content-Location",
    "Expires",
    "Vary",
];

/// Fields that are the server's own, and who decides about them.
const RESERVED: [(&str, &str); 20] = [
    ("Content-Length", FRAMING),
    ("Transfer-Encoding", FRAMING),
    ("Connection", FRAMING),
    ("Keep-Alive", FRAMING),
    ("Proxy-Connection", FRAMING),
    ("TE", FRAMING),
    ("Trailer", FRAMING),
    ("Upgrade", FRAMING),
    ("Date", FRAMING),
    ("Content-Range", FRAMING),
    ("Server", FRAMING),
    ("Allow", FRAMING),
    ("Retry-After", FRAMING),
    ("WWW-Authenticate", FRAMING),
    ("Accept-Ranges", FRAMING),
    ("Last-Modified", "the file decides"),
    ("ETag", "the file decides"),
    ("Content-Encoding", "the file decides"),
    (
        "Content-Type",
        "the extension decides, see mime and charset",
    ),
    ("Location", "only a redirect has one"),
];
const FRAMING: &str = "it is the server's own";

/// Why a field cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// Its name is none.
    #[error("\"{0}\" is no name of a field: letters, digits and !#$%&'*+-.^_`|~ make one")]
    Name(String),
    /// Nobody may set it.
    #[error("{name} can be neither set nor removed: {why}")]
    Reserved {
        /// The field.
        name: String,
        /// Who decides about it.
        why: &'static str,
    },
    /// Its value is none.
    #[error("the value of {0} is empty or has control characters")]
    Value(String),
}

/// A field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    name: String,
    value: String,
}

impl Field {
    /// The field `name` with this `value`.
    ///
    /// # Errors
    /// It cannot be.
    pub fn new(name: &str, value: &str) -> Result<Field, FieldError> {
        let value = value.trim();
        if value.is_empty() || value.chars().any(|c| c.is_control() && c != '\t') {
            return Err(FieldError::Value(name.to_owned()));
        }
        Ok(Field {
            name: field_name(name)?,
            value: value.to_owned(),
        })
    }
}

/// `name`, if a rule may speak of such a field.
///
/// # Errors
/// It cannot be one, or is the server's own.
pub fn field_name(name: &str) -> Result<String, FieldError> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(FieldError::Name(name.to_owned()));
    }
    match RESERVED
        .iter()
        .find(|(own, _)| own.eq_ignore_ascii_case(name))
    {
        Some((_, why)) => Err(FieldError::Reserved {
            name: name.to_owned(),
            why,
        }),
        None => Ok(name.to_owned()),
    }
}

/// Why a pattern cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It has slashes, but does not begin at the root.
    #[error(
        "\"{0}\" has a slash: begin it with one, as in /assets/**, to say where the path begins"
    )]
    Relative(String),
    /// It is malformed.
    #[error("\"{0}\" is no pattern: {1}")]
    Malformed(String, String),
}

/// Which files a rule is for.
#[derive(Debug, Clone)]
pub struct Pattern {
    glob: GlobMatcher,
    /// The whole path is looked at, not only the last part of it.
    is_path: bool,
}

impl Pattern {
    /// A pattern without a slash is for the last part of a path (`*.css`); one with a slash for the whole of it,
    /// where `*` stays within a part and `**` does not (`/assets/**`).
    ///
    /// # Errors
    /// It is malformed.
    pub fn new(text: &str) -> Result<Pattern, PatternError> {
        let is_path = text.contains('/');
        if is_path && !text.starts_with('/') {
            return Err(PatternError::Relative(text.to_owned()));
        }
        let glob = GlobBuilder::new(text).literal_separator(true).build();
        let glob = glob
            .map_err(|error| PatternError::Malformed(text.to_owned(), error.kind().to_string()))?;
        Ok(Pattern {
            glob: glob.compile_matcher(),
            is_path,
        })
    }

    /// Whether it is for the file `name`, relative to the root.
    fn matches(&self, name: &[u8]) -> bool {
        let matches = |bytes| self.glob.is_match(Path::new(OsStr::from_bytes(bytes)));
        match self.is_path {
            true => matches(&[b"/", name].concat()),
            false => matches(name.rsplit(|&byte| byte == b'/').next().unwrap_or_default()),
        }
    }
}

/// What is to be done with the fields of some files' responses.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Which files.
    pub pattern: Pattern,
    /// What is taken away first.
    pub remove: Vec<String>,
    /// What is put in the place of fields of the same name.
    pub set: Vec<Field>,
}

/// All that settings say of header fields.
#[derive(Debug, Clone, Default)]
pub struct Headers {
    /// `Cache-Control` of every file, unless a rule says otherwise.
    pub cache_control: Option<Field>,
    /// The rules, in the order in which they are followed.
    pub rules: Vec<Rule>,
}

impl Headers {
    /// The fields of the file `name`, relative to the root.
    pub fn of(&self, name: &[u8]) -> Fields {
        let mut fields = vec![NOSNIFF];
        let cache_control = self.cache_control.as_ref();
        fields.extend(cache_control.map(|field| (&*field.name, &*field.value)));
        for rule in self.rules.iter().filter(|rule| rule.pattern.matches(name)) {
            fields.retain(|(name, _)| {
                let is_same = |other: &str| other.eq_ignore_ascii_case(name);
                let removed = rule.remove.iter().any(|other| is_same(other));
                let replaced = rule.set.iter().any(|other| is_same(&other.name));
                !(removed || replaced)
            });
            fields.extend(rule.set.iter().map(|field| (&*field.name, &*field.value)));
        }
        Fields::of(&fields)
    }
}

/// Field lines that are added to the responses with one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    /// Those that guide caches, each with its CRLF.
    pub for_caches: String,
    /// The others.
    pub others: String,
}

impl Default for Fields {
    fn default() -> Self {
        Fields::of(&[NOSNIFF])
    }
}

impl Fields {
    /// The same of what comes as a page or as JSON.
    pub(super) fn depending_on_accept(mut self) -> Fields {
        self.for_caches.push_str("Vary: Accept\r\n");
        self
    }

    fn of(fields: &[(&str, &str)]) -> Fields {
        let (mut for_caches, mut others) = (String::new(), String::new());
        for (name, value) in fields {
            let is_for_caches = FOR_CACHES.iter().any(|own| own.eq_ignore_ascii_case(name));
            let lines = match is_for_caches {
                true => &mut for_caches,
                false => &mut others,
            };
            lines.extend([name, ": ", value, "\r\n"]);
        }
        Fields { for_caches, others }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(pattern: &str, set: &[(&str, &str)], remove: &[&str]) -> Rule {
        let set = set.iter().map(|(name, value)| Field::new(name, value));
        Rule {
            pattern: Pattern::new(pattern).expect("a pattern"),
            set: set.collect::<Result<_, _>>().expect("fields"),
            remove: remove.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    #[test]
    fn patterns_are_for_last_parts_or_whole_paths() {
        for (pattern, name, matches) in [
            ("*.css", "a.css", true),
            ("*.css", "b/c/a.css", true),
            ("*.css", "a.css.map", false),
            ("*.{js,css}", "b/a.js", true),
            ("*", "b/a", true),
            ("*", "b/", true),
            ("a", "a/b", false),
            ("/a", "a", true),
            ("/a", "b/a", false),
            ("/a/*", "a/b", true),
            ("/a/*", "a/b/c", false),
            ("/a/**", "a/b/c", true),
            ("/**/*.css", "a.css", true),
            ("/**/*.css", "b/c/a.css", true),
            ("/*", "index.html", true),
            ("/", "", true),
            ("[a-c].txt", "b.txt", true),
            ("?.txt", "b.txt", true),
            ("*.txt", "\u{fc}.txt", true),
        ] {
            let pattern = Pattern::new(pattern).expect("a pattern");
            assert_eq!(
                pattern.matches(name.as_bytes()),
                matches,
                "{pattern:?}: {name}"
            );
        }
        assert!(matches!(
            Pattern::new("a/b"),
            Err(PatternError::Relative(_))
        ));
        for malformed in ["[a", "{a", "a{{b}"] {
            let error = Pattern::new(malformed).expect_err(malformed);
            assert!(matches!(error, PatternError::Malformed(..)), "{error}");
        }
    }

    #[test]
    fn rules_are_followed_in_their_order() {
        let headers = Headers {
            cache_control: Some(Field::new("Cache-Control", "no-cache").expect("a field")),
            rules: vec![
                rule(
                    "*.css",
                    &[("cache-control", "max-age=60"), ("X-A", "1")],
                    &[],
                ),
                rule(
                    "/b/*",
                    &[("x-a", "2"), ("Vary", "Accept")],
                    &["X-Content-TYPE-options"],
                ),
                rule("/c", &[], &["Cache-Control"]),
            ],
        };
        let nosniff = "X-Content-Type-Options: nosniff\r\n";
        for (name, for_caches, others) in [
            ("a", "Cache-Control: no-cache\r\n", nosniff.to_owned()),
            (
                "a.css",
                "cache-control: max-age=60\r\n",
                format!("{nosniff}X-A: 1\r\n"),
            ),
            (
                "b/a.css",
                "cache-control: max-age=60\r\nVary: Accept\r\n",
                "x-a: 2\r\n".to_owned(),
            ),
            ("c", "", nosniff.to_owned()),
        ] {
            let fields = headers.of(name.as_bytes());
            assert_eq!(
                (&*fields.for_caches, fields.others),
                (for_caches, others),
                "{name}"
            );
        }
        assert_eq!(Headers::default().of(b"a"), Fields::default());
    }

    #[test]
    fn fields_that_cannot_be() {
        for (name, value, why) in [
            ("", "a", "no name of a field"),
            ("a b", "a", "no name of a field"),
            ("a:", "a", "no name of a field"),
            ("gr\u{fc}n", "a", "no name of a field"),
            ("X\r\nY", "a", "no name of a field"),
            ("content-LENGTH", "1", "the server's own"),
            ("Date", "1", "the server's own"),
            ("Content-Type", "a/b", "mime"),
            ("X-A", "", "empty"),
            ("X-A", " \t", "empty"),
            ("X-A", "a\r\nX-B: b", "control"),
            ("X-A", "a\0", "control"),
            ("X-A", "a\u{85}b", "control"),
        ] {
            let error = Field::new(name, value).expect_err(name).to_string();
            assert!(error.contains(why), "{name}: {value:?}: {error}");
        }
        for (reserved, _) in RESERVED {
            assert!(field_name(&reserved.to_lowercase()).is_err(), "{reserved}");
        }
        assert_eq!(Field::new("X-A", " a\tb ").expect("a field").value, "a\tb");
    }
}

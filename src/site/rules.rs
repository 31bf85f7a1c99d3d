//! Redirects and rewrites: what a name leads to instead of a file.
//!
//! A rule is for one name or for all beneath a prefix. That for the name itself goes before those for prefixes, and the
//! longest of these decides, so that their order means nothing. With a prefix, what a name has behind it goes behind
//! the target too. A rewrite happens once: what it leads to is not looked up here again.

use std::collections::HashMap;

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_encode};

use super::prefixes::{PathError, Prefixes, name_of};

/// What need not be escaped in a path: `pchar` and the slash (RFC 3986 section 3.3).
pub(crate) const PATH_ESCAPES: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@')
    .remove(b'/');

/// A rule that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Its path is none.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Its target is no place to send a client to.
    #[error(
        "{0:?} is no target: it must be a path or begin with http:// or https:// and a host, in ASCII, with other \
         characters percent-encoded"
    )]
    Target(String),
    /// Two rules are for the same path.
    #[error("there are two rules for {0:?}")]
    Twice(String),
    /// A client would be sent in circles.
    #[error("the redirect from {0:?} leads to itself")]
    Circle(String),
}

/// Which names a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The path, and no other.
    Exact,
    /// The path and all beneath it.
    Prefix,
}

/// The codes of redirects (RFC 9110 section 15.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// 301.
    MovedPermanently,
    /// 302.
    Found,
    /// 303.
    SeeOther,
    /// 307.
    TemporaryRedirect,
    /// 308.
    PermanentRedirect,
}

/// Where a name leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lead {
    /// The client is to ask for this.
    Redirect(Code, Location),
    /// This name is looked up instead.
    Rewrite(Vec<u8>),
}

/// The target of a redirect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// What comes before the query.
    base: String,
    /// With its question mark.
    query: Option<String>,
    /// With its number sign; empty if there is none.
    fragment: String,
}

/// All rules of a site.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    exact: HashMap<Vec<u8>, Lead>,
    prefixes: Prefixes<Lead>,
}

impl Rules {
    /// Sends clients that ask for `path` to `target`, a path or an absolute URL.
    ///
    /// # Errors
    /// See [`RuleError`].
    pub fn redirect(
        &mut self,
        scope: Scope,
        path: &str,
        code: Code,
        target: &str,
    ) -> Result<(), RuleError> {
        let location = Location::parse(target)?;
        let own_name = name_of(&location.base).ok();
        self.add(scope, path, Lead::Redirect(code, location))?;
        // Seen only where the one rule is enough for it; browsers find out about longer ways.
        let leads_here = |name: &[u8]| match scope {
            Scope::Exact => name_of(path).is_ok_and(|from| from == name),
            Scope::Prefix => {
                let mut alone = Prefixes::default();
                alone.insert(path, ()).is_ok() && alone.longest(name).is_some()
            }
        };
        match own_name.as_deref().is_some_and(leads_here) {
            true => Err(RuleError::Circle(path.to_owned())),
            false => Ok(()),
        }
    }

    /// Answers requests for `path` as if they were for the path `target`.
    ///
    /// # Errors
    /// See [`RuleError`].
    pub fn rewrite(&mut self, scope: Scope, path: &str, target: &str) -> Result<(), RuleError> {
        self.add(scope, path, Lead::Rewrite(name_of(target)?))
    }

    fn add(&mut self, scope: Scope, path: &str, lead: Lead) -> Result<(), RuleError> {
        let before = match scope {
            Scope::Exact => self.exact.insert(name_of(path)?, lead),
            Scope::Prefix => self.prefixes.insert(path, lead)?,
        };
        match before {
            Some(_) => Err(RuleError::Twice(path.to_owned())),
            None => Ok(()),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }

    /// Where `name` leads, if there is a rule for it; and what of it goes behind that.
    pub fn find<'n>(&self, name: &'n [u8]) -> Option<(&Lead, Option<&'n [u8]>)> {
        if !self.exact.is_empty()
            && let Some(lead) = self.exact.get(name)
        {
            return Some((lead, None));
        }
        self.prefixes.longest(name)
    }
}

impl Location {
    fn parse(target: &str) -> Result<Self, RuleError> {
        let (rest, fragment) = split_before(target, '#');
        let (base, query) = split_before(rest, '?');
        let host = ["http://", "https://"]
            .iter()
            .find_map(|scheme| base.strip_prefix(scheme));
        let is_place = match host {
            Some(host) => !host.is_empty() && !host.starts_with(['/', ':', '@']),
            // Two slashes, or what browsers take for them, would begin the name of a host.
            None => base.starts_with('/') && !base.starts_with("//"),
        };
        // What a URI has no place for, the ends of lines above all (RFC 3986 appendix A).
        let is_uri = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
        if !is_place || !target.bytes().all(is_uri) {
            return Err(RuleError::Target(target.to_owned()));
        }
        Ok(Location {
            base: base.to_owned(),
            query: (!query.is_empty()).then(|| query.to_owned()),
            fragment: fragment.to_owned(),
        })
    }

    /// Appends the value of the field: `rest` is what goes behind the path, `query` that of the request.
    pub fn write(&self, rest: Option<&[u8]>, query: Option<&[u8]>, out: &mut Vec<u8>) {
        match rest {
            None => out.extend_from_slice(self.base.as_bytes()),
            Some(rest) => {
                let base = self.base.strip_suffix('/').unwrap_or(&self.base);
                out.extend_from_slice(base.as_bytes());
                out.push(b'/');
                percent_encode(rest, PATH_ESCAPES).for_each(|part| out.extend(part.bytes()));
            }
        }
        match (&self.query, query) {
            (Some(query), _) => out.extend_from_slice(query.as_bytes()),
            (None, Some(query)) => {
                out.push(b'?');
                percent_encode(query, CONTROLS).for_each(|part| out.extend(part.bytes()));
            }
            (None, None) => {}
        }
        out.extend_from_slice(self.fragment.as_bytes());
    }
}

/// What comes before `mark`, and what from there on.
fn split_before(text: &str, mark: char) -> (&str, &str) {
    text.split_at(text.find(mark).unwrap_or(text.len()))
}

/// The name that a rewrite to `target` makes of one that goes on with `rest`.
pub fn rewritten(target: &[u8], rest: Option<&[u8]>) -> Vec<u8> {
    match (target.strip_suffix(b"/").unwrap_or(target), rest) {
        (_, None) => target.to_vec(),
        (b"", Some(rest)) => rest.to_vec(),
        (target, Some(rest)) => [target, rest].join(&b'/'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: Code = Code::Found;

    /// What `rules` make of a request.
    fn lead(rules: &Rules, name: &str, query: Option<&str>) -> String {
        let mut out = Vec::new();
        match rules.find(name.as_bytes()) {
            None => out.extend(b"nowhere"),
            Some((Lead::Redirect(_, to), rest)) => {
                to.write(rest, query.map(str::as_bytes), &mut out);
            }
            Some((Lead::Rewrite(to), rest)) => {
                out.extend(b"=");
                out.extend(rewritten(to, rest));
            }
        }
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn where_names_lead() {
        let mut rules = Rules::default();
        use Scope::{Exact, Prefix};
        for (scope, path, target) in [
            (Exact, "/a.html", "/b.html"),
            (Exact, "/dir/", "/other/?x=1#part"),
            (Exact, "/", "https://h.example"),
            (Prefix, "/old", "/new/"),
            (Prefix, "/old/sub/", "http://h.example:81/s?fixed"),
            (Prefix, "/q", "/p#part"),
            (Prefix, "/up", "/"),
        ] {
            assert_eq!(rules.redirect(scope, path, CODE, target), Ok(()), "{path}");
        }
        for (scope, path, target) in [
            (Exact, "/app", "/app/index.html"),
            (Prefix, "/r", "/s/t"),
            (Prefix, "/root", "/"),
        ] {
            assert_eq!(rules.rewrite(scope, path, target), Ok(()), "{path}");
        }
        for (name, query, want) in [
            ("x", None, "nowhere"),
            ("a.html", None, "/b.html"),
            ("a.html", Some("q=%20"), "/b.html?q=%20"),
            ("a.html/", None, "nowhere"),
            ("dir", None, "nowhere"),
            ("dir/", Some("y=2"), "/other/?x=1#part"),
            ("", None, "https://h.example"),
            ("", Some(""), "https://h.example?"),
            ("old", None, "/new/"),
            ("old/", None, "/new/"),
            ("old/a b/ü\\", Some("q"), "/new/a%20b/%C3%BC%5C?q"),
            ("older", None, "nowhere"),
            ("old/sub", Some("y"), "http://h.example:81/s?fixed"),
            ("old/sub/x/", Some("y"), "http://h.example:81/s/x/?fixed"),
            ("q/1", Some("a"), "/p/1?a#part"),
            ("up", None, "/"),
            ("up/x", None, "/x"),
            ("app", None, "=app/index.html"),
            ("app/x", None, "nowhere"),
            ("r", None, "=s/t"),
            ("r/", None, "=s/t/"),
            ("r/a/b", None, "=s/t/a/b"),
            ("root", None, "="),
            ("root/a", None, "=a"),
        ] {
            assert_eq!(lead(&rules, name, query), want, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_followed() {
        let error = |scope, path: &str, target: &str| {
            let mut rules = Rules::default();
            rules.redirect(scope, path, CODE, target).err()
        };
        for target in [
            "",
            "b",
            "//h/",
            "/\\h",
            "http://",
            "https:///x",
            "http://:80/",
            "ftp://h/",
            "javascript:alert(1)",
            "/a\r\nSet-Cookie: x",
            "/a b",
            "/ü",
            "/a\u{7f}",
            "https://h/\"",
        ] {
            let want = RuleError::Target(target.to_owned());
            assert_eq!(error(Scope::Exact, "/a", target), Some(want), "{target:?}");
        }
        for (scope, path, target) in [
            (Scope::Exact, "/a", "/%61?x"),
            (Scope::Prefix, "/a", "/a/b"),
            (Scope::Prefix, "/a/", "/a/"),
            (Scope::Prefix, "/", "/new"),
        ] {
            let want = RuleError::Circle(path.to_owned());
            assert_eq!(error(scope, path, target), Some(want), "{path}");
        }
        assert_eq!(error(Scope::Exact, "/a", "/a/"), None);
        assert_eq!(error(Scope::Prefix, "/", "https://h.example/"), None);
        let path = || PathError("a".to_owned());
        assert_eq!(
            error(Scope::Prefix, "a", "/b"),
            Some(RuleError::Path(path()))
        );
        let mut rules = Rules::default();
        assert_eq!(
            rules.rewrite(Scope::Exact, "/b", "a"),
            Err(RuleError::Path(path()))
        );
        assert_eq!(rules.rewrite(Scope::Prefix, "/b", "/a"), Ok(()));
        let twice = RuleError::Twice("/c/../b/".to_owned());
        assert_eq!(rules.rewrite(Scope::Prefix, "/c/../b/", "/a"), Err(twice));
    }
}

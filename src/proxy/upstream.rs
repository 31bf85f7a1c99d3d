//! Where a proxy's requests go.

use hyper::Uri;
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use crate::site::rules::PATH_ESCAPES;

/// What people type into queries and no address may have.
const UNUSUAL: &AsciiSet = &CONTROLS.add(b'<').add(b'>').add(b'`').add(b'"');

/// A server, and perhaps the path that takes the place of the prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    authority: String,
    /// Without its last slash; `None`: paths stay as they are.
    base: Option<String>,
}

/// Why a text is no address of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no address of a server: {why}; http://127.0.0.1:9090 is one, and http://127.0.0.1:9090/api \
     has a path in the place of the prefix"
)]
pub struct UpstreamError {
    text: String,
    why: &'static str,
}

impl FromStr for Upstream {
    type Err = UpstreamError;

    fn from_str(text: &str) -> Result<Self, UpstreamError> {
        let error = |why| UpstreamError {
            text: text.to_owned(),
            why,
        };
        let Some(rest) = text.strip_prefix("http://") else {
            return Err(error("it must begin with http://"));
        };
        let uri: Uri = text.parse().map_err(|_| error("it cannot be parsed"))?;
        let authority = uri.authority().ok_or_else(|| error("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(error("there is no place for a user"));
        }
        if authority.host().is_empty() {
            return Err(error("it names no host"));
        }
        if uri.query().is_some() || text.contains('#') {
            return Err(error("it may have a path, and no query"));
        }
        let has_path = rest.contains('/');
        let base = uri.path().strip_suffix('/').unwrap_or(uri.path());
        Ok(Upstream {
            authority: authority.to_string(),
            base: has_path.then(|| base.to_owned()),
        })
    }
}

impl Display for Upstream {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let base = self
            .base
            .as_ref()
            .map_or(String::new(), |base| format!("{base}/"));
        write!(f, "http://{}{base}", self.authority)
    }
}

impl Upstream {
    /// Host, and port if one was given.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The address for a request whose path was written `path` and stands for `name`, of which `rest` is what lies
    /// beneath the prefix: `None` if it is the prefix itself.
    ///
    /// What is plain stays as it was written. A path with detours is written anew, so that the server sees what the
    /// prefix was compared with.
    pub fn address(
        &self,
        path: &str,
        query: Option<&str>,
        name: &[u8],
        rest: Option<&[u8]>,
    ) -> String {
        let mut address = format!("http://{}", self.authority);
        match &self.base {
            None if is_plain(path) => address.push_str(path),
            None => {
                address.push('/');
                address.extend(percent_encode(name, PATH_ESCAPES));
            }
            Some(base) => {
                address.push_str(base);
                if let Some(rest) = rest {
                    address.push('/');
                    address.extend(percent_encode(rest, PATH_ESCAPES));
                } else if base.is_empty() {
                    address.push('/');
                }
            }
        }
        if let Some(query) = query {
            address.push('?');
            address.extend(percent_encode(query.as_bytes(), UNUSUAL));
        }
        address
    }
}

/// Whether no server would take `path` for another one.
fn is_plain(path: &str) -> bool {
    let mut components = path.split('/').skip(1).peekable();
    let mut is_plain = true;
    while let Some(component) = components.next() {
        let is_last = components.peek().is_none();
        is_plain &= is_last || !component.is_empty();
        let dots = component.replace("%2e", ".").replace("%2E", ".");
        // Some servers have parameters in components, and leave them out first.
        let dots = dots.split(';').next().unwrap_or_default();
        is_plain &= dots != "." && dots != ".." && !component.contains(['\\', '<', '>', '`', '"']);
    }
    is_plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_servers() {
        for text in [
            "http://127.0.0.1:9090",
            "http://a.example/",
            "http://a:1/b/c/",
            "http://[::1]:80",
        ] {
            let upstream: Upstream = text.parse().expect(text);
            assert_eq!(upstream.to_string(), text);
        }
        let upstream: Upstream = "http://a/b".parse().expect("one with a path");
        assert_eq!(upstream.to_string(), "http://a/b/");
        for text in [
            "",
            "127.0.0.1:9090",
            "https://a",
            "http://",
            "http:///a",
            "http://u@a",
            "http://a?b",
            "http://a/#b",
            "http://a b",
        ] {
            let error = text.parse::<Upstream>().expect_err(text).to_string();
            assert!(
                error.starts_with(&format!("{text:?} is no address")),
                "{error}"
            );
        }
    }

    #[test]
    fn where_requests_go() {
        for (to, path, query, name, rest, address) in [
            (
                "http://s:1",
                "/api/a%2Bb",
                None,
                "api/a+b",
                Some("a+b"),
                "http://s:1/api/a%2Bb",
            ),
            (
                "http://s:1",
                "/api/",
                Some("q=%20"),
                "api/",
                Some(""),
                "http://s:1/api/?q=%20",
            ),
            (
                "http://s:1",
                "/x/../api//a",
                None,
                "api/a",
                Some("a"),
                "http://s:1/api/a",
            ),
            (
                "http://s:1",
                "/x/%2e%2E/api/a",
                None,
                "api/a",
                Some("a"),
                "http://s:1/api/a",
            ),
            (
                "http://s:1/",
                "/api/a%2Bb",
                None,
                "api/a+b",
                Some("a+b"),
                "http://s:1/a+b",
            ),
            (
                "http://s:1/",
                "/api",
                Some("x"),
                "api",
                None,
                "http://s:1/?x",
            ),
            (
                "http://s:1/v1/",
                "/api/%E4%B8%AD",
                None,
                "api/中",
                Some("中"),
                "http://s:1/v1/%E4%B8%AD",
            ),
            ("http://s:1/v1", "/api", None, "api", None, "http://s:1/v1"),
        ] {
            let upstream: Upstream = to.parse().expect(to);
            let rest = rest.map(str::as_bytes);
            assert_eq!(
                upstream.address(path, query, name.as_bytes(), rest),
                address,
                "{to} {path}"
            );
        }
    }
}

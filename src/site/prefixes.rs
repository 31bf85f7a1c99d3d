//! What is said of parts of a site: of a name and all that lies beneath it.
//!
//! Prefixes are compared with names as [`resolve`] makes them, component by component: `/private` covers `/private`,
//! `/private/` and `/private/a`, however these are written, and not `/private-too`. They are of names, not of files: what
//! covers `/a/index.html` does not cover `/a/`, nor `/a/index.html.gz`. Who guards something guards a directory.

use super::resolve::{Dotfiles, resolve};

/// A path that no request can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no path of a site: it must begin with a slash and stay beneath it")]
pub struct PathError(pub String);

/// The name that `path` stands for, as that of a request would be.
///
/// # Errors
/// No request could have that path.
pub fn name_of(path: &str) -> Result<Vec<u8>, PathError> {
    let mut name = Vec::new();
    // What looks like a query would never be compared.
    let is_path = !path.contains(|c: char| c.is_control() || matches!(c, '?' | '#'));
    // A rule may be about what is hidden: it is no harm, and error pages may well be.
    match resolve(path.as_bytes(), &mut name, Dotfiles::Served) {
        Ok(()) if is_path => Ok(name),
        _ => Err(PathError(path.to_owned())),
    }
}

/// Something for each of some prefixes; the longest that fits a name decides.
#[derive(Debug, Clone)]
pub struct Prefixes<T> {
    /// By the prefix, which has no final slash.
    sorted: Vec<(Box<[u8]>, T)>,
}

impl<T> Default for Prefixes<T> {
    fn default() -> Self {
        Prefixes { sorted: Vec::new() }
    }
}

impl<T> Prefixes<T> {
    /// Adds what holds for `path` and all beneath it; gives back what was said of it before.
    ///
    /// # Errors
    /// No request could have that path.
    pub fn insert(&mut self, path: &str, value: T) -> Result<Option<T>, PathError> {
        let mut name = name_of(path)?;
        if name.ends_with(b"/") {
            name.pop();
        }
        Ok(match self.position(&name) {
            Ok(at) => Some(std::mem::replace(&mut self.sorted[at].1, value)),
            Err(at) => {
                self.sorted.insert(at, (name.into_boxed_slice(), value));
                None
            }
        })
    }

    /// Whether nothing is said of any name.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// What is said of `name` itself.
    pub fn exact(&self, name: &[u8]) -> Option<&T> {
        let at = self.position(name).ok()?;
        Some(&self.sorted[at].1)
    }

    /// What is said of `name`, and what of the name goes on behind the prefix and a slash: `None` if nothing does, not
    /// even the slash.
    pub fn longest<'n>(&self, name: &'n [u8]) -> Option<(&T, Option<&'n [u8]>)> {
        if self.sorted.is_empty() {
            return None;
        }
        let mut end = name.len();
        // The whole name, and then without one component after the other.
        if let Ok(at) = self.position(name) {
            let rest = name.is_empty().then_some(name);
            return Some((&self.sorted[at].1, rest));
        }
        while let Some(slash) = name[..end].iter().rposition(|&byte| byte == b'/') {
            end = slash;
            if let Ok(at) = self.position(&name[..end]) {
                return Some((&self.sorted[at].1, Some(&name[end + 1..])));
            }
        }
        let root = self.position(b"").ok()?;
        Some((&self.sorted[root].1, Some(name)))
    }

    fn position(&self, prefix: &[u8]) -> Result<usize, usize> {
        self.sorted
            .binary_search_by(|(other, _)| (**other).cmp(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(paths: &[&'static str]) -> Prefixes<&'static str> {
        let mut prefixes = Prefixes::default();
        for path in paths {
            assert_eq!(prefixes.insert(path, *path), Ok(None), "{path}");
        }
        prefixes
    }

    #[test]
    fn the_longest_prefix_decides() {
        let some = prefixes(&["/a", "/a/b/c/", "/%62", "/a-b"]);
        let all = prefixes(&["/", "/a/b"]);
        for (prefixes, name, want) in [
            (&some, "a", Some(("/a", None))),
            (&some, "a/", Some(("/a", Some("")))),
            (&some, "a/b", Some(("/a", Some("b")))),
            (&some, "a/b/c", Some(("/a/b/c/", None))),
            (&some, "a/b/c/d/e/", Some(("/a/b/c/", Some("d/e/")))),
            (&some, "a/b/cc", Some(("/a", Some("b/cc")))),
            (&some, "b/x", Some(("/%62", Some("x")))),
            (&some, "a-b/x", Some(("/a-b", Some("x")))),
            (&some, "a-", None),
            (&some, "aa", None),
            (&some, "", None),
            (&all, "", Some(("/", Some("")))),
            (&all, "a", Some(("/", Some("a")))),
            (&all, "a/b/", Some(("/a/b", Some("")))),
            (&all, "a/c/", Some(("/", Some("a/c/")))),
        ] {
            let found = prefixes.longest(name.as_bytes());
            let want = want.map(|(path, rest)| (path, rest.map(str::as_bytes)));
            assert_eq!(found.map(|(path, rest)| (*path, rest)), want, "{name}");
        }
        assert_eq!(Prefixes::<()>::default().longest(b"a"), None);
    }

    #[test]
    fn what_no_request_asks_for_is_no_prefix() {
        let mut prefixes = prefixes(&["/a"]);
        assert_eq!(prefixes.insert("/x/../a/", "again"), Ok(Some("/a")));
        for path in ["", "a", "/..", "/%zz", "/a?b", "/a#b", "/a\n", "/a%00"] {
            let error = PathError(path.to_owned());
            assert_eq!(prefixes.insert(path, ""), Err(error), "{path}");
        }
    }
}

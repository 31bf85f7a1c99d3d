//! What a site says of requests before it is asked for files.
//!
//! All of it is decided on names as [`resolve`](crate::site::resolve) makes them, never on paths as they are written:
//! there are many ways to write one. In order:
//!
//! 1. The health check, which everybody may ask for.
//! 2. Who may ask ([`access`](super::access)): 403.
//! 3. Who has proved to be somebody ([`auth`](super::auth)): 401.
//! 4. Where the name leads instead ([`rules`](crate::site::rules)). What it is rewritten to goes through 2 and 3 once more, so that no rule
//!    leads past them.
//!
//! Only then is there a difference between what is there and what is not.

use super::access::Networks;
use super::auth::Realm;
use crate::site::Coding;
use crate::site::prefixes::{PathError, Prefixes, name_of};
use crate::site::rules::Rules;
use std::net::Ipv4Addr;

/// Where a server is asked whether it is well, unless said otherwise.
pub const HEALTH_PATH: &str = "/.well-known/health";

/// See the [module](self).
#[derive(Debug, Clone)]
pub struct Policy {
    /// Redirects and rewrites.
    pub rules: Rules,
    /// Who may ask for what is beneath a prefix. The longest prefix decides, alone.
    pub access: Prefixes<Networks>,
    /// Who must prove to be somebody for what is beneath a prefix. The longest prefix decides, alone.
    pub auth: Prefixes<Realm>,
    /// The health check's name, as [`name_of`] makes it; `None`: there is none.
    pub health: Option<Vec<u8>>,
}

impl Default for Policy {
    /// Nothing but the health check at [`HEALTH_PATH`].
    fn default() -> Self {
        Policy {
            rules: Rules::default(),
            access: Prefixes::default(),
            auth: Prefixes::default(),
            health: name_of(HEALTH_PATH).ok(),
        }
    }
}

impl Policy {
    /// Has the health check at `path`, or nowhere.
    ///
    /// # Errors
    /// No request could have that path.
    pub fn set_health_path(&mut self, path: Option<&str>) -> Result<(), PathError> {
        self.health = path.map(name_of).transpose()?;
        Ok(())
    }

    /// Whether nothing is said of any name but the health check's.
    pub fn is_plain(&self) -> bool {
        self.rules.is_empty() && self.access.is_empty() && self.auth.is_empty()
    }

    /// Whether a client at `remote` who may ask for `name` may be shown `other` in its place.
    pub fn lets_through(&self, name: &[u8], other: &[u8], remote: Ipv4Addr) -> bool {
        let may_ask = self
            .networks(other)
            .is_none_or(|networks| networks.allow(remote));
        let is_known = match (self.realm(other), self.realm(name)) {
            (Some(needed), Some(proved)) => std::ptr::eq(needed, proved),
            (needed, _) => needed.is_none(),
        };
        may_ask && is_known
    }

    /// Who may ask for `name`, if that is said.
    pub fn networks(&self, name: &[u8]) -> Option<&Networks> {
        of_file(&self.access, name)
    }

    /// Who must prove to be somebody for `name`.
    pub fn realm(&self, name: &[u8]) -> Option<&Realm> {
        of_file(&self.auth, name)
    }

    /// Whether `name` is that of the health check.
    pub fn is_health(&self, name: &[u8]) -> bool {
        self.health.as_deref() == Some(name)
    }
}

/// What is said of `name`, or of the file that it is a compressed copy of.
fn of_file<'p, T>(prefixes: &'p Prefixes<T>, name: &[u8]) -> Option<&'p T> {
    if prefixes.is_empty() {
        return None;
    }
    let suffix = Coding::COMPRESSED
        .iter()
        .map(|coding| coding.suffix())
        .find(|suffix| name.ends_with(suffix));
    let original = &name[..name.len() - suffix.map_or(0, <[u8]>::len)];
    let (value, _) = match prefixes.exact(name) {
        Some(value) => return Some(value),
        None => prefixes.longest(original)?,
    };
    Some(value)
}

//! The hosts of a server, and which of them a request is for.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use std::sync::Arc;

use super::call::Service;
use super::cors::Cors;
use super::policy::Policy;
use crate::site::HostId;
use crate::site::prefixes::Prefixes;
use crate::site::resolve::Dotfiles;

/// The longest name that DNS has, in bytes without its final dot (RFC 1035 section 2.3.4).
const MAX_NAME_BYTES: usize = 253;
/// The longest of its labels.
const MAX_LABEL_BYTES: usize = 63;

/// How a host answers, beyond what its files are.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// What is decided about a request before its files are looked for.
    pub policy: Policy,
    /// Whether directories without an index are listed, as JSON too for who would rather have that.
    pub lists: bool,
    /// Whether files are served whose names begin with a dot.
    pub dotfiles: Dotfiles,
    /// Whose scripts may read it.
    pub cors: Option<Cors>,
    /// The files that tell of errors, by status.
    pub error_pages: BTreeMap<u16, Box<[u8]>>,
    /// The file that is sent for what is not there, if that may be a page.
    pub fallback: Option<Box<[u8]>>,
    /// What is answered elsewhere.
    pub services: Prefixes<Service>,
}

/// The name of a host, or of all that end so: `example.org`, `*.example.org`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostName {
    /// In lower case, without a star.
    name: Box<str>,
    is_wildcard: bool,
}

/// Why a text names no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostNameError {
    /// A port is the whole server's.
    #[error("a name has no port: every host is served on --port")]
    Port,
    /// It is longer than any name.
    #[error(
        "a name has 1 to {MAX_NAME_BYTES} characters, {MAX_LABEL_BYTES} at most between its dots"
    )]
    Length,
    /// A star elsewhere than in its place.
    #[error("a star stands only before the first dot and alone, as in *.example.org")]
    Star,
    /// Other characters.
    #[error("letters, digits, hyphens and dots make a name; write others as clients do, xn--...")]
    Character,
}

impl FromStr for HostName {
    type Err = HostNameError;

    fn from_str(text: &str) -> Result<Self, HostNameError> {
        let (name, is_wildcard) = match text.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.contains('*') {
            return Err(HostNameError::Star);
        }
        if name.contains(':') {
            return Err(HostNameError::Port);
        }
        let mut labels = name.split('.');
        if name.len() > MAX_NAME_BYTES
            || labels.any(|label| !(1..=MAX_LABEL_BYTES).contains(&label.len()))
        {
            return Err(HostNameError::Length);
        }
        // The underscore is no part of a host's name by the book, but of many that are in use.
        let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !name.bytes().all(is_usual) {
            return Err(HostNameError::Character);
        }
        Ok(HostName {
            name: name.to_ascii_lowercase().into(),
            is_wildcard,
        })
    }
}

impl Display for HostName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let star = if self.is_wildcard { "*." } else { "" };
        write!(f, "{star}{}", self.name)
    }
}

/// The hosts of a server by name. At least there is the default one, for requests that name none of the others.
#[derive(Debug, Clone)]
pub struct Hosts {
    /// By [`HostId`]; the first is the default one.
    hosts: Vec<Arc<Host>>,
    have_services: bool,
    exact: Names,
    /// What follows the star and its dot.
    wildcards: Names,
}

/// Names in order.
#[derive(Debug, Clone, Default)]
struct Names(Vec<(Box<[u8]>, HostId)>);

impl Default for Hosts {
    fn default() -> Self {
        Hosts::new(Host::default())
    }
}

impl Hosts {
    /// The default host alone.
    pub fn new(default: Host) -> Self {
        Hosts {
            have_services: !default.services.is_empty(),
            hosts: vec![Arc::new(default)],
            exact: Names::default(),
            wildcards: Names::default(),
        }
    }

    /// Adds a host; its [`HostId`] is the next one. A name that another host has stays with that.
    pub fn add(&mut self, names: &[HostName], host: Host) {
        let Ok(id) = u16::try_from(self.hosts.len()).map(HostId) else {
            return; // the configuration has far fewer
        };
        self.have_services |= !host.services.is_empty();
        self.hosts.push(Arc::new(host));
        for HostName { name, is_wildcard } in names {
            let table = match is_wildcard {
                true => &mut self.wildcards,
                false => &mut self.exact,
            };
            table.add(name.as_bytes(), id);
        }
    }

    /// Whether any host has something answered elsewhere.
    pub fn have_services(&self) -> bool {
        self.have_services
    }

    /// How `host` answers.
    pub fn get(&self, host: HostId) -> &Host {
        // There is always the first; what is not there is nobody's.
        self.hosts.get(host.index()).unwrap_or(&self.hosts[0])
    }

    /// The host that a valid `authority` names: exactly, or by the longest wildcard that it ends with.
    ///
    /// Case, port and a final dot make no difference. Without names there is nothing to look up.
    pub fn choose(&self, authority: Option<&[u8]>) -> HostId {
        if self.hosts.len() == 1 {
            return HostId::DEFAULT;
        }
        let mut room = [0; MAX_NAME_BYTES];
        authority
            .and_then(|authority| lower_case(name_in(authority), &mut room))
            .and_then(|name| self.named(name))
            .unwrap_or_default()
    }

    fn named(&self, name: &[u8]) -> Option<HostId> {
        self.exact.get(name).or_else(|| {
            let dots = memchr::memchr_iter(b'.', name).filter(|&dot| dot > 0);
            dots.into_iter()
                .find_map(|dot| self.wildcards.get(&name[dot + 1..]))
        })
    }
}

impl Names {
    fn add(&mut self, name: &[u8], host: HostId) {
        if let Err(place) = self.search(name) {
            self.0.insert(place, (name.into(), host));
        }
    }

    fn get(&self, name: &[u8]) -> Option<HostId> {
        self.search(name).ok().map(|place| self.0[place].1)
    }

    fn search(&self, name: &[u8]) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| (**other).cmp(name))
    }
}

/// The host of an authority as it is looked up. Of an address in brackets too little is left to be a name.
fn name_in(authority: &[u8]) -> &[u8] {
    let end = memchr::memchr(b':', authority).unwrap_or(authority.len());
    let name = &authority[..end];
    name.strip_suffix(b".").unwrap_or(name)
}

/// `name` in lower case, unless it is too long to be one.
fn lower_case<'r>(name: &[u8], room: &'r mut [u8; MAX_NAME_BYTES]) -> Option<&'r [u8]> {
    let lower = room.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    Some(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(names: &[&[&str]]) -> Hosts {
        let mut hosts = Hosts::default();
        for names in names {
            let names: Vec<HostName> = names
                .iter()
                .map(|name| name.parse().expect("a name"))
                .collect();
            hosts.add(&names, Host::default());
        }
        hosts
    }

    #[test]
    fn exact_names_come_before_wildcards_and_long_ones_before_short() {
        let hosts = hosts(&[
            &["example.org", "*.Example.ORG."],
            &["www.example.org"],
            &["*.deep.example.org", "192.0.2.1"],
            &["*.org"],
        ]);
        for (authority, host) in [
            ("example.org", 1),
            ("EXAMPLE.org:8080", 1),
            ("example.org.", 1),
            ("example.org.:80", 1),
            ("example.org:", 1),
            ("other.example.org", 1),
            ("a.b.example.org", 1),
            ("www.example.org", 2),
            ("a.www.example.org", 1),
            ("deep.example.org", 1),
            ("a.deep.example.org", 3),
            ("192.0.2.1:80", 3),
            ("example.net", 0),
            ("elsewhere.org", 4),
            ("org", 0),
            (".org", 0),
            ("a..org", 4),
            ("notexample.org", 4),
            ("[2001:db8::1]:80", 0),
            ("example.org..", 0),
            ("", 0),
        ] {
            let chosen = hosts.choose(Some(authority.as_bytes()));
            assert_eq!(chosen, HostId(host), "{authority}");
        }
        let long = [b"a.".repeat(126), b"a.org".to_vec()].concat();
        assert_eq!(hosts.choose(Some(&long)), HostId::DEFAULT);
        assert_eq!(hosts.choose(None), HostId::DEFAULT);
    }

    #[test]
    fn what_is_no_name() {
        let long = format!("{}.org", "a".repeat(64));
        for (text, why) in [
            ("", HostNameError::Length),
            (".", HostNameError::Length),
            ("a..b", HostNameError::Length),
            (".a", HostNameError::Length),
            (&long, HostNameError::Length),
            ("*", HostNameError::Star),
            ("**.a", HostNameError::Star),
            ("*.*.a", HostNameError::Star),
            ("a.*", HostNameError::Star),
            ("a*.b", HostNameError::Star),
            ("a:80", HostNameError::Port),
            ("[::1]", HostNameError::Port),
            ("a/b", HostNameError::Character),
            ("a b", HostNameError::Character),
            ("grüße.de", HostNameError::Character),
        ] {
            assert_eq!(text.parse::<HostName>(), Err(why), "{text}");
        }
        let name: HostName = "*.Sub_1.Example.org.".parse().expect("a name");
        assert_eq!(name.to_string(), "*.sub_1.example.org");
    }
}

//! The settings of one host: built-in ones, and what the file and the flags put in their place.

use super::file::{File, Place, Table};
use crate::http::{self, HostName, HostNameError};
use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};
use std::ops::Range;
use std::path::PathBuf;
use toml::Spanned;

/// Hosts that a server may have: each keeps its directory open.
pub const MAX_HOSTS: usize = 4_096;

/// What one host serves, and how.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its names; the default host has none.
    pub names: Vec<HostName>,
    /// The directory served.
    pub root: PathBuf,
    /// Whether directories without an index are listed.
    pub list: bool,
    /// How it answers.
    pub http: http::Host,
}

/// A setting of a host that cannot be, and where it was made.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{at}: {why}")]
pub struct Error {
    at: At,
    why: Problem,
}

/// What is wrong with it.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Problem {
    /// Nothing is to be served.
    #[error("there is no root; write root = \"DIRECTORY\" before the first table, or give --root")]
    NoRoot,
    /// A host without a name.
    #[error("a host needs names, as in names = [\"example.org\", \"*.example.org\"]")]
    NoNames,
    /// Names where the default host is described.
    #[error("the default host has no names, for it serves all others; write them into a [[host]]")]
    Named,
    /// A host within a host.
    #[error("a host stands on its own, not in another one")]
    Nested,
    /// A name that is none.
    #[error("\"{0}\" is no name of a host: {1}")]
    Name(String, HostNameError),
    /// Two hosts with one name.
    #[error("there is another host {0} before")]
    Twice(HostName),
    /// More than can be.
    #[error("there are {0} hosts, and {MAX_HOSTS} can be")]
    TooMany(usize),
}

/// Where a setting was made.
#[derive(Debug, Clone, PartialEq)]
enum At {
    Flag(&'static str),
    File(Place),
}

impl Display for At {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            At::Flag(flag) => write!(f, "--{flag}"),
            At::File(place) => place.fmt(f),
        }
    }
}

/// What a table was made of.
#[derive(Debug, Clone, Copy)]
enum Source<'f> {
    Flags,
    File(&'f File),
}

impl Source<'_> {
    /// That the value of `key`, which stands in these bytes, cannot be.
    fn error(self, key: &'static str, bytes: Range<usize>, why: Problem) -> Error {
        let at = match self {
            Source::Flags => At::Flag(key),
            Source::File(file) => At::File(file.place(bytes)),
        };
        Error { at, why }
    }
}

/// The default host and the others: from the file, if there is one, and from the flags, which win over the keys at the
/// top of the file.
///
/// # Errors
/// The first setting that cannot be.
pub fn hosts(file: Option<&(File, Table)>, flags: &Table) -> Result<Vec<Host>, Error> {
    let mut default = Host {
        names: Vec::new(),
        root: PathBuf::new(),
        list: false,
        http: http::Host::default(),
    };
    let mut has_root = false;
    let tables = file.map(|(file, table)| (table, Source::File(file)));
    for (table, source) in tables.into_iter().chain([(flags, Source::Flags)]) {
        if let Some(names) = &table.names {
            return Err(source.error("names", names.span(), Problem::Named));
        }
        default.set(table, source)?;
        has_root |= table.root.is_some();
    }
    let source = file.map_or(Source::Flags, |(file, _)| Source::File(file));
    if !has_root {
        return Err(source.error("root", 0..0, Problem::NoRoot));
    }
    let mut hosts = vec![default];
    let mut names = BTreeSet::new();
    let others = file.map_or(&[][..], |(_, table)| &table.host);
    if others.len() >= MAX_HOSTS {
        let span = others[MAX_HOSTS - 1].span();
        return Err(source.error("host", span, Problem::TooMany(others.len() + 1)));
    }
    for table in others {
        let host = hosts[0].clone().named(table, source, &mut names)?;
        hosts.push(host);
    }
    Ok(hosts)
}

impl Host {
    /// Another host with the settings of this one, as far as `table` has no others; all `names` are different.
    fn named(
        mut self,
        table: &Spanned<Table>,
        source: Source<'_>,
        names: &mut BTreeSet<HostName>,
    ) -> Result<Host, Error> {
        let (table, span) = (table.get_ref(), table.span());
        if let Some(host) = table.host.first() {
            return Err(source.error("host", host.span(), Problem::Nested));
        }
        let own = table.names.as_ref().map(Spanned::get_ref);
        let Some(own) = own.filter(|own| !own.is_empty()) else {
            return Err(source.error("host", span, Problem::NoNames));
        };
        for text in own {
            let error = |why| source.error("names", text.span(), why);
            let text = text.get_ref();
            let name: HostName = text
                .parse()
                .map_err(|why| error(Problem::Name(text.clone(), why)))?;
            if !names.insert(name.clone()) {
                return Err(error(Problem::Twice(name)));
            }
            self.names.push(name);
        }
        self.set(table, source)?;
        Ok(self)
    }

    /// Puts what `table` has in the place of what was there.
    fn set(&mut self, table: &Table, source: Source<'_>) -> Result<(), Error> {
        if let Some(root) = &table.root {
            self.root = match source {
                Source::Flags => root.clone(),
                Source::File(file) => file.directory().join(root),
            };
        }
        if let Some(list) = table.list {
            self.list = list;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// The hosts of this file, with these flags.
    fn with(flags: Table, text: &str) -> Result<Vec<Host>, String> {
        let file = File::parse("/etc/site.toml".as_ref(), text.to_owned());
        let file = file.map_err(|error| error.to_string())?;
        hosts(Some(&file), &flags).map_err(|error| error.to_string())
    }

    fn refusal(text: &str) -> String {
        with(Table::default(), text).expect_err(text)
    }

    #[test]
    fn a_host_has_what_the_top_has_unless_it_says_otherwise() {
        let text = "root = \"www\"\nlist = true\n\
                    [[host]]\nnames = [\"a\", \"*.B.\"]\n\
                    [[host]]\nnames = [\"c\"]\nroot = \"/srv/c\"\nlist = false\n";
        let hosts = with(Table::default(), text).expect("valid");
        let seen: Vec<(usize, &Path, bool)> = hosts
            .iter()
            .map(|host| (host.names.len(), host.root.as_path(), host.list))
            .collect();
        let own = Path::new("/etc/www");
        let other = Path::new("/srv/c");
        assert_eq!(seen, [(0, own, true), (2, own, true), (1, other, false)]);
        assert_eq!(hosts[1].names[1].to_string(), "*.b");
    }

    #[test]
    fn flags_win_over_the_top_of_the_file() {
        let flags = Table {
            root: Some("here".into()),
            ..Table::default()
        };
        let text =
            "root = \"www\"\n[[host]]\nnames = [\"a\"]\n[[host]]\nnames = [\"b\"]\nroot = \"b\"";
        let hosts = with(flags.clone(), text).expect("valid");
        let roots: Vec<&Path> = hosts.iter().map(|host| host.root.as_path()).collect();
        assert_eq!(roots, ["here", "here", "/etc/b"].map(Path::new));
        assert!(with(flags.clone(), "").is_ok(), "a file without a root");
        assert!(super::hosts(None, &flags).is_ok(), "no file");
    }

    #[test]
    fn what_cannot_be_is_said_with_its_place() {
        for (text, words) in [
            ("list = true", ":1:1: there is no root; "),
            (
                "root = \"a\"\nnames = [\"b\"]",
                ":2:9: the default host has no names",
            ),
            (
                "root = \"a\"\n[[host]]\nlist = true",
                ":2:1: a host needs names",
            ),
            (
                "root = \"a\"\n[[host]]\nnames = []",
                ":2:1: a host needs names",
            ),
            (
                "root = \"a\"\n[[host]]\nnames = [\"b\", \"c:80\"]",
                ":3:15: \"c:80\" is no name of a host: a name has no port",
            ),
            (
                "root = \"a\"\n[[host]]\nnames = [\"b\"]\n[[host]]\nnames = [\"c\", \"B.\"]",
                ":5:15: there is another host b before",
            ),
            (
                "root = \"a\"\n[[host]]\nnames = [\"b\"]\n[[host.host]]\nnames = [\"c\"]",
                ":4:1: a host stands on its own",
            ),
        ] {
            let why = refusal(text);
            assert!(
                why.starts_with("/etc/site.toml:") && why.contains(words),
                "{why}"
            );
            assert!(!why.contains('\n'), "{why}");
        }
        let many = format!("root = \"a\"\n{}", "[[host]]\n".repeat(MAX_HOSTS));
        assert!(refusal(&many).contains("there are 4097 hosts, and 4096 can be"));
    }
}

//! What is wrong with a setting, and where it was made.

use super::file::{File, Place};
use super::host::MAX_HOSTS;
use crate::http::access::NetworkError;
use crate::http::auth::RealmError;
use crate::http::cors::CorsError;
use crate::http::{HostName, HostNameError, Status};
use crate::password::HashError;
use crate::proxy::UpstreamError;
use crate::site::prefixes::PathError;
use crate::site::rules::RuleError;
use crate::site::{FieldError, MediaTypeError, PatternError};
use std::fmt::{self, Display, Formatter};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A setting that cannot be, and where it was made.
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
    /// An index that no directory has.
    #[error("\"{0}\" is no name of a file in a directory that is served")]
    Index(String),
    /// A field that cannot be.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A pattern that cannot be.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// A media type or charset that cannot be.
    #[error(transparent)]
    MediaType(#[from] MediaTypeError),
    /// Permissions that cannot be.
    #[error(transparent)]
    Cors(#[from] CorsError),
    /// A network that cannot be.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A guard that would be walked around.
    #[error(
        "{0} is the index of its directory, which would not be guarded: write the directory's path"
    )]
    GuardedIndex(String),
    /// A realm that cannot be.
    #[error(transparent)]
    Realm(#[from] RealmError),
    /// A password that cannot be compared with.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// A file of users that cannot be used.
    #[error("the users of {0}")]
    UsersFile(String),
    /// A redirect or a rewrite that cannot be followed.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// No code of a redirect.
    #[error("{0} is no code of a redirect; 301, 302, 303, 307 and 308 are")]
    RedirectCode(u16),
    /// A path that nobody can ask for.
    #[error(transparent)]
    SitePath(#[from] PathError),
    /// Two that say something of one path.
    #[error("there is another table for {0} before")]
    PathTwice(String),
    /// No address of a server.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// Where anybody could change files.
    #[error(
        "anybody could put files beneath {0}: guard it by an [[auth]] table, or say that it is meant so, by \
         anonymous = true or --upload-anonymous"
    )]
    OpenToAll(String),
    /// No error that is ever answered with.
    #[error("\"{0}\" is no status of an error here; there are {errors}", errors = errors())]
    Status(String),
    /// No file of the site.
    #[error("\"{0}\" is no path of a file of the site, as in /404.html")]
    Path(String),
    /// Too little, or too much.
    #[error("{value} is out of range, which is {least} to {most}")]
    Range {
        /// What was asked for.
        value: u64,
        /// The least that can be.
        least: u64,
        /// The most that can be.
        most: u64,
    },
    /// No such time.
    #[error("{value} is no number of seconds from 0 to {most}")]
    Seconds {
        /// What was asked for.
        value: f64,
        /// The most that can be.
        most: f64,
    },
    /// What is not a host's own.
    #[error("this is for all hosts: write it before the first [[host]]")]
    Everywhere,
    /// Two that say the same.
    #[error("{0} is what cors decides about; write it there")]
    CorsTwice(String),
    /// A field in two spellings, of which each response would have both.
    #[error("{0} is there twice, in another spelling")]
    FieldTwice(String),
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

/// All statuses that an error page can be for.
fn errors() -> String {
    let codes = Status::ALL.iter().map(|status| status.code());
    let errors = codes
        .filter(|&code| code >= 400)
        .map(|code| code.to_string());
    errors.collect::<Vec<String>>().join(", ")
}

/// What a table was made of.
#[derive(Debug, Clone, Copy)]
pub enum Source<'f> {
    /// The command line.
    Flags,
    /// A file.
    File(&'f File),
}

impl Source<'_> {
    /// Where a path leads that is written here.
    pub fn locate(self, path: &Path) -> PathBuf {
        match self {
            Source::Flags => path.to_owned(),
            Source::File(file) => file.directory().join(path),
        }
    }

    /// That the value of `key`, which stands in these bytes, cannot be.
    pub fn error(self, key: &'static str, bytes: Range<usize>, why: Problem) -> Error {
        let at = match self {
            Source::Flags => At::Flag(key),
            Source::File(file) => At::File(file.place(bytes)),
        };
        Error { at, why }
    }
}

//! The configuration file as it is written: its keys, and where in it each value stands.

use super::policy::{AccessTable, AuthTable, RedirectTable, RewriteTable};
use super::services::{ProxyTable, UploadTable};
use crate::cli::{self, Compress, Symlinks};
use bytesize::ByteSize;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// The keys of the file, and of each host in it. Which of them have a meaning only in one of the two places, the
/// validation says.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Table {
    /// Names of the host.
    pub names: Option<Spanned<Vec<Spanned<String>>>>,
    /// The other hosts.
    pub host: Vec<Spanned<Table>>,
    /// Directory to serve.
    pub root: Option<PathBuf>,
    /// Whether directories without an index are listed.
    pub list: Option<bool>,
    /// Which symbolic links are followed.
    pub symlinks: Option<Symlinks>,
    /// Whether files are served whose names begin with a dot.
    pub dotfiles: Option<bool>,
    /// What directories are answered with.
    pub index: Option<Vec<Spanned<String>>>,
    /// How hard text is compressed.
    pub compress: Option<Compress>,
    /// What text is written in.
    pub charset: Option<Spanned<String>>,
    /// Media types by extension or name.
    pub mime: Option<BTreeMap<String, Spanned<String>>>,
    /// `Cache-Control` of all files.
    pub cache_control: Option<Spanned<String>>,
    /// Rules for the fields of responses.
    pub headers: Option<Vec<HeadersTable>>,
    /// Whose scripts may read what is sent.
    pub cors: Option<Spanned<CorsTable>>,
    /// Files that tell of errors, by status.
    pub error_page: Option<BTreeMap<String, Spanned<String>>>,
    /// The file that is sent for what is not there.
    pub spa: Option<Spanned<Spa>>,
    /// Where the server says whether it is well; off: nowhere.
    pub health_path: Option<Spanned<String>>,
    /// Who may ask for what.
    pub access: Option<Vec<AccessTable>>,
    /// Who must prove to be somebody.
    pub auth: Option<Vec<AuthTable>>,
    /// Paths that clients are sent away from.
    pub redirect: Option<Vec<RedirectTable>>,
    /// Paths that stand for others.
    pub rewrite: Option<Vec<RewriteTable>>,
    /// What other servers answer.
    pub proxy: Option<Vec<ProxyTable>>,
    /// Where files may be put.
    pub upload: Option<Vec<UploadTable>>,
    /// Bytes of files in memory.
    pub cache: Option<Spanned<ByteSize>>,
    /// How long what is known of a file is believed, seconds.
    pub revalidate: Option<Spanned<f64>>,
    /// The longest request line.
    pub max_request_line_bytes: Option<Spanned<ByteSize>>,
    /// The longest head.
    pub max_head_bytes: Option<Spanned<ByteSize>>,
    /// The most fields.
    pub max_fields: Option<Spanned<u64>>,
    /// The longest body.
    pub max_body_bytes: Option<Spanned<ByteSize>>,
    /// The longest line with a chunk's size.
    pub max_chunk_line_bytes: Option<Spanned<ByteSize>>,
    /// The longest trailer section.
    pub max_trailer_bytes: Option<Spanned<ByteSize>>,
}

impl Table {
    /// Where something stands that no host has for itself.
    pub fn of_all_hosts(&self) -> Option<Range<usize>> {
        let sizes = [
            &self.cache,
            &self.max_request_line_bytes,
            &self.max_head_bytes,
            &self.max_body_bytes,
            &self.max_chunk_line_bytes,
            &self.max_trailer_bytes,
        ];
        let sizes = sizes.into_iter().flatten().map(Spanned::span);
        sizes
            .chain(self.max_fields.as_ref().map(Spanned::span))
            .chain(self.revalidate.as_ref().map(Spanned::span))
            .next()
    }
}

/// A rule for the fields of some files' responses.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadersTable {
    /// Which files.
    pub r#match: Spanned<String>,
    /// Fields that they get.
    #[serde(default)]
    pub set: BTreeMap<String, Spanned<String>>,
    /// Fields that they lose.
    #[serde(default)]
    pub remove: Vec<Spanned<String>>,
}

/// Which file is sent for what is not there.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected true, false or the path of a file")]
pub enum Spa {
    /// The usual one, or none.
    Usual(bool),
    /// This one.
    Path(String),
}

/// What other sites' scripts are allowed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CorsTable {
    /// Whose scripts.
    pub origins: Vec<String>,
    /// With which methods.
    #[serde(default = "reading")]
    pub methods: Vec<String>,
    /// With which fields.
    #[serde(default)]
    pub headers: Vec<String>,
    /// Which fields of responses they may read.
    #[serde(default)]
    pub expose: Vec<String>,
    /// How long that may be remembered, seconds.
    pub max_age: Option<u32>,
    /// With passwords and cookies.
    #[serde(default)]
    pub credentials: bool,
}

fn reading() -> Vec<String> {
    ["GET", "HEAD"].map(str::to_owned).to_vec()
}

/// The flags, as if they stood in a file.
impl From<(&cli::Site, &cli::Requests)> for Table {
    fn from((flags, requests): (&cli::Site, &cli::Requests)) -> Table {
        let pages = !flags.error_page.is_empty();
        let page = |(status, path)| (status, flag(path));
        let proxy = |(path, to)| ProxyTable {
            path: flag(path),
            to: flag(to),
        };
        let upload = |path| UploadTable {
            path: flag(path),
            max_bytes: flags.upload_max_bytes,
            anonymous: flags.upload_anonymous,
        };
        Table {
            root: flags.root.clone(),
            list: flags.list.then_some(true),
            symlinks: flags.symlinks,
            dotfiles: flags.dotfiles.then_some(true),
            index: flags
                .index
                .as_ref()
                .map(|names| names.iter().cloned().map(flag).collect()),
            compress: flags.compress,
            cache_control: flags.cache_control.clone().map(flag),
            error_page: pages.then(|| flags.error_page.iter().cloned().map(page).collect()),
            spa: flags.spa.clone().map(Spa::Path).map(flag),
            proxy: some_of(flags.proxy.iter().cloned().map(proxy)),
            upload: some_of(flags.upload.iter().cloned().map(upload)),
            health_path: flags.health_path.clone().map(flag),
            cache: flags.cache.map(flag),
            revalidate: flags.revalidate.map(flag),
            max_request_line_bytes: requests.max_request_line_bytes.map(flag),
            max_head_bytes: requests.max_head_bytes.map(flag),
            max_fields: requests.max_fields.map(flag),
            max_body_bytes: requests.max_body_bytes.map(flag),
            max_chunk_line_bytes: requests.max_chunk_line_bytes.map(flag),
            max_trailer_bytes: requests.max_trailer_bytes.map(flag),
            ..Table::default()
        }
    }
}

/// All of them, if there are any.
fn some_of<T>(values: impl Iterator<Item = T>) -> Option<Vec<T>> {
    let values: Vec<T> = values.collect();
    (!values.is_empty()).then_some(values)
}

/// A value that stands nowhere in a file.
fn flag<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

/// A configuration file that was read.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    text: String,
}

/// Why a file is no configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It cannot be read.
    #[error("cannot read the configuration file {}: {why}", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// It is no TOML, or has keys and values that are not known.
    #[error("{place}: {why}")]
    Parse {
        /// Where.
        place: Place,
        /// What the parser said.
        why: String,
    },
}

impl File {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// It cannot be read, or is no configuration.
    pub fn read(path: &Path) -> Result<(File, Table), ReadError> {
        let text = std::fs::read_to_string(path).map_err(|error| ReadError::Read {
            path: path.to_owned(),
            why: error.to_string(),
        })?;
        File::parse(path, text)
    }

    /// Takes `text` as what was read at `path`.
    ///
    /// # Errors
    /// It is no configuration.
    pub fn parse(path: &Path, text: String) -> Result<(File, Table), ReadError> {
        let path = path.to_owned();
        let file = File { path, text };
        match toml::from_str(&file.text) {
            Ok(table) => Ok((file, table)),
            Err(error) => Err(ReadError::Parse {
                place: file.place(error.span().unwrap_or_default()),
                why: error.message().trim().replace('\n', ", "),
            }),
        }
    }

    /// The directory that relative paths in the file begin at.
    pub fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// Where something begins that stands in these bytes.
    pub fn place(&self, bytes: Range<usize>) -> Place {
        let before = self.text.get(..bytes.start).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        Place {
            path: self.path.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// A place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// Its line, from 1 on.
    pub line: usize,
    /// The character in that line, from 1 on.
    pub column: usize,
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.path.display(), self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_configuration_is_said_with_its_place() {
        let refusal = |text: &str| {
            let parsed = File::parse("dir/a.toml".as_ref(), text.to_owned());
            parsed.map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(refusal(""), Ok(()));
        for (text, begin, words) in [
            ("a = ", "dir/a.toml:1:", "value"),
            ("list = true\nröot = \"x\"", "dir/a.toml:2:", "r"),
            (
                "\n  rot = \"x\"\n",
                "dir/a.toml:2:3: ",
                "unknown field `rot`",
            ),
            ("list = \"yes\"", "dir/a.toml:1:8: ", "boolean"),
            (
                "[[host]]\nnames = [\"a\", 1]\n",
                "dir/a.toml:2:15: ",
                "string",
            ),
            (
                "[[host]]\nnmaes = [\"a\"]\n",
                "dir/a.toml:2:1: ",
                "unknown field `nmaes`",
            ),
        ] {
            let why = refusal(text).expect_err(text);
            assert!(
                why.starts_with(begin) && why.contains(words),
                "{text:?}: {why}"
            );
            assert!(!why.contains('\n'), "{why}");
        }
    }
}

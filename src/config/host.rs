//! The settings of one host: built-in ones, and what the file and the flags put in their place.

use super::file::{CorsTable, File, HeadersTable, Place, Spa, Table};
use crate::cli;
use crate::http::cors::{Allowed, Cors, CorsError};
use crate::http::{self, HostName, HostNameError, Status};
use crate::site::resolve::resolve;
use crate::site::{
    Compress, Field, FieldError, MediaTypeError, Pattern, PatternError, Rule, Settings, field_name,
};
use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};
use std::ops::Range;
use std::path::PathBuf;
use toml::Spanned;

/// Hosts that a server may have: each keeps its directory open.
pub const MAX_HOSTS: usize = 4_096;

/// What answers for any page, if nothing else is said.
const USUAL_PAGE: &str = "/index.html";

/// What one host serves, and how.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its names; the default host has none.
    pub names: Vec<HostName>,
    /// The directory served.
    pub root: PathBuf,
    /// How its files are looked up and loaded.
    pub files: Settings,
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
    /// What is not a host's own.
    #[error("this is for all hosts: write it before the first [[host]]")]
    Everywhere,
    /// Two that say the same.
    #[error("{0} is what cors decides about; write it there")]
    CorsTwice(String),
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
pub(super) enum Source<'f> {
    Flags,
    File(&'f File),
}

impl Source<'_> {
    /// That the value of `key`, which stands in these bytes, cannot be.
    pub(super) fn error(self, key: &'static str, bytes: Range<usize>, why: Problem) -> Error {
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
        files: Settings::default(),
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
        if let Some(span) = table.of_all_hosts() {
            return Err(source.error("host", span, Problem::Everywhere));
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
        self.set_files(table, source)?;
        self.set_headers(table, source)?;
        self.set_pages(table, source)?;
        if let Some(cors) = &table.cors {
            let built = Cors::new(&allowed(cors.get_ref()));
            let error = |why: CorsError| source.error("cors", cors.span(), why.into());
            self.http.cors = Some(built.map_err(error)?);
        }
        Ok(())
    }

    /// What files are, and how they are found.
    fn set_files(&mut self, table: &Table, source: Source<'_>) -> Result<(), Error> {
        let files = &mut self.files;
        if let Some(list) = table.list {
            files.list = list;
        }
        if let Some(index) = &table.index {
            if let Some(bad) = index.iter().find(|name| !is_file_name(name.get_ref())) {
                let why = Problem::Index(bad.get_ref().clone());
                return Err(source.error("index", bad.span(), why));
            }
            files.index = index.iter().map(|name| name.get_ref().clone()).collect();
        }
        if let Some(compress) = table.compress {
            files.compress = match compress {
                cli::Compress::Off => Compress::Off,
                cli::Compress::Fast => Compress::Fast,
                cli::Compress::Best => Compress::Best,
            };
        }
        if let Some(types) = &table.mime {
            files.media_types.clear();
            for (name, media_type) in types {
                let set = files.media_types.set(name, media_type.get_ref());
                set.map_err(|why| source.error("mime", media_type.span(), why.into()))?;
            }
        }
        if let Some(charset) = &table.charset {
            let set = files.media_types.set_charset(charset.get_ref());
            set.map_err(|why| source.error("charset", charset.span(), why.into()))?;
        }
        Ok(())
    }

    /// What is sent when a file is not to be had.
    fn set_pages(&mut self, table: &Table, source: Source<'_>) -> Result<(), Error> {
        if let Some(pages) = &table.error_page {
            self.http.error_pages.clear();
            for (status, path) in pages {
                let error = |why| source.error("error-page", path.span(), why);
                let status = error_status(status).map_err(error)?;
                let name = file_name(path.get_ref()).map_err(error)?;
                self.http.error_pages.insert(status, name);
            }
        }
        if let Some(spa) = &table.spa {
            let name = match spa.get_ref() {
                Spa::Usual(false) => Ok(None),
                Spa::Usual(true) => file_name(USUAL_PAGE).map(Some),
                Spa::Path(path) => file_name(path).map(Some),
            };
            self.http.fallback = name.map_err(|why| source.error("spa", spa.span(), why))?;
        }
        Ok(())
    }

    /// What else responses with files say.
    fn set_headers(&mut self, table: &Table, source: Source<'_>) -> Result<(), Error> {
        if let Some(value) = &table.cache_control {
            let error = |why: FieldError| source.error("cache-control", value.span(), why.into());
            let field = Field::new("Cache-Control", value.get_ref()).map_err(error)?;
            self.files.headers.cache_control = Some(field);
        }
        if let Some(rules) = &table.headers {
            let rules = rules.iter().map(|table| rule(table, source));
            self.files.headers.rules = rules.collect::<Result<_, _>>()?;
        }
        Ok(())
    }
}

/// The status of an error that may have a page of its own.
fn error_status(text: &str) -> Result<u16, Problem> {
    let errors = Status::ALL.iter().map(|status| status.code());
    let mut errors = errors.filter(|&code| code >= 400);
    let wanted = text.parse().ok();
    errors
        .find(|&code| Some(code) == wanted)
        .ok_or_else(|| Problem::Status(text.to_owned()))
}

/// The name of the file that a path of the site stands for.
fn file_name(path: &str) -> Result<Box<[u8]>, Problem> {
    let mut name = Vec::new();
    match resolve(path.as_bytes(), &mut name) {
        Ok(()) if !name.is_empty() && !name.ends_with(b"/") => Ok(name.into()),
        _ => Err(Problem::Path(path.to_owned())),
    }
}

/// Whether a directory may have a file of this name that is served.
fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0'])
}

fn rule(table: &HeadersTable, source: Source<'_>) -> Result<Rule, Error> {
    let error = |span, why| source.error("headers", span, why);
    // Of a field that both decided about there would be two.
    let is_free = |name: &str| match name.to_ascii_lowercase().starts_with("access-control-") {
        true => Err(Problem::CorsTwice(name.to_owned())),
        false => Ok(()),
    };
    let pattern = &table.r#match;
    let pattern = Pattern::new(pattern.get_ref()).map_err(|why| error(pattern.span(), why.into()));
    let set = table.set.iter().map(|(name, value)| {
        let field = Field::new(name, value.get_ref()).map_err(Problem::from);
        let checked = field.and_then(|field| is_free(name).map(|()| field));
        checked.map_err(|why| error(value.span(), why))
    });
    let remove = table
        .remove
        .iter()
        .map(|name| field_name(name.get_ref()).map_err(|why| error(name.span(), why.into())));
    Ok(Rule {
        pattern: pattern?,
        set: set.collect::<Result<_, _>>()?,
        remove: remove.collect::<Result<_, _>>()?,
    })
}

fn allowed(table: &CorsTable) -> Allowed {
    Allowed {
        origins: table.origins.clone(),
        methods: table.methods.clone(),
        headers: table.headers.clone(),
        expose: table.expose.clone(),
        max_age_s: table.max_age,
        credentials: table.credentials,
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
            .map(|host| (host.names.len(), host.root.as_path(), host.files.list))
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

    #[test]
    fn settings_of_files_become_those_of_the_site() {
        let text = r#"
            root = "www"
            index = ["index.html", "index.htm"]
            compress = "fast"
            charset = "koi8-r"
            cache-control = "no-cache"
            mime = { md = "text/markdown", "LICENSE" = "text/plain; charset=us-ascii" }
            cors = { origins = ["https://a.example"], max-age = 60 }
            [[headers]]
            match = "*.css"
            set = { Cache-Control = "max-age=60", X-A = "1" }
            remove = ["X-Content-Type-Options"]
            [[host]]
            names = ["b"]
            compress = "off"
            headers = []
            mime = {}
        "#;
        let flags = Table {
            compress: Some(cli::Compress::Best),
            ..Table::default()
        };
        let hosts = with(flags, text).expect("valid");
        let files: Vec<&Settings> = hosts.iter().map(|host| &host.files).collect();
        assert_eq!(files[1].index, ["index.html", "index.htm"]);
        let compress = [files[0].compress, files[1].compress];
        assert_eq!(compress, [Compress::Best, Compress::Off]);
        let types = ["a.md", "LICENSE"].map(|name| files[0].media_types.of(name.as_bytes()));
        assert_eq!(
            types,
            [
                "text/markdown; charset=koi8-r",
                "text/plain; charset=us-ascii"
            ]
        );
        assert_eq!(
            files[1].media_types.of(b"LICENSE"),
            "application/octet-stream"
        );
        let fields = files[0].headers.of(b"a.css");
        assert_eq!(fields.for_caches, "Cache-Control: max-age=60\r\n");
        assert_eq!(fields.others, "X-A: 1\r\n");
        assert_eq!(
            files[1].headers.of(b"a.css").for_caches,
            "Cache-Control: no-cache\r\n"
        );
        assert!(hosts.iter().all(|host| host.http.cors.is_some()));
    }

    #[test]
    fn settings_of_files_that_cannot_be() {
        for (text, words) in [
            (
                "index = [\"a\", \"b/c\"]",
                ":2:15: \"b/c\" is no name of a file",
            ),
            ("index = [\".a\"]", ":2:10: \".a\" is no name of a file"),
            ("compress = \"hard\"", ":2:12: unknown variant `hard`"),
            (
                "charset = \"a b\"",
                ":2:11: \"a b\" is no name of a charset",
            ),
            ("mime = { a = \"b\" }", ":2:14: \"b\" is no media type"),
            (
                "cache-control = \"\"",
                ":2:17: the value of Cache-Control is empty",
            ),
            ("[[headers]]\nset = {}", ":2:1: missing field `match`"),
            ("[[headers]]\nmatch = \"a/b\"", ":3:9: \"a/b\" has a slash"),
            ("[[headers]]\nmatch = \"[a\"", ":3:9: \"[a\" is no pattern"),
            (
                "[[headers]]\nmatch = \"*\"\nset = { X-A = \"1\", date = \"2\" }",
                ":4:27: date can be neither set nor removed",
            ),
            (
                "[[headers]]\nmatch = \"*\"\nset = { X-A = \"a\\nb\" }",
                ":4:15: the value of X-A",
            ),
            (
                "[[headers]]\nmatch = \"*\"\nremove = [\"Content-Length\"]",
                ":4:11: Content-Length can be neither",
            ),
            (
                "[[headers]]\nmatch = \"*\"\nset = { Access-Control-Max-Age = \"1\" }",
                ":4:34: Access-Control-Max-Age is what cors decides about",
            ),
            (
                "[[host]]\nnames = [\"b\"]\nmax-fields = 5",
                ":4:14: this is for all hosts",
            ),
            (
                "error-page = { 200 = \"/a\" }",
                ":2:22: \"200\" is no status of an error here; there are 400, 403, ",
            ),
            (
                "error-page = { 404 = \"a\" }",
                ":2:22: \"a\" is no path of a file",
            ),
            (
                "error-page = { 404 = \"/a/\" }",
                ":2:22: \"/a/\" is no path of a file",
            ),
            (
                "error-page = { 404 = \"/../a\" }",
                ":2:22: \"/../a\" is no path of a file",
            ),
            ("spa = \"/.git\"", ":2:7: \"/.git\" is no path of a file"),
            ("spa = 1", ":2:7: expected true, false or the path"),
            ("cors = { origins = [] }", ":2:8: origins is empty"),
            (
                "cors = { origins = [\"*\"], credentials = true }",
                ":2:8: credentials are never sent for",
            ),
            ("[cors]\norigins = [\"a\"]", ": \"a\" is no origin"),
            ("[cors]\norigin = [\"*\"]", ":3:1: unknown field `origin`"),
        ] {
            let why = refusal(&format!("root = \"a\"\n{text}"));
            assert!(
                why.starts_with("/etc/site.toml:") && why.contains(words),
                "{why}"
            );
            assert!(!why.contains('\n'), "{why}");
        }
    }

    #[test]
    fn flags_that_cannot_be_are_named() {
        let spanned = |text: &str| Spanned::new(0..0, text.to_owned());
        let flags = Table {
            root: Some("a".into()),
            ..Table::default()
        };
        for (flags, words) in [
            (Table::default(), "--root: there is no root"),
            (
                Table {
                    index: Some(vec![spanned("a/b")]),
                    ..flags.clone()
                },
                "--index: \"a/b\" is no name",
            ),
            (
                Table {
                    cache_control: Some(spanned("a\nb")),
                    ..flags.clone()
                },
                "--cache-control: the value of Cache-Control",
            ),
        ] {
            let why = super::hosts(None, &flags).expect_err(words).to_string();
            assert!(why.starts_with(words), "{why}");
        }
    }

    #[test]
    fn pages_are_names_of_files() {
        let text = r#"
            root = "www"
            spa = true
            [error-page]
            404 = "/errors/404.html"
            503 = "/b%20usy.html"
            [[host]]
            names = ["b"]
            spa = false
            error-page = { 404 = "/other.html" }
        "#;
        let hosts = with(Table::default(), text).expect("valid");
        let pages = |host: &Host| {
            let pages = host.http.error_pages.clone().into_iter();
            pages
                .map(|(status, name)| (status, name.into_vec()))
                .collect::<Vec<_>>()
        };
        let busy = (503, b"b usy.html".to_vec());
        assert_eq!(pages(&hosts[0]), [(404, b"errors/404.html".to_vec()), busy]);
        assert_eq!(pages(&hosts[1]), [(404, b"other.html".to_vec())]);
        assert_eq!(hosts[0].http.fallback.as_deref(), Some(&b"index.html"[..]));
        assert_eq!(hosts[1].http.fallback, None);
    }
}

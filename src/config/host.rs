//! The settings of one host: built-in ones, and what the file and the flags put in their place.

use super::error::{Error, Problem, Source};
use super::file::{CorsTable, File, HeadersTable, Spa, Table};
use super::policy;
use super::services::{self, Service};
use crate::cli;
use crate::http::cors::{Allowed, Cors, CorsError};
use crate::http::{self, HostName, Status};
use crate::site::beneath::Symlinks;
use crate::site::prefixes::name_of;
use crate::site::resolve::Dotfiles;
use crate::site::{Compress, Field, FieldError, Pattern, Rule, Settings, field_name};
use std::collections::BTreeSet;
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
    /// What of it is not read from its files.
    pub services: Vec<Service>,
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
        services: Vec::new(),
    };
    let mut has_root = false;
    let tables = file.map(|(file, table)| (table, Source::File(file)));
    for (table, source) in tables.into_iter().chain([(flags, Source::Flags)]) {
        if let Some(names) = &table.names {
            return Err(source.error("names", names.span(), Problem::Named));
        }
        default.set(table, source)?;
        services::check(&default.services, &default.http.policy, table, 0..0, source)?;
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
        services::check(&self.services, &self.http.policy, table, span, source)?;
        Ok(self)
    }

    /// Puts what `table` has in the place of what was there.
    fn set(&mut self, table: &Table, source: Source<'_>) -> Result<(), Error> {
        if let Some(root) = &table.root {
            self.root = source.locate(root);
        }
        self.set_files(table, source)?;
        self.set_headers(table, source)?;
        self.set_pages(table, source)?;
        policy::set(&mut self.http.policy, table, &self.files.index, source)?;
        services::set(&mut self.services, table, source)?;
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
            self.http.lists = list;
        }
        if let Some(symlinks) = table.symlinks {
            files.symlinks = match symlinks {
                cli::Symlinks::Never => Symlinks::Never,
                cli::Symlinks::Inside => Symlinks::Inside,
                cli::Symlinks::Always => Symlinks::Always,
            };
        }
        if let Some(dotfiles) = table.dotfiles {
            files.dotfiles = match dotfiles {
                true => Dotfiles::Served,
                false => Dotfiles::Hidden,
            };
            self.http.dotfiles = files.dotfiles;
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
    match name_of(path) {
        Ok(name) if !name.is_empty() && !name.ends_with(b"/") => Ok(name.into()),
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
    let mut names = BTreeSet::new();
    let set = table.set.iter().map(|(name, value)| {
        let field = Field::new(name, value.get_ref()).map_err(Problem::from);
        let is_new = match names.insert(name.to_ascii_lowercase()) {
            true => Ok(()),
            false => Err(Problem::FieldTwice(name.clone())),
        };
        let checked = field.and_then(|field| is_free(name).and(is_new).map(|()| field));
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
mod tests;

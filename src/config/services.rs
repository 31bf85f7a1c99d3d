//! What of a host is not read from its files: what a server behind this one answers, and where files may be put.

use super::error::{Error, Problem, Source};
use super::file::Table;
use crate::exchange::ServiceId;
use crate::http::Policy;
use crate::http::call::{self, Kind};
use crate::proxy::Upstream;
use crate::site::prefixes::name_of;
use bytesize::ByteSize;
use serde::Deserialize;
use std::ops::Range;
use toml::Spanned;

/// The largest file that may be put somewhere, if nothing else is said.
pub const MAX_UPLOAD: ByteSize = ByteSize::gib(1);

/// What lies beneath a path, another server answers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyTable {
    /// The path.
    pub path: Spanned<String>,
    /// The server.
    pub to: Spanned<String>,
}

/// Files may be put beneath a path, and deleted.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct UploadTable {
    /// The path.
    pub path: Spanned<String>,
    /// The largest of them.
    pub max_bytes: Option<ByteSize>,
    /// By anybody.
    #[serde(default)]
    pub anonymous: bool,
}

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// The path that it has all of.
    pub path: String,
    /// What it does.
    pub work: Work,
}

/// What a service does.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// It asks that server.
    Proxy(Upstream),
    /// It stores files.
    Upload {
        /// The largest.
        max_bytes: u64,
        /// By anybody.
        anonymous: bool,
    },
}

impl Service {
    /// What requests are compared with, under this number.
    pub fn numbered(&self, number: u32) -> call::Service {
        call::Service {
            id: ServiceId(number),
            kind: match self.work {
                Work::Proxy(_) => Kind::Proxy,
                Work::Upload { .. } => Kind::Upload,
            },
        }
    }
}

/// Puts what `table` has in the place of what was there.
///
/// # Errors
/// The first setting that cannot be.
pub fn set(services: &mut Vec<Service>, table: &Table, source: Source<'_>) -> Result<(), Error> {
    if let Some(proxies) = &table.proxy {
        services.retain(|service| !matches!(service.work, Work::Proxy(_)));
        for proxy in proxies {
            let to = proxy.to.get_ref().parse();
            let to = to.map_err(|why: crate::proxy::UpstreamError| {
                source.error("proxy", proxy.to.span(), why.into())
            })?;
            add(services, "proxy", &proxy.path, Work::Proxy(to), source)?;
        }
    }
    if let Some(uploads) = &table.upload {
        services.retain(|service| matches!(service.work, Work::Proxy(_)));
        for upload in uploads {
            let work = Work::Upload {
                max_bytes: upload.max_bytes.unwrap_or(MAX_UPLOAD).as_u64(),
                anonymous: upload.anonymous,
            };
            add(services, "upload", &upload.path, work, source)?;
        }
    }
    Ok(())
}

fn add(
    services: &mut Vec<Service>,
    key: &'static str,
    path: &Spanned<String>,
    work: Work,
    source: Source<'_>,
) -> Result<(), Error> {
    let error = |why| source.error(key, path.span(), why);
    let name = prefix(path.get_ref()).map_err(|why| error(why.into()))?;
    let is_same = |service: &Service| prefix(&service.path).as_ref() == Ok(&name);
    if services.iter().any(is_same) {
        return Err(error(Problem::PathTwice(path.get_ref().clone())));
    }
    services.push(Service {
        path: path.get_ref().clone(),
        work,
    });
    Ok(())
}

/// The name of a path, with or without its last slash.
fn prefix(path: &str) -> Result<Vec<u8>, crate::site::prefixes::PathError> {
    let mut name = name_of(path)?;
    if name.ends_with(b"/") {
        name.pop();
    }
    Ok(name)
}

/// That nobody may change files without a password where that is not said: all passwords of the host are known now.
/// `table` is what made it as it is, which begins at `span`.
///
/// # Errors
/// The first path that is open to all and should not be.
pub fn check(
    services: &[Service],
    policy: &Policy,
    table: &Table,
    span: Range<usize>,
    source: Source<'_>,
) -> Result<(), Error> {
    for service in services {
        let name = prefix(&service.path).unwrap_or_default();
        let is_guarded = !matches!(
            service.work,
            Work::Upload {
                anonymous: false,
                ..
            }
        );
        if is_guarded || policy.realm(&name).is_some() {
            continue;
        }
        let uploads = table.upload.iter().flatten();
        let mut own = uploads.filter(|upload| *upload.path.get_ref() == service.path);
        let span = own.next().map_or(span, |upload| upload.path.span());
        return Err(source.error("upload", span, Problem::OpenToAll(service.path.clone())));
    }
    Ok(())
}

//! What of a host's settings is decided before a file is looked for: who may ask for what, who must prove to be
//! somebody, and which paths lead elsewhere.

use super::error::{Error, Problem, Source};
use super::file::Table;
use crate::http::Policy;
use crate::http::access::{Admission, Network, Networks};
use crate::http::auth::Realm;
use crate::password::{Hash, parse_file};
use crate::site::prefixes::Prefixes;
use crate::site::rules::{Code, Rules, Scope};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use toml::Spanned;

/// Who may ask for what is beneath a path. Who is denied may not; if some are allowed, nobody else may.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessTable {
    path: Spanned<String>,
    allow: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    deny: Vec<Spanned<String>>,
}

/// Who must prove to be one of these users for what is beneath a path.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AuthTable {
    path: Spanned<String>,
    realm: Spanned<String>,
    /// Hashes by name.
    #[serde(default)]
    users: BTreeMap<String, Spanned<String>>,
    /// A file of such, as `htpasswd -B` makes it.
    users_file: Option<Spanned<PathBuf>>,
}

/// Where clients that ask for a path are sent.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedirectTable {
    from: Spanned<String>,
    to: String,
    #[serde(default)]
    prefix: bool,
    code: Option<Spanned<u16>>,
}

/// What is looked up instead of a path.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewriteTable {
    from: Spanned<String>,
    to: String,
    #[serde(default)]
    prefix: bool,
}

/// Puts what `table` has in the place of what `policy` had; `index` are the names of the host's indices.
///
/// # Errors
/// The first setting that cannot be.
pub fn set(
    policy: &mut Policy,
    table: &Table,
    index: &[String],
    source: Source<'_>,
) -> Result<(), Error> {
    if let Some(path) = &table.health_path {
        let error = |why| source.error("health-path", path.span(), Problem::from(why));
        let path = Some(path.get_ref().as_str()).filter(|path| *path != "off");
        policy.set_health_path(path).map_err(error)?;
    }
    if let Some(tables) = &table.access {
        policy.access = Prefixes::default();
        for table in tables {
            insert(
                &mut policy.access,
                &table.path,
                networks(table, source)?,
                index,
                source,
            )?;
        }
    }
    if let Some(tables) = &table.auth {
        policy.auth = Prefixes::default();
        for table in tables {
            insert(
                &mut policy.auth,
                &table.path,
                realm(table, source)?,
                index,
                source,
            )?;
        }
    }
    if table.redirect.is_some() || table.rewrite.is_some() {
        policy.rules = Rules::default();
    }
    for table in table.redirect.iter().flatten() {
        let code = code(table, source)?;
        let added =
            policy
                .rules
                .redirect(scope(table.prefix), table.from.get_ref(), code, &table.to);
        added.map_err(|why| source.error("redirect", table.from.span(), why.into()))?;
    }
    for table in table.rewrite.iter().flatten() {
        let added = policy
            .rules
            .rewrite(scope(table.prefix), table.from.get_ref(), &table.to);
        added.map_err(|why| source.error("rewrite", table.from.span(), why.into()))?;
    }
    Ok(())
}

/// Says of what is beneath `path`, of which nothing has been said. That of an index would not be that of its directory,
/// which is the same to everybody.
fn insert<T>(
    prefixes: &mut Prefixes<T>,
    path: &Spanned<String>,
    value: T,
    index: &[String],
    source: Source<'_>,
) -> Result<(), Error> {
    let last = path.get_ref().rsplit('/').next();
    if let Some(name) = index.iter().find(|name| Some(name.as_str()) == last) {
        let why = Problem::GuardedIndex(name.clone());
        return Err(source.error("path", path.span(), why));
    }
    let why = match prefixes.insert(path.get_ref(), value) {
        Ok(None) => return Ok(()),
        Ok(Some(_)) => Problem::PathTwice(path.get_ref().clone()),
        Err(why) => why.into(),
    };
    Err(source.error("path", path.span(), why))
}

fn networks(table: &AccessTable, source: Source<'_>) -> Result<Networks, Error> {
    let network = |admission| {
        move |text: &Spanned<String>| {
            let parsed = text.get_ref().parse::<Network>();
            let error = |why| source.error("access", text.span(), Problem::from(why));
            parsed.map(|network| (admission, network)).map_err(error)
        }
    };
    let mut list = table
        .deny
        .iter()
        .map(network(Admission::Deny))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(allow) = &table.allow {
        for text in allow {
            list.push(network(Admission::Allow)(text)?);
        }
        list.push((Admission::Deny, Network::ALL));
    }
    Ok(Networks::new(list))
}

fn realm(table: &AuthTable, source: Source<'_>) -> Result<Realm, Error> {
    let mut users = Vec::new();
    for (user, hash) in &table.users {
        let parsed: Result<Hash, _> = hash.get_ref().parse();
        let error = |why| source.error("users", hash.span(), Problem::from(why));
        users.push((user.clone(), parsed.map_err(error)?));
    }
    if let Some(path) = &table.users_file {
        let span = path.span();
        let error = |why: String| {
            let path = path.get_ref().display();
            let why = Problem::UsersFile(format!("{path}: {why}"));
            source.error("users-file", span.clone(), why)
        };
        let text = std::fs::read_to_string(source.locate(path.get_ref()));
        let text = text.map_err(|why| error(why.to_string()))?;
        users.extend(parse_file(&text).map_err(|why| error(why.to_string()))?);
    }
    let made = Realm::new(table.realm.get_ref(), users);
    made.map_err(|why| source.error("auth", table.realm.span(), why.into()))
}

fn scope(is_prefix: bool) -> Scope {
    match is_prefix {
        true => Scope::Prefix,
        false => Scope::Exact,
    }
}

fn code(table: &RedirectTable, source: Source<'_>) -> Result<Code, Error> {
    let Some(code) = &table.code else {
        return Ok(Code::Found);
    };
    match code.get_ref() {
        301 => Ok(Code::MovedPermanently),
        302 => Ok(Code::Found),
        303 => Ok(Code::SeeOther),
        307 => Ok(Code::TemporaryRedirect),
        308 => Ok(Code::PermanentRedirect),
        other => Err(source.error("redirect", code.span(), Problem::RedirectCode(*other))),
    }
}

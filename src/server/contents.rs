//! What workers serve: directories, hosts, services, and who waits how long for them.

use super::Error;
use crate::config::{self, Config};
use crate::fleet::Serves;
use crate::http::Hosts;
use crate::services::Services;
use crate::site::{Patience, Root, Roots, Store};
use crate::upload::Inbox;
use std::sync::Arc;
use tokio::runtime::Handle;

/// The directories of all hosts, open.
pub(super) fn roots(hosts: &[config::Host]) -> Result<Roots, Error> {
    let open = |host: &config::Host| Ok(Root::open(&host.root)?.with(host.files.clone()));
    let roots = hosts
        .iter()
        .map(open)
        .collect::<Result<Vec<Root>, Error>>()?;
    let mut roots = Roots::new(roots);
    if let Err(error) = roots.watch() {
        tracing::info!(
            "directories are not watched (inotify): {error}; files are looked at instead"
        );
    }
    Ok(roots)
}

/// The same hosts by name.
pub(super) fn hosts(hosts: &[config::Host]) -> Hosts {
    let mut count = 0;
    let mut hosts = hosts.iter().map(|host| {
        let mut http = host.http.clone();
        for service in &host.services {
            // The configuration has no paths that are none.
            let _ = http.services.insert(&service.path, service.numbered(count));
            count += 1;
        }
        (host, http)
    });
    let default = hosts.next().map(|(_, http)| http);
    let mut by_name = Hosts::new(default.unwrap_or_default());
    hosts.for_each(|(host, http)| by_name.add(&host.names, http));
    by_name
}

/// All of it, for so many workers.
pub(super) fn serves(
    config: &Config,
    roots: Arc<Roots>,
    hosts: Arc<Hosts>,
    workers: usize,
    passwords: &Handle,
) -> Serves {
    let all = config.hosts.iter().flat_map(|host| &host.services);
    let inbox =
        |max_bytes| Inbox::new(roots.clone(), hosts.clone(), max_bytes, config.file_timeout);
    let services = Services::new(all, config.proxy_timeout, inbox);
    let (at_once, lost) = config::files_at_once(workers);
    Serves {
        passwords: passwords.clone(),
        roots,
        store: Arc::new(Store::new(config.cache)),
        hosts,
        requests: config.requests,
        services,
        exchanges: (config.exchanges / workers).max(1),
        patience: Patience {
            at_once,
            lost,
            limit: config.file_timeout,
        },
    }
}

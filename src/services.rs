//! What answers requests elsewhere than on the packet threads, by the number under which
//! [`http`](crate::http) knows it.

use crate::config::services::{Service, Work};
use crate::exchange::{Call, Side};
use crate::proxy::Proxy;
use crate::upload::Inbox;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// All services of a server, by [`ServiceId`](crate::exchange::ServiceId).
#[derive(Clone)]
pub struct Services {
    runtime: Handle,
    all: Arc<Vec<Server>>,
}

/// What answers.
#[derive(Debug, Clone)]
enum Server {
    Proxy(Proxy),
    Upload(Inbox),
}

impl Services {
    /// Those of `settings`, in that order; `limit` is how long a server behind this one may be silent, `inbox` how files
    /// of so many bytes at most are put. Needs a tokio runtime, whose tasks they will be.
    pub fn new<'a>(
        settings: impl Iterator<Item = &'a Service>,
        limit: Duration,
        inbox: impl Fn(u64) -> Inbox,
    ) -> Services {
        let server = |service: &Service| match &service.work {
            Work::Proxy(upstream) => Server::Proxy(Proxy::new(upstream.clone(), limit)),
            Work::Upload { max_bytes, .. } => Server::Upload(inbox(*max_bytes)),
        };
        Services {
            runtime: Handle::current(),
            all: Arc::new(settings.map(server).collect()),
        }
    }

    /// Begins to answer `call`. A number that is nobody's is not answered, which the client will be told.
    pub fn begin(&self, call: Call, side: Side) {
        let Some(server) = self.all.get(call.service.0 as usize).cloned() else {
            return;
        };
        self.runtime.spawn(async move {
            match server {
                Server::Proxy(proxy) => proxy.answer(call, side).await,
                Server::Upload(inbox) => inbox.answer(call, side).await,
            }
        });
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Services").field(&self.all).finish()
    }
}

//! The reverse proxy: requests beneath a prefix go to a server that the kernel's TCP
//! reaches, by hyper, and come back as they are answered.
//!
//! Both bodies are streamed, and neither is read faster than the other side takes it.
//! Connections are kept and used again. A connection that the two agree to speak something
//! else on, a WebSocket for one, becomes a tunnel.

mod request;
mod response;
mod tunnel;
mod upstream;

pub use upstream::{Upstream, UpstreamError};

use crate::exchange::{Call, Gone, PIECE_BYTES, Said, Side, Voice};
use crate::http::Status;
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::timeout;

/// How long a server may take to accept a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long a connection is kept that nobody uses: less than servers do, so that they
/// seldom close one that is just being used again.
const KEEP: Duration = Duration::from_secs(4);
/// Connections to a server that are kept at most.
const KEPT: usize = 64;

type RequestBody = UnsyncBoxBody<Bytes, crate::exchange::Broken>;

/// The server behind one prefix.
#[derive(Clone)]
pub struct Proxy {
    upstream: Upstream,
    client: Client<HttpConnector, RequestBody>,
    /// How long it may say nothing while it is its turn.
    limit: Duration,
}

impl Proxy {
    /// Requests go to `upstream`, which may be silent for `limit` while it is its turn.
    /// Needs a tokio runtime.
    pub fn new(upstream: Upstream, limit: Duration) -> Proxy {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_LIMIT));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEEP)
            .pool_max_idle_per_host(KEPT)
            .set_host(false)
            .build(connector);
        Proxy {
            upstream,
            client,
            limit,
        }
    }

    /// Has the server answer `call`; whoever asked may go at any time.
    pub async fn answer(&self, call: Call, side: Side) {
        // A task that ends without a word has failed, and the connection sees that.
        let _ = self.try_answer(call, side).await;
    }

    async fn try_answer(&self, call: Call, side: Side) -> Result<(), Gone> {
        let Side { body, voice } = side;
        let wants_tunnel = request::wants_upgrade(&call);
        let moved = Arc::new(AtomicBool::new(false));
        let (body, spare) = match call.body_bytes {
            Some(0) => (request::no_body(), Some(body)),
            _ => {
                // The client may go on: there is no telling what the server will say of it.
                voice.say(Said::Continue).await?;
                (request::stream(body, moved.clone()), None)
            }
        };
        let Ok(request) = request::build(&call, &self.upstream, body) else {
            return voice.say(Said::Refuse(Status::BadRequest)).await;
        };
        let is_head = request.method() == hyper::Method::HEAD;
        let mut answer = pin!(self.client.request(request));
        let response = loop {
            let response = tokio::select! {
                response = timeout(self.limit, &mut answer) => response,
                () = voice.gone() => return Err(Gone),
            };
            // While it takes the request, it need not answer.
            if response.is_ok() || !moved.swap(false, Ordering::Relaxed) {
                break response;
            }
        };
        let mut response = match response {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return voice.say(Said::Refuse(status_of(&error))).await,
            Err(_) => return voice.say(Said::Refuse(Status::GatewayTimeout)).await,
        };
        let upgraded = hyper::upgrade::on(&mut response);
        let is_tunnel = response.status() == hyper::StatusCode::SWITCHING_PROTOCOLS;
        if is_tunnel && !wants_tunnel {
            return voice.say(Said::Refuse(Status::BadGateway)).await;
        }
        voice
            .say(Said::Head(response::head(&response, is_head)))
            .await?;
        match (is_tunnel, spare) {
            (true, Some(body)) => tunnel::run(upgraded, body, voice).await,
            (true, None) => Err(Gone),
            (false, _) => self.forward(response.into_body(), &voice, &moved).await,
        }
    }

    /// Sends the response's body on, piece by piece.
    async fn forward(
        &self,
        mut body: Incoming,
        voice: &Voice,
        moved: &AtomicBool,
    ) -> Result<(), Gone> {
        loop {
            let frame = tokio::select! {
                frame = timeout(self.limit, body.frame()) => frame,
                () = voice.gone() => return Err(Gone),
            };
            match frame {
                Ok(None) => return voice.say(Said::End).await,
                Ok(Some(Ok(frame))) => {
                    // Trailers end here: the client may not have asked for them.
                    let mut data = frame.into_data().unwrap_or_default();
                    while !data.is_empty() {
                        let piece = data.split_to(data.len().min(PIECE_BYTES));
                        voice.say(Said::Data(piece)).await?;
                    }
                }
                // It may answer while it takes the request.
                Err(_) if moved.swap(false, Ordering::Relaxed) => {}
                // Broken off, and so is ours.
                Ok(Some(Err(_))) | Err(_) => return Err(Gone),
            }
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("upstream", &self.upstream)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// What is said of a server that did not answer.
fn status_of(error: &ClientError) -> Status {
    // The connector says what the time limit was exceeded by in no other way.
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut) {
            return Status::GatewayTimeout;
        }
        cause = error.source();
    }
    Status::BadGateway
}

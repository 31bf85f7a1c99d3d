//! The reverse proxy: requests beneath a prefix go to a server that the kernel's TCP
//! reaches, by hyper, and come back as they are answered.
//!
//! Both bodies are streamed, and neither is read faster than the other side takes it.
//! Connections are kept and used again. A connection that the two agree to speak something
//! else on, a WebSocket for one, becomes a tunnel.

mod names;
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
use hyper::{Response, StatusCode};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use names::Names;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::timeout;

/// How long a server may take to accept a connection, and the system to find its address.
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
    client: Client<HttpConnector<Names>, RequestBody>,
    /// How long it may say nothing while it is its turn.
    limit: Duration,
}

impl Proxy {
    /// Requests go to `upstream`, which may be silent for `limit` while it is its turn.
    /// Needs a tokio runtime.
    pub fn new(upstream: Upstream, limit: Duration) -> Proxy {
        let mut connector = HttpConnector::new_with_resolver(Names::new(CONNECT_LIMIT));
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
        let moved = Arc::new(AtomicBool::new(false));
        let (body, spare) = match call.body_bytes {
            Some(0) => (None, Some(body)),
            _ => {
                // The client may go on: there is no telling what the server will say of it.
                voice.say(Said::Continue).await?;
                (Some(request::stream(body, moved.clone())), None)
            }
        };
        let response = tokio::select! {
            response = self.ask(&call, body, &moved) => response,
            () = voice.gone() => return Err(Gone),
        };
        let mut response = match response {
            Ok(response) => response,
            Err(status) => return voice.say(Said::Refuse(status)).await,
        };
        let upgraded = hyper::upgrade::on(&mut response);
        let is_tunnel = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if is_tunnel && !request::wants_upgrade(&call) {
            return voice.say(Said::Refuse(Status::BadGateway)).await;
        }
        let is_head = call.head.starts_with(b"HEAD ");
        voice
            .say(Said::Head(response::head(&response, is_head)))
            .await?;
        match (is_tunnel, spare) {
            (true, Some(body)) => tunnel::run(upgraded, body, voice).await,
            (true, None) => Err(Gone),
            (false, _) => self.forward(response.into_body(), &voice, &moved).await,
        }
    }

    /// What the server answers. What only asks, and has no body, is asked once more on a new connection if the server
    /// has closed the one that was kept.
    async fn ask(
        &self,
        call: &Call,
        body: Option<RequestBody>,
        moved: &AtomicBool,
    ) -> Result<Response<Incoming>, Status> {
        let only_asks = call.head.starts_with(b"GET ") || call.head.starts_with(b"HEAD ");
        let may_repeat = body.is_none() && only_asks;
        match self.ask_once(call, body, moved).await {
            Err(Failure::Broken) if may_repeat => self.ask_once(call, None, moved).await,
            outcome => outcome,
        }
        .map_err(Failure::status)
    }

    async fn ask_once(
        &self,
        call: &Call,
        body: Option<RequestBody>,
        moved: &AtomicBool,
    ) -> Result<Response<Incoming>, Failure> {
        let body = body.unwrap_or_else(request::no_body);
        let request = request::build(call, &self.upstream, body).map_err(|_| Failure::Unfit)?;
        let mut answer = pin!(self.client.request(request));
        loop {
            match timeout(self.limit, &mut answer).await {
                Ok(outcome) => return outcome.map_err(|error| Failure::of(&error)),
                // While it takes the request, it need not answer.
                Err(_) if moved.swap(false, Ordering::Relaxed) => {}
                Err(_) => return Err(Failure::Late),
            }
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

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// The request cannot be passed on.
    Unfit,
    /// There is no connection.
    Unreachable,
    /// There was one, and it broke, or what came over it is no answer.
    Broken,
    /// It took too long.
    Late,
}

impl Failure {
    fn of(error: &ClientError) -> Failure {
        // The connector says what the time limit was exceeded by in no other way.
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(error) = cause {
            let io = error.downcast_ref::<std::io::Error>();
            if io.is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut) {
                return Failure::Late;
            }
            cause = error.source();
        }
        match error.is_connect() {
            true => Failure::Unreachable,
            false => Failure::Broken,
        }
    }

    fn status(self) -> Status {
        match self {
            Failure::Unfit => Status::BadRequest,
            Failure::Unreachable | Failure::Broken => Status::BadGateway,
            Failure::Late => Status::GatewayTimeout,
        }
    }
}

//! Requests that are answered elsewhere: by a task on tokio, which may take as long as it
//! takes, while the connection stays with its packet thread.
//!
//! Between the two there are [`Exchange`], the connection's end, and [`Side`], the task's.
//! The request's body goes one way and the response the other, in pieces of at most
//! [`PIECE_BYTES`], at most [`PIECES`] of them under way. A task that does not take pieces
//! closes the TCP window of the client; a client that does not take them suspends the task.
//! Neither end ever waits on the packet thread: when the task has moved, a bell rings, and
//! [`Exchanges::next_ready`] says for whom.

mod ends;

pub use ends::{Body, Broken, Exchange, Gone, Heard, Side, Voice};

use crate::http::Status;
use crate::site::{HostId, Waiter};
use ends::Bell;
use std::fmt;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Pieces under way in each direction of an exchange.
pub const PIECES: usize = 8;
/// The largest of them, bytes.
pub const PIECE_BYTES: usize = 16 * 1024;

/// A service, by the order in which they were set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ServiceId(pub u32);

/// A request that a service is to answer. Its framing is over: the body comes as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The service.
    pub service: ServiceId,
    /// The request's head as it was sent, valid in itself.
    pub head: Box<[u8]>,
    /// The name that its path stands for.
    pub name: Box<[u8]>,
    /// Where in it that begins which lies beneath the service's prefix, if anything does, be it nothing but the slash.
    pub rest: Option<usize>,
    /// Whose site it is.
    pub host: HostId,
    /// The client.
    pub remote: SocketAddrV4,
    /// How long the body is, bytes, if that was said; 0: there is none, and none is to be waited for.
    pub body_bytes: Option<u64>,
}

/// What the response begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The status; with 101 both directions become streams of bytes.
    pub status: u16,
    /// Its line and the fields, each with its CRLF: all but what is said of the connection, of the body's framing, and
    /// of the date, if it `has_date`.
    pub lines: Vec<u8>,
    /// How long the body is, if that is known; also of one that is not sent, because of HEAD.
    pub length: Option<u64>,
    /// Whether a body follows.
    pub has_body: bool,
    /// Whether the lines say when it was made.
    pub has_date: bool,
}

/// What a task has to say, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The body is welcome (RFC 9110 section 15.2.1), if the client waits for that.
    Continue,
    /// The response begins.
    Head(Head),
    /// A piece of its body, at most [`PIECE_BYTES`].
    Data(bytes::Bytes),
    /// There is none, but this error; instead of all the rest.
    Refuse(Status),
    /// It is complete. A task that ends without a word has failed.
    End,
}

/// Why no exchange began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

/// The exchanges of one worker.
pub struct Exchanges {
    begin: Box<dyn FnMut(Call, Side)>,
    wake: Arc<dyn Fn() + Send + Sync>,
    ready: (Sender<Waiter>, Receiver<Waiter>),
    /// Each exchange has a copy.
    count: Arc<()>,
    most: usize,
}

impl Exchanges {
    /// At most `most` at once, which `begin` has answered; it must not wait. `wake` is called from any thread when
    /// [`next_ready`](Self::next_ready) has something.
    pub fn new(
        most: usize,
        begin: impl FnMut(Call, Side) + 'static,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Exchanges {
        Exchanges {
            begin: Box::new(begin),
            wake: Arc::new(wake),
            ready: channel(),
            count: Arc::new(()),
            most,
        }
    }

    /// Has `call` answered, for `waiter`.
    ///
    /// # Errors
    /// There are too many already.
    pub fn begin(&mut self, call: Call, waiter: Waiter) -> Result<Exchange, TooMany> {
        if self.running() >= self.most {
            return Err(TooMany);
        }
        let (ready, wake) = (self.ready.0.clone(), self.wake.clone());
        let (exchange, side) = ends::pair(Bell::new(waiter, ready, wake, self.count.clone()));
        (self.begin)(call, side);
        Ok(exchange)
    }

    /// Somebody whose exchange has moved; they may be gone.
    pub fn next_ready(&mut self) -> Option<Waiter> {
        self.ready.1.try_recv().ok()
    }

    /// Exchanges that have not ended on both sides.
    pub fn running(&self) -> usize {
        Arc::strong_count(&self.count) - 1
    }
}

impl Default for Exchanges {
    /// None at all.
    fn default() -> Self {
        Exchanges::new(0, |_, _| {}, || {})
    }
}

impl fmt::Debug for Exchanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchanges")
            .field("running", &self.running())
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

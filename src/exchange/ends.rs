//! The two ends of an exchange.

use super::{PIECE_BYTES, PIECES, Said};
use crate::site::Waiter;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender as ReadySender;
use std::task::{Context, Poll, Waker};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// What both ends look at.
#[derive(Debug)]
struct Shared {
    /// As long as one of them lives, the exchange counts.
    _count: Arc<()>,
    /// The request's body is complete: that no more comes means no break.
    is_whole: AtomicBool,
    /// The bell was rung, and nobody has looked since.
    is_rung: AtomicBool,
}

/// Tells the packet thread that the task has moved: also by being dropped.
pub(super) struct Bell {
    waiter: Waiter,
    ready: ReadySender<Waiter>,
    wake: Arc<dyn Fn() + Send + Sync>,
    shared: Arc<Shared>,
}

impl Bell {
    pub(super) fn new(
        waiter: Waiter,
        ready: ReadySender<Waiter>,
        wake: Arc<dyn Fn() + Send + Sync>,
        count: Arc<()>,
    ) -> Bell {
        Bell {
            waiter,
            ready,
            wake,
            shared: Arc::new(Shared {
                _count: count,
                is_whole: AtomicBool::new(false),
                is_rung: AtomicBool::new(false),
            }),
        }
    }

    fn again(&self) -> Bell {
        Bell {
            waiter: self.waiter,
            ready: self.ready.clone(),
            wake: self.wake.clone(),
            shared: self.shared.clone(),
        }
    }

    fn ring(&self) {
        // Whoever answers a ring looks at everything that came before it.
        if !self.shared.is_rung.swap(true, Ordering::AcqRel) && self.ready.send(self.waiter).is_ok()
        {
            (self.wake)();
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.ring();
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bell").field(&self.waiter).finish()
    }
}

/// The connection's end. Dropping it breaks the exchange off.
#[derive(Debug)]
pub struct Exchange {
    pieces: Option<Sender<Bytes>>,
    said: Receiver<Said>,
    shared: Arc<Shared>,
}

/// What the connection hears from the task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// This.
    Said(Said),
    /// Nothing yet: the bell will ring.
    Nothing,
    /// Nothing any more.
    Gone,
}

impl Exchange {
    /// Takes bytes of the request's body, and returns how many. Who wants none any more gets none: all are taken, and
    /// lost.
    pub fn push(&self, bytes: &[u8]) -> usize {
        let Some(pieces) = self.pieces.as_ref().filter(|pieces| !pieces.is_closed()) else {
            return bytes.len();
        };
        let mut taken = 0;
        for piece in bytes.chunks(PIECE_BYTES) {
            let Ok(place) = pieces.try_reserve() else {
                break;
            };
            place.send(Bytes::copy_from_slice(piece));
            taken += piece.len();
        }
        taken
    }

    /// Whether [`push`](Self::push) would take anything.
    pub fn has_room(&self) -> bool {
        let has_room = |pieces: &Sender<Bytes>| pieces.capacity() > 0 || pieces.is_closed();
        self.pieces.as_ref().is_none_or(has_room)
    }

    /// Whether the request's body has not been [ended](Self::end).
    pub fn is_open(&self) -> bool {
        self.pieces.is_some()
    }

    /// The request's body is complete.
    pub fn end(&mut self) {
        self.shared.is_whole.store(true, Ordering::Release);
        self.pieces = None;
    }

    /// The next thing that the task has said.
    pub fn hear(&mut self) -> Heard {
        // Not try_recv, which waits for a task that is just sending.
        match self.said.poll_recv(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(said)) => Heard::Said(said),
            Poll::Ready(None) => Heard::Gone,
            Poll::Pending => Heard::Nothing,
        }
    }

    /// The bell has been heard; to be called before looking at what it rang for.
    pub fn answer_bell(&self) {
        // A swap, so that what is looked at next is not from before: or it and the next ring would miss each other.
        self.shared.is_rung.swap(false, Ordering::AcqRel);
    }
}

/// The task's end.
#[derive(Debug)]
pub struct Side {
    /// The request's body.
    pub body: Body,
    /// The response.
    pub voice: Voice,
}

/// The request's body, piece by piece. Dropping it is to want no more of it.
#[derive(Debug)]
pub struct Body {
    pieces: Receiver<Bytes>,
    bell: Bell,
}

/// The client has gone in the middle of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client went before its request was complete")]
pub struct Broken;

impl Body {
    /// The next piece; `None` after the last.
    ///
    /// # Errors
    /// There will be no last.
    pub async fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        match self.pieces.recv().await {
            Some(piece) => {
                self.bell.ring();
                Some(Ok(piece))
            }
            None if self.bell.shared.is_whole.load(Ordering::Acquire) => None,
            None => Some(Err(Broken)),
        }
    }
}

/// The response, piece by piece. Dropping it without [`Said::End`] is to fail.
#[derive(Debug)]
pub struct Voice {
    // In this order: who hears the bell finds the channel closed.
    said: Sender<Said>,
    bell: Bell,
}

/// The client has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client has gone")]
pub struct Gone;

impl Voice {
    /// Says it, when the connection has room for it.
    ///
    /// # Errors
    /// Nobody listens.
    pub async fn say(&self, said: Said) -> Result<(), Gone> {
        self.said.send(said).await.map_err(|_| Gone)?;
        self.bell.ring();
        Ok(())
    }

    /// Resolves when nobody listens any more.
    pub async fn gone(&self) {
        self.said.closed().await;
    }
}

/// The two ends of a new exchange.
pub(super) fn pair(bell: Bell) -> (Exchange, Side) {
    let (pieces, body) = channel(PIECES);
    let (voice, said) = channel(PIECES);
    let exchange = Exchange {
        pieces: Some(pieces),
        said,
        shared: bell.shared.clone(),
    };
    let side = Side {
        body: Body {
            pieces: body,
            bell: bell.again(),
        },
        voice: Voice { said: voice, bell },
    };
    (exchange, side)
}

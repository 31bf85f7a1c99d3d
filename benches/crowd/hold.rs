//! Connections that hold the server's resources for as long as it lets them:
//! request heads that never end, and answers that nobody reads.

use crate::cli::Mode;
use crate::open::{Complaints, Crowd};
use crate::orders::Orders;
use crate::tally::Tally;
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::iter;
use std::cell::Cell;
use std::io;
use std::pin::pin;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};

/// What a dripping connection begins with; the field then never ends.
const HEAD_BEGUN: &[u8] = b"GET / HTTP/1.1\r\nHost: crowd\r\nX-Drip: ";

/// What happens to all connections of this process.
struct Held<'a> {
    crowd: &'a Crowd<'a>,
    handshakes: Semaphore,
    complaints: Complaints,
    /// First connections that are open, and that could not be opened.
    opened: Cell<usize>,
    failed: Cell<usize>,
    all_tried: Notify,
    /// Connections that are open now, that the server has ended, and that were
    /// opened in their place.
    open: Cell<usize>,
    ended: Cell<usize>,
    reopened: Cell<usize>,
}

/// Opens all and holds them until the order comes. `done` counts those still
/// `open`, those that the server has `ended` and those `reopened` in their place.
pub async fn run(crowd: &Crowd<'_>, orders: Orders) -> Tally {
    let held = Held {
        crowd,
        handshakes: Semaphore::new(crowd.at_once),
        complaints: Complaints::default(),
        opened: Cell::new(0),
        failed: Cell::new(0),
        all_tried: Notify::new(),
        open: Cell::new(0),
        ended: Cell::new(0),
        reopened: Cell::new(0),
    };
    let start = Instant::now();
    let told = async {
        held.all_tried.notified().await;
        Tally::new()
            .with("connections", held.opened.get() as f64)
            .with("failed", held.failed.get() as f64)
            .since(start)
            .say("opened");
        orders.come().await;
    };
    let all = iter(crowd.share.clone())
        .map(|number| held.life(number))
        .buffer_unordered(crowd.share.len().max(1))
        .for_each(|()| std::future::ready(()));
    // Connections that have all ended for good wait for the order too.
    if let Either::Left(((), told)) = select(pin!(all), pin!(told)).await {
        told.await;
    }
    Tally::new()
        .with("open", held.open.get() as f64)
        .with("ended", held.ended.get() as f64)
        .with("reopened", held.reopened.get() as f64)
        .since(start)
}

impl Held<'_> {
    /// One connection, and those in its place.
    async fn life(&self, number: usize) {
        let stream = self.begin(number).await;
        let tried = if stream.is_ok() {
            &self.opened
        } else {
            &self.failed
        };
        count(tried, 1);
        if self.opened.get() + self.failed.get() == self.crowd.share.len() {
            self.all_tried.notify_one();
        }
        let mut stream = stream;
        loop {
            match stream {
                Ok(stream) => {
                    count(&self.open, 1);
                    self.hold(&stream).await;
                    self.open.set(self.open.get() - 1);
                    count(&self.ended, 1);
                }
                Err(error) => {
                    self.complaints.say("opening", &error);
                    self.pause().await;
                }
            }
            if !self.crowd.cli.reopen {
                return;
            }
            stream = self.begin(number).await;
            count(&self.reopened, usize::from(stream.is_ok()));
        }
    }

    async fn begin(&self, number: usize) -> io::Result<TcpStream> {
        // Never closed, so never refused.
        let _turn = self.handshakes.acquire().await;
        let mut stream = self.crowd.connect(number).await?;
        let first = match self.crowd.cli.mode {
            Mode::Drip => HEAD_BEGUN,
            _ => &self.crowd.files[0].keep,
        };
        self.crowd.patiently(stream.write_all(first)).await?;
        Ok(stream)
    }

    /// Returns when the server has ended the connection.
    async fn hold(&self, stream: &TcpStream) {
        loop {
            self.pause().await;
            let there = match self.crowd.cli.mode {
                Mode::Drip => drip(stream),
                // A FIN can't be seen behind what isn't read: RST it must be.
                _ => matches!(stream.take_error(), Ok(None)),
            };
            if !there {
                return;
            }
        }
    }

    async fn pause(&self) {
        tokio::time::sleep(Duration::from_secs(self.crowd.cli.every)).await;
    }
}

/// Sends one byte more; false when the server has answered or closed.
fn drip(stream: &TcpStream) -> bool {
    let silent = matches!(
        stream.try_read(&mut [0; 1]),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock
    );
    silent && stream.try_write(b"a").is_ok()
}

fn count(cell: &Cell<usize>, more: usize) {
    cell.set(cell.get() + more);
}

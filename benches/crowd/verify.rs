//! Requests without pause, every body compared with its file: keep-alive and
//! close, small files and large, in a mix that follows from the seed.

use crate::open::{Complaints, Crowd};
use crate::orders::Orders;
use crate::tally::Tally;
use futures_util::StreamExt;
use futures_util::future::join;
use futures_util::stream::iter;
use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

/// Requests on one connection at most.
const REQUESTS: usize = 50;
/// What each connection reads through, bytes.
const BUFFER_BYTES: usize = 64 * 1024;
/// Time between attempts when the server can't be reached.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Load {
    over: Cell<bool>,
    connections: Cell<u64>,
    requests: Cell<u64>,
    body_bytes: Cell<u64>,
    failed: Cell<u64>,
    slowest: Cell<Duration>,
    complaints: Complaints,
}

/// As many clients as connections were asked for, until the order comes.
pub async fn run(crowd: &Crowd<'_>, orders: Orders) -> Tally {
    let load = Load::default();
    let start = Instant::now();
    Tally::new()
        .with("connections", crowd.share.len() as f64)
        .with("failed", 0.0)
        .since(start)
        .say("opened");
    let clients = iter(crowd.share.clone())
        .map(|number| load.client(crowd, number))
        .buffer_unordered(crowd.share.len().max(1))
        .for_each(|()| std::future::ready(()));
    let end = async {
        orders.come().await;
        load.over.set(true);
    };
    join(clients, end).await;
    Tally::new()
        .with("connections", load.connections.get() as f64)
        .with("requests", load.requests.get() as f64)
        .with("body_bytes", load.body_bytes.get() as f64)
        .with("failed", load.failed.get() as f64)
        .with("answer_max_ms", load.slowest.get().as_secs_f64() * 1e3)
        .since(start)
}

impl Load {
    async fn client(&self, crowd: &Crowd<'_>, number: usize) {
        let mut random = fastrand::Rng::with_seed(crowd.cli.seed ^ number as u64);
        let mut buffer = vec![0; BUFFER_BYTES];
        while !self.over.get() {
            if let Err(error) = self
                .connection(crowd, number, &mut random, &mut buffer)
                .await
            {
                add(&self.failed, 1);
                self.complaints.say("verifying", &error);
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
    }

    /// A connection with some requests, the last of them often with
    /// `Connection: close`; otherwise it is the client that closes.
    async fn connection(
        &self,
        crowd: &Crowd<'_>,
        number: usize,
        random: &mut fastrand::Rng,
        buffer: &mut [u8],
    ) -> io::Result<()> {
        let requests = random.usize(1..=REQUESTS);
        let close = random.bool();
        let mut stream = crowd.connect(number).await?;
        add(&self.connections, 1);
        for request in 1..=requests {
            let file = &crowd.files[random.usize(..crowd.files.len())];
            let last = close && request == requests;
            let bytes = if last { &file.close } else { &file.keep };
            let start = Instant::now();
            crowd
                .patiently(file.fetch(&mut stream, bytes, buffer))
                .await?;
            self.slowest.set(self.slowest.get().max(start.elapsed()));
            add(&self.requests, 1);
            add(&self.body_bytes, file.body.len() as u64);
            if last {
                return closed(crowd, &mut stream).await;
            }
            if self.over.get() {
                break;
            }
        }
        Ok(())
    }
}

/// Fails unless the server closes now, without another byte.
async fn closed(crowd: &Crowd<'_>, stream: &mut tokio::net::TcpStream) -> io::Result<()> {
    use tokio::io::AsyncReadExt;
    match crowd.patiently(stream.read(&mut [0; 1])).await? {
        0 => Ok(()),
        _ => Err(io::Error::other("bytes after the last answer")),
    }
}

fn add(cell: &Cell<u64>, more: u64) {
    cell.set(cell.get() + more);
}

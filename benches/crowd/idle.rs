//! Connections that are there and say nothing, and must answer all the same.
//!
//! Nothing looks at them while they are idle: the client costs no time then.

use crate::answer::HEAD_BYTES;
use crate::open::{Complaints, Crowd};
use crate::orders::Orders;
use crate::tally::Tally;
use futures_util::StreamExt;
use futures_util::stream::iter;
use std::io;
use std::time::Instant;
use tokio::net::TcpStream;

/// Opens all, waits for the order, asks all once. `done` counts those that
/// `answered`, those that `failed`, and those that the server had ended while
/// they were idle (`lost`).
pub async fn run(crowd: &Crowd<'_>, orders: Orders) -> Tally {
    let complaints = Complaints::default();
    let start = Instant::now();
    let opened: Vec<_> = iter(crowd.share.clone())
        .map(|number| open(crowd, number))
        .buffer_unordered(crowd.at_once)
        .collect()
        .await;
    let mut streams = Vec::new();
    for stream in opened {
        match stream {
            Ok(stream) => streams.push(stream),
            Err(error) => complaints.say("opening", &error),
        }
    }
    Tally::new()
        .with("connections", streams.len() as f64)
        .with("failed", (crowd.share.len() - streams.len()) as f64)
        .since(start)
        .say("opened");

    orders.come().await;
    let start = Instant::now();
    let (mut answered, mut failed, mut lost) = (0, 0, 0);
    let mut asked = iter(streams.iter_mut())
        .map(|stream| ask(crowd, stream))
        .buffer_unordered(crowd.at_once);
    while let Some(outcome) = asked.next().await {
        match outcome {
            Ok(true) => answered += 1,
            Ok(false) => lost += 1,
            Err(error) => {
                failed += 1;
                complaints.say("asking", &error);
            }
        }
    }
    Tally::new()
        .with("answered", f64::from(answered))
        .with("failed", f64::from(failed))
        .with("lost", f64::from(lost))
        .since(start)
}

/// A connection that has had its first answer, unless silence is wanted.
async fn open(crowd: &Crowd<'_>, number: usize) -> io::Result<TcpStream> {
    let mut stream = crowd.connect(number).await?;
    if !crowd.cli.silent {
        get(crowd, &mut stream).await?;
    }
    Ok(stream)
}

/// Whether the connection was still there; it must answer then.
async fn ask(crowd: &Crowd<'_>, stream: &mut TcpStream) -> io::Result<bool> {
    match stream.try_read(&mut [0; 1]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Ok(0) | Err(_) => return Ok(false),
        Ok(_) => return Err(io::Error::other("bytes that nobody asked for")),
    }
    get(crowd, stream).await.map(|()| true)
}

async fn get(crowd: &Crowd<'_>, stream: &mut TcpStream) -> io::Result<()> {
    let file = &crowd.files[0];
    // Taken for the time of the answer, so that an idle connection holds none.
    let mut buffer = vec![0; HEAD_BYTES];
    let fetch = file.fetch(stream, &file.keep, &mut buffer);
    crowd.patiently(fetch).await
}

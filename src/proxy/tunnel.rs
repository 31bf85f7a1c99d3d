//! Two directions of bytes, once client and server have agreed on another protocol.

use crate::exchange::{Body, Gone, PIECE_BYTES, Said, Voice};
use bytes::BytesMut;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::time::sleep;

/// How long neither may say anything before they are taken to be gone; up to twice that.
const IDLE_LIMIT: Duration = Duration::from_secs(3_600);

/// Carries bytes until the server has ended, or one has gone.
pub(super) async fn run(upgraded: OnUpgrade, body: Body, voice: Voice) -> Result<(), Gone> {
    let upgraded = upgraded.await.map_err(|_| Gone)?;
    let (from_server, to_server) = split(TokioIo::new(upgraded));
    let moved = AtomicBool::new(true);
    // What the client says once the server has ended has no answer any more.
    tokio::select! {
        ended = down(from_server, &voice, &moved) => ended?,
        gone = up(body, to_server, &moved) => return Err(gone),
        () = idle(&moved) => return Err(Gone),
        () = voice.gone() => return Err(Gone),
    }
    voice.say(Said::End).await
}

/// What the client says; resolves only when it has gone.
async fn up(mut body: Body, mut to_server: impl AsyncWrite + Unpin, moved: &AtomicBool) -> Gone {
    while let Some(piece) = body.next().await {
        let Ok(piece) = piece else { return Gone };
        moved.store(true, Ordering::Relaxed);
        if to_server.write_all(&piece).await.is_err() {
            return Gone;
        }
    }
    match to_server.shutdown().await {
        Ok(()) => std::future::pending().await,
        Err(_) => Gone,
    }
}

/// What the server says.
async fn down(
    mut from_server: impl AsyncRead + Unpin,
    voice: &Voice,
    moved: &AtomicBool,
) -> Result<(), Gone> {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(PIECE_BYTES);
        if from_server.read_buf(&mut buffer).await.map_err(|_| Gone)? == 0 {
            return Ok(());
        }
        moved.store(true, Ordering::Relaxed);
        while !buffer.is_empty() {
            let piece = buffer.split_to(buffer.len().min(PIECE_BYTES)).freeze();
            voice.say(Said::Data(piece)).await?;
        }
    }
}

async fn idle(moved: &AtomicBool) {
    while moved.swap(false, Ordering::Relaxed) {
        sleep(IDLE_LIMIT).await;
    }
}

//! What one process knows of its crowd, and how a connection is opened.

use crate::answer::File;
use crate::cli::{Cli, Mode};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};

/// One process's share of the connections.
pub struct Crowd<'a> {
    /// The command line.
    pub cli: &'a Cli,
    /// The numbers of its connections.
    pub share: Range<usize>,
    /// What is asked for, never empty.
    pub files: Vec<File>,
    /// Handshakes and requests of this process at a time.
    pub at_once: usize,
}

impl<'a> Crowd<'a> {
    /// The share of process `part`.
    pub fn new(cli: &'a Cli, part: usize) -> io::Result<Crowd<'a>> {
        raise_open_files()?;
        let host = cli.server.ip();
        let read = |path: &String| File::read(&cli.root, path, *host);
        Ok(Crowd {
            cli,
            share: cli.share(part),
            files: cli.paths.iter().map(read).collect::<io::Result<_>>()?,
            at_once: cli.at_once.div_ceil(cli.parts()).max(1),
        })
    }

    /// Opens connection `number`, from the source address that it falls to.
    pub async fn connect(&self, number: usize) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if self.cli.mode == Mode::Noread {
            socket.set_recv_buffer_size(self.cli.receive_buffer)?;
        }
        if let Some(source) = self.source(number) {
            socket.bind(SocketAddr::new(source.into(), 0))?;
        }
        let stream = self.patiently(socket.connect(self.cli.server.into()));
        let stream = stream.await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn source(&self, number: usize) -> Option<Ipv4Addr> {
        let sources = &self.cli.sources;
        sources.get(number % sources.len().max(1)).copied()
    }

    /// `step`, or an error when it takes longer than one step may.
    pub async fn patiently<T>(&self, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        tokio::time::timeout(Duration::from_secs(self.cli.patience), step)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Lets this process hold as many files as it may.
fn raise_open_files() -> io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// Says a few of the errors on stderr, so that a figure has a reason and the
/// terminal survives.
#[derive(Default)]
pub struct Complaints(std::cell::Cell<usize>);

impl Complaints {
    /// Errors said by one process at most.
    const MOST: usize = 5;

    /// Says one more, unless there were enough.
    pub fn say(&self, what: &str, error: &io::Error) {
        let said = self.0.replace(self.0.get() + 1);
        if said < Self::MOST {
            eprintln!("crowd: {what}: {error}");
        }
    }
}

//! Requests at a fixed rate, whatever the server does: how long each takes.
//!
//! ```text
//! testenv/testenv.sh exec --name=lab -- target/release/examples/paced \
//!     --server 10.11.1.1:80 --root www --path /small.bin --rate 20000 --seconds 5
//! ```
//!
//! Requests are due at even distances. One that is due when all connections are
//! still busy waits for the first that is free, and its time counts from when it
//! was due: a server that pauses pays for all that it kept waiting (no coordinated
//! omission). Every answer is compared with the file. The client never sleeps, so
//! that it is never late itself; it takes a core. On stdout, when all is over:
//!
//! ```text
//! done requests=100000 answered=100000 seconds=5.000 p50_us=38.1 p99_us=92.4 p999_us=301.0 max_us=911.2
//! ```
//!
//! The exit code is 1 if an answer was wrong or didn't come within a second of the
//! last request's time.

use clap::Parser;
use rustix::event::{Timespec, epoll};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long after the last request was due its answer may come.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest response head understood, bytes.
const HEAD_BYTES: usize = 2 * 1024;
/// Fields of a response head understood.
const HEAD_FIELDS: usize = 32;
/// Events taken at a time.
const EVENTS: usize = 64;

/// Sends GETs at a fixed rate over keep-alive connections and measures each
/// answer from when its request was due.
#[derive(Parser)]
#[command(name = "paced", max_term_width = 100)]
struct Cli {
    /// Whom to ask
    #[arg(long, value_name = "ADDRESS:PORT")]
    server: SocketAddrV4,

    /// The directory that the server serves, to compare with
    #[arg(long, value_name = "DIR")]
    root: PathBuf,

    /// What is asked for
    #[arg(long, value_name = "PATH")]
    path: String,

    /// Requests a second
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: u64,

    /// Connections
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    connections: u64,

    /// How long
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(tally) => {
            println!("{}", tally.line());
            if tally.is_good() {
                ExitCode::SUCCESS
            } else {
                eprintln!("paced: not every request was answered in time");
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("paced: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> io::Result<Tally> {
    let body = std::fs::read(cli.root.join(cli.path.trim_start_matches('/')))?;
    let (path, host) = (&cli.path, cli.server.ip());
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut connections = Vec::new();
    for number in 0..cli.connections {
        let connection = Connection::open(cli.server, body.len())?;
        let data = epoll::EventData::new_u64(number);
        epoll::add(&poll, &connection.stream, data, epoll::EventFlags::IN)?;
        connections.push(connection);
    }
    let schedule = Schedule::new(Instant::now(), cli.rate, cli.seconds);
    let mut free: VecDeque<usize> = (0..connections.len()).collect();
    let mut tally = Tally::new(schedule.count);
    let mut events = Vec::with_capacity(EVENTS);
    let mut now = schedule.start;
    while tally.answered() < schedule.count && now < schedule.end() + PATIENCE {
        while let Some(due) = schedule.due(tally.requests).filter(|due| *due <= now) {
            let Some(number) = free.pop_front() else {
                break;
            };
            connections[number].ask(&request, due)?;
            tally.requests += 1;
        }
        events.clear();
        let spare = rustix::buffer::spare_capacity(&mut events);
        epoll::wait(&poll, spare, Some(&Timespec::default()))?;
        for event in &events {
            let number = event.data.u64() as usize;
            if let Some(due) = connections[number].hear(&body)? {
                tally.times.push(due.elapsed());
                free.push_back(number);
            }
        }
        now = Instant::now();
    }
    tally.took = now - schedule.start;
    Ok(tally)
}

/// When requests are due.
struct Schedule {
    start: Instant,
    rate: u64,
    count: u64,
}

impl Schedule {
    fn new(start: Instant, rate: u64, seconds: u64) -> Schedule {
        let count = rate * seconds;
        Schedule { start, rate, count }
    }

    /// When request `number`, counted from 0, is due, if there is such a one.
    fn due(&self, number: u64) -> Option<Instant> {
        let (seconds, rest) = (number / self.rate, number % self.rate);
        let after = Duration::new(seconds, (rest * 1_000_000_000 / self.rate) as u32);
        (number < self.count).then(|| self.start + after)
    }

    fn end(&self) -> Instant {
        self.start + Duration::from_secs(self.count / self.rate)
    }
}

/// A connection, with at most one request under way.
struct Connection {
    stream: TcpStream,
    /// What has come of the answer: `filled` bytes of it.
    answer: Vec<u8>,
    filled: usize,
    /// When the request under way was due.
    due: Option<Instant>,
}

impl Connection {
    fn open(server: SocketAddrV4, body_bytes: usize) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&server.into(), 5 * PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Connection {
            stream,
            answer: vec![0; HEAD_BYTES + body_bytes],
            filled: 0,
            due: None,
        })
    }

    fn ask(&mut self, request: &[u8], due: Instant) -> io::Result<()> {
        self.due = Some(due);
        // The answer to the one before has come, so there is room for this one.
        self.stream.write_all(request)
    }

    /// Reads on; when the request was due, once its answer is whole.
    fn hear(&mut self, body: &[u8]) -> io::Result<Option<Instant>> {
        match self.stream.read(&mut self.answer[self.filled..]) {
            Ok(0) => return Err(wrong("a connection ended, or its answer is too long")),
            Ok(read) => self.filled += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        if !is_whole(&self.answer[..self.filled], body)? {
            return Ok(None);
        }
        self.filled = 0;
        let due = self.due.take();
        due.map(Some)
            .ok_or_else(|| wrong("an answer to no request"))
    }
}

/// Whether `answer` is a whole response with status 200 and this body; an error
/// if it can't become one.
fn is_whole(answer: &[u8], body: &[u8]) -> io::Result<bool> {
    let mut fields = [httparse::EMPTY_HEADER; HEAD_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(head) = response.parse(answer).map_err(io::Error::other)? else {
        return Ok(false);
    };
    if response.code != Some(200) {
        return Err(wrong("another status than 200"));
    }
    let got = &answer[head..];
    if !body.starts_with(got) {
        return Err(wrong("the body isn't the file's"));
    }
    Ok(got.len() == body.len())
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

/// What became of the requests.
struct Tally {
    /// Sent so far.
    requests: u64,
    /// How long each answer took, from when its request was due.
    times: Vec<Duration>,
    took: Duration,
    /// To be sent in all.
    count: u64,
}

impl Tally {
    fn new(count: u64) -> Tally {
        Tally {
            requests: 0,
            times: Vec::with_capacity(count as usize),
            took: Duration::ZERO,
            count,
        }
    }

    fn answered(&self) -> u64 {
        self.times.len() as u64
    }

    fn is_good(&self) -> bool {
        self.answered() == self.count
    }

    fn line(&self) -> String {
        let mut times = self.times.clone();
        times.sort_unstable();
        let quantile_us = |q: f64| {
            let at = (times.len().saturating_sub(1) as f64 * q).round() as usize;
            times.get(at).map_or(0.0, |time| time.as_secs_f64() * 1e6)
        };
        format!(
            "done requests={} answered={} seconds={:.3} p50_us={:.1} p99_us={:.1} p999_us={:.1} max_us={:.1}",
            self.requests,
            times.len(),
            self.took.as_secs_f64(),
            quantile_us(0.5),
            quantile_us(0.99),
            quantile_us(0.999),
            quantile_us(1.0)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_at_even_distances() {
        let start = Instant::now();
        let schedule = Schedule::new(start, 20_000, 2);
        for (number, after_us) in [(0, 0), (1, 50), (19_999, 999_950), (39_999, 1_999_950)] {
            let due = Some(start + Duration::from_micros(after_us));
            assert_eq!(schedule.due(number), due, "{number}");
        }
        assert_eq!(schedule.due(40_000), None);
        assert_eq!(schedule.end(), start + Duration::from_secs(2));
    }

    #[test]
    fn only_the_file_itself_is_an_answer() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
        for (answer, want) in [
            (format!("{head}body"), Some(true)),
            (format!("{head}bo"), Some(false)),
            (head[..20].to_owned(), Some(false)),
            (format!("{head}bodY"), None),
            (format!("{head}body!"), None),
            (head.replace("200", "404"), None),
            ("what?\r\n\r\n".to_owned(), None),
        ] {
            assert_eq!(is_whole(answer.as_bytes(), b"body").ok(), want, "{answer}");
        }
    }

    #[test]
    fn the_line_has_the_quantiles() {
        let mut tally = Tally::new(1_001);
        tally.requests = 1_001;
        tally.times = (0..=1_000).rev().map(Duration::from_micros).collect();
        tally.took = Duration::from_secs(1);
        assert!(tally.is_good());
        assert_eq!(
            tally.line(),
            "done requests=1001 answered=1001 seconds=1.000 p50_us=500.0 p99_us=990.0 p999_us=999.0 max_us=1000.0"
        );
    }
}

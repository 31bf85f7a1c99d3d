//! A site in a temporary directory and a connection to it, with every byte and event under the test's control.
#![allow(dead_code)] // each test file uses its part

pub mod cases;

use std::cell::RefCell;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use xdphttpd::access_log::Batch;
use xdphttpd::exchange::Exchanges;
use xdphttpd::http::{self, Conn, Context, Counters, Date, Host, Hosts, Policy, Verified};
use xdphttpd::site::{Done, InlineLoader, Job, Limits, Loader, Now, Root, Site, Waiter};

/// The example date of RFC 9110 section 5.6.7.
pub const DATE: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

pub fn date() -> Date {
    Date::new(UNIX_EPOCH + Duration::from_secs(784_111_777))
}

/// When the files of a [`Fixture`] were modified: long ago, so that they count as settled.
pub fn modified() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000_000_000)
}

pub const LAST_MODIFIED: &str = "Sun, 09 Sep 2001 01:46:40 GMT";

/// A root with content.
pub struct Fixture {
    pub dir: TempDir,
}

impl Fixture {
    pub fn new(files: &[(&str, &[u8])]) -> Self {
        let fixture = Fixture {
            dir: tempfile::tempdir().unwrap(),
        };
        for (name, content) in files {
            fixture.write(name, content);
        }
        fixture
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file that seems to have been there since 2001.
    pub fn write(&self, name: &str, content: &[u8]) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(modified())
            .unwrap();
    }

    /// The head of the 200 response for a file, with `connection` lines.
    pub fn ok_head(&self, name: &str, content_type: &str, connection: &str) -> String {
        let stat = fs::metadata(self.path().join(name)).unwrap();
        format!(
            "HTTP/1.1 200 OK\r\nServer: xdphttpd\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
             Last-Modified: {LAST_MODIFIED}\r\nETag: \"{:x}.{:x}-{:x}-{:x}\"\r\nAccept-Ranges: bytes\r\nX-Content-Type-Options: nosniff\r\n\
             {DATE}{connection}\r\n",
            stat.len(),
            stat.mtime(),
            stat.mtime_nsec(),
            stat.len(),
            stat.ino(),
        )
    }

    /// The whole 200 response for a small file.
    pub fn ok(&self, name: &str, content_type: &str, connection: &str) -> Vec<u8> {
        let mut response = self.ok_head(name, content_type, connection).into_bytes();
        response.extend(fs::read(self.path().join(name)).unwrap());
        response
    }

    pub fn inline_loader(&self) -> InlineLoader {
        InlineLoader::new(Root::open(self.path()).unwrap())
    }

    pub fn client(&self) -> Client<InlineLoader> {
        Client::new(self.inline_loader())
    }
}

/// The page of an error response, put together independently of the server's own tables.
pub fn page(code: u16, reason: &str, text: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{code} {reason}</title>\n\
         <h1>{code} {reason}</h1>\n<p>{text}</p>\n</html>\n"
    )
}

/// A whole error or redirect response; `fields` come before `Date`, `connection` after it.
pub fn error(code: u16, reason: &str, text: &str, fields: &str, connection: &str) -> String {
    let page = page(code, reason, text);
    format!(
        "{}{page}",
        error_head(code, reason, page.len(), fields, connection)
    )
}

pub fn error_head(
    code: u16,
    reason: &str,
    length: usize,
    fields: &str,
    connection: &str,
) -> String {
    format!(
        "HTTP/1.1 {code} {reason}\r\nServer: xdphttpd\r\nContent-Type: text/html; charset=utf-8\r\n\
         Content-Length: {length}\r\nX-Content-Type-Options: nosniff\r\n{fields}{DATE}{connection}\r\n"
    )
}

pub const CLOSE: &str = "Connection: close\r\n";
pub const KEEP_ALIVE: &str = "Connection: keep-alive\r\n";

pub fn not_found(connection: &str) -> String {
    error(
        404,
        "Not Found",
        "There is nothing at this address.",
        "",
        connection,
    )
}

pub fn bad_request() -> String {
    bad_request_then(CLOSE)
}

pub fn bad_request_then(connection: &str) -> String {
    error(
        400,
        "Bad Request",
        "The server could not understand this request.",
        "",
        connection,
    )
}

/// The server's side of one connection, and what it has sent.
pub struct Client<L> {
    pub hosts: Hosts,
    pub site: Site<L>,
    pub conn: Conn,
    pub now: Now,
    pub date: Date,
    pub limits: http::Limits,
    pub verified: Verified,
    pub exchanges: Exchanges,
    /// Whom a connection is from.
    pub remote: SocketAddrV4,
    /// Memory is short.
    pub frugal: bool,
    /// The access log.
    pub log: Option<Batch>,
    pub counters: Counters,
    pub sent: Vec<u8>,
}

impl<L: Loader> Client<L> {
    pub fn new(loader: L) -> Self {
        Client {
            hosts: Hosts::default(),
            site: Site::new(loader, Limits::default()),
            conn: Conn::new(),
            now: Duration::from_secs(1_000),
            date: date(),
            limits: http::Limits::default(),
            verified: Verified::default(),
            exchanges: Exchanges::default(),
            remote: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 50_000),
            frugal: false,
            log: None,
            counters: Counters::default(),
            sent: Vec::new(),
        }
    }

    /// Has the only host decide about requests by `policy`.
    pub fn set_policy(&mut self, policy: Policy) {
        self.hosts = Hosts::new(Host {
            policy,
            ..Host::default()
        });
    }

    /// A second connection to the same site.
    pub fn reconnect(&mut self) {
        self.conn = Conn::from_client(self.remote);
        self.sent.clear();
    }

    fn context(&mut self) -> (&mut Conn, Context<'_, L>) {
        let context = Context {
            frugal: self.frugal,
            hosts: &self.hosts,
            site: &mut self.site,
            now: self.now,
            date: &self.date,
            waiter: Waiter(7),
            limits: &self.limits,
            verified: &mut self.verified,
            exchanges: &mut self.exchanges,
            log: self.log.as_mut(),
            counters: &mut self.counters,
        };
        (&mut self.conn, context)
    }

    pub fn input(&mut self, bytes: &[u8]) -> usize {
        let (conn, mut cx) = self.context();
        conn.input(bytes, &mut cx)
    }

    /// Delivers one event that the site has.
    pub fn deliver(&mut self) -> bool {
        let Some(event) = self.site.poll() else {
            return false;
        };
        let (conn, mut cx) = self.context();
        conn.event(event, &mut cx);
        true
    }

    /// Takes up to `most` bytes of what is to be sent.
    pub fn send(&mut self, most: usize) -> usize {
        let output = self.conn.output();
        let len = output.len().min(most);
        self.sent.extend_from_slice(&output[..len]);
        let (conn, mut cx) = self.context();
        conn.advance(len, &mut cx);
        len
    }

    /// Hears what the service that answers has to say.
    pub fn go_on(&mut self) {
        let (conn, mut cx) = self.context();
        conn.go_on(&mut cx);
    }

    /// Delivers and sends until nothing moves.
    pub fn pump(&mut self) {
        while self.deliver() || self.send(usize::MAX) > 0 {}
    }

    /// Takes what is to be sent without keeping it.
    pub fn skip(&mut self) -> bool {
        let len = self.conn.output().len();
        let (conn, mut cx) = self.context();
        conn.advance(len, &mut cx);
        len > 0
    }

    /// Feeds all of `bytes`, sending in between, as a peer with an open window would see it.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let consumed = self.input(rest);
            rest = &rest[consumed..];
            self.pump();
            assert!(
                consumed > 0 || self.conn.wants_input(),
                "stuck before {:?}",
                String::from_utf8_lossy(rest)
            );
        }
        self.pump();
    }

    /// What a fresh connection sends in answer to `bytes`.
    pub fn exchange(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.reconnect();
        self.feed(bytes);
        self.sent.clone()
    }
}

/// Notes every read asked for, as offset and length.
pub struct NotingLoader<L> {
    pub inner: L,
    pub reads: Rc<RefCell<Vec<(u64, usize)>>>,
}

impl<L: Loader> Loader for NotingLoader<L> {
    fn submit(&mut self, job: Job) -> Result<(), Job> {
        if let Job::Read { offset, len, .. } = &job {
            self.reads.borrow_mut().push((*offset, *len));
        }
        self.inner.submit(job)
    }

    fn completed(&mut self) -> Option<Done> {
        self.inner.completed()
    }
}

/// Compares responses readably.
#[track_caller]
pub fn assert_same(actual: &[u8], expected: &[u8], what: &str) {
    assert!(
        actual == expected,
        "{what}\n--- got\n{}\n--- expected\n{}",
        String::from_utf8_lossy(actual),
        String::from_utf8_lossy(expected)
    );
}

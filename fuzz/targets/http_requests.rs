//! Any bytes on one HTTP connection, whole and in any pieces.
//!
//! ```text
//! input = { pieces:u8 settings:u8 bytes:.. }
//! ```
//!
//! `pieces` is the seed of their lengths. Bit 0 of `settings` makes all limits so
//! small that short inputs reach them, bit 1 makes memory short, bit 2 makes two hosts
//! that have pages for errors and for what is missing, and speak of origins, bit 3 has
//! names that lead elsewhere and names that are not for everybody, bit 4 has services that
//! send back what they are sent.

use super::echo::Echo;
use super::input::Input;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};
use xdphttpd::exchange::{Exchanges, ServiceId};
use xdphttpd::http::access::Networks;
use xdphttpd::http::auth::Realm;
use xdphttpd::http::call::{Kind, Service};
use xdphttpd::http::cors::{Allowed, Cors};
use xdphttpd::http::stream::{CHUNK_BYTES, MAX_CHUNKS};
use xdphttpd::http::{Conn, Context, Counters, Date, Host, Hosts, Limits, Policy, Verified};
use xdphttpd::site::prefixes::Prefixes;
use xdphttpd::site::rules::{Code, Scope};
use xdphttpd::site::{InlineLoader, Root, Roots, Site, Waiter};
use xdphttpd::wire::SplitMix;

const SMALL: u8 = 1;
const FRUGAL: u8 = 2;
const HOSTS: u8 = 4;
const GUARDED: u8 = 8;
const SERVICES: u8 = 16;
/// What the shortest request takes, `GET / HTTP/1.0` with its two line ends.
const SHORTEST_REQUEST_BYTES: usize = 18;
/// The longest file of the site.
const LARGEST_FILE_BYTES: usize = 20_000;
/// A response beside the content of a file, and beside what it repeats of its
/// request: an escaped byte takes three.
const RESPONSE_BYTES: usize = 1_000;
const ESCAPE_BYTES: usize = 3;

pub fn run(site: &Path, input: &[u8]) {
    let mut input = Input(input);
    let (seed, settings) = (input.u8(), input.u8());
    let bytes = input.0;
    let mut whole = Client::new(site, settings);
    whole.feed(bytes);
    whole.check(bytes);

    let mut cut = Client::new(site, settings);
    let mut random = SplitMix(u64::from(seed));
    let mut rest = bytes;
    while !rest.is_empty() {
        let most = [1, 4, 40, 400][random.next_u64() as usize % 4];
        let length = 1 + random.next_u64() as usize % most;
        let (piece, later) = rest.split_at(length.min(rest.len()));
        cut.feed(piece);
        rest = later;
    }
    // Short memory refuses only heads that come in pieces.
    if settings & FRUGAL == 0 {
        assert_eq!(cut.sent, whole.sent, "the cuts make a difference");
        assert_eq!(cut.counters, whole.counters);
        assert_eq!(cut.conn.wants_close(), whole.conn.wants_close());
        assert_eq!(cut.conn.is_idle(), whole.conn.is_idle());
    }
    cut.check(bytes);
    cut.end();
    whole.end();
}

/// What is answered by services: all beneath /s, and changes beneath /p.
fn services(settings: u8) -> Prefixes<Service> {
    let mut services = Prefixes::default();
    if settings & SERVICES != 0 {
        for (path, kind) in [("/s", Kind::Proxy), ("/p", Kind::Upload)] {
            let id = ServiceId(0);
            services.insert(path, Service { id, kind }).expect("a path");
        }
    }
    services
}

/// The hosts of a client with these `settings`.
fn hosts(settings: u8) -> Hosts {
    let policy = policy(settings & GUARDED != 0);
    let services = services(settings);
    if settings & HOSTS == 0 {
        return Hosts::new(Host {
            policy,
            services,
            ..Host::default()
        });
    }
    let host = |origin: &str, fallback: Option<&[u8]>| {
        let allowed = Allowed {
            origins: vec![origin.to_owned()],
            methods: vec!["GET".to_owned()],
            ..Allowed::default()
        };
        Host {
            lists: true,
            cors: Some(Cors::new(&allowed).expect("settings")),
            error_pages: [(400, (*b"one").into()), (404, (*b"none").into())].into(),
            fallback: fallback.map(Into::into),
            dotfiles: xdphttpd::site::resolve::Dotfiles::default(),
            services: services.clone(),
            policy: policy.clone(),
        }
    };
    let mut hosts = Hosts::new(host("*", None));
    let names = ["x", "*.x"].map(|name| name.parse().expect("a name"));
    hosts.add(&names, host("https://a", Some(b"one")));
    hosts
}

/// The server's side of a connection, and what it has sent.
struct Client {
    hosts: Hosts,
    site: Site<InlineLoader>,
    conn: Conn,
    date: Date,
    limits: Limits,
    verified: Verified,
    exchanges: Exchanges,
    echo: Echo,
    frugal: bool,
    counters: Counters,
    sent: Vec<u8>,
}

impl Client {
    fn new(site: &Path, settings: u8) -> Client {
        let root = || Root::open(site).expect("the files served");
        let small = Limits {
            request_line_bytes: 64,
            head_bytes: 128,
            fields: 4,
            leading_bytes: 4,
            body_bytes: 64,
            chunk_line_bytes: 16,
            trailer_bytes: 16,
        };
        let (exchanges, echo) = Echo::new();
        Client {
            hosts: hosts(settings),
            site: Site::new(
                InlineLoader::new(Roots::new(vec![root(), root()])),
                xdphttpd::site::Limits::default(),
            ),
            conn: Conn::new(),
            date: Date::new(UNIX_EPOCH),
            limits: if settings & SMALL != 0 {
                small
            } else {
                Limits::default()
            },
            frugal: settings & FRUGAL != 0,
            counters: Counters::default(),
            verified: Verified::default(),
            exchanges,
            echo,
            sent: Vec::new(),
        }
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Conn, &mut Context<'_, InlineLoader>) -> T) -> T {
        let mut context = Context {
            hosts: &self.hosts,
            site: &mut self.site,
            now: Duration::from_secs(1_000),
            date: &self.date,
            waiter: Waiter(1),
            frugal: self.frugal,
            limits: &self.limits,
            verified: &mut self.verified,
            exchanges: &mut self.exchanges,
            log: None,
            counters: &mut self.counters,
        };
        act(&mut self.conn, &mut context)
    }

    /// Takes all of `bytes`, and sends all that there is to be sent between them.
    fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = self.with(|conn, cx| conn.input(rest, cx));
            rest = &rest[taken..];
            self.check_memory();
            self.pump();
            let goes_on = taken > 0 || self.conn.wants_input();
            assert!(goes_on, "stuck before {:?}", String::from_utf8_lossy(rest));
        }
    }

    /// Delivers and sends until nothing moves.
    fn pump(&mut self) {
        loop {
            if let Some(event) = self.site.poll() {
                self.with(|conn, cx| conn.event(event, cx));
            } else if self.exchanges.next_ready().is_some() {
                self.with(|conn, cx| conn.go_on(cx));
            } else if self.echo.moves() {
                // It has said something, or taken something.
            } else if !self.conn.output().is_empty() {
                let len = self.conn.output().len();
                self.sent.extend_from_slice(self.conn.output());
                self.with(|conn, cx| conn.advance(len, cx));
            } else {
                break;
            }
            self.check_memory();
        }
    }

    fn check_memory(&self) {
        let head_bytes = self.limits.leading_bytes + self.limits.head_bytes + 1;
        let most = (head_bytes + MAX_CHUNKS * CHUNK_BYTES) as u64;
        let held = self.conn.held_bytes();
        assert!(held <= most, "{held} bytes held");
    }

    /// What must hold when `input` is all that came.
    fn check(&self, input: &[u8]) {
        let requests = input.len() / SHORTEST_REQUEST_BYTES + 1;
        let most = requests * (LARGEST_FILE_BYTES + RESPONSE_BYTES) + ESCAPE_BYTES * input.len();
        let most = most + input.len();
        assert!(self.sent.len() <= most, "{} bytes sent", self.sent.len());
        let counters = self.counters;
        let unanswered = u64::from(self.conn.in_body() && self.echo.is_busy());
        let answers = counters.requests + counters.refused_heads - unanswered;
        assert_eq!(responses(&self.sent), answers, "responses");
        assert!(!self.conn.in_response() && !self.conn.must_abort() && self.conn.wants_input());
    }

    /// The client ends its side.
    fn end(mut self) {
        self.conn.input_end();
        assert!(self.conn.wants_close());
        assert_eq!(self.conn.held_bytes(), 0);
    }
}

/// Something of everything; or nothing but the health check.
fn policy(is_guarded: bool) -> Policy {
    let mut policy = Policy::default();
    if !is_guarded {
        return policy;
    }
    let hash = "$2y$04$abcdefghijklmnopqrstuuinwY/tkBVrn3xrxQI/TgnMHhkvl85RW";
    let users = [("a".to_owned(), hash.parse().expect("a hash"))];
    let realm = Realm::new("r", users).expect("a realm");
    policy.auth.insert("/p", realm).expect("a path");
    let nobody = Networks::only([]);
    policy.access.insert("/d", nobody).expect("a path");
    let rules = &mut policy.rules;
    rules
        .redirect(Scope::Prefix, "/m", Code::Found, "/n")
        .expect("a rule");
    rules.rewrite(Scope::Prefix, "/r", "/").expect("a rule");
    rules.rewrite(Scope::Exact, "/e", "/p/").expect("a rule");
    policy
}

/// How many responses `sent` consists of.
///
/// A response to HEAD has a length and no body, which only the request tells; the
/// next one's status line serves to recognise it, for no content here begins so.
///
/// # Panics
/// When it does not consist of responses.
fn responses(mut sent: &[u8]) -> u64 {
    let mut count = 0;
    while !sent.is_empty() {
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(sent);
        let Ok(httparse::Status::Complete(head_bytes)) = parsed else {
            panic!("{parsed:?}: {}", String::from_utf8_lossy(sent));
        };
        assert_eq!(response.version, Some(1));
        let length: usize = match one(response.headers, "Content-Length") {
            Some(value) => value.parse().expect("a length"),
            // It describes what is not sent (RFC 9110 section 15.4.5).
            None if response.code == Some(304) => 0,
            // It has no content (RFC 9110 section 8.6).
            None if response.code == Some(204) => 0,
            None => panic!("no length: {}", String::from_utf8_lossy(sent)),
        };
        let closes = one(response.headers, "Connection") == Some("close");
        one(response.headers, "Date").expect("a date");
        sent = &sent[head_bytes..];
        if !sent.is_empty() && !sent.starts_with(b"HTTP/1.1 ") {
            assert!(sent.len() >= length, "{length} cut to {}", sent.len());
            sent = &sent[length..];
        }
        assert!(!closes || sent.is_empty(), "more after the last response");
        count += 1;
    }
    count
}

/// The value of a field that is there at most once.
fn one<'a>(headers: &[httparse::Header<'a>], name: &str) -> Option<&'a str> {
    let mut values = headers.iter().filter(|header| header.name == name);
    let value = values.next()?.value;
    assert!(values.next().is_none(), "{name} twice");
    Some(str::from_utf8(value).expect("text"))
}

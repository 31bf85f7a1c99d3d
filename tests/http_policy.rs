//! What is decided about a request before the site is asked, from its bytes to those of the response.

mod http_support;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http_support::cases::{Case, check_byte_by_byte, check_whole};
use http_support::{Client, DATE, Fixture, assert_same, error, error_head, not_found, page};
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;
use xdphttpd::access_log::{Format, Log, Target};
use xdphttpd::http::access::Networks;
use xdphttpd::http::auth::Realm;
use xdphttpd::http::{Conn, Host, Hosts, Policy, verified};
use xdphttpd::site::rules::{Code, Scope};
use xdphttpd::site::{Done, InlineLoader, Job, Loader};

/// As libxcrypt makes it of "sesame".
const SESAME: &str = "$2y$04$abcdefghijklmnopqrstuuinwY/tkBVrn3xrxQI/TgnMHhkvl85RW";
/// `ann:sesame`.
const ANN: &str = "Authorization: Basic YW5uOnNlc2FtZQ==\r\n";
/// `bob:sesame`.
const BOB: &str = "Authorization: Basic Ym9iOnNlc2FtZQ==\r\n";
/// `ann:Sesame`.
const WRONG: &str = "Authorization: Basic YW5uOlNlc2FtZQ==\r\n";

const TEXT: &str = "text/plain; charset=utf-8";

fn fixture() -> Fixture {
    Fixture::new(&[
        ("index.html", b"the root"),
        ("a.txt", b"of a"),
        ("private/index.html", b"the secrets"),
        ("private/x", b"a secret"),
        ("private/sub/x", b"another"),
        ("private-too", b"none"),
        ("new/b c.txt", b"of b"),
    ])
}

fn get(target: &str, fields: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n").into_bytes()
}

fn realm(name: &str, users: &[&str]) -> Realm {
    let hash = || SESAME.parse().expect("a hash");
    let users = users.iter().map(|&user| (user.to_owned(), hash()));
    Realm::new(name, users).expect("a realm")
}

/// `/private` is for ann.
fn private() -> Policy {
    let mut policy = Policy::default();
    let before = policy.auth.insert("/private", realm("the attic", &["ann"]));
    assert!(matches!(before, Ok(None)));
    policy
}

fn client(fixture: &Fixture, policy: Policy) -> Client<InlineLoader> {
    let mut client = fixture.client();
    client.set_policy(policy);
    client
}

fn unauthorized(name: &str) -> String {
    error(
        401,
        "Unauthorized",
        "This is shown only to those whom the server knows.",
        &format!("WWW-Authenticate: Basic realm=\"{name}\", charset=\"UTF-8\"\r\n"),
        "",
    )
}

fn forbidden() -> String {
    let text = "This is not to be read from here.";
    error(403, "Forbidden", text, "", "")
}

fn redirect(code: u16, reason: &str, text: &str, location: &str) -> String {
    error(code, reason, text, &format!("Location: {location}\r\n"), "")
}

/// Ways to ask for what is, or is not, beneath `/private`.
const SPELLINGS: [&str; 16] = [
    "/private/x",
    "/private/",
    "/private/sub/x",
    "/private/?sort=size",
    "/private",
    "/private/sub",
    "/private/none",
    "/private/none/",
    "/%70rivate/x",
    "/%70%72%69%76%61%74%65/x",
    "//private//x",
    "/./private/x",
    "/a/../private/x",
    "/private/../private/./x?q",
    "/new/%2e%2e/private/x",
    "http://other.example/private/x",
];

#[test]
fn redirects_of_every_code() {
    const ELSEWHERE: &str = "What you asked for is at another address.";
    const FOR_A_WHILE: &str = "What you asked for is at another address for the time being.";
    let fixture = fixture();
    let mut policy = Policy::default();
    let rules = &mut policy.rules;
    for (scope, path, code, target) in [
        (Scope::Exact, "/one", Code::MovedPermanently, "/a.txt"),
        (Scope::Prefix, "/two", Code::Found, "/new/"),
        (
            Scope::Exact,
            "/three",
            Code::SeeOther,
            "https://h.example/?a=b",
        ),
        (
            Scope::Prefix,
            "/four",
            Code::TemporaryRedirect,
            "http://h.example",
        ),
        (Scope::Exact, "/five/", Code::PermanentRedirect, "/#part"),
    ] {
        assert_eq!(rules.redirect(scope, path, code, target), Ok(()));
    }
    let mut client = client(&fixture, policy);
    for (target, want) in [
        (
            "/one",
            redirect(301, "Moved Permanently", ELSEWHERE, "/a.txt"),
        ),
        (
            "/%6fne?q=1",
            redirect(301, "Moved Permanently", ELSEWHERE, "/a.txt?q=1"),
        ),
        (
            "/two/b%20c.txt",
            redirect(302, "Found", FOR_A_WHILE, "/new/b%20c.txt"),
        ),
        (
            "/two/x\\y?z",
            redirect(302, "Found", FOR_A_WHILE, "/new/x%5Cy?z"),
        ),
        (
            "/two/%0d%0aSet-Cookie:%20a",
            redirect(302, "Found", FOR_A_WHILE, "/new/%0D%0ASet-Cookie:%20a"),
        ),
        (
            "/three?c",
            redirect(
                303,
                "See Other",
                "The answer is at another address.",
                "https://h.example/?a=b",
            ),
        ),
        (
            "/four",
            redirect(307, "Temporary Redirect", FOR_A_WHILE, "http://h.example"),
        ),
        (
            "/four/.//d/?e",
            redirect(
                307,
                "Temporary Redirect",
                FOR_A_WHILE,
                "http://h.example/d/?e",
            ),
        ),
        (
            "/five/?f",
            redirect(308, "Permanent Redirect", ELSEWHERE, "/?f#part"),
        ),
        ("/five", not_found("")),
        ("/twofold", not_found("")),
        ("/one/", not_found("")),
    ] {
        let got = client.exchange(&get(target, ""));
        assert_same(&got, want.as_bytes(), target);
    }
    let head = client.exchange(b"HEAD /one HTTP/1.1\r\nHost: x\r\n\r\n");
    let length = page(301, "Moved Permanently", ELSEWHERE).len();
    let want = error_head(301, "Moved Permanently", length, "Location: /a.txt\r\n", "");
    assert_same(&head, want.as_bytes(), "HEAD");
}

#[test]
fn rewrites_happen_once() {
    let fixture = fixture();
    let mut policy = Policy::default();
    let rules = &mut policy.rules;
    for (scope, path, target) in [
        (Scope::Exact, "/", "/a.txt"),
        (Scope::Prefix, "/old", "/new"),
        (Scope::Prefix, "/new", "/private"),
        (Scope::Exact, "/loop", "/loop"),
    ] {
        assert_eq!(rules.rewrite(scope, path, target), Ok(()));
    }
    let mut client = client(&fixture, policy);
    for (target, want) in [
        ("/", fixture.ok("a.txt", TEXT, "")),
        ("/?q", fixture.ok("a.txt", TEXT, "")),
        ("/old/b%20c.txt?q", fixture.ok("new/b c.txt", TEXT, "")),
        (
            "/new/sub/x",
            fixture.ok("private/sub/x", "application/octet-stream", ""),
        ),
        ("/loop", not_found("").into_bytes()),
        ("/old/none", not_found("").into_bytes()),
    ] {
        let got = client.exchange(&get(target, ""));
        assert_same(&got, &want, target);
    }
}

#[test]
fn who_is_kept_out_learns_nothing() {
    let fixture = fixture();
    let mut policy = Policy::default();
    let inside = Networks::only(["10.0.0.0/8".parse().expect("a network")]);
    assert_eq!(policy.access.insert("/private/", inside), Ok(None));
    let mut client = client(&fixture, policy);
    let from = |address: &str| SocketAddrV4::new(address.parse().expect("an address"), 1);
    client.remote = from("11.0.0.1");
    for target in SPELLINGS {
        let got = client.exchange(&get(target, ""));
        assert_same(&got, forbidden().as_bytes(), target);
    }
    assert_eq!(client.counters.kept_out, SPELLINGS.len() as u64);
    let ok = fixture.ok("private-too", "application/octet-stream", "");
    assert_same(&client.exchange(&get("/private-too", "")), &ok, "beside it");
    client.remote = from("10.255.0.1");
    for (target, name) in [
        ("/private/x", "private/x"),
        ("/%70rivate//sub/x", "private/sub/x"),
    ] {
        let want = fixture.ok(name, "application/octet-stream", "");
        assert_same(&client.exchange(&get(target, "")), &want, target);
    }
}

#[test]
fn who_has_not_proved_to_be_somebody_learns_nothing() {
    let fixture = fixture();
    let mut client = client(&fixture, private());
    let twice = format!("{ANN}{ANN}");
    for target in SPELLINGS {
        for fields in [
            "",
            BOB,
            WRONG,
            &twice,
            "Authorization: Basic YW5u\r\n",
            "Authorization: Basic *\r\n",
            "Authorization: Bearer YW5uOnNlc2FtZQ==\r\n",
            "Authorization: \r\n",
        ] {
            let got = client.exchange(&get(target, fields));
            let what = format!("{target}, {fields}");
            assert_same(&got, unauthorized("the attic").as_bytes(), &what);
        }
    }
    let ok = fixture.ok("private-too", "application/octet-stream", "");
    assert_same(&client.exchange(&get("/private-too", "")), &ok, "beside it");
}

#[test]
fn who_has_is_answered() {
    let fixture = fixture();
    let cases: Vec<Case> = [
        (
            "/private/x",
            ANN,
            fixture.ok("private/x", "application/octet-stream", ""),
        ),
        (
            "/private/",
            ANN,
            fixture.ok("private/index.html", "text/html; charset=utf-8", ""),
        ),
        (
            "//%70rivate/x",
            "AUTHORIZATION: basic YW5uOnNlc2FtZQ==\r\n",
            fixture.ok("private/x", "application/octet-stream", ""),
        ),
        ("/private/none", ANN, not_found("").into_bytes()),
        (
            "/private/sub?q",
            ANN,
            redirect(
                301,
                "Moved Permanently",
                "What you asked for is at another address.",
                "/private/sub/?q",
            )
            .into_bytes(),
        ),
        ("/a.txt", ANN, fixture.ok("a.txt", TEXT, "")),
    ]
    .into_iter()
    .map(|(target, fields, response)| Case {
        what: target.to_owned(),
        request: get(target, fields),
        response,
        closes: false,
    })
    .collect();
    let policy = private();
    check_whole_with(&fixture, &policy, &cases);
    // Without a policy the field means nothing.
    check_whole(&fixture, &cases);
    check_byte_by_byte(&fixture, &cases);
}

fn check_whole_with(fixture: &Fixture, policy: &Policy, cases: &[Case]) {
    let mut client = client(fixture, policy.clone());
    for case in cases {
        for which in ["first", "remembered"] {
            let got = client.exchange(&case.request);
            assert_same(&got, &case.response, &format!("{}, {which}", case.what));
        }
        client.reconnect();
        for byte in case.request.chunks(1) {
            client.feed(byte);
        }
        assert_same(&client.sent, &case.response, &case.what);
    }
}

#[test]
fn the_longest_prefix_has_the_users() {
    let fixture = fixture();
    let mut policy = private();
    let inner = realm("the safe", &["bob"]);
    assert!(policy.auth.insert("/private/sub/", inner).is_ok());
    let mut client = client(&fixture, policy);
    let file = |name| fixture.ok(name, "application/octet-stream", "");
    for (target, fields, want) in [
        ("/private/x", ANN, file("private/x")),
        ("/private/x", BOB, unauthorized("the attic").into_bytes()),
        ("/private/sub/x", BOB, file("private/sub/x")),
        ("/private/sub/x", ANN, unauthorized("the safe").into_bytes()),
    ] {
        let got = client.exchange(&get(target, fields));
        assert_same(&got, &want, &format!("{target}, {fields}"));
    }
}

#[test]
fn no_rule_leads_past_a_guard() {
    let fixture = fixture();
    let mut policy = private();
    let (rules, found) = (&mut policy.rules, Code::Found);
    for done in [
        rules.rewrite(Scope::Prefix, "/p", "/private"),
        rules.rewrite(Scope::Exact, "/private/out", "/a.txt"),
        rules.redirect(Scope::Exact, "/private/secret-place", found, "/new/secret"),
        rules.rewrite(Scope::Exact, "/private/sub/in", "/private/deep/x"),
    ] {
        assert_eq!(done, Ok(()));
    }
    assert!(
        policy
            .auth
            .insert("/private/deep", realm("the safe", &["bob"]))
            .is_ok()
    );
    let nobody = Networks::only([]);
    assert_eq!(policy.access.insert("/private/sub", nobody), Ok(None));
    let mut client = client(&fixture, policy);
    for (target, fields, want) in [
        ("/p/x", "", unauthorized("the attic").into_bytes()),
        (
            "/p/x",
            ANN,
            fixture.ok("private/x", "application/octet-stream", ""),
        ),
        ("/p/sub/x", ANN, forbidden().into_bytes()),
        ("/p/deep/x", ANN, unauthorized("the safe").into_bytes()),
        ("/private/out", "", unauthorized("the attic").into_bytes()),
        ("/private/out", ANN, fixture.ok("a.txt", TEXT, "")),
        (
            "/private/secret-place",
            "",
            unauthorized("the attic").into_bytes(),
        ),
        ("/private/sub/in", ANN, forbidden().into_bytes()),
    ] {
        let got = client.exchange(&get(target, fields));
        assert_same(&got, &want, &format!("{target}, {fields}"));
    }
    let got = client.exchange(&get("/private/secret-place", ANN));
    assert!(got.starts_with(b"HTTP/1.1 302 "));
}

#[test]
fn health_is_told_to_everybody() {
    let fixture = fixture();
    let mut policy = private();
    assert!(policy.auth.insert("/", realm("all", &[])).is_ok());
    assert_eq!(policy.access.insert("/", Networks::only([])), Ok(None));
    let all = policy
        .rules
        .redirect(Scope::Prefix, "/", Code::Found, "https://h.example/");
    assert_eq!(all, Ok(()));
    let head = format!(
        "HTTP/1.1 200 OK\r\nServer: xdphttpd\r\nContent-Type: {TEXT}\r\nContent-Length: 3\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n{DATE}\r\n"
    );
    let mut client = client(&fixture, policy);
    let target = "/.well-known/health";
    for target in [target, "/.well-known/health?x", "//%2ewell-known/./health"] {
        let got = client.exchange(&get(target, ""));
        assert_same(&got, format!("{head}ok\n").as_bytes(), target);
    }
    let got = client.exchange(b"HEAD /.well-known/health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_same(&got, head.as_bytes(), "HEAD");
    let posted = client.exchange(b"POST /.well-known/health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(posted.starts_with(b"HTTP/1.1 405 "));
    for target in ["/.well-known/health/", "/.well-known/healthy", "/"] {
        let got = client.exchange(&get(target, ""));
        assert_same(&got, forbidden().as_bytes(), target);
    }
    let health_at = |path| {
        let mut policy = Policy::default();
        policy.set_health_path(path).expect("a path");
        policy
    };
    client.set_policy(health_at(Some("/up/")));
    let got = client.exchange(&get("/up/", ""));
    assert_same(&got, format!("{head}ok\n").as_bytes(), "/up/");
    assert_same(
        &client.exchange(&get(target, "")),
        not_found("").as_bytes(),
        target,
    );
    client.set_policy(health_at(None));
    assert_same(
        &client.exchange(&get("/up/", "")),
        not_found("").as_bytes(),
        "off",
    );
    assert!(Policy::default().set_health_path(Some("up")).is_err());
}

#[test]
fn the_log_names_who_was_proved() {
    let fixture = fixture();
    let path = fixture.path().join("access.log");
    let log = Log::open(Target::File(path.clone()), Format::Common).expect("a log");
    let mut client = client(&fixture, private());
    client.log = Some(log.batch());
    for (target, fields) in [
        ("/private/x", ANN),
        ("/private/x", ANN),
        ("/private/x", WRONG),
        ("/private/x", BOB),
        ("/a.txt", ANN),
    ] {
        // One connection, whose notes are used again.
        client.feed(&get(target, fields));
    }
    drop(client);
    assert_eq!(log.close(), 0);
    let text = fs::read_to_string(&path).expect("the log");
    let users: Vec<(&str, &str)> = text
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            (words[2], words[8])
        })
        .collect();
    let want = [
        ("ann", "200"),
        ("ann", "200"),
        ("-", "401"),
        ("-", "401"),
        ("-", "200"),
    ];
    assert_eq!(users, want);
}

/// Answers questions about passwords when it is told to.
struct Slow {
    files: InlineLoader,
    is_held: bool,
    held: Vec<Job>,
    asked: usize,
}

impl Slow {
    fn new(fixture: &Fixture) -> Self {
        Slow {
            files: fixture.inline_loader(),
            is_held: true,
            held: Vec::new(),
            asked: 0,
        }
    }
}

impl Loader for Slow {
    fn submit(&mut self, job: Job) -> Result<(), Job> {
        match job {
            Job::Verify { .. } => {
                self.asked += 1;
                self.held.push(job);
                Ok(())
            }
            job => self.files.submit(job),
        }
    }

    fn completed(&mut self) -> Option<Done> {
        if !self.is_held && !self.held.is_empty() {
            let job = self.held.remove(0);
            self.files.submit(job).ok()?;
        }
        self.files.completed()
    }
}

#[test]
fn passwords_are_looked_at_once_in_a_while() {
    let fixture = fixture();
    let mut client = Client::new(Slow::new(&fixture));
    client.set_policy(private());
    client.site.loader().is_held = false;
    let want = fixture.ok("private/x", "application/octet-stream", "");
    for (later, asked) in [
        (0, 1),
        (0, 1),
        (verified::MAX_AGE.as_secs() - 1, 1),
        (1, 2),
        (verified::MAX_AGE.as_secs() - 1, 2),
    ] {
        client.now += Duration::from_secs(later);
        assert_same(&client.exchange(&get("/private/x", ANN)), &want, "ann");
        assert_eq!(client.site.loader().asked, asked);
    }
    // What is wrong is looked at every time.
    for asked in [3, 4] {
        client.exchange(&get("/private/x", WRONG));
        assert_eq!(client.site.loader().asked, asked);
    }
    assert_eq!(client.counters.wrong_credentials, 2);
    // A new password, and the old one is nothing any more.
    let hash = "$2a$04$DCq7YPn5Rq63x1Lad4cll.gPqnXZmDhhq3zJUTSJckzck53/zZY4W";
    let users = [("ann".to_owned(), hash.parse().expect("a hash"))];
    let changed = Realm::new("the attic", users).expect("a realm");
    let mut policy = private();
    assert!(policy.auth.insert("/private", changed).is_ok());
    client.set_policy(policy);
    let got = client.exchange(&get("/private/x", ANN));
    assert_same(
        &got,
        unauthorized("the attic").as_bytes(),
        "the old password",
    );
}

#[test]
fn compressed_copies_are_guarded_with_their_file() {
    let fixture = fixture();
    fixture.write("report.html", b"a report");
    fixture.write("report.html.gz", b"the same");
    fixture.write("open.gz", b"of nothing");
    let mut policy = Policy::default();
    let before = policy
        .auth
        .insert("/report.html", realm("reports", &["ann"]));
    assert!(matches!(before, Ok(None)));
    assert_eq!(
        policy.access.insert("/open.gz", Networks::default()),
        Ok(None)
    );
    let mut client = client(&fixture, policy);
    for (target, fields, status) in [
        ("/report.html", "", "401"),
        ("/report.html.gz", "", "401"),
        ("/report.html.br", "", "401"),
        ("/report.html", ANN, "200"),
        ("/report.html.gz", ANN, "200"),
        ("/open.gz", "", "200"),
        ("/a.txt", "", "200"),
    ] {
        let got = client.exchange(&get(target, fields));
        assert_eq!(&got[9..12], status.as_bytes(), "{target}");
    }
}

#[test]
fn a_fall_back_is_shown_to_those_who_may_see_it() {
    let fixture = fixture();
    let host = |fallback: &[u8]| Host {
        policy: private(),
        fallback: Some(fallback.into()),
        ..Host::default()
    };
    let mut client = fixture.client();
    client.hosts = Hosts::new(host(b"private/index.html"));
    for (target, fields, status, body) in [
        ("/nothing", "", "404", ""),
        ("/nothing", ANN, "404", ""),
        ("/private/nothing", "", "401", ""),
        ("/private/nothing", ANN, "200", "the secrets"),
    ] {
        let got = client.exchange(&get(target, fields));
        assert_eq!(&got[9..12], status.as_bytes(), "{target} {fields}");
        assert!(got.ends_with(body.as_bytes()), "{target} {fields}");
    }
    client.hosts = Hosts::new(host(b"index.html"));
    let got = client.exchange(&get("/nothing", ""));
    assert!(got.starts_with(b"HTTP/1.1 200 ") && got.ends_with(b"the root"));
}

#[test]
fn a_crowd_of_guesses_is_told_to_come_again() {
    let fixture = fixture();
    let mut client = Client::new(Slow::new(&fixture));
    client.set_policy(private());
    let guess = |number: usize| {
        let credentials = BASE64_STANDARD.encode(format!("ann:{number}"));
        get(
            "/private/x",
            &format!("Authorization: Basic {credentials}\r\n"),
        )
    };
    let (at_once, in_line, of_one) = (2, 32, 4);
    let guess_from = |client: &mut Client<Slow>, address: u8, number: usize| {
        client.reconnect();
        let remote = Ipv4Addr::new(10, 0, 0, address);
        client.conn = Conn::from_client(SocketAddrV4::new(remote, 1));
        client.feed(&guess(number));
        let is_waiting = client.conn.is_waiting() && client.sent.is_empty();
        is_waiting || !client.sent.starts_with(b"HTTP/1.1 503 ")
    };
    // One address alone has its part of the line.
    for number in 0..at_once + of_one {
        assert!(guess_from(&mut client, 1, number), "{number}");
    }
    assert!(!guess_from(&mut client, 1, 99), "more than its part");
    for number in at_once + of_one..at_once + in_line {
        let address = (number / of_one + 2) as u8;
        assert!(guess_from(&mut client, address, number), "{number}");
    }
    assert_eq!(client.site.loader().asked, at_once);
    let unavailable = error(
        503,
        "Service Unavailable",
        "The server is busy. Please try again in a moment.",
        "Retry-After: 1\r\n",
        "",
    );
    let got = client.exchange(&guess(at_once + in_line));
    assert_same(&got, unavailable.as_bytes(), "one too many");
    assert_eq!(client.counters.refused_credentials, 2);
    // Who asks what is in line already waits for the same answer.
    client.reconnect();
    client.feed(&guess(0));
    assert!(client.conn.is_waiting() && client.sent.is_empty());
    // Who has gone makes room.
    client.site.forget(xdphttpd::site::Waiter(7));
    client.reconnect();
    client.feed(&get("/private/x", ANN));
    assert!(client.conn.is_waiting());
    client.site.loader().is_held = false;
    client.pump();
    let want = fixture.ok("private/x", "application/octet-stream", "");
    assert_same(&client.sent, &want, "the right one");
    assert_eq!(client.site.loader().asked, at_once + 1);
}

#[test]
fn a_server_that_goes_finishes_what_was_asked() {
    let fixture = fixture();
    for (fields, want) in [
        (
            ANN,
            fixture.ok("private/x", "application/octet-stream", http_support::CLOSE),
        ),
        (
            WRONG,
            unauthorized("the attic")
                .replace(DATE, &format!("{DATE}{}", http_support::CLOSE))
                .into_bytes(),
        ),
    ] {
        let mut client = Client::new(Slow::new(&fixture));
        client.set_policy(private());
        client.feed(&get("/private/x", fields));
        assert!(client.conn.in_response() && client.conn.held_bytes() > 0);
        client.conn.shut_down();
        client.site.loader().is_held = false;
        client.pump();
        assert_same(&client.sent, &want, fields);
        assert!(client.conn.wants_close());
    }
}

#[test]
fn secrets_are_in_no_log() {
    let fixture = fixture();
    let mut client = Client::new(Slow::new(&fixture));
    client.set_policy(private());
    client.feed(&get("/private/x", ANN));
    let text = format!("{:?} {:?}", client.conn, client.site.loader().held);
    for secret in ["sesame", "YW5uOnNlc2FtZQ", "115, 101, 115, 97, 109, 101"] {
        assert!(!text.contains(secret), "{text}");
    }
}

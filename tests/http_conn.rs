//! How one connection goes on: pipelining, half-close, draining, counters.

mod http_support;

use http_support::*;
use xdphttpd::http::{Counters, Status};
use xdphttpd::site::{Done, Found, Job, Loader};

const HTML: &str = "text/html; charset=utf-8";

fn fixture() -> Fixture {
    Fixture::new(&[
        ("index.html", b"<h1>root</h1>"),
        ("a.txt", b"alpha\n"),
        ("dir/index.html", b"<h1>dir</h1>"),
    ])
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")
}

fn redirect(location: &str, connection: &str) -> String {
    let fields = format!("Location: {location}\r\n");
    let text = "What you asked for is at another address.";
    error(301, "Moved Permanently", text, &fields, connection)
}

#[test]
fn responses_may_be_taken_byte_by_byte() {
    let fixture = fixture();
    let mut client = fixture.client();
    let request = [get("/a.txt"), get("/nope"), get("/dir?q")].concat();
    let mut rest = request.as_bytes();
    while !rest.is_empty() || client.conn.in_response() {
        let consumed = client.input(rest);
        rest = &rest[consumed..];
        while client.deliver() || client.send(1) > 0 {}
    }
    let expected = [
        fixture.ok("a.txt", "text/plain; charset=utf-8", ""),
        not_found("").into(),
        redirect("/dir/?q", "").into(),
    ];
    assert_same(&client.sent, &expected.concat(), "three responses");
}

#[test]
fn three_pipelined_requests_are_answered_one_after_another() {
    let fixture = fixture();
    let mut client = fixture.client();
    let requests = [get("/a.txt"), get("/"), get("/nope")];
    let all = requests.concat();

    let first = client.input(all.as_bytes());
    assert_eq!(
        first,
        requests[0].len(),
        "the second waits until the first is answered"
    );
    assert!(client.conn.in_response() && !client.conn.wants_input());
    assert_eq!(client.input(&all.as_bytes()[first..]), 0);
    client.pump();
    client.feed(&all.as_bytes()[first..]);

    let expected = [
        fixture.ok("a.txt", "text/plain; charset=utf-8", ""),
        fixture.ok("index.html", HTML, ""),
        not_found("").into_bytes(),
    ];
    assert_same(&client.sent, &expected.concat(), "in order");
    assert!(client.conn.is_idle());
}

#[test]
fn what_follows_a_closing_request_is_thrown_away() {
    let fixture = fixture();
    let mut client = fixture.client();
    let request = "GET /a.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let all = [request.to_owned(), get("/")].concat();
    assert_same(
        &client.exchange(all.as_bytes()),
        &fixture.ok("a.txt", "text/plain; charset=utf-8", CLOSE),
        "one response",
    );
    assert!(client.conn.wants_close() && !client.conn.must_abort());
    assert_eq!(client.input(b"whatever"), 8);
    assert!(client.conn.output().is_empty());
}

#[test]
fn a_half_closed_connection_still_gets_its_response() {
    let fixture = fixture();
    let mut client = fixture.client();
    let request = get("/a.txt");
    client.input(request.as_bytes());
    client.conn.input_end();
    client.pump();
    // The head was not begun when the FIN came, so it can say that the connection ends.
    assert_same(
        &client.sent,
        &fixture.ok("a.txt", "text/plain; charset=utf-8", CLOSE),
        "while waiting",
    );
    assert!(client.conn.wants_close());

    client.reconnect();
    client.input(request.as_bytes());
    client.deliver();
    client.conn.input_end();
    client.pump();
    assert_same(
        &client.sent,
        &fixture.ok("a.txt", "text/plain; charset=utf-8", CLOSE),
        "head written, not sent",
    );
    assert!(client.conn.wants_close());

    client.reconnect();
    client.input(request.as_bytes());
    client.deliver();
    client.send(20);
    client.conn.input_end();
    client.pump();
    assert_same(
        &client.sent,
        &fixture.ok("a.txt", "text/plain; charset=utf-8", ""),
        "head partly sent",
    );
    assert!(client.conn.wants_close());
}

#[test]
fn a_connection_half_closed_within_a_head_just_closes() {
    let fixture = fixture();
    let mut client = fixture.client();
    client.feed(b"GET /a.txt HTTP/1.1\r\nHo");
    assert!(!client.conn.is_idle() && !client.conn.in_response() && !client.conn.wants_close());
    client.conn.input_end();
    assert!(client.conn.wants_close());
    assert!(client.sent.is_empty() && client.conn.output().is_empty());
    assert_eq!(client.counters, Counters::default());
}

#[test]
fn draining_closes_idle_connections_and_finishes_the_others() {
    let fixture = fixture();
    let mut client = fixture.client();
    client.conn.shut_down();
    assert!(client.conn.wants_close());

    client.reconnect();
    client.input(b"GET /a.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    client.deliver();
    client.conn.shut_down();
    client.pump();
    assert_same(
        &client.sent,
        &fixture.ok("a.txt", "text/plain; charset=utf-8", CLOSE),
        "no longer kept alive",
    );
    assert!(client.conn.wants_close());
}

#[test]
fn counters_tell_what_happened() {
    let fixture = fixture();
    let mut client = fixture.client();
    client.feed(get("/a.txt").as_bytes());
    client.feed(b"HEAD /a.txt HTTP/1.1\r\nHost: x\r\n\r\n");
    client.feed(get("/dir").as_bytes());
    client.feed(get("/nope").as_bytes());
    client.feed(b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n");
    client.feed(b"\0");
    let pages = [
        Status::MovedPermanently,
        Status::NotFound,
        Status::NotImplemented,
        Status::BadRequest,
    ];
    let expected = Counters {
        requests: 5,
        refused_heads: 1,
        responses_2xx: 2,
        responses_3xx: 1,
        responses_4xx: 2,
        responses_5xx: 1,
        body_bytes: 6 + pages
            .iter()
            .map(|status| status.page().len() as u64)
            .sum::<u64>(),
        ..Counters::default()
    };
    assert_eq!(client.counters, expected);
}

/// Finds trouble wherever it is sent, by the name it is asked for.
#[derive(Default)]
struct TroubledLoader {
    done: Option<Done>,
}

impl Loader for TroubledLoader {
    fn submit(&mut self, job: Job) -> Result<(), Job> {
        let Job::Open { host, name, .. } = &job else {
            return Err(job);
        };
        let found = match &**name {
            b"locked" => Found::Forbidden,
            b"broken" => Found::Failed(std::io::ErrorKind::Other),
            b"slow" => Found::Failed(std::io::ErrorKind::TimedOut),
            _ => return Err(job),
        };
        self.done = Some(Done::Open {
            host: *host,
            name: name.clone(),
            found,
            quiet: None,
        });
        Ok(())
    }

    fn completed(&mut self) -> Option<Done> {
        self.done.take()
    }
}

#[test]
fn trouble_with_files_has_its_statuses_and_keeps_the_connection() {
    let mut client = Client::new(TroubledLoader::default());
    let forbidden = error(
        403,
        "Forbidden",
        "This is not to be read from here.",
        "",
        "",
    );
    let failed = error(
        500,
        "Internal Server Error",
        "The server could not read this file.",
        "",
        "",
    );
    let slow = "The storage behind this server did not answer in time. Please try again later.";
    let slow = error(504, "Gateway Timeout", slow, "", "");
    let text = "The server is busy. Please try again in a moment.";
    let busy = error(503, "Service Unavailable", text, "Retry-After: 1\r\n", "");
    for (target, expected) in [
        ("/locked", forbidden),
        ("/broken", failed),
        ("/slow", slow),
        ("/busy?q", busy),
    ] {
        assert_same(
            &client.exchange(get(target).as_bytes()),
            expected.as_bytes(),
            target,
        );
        assert!(client.conn.is_idle());
    }
}

//! Requests that a service answers: framing both ways, backpressure, and what goes wrong.

mod http_support;

use bytes::Bytes;
use http_support::{CLOSE, Client, DATE, Fixture, assert_same, error};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::task::{Context, Poll, Waker};
use xdphttpd::exchange::{
    Broken, Call, Exchanges, Head, PIECE_BYTES, PIECES, Said, ServiceId, Side,
};
use xdphttpd::http::access::Networks;
use xdphttpd::http::auth::Realm;
use xdphttpd::http::call::{Kind, Service};
use xdphttpd::http::{Host, Hosts, Status};
use xdphttpd::site::{InlineLoader, Root, Waiter};

/// A client, and the tasks that its requests have begun, which a test plays by hand.
struct Play {
    client: Client<InlineLoader>,
    begun: Receiver<(Call, Side)>,
    rings: Arc<AtomicUsize>,
    _fixture: Fixture,
}

/// What is there at once; a test's task never waits.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn head(lines: &str, length: Option<u64>, has_body: bool) -> Said {
    Said::Head(Head {
        status: lines[9..12].parse().expect("a status"),
        lines: lines.as_bytes().to_vec(),
        length,
        has_body,
        has_date: false,
    })
}

impl Play {
    /// With a proxy at /p, and files to be put beneath /up.
    fn new() -> Play {
        Play::with(Host::default(), 2)
    }

    fn with(mut host: Host, most: usize) -> Play {
        let fixture = Fixture::new(&[("a", b"file"), ("up/b", b"other")]);
        let root = Root::open(fixture.path()).expect("a root");
        let mut client = Client::new(InlineLoader::new(root));
        for (id, (path, kind)) in [("/p", Kind::Proxy), ("/up", Kind::Upload)]
            .into_iter()
            .enumerate()
        {
            let id = ServiceId(id as u32);
            host.services
                .insert(path, Service { id, kind })
                .expect("a path");
        }
        client.hosts = Hosts::new(host);
        let (begin, begun) = channel();
        let rings = Arc::new(AtomicUsize::new(0));
        let bell = rings.clone();
        client.exchanges = Exchanges::new(
            most,
            move |call, side| begin.send((call, side)).expect("a test"),
            move || {
                bell.fetch_add(1, Ordering::Relaxed);
            },
        );
        Play {
            client,
            begun,
            rings,
            _fixture: fixture,
        }
    }

    fn begun(&self) -> (Call, Side) {
        self.begun.try_recv().expect("a call")
    }

    /// Lets the connection hear what tasks have said, as its worker does, and takes what it sends.
    fn hear(&mut self) -> Vec<u8> {
        while let Some(waiter) = self.client.exchanges.next_ready() {
            assert_eq!(waiter, Waiter(7));
            self.client.go_on();
        }
        self.client.pump();
        std::mem::take(&mut self.client.sent)
    }

    /// Has a task say these, as fast as they are heard; returns what the client gets.
    fn say(&mut self, side: &Side, said: impl IntoIterator<Item = Said>) -> Vec<u8> {
        let mut sent = Vec::new();
        for said in said {
            now(side.voice.say(said))
                .expect("room")
                .expect("somebody listens");
            sent.extend(self.hear());
        }
        sent
    }
}

fn body(side: &mut Side) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(Some(Ok(piece))) = now(side.body.next()) {
        body.extend_from_slice(&piece);
    }
    body
}

#[test]
fn a_request_goes_to_its_service_and_a_response_comes_back() {
    let mut play = Play::new();
    let request = b"POST /p/x/../y?q=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloGET /a HTTP/1.1\r\nHost: h\r\n\r\n";
    let next = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(play.client.input(request), request.len() - next.len());
    let (call, mut side) = play.begun();
    assert_eq!(
        (call.service, &*call.name, call.rest),
        (ServiceId(0), &b"p/y"[..], Some(2))
    );
    assert_eq!(call.body_bytes, Some(5));
    assert!(call.head.starts_with(b"POST /p/x/../y?q=1 HTTP/1.1\r\n"));
    assert_eq!(body(&mut side), b"hello");
    assert_eq!(now(side.body.next()), Some(None), "that was all");
    let sent = play.say(
        &side,
        [
            head("HTTP/1.1 200 OK\r\nServer: other\r\n", Some(3), true),
            Said::Data(Bytes::from_static(b"yes")),
            Said::End,
        ],
    );
    let expected =
        format!("HTTP/1.1 200 OK\r\nServer: other\r\nContent-Length: 3\r\n{DATE}\r\nyes");
    assert_same(&sent, expected.as_bytes(), "the response");
    // The connection goes on, with a file.
    drop(side);
    play.client.feed(next);
    assert!(play.client.sent.ends_with(b"\r\n\r\nfile"));
    assert_eq!(play.client.exchanges.running(), 0);
    assert_eq!(play.client.counters.requests, 2);
    assert_eq!(play.client.counters.responses_2xx, 2);
}

#[test]
fn how_responses_are_framed() {
    let data = || Said::Data(Bytes::from(vec![b'x'; 20]));
    let text = "x".repeat(20);
    let (get, head_of, old) = (
        "GET /p HTTP/1.1\r\nHost: h\r\n\r\n",
        "HEAD /p HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /p HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    );
    let ok = "HTTP/1.1 200 OK\r\n";
    for (request, said, rest, is_open) in [
        // Of a length that nobody knows, in chunks, or until the end.
        (
            get,
            vec![head(ok, None, true), data(), data(), Said::End],
            format!(
                "Transfer-Encoding: chunked\r\n{DATE}\r\n14\r\n{text}\r\n14\r\n{text}\r\n0\r\n\r\n"
            ),
            true,
        ),
        (
            old,
            vec![head(ok, None, true), data(), Said::End],
            format!("{DATE}{CLOSE}\r\n{text}"),
            false,
        ),
        (
            old,
            vec![head(ok, Some(20), true), data(), Said::End],
            format!("Content-Length: 20\r\n{DATE}Connection: keep-alive\r\n\r\n{text}"),
            true,
        ),
        (
            get,
            vec![head(ok, None, true), Said::End],
            format!("Transfer-Encoding: chunked\r\n{DATE}\r\n0\r\n\r\n"),
            true,
        ),
        (
            head_of,
            vec![head(ok, Some(20), false), Said::End],
            format!("Content-Length: 20\r\n{DATE}\r\n"),
            true,
        ),
        (
            head_of,
            vec![head(ok, None, false), Said::End],
            format!("{DATE}\r\n"),
            true,
        ),
    ] {
        let mut play = Play::new();
        play.client.input(request.as_bytes());
        let (_, side) = play.begun();
        let sent = play.say(&side, said);
        assert_same(&sent, format!("{ok}{rest}").as_bytes(), request);
        assert_eq!(play.client.conn.is_idle(), is_open, "{request}");
        assert_eq!(play.client.conn.wants_close(), !is_open, "{request}");
    }
}

#[test]
fn bodies_arrive_however_they_are_cut() {
    let chunked = b"POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
                    3\r\nabc\r\n5;x=y\r\ndefgh\r\n0\r\nTrailer: t\r\n\r\n";
    let counted = b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\nabcdefgh";
    for request in [&chunked[..], counted] {
        for cut in 1..request.len() {
            let mut play = Play::new();
            for part in [&request[..cut], &request[cut..]] {
                assert_eq!(play.client.input(part), part.len());
            }
            let (call, mut side) = play.begun();
            assert_eq!(call.body_bytes, (request == counted).then_some(8));
            assert_eq!(body(&mut side), b"abcdefgh", "{cut}");
            assert_eq!(now(side.body.next()), Some(None), "{cut}");
        }
    }
}

#[test]
fn neither_side_is_run_over() {
    let mut play = Play::new();
    let bytes = vec![b'x'; 3 * PIECES * PIECE_BYTES];
    let head_of = format!(
        "PUT /p HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n",
        bytes.len()
    );
    play.client.input(head_of.as_bytes());
    let (_, mut side) = play.begun();
    // The service takes nothing: no more is taken than there are places for.
    let mut taken = play.client.input(&bytes);
    assert_eq!(taken, PIECES * PIECE_BYTES);
    assert!(!play.client.conn.wants_input() && !play.client.conn.in_body());
    assert!(play.client.conn.in_response() && play.client.conn.waits_for_service());
    let rings = play.rings.load(Ordering::Relaxed);
    let mut arrived = body(&mut side).len();
    assert_eq!(
        play.rings.load(Ordering::Relaxed),
        rings + 1,
        "one ring for all of them"
    );
    assert!(play.client.conn.in_body(), "it is the client's turn");
    while taken < bytes.len() {
        play.hear();
        taken += play.client.input(&bytes[taken..]);
        arrived += body(&mut side).len();
    }
    assert_eq!(arrived, bytes.len());
    assert_eq!(now(side.body.next()), Some(None));
    // The client takes nothing: the service waits.
    now(side.voice.say(head("HTTP/1.1 200 OK\r\n", None, true)))
        .expect("room")
        .expect("heard");
    let piece = || Said::Data(Bytes::from(vec![b'y'; PIECE_BYTES]));
    let said = (0..)
        .take_while(|_| matches!(now(side.voice.say(piece())), Some(Ok(()))))
        .count();
    assert_eq!(said, PIECES - 1);
    while let Some(_waiter) = play.client.exchanges.next_ready() {
        play.client.go_on();
    }
    assert!(
        play.client.conn.held_bytes() < 1_000,
        "the head alone is in hand"
    );
    let sent = play.hear();
    assert_eq!(
        sent.iter().filter(|&&byte| byte == b'y').count(),
        said * PIECE_BYTES
    );
}

#[test]
fn what_a_service_fails_at() {
    let bad_gateway = error(
        502,
        "Bad Gateway",
        "The server behind this one did not answer. Please try again later.",
        "",
        "",
    );
    let late = error(
        504,
        "Gateway Timeout",
        "The storage behind this server did not answer in time. Please try again later.",
        "",
        "",
    );
    let get = b"GET /p HTTP/1.1\r\nHost: h\r\n\r\n";
    // Nothing was said: an error of our own.
    let mut play = Play::new();
    play.client.input(get);
    drop(play.begun());
    assert_same(&play.hear(), bad_gateway.as_bytes(), "a task that ended");
    play.client.input(get);
    let (_, side) = play.begun();
    let sent = play.say(&side, [Said::Refuse(Status::GatewayTimeout)]);
    assert_same(&sent, late.as_bytes(), "one that refused");
    assert!(play.client.conn.is_idle());
    // Something was: the client must not take it for the whole.
    let ok = || head("HTTP/1.1 200 OK\r\n", Some(3), true);
    let data = |text: &'static str| Said::Data(Bytes::from_static(text.as_bytes()));
    for said in [
        vec![ok(), data("ab")],
        vec![ok(), data("ab"), Said::End],
        vec![ok(), data("abcd")],
        vec![ok(), ok()],
        vec![head("HTTP/1.1 200 OK\r\n", None, true), data("ab")],
        vec![head("HTTP/1.1 204 No Content\r\n", None, false), data("ab")],
    ] {
        let mut play = Play::new();
        play.client.input(get);
        let (_, side) = play.begun();
        let told = format!("{said:?}");
        let sent = play.say(&side, said);
        assert!(sent.starts_with(b"HTTP/1.1 20"), "{told}");
        drop(side);
        play.hear();
        assert!(play.client.conn.must_abort(), "{told}");
        assert_eq!(play.client.counters.aborted, 1, "{told}");
    }
}

#[test]
fn clients_that_break_off() {
    for request in [
        &b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab"[..],
        b"POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab",
    ] {
        let mut play = Play::new();
        play.client.input(request);
        let (_, mut side) = play.begun();
        play.client.conn.input_end();
        assert!(play.client.conn.wants_close());
        assert_eq!(
            now(side.body.next()),
            Some(Some(Ok(Bytes::from_static(b"ab"))))
        );
        assert_eq!(now(side.body.next()), Some(Some(Err(Broken))));
        assert_eq!(now(side.voice.gone()), Some(()), "the task sees it");
    }
    // A body that is none.
    let mut play = Play::new();
    play.client
        .input(b"POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc");
    let (_, mut side) = play.begun();
    assert!(play.hear().starts_with(b"HTTP/1.1 400 "));
    assert!(play.client.conn.wants_close());
    assert_eq!(body(&mut side), b"ab");
    assert_eq!(now(side.body.next()), Some(Some(Err(Broken))));
    // One that has said all it wants to say is answered.
    let mut play = Play::new();
    play.client.input(b"GET /p HTTP/1.1\r\nHost: h\r\n\r\n");
    play.client.conn.input_end();
    let (_, side) = play.begun();
    let sent = play.say(
        &side,
        [head("HTTP/1.1 204 No Content\r\n", None, false), Said::End],
    );
    assert_same(
        &sent,
        format!("HTTP/1.1 204 No Content\r\n{DATE}{CLOSE}\r\n").as_bytes(),
        "half closed",
    );
    assert!(play.client.conn.wants_close());
}

#[test]
fn the_body_is_sent_when_it_is_welcome() {
    let head_of =
        b"PUT /up/x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let mut play = Play::new();
    play.client.input(head_of);
    let (call, mut side) = play.begun();
    assert_eq!((call.service, &*call.name), (ServiceId(1), &b"up/x"[..]));
    assert_eq!(play.hear(), b"");
    assert_eq!(
        play.say(&side, [Said::Continue]),
        b"HTTP/1.1 100 Continue\r\n\r\n"
    );
    play.client.input(b"ab");
    assert_eq!(body(&mut side), b"ab");
    let done = [head("HTTP/1.1 201 Created\r\n", Some(0), false), Said::End];
    let sent = play.say(&side, done.clone());
    let created = format!("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n{DATE}\r\n");
    assert_same(&sent, created.as_bytes(), "what follows");
    assert!(play.client.conn.is_idle());
    // It is not: then nobody knows whether it comes.
    play.client.input(head_of);
    let (_, side) = play.begun();
    let sent = play.say(&side, [Said::Refuse(Status::ContentTooLarge)]);
    assert!(sent.starts_with(b"HTTP/1.1 413 ") && play.client.conn.wants_close());
    // Who did not wait is told nothing.
    let mut play = Play::new();
    play.client.input(head_of);
    play.client.input(b"ab");
    let (_, side) = play.begun();
    assert_same(
        &play.say(&side, [Said::Continue].into_iter().chain(done)),
        created.as_bytes(),
        "impatient",
    );
}

#[test]
fn an_answer_before_the_end_of_the_request_is_the_last() {
    let mut play = Play::new();
    play.client
        .input(b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\nab");
    let (_, side) = play.begun();
    let sent = play.say(
        &side,
        [head("HTTP/1.1 403 No\r\n", Some(0), false), Said::End],
    );
    assert_same(
        &sent,
        format!("HTTP/1.1 403 No\r\nContent-Length: 0\r\n{DATE}{CLOSE}\r\n").as_bytes(),
        "early",
    );
    assert!(play.client.conn.wants_close());
    // What still comes is thrown away.
    assert_eq!(play.client.input(&[b'x'; 10_000]), 10_000);
}

#[test]
fn a_tunnel_carries_what_it_is_given() {
    let mut play = Play::new();
    play.client
        .input(b"GET /p HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    let (_, mut side) = play.begun();
    let sent = play.say(
        &side,
        [head(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n",
            None,
            false,
        )],
    );
    let switched =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n";
    assert_same(&sent, switched.as_bytes(), "the switch");
    // Nothing here is HTTP any more.
    let bytes = b"\x81\x05\r\n\r\nGET / HTTP/1.1\r\n\r\n";
    assert_eq!(play.client.input(bytes), bytes.len());
    assert_eq!(body(&mut side), bytes);
    assert_eq!(
        play.say(&side, [Said::Data(Bytes::from_static(b"\0\x01"))]),
        b"\0\x01"
    );
    assert!(
        play.client.conn.waits_for_service(),
        "nobody is to blame for silence"
    );
    play.client.conn.input_end();
    assert_eq!(now(side.body.next()), Some(None), "half of it is closed");
    assert_eq!(
        play.say(&side, [Said::Data(Bytes::from_static(b"bye")), Said::End]),
        b"bye"
    );
    assert!(play.client.conn.wants_close());
}

#[test]
fn who_may_not_ask_a_file_may_not_ask_a_service() {
    let mut host = Host::default();
    host.policy
        .access
        .insert("/p/inside", Networks::only([]))
        .expect("a path");
    let mut play = Play::with(host, 1);
    for (target, code) in [
        ("/p/inside", "403"),
        ("/x/../p/%69nside/a", "403"),
        ("/p%2Finside", "404"),
        ("/p/%zz", "400"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        let sent = play.client.exchange(request.as_bytes());
        assert!(
            sent.starts_with(format!("HTTP/1.1 {code} ").as_bytes()),
            "{target}"
        );
    }
    assert!(play.begun.try_recv().is_err());
    // A refusal before the body is the last word.
    let sent = play
        .client
        .exchange(b"PUT /p/inside HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n");
    assert!(sent.starts_with(b"HTTP/1.1 403 ") && play.client.conn.wants_close());
}

#[test]
fn the_health_check_comes_before_all_services() {
    let mut host = Host::default();
    let service = Service {
        id: ServiceId(0),
        kind: Kind::Proxy,
    };
    host.services.insert("/", service).expect("a path");
    let mut play = Play::with(host, 2);
    let asked = b"GET /.well-known/health HTTP/1.1\r\nHost: h\r\n\r\n";
    assert!(play.client.exchange(asked).ends_with(b"\r\n\r\nok\n"));
    play.client.reconnect();
    play.client.input(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    let (call, _side) = play.begun();
    assert_eq!((&*call.name, call.rest), (&b"a"[..], Some(0)));
}

#[test]
fn what_comes_while_a_password_is_looked_at_counts() {
    let hash = "$2y$04$abcdefghijklmnopqrstuuinwY/tkBVrn3xrxQI/TgnMHhkvl85RW";
    let asked = b"GET /p HTTP/1.1\r\nHost: h\r\nAuthorization: Basic YW5uOnNlc2FtZQ==\r\n\r\n";
    type Happening = fn(&mut xdphttpd::http::Conn);
    let happenings: [Happening; 2] = [|conn| conn.shut_down(), |conn| conn.input_end()];
    for happens in happenings {
        let users = [("ann".to_owned(), hash.parse().expect("a hash"))];
        let mut host = Host::default();
        let realm = Realm::new("r", users).expect("a realm");
        host.policy.auth.insert("/p", realm).expect("a path");
        let mut play = Play::with(host, 1);
        play.client.input(asked);
        assert!(play.begun.try_recv().is_err(), "nobody knows yet who asks");
        happens(&mut play.client.conn);
        while play.client.deliver() {}
        let (_, side) = play.begun();
        let done = [head("HTTP/1.1 204 No Content\r\n", None, false), Said::End];
        let expected = format!("HTTP/1.1 204 No Content\r\n{DATE}{CLOSE}\r\n");
        assert_same(
            &play.say(&side, done),
            expected.as_bytes(),
            "the last response",
        );
        assert!(play.client.conn.wants_close());
    }
}

#[test]
fn what_is_whose() {
    let mut play = Play::with(Host::default(), 100);
    let mut sides = Vec::new();
    for (request, service) in [
        ("GET /p", Some(0)),
        ("PROPFIND /p/a", Some(0)),
        ("OPTIONS /p/", Some(0)),
        ("GET /p/.git", Some(0)),
        ("GET /pp", None),
        ("GET /up/b", None),
        ("HEAD /up/b", None),
        ("OPTIONS /up/b", None),
        ("PATCH /up/b", None),
        ("PUT /up/b", Some(1)),
        ("DELETE /up/b", Some(1)),
        ("POST /up", Some(1)),
        ("PUT /up/.b", None),
        ("PUT /a", None),
    ] {
        play.client.reconnect();
        let head_of = format!("{request} HTTP/1.1\r\nHost: h\r\n\r\n");
        play.client.input(head_of.as_bytes());
        let begun = play.begun.try_recv().ok();
        let id = begun.as_ref().map(|(call, _)| call.service.0);
        assert_eq!(id, service, "{request}");
        sides.push(begun);
    }
}

#[test]
fn no_more_are_under_way_than_may_be() {
    let mut play = Play::new();
    let get = b"GET /p HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut connections = Vec::new();
    for _ in 0..2 {
        play.client.input(get);
        let conn = std::mem::take(&mut play.client.conn);
        connections.push((conn, play.begun()));
    }
    let sent = play.client.exchange(get);
    assert!(sent.starts_with(b"HTTP/1.1 503 "));
    // A connection that has gone makes room when its task has ended too.
    let (conn, begun) = connections.remove(0);
    drop(conn);
    assert_eq!(now(begun.1.voice.gone()), Some(()));
    assert_eq!(play.client.exchanges.running(), 2);
    drop(begun);
    assert_eq!(play.client.exchanges.running(), 1);
    play.client.reconnect();
    play.client.input(get);
    play.begun();
}

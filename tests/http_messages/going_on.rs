//! What a connection does between requests and responses: when it answers, what it takes meanwhile, what it holds.

use crate::http_support::cases::random_lengths;
use crate::http_support::{Client, assert_same, bad_request};
use crate::want::*;
use proptest::prelude::*;
use xdphttpd::http::Limits;

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

#[test]
fn a_chunked_request_is_answered_when_its_body_has_come() {
    let fixture = fixture();
    let mut client = fixture.client();
    let head = get_with(CHUNKED);
    client.feed(head.as_bytes());
    client.feed(b"3\r\nxyz\r\n0\r\nA: b\r\n\r");
    assert!(client.sent.is_empty() && client.conn.in_body() && client.conn.wants_input());
    assert!(!client.conn.is_idle() && !client.conn.in_response());
    assert!(client.conn.held_bytes() >= head.len() as u64);
    client.feed(b"\n");
    assert!(client.sent.starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert!(client.conn.is_idle());
    assert_eq!(client.conn.held_bytes(), 0);
    assert_eq!(
        (client.counters.requests, client.counters.refused_heads),
        (1, 0)
    );
}

#[test]
fn bad_chunks_are_refused_at_their_first_bad_byte() {
    let fixture = fixture();
    let mut client = fixture.client();
    client.feed(get_with(CHUNKED).as_bytes());
    client.feed(b"3\r\nxyz\r");
    assert!(client.sent.is_empty());
    client.feed(b"!");
    assert_same(&client.sent, bad_request().as_bytes(), "refused");
    assert!(client.conn.wants_close());
    assert_eq!(client.conn.held_bytes(), 0);
    assert_eq!(
        (client.counters.requests, client.counters.refused_heads),
        (0, 1)
    );
}

#[test]
fn a_client_that_waits_for_our_word_is_answered_at_once() {
    let fixture = fixture();
    let mut client = fixture.client();
    for body in ["Content-Length: 3\r\n", CHUNKED] {
        client.reconnect();
        client.input(get_with(&format!("Expect: 100-continue\r\n{body}")).as_bytes());
        client.pump();
        assert!(client.sent.starts_with(b"HTTP/1.1 200 OK\r\n"), "{body}");
        assert!(client.conn.wants_close(), "{body}");
    }
}

#[test]
fn a_request_with_a_length_is_answered_before_its_body_comes() {
    let fixture = fixture();
    let mut client = fixture.client();
    client.feed(b"POST /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
    assert!(client.sent.starts_with(b"HTTP/1.1 405 "));
    assert!(client.conn.in_body());
    client.feed(&[b'x'; 999]);
    assert!(client.conn.in_body());
    client.feed(b"x");
    assert!(client.conn.is_idle());
}

#[test]
fn an_early_error_reaches_a_client_that_goes_on_sending() {
    let fixture = fixture();
    let mut client = fixture.client();
    let requests = [
        "POST /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n",
    ];
    for request in requests {
        client.reconnect();
        assert_eq!(client.input(request.as_bytes()), request.len());
        let whole = client.conn.output().len();
        let mut sent = 0;
        // Byte for byte of the response, the client sends a megabyte of its body: nothing of that
        // is kept, nothing of it waits.
        let flood = vec![b'x'; 1 << 20];
        while !client.conn.wants_close() {
            assert_eq!(client.input(&flood), flood.len());
            sent += client.send(97);
            assert_eq!(client.conn.held_bytes(), 0);
        }
        assert!(sent > whole, "head and page");
        assert!(client.sent.starts_with(b"HTTP/1.1 4") && client.sent.ends_with(b"</html>\n"));
        assert_eq!(client.input(&flood), flood.len(), "and after it");
        assert!(client.conn.output().is_empty());
    }
}

#[test]
fn a_half_closed_connection_gets_no_answer_to_half_a_body() {
    let fixture = fixture();
    let mut client = fixture.client();
    client.feed(get_with(CHUNKED).as_bytes());
    client.feed(b"3\r\nxy");
    client.conn.input_end();
    assert!(client.conn.wants_close() && client.sent.is_empty());
    assert_eq!(client.conn.held_bytes(), 0);
}

#[test]
fn limits_are_settings() {
    let fixture = fixture();
    let mut client = fixture.client();
    client.limits = Limits {
        request_line_bytes: 30,
        head_bytes: 100,
        fields: 3,
        leading_bytes: 2,
        body_bytes: 20,
        chunk_line_bytes: 10,
        trailer_bytes: 8,
    };
    let cases: &[(&str, u16)] = &[
        ("GET /a.txt?1234567890 HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        ("GET /a.txt?12345678901 HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (
            "BREWBREWBREWBREWBREWBREWBREWBREW / HTTP/1.1\r\nHost: x\r\n\r\n",
            501,
        ),
        ("GET /a.txt HTTP/1.1\r\nHost: x\r\nA:\r\nB:\r\n\r\n", 200),
        (
            "GET /a.txt HTTP/1.1\r\nHost: x\r\nA:\r\nB:\r\nC:\r\n\r\n",
            431,
        ),
        ("\r\nGET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        ("\r\n\r\nGET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (
            "GET /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n",
            200,
        ),
        (
            "GET /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 21\r\n\r\n",
            413,
        ),
    ];
    for (request, code) in cases {
        let response = client.exchange(request.as_bytes());
        assert_eq!(code_of(&response), *code, "{request}");
    }
    let padded = |bytes: usize| {
        get_with(&format!(
            "A: {}\r\n",
            "a".repeat(bytes - get_with("A: \r\n").len())
        ))
    };
    assert_eq!(code_of(&client.exchange(padded(100).as_bytes())), 200);
    assert_eq!(code_of(&client.exchange(padded(101).as_bytes())), 431);
    let chunked = [
        ("7\r\n1234567\r\n0\r\n\r\n", 200),
        ("8\r\n12345678\r\n000\r\n\r\n", 200),
        ("8\r\n12345678\r\n0000\r\n\r\n", 413),
        ("0;345678\r\n\r\n", 200),
        ("0;3456789\r\n\r\n", 400),
        ("0\r\na:bc\r\n\r\n", 200),
        ("0\r\na:bcd\r\n\r\n", 431),
    ];
    for (body, code) in chunked {
        let request = get_with(CHUNKED) + body;
        assert_eq!(
            code_of(&client.exchange(request.as_bytes())),
            code,
            "{body}"
        );
    }
}

fn code_of(response: &[u8]) -> u16 {
    let text = str::from_utf8(&response[9..12]).expect("a status line");
    text.parse().expect("a status code")
}

#[test]
fn a_long_head_that_waits_for_its_chunks_is_refused_when_memory_is_short() {
    let fixture = fixture();
    let mut client = fixture.client();
    client.frugal = true;
    let short = get_with(CHUNKED) + "0\r\n\r\n";
    assert_eq!(code_of(&client.exchange(short.as_bytes())), 200);
    let long = get_with(&format!("{CHUNKED}A: {}\r\n", "a".repeat(2_000))) + "0\r\n\r\n";
    assert_eq!(code_of(&client.exchange(long.as_bytes())), 503);
    assert_eq!(client.conn.held_bytes(), 0);
}

/// Pieces of chunked bodies, valid and not.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "0\r\n\r\n",
        "0\r\n",
        "3\r\nxyz\r\n",
        "1\r\nx\r\n",
        "a\r\n",
        "\r\n",
        "\r",
        "\n",
        ";a",
        ";a=b",
        "=",
        "\"",
        "\\",
        " ",
        "A: b\r\n",
        ":",
        "0",
        "f",
        "x",
        "fffffffffffffffff",
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    ];
    prop_oneof![
        20 => prop::sample::select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Chunks that begin well, of whatever then: the cuts make no difference, and what comes back is HTTP.
    #[test]
    fn pieces_of_chunks_do_no_harm(pieces in prop::collection::vec(piece(), 0..20), seed: u64) {
        let fixture = FIXTURE.with(|fixture| fixture.clone());
        let bytes = [get_with(CHUNKED).into_bytes(), pieces.concat()].concat();
        let mut whole = Client::new(fixture.inline_loader());
        whole.feed(&bytes);
        prop_assert!(well_formed(&whole.sent), "{}", String::from_utf8_lossy(&whole.sent));

        let mut cut = Client::new(fixture.inline_loader());
        let mut rest = &bytes[..];
        for length in random_lengths(seed).into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, later) = rest.split_at(length.min(rest.len()));
            cut.feed(piece);
            rest = later;
        }
        prop_assert_eq!(&cut.sent, &whole.sent);
        prop_assert_eq!(cut.counters, whole.counters);
        prop_assert_eq!(cut.conn.wants_close(), whole.conn.wants_close());
        prop_assert_eq!(cut.conn.is_idle(), whole.conn.is_idle());
    }
}

thread_local! {
    /// One for all runs: nothing writes to it.
    static FIXTURE: std::rc::Rc<crate::http_support::Fixture> = std::rc::Rc::new(fixture());
}

/// Whether `sent` is a row of responses to requests that were not HEAD.
fn well_formed(mut sent: &[u8]) -> bool {
    while !sent.is_empty() {
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut response = httparse::Response::new(&mut headers);
        let Ok(httparse::Status::Complete(head_bytes)) = response.parse(sent) else {
            return false;
        };
        let mut lengths = response
            .headers
            .iter()
            .filter(|header| header.name == "Content-Length");
        let length = lengths
            .next()
            .and_then(|header| str::from_utf8(header.value).ok()?.parse().ok());
        let (Some(length), None) = (length, lengths.next()) else {
            return false;
        };
        let Some(rest) = sent[head_bytes..].get(length..) else {
            return false;
        };
        sent = rest;
    }
    true
}

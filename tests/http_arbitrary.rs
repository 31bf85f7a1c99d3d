//! Whatever a client sends, what it gets is HTTP.

mod http_support;

use http_support::{Client, Fixture};
use proptest::prelude::*;
use xdphttpd::site::InlineLoader;

fn fixture() -> Fixture {
    Fixture::new(&[
        ("index.html", b"root"),
        ("a.txt", b"alpha"),
        ("dir/index.html", b"dir"),
        ("big", &[b'b'; 300_000]),
    ])
}

/// Pieces of requests, valid and not.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let words = vec![
        "GET ",
        "HEAD ",
        "POST ",
        "OPTIONS ",
        "CONNECT ",
        "*",
        "http://x",
        "/",
        "/a.txt",
        "/dir",
        "/big",
        "/..",
        "?q",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        " HTTP/1.2\r\n",
        "Host: x\r\n",
        "Content-Length: 3\r\n",
        "Content-Length: 99999999\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        "Connection: keep-alive\r\n",
        "\r\n",
        "\n",
        "\r",
        "\0",
        ":",
        " ",
        "Expect: 100-continue\r\n",
        "Expect: x\r\n",
        "3\r\nabc\r\n",
        "3;a=b\r\nabc\r\n",
        "0\r\n\r\n",
        "0\r\nA: b\r\n\r\n",
        "POST /dir HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        "abc",
        "GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n",
        "HEAD /big HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /dir?x HTTP/1.0\r\n\r\n",
        "GET /big HTTP/1.1\r\nHost: x\r\n\r\n",
    ];
    prop_oneof![
        9 => prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

/// The status codes of the responses that `sent` consists of, each with all the fields a response must have.
///
/// A response to HEAD has a length and no body, which only the request tells. The responses' own status lines serve to
/// recognise it: no body used here begins like one.
fn check_responses(mut sent: &[u8]) -> Result<Vec<u16>, TestCaseError> {
    let mut codes = Vec::new();
    while !sent.is_empty() {
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(sent);
        prop_assert!(
            matches!(parsed, Ok(httparse::Status::Complete(_))),
            "{parsed:?}"
        );
        let head_len = parsed.unwrap().unwrap();
        codes.push(response.code.unwrap());
        let field = |name: &str| {
            let mut values = response
                .headers
                .iter()
                .filter(|header| header.name == name)
                .map(|header| header.value);
            let value = values
                .next()
                .map(|value| str::from_utf8(value).unwrap().to_owned());
            assert!(values.next().is_none(), "{name} twice");
            value
        };
        prop_assert_eq!(field("Server"), Some("xdphttpd".to_owned()));
        prop_assert_eq!(
            field("Date"),
            Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned())
        );
        // OPTIONS is answered with it too.
        let allows = field("Allow").is_some();
        prop_assert!(response.code != Some(405) || allows);
        prop_assert!(!allows || matches!(response.code, Some(200 | 405)));
        prop_assert_eq!(response.code == Some(301), field("Location").is_some());
        let length: usize = field("Content-Length").unwrap().parse().unwrap();
        sent = &sent[head_len..];
        if !sent.is_empty() && !sent.starts_with(b"HTTP/1.1 ") {
            prop_assert!(
                sent.len() >= length,
                "a body of {length} cut to {}",
                sent.len()
            );
            sent = &sent[length..];
        }
        if field("Connection").as_deref() == Some("close") {
            prop_assert!(sent.is_empty(), "something follows the last response");
        }
    }
    Ok(codes)
}

fn check_client(client: &Client<InlineLoader>) -> Result<(), TestCaseError> {
    let codes = check_responses(&client.sent)?;
    let counters = client.counters;
    let class = |class: u16| codes.iter().filter(|&&code| code / 100 == class).count() as u64;
    prop_assert_eq!(class(2), counters.responses_2xx);
    prop_assert_eq!(class(3), counters.responses_3xx);
    prop_assert_eq!(class(4), counters.responses_4xx);
    prop_assert_eq!(class(5), counters.responses_5xx);
    prop_assert_eq!(
        codes.len() as u64,
        counters.requests + counters.refused_heads
    );
    prop_assert!(!client.conn.in_response() && !client.conn.must_abort());
    prop_assert!(client.conn.wants_input());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn pieces_of_requests_get_responses_however_they_are_cut(
        pieces in prop::collection::vec(piece(), 0..40),
        cuts in prop::collection::vec(1usize..40, 1..10),
    ) {
        let fixture = fixture();
        let bytes = pieces.concat();
        let mut whole = fixture.client();
        whole.feed(&bytes);
        check_client(&whole)?;

        let mut cut = fixture.client();
        let mut rest = &bytes[..];
        for &len in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, later) = rest.split_at(len.min(rest.len()));
            cut.feed(piece);
            rest = later;
        }
        prop_assert!(cut.sent == whole.sent, "the cuts make a difference");
        prop_assert_eq!(cut.counters, whole.counters);
        prop_assert_eq!(cut.conn.wants_close(), whole.conn.wants_close());
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let fixture = Fixture::new(&[]);
        let mut client = fixture.client();
        client.feed(&bytes);
        check_client(&client)?;
        client.conn.input_end();
        prop_assert!(client.conn.wants_close());
    }
}

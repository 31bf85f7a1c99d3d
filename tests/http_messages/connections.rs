//! Methods (RFC 9110 section 9) and how long a connection lasts (RFC 9112 section 9).

use crate::http_support::CLOSE;
use crate::want::*;

pub fn fill(table: &mut Table<'_>) {
    methods(table);
    persistence(table);
    pipelines(table);
    limits(table);
}

#[rustfmt::skip] // one case a line
fn methods(table: &mut Table<'_>) {
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE"] {
        for target in ["/a.txt", "/", "/nope", "http://x/a.txt"] {
            let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n{NEXT}");
            table.add(&format!("{method} of {target}"), request, &[page(405), NEXT_ANSWER]);
        }
    }
    for target in ["*", "/", "/a.txt", "/nope", "/a.txt?q", "http://x", "http://x/", "http://x/a.txt"] {
        let request = format!("OPTIONS {target} HTTP/1.1\r\nHost: x\r\n\r\n{NEXT}");
        table.add(&format!("OPTIONS of {target}"), request, &[Want::Options(""), NEXT_ANSWER]);
    }
    table.add("OPTIONS * with an empty Host", "OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n", &[Want::Options("")]);
    table.add("OPTIONS * in 1.0", "OPTIONS * HTTP/1.0\r\n\r\n", &[Want::Options(CLOSE)]);
    table.add("OPTIONS with a body", format!("OPTIONS / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}{NEXT}"), &[Want::Options(""), NEXT_ANSWER]);
    table.add("OPTIONS with another expectation", "OPTIONS / HTTP/1.1\r\nHost: x\r\nExpect: x\r\n\r\n", &[page(417)]);
    table.add("OPTIONS that closes", "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", &[Want::Options(CLOSE)]);
    for target in ["x:80", "x:443", "[::1]:80", "127.0.0.1:80"] {
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n{NEXT}");
        table.add(&format!("CONNECT to {target}"), request, &[end(501)]);
    }
    table.add("HEAD", "HEAD /a.txt HTTP/1.1\r\nHost: x\r\n\r\n", &[Want::AHead("")]);
    table.add("HEAD of nothing", format!("HEAD /nope HTTP/1.1\r\nHost: x\r\n\r\n{NEXT}"), &[Want::PageHead(404, ""), NEXT_ANSWER]);
    table.add("HEAD without Host", "HEAD /a.txt HTTP/1.1\r\n\r\n", &[Want::PageHead(400, CLOSE)]);
    table.add("HEAD with a malformed target", "HEAD a.txt HTTP/1.1\r\nHost: x\r\n\r\n", &[Want::PageHead(400, CLOSE)]);
    table.add("HEAD with a malformed path", "HEAD /%zz HTTP/1.1\r\nHost: x\r\n\r\n", &[Want::PageHead(400, "")]);
    table.add("HEAD with a body too long", "HEAD /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n", &[Want::PageHead(413, CLOSE)]);
    table.add("HEAD with an unknown coding", "HEAD /a.txt HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: a, chunked\r\n\r\n", &[Want::PageHead(501, CLOSE)]);
    table.add("HEAD of an https URI", "HEAD https://x/ HTTP/1.1\r\nHost: x\r\n\r\n", &[Want::PageHead(421, CLOSE)]);
}

#[rustfmt::skip] // one case a line
fn persistence(table: &mut Table<'_>) {
    for options in ["close", "Close", "CLOSE", "close, keep-alive", "keep-alive, close", "keep-alive,\tclose ,TE", ",,close", "TE,close", "close\r\nConnection: keep-alive", "keep-alive\r\nConnection: close"] {
        for version in ["1.0", "1.1", "1.2"] {
            let request = format!("GET /a.txt HTTP/{version}\r\nHost: x\r\nConnection: {options}\r\n\r\n{NEXT}");
            table.add(&format!("{version} with {options:?}"), request, &[A_CLOSE]);
        }
    }
    for options in ["keep-alive", "Keep-Alive", "KEEP-ALIVE", "TE, keep-alive", "keep-alive,", "TE\r\nConnection: keep-alive", "keep-alive\r\nKeep-Alive: timeout=5, max=100"] {
        let request = format!("GET /a.txt HTTP/1.0\r\nConnection: {options}\r\n\r\n{NEXT}");
        table.add(&format!("1.0 with {options:?}"), request, &[A_KEPT, NEXT_ANSWER]);
    }
    for options in ["", ",", "TE", "closed", "keep-alives", "x-close", "\"close\"", "close;x", "close keep-alive"] {
        let request = format!("GET /a.txt HTTP/1.1\r\nHost: x\r\nConnection: {options}\r\n\r\n{NEXT}");
        table.add(&format!("1.1 with {options:?}"), request, &[A, NEXT_ANSWER]);
        let request = format!("GET /a.txt HTTP/1.0\r\nConnection: {options}\r\n\r\n{NEXT}");
        table.add(&format!("1.0 with {options:?}, which keeps nothing alive"), request, &[A_CLOSE]);
    }
    table.add("Proxy-Connection means nothing", format!("GET /a.txt HTTP/1.0\r\nProxy-Connection: keep-alive\r\n\r\n{NEXT}"), &[A_CLOSE]);
    table.add("Keep-Alive means nothing", format!("GET /a.txt HTTP/1.0\r\nKeep-Alive: 300\r\n\r\n{NEXT}"), &[A_CLOSE]);
    table.add("1.1 after 1.0", format!("GET /a.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n{}", get_with("")), &[A_KEPT, A]);
    table.add("1.0 after 1.1", format!("{}GET /a.txt HTTP/1.0\r\n\r\n{NEXT}", get_with("")), &[A, A_CLOSE]);
    table.add("an error in 1.0, kept alive", format!("GET /nope HTTP/1.0\r\nConnection: keep-alive\r\n\r\n{NEXT}"), &[Want::Page(404, "Connection: keep-alive\r\n"), NEXT_ANSWER]);
    table.add("a POST that closes", format!("POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx{NEXT}"), &[Want::Page(405, CLOSE)]);
}

#[rustfmt::skip] // one case a line
fn pipelines(table: &mut Table<'_>) {
    let get = get_with("");
    table.add("ten requests at once", get.repeat(10), &[A; 10]);
    table.add("a thousand requests at once", get.repeat(1_000), &[A; 1_000]);
    table.add("every kind of request in its order", format!("{get}{NEXT}POST / HTTP/1.1\r\nHost: x\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: x\r\n\r\nHEAD /a.txt HTTP/1.1\r\nHost: x\r\n\r\nBREW / HTTP/1.1\r\nHost: x\r\n\r\n{get}"),
        &[A, NEXT_ANSWER, page(405), Want::Options(""), Want::AHead(""), page(501), A]);
    table.add("empty lines between requests", format!("{get}\r\n{get}\r\n\r\n\r\n\r\n{get}"), &[A; 3]);
    table.add("too many empty lines between requests", format!("{get}\r\n\r\n\r\n\r\n\r\n{get}"), &[A, BAD]);
    table.add("garbage after a request", format!("{get}\0{get}"), &[A, BAD]);
    table.add("a bad request between good ones", format!("{get}GET /a.txt HTTP/1.1\r\n\r\n{get}"), &[A, BAD]);
    table.add("bodies between requests", format!("{0}xyz{0}xyz{1}", get_with("Content-Length: 3\r\n"), get), &[A; 3]);
    table.add("an undeclared body is a request, and a bad one", format!("POST / HTTP/1.1\r\nHost: x\r\n\r\n{{\"a\": 1}}{get}"), &[page(405), BAD]);
    table.add("an undeclared body runs into the next request", format!("POST / HTTP/1.1\r\nHost: x\r\n\r\na=b{get}"), &[page(405), BAD]);
}

#[rustfmt::skip] // one case a line
fn limits(table: &mut Table<'_>) {
    let line = |bytes: usize| format!("GET /a.txt?{} HTTP/1.1\r\nHost: x\r\n\r\n", "q".repeat(bytes - "GET /a.txt? HTTP/1.1".len()));
    table.add("the longest request line", line(8192), &[A]);
    table.add("a request line too long", line(8193), &[end(414)]);
    table.add("a request line far too long", line(100_000), &[end(414)]);
    table.add("a target without end", format!("GET /{}", "a".repeat(100_000)), &[end(414)]);
    table.add("a HEAD line too long", format!("HEAD /{}", "a".repeat(9_000)), &[Want::PageHead(414, CLOSE)]);
    table.add("a POST line too long", format!("POST /{}", "a".repeat(9_000)), &[end(414)]);
    table.add("spaces without end", format!("GET{}", " ".repeat(9_000)), &[end(414)]);
    let head = |bytes: usize| get_with(&format!("A: {}\r\n", "a".repeat(bytes - get_with("A: \r\n").len())));
    table.add("the longest head", head(16_384), &[A]);
    table.add("a head too long", head(16_385), &[end(431)]);
    table.add("a head far too long", head(100_000), &[end(431)]);
    table.add("a field name without end", format!("GET / HTTP/1.1\r\n{}", "n".repeat(100_000)), &[end(431)]);
    table.add("field lines without end", format!("GET / HTTP/1.1\r\n{}", "a:\r\n".repeat(10_000)), &[end(431)]);
    table.add("a HEAD too long", format!("HEAD / HTTP/1.1\r\n{}", "a:\r\n".repeat(10_000)), &[Want::PageHead(431, CLOSE)]);
    table.add("the most fields", get_with(&"a:\r\n".repeat(99)), &[A]);
    table.add("a field too many", get_with(&"a:\r\n".repeat(100)), &[end(431)]);
    table.add("a long Host", format!("GET /a.txt HTTP/1.1\r\nHost: {}\r\n\r\n", "h".repeat(5_000)), &[A]);
    table.add("many connection options", get_with(&format!("Connection: {}\r\n", "x,".repeat(5_000))), &[A]);
}

//! Request bytes to response bytes, whole, however the request is cut up.

mod http_support;

use std::os::unix::fs::symlink;

use http_support::cases::{Case, check_byte_by_byte, check_cut, check_whole};
use http_support::*;
use proptest::prelude::*;

const HTML: &str = "text/html; charset=utf-8";

fn case(
    what: &'static str,
    request: impl AsRef<[u8]>,
    response: impl AsRef<[u8]>,
    closes: bool,
) -> Case {
    Case {
        what: what.to_owned(),
        request: request.as_ref().to_vec(),
        response: response.as_ref().to_vec(),
        closes,
    }
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")
}

fn head_of(response: &[u8]) -> &[u8] {
    let end = response
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap()
        + 4;
    &response[..end]
}

fn fixture() -> Fixture {
    let fixture = Fixture::new(&[
        ("index.html", b"<h1>root</h1>"),
        ("a.txt", b"alpha\n"),
        ("empty", b""),
        ("dir/index.html", b"<h1>dir</h1>"),
        ("dir/deep/b.css", b"b{}"),
        ("bare/x.js", b"x"),
        ("name with space.txt", b"s"),
        ("%41.txt", b"percent"),
        ("\u{4f60}\u{597d}.html", "<p>\u{4f60}\u{597d}".as_bytes()),
        (".hidden", b"secret"),
        (".git/config", b"secret"),
        (".well-known/security.txt", b"Contact"),
        ("shot.png", b"\x89PNG"),
        ("evil.example\\x/y", b"y"),
    ]);
    symlink("a.txt", fixture.path().join("inside")).unwrap();
    symlink("/etc/passwd", fixture.path().join("outside")).unwrap();
    symlink(
        "../../../../../../../etc/passwd",
        fixture.path().join("outside-relative"),
    )
    .unwrap();
    symlink("/etc", fixture.path().join("outside-dir")).unwrap();
    symlink("loop", fixture.path().join("loop")).unwrap();
    symlink("nowhere", fixture.path().join("dangling")).unwrap();
    fixture
}

fn redirect(location: &str, connection: &str) -> String {
    let fields = format!("Location: {location}\r\n");
    let text = "What you asked for is at another address.";
    error(301, "Moved Permanently", text, &fields, connection)
}

fn method_not_allowed(connection: &str) -> String {
    let text = "Files can be asked for with GET and HEAD only.";
    error(
        405,
        "Method Not Allowed",
        text,
        "Allow: GET, HEAD, OPTIONS\r\n",
        connection,
    )
}

fn not_implemented(connection: &str) -> String {
    error(
        501,
        "Not Implemented",
        "This server does not know what the request asks for.",
        "",
        connection,
    )
}

fn options(connection: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nServer: xdphttpd\r\nContent-Length: 0\r\nAllow: GET, HEAD, OPTIONS\r\n{DATE}{connection}\r\n"
    )
}

fn content_too_large() -> String {
    let text = "The request has a longer body than this server reads.";
    error(413, "Content Too Large", text, "", CLOSE)
}

fn uri_too_long() -> String {
    error(
        414,
        "URI Too Long",
        "The address is longer than this server accepts.",
        "",
        CLOSE,
    )
}

fn fields_too_large() -> String {
    let text = "The request has more header data than this server accepts.";
    error(431, "Request Header Fields Too Large", text, "", CLOSE)
}

fn version_not_supported() -> String {
    error(
        505,
        "HTTP Version Not Supported",
        "This server speaks HTTP/1.1 and HTTP/1.0.",
        "",
        CLOSE,
    )
}

/// Files, names and redirects.
#[rustfmt::skip] // one case a line
fn name_cases(f: &Fixture) -> Vec<Case> {
    let a = f.ok("a.txt", "text/plain; charset=utf-8", "");
    let root = f.ok("index.html", HTML, "");
    let hello = f.ok("\u{4f60}\u{597d}.html", HTML, "");
    let mut cases = vec![
        case("file", get("/a.txt"), &a, false),
        case("root", get("/"), &root, false),
        case("empty file", get("/empty"), f.ok("empty", "application/octet-stream", ""), false),
        case("binary", get("/shot.png"), f.ok("shot.png", "image/png", ""), false),
        case("index of a directory", get("/dir/"), f.ok("dir/index.html", HTML, ""), false),
        case("nested", get("/dir/deep/b.css"), f.ok("dir/deep/b.css", "text/css; charset=utf-8", ""), false),
        case("query ignored for look-up", get("/a.txt?v=1&w=/../x"), &a, false),
        case("empty query", get("/a.txt?"), &a, false),
        case("encoded letters", get("/%61.t%78t"), &a, false),
        case("space", get("/name%20with%20space.txt"), f.ok("name with space.txt", "text/plain; charset=utf-8", ""), false),
        case("decoded once", get("/%2541.txt"), f.ok("%41.txt", "text/plain; charset=utf-8", ""), false),
        case("UTF-8 raw", get("/\u{4f60}\u{597d}.html"), &hello, false),
        case("UTF-8 encoded", get("/%E4%BD%A0%e5%a5%bd.html"), &hello, false),
        case("dot segments", get("/dir/./deep/../../a.txt"), &a, false),
        case("empty components", get("//dir//..//a.txt"), &a, false),
        case("symbolic link inside", get("/inside"), a_as_octets(f), false),
        case("well-known", get("/.well-known/security.txt"), f.ok(".well-known/security.txt", "text/plain; charset=utf-8", ""), false),
        case("absolute form", "GET http://x/a.txt?q HTTP/1.1\r\nHost: x\r\n\r\n", &a, false),
        case("absolute form, no path", "GET HTTP://x:80 HTTP/1.1\r\nHost: x\r\n\r\n", &root, false),
        case("absolute form, query only", "GET http://x?q HTTP/1.1\r\nHost: x\r\n\r\n", &root, false),
        case("redirect", get("/dir"), redirect("/dir/", ""), false),
        case("redirect keeps the query", get("/dir?a=1&b=/x?%20"), redirect("/dir/?a=1&b=/x?%20", ""), false),
        case("redirect of a nested one", get("/dir/./deep?"), redirect("/dir/deep/?", ""), false),
        case("redirect stays on this host", get("//dir?q"), redirect("/dir/?q", ""), false),
        case("redirect stays on this host (dots)", get("/.//dir"), redirect("/dir/", ""), false),
        case("redirect with a backslash", get("/evil.example\\x"), redirect("/evil.example%5Cx/", ""), false),
        case("redirect past a backslash", get("/\\evil.example/../dir"), redirect("/dir/", ""), false),
    ];
    let nothing = [
        "/nope",
        "/a.txt/",
        "/a.txt/x",
        "/dir/nope",
        "/bare/",
        "/.hidden",
        "/.git/config",
        "/%2egit/config",
        "/dir/../.hidden",
        "/outside",
        "/outside-relative",
        "/outside-dir/passwd",
        "/outside-dir/",
        "/loop",
        "/dangling",
        "/..%2f..%2fetc%2fpasswd",
        "/dir%2Findex.html",
        "/%252e%252e/%252e%252e/etc/passwd",
        "/..\\..\\etc\\passwd",
        "/dir\\index.html",
        "/.well-known/../.hidden",
        "/.well-known/",
        "/A.TXT",
    ];
    for target in nothing {
        cases.push(case("nothing there", get(target), not_found(""), false));
    }
    let long_name = format!("/{}", "n".repeat(300));
    cases.push(case(
        "name longer than any file's",
        get(&long_name),
        not_found(""),
        false,
    ));
    for target in [
        "/../etc/passwd",
        "/..",
        "/%2e%2e/etc/passwd",
        "/dir/../../x",
        "/%",
        "/%zz",
        "/a%00.txt",
    ] {
        cases.push(case(
            "malformed path",
            get(target),
            bad_request_then(""),
            false,
        ));
    }
    for target in [
        "*",
        "a.txt",
        "ftp://x/a",
        "http:///a",
        "http://u@x/a",
        "/a.txt#part",
        "x:80",
    ] {
        cases.push(case(
            "malformed target",
            get(target),
            bad_request(),
            true,
        ));
    }
    cases
}

fn a_as_octets(f: &Fixture) -> Vec<u8> {
    f.ok("a.txt", "application/octet-stream", "")
}

/// Methods, versions, persistence and bodies.
#[rustfmt::skip] // one case a line
fn protocol_cases(f: &Fixture) -> Vec<Case> {
    let a = |connection: &str| f.ok("a.txt", "text/plain; charset=utf-8", connection);
    let a_head = f.ok_head("a.txt", "text/plain; charset=utf-8", "");
    let mut cases = vec![
        case("HEAD", "HEAD /a.txt HTTP/1.1\r\nHost: x\r\n\r\n", &a_head, false),
        case("HEAD of nothing", "HEAD /nope HTTP/1.1\r\nHost: x\r\n\r\n", head_of(not_found("").as_bytes()), false),
        case("HEAD of a directory", "HEAD /dir HTTP/1.1\r\nHost: x\r\n\r\n", head_of(redirect("/dir/", "").as_bytes()), false),
        case("HEAD refused", "HEAD / HTTP/1.1\r\n\r\n", head_of(bad_request().as_bytes()), true),
        case("close", "GET /a.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", a(CLOSE), true),
        case("close in a list", "GET /a.txt HTTP/1.1\r\nHost: x\r\nConnection: TE , CLOSE\r\n\r\n", a(CLOSE), true),
        case("keep-alive goes without saying", "GET /a.txt HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", a(""), false),
        case("1.0", "GET /a.txt HTTP/1.0\r\n\r\n", a(CLOSE), true),
        case("1.0 with Host", "GET /a.txt HTTP/1.0\r\nHost: x\r\n\r\n", a(CLOSE), true),
        case("1.0 keep-alive", "GET /a.txt HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", a(KEEP_ALIVE), false),
        case("1.0 keep-alive, nothing there", "GET /nope HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", not_found(KEEP_ALIVE), false),
        case("empty lines before", "\r\n\r\nGET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n", a(""), false),
        case("empty Host", "GET /a.txt HTTP/1.1\r\nHost:\r\n\r\n", bad_request(), true),
        case("Host with port", "GET /a.txt HTTP/1.1\r\nhOsT: [::1]:80\t\r\n\r\n", a(""), false),
        case("body of a GET", "GET /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nGET /GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n", [a(""), a("")].concat(), false),
        case("length said twice", "GET /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nxx", a(""), false),
        case("body too long to discard", "GET /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\nxx", content_too_large(), true),
        case("chunked body", "GET /a.txt HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\nGET /nope HTTP/1.1\r\nHost: x\r\n\r\n", [a(""), not_found("").into()].concat(), false),
        case("expectation", "POST /a.txt HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", method_not_allowed(CLOSE), true),
        case("POST with body", "POST /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /nope HTTP/1.1\r\nHost: x\r\n\r\n", [method_not_allowed(""), not_found("")].concat(), false),
        case("CONNECT", "CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", not_implemented(CLOSE), true),
        case("OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", options(""), false),
        case("unknown method", "BREW / HTTP/1.1\r\nHost: x\r\n\r\n", not_implemented(""), false),
        case("methods are case-sensitive", "get / HTTP/1.1\r\nHost: x\r\n\r\n", not_implemented(""), false),
        case("unknown coding", "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", not_implemented(CLOSE), true),
        case("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", version_not_supported(), true),
        case("HTTP/1.2", "GET /a.txt HTTP/1.2\r\nHost: x\r\n\r\n", a(""), false),
        case("HTTP/0.9 with a version", "GET / HTTP/0.9\r\n\r\n", version_not_supported(), true),
    ];
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE"] {
        let request = format!("{method} /a.txt HTTP/1.1\r\nHost: x\r\n\r\n");
        cases.push(case("known method", request, method_not_allowed(""), false));
    }
    cases
}

/// Heads that are refused, each ending the connection with 400.
#[rustfmt::skip] // one case a line
fn malformed_cases() -> Vec<Case> {
    let heads: &[(&str, &[u8])] = &[
        ("no Host", b"GET / HTTP/1.1\r\n\r\n"),
        ("two Hosts", b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n"),
        ("two Hosts in 1.0", b"GET / HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n"),
        ("Host with a path", b"GET / HTTP/1.1\r\nHost: x/y\r\n\r\n"),
        ("Host with a space", b"GET / HTTP/1.1\r\nHost: x y\r\n\r\n"),
        ("bare LF", b"GET / HTTP/1.1\nHost: x\n\n"),
        ("one bare LF", b"GET / HTTP/1.1\r\nHost: x\r\nA: b\n\r\n"),
        ("bare LF at the end", b"GET / HTTP/1.1\r\nHost: x\r\n\n"),
        ("bare LF at the start", b"\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("bare CR", b"GET / HTTP/1.1\r\nHost: x\r\nA: b\rc: d\r\n\r\n"),
        ("bare CR at the start", b"\rGET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("CR CR LF", b"GET / HTTP/1.1\r\nHost: x\r\r\n\r\n"),
        ("folded line", b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n"),
        ("space first", b"GET / HTTP/1.1\r\n Host: x\r\n\r\n"),
        ("space before colon", b"GET / HTTP/1.1\r\nHost : x\r\n\r\n"),
        ("no colon", b"GET / HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n"),
        ("no name", b"GET / HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n"),
        ("NUL in a value", b"GET / HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n"),
        ("NUL in the target", b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("control in a value", b"GET / HTTP/1.1\r\nHost: x\r\nA: \x01\r\n\r\n"),
        ("two spaces", b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("space at the end", b"GET / HTTP/1.1 \r\nHost: x\r\n\r\n"),
        ("tab for space", b"GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("space in the target", b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("no version", b"GET /\r\nHost: x\r\n\r\n"),
        ("version in small letters", b"GET / http/1.1\r\nHost: x\r\n\r\n"),
        ("version cut short", b"GET / HTTP/1\r\nHost: x\r\n\r\n"),
        ("version too long", b"GET / HTTP/1.10\r\nHost: x\r\n\r\n"),
        ("Latin-1 target", b"GET /caf\xE9 HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        ("five empty lines before a HEAD", b"\r\n\r\n\r\n\r\n\r\nHEAD / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("five empty lines", b"\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("contradictory lengths", b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
        ("list of lengths", b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\n"),
        ("signed length", b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n"),
        ("empty length", b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n"),
        ("length beyond 64 bits", b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551616\r\n\r\n"),
        ("length and coding", b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("coding in 1.0", b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ];
    heads
        .iter()
        .map(|&(what, request)| case(what, request, bad_request(), true))
        .collect()
}

/// Heads at their limits and one byte beyond.
fn limit_cases(f: &Fixture) -> Vec<Case> {
    let line = |len: usize| {
        let target = "a".repeat(len - "GET /a.txt? HTTP/1.1".len());
        format!("GET /a.txt?{target} HTTP/1.1\r\nHost: x\r\n\r\n")
    };
    let head = |len: usize| {
        let padding = "p".repeat(len - "GET /a.txt HTTP/1.1\r\nHost: x\r\nP: \r\n\r\n".len());
        format!("GET /a.txt HTTP/1.1\r\nHost: x\r\nP: {padding}\r\n\r\n")
    };
    let fields = |count: usize| {
        format!(
            "GET /a.txt HTTP/1.1\r\nHost: x\r\n{}\r\n",
            "a:b\r\n".repeat(count - 1)
        )
    };
    let a = f.ok("a.txt", "text/plain; charset=utf-8", "");
    vec![
        case("longest line", line(8192), &a, false),
        case("line too long", line(8193), uri_too_long(), true),
        case(
            "line without end",
            "G".repeat(9000),
            not_implemented(CLOSE),
            true,
        ),
        case(
            "HEAD line too long",
            format!("HEAD /{}", "a".repeat(9000)),
            head_of(uri_too_long().as_bytes()),
            true,
        ),
        case("longest head", head(16384), &a, false),
        case(
            "longest head after empty lines",
            format!("\r\n\r\n\r\n\r\n{}", head(16384)),
            &a,
            false,
        ),
        case("head too long", head(16385), fields_too_large(), true),
        case("head far too long", head(40_000), fields_too_large(), true),
        case("most fields", fields(100), &a, false),
        case("too many fields", fields(101), fields_too_large(), true),
    ]
}

fn all_cases(f: &Fixture) -> Vec<Case> {
    [
        name_cases(f),
        protocol_cases(f),
        malformed_cases(),
        limit_cases(f),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn each_request_gets_exactly_its_response() {
    let fixture = fixture();
    check_whole(&fixture, &all_cases(&fixture));
}

#[test]
fn each_request_may_come_byte_by_byte() {
    let fixture = fixture();
    check_byte_by_byte(&fixture, &all_cases(&fixture));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn each_request_may_be_cut_anywhere(cuts in prop::collection::vec(1usize..200, 1..40)) {
        let fixture = fixture();
        check_cut(&fixture, &all_cases(&fixture), &cuts);
    }
}

//! Errors told by files of the host, and pages of applications for paths that name nothing.

mod http_support;

use http_support::{
    CLOSE, Client, DATE, Fixture, assert_same, bad_request, error, error_head, not_found, page,
};
use xdphttpd::http::{Host, HostName, Hosts};
use xdphttpd::site::{Field, InlineLoader, Pattern, Root, Rule, Settings};

const HTML: &str = "text/html; charset=utf-8";
const NOSNIFF: &str = "X-Content-Type-Options: nosniff\r\n";

fn fixture() -> Fixture {
    Fixture::new(&[
        ("index.html", b"<p>application"),
        ("file.txt", b"content"),
        ("errors/400.html", b"<p>what?"),
        ("errors/404.html", b"<p>not here"),
        ("errors/405.txt", b"only reading"),
        ("errors/412.html", b"<p>changed"),
        ("errors/416.html", b"<p>too short"),
        ("directory/file", b""),
        ("large.html", &vec![b'x'; 300 * 1024]),
    ])
}

fn host(pages: &[(u16, &str)], fallback: Option<&str>) -> Host {
    let pages = pages.iter();
    Host {
        error_pages: pages
            .map(|&(status, name)| (status, name.as_bytes().into()))
            .collect(),
        fallback: fallback.map(|name| name.as_bytes().into()),
        ..Host::default()
    }
}

const PAGES: [(u16, &str); 5] = [
    (400, "errors/400.html"),
    (404, "errors/404.html"),
    (405, "errors/405.txt"),
    (412, "errors/412.html"),
    (416, "errors/416.html"),
];

fn client(fixture: &Fixture, host: Host) -> Client<InlineLoader> {
    let mut client = fixture.client();
    client.hosts = Hosts::new(host);
    client
}

fn request(method: &str, target: &str, fields: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n")
}

/// A response that tells of an error by a file.
fn told(status: &str, kind: &str, content: &str, fields: &str, connection: &str) -> String {
    let length = content.len();
    format!(
        "HTTP/1.1 {status}\r\nServer: xdphttpd\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         {NOSNIFF}{fields}{DATE}{connection}\r\n{content}"
    )
}

/// Each request when nothing is in memory, and twice on a connection of its own to a site that has seen others.
fn check(fixture: &Fixture, host: &Host, cases: &[(String, String)]) {
    let mut warm = client(fixture, host.clone());
    for (request, response) in cases {
        let cold = client(fixture, host.clone()).exchange(request.as_bytes());
        assert_same(&cold, response.as_bytes(), &format!("cold, {request}"));
        for _ in 0..2 {
            let warm = warm.exchange(request.as_bytes());
            assert_same(&warm, response.as_bytes(), &format!("warm, {request}"));
        }
        warm.reconnect();
        for byte in request.as_bytes().chunks(1) {
            warm.feed(byte);
        }
        assert_same(
            &warm.sent,
            response.as_bytes(),
            &format!("byte by byte, {request}"),
        );
    }
}

#[test]
fn an_error_is_told_by_the_hosts_own_file() {
    let fixture = fixture();
    let missing = |connection| told("404 Not Found", HTML, "<p>not here", "", connection);
    let bodyless = |text: String| match text.split_once("\r\n\r\n") {
        Some((head, _)) => format!("{head}\r\n\r\n"),
        None => text,
    };
    let cases = [
        (request("GET", "/none", ""), missing("")),
        (request("GET", "/none.css?q", ""), missing("")),
        (request("GET", "/.git/config", ""), missing("")),
        (request("GET", "/none", CLOSE), missing(CLOSE)),
        (request("HEAD", "/none", ""), bodyless(missing(""))),
        (
            request("GET", "/%zz", ""),
            told("400 Bad Request", HTML, "<p>what?", "", ""),
        ),
        (
            "GET / HTTP/1.1\r\n\r\n".to_owned(),
            told("400 Bad Request", HTML, "<p>what?", "", CLOSE),
        ),
        (
            request("POST", "/file.txt", "Content-Length: 3\r\n").to_owned() + "abc",
            told(
                "405 Method Not Allowed",
                "text/plain; charset=utf-8",
                "only reading",
                "Allow: GET, HEAD, OPTIONS\r\n",
                "",
            ),
        ),
        (
            request("GET", "/file.txt", "If-Match: \"other\"\r\n"),
            told("412 Precondition Failed", HTML, "<p>changed", "", ""),
        ),
        (
            request("GET", "/file.txt", "Range: bytes=100-\r\n"),
            told(
                "416 Range Not Satisfiable",
                HTML,
                "<p>too short",
                "Content-Range: bytes */7\r\n",
                "",
            ),
        ),
        // One without a file of its own.
        (
            request("BREW", "/", ""),
            error(
                501,
                "Not Implemented",
                "This server does not know what the request asks for.",
                "",
                "",
            ),
        ),
        // Asked for by its name, the file is one like any other.
        (
            request("HEAD", "/errors/404.html", ""),
            fixture.ok_head("errors/404.html", HTML, ""),
        ),
    ];
    check(&fixture, &host(&PAGES, None), &cases);
}

#[test]
fn conditions_and_ranges_are_not_for_errors() {
    let fixture = fixture();
    let missing = told("404 Not Found", HTML, "<p>not here", "", "");
    let fields = [
        "If-None-Match: *\r\n",
        "If-Match: \"a\"\r\n",
        "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n",
        "If-Unmodified-Since: Mon, 01 Jan 1990 00:00:00 GMT\r\n",
        "Range: bytes=0-1\r\n",
        "Range: bytes=1000-\r\n",
    ];
    let cases = fields.map(|fields| (request("GET", "/none", fields), missing.clone()));
    check(&fixture, &host(&PAGES, None), &cases);
}

#[test]
fn without_the_file_our_own_page_tells_and_nothing_goes_in_circles() {
    let fixture = fixture();
    let own = page(404, "Not Found", "There is nothing at this address.").len();
    let cases = [
        (request("GET", "/none", ""), not_found("")),
        (
            request("HEAD", "/none", ""),
            error_head(404, "Not Found", own, "", ""),
        ),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), bad_request()),
    ];
    for name in ["gone.html", "directory", "file.txt/x", "\u{1}"] {
        check(&fixture, &host(&[(404, name), (400, name)], None), &cases);
    }
    // The fall-back is missing too.
    check(&fixture, &host(&[(404, "gone")], Some("gone")), &cases);
    let text = "<p>not here";
    let told = [(
        request("GET", "/none", ""),
        told("404 Not Found", HTML, text, "", ""),
    )];
    check(&fixture, &host(&PAGES, Some("gone")), &told);
}

#[test]
fn a_long_page_is_read_while_it_is_sent() {
    let fixture = fixture();
    let content = "x".repeat(300 * 1024);
    let cases = [(
        request("GET", "/none", ""),
        told("404 Not Found", HTML, &content, "", ""),
    )];
    check(&fixture, &host(&[(404, "large.html")], None), &cases);
}

#[test]
fn an_errors_file_is_negotiated_and_keeps_its_fields_but_not_those_for_caches() {
    let fixture = fixture();
    fixture.write("errors/404.html.br", b"compressed");
    let mut settings = Settings::default();
    settings.headers.cache_control = Some(Field::new("Cache-Control", "max-age=60").unwrap());
    settings.headers.rules = vec![Rule {
        pattern: Pattern::new("*.html").unwrap(),
        remove: Vec::new(),
        set: vec![Field::new("X-A", "1").unwrap()],
    }];
    let root = Root::open(fixture.path()).unwrap().with(settings);
    let mut client = Client::new(InlineLoader::new(root));
    client.hosts = Hosts::new(host(&PAGES, None));
    for (accept, coding, body) in [
        ("", "", "<p>not here"),
        (
            "Accept-Encoding: br\r\n",
            "Content-Encoding: br\r\n",
            "compressed",
        ),
    ] {
        let length = body.len();
        let expected = format!(
            "HTTP/1.1 404 Not Found\r\nServer: xdphttpd\r\nContent-Type: {HTML}\r\n\
             Content-Length: {length}\r\n{coding}{NOSNIFF}X-A: 1\r\nVary: Accept-Encoding\r\n\
             {DATE}\r\n{body}"
        );
        for temperature in ["cold", "warm"] {
            let response = client.exchange(request("GET", "/none", accept).as_bytes());
            assert_same(
                &response,
                expected.as_bytes(),
                &format!("{accept}{temperature}"),
            );
        }
    }
}

#[test]
fn every_host_has_its_own_pages() {
    let fixture = fixture();
    let mut client = client(&fixture, host(&[], None));
    let name: HostName = "b".parse().unwrap();
    client.hosts.add(&[name], host(&PAGES, None));
    // The loader knows one root only: the second host has no files, hence our own page.
    for target in ["http://b/none", "http://x/none"] {
        let response = client.exchange(request("GET", target, "").as_bytes());
        assert_same(&response, not_found("").as_bytes(), target);
    }
}

#[test]
fn the_applications_page_answers_for_paths_without_extension_that_name_nothing() {
    let fixture = fixture();
    let page = String::from_utf8(fixture.ok("index.html", HTML, "")).unwrap();
    let head = fixture.ok_head("index.html", HTML, "");
    let missing = told("404 Not Found", HTML, "<p>not here", "", "");
    let redirect = error(
        301,
        "Moved Permanently",
        "What you asked for is at another address.",
        "Location: /directory/\r\n",
        "",
    );
    let file = String::from_utf8(fixture.ok("file.txt", "text/plain; charset=utf-8", "")).unwrap();
    let tag = head
        .split("ETag: ")
        .nth(1)
        .and_then(|rest| rest.split("\r\n").next());
    let known = format!("If-None-Match: {}\r\n", tag.unwrap());
    let not_modified = format!(
        "HTTP/1.1 304 Not Modified\r\nServer: xdphttpd\r\nETag: {}\r\n{DATE}\r\n",
        tag.unwrap()
    );
    let cases = [
        (request("GET", "/users/7", ""), page.clone()),
        (request("GET", "/users/7?tab=a.b", ""), page.clone()),
        (request("GET", "/users/", ""), page.clone()),
        (request("GET", "/users/?json", ""), page.clone()),
        (request("GET", "/v1.2/about", ""), page.clone()),
        (request("GET", "/directory/", ""), page.clone()),
        (request("GET", "/file.txt/deeper", ""), page.clone()),
        (request("HEAD", "/users/7", ""), head.clone()),
        (request("GET", "/users/7", &known), not_modified),
        (request("GET", "/file.txt", ""), file),
        (request("GET", "/directory", ""), redirect),
        (request("GET", "/app.js", ""), missing.clone()),
        (request("GET", "/users/jane.doe", ""), missing.clone()),
        (request("GET", "/.env", ""), missing.clone()),
        (request("GET", "/.git/head", ""), missing),
        (
            request("GET", "/%zz", ""),
            told("400 Bad Request", HTML, "<p>what?", "", ""),
        ),
    ];
    check(&fixture, &host(&PAGES, Some("index.html")), &cases);
}

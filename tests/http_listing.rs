//! Listings of directories, from the request to the bytes of the response.

mod http_support;

use http_support::{Client, Fixture};
use std::fs;
use std::os::unix::fs::symlink;
use xdphttpd::http::{Host, Hosts};
use xdphttpd::site::{InlineLoader, Root};

/// A root with a directory that has no index, and one that has.
fn fixture() -> Fixture {
    let fixture = Fixture::new(&[]);
    let root = fixture.path().join("list");
    fs::create_dir_all(root.join("sub")).expect("a directory");
    fs::create_dir_all(root.join("indexed")).expect("a directory");
    fs::write(root.join("indexed/index.html"), "the index").expect("a file");
    for (name, bytes) in [
        ("b.txt", 5),
        ("a <i>.txt", 2_000),
        ("实验.md", 1),
        (".hidden", 1),
    ] {
        fs::write(root.join(name), vec![b'x'; bytes]).expect("a file");
    }
    symlink("b.txt", root.join("inside")).expect("a link");
    symlink("/etc/passwd", root.join("outside")).expect("a link");
    symlink("nowhere", root.join("broken")).expect("a link");
    fixture
}

fn client(fixture: &Fixture, lists: bool) -> Client<InlineLoader> {
    let root = Root::open(fixture.path()).expect("the root").listing(lists);
    let mut client = Client::new(InlineLoader::new(root.compressing(false)));
    client.hosts = Hosts::new(Host {
        lists,
        ..Host::default()
    });
    client
}

/// Status line, head and body of the response to a GET of `target`.
fn get(client: &mut Client<InlineLoader>, target: &str) -> (String, String, String) {
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    let text = String::from_utf8_lossy(&client.exchange(request.as_bytes())).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
    let (line, fields) = head.split_once("\r\n").expect("a status line");
    (line.to_owned(), fields.to_owned(), body.to_owned())
}

/// What the rows of a page link to, in order.
fn links(page: &str) -> Vec<&str> {
    let (_, rows) = page.split_once("<tbody>").expect("a table");
    let parts = rows.split("<a href=\"").skip(1);
    parts.filter_map(|part| part.split('"').next()).collect()
}

#[test]
fn only_where_it_is_allowed_and_there_is_no_index() {
    let fixture = fixture();
    for (lists, target, status) in [
        (false, "/list/", "404 Not Found"),
        (false, "/list/?json", "404 Not Found"),
        (true, "/list/", "200 OK"),
        (true, "/list/?json", "200 OK"),
        (true, "/list/sub/", "200 OK"),
        (true, "/list", "301 Moved Permanently"),
        (true, "/list/none/", "404 Not Found"),
        (true, "/list/b.txt/", "404 Not Found"),
        (true, "/list/.hidden/", "404 Not Found"),
    ] {
        let (line, ..) = get(&mut client(&fixture, lists), target);
        assert_eq!(
            line,
            format!("HTTP/1.1 {status}"),
            "{target}, listing: {lists}"
        );
    }
    for query in ["", "?json", "?sort=size&desc", "?x"] {
        let (_, fields, body) = get(
            &mut client(&fixture, true),
            &format!("/list/indexed/{query}"),
        );
        assert_eq!(body, "the index", "{query}");
        assert!(
            fields.contains("Content-Type: text/html; charset=utf-8"),
            "{fields}"
        );
    }
}

#[test]
fn a_page_of_what_is_served_and_nothing_else() {
    let fixture = fixture();
    let mut client = client(&fixture, true);
    let (_, fields, page) = get(&mut client, "/list/");
    assert!(
        fields.contains("Content-Type: text/html; charset=utf-8"),
        "{fields}"
    );
    assert!(
        fields.contains(&format!("Content-Length: {}", page.len())),
        "{fields}"
    );
    assert!(
        fields.contains("X-Content-Type-Options: nosniff"),
        "{fields}"
    );
    let want = [
        "../",
        "./indexed/",
        "./sub/",
        "./a%20%3Ci%3E.txt",
        "./b.txt",
        "./inside",
        "./%E5%AE%9E%E9%AA%8C.md",
    ];
    assert_eq!(links(&page), want);
    assert!(
        page.contains("a &lt;i&gt;.txt") && !page.contains("a <i>"),
        "{page}"
    );
    let (_, _, page) = get(&mut client, "/list/?sort=size&desc");
    assert_eq!(
        links(&page)[1..4],
        ["./sub/", "./indexed/", "./a%20%3Ci%3E.txt"]
    );
    for link in &want[1..] {
        let (line, ..) = get(
            &mut client,
            &format!("/list/{}", link.trim_start_matches("./")),
        );
        assert_eq!(line, "HTTP/1.1 200 OK", "{link}");
    }
}

#[test]
fn json_for_programs() {
    let fixture = fixture();
    let (_, fields, body) = get(&mut client(&fixture, true), "/list/?json&sort=size");
    assert!(
        fields.contains("Content-Type: application/json"),
        "{fields}"
    );
    let names: Vec<&str> = body
        .split("\"name\":\"")
        .skip(1)
        .filter_map(|part| part.split('"').next())
        .collect();
    assert_eq!(
        names,
        ["indexed", "sub", "实验.md", "b.txt", "inside", "a <i>.txt"]
    );
    assert!(
        body.contains("\"href\":\"./b.txt\",\"type\":\"file\",\"size\":5,"),
        "{body}"
    );
}

#[test]
fn what_changes_is_seen_and_what_does_not_is_not_sent_again() {
    let fixture = fixture();
    let mut client = client(&fixture, true);
    let (_, fields, _) = get(&mut client, "/list/sub/");
    let etag = fields
        .lines()
        .find_map(|line| line.strip_prefix("ETag: "))
        .expect("an ETag");
    let again = format!("GET /list/sub/ HTTP/1.1\r\nHost: x\r\nIf-None-Match: {etag}\r\n\r\n");
    assert!(
        client
            .exchange(again.as_bytes())
            .starts_with(b"HTTP/1.1 304 ")
    );
    fs::write(fixture.path().join("list/sub/new"), "1").expect("a file");
    client.now += std::time::Duration::from_secs(10);
    let (_, fields, page) = get(&mut client, "/list/sub/");
    assert_eq!(links(&page), ["../", "./new"]);
    assert!(!fields.contains(etag), "{fields}");
    // Not the directory's own time, but that of a file in it.
    fs::write(fixture.path().join("list/sub/new"), "123").expect("a file");
    client.now += std::time::Duration::from_secs(10);
    let (_, _, page) = get(&mut client, "/list/sub/");
    assert!(page.contains("title=\"3 bytes\""), "{page}");
}

#[test]
fn who_prefers_json_gets_it_and_caches_are_told() {
    let fixture = fixture();
    let mut client = client(&fixture, true);
    let json = "application/json";
    let html = "text/html; charset=utf-8";
    for (target, accept, media_type, varies) in [
        ("/list/", "application/json", json, true),
        ("/list/?sort=size", "application/json", json, true),
        ("/list/", "text/html, application/json;q=0.5", html, true),
        ("/list/", "*/*", html, true),
        ("/list/?json", "text/html", json, true),
        ("/list/indexed/", "application/json", html, false),
        (
            "/list/b.txt",
            "application/json",
            "text/plain; charset=utf-8",
            false,
        ),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n");
        for temperature in ["cold", "warm"] {
            let text = client.exchange(request.as_bytes());
            let text = String::from_utf8_lossy(&text);
            let what = format!("{target}, {accept}, {temperature}: {text}");
            assert!(text.starts_with("HTTP/1.1 200 OK"), "{what}");
            assert!(
                text.contains(&format!("Content-Type: {media_type}\r\n")),
                "{what}"
            );
            assert_eq!(text.contains("\r\nVary: Accept\r\n"), varies, "{what}");
        }
    }
    // Of what is not listed nobody gets anything else.
    let request = "GET /list/ HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\n\r\n";
    let text = self::client(&fixture, false).exchange(request.as_bytes());
    assert!(text.starts_with(b"HTTP/1.1 404 Not Found\r\n"));
}

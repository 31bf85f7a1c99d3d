//! Files that lie beside others in a compressed form, or are compressed when they are loaded (RFC 9110 section 12.5.3).

mod http_support;
mod represent;

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::time::Duration;

use http_support::*;
use proptest::prelude::*;
use represent::*;
use xdphttpd::http::negotiate::Weights;
use xdphttpd::http::stream::CHUNK_BYTES;
use xdphttpd::site::{Coding, InlineLoader, MAX_AGE, Root};
use xdphttpd::wire::SplitMix;

const JS: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const VARY: &str = "Vary: Accept-Encoding\r\n";
const BR: &str = "Content-Encoding: br\r\nVary: Accept-Encoding\r\n";
const ZSTD: &str = "Content-Encoding: zstd\r\nVary: Accept-Encoding\r\n";
const GZIP: &str = "Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n";

fn fixture() -> Fixture {
    Fixture::new(&[
        ("app.js", b"the original"),
        ("app.js.br", b"by brotli"),
        ("app.js.zst", b"by zstandard"),
        ("app.js.gz", b"by gzip, which may even be longer"),
        ("site.css", b"css"),
        ("site.css.gz", b"css by gzip"),
        ("two.css", b"css"),
        ("two.css.gz", b"css by gzip"),
        ("two.css.zst", b"css by zstandard"),
        ("plain.txt", b"plain"),
        ("dir/index.html", b"index"),
        ("dir/index.html.br", b"index by brotli"),
    ])
}

/// The variants of `/app.js`.
fn app<'f>(fixture: &'f Fixture, coding: &str) -> Sent<'f> {
    match coding {
        "br" => Sent::coded(fixture, "app.js.br", JS, "-br", BR),
        "zstd" => Sent::coded(fixture, "app.js.zst", JS, "-zstd", ZSTD),
        "gzip" => Sent::coded(fixture, "app.js.gz", JS, "-gzip", GZIP),
        _ => Sent::coded(fixture, "app.js", JS, "", VARY),
    }
}

/// What a client says, and which coding of three it gets.
#[rustfmt::skip] // one case a line
const CHOICES: &[(&str, &str)] = &[
    ("", "identity"),
    ("Accept-Encoding:\r\n", "identity"),
    ("Accept-Encoding: ,\r\n", "identity"),
    ("Accept-Encoding: identity\r\n", "identity"),
    ("Accept-Encoding: gzip\r\n", "gzip"),
    ("Accept-Encoding: x-gzip\r\n", "gzip"),
    ("Accept-Encoding: GZip\r\n", "gzip"),
    ("accept-encoding:gzip\r\n", "gzip"),
    ("Accept-Encoding: br\r\n", "br"),
    ("Accept-Encoding: zstd\r\n", "zstd"),
    ("Accept-Encoding: *\r\n", "br"),
    ("Accept-Encoding: gzip, deflate, br, zstd\r\n", "br"),
    ("Accept-Encoding: gzip, deflate\r\n", "gzip"),
    ("Accept-Encoding: gzip, zstd\r\n", "zstd"),
    ("Accept-Encoding: gzip,zstd,br\r\n", "br"),
    ("Accept-Encoding: deflate\r\n", "identity"),
    ("Accept-Encoding: compress, deflate;q=1\r\n", "identity"),
    ("Accept-Encoding: gzip\r\nAccept-Encoding: br\r\n", "br"),
    ("Accept-Encoding: gzip\r\nAccept: */*\r\nAccept-Encoding: zstd;q=0.1\r\n", "gzip"),
    // Weights.
    ("Accept-Encoding: gzip;q=1.0, br;q=0.5\r\n", "gzip"),
    ("Accept-Encoding: gzip;q=0.8, br;q=0.5, zstd;q=0.9\r\n", "zstd"),
    ("Accept-Encoding: gzip;q=0.8, br;q=0.8\r\n", "br"),
    ("Accept-Encoding: gzip;q=0.501, br;q=0.5\r\n", "gzip"),
    ("Accept-Encoding: gzip;q=0.001\r\n", "gzip"),
    ("Accept-Encoding: gzip;Q=1, br;q=0.2\r\n", "gzip"),
    ("Accept-Encoding: gzip ; q=1 , br\t;\tq=0.2\r\n", "gzip"),
    ("Accept-Encoding: br;q=0.0, gzip;q=0.\r\n", "identity"),
    ("Accept-Encoding: br;q=0, gzip\r\n", "gzip"),
    ("Accept-Encoding: gzip;q=0\r\n", "identity"),
    ("Accept-Encoding: gzip;q=0.000\r\n", "identity"),
    ("Accept-Encoding: identity;q=1, gzip;q=0.5\r\n", "identity"),
    ("Accept-Encoding: identity, gzip\r\n", "gzip"),
    ("Accept-Encoding: identity;q=0.5, gzip;q=0.4, br;q=0.3\r\n", "identity"),
    ("Accept-Encoding: identity;q=0.5, gzip;q=0.5\r\n", "gzip"),
    // Whatever is not named.
    ("Accept-Encoding: *;q=0.5, gzip;q=0.6\r\n", "gzip"),
    ("Accept-Encoding: *, br;q=0\r\n", "zstd"),
    ("Accept-Encoding: br;q=0, zstd;q=0, *\r\n", "gzip"),
    ("Accept-Encoding: gzip;q=0.5, *;q=0\r\n", "gzip"),
    ("Accept-Encoding: identity;q=1, *;q=0\r\n", "identity"),
    ("Accept-Encoding: gzip;q=0.2, zstd;q=0, br;q=0, *;q=0.8\r\n", "identity"),
    // Who refuses everything gets the file all the same.
    ("Accept-Encoding: *;q=0\r\n", "identity"),
    ("Accept-Encoding: identity;q=0\r\n", "identity"),
    ("Accept-Encoding: identity;q=0, gzip;q=0.001\r\n", "gzip"),
    ("Accept-Encoding: identity;q=0, *\r\n", "br"),
    ("Accept-Encoding: deflate, identity;q=0\r\n", "identity"),
    // What is malformed is passed over.
    ("Accept-Encoding: br;q=2, gzip\r\n", "gzip"),
    ("Accept-Encoding: br;q=1.001, gzip\r\n", "gzip"),
    ("Accept-Encoding: br;q=0.1234, gzip\r\n", "gzip"),
    ("Accept-Encoding: br;q=-1, gzip\r\n", "gzip"),
    ("Accept-Encoding: br;q=, gzip\r\n", "gzip"),
    ("Accept-Encoding: br;q = 1, gzip\r\n", "gzip"),
    ("Accept-Encoding: br;q=.5, gzip;q=0.1\r\n", "gzip"),
    ("Accept-Encoding: br;level=9, gzip\r\n", "gzip"),
    ("Accept-Encoding: br;, gzip\r\n", "gzip"),
    ("Accept-Encoding: br gzip\r\n", "identity"),
    ("Accept-Encoding: \"br\"\r\n", "identity"),
    ("Accept-Encoding: ;q=1, gzip\r\n", "gzip"),
    ("Accept-Encoding: brotli, \u{fc}, gzip\r\n", "gzip"),
];

#[test]
fn a_client_gets_the_coding_that_it_likes_best() {
    let fixture = fixture();
    let mut cases = Vec::new();
    for (fields, coding) in CHOICES {
        let response = app(&fixture, coding).ok();
        cases.push(Case {
            what: "HEAD".to_owned(),
            request: request("HEAD", "/app.js", fields),
            response: head_of(&response),
        });
        cases.push(Case {
            what: "coding".to_owned(),
            request: request("GET", "/app.js", fields),
            response,
        });
    }
    check(&fixture, &cases);
}

const BROWSER: &str = "Accept-Encoding: gzip, deflate, br, zstd\r\n";

#[test]
fn what_is_not_there_is_not_sent() {
    let fixture = fixture();
    let f = &fixture;
    let css = Sent::coded(f, "site.css.gz", CSS, "-gzip", GZIP).ok();
    let two = Sent::coded(f, "two.css.zst", CSS, "-zstd", ZSTD).ok();
    let html = "text/html; charset=utf-8";
    let index = Sent::coded(f, "dir/index.html.br", html, "-br", BR).ok();
    let sidecar = |file: &'static str, kind| Sent::plain(f, file, kind).ok();
    let table = [
        ("one variant", "/site.css", BROWSER, css),
        (
            "one variant, not acceptable",
            "/site.css",
            "Accept-Encoding: br\r\n",
            Sent::coded(f, "site.css", CSS, "", VARY).ok(),
        ),
        ("two variants", "/two.css", BROWSER, two),
        ("none", "/plain.txt", BROWSER, sidecar("plain.txt", TEXT)),
        ("index", "/dir/", BROWSER, index.clone()),
        ("index by its name", "/dir/index.html", BROWSER, index),
        (
            "the sidecar itself",
            "/app.js.gz",
            BROWSER,
            sidecar("app.js.gz", "application/gzip"),
        ),
        (
            "the sidecar itself",
            "/app.js.br",
            "",
            sidecar("app.js.br", "application/octet-stream"),
        ),
    ];
    let cases = table.map(|(what, target, fields, response)| Case {
        what: what.to_owned(),
        request: request("GET", target, fields),
        response,
    });
    check(f, &cases);
}

#[test]
fn conditions_and_ranges_are_about_the_representation_selected() {
    let fixture = fixture();
    let [br, gzip, identity] = ["br", "gzip", "identity"].map(|coding| app(&fixture, coding));
    let (br_tag, gzip_tag, identity_tag) = (br.etag(), gzip.etag(), identity.etag());
    assert!(br_tag != gzip_tag && gzip_tag != identity_tag && br_tag != identity_tag);
    let gz = "Accept-Encoding: gzip\r\n";
    let same = format!("If-Modified-Since: {LAST_MODIFIED}\r\n");
    let table = [
        (
            gz,
            format!("If-None-Match: {gzip_tag}\r\n"),
            gzip.not_modified(),
        ),
        (
            gz,
            format!("If-None-Match: W/{gzip_tag}\r\n"),
            gzip.not_modified(),
        ),
        (
            gz,
            format!("If-None-Match: {br_tag}, {gzip_tag}\r\n"),
            gzip.not_modified(),
        ),
        (gz, format!("If-None-Match: {br_tag}\r\n"), gzip.ok()),
        (gz, format!("If-None-Match: {identity_tag}\r\n"), gzip.ok()),
        ("", format!("If-None-Match: {gzip_tag}\r\n"), identity.ok()),
        (
            "",
            format!("If-None-Match: {identity_tag}\r\n"),
            identity.not_modified(),
        ),
        (gz, "If-None-Match: *\r\n".to_owned(), gzip.not_modified()),
        (gz, same.clone(), gzip.not_modified()),
        ("", same, identity.not_modified()),
        (gz, format!("If-Match: {identity_tag}\r\n"), gzip.failed()),
        (gz, format!("If-Match: {gzip_tag}\r\n"), gzip.ok()),
        (gz, "Range: bytes=3-6\r\n".to_owned(), gzip.part(3, 6)),
        ("", "Range: bytes=3-6\r\n".to_owned(), identity.part(3, 6)),
        (BROWSER, "Range: bytes=-2\r\n".to_owned(), br.part(7, 8)),
        (
            BROWSER,
            "Range: bytes=9-\r\n".to_owned(),
            br.unsatisfiable(),
        ),
        ("", "Range: bytes=9-\r\n".to_owned(), identity.part(9, 11)),
        (
            gz,
            format!("If-Range: {gzip_tag}\r\nRange: bytes=0-1\r\n"),
            gzip.part(0, 1),
        ),
        (
            gz,
            format!("If-Range: {br_tag}\r\nRange: bytes=0-1\r\n"),
            gzip.ok(),
        ),
    ];
    let cases = table.map(|(accept, fields, response)| Case {
        what: "variant".to_owned(),
        request: request("GET", "/app.js", &format!("{accept}{fields}")),
        response,
    });
    check(&fixture, &cases);
}

#[test]
fn a_sidecar_counts_only_if_it_can_hold_what_the_file_holds_now() {
    let fixture = Fixture::new(&[
        ("edited.txt", b"new"),
        ("edited.txt.gz", b"old by gzip"),
        ("edited.txt.br", b"new by brotli"),
        ("cut.txt", b"text"),
        ("cut.txt.br", b""),
        ("folder.txt", b"text"),
        ("folder.txt.gz/index.html", b"no sidecar"),
        ("link.txt", b"text"),
        ("gone.txt", b"text"),
        ("only.txt.gz", b"by gzip"),
        ("inner.txt", b"text"),
        ("inner-coded", b"text by gzip"),
        ("inner.txt.gz.br", b"nobody asks for this"),
    ]);
    let set = |name: &str, seconds: i64| {
        let file = File::options()
            .write(true)
            .open(fixture.path().join(name))
            .unwrap();
        let offset = Duration::from_secs(seconds.unsigned_abs());
        let time = match seconds < 0 {
            true => modified() - offset,
            false => modified() + offset,
        };
        file.set_modified(time).unwrap();
    };
    set("edited.txt.gz", -1);
    set("edited.txt.br", 1);
    symlink("/etc/passwd", fixture.path().join("link.txt.gz")).unwrap();
    symlink("nowhere", fixture.path().join("gone.txt.br")).unwrap();
    symlink("inner-coded", fixture.path().join("inner.txt.gz")).unwrap();
    let f = &fixture;
    let table = [
        (
            "/edited.txt",
            "Accept-Encoding: gzip\r\n",
            Sent::coded(f, "edited.txt", TEXT, "", VARY),
        ),
        (
            "/edited.txt",
            BROWSER,
            Sent::coded(f, "edited.txt.br", TEXT, "-br", BR),
        ),
        ("/cut.txt", BROWSER, Sent::plain(f, "cut.txt", TEXT)),
        ("/folder.txt", BROWSER, Sent::plain(f, "folder.txt", TEXT)),
        ("/link.txt", BROWSER, Sent::plain(f, "link.txt", TEXT)),
        ("/gone.txt", BROWSER, Sent::plain(f, "gone.txt", TEXT)),
        (
            "/inner.txt",
            BROWSER,
            Sent::coded(f, "inner-coded", TEXT, "-gzip", GZIP),
        ),
        (
            "/only.txt.gz",
            BROWSER,
            Sent::plain(f, "only.txt.gz", "application/gzip"),
        ),
    ];
    let mut cases: Vec<_> = table
        .into_iter()
        .map(|(target, fields, sent)| Case {
            what: "sidecar".to_owned(),
            request: request("GET", target, fields),
            response: sent.ok(),
        })
        .collect();
    cases.push(Case {
        what: "a sidecar alone is no file of the other name".to_owned(),
        request: request("GET", "/only.txt", BROWSER),
        response: not_found("").into(),
    });
    check(f, &cases);
}

#[test]
fn sidecars_that_come_change_and_go_are_noticed() {
    let fixture = Fixture::new(&[("a.txt", b"text")]);
    let f = &fixture;
    let mut client = fixture.client();
    let request = request("GET", "/a.txt", BROWSER);
    let mut now = |expected: Sent<'_>, what: &str| {
        client.now += MAX_AGE;
        let response = client.exchange(request.as_bytes());
        assert_same(&response, &expected.ok(), what);
    };
    let zstd = || Sent::coded(f, "a.txt.zst", TEXT, "-zstd", ZSTD);
    now(Sent::plain(f, "a.txt", TEXT), "alone");
    fixture.write("a.txt.zst", b"coded");
    now(zstd(), "come");
    fixture.write("a.txt.zst", b"coded anew");
    now(zstd(), "changed");
    fixture.write("a.txt.gz", b"coded otherwise");
    now(zstd(), "a second one");
    fs::remove_file(fixture.path().join("a.txt.zst")).unwrap();
    now(Sent::coded(f, "a.txt.gz", TEXT, "-gzip", GZIP), "one gone");
    fs::remove_file(fixture.path().join("a.txt.gz")).unwrap();
    now(Sent::plain(f, "a.txt", TEXT), "both gone");
}

#[test]
fn long_files_and_long_sidecars_are_streamed() {
    let content: Vec<u8> = (0..CHUNK_BYTES * 3).map(|at| (at / 251) as u8).collect();
    let fixture = Fixture::new(&[
        ("big.txt", &content),
        ("big.txt.br", &content[..CHUNK_BYTES * 2]),
        ("big.txt.gz", b"short"),
    ]);
    let f = &fixture;
    let mut client = fixture.client();
    let table = [
        ("", Sent::coded(f, "big.txt", TEXT, "", VARY)),
        (BROWSER, Sent::coded(f, "big.txt.br", TEXT, "-br", BR)),
        (
            "Accept-Encoding: gzip\r\n",
            Sent::coded(f, "big.txt.gz", TEXT, "-gzip", GZIP),
        ),
    ];
    for (fields, sent) in table {
        let response = client.exchange(request("GET", "/big.txt", fields).as_bytes());
        assert!(response == sent.ok(), "{fields}");
    }
    let range = format!("{BROWSER}Range: bytes=262143-262145\r\n");
    let response = client.exchange(request("GET", "/big.txt", &range).as_bytes());
    let br = Sent::coded(f, "big.txt.br", TEXT, "-br", BR);
    assert_same(&response, &br.part(262_143, 262_145), "across chunks");
}

/// Text that can be compressed, but not to nothing.
fn prose(len: usize) -> Vec<u8> {
    let words = (0_u32..).map(|index| format!("{} ", index.wrapping_mul(2_654_435_761) >> 22));
    words.flat_map(String::into_bytes).take(len).collect()
}

/// The fields of a response by name, and its body.
fn taken_apart(response: &[u8]) -> (Vec<(String, String)>, Vec<u8>) {
    let head = head_of(response);
    let lines = str::from_utf8(&head).unwrap().lines().skip(1);
    let fields = lines.filter_map(|line| line.split_once(": "));
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    (fields.collect(), response[head.len()..].to_vec())
}

fn field(fields: &[(String, String)], wanted: &str) -> Option<String> {
    let mut values = fields.iter().filter(|(name, _)| name == wanted);
    let value = values.next().map(|(_, value)| value.clone());
    assert!(values.next().is_none(), "{wanted} twice");
    value
}

fn decoded(coding: &str, body: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    match coding {
        "br" => brotli::Decompressor::new(body, 4096).read_to_end(&mut content),
        "gzip" => flate2::read::GzDecoder::new(body).read_to_end(&mut content),
        other => panic!("{other}"),
    }
    .unwrap();
    content
}

#[test]
fn text_is_compressed_when_it_is_loaded() {
    let content = prose(20_000);
    let fixture = Fixture::new(&[("a.txt", &content), ("b.svg", &content)]);
    let mut client = fixture.client();
    let mut tags = Vec::new();
    for (target, accept, coding) in [
        ("/a.txt", BROWSER, "br"),
        ("/a.txt", "Accept-Encoding: gzip\r\n", "gzip"),
        ("/b.svg", "Accept-Encoding: zstd, gzip;q=0.1\r\n", "gzip"),
        ("/b.svg", "Accept-Encoding: br;q=0.2, gzip;q=0.1\r\n", "br"),
    ] {
        let response = client.exchange(request("GET", target, accept).as_bytes());
        let (fields, body) = taken_apart(&response);
        assert_eq!(field(&fields, "Content-Encoding").as_deref(), Some(coding));
        assert_eq!(field(&fields, "Vary").as_deref(), Some("Accept-Encoding"));
        let length = field(&fields, "Content-Length").unwrap();
        assert_eq!(length, body.len().to_string());
        assert!(body.len() < content.len() * 95 / 100);
        assert!(decoded(coding, &body) == content);
        let tag = field(&fields, "ETag").unwrap();
        assert!(tag.contains(&format!("-{coding}-")), "{tag}");

        let again = client.exchange(request("GET", target, accept).as_bytes());
        assert_same(&again, &response, "the same bytes again");
        let head = client.exchange(request("HEAD", target, accept).as_bytes());
        assert_same(&head, &head_of(&response), "HEAD");
        let condition = format!("{accept}If-None-Match: {tag}\r\n");
        let same = client.exchange(request("GET", target, &condition).as_bytes());
        let expected = format!(
            "HTTP/1.1 304 Not Modified\r\nServer: xdphttpd\r\n{VARY}ETag: {tag}\r\n{DATE}\r\n"
        );
        assert_same(&same, expected.as_bytes(), "304");
        let range = format!("{accept}Range: bytes=10-19\r\nIf-Range: {tag}\r\n");
        let part = client.exchange(request("GET", target, &range).as_bytes());
        assert!(part.starts_with(b"HTTP/1.1 206 ") && part.ends_with(&body[10..20]));
        assert!(!tags.contains(&tag));
        tags.push(tag);
    }
    let identity = Sent::coded(&fixture, "a.txt", TEXT, "", VARY);
    let response = client.exchange(request("GET", "/a.txt", "").as_bytes());
    assert_same(&response, &identity.ok(), "as it is");
    assert!(client.site.cached_bytes() > 2 * content.len() as u64 + 10_000);

    client.now += MAX_AGE;
    let later = client.exchange(request("GET", "/a.txt", BROWSER).as_bytes());
    let (fields, _) = taken_apart(&later);
    assert_eq!(field(&fields, "ETag"), Some(tags[0].clone()));
}

#[test]
fn what_is_not_worth_it_is_not_compressed() {
    let content = prose(20_000);
    let mut random = SplitMix(5);
    let noise: Vec<u8> = (0..20_000).map(|_| random.next_u64() as u8).collect();
    let long = prose(CHUNK_BYTES + 1);
    let fixture = Fixture::new(&[
        ("noise.txt", &noise),
        ("short.txt", &content[..1023]),
        ("long.txt", &long),
        ("a.png", &content),
        ("by-hand.txt", &content),
        ("by-hand.txt.gz", b"by hand"),
    ]);
    let f = &fixture;
    let br = "Accept-Encoding: br\r\n";
    let table = [
        ("/noise.txt", Sent::plain(f, "noise.txt", TEXT)),
        ("/short.txt", Sent::plain(f, "short.txt", TEXT)),
        ("/long.txt", Sent::plain(f, "long.txt", TEXT)),
        ("/a.png", Sent::plain(f, "a.png", "image/png")),
        (
            "/by-hand.txt",
            Sent::coded(f, "by-hand.txt", TEXT, "", VARY),
        ),
    ];
    let cases = table.map(|(target, sent)| Case {
        what: "not compressed".to_owned(),
        request: request("GET", target, br),
        response: sent.ok(),
    });
    check(f, &cases);
}

#[test]
fn compressing_can_be_left_out() {
    let fixture = Fixture::new(&[("a.txt", &prose(20_000))]);
    let root = Root::open(fixture.path()).unwrap().compressing(false);
    let mut client = Client::new(InlineLoader::new(root));
    let response = client.exchange(request("GET", "/a.txt", BROWSER).as_bytes());
    let plain = Sent::plain(&fixture, "a.txt", TEXT);
    assert_same(&response, &plain.ok(), "as it is");
}

#[test]
fn types_go_by_the_extension() {
    let table = [
        ("a.html", "text/html; charset=utf-8"),
        ("a.htm", "text/html; charset=utf-8"),
        ("A.HTML", "text/html; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.mjs", "text/javascript; charset=utf-8"),
        ("a.MJS", "text/javascript; charset=utf-8"),
        ("a.txt", "text/plain; charset=utf-8"),
        ("a.md", "text/markdown; charset=utf-8"),
        ("a.csv", "text/csv; charset=utf-8"),
        ("a.xml", "text/xml; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.js.map", "application/json"),
        ("a.webmanifest", "application/manifest+json"),
        ("a.wasm", "application/wasm"),
        ("a.svg", "image/svg+xml"),
        ("a.png", "image/png"),
        ("a.jpg", "image/jpeg"),
        ("a.jpeg", "image/jpeg"),
        ("a.gif", "image/gif"),
        ("a.webp", "image/webp"),
        ("a.avif", "image/avif"),
        ("a.ico", "image/x-icon"),
        ("a.woff2", "font/woff2"),
        ("a.ttf", "font/ttf"),
        ("a.otf", "font/otf"),
        ("a.mp4", "video/mp4"),
        ("a.webm", "video/webm"),
        ("a.ts", "video/mp2t"),
        ("a.m3u8", "application/vnd.apple.mpegurl"),
        ("a.mp3", "audio/mpeg"),
        ("a.pdf", "application/pdf"),
        ("a.zip", "application/zip"),
        ("a.tar.gz", "application/gzip"),
        ("a.atom", "application/atom+xml"),
        ("a", "application/octet-stream"),
        ("a.", "application/octet-stream"),
        ("a.unknown", "application/octet-stream"),
        ("a.b/c", "application/octet-stream"),
        ("html", "application/octet-stream"),
    ];
    let files: Vec<(&str, &[u8])> = table.iter().map(|(name, _)| (*name, &b"x"[..])).collect();
    let fixture = Fixture::new(&files);
    let cases = table.map(|(name, content_type)| Case {
        what: "type".to_owned(),
        request: request("GET", &format!("/{name}"), ""),
        response: Sent::plain(&fixture, name, content_type).ok(),
    });
    check(&fixture, &cases);
}

const NAMES: [(&str, Coding); 4] = [
    ("br", Coding::Brotli),
    ("zstd", Coding::Zstd),
    ("gzip", Coding::Gzip),
    ("identity", Coding::Identity),
];

proptest! {
    /// Against the rules read one by one: what is named has its weight, the rest that of the star.
    #[test]
    fn weights_are_what_was_said(
        elements in prop::collection::vec(
            (prop::sample::select(vec!["br", "zstd", "gzip", "identity", "*", "deflate"]), 0_u16..=1000),
            0..6),
        spaces in "[ \t]{0,2}",
    ) {
        let text: Vec<_> = elements
            .iter()
            .map(|(name, q)| {
                let (whole, decimals) = (q / 1000, q % 1000);
                format!("{spaces}{name}{spaces};{spaces}q={whole}.{decimals:03}{spaces}")
            })
            .collect();
        let weights = Weights::parse(text.join(",").as_bytes());
        let said = |wanted: &str| {
            let said = elements.iter().filter(|(name, _)| *name == wanted);
            said.map(|(_, q)| *q).max()
        };
        for (name, coding) in NAMES {
            let unsaid = u16::from(coding == Coding::Identity);
            let expected = said(name).or(said("*")).unwrap_or(unsaid);
            prop_assert_eq!(weights.of(coding), expected, "{} in {:?}", name, text);
        }
    }

    #[test]
    fn arbitrary_values_do_no_harm(value in "[a-z*;=q01., ]{0,60}") {
        let weights = Weights::parse(value.as_bytes());
        for (_, coding) in NAMES {
            prop_assert!(weights.of(coding) <= 1000);
        }
    }
}

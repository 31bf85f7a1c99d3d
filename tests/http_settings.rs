//! What settings make of responses: types, codings, fields, and whose scripts may read them.

mod http_support;

use http_support::{CLOSE, Client, DATE, Fixture, LAST_MODIFIED, assert_same, error, not_found};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use xdphttpd::http::Hosts;
use xdphttpd::http::cors::{Allowed, Cors};
use xdphttpd::http::hosts::Host;
use xdphttpd::site::beneath::Symlinks;
use xdphttpd::site::resolve::Dotfiles;
use xdphttpd::site::{Compress, Field, InlineLoader, Pattern, Root, Rule, Settings};

const NOSNIFF: &str = "X-Content-Type-Options: nosniff\r\n";
const TEXT: &str = "text/plain; charset=utf-8";

fn client(fixture: &Fixture, settings: Settings) -> Client<InlineLoader> {
    let root = Root::open(fixture.path()).unwrap().with(settings);
    Client::new(InlineLoader::new(root))
}

fn get(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n")
}

fn etag(fixture: &Fixture, name: &str) -> String {
    let stat = fs::metadata(fixture.path().join(name)).unwrap();
    let (seconds, nanoseconds) = (stat.mtime(), stat.mtime_nsec());
    format!(
        "\"{seconds:x}.{nanoseconds:x}-{:x}-{:x}\"",
        stat.len(),
        stat.ino()
    )
}

/// The 200 response for a file without variants; `fields` follow those of every file, but for nosniff.
fn ok(fixture: &Fixture, name: &str, content_type: &str, fields: &str) -> Vec<u8> {
    let content = fs::read(fixture.path().join(name)).unwrap();
    let head = format!(
        "HTTP/1.1 200 OK\r\nServer: xdphttpd\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
         Last-Modified: {LAST_MODIFIED}\r\nETag: {}\r\nAccept-Ranges: bytes\r\n{fields}{DATE}\r\n",
        content.len(),
        etag(fixture, name),
    );
    [head.as_bytes(), &content].concat()
}

#[test]
fn links_and_dotfiles_are_served_as_the_settings_say() {
    let fixture = Fixture::new(&[
        ("www/a.txt", b"a"),
        ("www/.hidden", b"hidden"),
        ("www/.well-known/key", b"key"),
        ("secret", b"secret"),
    ]);
    let root = fixture.path().join("www");
    symlink("a.txt", root.join("inside")).unwrap();
    symlink("../secret", root.join("outside")).unwrap();
    symlink(root.join("a.txt"), root.join("absolute")).unwrap();
    use Dotfiles::{Hidden, Served};
    use Symlinks::{Always, Inside, Never};
    for (symlinks, dotfiles, found) in [
        (Never, Hidden, &["/a.txt", "/.well-known/key"][..]),
        (Inside, Hidden, &["/a.txt", "/.well-known/key", "/inside"]),
        (
            Always,
            Hidden,
            &[
                "/a.txt",
                "/.well-known/key",
                "/inside",
                "/outside",
                "/absolute",
            ],
        ),
        (
            Inside,
            Served,
            &["/a.txt", "/.well-known/key", "/inside", "/.hidden"],
        ),
    ] {
        let settings = Settings {
            symlinks,
            dotfiles,
            list: true,
            ..Settings::default()
        };
        let loader = InlineLoader::new(Root::open(&root).unwrap().with(settings));
        let host = Host {
            dotfiles,
            lists: true,
            ..Host::default()
        };
        let mut client = Client::new(loader);
        client.hosts = Hosts::new(host);
        for target in [
            "/a.txt",
            "/.well-known/key",
            "/.hidden",
            "/inside",
            "/outside",
            "/absolute",
        ] {
            let response = client.exchange(get(target, "").as_bytes());
            let status = if found.contains(&target) {
                "200"
            } else {
                "404"
            };
            let said = String::from_utf8_lossy(&response[9..12]);
            assert_eq!(said, status, "{target} {symlinks:?} {dotfiles:?}");
        }
        // A listing shows what its links would get, and no hidden name.
        let listing = client.exchange(get("/?json", "").as_bytes());
        let listing = String::from_utf8_lossy(&listing);
        for target in found.iter().filter(|target| !target.contains("well-known")) {
            assert!(
                listing.contains(&format!("\"{}\"", &target[1..])),
                "{target}: {listing}"
            );
        }
        let shows = |name: &str| listing.contains(&format!("\"{name}"));
        assert_eq!(shows(".well-known"), dotfiles == Served, "{listing}");
        assert_eq!(shows("outside"), symlinks == Always, "{listing}");
        assert!(!shows("..\""), "{listing}");
    }
}

#[test]
fn a_directory_is_answered_with_the_first_index_it_has() {
    let fixture = Fixture::new(&[
        ("a/index.html", b"one"),
        ("a/index.txt", b"two"),
        ("b/index.txt", b"three"),
        ("c/index.html/x", b"four"),
        ("c/index.txt", b"five"),
        ("d/file", b"six"),
    ]);
    let html = "text/html; charset=utf-8";
    for (index, target, answer) in [
        (
            &["index.html", "index.txt"][..],
            "/a/",
            Some(("a/index.html", html)),
        ),
        (
            &["index.html", "index.txt"],
            "/b/",
            Some(("b/index.txt", TEXT)),
        ),
        (
            &["index.html", "index.txt"],
            "/c/",
            Some(("c/index.txt", TEXT)),
        ),
        (&["index.html", "index.txt"], "/d/", None),
        (
            &["index.txt", "index.html"],
            "/a/",
            Some(("a/index.txt", TEXT)),
        ),
        (&["index.html"], "/b/", None),
        (&[], "/a/", None),
    ] {
        let settings = Settings {
            index: index.iter().map(|&name| name.to_owned()).collect(),
            ..Settings::default()
        };
        let response = client(&fixture, settings).exchange(get(target, "").as_bytes());
        let expected = match answer {
            Some((file, media_type)) => ok(&fixture, file, media_type, NOSNIFF),
            None => not_found("").into_bytes(),
        };
        assert_same(&response, &expected, &format!("{target} with {index:?}"));
    }
}

#[test]
fn media_types_and_charset_are_the_settings_own() {
    let fixture = Fixture::new(&[("a.md", b"#"), ("LICENSE", b"free"), ("a.html", b"<p>")]);
    let mut settings = Settings::default();
    settings.media_types.set("md", "text/markdown").unwrap();
    settings.media_types.set("LICENSE", "text/plain").unwrap();
    settings.media_types.set_charset("iso-8859-1").unwrap();
    let mut client = client(&fixture, settings);
    for (file, media_type) in [
        ("a.md", "text/markdown; charset=iso-8859-1"),
        ("LICENSE", "text/plain; charset=iso-8859-1"),
        ("a.html", "text/html; charset=iso-8859-1"),
    ] {
        let response = client.exchange(get(&format!("/{file}"), "").as_bytes());
        assert_same(&response, &ok(&fixture, file, media_type, NOSNIFF), file);
    }
}

#[test]
fn compression_is_off_fast_or_best() {
    let content = b"all work and no play makes a dull page\n".repeat(200);
    let fixture = Fixture::new(&[("a.txt", &content)]);
    let request = get("/a.txt", "Accept-Encoding: br\r\n");
    let length = |compress| {
        let settings = Settings {
            compress,
            ..Settings::default()
        };
        let response = client(&fixture, settings).exchange(request.as_bytes());
        let head = String::from_utf8_lossy(&response).into_owned();
        let is_coded = head.contains("\r\nContent-Encoding: br\r\n");
        assert_eq!(head.contains("\r\nVary: Accept-Encoding\r\n"), is_coded);
        (is_coded, response.len())
    };
    let whole = ok(&fixture, "a.txt", TEXT, NOSNIFF).len();
    assert_eq!(length(Compress::Off), (false, whole));
    let (fast, best) = (length(Compress::Fast), length(Compress::Best));
    assert!(
        fast.0 && best.0 && best.1 <= fast.1 && fast.1 < whole / 4,
        "{fast:?} {best:?}"
    );
}

fn headers() -> Settings {
    let rule = |pattern, set: &[(&str, &str)], remove: &[&str]| Rule {
        pattern: Pattern::new(pattern).unwrap(),
        set: set
            .iter()
            .map(|(name, value)| Field::new(name, value).unwrap())
            .collect(),
        remove: remove.iter().map(|&name| name.to_owned()).collect(),
    };
    let mut settings = Settings::default();
    settings.headers.cache_control = Some(Field::new("Cache-Control", "no-cache").unwrap());
    settings.headers.rules = vec![
        rule(
            "*.css",
            &[("Cache-Control", "max-age=60"), ("X-A", "1")],
            &[],
        ),
        rule(
            "/sub/**",
            &[("Vary", "Accept-Language")],
            &["X-Content-Type-Options"],
        ),
    ];
    settings
}

#[test]
fn rules_decide_about_fields_of_whole_files_parts_and_304() {
    let fixture = Fixture::new(&[
        ("a.txt", b"text"),
        ("a.css", b"css"),
        ("sub/b.css", b"more"),
    ]);
    let css = "text/css; charset=utf-8";
    let mut client = client(&fixture, headers());
    for (file, media_type, for_caches, others) in [
        (
            "a.txt",
            TEXT,
            "Cache-Control: no-cache\r\n",
            NOSNIFF.to_owned(),
        ),
        (
            "a.css",
            css,
            "Cache-Control: max-age=60\r\n",
            format!("{NOSNIFF}X-A: 1\r\n"),
        ),
        (
            "sub/b.css",
            css,
            "Cache-Control: max-age=60\r\nVary: Accept-Language\r\n",
            "X-A: 1\r\n".to_owned(),
        ),
    ] {
        let (target, tag) = (format!("/{file}"), etag(&fixture, file));
        let expected = ok(&fixture, file, media_type, &format!("{for_caches}{others}"));
        assert_same(
            &client.exchange(get(&target, "").as_bytes()),
            &expected,
            file,
        );

        let known = format!("If-None-Match: {tag}\r\n");
        let expected = format!(
            "HTTP/1.1 304 Not Modified\r\nServer: xdphttpd\r\nETag: {tag}\r\n{for_caches}{DATE}\r\n"
        );
        let response = client.exchange(get(&target, &known).as_bytes());
        assert_same(&response, expected.as_bytes(), file);

        let part = client.exchange(get(&target, "Range: bytes=0-0\r\n").as_bytes());
        let part = String::from_utf8(part).unwrap();
        assert!(part.starts_with("HTTP/1.1 206 "), "{part}");
        assert!(
            part.contains(&format!("\r\n{for_caches}{others}{DATE}")),
            "{part}"
        );
    }
    let missing = client.exchange(get("/none.css", "").as_bytes());
    assert_same(
        &missing,
        not_found("").as_bytes(),
        "what is not there has no rules",
    );
}

fn with_cors(fixture: &Fixture, allowed: &Allowed) -> Client<InlineLoader> {
    let mut client = client(fixture, Settings::default());
    client.hosts = Hosts::new(Host {
        cors: Some(Cors::new(allowed).unwrap()),
        ..Host::default()
    });
    client
}

#[test]
fn scripts_of_named_origins_may_read() {
    let fixture = Fixture::new(&[("a.txt", b"text")]);
    let mut client = with_cors(
        &fixture,
        &Allowed {
            origins: vec!["https://a.example".into(), "https://b.example".into()],
            methods: vec!["GET".into()],
            headers: vec!["X-A".into()],
            max_age_s: Some(600),
            credentials: true,
            ..Allowed::default()
        },
    );
    let to_a = "Access-Control-Allow-Origin: https://a.example\r\n\
                Access-Control-Allow-Credentials: true\r\nVary: Origin\r\n";
    let stranger = "Vary: Origin\r\n";
    for (origin, more) in [
        ("", stranger),
        ("Origin: https://a.example\r\n", to_a),
        ("Origin: https://evil.example\r\n", stranger),
        ("Origin: null\r\n", stranger),
    ] {
        let expected = ok(&fixture, "a.txt", TEXT, &format!("{NOSNIFF}{more}"));
        for temperature in ["cold", "warm"] {
            let response = client.exchange(get("/a.txt", origin).as_bytes());
            assert_same(&response, &expected, &format!("{origin} {temperature}"));
        }
        let text = "There is nothing at this address.";
        let missing = error(404, "Not Found", text, more, "");
        assert_same(
            &client.exchange(get("/b", origin).as_bytes()),
            missing.as_bytes(),
            origin,
        );

        let ask = format!(
            "OPTIONS /a.txt HTTP/1.1\r\nHost: x\r\n{origin}Access-Control-Request-Method: GET\r\n\r\n"
        );
        let allowed = match more == to_a {
            true => {
                "Access-Control-Allow-Methods: GET\r\nAccess-Control-Allow-Headers: X-A\r\n\
                 Access-Control-Max-Age: 600\r\n"
            }
            false => "",
        };
        let expected = match origin {
            "" => format!(
                "HTTP/1.1 200 OK\r\nServer: xdphttpd\r\nContent-Length: 0\r\n\
                 Allow: GET, HEAD, OPTIONS\r\n{more}{DATE}\r\n"
            ),
            _ => {
                format!("HTTP/1.1 204 No Content\r\nServer: xdphttpd\r\n{allowed}{more}{DATE}\r\n")
            }
        };
        assert_same(
            &client.exchange(ask.as_bytes()),
            expected.as_bytes(),
            origin,
        );
    }
    let tag = etag(&fixture, "a.txt");
    let ask = get(
        "/a.txt",
        &format!("Origin: https://a.example\r\nIf-None-Match: {tag}\r\n"),
    );
    let expected =
        format!("HTTP/1.1 304 Not Modified\r\nServer: xdphttpd\r\nETag: {tag}\r\n{to_a}{DATE}\r\n");
    assert_same(&client.exchange(ask.as_bytes()), expected.as_bytes(), "304");
}

#[test]
fn scripts_of_any_origin_may_read() {
    let fixture = Fixture::new(&[("a.txt", b"text")]);
    let allowed = Allowed {
        origins: vec!["*".into()],
        ..Allowed::default()
    };
    let mut client = with_cors(&fixture, &allowed);
    let any = "Access-Control-Allow-Origin: *\r\n";
    let expected = ok(&fixture, "a.txt", TEXT, &format!("{NOSNIFF}{any}"));
    for origin in ["", "Origin: https://a.example\r\n"] {
        assert_same(
            &client.exchange(get("/a.txt", origin).as_bytes()),
            &expected,
            origin,
        );
    }
    // The last response of a connection says so behind the other fields.
    let last = client.exchange(get("/a.txt", CLOSE).as_bytes());
    let end = format!("{any}{DATE}{CLOSE}\r\ntext");
    assert!(
        last.ends_with(end.as_bytes()),
        "{}",
        String::from_utf8_lossy(&last)
    );
}

//! HTTP as real clients see it: curl and raw connections in a namespace, the
//! server on the other end of the veth pair. Needs root.

mod lab;

use lab::{Lab, Response, assert_same, noise, text};
use std::io::{BufReader, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

#[test]
fn files_arrive_byte_exact() {
    let lab = Lab::new();
    let server = lab.serve(&[]);
    for (seed, len) in [(1, 0), (2, 1), (3, 1024), (4, 1 << 20)] {
        let content = noise(seed, len);
        let path = format!("/{len}.bin");
        lab.file(&path[1..], &content);
        assert_same(&lab.get(&path), &content);
    }
    server.stop();
    assert!(!lab.has_xdp(), "the program is detached");
}

#[test]
fn head_has_the_fields_of_get_and_no_body() {
    let lab = Lab::new();
    lab.file("page.html", &noise(5, 3000));
    let _server = lab.serve(&[]);
    let mut stream = BufReader::new(lab.connect(80));
    for method in ["HEAD", "GET", "HEAD"] {
        write!(
            stream.get_mut(),
            "{method} /page.html HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        .expect("sent");
        // A body after a HEAD would be taken for the next head, and fail.
        let response = match method {
            "HEAD" => Response::read_head(&mut stream),
            _ => Response::read(&mut stream),
        };
        assert_eq!(response.status(), "200", "{}", response.head);
        assert_eq!(
            response.field("content-length"),
            Some("3000"),
            "{}",
            response.head
        );
        assert!(
            response
                .field("content-type")
                .is_some_and(|kind| kind.starts_with("text/html"))
        );
    }
    let missing = text(lab.curl(&["-I", &lab.url("/missing")]));
    assert!(missing.starts_with("HTTP/1.1 404 "), "{missing}");
}

#[test]
fn what_is_not_there_is_404_with_a_page() {
    let lab = Lab::new();
    lab.file("there/file.txt", b"there");
    let _server = lab.serve(&[]);
    for path in [
        "/",
        "/missing",
        "/there/missing",
        "/there/file.txt/",
        "/there/file.txt/deeper",
        "/there/",
    ] {
        assert_eq!(lab.status(path, &[]), "404", "{path}");
        assert!(text(lab.get(path)).contains("404"), "{path}");
    }
    assert_eq!(lab.get("/there/file.txt"), b"there");
}

#[test]
fn nothing_outside_the_root_is_ever_sent() {
    const SECRET: &str = "the secret outside";
    let lab = Lab::new();
    let outside = tempfile::tempdir().expect("a temporary directory");
    let secret = outside.path().join("secret.txt");
    std::fs::write(&secret, SECRET).expect("a file");
    let dir = outside
        .path()
        .file_name()
        .and_then(|name| name.to_str())
        .expect("a name");
    lab.file("sub/inside.txt", b"inside");
    let link = |target: &str, name: &str| {
        std::os::unix::fs::symlink(target, lab.root().join(name)).expect("a link");
    };
    link(secret.to_str().expect("UTF-8"), "absolute");
    link(&format!("../{dir}/secret.txt"), "relative");
    link(&format!("../{dir}"), "directory");
    link("/proc/self/root", "slash");
    link("sub/inside.txt", "good");
    let _server = lab.serve(&[]);
    let up = format!("{dir}/secret.txt");
    let absolute = secret.display();
    let paths = [
        format!("/../{up}"),
        format!("/sub/../../{up}"),
        format!("/%2e%2e/{up}"),
        format!("/.%2E/{up}"),
        format!("/..%2f{dir}%2fsecret.txt"),
        format!("/%2e%2e%2f{up}"),
        format!("/sub/..%2f..%2f{up}"),
        format!("/%252e%252e/{up}"),
        format!("/%c0%ae%c0%ae/{up}"),
        format!("/..%5c{up}"),
        format!("/..\\{up}"),
        format!("/..;/{up}"),
        format!("/..%00/{up}"),
        format!("/sub/inside.txt%00/../../{up}"),
        format!("/{absolute}"),
        format!("/%2f{absolute}"),
        format!("//{absolute}"),
        "/absolute".into(),
        "/relative".into(),
        "/directory/secret.txt".into(),
        format!("/slash{absolute}"),
    ];
    for path in &paths {
        let status = lab.status(path, &["--path-as-is"]);
        assert!(
            ["400", "404"].contains(&status.as_str()),
            "{path}: {status}"
        );
        let body = lab.curl(&["--path-as-is", &lab.url(path)]);
        assert!(!text(body).contains(SECRET), "{path}");
    }
    for target in [
        format!("http://x/../{up}"),
        up.clone(),
        format!("../{up}"),
        "*".into(),
    ] {
        let answer = lab.talk(
            format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes(),
        );
        let answer = text(answer);
        assert!(
            answer.starts_with("HTTP/1.1 40") && !answer.contains(SECRET),
            "{target}: {answer}"
        );
    }
    assert_eq!(
        lab.get("/good"),
        b"inside",
        "a link within the root is followed"
    );
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let lab = Lab::new();
    let (small, large) = (noise(6, 700), noise(7, 1 << 20));
    lab.file("small", &small);
    lab.file("large", &large);
    let _server = lab.serve(&[]);
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let round = [
        get("/small"),
        get("/missing"),
        get("/large"),
        "HEAD /large HTTP/1.1\r\nHost: x\r\n\r\n".into(),
        "POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nGET /".into(),
    ]
    .concat();
    let rounds = 5;
    let stream = lab.connect(80);
    let mut writer = stream.try_clone().expect("a second handle");
    let mut reader = BufReader::new(stream);
    writer
        .write_all(round.repeat(rounds).as_bytes())
        .expect("sending");
    writer
        .write_all(b"GET /small HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .expect("sending");
    for _ in 0..rounds {
        assert_same(&Response::read(&mut reader).body, &small);
        assert_eq!(Response::read(&mut reader).status(), "404");
        assert_same(&Response::read(&mut reader).body, &large);
        let head = Response::read_head(&mut reader);
        assert_eq!(
            (head.status(), head.field("content-length")),
            ("200", Some("1048576"))
        );
        assert_eq!(Response::read(&mut reader).status(), "405");
    }
    let last = Response::read(&mut reader);
    assert_same(&last.body, &small);
    assert_eq!(last.field("connection"), Some("close"), "{}", last.head);
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).expect("an orderly end");
    assert_eq!(rest, b"", "nothing after the last response");
}

#[test]
fn a_client_that_has_closed_its_half_still_gets_everything() {
    let lab = Lab::new();
    let content = noise(8, 1 << 20);
    lab.file("large", &content);
    let _server = lab.serve(&[]);
    // The first time the file is looked up, the second time it is known.
    for _ in 0..2 {
        let mut stream = lab.connect(80);
        stream
            .write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            .expect("sending");
        stream.shutdown(Shutdown::Write).expect("a half-close");
        let mut stream = BufReader::new(stream);
        assert_same(&Response::read(&mut stream).body, &content);
        assert_eq!(stream.read(&mut [0]).expect("an orderly end"), 0);
    }
}

#[test]
fn http_1_0_closes_unless_asked_to_keep_alive() {
    let lab = Lab::new();
    let content = noise(9, 5000);
    lab.file("file", &content);
    let _server = lab.serve(&[]);
    assert_same(&lab.curl(&["-0", &lab.url("/file")]), &content);

    let answer = lab.talk(b"GET /file HTTP/1.0\r\n\r\n");
    assert_same(&Response::read(&mut answer.as_slice()).body, &content);

    let mut stream = BufReader::new(lab.connect(80));
    for _ in 0..3 {
        stream
            .get_mut()
            .write_all(b"GET /file HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            .expect("sending");
        let response = Response::read(&mut stream);
        assert_same(&response.body, &content);
        let connection = response.field("connection").map(str::to_lowercase);
        assert_eq!(
            connection.as_deref(),
            Some("keep-alive"),
            "{}",
            response.head
        );
    }
    stream
        .get_mut()
        .write_all(b"GET /file HTTP/1.0\r\n\r\n")
        .expect("sending");
    assert_same(&Response::read(&mut stream).body, &content);
    assert_eq!(stream.read(&mut [0]).expect("an orderly end"), 0);
}

#[test]
fn names_in_utf_8_work_raw_and_percent_encoded() {
    let lab = Lab::new();
    for (name, encoded) in [
        ("grüße.txt", "gr%C3%BC%c3%9fe.txt"),
        ("日本/道.html", "%E6%97%A5%E6%9C%AC/%E9%81%93.html"),
        ("a b+c&d.txt", "a%20b+c&d.txt"),
        ("100%.txt", "100%25.txt"),
    ] {
        lab.file(name, name.as_bytes());
        let server = lab.serve(&[]);
        assert_eq!(text(lab.get(&format!("/{encoded}"))), name);
        if !name.contains([' ', '%']) {
            assert_eq!(text(lab.get(&format!("/{name}"))), name);
            let raw = lab.talk(format!("GET /{name} HTTP/1.0\r\n\r\n").as_bytes());
            assert_eq!(text(Response::read(&mut raw.as_slice()).body), name);
        }
        server.stop();
    }
}

#[test]
fn a_directory_has_its_index_and_a_redirect_that_keeps_the_query() {
    let lab = Lab::new();
    lab.file("index.html", b"top");
    lab.file("sub dir/index.html", b"below");
    let _server = lab.serve(&[]);
    assert_eq!(lab.get("/"), b"top");
    assert_eq!(lab.get("/sub%20dir/?x=1"), b"below");
    let headers = text(lab.curl(&["-I", &lab.url("/sub%20dir?x=1&y=%2f%20z")]));
    assert!(headers.starts_with("HTTP/1.1 301 "), "{headers}");
    let location = headers
        .lines()
        .find_map(|line| line.strip_prefix("Location: "));
    assert_eq!(location, Some("/sub%20dir/?x=1&y=%2f%20z"), "{headers}");
    assert_eq!(lab.curl(&["-L", &lab.url("/sub%20dir?x=1")]), b"below");
}

#[test]
fn other_methods_are_refused_with_allow() {
    let lab = Lab::new();
    lab.file("file", b"content");
    let _server = lab.serve(&[]);
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let answer = text(lab.curl(&["-i", "-X", method, "-d", "some=data", &lab.url("/file")]));
        assert!(answer.starts_with("HTTP/1.1 405 "), "{method}: {answer}");
        let allow = answer.lines().find_map(|line| line.strip_prefix("Allow: "));
        assert_eq!(allow, Some("GET, HEAD, OPTIONS"), "{method}: {answer}");
    }
    assert_eq!(lab.status("/file", &["-X", "OPTIONS"]), "200");
    assert_eq!(lab.status("/file", &["-X", "BREW"]), "501");
    assert_eq!(lab.get("/file"), b"content");
}

#[test]
fn a_rate_is_kept_to_and_health_told() {
    let lab = Lab::new();
    let content = noise(8, 200_000);
    lab.file("big.bin", &content);
    let flags = [
        "--rate",
        "100KB",
        "--rate-total",
        "1MB",
        "--health-path",
        "/up",
    ];
    let _server = lab.serve(&flags);
    let start = Instant::now();
    assert_same(&lab.get("/big.bin"), &content);
    // 64 KiB leave at once, the rest no faster than at the rate.
    assert!(start.elapsed() >= Duration::from_millis(1_344));
    assert_same(&lab.get("/up"), b"ok\n");
}

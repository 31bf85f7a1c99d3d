//! The reverse proxy, with a client in a namespace and servers of the kernel's TCP behind.
//! Needs root.

mod lab;

use lab::{Lab, PATIENCE, Response, assert_same, noise, text, wait_until};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tungstenite::Message;

/// Bytes of the long bodies.
const LONG: usize = 200 << 20;

/// A server behind: each connection is `serve`'s, in a thread of its own.
fn behind(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

fn proxy(path: &str, to: SocketAddr) -> String {
    format!("--proxy={path}=http://{to}")
}

/// Reads a head, and of a body with a length as much as that says.
fn read_request(from: &mut impl BufRead) -> Option<Response> {
    from.fill_buf().ok().filter(|bytes| !bytes.is_empty())?;
    let mut request = Response::read_head(from);
    if let Some(length) = request.field("content-length") {
        request.body = vec![0; length.parse().expect("a length")];
        from.read_exact(&mut request.body).ok()?;
    }
    Some(request)
}

/// One that answers everything with `response` and tells what it was asked, by the number of the connection.
fn telling(response: &'static [u8]) -> (SocketAddr, Receiver<Response>) {
    let (told, asked) = channel();
    let address = behind(move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone().expect("a copy"));
        while let Some(request) = read_request(&mut reader) {
            if told.send(request).is_err() || stream.write_all(response).is_err() {
                return;
            }
        }
    });
    (address, asked)
}

#[test]
fn requests_and_responses_go_through() {
    let lab = Lab::new();
    lab.file("index.html", b"a page");
    let (address, asked) = telling(
        b"HTTP/1.1 418 Short and Stout\r\nX-Own: one\r\nX-Own: two\r\nConnection: x-secret\r\nX-Secret: y\r\n\
          Keep-Alive: timeout=5\r\nContent-Length: 3\r\nServer: other\r\n\r\ntea",
    );
    let away = format!("--proxy=/away=http://{address}/base/");
    let server = lab.serve(&[&proxy("/api", address), &away]);
    let mut stream = lab.connect(80);
    let mut reader = BufReader::new(stream.try_clone().expect("a copy"));
    let mut ask = |request: &str| {
        stream.write_all(request.as_bytes()).expect("sending");
        Response::read(&mut reader)
    };
    let fields = "Host: front.example\r\nConnection: close-not, X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\n\
                  X-Forwarded-For: 192.0.2.1\r\nVia: 1.0 other\r\nForwarded: for=192.0.2.1\r\nX-End: kept\r\n";
    let answer = ask(&format!(
        "PATCH /api/a%20b?c=%2F HTTP/1.1\r\n{fields}Content-Length: 4\r\n\r\nbody"
    ));
    let head = answer.head.to_ascii_lowercase();
    assert!(
        head.starts_with("http/1.1 418 short and stout\r\n"),
        "{head}"
    );
    for line in [
        "x-own: one",
        "x-own: two",
        "server: other",
        "content-length: 3",
    ] {
        assert!(head.contains(&format!("\r\n{line}")), "{line}: {head}");
    }
    assert_eq!(head.matches("\r\ndate: ").count(), 1, "{head}");
    assert!(
        !head.contains("secret") && !head.contains("keep-alive"),
        "{head}"
    );
    assert_eq!(answer.body, b"tea");
    let request = asked.recv_timeout(PATIENCE).expect("a request");
    assert!(
        request
            .head
            .starts_with("PATCH /api/a%20b?c=%2F HTTP/1.1\r\n"),
        "{}",
        request.head
    );
    assert_eq!(request.body, b"body");
    for (name, value) in [
        ("host", "front.example"),
        ("x-forwarded-for", &format!("192.0.2.1, {}", lab.inner())),
        ("x-forwarded-host", "front.example"),
        ("x-forwarded-proto", "http"),
        (
            "forwarded",
            &format!(
                "for=192.0.2.1, for={};host=\"front.example\";proto=http",
                lab.inner()
            ),
        ),
        ("via", "1.0 other, 1.1 xdphttpd"),
        ("x-end", "kept"),
    ] {
        assert_eq!(request.field(name), Some(value), "{}", request.head);
    }
    for name in ["x-hop", "te", "transfer-encoding"] {
        assert_eq!(request.field(name), None, "{}", request.head);
    }
    // On the same connection: a path in the prefix's place, then a file.
    ask("GET /away/x HTTP/1.1\r\nHost: h\r\n\r\n");
    let request = asked.recv_timeout(PATIENCE).expect("a request");
    assert!(
        request.head.starts_with("GET /base/x HTTP/1.1\r\n"),
        "{}",
        request.head
    );
    assert_eq!(ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").body, b"a page");
    server.stop();
}

#[test]
fn long_bodies_go_both_ways_and_are_not_gathered() {
    let lab = Lab::new();
    let content = noise(71, LONG);
    let down = content.clone();
    let (told, arrived) = channel();
    let address = behind(move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone().expect("a copy"));
        let head = Response::read_head(&mut reader);
        if head.head.starts_with("GET ") {
            // Of a length that is not said.
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
                .expect("sending");
            let _ = stream.write_all(&down);
            return;
        }
        // It takes its time with the beginning, so that what is before it must wait.
        std::thread::sleep(Duration::from_secs(1));
        let mut body = vec![
            0;
            head.field("content-length")
                .expect("a length")
                .parse()
                .expect("a number")
        ];
        reader.read_exact(&mut body).expect("the whole body");
        told.send(body).expect("a test");
        stream
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .expect("sending");
    });
    let server = lab.serve(&[&proxy("/", address)]);
    let before = server.resident_kib();
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name| {
        directory
            .path()
            .join(name)
            .to_str()
            .expect("UTF-8")
            .to_owned()
    };
    std::fs::write(path("up"), &content).expect("a file");
    let (url, up, got) = (lab.url("/x"), path("up"), path("got"));
    let status = text(lab.curl(&["-m", "100", "-T", &up, "-w", "%{http_code}", &url]));
    assert_eq!(status, "204");
    assert_same(
        &arrived.recv_timeout(PATIENCE).expect("an upload"),
        &content,
    );
    lab.curl(&["-m", "100", "-o", &got, &url]);
    assert_same(&std::fs::read(&got).expect("a download"), &content);
    let after = server.resident_kib();
    assert!(after < before + 64 * 1024, "{before} KiB, then {after}");
    server.stop();
}

#[test]
fn a_websocket_goes_through() {
    let lab = Lab::new();
    lab.file("index.html", b"a page");
    let address = behind(|stream| {
        let mut socket = tungstenite::accept(stream).expect("a handshake");
        while let Ok(message) = socket.read() {
            if message.is_text() || message.is_binary() {
                socket.send(message).expect("sending");
            }
        }
    });
    let server = lab.serve(&[&proxy("/socket", address)]);
    let url = format!("ws://{}/socket?x=1", lab.outer());
    let (mut socket, response) = tungstenite::client(url, lab.connect(80)).expect("a handshake");
    assert_eq!(response.status(), 101);
    let long = noise(72, 3 << 20);
    for message in [
        Message::text("hello"),
        Message::text("图形"),
        Message::binary(long),
        Message::text("once more"),
    ] {
        socket.send(message.clone()).expect("sending");
        assert!(socket.read().expect("an answer") == message);
        assert_eq!(lab.get("/"), b"a page", "files are served meanwhile");
    }
    socket.close(None).expect("closing");
    wait_until("the other side to close", || {
        matches!(socket.read(), Err(tungstenite::Error::ConnectionClosed))
    });
    server.stop();
}

#[test]
fn what_servers_behind_do_wrong() {
    let lab = Lab::new();
    lab.file("index.html", b"a page");
    let unused = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("an address");
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let short = behind(|mut stream| {
        let mut reader = BufReader::new(stream.try_clone().expect("a copy"));
        Response::read_head(&mut reader);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot that much");
    });
    let stops = behind(|mut stream| {
        let mut reader = BufReader::new(stream.try_clone().expect("a copy"));
        Response::read_head(&mut reader);
        let _ =
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n");
        std::thread::sleep(PATIENCE);
    });
    let garbage = behind(|mut stream| {
        let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
    });
    let silent_at = silent.local_addr().expect("an address");
    let flags = [
        proxy("/unused", unused),
        proxy("/silent", silent_at),
        proxy("/short", short),
        proxy("/stops", stops),
        proxy("/garbage", garbage),
        "--proxy-timeout=1".to_owned(),
    ];
    let server = lab.serve(&flags.each_ref().map(String::as_str));
    for (path, status) in [("/unused", "502"), ("/garbage", "502"), ("/silent", "504")] {
        assert_eq!(lab.status(path, &[]), status, "{path}");
        assert_eq!(lab.get("/"), b"a page");
    }
    for path in ["/short", "/stops"] {
        let output = lab.exec(&["curl", "-sS", "-m", "30", &lab.url(path)]);
        let code = output.status.code();
        assert!(matches!(code, Some(18 | 56)), "{path}: {code:?}");
        assert_eq!(lab.get("/"), b"a page");
    }
    server.stop();
}

#[test]
fn a_client_that_goes_takes_its_request_with_it() {
    let lab = Lab::new();
    let (told, seen) = channel();
    let address = behind(move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone().expect("a copy"));
        Response::read_head(&mut reader);
        told.send("asked").expect("a test");
        // It ends only when the other side does.
        let _ = stream.read(&mut [0; 10]);
        told.send("left alone").expect("a test");
    });
    let server = lab.serve(&[&proxy("/", address)]);
    let mut stream = lab.connect(80);
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        .expect("sending");
    assert_eq!(seen.recv_timeout(PATIENCE), Ok("asked"));
    // Unread data, or a reset: gone at once.
    nix::sys::socket::setsockopt(
        &stream,
        nix::sys::socket::sockopt::Linger,
        &nix::libc::linger {
            l_onoff: 1,
            l_linger: 0,
        },
    )
    .expect("an option");
    drop(stream);
    assert_eq!(seen.recv_timeout(PATIENCE), Ok("left alone"));
    server.stop();
}

#[test]
fn what_is_not_said_to_servers_behind() {
    let lab = Lab::new();
    let (address, asked) = telling(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n");
    let server = lab.serve(&[&proxy("/", address)]);
    let ask = |request: &str| {
        let mut stream = lab.connect(80);
        stream.write_all(request.as_bytes()).expect("sending");
        let answer = Response::read_head(&mut BufReader::new(stream));
        assert_eq!(
            (answer.status(), answer.field("content-length")),
            ("204", None),
            "{request}"
        );
        asked.recv_timeout(PATIENCE).expect("a request")
    };
    // Another protocol that could ask for anything, or that nobody may ask for.
    for fields in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Connection: Upgrade\r\nUpgrade: H2C\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\nUpgrade: x\r\n",
        "Upgrade: websocket\r\n",
    ] {
        let request = ask(&format!("GET /x HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
        for name in ["upgrade", "connection", "http2-settings"] {
            assert_eq!(request.field(name), None, "{fields}{}", request.head);
        }
    }
    // What would be taken for ours.
    let fields = "X_Forwarded_For: 192.0.2.1\r\nForwarded: for=\"\r\nX-Forwarded-Proto: https\r\n\
                  Content-Length: 2\r\nContent-Length: 02\r\n";
    let request = ask(&format!("POST /x HTTP/1.1\r\nHost: h\r\n{fields}\r\nab"));
    assert_eq!(request.field("x_forwarded_for"), None, "{}", request.head);
    assert_eq!(request.field("x-forwarded-proto"), Some("http"));
    let forwarded = format!("for={};host=\"h\";proto=http", lab.inner());
    assert_eq!(request.field("forwarded"), Some(&*forwarded));
    assert_eq!(
        request
            .head
            .to_ascii_lowercase()
            .matches("content-length: 2")
            .count(),
        1
    );
    let request = ask("GET /x HTTP/1.0\r\nX-Forwarded-Host: other\r\n\r\n");
    assert_eq!(request.field("x-forwarded-host"), None);
    assert_eq!(request.field("host"), Some(&*address.to_string()));
    server.stop();
}

#[test]
fn a_body_may_take_its_time_whatever_the_method() {
    let lab = Lab::new();
    let (told, bodies) = channel();
    let address = behind(move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone().expect("a copy"));
        let head = Response::read_head(&mut reader);
        let mut body = Vec::new();
        if let Some(length) = head.field("content-length") {
            body = vec![0; length.parse().expect("a length")];
            reader.read_exact(&mut body).expect("the whole body");
        } else {
            // In chunks: as far as the last.
            while !body.ends_with(b"0\r\n\r\n") {
                let mut line = Vec::new();
                reader.read_until(b'\n', &mut line).expect("a line");
                body.extend_from_slice(&line);
            }
        }
        told.send(body).expect("a test");
        stream
            .write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            .expect("sending");
    });
    let server = lab.serve(&[&proxy("/", address), "--proxy-timeout=1"]);
    let mut stream = lab.connect(80);
    let mut reader = BufReader::new(stream.try_clone().expect("a copy"));
    // Longer than the server may be silent: it is not its turn.
    stream
        .write_all(b"PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\n")
        .expect("sending");
    for _ in 0..8 {
        std::thread::sleep(Duration::from_millis(400));
        stream.write_all(b"x").expect("sending");
    }
    assert_eq!(Response::read_head(&mut reader).status(), "204");
    assert_eq!(bodies.recv_timeout(PATIENCE).expect("a body"), b"xxxxxxxx");
    let search =
        b"GET /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nquery\r\n0\r\n\r\n";
    stream.write_all(search).expect("sending");
    assert_eq!(Response::read_head(&mut reader).status(), "204");
    assert_eq!(
        bodies.recv_timeout(PATIENCE).expect("a body"),
        b"5\r\nquery\r\n0\r\n\r\n"
    );
    server.stop();
}

#[test]
fn a_server_may_close_the_connections_that_it_was_to_keep() {
    let lab = Lab::new();
    let (told, asked) = channel();
    let address = behind(move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone().expect("a copy"));
        read_request(&mut reader).expect("a request");
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .expect("sending");
        // It takes another, and closes without an answer.
        let another = read_request(&mut reader).map(|request| request.head);
        let _ = told.send(another);
    });
    let server = lab.serve(&[&proxy("/", address)]);
    for _ in 0..3 {
        assert_eq!(lab.get("/x"), b"ok");
    }
    drop(server);
    let another = asked.iter().take(3).flatten().count();
    assert!(another >= 1, "a kept connection was used");
}

#[test]
fn a_server_behind_may_be_known_by_name() {
    let lab = Lab::new();
    let (address, asked) = telling(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nback");
    let by_name = format!("--proxy=/=http://localhost:{}", address.port());
    let server = lab.serve(&[&by_name]);
    for path in ["/one", "/two"] {
        assert_eq!(lab.get(path), b"back");
        let request = asked.recv_timeout(PATIENCE).expect("a request");
        assert_eq!(request.head.split(' ').nth(1), Some(path));
    }
    server.stop();
}

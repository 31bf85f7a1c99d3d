//! What SIGUSR1 makes the server print, and that nobody else takes notice of it.
//! Needs root.

mod lab;

use lab::{Lab, Response, Server, assert_same, noise};
use rustix::process::Signal;
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;

/// More than the buffers of both ends hold, so that it is under way until it is read.
const BODY_BYTES: usize = 24 << 20;

/// How many tables there are in `text`, and the last one, if it is whole.
fn last_table(text: &str) -> (usize, Option<Vec<String>>) {
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let is_head = |line: &&String| line.starts_with("connections: ");
    let tables = lines.iter().filter(is_head).count();
    let whole = lines.iter().rposition(|line| is_head(&line)).map(|at| {
        let table = lines[at..].to_vec();
        let listed = table[0]
            .split(", ")
            .nth(1)
            .and_then(|words| words.split(' ').next());
        let listed: usize = listed.and_then(|count| count.parse().ok()).unwrap_or(0);
        (table.len() > listed).then_some(table)
    });
    (tables, whole.flatten())
}

/// Asks for the connections; what the server prints.
#[track_caller]
fn show(server: &Server) -> Vec<String> {
    let (before, _) = last_table(&server.stdout.text());
    server.signal(Signal::USR1);
    let text = server.stdout.wait_for("the connections", |text| {
        let (tables, whole) = last_table(text);
        tables > before && whole.is_some()
    });
    last_table(&text).1.unwrap_or_default()
}

/// The value of `key:value` in a line.
#[track_caller]
fn word<'a>(line: &'a str, key: &str) -> &'a str {
    let value = |word: &'a str| word.strip_prefix(key)?.strip_prefix(':');
    let mut values = line.split_whitespace().filter_map(value);
    values
        .next()
        .unwrap_or_else(|| panic!("no {key} in {line}"))
}

#[track_caller]
fn number(line: &str, key: &str) -> u64 {
    let value = word(line, key);
    value.parse().unwrap_or_else(|_| panic!("{key}:{value}"))
}

/// A response that goes on, and what was read of its body.
type Begun = (BufReader<TcpStream>, Vec<u8>);

fn begin(lab: &Lab) -> Begun {
    let mut stream = BufReader::new(lab.connect(80));
    stream
        .get_mut()
        .write_all(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .expect("sending");
    assert_eq!(Response::read_head(&mut stream).status(), "200");
    let mut begun = (stream, Vec::new());
    read_more(&mut begun);
    begun
}

fn read_more((stream, body): &mut Begun) {
    let mut part = vec![0; 100_000];
    stream.read_exact(&mut part).expect("more of the body");
    body.extend(part);
}

fn read_all((mut stream, mut body): Begun) -> Vec<u8> {
    stream.read_to_end(&mut body).expect("the whole body");
    body
}

#[test]
fn sigusr1_shows_a_download_and_does_not_disturb_it() {
    let lab = Lab::new();
    let content = noise(81, BODY_BYTES);
    lab.file("large", &content);
    for algorithm in ["cubic", "bbr", "none"] {
        let server = lab.serve(&["--congestion", algorithm]);
        assert_eq!(show(&server), ["connections: none open"]);
        let mut begun = begin(&lab);
        let port = begun.0.get_ref().local_addr().expect("an address").port();
        for _ in 0..20 {
            let mut told = Vec::new();
            // A closed window may have cost it its socket for a moment.
            lab::wait_until("a download in motion", || {
                told = show(&server);
                told[0] == "connections: 1 open, 1 in motion, 0 at rest"
            });
            let (line, peer) = (&told[1], format!("{}:{port}", lab.inner()));
            let words: Vec<&str> = line.split_whitespace().collect();
            assert_eq!((words[0], words[1]), (peer.as_str(), "response"), "{line}");
            assert_eq!(words[2].split('/').next(), Some(algorithm), "{line}");
            assert_eq!(number(line, "mss"), 1_448, "{line}");
            if algorithm == "none" {
                assert_eq!(word(line, "cwnd"), "-", "{line}");
            } else {
                assert!(number(line, "cwnd") >= 1_448, "{line}");
            }
            assert!(word(line, "rtt").ends_with("ms"), "{line}");
            assert!(word(line, "minrtt").ends_with("ms"), "{line}");
            assert!(word(line, "rate").ends_with("bit/s"), "{line}");
            assert!(number(line, "flight") <= BODY_BYTES as u64, "{line}");
            assert!(number(line, "window") <= BODY_BYTES as u64, "{line}");
            assert!(number(line, "segs") > 30, "{line}");
            let repairs = number(line, "repairs");
            assert!(number(line, "spurious") <= repairs, "{line}");
            assert_eq!(number(line, "queue"), 0, "{line}");
            read_more(&mut begun);
        }
        assert_same(&read_all(begun), &content);
        // Its end may still be on the way.
        lab::wait_until("the end of the connection", || {
            show(&server)[0] == "connections: none open"
        });
        server.stop();
    }
}

#[test]
fn connections_at_rest_are_counted() {
    let lab = Lab::new();
    lab.file("small", b"content");
    let server = lab.serve(&[]);
    let mut streams: Vec<_> = (0..5).map(|_| BufReader::new(lab.connect(80))).collect();
    for stream in &mut streams {
        stream
            .get_mut()
            .write_all(b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n")
            .expect("sending");
        assert_eq!(Response::read(stream).body, b"content");
    }
    lab::wait_until("them to come to rest", || {
        show(&server)[0] == "connections: 5 open, 0 in motion, 5 at rest"
    });
    drop(streams);
    lab::wait_until("their end", || show(&server)[0] == "connections: none open");
    server.stop();
}

#[test]
fn sigusr1_while_the_server_ends_changes_nothing() {
    let lab = Lab::new();
    let content = noise(82, BODY_BYTES);
    lab.file("large", &content);
    let mut server = lab.serve(&[]);
    let begun = begin(&lab);
    server.signal(Signal::TERM);
    server.signal(Signal::USR1);
    assert_same(&read_all(begun), &content);
    server.signal(Signal::USR1);
    let status = server.process.end(lab::PATIENCE);
    assert!(status.success(), "{status}: {}", server.stderr.text());
}

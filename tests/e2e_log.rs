//! The access log of a server that runs: what is in it, and that a rotation loses
//! nothing. Needs root.

mod lab;

use lab::{Lab, Server, noise};
use rustix::process::Signal;
use std::fs;
use std::io::Read;
use std::io::Write;
use std::path::Path;

/// More than the buffers of both ends hold.
const LARGE_BYTES: usize = 24 << 20;

fn serve(lab: &Lab, log: &Path, format: &str) -> Server {
    let log = log.to_str().expect("a path in UTF-8");
    lab.serve(&["--access-log", log, "--log-format", format])
}

/// The lines of the log once there are `count` of them.
#[track_caller]
fn lines(log: &Path, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    lab::wait_until("the lines of the log", || {
        let text = fs::read_to_string(log).unwrap_or_default();
        lines = text.lines().map(str::to_owned).collect();
        lines.len() >= count
    });
    assert_eq!(lines.len(), count, "{lines:?}");
    lines
}

/// A line without its time.
fn without_time(line: &str) -> String {
    let (before, rest) = line.split_once(" [").expect("a time");
    let (_, after) = rest.split_once("] ").expect("its end");
    format!("{before} {after}")
}

#[test]
fn each_response_has_its_line() {
    let lab = Lab::new();
    lab.file("small", b"content");
    let log = lab.root().with_extension("access.log");
    let server = serve(&lab, &log, "combined");
    lab.curl(&[
        "-s",
        "-A",
        "an \"agent\"",
        "-e",
        "http://from/",
        &lab.url("/small?x=%20"),
    ]);
    lab.curl(&["-s", "-A", "curl", "-I", &lab.url("/small")]);
    lab.status("/none", &["-A", "curl"]);
    lab.talk(b"\x16\x03\x01nonsense\r\n\r\n");
    let client = lab.inner();
    let page_bytes = {
        let text = without_time(&lines(&log, 4)[2]);
        let bytes = text
            .split(' ')
            .nth(7)
            .and_then(|word| word.parse::<u64>().ok());
        bytes.expect("the length of the page")
    };
    let got: Vec<String> = lines(&log, 4)
        .iter()
        .map(|line| without_time(line))
        .collect();
    assert_eq!(
        got[..3],
        [
            format!(
                "{client} - - \"GET /small?x=%20 HTTP/1.1\" 200 7 \"http://from/\" \"an \\x22agent\\x22\""
            ),
            format!("{client} - - \"HEAD /small HTTP/1.1\" 200 - \"-\" \"curl\""),
            format!("{client} - - \"GET /none HTTP/1.1\" 404 {page_bytes} \"-\" \"curl\""),
        ]
    );
    assert!(page_bytes > 50);
    let start = format!("{client} - - \"\\x16\\x03\\x01");
    assert!(
        got[3].starts_with(&start) && got[3].contains("\" 400 "),
        "{}",
        got[3]
    );
    server.stop();
    assert_eq!(lines(&log, 4).len(), 4, "an end writes nothing twice");
    fs::remove_file(&log).expect("the log is ours");
}

#[test]
fn json_has_connection_and_request_and_what_was_broken_off() {
    let lab = Lab::new();
    lab.file("a", b"12345");
    lab.file("large", &noise(91, LARGE_BYTES));
    let log = lab.root().with_extension("json.log");
    let server = serve(&lab, &log, "json");
    lab.talk(
        b"GET /a HTTP/1.1\r\nHost: one\r\n\r\nGET /a HTTP/1.1\r\nHost: one\r\nConnection: close\r\n\r\n",
    );
    let two = lines(&log, 2);
    for (line, number) in two.iter().zip([1, 2]) {
        for part in [
            format!("\"remote\":\"{}\",", lab.inner()),
            "\"host\":\"one\",\"method\":\"GET\",\"target\":\"/a\",\"protocol\":\"HTTP/1.1\","
                .into(),
            "\"status\":200,\"bytes\":5,".into(),
            format!("\"request\":{number},\"aborted\":false}}"),
        ] {
            assert!(line.contains(&part), "{part} in {line}");
        }
    }
    let connection = |line: &str| {
        let (_, rest) = line.split_once("\"connection\":").expect("a connection");
        rest.split_once(',').map(|(number, _)| number.to_owned())
    };
    assert_eq!(connection(&two[0]), connection(&two[1]));
    // A client that goes away in the middle.
    let mut stream = lab.connect(80);
    stream
        .write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("sending");
    let mut part = vec![0; 100_000];
    stream.read_exact(&mut part).expect("a part of the body");
    drop(stream);
    let last = &lines(&log, 3)[2];
    assert!(last.ends_with("\"request\":1,\"aborted\":true}"), "{last}");
    assert_ne!(connection(last), connection(&two[0]));
    server.stop();
    fs::remove_file(&log).expect("the log is ours");
}

#[test]
fn a_rotation_loses_nothing() {
    let lab = Lab::new();
    lab.file("a", b"12345");
    let log = lab.root().with_extension("rotated.log");
    let moved = lab.root().with_extension("rotated.log.1");
    let server = serve(&lab, &log, "common");
    lab.get("/a");
    lines(&log, 1);
    fs::rename(&log, &moved).expect("moving the log");
    lab.get("/a");
    assert_eq!(lines(&moved, 2).len(), 2, "the old file is written on");
    server.signal(Signal::HUP);
    lab::wait_until("the new log", || log.exists());
    lab.get("/a");
    lines(&log, 1);
    assert_eq!(lines(&moved, 2).len(), 2);
    server.stop();
    for path in [log, moved] {
        fs::remove_file(path).expect("the log is ours");
    }
}

#[test]
fn what_could_not_be_written_is_counted() {
    let lab = Lab::new();
    lab.file("a", b"12345");
    let server = lab.serve(&["--access-log", "/dev/full", "--stats", "0.2"]);
    for _ in 0..3 {
        assert_eq!(lab.get("/a"), b"12345");
    }
    let lost = "lines of the access log lost 3";
    server.stdout.wait_for(lost, |text| text.contains(lost));
    server.stop();
}

#[test]
fn without_a_log_a_hangup_is_the_end() {
    let lab = Lab::new();
    let mut server = lab.serve(&[]);
    server.signal(Signal::HUP);
    lab::wait_until("the end", || server.process.has_ended());
    lab::wait_until("a free device", || !lab.has_xdp());
}

#[test]
fn a_log_that_cannot_be_opened_is_an_error_of_one_line() {
    let lab = Lab::new();
    let mut server = lab.launch(&["--access-log", "/nonexistent/log"]);
    lab::wait_until("the end", || server.process.has_ended());
    let text = server.stderr.text();
    let want =
        "cannot open the access log /nonexistent/log: No such file or directory (os error 2)";
    assert!(text.contains(want), "{text}");
    assert!(!lab.has_xdp());
}

#[test]
fn stdout_takes_it_too() {
    let lab = Lab::new();
    lab.file("a", b"12345");
    let server = lab.serve(&["--access-log", "-", "--log-format", "common"]);
    lab.get("/a");
    let text = server.stdout.wait_for("the line", |text| {
        text.contains("\"GET /a HTTP/1.1\" 200 5")
    });
    assert_eq!(text.matches("GET /a").count(), 1);
    server.stop();
}

//! The end of the server: signals, downloads under way, and what is left
//! attached. Needs root.

mod lab;

use lab::{Lab, PATIENCE, Response, Running, Server, assert_same, ip, noise, wait_until};
use rustix::process::Signal;
use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long the server lets downloads go on after it was told to end.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// curl at a limited rate, under way.
struct Download {
    curl: Running,
    path: PathBuf,
    _directory: TempDir,
}

impl Download {
    /// Begins, and returns when the first bytes are there.
    fn begin(lab: &Lab, path: &str, rate: &str) -> Download {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let target = directory.path().join("download");
        let mut command = lab.command("curl");
        command
            .args(["-sS", "-N", "-m", "40", "--limit-rate", rate, "-o"])
            .arg(&target);
        command.arg(lab.url(path)).stderr(Stdio::null());
        let curl = Running::start(&mut command);
        let download = Download {
            curl,
            path: target,
            _directory: directory,
        };
        wait_until("the first bytes", || download.bytes() > 0);
        download
    }

    fn bytes(&self) -> u64 {
        self.path.metadata().map_or(0, |file| file.len())
    }
}

/// A signal while a download runs: it is finished, and nothing stays attached.
fn ends_in_good_order_on(signal: Signal) {
    let lab = Lab::new();
    let content = noise(41, 24 << 20);
    lab.file("large", &content);
    let mut server = lab.serve(&[]);
    let mut download = Download::begin(&lab, "/large", "12M");
    server.signal(signal);
    assert!(
        download.bytes() < content.len() as u64,
        "the signal comes in time"
    );
    // No new connections meanwhile: refused, not ignored.
    let refused = lab.exec(&["curl", "-sS", "-m", "5", &lab.url("/large")]);
    assert_eq!(refused.status.code(), Some(7), "curl is refused");
    assert!(
        download.curl.end(PATIENCE).success(),
        "the download ends well"
    );
    assert_same(
        &std::fs::read(&download.path).expect("the download"),
        &content,
    );
    assert_ended_well(&mut server, PATIENCE);
    assert!(!lab.has_xdp(), "the program is detached");
}

#[track_caller]
fn assert_ended_well(server: &mut Server, patience: Duration) {
    let status = server.process.end(patience);
    assert_eq!(
        status.code(),
        Some(0),
        "{status}; stderr:\n{}",
        server.stderr.text()
    );
}

#[test]
fn sigterm_lets_a_download_finish() {
    ends_in_good_order_on(Signal::TERM);
}

#[test]
fn sigint_lets_a_download_finish() {
    ends_in_good_order_on(Signal::INT);
}

/// Reads on at some 500 kB/s until the server has ended, then all that is left;
/// fails unless a reset says that the download is incomplete.
fn read_until_cut(mut stream: TcpStream, server: &mut Server, length: usize) {
    let mut buffer = vec![0; 10_000];
    let mut got = 0;
    while !server.process.has_ended() {
        got += stream.read(&mut buffer).unwrap_or(0);
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut rest = Vec::new();
    let end = stream.read_to_end(&mut rest);
    got += rest.len();
    assert!(got < length, "{got} bytes are not fewer than {length}");
    let end = end.expect_err("not an orderly end").kind();
    assert_eq!(end, ErrorKind::ConnectionReset, "after {got} bytes");
}

/// A download of `length` bytes by a slow reader.
fn slow_download(lab: &Lab, length: usize) -> TcpStream {
    lab.file("large", &noise(42, length));
    let mut stream = lab.connect(80);
    stream
        .write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("sending");
    stream
        .read_exact(&mut [0; 1000])
        .expect("the beginning of a response");
    stream
}

#[test]
fn a_download_that_takes_too_long_is_cut() {
    let lab = Lab::new();
    let mut server = lab.serve(&[]);
    let stream = slow_download(&lab, 64 << 20);
    let told = Instant::now();
    server.signal(Signal::TERM);
    read_until_cut(stream, &mut server, 64 << 20);
    assert_ended_well(&mut server, PATIENCE);
    let took = told.elapsed();
    assert!(took > DRAIN_LIMIT - Duration::from_secs(1), "{took:?}");
    assert!(took < DRAIN_LIMIT + Duration::from_secs(3), "{took:?}");
    assert!(!lab.has_xdp(), "the program is detached");
}

#[test]
fn a_second_signal_cuts_a_download_at_once() {
    let lab = Lab::new();
    let mut server = lab.serve(&[]);
    let stream = slow_download(&lab, 64 << 20);
    let told = Instant::now();
    server.signal(Signal::TERM);
    // Refused means that the first signal has been taken.
    wait_until("the first signal to be taken", || {
        !lab.exec(&["curl", "-sS", "-m", "1", "-I", &lab.url("/large")])
            .status
            .success()
    });
    server.signal(Signal::INT);
    read_until_cut(stream, &mut server, 64 << 20);
    assert_ended_well(&mut server, PATIENCE);
    assert!(
        told.elapsed() < DRAIN_LIMIT - Duration::from_secs(1),
        "{:?}",
        told.elapsed()
    );
    assert!(!lab.has_xdp(), "the program is detached");
}

/// Idle clients of two kinds: one closes when the server does, the other does
/// not look.
#[test]
fn idle_connections_do_not_hold_the_end_up() {
    let lab = Lab::new();
    lab.file("file", b"content");
    let mut server = lab.serve(&[]);
    let mut connections: Vec<_> = (0..20).map(|_| BufReader::new(lab.connect(80))).collect();
    for stream in connections.iter_mut().take(15) {
        stream
            .get_mut()
            .write_all(b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n")
            .expect("sending");
        assert_eq!(Response::read(stream).body, b"content");
    }
    server.signal(Signal::TERM);
    assert_ended_well(&mut server, DRAIN_LIMIT - Duration::from_secs(2));
    for stream in &mut connections {
        assert_eq!(stream.read(&mut [0]).expect("an orderly end"), 0);
    }
    assert!(!lab.has_xdp(), "the program is detached");
}

#[test]
fn sigkill_leaves_nothing_attached_and_the_next_server_starts() {
    let lab = Lab::new();
    let content = noise(44, 300_000);
    lab.file("file", &content);
    for _ in 0..2 {
        let mut server = lab.serve(&[]);
        assert!(lab.has_xdp(), "the program is attached");
        assert_same(&lab.get("/file"), &content);
        server.signal(Signal::KILL);
        assert!(!server.process.end(PATIENCE).success());
        wait_until("the kernel to detach the program", || !lab.has_xdp());
    }
}

/// Starts the server, which must give up with this line.
#[track_caller]
fn assert_gives_up(lab: &Lab, flags: &[&str], line: &str) {
    let mut server = lab.launch(flags);
    assert_eq!(server.process.end(PATIENCE).code(), Some(1), "{flags:?}");
    server
        .stderr
        .wait_for(line, |text| text.lines().any(|said| said == line));
    assert_eq!(server.stdout.text(), "", "never ready");
}

#[test]
fn a_device_that_cannot_be_served_is_refused_in_one_line() {
    let lab = Lab::new();
    let name = &lab.name;
    ip(&format!("addr flush dev {name}"));
    let address = format!(
        "xdphttpd: {name} has no IPv4 address; give it one (ip address add ADDRESS/BITS dev \
         {name}) or serve any address with --any-address"
    );
    assert_gives_up(&lab, &[], &address);
    ip(&format!("link set {name} down"));
    let down = format!("xdphttpd: {name} is down; bring it up: ip link set dev {name} up");
    assert_gives_up(&lab, &[], &down);
    assert!(!lab.has_xdp(), "nothing stays attached");
}

#[test]
fn a_second_server_does_not_disturb_the_first() {
    let lab = Lab::new();
    let content = noise(45, 300_000);
    lab.file("file", &content);
    let first = lab.serve(&[]);
    let mut second = lab.launch(&[]);
    assert_eq!(second.process.end(PATIENCE).code(), Some(1));
    let said = second
        .stderr
        .wait_for("the reason", |text| text.contains("xdphttpd: "));
    assert!(said.contains(&lab.name), "{said}");
    assert_eq!(second.stdout.text(), "", "never ready");
    assert_same(&lab.get("/file"), &content);
    first.stop();
}

#[test]
fn a_link_that_goes_down_and_up_is_served_again() {
    let lab = Lab::new();
    let content = noise(46, 8 << 20);
    lab.file("large", &content);
    let server = lab.serve(&[]);
    let mut download = Download::begin(&lab, "/large", "8M");
    for (scope, dev) in [
        (String::new(), lab.name.as_str()),
        (format!("-n {} ", lab.name), lab::INNER),
    ] {
        ip(&format!("{scope}link set {dev} down"));
        ip(&format!("{scope}link set {dev} up"));
        let reachable = || {
            lab.exec(&["ping", "-c", "1", "-W", "1", &lab.outer()])
                .status
                .success()
        };
        wait_until("the link to work again", reachable);
        assert_same(&lab.get("/large"), &content);
    }
    assert!(
        download.curl.end(Duration::from_secs(30)).success(),
        "the download survives"
    );
    assert_same(
        &std::fs::read(&download.path).expect("the download"),
        &content,
    );
    server.stop();
}

#[test]
fn a_device_that_is_deleted_ends_the_server_with_a_reason() {
    let lab = Lab::new();
    let mut server = lab.serve(&[]);
    ip(&format!("link del {}", lab.name));
    assert_eq!(server.process.end(PATIENCE).code(), Some(1));
    let want = format!("xdphttpd: {} is gone: the device was deleted\n", lab.name);
    server
        .stderr
        .wait_for("the reason", |text| text.ends_with(&want));
}

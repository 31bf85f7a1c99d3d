//! More comes, or more is to be sent, than the rings hold: it is lost or it waits, and TCP makes
//! it good.

mod lab;
mod refusal;

use lab::{Lab, PATIENCE, Running, Server, assert_same, noise, text, wait_at_most};
use rustix::process::Signal;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Stray segments, all the same, from an AF_PACKET socket: device, MAC, destination, number.
const STRAYS: &str = r#"
import socket, struct, sys
device, mac, to, count = sys.argv[1], bytes.fromhex(sys.argv[2].replace(":", "")), sys.argv[3], int(sys.argv[4])
def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
source, to = socket.inet_aton("10.77.255.9"), socket.inet_aton(to)
tcp = lambda sum: struct.pack("!HHLLBBHHH", 4000, 80, 1, 1, 0x50, 0x10, 1000, sum, 0)
tcp = tcp(checksum(source + to + struct.pack("!HH", 6, 20) + tcp(0)))
ip = lambda sum: struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 7, 0, 64, 6, sum, source, to)
sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sender.bind((device, 0))
frame = mac + bytes(6) + b"\x08\x00" + ip(checksum(ip(0))) + tcp
for _ in range(count):
    sender.send(frame)
"#;

/// Frames enough to fill the rings of one socket twice.
const STRAY_FRAMES: &str = "5000";

#[test]
fn what_a_frozen_server_lost_is_made_good() {
    const CLIENTS: usize = 300;
    let lab = Lab::new();
    let content = noise(9, 100_000);
    lab.file("noise", &content);
    let server = lab.serve(&["--stats", "0.2"]);
    let link = lab::ip(&format!("-j link show dev {}", lab.name));
    let (_, mac) = link.split_once("\"address\":\"").expect("an address");
    let (mac, _) = mac.split_once('"').expect("its end");

    server.signal(Signal::STOP);
    lab.run(&[
        "python3",
        "-c",
        STRAYS,
        lab::INNER,
        mac,
        &lab.outer(),
        STRAY_FRAMES,
    ]);
    let each = format!(
        "for i in $(seq {CLIENTS}); do curl -sS -m 40 -o {root}/got.$i {url} & all=\"$all $!\"; done; \
         for pid in $all; do wait $pid || exit; done",
        root = lab.root().display(),
        url = lab.url("/noise"),
    );
    let mut clients = lab.command("sh");
    let mut clients = Running::start(clients.args(["-c", &each]).stdin(Stdio::null()));
    wait_at_most(Duration::from_secs(30), "all clients to knock", || {
        let waiting = text(lab.run(&["ss", "-Htn", "state", "syn-sent"]));
        waiting.lines().count() == CLIENTS
    });
    server.signal(Signal::CONT);

    let status = clients.end(Duration::from_secs(60));
    assert!(status.success(), "a curl failed: {status}");
    for client in 1..=CLIENTS {
        let got = std::fs::read(lab.root().join(format!("got.{client}")));
        assert_same(&got.expect("what was downloaded"), &content);
    }
    // Both what did not fit and what did not belong.
    server.stdout.wait_for("the losses to be counted", |text| {
        text.contains("reset for stray ")
            && (text.contains("fill ring empty ") || text.contains("RX ring full "))
    });
    server.stop();
}

/// Readers that take 16 KiB at a time in turn, with a small window, and compare all of it with a
/// file: address, path, file, number of connections.
const SLOW_READERS: &str = r#"
import socket, sys, time
address, path, want, count = sys.argv[1], sys.argv[2], open(sys.argv[3], "rb").read(), int(sys.argv[4])
readers = {}
for _ in range(count):
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    reader.settimeout(30)
    reader.connect((address, 80))
    reader.sendall(b"GET %s HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n" % path.encode())
    readers[reader] = bytearray()
open_readers = list(readers)
while open_readers:
    for reader in list(open_readers):
        got = reader.recv(16384)
        readers[reader] += got
        if not got:
            open_readers.remove(reader)
    time.sleep(0.005)
for response in readers.values():
    head, _, body = response.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    assert body == want, (len(body), len(want))
"#;

#[test]
fn many_downloads_at_once_wait_for_the_tx_ring() {
    const FAST: usize = 160;
    const SLOW: &str = "40";
    let lab = Lab::new();
    let content = noise(10, 1 << 20);
    let file = lab.file("noise", &content);
    let server = lab.serve(&[]);

    let mut slow = lab.command("python3");
    slow.args(["-c", SLOW_READERS, &lab.outer(), "/noise"])
        .arg(&file)
        .arg(SLOW);
    let mut slow = Running::start(slow.stdin(Stdio::null()));
    let mut fast = lab.command("curl");
    fast.args([
        "-sS",
        "-m",
        "50",
        "--no-progress-meter",
        "-Z",
        "--parallel-immediate",
        "--parallel-max",
        "160",
        "-o",
    ]);
    fast.arg(lab.root().join("got.#1"))
        .arg(lab.url(&format!("/noise?[1-{FAST}]")));
    let mut fast = Running::start(fast.stdin(Stdio::null()));

    let status = fast.end(Duration::from_secs(60));
    assert!(status.success(), "curl: {status}");
    for download in 1..=FAST {
        let got = std::fs::read(lab.root().join(format!("got.{download}")));
        assert_same(&got.expect("what was downloaded"), &content);
    }
    let status = slow.end(Duration::from_secs(60));
    assert!(status.success(), "the slow readers: {status}");
    assert_same(&lab.get("/noise"), &content);
    server.stop();
}

/// Downloads a hundred files, each of which has to be held open meanwhile, at once from a server
/// with the limits on open files that `nofile` says. All that come must be whole; how many came,
/// and how many were refused.
fn downloads_of_open_files(nofile: &str) -> (usize, usize) {
    const FILES: usize = 100;
    let lab = Lab::new();
    lab.file("index.html", b"served in the end");
    // Above what is kept in memory, and what is read ahead.
    let content = |file: usize| noise(file as u64, 400_000);
    for file in 1..=FILES {
        lab.file(&format!("file.{file}"), &content(file));
    }
    let mut server = Server::start(refusal::command(
        &lab,
        &["prlimit", nofile],
        &["--stats", "1"],
    ));
    server
        .stdout
        .wait_for("the ready line", |text| text.contains("ready"));

    let mut curl = lab.command("curl");
    curl.args([
        "-sS",
        "-m",
        "50",
        "--no-progress-meter",
        "-Z",
        "--parallel-immediate",
    ]);
    curl.args(["--parallel-max", "100", "--limit-rate", "400k", "-o"]);
    curl.arg(lab.root().join("got.#1"))
        .args(["-w", "%{http_code} %{filename_effective}\n"]);
    curl.arg(lab.url(&format!("/file.[1-{FILES}]")));
    let output = curl
        .stdin(Stdio::null())
        .output()
        .expect("curl is installed");
    assert!(output.status.success(), "{}", text(output.stderr));
    let (mut whole, mut refused) = (0, 0);
    for line in text(output.stdout).lines() {
        let (code, path) = line.split_once(' ').expect("a code and a name");
        match code {
            "200" => {
                let file = path
                    .rsplit('.')
                    .next()
                    .and_then(|number| number.parse().ok());
                let got = std::fs::read(path).expect("what was downloaded");
                assert_same(&got, &content(file.expect("a number")));
                whole += 1;
            }
            "500" => refused += 1,
            _ => panic!("{line}"),
        }
    }
    assert_eq!(whole + refused, FILES);
    assert!(!server.process.has_ended(), "{}", server.stderr.text());
    wait_at_most(PATIENCE, "the server to recover", || {
        lab.status("/", &[]) == "200"
    });
    assert_eq!(lab.get("/"), b"served in the end");
    for file in 1..=FILES {
        wait_at_most(PATIENCE, "one file after the other", || {
            let got = lab.get(&format!("/file.{file}"));
            got == content(file)
        });
    }
    server.stop();
    (whole, refused)
}

#[test]
fn a_server_out_of_descriptors_says_so_and_recovers() {
    let (whole, refused) = downloads_of_open_files("--nofile=40:40");
    assert!(whole > 0 && refused > 0, "{whole} whole, {refused} refused");
}

#[test]
fn a_soft_limit_on_open_files_is_raised() {
    assert_eq!(downloads_of_open_files("--nofile=40:4000"), (100, 0));
}

#[test]
fn without_a_descriptor_left_the_server_reports_and_goes_on() {
    let lab = Lab::new();
    lab.file("index.html", b"in the end");
    let mut server = lab.serve(&["--stats", "1"]);
    let pid = server.process.0.id();
    let limit = |most: usize| {
        let limits = format!("--nofile={most}:4000");
        let status = Command::new("prlimit")
            .args(["--pid", &pid.to_string(), &limits])
            .status();
        assert!(status.expect("prlimit is installed").success());
    };
    // The limit is above the highest number, and the next to be used is the lowest free one.
    let in_use =
        |number: &usize| std::fs::symlink_metadata(format!("/proc/{pid}/fd/{number}")).is_ok();
    limit((0..).take_while(in_use).count());
    assert_eq!(lab.status("/", &[]), "500");
    server.stdout.wait_for("a report", |text| {
        text.contains("stats 1.") && text.contains("tx: ")
    });
    assert!(!server.process.has_ended(), "{}", server.stderr.text());
    limit(4000);
    wait_at_most(PATIENCE, "the server to recover", || {
        lab.status("/", &[]) == "200"
    });
    assert_eq!(lab.get("/"), b"in the end");
    server.stop();
}

//! Several RX queues: each is served, by a worker of its own or by one for several, and what
//! changes between them arrives. Needs root.

mod lab;

use lab::{INNER, Lab, PATIENCE, Response, Server, assert_same, noise};
use rustix::process::{Signal, kill_process};
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

/// So many that each of four queues meets one: 4 × (3/4)^96 are 4 in a billion billions.
const CONNECTIONS: usize = 96;
const SMALL_BYTES: usize = 700;
const LARGE_BYTES: usize = 200_000;

/// Queues, and whether all of them have one worker.
const SHAPES: [(u32, bool); 4] = [(2, true), (2, false), (4, true), (4, false)];

/// Flags that have one worker, or as many as there are processors.
fn flags(one_worker: bool) -> Vec<String> {
    let mut flags = vec!["--stats".to_owned(), "0.2".to_owned()];
    if one_worker {
        flags.extend(["--cores".to_owned(), processors()[0].to_string()]);
    }
    flags
}

/// Those that this process may use.
fn processors() -> Vec<usize> {
    xdphttpd::fleet::cores(&[], usize::MAX).expect("some processor")
}

fn serve(lab: &Lab, one_worker: bool) -> Server {
    let flags = flags(one_worker);
    lab.serve(&flags.iter().map(String::as_str).collect::<Vec<_>>())
}

/// What `--stats` says of a queue.
#[derive(Debug, PartialEq)]
struct Figures {
    queue: u32,
    accepted: u64,
    packets: u64,
}

/// The queues of the last whole report.
fn figures(text: &str) -> Vec<Figures> {
    let report = text.rfind("stats ").map_or("", |at| &text[at..]);
    let figures = |line: &str| {
        let (queue, rest) = line.trim().strip_prefix("queue ")?.split_once(": ")?;
        let (accepted, rest) = rest.split_once(" accepted, rx ")?;
        Some(Figures {
            queue: queue.parse().ok()?,
            accepted: accepted.parse().ok()?,
            packets: rest.split_once(' ')?.0.parse().ok()?,
        })
    };
    report.lines().filter_map(figures).collect()
}

/// Waits for a report of so many queues that have accepted so many connections between
/// them, with so many requests in all.
#[track_caller]
fn accepted(server: &Server, queues: u32, connections: usize, requests: usize) -> Vec<Figures> {
    let is_it = |text: &str| {
        let report = text.rfind("stats ").map_or("", |at| &text[at..]);
        let figures = figures(text);
        report.contains(&format!(", {requests} request"))
            && figures.len() == queues as usize
            && figures.iter().map(|f| f.accepted).sum::<u64>() == connections as u64
    };
    let text = server.stdout.wait_for("such a report", is_it);
    figures(&text)
}

/// Asks over a connection that stays open.
fn get(stream: &mut BufReader<TcpStream>, path: &str) -> Response {
    let request = format!("GET {path} HTTP/1.1\r\nHost: lab\r\n\r\n");
    stream
        .get_mut()
        .write_all(request.as_bytes())
        .expect("a request sent");
    Response::read(stream)
}

#[test]
fn every_queue_is_served() {
    for (queues, one_worker) in SHAPES {
        let lab = Lab::with_queues(queues);
        let (small, large) = (noise(1, SMALL_BYTES), noise(2, LARGE_BYTES));
        lab.file("small", &small);
        lab.file("large", &large);
        let server = serve(&lab, one_worker);
        let workers = if one_worker { 1 } else { processors().len() };
        let ready = server.stdout.text();
        let want = match workers {
            1 => format!(", {queues} queues by 1 worker, "),
            workers if workers < queues as usize => {
                format!(", {queues} queues by {workers} workers, ")
            }
            _ => format!(", {queues} queues, "),
        };
        assert!(ready.contains(&want), "{ready}");

        // All open at the same time; which queue one meets is its client's choice.
        let mut streams: Vec<_> = (0..CONNECTIONS)
            .map(|_| BufReader::new(lab.connect(80)))
            .collect();
        for path in ["/small", "/large", "/small"] {
            let want = if path == "/large" { &large } else { &small };
            for stream in &mut streams {
                assert_same(&get(stream, path).body, want);
            }
        }
        let figures = accepted(&server, queues, CONNECTIONS, 3 * CONNECTIONS);
        let numbers: Vec<u32> = figures.iter().map(|figures| figures.queue).collect();
        assert_eq!(numbers, (0..queues).collect::<Vec<_>>(), "{figures:?}");
        for of in &figures {
            // Its handshakes ended there, and the requests of these came there.
            assert!(of.accepted > 0, "{figures:?}");
            assert!(of.packets > 4 * of.accepted, "{figures:?}");
        }
        drop(streams);
        server.stop();
        assert!(!lab.has_xdp());
    }
}

#[test]
fn a_client_of_one_queue_meets_that_queue_alone() {
    for (queues, one_worker) in SHAPES {
        let lab = Lab::with_queues(queues);
        let body = noise(3, LARGE_BYTES);
        lab.file("file", &body);
        let server = serve(&lab, one_worker);
        for queue in 0..queues {
            steer(&lab, queues, queue);
            let so_far = queue as usize;
            let before = accepted(&server, queues, so_far, so_far);
            assert_same(&lab.get("/file"), &body);
            let after = accepted(&server, queues, so_far + 1, so_far + 1);
            for (before, after) in before.iter().zip(&after) {
                let added = u64::from(after.queue == queue);
                assert_eq!(after.accepted - before.accepted, added, "{after:?}");
                // Of the one before, at most what ends its connection.
                let packets = after.packets - before.packets;
                assert_eq!(packets > 3, added == 1, "{packets} more: {after:?}");
            }
        }
        server.stop();
    }
}

/// Every processor of the client sends through this one of its queues (XPS).
fn steer(lab: &Lab, queues: u32, to: u32) {
    let all = all_processors();
    let mask = |queue| if queue == to { all.as_str() } else { "0" };
    let dir = format!("/sys/class/net/{INNER}/queues");
    let write = |queue| format!("echo {} > {dir}/tx-{queue}/xps_cpus", mask(queue));
    let commands: Vec<String> = (0..queues).map(write).collect();
    lab.run(&["sh", "-ec", &commands.join("\n")]);
}

/// The mask of all processors there can be (32 at most); the kernel takes no larger one.
fn all_processors() -> String {
    let list = std::fs::read_to_string("/sys/devices/system/cpu/possible").expect("sysfs");
    let last = list.trim().rsplit(['-', ',']).next().unwrap_or_default();
    let last: u32 = last.parse().expect("a number");
    format!("{:x}", u32::MAX >> 31_u32.saturating_sub(last))
}

/// A client of raw frames, from an address that nobody else answers for: device, MAC and
/// address of the server, address of the client, the mask of all processors, how many queues, then the queue of each of
/// the SYN, the ACK, the two halves of the request, and of all that follows.
const WANDERER: &str = r#"
import socket, struct, sys
device, mac, to, source = sys.argv[1], bytes.fromhex(sys.argv[2].replace(":", "")), *map(socket.inet_aton, sys.argv[3:5])
mask, queues, plan = sys.argv[5], int(sys.argv[6]), list(map(int, sys.argv[7:]))
def steer(queue):
    for other in range(queues):
        with open(f"/sys/class/net/{device}/queues/tx-{other}/xps_cpus", "w") as cpus:
            cpus.write(mask if other == queue else "0")
def checksum(data):
    total = sum(struct.unpack(f"!{len(data + data[:len(data) % 2]) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
link.bind((device, 0x0800))
link.settimeout(10)
port, seq, ack = 40000, 1000, 0
SYN, FIN, ACK, PSH = 2, 1, 16, 8
def send(queue, flags, data=b""):
    global seq
    steer(queue)
    tcp = lambda sum: struct.pack("!HHLLBBHHH", port, 80, seq, ack, 0x50, flags, 60000, sum, 0)
    pseudo = source + to + struct.pack("!HH", 6, 20 + len(data))
    tcp = tcp(checksum(pseudo + tcp(0) + data)) + data
    ip = lambda sum: struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 7, 0, 64, 6, sum, source, to)
    link.send(mac + b"\2\0\0\0\0\7" + b"\x08\x00" + ip(checksum(ip(0))) + tcp)
    seq += len(data) + (flags & (SYN | FIN) != 0)
def receive():
    while True:
        frame = link.recv(65535)
        packet = frame[14:]
        if packet[12:20] == to + source:
            length, = struct.unpack("!H", packet[2:4])
            segment = packet[20:length]
            _, dport, number, _, offset, flags = struct.unpack("!HHLLBB", segment[:14])
            if dport == port:
                assert not flags & 4, "reset"
                return number, flags, segment[offset >> 4 << 2:]
send(plan[0], SYN)
number, flags, _ = receive()
assert flags == SYN | ACK, flags
ack = number + 1
send(plan[1], ACK)
request = b"GET /file HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n"
send(plan[2], ACK | PSH, request[:20])
send(plan[3], ACK | PSH, request[20:])
answer, ended = b"", False
while not ended:
    number, flags, data = receive()
    if number == ack:
        answer += data
        ended = bool(flags & FIN)
        ack += len(data) + ended
    send(plan[4], ACK)
send(plan[4], FIN | ACK)
sys.stdout.buffer.write(answer)
"#;

#[test]
fn a_connection_wanders_from_its_handshake_on() {
    for (queues, one_worker) in SHAPES {
        let lab = Lab::with_queues(queues);
        let body = noise(4, 5_000);
        lab.file("file", &body);
        let server = serve(&lab, one_worker);
        let link = lab::ip(&format!("-j link show dev {}", lab.name));
        let (_, mac) = link.split_once("\"address\":\"").expect("an address");
        let (mac, _) = mac.split_once('"').expect("its end");
        let last = queues - 1;
        for (host, plan) in [
            [0, last, 0, last, 0],
            [last, 0, 0, last, last],
            [0, 0, last, 0, last],
            [last, last, 1, 0, 1],
        ]
        .iter()
        .enumerate()
        {
            let client = format!("10.77.{}.{}", lab.number, 100 + host);
            let mut words = ["python3", "-c", WANDERER, INNER, mac, &lab.outer(), &client]
                .map(str::to_owned)
                .to_vec();
            words.extend([all_processors(), queues.to_string()]);
            words.extend(plan.iter().map(u32::to_string));
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let answer = lab.run(&words);
            let mut answer = BufReader::new(&answer[..]);
            assert_same(&Response::read(&mut answer).body, &body);
        }
        let want = " 4 requests, 0 connections (4 accepted, 4 closed)";
        let text = server
            .stdout
            .wait_for("four of them", |text| text.contains(want));
        // Between the queues of one worker nothing needs to be passed on.
        let is_relayed = text.contains("came to another queue ");
        assert_eq!(is_relayed, !one_worker && processors().len() > 1, "{text}");
        assert!(!text.contains("reset"), "{text}");
        server.stop();
    }
}

#[test]
fn a_worker_of_several_queues_drains_and_lists() {
    let lab = Lab::with_queues(2);
    let body = noise(5, 20 << 20);
    lab.file("file", &body);
    let server = serve(&lab, true);
    let mut streams: Vec<_> = (0..2)
        .map(|queue| {
            steer(&lab, 2, queue);
            let mut stream = BufReader::new(lab.connect(80));
            let request = b"GET /file HTTP/1.1\r\nHost: lab\r\n\r\n";
            stream.get_mut().write_all(request).expect("a request sent");
            stream
        })
        .collect();
    accepted(&server, 2, 2, 2);
    server.signal(Signal::USR1);
    let text = server.stdout.wait_for("the connections", |text| {
        text.matches(" queue:0,1\n").count() == 2
    });
    assert!(text.contains("connections: 2 open, 2 in motion"), "{text}");
    // Told to end, it finishes both.
    kill_process(server.process.pid(), Signal::TERM).expect("it runs");
    std::thread::sleep(Duration::from_millis(100));
    for stream in &mut streams {
        assert_same(&Response::read(stream).body, &body);
    }
    drop(streams);
    let mut server = server;
    assert!(server.process.end(PATIENCE).success());
    assert!(!lab.has_xdp());
}

/// Some devices receive by more queues than they send by.
#[test]
fn queues_that_only_receive_are_served_by_a_worker_that_can_send() {
    let lab = Lab::with_queues(2);
    let body = noise(6, LARGE_BYTES);
    lab.file("file", &body);
    let set = std::process::Command::new("ethtool")
        .args(["-L", &lab.name, "rx", "2", "tx", "1"])
        .output()
        .expect("ethtool runs");
    assert!(set.status.success(), "{set:?}");
    let server = serve(&lab, false);
    let ready = server.stdout.text();
    assert!(ready.contains(", 2 queues by 1 worker, "), "{ready}");
    for queue in 0..2 {
        steer(&lab, 2, queue);
        assert_same(&lab.get("/file"), &body);
    }
    for of in accepted(&server, 2, 2, 2) {
        assert_eq!(of.accepted, 1, "{of:?}");
    }
    server.stop();

    let mut refused = lab.launch(&["-Q", "1"]);
    assert_eq!(refused.process.end(PATIENCE).code(), Some(1));
    let want = format!(
        "xdphttpd: -Q 1: {} has TX queue 0 only, so nothing could be sent there; leave -Q away\n",
        lab.name
    );
    refused
        .stderr
        .wait_for("the reason", |text| text.ends_with(&want));
    assert!(!lab.has_xdp());
}

//! Nonsense, in frames and in streams: nobody is answered wrongly for it, nothing is lost or
//! leaked, and the next request is served.

mod lab;

use lab::{INNER, Lab, Server, assert_same, ip, noise};
use std::path::PathBuf;

/// What the server may grow by: some hundred connections that garbage has opened hold buffers until
/// they time out.
const GROWTH_KIB: u64 = 64 << 10;

/// Sends mutations of valid frames to port 80, some with the checksums made right again (of IP alone, or of TCP too): device,
/// destination MAC, destination address, seed, number. Prints how many had both right.
const MUTANTS: &str = r#"
import random, socket, struct, sys
device, mac, to, seed, count = sys.argv[1], bytes.fromhex(sys.argv[2].replace(":", "")), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
random.seed(seed)
to = socket.inet_aton(to)
def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
def packet():
    # Few clients and ports, so that segments meet connections of earlier ones.
    source = to[:3] + bytes([random.randrange(10, 14)])
    flags = random.choice((0x02, 0x02, 0x10, 0x18, 0x11, 0x04, 0x12, 0x29, 0x00, random.randrange(256)))
    options = random.choice((b"", b"\2\4\5\xb4", b"\2\4\0\0", b"\1\3\3\x0e", b"\4\2\5\x0a" + random.randbytes(8), random.randbytes(4 * random.randrange(11))))
    options += b"\0" * (-len(options) % 4)
    data = random.choice((b"", b"", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", random.randbytes(random.randrange(1400))))
    offset = (20 + len(options)) << 2
    tcp = struct.pack("!HHLLBBHHH", random.randrange(5000, 5050), 80, random.choice((0, 1, random.getrandbits(32))), random.getrandbits(32), offset, flags, random.choice((0, 1, 65535)), 0, random.choice((0, 0, 9)))
    tcp += options + data
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 7, 0x4000, 64, 6, 0, source, to)
    return bytearray(ip + tcp)
def mutate(packet):
    for _ in range(random.choice((0, 0, 1, 1, 2, 8))):
        # The headers more often than what follows.
        at = random.randrange(min(len(packet), random.choice((20, 40, 60, 1500))))
        packet[at] = random.choice((0, 1, 127, 128, 255, random.randrange(256)))
    if random.random() < 0.1:
        del packet[random.randrange(len(packet)):]
    if random.random() < 0.1:
        packet += random.randbytes(random.randrange(1, 60))
    return packet[:1500]
def repair(packet, tcp_too):
    header = (packet[0] & 15) * 4 if packet else 0
    total = min(int.from_bytes(packet[2:4], "big"), len(packet)) if len(packet) >= 4 else 0
    if header < 20 or total < header + 18:
        return False
    packet[10:12] = b"\0\0"
    packet[10:12] = checksum(bytes(packet[:header])).to_bytes(2, "big")
    if not tcp_too:
        return False
    packet[header + 16:header + 18] = b"\0\0"
    pseudo = bytes(packet[12:20]) + struct.pack("!HH", 6, total - header)
    packet[header + 16:header + 18] = checksum(pseudo + bytes(packet[header:total])).to_bytes(2, "big")
    return True
sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sender.bind((device, 0))
repaired = 0
for _ in range(count):
    mutant = mutate(packet())
    if random.random() < 0.8:
        repaired += repair(mutant, random.random() < 0.8)
    sender.send(mac + bytes([2, 0, 0, 0, 0, 9]) + b"\x08\x00" + mutant)
print(repaired)
"#;

#[test]
fn mutated_frames_do_no_harm() {
    const FRAMES: &str = "20000";
    let lab = Lab::new();
    let content = noise(11, 1 << 20);
    lab.file("noise", &content);
    lab.file("index.html", b"unharmed");
    let mut server = lab.serve(&["--stats", "0.2"]);
    // Warm: the file is in memory, the first buffers exist.
    assert_same(&lab.get("/noise"), &content);
    let before = server.resident_kib();

    let link = ip(&format!("-j link show dev {}", lab.name));
    let (_, mac) = link.split_once("\"address\":\"").expect("an address");
    let (mac, _) = mac.split_once('"').expect("its end");
    let arguments = [INNER, mac, &lab.outer(), "1", FRAMES];
    let repaired = lab.run(&[&["python3", "-c", MUTANTS], &arguments[..]].concat());
    let repaired: u32 = lab::text(repaired).trim().parse().expect("a number");
    assert!(
        repaired > 5_000,
        "only {repaired} frames had right checksums"
    );

    assert_eq!(lab.get("/"), b"unharmed");
    assert_same(&lab.get("/noise"), &content);
    let said = server.stdout.wait_for("the garbage to be counted", |text| {
        ["bad TCP checksum ", "bad IP checksum ", "reset for stray "]
            .iter()
            .all(|name| text.contains(name))
    });
    assert!(said.contains("accepted"), "{said}");
    assert_unharmed(&mut server, before);
    server.stop();
}

/// Random bytes, and requests with random bytes in them, one connection each, some of them cut off:
/// address, seed, number. Every answer must be HTTP or nothing.
const TALKERS: &str = r#"
import random, socket, sys
address, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
random.seed(seed)
valid = b"GET /index.html?a=b HTTP/1.1\r\nHost: lab\r\nAccept: */*\r\nContent-Length: 3\r\n\r\nabcHEAD / HTTP/1.0\r\n\r\n"
tokens = [b"\r\n", b"\r", b"\n", b"\0", b" ", b":", b"%", b"%2e%2e/", b"../", b"HTTP/1.1", b"HTTP/9.9", b"Content-Length: 18446744073709551616\r\n", b"Content-Length: -1\r\n", b"Transfer-Encoding: chunked\r\n", b"GET ", b"X" * 9000, b"\xff" * 40]
def nonsense():
    if random.random() < 0.3:
        return random.randbytes(random.randrange(1, 4000))
    data = bytearray(valid * random.choice((1, 1, 3)))
    for _ in range(random.randrange(1, 6)):
        at = random.randrange(len(data))
        data[at:at + random.choice((0, 1, 4))] = random.choice(tokens + [random.randbytes(3)])
    return bytes(data)
answered = 0
for _ in range(count):
    talker = socket.create_connection((address, 80), 10)
    talker.settimeout(10)
    got = b""
    try:
        data = nonsense()
        cut = random.randrange(len(data))
        talker.sendall(data[:cut])
        talker.sendall(data[cut:])
        if random.random() < 0.2:
            talker.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            talker.close()
            continue
        talker.shutdown(socket.SHUT_WR)
        while part := talker.recv(65536):
            got += part
    except (ConnectionResetError, BrokenPipeError):
        pass
    talker.close()
    assert got == b"" or got.startswith(b"HTTP/1.1 "), got[:100]
    answered += got != b""
print(answered)
"#;

#[test]
fn nonsense_on_connections_does_no_harm() {
    const CONNECTIONS: &str = "1000";
    let lab = Lab::new();
    lab.file("index.html", b"unharmed");
    let mut server = lab.serve(&["--stats", "0.2"]);
    assert_eq!(lab.get("/"), b"unharmed");
    let before = server.resident_kib();

    let outer = lab.outer();
    let arguments = [outer.as_str(), "1", CONNECTIONS];
    let answered = lab.run(&[&["python3", "-c", TALKERS], &arguments[..]].concat());
    let answered: u32 = lab::text(answered).trim().parse().expect("a number");
    assert!(answered > 400, "only {answered} were answered");

    assert_eq!(lab.get("/"), b"unharmed");
    server
        .stdout
        .wait_for("the nonsense to be counted", |text| {
            text.contains("bad request head ")
        });
    assert_unharmed(&mut server, before);
    server.stop();
}

/// It runs, has said nothing of a panic, and has not grown much since it had `before` KiB.
#[track_caller]
fn assert_unharmed(server: &mut Server, before: u64) {
    assert!(!server.process.has_ended());
    let stderr = server.stderr.text();
    assert!(
        !stderr.contains("panicked") && !stderr.contains("xdphttpd: "),
        "{stderr}"
    );
    let after = server.resident_kib();
    assert!(
        after < before + GROWTH_KIB,
        "resident memory went from {before} to {after} KiB"
    );
    let tasks = PathBuf::from(format!("/proc/{}/task", server.process.0.id()));
    let names = std::fs::read_dir(tasks)
        .expect("threads")
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    assert!(
        names.into_iter().any(|name| name.trim() == "xdphttpd-q0"),
        "the worker is gone"
    );
}

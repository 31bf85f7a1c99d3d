//! Much at once: large files, many clients, several queues, and every frame's
//! checksum. Needs root.

mod lab;

use lab::{Lab, PATIENCE, Response, Running, assert_same, ip, noise, text};
use std::fs::File;
use std::io::{BufReader, Write};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What the server may hold in memory while it streams: 16 MiB of UMEM, the
/// program itself, and a few chunks and buffers.
const STREAMING_RESIDENT_KIB: u64 = 48 * 1024;

#[test]
fn more_than_4_gib_stream_byte_exact_in_little_memory() {
    const LENGTH: u64 = (4 << 30) + 1;
    let lab = Lab::new();
    let path = lab.file("huge", b"");
    let file = File::options().write(true).open(&path).expect("a file");
    file.set_len(LENGTH).expect("a sparse file");
    for (seed, at) in [0, 1_000_003, 1 << 31, (1 << 32) - 50_000, LENGTH - 1]
        .into_iter()
        .enumerate()
    {
        let island = noise(seed as u64, 100_000.min(LENGTH - at) as usize);
        file.write_all_at(&island, at).expect("an island");
    }
    let server = lab.serve(&[]);
    let script = format!(
        "curl -sS -m 110 {} | cmp - {}",
        lab.url("/huge"),
        path.display()
    );
    let mut command = lab.command("sh");
    let mut compare = Running::start(command.args(["-c", &script]).stdout(Stdio::inherit()));
    let mut most_kib = 0;
    let deadline = std::time::Instant::now() + Duration::from_secs(120);
    while !compare.has_ended() {
        most_kib = most_kib.max(server.resident_kib());
        assert!(
            std::time::Instant::now() < deadline,
            "still streaming after two minutes"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(
        compare.end(PATIENCE).success(),
        "cmp found a difference, or curl failed"
    );
    assert!(
        most_kib <= STREAMING_RESIDENT_KIB,
        "{most_kib} KiB resident"
    );
}

#[test]
fn sixty_four_clients_at_once_get_their_mebibyte() {
    let lab = Lab::new();
    let content = noise(64, 1 << 20);
    lab.file("mebibyte", &content);
    let server = lab.serve(&[]);
    let out = tempfile::tempdir().expect("a temporary directory");
    let target = |client: usize| out.path().join(client.to_string());
    let mut clients: Vec<Running> = (0..64)
        .map(|client| {
            let mut command = lab.command("curl");
            command
                .args(["-sS", "-m", "40", "-o"])
                .arg(target(client))
                .arg(lab.url("/mebibyte"));
            Running::start(&mut command)
        })
        .collect();
    for (number, client) in clients.iter_mut().enumerate() {
        assert!(
            client.end(Duration::from_secs(45)).success(),
            "client {number}"
        );
        assert_same(
            &std::fs::read(target(number)).expect("the download"),
            &content,
        );
    }
    server.stop();
}

#[test]
fn hundreds_of_connections_take_turns() {
    const CONNECTIONS: usize = 400;
    const ROUNDS: usize = 5;
    let lab = Lab::new();
    let files: Vec<Vec<u8>> = (0..7)
        .map(|seed| noise(seed, 1 + 6_007 * seed as usize))
        .collect();
    for (number, content) in files.iter().enumerate() {
        lab.file(&number.to_string(), content);
    }
    let server = lab.serve(&[]);
    let mut connections: Vec<_> = (0..CONNECTIONS)
        .map(|_| BufReader::new(lab.connect(80)))
        .collect();
    for round in 0..ROUNDS {
        for (number, stream) in connections.iter_mut().enumerate() {
            let file = (number + round) % files.len();
            write!(stream.get_mut(), "GET /{file} HTTP/1.1\r\nHost: x\r\n\r\n").expect("sending");
        }
        for (number, stream) in connections.iter_mut().enumerate() {
            assert_same(
                &Response::read(stream).body,
                &files[(number + round) % files.len()],
            );
        }
    }
    drop(connections);
    server.stop();
}

#[test]
fn one_client_program_with_300_connections() {
    let lab = Lab::new();
    let content = noise(300, 20_000);
    lab.file("file", &content);
    let _server = lab.serve(&[]);
    let out = tempfile::tempdir().expect("a temporary directory");
    let target = format!("{}/#1", out.path().display());
    let urls = lab.url("/file?[1-900]");
    lab.curl(&[
        "--no-progress-meter",
        "-Z",
        "--parallel-max",
        "300",
        "--parallel-immediate",
        "-o",
        &target,
        &urls,
    ]);
    for number in 1..=900 {
        let got = std::fs::read(out.path().join(number.to_string())).expect("a download");
        assert_same(&got, &content);
    }
}

#[test]
fn both_queues_of_a_device_serve() {
    let lab = Lab::with_queues(2);
    let (small, large) = (noise(21, 900), noise(22, 1 << 20));
    lab.file("small", &small);
    lab.file("large", &large);
    let server = lab.serve(&[]);
    let ready = server.stdout.text();
    assert!(ready.contains(" 2 queues,"), "{ready}");
    let sources: Vec<String> = (11..19)
        .map(|host| format!("10.77.{}.{host}", lab.number))
        .collect();
    for source in &sources {
        ip(&format!(
            "-n {} addr add {source}/24 dev {}",
            lab.name,
            lab::INNER
        ));
    }
    for source in &sources {
        let urls = lab.url("/small?[1-10]");
        let got = lab.curl(&["--interface", source, "-H", "Connection: close", &urls]);
        assert_same(&got, &small.repeat(10));
        assert_same(
            &lab.curl(&["--interface", source, &lab.url("/large")]),
            &large,
        );
    }
    for queue in 0..2 {
        let frames = redirected(&lab, queue);
        assert!(
            frames > 20,
            "queue {queue} has received {frames} frames for the server"
        );
    }
    server.stop();
}

/// Frames that the XDP program saw on a queue, as the driver counts them.
fn redirected(lab: &Lab, queue: u32) -> u64 {
    let output = Command::new("ethtool")
        .args(["-S", &lab.name])
        .output()
        .expect("ethtool is installed");
    let name = format!("rx_queue_{queue}_xdp_packets:");
    let statistics = text(output.stdout);
    let value = statistics
        .lines()
        .find_map(|line| line.trim().strip_prefix(&name));
    value
        .unwrap_or_else(|| panic!("no {name} in\n{statistics}"))
        .trim()
        .parse()
        .expect("a number")
}

#[test]
fn every_checksum_we_send_is_right() {
    let lab = Lab::new();
    let content = noise(31, 1 << 20);
    lab.file("large", &content);
    for len in 0..20 {
        lab.file(&len.to_string(), &noise(len, len as usize));
    }
    let _server = lab.serve(&[]);
    let verdicts = lab.captured(|| {
        assert_same(&lab.get("/large"), &content);
        for len in 0..20 {
            assert_eq!(lab.get(&format!("/{len}")), noise(len, len as usize));
        }
        let closed = lab.talk(b"GET / HTTP/1.1\r\n\r\n");
        assert!(
            closed.starts_with(b"HTTP/1.1 400 "),
            "no Host is a bad request"
        );
    });
    assert!(
        verdicts.segments > content.len() / 1460,
        "{} segments captured",
        verdicts.segments
    );
    verdicts.assert_all_right();
}

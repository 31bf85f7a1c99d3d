//! Where segments come from and where answers go: other queues, other
//! neighbours, routers. Needs root.

mod lab;

use lab::{INNER, Lab, Response, assert_same, ip, noise};
use std::io::{BufReader, Write};
use std::net::TcpStream;

/// Asks for `/file` over a connection that stays open.
fn get(stream: &mut BufReader<TcpStream>) -> Vec<u8> {
    let request = b"GET /file HTTP/1.1\r\nHost: lab\r\n\r\n";
    stream.get_mut().write_all(request).expect("a request sent");
    Response::read(stream).body
}

#[test]
fn a_connection_whose_segments_move_to_another_queue_goes_on() {
    let lab = Lab::with_queues(2);
    let body = noise(1, 40_000);
    lab.file("file", &body);
    let server = lab.serve(&["--stats", "0.5"]);
    let mut streams: Vec<_> = (0..4).map(|_| BufReader::new(lab.connect(80))).collect();
    for round in 0..10 {
        // Every processor of the client sends through the one queue (XPS).
        let (to, from) = (round % 2, 1 - round % 2);
        let queues = format!("/sys/class/net/{INNER}/queues");
        let steer =
            format!("echo 3 > {queues}/tx-{to}/xps_cpus; echo 0 > {queues}/tx-{from}/xps_cpus");
        lab.run(&["sh", "-c", &steer]);
        for stream in &mut streams {
            assert_same(&get(stream), &body);
        }
    }
    server.stdout.wait_for("relayed frames", |text| {
        text.contains("came to another queue ") && text.contains(" 40 requests")
    });
    let text = server.stdout.text();
    assert!(!text.contains("reset"), "{text}");
    server.stop();
}

#[test]
fn strays_are_still_refused_when_there_are_several_queues() {
    let lab = Lab::with_queues(2);
    lab.file("file", b"x");
    let server = lab.serve(&["--stats", "0.5"]);
    let mut stream = BufReader::new(lab.connect(80));
    assert_eq!(get(&mut stream), b"x");
    // Another server knows nothing of the connection: the client hears so.
    server.stop();
    let server = lab.serve(&["--stats", "0.5"]);
    let request = b"GET /file HTTP/1.1\r\nHost: lab\r\n\r\n";
    let broken = stream.get_mut().write_all(request).and_then(|()| {
        let mut byte = [0];
        std::io::Read::read(stream.get_mut(), &mut byte)
    });
    assert!(broken.is_err() || broken.is_ok_and(|read| read == 0));
    server.stop();
}

#[test]
fn a_client_that_changes_its_link_address_is_followed() {
    let lab = Lab::new();
    let body = noise(2, 40_000);
    lab.file("file", &body);
    let server = lab.serve(&[]);
    let mut stream = BufReader::new(lab.connect(80));
    assert_same(&get(&mut stream), &body);
    for last in 1..4 {
        ip(&format!(
            "-n {} link set {INNER} address 02:00:00:00:77:{last:02}",
            lab.name
        ));
        assert_same(&get(&mut stream), &body);
    }
    server.stop();
}

/// Two clients in a namespace of their own, behind the lab's, which forwards for
/// them and translates nothing: the server sees two addresses and one neighbour.
#[test]
fn clients_behind_a_router_share_its_link_address() {
    let lab = Lab::new();
    let body = noise(3, 100_000);
    lab.file("file", &body);
    let server = lab.serve(&[]);
    let far = Far::new(&lab);
    for host in [2, 3] {
        let address = format!("192.168.{}.{host}", lab.number);
        let got = far.run(&[
            "curl",
            "-sS",
            "-m",
            "20",
            "--interface",
            &address,
            &lab.url("/file"),
        ]);
        assert_same(&got, &body);
    }
    // One of them, and a client of the router itself, at the same time.
    let mut near = BufReader::new(lab.connect(80));
    assert_same(&get(&mut near), &body);
    assert_same(
        &far.run(&["curl", "-sS", "-m", "20", &lab.url("/file")]),
        &body,
    );
    assert_same(&get(&mut near), &body);
    server.stop();
}

/// The lab's namespace forwards for a client behind a link of 1280 bytes. Whether it
/// says so to the server or not, whose kernel takes ICMP, whole files arrive.
#[test]
fn a_smaller_mtu_in_the_middle_of_the_path() {
    for says_so in [true, false] {
        let lab = Lab::new();
        let body = noise(4, 3 << 20);
        lab.file("file", &body);
        let server = lab.serve(&[]);
        let far = Far::new(&lab);
        far.narrow(&lab, 1280);
        if !says_so {
            let rule = "add table ip hole; \
                add chain ip hole out { type filter hook output priority 0; }; \
                add rule ip hole out icmp type destination-unreachable drop";
            lab.run(&["nft", rule]);
        }
        let url = lab.url("/file");
        let got = far.run(&["curl", "-sS", "--max-time", "60", &url]);
        assert_same(&got, &body);
        assert!(too_large(&lab) > 0, "the router has dropped some");
        server.stop();
    }
}

/// How many packets the lab's namespace could not send on for their size.
fn too_large(lab: &Lab) -> u64 {
    let text = lab::text(lab.run(&["cat", "/proc/net/snmp"]));
    // A line of names, and one of their values.
    let mut lines = text.lines().filter(|line| line.starts_with("Ip:"));
    let mut words = || lines.next().unwrap_or_default().split(' ');
    let (names, values) = (words(), words());
    let mut pairs = names.zip(values);
    let (_, count) = pairs
        .find(|(name, _)| *name == "FragFails")
        .expect("it counts them");
    count.parse().expect("a number")
}

/// A namespace behind the lab's.
struct Far(String);

impl Far {
    fn new(lab: &Lab) -> Far {
        let (near, n) = (&lab.name, lab.number);
        let far = Far(format!("{near}far"));
        drop(Far(far.0.clone()));
        let name = &far.0;
        ip(&format!("netns add {name}"));
        ip(&format!(
            "-n {near} link add far type veth peer name {INNER} netns {name}"
        ));
        ip(&format!("-n {near} addr add 192.168.{n}.1/24 dev far"));
        ip(&format!("-n {near} link set far up"));
        for host in [2, 3] {
            ip(&format!(
                "-n {name} addr add 192.168.{n}.{host}/24 dev {INNER}"
            ));
        }
        ip(&format!("-n {name} link set {INNER} up"));
        ip(&format!("-n {name} route add default via 192.168.{n}.1"));
        // Nothing here leads back: answers follow the link address.
        lab.run(&["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"]);
        far
    }

    /// The way there carries packets of so many bytes.
    fn narrow(&self, lab: &Lab, mtu: u32) {
        ip(&format!(
            "-n {} route replace 192.168.{}.0/24 dev far mtu lock {mtu}",
            lab.name, lab.number
        ));
    }

    fn run(&self, words: &[&str]) -> Vec<u8> {
        let output = std::process::Command::new("ip")
            .args(["netns", "exec", &self.0])
            .args(words)
            .output()
            .expect("ip netns exec runs");
        assert!(output.status.success(), "{words:?}: {output:?}");
        output.stdout
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        // Not there the first time; its devices go with it.
        let _ = std::process::Command::new("ip")
            .args(["netns", "del", &self.0])
            .stderr(std::process::Stdio::null())
            .status();
    }
}

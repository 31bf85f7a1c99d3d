//! What belongs to the kernel stays with the kernel, and addresses that come
//! and go. Needs root.

mod lab;

use lab::{INNER, Lab, PATIENCE, Response, assert_same, ip, noise, wait_until};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Serves each connection to `listener` with `content`, then closes it, as long
/// as the test runs.
fn serve_from_kernel(listener: TcpListener, content: Vec<u8>) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.and_then(|mut stream| stream.write_all(&content));
        }
    });
}

fn listen(address: &str) -> TcpListener {
    TcpListener::bind(address).unwrap_or_else(|error| panic!("binding {address}: {error}"))
}

/// Connects from the namespace and reads to the end.
fn read_from(lab: &Lab, address: &str) -> Vec<u8> {
    let address: SocketAddr = address.parse().expect("an address");
    let mut stream = lab
        .inside(|| TcpStream::connect_timeout(&address, PATIENCE))
        .unwrap_or_else(|error| panic!("connecting to {address}: {error}"));
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut content = Vec::new();
    stream
        .read_to_end(&mut content)
        .expect("reading to the end");
    content
}

/// Runs `meanwhile` while a download of `content` from `/large` is under way,
/// and checks that it arrives.
fn during_a_download(lab: &Lab, content: &[u8], meanwhile: impl FnOnce()) {
    let (hurry, received) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut stream = lab.connect(80);
    stream
        .write_all(b"GET /large HTTP/1.0\r\n\r\n")
        .expect("sending");
    std::thread::scope(|scope| {
        let download = scope.spawn(|| {
            let (mut all, mut part) = (Vec::new(), vec![0; 64 << 10]);
            loop {
                let read = stream.read(&mut part).expect("reading");
                all.extend_from_slice(&part[..read]);
                received.store(all.len(), Ordering::Relaxed);
                if read == 0 {
                    return Response::read(&mut all.as_slice()).body;
                }
                if !hurry.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        });
        wait_until("the download to begin", || {
            received.load(Ordering::Relaxed) > 0
        });
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(meanwhile));
        let so_far = received.load(Ordering::Relaxed);
        hurry.store(true, Ordering::Relaxed);
        assert_same(&download.join().expect("the download"), content);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        assert!(
            so_far < content.len(),
            "the download was under way until the end"
        );
    });
}

#[test]
fn everything_but_our_port_works_during_a_download() {
    let lab = Lab::new();
    let (n, outer) = (lab.number, lab.outer());
    let (large, other) = (noise(51, 32 << 20), noise(52, 300_000));
    lab.file("large", &large);
    let _server = lab.serve(&[]);
    serve_from_kernel(listen(&format!("{outer}:8081")), other.clone());
    serve_from_kernel(listen(&format!("[fd00:77:{n}::1]:80")), b"IPv6".to_vec());
    let echo = UdpSocket::bind((outer.as_str(), 80)).expect("UDP port 80");
    echo.set_read_timeout(Some(PATIENCE)).expect("a timeout");

    during_a_download(&lab, &large, || {
        let ping = ["ping", "-n", "-c", "3", "-i", "0.05", "-W", "5"];
        lab.run(&[&ping[..], &[&outer]].concat());
        lab.run(&[&ping[..], &["-s", "1400", &outer]].concat());
        lab.run(&[&ping[..], &[&format!("fd00:77:{n}::1")]].concat());

        // Both neighbours are forgotten and have to be found again by ARP.
        ip(&format!("-n {} neigh flush dev {INNER}", lab.name));
        ip(&format!("neigh flush dev {}", lab.name));
        lab.run(&[&ping[..], &[&outer]].concat());
        let neighbour = ip(&format!("-n {} neigh show {outer} dev {INNER}", lab.name));
        assert!(neighbour.contains("lladdr"), "{neighbour}");

        assert_same(&read_from(&lab, &format!("{outer}:8081")), &other);
        assert_eq!(read_from(&lab, &format!("[fd00:77:{n}::1]:80")), b"IPv6");

        let client = lab.inside(|| UdpSocket::bind((lab.inner().as_str(), 0)).expect("a port"));
        client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        client
            .send_to(b"marco", (outer.as_str(), 80))
            .expect("sending");
        let mut buffer = [0; 100];
        let (len, from) = echo.recv_from(&mut buffer).expect("the datagram arrives");
        assert_eq!(
            (&buffer[..len], from),
            (&b"marco"[..], client.local_addr().expect("bound"))
        );
        echo.send_to(b"polo", from).expect("answering");
        let (len, from) = client.recv_from(&mut buffer).expect("the answer arrives");
        assert_eq!(
            (&buffer[..len], from),
            (&b"polo"[..], echo.local_addr().expect("bound"))
        );
    });
}

#[test]
fn the_server_machine_can_connect_out_from_its_own_ports() {
    let lab = Lab::new();
    let content = noise(53, 300_000);
    let _server = lab.serve(&[]);
    let to = format!("{}:9000", lab.inner());
    let listener = lab.inside(|| listen(&to));
    serve_from_kernel(listener, content.clone());
    let mut stream = TcpStream::connect(&to).expect("connecting to the inner end");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut got = Vec::new();
    stream.read_to_end(&mut got).expect("reading to the end");
    assert_same(&got, &content);
}

#[test]
fn another_port_leaves_80_to_the_kernel() {
    let lab = Lab::new();
    let content = noise(54, 300_000);
    lab.file("file", &content);
    serve_from_kernel(
        listen(&format!("{}:80", lab.outer())),
        b"the kernel".to_vec(),
    );
    let server = lab.serve(&["--port", "8080"]);
    let ready = server.stdout.text();
    assert!(
        ready.contains(&format!("http://{}:8080/ ", lab.outer())),
        "{ready}"
    );
    let url = format!("http://{}:8080/file", lab.outer());
    assert_same(&lab.curl(&[&url]), &content);
    assert_eq!(
        read_from(&lab, &format!("{}:80", lab.outer())),
        b"the kernel"
    );
    server.stop();
}

#[test]
fn addresses_are_followed_while_serving() {
    let lab = Lab::new();
    let content = noise(55, 50_000);
    lab.file("file", &content);
    let _server = lab.serve(&[]);
    let second = format!("10.77.{}.9", lab.number);
    let to: SocketAddr = format!("{second}:80").parse().expect("an address");
    let connect = || lab.inside(|| TcpStream::connect_timeout(&to, Duration::from_secs(2)));
    for _ in 0..2 {
        ip(&format!("addr add {second}/32 dev {}", lab.name));
        // Until the server has heard of it, the kernel refuses.
        wait_until("the new address to be served", || connect().is_ok());
        assert_same(&lab.curl(&[&format!("http://{second}/file")]), &content);

        // Moved to another device it is still the machine's, but not ours.
        ip(&format!("addr del {second}/32 dev {}", lab.name));
        ip(&format!("addr add {second}/32 dev lo"));
        let _restore = OnLoopback(&second);
        wait_until("the kernel to refuse", || {
            connect().is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
        });
        assert_same(&lab.get("/file"), &content);
    }
}

/// An address of `lo`, removed at the end.
struct OnLoopback<'a>(&'a str);

impl Drop for OnLoopback<'_> {
    fn drop(&mut self) {
        let words = ["addr", "del", &format!("{}/32", self.0), "dev", "lo"];
        let _ = std::process::Command::new("ip").args(words).output();
    }
}

#[test]
fn any_address_serves_what_is_routed_here() {
    let lab = Lab::new();
    let content = noise(56, 300_000);
    lab.file("file", &content);
    let _server = lab.serve(&["--any-address"]);
    // TEST-NET-2 (RFC 5737): nobody's address.
    for foreign in ["198.51.100.7", "198.51.100.8"] {
        let route = format!(
            "-n {} route add {foreign}/32 via {} dev {INNER}",
            lab.name,
            lab.outer()
        );
        ip(&route);
        assert_same(&lab.curl(&[&format!("http://{foreign}/file")]), &content);
    }
    assert_same(&lab.get("/file"), &content);
}

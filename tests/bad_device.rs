//! The device goes down, loses its carrier, changes its addresses, or goes altogether, with traffic
//! on it.

mod lab;

use lab::{INNER, Lab, PATIENCE, Running, Server, assert_same, ip, noise, wait_until};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// How long the device stays down: TCP's retransmissions have to bridge it.
const DOWN_TIME: Duration = Duration::from_secs(2);
/// Long enough to be under way when the device goes down, at [`RATE`].
const CONTENT_BYTES: usize = 24 << 20;
/// How fast curl takes it.
const RATE: &str = "8M";

/// A download in progress.
struct Download {
    curl: Running,
    into: PathBuf,
}

impl Download {
    /// Starts it and waits until a good part has come.
    fn start(lab: &Lab, path: &str) -> Download {
        let into = lab.root().join("downloaded");
        let mut command = lab.command("curl");
        command.args(["-sS", "-m", "50", "--limit-rate", RATE, "-o"]);
        command.arg(&into).arg(lab.url(path)).stdin(Stdio::null());
        let download = Download {
            curl: Running::start(&mut command),
            into,
        };
        wait_until("the download to be under way", || {
            download.received() > 1 << 20
        });
        download
    }

    fn received(&self) -> u64 {
        std::fs::metadata(&self.into).map_or(0, |metadata| metadata.len())
    }

    /// Waits for its end and compares.
    fn finish(mut self, want: &[u8]) {
        let status = self.curl.end(Duration::from_secs(60));
        assert!(status.success(), "curl: {status}");
        assert_same(
            &std::fs::read(&self.into).expect("what was downloaded"),
            want,
        );
    }
}

/// User and system time of the process so far, from proc_pid_stat(5).
fn processor_time(server: &Server) -> Duration {
    let path = format!("/proc/{}/stat", server.process.0.id());
    let stat = std::fs::read_to_string(path).expect("the server runs");
    // The name, in parentheses, may hold spaces; utime and stime are the 12th and 13th behind it.
    let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
    let ticks = fields.split(' ').skip(11).take(2);
    let ticks: u64 = ticks
        .map(|field| field.parse::<u64>().expect("a number"))
        .sum();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Interrupts a download by `down`, for a while, until `up`.
fn survives(lab: &Lab, down: &str, up: &str, says: &str) {
    let content = noise(3, CONTENT_BYTES);
    lab.file("noise", &content);
    lab.file("index.html", b"new requests work");
    let server = lab.serve(&[]);
    let download = Download::start(lab, "/noise");

    ip(down);
    server
        .stderr
        .wait_for("a line about it", |text| text.contains(says));
    let (since, before) = (Instant::now(), processor_time(&server));
    std::thread::sleep(DOWN_TIME);
    let (elapsed, used) = (since.elapsed(), processor_time(&server) - before);
    let received = download.received();
    ip(up);

    assert!(
        used < elapsed / 2,
        "{used:?} of processor time in {elapsed:?}"
    );
    assert!(
        received < CONTENT_BYTES as u64,
        "the download was over before it was interrupted"
    );
    server
        .stderr
        .wait_for("a line about its return", |text| text.contains("up again"));
    assert_eq!(lab.get("/"), b"new requests work");
    download.finish(&content);
    assert_eq!(lab.get("/"), b"new requests work");
    server.stop();
    assert!(!lab.has_xdp());
}

#[test]
fn a_download_survives_the_device_going_down() {
    let lab = Lab::new();
    let link = format!("link set {}", lab.name);
    survives(
        &lab,
        &format!("{link} down"),
        &format!("{link} up"),
        "is down",
    );
}

#[test]
fn a_download_survives_the_peer_going_down() {
    let lab = Lab::new();
    let link = format!("-n {} link set {INNER}", lab.name);
    survives(
        &lab,
        &format!("{link} down"),
        &format!("{link} up"),
        "without carrier",
    );
}

#[test]
fn an_idle_server_sleeps_while_the_device_is_down() {
    let lab = Lab::new();
    lab.file("index.html", b"back");
    let server = lab.serve(&[]);
    assert_eq!(lab.get("/"), b"back");
    ip(&format!("link set {} down", lab.name));
    server
        .stderr
        .wait_for("a line about it", |text| text.contains("is down"));
    let (since, before) = (Instant::now(), processor_time(&server));
    std::thread::sleep(Duration::from_secs(1));
    let (elapsed, used) = (since.elapsed(), processor_time(&server) - before);
    assert!(
        used < elapsed / 4,
        "{used:?} of processor time in {elapsed:?}"
    );
    ip(&format!("link set {} up", lab.name));
    assert_eq!(lab.get("/"), b"back");
    server.stop();
}

#[test]
fn a_device_deleted_while_serving_ends_the_server() {
    for idle in [true, false] {
        let lab = Lab::new();
        let content = noise(4, CONTENT_BYTES);
        lab.file("noise", &content);
        let mut server = lab.serve(&[]);
        let download = (!idle).then(|| Download::start(&lab, "/noise"));
        ip(&format!("link del {}", lab.name));
        let status = server.process.end(PATIENCE);
        let stderr = server
            .stderr
            .wait_for("an error", |text| text.contains("xdphttpd: "));
        assert_eq!(status.code(), Some(1), "{stderr}");
        let errors: Vec<&str> = stderr
            .lines()
            .filter(|line| line.starts_with("xdphttpd: "))
            .collect();
        let want = format!("xdphttpd: {} is gone: the device was deleted", lab.name);
        assert_eq!(errors, [want.as_str()], "{stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        drop(download);
    }
}

#[test]
fn a_device_moved_away_ends_the_server() {
    let lab = Lab::new();
    let mut server = lab.serve(&[]);
    ip(&format!("link set {0} netns {0}", lab.name));
    let status = server.process.end(PATIENCE);
    let stderr = server
        .stderr
        .wait_for("an error", |text| text.contains("xdphttpd: "));
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains(&format!("xdphttpd: {} is gone", lab.name)),
        "{stderr}"
    );
}

#[test]
fn a_device_without_carrier_is_waited_for() {
    let lab = Lab::new();
    lab.file("index.html", b"at last");
    ip(&format!("-n {} link set {INNER} down", lab.name));
    let server = lab.launch(&[]);
    let stderr = server
        .stderr
        .wait_for("a line about it", |text| text.contains("no carrier yet"));
    assert!(stderr.contains(&lab.name), "{stderr}");
    assert_eq!(server.stdout.text(), "");
    ip(&format!("-n {} link set {INNER} up", lab.name));
    server
        .stdout
        .wait_for("the ready line", |text| text.contains("xdphttpd ready: "));
    assert_eq!(lab.get("/"), b"at last");
    server.stop();
}

#[test]
fn an_address_that_comes_before_the_carrier_is_served() {
    let lab = Lab::new();
    lab.file("index.html", b"at either address");
    ip(&format!("-n {} link set {INNER} down", lab.name));
    let server = lab.launch(&[]);
    server
        .stderr
        .wait_for("a line about it", |text| text.contains("no carrier yet"));
    let second = format!("10.77.{}.3", lab.number);
    ip(&format!("addr add {second}/24 dev {}", lab.name));
    ip(&format!("-n {} link set {INNER} up", lab.name));
    server
        .stdout
        .wait_for("the ready line", |text| text.contains("xdphttpd ready: "));
    assert_eq!(lab.get("/"), b"at either address");
    assert_eq!(
        lab.curl(&[&format!("http://{second}/")]),
        b"at either address"
    );
    server.stop();
}

#[test]
fn a_device_that_loses_its_address_is_served_again_when_it_has_one() {
    let lab = Lab::new();
    lab.file("index.html", b"moved house");
    let server = lab.serve(&[]);
    let change = |what: &str, host: u8| {
        ip(&format!(
            "addr {what} 10.77.{}.{host}/24 dev {}",
            lab.number, lab.name
        ));
    };
    change("del", 1);
    let says = |line: String| {
        server.stderr.wait_for(&line, |text| text.contains(&line));
    };
    says(format!("{} has no IPv4 address any more", lab.name));
    change("add", 3);
    says(format!("addresses served: 10.77.{}.3\n", lab.number));
    let url = format!("http://10.77.{}.3/", lab.number);
    assert_eq!(lab.curl(&[&url]), b"moved house");
    change("add", 4);
    says(format!(
        "addresses served: 10.77.{0}.3, 10.77.{0}.4\n",
        lab.number
    ));
    server.stop();
}

#[test]
fn a_signal_ends_the_wait_for_a_carrier() {
    let lab = Lab::new();
    ip(&format!("-n {} link set {INNER} down", lab.name));
    let server = lab.launch(&[]);
    server
        .stderr
        .wait_for("a line about it", |text| text.contains("no carrier yet"));
    server.stop();
    assert!(!lab.has_xdp());
}

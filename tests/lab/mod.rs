//! A lab for tests with real clients: a veth pair whose outer end stays here,
//! for the server, and whose inner end lives in a network namespace, for the
//! clients. Needs root, iproute2 and curl.
//!
//! ```text
//! here                              namespace heN
//! heN  10.77.N.1/24  ─────────────  inner  10.77.N.2/24
//!      fd00:77:N::1/64                     fd00:77:N::2/64
//! ```
//!
//! N is locked for the lifetime of the [`Lab`], so tests and test processes run
//! side by side; what a killed test has left behind is removed by the next one
//! that gets its number.
#![allow(dead_code, reason = "each test file uses a part of this")]

use rustix::fd::AsFd;
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What the names of devices and namespaces begin with.
const PREFIX: &str = "he";
/// The inner end's name in every namespace.
pub const INNER: &str = "inner";
/// How long anything that should come soon may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Seconds that a client command may take before `timeout` ends it.
const COMMAND_SECONDS: &str = "120";

/// A veth pair with a namespace at its inner end, and a directory to serve.
pub struct Lab {
    /// The outer device's and the namespace's name.
    pub name: String,
    /// N of 10.77.N.0/24.
    pub number: u8,
    root: tempfile::TempDir,
    _lock: File,
}

impl Lab {
    /// A lab with one RX queue.
    pub fn new() -> Lab {
        Lab::with_queues(1)
    }

    /// A lab with so many RX and TX queues at both ends.
    pub fn with_queues(queues: u32) -> Lab {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test makes network devices and namespaces: run it as root"
        );
        let (number, lock) = lock_number();
        let name = format!("{PREFIX}{number}");
        let root = tempfile::tempdir().expect("a temporary directory");
        let lab = Lab {
            name,
            number,
            root,
            _lock: lock,
        };
        lab.remove();
        lab.make(queues);
        lab
    }

    fn make(&self, queues: u32) {
        let (name, n) = (&self.name, self.number);
        let shape = format!("numrxqueues {queues} numtxqueues {queues}");
        ip(&format!("netns add {name}"));
        ip(&format!(
            "link add {name} {shape} type veth peer name {INNER} {shape} netns {name}"
        ));
        ip(&format!("-n {name} link set lo up"));
        for (scope, dev, host) in [
            (String::new(), name.as_str(), 1),
            (format!("-n {name} "), INNER, 2),
        ] {
            // A link-local address would come a second or two later, and a browser breaks
            // off what it loads when its addresses change.
            ip(&format!("{scope}link set {dev} addrgenmode none"));
            ip(&format!("{scope}addr add 10.77.{n}.{host}/24 dev {dev}"));
            ip(&format!("{scope}link set {dev} up"));
            ip(&format!(
                "{scope}addr add fd00:77:{n}::{host}/64 dev {dev} nodad"
            ));
        }
    }

    fn remove(&self) {
        let quietly = |command: String| Command::new("ip").args(command.split(' ')).output();
        // Whoever is in the namespace was started by a test that had this number.
        if let Ok(pids) = quietly(format!("netns pids {}", self.name)) {
            for pid in String::from_utf8_lossy(&pids.stdout).split_whitespace() {
                if let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) {
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
        }
        // Both fail when nothing is there, as it should be.
        let _ = quietly(format!("link del {}", self.name));
        let _ = quietly(format!("netns del {}", self.name));
    }

    /// The outer end's IPv4 address, which the server serves.
    pub fn outer(&self) -> String {
        format!("10.77.{}.1", self.number)
    }

    /// The inner end's IPv4 address.
    pub fn inner(&self) -> String {
        format!("10.77.{}.2", self.number)
    }

    /// `http://` and the outer address and `path`, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.outer())
    }

    /// The directory served.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Puts a file into the directory served, with the directories on its way.
    pub fn file(&self, path: &str, content: &[u8]) -> PathBuf {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().expect("below the root")).expect("directories");
        std::fs::write(&path, content).expect("a file");
        path
    }

    /// Starts the server on the outer end and waits until it is ready.
    pub fn serve(&self, flags: &[&str]) -> Server {
        let server = self.launch(flags);
        server
            .stdout
            .wait_for("the ready line", |text| text.contains("xdphttpd ready: "));
        server
    }

    /// Starts the server on the outer end, ready or not.
    pub fn launch(&self, flags: &[&str]) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xdphttpd"));
        command
            .args(["-d", &self.name, "--root"])
            .arg(self.root())
            .args(flags);
        Server::start(command)
    }

    /// A command that runs in the namespace and is ended after two minutes.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]);
        command.args(["timeout", "-k", "1", COMMAND_SECONDS, program]);
        command
    }

    /// Starts a command in the namespace that goes on until it is dropped.
    pub fn spawn(&self, words: &[&str]) -> Running {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.name])
            .args(words)
            .stdin(Stdio::null());
        Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()))
    }

    /// Runs a command in the namespace to its end.
    pub fn exec(&self, words: &[&str]) -> Output {
        let (program, arguments) = words.split_first().expect("a command");
        self.command(program)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("ip and timeout are installed")
    }

    /// Runs a command in the namespace that must succeed; what it printed.
    pub fn run(&self, words: &[&str]) -> Vec<u8> {
        let output = self.exec(words);
        assert!(
            output.status.success(),
            "{words:?}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    /// Captures what comes from the server of our root to the inner end while `talk` goes on.
    pub fn captured(&self, talk: impl FnOnce()) -> Verdicts {
        const LAST: &[u8] = b"all that was sent before is captured";
        let directory = tempfile::tempdir().expect("a temporary directory");
        let capture = directory.path().join("capture");
        let path = capture.to_str().expect("UTF-8");
        // -Z: without it, the file may belong to somebody who cannot write there.
        let words = ["tcpdump", "-Z", "root", "-i", INNER, "-U", "-B", "16384"];
        let filter = ["-w", path, "tcp", "src", "port", "80"];
        let mut tcpdump = self.spawn(&[&words[..], &filter].concat());
        let captured = || std::fs::read(&capture).unwrap_or_default();
        wait_until("tcpdump to begin", || !captured().is_empty());
        talk();
        self.file("last", LAST);
        assert_eq!(self.get("/last"), LAST);
        wait_until("the capture to be written", || {
            let all = captured();
            let end = &all[all.len().saturating_sub(64 << 10)..];
            end.windows(LAST.len()).any(|bytes| bytes == LAST)
        });
        kill_process(tcpdump.pid(), Signal::INT).expect("a child of ours");
        tcpdump.end(PATIENCE);
        let said = text(self.run(&["tcpdump", "-nn", "-v", "-r", path]));
        Verdicts {
            segments: said.matches("Flags [").count(),
            right: said.matches("(correct)").count(),
            said,
        }
    }

    /// curl in the namespace, silent, at most 30 s, which must succeed.
    pub fn curl(&self, arguments: &[&str]) -> Vec<u8> {
        self.run(&[&["curl", "-sS", "-m", "30"], arguments].concat())
    }

    /// The body at `path`, whatever the status.
    pub fn get(&self, path: &str) -> Vec<u8> {
        self.curl(&[&self.url(path)])
    }

    /// The status at `path` as curl reports it, with more flags for curl.
    pub fn status(&self, path: &str, flags: &[&str]) -> String {
        let url = self.url(path);
        text(self.curl(&[&["-o", "/dev/null", "-w", "%{http_code}", &url], flags].concat()))
    }

    /// Runs `work` in a thread that lives in the namespace; sockets made there
    /// stay there.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.name);
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                let namespace = File::open(path).expect("the namespace");
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("entering the namespace");
                work()
            });
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A connection from the namespace to a port of the outer address, with
    /// bounded reads and writes.
    pub fn connect(&self, port: u16) -> TcpStream {
        let to: SocketAddr = format!("{}:{port}", self.outer())
            .parse()
            .expect("an address");
        let stream = self
            .inside(|| TcpStream::connect_timeout(&to, PATIENCE))
            .unwrap_or_else(|error| panic!("connecting to {to}: {error}"));
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    /// Sends `request` on a connection of its own and returns all that comes
    /// until the server closes.
    pub fn talk(&self, request: &[u8]) -> Vec<u8> {
        let mut stream = self.connect(80);
        stream.write_all(request).expect("sending the request");
        let mut answer = Vec::new();
        stream
            .read_to_end(&mut answer)
            .expect("reading until the server closes");
        answer
    }

    /// Whether an XDP program is attached to the outer device.
    pub fn has_xdp(&self) -> bool {
        let text = ip(&format!("-j -d link show dev {}", self.name));
        assert!(text.contains(&self.name), "{text}");
        text.contains("xdp")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.remove();
    }
}

/// The lowest number that no other lab holds and no foreign device uses.
fn lock_number() -> (u8, File) {
    for number in 1..=254 {
        let path = std::env::temp_dir().join(format!("xdphttpd-lab-{number}.lock"));
        let file = File::create(path).expect("a lock file");
        if file.try_lock().is_err() {
            continue;
        }
        let used = ip(&format!("-4 -o addr show to 10.77.{number}.0/24"));
        let foreign =
            |line: &str| line.split_whitespace().nth(1) != Some(&format!("{PREFIX}{number}"));
        if !used.lines().any(foreign) {
            return (number, file);
        }
    }
    panic!("254 labs at once are too many");
}

/// Runs `ip` with words separated by spaces, which must succeed; what it printed.
pub fn ip(arguments: &str) -> String {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .expect("iproute2 is installed");
    assert!(
        output.status.success(),
        "ip {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    text(output.stdout)
}

/// Bytes that must be UTF-8.
pub fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}

/// A response as it came over a raw connection.
pub struct Response {
    /// Status line and fields, without the empty line.
    pub head: String,
    /// As many bytes as Content-Length says.
    pub body: Vec<u8>,
}

impl Response {
    /// Reads one response to a GET.
    #[track_caller]
    pub fn read(from: &mut impl BufRead) -> Response {
        let mut response = Response::read_head(from);
        let length = response.field("content-length").expect("Content-Length");
        response.body = vec![0; length.parse().expect("a length")];
        from.read_exact(&mut response.body).expect("the whole body");
        response
    }

    /// Reads one response to a HEAD, which has no body.
    #[track_caller]
    pub fn read_head(from: &mut impl BufRead) -> Response {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = from.read_line(&mut head).expect("a line of a head");
            assert!(read > 0, "the connection ended within a head: {head:?}");
        }
        head.truncate(head.len() - 4);
        Response {
            head,
            body: Vec::new(),
        }
    }

    /// The three digits.
    pub fn status(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// The first field of this name, which is given in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'));
        let (_, value) = fields.find(|(field, _)| field.eq_ignore_ascii_case(name))?;
        Some(value.trim())
    }
}

/// Pseudo-random bytes that depend on `seed` (SplitMix64).
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    });
    words.flat_map(u64::to_le_bytes).take(len).collect()
}

/// Fails unless both are equal, and says where they differ rather than all of
/// them.
#[track_caller]
pub fn assert_same(got: &[u8], want: &[u8]) {
    let differs = got.iter().zip(want).position(|(a, b)| a != b);
    assert!(
        got.len() == want.len() && differs.is_none(),
        "{} bytes for {}, first difference at {differs:?}",
        got.len(),
        want.len()
    );
}

/// Polls until `condition` holds; fails when it takes longer than
/// [`PATIENCE`].
#[track_caller]
pub fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    wait_at_most(PATIENCE, what, condition);
}

/// Polls until `condition` holds; fails when it takes longer than `patience`.
#[track_caller]
pub fn wait_at_most(patience: Duration, what: &str, condition: impl FnMut() -> bool) {
    assert!(
        holds_within(patience, condition),
        "waited {patience:?} in vain for {what}"
    );
}

/// Polls until `condition` holds, for at most `patience`; whether it does.
pub fn holds_within(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    while !condition() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

/// What a process has printed so far, gathered by a thread.
#[derive(Clone)]
pub struct Printed(Arc<Mutex<String>>);

impl Printed {
    /// Gathers what comes from `pipe`: lines that are written at once are there at once.
    pub fn gather(pipe: impl Read + Send + 'static) -> Printed {
        let printed = Printed(Arc::new(Mutex::new(String::new())));
        let into = printed.0.clone();
        std::thread::spawn(move || {
            let mut pipe = BufReader::with_capacity(64 << 10, pipe);
            let mut lines = Vec::new();
            while pipe
                .read_until(b'\n', &mut lines)
                .is_ok_and(|bytes| bytes > 0)
            {
                if !pipe.buffer().contains(&b'\n') {
                    let mut text = into.lock().expect("no panic while locked");
                    text.push_str(&String::from_utf8_lossy(&lines));
                    lines.clear();
                }
            }
        });
        printed
    }

    /// All so far.
    pub fn text(&self) -> String {
        self.0.lock().expect("no panic while locked").clone()
    }

    /// Waits until `condition` holds of the text, and returns the text.
    #[track_caller]
    pub fn wait_for(&self, what: &str, condition: impl Fn(&str) -> bool) -> String {
        let mut text = String::new();
        let holds = holds_within(PATIENCE, || {
            text = self.text();
            condition(&text)
        });
        assert!(holds, "waited in vain for {what}; printed:\n{text}");
        text
    }
}

/// A process that is killed when dropped.
pub struct Running(pub Child);

impl Running {
    /// Starts it.
    pub fn start(command: &mut Command) -> Running {
        Running(
            command
                .spawn()
                .unwrap_or_else(|error| panic!("{command:?}: {error}")),
        )
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("waiting for a child").is_some()
    }

    /// Waits for its end, for a bounded time.
    #[track_caller]
    pub fn end(&mut self, patience: Duration) -> ExitStatus {
        wait_at_most(patience, "the end of a process", || self.has_ended());
        self.0.wait().expect("waiting for a child")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What tcpdump says of the checksums of segments.
pub struct Verdicts {
    /// How many there were.
    pub segments: usize,
    /// How many of them had a right TCP checksum.
    pub right: usize,
    /// All it said.
    pub said: String,
}

impl Verdicts {
    /// Every checksum is right, those of IP headers too.
    #[track_caller]
    pub fn assert_all_right(&self) {
        let said = &self.said;
        assert_eq!(
            self.right, self.segments,
            "a segment without \"correct\":\n{said}"
        );
        assert!(
            !said.contains("incorrect") && !said.contains("bad cksum"),
            "{said}"
        );
    }
}

/// A running server.
pub struct Server {
    /// The process.
    pub process: Running,
    /// What it has said on stdout.
    pub stdout: Printed,
    /// What it has said on stderr.
    pub stderr: Printed,
}

impl Server {
    /// Starts `command`, which is the server with its flags.
    pub fn start(mut command: Command) -> Server {
        command.env_remove("RUST_LOG").stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Running::start(&mut command);
        let stdout = Printed::gather(process.0.stdout.take().expect("piped"));
        let stderr = Printed::gather(process.0.stderr.take().expect("piped"));
        Server {
            process,
            stdout,
            stderr,
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.process.pid(), signal).expect("the server is a child of ours");
    }

    /// Sends it SIGTERM and fails unless it ends with exit code 0.
    #[track_caller]
    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.process.end(PATIENCE);
        assert!(
            status.success(),
            "{status}; stderr:\n{}",
            self.stderr.text()
        );
    }

    /// Its resident memory in KiB, as /proc/PID/status says.
    pub fn resident_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.0.id());
        let status = std::fs::read_to_string(path).expect("the server runs");
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .expect("VmRSS");
        line.split_whitespace()
            .nth(1)
            .and_then(|kib| kib.parse().ok())
            .expect("a number")
    }
}

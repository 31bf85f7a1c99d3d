//! The memory of packets: huge pages, the NUMA node, sizes of rings and frames. Needs root.

mod lab;

use lab::{INNER, Lab, PATIENCE, Server, assert_same, ip, noise};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

const NR_HUGEPAGES: &str = "/proc/sys/vm/nr_hugepages";
/// Huge pages of a queue whose rings are the usual ones, with packets of 1500 bytes:
/// twice 2048 frames of 4096 bytes.
const PAGES_OF_A_QUEUE: usize = 8;

/// The sysctl while tests change it.
struct HugePages {
    /// Puts it back when its stdin ends: that is when this process lets go of it, in
    /// whatever way it ends.
    keeper: Child,
    /// Those that others use.
    in_use: usize,
    _lock: File,
}

impl HugePages {
    /// Waits for other tests that change it.
    fn hold() -> HugePages {
        let path = std::env::temp_dir().join("xdphttpd-hugepages.lock");
        let lock = File::create(path).expect("a lock file");
        lock.lock().expect("a lock");
        let before = fs::read_to_string(NR_HUGEPAGES).expect("a kernel with huge pages");
        let script = format!("read -r _; echo \"$0\" >{NR_HUGEPAGES}");
        let keeper = Command::new("sh")
            .args(["-c", &script, before.trim()])
            .stdin(Stdio::piped())
            // Who ends the group of the test by a signal does not end this one.
            .process_group(0)
            .spawn()
            .expect("a shell");
        HugePages {
            keeper,
            in_use: huge_pages_in_use(),
            _lock: lock,
        }
    }

    /// Has the kernel set so many aside, and no more, for us; how many it can.
    #[track_caller]
    fn set(&self, pages: usize) -> usize {
        let most = self.in_use + pages;
        fs::write(NR_HUGEPAGES, most.to_string()).expect("a number that can be set");
        // Those of a server that has ended are free a moment later.
        lab::wait_until("huge pages that nobody uses", || {
            meminfo("HugePages_Total:") <= most && huge_pages_in_use() <= self.in_use
        });
        meminfo("HugePages_Free:")
    }
}

fn huge_pages_in_use() -> usize {
    meminfo("HugePages_Total:") - meminfo("HugePages_Free:")
}

fn meminfo(name: &str) -> usize {
    let text = fs::read_to_string("/proc/meminfo").expect("meminfo");
    let line = text.lines().find(|line| line.starts_with(name));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number
        .and_then(|number| number.parse().ok())
        .expect("a number")
}

impl Drop for HugePages {
    fn drop(&mut self) {
        // The next who holds them would take the pages of our last server, which are free
        // a moment later, for those of others.
        lab::holds_within(PATIENCE, || huge_pages_in_use() <= self.in_use);
        if let Some(mut stdin) = self.keeper.stdin.take() {
            let _ = stdin.write_all(b"\n");
        }
        let _ = self.keeper.wait();
    }
}

/// Starts the server and fetches a small file and a large one.
#[track_caller]
fn assert_serves(lab: &Lab, flags: &[&str]) -> Server {
    let (small, large) = (noise(71, 700), noise(72, 5 << 20));
    lab.file("small", &small);
    lab.file("large", &large);
    let server = lab.serve(&[flags, &["-v"]].concat());
    assert_same(&lab.get("/small"), &small);
    assert_same(&lab.get("/large"), &large);
    server
}

/// The mappings of the server that are of huge pages.
fn huge_mappings(server: &Server) -> usize {
    let maps = numa_maps(server);
    maps.lines().filter(|line| line.contains(" huge ")).count()
}

fn numa_maps(server: &Server) -> String {
    let path = format!("/proc/{}/numa_maps", server.process.0.id());
    fs::read_to_string(path).expect("a kernel with CONFIG_NUMA")
}

#[track_caller]
fn assert_falls_back(server: &Server, pages: usize) {
    let want = format!(
        ": ordinary pages, for huge ones were not to be had: Cannot allocate memory (os error \
         12); set aside the {pages} of 2 MiB that are needed: sysctl vm.nr_hugepages={pages}\n"
    );
    let said = server
        .stderr
        .wait_for("why there are none", |text| text.contains(&want));
    assert_eq!(said.matches("huge ones").count(), 1, "in one line: {said}");
}

#[test]
fn huge_pages_as_far_as_there_are_some() {
    let lab = Lab::with_queues(2);
    let pages = HugePages::hold();

    pages.set(0);
    // Whichever queue a connection meets.
    let server = assert_serves(&lab, &["--hugepages"]);
    assert_falls_back(&server, 2 * PAGES_OF_A_QUEUE);
    assert_eq!(huge_mappings(&server), 0);
    server.stop();

    let free = pages.set(2 * PAGES_OF_A_QUEUE);
    let server = assert_serves(&lab, &["--hugepages"]);
    let said = server.stderr.text();
    if free == 2 * PAGES_OF_A_QUEUE {
        assert!(
            said.contains("32.0 MiB of packet memory for 2 queues, huge pages"),
            "{said}"
        );
        assert!(!said.contains("ordinary pages"), "{said}");
        assert_eq!(huge_mappings(&server), 2);
    } else {
        // The machine's memory is in pieces too small.
        assert_falls_back(&server, 2 * PAGES_OF_A_QUEUE);
    }
    server.stop();

    // Enough for one queue of two.
    let free = pages.set(PAGES_OF_A_QUEUE);
    let server = assert_serves(&lab, &["--hugepages"]);
    assert_falls_back(&server, 2 * PAGES_OF_A_QUEUE);
    assert_eq!(huge_mappings(&server), free / PAGES_OF_A_QUEUE);
    server.stop();
}

#[test]
fn jumbo_frames_in_huge_pages() {
    let lab = Lab::new();
    set_mtu(&lab, 65_535);
    let pages = HugePages::hold();
    let free = pages.set(2 * PAGES_OF_A_QUEUE);
    let server = assert_serves(&lab, &["--hugepages"]);
    match free {
        16 => assert_eq!(huge_mappings(&server), 1, "{}", server.stderr.text()),
        _ => assert_falls_back(&server, 9),
    }
    server.stop();
}

#[test]
fn memory_is_placed_where_the_only_node_is() {
    let lab = Lab::new();
    let online = fs::read_to_string("/sys/devices/system/node/online").expect("NUMA in sysfs");
    let server = assert_serves(&lab, &[]);
    // veth is next to no node: a preference only where there is no choice.
    let want = online
        .trim()
        .parse()
        .ok()
        .map(|node: u32| format!(" prefer:{node} "));
    let maps = numa_maps(&server);
    let placed = maps.lines().find(|line| line.contains(" prefer"));
    match want {
        Some(want) => assert!(placed.is_some_and(|line| line.contains(&want)), "{maps}"),
        None => assert_eq!(placed, None),
    }
    server.stop();
}

fn set_mtu(lab: &Lab, mtu: u32) {
    ip(&format!("link set {} mtu {mtu}", lab.name));
    ip(&format!("-n {} link set {INNER} mtu {mtu}", lab.name));
}

#[test]
fn rings_and_frames_of_other_sizes_serve() {
    let lab = Lab::new();
    let small = "--rx-ring 64 --tx-ring 64 --fill-frames 64";
    for (mtu, flags) in [
        (1_500, small),
        (9_000, small),
        (65_535, small),
        (1_500, "--rx-ring 64"),
        (1_500, "--tx-ring 64"),
        (1_500, "--fill-frames 100"),
        (1_500, "--rx-ring 8192 --tx-ring 4096 --fill-frames 10000"),
        (1_500, "--frame-bytes 2048"),
        // The first that does not fit into a frame of 2048 bytes with its headroom.
        (1_779, "--frame-bytes 2048"),
        (9_000, "--frame-bytes 2048"),
        // The last that is sent in 17 frames.
        (34_802, "--frame-bytes 2048"),
        (
            34_802,
            "--frame-bytes 2048 --rx-ring 64 --tx-ring 64 --fill-frames 64",
        ),
    ] {
        set_mtu(&lab, mtu);
        let flags: Vec<&str> = flags.split(' ').collect();
        assert_serves(&lab, &flags).stop();
    }
}

#[test]
fn small_rings_bear_several_downloads_at_once() {
    let lab = Lab::new();
    let large = noise(73, 5 << 20);
    lab.file("large", &large);
    let flags = "--rx-ring 64 --tx-ring 64 --fill-frames 64";
    let flags: Vec<&str> = flags.split(' ').collect();
    let server = lab.serve(&flags);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_same(&lab.get("/large"), &large));
        }
    });
    server.stop();
}

#[test]
fn sizes_that_cannot_be_are_refused_in_one_line() {
    let lab = Lab::new();
    for (mtu, flags, want) in [
        (
            1_500,
            "--rx-ring 1000",
            "--rx-ring 1000: a ring holds a power of two of packets, from 64 to 262144; 1024 is \
             the nearest",
        ),
        (
            1_500,
            "--tx-ring 32",
            "--tx-ring 32: a ring holds a power of two of packets, from 64 to 262144; 64 is the \
             nearest",
        ),
        (
            1_500,
            "--fill-frames 0",
            "--fill-frames 0: from 64 to 262144 are needed",
        ),
        (
            1_500,
            "--frame-bytes 3000",
            "--frame-bytes 3000: 2048 or 4096 is needed",
        ),
        (
            65_535,
            "--frame-bytes 2048",
            "AF_XDP socket settings: a frame of 65549 bytes takes 33 chunks of 2048, and 17 are \
             the most; use larger ones (--frame-bytes 4096)",
        ),
    ] {
        set_mtu(&lab, mtu);
        let mut server = lab.launch(&flags.split(' ').collect::<Vec<&str>>());
        assert_eq!(server.process.end(PATIENCE).code(), Some(1), "{flags}");
        let want = format!("xdphttpd: {want}\n");
        server
            .stderr
            .wait_for("the reason", |text| text.ends_with(&want));
        assert_eq!(server.stdout.text(), "");
        assert!(!lab.has_xdp(), "nothing stays attached");
    }
}

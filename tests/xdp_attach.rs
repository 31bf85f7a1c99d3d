//! Attaching to real devices, on veth pairs made for each test; what becomes of a program that is
//! there already; and devices inspected and followed. Needs root.

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use xdphttpd::xdp::device;
use xdphttpd::xdp::{Attachment, Device, Error, Event, Mode, ModeWanted, Program, Source, Watch};

#[path = "fixtures/xdp_lab.rs"]
mod xdp_lab;
use xdp_lab::{build_object, need_root};

/// A veth pair, NAME0 and NAME1, both up; deleted when dropped.
struct Veth {
    name: String,
    ifindex: u32,
}

impl Veth {
    fn new(prefix: &str, options: &str) -> Self {
        need_root();
        let (name, peer) = (format!("{prefix}0"), format!("{prefix}1"));
        // Left over from a run that was killed.
        let _ = Command::new("ip")
            .args(["link", "del", &name])
            .stderr(Stdio::null())
            .status();
        run(&format!(
            "ip link add {name} {options} type veth peer name {peer} {options}"
        ));
        run(&format!("ip link set {name} up"));
        run(&format!("ip link set {peer} up"));
        let ifindex = std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).unwrap();
        let ifindex = ifindex.trim().parse().unwrap();
        Veth { name, ifindex }
    }

    fn attach(&self, program: &Program, wanted: ModeWanted) -> Result<Attachment, Error> {
        program.attach(self.ifindex, &self.name, wanted, false)
    }

    fn replace(&self, program: &Program, wanted: ModeWanted) -> Result<Attachment, Error> {
        program.attach(self.ifindex, &self.name, wanted, true)
    }

    /// What `ip link` says of XDP on the device: the mode and the program's name.
    fn xdp(&self) -> Option<(String, String)> {
        let text = run(&format!("ip link show dev {}", self.name));
        let mut words = text.split_whitespace();
        let mode = words.find(|word| word.starts_with("xdp"))?;
        words
            .find(|word| *word == "name")
            .expect("a program's name");
        Some((mode.to_owned(), words.next().unwrap().to_owned()))
    }
}

impl Drop for Veth {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["link", "del", &self.name])
            .stderr(Stdio::null())
            .status();
    }
}

/// Runs a command, which must succeed, and returns what it printed.
fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output();
    let output = output.unwrap_or_else(|error| panic!("{command}: {error}"));
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn ours() -> Program {
    need_root();
    Program::load(Source::Embedded, 1).unwrap()
}

/// A program of somebody's own, for frames of one buffer only.
fn plain() -> Program {
    need_root();
    let directory = tempfile::tempdir().unwrap();
    let path = build_object(directory.path(), &[]);
    let source = Source::File {
        path: &path,
        progname: None,
    };
    Program::load(source, 1).unwrap()
}

fn xdp(mode: &str, program: &str) -> Option<(String, String)> {
    Some((mode.to_owned(), program.to_owned()))
}

#[test]
fn native_is_had_on_veth_and_goes_with_the_attachment() {
    let (veth, program) = (Veth::new("hda", ""), ours());
    for wanted in [ModeWanted::Auto, ModeWanted::Native] {
        let attachment = veth.attach(&program, wanted).unwrap();
        assert_eq!(attachment.mode(), Mode::Native);
        assert_eq!(attachment.fallback(), None);
        assert_eq!(veth.xdp(), xdp("xdp", "xdphttpd"));
        drop(attachment);
        assert_eq!(veth.xdp(), None);
    }
}

#[test]
fn native_is_had_at_every_mtu_that_packets_can_have() {
    let (veth, program) = (Veth::new("hdi", ""), ours());
    for mtu in [1500, 3507, 9000, 65_535] {
        run(&format!("ip link set hdi0 mtu {mtu}"));
        run(&format!("ip link set hdi1 mtu {mtu}"));
        let attachment = veth.attach(&program, ModeWanted::Native).unwrap();
        assert!(attachment.has_frags(), "{mtu}");
        assert_eq!(veth.xdp(), xdp("xdp", "xdphttpd"), "{mtu}");
    }
}

#[test]
fn generic_when_asked_for() {
    let (veth, program) = (Veth::new("hdb", ""), ours());
    let attachment = veth.attach(&program, ModeWanted::Generic).unwrap();
    assert_eq!(attachment.mode(), Mode::Generic);
    assert_eq!(attachment.fallback(), None, "nothing else was tried");
    assert_eq!(veth.xdp(), xdp("xdpgeneric", "xdphttpd"));
    attachment.detach().unwrap();
    assert_eq!(veth.xdp(), None);
}

#[test]
fn an_mtu_too_large_for_native_is_explained_and_auto_falls_back() {
    let (veth, program) = (Veth::new("hdc", "mtu 9000"), plain());
    let reason = "its MTU 9000 is above 3506, the most that native XDP takes: \
                  ip link set hdc0 mtu 3506 (a veth's peer likewise)";
    let error = veth.attach(&program, ModeWanted::Native).unwrap_err();
    let expected = format!("can't attach the XDP program to hdc0 in native mode: {reason}");
    assert_eq!(error.to_string(), expected);
    assert_eq!(veth.xdp(), None);

    let attachment = veth.attach(&program, ModeWanted::Auto).unwrap();
    assert_eq!(attachment.mode(), Mode::Generic);
    assert_eq!(attachment.fallback(), Some(reason));
    assert_eq!(veth.xdp(), xdp("xdpgeneric", "custom_redirect"));
    assert!(!attachment.has_frags());
    drop(attachment);

    // Only the peer's is too large; then neither.
    run("ip link set hdc0 mtu 1500");
    let error = veth
        .attach(&program, ModeWanted::Native)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("MTU of its veth peer is above 3506"),
        "{error}"
    );
    run("ip link set hdc1 mtu 3506");
    run("ip link set hdc0 mtu 3506");
    let attachment = veth.attach(&program, ModeWanted::Native).unwrap();
    assert_eq!(attachment.mode(), Mode::Native);
}

#[test]
fn fewer_rx_queues_than_the_peers_tx_queues() {
    let program = ours();
    need_root();
    let _ = Command::new("ip")
        .args(["link", "del", "hdd0"])
        .stderr(Stdio::null())
        .status();
    run("ip link add hdd0 numrxqueues 1 numtxqueues 1 type veth \
         peer name hdd1 numrxqueues 2 numtxqueues 2");
    let ifindex = std::fs::read_to_string("/sys/class/net/hdd0/ifindex").unwrap();
    let veth = Veth {
        name: "hdd0".into(),
        ifindex: ifindex.trim().parse().unwrap(),
    };
    run("ip link set hdd0 up");
    run("ip link set hdd1 up");
    let attachment = veth.attach(&program, ModeWanted::Auto).unwrap();
    let reason = attachment.fallback().unwrap();
    assert!(reason.starts_with("its veth peer has more TX queues than it has RX queues"));
    assert_eq!(attachment.mode(), Mode::Generic);
}

#[test]
fn a_device_that_is_not_there() {
    let error = ours()
        .attach(0x7fff_0000, "hdnone", ModeWanted::Auto, false)
        .unwrap_err();
    assert_eq!(error.to_string(), "hdnone is gone");
}

#[test]
fn somebody_elses_link_is_named_and_left_alone() {
    let (veth, first, second) = (Veth::new("hde", ""), ours(), ours());
    let attachment = veth.attach(&first, ModeWanted::Native).unwrap();
    for wanted in [ModeWanted::Auto, ModeWanted::Native, ModeWanted::Generic] {
        let error = veth.attach(&second, wanted).unwrap_err();
        let Error::Occupied { name, mode, id, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!((name.as_str(), *mode), ("xdphttpd", Mode::Native));
        assert_eq!(
            error.to_string(),
            format!(
                "hde0 already has an XDP program: xdphttpd (id {id}, native mode); -F replaces it"
            )
        );
    }
    drop(attachment);
    assert_eq!(
        veth.attach(&second, ModeWanted::Auto).unwrap().mode(),
        Mode::Native
    );
}

#[test]
fn somebody_elses_link_is_replaced_by_force() {
    let (veth, first, second) = (Veth::new("hdf", ""), ours(), ours());
    let lost = veth.attach(&first, ModeWanted::Generic).unwrap();
    let attachment = veth.replace(&second, ModeWanted::Auto).unwrap();
    assert_eq!(attachment.mode(), Mode::Native);
    assert_eq!(veth.xdp(), xdp("xdp", "xdphttpd"));
    // The former owner lets go of what it no longer has: ours stays.
    lost.detach().unwrap();
    assert_eq!(veth.xdp(), xdp("xdp", "xdphttpd"));
    attachment.detach().unwrap();
    assert_eq!(veth.xdp(), None, "a link's program can't be put back");
}

#[test]
fn a_program_attached_by_netlink_makes_way_by_force_and_comes_back() {
    let (veth, program) = (Veth::new("hdg", ""), ours());
    let directory = tempfile::tempdir().unwrap();
    let object = build_object(directory.path(), &["FOREIGN"]);
    for (command, shown, mode) in [
        ("xdpdrv", "xdp", Mode::Native),
        ("xdpgeneric", "xdpgeneric", Mode::Generic),
    ] {
        run(&format!(
            "ip link set dev hdg0 {command} obj {} sec xdp",
            object.display()
        ));
        assert_eq!(veth.xdp(), xdp(shown, "foreign_pass"));

        let error = veth
            .attach(&program, ModeWanted::Auto)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("hdg0 already has an XDP program: foreign_pass (id "),
            "{error}"
        );
        assert!(
            error.ends_with(&format!(", {mode} mode); -F replaces it")),
            "{error}"
        );
        assert_eq!(veth.xdp(), xdp(shown, "foreign_pass"));

        let attachment = veth.replace(&program, ModeWanted::Auto).unwrap();
        assert_eq!(attachment.mode(), Mode::Native);
        assert_eq!(veth.xdp(), xdp("xdp", "xdphttpd"));
        attachment.detach().unwrap();
        assert_eq!(veth.xdp(), xdp(shown, "foreign_pass"), "after detach");

        drop(veth.replace(&program, ModeWanted::Generic).unwrap());
        assert_eq!(veth.xdp(), xdp(shown, "foreign_pass"), "after drop");
        run(&format!("ip link set dev hdg0 {command} off"));
    }
}

#[test]
fn what_made_way_comes_back_when_the_attach_fails() {
    let (veth, program) = (Veth::new("hdh", "mtu 9000"), plain());
    let directory = tempfile::tempdir().unwrap();
    let object = build_object(directory.path(), &["FOREIGN"]);
    run(&format!(
        "ip link set dev hdh0 xdpgeneric obj {} sec xdp",
        object.display()
    ));
    let error = veth
        .replace(&program, ModeWanted::Native)
        .unwrap_err()
        .to_string();
    assert!(error.contains("its MTU 9000 is above 3506"), "{error}");
    assert_eq!(veth.xdp(), xdp("xdpgeneric", "foreign_pass"));
}

#[test]
fn what_made_way_stays_away_if_the_hook_was_taken_meanwhile() {
    let (veth, program, other) = (Veth::new("hdj", ""), ours(), ours());
    let directory = tempfile::tempdir().unwrap();
    let object = build_object(directory.path(), &["FOREIGN"]);
    run(&format!(
        "ip link set dev hdj0 xdpgeneric obj {} sec xdp",
        object.display()
    ));
    let first = veth.replace(&program, ModeWanted::Auto).unwrap();
    let second = veth.replace(&other, ModeWanted::Generic).unwrap();
    let error = first.detach().unwrap_err().to_string();
    assert!(
        error.starts_with("can't put back the XDP program foreign_pass (id "),
        "{error}"
    );
    assert_eq!(veth.xdp(), xdp("xdpgeneric", "xdphttpd"));
    drop(second);
    assert_eq!(veth.xdp(), None);
}

/// Set for the process that the next test starts: the device that it is to attach to.
const HOLD: &str = "XDPHTTPD_TEST_HOLD";

#[test]
fn kill_9_gives_the_device_back() {
    if let Ok(device) = std::env::var(HOLD) {
        hold(&device);
    }
    let veth = Veth::new("hdk", "");
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill_9_gives_the_device_back", "--nocapture"])
        .env(HOLD, format!("{} {}", veth.ifindex, veth.name))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(holder.stdout.take().unwrap());
    assert!(
        output.lines().any(|line| line.unwrap().contains("holding")),
        "the holder failed"
    );
    assert_eq!(veth.xdp(), xdp("xdp", "xdphttpd"));

    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(veth.xdp(), None);
}

fn hold(device: &str) -> ! {
    let (ifindex, name) = device.split_once(' ').unwrap();
    let ifindex = ifindex.parse().unwrap();
    let _attachment = ours()
        .attach(ifindex, name, ModeWanted::Auto, false)
        .unwrap();
    println!("holding");
    // Longer than the test needs, and no longer than a lost process may stay.
    thread::sleep(Duration::from_secs(60));
    panic!("nobody killed me");
}

/// Leaves the calling thread (capabilities are a thread's own) with these capabilities in effect.
fn keep_only(kept: CapabilitySet) {
    let now = capabilities(None).unwrap();
    let effective = now.permitted & kept;
    set_capabilities(None, CapabilitySets { effective, ..now }).unwrap();
}

#[test]
fn missing_capabilities_are_named() {
    need_root();
    keep_only(CapabilitySet::empty());
    let error = Program::load(Source::Embedded, 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "not allowed to load the embedded XDP program: CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN missing \
         (run as root)"
    );
    // With this one missing the verifier refuses what it otherwise takes: EACCES, not EPERM.
    keep_only(CapabilitySet::BPF | CapabilitySet::NET_ADMIN);
    let error = Program::load(Source::Embedded, 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "not allowed to load the embedded XDP program: CAP_PERFMON missing (run as root)"
    );
}

#[test]
fn three_capabilities_are_enough_but_not_to_replace_somebody_else() {
    let (veth, before) = (Veth::new("hdm", ""), ours());
    keep_only(CapabilitySet::BPF | CapabilitySet::PERFMON | CapabilitySet::NET_ADMIN);
    let program = ours();
    let attachment = veth.attach(&program, ModeWanted::Auto).unwrap();
    assert_eq!(attachment.mode(), Mode::Native);

    let error = veth
        .attach(&before, ModeWanted::Auto)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("hdm0 already has an XDP program: name unknown (id "),
        "{error}"
    );
    let error = veth
        .replace(&before, ModeWanted::Auto)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("not allowed to "), "{error}");
    assert!(error.contains("CAP_SYS_ADMIN"), "{error}");
    attachment.detach().unwrap();
}

/// The next event but for those of the link's state.
async fn next_address_event(watch: &mut Watch) -> Event {
    loop {
        match next(watch).await {
            Event::Link { .. } => {}
            event => return event,
        }
    }
}

async fn next(watch: &mut Watch) -> Event {
    let event = tokio::time::timeout(Duration::from_secs(20), watch.next()).await;
    event.expect("no event came").expect("the watch ended")
}

async fn until(watch: &mut Watch, expected: Event) {
    while next(watch).await != expected {}
}

#[tokio::test]
async fn a_device_is_inspected() {
    let veth = Veth::new("hdn", "mtu 1400 numrxqueues 2 numtxqueues 3");
    run("ip link set hdn0 address 02:00:00:00:77:01");
    run("ip addr add 10.177.1.1/24 dev hdn0");
    run("ip addr add 10.177.1.9/24 dev hdn0");
    run("ip addr add fd00:177::1/64 dev hdn0");
    let expected = Device {
        ifindex: veth.ifindex,
        name: "hdn0".into(),
        mac: [2, 0, 0, 0, 0x77, 1],
        mtu: 1400,
        up: true,
        running: true,
        rx_queues: 2,
        tx_queues: 3,
        addresses: vec![Ipv4Addr::new(10, 177, 1, 1), Ipv4Addr::new(10, 177, 1, 9)],
    };
    assert_eq!(inspect_once_running("hdn0", true).await, expected);

    run("ip link set hdn1 down");
    let no_carrier = inspect_once_running("hdn0", false).await;
    assert!(no_carrier.up && !no_carrier.running);
    run("ip link set hdn0 down");
    let off = inspect_once_running("hdn0", false).await;
    assert!(!off.up && !off.running);
}

/// The kernel's link watch may take up to a second to see a carrier come or go.
async fn inspect_once_running(name: &str, running: bool) -> Device {
    loop {
        let device = device::inspect(name).await.unwrap();
        if device.running == running {
            return device;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_unknown_device_is_answered_with_those_there_are() {
    let _veth = Veth::new("hdo", "");
    let error = device::inspect("hdo7").await.unwrap_err().to_string();
    let existing = error
        .strip_prefix("there is no device hdo7; there are: ")
        .unwrap();
    let existing: Vec<&str> = existing.split(", ").collect();
    for name in ["lo", "hdo0", "hdo1"] {
        assert!(existing.contains(&name), "{error}");
    }
    let too_long = device::inspect("a-name-that-no-device-can-have")
        .await
        .unwrap_err();
    assert!(matches!(too_long, Error::NoSuchDevice { .. }));
}

#[tokio::test]
async fn addresses_are_followed() {
    let veth = Veth::new("hdp", "");
    let mut watch = Watch::open(veth.ifindex).await.unwrap();
    run("ip addr add 10.177.2.3/24 dev hdp1"); // another device: not told
    run("ip addr add 10.177.2.1/24 dev hdp0");
    run("ip addr add 10.177.2.2/32 dev hdp0");
    run("ip addr del 10.177.2.1/24 dev hdp0");
    let (first, second) = (Ipv4Addr::new(10, 177, 2, 1), Ipv4Addr::new(10, 177, 2, 2));
    assert_eq!(
        next_address_event(&mut watch).await,
        Event::AddressAdded(first)
    );
    assert_eq!(
        next_address_event(&mut watch).await,
        Event::AddressAdded(second)
    );
    assert_eq!(
        next_address_event(&mut watch).await,
        Event::AddressRemoved(first)
    );
    // The device's own address, not its peer's.
    run("ip addr add 10.177.2.7 peer 10.177.2.8 dev hdp0");
    let own = Ipv4Addr::new(10, 177, 2, 7);
    assert_eq!(
        next_address_event(&mut watch).await,
        Event::AddressAdded(own)
    );
}

#[tokio::test]
async fn down_and_up_are_followed_and_a_bridge_is_no_end() {
    let veth = Veth::new("hdq", "");
    let mut watch = Watch::open(veth.ifindex).await.unwrap();
    run("ip link set hdq0 down");
    until(
        &mut watch,
        Event::Link {
            up: false,
            running: false,
        },
    )
    .await;
    run("ip link set hdq0 up");
    until(
        &mut watch,
        Event::Link {
            up: true,
            running: true,
        },
    )
    .await;

    inspect_once_running("hdq0", true).await;
    let mut watch = Watch::open(veth.ifindex).await.unwrap();
    run("ip link set hdq0 mtu 1400");
    assert!(matches!(next(&mut watch).await, Event::Link { .. }));

    // A change of something else is no event; leaving a bridge is not going.
    let _ = Command::new("ip")
        .args(["link", "del", "hdqbr"])
        .stderr(Stdio::null())
        .status();
    run("ip link add hdqbr type bridge");
    run("ip link set hdq0 master hdqbr");
    run("ip link set hdq0 nomaster");
    run("ip link del hdqbr");
    run("ip addr add 10.177.3.1/24 dev hdq0");
    let added = Event::AddressAdded(Ipv4Addr::new(10, 177, 3, 1));
    assert_eq!(next(&mut watch).await, added);

    run("ip link del hdq0");
    until(&mut watch, Event::Gone).await;
}

#[tokio::test]
async fn attaching_is_no_change_of_state() {
    let (veth, program) = (Veth::new("hdr", ""), ours());
    inspect_once_running("hdr0", true).await;
    let mut watch = Watch::open(veth.ifindex).await.unwrap();
    run("ip link set hdr0 mtu 1400"); // the first word about the link is always told
    let state = Event::Link {
        up: true,
        running: true,
    };
    assert_eq!(next(&mut watch).await, state);
    run("ip link set hdr0 mtu 1300");
    drop(veth.attach(&program, ModeWanted::Generic).unwrap());
    run("ip addr add 10.177.4.1/24 dev hdr0");
    let added = Event::AddressAdded(Ipv4Addr::new(10, 177, 4, 1));
    assert_eq!(next(&mut watch).await, added);
}

#[tokio::test]
async fn lost_messages_are_told() {
    let veth = Veth::new("hds", "");
    let mut watch = Watch::open(veth.ifindex).await.unwrap();
    // This thread runs the runtime too, so nothing is read while `ip` is at work.
    let batch = tempfile::NamedTempFile::new().unwrap();
    let line = "addr add 10.177.5.1/24 dev hds0\naddr del 10.177.5.1/24 dev hds0\n";
    std::fs::write(batch.path(), line.repeat(2000)).unwrap();
    run(&format!("ip -batch {}", batch.path().display()));
    until(&mut watch, Event::Resync).await;

    run("ip addr add 10.177.5.9/24 dev hds0");
    until(
        &mut watch,
        Event::AddressAdded(Ipv4Addr::new(10, 177, 5, 9)),
    )
    .await;
}

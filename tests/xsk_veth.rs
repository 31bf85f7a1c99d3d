//! AF_XDP sockets on one end of a veth pair, the other end in a namespace of its
//! own. Needs root.

use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, recv, socket_with, sockopt,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use xdphttpd::xsk::{Config, CopyMode, Error, Tx, Wake, Xsk};

/// IEEE 802's EtherType for experiments: no one else sends it.
const ETHERTYPE: [u8; 2] = [0x88, 0xb5];
/// How long any frame may be under way before a test fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// A veth pair: `hxN` out here, `hxNp` in the namespace `hxN`.
struct Lab {
    name: &'static str,
}

impl Lab {
    fn new(name: &'static str) -> Lab {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test makes network devices: run it as root"
        );
        let lab = Lab { name };
        lab.remove();
        ip(&format!("netns add {name}"));
        ip(&format!(
            "link add {name} numrxqueues 1 numtxqueues 1 type veth peer name {name}p netns {name}"
        ));
        ip(&format!("link set {name} up"));
        ip(&format!("-n {name} link set {name}p up"));
        lab
    }

    fn remove(&self) {
        // Both fail when there is nothing left of an earlier run: as it should be.
        for command in [
            format!("link del {}", self.name),
            format!("netns del {}", self.name),
        ] {
            let _ = Command::new("ip").args(command.split(' ')).output();
        }
    }

    fn config(&self, copy: CopyMode) -> Config {
        Config {
            copy,
            ..Config::new(self.name, 0)
        }
    }

    fn set(&self, state: &str) {
        ip(&format!("link set {} {state}", self.name));
    }

    /// A packet socket that sees all that arrives at the far end.
    fn peer(&self) -> OwnedFd {
        let name = self.name;
        std::thread::spawn(move || {
            let namespace = std::fs::File::open(format!("/run/netns/{name}")).unwrap();
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            let all = Protocol::from_raw(u32::from(3u16.to_be()).try_into().unwrap());
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let fd = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, Some(all)).unwrap();
            sockopt::set_socket_recv_buffer_size_force(&fd, 16 << 20).unwrap();
            fd
        })
        .join()
        .unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.remove();
    }
}

fn ip(arguments: &str) {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .expect("iproute2 is installed");
    assert!(
        output.status.success(),
        "ip {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A frame to everyone, with its number in it and contents that depend on it.
fn frame(number: u32, len: usize) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 1]);
    frame.extend(ETHERTYPE);
    frame.extend(number.to_be_bytes());
    frame.extend((frame.len()..len).map(|at| (number as usize * 7 + at) as u8));
    frame
}

/// The next frame of ours at the far end, or none within the patience.
fn receive(peer: &OwnedFd, patience: Duration) -> Option<Vec<u8>> {
    let deadline = Instant::now() + patience;
    let mut buffer = vec![0; 1 << 17];
    loop {
        match recv(peer, &mut buffer[..], RecvFlags::empty()) {
            Ok((len, _)) if buffer[12..14] == ETHERTYPE => return Some(buffer[..len].to_vec()),
            Ok(_) => {}
            Err(Errno::AGAIN) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(1))
            }
            Err(Errno::AGAIN) => return None,
            Err(errno) => panic!("receiving at the far end: {errno}"),
        }
    }
}

fn queue(tx: &mut Tx, bytes: &[u8]) -> bool {
    tx.send(bytes.len(), |frame| frame.copy_from_slice(bytes))
        .is_some()
}

/// Wakes until there is nothing more to do.
fn flush(tx: &mut Tx) {
    tx.commit();
    let deadline = Instant::now() + PATIENCE;
    loop {
        match tx.wake().expect("the socket works") {
            Wake::Done => return,
            Wake::Again => assert!(Instant::now() < deadline, "the ring does not drain"),
            other => panic!("{other:?} on a device that is up"),
        }
    }
}

fn settle(tx: &mut Tx) {
    let deadline = Instant::now() + PATIENCE;
    while tx.pending() > 0 {
        assert!(
            Instant::now() < deadline,
            "{} frames are never completed",
            tx.pending()
        );
        tx.reclaim();
        std::thread::yield_now();
    }
}

#[test]
fn frames_of_every_size_arrive_byte_for_byte() {
    let lab = Lab::new("hx0");
    let peer = lab.peer();
    let mut xsk = Xsk::open(&lab.config(CopyMode::Copy)).unwrap();
    assert!(!xsk.zero_copy());
    assert_eq!(xsk.fallback(), None);
    let sizes = [18, 59, 60, 61, 64, 128, 777, 1024, 1513, 1514];
    for (number, len) in sizes.into_iter().enumerate() {
        assert!(queue(&mut xsk.tx, &frame(number as u32, len)));
    }
    assert_eq!(xsk.tx.pending(), sizes.len());
    assert_eq!(
        receive(&peer, Duration::from_millis(50)),
        None,
        "nothing is published yet"
    );
    flush(&mut xsk.tx);
    for (number, len) in sizes.into_iter().enumerate() {
        assert_eq!(receive(&peer, PATIENCE), Some(frame(number as u32, len)));
    }
    settle(&mut xsk.tx);
    assert_eq!(xsk.statistics().unwrap().tx_invalid_descs, 0);
}

#[test]
fn frames_of_several_chunks_arrive_byte_for_byte() {
    let lab = Lab::new("hx9");
    lab.set("mtu 65535");
    ip("-n hx9 link set hx9p mtu 65535");
    let peer = lab.peer();
    let config = Config {
        largest_bytes: 65_549,
        ..lab.config(CopyMode::Copy)
    };
    let mut xsk = Xsk::open(&config).unwrap();
    let sizes = [
        60, 1_514, 4_096, 4_097, 9_014, 61, 30_014, 61_440, 65_535, 65_549,
    ];
    for lap in 0..20 {
        for (at, len) in sizes.into_iter().enumerate() {
            let number = (lap * sizes.len() + at) as u32;
            assert!(queue(&mut xsk.tx, &frame(number, len)));
            flush(&mut xsk.tx);
            let got = receive(&peer, PATIENCE).expect("it arrives");
            assert!(got == frame(number, len), "{} bytes for {len}", got.len());
        }
    }
    settle(&mut xsk.tx);
    assert_eq!(xsk.tx.counters().large, 20 * 6);
    assert_eq!(xsk.statistics().unwrap().tx_invalid_descs, 0);
}

#[test]
fn frames_of_many_laps_arrive_and_complete() {
    let lab = Lab::new("hx1");
    let peer = lab.peer();
    let config = Config {
        fill_frames: 64,
        rx_ring: 64,
        tx_ring: 256,
        ..lab.config(CopyMode::Copy)
    };
    let mut xsk = Xsk::open(&config).unwrap();
    let len = |number: u32| 18 + (number as usize * 37) % 1400;
    let (mut queued, mut arrived) = (0, 0);
    while arrived < 10_000 {
        while queued < 10_000 && xsk.tx.ready() {
            assert!(queue(&mut xsk.tx, &frame(queued, len(queued))));
            queued += 1;
        }
        flush(&mut xsk.tx);
        while arrived < queued {
            assert_eq!(receive(&peer, PATIENCE), Some(frame(arrived, len(arrived))));
            arrived += 1;
        }
    }
    settle(&mut xsk.tx);
    assert_eq!(xsk.tx.counters().frames, 10_000);
    assert_eq!(xsk.tx.counters().dropped, 0);
    assert_eq!(xsk.tx.counters().bad_completions, 0);
    assert_eq!(
        receive(&peer, Duration::from_millis(50)),
        None,
        "no frame arrives twice"
    );
}

#[test]
fn frames_wait_while_the_device_is_down() {
    let lab = Lab::new("hx2");
    let peer = lab.peer();
    let mut xsk = Xsk::open(&lab.config(CopyMode::Copy)).unwrap();
    lab.set("down");
    for number in 0..3 {
        assert!(queue(&mut xsk.tx, &frame(number, 100)));
    }
    xsk.tx.commit();
    assert_eq!(xsk.tx.wake().unwrap(), Wake::Down);
    assert_eq!(xsk.tx.pending(), 3);
    assert_eq!(xsk.tx.counters().down, 1);
    assert!(xsk.rx.wake().is_ok());
    lab.set("up");
    flush(&mut xsk.tx);
    for number in 0..3 {
        assert_eq!(receive(&peer, PATIENCE), Some(frame(number, 100)));
    }
    settle(&mut xsk.tx);
}

#[test]
fn a_frame_without_carrier_is_dropped_and_completed() {
    let lab = Lab::new("hx3");
    let mut xsk = Xsk::open(&lab.config(CopyMode::Copy)).unwrap();
    ip("-n hx3 link set hx3p down");
    for number in 0..2 {
        assert!(queue(&mut xsk.tx, &frame(number, 100)));
    }
    xsk.tx.commit();
    assert_eq!(xsk.tx.wake().unwrap(), Wake::Dropped);
    assert_eq!(xsk.tx.wake().unwrap(), Wake::Dropped);
    ip("-n hx3 link set hx3p up");
    let peer = lab.peer();
    assert!(queue(&mut xsk.tx, &frame(2, 100)));
    flush(&mut xsk.tx);
    assert_eq!(receive(&peer, PATIENCE), Some(frame(2, 100)));
    settle(&mut xsk.tx);
    assert_eq!(xsk.tx.counters().dropped, 2);
}

#[test]
fn a_device_that_is_gone_is_an_error() {
    let lab = Lab::new("hx4");
    let mut xsk = Xsk::open(&lab.config(CopyMode::Copy)).unwrap();
    ip("link del hx4");
    assert!(queue(&mut xsk.tx, &frame(0, 100)));
    xsk.tx.commit();
    let Err(error) = xsk.tx.wake() else {
        panic!("there is no device to send on")
    };
    assert!(
        matches!(
            error,
            Error::Socket {
                call: "send",
                queue: 0,
                errno: Errno::NXIO
            }
        ),
        "{error}"
    );
}

#[test]
fn a_queue_has_one_socket_at_a_time() {
    let lab = Lab::new("hx5");
    let first = Xsk::open(&lab.config(CopyMode::Copy)).unwrap();
    let error = Xsk::open(&lab.config(CopyMode::Auto))
        .err()
        .expect("the queue is taken");
    assert!(matches!(error, Error::Busy { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "queue 0 of hx5 is taken: another process has an AF_XDP socket there; end it, or choose another queue with -Q"
    );
    drop(first);
    // Again and again: the kernel lets go of the queue some time after the close.
    for _ in 0..5 {
        let mut xsk = Xsk::open(&lab.config(CopyMode::Copy)).unwrap();
        assert!(xsk.tx.ready());
    }
}

#[test]
fn zero_copy_is_demanded_or_given_up_with_a_reason() {
    let lab = Lab::new("hx6");
    let error = Xsk::open(&lab.config(CopyMode::ZeroCopy))
        .err()
        .expect("veth has no zero copy");
    assert!(matches!(error, Error::NoZeroCopy { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "the driver of hx6 has no zero copy; leave out -z"
    );
    let xsk = Xsk::open(&lab.config(CopyMode::Auto)).unwrap();
    assert!(!xsk.zero_copy());
    assert_eq!(xsk.fallback(), Some("the driver of hx6 has no zero copy"));
    assert_eq!(xsk.queue(), 0);
}

#[test]
fn what_is_not_there_is_named() {
    let lab = Lab::new("hx7");
    for (config, expected) in [
        (
            Config::new("hx-none", 0),
            "there is no network device hx-none in this network namespace",
        ),
        (
            Config::new("hx\0", 0),
            "there is no network device hx\0 in this network namespace",
        ),
        (
            Config {
                queue: 1,
                ..lab.config(CopyMode::Auto)
            },
            "hx7 has no queue 1: it has 1, counted from 0",
        ),
        (
            Config {
                queue: u32::MAX,
                ..lab.config(CopyMode::Copy)
            },
            "hx7 has no queue 4294967295: it has 1, counted from 0",
        ),
    ] {
        let error = Xsk::open(&config).err().expect("this can't be opened");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_socket_moves_into_its_thread_and_its_halves_outlive_it() {
    let lab = Lab::new("hx9");
    let peer = lab.peer();
    let xsk = Xsk::open(&lab.config(CopyMode::Copy)).unwrap();
    let Xsk { mut tx, .. } = std::thread::spawn(move || xsk).join().unwrap();
    assert!(queue(&mut tx, &frame(1, 60)));
    flush(&mut tx);
    assert_eq!(receive(&peer, PATIENCE), Some(frame(1, 60)));
    settle(&mut tx);
}

//! Reception from the kernel: two sockets, one on either end of a veth pair, and
//! a program of six instructions that redirects everything. Needs root.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;
use std::time::{Duration, Instant};

use libbpf_sys as bpf;
use rustix::net::{AddressFamily, SocketType, netdevice, socket};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::xsk::{Config, CopyMode, Tx, Wake, Xsk};

const OUTER: &str = "hxrx";
const INNER: &str = "hxrxp";
const NAMESPACE: &str = "hxrx";
/// IEEE 802's EtherType for experiments: no one else sends it.
const ETHERTYPE: [u8; 2] = [0x88, 0xb5];
const PATIENCE: Duration = Duration::from_secs(10);

struct Lab;

impl Lab {
    fn new() -> Lab {
        let root = rustix::process::geteuid().is_root();
        assert!(root, "this test makes network devices: run it as root");
        Lab::remove();
        ip(&format!("netns add {NAMESPACE}"));
        let queues = "numrxqueues 1 numtxqueues 1";
        ip(&format!(
            "link add {OUTER} {queues} type veth peer name {INNER} {queues} netns {NAMESPACE}"
        ));
        // No IPv6, so no frames but ours.
        ip(&format!("link set {OUTER} addrgenmode none"));
        ip(&format!("-n {NAMESPACE} link set {INNER} addrgenmode none"));
        ip(&format!("link set {OUTER} up"));
        ip(&format!("-n {NAMESPACE} link set {INNER} up"));
        Lab
    }

    fn remove() {
        // Both fail when there is nothing left of an earlier run: as it should be.
        for command in [
            format!("link del {OUTER}"),
            format!("netns del {NAMESPACE}"),
        ] {
            let _ = Command::new("ip").args(command.split(' ')).output();
        }
    }

    /// A socket on the far end, to send from.
    fn sender(&self) -> Xsk {
        std::thread::spawn(|| {
            let namespace = File::open(format!("/run/netns/{NAMESPACE}")).unwrap();
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            Xsk::open(&Config {
                copy: CopyMode::Copy,
                ..Config::new(INNER, 0)
            })
            .unwrap()
        })
        .join()
        .unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        Lab::remove();
    }
}

fn ip(arguments: &str) {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .expect("iproute2 is there");
    assert!(
        output.status.success(),
        "ip {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn instruction(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> bpf::bpf_insn {
    let mut instruction = bpf::bpf_insn {
        code,
        off,
        imm,
        ..Default::default()
    };
    instruction.set_dst_reg(dst);
    instruction.set_src_reg(src);
    instruction
}

fn owned(fd: i32) -> OwnedFd {
    assert!(fd >= 0, "bpf: {}", std::io::Error::from_raw_os_error(-fd));
    // SAFETY: a descriptor that a system call just returned is no one else's.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Redirects all that the outer end receives to the socket; until dropped.
fn redirect(xsk: &Xsk) -> OwnedFd {
    let name = c"hxrx".as_ptr();
    let map = bpf::BPF_MAP_TYPE_XSKMAP;
    // SAFETY: the name is a C string; no options.
    let map = owned(unsafe { bpf::bpf_map_create(map, name, 4, 4, 1, std::ptr::null()) });
    let (queue, fd) = (xsk.queue(), xsk.as_fd().as_raw_fd());
    let (key, value): (*const u32, *const i32) = (&queue, &fd);
    // SAFETY: key and value point to the four bytes each that the map has.
    let put = unsafe { bpf::bpf_map_update_elem(map.as_raw_fd(), key.cast(), value.cast(), 0) };
    assert_eq!(put, 0, "the socket goes into the map");
    // return bpf_redirect_map(&map, context->rx_queue_index, XDP_PASS)
    let program = [
        instruction(0x61, 2, 1, 16, 0),
        instruction(0x18, 1, bpf::BPF_PSEUDO_MAP_FD as u8, 0, map.as_raw_fd()),
        instruction(0, 0, 0, 0, 0),
        instruction(0xb7, 3, 0, 0, 2),
        instruction(0x85, 0, 0, 0, bpf::BPF_FUNC_redirect_map as i32),
        instruction(0x95, 0, 0, 0, 0),
    ];
    let (instructions, count) = (program.as_ptr(), program.len() as u64);
    let (kind, license, options) = (
        bpf::BPF_PROG_TYPE_XDP,
        c"GPL".as_ptr(),
        std::ptr::null_mut(),
    );
    // SAFETY: two C strings and an array with its length; no options.
    let fd = unsafe { bpf::bpf_prog_load(kind, name, license, instructions, count, options) };
    let program = owned(fd);
    let any = socket(AddressFamily::UNIX, SocketType::DGRAM, None).unwrap();
    let device = netdevice::name_to_index(any, OUTER).unwrap() as i32;
    // SAFETY: descriptors and an index only; no options.
    owned(unsafe {
        bpf::bpf_link_create(program.as_raw_fd(), device, bpf::BPF_XDP, std::ptr::null())
    })
}

fn frame(number: u32) -> Vec<u8> {
    let len = 60 + (number as usize * 37) % 1455;
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 1]);
    frame.extend(ETHERTYPE);
    frame.extend(number.to_be_bytes());
    frame.extend((frame.len()..len).map(|at| (number as usize * 7 + at) as u8));
    frame
}

fn send(tx: &mut Tx, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let bytes = frame(number);
        assert_eq!(
            tx.send(bytes.len(), |frame| frame.copy_from_slice(&bytes)),
            Some(())
        );
    }
    tx.commit();
    while tx.wake().unwrap() == Wake::Again {}
}

/// The next frame of ours, or none within the patience.
fn receive(xsk: &mut Xsk, patience: Duration) -> Option<crate::xsk::Frame> {
    let deadline = Instant::now() + patience;
    loop {
        match xsk.rx.next() {
            Some(frame) if xsk.rx.bytes(&frame)[12..14] == ETHERTYPE => return Some(frame),
            Some(other) => xsk.rx.recycle(other),
            None if Instant::now() < deadline => {
                xsk.rx.commit();
                xsk.rx.wake().unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
            None => return None,
        }
    }
}

#[test]
fn the_kernel_fills_frames_over_many_laps_and_after_starving() {
    let lab = Lab::new();
    let small = Config {
        copy: CopyMode::Copy,
        fill_frames: 60,
        rx_ring: 64,
        ..Config::new(OUTER, 0)
    };
    let mut xsk = Xsk::open(&small).unwrap();
    let _attached = redirect(&xsk);
    let mut sender = lab.sender();

    for lap in 0..200 {
        let numbers = lap * 50..(lap + 1) * 50;
        send(&mut sender.tx, numbers.clone());
        for number in numbers {
            let received = receive(&mut xsk, PATIENCE).expect("every frame arrives");
            assert_eq!(xsk.rx.bytes(&received), frame(number), "frame {number}");
            xsk.rx.recycle(received);
        }
        xsk.rx.commit();
        sender.tx.reclaim();
    }
    assert_eq!(xsk.rx.outstanding(), 0);

    // With every frame in our hands the kernel has to drop what comes.
    send(&mut sender.tx, 0..100);
    let mut held = Vec::new();
    while let Some(frame) = receive(&mut xsk, Duration::from_millis(200)) {
        held.push(frame);
    }
    assert!(
        (1..=60).contains(&held.len()),
        "{} of 60 frames are held",
        held.len()
    );
    for (number, received) in held.iter().enumerate() {
        assert_eq!(xsk.rx.bytes(received), frame(number as u32));
    }
    let statistics = xsk.statistics().unwrap();
    assert!(statistics.rx_fill_ring_empty_descs > 0, "{statistics:?}");
    assert_eq!(statistics.rx_invalid_descs, 0);
    held.into_iter().for_each(|frame| xsk.rx.recycle(frame));
    xsk.rx.commit();
    assert_eq!(xsk.rx.outstanding(), 0);

    send(&mut sender.tx, 500..501);
    let received = receive(&mut xsk, PATIENCE).expect("frames arrive again");
    assert_eq!(xsk.rx.bytes(&received), frame(500));
    xsk.rx.recycle(received);
    assert_eq!(xsk.rx.counters().bad_descriptors, 0);
}

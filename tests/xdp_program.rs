//! The XDP program over fixture frames (BPF_PROG_TEST_RUN): each with the action it must return and
//! the one counter that must rise; and object files of the user's own. Needs root.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};

use etherparse::{Ethernet2Header, PacketBuilder, PacketBuilderStep, TcpHeader};
use rustix::net::sockopt::{
    set_xdp_rx_ring_size, set_xdp_umem_completion_ring_size, set_xdp_umem_fill_ring_size,
    set_xdp_umem_reg,
};
use rustix::net::xdp::{XdpUmemReg, XdpUmemRegFlags};
use rustix::net::{AddressFamily, SocketType};
use xdphttpd::xdp::{Error, Program, Source, Verdicts};

#[path = "fixtures/xdp_lab.rs"]
mod xdp_lab;
use xdp_lab::{build_object, need_root};

const PASS: u32 = 2;
const REDIRECT: u32 = 4;

const OURS: [u8; 4] = [10, 11, 1, 1];
const CLIENT: [u8; 4] = [10, 11, 1, 2];

/// Offsets into a frame without VLAN tag.
const ETHERTYPE: usize = 12;
const IP: usize = 14;
const IP_TOTAL_LENGTH: usize = IP + 2;
const IP_FLAGS_OFFSET: usize = IP + 6;
const IP_PROTOCOL: usize = IP + 9;
const IP_DESTINATION: usize = IP + 16;

/// The embedded program for port 80 at OURS.
fn program() -> Program {
    need_root();
    let program = Program::load(Source::Embedded, 1).unwrap();
    program.ports().unwrap().insert(80).unwrap();
    program.addresses().unwrap().insert(OURS.into()).unwrap();
    program
}

fn ethernet() -> PacketBuilderStep<Ethernet2Header> {
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1])
}

fn tcp_frame(builder: PacketBuilderStep<TcpHeader>, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    builder.write(&mut frame, payload).unwrap();
    frame
}

fn udp_to(port: u16, address: [u8; 4]) -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = ethernet().ipv4(CLIENT, address, 64).udp(50000, port);
    builder.write(&mut frame, b"hello").unwrap();
    frame
}

/// A SYN to port 80 at OURS.
fn syn() -> Vec<u8> {
    tcp_to(80, OURS)
}

fn tcp_to(port: u16, address: [u8; 4]) -> Vec<u8> {
    tcp_frame(
        ethernet()
            .ipv4(CLIENT, address, 64)
            .tcp(50000, port, 1, 65535)
            .syn(),
        &[],
    )
}

/// `frame` with some bytes from `offset` on written over.
fn patched(mut frame: Vec<u8>, offset: usize, bytes: &[u8]) -> Vec<u8> {
    frame[offset..offset + bytes.len()].copy_from_slice(bytes);
    frame
}

/// `frame` with some bytes put in at `offset`.
fn inserted(mut frame: Vec<u8>, offset: usize, bytes: &[u8]) -> Vec<u8> {
    frame.splice(offset..offset, bytes.iter().copied());
    frame
}

fn with_total_length(frame: Vec<u8>, total_bytes: usize) -> Vec<u8> {
    patched(frame, IP_TOTAL_LENGTH, &(total_bytes as u16).to_be_bytes())
}

/// `frame` with IP options up to a header of `words` 32-bit words: NOPs, but for bytes 2 and 3.
fn with_options(frame: Vec<u8>, words: u8, bytes_2_and_3: u16) -> Vec<u8> {
    let mut options = vec![0x01; usize::from(words - 5) * 4];
    options[2..4].copy_from_slice(&bytes_2_and_3.to_be_bytes());
    let frame = patched(inserted(frame, IP + 20, &options), IP, &[0x40 | words]);
    let total_bytes = frame.len() - IP;
    with_total_length(frame, total_bytes)
}

/// The action, and how the counters changed.
fn verdict(program: &Program, frame: &[u8]) -> (u32, Verdicts) {
    let before = program.verdicts().unwrap().unwrap();
    let action = program.test_run(frame).unwrap();
    let after = program.verdicts().unwrap().unwrap();
    let difference = Verdicts {
        redirected: after.redirected - before.redirected,
        empty_slot: after.empty_slot - before.empty_slot,
        not_ipv4: after.not_ipv4 - before.not_ipv4,
        malformed: after.malformed - before.malformed,
        fragment: after.fragment - before.fragment,
        not_tcp: after.not_tcp - before.not_tcp,
        other_port: after.other_port - before.other_port,
        other_address: after.other_address - before.other_address,
    };
    (action, difference)
}

macro_rules! counted {
    ($($name:ident),*) => {$(
        #[allow(non_upper_case_globals)]
        const $name: Verdicts = Verdicts { $name: 1, ..ZERO };
    )*};
}
const ZERO: Verdicts = Verdicts {
    redirected: 0,
    empty_slot: 0,
    not_ipv4: 0,
    malformed: 0,
    fragment: 0,
    not_tcp: 0,
    other_port: 0,
    other_address: 0,
};
counted!(
    redirected,
    empty_slot,
    not_ipv4,
    malformed,
    fragment,
    not_tcp,
    other_port,
    other_address
);

/// Runs a table: (what, frame, the counter that must rise). Without a socket all must pass.
fn check(program: &Program, table: Vec<(&str, Vec<u8>, Verdicts)>) {
    for (what, frame, expected) in table {
        assert_eq!(
            verdict(program, &frame),
            (PASS, expected),
            "{what}: {frame:02x?}"
        );
    }
}

/// An AF_XDP socket that has all that an XSKMAP asks for: a UMEM, an RX and a fill ring. It need
/// not be bound to a device.
struct Xsk {
    socket: OwnedFd,
    _umem: Vec<u8>,
}

impl Xsk {
    fn open() -> Self {
        const PAGE: usize = 4096;
        const UMEM: usize = 4 * PAGE;
        let socket = rustix::net::socket(AddressFamily::XDP, SocketType::RAW, None).unwrap();
        let umem = vec![0u8; UMEM + PAGE];
        let region = XdpUmemReg {
            addr: (umem.as_ptr() as usize).next_multiple_of(PAGE) as u64,
            len: UMEM as u64,
            chunk_size: PAGE as u32,
            headroom: 0,
            flags: XdpUmemRegFlags::empty(),
            tx_metadata_len: 0,
        };
        set_xdp_umem_reg(&socket, region).unwrap();
        set_xdp_umem_fill_ring_size(&socket, 4).unwrap();
        set_xdp_umem_completion_ring_size(&socket, 4).unwrap();
        set_xdp_rx_ring_size(&socket, 4).unwrap();
        Xsk {
            socket,
            _umem: umem,
        }
    }
}

#[test]
fn ours_goes_to_the_queues_socket_and_to_the_kernel_without_one() {
    let program = program();
    assert_eq!(verdict(&program, &syn()), (PASS, empty_slot));

    let xsk = Xsk::open();
    program.xsks().set(0, xsk.socket.as_fd()).unwrap();
    assert_eq!(verdict(&program, &syn()), (REDIRECT, redirected));
    assert_eq!(verdict(&program, &tcp_to(22, OURS)), (PASS, other_port));

    program.xsks().clear(0).unwrap();
    assert_eq!(verdict(&program, &syn()), (PASS, empty_slot));
    program.xsks().clear(0).unwrap();

    program.xsks().set(0, xsk.socket.as_fd()).unwrap();
    drop(xsk);
    assert_eq!(
        verdict(&program, &syn()),
        (PASS, empty_slot),
        "a closed socket empties its slot"
    );
}

#[test]
fn the_xsk_map_has_the_room_that_was_asked_for() {
    need_root();
    let xsk = Xsk::open();
    let program = Program::load(Source::Embedded, 100).unwrap();
    assert_eq!(program.xsks().queues(), 100);
    program.xsks().set(99, xsk.socket.as_fd()).unwrap();
    let error = program
        .xsks()
        .set(100, xsk.socket.as_fd())
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("can't set the socket of queue 100 in the map xsks_map: "),
        "{error}"
    );
}

#[test]
fn truncated_at_every_length() {
    let program = program();
    let frame = tcp_frame(
        ethernet().ipv4(CLIENT, OURS, 64).tcp(50000, 80, 1, 65535),
        b"GET /",
    );
    assert_eq!(verdict(&program, &frame), (PASS, empty_slot));
    for length in 14..frame.len() {
        let expected = (PASS, malformed);
        assert_eq!(
            verdict(&program, &frame[..length]),
            expected,
            "{length} bytes"
        );
        // Of another EtherType, nothing beyond it is looked at.
        let arp = patched(frame[..length].to_vec(), ETHERTYPE, &[0x08, 0x06]);
        assert_eq!(
            verdict(&program, &arp),
            (PASS, not_ipv4),
            "{length} bytes of ARP"
        );
    }
    // Cut within the TCP header, with a total_length that agrees: still no whole TCP header.
    for length in IP + 20..IP + 40 {
        let frame = with_total_length(frame[..length].to_vec(), length - IP);
        assert_eq!(
            verdict(&program, &frame),
            (PASS, malformed),
            "{length} bytes, consistent"
        );
    }
    // Cut within the IP header, with a total_length that agrees: no packet either.
    for length in IP + 4..IP + 20 {
        let frame = with_total_length(frame[..length].to_vec(), length - IP);
        assert_eq!(
            verdict(&program, &frame),
            (PASS, malformed),
            "{length} bytes, consistent"
        );
    }
    let kernel_minimum = program.test_run(&frame[..13]).unwrap_err();
    assert!(matches!(
        kernel_minimum,
        Error::TestRun {
            frame_bytes: 13,
            ..
        }
    ));
}

#[test]
fn ip_header_length_is_honoured() {
    let program = program();
    for words in 6u8..=15 {
        let frame = with_options(syn(), words, 0x0101);
        assert_eq!(verdict(&program, &frame), (PASS, empty_slot), "IHL {words}");
        for length in IP + 20..frame.len() {
            let cut = &frame[..length];
            assert_eq!(
                verdict(&program, cut),
                (PASS, malformed),
                "IHL {words}, {length} bytes"
            );
        }
        // The option bytes stand where a header of 20 bytes would be followed by the port.
        let frame = with_options(tcp_to(8081, OURS), words, 80);
        assert_eq!(verdict(&program, &frame), (PASS, other_port), "IHL {words}");
    }
    for words in 0u8..5 {
        let frame = patched(syn(), IP, &[0x40 | words]);
        assert_eq!(verdict(&program, &frame), (PASS, malformed), "IHL {words}");
    }
    for version in (0u8..16).filter(|&version| version != 4) {
        let frame = patched(syn(), IP, &[version << 4 | 5]);
        assert_eq!(
            verdict(&program, &frame),
            (PASS, malformed),
            "version {version}"
        );
    }
}

#[test]
fn total_length_must_agree_with_header_and_frame() {
    let program = program();
    let whole = syn().len() - IP;
    let padded = |bytes: usize| {
        let mut frame = syn();
        frame.resize(IP + bytes, 0);
        frame
    };
    check(
        &program,
        vec![
            ("as it is", syn(), empty_slot),
            ("padded to Ethernet's 60 bytes", padded(46), empty_slot),
            ("padded a lot", padded(1400), empty_slot),
            (
                "one byte more than the frame",
                with_total_length(syn(), whole + 1),
                malformed,
            ),
            ("65535", with_total_length(syn(), 65535), malformed),
            (
                "one byte less than a TCP header",
                with_total_length(syn(), 39),
                malformed,
            ),
            (
                "an IP header and no more",
                with_total_length(syn(), 20),
                malformed,
            ),
            (
                "less than the IP header",
                with_total_length(syn(), 19),
                malformed,
            ),
            ("zero", with_total_length(syn(), 0), malformed),
            // The rest of the TCP header is there, but as padding.
            (
                "TCP header partly padding",
                with_total_length(padded(60), 39),
                malformed,
            ),
        ],
    );
}

#[test]
fn fragments_go_to_the_kernel() {
    let program = program();
    let fragment_bits = |bits: u16| patched(syn(), IP_FLAGS_OFFSET, &bits.to_be_bytes());
    check(
        &program,
        vec![
            ("no bits", fragment_bits(0), empty_slot),
            ("DF", fragment_bits(0x4000), empty_slot),
            ("the reserved bit", fragment_bits(0x8000), empty_slot),
            ("first: MF", fragment_bits(0x2000), fragment),
            ("first: MF and DF", fragment_bits(0x6000), fragment),
            (
                "middle: MF and offset",
                fragment_bits(0x2000 | 185),
                fragment,
            ),
            ("last: offset", fragment_bits(185), fragment),
            ("smallest offset", fragment_bits(1), fragment),
            ("largest offset", fragment_bits(0x1fff), fragment),
            (
                "a last fragment of 1 byte",
                with_total_length(fragment_bits(185), 21),
                fragment,
            ),
        ],
    );
}

#[test]
fn other_protocols_go_to_the_kernel() {
    let program = program();
    let ether_type = |value: u16| patched(syn(), ETHERTYPE, &value.to_be_bytes());
    let tagged = |tags: &[u8]| inserted(syn(), ETHERTYPE, tags);
    let ipv6 = ethernet()
        .ipv6([0xfd; 16], [0xfe; 16], 64)
        .tcp(50000, 80, 1, 65535)
        .syn();
    let protocol = |number: u8| patched(syn(), IP_PROTOCOL, &[number]);
    let mut table = vec![
        ("802.1Q", tagged(&[0x81, 0x00, 0x00, 0x05]), not_ipv4),
        (
            "802.1Q, priority only",
            tagged(&[0x81, 0x00, 0xe0, 0x00]),
            not_ipv4,
        ),
        (
            "QinQ",
            tagged(&[0x88, 0xa8, 0, 5, 0x81, 0x00, 0, 6]),
            not_ipv4,
        ),
        ("IPv6 TCP 80", tcp_frame(ipv6, &[]), not_ipv4),
        ("ARP", ether_type(0x0806), not_ipv4),
        ("PPPoE", ether_type(0x8864), not_ipv4),
        ("802.3 length", ether_type(46), not_ipv4),
        ("IPv4, byte-swapped", ether_type(0x0008), not_ipv4),
        ("UDP 80", udp_to(80, OURS), not_tcp),
        // 8 bytes of UDP are fewer than a TCP header: that alone is nothing wrong.
        (
            "UDP of 28 bytes",
            with_total_length(protocol(17), 28),
            not_tcp,
        ),
        ("ICMP", protocol(1), not_tcp),
        ("SCTP", protocol(132), not_tcp),
        ("protocol 0", protocol(0), not_tcp),
    ];
    // A frame that looks like ours if the tag is read as part of the addresses.
    let trunk = inserted(syn(), ETHERTYPE, &[0x81, 0x00, 0x08, 0x00]);
    table.push(("802.1Q tag with VLAN 2048", trunk, not_ipv4));
    check(&program, table);
}

#[test]
fn other_ports_and_addresses_go_to_the_kernel() {
    let program = program();
    check(
        &program,
        vec![
            ("port 22", tcp_to(22, OURS), other_port),
            ("port 81", tcp_to(81, OURS), other_port),
            (
                "port 20480: 80 byte-swapped",
                tcp_to(80 << 8, OURS),
                other_port,
            ),
            ("port 0", tcp_to(0, OURS), other_port),
            ("port 80 of the client", tcp_to(80, CLIENT), other_address),
            (
                "our address byte-swapped",
                tcp_to(80, [1, 1, 11, 10]),
                other_address,
            ),
            ("broadcast", tcp_to(80, [255; 4]), other_address),
            ("multicast", tcp_to(80, [224, 0, 0, 1]), other_address),
            ("0.0.0.0", tcp_to(80, [0; 4]), other_address),
            // The source counts for nothing.
            (
                "from port 80 to another",
                tcp_frame(
                    ethernet().ipv4(OURS, CLIENT, 64).tcp(80, 50000, 1, 65535),
                    &[],
                ),
                other_port,
            ),
        ],
    );
}

#[test]
fn any_address_switches_the_check_off_and_on() {
    let program = program();
    let elsewhere = patched(syn(), IP_DESTINATION, &[192, 0, 2, 1]);
    assert_eq!(verdict(&program, &elsewhere), (PASS, other_address));
    program.set_any_address(true).unwrap();
    assert_eq!(verdict(&program, &elsewhere), (PASS, empty_slot));
    assert_eq!(verdict(&program, &syn()), (PASS, empty_slot));
    assert_eq!(
        verdict(&program, &tcp_to(22, [192, 0, 2, 1])),
        (PASS, other_port)
    );
    program.set_any_address(false).unwrap();
    assert_eq!(verdict(&program, &elsewhere), (PASS, other_address));
}

#[test]
fn ports_and_addresses_come_and_go_while_running() {
    let program = program();
    let (ports, addresses) = (program.ports().unwrap(), program.addresses().unwrap());
    let other = Ipv4Addr::new(10, 11, 1, 77);

    ports.insert(8080).unwrap();
    ports.insert(8080).unwrap();
    addresses.insert(other).unwrap();
    assert_eq!(ports.list().unwrap(), [80, 8080]);
    assert_eq!(addresses.list().unwrap(), [Ipv4Addr::from(OURS), other]);
    for port in [80, 8080] {
        for address in [OURS, other.octets()] {
            assert_eq!(
                verdict(&program, &tcp_to(port, address)),
                (PASS, empty_slot)
            );
        }
    }

    ports.remove(80).unwrap();
    ports.remove(80).unwrap();
    addresses.remove(OURS.into()).unwrap();
    addresses.remove(OURS.into()).unwrap();
    assert_eq!(ports.list().unwrap(), [8080]);
    assert_eq!(addresses.list().unwrap(), [other]);
    assert_eq!(
        verdict(&program, &tcp_to(80, other.octets())),
        (PASS, other_port)
    );
    assert_eq!(
        verdict(&program, &tcp_to(8080, OURS)),
        (PASS, other_address)
    );
    assert_eq!(
        verdict(&program, &tcp_to(8080, other.octets())),
        (PASS, empty_slot)
    );
}

#[test]
fn a_fresh_program_takes_nothing() {
    need_root();
    let program = Program::load(Source::Embedded, 1).unwrap();
    assert_eq!(program.verdicts().unwrap(), Some(Verdicts::default()));
    assert_eq!(verdict(&program, &syn()), (PASS, other_port));
    assert!(program.ports().unwrap().list().unwrap().is_empty());
    assert!(program.addresses().unwrap().list().unwrap().is_empty());
}

#[test]
fn an_object_of_the_users_own() {
    need_root();
    let directory = tempfile::tempdir().unwrap();
    let path = build_object(directory.path(), &[]);
    let source = Source::File {
        path: &path,
        progname: None,
    };
    let program = Program::load(source, 8).unwrap();
    assert_eq!(program.xsks().queues(), 8, "declared 4, raised");
    assert!(program.ports().is_none(), "of another layout");
    assert!(program.addresses().is_none());
    assert_eq!(program.verdicts().unwrap(), None);
    let error = program.set_any_address(true).unwrap_err().to_string();
    assert!(
        error.ends_with("has no map any_address of type ARRAY (u32 -> u32)"),
        "{error}"
    );

    assert_eq!(program.test_run(&syn()).unwrap(), PASS);
    let xsk = Xsk::open();
    program.xsks().set(0, xsk.socket.as_fd()).unwrap();
    assert_eq!(program.test_run(&syn()).unwrap(), REDIRECT);
}

/// The error of loading `custom.bpf.c` built with `macros`, without the directory's name.
fn refused(macros: &[&str], progname: Option<&str>) -> String {
    need_root();
    let directory = tempfile::tempdir().unwrap();
    let path = build_object(directory.path(), macros);
    let source = Source::File {
        path: &path,
        progname,
    };
    let error = Program::load(source, 1).unwrap_err().to_string();
    error.replace(directory.path().to_str().unwrap(), "")
}

#[test]
fn objects_that_cannot_be_used_are_refused_in_words() {
    assert_eq!(
        refused(&["FOREIGN"], None),
        "/customFOREIGN.bpf.o has no map xsks_map of type XSKMAP (u32 -> u32)"
    );
    assert_eq!(
        refused(&["SEVERAL"], None),
        "/customSEVERAL.bpf.o has several XDP programs (custom_redirect, foreign_pass): choose one \
         with --progname"
    );
    assert_eq!(
        refused(&["SEVERAL"], Some("nobody")),
        "/customSEVERAL.bpf.o has no XDP program nobody; it has: custom_redirect, foreign_pass"
    );
    assert_eq!(
        refused(&["BAD"], Some("reads_past_the_end")),
        "the kernel refused /customBAD.bpf.o: Permission denied (os error 13); the verifier says: \
         R1 offset is outside of the packet"
    );
}

#[test]
fn one_program_of_several_is_loaded_alone() {
    need_root();
    let directory = tempfile::tempdir().unwrap();
    // The bad one is in it too, and must not matter.
    let path = build_object(directory.path(), &["SEVERAL", "BAD"]);
    let progname = Some("custom_redirect");
    let source = Source::File {
        path: &path,
        progname,
    };
    assert_eq!(
        Program::load(source, 1).unwrap().test_run(&syn()).unwrap(),
        PASS
    );
}

#[test]
fn a_file_that_is_missing_or_no_object_is_named() {
    need_root();
    let path = std::path::Path::new("/nonexistent/prog.o");
    let progname = None;
    let error = Program::load(Source::File { path, progname }, 1)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "can't open /nonexistent/prog.o as a BPF object: No such file or directory (os error 2)"
    );
}

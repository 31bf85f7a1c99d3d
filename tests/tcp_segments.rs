//! Single segments against the stack: what a listening port answers to odd ones
//! (RFC 9293 §3.10.7.2), sequence numbers (RFC 6528), and which neighbour hears
//! the answer.

mod common;

use common::{CLIENT, CLIENT_MAC, Lab, SERVER, SERVER_MAC};
use etherparse::{PacketBuilder, PacketHeaders, TcpHeader, TcpOptionElement, TransportHeader};
use xdphttpd::net::Duration;
use xdphttpd::net::demux::Flow;
use xdphttpd::net::isn::IsnSecret;
use xdphttpd::wire::Impairments;

const ISS: u32 = 5_000;

struct Answer {
    destination: [u8; 6],
    source: [u8; 6],
    tcp: TcpHeader,
    payload: Vec<u8>,
}

impl Answer {
    fn flags(&self) -> String {
        let tcp = &self.tcp;
        [
            (tcp.syn, 'S'),
            (tcp.ack, 'A'),
            (tcp.rst, 'R'),
            (tcp.fin, 'F'),
            (tcp.psh, 'P'),
        ]
        .into_iter()
        .filter_map(|(set, letter)| set.then_some(letter))
        .collect()
    }
}

struct Bench {
    lab: Lab,
    root: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        let root = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(root.path().join("one"), "1").expect("writing a test file");
        Bench {
            lab: Lab::new(root.path(), Impairments::NONE, 1),
            root,
        }
    }

    /// Sends a frame and returns what comes back at once.
    fn answers(&mut self, frame: &[u8]) -> Vec<Answer> {
        self.lab.inject(frame);
        self.wait(Duration::from_millis(1))
    }

    fn wait(&mut self, time: Duration) -> Vec<Answer> {
        let end = self.lab.now + time;
        let mut answers = Vec::new();
        while self.lab.now < end {
            self.lab.now += Duration::from_micros(100);
            self.lab.serve();
            while let Some(frame) = self.lab.to_client.deliver(self.lab.now) {
                answers.push(read(&frame));
            }
        }
        answers
    }

    /// A handshake; returns the server's initial sequence number.
    fn connect(&mut self, port: u16) -> u32 {
        let answers = self.answers(&Segment::syn(port).frame());
        assert_eq!(answers[0].flags(), "SA");
        let number = answers[0].tcp.sequence_number;
        let ack = Segment {
            seq: ISS + 1,
            ack: Some(number + 1),
            ..Segment::to(port, "A")
        };
        assert!(self.answers(&ack.frame()).is_empty());
        number
    }
}

#[derive(Clone)]
struct Segment<'a> {
    port: u16,
    flags: &'a str,
    seq: u32,
    ack: Option<u32>,
    options: &'a [TcpOptionElement],
    ip_options: &'a [u8],
    payload: &'a [u8],
    mac: [u8; 6],
}

impl<'a> Segment<'a> {
    fn to(port: u16, flags: &'a str) -> Segment<'a> {
        Segment {
            port,
            flags,
            seq: ISS,
            ack: None,
            options: &[],
            ip_options: &[],
            payload: b"",
            mac: CLIENT_MAC,
        }
    }

    fn syn(port: u16) -> Segment<'a> {
        Segment::to(port, "S")
    }

    fn frame(&self) -> Vec<u8> {
        let ip = etherparse::Ipv4Header {
            time_to_live: 64,
            protocol: etherparse::ip_number::TCP,
            source: CLIENT.octets(),
            destination: SERVER.octets(),
            options: self
                .ip_options
                .try_into()
                .expect("whole words of IP options"),
            ..Default::default()
        };
        let mut tcp = TcpHeader::new(self.port, 80, self.seq, 64_000);
        tcp.acknowledgment_number = self.ack.unwrap_or(0);
        tcp.set_options(self.options).expect("options that fit");
        for flag in self.flags.chars() {
            match flag {
                'S' => tcp.syn = true,
                'A' => tcp.ack = true,
                'R' => tcp.rst = true,
                'F' => tcp.fin = true,
                'P' => tcp.psh = true,
                'U' => tcp.urg = true,
                'E' => tcp.ece = true,
                'C' => tcp.cwr = true,
                other => panic!("no such flag: {other}"),
            }
        }
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(self.mac, SERVER_MAC)
            .ip(etherparse::IpHeaders::Ipv4(ip, Default::default()))
            .tcp_header(tcp)
            .write(&mut frame, self.payload)
            .expect("writing to a Vec");
        frame
    }
}

/// Reads an answer, whose checksums must be right.
fn read(frame: &[u8]) -> Answer {
    let packet = PacketHeaders::from_ethernet_slice(frame).expect("a well-formed frame");
    let Some(etherparse::LinkHeader::Ethernet2(ethernet)) = packet.link else {
        panic!("Ethernet")
    };
    let Some(etherparse::NetHeaders::Ipv4(ip, _)) = packet.net else {
        panic!("IPv4")
    };
    let Some(TransportHeader::Tcp(tcp)) = packet.transport else {
        panic!("TCP")
    };
    assert_eq!(
        (ip.source, ip.destination),
        (SERVER.octets(), CLIENT.octets())
    );
    assert_eq!(ip.calc_header_checksum(), ip.header_checksum);
    let payload = packet.payload.slice();
    assert_eq!(tcp.calc_checksum_ipv4(&ip, payload), Ok(tcp.checksum));
    Answer {
        destination: ethernet.destination,
        source: ethernet.source,
        tcp,
        payload: payload.to_vec(),
    }
}

#[test]
fn a_first_segment_gets_what_rfc_9293_says() {
    use TcpOptionElement::*;
    let all = [
        MaximumSegmentSize(1_460),
        SelectiveAcknowledgementPermitted,
        Noop,
        WindowScale(7),
    ];
    let zero_mss = [MaximumSegmentSize(0)];
    let timestamps = [Timestamp(7, 0)];
    let base = |flags| Segment::to(40_000, flags);
    for (name, segment, want) in [
        ("plain SYN", base("S"), "SA"),
        (
            "SYN with MSS, SACK, window scale",
            Segment {
                options: &all,
                ..base("S")
            },
            "SA",
        ),
        (
            "SYN with MSS 0",
            Segment {
                options: &zero_mss,
                ..base("S")
            },
            "SA",
        ),
        (
            "SYN with timestamps",
            Segment {
                options: &timestamps,
                ..base("S")
            },
            "SA",
        ),
        ("SYN with ECN set-up", base("SEC"), "SA"),
        ("SYN with PSH and URG", base("SPU"), "SA"),
        (
            "SYN with data",
            Segment {
                payload: b"GET",
                ..base("S")
            },
            "SA",
        ),
        (
            "SYN with IP options",
            Segment {
                ip_options: &[1, 1, 1, 0],
                ..base("S")
            },
            "SA",
        ),
        (
            "SYN with number 2^32 - 1",
            Segment {
                seq: u32::MAX,
                ..base("S")
            },
            "SA",
        ),
        ("SYN and FIN", base("SF"), ""),
        ("SYN and RST", base("SR"), ""),
        ("RST", base("R"), ""),
        ("FIN", base("F"), ""),
        ("nothing set", base(""), ""),
        ("Christmas tree without ACK", base("SFRPU"), ""),
        (
            "stray ACK",
            Segment {
                ack: Some(77),
                ..base("A")
            },
            "R",
        ),
        (
            "stray SYN and ACK",
            Segment {
                ack: Some(77),
                ..base("SA")
            },
            "R",
        ),
        (
            "stray data",
            Segment {
                ack: Some(77),
                payload: b"GET",
                ..base("AP")
            },
            "R",
        ),
        (
            "stray FIN and ACK",
            Segment {
                ack: Some(77),
                ..base("FA")
            },
            "R",
        ),
        (
            "stray RST and ACK",
            Segment {
                ack: Some(77),
                ..base("RA")
            },
            "",
        ),
    ] {
        let answers = Bench::new().answers(&segment.frame());
        let flags: Vec<String> = answers.iter().map(Answer::flags).collect();
        if want.is_empty() {
            assert!(flags.is_empty(), "{name}: {flags:?}");
            continue;
        }
        assert_eq!(flags, [want], "{name}");
        let tcp = &answers[0].tcp;
        if want == "R" {
            assert_eq!(tcp.sequence_number, 77, "{name}: <SEQ=SEG.ACK>");
        } else {
            assert_eq!(
                tcp.acknowledgment_number,
                segment.seq.wrapping_add(1),
                "{name}"
            );
            assert!(answers[0].payload.is_empty(), "{name}");
        }
    }
}

#[test]
fn a_syn_ack_offers_our_mss_and_only_what_was_offered() {
    use TcpOptionElement::*;
    let offered = [
        MaximumSegmentSize(1_400),
        SelectiveAcknowledgementPermitted,
        WindowScale(7),
    ];
    let answers = Bench::new().answers(
        &Segment {
            options: &offered,
            ..Segment::syn(40_000)
        }
        .frame(),
    );
    let options: Vec<_> = answers[0].tcp.options_iterator().flatten().collect();
    assert!(options.contains(&MaximumSegmentSize(1_460)), "{options:?}");
    assert!(
        options.contains(&SelectiveAcknowledgementPermitted),
        "{options:?}"
    );
    assert!(
        options
            .iter()
            .any(|option| matches!(option, WindowScale(_))),
        "{options:?}"
    );

    let answers = Bench::new().answers(&Segment::syn(40_000).frame());
    let options: Vec<_> = answers[0].tcp.options_iterator().flatten().collect();
    assert_eq!(options, [MaximumSegmentSize(1_460)]);
}

#[test]
fn options_that_are_cut_off_are_as_good_as_none() {
    let mut frame = Segment {
        options: &[TcpOptionElement::MaximumSegmentSize(100)],
        ..Segment::syn(1)
    }
    .frame();
    frame[55] = 9; // MSS claims nine bytes of the four there are
    frame[51] = frame[51].wrapping_sub(5); // and the checksum agrees
    let answers = Bench::new().answers(&frame);
    let flags: Vec<_> = answers.iter().map(Answer::flags).collect();
    assert_eq!(flags, ["SA"]);
}

#[test]
fn initial_sequence_numbers_are_those_of_rfc_6528() {
    let mut bench = Bench::new();
    let secret = IsnSecret([42; 16]);
    for port in 40_000..40_050 {
        let flow = Flow {
            remote: CLIENT,
            local: SERVER,
            remote_port: port,
            local_port: 80,
        };
        bench.lab.inject(&Segment::syn(port).frame());
        bench.lab.now += Duration::from_micros(3_333);
        let want = secret.number(flow, bench.lab.now);
        bench.lab.serve();
        bench.lab.now += Duration::from_millis(1);
        let frame = bench
            .lab
            .to_client
            .deliver(bench.lab.now)
            .expect("a SYN-ACK");
        assert_eq!(read(&frame).tcp.sequence_number, want, "port {port}");
    }
}

#[test]
fn answers_go_to_the_neighbour_that_asked() {
    let mut bench = Bench::new();
    for (port, mac) in [
        (40_000, [2, 0, 0, 0, 0, 0x22]),
        (40_001, [2, 0, 0, 0, 0, 0x33]),
    ] {
        let answers = bench.answers(
            &Segment {
                mac,
                ..Segment::syn(port)
            }
            .frame(),
        );
        assert_eq!(answers[0].destination, mac);
        assert_eq!(answers[0].source, SERVER_MAC);
    }
}

#[test]
fn a_request_is_answered_in_one_segment_that_also_acknowledges_it() {
    let mut bench = Bench::new();
    let number = bench.connect(40_000);
    let request = b"GET /one HTTP/1.1\r\nHost: lab\r\n\r\n";
    let segment = Segment {
        seq: ISS + 1,
        ack: Some(number + 1),
        payload: request,
        ..Segment::to(40_000, "AP")
    };
    let answers = bench.answers(&segment.frame());
    assert_eq!(answers.len(), 1);
    assert_eq!(
        answers[0].tcp.acknowledgment_number,
        ISS + 1 + request.len() as u32
    );
    assert_eq!(
        common::responses(&answers[0].payload),
        [(200, b"1".to_vec())]
    );
}

#[test]
fn in_time_wait_a_newer_syn_opens_the_connection_anew_and_an_older_one_does_not() {
    let mut bench = Bench::new();
    let number = bench.connect(40_000);
    let request = b"GET /one HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n";
    let end = ISS + 1 + request.len() as u32;
    let segment = |seq, ack, flags, payload| Segment {
        seq,
        ack: Some(ack),
        payload,
        ..Segment::to(40_000, flags)
    };
    let answers = bench.answers(&segment(ISS + 1, number + 1, "AP", &request[..]).frame());
    let last = answers.last().expect("a response");
    assert!(last.tcp.fin);
    let ack = last.tcp.sequence_number + last.payload.len() as u32 + 1;
    let answers = bench.answers(&segment(end, ack, "AF", b"").frame());
    assert_eq!(answers.iter().map(Answer::flags).collect::<Vec<_>>(), ["A"]);

    let older = bench.answers(
        &Segment {
            seq: ISS,
            ..Segment::syn(40_000)
        }
        .frame(),
    );
    assert!(older.iter().all(|answer| !answer.tcp.syn));
    let newer = bench.answers(
        &Segment {
            seq: end + 10,
            ..Segment::syn(40_000)
        }
        .frame(),
    );
    assert_eq!(newer.iter().map(Answer::flags).collect::<Vec<_>>(), ["SA"]);
    assert_eq!(newer[0].tcp.acknowledgment_number, end + 11);
}

#[test]
fn a_handshake_that_is_never_finished_is_forgotten() {
    let mut bench = Bench::new();
    bench.answers(&Segment::syn(40_000).frame());
    assert_eq!(bench.lab.stack.connections(), 1);
    bench.wait(Duration::from_secs(21));
    assert_eq!(bench.lab.stack.connections(), 0);
    assert_eq!(bench.lab.stack.counters.expired_handshake, 1);
    assert_eq!(bench.lab.stack.counters.accepted, 0);
}

#[test]
fn an_idle_connection_is_closed_with_fin() {
    let mut bench = Bench::new();
    bench.connect(40_000);
    let answers = bench.wait(Duration::from_secs(76));
    assert_eq!(answers[0].flags(), "AF");
}

fn request(number: u32, port: u16, text: &[u8]) -> Vec<u8> {
    Segment {
        seq: ISS + 1,
        ack: Some(number + 1),
        payload: text,
        ..Segment::to(port, "AP")
    }
    .frame()
}

/// Takes a frame without collecting what the file pool has done.
fn take_without_files(bench: &mut Bench, frame: &[u8]) {
    let now = bench.lab.now;
    let mut sink = bench.lab.to_client.sender(now);
    bench.lab.stack.frame(frame, now, &mut sink);
}

#[test]
fn a_file_that_takes_25_s_still_answers_a_closing_request() {
    for text in [
        "GET /one HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /one HTTP/1.0\r\n\r\n",
    ] {
        let mut bench = Bench::new();
        let number = bench.connect(40_000);
        let frame = request(number, 40_000, text.as_bytes());
        take_without_files(&mut bench, &frame);
        for _ in 0..250 {
            bench.lab.now += Duration::from_millis(100);
            let now = bench.lab.now;
            let mut sink = bench.lab.to_client.sender(now);
            bench.lab.stack.poll(now, &mut sink);
            while bench.lab.to_client.deliver(now).is_some() {}
        }
        let answers = bench.wait(Duration::from_millis(1));
        let flags: Vec<_> = answers
            .iter()
            .map(|a| (a.flags(), a.payload.len()))
            .collect();
        assert!(
            answers
                .iter()
                .any(|a| a.payload.starts_with(b"HTTP/1.1 200")),
            "{text:?}: {flags:?}"
        );
    }
}

#[test]
fn drain_closes_an_idle_connection_with_fin() {
    let mut bench = Bench::new();
    bench.connect(40_000);
    bench.wait(Duration::from_secs(25));
    let now = bench.lab.now;
    let mut sink = bench.lab.to_client.sender(now);
    bench.lab.stack.drain(now, &mut sink);
    let flags: Vec<_> = bench
        .wait(Duration::from_millis(1))
        .iter()
        .map(Answer::flags)
        .collect();
    assert_eq!(flags, ["AF"]);
}

#[test]
fn syns_do_not_keep_a_dead_connection_alive() {
    let mut bench = Bench::new();
    bench.connect(40_000);
    for _ in 0..20 {
        bench.wait(Duration::from_secs(30));
        let syn = Segment {
            seq: 77_000_000,
            ..Segment::syn(40_000)
        };
        for answer in bench.answers(&syn.frame()) {
            if answer.flags() == "SA" {
                return;
            }
        }
    }
    panic!(
        "still no connection after 600 s, {} connections",
        bench.lab.stack.connections()
    );
}

fn with_window(mut bytes: Vec<u8>, window: u16) -> Vec<u8> {
    let old = u16::from_be_bytes([bytes[48], bytes[49]]);
    bytes[48..50].copy_from_slice(&window.to_be_bytes());
    let field = u16::from_be_bytes([bytes[50], bytes[51]]);
    let mut sum = u32::from(!field) + u32::from(!old) + u32::from(window);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    bytes[50..52].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    bytes
}

/// A client that takes `take` bytes of a response, then stops reading for `pause`
/// but answers every segment, and then takes the rest. `shrinks`: its window goes
/// to 0 at once; else its right edge stays where it was. Returns the bytes that it
/// was sent in order, the segments that came during the pause, and whether a RST
/// was one of them.
fn paused(text: &[u8], take: usize, shrinks: bool, pause: Duration) -> (Vec<u8>, usize, bool) {
    let mut bench = Bench::new();
    std::fs::write(bench.root.path().join("mid"), pattern(200_000)).expect("write");
    let number = bench.connect(40_000);
    let seq = ISS + 1 + text.len() as u32;
    let mut answers = bench.answers(&request(number, 40_000, text));
    let (mut got, mut probes, mut reset) = (Vec::new(), 0, false);
    let start = bench.lab.now;
    while bench.lab.now < start + pause + Duration::from_secs(8) {
        let is_paused = bench.lab.now < start + pause;
        let take = if is_paused { take } else { usize::MAX };
        let opens = !is_paused && bench.lab.now < start + pause + Duration::from_millis(20);
        for answer in &answers {
            reset |= answer.tcp.rst;
            probes += usize::from(is_paused && bench.lab.now > start + Duration::from_secs(1));
            let next = number + 1 + got.len() as u32;
            if answer.tcp.sequence_number == next && got.len() + answer.payload.len() <= take {
                got.extend_from_slice(&answer.payload);
            }
        }
        if !answers.is_empty() || opens {
            let left = take.saturating_sub(got.len());
            let window = if shrinks && left < 2_000 {
                0
            } else {
                left.min(60_000)
            };
            let ack = Segment {
                seq,
                ack: Some(number + 1 + got.len() as u32),
                ..Segment::to(40_000, "A")
            };
            bench.lab.inject(&with_window(ack.frame(), window as u16));
        }
        answers = bench.wait(Duration::from_millis(10));
    }
    (got, probes, reset)
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 7 / 3) as u8).collect()
}

#[test]
fn a_paused_reader_gets_the_rest_when_it_reads_on() {
    for (text, take, shrinks) in [
        ("GET /mid HTTP/1.0\r\n\r\n", 64_000, false),
        ("GET /mid HTTP/1.1\r\nHost: a\r\n\r\n", 64_000, false),
        ("GET /mid HTTP/1.1\r\nHost: a\r\n\r\n", 9_500, true),
    ] {
        let pause = Duration::from_secs(50);
        let (got, probes, reset) = paused(text.as_bytes(), take, shrinks, pause);
        assert!(
            !reset && got.ends_with(&pattern(200_000)),
            "{text}: {}",
            got.len()
        );
        assert!(
            (3..50).contains(&probes),
            "{text}: {probes} probes of the window"
        );
    }
}

#[test]
fn a_reader_that_pauses_for_a_minute_is_reset() {
    let text = b"GET /mid HTTP/1.1\r\nHost: a\r\n\r\n";
    let (got, _, reset) = paused(text, 64_000, false, Duration::from_secs(62));
    assert!(reset && got.len() <= 64_000);
}

#[test]
fn a_syn_on_an_established_connection_gets_a_challenge_ack() {
    let mut bench = Bench::new();
    bench.connect(40_000);
    let syn = Segment {
        seq: 77_000_000,
        ..Segment::syn(40_000)
    };
    let flags: Vec<_> = bench
        .answers(&syn.frame())
        .iter()
        .map(Answer::flags)
        .collect();
    assert_eq!(flags, ["A"]);
}

#[test]
fn an_ack_of_what_was_not_sent_is_refused() {
    let mut bench = Bench::new();
    std::fs::write(bench.root.path().join("mid"), vec![b'x'; 200_000]).expect("write");
    let number = bench.connect(40_000);
    let text = b"GET /mid HTTP/1.1\r\nHost: a\r\n\r\n";
    let seq = ISS + 1 + text.len() as u32;
    let mut got = bench.answers(&request(number, 40_000, text));
    got.extend(bench.wait(Duration::from_millis(20)));
    let sent: usize = got.iter().map(|a| a.payload.len()).sum();
    let ahead = Segment {
        seq,
        ack: Some(number + 1 + 150_000),
        ..Segment::to(40_000, "A")
    };
    let answers = bench.answers(&ahead.frame());
    let first = answers.first().map(|a| a.tcp.sequence_number - number - 1);
    assert_eq!(
        first,
        Some(sent as u32),
        "sent {sent}, acknowledged 150000, goes on at {first:?}"
    );
}

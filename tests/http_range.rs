//! Parts of files (RFC 9110 section 14).

mod http_support;
mod represent;

use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use http_support::*;
use proptest::prelude::*;
use represent::*;
use xdphttpd::http::range::{MAX_LISTED, MAX_PARTS, Wanted, wanted};
use xdphttpd::http::stream::{CHUNK_BYTES, MAX_CHUNKS};

const OCTETS: &str = "application/octet-stream";

fn fixture() -> Fixture {
    Fixture::new(&[("ten", b"0123456789"), ("one", b"x"), ("empty", b"")])
}

fn get(target: &str, range: &str) -> String {
    request("GET", target, &format!("Range: {range}\r\n"))
}

/// What a range of the ten digits comes to.
enum Comes {
    Whole,
    Nothing,
    /// First and last byte.
    Part(usize, usize),
}
use Comes::{Nothing, Part, Whole};

#[rustfmt::skip] // one case a line
const TEN: &[(&str, Comes)] = &[
    ("bytes=0-0", Part(0, 0)),
    ("bytes=0-4", Part(0, 4)),
    ("bytes=4-7", Part(4, 7)),
    ("bytes=9-9", Part(9, 9)),
    ("bytes=0-9", Part(0, 9)),
    ("bytes=0-", Part(0, 9)),
    ("bytes=3-", Part(3, 9)),
    ("bytes=9-", Part(9, 9)),
    ("bytes=-1", Part(9, 9)),
    ("bytes=-3", Part(7, 9)),
    ("bytes=-10", Part(0, 9)),
    // Beyond the end.
    ("bytes=5-10", Part(5, 9)),
    ("bytes=5-99999999999999999999999999", Part(5, 9)),
    ("bytes=5-18446744073709551615", Part(5, 9)),
    ("bytes=-11", Part(0, 9)),
    ("bytes=-99999999999999999999999999", Part(0, 9)),
    ("bytes=000000000000000000000000000001-002", Part(1, 2)),
    // Nothing that the file has.
    ("bytes=10-", Nothing),
    ("bytes=10-11", Nothing),
    ("bytes=-0", Nothing),
    ("bytes=-0,-0", Nothing),
    ("bytes=18446744073709551615-", Nothing),
    ("bytes=18446744073709551615-18446744073709551616", Nothing),
    ("bytes=99999999999999999999-", Nothing),
    ("bytes=10-,20-30,-0", Nothing),
    // Unsatisfiable ones among others are dropped.
    ("bytes=10-,2-3", Part(2, 3)),
    ("bytes=-0,2-3,20-", Part(2, 3)),
    // Ranges that overlap, touch or repeat are one.
    ("bytes=0-4,5-9", Part(0, 9)),
    ("bytes=5-9,0-4", Part(0, 9)),
    ("bytes=0-5,3-9", Part(0, 9)),
    ("bytes=2-3,2-3,2-3", Part(2, 3)),
    ("bytes=0-9,3-4", Part(0, 9)),
    ("bytes=0-1,4-5,2-3", Part(0, 5)),
    ("bytes=-1,-2,-3", Part(7, 9)),
    ("bytes=0-,-5", Part(0, 9)),
    // The list's empty elements and white space.
    ("bytes=,0-1", Part(0, 1)),
    ("bytes=0-1,", Part(0, 1)),
    ("bytes=, ,\t0-1 ,,", Part(0, 1)),
    ("bytes= 0-1", Part(0, 1)),
    // Units are case-insensitive.
    ("BYTES=0-1", Part(0, 1)),
    ("Bytes=0-1", Part(0, 1)),
    // What is malformed, or in another unit, is ignored.
    ("", Whole),
    ("bytes", Whole),
    ("bytes=", Whole),
    ("bytes=,", Whole),
    ("bytes=-", Whole),
    ("bytes=--", Whole),
    ("bytes=--1", Whole),
    ("bytes=a-b", Whole),
    ("bytes=1", Whole),
    ("bytes=5-4", Whole),
    ("bytes=0-1,5-4", Whole),
    ("bytes=99999999999999999999-5", Whole),
    ("bytes=0 - 1", Whole),
    ("bytes=0- 1", Whole),
    ("bytes=0-1 2-3", Whole),
    ("bytes=0-1;2-3", Whole),
    ("bytes=0-1-2", Whole),
    ("bytes=+0-1", Whole),
    ("bytes=0x0-0x1", Whole),
    ("bytes=1.0-2", Whole),
    ("bytes=0-1,x", Whole),
    ("bytes=x,0-1", Whole),
    ("bytes =0-1", Whole),
    ("bytes: 0-1", Whole),
    ("bytes 0-1/10", Whole),
    ("byte=0-1", Whole),
    ("octets=0-1", Whole),
    ("seconds=1-2", Whole),
    ("none", Whole),
    ("bytes=0-\u{661}", Whole),
    ("0-1", Whole),
    // Two fields of this name make no valid one.
    ("bytes=0-1\r\nRange: bytes=2-3", Whole),
];

#[test]
fn one_part_or_none() {
    let fixture = fixture();
    let ten = Sent::plain(&fixture, "ten", OCTETS);
    let mut cases = Vec::new();
    for (range, comes) in TEN {
        cases.push(Case {
            what: "range".to_owned(),
            request: get("/ten", range),
            response: match *comes {
                Whole => ten.ok(),
                Nothing => ten.unsatisfiable(),
                Part(first, last) => ten.part(first, last),
            },
        });
        cases.push(Case {
            what: "HEAD knows no ranges".to_owned(),
            request: request("HEAD", "/ten", &format!("Range: {range}\r\n")),
            response: ten.ok_head(),
        });
    }
    check(&fixture, &cases);
}

#[test]
fn files_of_no_byte_and_of_one() {
    let fixture = fixture();
    let empty = Sent::plain(&fixture, "empty", OCTETS);
    let one = Sent::plain(&fixture, "one", OCTETS);
    let table = [
        ("/empty", "bytes=0-", empty.unsatisfiable()),
        ("/empty", "bytes=0-0", empty.unsatisfiable()),
        ("/empty", "bytes=-0", empty.unsatisfiable()),
        // Satisfiable (RFC 9110 section 14.1.2), but there is no Content-Range for it.
        ("/empty", "bytes=-1", empty.ok()),
        ("/empty", "bytes=0-,-1", empty.ok()),
        ("/empty", "bytes=x", empty.ok()),
        ("/one", "bytes=0-", one.part(0, 0)),
        ("/one", "bytes=-5", one.part(0, 0)),
        ("/one", "bytes=0-5", one.part(0, 0)),
        ("/one", "bytes=1-", one.unsatisfiable()),
    ];
    let cases = table.map(|(target, range, response)| Case {
        what: "short file".to_owned(),
        request: get(target, range),
        response,
    });
    check(&fixture, &cases);
}

/// The boundary that a response says it has.
fn boundary(response: &[u8]) -> String {
    let head = String::from_utf8(head_of(response)).unwrap();
    let (_, after) = head
        .split_once("multipart/byteranges; boundary=")
        .expect("several parts");
    after.lines().next().unwrap().to_owned()
}

type Parts = &'static [(usize, usize)];

#[rustfmt::skip] // one case a line
const SEVERAL: &[(&str, Parts)] = &[
    ("bytes=0-0,9-9", &[(0, 0), (9, 9)]),
    ("bytes=0-0,-1", &[(0, 0), (9, 9)]),
    ("bytes=1-2,4-5,7-8", &[(1, 2), (4, 5), (7, 8)]),
    ("bytes=1-2 , 4-5 ,\t7-", &[(1, 2), (4, 5), (7, 9)]),
    // As they were asked for, also backwards; merged ones stand where the first of them stood.
    ("bytes=7-8,4-5,1-2", &[(7, 8), (4, 5), (1, 2)]),
    ("bytes=7-8,1-2,4-5,2-3", &[(7, 8), (1, 5)]),
    ("bytes=4-5,0-0,6-7", &[(4, 7), (0, 0)]),
    ("bytes=-2,0-1", &[(8, 9), (0, 1)]),
    ("bytes=0-1,20-30,4-5", &[(0, 1), (4, 5)]),
    ("bytes=-0,0-1,,4-5,10-", &[(0, 1), (4, 5)]),
    ("bytes=0-1,3-999999999999999999999999", &[(0, 1), (3, 9)]),
];

#[test]
fn several_parts() {
    let fixture = fixture();
    let mut client = fixture.client();
    let ten = Sent::plain(&fixture, "ten", OCTETS);
    for (range, parts) in SEVERAL {
        let request = get("/ten", range);
        let response = client.exchange(request.as_bytes());
        let boundary = boundary(&response);
        assert_same(&response, &ten.parts(parts, &boundary), range);
        assert!(client.conn.is_idle());
        client.reconnect();
        for byte in request.as_bytes().chunks(1) {
            client.feed(byte);
        }
        assert_same(&client.sent, &response, range);
    }
}

#[test]
fn many_parts_are_not_served() {
    let fixture = fixture();
    fixture.write("long", &[b'x'; 1000]);
    let mut client = fixture.client();
    let long = Sent::plain(&fixture, "long", OCTETS);
    let ranges = |count: usize, step: usize| {
        let ranges: Vec<_> = (0..count)
            .map(|index| format!("{0}-{0}", index * step))
            .collect();
        format!("bytes={}", ranges.join(","))
    };
    let response = client.exchange(get("/long", &ranges(MAX_PARTS, 2)).as_bytes());
    let parts: Vec<_> = (0..MAX_PARTS).map(|index| (index * 2, index * 2)).collect();
    assert_same(
        &response,
        &long.parts(&parts, &boundary(&response)),
        "the most",
    );
    let too_many = client.exchange(get("/long", &ranges(MAX_PARTS + 1, 2)).as_bytes());
    assert_same(&too_many, &long.ok(), "one more");
    let listed = client.exchange(get("/long", &ranges(MAX_LISTED, 1)).as_bytes());
    assert_same(&listed, &long.part(0, MAX_LISTED - 1), "the most listed");
    let listed = client.exchange(get("/long", &ranges(MAX_LISTED + 1, 1)).as_bytes());
    assert_same(&listed, &long.ok(), "one more listed");
    let flood = format!("bytes={}0-", "0-,".repeat(4000));
    assert_same(
        &client.exchange(get("/long", &flood).as_bytes()),
        &long.ok(),
        "a head full of them",
    );
}

/// Content in which no two positions look alike.
fn content(len: usize) -> Vec<u8> {
    (0..len as u32)
        .map(|index| (index.wrapping_mul(2_654_435_761) >> 11) as u8)
        .collect()
}

#[test]
fn parts_of_a_long_file_are_read_and_nothing_else() {
    let fixture = fixture();
    fixture.write("big", &content(4 * CHUNK_BYTES));
    let big = Sent::plain(&fixture, "big", OCTETS);
    let reads = Rc::new(RefCell::new(Vec::new()));
    let mut client = Client::new(NotingLoader {
        inner: fixture.inline_loader(),
        reads: reads.clone(),
    });
    let end = 4 * CHUNK_BYTES - 1;

    let response = client.exchange(get("/big", "bytes=300000-300009").as_bytes());
    assert_same(&response, &big.part(300_000, 300_009), "ten bytes");
    assert_eq!(reads.take(), [(300_000, 10)]);

    let response = client.exchange(get("/big", "bytes=700000-").as_bytes());
    assert!(response == big.part(700_000, end));
    let later = 700_000 + CHUNK_BYTES;
    let expected = [
        (700_000, CHUNK_BYTES),
        (later as u64, 4 * CHUNK_BYTES - later),
    ];
    assert_eq!(reads.take(), expected);

    let response = client.exchange(get("/big", "bytes=-1,5-600000,700000-700001").as_bytes());
    let parts = [(end, end), (5, 600_000), (700_000, 700_001)];
    assert!(response == big.parts(&parts, &boundary(&response)));
    let expected = [
        (end as u64, 1),
        (5, CHUNK_BYTES),
        (5 + CHUNK_BYTES as u64, CHUNK_BYTES),
        (5 + 2 * CHUNK_BYTES as u64, 600_001 - 5 - 2 * CHUNK_BYTES),
        (700_000, 2),
    ];
    assert_eq!(reads.take(), expected);

    let response = client.exchange(get("/big", "bytes=2000000-").as_bytes());
    assert_same(&response, &big.unsatisfiable(), "beyond");
    let request = request("HEAD", "/big", "Range: bytes=0-5\r\n");
    assert_same(
        &client.exchange(request.as_bytes()),
        &big.ok_head(),
        "HEAD knows no ranges",
    );
    assert!(reads.borrow().is_empty());
}

#[test]
fn parts_taken_slowly_keep_two_chunks_in_memory_at_most() {
    let fixture = fixture();
    fixture.write("big", &content(4 * CHUNK_BYTES));
    let big = Sent::plain(&fixture, "big", OCTETS);
    let mut client = fixture.client();
    client.input(get("/big", "bytes=0-299999,300001-300001,300003-900000,-9").as_bytes());
    let mut most = 0;
    loop {
        while client.deliver() {}
        most = most.max(client.conn.held_bytes());
        if client.send(9_973) == 0 {
            break;
        }
    }
    let end = 4 * CHUNK_BYTES;
    let parts = [
        (0, 299_999),
        (300_001, 300_001),
        (300_003, 900_000),
        (end - 9, end - 1),
    ];
    assert!(client.sent == big.parts(&parts, &boundary(&client.sent)));
    assert!(client.conn.is_idle());
    assert_eq!(most, (MAX_CHUNKS * CHUNK_BYTES) as u64);
    assert_eq!(client.conn.held_bytes(), 0);
}

#[test]
fn a_file_that_shrinks_breaks_a_part_off() {
    let fixture = fixture();
    fixture.write("big", &content(4 * CHUNK_BYTES));
    let mut client = fixture.client();
    client.input(get("/big", "bytes=0-9,20-29,800000-800009").as_bytes());
    let path = fixture.path().join("big");
    client.deliver();
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(700_000).unwrap();
    client.pump();
    assert!(client.conn.must_abort() && client.conn.output().is_empty());
    assert_eq!(client.counters.aborted, 1);
}

#[test]
fn positions_above_four_gibibytes() {
    const LEN: u64 = 5 * 1024 * 1024 * 1024 + 3;
    let fixture = fixture();
    fixture.write("huge", b"start");
    let path = fixture.path().join("huge");
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(b"middle", 1 << 32).unwrap();
    file.write_all_at(b"end", LEN - 3).unwrap();
    file.set_modified(modified()).unwrap();
    let mut client = fixture.client();
    for (range, first, body) in [
        ("bytes=0-4", 0, "start"),
        ("bytes=4294967296-4294967301", 1_u64 << 32, "middle"),
        ("bytes=4294967295-4294967301", (1 << 32) - 1, "\0middle"),
        ("bytes=5368709120-", LEN - 3, "end"),
        ("bytes=-4", LEN - 4, "\0end"),
        ("bytes=5368709122-99999999999999999999999", LEN - 1, "d"),
    ] {
        let response = client.exchange(get("/huge", range).as_bytes());
        let response = String::from_utf8(response).unwrap();
        let (head, sent) = response.split_once("\r\n\r\n").unwrap();
        let last = first + body.len() as u64 - 1;
        assert_eq!(sent, body, "{range}");
        assert!(head.starts_with("HTTP/1.1 206 Partial Content\r\n"));
        let line = format!("\r\nContent-Range: bytes {first}-{last}/{LEN}\r\n");
        assert!(head.contains(&line), "{head}");
    }
    let response = client.exchange(get("/huge", "bytes=0-1,4294967296-4294967297,-1").as_bytes());
    let text = String::from_utf8(response.clone()).unwrap();
    for part in [
        "bytes 0-1/5368709123\r\n\r\nst\r\n--",
        "bytes 4294967296-4294967297/5368709123\r\n\r\nmi\r\n--",
        "bytes 5368709122-5368709122/5368709123\r\n\r\nd\r\n--",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let response = client.exchange(get("/huge", "bytes=5368709123-").as_bytes());
    let text = String::from_utf8(response).unwrap();
    assert!(text.contains("\r\nContent-Range: bytes */5368709123\r\n"));
}

#[test]
fn a_boundary_belongs_to_a_version_and_to_a_server() {
    let fixture = fixture();
    fixture.write("other", b"0123456789");
    let (mut one, mut two) = (fixture.client(), fixture.client());
    let of = |client: &mut Client<_>, target| {
        boundary(&client.exchange(get(target, "bytes=0-1,3-4").as_bytes()))
    };
    let first = of(&mut one, "/ten");
    assert_eq!(first.len(), 32);
    assert_eq!(first, of(&mut one, "/ten"));
    assert_ne!(first, of(&mut one, "/other"));
    assert_ne!(first, of(&mut two, "/ten"));
}

/// Ranges of small numbers, written down, and which bytes of a file of `length` they name.
fn named(ranges: &[(Option<u64>, Option<u64>)], length: u64) -> (String, Vec<bool>) {
    let mut bytes = vec![false; length as usize];
    let mut text = Vec::new();
    for &range in ranges {
        let number = |number: Option<u64>| number.map_or(String::new(), |n| n.to_string());
        text.push(format!("{}-{}", number(range.0), number(range.1)));
        for (at, named) in (0..length).zip(&mut bytes) {
            *named |= match range {
                (Some(first), Some(last)) => first <= at && at <= last,
                (Some(first), None) => first <= at,
                (None, Some(count)) => at + count >= length,
                (None, None) => false,
            };
        }
    }
    (format!("bytes={}", text.join(",")), bytes)
}

proptest! {
    #[test]
    fn what_is_sent_is_what_the_ranges_name(
        ranges in prop::collection::vec(
            (prop::option::of(0_u64..25), prop::option::of(0_u64..25)), 1..12),
        length in 0_u64..25,
    ) {
        let (text, named) = named(&ranges, length);
        let valid = ranges.iter().all(|range| match range {
            (Some(first), Some(last)) => first <= last,
            (None, None) => false,
            _ => true,
        });
        let parts = match wanted(text.as_bytes(), length) {
            Wanted::Whole => {
                let last_of_nothing =
                    length == 0 && ranges.iter().any(|range| matches!(range, (None, Some(1..))));
                prop_assert!(!valid || last_of_nothing, "{}", text);
                return Ok(());
            }
            Wanted::Nothing => Vec::new(),
            Wanted::Parts(parts) => {
                prop_assert!(!parts.is_empty());
                parts
            }
        };
        prop_assert!(valid, "{}", text);
        let mut sent = vec![0; length as usize];
        for part in &parts {
            prop_assert!(part.start < part.end && part.end <= length, "{}: {:?}", text, parts);
            for at in part.clone() {
                sent[at as usize] += 1;
            }
        }
        let expected: Vec<_> = named.iter().map(|&named| i32::from(named)).collect();
        prop_assert_eq!(sent, expected, "each once: {}", text);
        // No two could have been one.
        for (one, other) in parts.iter().zip(parts.iter().skip(1)) {
            prop_assert!(one.end < other.start || other.end < one.start, "{:?}", parts);
        }
    }

    #[test]
    fn arbitrary_values_do_no_harm(value in "(bytes=)?[-0-9, a]{0,40}", length in any::<u64>()) {
        if let Wanted::Parts(parts) = wanted(value.as_bytes(), length) {
            prop_assert!(parts.len() <= MAX_PARTS);
            prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= length));
        }
    }
}

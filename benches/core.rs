//! What the parts of the packet path cost, one by one, and a whole GET through all of
//! them, without a kernel.
//!
//! ```text
//! cargo bench --bench core [-- FILTER]
//! ```
//!
//! Nanoseconds differ from machine to machine and from minute to minute;
//! scripts/instructions.sh counts what does not.

mod table;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant, UNIX_EPOCH};
use table::{Table, request_frame};
use xdphttpd::http::request::{Request, Slots};
use xdphttpd::http::response::{self, Connection, End};
use xdphttpd::http::scan::HeadScanner;
use xdphttpd::http::{Date, Limits};
use xdphttpd::net::checksum::seal;
use xdphttpd::net::demux::{self, Flow};
use xdphttpd::net::flow::FlowTable;
use xdphttpd::net::{Policy, RxChecksum};
use xdphttpd::site::resolve::{Dotfiles, resolve};
use xdphttpd::xsk::fake;

/// A head as browsers send it.
const HEAD: &[u8] = b"GET /assets/app.3f2a.js?v=7 HTTP/1.1\r\nHost: www.example.org\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: */*\r\nAccept-Language: en-GB,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://www.example.org/\r\nConnection: keep-alive\r\n\r\n";
/// Requests between two looks at the clock.
const ROUND: usize = 20_000;

/// A keep-alive GET of 1 KiB from memory, its segment with the ACK of the answer before:
/// from received frame to sent frame.
fn get(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("get");
    // With more, a tail loss probe would come before the request that an ACK rides on.
    for connections in [64, 1_000] {
        let mut table = Table::open(connections);
        let mut random = fastrand::Rng::with_seed(1);
        let id = BenchmarkId::from_parameter(connections);
        group.bench_function(id, |bencher| {
            bencher.iter_custom(|requests| {
                let mut left = requests as usize;
                let mut elapsed = Duration::ZERO;
                while left > 0 {
                    let order = table.order(connections, left.min(ROUND), &mut random);
                    elapsed += table.time(&order, true).0;
                    left -= order.len();
                }
                elapsed
            });
        });
    }
}

/// Frames that pass the rings between two looks at the clock.
const BATCH: usize = 64;

/// Our side of the rings, a frame: received and given back, sent and reclaimed, published
/// once a batch. The kernel's side runs off the clock.
fn rings(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring");
    let frame = request_frame();
    group.bench_function("receive", |bencher| {
        let (mut rx, _tx, mut kernel) = fake::open(2_048, 2_048);
        bencher.iter_custom(|frames| {
            batches(frames, |batch| {
                (0..batch).for_each(|_| assert!(kernel.receive(&frame)));
                let start = Instant::now();
                while let Some(frame) = rx.next() {
                    black_box(rx.bytes(&frame));
                    rx.recycle(frame);
                }
                rx.commit();
                start.elapsed()
            })
        });
    });
    group.bench_function("transmit", |bencher| {
        let (_rx, mut tx, mut kernel) = fake::open(2_048, 2_048);
        bencher.iter_custom(|frames| {
            batches(frames, |batch| {
                let start = Instant::now();
                for _ in 0..batch {
                    let sent = tx.send(60, |bytes| bytes[0] = 1);
                    assert!(sent.is_some(), "there are more frames than a batch has");
                }
                tx.commit();
                let queued = start.elapsed();
                while let Some((address, _)) = kernel.transmit() {
                    kernel.complete(address);
                }
                let start = Instant::now();
                assert_eq!(tx.reclaim(), batch);
                queued + start.elapsed()
            })
        });
    });
}

/// The time that so many frames take, a batch at a time.
fn batches(frames: u64, mut pass: impl FnMut(usize) -> Duration) -> Duration {
    let (whole, rest) = (frames as usize / BATCH, frames as usize % BATCH);
    let mut elapsed = Duration::ZERO;
    for batch in std::iter::repeat_n(BATCH, whole).chain([rest]) {
        elapsed += pass(batch);
    }
    elapsed
}

fn look_up(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("flow");
    for flows in [100, 10_000, 100_000] {
        let mut table = FlowTable::new([7; 16]);
        for number in 0..flows {
            table.insert(flow(number), |_| number);
        }
        let mut random = fastrand::Rng::with_seed(1);
        let wanted: Vec<Flow> = (0..4_096).map(|_| flow(random.u32(..flows))).collect();
        let mut next = wanted.iter().cycle();
        group.bench_function(BenchmarkId::from_parameter(flows), |bencher| {
            bencher.iter(|| table.find(*next.next().expect("it is endless")));
        });
    }
}

fn flow(number: u32) -> Flow {
    Flow {
        remote: Ipv4Addr::from(0x0a0c_0000 + (number >> 14)),
        remote_port: (number & 0x3fff) as u16 + 10_000,
        local: Ipv4Addr::new(10, 11, 1, 1),
        local_port: 80,
    }
}

fn demux(criterion: &mut Criterion) {
    let frame = request_frame();
    for (name, rx_checksum) in [
        ("strict", RxChecksum::Strict),
        ("ignore", RxChecksum::Ignore),
    ] {
        let policy = Policy {
            port: 80,
            addresses: Some(vec![Ipv4Addr::new(10, 11, 1, 1)]),
            rx_checksum,
        };
        assert!(demux::parse(&frame, &policy).is_ok(), "it is a good one");
        criterion.bench_function(&format!("demux/{name}"), |bencher| {
            bencher.iter(|| demux::parse(black_box(&frame), &policy).is_ok());
        });
    }
}

fn checksum(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("checksum");
    for packet_bytes in [40, 1_500, 9_000, 65_535] {
        let mut packet = vec![0x5a; packet_bytes];
        group.throughput(Throughput::Bytes(packet_bytes as u64));
        group.bench_function(BenchmarkId::from_parameter(packet_bytes), |bencher| {
            bencher.iter(|| seal(black_box(&mut packet)));
        });
    }
}

fn heads(criterion: &mut Criterion) {
    let limits = Limits::default();
    criterion.bench_function("head/scan", |bencher| {
        bencher.iter(|| HeadScanner::default().scan(black_box(HEAD), &limits));
    });
    criterion.bench_function("head/parse", |bencher| {
        bencher.iter(|| {
            let mut slots = Slots::new();
            Request::parse(black_box(HEAD), &mut slots, &limits).is_ok()
        });
    });
    let mut name = Vec::with_capacity(64);
    criterion.bench_function("head/resolve", |bencher| {
        bencher.iter(|| {
            resolve(
                black_box(b"/assets/app.3f2a.js"),
                &mut name,
                Dotfiles::Hidden,
            )
        });
    });
    let date = Date::new(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    let mut head = Vec::with_capacity(1_024);
    let ready = b"HTTP/1.1 200 OK\r\nContent-Length: 1024\r\nContent-Type: text/css\r\n\
        ETag: \"1-400-65540000\"\r\nX-Content-Type-Options: nosniff\r\n";
    criterion.bench_function("head/encode", |bencher| {
        bencher.iter(|| {
            head.clear();
            let end = End {
                more: b"",
                date: &date,
                connection: Connection::Persist,
                takes_files: false,
            };
            response::write_ready(&mut head, black_box(ready), &end);
        });
    });
}

criterion_group!(parts, rings, demux, look_up, checksum, heads, get);
criterion_main!(parts);

//! Responses sent no faster than they may be, on the wire in virtual time: who is kept back is woken in time, and never
//! taken for a client that does not read.

mod common;
mod peer;

use common::{Client, Lab, responses, stack_config};
use peer::{Peer, flags};
use std::path::Path;
use std::time::UNIX_EPOCH;
use xdphttpd::http::rate::Limiter;
use xdphttpd::net::{Duration, Instant, Limits, Stack};
use xdphttpd::service::HttpService;
use xdphttpd::site::{self, InlineLoader, Root, Site};
use xdphttpd::wire::Impairments;

const BIG_BYTES: usize = 400_000;
/// What may be sent at once after a pause, at these rates.
const BURST_BYTES: usize = 64 * 1024;
const GET_BIG: &[u8] = b"GET /big HTTP/1.0\r\n\r\n";

/// A server whose connections are limited to so many bytes a second, each and together.
fn lab(root: &Path, each: Option<u64>, all: Option<u64>, limits: Limits) -> Lab {
    far_lab(root, (each, all), limits, Duration::ZERO)
}

/// The same with so long a way to its clients.
fn far_lab(
    root: &Path,
    (each, all): (Option<u64>, Option<u64>),
    limits: Limits,
    delay: Duration,
) -> Lab {
    let content: Vec<u8> = (0..BIG_BYTES).map(|at| (at % 251) as u8).collect();
    std::fs::write(root.join("big"), content).expect("writing a file");
    std::fs::write(root.join("one"), "one").expect("writing a file");
    let way = Impairments {
        delay,
        ..Impairments::NONE
    };
    let mut lab = Lab::new(root, way, 1);
    let site = Site::new(
        InlineLoader::new(Root::open(root).expect("the root")),
        site::Limits::default(),
    );
    let service = HttpService::new(site, 64 << 20, UNIX_EPOCH);
    let mut config = stack_config(1_000);
    config.limits = limits;
    let service = service.with_limiter(Limiter::new(each, all));
    lab.stack = Stack::new(&config, &[42; 32], service);
    lab
}

fn clients(count: u16) -> Vec<Client> {
    let new = |port| Client::new(port, GET_BIG, false, 7, Instant::from_millis(1));
    (0..count).map(|index| new(1_000 + index)).collect()
}

/// Lets all clients get their whole responses; how many seconds that took.
fn run(lab: &mut Lab, clients: &mut [Client], limit_s: u64) -> f64 {
    let start = lab.now;
    assert!(lab.run(clients, Duration::from_secs(limit_s)), "too slow");
    let took = lab.now - start;
    for client in clients.iter() {
        let found = responses(&client.received);
        let [(200, body)] = &found[..] else {
            panic!("{} responses", found.len());
        };
        assert_eq!(body.len(), BIG_BYTES);
        assert!(
            body.iter()
                .enumerate()
                .all(|(at, &byte)| byte == (at % 251) as u8)
        );
    }
    lab.settle(clients, Duration::from_secs(200));
    assert_eq!((lab.stack.connections(), lab.stack.timers()), (0, 0));
    took.total_micros() as f64 / 1e6
}

/// How long it takes to send so much, the burst apart.
fn seconds(bytes: usize, rate: u64) -> f64 {
    (bytes - BURST_BYTES) as f64 / rate as f64
}

#[test]
fn a_connection_keeps_to_its_rate() {
    for rate in [20_000, 100_000, 250_000] {
        let root = tempfile::tempdir().expect("a directory");
        let mut lab = lab(root.path(), Some(rate), None, Limits::default());
        let took = run(&mut lab, &mut clients(3), 60);
        let want = seconds(BIG_BYTES, rate);
        assert!(
            (want..want + 1.0).contains(&took),
            "{rate}: {took} s, not {want} s"
        );
    }
}

#[test]
fn who_is_kept_back_is_not_to_blame() {
    // On the longer way something is unacknowledged for a third of the time.
    for delay_ms in [0, 700] {
        keep_back(Duration::from_millis(delay_ms));
    }
}

fn keep_back(delay: Duration) {
    let root = tempfile::tempdir().expect("a directory");
    let limits = Limits {
        send_stall: Duration::from_secs(3),
        min_send_bytes_per_s: 10_000,
        ..Limits::default()
    };
    let mut lab = far_lab(root.path(), (Some(1_000), None), limits, delay);
    let mut clients = clients(2);
    let mut without_socket = 0;
    // Four seconds from one piece to the next.
    for _ in 0..400 {
        if lab.run(&mut clients, Duration::from_secs(1)) {
            break;
        }
        let census = lab.stack.census();
        without_socket += u64::from(census.open == 2 && census.sockets == 0);
    }
    assert!(without_socket > 20, "{without_socket}");
    let took = run(&mut lab, &mut clients, 3);
    assert!(took < 3.0);
    let counters = lab.stack.counters;
    assert_eq!(
        (counters.expired_send_stall, counters.expired_send_rate),
        (0, 0)
    );
    // For each piece, and for each ACK in between.
    let kept_back = lab.stack.app.counters.kept_back;
    assert!((160..1_000).contains(&kept_back), "{kept_back}");
    let want = seconds(BIG_BYTES, 1_000);
    let since_start = lab.now.total_micros() as f64 / 1e6;
    assert!(since_start >= want, "{since_start} s, not {want} s");
}

#[test]
fn who_does_not_acknowledge_is() {
    let root = tempfile::tempdir().expect("a directory");
    let mut lab = lab(root.path(), Some(1_000), None, Limits::default());
    let mut host = peer::Host::new(Limits::default());
    std::mem::swap(&mut host.lab, &mut lab);
    let mut peer = Peer::new(1);
    peer.open(&mut host);
    let answers = peer.say(&mut host, "PA", GET_BIG);
    assert!(!answers.is_empty());
    let answers = host.wait_s(59);
    assert!(!flags(&answers).iter().any(|flags| flags.contains('R')));
    let answers = host.wait_s(2);
    assert!(flags(&answers).iter().any(|flags| flags.contains('R')));
    assert_eq!(host.counters().expired_send_stall, 1);
}

#[test]
fn all_together_keep_to_the_rate_and_share_it() {
    let (rate, count) = (100_000, 5);
    let root = tempfile::tempdir().expect("a directory");
    let mut lab = lab(root.path(), None, Some(rate), Limits::default());
    let mut clients = clients(count);
    assert!(!lab.run(&mut clients, Duration::from_secs(10)));
    let received: Vec<usize> = clients.iter().map(|client| client.received.len()).collect();
    let (least, most) = (received.iter().min(), received.iter().max());
    let spread = most.zip(least).map(|(most, least)| most - least);
    assert!(
        spread.is_some_and(|spread| spread <= BURST_BYTES),
        "{received:?}"
    );
    let took = 10.0 + run(&mut lab, &mut clients, 60);
    let want = seconds(BIG_BYTES * usize::from(count), rate);
    assert!((want..want + 1.0).contains(&took), "{took} s, not {want} s");
}

#[test]
fn requests_one_after_the_other_share_the_rate_of_their_connection() {
    let root = tempfile::tempdir().expect("a directory");
    let mut lab = lab(
        root.path(),
        Some(10_000),
        Some(1_000_000),
        Limits::default(),
    );
    let count = 500;
    let request = b"GET /one HTTP/1.1\r\nHost: x\r\n\r\n".repeat(count);
    let mut client = [Client::new(1_000, &request, true, 7, lab.now)];
    let start = lab.now;
    assert!(lab.run(&mut client, Duration::from_secs(100)));
    let took = (lab.now - start).total_micros() as f64 / 1e6;
    assert_eq!(responses(&client[0].received).len(), count);
    let want = seconds(client[0].received.len(), 10_000);
    assert!((want..want + 0.5).contains(&took), "{took} s, not {want} s");
}

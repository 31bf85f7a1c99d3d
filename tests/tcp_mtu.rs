//! Paths that carry smaller packets than the ends' links, and do not say so.

mod common;

use common::{Client, Lab, content, get, responses};
use std::fs;
use std::path::Path;
use xdphttpd::net::Duration;
use xdphttpd::net::demux::ETHERNET_HEADER_BYTES;
use xdphttpd::wire::Impairments;

const LARGE_BYTES: usize = 1_000_000;
/// How long anything may take, and how often tests look.
const LIMIT: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_millis(1);

/// A megabyte takes 200 ms.
const PATH: Impairments = Impairments {
    bytes_per_s: Some(5_000_000),
    ..Impairments::NONE
};

/// The same through a router that swallows larger IP packets.
fn narrow(path_mtu_bytes: usize) -> Impairments {
    Impairments {
        black_hole_bytes: Some(ETHERNET_HEADER_BYTES + path_mtu_bytes),
        ..PATH
    }
}

/// A server, one client, and the path from the one to the other.
struct Case {
    lab: Lab,
    clients: [Client; 1],
    _root: tempfile::TempDir,
}

impl Case {
    /// A client that asks for `path` and closes then, or not; both directions are
    /// `impairments`.
    fn new(files: &[(&str, &[u8])], path: &str, last: bool, impairments: Impairments) -> Case {
        Case::seeded(files, path, last, impairments, 1)
    }

    fn seeded(
        files: &[(&str, &[u8])],
        path: &str,
        last: bool,
        impairments: Impairments,
        seed: u64,
    ) -> Case {
        let root = tempfile::tempdir().expect("a temporary directory");
        for (name, body) in files {
            fs::write(root.path().join(Path::new(name)), body).expect("a test file");
        }
        let lab = Lab::new(root.path(), impairments, seed);
        let client = Client::new(40_000, get(path, last).as_bytes(), false, seed, lab.now);
        Case {
            lab,
            clients: [client],
            _root: root,
        }
    }

    fn falls(&self) -> u64 {
        self.lab.stack.counters.recovery.mtu_falls
    }

    fn lost(&self) -> u64 {
        self.lab.to_client.tally.lost
    }

    fn received(&self) -> &[u8] {
        &self.clients[0].received
    }

    /// Lets all run until `condition` holds.
    #[track_caller]
    fn until(&mut self, what: &str, condition: impl Fn(&Case) -> bool) {
        let end = self.lab.now + LIMIT;
        while !condition(self) {
            assert!(self.lab.now < end, "in vain for {what}");
            assert!(!self.clients[0].is_done(), "over before {what}");
            self.lab.run(&mut self.clients, LOOK);
        }
    }

    /// The path carries no larger packets any more.
    fn shrink(&mut self, path_mtu_bytes: usize) {
        self.lab.to_client.impair(narrow(path_mtu_bytes));
    }

    /// Runs to the client's end, and gives the bodies that it received.
    #[track_caller]
    fn bodies(mut self) -> Vec<Vec<u8>> {
        assert!(self.lab.run(&mut self.clients, LIMIT), "it hangs");
        assert!(self.clients[0].finished, "FIN came after everything else");
        let all = responses(self.received());
        assert!(all.iter().all(|(status, _)| *status == 200));
        all.into_iter().map(|(_, body)| body).collect()
    }
}

#[test]
fn a_path_that_carries_less_than_its_ends() {
    let body = content(1, LARGE_BYTES);
    for (path_mtu, falls) in [
        (1_499, 1),
        (1_400, 1),
        (1_280, 1),
        (1_279, 2),
        (1_006, 2),
        (576, 2),
    ] {
        let mut case = Case::new(&[("a", &body)], "/a", true, narrow(path_mtu));
        case.until("falls", |case| case.falls() == falls);
        let lost = case.lost();
        case.until("the end", |case| case.clients[0].is_done());
        assert_eq!(case.lost(), lost, "{path_mtu}: no large packet any more");
        assert_eq!(case.falls(), falls, "{path_mtu}");
        assert!(case.bodies() == [body.clone()], "{path_mtu}");
    }
}

/// Every time-out takes seconds here; all falls come before the server gives up.
#[test]
fn a_long_path_that_carries_less_than_its_ends() {
    for bytes in [700, 1_500, 60_000] {
        let body = content(bytes as u64, bytes);
        for path_mtu in [1_280, 576] {
            let far = Impairments {
                delay: Duration::from_millis(400),
                ..narrow(path_mtu)
            };
            let case = Case::new(&[("a", &body)], "/a", true, far);
            assert!(case.bodies() == [body.clone()], "{bytes} {path_mtu}");
        }
    }
}

#[test]
fn a_path_that_carries_all_sees_no_fall() {
    let body = content(1, LARGE_BYTES);
    let mut case = Case::new(&[("a", &body)], "/a", true, narrow(1_500));
    case.until("the end", |case| case.clients[0].is_done());
    assert_eq!((case.falls(), case.lost()), (0, 0));
    assert!(case.bodies() == [body]);
}

#[test]
fn a_path_that_shrinks_while_data_moves() {
    let body = content(2, LARGE_BYTES);
    for (at, path_mtu, falls) in [(20_000, 1_280, 1), (500_000, 1_280, 1), (500_000, 576, 2)] {
        let mut case = Case::new(&[("a", &body)], "/a", true, PATH);
        case.until("data", |case| case.received().len() >= at);
        case.shrink(path_mtu);
        case.until("falls", |case| case.falls() == falls);
        let lost = case.lost();
        case.until("the end", |case| case.clients[0].is_done());
        assert_eq!((case.falls(), case.lost()), (falls, lost), "{path_mtu}");
        assert!(case.bodies() == [body.clone()], "{at} {path_mtu}");
    }
}

#[test]
fn a_path_that_shrinks_twice() {
    let body = content(3, LARGE_BYTES);
    let mut case = Case::new(&[("a", &body)], "/a", true, narrow(1_300));
    case.until("data", |case| case.received().len() >= 300_000);
    assert_eq!(case.falls(), 1);
    case.shrink(600);
    case.until("data", |case| case.received().len() >= 600_000);
    assert_eq!(case.falls(), 2);
    assert!(case.bodies() == [body]);
}

/// Whatever there is of text behind the last full segment, FIN comes with it or
/// after it.
#[test]
fn fin_is_with_the_last_piece() {
    for bytes in (1_000..3_200).step_by(31).chain([1_100, 1_101, 14_000]) {
        let body = content(bytes as u64, bytes);
        for path_mtu in [1_280, 576] {
            let case = Case::new(&[("a", &body)], "/a", true, narrow(path_mtu));
            assert!(case.bodies() == [body.clone()], "{bytes} {path_mtu}");
        }
    }
}

#[test]
fn a_connection_that_sleeps_between_requests_keeps_its_small_segments() {
    let (first, second) = (content(4, 50_000), content(5, LARGE_BYTES));
    let files: [(&str, &[u8]); 2] = [("a", &first), ("b", &second)];
    let mut case = Case::new(&files, "/a", false, narrow(1_280));
    case.until("the first response", |case| {
        case.received().len() > first.len()
    });
    case.until("sleep", |case| case.lab.stack.census().sockets == 0);
    assert_eq!(case.falls(), 1);
    let lost = case.lost();
    case.clients[0].ask(get("/b", true).as_bytes());
    case.until("the end", |case| case.clients[0].is_done());
    assert_eq!((case.falls(), case.lost()), (1, lost));
    assert!(case.bodies() == [first, second]);
}

/// The next connection begins with large segments: the path may be another.
#[test]
fn the_fall_is_the_connections_own() {
    let body = content(6, 50_000);
    let mut case = Case::new(&[("a", &body)], "/a", true, narrow(1_280));
    case.until("the end", |case| case.clients[0].is_done());
    assert_eq!(case.falls(), 1);
    case.shrink(1_500);
    let lost = case.lost();
    case.clients = [Client::new(
        40_001,
        get("/a", true).as_bytes(),
        false,
        2,
        case.lab.now,
    )];
    let frames = case.lab.to_client.tally.sent;
    case.until("the end", |case| case.clients[0].is_done());
    assert_eq!((case.falls(), case.lost()), (1, lost));
    let frames = case.lab.to_client.tally.sent - frames;
    assert!(frames < 50_000 / 1_240, "{frames} frames: of 1460 bytes");
}

/// How many of so many connections fall over a path that loses this share each way.
fn falls_of(seeds: u64, loss: f64) -> u64 {
    let (large, small) = (content(7, 400_000), content(8, 20_000));
    let files: [(&str, &[u8]); 2] = [("a", &large), ("b", &small)];
    let lossy = Impairments { loss, ..PATH };
    let fall = |seed: u64| {
        let (path, want) = match seed % 3 {
            0 => ("/a", &large),
            _ => ("/b", &small),
        };
        let mut case = Case::seeded(&files, path, true, lossy, seed);
        case.until("the end", |case| case.clients[0].is_done());
        let falls = case.falls();
        assert!(case.bodies() == [want.clone()], "seed {seed}");
        falls
    };
    (1..=seeds).map(fall).sum()
}

#[test]
fn ordinary_loss_is_no_reason_to_fall() {
    assert_eq!(falls_of(600, 0.03), 0);
    // A segment or its ACK is lost four times in a row once in a thousand times.
    let falls = falls_of(600, 0.1);
    assert!(falls <= 6, "{falls}");
}

#[test]
fn an_outage_of_a_second_is_no_reason_to_fall() {
    let body = content(10, LARGE_BYTES);
    let mut case = Case::new(&[("a", &body)], "/a", true, PATH);
    case.until("data", |case| case.received().len() >= 300_000);
    case.lab.to_client.cut();
    let end = case.lab.now + Duration::from_secs(1);
    case.until("a second", |case| case.lab.now >= end);
    case.lab.to_client.mend();
    case.until("the end", |case| case.clients[0].is_done());
    assert_eq!(case.falls(), 0);
    assert!(case.bodies() == [body]);
}

#[test]
fn loss_and_a_narrow_path_together() {
    let body = content(9, 200_000);
    for seed in 1..=100 {
        let path_mtu = if seed % 2 == 0 { 1_280 } else { 576 };
        let bad = Impairments {
            loss: 0.05,
            duplicate: 0.02,
            reorder: 0.1,
            ..narrow(path_mtu)
        };
        let case = Case::seeded(&[("a", &body)], "/a", true, bad, seed);
        assert!(case.bodies() == [body.clone()], "seed {seed}");
    }
}

//! A mount that is slow, fails or hangs: what is on it suffers, and nothing else does.

use crate::lab::{PATIENCE, assert_same, noise, wait_at_most, wait_until};
use crate::mount::{Op, Trouble, content};
use crate::site::{Client, Site};
use crate::tree;
use rustix::process::Signal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// So much longer than [`PATIENCE`] may 100 MiB take.
const LARGE_PATIENCE: Duration = Duration::from_secs(50);
/// More requests than may run at once, or hang, on one mount.
const MANY: usize = 48;
const FILE_BYTES: usize = 4_000;

#[test]
fn a_slow_download_has_its_pace_and_keeps_nobody_waiting() {
    const LENGTH: u64 = 100 << 20;
    const RATE: usize = 1_000_000;
    const WATCHED: usize = 4 * RATE;
    let site = Site::new(&[]);
    site.jfs().put("large.bin", 5, LENGTH);
    let slow = Trouble::Rate(RATE as f64);
    site.jfs().trouble(Op::Read, Some("large.bin"), slow);
    let began = Instant::now();
    let download = site.download("/jfs/large.bin");
    let (mut client, small) = (site.client(), tree::small_files());
    let mut rounds = 0;
    wait_at_most(LARGE_PATIENCE, "some of the download", || {
        client.assert_gets_all(&small);
        rounds += 1;
        download.received() >= WATCHED
    });
    let so_far = download.body();
    let took = began.elapsed();
    let most = (took.as_secs_f64() * RATE as f64) as usize;
    assert!(so_far.len() <= most, "{} in {took:?}", so_far.len());
    assert_same(&so_far, &content(5, 0..so_far.len() as u64));
    assert!(rounds >= 3, "only {} small files", rounds * small.len());
    site.jfs().heal();
    let (body, outcome) = download.end(LARGE_PATIENCE);
    outcome.expect("the whole body");
    assert_same(&body, &content(5, 0..LENGTH));
    site.server.stop();
}

/// Files `OP-0.md` and so on, on the mount.
fn put_many(site: &Site, op: Op) -> Vec<(String, Vec<u8>)> {
    let put = |number: usize| {
        let (name, seed) = (format!("{op:?}-{number}.md"), number as u64);
        site.jfs().put(&name, seed, FILE_BYTES as u64);
        (format!("/jfs/{name}"), noise(seed, FILE_BYTES))
    };
    (0..MANY).map(put).collect()
}

/// Asks for all at once, each over a connection of its own; none is answered in time.
fn assert_all_too_late(clients: &mut [Client], files: &[(String, Vec<u8>)]) {
    for (client, (target, _)) in clients.iter_mut().zip(files) {
        client.ask(target);
    }
    for (client, (target, _)) in clients.iter_mut().zip(files) {
        let response = client.response();
        assert_eq!(response.status(), "504", "{target}: {}", response.head);
    }
}

/// Gets the small files of the tree again and again while `work` goes on.
fn beside_small_files<T>(site: &Site, work: impl FnOnce() -> T) -> T {
    let (mut client, small) = (site.client(), tree::small_files());
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let others = scope.spawn(|| {
            let mut rounds = 0;
            loop {
                client.assert_gets_all(&small);
                rounds += 1;
                if is_over.load(Ordering::Relaxed) {
                    return rounds;
                }
            }
        });
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        is_over.store(true, Ordering::Relaxed);
        let rounds: usize = others.join().expect("nobody else notices");
        assert!(rounds > 0, "{} files at least", tree::small_files().len());
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[test]
fn what_hangs_is_504_in_time_and_nothing_else_notices() {
    let site = Site::new(&["--file-timeout", "1"]);
    let mut clients: Vec<Client> = (0..MANY).map(|_| site.client()).collect();
    for op in [Op::LookUp, Op::Open, Op::Read] {
        let files = put_many(&site, op);
        site.jfs().trouble(op, None, Trouble::Hang);
        beside_small_files(&site, || {
            // The second time, those of the first still hang.
            for _ in 0..2 {
                assert_all_too_late(&mut clients, &files);
            }
        });
        site.jfs().heal();
        for (client, (target, content)) in clients.iter_mut().zip(&files) {
            // That it was too late is remembered for a moment.
            wait_until("the mount to be asked again", || {
                client.get(target).status() != "504"
            });
            client.assert_gets(target, content);
        }
    }
    site.server.stop();
}

/// The kernel asks a FUSE file system about each close, and waits for what it says.
#[test]
fn a_file_that_cannot_be_closed_keeps_nobody_waiting() {
    const LENGTH: u64 = 400_000;
    let site = Site::new(&["--file-timeout", "1"]);
    let names = ["a.bin", "b.bin", "c.bin"];
    let mut client = site.client();
    for (seed, name) in (20..).zip(names) {
        site.jfs().put(name, seed, LENGTH);
        client.assert_gets(&format!("/jfs/{name}"), &content(seed, 0..LENGTH));
    }
    for op in [Op::LookUp, Op::Close] {
        site.jfs().trouble(op, None, Trouble::Hang);
    }
    beside_small_files(&site, || {
        for name in names {
            // As long as what is known of it holds, it comes from the open file.
            wait_until("it to be looked at again", || {
                client.get(&format!("/jfs/{name}")).status() == "504"
            });
        }
        wait_until("a file to be closed", || site.jfs().count(Op::Close) > 0);
    });
    site.jfs().heal();
    for (seed, name) in (20..).zip(names) {
        let target = format!("/jfs/{name}");
        wait_until("the mount to be asked again", || {
            client.get(&target).status() == "200"
        });
        client.assert_gets(&target, &content(seed, 0..LENGTH));
    }
    site.server.stop();
}

#[test]
fn a_download_that_comes_to_hang_is_broken_off() {
    const LENGTH: u64 = 24 << 20;
    let site = Site::new(&["--file-timeout", "1"]);
    site.jfs().put("large.bin", 6, LENGTH);
    // Slow, so that most of it is still to be read.
    let slow = Trouble::Rate(2e6);
    site.jfs().trouble(Op::Read, None, slow);
    let download = site.download("/jfs/large.bin");
    wait_until("the download to begin", || download.received() > 0);
    site.jfs().trouble(Op::Read, None, Trouble::Hang);
    let (body, outcome) = beside_small_files(&site, || download.end(PATIENCE));
    outcome.expect_err("it cannot go on");
    assert!(body.len() < LENGTH as usize, "{} bytes", body.len());
    assert_same(&body, &content(6, 0..body.len() as u64));
    site.jfs().heal();
    let (body, outcome) = site.download("/jfs/large.bin").end(PATIENCE);
    outcome.expect("it goes on");
    assert_same(&body, &content(6, 0..LENGTH));
    site.server.stop();
}

#[test]
fn what_fails_is_500_and_what_is_late_comes() {
    let site = Site::new(&[]);
    let mut client = site.client();
    let late = Trouble::Delay(Duration::from_millis(300));
    for (number, (op, trouble, status)) in [
        (Op::LookUp, late, "200"),
        (Op::Open, late, "200"),
        (Op::Read, late, "200"),
        (Op::LookUp, Trouble::Fail, "500"),
        (Op::Open, Trouble::Fail, "500"),
        (Op::Read, Trouble::Fail, "500"),
    ]
    .into_iter()
    .enumerate()
    {
        let (name, seed) = (format!("{number}.md"), number as u64);
        let target = format!("/jfs/{name}");
        site.jfs().put(&name, seed, FILE_BYTES as u64);
        site.jfs().trouble(op, Some(&name), trouble);
        let response = beside_small_files(&site, || client.get(&target));
        let what = format!("{op:?} {trouble:?}");
        assert_eq!(response.status(), status, "{what}: {}", response.head);
        site.jfs().heal();
        wait_until("it to be well", || client.get(&target).status() == "200");
        client.assert_gets(&target, &noise(seed, FILE_BYTES));
    }
    site.server.stop();
}

/// What the file system has been asked and not answered outlasts even SIGKILL, and the
/// process with it; but it no longer stands in anybody's way.
#[test]
fn a_server_told_to_end_leaves_the_device_though_the_mount_hangs() {
    let mut site = Site::new(&["--file-timeout", "1"]);
    let files = put_many(&site, Op::LookUp);
    site.jfs().trouble(Op::LookUp, None, Trouble::Hang);
    let mut clients: Vec<Client> = (0..MANY).map(|_| site.client()).collect();
    assert_all_too_late(&mut clients, &files);
    for (client, (target, _)) in clients.iter_mut().zip(&files) {
        client.ask(target);
    }
    site.server.signal(Signal::TERM);
    wait_until("the program to be detached", || !site.lab.has_xdp());
    let next = site.lab.serve(&["--file-timeout", "1", "--dotfiles"]);
    let mut client = site.client();
    client.assert_gets_all(&tree::small_files());
    assert_eq!(client.get(&files[0].0).status(), "504");
    site.jfs().heal();
    let status = site.server.process.end(PATIENCE);
    assert!(status.success(), "{status}");
    wait_until("the mount to be asked again", || {
        client.get(&files[0].0).status() != "504"
    });
    client.assert_gets(&files[0].0, &files[0].1);
    next.stop();
}

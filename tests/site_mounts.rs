//! A mount beneath the root that fails and hangs, and what is beside it. Needs root and
//! /dev/fuse.

mod http_support;
mod mount;

use http_support::Fixture;
use mount::{Mount, Op, Trouble, content};
use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use xdphttpd::site::{
    Body, Entry, Event, Find, HostId, Limits, Patience, PoolLoader, ReadError, Root, Roots, Site,
    Waiter,
};

/// Long enough that only what never comes exceeds it.
const LONG: Duration = Duration::from_secs(30);
const LIMIT: Duration = Duration::from_millis(300);
const LARGE_BYTES: u64 = 1_000_000;
/// At a time, of one mount.
const MOST_LOOKS: u64 = 64;

/// A site with a file of its own, and one on the mount `jfs`.
struct Front {
    site: Site<PoolLoader>,
    woken: Receiver<()>,
    began: Instant,
    mount: Mount,
    runtime: Runtime,
    fixture: Fixture,
}

impl Front {
    fn new() -> Front {
        Front::serving(|root| root)
    }

    /// Without an index.
    fn listing() -> Front {
        let front = Front::serving(|root| root.listing(true));
        fs::remove_file(front.fixture.path().join("index.html")).expect("it is there");
        front
    }

    fn serving(set: impl FnOnce(Root) -> Root) -> Front {
        let fixture = Fixture::new(&[("index.html", b"here")]);
        fs::create_dir(fixture.path().join("jfs")).expect("a directory");
        let mount = Mount::new(&fixture.path().join("jfs"));
        mount.files().put("small", 1, 1_000);
        mount.files().put("large", 2, LARGE_BYTES);
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(64)
            .build()
            .expect("threads");
        let (wake, woken) = channel();
        let patience = Patience {
            at_once: 2,
            lost: 2,
            limit: LIMIT,
        };
        let roots = Arc::new(Roots::from(
            set(Root::open(fixture.path()).expect("a root")),
        ));
        let loader = PoolLoader::new(
            runtime.handle().clone(),
            roots,
            MOST_LOOKS as usize,
            patience,
            move || {
                let _ = wake.send(());
            },
        );
        Front {
            site: Site::new(loader, Limits::default()),
            woken,
            began: Instant::now(),
            mount,
            runtime,
            fixture,
        }
    }

    fn find(&mut self, name: &str, waiter: u64) -> Find {
        let now = self.began.elapsed();
        self.site.tick(now);
        self.site
            .find(HostId::DEFAULT, name.as_bytes(), Waiter(waiter), now)
    }

    fn ask(&mut self, name: &str, waiter: u64) {
        let found = self.find(name, waiter);
        assert!(matches!(found, Find::Pending), "{name}: {found:?}");
    }

    /// What a name stands for, as soon as that is known; a worker takes all that has come
    /// before.
    fn get(&mut self, name: &str) -> String {
        while self.site.poll().is_some() {}
        match self.find(name, u64::MAX) {
            Find::Ready(entry) => describe(&entry),
            Find::Pending => self.next_entry().1,
            Find::Refused => panic!("{name} refused"),
        }
    }

    /// The next event, waited for as a worker does.
    fn next(&mut self) -> Event {
        let gives_up = Instant::now() + LONG;
        loop {
            self.site.tick(self.began.elapsed());
            if let Some(event) = self.site.poll() {
                return event;
            }
            assert!(Instant::now() < gives_up, "nothing comes");
            let due = self.site.next_at().unwrap_or(self.began.elapsed() + LONG);
            let _ = self
                .woken
                .recv_timeout(due.saturating_sub(self.began.elapsed()));
        }
    }

    /// What a name that is not in memory stands for.
    fn file(&mut self, name: &str) -> Arc<Entry> {
        self.ask(name, 1);
        match self.next() {
            Event::Entry { entry, .. } => entry,
            other => panic!("{other:?}"),
        }
    }

    /// Who gets what next, in words.
    fn next_entry(&mut self) -> (u64, String) {
        match self.next() {
            Event::Entry { waiter, entry } => (waiter.0, describe(&entry)),
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        // Threads that hang in it would keep the runtime.
        self.mount.files().heal();
        let _ = &self.runtime;
    }
}

fn body(entry: &Entry) -> &Body {
    match entry {
        Entry::File(file) => &file.identity.body,
        other => panic!("{other:?}"),
    }
}

fn describe(entry: &Entry) -> String {
    match entry {
        Entry::File(file) => match &file.identity.body {
            Body::Memory(bytes) => format!("{} bytes", bytes.len()),
            Body::Open(_) => format!("{} bytes, open", file.identity.length()),
        },
        Entry::Failed(kind) => kind.to_string(),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_mount_that_hangs_is_waited_for_no_longer_than_the_limit_and_by_nobody_else() {
    let mut front = Front::new();
    front.mount.files().trouble(Op::LookUp, None, Trouble::Hang);
    // More than may run at once, or be lost.
    for waiter in 0..8 {
        front.ask(&format!("jfs/{waiter}"), waiter);
    }
    front.ask("index.html", 100);
    assert_eq!(front.next_entry(), (100, "4 bytes".to_owned()));
    let late = ErrorKind::TimedOut.to_string();
    let mut answered: Vec<u64> = (0..8)
        .map(|_| {
            let (waiter, what) = front.next_entry();
            assert_eq!(what, late, "{waiter}");
            waiter
        })
        .collect();
    answered.sort_unstable();
    assert_eq!(answered, [0, 1, 2, 3, 4, 5, 6, 7]);
    // It goes on hanging, and the rest of the site goes on.
    front.ask("jfs/small", 9);
    front.ask("nothing", 101);
    assert_eq!(front.next_entry(), (101, "NotFound".to_owned()));
    assert_eq!(front.next_entry(), (9, late));
    // It answers again.
    front.mount.files().heal();
    let healed = Instant::now();
    while front.get("jfs/small") != "1000 bytes" {
        assert!(healed.elapsed() < LONG, "it is not asked again");
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_hangs_takes_no_place_in_line_from_others() {
    let mut front = Front::new();
    front.mount.files().trouble(Op::LookUp, None, Trouble::Hang);
    for waiter in 0..MOST_LOOKS {
        front.ask(&format!("jfs/{waiter}"), waiter);
    }
    let refused = front.find("jfs/more", 100);
    assert!(matches!(refused, Find::Refused), "{refused:?}");
    front.ask("index.html", 101);
    assert_eq!(front.next_entry(), (101, "4 bytes".to_owned()));
}

#[test]
fn a_listing_shows_a_mount_that_hangs_without_asking_it() {
    let mut front = Front::listing();
    front.mount.files().trouble(Op::Stat, None, Trouble::Hang);
    let entry = front.file("");
    let Body::Memory(page) = body(&entry) else {
        panic!("a listing is in memory");
    };
    let page = String::from_utf8_lossy(page);
    assert!(page.contains("href=\"./jfs/\""), "{page}");
}

#[test]
fn a_read_that_hangs_ends_in_time_and_one_that_fails_at_once() {
    let mut front = Front::new();
    let entry = front.file("jfs/large");
    let Body::Open(open) = body(&entry) else {
        panic!("it is too large for memory");
    };
    let chunk = |front: &mut Front, offset| {
        let asked = front.site.read(open.clone(), offset, 10_000, Waiter(1));
        match front.next() {
            Event::Chunk { read, result, .. } => {
                assert_eq!(read, asked);
                result
            }
            other => panic!("{other:?}"),
        }
    };
    let got = chunk(&mut front, 0).expect("the first bytes");
    assert_eq!(got[..], content(2, 0..10_000));
    // Beyond what the kernel has read ahead.
    front.mount.files().trouble(Op::Read, None, Trouble::Fail);
    let failed = chunk(&mut front, 600_000).expect_err("it fails");
    assert!(matches!(failed, ReadError::Io(_)), "{failed:?}");
    front.mount.files().trouble(Op::Read, None, Trouble::Hang);
    let late = chunk(&mut front, 900_000).expect_err("it hangs");
    assert_eq!(late, ReadError::Io(ErrorKind::TimedOut));
    front.mount.files().heal();
    let got = chunk(&mut front, 300_000).expect("it has come back");
    assert_eq!(got[..], content(2, 300_000..310_000));
}

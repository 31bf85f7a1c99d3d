//! What names stand for, and how long that is believed.

mod http_support;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_support::{Fixture, modified};
use xdphttpd::site::{
    Body, Done, Entry, Event, Find, Found, HostId, InlineLoader, Job, Limits, Loader, MAX_AGE, Now,
    REFRESH_AFTER, ReadError, Root, Site, Waiter,
};

const START: Now = Duration::from_secs(50);
const MILLISECOND: Duration = Duration::from_millis(1);

/// What a [`TestLoader`] has seen, and what it may do.
#[derive(Default)]
struct Log {
    /// One word a finished look-up.
    found: Vec<&'static str>,
    opens: usize,
    /// Completions are held back.
    held: bool,
    /// Jobs are refused.
    full: bool,
}

struct TestLoader {
    inner: InlineLoader,
    log: Rc<RefCell<Log>>,
    done: VecDeque<Done>,
}

impl Loader for TestLoader {
    fn submit(&mut self, job: Job) -> Result<(), Job> {
        let mut log = self.log.borrow_mut();
        if log.full {
            return Err(job);
        }
        log.opens += usize::from(matches!(job, Job::Open { .. }));
        self.inner.submit(job)?;
        self.done.extend(self.inner.completed());
        Ok(())
    }

    fn completed(&mut self) -> Option<Done> {
        let mut log = self.log.borrow_mut();
        if log.held {
            return None;
        }
        let done = self.done.pop_front()?;
        if let Done::Open { found, .. } = &done {
            log.found.push(match found {
                Found::Unchanged => "unchanged",
                Found::File { .. } => "file",
                _ => "other",
            });
        }
        Some(done)
    }
}

fn site_with(fixture: &Fixture, limits: Limits) -> (Site<TestLoader>, Rc<RefCell<Log>>) {
    let log = Rc::new(RefCell::new(Log::default()));
    let loader = TestLoader {
        inner: fixture.inline_loader(),
        log: log.clone(),
        done: VecDeque::new(),
    };
    (Site::new(loader, limits), log)
}

fn site(fixture: &Fixture) -> (Site<TestLoader>, Rc<RefCell<Log>>) {
    site_with(fixture, Limits::default())
}

/// The entry of a name, waiting for it if need be.
fn get<L: Loader>(site: &mut Site<L>, name: &str, now: Now) -> Arc<Entry> {
    match site.find(HostId::DEFAULT, name.as_bytes(), Waiter(1), now) {
        Find::Ready(entry) => entry,
        Find::Pending => match site.poll() {
            Some(Event::Entry {
                waiter: Waiter(1),
                entry,
            }) => entry,
            event => panic!("{event:?}"),
        },
        Find::Refused => panic!("refused"),
    }
}

fn content(entry: &Entry) -> Vec<u8> {
    match entry {
        Entry::File(file) => match &file.identity.body {
            Body::Memory(bytes) => bytes.to_vec(),
            Body::Open(_) => panic!("not in memory"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_unchanged_file_is_checked_but_not_read_again() {
    let fixture = Fixture::new(&[("a", b"one")]);
    let (mut site, log) = site(&fixture);
    let first = get(&mut site, "a", START);
    assert_eq!(content(&first), b"one");

    assert!(matches!(
        site.find(
            HostId::DEFAULT,
            b"a",
            Waiter(1),
            START + REFRESH_AFTER - MILLISECOND
        ),
        Find::Ready(_)
    ));
    assert_eq!(log.borrow().opens, 1);
    let second = get(&mut site, "a", START + MAX_AGE);
    assert!(Arc::ptr_eq(&first, &second), "the entry is kept");
    assert_eq!(log.borrow().found, ["file", "unchanged"]);
    let third = START + MAX_AGE + REFRESH_AFTER - MILLISECOND;
    assert!(
        matches!(
            site.find(HostId::DEFAULT, b"a", Waiter(1), third),
            Find::Ready(_)
        ),
        "its age counts from the check"
    );
    assert_eq!(log.borrow().opens, 2);
}

#[test]
fn a_change_is_seen_once_the_entry_is_too_old() {
    let fixture = Fixture::new(&[("a", b"one")]);
    let (mut site, _) = site(&fixture);
    get(&mut site, "a", START);
    fs::write(fixture.path().join("a"), b"two").unwrap();
    assert_eq!(
        content(&get(&mut site, "a", START + REFRESH_AFTER - MILLISECOND)),
        b"one"
    );
    assert_eq!(content(&get(&mut site, "a", START + MAX_AGE)), b"two");
}

#[test]
fn a_file_just_written_is_read_again_though_it_looks_unchanged() {
    let fixture = Fixture::new(&[("a", b"one")]);
    let path = fixture.path().join("a");
    let now = std::time::SystemTime::now();
    let touch = || {
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(now)
            .unwrap()
    };
    touch();
    let (mut site, _) = site(&fixture);
    assert_eq!(content(&get(&mut site, "a", START)), b"one");
    // Same length, same inode, same time: a second write within one tick of the file system's clock.
    fs::write(&path, b"two").unwrap();
    touch();
    assert_eq!(content(&get(&mut site, "a", START + MAX_AGE)), b"two");
}

#[test]
fn names_that_come_and_go_are_noticed() {
    let fixture = Fixture::new(&[]);
    let (mut site, log) = site(&fixture);
    assert!(matches!(*get(&mut site, "a", START), Entry::NotFound));
    fixture.write("a", b"now");
    assert!(matches!(
        *get(&mut site, "a", START + MILLISECOND),
        Entry::NotFound
    ));
    assert_eq!(log.borrow().opens, 1, "what is not there is remembered too");
    assert_eq!(content(&get(&mut site, "a", START + MAX_AGE)), b"now");
    fs::remove_file(fixture.path().join("a")).unwrap();
    assert!(matches!(
        *get(&mut site, "a", START + 2 * MAX_AGE),
        Entry::NotFound
    ));
}

#[test]
fn an_entry_in_demand_is_served_while_it_is_renewed() {
    let fixture = Fixture::new(&[("a", b"one")]);
    let (mut site, log) = site(&fixture);
    get(&mut site, "a", START);
    fs::write(fixture.path().join("a"), b"two").unwrap();

    log.borrow_mut().held = true;
    let aging = START + REFRESH_AFTER;
    for _ in 0..3 {
        assert!(
            matches!(site.find(HostId::DEFAULT, b"a", Waiter(1), aging), Find::Ready(entry) if content(&entry) == b"one")
        );
    }
    assert_eq!(log.borrow().opens, 2, "one check, however many hits");
    log.borrow_mut().held = false;
    assert!(site.poll().is_none(), "nobody waited for it");
    let later = aging + REFRESH_AFTER - MILLISECOND;
    assert!(
        matches!(site.find(HostId::DEFAULT, b"a", Waiter(1), later), Find::Ready(entry) if content(&entry) == b"two")
    );
    assert_eq!(log.borrow().opens, 2);
}

#[test]
fn everybody_who_waits_for_a_name_shares_one_look_up() {
    let fixture = Fixture::new(&[("a", b"one"), ("b", b"two")]);
    let (mut site, log) = site(&fixture);
    log.borrow_mut().held = true;
    for waiter in 1..=4 {
        assert!(matches!(
            site.find(HostId::DEFAULT, b"a", Waiter(waiter), START),
            Find::Pending
        ));
    }
    assert!(matches!(
        site.find(HostId::DEFAULT, b"b", Waiter(5), START),
        Find::Pending
    ));
    assert_eq!(log.borrow().opens, 2);
    site.forget(Waiter(2));
    log.borrow_mut().held = false;
    let mut served = Vec::new();
    while let Some(event) = site.poll() {
        let Event::Entry { waiter, entry } = event else {
            panic!()
        };
        served.push((waiter.0, content(&entry)));
    }
    let (one, two) = (b"one".to_vec(), b"two".to_vec());
    assert_eq!(
        served,
        [(1, one.clone()), (3, one.clone()), (4, one), (5, two)]
    );
}

#[test]
fn who_asked_too_late_for_a_look_has_no_older_answer_though_the_loader_is_full() {
    let fixture = Fixture::new(&[("a", b"one")]);
    let (mut site, log) = site(&fixture);
    log.borrow_mut().held = true;
    for (waiter, at) in [(1, START), (2, START + MAX_AGE)] {
        let found = site.find(HostId::DEFAULT, b"a", Waiter(waiter), at);
        assert!(matches!(found, Find::Pending), "{found:?}");
    }
    log.borrow_mut().full = true;
    log.borrow_mut().held = false;
    let told = std::iter::from_fn(|| site.poll()).map(|event| match event {
        Event::Entry { waiter, entry } => (waiter.0, format!("{entry:?}")),
        other => panic!("{other:?}"),
    });
    let told: Vec<_> = told.collect();
    assert!(told[0].0 == 1 && told[0].1.starts_with("File("), "{told:?}");
    assert_eq!(told[1..], [(2, "Failed(ResourceBusy)".to_owned())]);
}

#[test]
fn a_full_loader_refuses_what_is_not_in_memory_and_keeps_serving_what_is() {
    let fixture = Fixture::new(&[("a", b"one")]);
    let (mut site, log) = site(&fixture);
    get(&mut site, "a", START);
    log.borrow_mut().full = true;
    assert!(matches!(
        site.find(HostId::DEFAULT, b"b", Waiter(1), START),
        Find::Refused
    ));
    assert!(matches!(
        site.find(HostId::DEFAULT, b"a", Waiter(1), START + REFRESH_AFTER),
        Find::Ready(_)
    ));
    assert!(matches!(
        site.find(HostId::DEFAULT, b"a", Waiter(1), START + MAX_AGE),
        Find::Refused
    ));
    log.borrow_mut().full = false;
    assert_eq!(content(&get(&mut site, "a", START + MAX_AGE)), b"one");
}

#[test]
fn reads_come_back_to_who_asked_refused_or_not() {
    let content = vec![b'x'; 300 * 1024];
    let fixture = Fixture::new(&[("big", &content)]);
    let (mut site, log) = site_with(&fixture, Limits::default());
    let entry = get(&mut site, "big", START);
    let Entry::File(file) = &*entry else { panic!() };
    let Body::Open(open) = &file.identity.body else {
        panic!()
    };
    let ask = |site: &mut Site<TestLoader>, is_full| {
        log.borrow_mut().full = is_full;
        let reads = [0, 1, 2].map(|waiter| {
            let read = site.read(open.clone(), waiter * 10, 10, Waiter(waiter));
            (read, waiter * 10)
        });
        let offset = |read| reads.iter().find(|(other, _)| *other == read).unwrap().1;
        let events = std::iter::from_fn(|| site.poll()).map(|event| match event {
            Event::Chunk {
                waiter,
                read,
                result,
            } => (waiter.0, offset(read), result.map(|bytes| bytes.len())),
            other => panic!("{other:?}"),
        });
        events.collect::<Vec<_>>()
    };
    assert_eq!(
        ask(&mut site, false),
        [(0, 0, Ok(10)), (1, 10, Ok(10)), (2, 20, Ok(10))]
    );
    let failed = Err(ReadError::Io(ErrorKind::Other));
    assert_eq!(
        ask(&mut site, true),
        [(0, 0, failed), (1, 10, failed), (2, 20, failed)]
    );
}

#[test]
fn the_cache_keeps_to_its_budget() {
    let fixture = Fixture::new(&[]);
    for index in 0..64 {
        fixture.write(&format!("f{index}"), &vec![index; 100 * 1024]);
    }
    let (mut site, _) = site_with(
        &fixture,
        Limits {
            cache_bytes: 1024 * 1024,
            ..Limits::default()
        },
    );
    for index in 0..64 {
        assert_eq!(
            content(&get(&mut site, &format!("f{index}"), START)),
            vec![index; 100 * 1024]
        );
        assert!(site.cached_bytes() <= 1024 * 1024);
    }
    assert!(site.cached_bytes() > 512 * 1024);
}

#[test]
fn only_regular_files_beneath_the_root_are_served() {
    let fixture = Fixture::new(&[
        ("dir/index.html", b"i"),
        ("bare/x", b"x"),
        ("odd/index.html/x", b"x"),
    ]);
    let root = fixture.path();
    let outside = Fixture::new(&[("secret", b"s")]);
    symlink(outside.path().join("secret"), root.join("out")).unwrap();
    symlink("../dir/index.html", root.join("bare/in")).unwrap();
    symlink(root.join("dir/index.html"), root.join("absolute")).unwrap();
    symlink("/proc/self/root/etc/passwd", root.join("magic")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("fifo"), rustix::fs::Mode::RUSR).unwrap();
    let _socket = UnixListener::bind(root.join("socket")).unwrap();
    let (mut site, _) = site(&fixture);

    for name in [
        "out",
        "absolute",
        "magic",
        "fifo",
        "socket",
        "bare/",
        "odd/",
        "dir/index.html/",
        "nope",
        "nope/",
    ] {
        let entry = get(&mut site, name, START);
        assert!(matches!(*entry, Entry::NotFound), "{name}: {entry:?}");
    }
    for name in ["dir", "bare", "odd/index.html"] {
        let entry = get(&mut site, name, START);
        assert!(matches!(*entry, Entry::Directory), "{name}: {entry:?}");
    }
    for name in ["dir/", "bare/in", "dir/index.html"] {
        assert_eq!(content(&get(&mut site, name, START)), b"i", "{name}");
    }
    assert_eq!(content(&get(&mut site, "bare/x", START)), b"x");
}

#[test]
fn a_device_is_not_served() {
    let mut site = Site::new(
        InlineLoader::new(Root::open("/dev".as_ref()).unwrap()),
        Limits::default(),
    );
    let entry = get(&mut site, "null", START);
    assert!(matches!(*entry, Entry::NotFound), "{entry:?}");
}

#[test]
fn a_file_without_read_permission_is_forbidden() {
    let fixture = Fixture::new(&[("locked", b"x")]);
    fs::set_permissions(
        fixture.path().join("locked"),
        fs::Permissions::from_mode(0o000),
    )
    .unwrap();
    // Root reads it all the same, so a thread without that privilege looks.
    let found = without_privilege(|| {
        let mut site = Site::new(fixture.inline_loader(), Limits::default());
        matches!(*get(&mut site, "locked", START), Entry::Forbidden)
    });
    assert!(found);
}

/// Runs `look` in a thread that file permissions apply to.
fn without_privilege<T: Send>(look: impl FnOnce() -> T + Send) -> T {
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let none = CapabilitySet::empty();
            set_capabilities(
                None,
                CapabilitySets {
                    effective: none,
                    permitted: none,
                    inheritable: none,
                },
            )
            .unwrap();
            look()
        });
        thread.join().unwrap()
    })
}

#[test]
fn times_that_no_date_can_express_do_no_harm() {
    let fixture = Fixture::new(&[("old", b"o"), ("future", b"f")]);
    let set = |name, time| {
        File::options()
            .write(true)
            .open(fixture.path().join(name))
            .unwrap()
            .set_modified(time)
            .unwrap()
    };
    set("old", std::time::UNIX_EPOCH - Duration::from_secs(86_400));
    set(
        "future",
        modified() + Duration::from_secs(200 * 365 * 86_400),
    );
    let (mut site, _) = site(&fixture);
    let old = get(&mut site, "old", START);
    let Entry::File(old) = &*old else { panic!() };
    assert!(
        str::from_utf8(&old.identity.head)
            .unwrap()
            .contains("Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\n")
    );
    let future = get(&mut site, "future", START);
    let Entry::File(future) = &*future else {
        panic!()
    };
    let now = httpdate::HttpDate::from(std::time::SystemTime::now());
    assert!(
        future.identity.last_modified <= now,
        "never later than the response (RFC 9110 section 8.8.2.1)"
    );
}

#[test]
fn a_missing_root_is_explained() {
    let error = Root::open("/nonexistent/www".as_ref())
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "cannot open the root directory /nonexistent/www: No such file or directory (os error 2); \
         give a directory that the server may read"
    );
    assert!(
        Root::open("/etc/passwd".as_ref()).is_err(),
        "a file is no root"
    );
}

#[test]
fn an_entry_is_believed_for_as_long_as_is_said() {
    for revalidate_ms in [10, 1_000, 60_000] {
        let revalidate = revalidate_ms * MILLISECOND;
        let fixture = Fixture::new(&[("a", b"one")]);
        let limits = Limits {
            revalidate,
            ..Limits::default()
        };
        let (mut site, log) = site_with(&fixture, limits);
        get(&mut site, "a", START);
        fixture.write("a", b"two, longer");
        let young = START + revalidate / 2 - MILLISECOND;
        assert_eq!(content(&get(&mut site, "a", young)), b"one");
        assert_eq!(log.borrow().opens, 1, "{revalidate:?}");
        let old = content(&get(&mut site, "a", START + revalidate));
        assert_eq!(old, b"two, longer", "{revalidate:?}");
    }
}

/// Who has got what.
fn served<L: Loader>(site: &mut Site<L>) -> Vec<(u64, Vec<u8>)> {
    let events = std::iter::from_fn(|| site.poll()).map(|event| match event {
        Event::Entry { waiter, entry } => (waiter.0, content(&entry)),
        other => panic!("{other:?}"),
    });
    events.collect()
}

#[test]
fn each_request_has_the_file_system_looked_at_after_it_if_that_is_wanted() {
    let fixture = Fixture::new(&[("a", b"one")]);
    let limits = Limits {
        revalidate: Duration::ZERO,
        ..Limits::default()
    };
    let (mut site, log) = site_with(&fixture, limits);
    for opens in 1..=3 {
        assert_eq!(content(&get(&mut site, "a", START)), b"one");
        assert_eq!(log.borrow().opens, opens);
    }
    assert_eq!(log.borrow().found, ["file", "unchanged", "unchanged"]);
    // The look for the first of these is over when the file changes: the others need another one.
    log.borrow_mut().held = true;
    let ask = |site: &mut Site<TestLoader>, waiter| {
        let found = site.find(HostId::DEFAULT, b"a", Waiter(waiter), START);
        assert!(matches!(found, Find::Pending), "{waiter}");
    };
    ask(&mut site, 1);
    fixture.write("a", b"two, longer");
    for waiter in 2..=4 {
        ask(&mut site, waiter);
    }
    site.forget(Waiter(3));
    log.borrow_mut().held = false;
    let (one, two) = (b"one".to_vec(), b"two, longer".to_vec());
    assert_eq!(served(&mut site), [(1, one), (2, two.clone()), (4, two)]);
    assert_eq!(log.borrow().opens, 5, "one look for both");
}

#[test]
fn who_asks_long_after_a_look_began_has_another_one() {
    let fixture = Fixture::new(&[("a", b"one")]);
    let (mut site, log) = site(&fixture);
    log.borrow_mut().held = true;
    for (waiter, after) in [
        (1, Duration::ZERO),
        (2, MAX_AGE - MILLISECOND),
        (3, MAX_AGE),
    ] {
        let found = site.find(HostId::DEFAULT, b"a", Waiter(waiter), START + after);
        assert!(matches!(found, Find::Pending));
    }
    fixture.write("a", b"two, longer");
    log.borrow_mut().held = false;
    let (one, two) = (b"one".to_vec(), b"two, longer".to_vec());
    assert_eq!(served(&mut site), [(1, one.clone()), (2, one), (3, two)]);
}

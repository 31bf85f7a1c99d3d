//! A response keeps to the version of the file whose head was sent, or is broken off: on a
//! real file system, and on a mount that is not. Needs root and /dev/fuse.

mod http_support;
mod mount;

use http_support::{Client, Fixture};
use mount::{Files, Mount, Op, Trouble, content};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use xdphttpd::access_log::{Format, Log, Target};
use xdphttpd::site::{
    Body, Entry, Event, Find, HostId, InlineLoader, Limits, MAX_AGE, Root, Site, Waiter,
};

const GET: &[u8] = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n";
/// Eight chunks and a bit.
const LARGE_BYTES: u64 = 2_100_000;
const OLD: u64 = 1;
const NEW: u64 = 2;

/// What happens to the file while it is sent.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Grows,
    Shrinks,
    /// Another content of the same length.
    ChangesInPlace,
    /// Another file takes its name.
    IsReplaced,
    IsRemoved,
    /// It gets another name.
    IsRenamed,
    /// It can't be read any more.
    Fails,
}

use Happening::{ChangesInPlace, Fails, Grows, IsRemoved, IsRenamed, IsReplaced, Shrinks};

/// A directory with one file.
trait Place {
    fn root(&self) -> &Path;
    /// Has something happen; what the file is then, as seed and length.
    fn have(&self, happening: Happening) -> Option<(u64, u64)>;
}

struct Disk(Fixture);

impl Disk {
    fn new() -> Disk {
        Disk(Fixture::new(&[("large", &content(OLD, 0..LARGE_BYTES))]))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("large")
    }
}

impl Place for Disk {
    fn root(&self) -> &Path {
        self.0.path()
    }

    fn have(&self, happening: Happening) -> Option<(u64, u64)> {
        let file = OpenOptions::new().write(true).open(self.path());
        let file = file.expect("the file");
        match happening {
            Grows => {
                let more = content(OLD, LARGE_BYTES..LARGE_BYTES + 100);
                file.write_all_at(&more, LARGE_BYTES).expect("a write");
                Some((OLD, LARGE_BYTES + 100))
            }
            Shrinks => {
                file.set_len(1_000_000).expect("a truncation");
                Some((OLD, 1_000_000))
            }
            ChangesInPlace => {
                let new = content(NEW, 0..LARGE_BYTES);
                file.write_all_at(&new, 0).expect("a write");
                Some((NEW, LARGE_BYTES))
            }
            IsReplaced => {
                self.0.write("new", &content(NEW, 0..LARGE_BYTES));
                fs::rename(self.0.path().join("new"), self.path()).expect("a rename");
                Some((NEW, LARGE_BYTES))
            }
            IsRemoved => {
                fs::remove_file(self.path()).expect("a removal");
                None
            }
            IsRenamed => {
                fs::rename(self.path(), self.0.path().join("other")).expect("a rename");
                None
            }
            Fails => unreachable!("a disk that fails is no matter of a test"),
        }
    }
}

struct Remote {
    mount: Mount,
    _at: TempDir,
}

impl Remote {
    fn new() -> Remote {
        let at = tempfile::tempdir().expect("a temporary directory");
        let mount = Mount::new(at.path());
        mount.files().put("large", OLD, LARGE_BYTES);
        Remote { mount, _at: at }
    }

    fn files(&self) -> &Files {
        self.mount.files()
    }
}

impl Place for Remote {
    fn root(&self) -> &Path {
        self.mount.at()
    }

    fn have(&self, happening: Happening) -> Option<(u64, u64)> {
        let change = |seed, size_bytes| {
            self.files().change("large", seed, size_bytes);
            Some((seed, size_bytes))
        };
        match happening {
            Grows => change(OLD, LARGE_BYTES + 100),
            Shrinks => change(OLD, 1_000_000),
            ChangesInPlace => change(NEW, LARGE_BYTES),
            IsReplaced => {
                self.files().put("large", NEW, LARGE_BYTES);
                Some((NEW, LARGE_BYTES))
            }
            IsRemoved | IsRenamed => {
                self.files().remove("large");
                None
            }
            Fails => {
                self.files().trouble(Op::Read, None, Trouble::Fail);
                Some((OLD, LARGE_BYTES))
            }
        }
    }
}

fn body(sent: &[u8]) -> &[u8] {
    let end = sent.windows(4).position(|window| window == b"\r\n\r\n");
    &sent[end.expect("a head") + 4..]
}

/// Has `happening` happen when a part of the file was sent, and judges what is sent then
/// and what the next request gets.
fn judge(place: &impl Place, happening: Happening, goes_on: bool) {
    let logs = tempfile::tempdir().expect("a temporary directory");
    let path = logs.path().join("access.log");
    let log = Log::open(Target::File(path.clone()), Format::Json).expect("a log");
    let mut client = Client::new(InlineLoader::new(Root::open(place.root()).expect("a root")));
    client.log = Some(log.batch());
    client.input(GET);
    client.deliver();
    client.deliver();
    assert_eq!(
        client.send(1_000),
        1_000.min(client.sent.len()),
        "{happening:?}"
    );
    let now = place.have(happening);
    client.pump();

    let old = content(OLD, 0..LARGE_BYTES);
    let sent = body(&client.sent);
    assert!(
        old.starts_with(sent),
        "{happening:?}: bytes of another version"
    );
    assert_eq!(
        sent.len() == old.len(),
        goes_on,
        "{happening:?}: {}",
        sent.len()
    );
    assert_eq!(client.conn.must_abort(), !goes_on, "{happening:?}");
    assert_eq!(
        client.counters.aborted,
        u64::from(!goes_on),
        "{happening:?}"
    );
    client.log = None;
    assert_eq!(log.close(), 0);
    let line = fs::read_to_string(&path).expect("the log");
    let said = format!("\"bytes\":{},", sent.len());
    assert!(line.contains(&said), "{happening:?}: {line}");
    let said = format!("\"aborted\":{}}}", !goes_on);
    assert!(line.contains(&said), "{happening:?}: {line}");

    // Who was broken off need not wait for the file to be looked at again.
    if goes_on {
        client.now += MAX_AGE;
    }
    if matches!(happening, Fails) {
        return;
    }
    client.reconnect();
    client.input(GET);
    client.pump();
    match now {
        Some((seed, size_bytes)) => {
            let new = content(seed, 0..size_bytes);
            assert!(body(&client.sent) == new, "{happening:?}: what comes next");
        }
        None => assert!(client.sent.starts_with(b"HTTP/1.1 404 "), "{happening:?}"),
    }
}

#[test]
fn what_happens_to_a_file_while_it_is_sent() {
    for (happening, goes_on) in [
        (Grows, false),
        (Shrinks, false),
        (ChangesInPlace, false),
        (IsReplaced, true),
        (IsRemoved, true),
        (IsRenamed, true),
    ] {
        judge(&Disk::new(), happening, goes_on);
        judge(&Remote::new(), happening, goes_on);
    }
    judge(&Remote::new(), Fails, false);
}

#[test]
fn a_remote_file_system_is_asked_itself_whatever_the_kernel_remembers_of_it() {
    for (happening, goes_on) in [(ChangesInPlace, false), (Grows, false)] {
        let remote = Remote::new();
        remote.files().remember(Duration::from_secs(3_600));
        judge(&remote, happening, goes_on);
    }
}

#[test]
fn new_permissions_are_no_new_version() {
    let disk = Disk::new();
    let mut client = Client::new(disk.0.inline_loader());
    client.input(GET);
    client.deliver();
    let mut permissions = fs::metadata(disk.path()).expect("the file").permissions();
    permissions.set_readonly(true);
    fs::set_permissions(disk.path(), permissions).expect("other permissions");
    client.pump();
    assert!(body(&client.sent) == content(OLD, 0..LARGE_BYTES));
}

/// The entry of a name; it may take its time.
fn get(root: &Path, name: &str) -> std::sync::Arc<Entry> {
    let loader = InlineLoader::new(Root::open(root).expect("a root"));
    let mut site = Site::new(loader, Limits::default());
    let found = site.find(HostId::DEFAULT, name.as_bytes(), Waiter(1), Duration::ZERO);
    assert!(matches!(found, Find::Pending));
    match site.poll() {
        Some(Event::Entry { entry, .. }) => entry,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_read_again() {
    let remote = Remote::new();
    let files = remote.files();
    files.put("small", OLD, 100_000);
    files.trouble(Op::Read, Some("small"), Trouble::Hang);
    let began = Instant::now();
    let entry = std::thread::scope(|scope| {
        let reader = scope.spawn(|| get(remote.root(), "small"));
        while files.count(Op::Read) == 0 {
            assert!(began.elapsed() < Duration::from_secs(30), "it is not read");
            std::thread::yield_now();
        }
        files.change("small", NEW, 100_000);
        files.heal();
        reader.join().expect("an entry")
    });
    let Entry::File(file) = &*entry else {
        panic!("{entry:?}");
    };
    let Body::Memory(bytes) = &file.identity.body else {
        panic!("{entry:?}");
    };
    assert!(bytes[..] == content(NEW, 0..100_000));
    let now = fs::metadata(remote.root().join("small")).expect("the file");
    let version = &file.identity.validator;
    assert_eq!(
        (version.mtime_s, i64::from(version.mtime_ns)),
        (now.mtime(), now.mtime_nsec())
    );
}

#[test]
fn a_tag_is_not_given_before_the_tick_is_over_in_which_another_version_could_have_it() {
    let fixture = Fixture::new(&[]);
    let path = fixture.path().join("new");
    for attempt in 0..20_u8 {
        fs::write(&path, [attempt; 100]).expect("a file");
        let before = get(fixture.path(), "new");
        let file = File::options().write(true).open(&path).expect("the file");
        file.write_all_at(&[attempt + 100; 100], 0)
            .expect("a write");
        let after = get(fixture.path(), "new");
        let tag = |entry: &Entry| match entry {
            Entry::File(file) => file.identity.etag.clone(),
            other => panic!("{other:?}"),
        };
        assert_ne!(tag(&before), tag(&after), "{attempt}");
    }
}

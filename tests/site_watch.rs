//! Files in directories that are watched: not looked at again and again, and never believed
//! when something has happened. Needs root and /dev/fuse.

mod http_support;
mod mount;

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_support::{Fixture, modified};
use mount::{Mount, Op};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind};
use xdphttpd::site::{
    Body, Done, Entry, Event, Find, HostId, InlineLoader, Job, Limits, Loader, Now, REFRESH_AFTER,
    Root, Roots, Site, Waiter, beneath::Symlinks,
};

const START: Now = Duration::from_secs(50);
/// After that time a file is looked at whatever is watched.
const BELT: Duration = Duration::from_secs(30);
/// How often it is asked whether something was heard of, after longer and longer waits.
const STEPS: u32 = 45;
const A_MOMENT: Duration = Duration::from_millis(10);

struct CountingLoader {
    inner: InlineLoader,
    looks: Rc<Cell<usize>>,
}

impl Loader for CountingLoader {
    fn submit(&mut self, job: Job) -> Result<(), Job> {
        self.looks.set(self.looks.get() + 1);
        self.inner.submit(job)
    }

    fn completed(&mut self) -> Option<Done> {
        self.inner.completed()
    }
}

/// A site whose directories are watched.
struct Watched {
    site: Site<CountingLoader>,
    looks: Rc<Cell<usize>>,
    now: Now,
}

impl Watched {
    fn new(root: &Path) -> Watched {
        let settings = xdphttpd::site::Settings {
            symlinks: Symlinks::Inside,
            ..Default::default()
        };
        let root = Root::open(root).expect("a root").with(settings);
        let mut roots = Roots::from(root);
        roots.watch().expect("inotify");
        let looks = Rc::default();
        let loader = CountingLoader {
            inner: InlineLoader::new(roots),
            looks: Rc::clone(&looks),
        };
        Watched {
            site: Site::new(loader, Limits::default()),
            looks,
            now: START,
        }
    }

    fn get(&mut self, name: &str) -> Arc<Entry> {
        let found = self
            .site
            .find(HostId::DEFAULT, name.as_bytes(), Waiter(1), self.now);
        let entry = match found {
            Find::Ready(entry) => Some(entry),
            Find::Pending => None,
            Find::Refused => panic!("refused"),
        };
        let mut waited_for = None;
        while let Some(event) = self.site.poll() {
            match event {
                Event::Entry { entry, .. } => waited_for = Some(entry),
                other => panic!("{other:?}"),
            }
        }
        entry.or(waited_for).expect("an entry")
    }

    /// What a name stands for, in demand for so long: in words, and how often it was looked at.
    fn demand(&mut self, name: &str, time: Duration) -> (String, usize) {
        let before = self.looks.get();
        let end = self.now + time;
        while self.now < end {
            self.get(name);
            self.now += REFRESH_AFTER / 2;
        }
        (describe(&self.get(name)), self.looks.get() - before)
    }

    /// Looks twice, so that the directory is watched from then on.
    fn settle(&mut self, name: &str) -> String {
        self.demand(name, 3 * REFRESH_AFTER).0
    }

    /// Whether a name stands for that before long: all is over before the file would be looked at in any case.
    fn becomes(&mut self, name: &str, want: &str) -> bool {
        (0..STEPS).any(|step| {
            let is_so = describe(&self.get(name)) == want;
            if !is_so {
                std::thread::sleep(step * A_MOMENT);
                self.now += REFRESH_AFTER;
            }
            is_so
        })
    }
}

fn describe(entry: &Entry) -> String {
    match entry {
        Entry::File(file) => match &file.identity.body {
            Body::Memory(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Body::Open(_) => panic!("too large"),
        },
        other => format!("{other:?}"),
    }
}

fn set_modified(path: &Path) {
    let file = File::options().write(true).open(path).expect("the file");
    file.set_modified(modified()).expect("another time");
}

#[test]
fn what_nothing_happens_to_is_looked_at_seldom() {
    let fixture = Fixture::new(&[
        ("a", b"one"),
        ("dir/er/b", b"two"),
        ("dir/index.html", b"index"),
        ("dir/index.html.br", b"packed"),
    ]);
    let mut site = Watched::new(fixture.path());
    for (name, want) in [("a", "one"), ("dir/er/b", "two"), ("dir/", "index")] {
        assert_eq!(site.settle(name), want);
        let quiet = (want.to_owned(), 0);
        assert_eq!(site.demand(name, BELT - 4 * REFRESH_AFTER), quiet, "{name}");
        let (_, looks) = site.demand(name, 2 * BELT);
        assert!((1..=3).contains(&looks), "{name}: {looks} looks");
    }
}

#[test]
fn what_may_change_unheard_is_looked_at_as_ever() {
    let fixture = Fixture::new(&[
        ("deep/a", b"one"),
        ("twice", b"two"),
        ("packed", b"three"),
        ("elsewhere", b"brotli"),
    ]);
    let at = |name: &str| fixture.path().join(name);
    symlink("deep/a", at("link")).expect("a link");
    symlink("deep", at("way")).expect("a link");
    symlink("elsewhere", at("packed.br")).expect("a link");
    fs::hard_link(at("twice"), at("again")).expect("a link");
    let mount = tempfile::tempdir_in(fixture.path()).expect("a directory");
    let remote = Mount::new(mount.path());
    remote.files().put("small", 1, 100);
    let beneath = mount.path().file_name().and_then(|name| name.to_str());
    let remote_name = format!("{}/small", beneath.expect("a name"));
    let mut site = Watched::new(fixture.path());
    for name in ["link", "way/a", "twice", "packed", "none", &remote_name] {
        site.settle(name);
        let (_, looks) = site.demand(name, 20 * REFRESH_AFTER);
        assert!((9..=21).contains(&looks), "{name}: {looks} looks");
    }
    assert!(remote.files().count(Op::LookUp) > 10);
}

/// A way to change what `dir/a` stands for.
type Change = fn(&Path);

#[test]
fn what_happens_is_heard_of() {
    let cases: [(&str, Change, &str); 9] = [
        (
            "written in place",
            |root| {
                let path = root.join("dir/a");
                let file = OpenOptions::new().write(true).open(&path).expect("a file");
                file.write_all_at(b"new", 0).expect("a write");
                drop(file);
            },
            "new",
        ),
        (
            "replaced",
            |root| {
                fs::write(root.join("dir/b"), "new").expect("a file");
                fs::rename(root.join("dir/b"), root.join("dir/a")).expect("a rename");
            },
            "new",
        ),
        (
            "removed",
            |root| fs::remove_file(root.join("dir/a")).expect("a removal"),
            "NotFound",
        ),
        (
            "moved away",
            |root| fs::rename(root.join("dir/a"), root.join("b")).expect("a rename"),
            "NotFound",
        ),
        (
            "its directory moved away",
            |root| fs::rename(root.join("dir"), root.join("old")).expect("a rename"),
            "NotFound",
        ),
        (
            "its directory replaced",
            |root| {
                fs::rename(root.join("dir"), root.join("old")).expect("a rename");
                fs::rename(root.join("other"), root.join("dir")).expect("a rename");
            },
            "other",
        ),
        (
            "its directory replaced by a link",
            |root| {
                fs::rename(root.join("dir"), root.join("old")).expect("a rename");
                symlink("other", root.join("dir")).expect("a link");
            },
            "other",
        ),
        (
            "replaced by a link",
            |root| {
                fs::remove_file(root.join("dir/a")).expect("a removal");
                symlink("../other/a", root.join("dir/a")).expect("a link");
            },
            "other",
        ),
        (
            "replaced by a directory",
            |root| {
                fs::remove_file(root.join("dir/a")).expect("a removal");
                fs::create_dir(root.join("dir/a")).expect("a directory");
            },
            "Directory",
        ),
    ];
    for (what, change, want) in cases {
        let fixture = Fixture::new(&[("dir/a", b"old"), ("other/a", b"other")]);
        let mut site = Watched::new(fixture.path());
        assert_eq!(site.settle("dir/a"), "old", "{what}");
        assert_eq!(site.demand("dir/a", 4 * REFRESH_AFTER).1, 0, "{what}");
        change(fixture.path());
        assert!(site.becomes("dir/a", want), "{what}");
    }
}

/// Something that is mounted, and not any more when dropped.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, UnmountFlags::DETACH);
    }
}

/// inotify says nothing of these.
#[test]
fn what_is_mounted_and_unmounted_is_heard_of() {
    let cases: [(&str, Change, &str); 2] = [
        (
            "dir",
            |root| {
                let at = root.join("dir");
                mount("none", at, "tmpfs", MountFlags::empty(), None).expect("a tmpfs");
            },
            "NotFound",
        ),
        (
            "dir/a",
            |root| mount_bind(root.join("other/a"), root.join("dir/a")).expect("a bind mount"),
            "other",
        ),
    ];
    for (at, change, want) in cases {
        let fixture = Fixture::new(&[("dir/a", b"old"), ("other/a", b"other")]);
        let mut site = Watched::new(fixture.path());
        assert_eq!(site.settle("dir/a"), "old", "{at}");
        change(fixture.path());
        let mounted = Mounted(fixture.path().join(at));
        assert!(site.becomes("dir/a", want), "mounted at {at}");
        // What happens to a file elsewhere is not heard of where it is mounted.
        site.settle("dir/a");
        if want == "other" {
            assert_ne!(site.demand("dir/a", 4 * REFRESH_AFTER).1, 0);
        }
        drop(mounted);
        assert!(site.becomes("dir/a", "old"), "unmounted from {at}");
    }
}

#[test]
fn after_a_change_it_is_watched_again() {
    let fixture = Fixture::new(&[("a", b"old")]);
    let mut site = Watched::new(fixture.path());
    site.settle("a");
    let path = fixture.path().join("a");
    for round in 0..3 {
        let content = "x".repeat(5 + round);
        fs::write(&path, &content).expect("a write");
        set_modified(&path);
        assert!(site.becomes("a", &content), "{round}");
        // What is heard late, of the change already seen, costs a look.
        let is_quiet = (0..5).any(|_| {
            std::thread::sleep(A_MOMENT);
            site.demand("a", 8 * REFRESH_AFTER) == (content.clone(), 0)
        });
        assert!(is_quiet, "{round}");
    }
}

#[test]
fn more_events_than_the_kernel_keeps_are_all_taken_for_changes() {
    let fixture = Fixture::new(&[("a", b"old")]);
    let mut site = Watched::new(fixture.path());
    site.settle("a");
    let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").expect("a sysctl");
    let most: usize = most.trim().parse().expect("a number");
    // Different names, for equal events in a row are one.
    for event in 0..2 * most.min(20_000) {
        let path = fixture.path().join((event % 7).to_string());
        fs::write(path, "x").expect("a file");
    }
    fs::write(fixture.path().join("a"), "new").expect("a write");
    assert!(site.becomes("a", "new"));
}

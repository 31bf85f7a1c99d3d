//! Several sites with one store, as workers have them.

mod http_support;

use std::cell::Cell;
use std::fs;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_support::Fixture;
use xdphttpd::site::{
    Body, Done, Entry, Event, Find, HostId, InlineLoader, Job, Limits, Loader, MAX_AGE, Now,
    REFRESH_AFTER, Site, Store, Waiter,
};

const START: Now = Duration::from_secs(50);
const MILLISECOND: Duration = Duration::from_millis(1);

/// Counts looks, and holds them back when told to.
struct CountingLoader {
    inner: InlineLoader,
    looks: Rc<Cell<usize>>,
    is_held: Rc<Cell<bool>>,
}

impl Loader for CountingLoader {
    fn submit(&mut self, job: Job) -> Result<(), Job> {
        self.looks.set(self.looks.get() + 1);
        self.inner.submit(job)
    }

    fn completed(&mut self) -> Option<Done> {
        match self.is_held.get() {
            true => None,
            false => self.inner.completed(),
        }
    }
}

/// A worker's site.
struct Worker {
    site: Site<CountingLoader>,
    looks: Rc<Cell<usize>>,
    is_held: Rc<Cell<bool>>,
}

impl Worker {
    fn new(fixture: &Fixture, store: &Arc<Store>) -> Worker {
        let (looks, is_held) = (Rc::default(), Rc::default());
        let loader = CountingLoader {
            inner: fixture.inline_loader(),
            looks: Rc::clone(&looks),
            is_held: Rc::clone(&is_held),
        };
        Worker {
            site: Site::sharing(store.clone(), loader),
            looks,
            is_held,
        }
    }

    /// The entry of a name, if it is in memory.
    fn find(&mut self, name: &str, now: Now) -> Option<Arc<Entry>> {
        let found = self
            .site
            .find(HostId::DEFAULT, name.as_bytes(), Waiter(1), now);
        match found {
            Find::Ready(entry) => Some(entry),
            Find::Pending => None,
            Find::Refused => panic!("refused"),
        }
    }

    /// What the site has come to know; who waited has it.
    fn poll(&mut self) -> Option<Arc<Entry>> {
        match self.site.poll()? {
            Event::Entry { entry, .. } => Some(entry),
            other => panic!("{other:?}"),
        }
    }

    fn get(&mut self, name: &str, now: Now) -> Arc<Entry> {
        self.find(name, now)
            .or_else(|| self.poll())
            .expect("an entry")
    }
}

fn workers<const N: usize>(fixture: &Fixture, limits: Limits) -> [Worker; N] {
    let store = Arc::new(Store::new(limits));
    std::array::from_fn(|_| Worker::new(fixture, &store))
}

fn content(entry: &Entry) -> &[u8] {
    match entry {
        Entry::File(file) => match &file.identity.body {
            Body::Memory(bytes) => bytes,
            Body::Open(_) => panic!("not in memory"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_one_has_found_the_others_need_not_look_for() {
    let fixture = Fixture::new(&[("a", b"one")]);
    let [mut first, mut second] = workers(&fixture, Limits::default());
    let found = first.get("a", START);
    let same = second
        .find("a", START + MILLISECOND)
        .expect("it is in memory");
    assert!(Arc::ptr_eq(&found, &same), "one body for both");
    first.get("none", START);
    let nothing = second.find("none", START).expect("it is known");
    assert!(matches!(*nothing, Entry::NotFound));
    // A look by the second makes the first believe it longer.
    assert!(second.find("a", START + MAX_AGE).is_none());
    assert!(Arc::ptr_eq(&second.poll().expect("an entry"), &found));
    let young = START + MAX_AGE + REFRESH_AFTER - MILLISECOND;
    assert!(Arc::ptr_eq(&first.find("a", young).expect("fresh"), &found));
    assert_eq!((first.looks.get(), second.looks.get()), (2, 1));
}

#[test]
fn a_change_that_one_sees_all_see() {
    let fixture = Fixture::new(&[("a", b"one")]);
    let [mut first, mut second] = workers(&fixture, Limits::default());
    first.get("a", START);
    second.get("a", START);
    fixture.write("a", b"two, longer");
    let later = START + MAX_AGE;
    assert_eq!(content(&first.get("a", later)), b"two, longer");
    let entry = second.find("a", later).expect("the first one's");
    assert_eq!(content(&entry), b"two, longer");
    fs::remove_file(fixture.path().join("a")).expect("a removal");
    assert!(matches!(*second.get("a", later + MAX_AGE), Entry::NotFound));
    let entry = first.find("a", later + MAX_AGE).expect("the second one's");
    assert!(matches!(*entry, Entry::NotFound));
}

#[test]
fn one_of_them_renews_what_is_in_demand() {
    let fixture = Fixture::new(&[("a", b"one")]);
    let mut workers: [Worker; 4] = workers(&fixture, Limits::default());
    let looks = |workers: &[Worker]| {
        workers
            .iter()
            .map(|worker| worker.looks.get())
            .sum::<usize>()
    };
    for step in 0..20_u32 {
        let now = START + step * REFRESH_AFTER / 2;
        for worker in &mut workers {
            assert_eq!(content(&worker.get("a", now)), b"one");
            worker.is_held.set(true);
        }
        for worker in &mut workers {
            worker.is_held.set(false);
            assert!(worker.poll().is_none(), "nobody waited");
        }
    }
    assert_eq!(looks(&workers), 10, "one every half age");
}

#[test]
fn two_that_look_at_once_keep_one_body() {
    let fixture = Fixture::new(&[("a", b"one")]);
    let [mut first, mut second] = workers(&fixture, Limits::default());
    assert!(first.find("a", START).is_none() && second.find("a", START).is_none());
    let (one, other) = (first.poll(), second.poll());
    assert!(Arc::ptr_eq(
        &one.expect("an entry"),
        &other.expect("an entry")
    ));
}

#[test]
fn the_budget_is_that_of_all() {
    const BUDGET: u64 = 1024 * 1024;
    let fixture = Fixture::new(&[]);
    let size = 100 * 1024;
    for index in 0..64 {
        fixture.write(&format!("f{index}"), &vec![index; size]);
    }
    let limits = Limits {
        cache_bytes: BUDGET,
        ..Limits::default()
    };
    let mut workers: [Worker; 2] = workers(&fixture, limits);
    let mut bodies = Vec::new();
    for index in 0..64 {
        let worker = &mut workers[usize::from(index % 2)];
        let entry = worker.get(&format!("f{index}"), START);
        assert_eq!(content(&entry), vec![index; size]);
        bodies.push(Arc::downgrade(&entry));
        drop(entry);
        let held = bodies.iter().filter(|body| body.strong_count() > 0).count();
        assert!((held * size) as u64 <= BUDGET, "{held} bodies in memory");
        assert!(worker.site.cached_bytes() <= BUDGET);
    }
    let held = bodies.iter().filter(|body| body.strong_count() > 0).count();
    assert!((held * size) as u64 > BUDGET / 2, "{held} only");
}

#[test]
fn without_a_budget_each_request_is_answered_all_the_same() {
    let fixture = Fixture::new(&[("a", b"one")]);
    let limits = Limits {
        cache_bytes: 0,
        ..Limits::default()
    };
    let [mut worker] = workers(&fixture, limits);
    for looks in 1..=3 {
        assert_eq!(content(&worker.get("a", START)), b"one");
        assert_eq!(worker.looks.get(), looks);
    }
    assert_eq!(worker.site.cached_bytes(), 0);
}

//! The loader on a real pool of threads.

mod http_support;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use http_support::Fixture;
use tokio::runtime::{Builder, Runtime};
use xdphttpd::password::{Hash, Question};
use xdphttpd::site::{
    Body, Done, Entry, Event, Find, Found, HostId, Job, Limits, Loader, Patience, PoolLoader,
    ReadError, Root, Roots, Site, Waiter,
};

/// Long enough that only a lost wake-up exceeds it.
const PATIENCE: Duration = Duration::from_secs(30);
const START: Duration = Duration::from_secs(1);

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(2)
        .build()
        .unwrap()
}

fn loader(fixture: &Fixture, runtime: &Runtime, max_jobs: usize) -> (PoolLoader, Receiver<()>) {
    let (wake, woken) = channel();
    let root = Arc::new(Roots::from(Root::open(fixture.path()).unwrap()));
    let patience = Patience {
        at_once: 3,
        lost: 0,
        limit: PATIENCE,
    };
    let runtime = runtime.handle().clone();
    let loader = PoolLoader::new(runtime, root, max_jobs, patience, move || {
        let _ = wake.send(());
    });
    (loader, woken)
}

/// The next event, waited for as a worker does: only when woken.
fn next_event(site: &mut Site<PoolLoader>, woken: &Receiver<()>) -> Event {
    loop {
        if let Some(event) = site.poll() {
            return event;
        }
        woken
            .recv_timeout(PATIENCE)
            .expect("a completion wakes the worker");
    }
}

#[test]
fn entries_and_chunks_come_back_from_the_pool() {
    let big: Vec<u8> = (0..300_000u32).map(|index| (index % 251) as u8).collect();
    let fixture = Fixture::new(&[("a", b"one"), ("big", &big)]);
    let runtime = runtime();
    let (loader, woken) = loader(&fixture, &runtime, 16);
    let mut site = Site::new(loader, Limits::default());

    assert!(matches!(
        site.find(HostId::DEFAULT, b"a", Waiter(1), START),
        Find::Pending
    ));
    let Event::Entry {
        waiter: Waiter(1),
        entry,
    } = next_event(&mut site, &woken)
    else {
        panic!()
    };
    let Entry::File(file) = &*entry else {
        panic!("{entry:?}")
    };
    assert!(matches!(&file.identity.body, Body::Memory(bytes) if *bytes == b"one"[..]));

    assert!(matches!(
        site.find(HostId::DEFAULT, b"big", Waiter(2), START),
        Find::Pending
    ));
    let Event::Entry {
        waiter: Waiter(2),
        entry,
    } = next_event(&mut site, &woken)
    else {
        panic!()
    };
    let Entry::File(file) = &*entry else {
        panic!("{entry:?}")
    };
    let Body::Open(open) = &file.identity.body else {
        panic!()
    };
    let asked = site.read(open.clone(), 262_144, 37_856, Waiter(3));
    let Event::Chunk {
        waiter: Waiter(3),
        read,
        result,
    } = next_event(&mut site, &woken)
    else {
        panic!()
    };
    assert_eq!(read, asked);
    assert!(result.unwrap() == big[262_144..]);
    site.read(open.clone(), 299_999, 2, Waiter(3));
    let Event::Chunk { result, .. } = next_event(&mut site, &woken) else {
        panic!()
    };
    assert_eq!(result, Err(ReadError::Shrank));
    assert_eq!(site.loader().outstanding(), 0);
}

#[test]
fn no_more_jobs_are_taken_than_the_limit_allows() {
    let fixture = Fixture::new(&[("a", b"one")]);
    let runtime = runtime();
    let (mut loader, woken) = loader(&fixture, &runtime, 3);
    let job = |name: &str| Job::Open {
        waiter: None,
        host: HostId::DEFAULT,
        name: name.as_bytes().into(),
        known: None,
    };
    for _ in 0..3 {
        loader.submit(job("a")).unwrap();
    }
    let back = loader.submit(job("late")).unwrap_err();
    assert!(matches!(back, Job::Open { name, .. } if *name == *b"late"));

    // Finished jobs count until they are collected, so that completions are bounded too.
    for _ in 0..3 {
        woken.recv_timeout(PATIENCE).unwrap();
    }
    assert_eq!(loader.outstanding(), 3);
    assert!(loader.submit(job("late")).is_err());
    let done = loader.completed().unwrap();
    assert!(matches!(done, Done::Open { name, found: Found::File { .. }, .. } if *name == *b"a"));
    loader.submit(job("a")).unwrap();
}

#[test]
fn many_names_and_many_waiters_all_get_theirs() {
    let fixture = Fixture::new(&[]);
    for index in 0..50 {
        fixture.write(&format!("f{index}"), format!("content {index}").as_bytes());
    }
    let runtime = runtime();
    let (loader, woken) = loader(&fixture, &runtime, 64);
    let mut site = Site::new(loader, Limits::default());
    for waiter in 0..200 {
        let name = format!("f{}", waiter % 50);
        assert!(matches!(
            site.find(HostId::DEFAULT, name.as_bytes(), Waiter(waiter), START),
            Find::Pending
        ));
    }
    assert_eq!(site.loader().outstanding(), 50);
    let mut served = [false; 200];
    for _ in 0..200 {
        let Event::Entry { waiter, entry } = next_event(&mut site, &woken) else {
            panic!()
        };
        let Entry::File(file) = &*entry else {
            panic!("{entry:?}")
        };
        let Body::Memory(bytes) = &file.identity.body else {
            panic!()
        };
        assert_eq!(*bytes, format!("content {}", waiter.0 % 50));
        assert!(!std::mem::replace(&mut served[waiter.0 as usize], true));
    }
    assert!(site.poll().is_none());
}

#[test]
fn passwords_are_compared_in_the_pool() {
    let fixture = Fixture::new(&[]);
    let runtime = runtime();
    let (loader, woken) = loader(&fixture, &runtime, 1);
    let mut site = Site::new(loader, Limits::default());
    let hash: Hash = "$2y$04$abcdefghijklmnopqrstuuinwY/tkBVrn3xrxQI/TgnMHhkvl85RW"
        .parse()
        .expect("a hash");
    let hash = Arc::new(hash);
    let question = |password: &[u8]| Question {
        hash: hash.clone(),
        password: password.into(),
    };
    // Two wait for the same, and the loader takes one job at a time.
    for (key, password, waiter) in [(1, "sesame", 1), (2, "open", 2), (1, "sesame", 3)] {
        let question = question(password.as_bytes());
        assert!(site.verify(key, question, Waiter(waiter), Ipv4Addr::LOCALHOST));
    }
    let mut answers: Vec<(u64, u128, bool)> = (0..3)
        .map(|_| match next_event(&mut site, &woken) {
            Event::Verified { waiter, key, holds } => (waiter.0, key, holds),
            other => panic!("{other:?}"),
        })
        .collect();
    answers.sort_unstable();
    assert_eq!(answers, [(1, 1, true), (2, 2, false), (3, 1, true)]);
    assert_eq!(site.loader().outstanding(), 0);
}

//! Every file of the tree, and the names that pages use for them.

use crate::lab::{assert_same, noise};
use crate::site::Site;
use crate::tree;
use std::sync::Mutex;

#[test]
fn every_file_is_byte_exact_over_one_connection() {
    let site = Site::new(&[]);
    let mut client = site.client();
    // The first time they are looked up, the second time the small ones are known.
    for _ in 0..2 {
        client.assert_gets_all(&tree::files());
    }
    site.server.stop();
}

/// A browser opens so many connections to a host, and asks for the next file on
/// whichever is free.
#[test]
fn every_file_is_byte_exact_over_six_connections_at_once() {
    let site = Site::new(&[]);
    let files = tree::files();
    let wanted = Mutex::new(files.iter());
    let next = || wanted.lock().expect("no panic while locked").next();
    let got: Vec<usize> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..6).map(|_| site.client()).collect();
        let fetch = |mut client: crate::site::Client| {
            let mine = std::iter::from_fn(next);
            mine.map(|file| client.assert_gets(&file.target(), &file.content()))
                .count()
        };
        let threads: Vec<_> = clients
            .into_iter()
            .map(|client| scope.spawn(move || fetch(client)))
            .collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, usize>| {
            thread.join().expect("a client that got all it asked for")
        };
        threads.into_iter().map(join).collect()
    });
    assert_eq!(got.iter().sum::<usize>(), files.len(), "{got:?}");
    site.server.stop();
}

#[test]
fn pages_are_found_by_the_names_that_links_use() {
    let site = Site::new(&[]);
    let files = tree::files();
    let mut client = site.client();
    for (target, path) in [
        ("/", "index.html"),
        ("/Download/", "Download/index.html"),
        (
            "/GraphGui2/index.html?pos=1&username=x",
            "GraphGui2/index.html",
        ),
        (
            "/GraphGui2/?pos=2&username=%E5%BC%A0",
            "GraphGui2/index.html",
        ),
        ("/GraphGui/../GraphGui2/login.js", "GraphGui2/login.js"),
    ] {
        let file = files.iter().find(|file| file.path == path);
        client.assert_gets(target, &file.expect("in the tree").content());
    }
    for (target, location) in [
        ("/Download", "/Download/"),
        ("/GraphGui2?pos=1", "/GraphGui2/?pos=1"),
        ("/jfs", "/jfs/"),
    ] {
        let response = client.get(target);
        assert_eq!(response.status(), "301", "{target}: {}", response.head);
        assert_eq!(response.field("location"), Some(location), "{target}");
    }
    for target in ["/download/", "/jfs/missing.md", "/jfs/"] {
        assert_eq!(client.get(target).status(), "404", "{target}");
    }
}

#[test]
fn chinese_names_on_the_mount_work_raw_and_percent_encoded() {
    const NAME: &str = "1_实验报告模板.md";
    const ENCODED: &str = "/jfs/1_%E5%AE%9E%E9%AA%8C%E6%8A%A5%E5%91%8A%E6%A8%A1%E6%9D%BF.md";
    let site = Site::new(&[]);
    site.jfs().put(NAME, 41, 9_000);
    let mut client = site.client();
    for target in [
        ENCODED.to_owned(),
        ENCODED.to_lowercase(),
        format!("/jfs/{NAME}"),
    ] {
        let response = client.get(&target);
        assert_eq!(response.status(), "200", "{target}: {}", response.head);
        assert_same(&response.body, &noise(41, 9_000));
        let kind = response.field("content-type").unwrap_or_default();
        assert!(kind.starts_with("text/markdown"), "{target}: {kind}");
    }
    // A name beside it is another one, or none.
    assert_eq!(client.get("/jfs/1_%E5%AE%9E.md").status(), "404");
}

//! Files that come, go and change, here and on the mount: what is served follows within
//! the second that an entry may be trusted, and is always one version or another.

use crate::lab::{PATIENCE, Running, assert_same, noise, wait_until};
use crate::site::{Client, Site};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Stdio;

/// Where the files are.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// In the tree, on a file system of this machine.
    Here,
    /// On the mount.
    Jfs,
}

const PLACES: [Place; 2] = [Place::Here, Place::Jfs];

impl Place {
    fn target(self, name: &str) -> String {
        match self {
            Place::Here => format!("/GraphGui/{name}"),
            Place::Jfs => format!("/jfs/{name}"),
        }
    }

    fn path(self, site: &Site, name: &str) -> PathBuf {
        site.lab.root().join(&self.target(name)[1..])
    }

    /// Puts another file in its place, at one stroke.
    fn put(self, site: &Site, name: &str, seed: u64, len: usize) {
        match self {
            Place::Jfs => site.jfs().put(name, seed, len as u64),
            Place::Here => {
                let new = site.lab.file("new", &noise(seed, len));
                fs::rename(new, self.path(site, name)).expect("in its place");
            }
        }
    }

    /// Makes the file longer or shorter where it is; what it keeps stays the same.
    fn resize(self, site: &Site, name: &str, seed: u64, len: usize) {
        match self {
            Place::Jfs => site.jfs().change(name, seed, len as u64),
            Place::Here => {
                let file = File::options().write(true).open(self.path(site, name));
                let file = file.expect("it is there");
                let had = file.metadata().expect("it is there").len() as usize;
                match noise(seed, len).get(had..) {
                    Some(more) => file.write_all_at(more, had as u64).expect("longer"),
                    None => file.set_len(len as u64).expect("shorter"),
                }
            }
        }
    }

    fn remove(self, site: &Site, name: &str) {
        match self {
            Place::Jfs => site.jfs().remove(name),
            Place::Here => fs::remove_file(self.path(site, name)).expect("it was there"),
        }
    }
}

/// What is done to a file.
#[derive(Clone, Copy, Debug)]
enum Step {
    Put(u64, usize),
    Resize(usize),
    Remove,
}

/// The body there is, unless it is 404.
fn body(client: &mut Client, target: &str) -> Option<Vec<u8>> {
    let response = client.get(target);
    match response.status() {
        "200" => Some(response.body),
        "404" => None,
        _ => panic!("{target}: {}", response.head),
    }
}

#[test]
fn what_is_served_follows_what_is_there() {
    let site = Site::new(&[]);
    let mut client = site.client();
    for place in PLACES {
        let target = place.target("file.md");
        let (mut seed, mut content) = (0, None);
        for step in [
            Step::Put(1, 5_000),
            Step::Put(2, 5_000),
            // Within a page, which every file system lengthens at one stroke.
            Step::Resize(5_100),
            Step::Resize(900),
            Step::Remove,
            Step::Put(3, 4_000),
            // From here on it is read while it is sent.
            Step::Put(4, 600_000),
            Step::Put(5, 700_000),
            Step::Remove,
        ] {
            assert!(body(&mut client, &target) == content, "{place:?} {step:?}");
            let before = content;
            content = match step {
                Step::Put(new, len) => {
                    place.put(&site, "file.md", new, len);
                    seed = new;
                    Some(noise(seed, len))
                }
                Step::Resize(len) => {
                    place.resize(&site, "file.md", seed, len);
                    Some(noise(seed, len))
                }
                Step::Remove => {
                    place.remove(&site, "file.md");
                    None
                }
            };
            wait_until(&format!("{step:?} to be seen, {place:?}"), || {
                let now = body(&mut client, &target);
                assert!(now == content || now == before, "{place:?} {step:?}");
                now == content
            });
        }
    }
    site.server.stop();
}

/// curl says: not all has come (18), or the connection was reset (56).
const BROKEN_OFF: [i32; 2] = [18, 56];

#[test]
fn what_shrinks_while_it_is_sent_is_broken_off_and_never_padded() {
    const LENGTH: usize = 24 << 20;
    const LEFT: usize = (2 << 20) + 1_000;
    let site = Site::new(&[]);
    let out = tempfile::tempdir().expect("a temporary directory");
    for place in PLACES {
        place.put(&site, "large.bin", 8, LENGTH);
        let url = site.lab.url(&place.target("large.bin"));
        let got = out.path().join(format!("{place:?}"));
        let mut curl = site.lab.command("curl");
        curl.args(["-sS", "-m", "60", "--limit-rate", "2M", "-o"]);
        curl.stderr(Stdio::null());
        let mut curl = Running::start(curl.arg(&got).arg(&url));
        wait_until("the download to begin", || {
            got.metadata().is_ok_and(|file| file.len() > 0)
        });
        place.resize(&site, "large.bin", 8, LEFT);
        let code = curl.end(6 * PATIENCE).code().unwrap_or(-1);
        assert!(
            BROKEN_OFF.contains(&code),
            "{place:?}: curl ended with {code}"
        );
        let got = fs::read(got).expect("what curl got");
        assert!(got.len() < LENGTH, "{place:?}: {} bytes", got.len());
        assert_same(&got, &noise(8, LENGTH)[..got.len()]);
        // What is left of it is a file as good as any.
        wait_until("the shorter file", || {
            let output = site.lab.exec(&["curl", "-sS", "-m", "30", &url]);
            output.status.success() && output.stdout == noise(8, LEFT)
        });
    }
    site.server.stop();
}

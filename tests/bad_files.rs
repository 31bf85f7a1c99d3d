//! A file changes while it is being downloaded: the version that was begun is delivered whole, or
//! the connection breaks; bytes are never made up.

mod lab;

use lab::{Lab, Running, assert_same, noise, wait_until};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

/// Several times what the server reads ahead and the sockets hold.
const CONTENT_BYTES: usize = 16 << 20;

/// A download slow enough to be overtaken by a change, with what it has begun to receive.
fn slow_download(lab: &Lab, path: &str) -> (Running, PathBuf) {
    let into = lab.root().join("downloaded");
    let mut command = lab.command("curl");
    command.args(["-s", "-m", "50", "--limit-rate", "6M", "-o"]);
    command.arg(&into).arg(lab.url(path)).stdin(Stdio::null());
    let curl = Running::start(&mut command);
    let received = || std::fs::metadata(&into).map_or(0, |metadata| metadata.len());
    wait_until("the download to be under way", || received() > 1 << 20);
    (curl, into)
}

#[test]
fn a_file_replaced_during_a_download_arrives_in_its_old_version() {
    let lab = Lab::new();
    let (old, new) = (noise(5, CONTENT_BYTES), noise(6, CONTENT_BYTES + 1));
    let path = lab.file("file", &old);
    let server = lab.serve(&[]);
    let (mut curl, into) = slow_download(&lab, "/file");
    std::fs::rename(lab.file("file.new", &new), &path).expect("renaming over");
    assert!(!curl.has_ended(), "the download was over before the change");
    wait_until("the new version to be served", || {
        lab.get("/file").len() == new.len()
    });
    assert_same(&lab.get("/file"), &new);
    assert!(curl.end(Duration::from_secs(60)).success());
    assert_same(&std::fs::read(into).expect("what was downloaded"), &old);
    server.stop();
}

#[test]
fn a_file_deleted_during_a_download_arrives_whole() {
    let lab = Lab::new();
    let content = noise(7, CONTENT_BYTES);
    let path = lab.file("file", &content);
    let server = lab.serve(&[]);
    let (mut curl, into) = slow_download(&lab, "/file");
    std::fs::remove_file(path).expect("deleting it");
    wait_until("the file to be gone", || lab.status("/file", &[]) == "404");
    assert!(curl.end(Duration::from_secs(60)).success());
    assert_same(&std::fs::read(into).expect("what was downloaded"), &content);
    server.stop();
}

#[test]
fn a_file_truncated_during_a_download_breaks_the_connection() {
    let lab = Lab::new();
    let content = noise(8, CONTENT_BYTES);
    let path = lab.file("file", &content);
    lab.file("index.html", b"goes on");
    let server = lab.serve(&["--stats", "0.2"]);
    let (mut curl, into) = slow_download(&lab, "/file");
    let file = std::fs::File::options()
        .write(true)
        .open(path)
        .expect("the file");
    file.set_len(2 << 20).expect("truncating it");
    assert!(!curl.has_ended(), "the download was over before the change");
    let status = curl.end(Duration::from_secs(60));
    // Partial file, or failure while receiving.
    assert!(matches!(status.code(), Some(18 | 56)), "{status}");
    let got = std::fs::read(into).expect("what was downloaded");
    assert!(got.len() < CONTENT_BYTES, "{} bytes", got.len());
    assert_same(&got, &content[..got.len()]);
    server
        .stdout
        .wait_for("the count", |text| text.contains("response broken off 1"));
    assert_eq!(lab.get("/"), b"goes on");
    // Until the server looks at the file again, requests for it break in the same way.
    let url = lab.url("/file");
    wait_until("the short version to be served", || {
        let output = lab.exec(&["curl", "-sS", "-m", "30", &url]);
        assert!(content.starts_with(&output.stdout));
        output.status.success() && output.stdout.len() == 2 << 20
    });
    server.stop();
}

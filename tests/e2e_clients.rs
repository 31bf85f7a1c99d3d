//! Downloads as people make them: wget that goes on where it stopped, aria2 with
//! many ranges at once, curl that asks whether there is anything new. Needs root.

mod lab;

use lab::{Lab, assert_same, noise, text};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};
use tempfile::TempDir;

const LARGE_BYTES: usize = 20_000_000;

/// Where a client puts what it gets.
struct Downloads(TempDir);

impl Downloads {
    fn new() -> Downloads {
        Downloads(tempfile::tempdir().expect("a temporary directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn option(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).expect("the client wrote it")
    }
}

#[test]
fn wget_goes_on_where_it_stopped() {
    let lab = Lab::new();
    let content = noise(1, LARGE_BYTES);
    lab.file("large.iso", &content);
    let _server = lab.serve(&[]);
    let downloads = Downloads::new();
    for have in [0, 1, 7_654_321, LARGE_BYTES - 1, LARGE_BYTES] {
        fs::write(downloads.path("large.iso"), &content[..have]).expect("written");
        let output = lab.exec(&[
            "wget",
            "-c",
            "--tries=1",
            "-O",
            &downloads.option("large.iso"),
            &lab.url("/large.iso"),
        ]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let status = match have {
            0 => "200 OK",
            LARGE_BYTES => "416 Range Not Satisfiable",
            _ => "206 Partial Content",
        };
        assert!(said.contains(status), "{have}: {said}");
        assert_same(&downloads.read("large.iso"), &content);
    }
}

#[test]
fn aria2_gets_many_ranges_at_once() {
    let lab = Lab::new();
    let content = noise(2, LARGE_BYTES);
    lab.file("large.iso", &content);
    let server = lab.serve(&[]);
    let downloads = Downloads::new();
    lab.run(&[
        "aria2c",
        "--no-conf",
        "--quiet",
        "--split=8",
        "--max-connection-per-server=8",
        "--min-split-size=1M",
        "--file-allocation=none",
        "--dir",
        &downloads.option(""),
        &lab.url("/large.iso"),
    ]);
    assert_same(&downloads.read("large.iso"), &content);
    server.stop();
}

#[test]
fn curl_gets_only_what_is_new() {
    let lab = Lab::new();
    let file = lab.file("page.html", b"first");
    let server = lab.serve(&[]);
    let downloads = Downloads::new();
    let tag = downloads.option("tag");
    let get = || {
        text(lab.curl(&[
            "--etag-compare",
            &tag,
            "--etag-save",
            &tag,
            "-w",
            " %{http_code}",
            &lab.url("/page.html"),
        ]))
    };
    assert_eq!(get(), "first 200");
    assert_eq!(get(), " 304");
    fs::write(&file, b"second, longer").expect("written");
    lab::wait_until("the new version", || get() == "second, longer 200");
    assert_eq!(get(), " 304");
    let old = fs::File::create(lab.file("old.html", b"")).expect("opened");
    let day = UNIX_EPOCH + Duration::from_secs(1_600_000_000); // 2020-09-13
    old.set_modified(day).expect("dated");
    let since = |date: &str| lab.status("/old.html", &["-z", date]);
    assert_eq!(since("13 Sep 2020 00:00 GMT"), "200");
    assert_eq!(since("14 Sep 2020 00:00 GMT"), "304");
    server.stop();
}

#[test]
fn curl_gets_parts_and_smaller_codings() {
    let lab = Lab::new();
    let page = "<p>the same again and again</p>\n".repeat(1_000);
    lab.file("page.html", page.as_bytes());
    let _server = lab.serve(&[]);
    let url = lab.url("/page.html");
    for (range, want) in [
        ("0-9", &page[..10]),
        ("-7", &page[page.len() - 7..]),
        ("100-", &page[100..]),
    ] {
        assert_eq!(text(lab.curl(&["-r", range, &url])), want, "{range}");
    }
    let several = text(lab.curl(&["-r", "0-4,100-104", "-w", "%{content_type}", &url]));
    assert!(
        several.contains("\r\n\r\n<p>th\r\n--") && several.contains("multipart/byteranges"),
        "{several}"
    );
    let shown = ["-w", " %{size_download}", "--compressed", &url];
    let small = text(lab.curl(&shown));
    let (body, bytes) = small.rsplit_once(' ').expect("as asked");
    assert_eq!(body, page);
    assert!(bytes.parse::<usize>().expect("a number") < page.len() / 10);
}

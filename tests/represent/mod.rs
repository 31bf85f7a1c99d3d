//! Tables of requests for files and what they get, whole.
#![allow(dead_code)] // each test file uses its part

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;

use crate::http_support::*;

pub const TEXT: &str = "text/plain; charset=utf-8";

/// A request and its response.
pub struct Case {
    pub what: String,
    pub request: String,
    pub response: Vec<u8>,
}

/// A request for `target` with `fields`, each with its CRLF.
pub fn request(method: &str, target: &str, fields: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n")
}

/// Each case alone, while the file is being looked up and when it is in memory; whole and byte by byte.
pub fn check(fixture: &Fixture, cases: &[Case]) {
    let mut warm = fixture.client();
    for case in cases {
        let what = format!("{}: {}", case.what, case.request);
        let expected = &case.response;
        let cold = fixture.client().exchange(case.request.as_bytes());
        assert_same(&cold, expected, &format!("cold, {what}"));
        let first = warm.exchange(case.request.as_bytes());
        assert_same(&first, expected, &format!("perhaps warm, {what}"));
        warm.reconnect();
        for byte in case.request.as_bytes().chunks(1) {
            warm.feed(byte);
        }
        assert_same(&warm.sent, expected, &format!("byte by byte, {what}"));
        assert!(warm.conn.is_idle(), "{what}");
    }
}

/// A file on the disk as the representation of some name.
pub struct Sent<'f> {
    fixture: &'f Fixture,
    file: &'f str,
    content_type: &'f str,
    /// What its entity tag ends with.
    tag_end: &'f str,
    /// `Content-Encoding` and `Vary`, each with its CRLF.
    coding: &'f str,
}

impl<'f> Sent<'f> {
    /// The file itself, of which there are no variants.
    pub fn plain(fixture: &'f Fixture, file: &'f str, content_type: &'f str) -> Self {
        Sent {
            fixture,
            file,
            content_type,
            tag_end: "",
            coding: "",
        }
    }

    /// A file that has variants, or is one.
    pub fn coded(
        fixture: &'f Fixture,
        file: &'f str,
        content_type: &'f str,
        tag_end: &'f str,
        coding: &'f str,
    ) -> Self {
        Sent {
            fixture,
            file,
            content_type,
            tag_end,
            coding,
        }
    }

    fn stat(&self) -> Metadata {
        fs::metadata(self.fixture.path().join(self.file)).unwrap()
    }

    fn content(&self) -> Vec<u8> {
        fs::read(self.fixture.path().join(self.file)).unwrap()
    }

    pub fn etag(&self) -> String {
        let stat = self.stat();
        format!(
            "\"{:x}.{:x}-{:x}-{:x}{}\"",
            stat.mtime(),
            stat.mtime_nsec(),
            stat.len(),
            stat.ino(),
            self.tag_end
        )
    }

    fn vary(&self) -> &'static str {
        match self.coding.contains("Vary") {
            true => "Vary: Accept-Encoding\r\n",
            false => "",
        }
    }

    /// A head that says `first` about a body of `length`.
    fn head(&self, status: &str, content_type: &str, length: u64, range: &str) -> String {
        let modified = httpdate::HttpDate::from(self.stat().modified().unwrap());
        format!(
            "HTTP/1.1 {status}\r\nServer: xdphttpd\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
             {range}{}Last-Modified: {modified}\r\nETag: {}\r\nAccept-Ranges: bytes\r\n\
             X-Content-Type-Options: nosniff\r\n{DATE}\r\n",
            self.coding,
            self.etag(),
        )
    }

    /// The head of the 200 response.
    pub fn ok_head(&self) -> Vec<u8> {
        self.head("200 OK", self.content_type, self.stat().len(), "")
            .into()
    }

    /// The 200 response.
    pub fn ok(&self) -> Vec<u8> {
        [self.ok_head(), self.content()].concat()
    }

    /// The 206 response with the bytes from `first` to `last`.
    pub fn part(&self, first: usize, last: usize) -> Vec<u8> {
        let content = self.content();
        let range = format!("Content-Range: bytes {first}-{last}/{}\r\n", content.len());
        let length = last - first + 1;
        let head = self.head(
            "206 Partial Content",
            self.content_type,
            length as u64,
            &range,
        );
        [head.as_bytes(), &content[first..=last]].concat()
    }

    /// The 206 response with several parts; `boundary` is the one that the server chose.
    pub fn parts(&self, parts: &[(usize, usize)], boundary: &str) -> Vec<u8> {
        let content = self.content();
        let mut body = Vec::new();
        for (first, last) in parts {
            let (kind, length) = (self.content_type, content.len());
            body.extend(format!("\r\n--{boundary}\r\nContent-Type: {kind}\r\n").bytes());
            body.extend(format!("Content-Range: bytes {first}-{last}/{length}\r\n\r\n").bytes());
            body.extend(&content[*first..=*last]);
        }
        body.extend(format!("\r\n--{boundary}--\r\n").bytes());
        let body = &body[2..];
        let content_type = format!("multipart/byteranges; boundary={boundary}");
        let status = "206 Partial Content";
        let head = self.head(status, &content_type, body.len() as u64, "");
        [head.as_bytes(), body].concat()
    }

    /// The 304 response.
    pub fn not_modified(&self) -> Vec<u8> {
        format!(
            "HTTP/1.1 304 Not Modified\r\nServer: xdphttpd\r\n{}ETag: {}\r\n{DATE}\r\n",
            self.vary(),
            self.etag()
        )
        .into()
    }

    /// The 412 response.
    pub fn failed(&self) -> Vec<u8> {
        let text = "This file is not, or no longer, the version that was asked for.";
        error(412, "Precondition Failed", text, self.vary(), "").into()
    }

    /// The 416 response.
    pub fn unsatisfiable(&self) -> Vec<u8> {
        let text = "This file is shorter than the part that was asked for.";
        let fields = format!(
            "Content-Range: bytes */{}\r\n{}",
            self.stat().len(),
            self.vary()
        );
        error(416, "Range Not Satisfiable", text, &fields, "").into()
    }
}

/// A response without its body.
pub fn head_of(response: &[u8]) -> Vec<u8> {
    let mut windows = response.windows(4);
    let end = windows.position(|window| window == b"\r\n\r\n").unwrap() + 4;
    response[..end].to_vec()
}

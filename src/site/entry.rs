//! What a name stands for, ready to be answered with.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use httpdate::HttpDate;

use super::files::{Found, OpenFile, Validator};

/// A file modified more recently than this before it was read may change again within the same clock tick: equal
/// modification times then prove nothing. Ten times the coarsest kernel tick (10 ms at 100 Hz).
const SETTLED_AFTER: Duration = Duration::from_millis(100);

/// The last second that an IMF-fixdate can express: 9999-12-31 23:59:59.
const LAST_DATE_S: u64 = 253_402_300_799;

/// What a name stands for.
#[derive(Debug)]
pub enum Entry {
    /// A regular file.
    File(File),
    /// A directory named without its final slash: the client is sent to the name with the slash.
    Directory,
    /// Nothing, or nothing that a site serves: a directory without `index.html`, a FIFO, device or socket, a symbolic
    /// link that leads out of the root. A stranger learns nothing about these, so they read as 404.
    NotFound,
    /// A file that the server may not read: 403, so that the operator can tell wrong permissions from a wrong name.
    Forbidden,
    /// An input/output error: 500.
    Failed(io::ErrorKind),
}

impl Entry {
    /// The entry for what the loader found, `None` when it found the file unchanged.
    pub(super) fn from_found(name: &[u8], found: Found) -> Option<Self> {
        Some(match found {
            Found::Unchanged => return None,
            Found::File {
                validator,
                body,
                read_at,
            } => Entry::File(File::new(name, validator, body, read_at)),
            Found::Directory => Entry::Directory,
            Found::NotFound => Entry::NotFound,
            Found::Forbidden => Entry::Forbidden,
            Found::Failed(kind) => Entry::Failed(kind),
        })
    }

    /// The validator by which a later check may find this entry unchanged.
    pub(super) fn known(&self) -> Option<Validator> {
        match self {
            Entry::File(file) if file.settled => Some(file.validator),
            _ => None,
        }
    }
}

/// A regular file with the head of the response that carries it whole.
#[derive(Debug)]
pub struct File {
    /// Status line and header fields of the 200 response, each with its CRLF: all but `Date`, `Connection` and the
    /// empty line.
    pub head: Box<[u8]>,
    /// Identity of this version of the file.
    pub validator: Validator,
    /// The strong entity tag with its quotes (RFC 9110 section 8.8.3).
    pub etag: String,
    /// When the file changed, never later than it was read (RFC 9110 section 8.8.2.1).
    pub last_modified: HttpDate,
    /// The media type with its charset.
    pub content_type: String,
    /// The content.
    pub body: Body,
    settled: bool,
}

/// Where a file's content is.
#[derive(Debug, Clone)]
pub enum Body {
    /// In memory, whole.
    Memory(Bytes),
    /// In the open file, to be read in chunks.
    Open(Arc<OpenFile>),
}

impl File {
    fn new(name: &[u8], validator: Validator, body: Body, read_at: SystemTime) -> Self {
        let modified = validator.modified();
        let settled = read_at
            .duration_since(modified)
            .is_ok_and(|age| age >= SETTLED_AFTER);
        let etag = validator.etag();
        let last_modified = http_date(modified.min(read_at));
        let content_type = content_type(name);
        let mut head = Vec::with_capacity(320);
        // Writing to a Vec cannot fail.
        let _ = write!(
            head,
            "HTTP/1.1 200 OK\r\nServer: xdphttpd\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
             Last-Modified: {last_modified}\r\nETag: {etag}\r\nX-Content-Type-Options: nosniff\r\n",
            validator.size_bytes,
        );
        let head = head.into_boxed_slice();
        File {
            head,
            validator,
            etag,
            last_modified,
            content_type,
            body,
            settled,
        }
    }

    /// The content's length in bytes.
    pub fn length(&self) -> u64 {
        self.validator.size_bytes
    }
}

/// The media type of the file that `name` stands for; a directory's is that of its `index.html`.
fn content_type(name: &[u8]) -> String {
    let base = name.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let extension = match base.iter().rposition(|&byte| byte == b'.') {
        Some(dot) => str::from_utf8(&base[dot + 1..]).unwrap_or_default(),
        None if base.is_empty() => "html",
        None => "",
    };
    let media_type = mime_guess::from_ext(extension)
        .first_raw()
        .unwrap_or("application/octet-stream");
    if media_type.starts_with("text/") {
        format!("{media_type}; charset=utf-8")
    } else {
        media_type.to_owned()
    }
}

/// `time` as an HTTP date, clamped to the years that one can express.
pub(crate) fn http_date(time: SystemTime) -> HttpDate {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    HttpDate::from(UNIX_EPOCH + since_epoch.min(Duration::from_secs(LAST_DATE_S)))
}

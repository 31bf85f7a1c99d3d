//! What a name stands for, ready to be answered with.

use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use httpdate::HttpDate;

use super::coding::Coding;
use super::files::{Found, OpenFile};
use super::headers::Fields;
use super::version::{Loaded, Validator, Versions};

/// A file modified more recently than this before it was read may change again within the same clock tick, and within
/// the same second: equal modification times, or equal dates, then prove nothing (RFC 9110 section 8.8.2.2).
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// The last second that an IMF-fixdate can express: 9999-12-31 23:59:59.
const LAST_DATE_S: u64 = 253_402_300_799;

/// What which representation is sent depends on (RFC 9110 section 12.5.5).
pub(crate) const VARY: &str = "Vary: Accept-Encoding\r\n";

/// What a name stands for.
#[derive(Debug)]
pub enum Entry {
    /// A regular file, or the listing of a directory without `index.html` if the site has listings.
    File(File),
    /// A directory named without its final slash: the client is sent to the name with the slash.
    Directory,
    /// Nothing, or nothing that a site serves: a directory without an index in a site without listings, a FIFO, device
    /// or socket, a symbolic link that leads out of the root. A stranger learns nothing about these, so they read as
    /// 404.
    NotFound,
    /// A file that the server may not read: 403, so that the operator can tell wrong permissions from a wrong name.
    Forbidden,
    /// An input/output error: 500; 504 if it was not found out in time, 503 if there was too much else to do, or it
    /// changed all the time.
    Failed(io::ErrorKind),
}

impl Entry {
    /// What a name stands for that was not looked at for want of a place in line.
    pub(super) const BUSY: Entry = Entry::Failed(io::ErrorKind::ResourceBusy);

    /// The entry for what the loader found, `None` when it found the file unchanged.
    pub(super) fn from_found(found: Found) -> Option<Self> {
        Some(match found {
            Found::Unchanged => return None,
            Found::File {
                identity,
                variants,
                media_type,
                fields,
                read_at,
            } => {
                let about = About {
                    content_type: media_type,
                    fields,
                    varies: !variants.is_empty(),
                    read_at,
                };
                Entry::File(File::new(&about, *identity, variants))
            }
            Found::Directory => Entry::Directory,
            Found::NotFound => Entry::NotFound,
            Found::Forbidden => Entry::Forbidden,
            Found::Failed(kind) => Entry::Failed(kind),
            Found::NoDescriptor => Entry::Failed(io::ErrorKind::Other),
        })
    }

    /// The versions by which a later check may find this entry unchanged.
    pub(super) fn known(&self) -> Option<Versions> {
        match self {
            Entry::File(file) => file.known(),
            _ => None,
        }
    }

    /// Whether a file that it has open is known to hold another version by now.
    pub(super) fn is_outdated(&self) -> bool {
        match self {
            Entry::File(file) => file.is_outdated(),
            _ => false,
        }
    }

    /// Whether both are the same versions of a file and its sidecars, beyond doubt.
    pub(super) fn is_same_as(&self, other: &Entry) -> bool {
        let known = self.known();
        known.is_some() && known == other.known() && !self.is_made() && !other.is_made()
    }

    /// Whether it is a listing, which changes without its directory.
    fn is_made(&self) -> bool {
        matches!(self, Entry::File(file) if file.identity.made)
    }

    /// The representations that it has, if it is a file.
    pub(super) fn representations(&self) -> impl Iterator<Item = &Representation> {
        let file = match self {
            Entry::File(file) => Some(file),
            _ => None,
        };
        file.into_iter().flat_map(File::representations)
    }
}

/// A regular file, or a listing, which is sent like one.
#[derive(Debug)]
pub struct File {
    /// The file as it is.
    pub identity: Representation,
    /// The same in other codings, in the order of [`Coding::COMPRESSED`].
    pub variants: Vec<Representation>,
}

/// A file in one coding, with the head of the response that carries it whole.
#[derive(Debug)]
pub struct Representation {
    /// The coding of the content.
    pub coding: Coding,
    /// Status line and header fields of the 200 response, each with its CRLF: all but `Date`, `Connection` and the
    /// empty line.
    pub head: Box<[u8]>,
    /// Where in the head the fields begin that a 206 response has in common with it.
    common: usize,
    /// Where in the head those are that settings add for the sake of caches; those that they add beside follow.
    for_caches: Range<usize>,
    /// Identity of this version of the file.
    pub validator: Validator,
    /// Whether the content was made of the file when that was loaded.
    made: bool,
    /// The strong entity tag with its quotes (RFC 9110 section 8.8.3).
    pub etag: String,
    /// When the file changed, never later than it was read (RFC 9110 section 8.8.2.1).
    pub last_modified: HttpDate,
    /// The media type with its charset: that of the file, whatever the coding.
    pub content_type: String,
    /// Whether the name has other representations, so that which one was sent depends on the request.
    pub varies: bool,
    /// Whether no other version had the same modification time, to the second.
    pub settled: bool,
    /// The content.
    pub body: Body,
}

/// What the representations of a file have in common.
struct About {
    content_type: String,
    fields: Fields,
    varies: bool,
    read_at: SystemTime,
}

/// Where a representation's content is.
#[derive(Debug, Clone)]
pub enum Body {
    /// In memory, whole.
    Memory(Bytes),
    /// In the open file, to be read in chunks.
    Open(Arc<OpenFile>),
}

impl Body {
    /// Its length in bytes, being of the file of this version.
    fn length(&self, validator: &Validator) -> u64 {
        match self {
            Body::Memory(bytes) => bytes.len() as u64,
            Body::Open(_) => validator.size_bytes,
        }
    }
}

impl File {
    fn new(about: &About, identity: Loaded, variants: Vec<(Coding, Loaded)>) -> Self {
        let variants = variants.into_iter();
        File {
            identity: Representation::new(Coding::Identity, identity, about),
            variants: variants
                .map(|(coding, loaded)| Representation::new(coding, loaded, about))
                .collect(),
        }
    }

    fn representations(&self) -> impl Iterator<Item = &Representation> {
        std::iter::once(&self.identity).chain(&self.variants)
    }

    fn is_outdated(&self) -> bool {
        // Beside a file in memory there is none that is open, as a rule.
        let is_outdated =
            |part: &Representation| matches!(&part.body, Body::Open(file) if file.is_outdated());
        matches!(self.identity.body, Body::Open(_)) && self.representations().any(is_outdated)
    }

    fn known(&self) -> Option<Versions> {
        let mut versions = Versions::new(self.identity.validator);
        let sidecars = self.variants.iter().filter(|variant| !variant.made);
        for variant in sidecars {
            versions.add(variant.coding, variant.validator);
        }
        let is_settled = self
            .representations()
            .all(|representation| representation.settled);
        (is_settled && !self.is_outdated()).then_some(versions)
    }
}

impl Representation {
    fn new(coding: Coding, loaded: Loaded, about: &About) -> Self {
        let Loaded {
            validator,
            body,
            fingerprint,
        } = loaded;
        let modified = validator.modified();
        let settled = about
            .read_at
            .duration_since(modified)
            .is_ok_and(|age| age >= SETTLED_AFTER);
        let etag = validator.etag(coding, fingerprint);
        let last_modified = http_date(modified.min(about.read_at));
        let mut head = Vec::with_capacity(320);
        // Writing to a Vec cannot fail.
        let _ = write!(
            head,
            "HTTP/1.1 200 OK\r\nServer: xdphttpd\r\nContent-Type: {}\r\nContent-Length: {}\r\n",
            about.content_type,
            body.length(&validator),
        );
        let common = head.len();
        if coding != Coding::Identity {
            let _ = write!(head, "Content-Encoding: {}\r\n", coding.token());
        }
        if about.varies {
            head.extend_from_slice(VARY.as_bytes());
        }
        let _ = write!(
            head,
            "Last-Modified: {last_modified}\r\nETag: {etag}\r\nAccept-Ranges: bytes\r\n",
        );
        let for_caches = head.len()..head.len() + about.fields.for_caches.len();
        head.extend_from_slice(about.fields.for_caches.as_bytes());
        head.extend_from_slice(about.fields.others.as_bytes());
        Representation {
            coding,
            head: head.into_boxed_slice(),
            common,
            for_caches,
            validator,
            made: fingerprint.is_some(),
            etag,
            last_modified,
            content_type: about.content_type.clone(),
            varies: about.varies,
            settled,
            body,
        }
    }

    /// The content's length in bytes.
    pub fn length(&self) -> u64 {
        self.body.length(&self.validator)
    }

    /// The header fields, each with its CRLF, that do not depend on how much of the content is sent.
    pub fn common_fields(&self) -> &[u8] {
        &self.head[self.common..]
    }

    /// The fields that settings add for the sake of caches, each with its CRLF.
    pub fn fields_for_caches(&self) -> &[u8] {
        &self.head[self.for_caches.clone()]
    }

    /// The other fields that settings add, each with its CRLF.
    pub fn other_fields(&self) -> &[u8] {
        &self.head[self.for_caches.end..]
    }

    /// The `Vary` field with its CRLF, if there is one.
    pub fn vary(&self) -> &'static str {
        if self.varies { VARY } else { "" }
    }
}

/// `time` as an HTTP date, clamped to the years that one can express.
pub(crate) fn http_date(time: SystemTime) -> HttpDate {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    HttpDate::from(UNIX_EPOCH + since_epoch.min(Duration::from_secs(LAST_DATE_S)))
}

//! What a request may take before it is refused: every bound by name, with the status that says it bit.
//!
//! There is none for requests sent ahead. One at a time is taken; what comes after it stays in the TCP window, which is
//! the bound ([`Conn::input`](super::Conn::input) leaves it to the caller).

/// The default of [`Limits::request_line_bytes`]: what browsers and other servers accept too.
pub const REQUEST_LINE_BYTES: usize = 8 * 1024;

/// The default of [`Limits::head_bytes`]: room for a full request line and as much in fields.
pub const HEAD_BYTES: usize = 16 * 1024;

/// The default of [`Limits::fields`], and the most there is room for; browsers send about fifteen.
pub const MAX_FIELDS: usize = 100;

/// The default of [`Limits::body_bytes`]; a new connection costs less than reading more would.
pub const BODY_BYTES: u64 = 1024 * 1024;

/// The limits of one server's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest request line, without its CRLF: 414, or 501 if all of it is method (RFC 9112 section 3).
    pub request_line_bytes: usize,
    /// The longest head with all its CRLFs: 431 (RFC 6585 section 5).
    pub head_bytes: usize,
    /// The most field lines in a head, [`MAX_FIELDS`] at most: 431.
    pub fields: usize,
    /// Bytes of empty lines tolerated before a request line: 400 (RFC 9112 section 2.2 speaks of one line).
    pub leading_bytes: usize,
    /// The longest body that is read, and thrown away, to keep the connection: 413. Of a chunked one the bytes on the
    /// wire count.
    pub body_bytes: u64,
    /// The longest line with a chunk's size and extensions, with its CRLF: 400 (RFC 9112 section 7.1.1).
    pub chunk_line_bytes: usize,
    /// The longest trailer section, with the empty line that ends it: 431.
    pub trailer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            request_line_bytes: REQUEST_LINE_BYTES,
            head_bytes: HEAD_BYTES,
            fields: MAX_FIELDS,
            leading_bytes: 8,
            body_bytes: BODY_BYTES,
            chunk_line_bytes: 1024,
            trailer_bytes: 4 * 1024,
        }
    }
}

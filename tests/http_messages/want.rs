//! What a case wants, in short.

use crate::http_support::cases::Case;
use crate::http_support::{CLOSE, DATE, Fixture, KEEP_ALIVE, error, error_head};

/// A response, and the connection line that it has.
#[derive(Clone, Copy)]
pub enum Want {
    /// The file `a.txt`.
    A(&'static str),
    /// The file that tells who sent raw UTF-8.
    Report,
    /// Its head alone.
    AHead(&'static str),
    /// The page of this status.
    Page(u16, &'static str),
    /// Its head alone.
    PageHead(u16, &'static str),
    /// What may be asked.
    Options(&'static str),
}

/// The file, and the connection stays.
pub const A: Want = Want::A("");
/// The file, and the connection ends.
pub const A_CLOSE: Want = Want::A(CLOSE);
/// The file, and the connection stays as 1.0 wanted it to.
pub const A_KEPT: Want = Want::A(KEEP_ALIVE);
/// A malformed request, and the end.
pub const BAD: Want = end(400);

/// The page of `code`, and the connection stays.
pub const fn page(code: u16) -> Want {
    Want::Page(code, "")
}

/// The page of `code`, and the end.
pub const fn end(code: u16) -> Want {
    Want::Page(code, CLOSE)
}

/// Reason, text and further fields of each status with a page, written down independently of the server.
fn words(code: u16) -> (&'static str, &'static str, &'static str) {
    match code {
        400 => (
            "Bad Request",
            "The server could not understand this request.",
            "",
        ),
        404 => ("Not Found", "There is nothing at this address.", ""),
        405 => (
            "Method Not Allowed",
            "Files can be asked for with GET and HEAD only.",
            "Allow: GET, HEAD, OPTIONS\r\n",
        ),
        413 => (
            "Content Too Large",
            "The request has a longer body than this server reads.",
            "",
        ),
        414 => (
            "URI Too Long",
            "The address is longer than this server accepts.",
            "",
        ),
        417 => (
            "Expectation Failed",
            "This server cannot do what the request expects.",
            "",
        ),
        421 => (
            "Misdirected Request",
            "This server speaks http only, and the address begins with https.",
            "",
        ),
        431 => (
            "Request Header Fields Too Large",
            "The request has more header data than this server accepts.",
            "",
        ),
        501 => (
            "Not Implemented",
            "This server does not know what the request asks for.",
            "",
        ),
        505 => (
            "HTTP Version Not Supported",
            "This server speaks HTTP/1.1 and HTTP/1.0.",
            "",
        ),
        code => panic!("no page for {code}"),
    }
}

impl Want {
    fn bytes(self, fixture: &Fixture) -> Vec<u8> {
        const TEXT: &str = "text/plain; charset=utf-8";
        match self {
            Want::A(connection) => fixture.ok("a.txt", TEXT, connection),
            Want::AHead(connection) => fixture.ok_head("a.txt", TEXT, connection).into(),
            Want::Report => fixture.ok(REPORT, "text/markdown; charset=utf-8", ""),
            Want::Page(code, connection) => {
                let (reason, text, fields) = words(code);
                error(code, reason, text, fields, connection).into()
            }
            Want::PageHead(code, connection) => {
                let (reason, text, fields) = words(code);
                let page = crate::http_support::page(code, reason, text);
                error_head(code, reason, page.len(), fields, connection).into()
            }
            Want::Options(connection) => format!(
                "HTTP/1.1 200 OK\r\nServer: xdphttpd\r\nContent-Length: 0\r\n\
                 Allow: GET, HEAD, OPTIONS\r\n{DATE}{connection}\r\n"
            )
            .into(),
        }
    }

    fn connection(self) -> &'static str {
        match self {
            Want::Report => "",
            Want::A(connection)
            | Want::AHead(connection)
            | Want::Page(_, connection)
            | Want::PageHead(_, connection)
            | Want::Options(connection) => connection,
        }
    }
}

/// A name that browsers and curl send as it is.
pub const REPORT: &str = "jfs/1_\u{5b9e}\u{9a8c}\u{62a5}\u{544a}\u{6a21}\u{677f}.md";

/// The files that the cases ask for.
pub fn fixture() -> Fixture {
    Fixture::new(&[
        ("index.html", b"<h1>root</h1>"),
        ("a.txt", b"alpha\n"),
        (REPORT, b"# report\n"),
    ])
}

/// A table that is being written.
pub struct Table<'f> {
    fixture: &'f Fixture,
    pub cases: Vec<Case>,
}

impl<'f> Table<'f> {
    pub fn new(fixture: &'f Fixture) -> Self {
        Table {
            fixture,
            cases: Vec::new(),
        }
    }

    /// `request` gets the responses `wanted`; the connection ends when the last one says so.
    pub fn add(&mut self, what: &str, request: impl AsRef<[u8]>, wanted: &[Want]) {
        let last = wanted.last().expect("something is wanted");
        self.cases.push(Case {
            what: what.to_owned(),
            request: request.as_ref().to_vec(),
            response: wanted
                .iter()
                .flat_map(|want| want.bytes(self.fixture))
                .collect(),
            closes: last.connection() == CLOSE,
        });
    }

    /// The same for requests that get one response each.
    pub fn each(&mut self, want: Want, rows: &[(&str, &[u8])]) {
        for (what, request) in rows {
            self.add(what, request, &[want]);
        }
    }
}

/// A GET of the file with further field lines.
pub fn get_with(fields: &str) -> String {
    format!("GET /a.txt HTTP/1.1\r\nHost: x\r\n{fields}\r\n")
}

/// The request that is sent after another to see whether the server found its end.
pub const NEXT: &str = "GET /next HTTP/1.1\r\nHost: x\r\n\r\n";

/// The answer to [`NEXT`].
pub const NEXT_ANSWER: Want = page(404);

//! Chunked bodies (RFC 9112 section 7.1).

use crate::http_support::CLOSE;
use crate::want::*;

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

fn chunked(body: &[u8]) -> Vec<u8> {
    [get_with(CHUNKED).as_bytes(), body, NEXT.as_bytes()].concat()
}

pub fn fill(table: &mut Table<'_>) {
    good(table);
    bad(table);
    bounds(table);
    others(table);
}

#[rustfmt::skip] // one case a line
fn good(table: &mut Table<'_>) {
    let bodies: &[(&str, &[u8])] = &[
        ("no chunk", b"0\r\n\r\n"),
        ("one chunk", b"3\r\nxyz\r\n0\r\n\r\n"),
        ("two chunks", b"1\r\nx\r\n2\r\nyz\r\n0\r\n\r\n"),
        ("sixteen bytes", b"10\r\n0123456789abcdef\r\n0\r\n\r\n"),
        ("a size in small letters", b"a\r\n0123456789\r\n0\r\n\r\n"),
        ("a size in capitals", b"A\r\n0123456789\r\n0\r\n\r\n"),
        ("zeros before a size", b"0003\r\nxyz\r\n000\r\n\r\n"),
        ("many zeros", b"00000000000000000000000000000000003\r\nxyz\r\n0\r\n\r\n"),
        ("line ends as data", b"4\r\n\r\n\r\n\r\n0\r\n\r\n"),
        ("data that looks like the end", b"5\r\n0\r\n\r\n\r\n0\r\n\r\n"),
        ("data that looks like a request", b"12\r\nGET / HTTP/1.1\r\n\r\n\r\n0\r\n\r\n"),
        ("any byte as data", b"4\r\n\0\xff\n\r\r\n0\r\n\r\n"),
        ("an extension", b"3;a\r\nxyz\r\n0\r\n\r\n"),
        ("an extension with a value", b"3;a=b\r\nxyz\r\n0\r\n\r\n"),
        ("an extension with a quoted value", b"3;a=\"b; c\\\"\\\\d\"\r\nxyz\r\n0\r\n\r\n"),
        ("an empty quoted value", b"3;a=\"\"\r\nxyz\r\n0\r\n\r\n"),
        ("a tab and obs-text in quotes", b"3;a=\"\t\xe9\\\xe9\"\r\nxyz\r\n0\r\n\r\n"),
        ("extensions", b"3;a=b;c;d=\"e\";f=g\r\nxyz\r\n0;last\r\n\r\n"),
        ("white space around an extension", b"3 \t; \ta \t= \tb \t;c\r\nxyz\r\n0\r\n\r\n"),
        ("white space after a quoted value", b"3;a=\"b\" ;c\r\nxyz\r\n0\r\n\r\n"),
        ("a trailer field", b"0\r\nA: b\r\n\r\n"),
        ("trailer fields", b"3\r\nxyz\r\n0\r\nA: b\r\nC:\r\nD:\t\xe9 \r\n\r\n"),
        ("trailer fields that say nothing about framing", b"0\r\nContent-Length: 5\r\nTransfer-Encoding: gzip\r\nHost: y\r\nConnection: close\r\n\r\n"),
    ];
    for (what, body) in bodies {
        table.add(&format!("chunks: {what}"), chunked(body), &[A, NEXT_ANSWER]);
    }
}

#[rustfmt::skip] // one case a line
fn bad(table: &mut Table<'_>) {
    let bodies: &[(&str, &[u8])] = &[
        ("no size", b"\r\nxyz\r\n0\r\n\r\n"),
        ("only an extension", b";a\r\nxyz\r\n0\r\n\r\n"),
        ("0x before a size", b"0x3\r\nxyz\r\n0\r\n\r\n"),
        ("a plus before a size", b"+3\r\nxyz\r\n0\r\n\r\n"),
        ("a minus before a size", b"-3\r\nxyz\r\n0\r\n\r\n"),
        ("a negative end", b"-0\r\n\r\n"),
        ("a space before a size", b" 3\r\nxyz\r\n0\r\n\r\n"),
        ("a tab before a size", b"\t3\r\nxyz\r\n0\r\n\r\n"),
        ("a space after a size", b"3 \r\nxyz\r\n0\r\n\r\n"),
        ("a tab after a size", b"3\t\r\nxyz\r\n0\r\n\r\n"),
        ("a space within a size", b"0 3\r\nxyz\r\n0\r\n\r\n"),
        ("a letter that is no digit", b"g\r\nxyz\r\n0\r\n\r\n"),
        ("an h after a size", b"3h\r\nxyz\r\n0\r\n\r\n"),
        ("an underscore in a size", b"0_3\r\nxyz\r\n0\r\n\r\n"),
        ("a dot in a size", b"3.0\r\nxyz\r\n0\r\n\r\n"),
        ("a comma after a size", b"3,\r\nxyz\r\n0\r\n\r\n"),
        ("a size in quotes", b"\"3\"\r\nxyz\r\n0\r\n\r\n"),
        ("a NUL after a size", b"3\0\r\nxyz\r\n0\r\n\r\n"),
        ("digits that are not ASCII", b"\xef\xbc\x93\r\nxyz\r\n0\r\n\r\n"),
        ("a size beyond 64 bits", b"10000000000000000\r\nxyz\r\n0\r\n\r\n"),
        ("a size that wraps to 3", b"10000000000000003\r\nxyz\r\n0\r\n\r\n"),
        ("LF alone after a size", b"3\nxyz\r\n0\r\n\r\n"),
        ("CR alone after a size", b"3\rxyz\r\n0\r\n\r\n"),
        ("CR CR LF after a size", b"3\r\r\nxyz\r\n0\r\n\r\n"),
        ("LF alone after data", b"3\r\nxyz\n0\r\n\r\n"),
        ("CR alone after data", b"3\r\nxyz\r0\r\n\r\n"),
        ("nothing after data", b"3\r\nxyz0\r\n\r\n"),
        ("data longer than its size", b"3\r\nxyz!\r\n0\r\n\r\n"),
        ("data shorter than its size", b"3\r\nxy\r\n0\r\n\r\n"),
        ("an empty line too many after data", b"3\r\nxyz\r\n\r\n0\r\n\r\n"),
        ("LF alone after the last size", b"0\n\r\n"),
        ("LF alone at the end", b"0\r\n\n"),
        ("CR alone at the end", b"0\r\n\rx"),
        ("an extension without a name", b"3;\r\nxyz\r\n0\r\n\r\n"),
        ("two semicolons", b"3;;a\r\nxyz\r\n0\r\n\r\n"),
        ("an extension with no value after =", b"3;a=\r\nxyz\r\n0\r\n\r\n"),
        ("an extension with a value and no name", b"3;=b\r\nxyz\r\n0\r\n\r\n"),
        ("an extension with two values", b"3;a=b=c\r\nxyz\r\n0\r\n\r\n"),
        ("two words in an extension", b"3;a b\r\nxyz\r\n0\r\n\r\n"),
        ("two words in a value", b"3;a=b c\r\nxyz\r\n0\r\n\r\n"),
        ("white space after an extension", b"3;a \r\nxyz\r\n0\r\n\r\n"),
        ("a comma in an extension", b"3;a,b\r\nxyz\r\n0\r\n\r\n"),
        ("an open quote", b"3;a=\"b\r\nxyz\r\n0\r\n\r\n"),
        ("a word after quotes", b"3;a=\"b\"c\r\nxyz\r\n0\r\n\r\n"),
        ("an LF in quotes", b"3;a=\"\n\"\r\nxyz\r\n0\r\n\r\n"),
        ("a quoted CR", b"3;a=\"\\\r\n\"\r\nxyz\r\n0\r\n\r\n"),
        ("a NUL in quotes", b"3;a=\"\0\"\r\nxyz\r\n0\r\n\r\n"),
        ("an LF in an extension", b"3;a\nxyz\r\n0\r\n\r\n"),
        ("a bare CR in an extension", b"3;a\rb\r\nxyz\r\n0\r\n\r\n"),
        ("obs-text in an extension", b"3;\xe9\r\nxyz\r\n0\r\n\r\n"),
        ("a trailer field without a colon", b"0\r\nA\r\n\r\n"),
        ("a trailer field without a name", b"0\r\n: b\r\n\r\n"),
        ("a space before a trailer's colon", b"0\r\nA : b\r\n\r\n"),
        ("a folded trailer field", b"0\r\nA: b\r\n c\r\n\r\n"),
        ("white space before a trailer field", b"0\r\n A: b\r\n\r\n"),
        ("a NUL in a trailer field", b"0\r\nA: \0\r\n\r\n"),
        ("an LF after a trailer field", b"0\r\nA: b\n\r\n"),
        ("a bare CR in a trailer field", b"0\r\nA: b\rc\r\n\r\n"),
        ("the next request for a trailer field", b"0\r\n"),
    ];
    for (what, body) in bodies {
        table.add(&format!("chunks: {what}"), chunked(body), &[BAD]);
    }
}

/// The limits of [`xdphttpd::http::Limits`] by default, and one byte beyond each.
#[rustfmt::skip] // one case a line
fn bounds(table: &mut Table<'_>) {
    const MIB: usize = 1024 * 1024;
    let extension = |line_bytes: usize| format!("0;{}\r\n\r\n", "e".repeat(line_bytes - "0;\r\n".len()));
    table.add("chunks: the longest line", chunked(extension(1024).as_bytes()), &[A, NEXT_ANSWER]);
    table.add("chunks: a line too long", chunked(extension(1025).as_bytes()), &[BAD]);
    table.add("chunks: a size too long", chunked("0".repeat(2000).as_bytes()), &[BAD]);
    let trailers = |bytes: usize| format!("0\r\nA: {}\r\n\r\n", "t".repeat(bytes - "A: \r\n\r\n".len()));
    table.add("chunks: the longest trailers", chunked(trailers(4096).as_bytes()), &[A, NEXT_ANSWER]);
    table.add("chunks: trailers too long", chunked(trailers(4097).as_bytes()), &[end(431)]);
    table.add("chunks: trailers without end", chunked("0\r\n".bytes().chain(b"a:b\r\n".repeat(2000)).collect::<Vec<_>>().as_slice()), &[end(431)]);
    let body = |bytes: usize| {
        let size = bytes - "fffff\r\n\r\n0\r\n\r\n".len();
        format!("{size:05x}\r\n{}\r\n0\r\n\r\n", "d".repeat(size))
    };
    table.add("chunks: the longest body", chunked(body(MIB).as_bytes()), &[A, NEXT_ANSWER]);
    table.add("chunks: a body too long", chunked(body(MIB + 1).as_bytes()), &[end(413)]);
    table.add("chunks: a chunk longer than is read", chunked(b"100000\r\nx"), &[end(413)]);
    table.add("chunks: the largest size there is", chunked(b"FFFFFFFFFFFFFFFF\r\nx"), &[end(413)]);
    table.add("chunks: many small chunks", chunked("1\r\nx\r\n".repeat(10_000).as_bytes().iter().chain(b"0\r\n\r\n").copied().collect::<Vec<_>>().as_slice()), &[A, NEXT_ANSWER]);
    table.add("chunks: small chunks without end", chunked("1\r\nx\r\n".repeat(MIB / 6 + 1).as_bytes()), &[end(413)]);
}

#[rustfmt::skip] // one case a line
fn others(table: &mut Table<'_>) {
    let with = |start: &str, body: &str| format!("{start} HTTP/1.1\r\nHost: x\r\n{CHUNKED}\r\n{body}{NEXT}");
    let good = "3;a=b\r\nxyz\r\n0\r\nA: b\r\n\r\n";
    table.add("chunks with HEAD", with("HEAD /a.txt", good), &[Want::AHead(""), NEXT_ANSWER]);
    table.add("chunks with POST", with("POST /a.txt", good), &[page(405), NEXT_ANSWER]);
    table.add("chunks with OPTIONS", with("OPTIONS *", good), &[Want::Options(""), NEXT_ANSWER]);
    table.add("chunks with an unknown method", with("BREW /a.txt", good), &[page(501), NEXT_ANSWER]);
    table.add("chunks for nothing", with("GET /nope", good), &[page(404), NEXT_ANSWER]);
    table.add("chunks for a malformed path", with("GET /%zz", good), &[page(400), NEXT_ANSWER]);
    table.add("bad chunks with HEAD", with("HEAD /a.txt", "x"), &[Want::PageHead(400, CLOSE)]);
    table.add("bad chunks with POST", with("POST /a.txt", "3\r\nxyz0"), &[BAD]);
    table.add("bad chunks for nothing", with("GET /nope", "x"), &[BAD]);
    table.add("chunks twice", format!("{0}{good}{0}{good}{NEXT}", get_with(CHUNKED)), &[A, A, NEXT_ANSWER]);
    table.add("chunks, and the end of the connection", format!("{}{good}{NEXT}", get_with("Transfer-Encoding: chunked\r\nConnection: close\r\n")), &[A_CLOSE]);
    table.add("an empty line after chunks", format!("{}{good}\r\n{NEXT}", get_with(CHUNKED)), &[A, NEXT_ANSWER]);
    table.add("chunks with CONNECT are not read", with("CONNECT x:80", "x"), &[end(501)]);
}

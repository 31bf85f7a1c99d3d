//! Where a body ends (RFC 9112 section 6), and what becomes of it.

use crate::http_support::CLOSE;
use crate::want::*;

pub fn fill(table: &mut Table<'_>) {
    lengths(table);
    codings(table);
    expectations(table);
}

/// A GET with such field lines, a body, and another request behind it.
fn followed(fields: &str, body: &str) -> String {
    format!("{}{body}{NEXT}", get_with(fields))
}

#[rustfmt::skip] // one case a line
fn lengths(table: &mut Table<'_>) {
    let bad = [
        "", " ", "-1", "+1", "-0", "+0", "1 1", "1, 1", "5,5", "1, 2", ",1", "1,", "0x1", "1x", "x", "1.0", "1e1",
        "0b1", "1_0", "\"1\"", "'1'", "18446744073709551616", "99999999999999999999999999", "1;q=1", "\u{b9}",
        "\u{661}", "1 \t1", "NaN", "infinity",
    ];
    for length in bad {
        table.add(&format!("Content-Length of {length:?}"), followed(&format!("Content-Length: {length}\r\n"), "x"), &[BAD]);
    }
    for (what, fields, body) in [
        ("no body", "Content-Length: 0\r\n", ""),
        ("a body of one byte", "Content-Length: 1\r\n", "x"),
        ("a body that looks like a request", "Content-Length: 31\r\n", "GET /evil HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a length with zeros before it", "Content-Length: 0003\r\n", "xyz"),
        ("a length with white space around it", "Content-Length: \t 3 \t\r\n", "xyz"),
        ("the same length twice", "Content-Length: 3\r\nContent-Length: 3\r\n", "xyz"),
        ("the same length twice in other words", "Content-Length: 3\r\nContent-Length: 03\r\n", "xyz"),
        ("a length in small letters", "content-length: 3\r\n", "xyz"),
        ("a body of line ends", "Content-Length: 4\r\n", "\r\n\r\n"),
    ] {
        table.add(what, followed(fields, body), &[A, NEXT_ANSWER]);
    }
    for (what, fields) in [
        ("two lengths", "Content-Length: 1\r\nContent-Length: 2\r\n"),
        ("a length and none", "Content-Length: 1\r\nContent-Length:\r\n"),
        ("a length and garbage", "Content-Length: 1\r\nContent-Length: x\r\n"),
        ("two lengths, the first zero", "Content-Length: 0\r\nContent-Length: 1\r\n"),
        ("a length folded", "Content-Length:\r\n 1\r\n"),
        ("a length with a space before its colon", "Content-Length : 1\r\n"),
    ] {
        table.add(what, followed(fields, "x"), &[BAD]);
    }
    table.add("HEAD with a body", format!("HEAD /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nxyz{NEXT}"), &[Want::AHead(""), NEXT_ANSWER]);
    table.add("POST with a body", format!("POST /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nxyz{NEXT}"), &[page(405), NEXT_ANSWER]);
    table.add("an unknown method with a body", format!("BREW /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nxyz{NEXT}"), &[page(501), NEXT_ANSWER]);
    table.add("1.0 with a body", format!("GET /a.txt HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nxyz{NEXT}"), &[A_KEPT, NEXT_ANSWER]);
    table.add("POST without a length", format!("POST /a.txt HTTP/1.1\r\nHost: x\r\n\r\n{NEXT}"), &[page(405), NEXT_ANSWER]);
    table.add("a body too many lines after a POST", format!("POST /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx\r\n{NEXT}"), &[page(405), NEXT_ANSWER]);
    table.add("a body after a request that ends the connection", format!("{}xyz{NEXT}", get_with("Connection: close\r\nContent-Length: 3\r\n")), &[A_CLOSE]);
    table.add("a body longer than is read", followed("Content-Length: 1048577\r\n", "x"), &[end(413)]);
    table.add("the largest length there is", followed("Content-Length: 18446744073709551615\r\n", "x"), &[end(413)]);
    table.add("a POST longer than is read", format!("POST /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\nx{NEXT}"), &[Want::Page(405, CLOSE)]);
}

#[rustfmt::skip] // one case a line
fn codings(table: &mut Table<'_>) {
    let chunks = "3\r\nxyz\r\n0\r\n\r\n";
    for coding in ["chunked", "Chunked", "CHUNKED", "cHuNkEd", " \tchunked\t ", ",chunked", "chunked,", ", chunked , ,"] {
        table.add(&format!("Transfer-Encoding of {coding:?}"), followed(&format!("Transfer-Encoding: {coding}\r\n"), chunks), &[A, NEXT_ANSWER]);
    }
    let undelimited = [
        "", ",", "gzip", "identity", "chunked, gzip", "chunked, identity", "chunked, chunked", "chunked,chunked,chunked",
        "chunked, gzip, chunked", "xchunked", "chunkedx", "chunke", "\"chunked\"", "'chunked'", "chunked;q=1",
        "chunked ; a=b", "chun ked", "chunked chunked", "chunked; chunked", "gzip chunked", "*", "trailers", "0",
        "chun\u{e9}ked", "\u{212a}chunked",
    ];
    for coding in undelimited {
        table.add(&format!("Transfer-Encoding of {coding:?}"), followed(&format!("Transfer-Encoding: {coding}\r\n"), chunks), &[BAD]);
    }
    for coding in ["gzip, chunked", "deflate,chunked", "compress, gzip, chunked", "identity, chunked", "cow, chunked", "foo;bar=\"a,b\", chunked"] {
        table.add(&format!("Transfer-Encoding of {coding:?}"), followed(&format!("Transfer-Encoding: {coding}\r\n"), chunks), &[end(501)]);
    }
    for (what, fields, want) in [
        ("chunked on two lines", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", BAD),
        ("chunked, then another coding on a line", "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n", BAD),
        ("another coding, then chunked on a line", "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", end(501)),
        ("chunked, then identity on a line", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", BAD),
        ("a length and chunked", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", BAD),
        ("chunked and a length", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", BAD),
        ("chunked and a length of zero", "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", BAD),
        ("a length and an unknown coding", "Content-Length: 3\r\nTransfer-Encoding: gzip\r\n", BAD),
        ("a length and an empty coding", "Content-Length: 3\r\nTransfer-Encoding:\r\n", BAD),
        ("chunked with a space before the colon", "Transfer-Encoding : chunked\r\n", BAD),
        ("chunked folded", "Transfer-Encoding:\r\n chunked\r\n", BAD),
        ("chunked after a vertical tab", "Transfer-Encoding: \x0bchunked\r\n", BAD),
        ("chunked after a NUL", "Transfer-Encoding: \0chunked\r\n", BAD),
        ("chunked behind a bare CR", "A: b\rTransfer-Encoding: chunked\r\n", BAD),
        ("chunked behind a bare LF", "A: b\nTransfer-Encoding: chunked\r\n", BAD),
    ] {
        table.add(what, followed(fields, chunks), &[want]);
    }
    table.add("an empty line of codings beside chunked", followed("Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n", chunks), &[A, NEXT_ANSWER]);
    table.add("a field that looks like a coding", followed("Transfer_Encoding: chunked\r\nContent-Length: 3\r\n", "xyz"), &[A, NEXT_ANSWER]);
    table.add("chunked in 1.0", format!("GET /a.txt HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{NEXT}"), &[BAD]);
    table.add("chunked in 1.0, kept alive", format!("POST /a.txt HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{NEXT}"), &[BAD]);
    table.add("an unknown coding in 1.0", format!("GET /a.txt HTTP/1.0\r\nTransfer-Encoding: gzip, chunked\r\n\r\n{NEXT}"), &[BAD]);
    table.add("a HEAD with two lengths", "HEAD /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", &[Want::PageHead(400, CLOSE)]);
}

#[rustfmt::skip] // one case a line
fn expectations(table: &mut Table<'_>) {
    for (what, fields, wants) in [
        ("100-continue before a body is answered at once", "Expect: 100-continue\r\nContent-Length: 3\r\n", A_CLOSE),
        ("100-Continue in any case", "Expect: 100-CONTINUE\r\nContent-Length: 3\r\n", A_CLOSE),
        ("100-continue before chunks", "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", A_CLOSE),
        ("100-continue before too much", "Expect: 100-continue\r\nContent-Length: 1048577\r\n", end(413)),
        ("another expectation before a body", "Expect: x\r\nContent-Length: 3\r\n", end(417)),
        ("another expectation before chunks", "Expect: x\r\nTransfer-Encoding: chunked\r\n", end(417)),
        ("100-continue and another, before a body", "Expect: 100-continue\r\nExpect: x\r\nContent-Length: 3\r\n", end(417)),
    ] {
        table.add(what, followed(fields, ""), &[wants]);
    }
    for (what, fields, want) in [
        ("100-continue before nothing", "Expect: 100-continue\r\n", A),
        ("100-continue before a body of nothing", "Expect: 100-continue\r\nContent-Length: 0\r\n", A),
        ("an empty expectation", "Expect:\r\n", A),
        ("another expectation", "Expect: x\r\n", page(417)),
        ("100-continue and another", "Expect: 100-continue, x\r\n", page(417)),
        ("another and 100-continue", "Expect: x, 100-continue\r\n", page(417)),
        ("100-continue with a parameter", "Expect: 100-continue;q=1\r\n", page(417)),
        ("200-ok", "Expect: 200-ok\r\n", page(417)),
    ] {
        table.add(what, followed(fields, ""), &[want, NEXT_ANSWER]);
    }
    table.add("100-continue with POST", "POST /a.txt HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", &[Want::Page(405, CLOSE)]);
    table.add("100-continue in 1.0", format!("GET /a.txt HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nxyz{NEXT}"), &[A_KEPT, NEXT_ANSWER]);
    table.add("another expectation in 1.0", format!("GET /a.txt HTTP/1.0\r\nConnection: keep-alive\r\nExpect: x\r\n\r\n{NEXT}"), &[A_KEPT, NEXT_ANSWER]);
    table.add("HEAD with another expectation", "HEAD /a.txt HTTP/1.1\r\nHost: x\r\nExpect: x\r\n\r\n", &[Want::PageHead(417, "")]);
}

//! Field lines (RFC 9112 section 5), and `Host` (section 3.2).

use crate::want::*;

pub fn fill(table: &mut Table<'_>) {
    lines(table);
    hosts(table);
}

/// A GET with `line` among its field lines, as it is.
fn around(line: &[u8]) -> Vec<u8> {
    let before: &[u8] = b"GET /a.txt HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n";
    [before, line, b"\r\nA: b\r\n\r\n"].concat()
}

#[rustfmt::skip] // one case a line
fn lines(table: &mut Table<'_>) {
    let bad: &[(&str, &[u8])] = &[
        ("a folded line", b"B: c\r\n d"),
        ("a line folded with a tab", b"B: c\r\n\td"),
        ("a folded line with nothing in it", b"B: c\r\n "),
        ("a value that begins on the next line", b"B:\r\n c"),
        ("a space before the colon", b"B : c"),
        ("a tab before the colon", b"B\t: c"),
        ("a space in a name", b"B C: d"),
        ("no colon", b"B"),
        ("no name", b": c"),
        ("a colon alone", b":"),
        ("only a space", b" "),
        ("a name that is a space", b" : c"),
        ("a NUL in a name", b"B\0: c"),
        ("a control in a name", b"B\x02: c"),
        ("a DEL in a name", b"B\x7f: c"),
        ("UTF-8 in a name", b"B\xc3\xa9: c"),
        ("a bracket in a name", b"B(c): d"),
        ("a quote in a name", b"\"B\": c"),
        ("an equals sign for the colon", b"B=c"),
        ("a slash in a name", b"B/c: d"),
        ("a comma in a name", b"B,c: d"),
        ("an at sign in a name", b"B@c: d"),
        ("a brace in a name", b"{B}: d"),
        ("a NUL in a value", b"B: c\0d"),
        ("a NUL as the value", b"B: \0"),
        ("a bell in a value", b"B: \x07"),
        ("a backspace in a value", b"B: c\x08"),
        ("a vertical tab in a value", b"B: c\x0bd"),
        ("a form feed in a value", b"B: c\x0cd"),
        ("an escape character in a value", b"B: \x1b[2J"),
        ("a DEL in a value", b"B: c\x7f"),
        ("a bare CR in a value", b"B: c\rd"),
        ("a bare CR before a field", b"\rB: c"),
        ("a bare CR for a line end", b"B: c\rC: d"),
        ("a bare LF for a line end", b"B: c\nC: d"),
        ("a CR too many", b"B: c\r"),
        ("a bare LF alone", b"\nB: c"),
        ("LF CR", b"B: c\n\rC: d"),
    ];
    for (what, line) in bad {
        table.add(what, around(line), &[BAD]);
    }
    let good: &[(&str, &[u8])] = &[
        ("no value", b"B:"),
        ("a value of white space", b"B: \t \t"),
        ("no space after the colon", b"B:c"),
        ("much space around a value", b"B:  \t c d \t "),
        ("a tab in a value", b"B: c\td"),
        ("colons in a value", b"B:: c: d"),
        ("UTF-8 in a value", b"B: \xe6\x96\x87"),
        ("any obs-text in a value", b"B: \x80\xff"),
        ("every kind of token in a name", b"!#$%&'*+-.^_`|~09azAZ: c"),
        ("an unknown field twice", b"B: c\r\nB: d"),
        ("a name of one digit", b"1: c"),
        ("a name with an underscore", b"Content_Length: 5"),
        ("Upgrade is ignored", b"Upgrade: h2c\r\nConnection: upgrade, http2-settings\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"),
        ("TE is ignored", b"TE: trailers, chunked\r\nTrailer: Expires"),
        ("Max-Forwards is ignored", b"Max-Forwards: 0"),
    ];
    for (what, line) in good {
        table.add(what, around(line), &[A]);
    }
    table.each(BAD, &[
        ("white space before the first field", b"GET /a.txt HTTP/1.1\r\n Host: x\r\nA: b\r\n\r\n"),
        ("a tab before the first field", b"GET /a.txt HTTP/1.1\r\n\tHost: x\r\nHost: x\r\n\r\n"),
        ("a line of white space before the first field", b"GET /a.txt HTTP/1.1\r\n \r\nHost: x\r\n\r\n"),
        ("LF alone at the end of the head", b"GET /a.txt HTTP/1.1\r\nHost: x\r\n\n"),
        ("CR alone at the end of the head", b"GET /a.txt HTTP/1.1\r\nHost: x\r\n\rX\r\n\r\n"),
        ("a second request line for a field", b"GET /a.txt HTTP/1.1\r\nGET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
    ]);
    table.add("a HEAD with a bad field", "HEAD /a.txt HTTP/1.1\r\nHost : x\r\n\r\n", &[Want::PageHead(400, "Connection: close\r\n")]);
    table.add("nothing after a bad head is answered", format!("GET /a.txt HTTP/1.1\r\nHost : x\r\n\r\n{NEXT}{NEXT}"), &[BAD]);
}

#[rustfmt::skip] // one case a line
fn hosts(table: &mut Table<'_>) {
    let good = [
        "x", "X.example", "x:80", "x:", "x:8080", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:80",
        "[2001:DB8::192.0.2.1]", "[v1.x:y]", "x_y", "x-y.", "xn--fiqs8s", "%78", "!$&'()*+,;=", " x ",
    ];
    for host in good {
        table.add(&format!("Host of {host:?}"), format!("GET /a.txt HTTP/1.1\r\nHost: {host}\r\n\r\n"), &[A]);
    }
    let bad = [
        "", " ", ":", ":80", "x y", "x/", "/x", "http://x", "http://x/", "x?q", "x#f", "u@x", "u:p@x", "x:80:80",
        "x:http", "x:-80", "x:+80", "x: 80", "x :80", "x:65536", "x:184467440737095516160", "::1", "[::1", "::1]",
        "[]", "[::1]x", "[::g]", "[127.0.0.1]", "[fe80::1%25lo]", "[x]", "x%", "x%4", "x%gg", "x\\y", "<x>",
        "\"x\"", "x|y", "{x}", "x^", "x`", "\u{5b9e}", "caf\u{e9}", "x\ty", "x, y",
    ];
    for host in bad {
        table.add(&format!("Host of {host:?}"), format!("GET /a.txt HTTP/1.1\r\nHost: {host}\r\n\r\n"), &[BAD]);
    }
    table.each(BAD, &[
        ("no Host", b"GET /a.txt HTTP/1.1\r\nA: b\r\n\r\n"),
        ("no field at all", b"GET /a.txt HTTP/1.1\r\n\r\n"),
        ("the same Host twice", b"GET /a.txt HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n"),
        ("two Hosts", b"GET /a.txt HTTP/1.1\r\nHost: x\r\nA: b\r\nhost: y\r\n\r\n"),
        ("an empty Host and another", b"GET /a.txt HTTP/1.1\r\nHost:\r\nHost: x\r\n\r\n"),
        ("two Hosts in 1.0", b"GET /a.txt HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n"),
        ("a bad Host in 1.0", b"GET /a.txt HTTP/1.0\r\nHost: x/y\r\n\r\n"),
        ("OPTIONS * without Host", b"OPTIONS * HTTP/1.1\r\n\r\n"),
        ("an unknown method without Host", b"BREW /a.txt HTTP/1.1\r\n\r\n"),
        ("CONNECT without Host", b"CONNECT x:80 HTTP/1.1\r\n\r\n"),
        ("a host that is not Host", b"GET /a.txt HTTP/1.1\r\nX-Host: x\r\nHosts: x\r\n\r\n"),
    ]);
    table.each(A_CLOSE, &[
        ("no Host in 1.0", b"GET /a.txt HTTP/1.0\r\n\r\n"),
        ("an empty Host in 1.0", b"GET /a.txt HTTP/1.0\r\nHost:\r\n\r\n"),
        ("one Host in 1.0", b"GET /a.txt HTTP/1.0\r\nHost: x:80\r\n\r\n"),
    ]);
    table.each(A, &[
        ("Host last", b"GET /a.txt HTTP/1.1\r\nA: b\r\nHost: x\r\n\r\n"),
        ("hOsT", b"GET /a.txt HTTP/1.1\r\nhOsT:x\r\n\r\n"),
    ]);
}

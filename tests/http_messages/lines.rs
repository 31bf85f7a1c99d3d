//! Request lines (RFC 9112 section 3): methods, targets, versions.

use crate::want::*;

pub fn fill(table: &mut Table<'_>) {
    request_lines(table);
    targets(table);
    versions(table);
}

#[rustfmt::skip] // one case a line
fn request_lines(table: &mut Table<'_>) {
    table.each(BAD, &[
        ("an empty line only of spaces", b"  \r\n\r\n"),
        ("a space before the method", b" GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a tab before the method", b"\tGET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("no method", b"/a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("no target", b"GET HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("an empty target", b"GET  HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a target and nothing else, as in 0.9", b"GET /a.txt\r\n"),
        ("a method and nothing else", b"GET\r\n\r\n"),
        ("two spaces after the target", b"GET /a.txt  HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a tab after the target", b"GET /a.txt\tHTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a vertical tab for a space", b"GET\x0b/a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a form feed for a space", b"GET /a.txt\x0cHTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a CR for a space", b"GET\r/a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a tab after the version", b"GET /a.txt HTTP/1.1\t\r\nHost: x\r\n\r\n"),
        ("a word after the version", b"GET /a.txt HTTP/1.1 x\r\nHost: x\r\n\r\n"),
        ("two versions", b"GET /a.txt HTTP/1.1 HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a comma in the method", b"GE,T /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a bracket in the method", b"GET[ /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a colon in the method", b"GET: /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a NUL in the method", b"GE\0T /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a letter that is not ASCII in the method", b"G\xc3\x89T /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a method in quotes", b"\"GET\" /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("LF alone after the request line", b"GET /a.txt HTTP/1.1\nHost: x\r\n\r\n"),
        ("CR CR LF after the request line", b"GET /a.txt HTTP/1.1\r\r\nHost: x\r\n\r\n"),
        ("a NUL at the start", b"\0GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a byte order mark at the start", b"\xef\xbb\xbfGET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a response", b"HTTP/1.1 200 OK\r\nHost: x\r\n\r\n"),
        ("an SSH client", b"SSH-2.0-OpenSSH_9.6\r\n"),
        ("a field first", b"Host: x\r\nGET /a.txt HTTP/1.1\r\n\r\n"),
        ("LF after an empty line", b"\r\n\nGET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a space after an empty line", b"\r\n GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
    ]);
    table.each(A, &[
        ("one empty line before", b"\r\nGET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("four empty lines before", b"\r\n\r\n\r\n\r\nGET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
    ]);
    table.each(page(501), &[
        ("an unknown method", b"BREW /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("methods are case-sensitive: get", b"get /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("methods are case-sensitive: Get", b"Get /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("methods are case-sensitive: hEAD", b"hEAD /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("methods are case-sensitive: options", b"options /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("every token is a method", b"!#$%&'*+-.^_`|~09az /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a method that begins with a known one", b"GETS /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a method of WebDAV", b"PROPFIND / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ]);
    let long = format!("{} / HTTP/1.1\r\nHost: x\r\n\r\n", "M".repeat(8_000));
    table.add("a long method", long, &[page(501)]);
    table.add("a method without end", "M".repeat(10_000), &[end(501)]);
}

#[rustfmt::skip] // one case a line
fn targets(table: &mut Table<'_>) {
    table.each(BAD, &[
        ("asterisk-form with GET", b"GET * HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("asterisk-form with POST", b"POST * HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("asterisk and more", b"OPTIONS *x HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("asterisk and a query", b"OPTIONS *?q HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("authority-form with GET", b"GET x:80 HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("authority-form with OPTIONS", b"OPTIONS x:80 HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a relative path", b"GET a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a relative path with dots", b"GET ../a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a query alone", b"GET ?q HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a backslash first", b"GET \\a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a fragment", b"GET /a.txt#top HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("an empty fragment", b"GET /a.txt# HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a fragment after a query", b"GET /a.txt?q#top HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a fragment in absolute-form", b"GET http://x/a.txt#top HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a fragment with OPTIONS", b"OPTIONS /a.txt#top HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a fragment with a method that files lack", b"POST /a.txt#top HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a fragment alone", b"GET # HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a NUL in the path", b"GET /a\0.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a control in the path", b"GET /a\x01.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a DEL in the path", b"GET /a\x7f.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("an escape character in the query", b"GET /a.txt?\x1b HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a tab in the path", b"GET /a\t.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a CR in the path", b"GET /a\r.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("an LF in the path", b"GET /a\n.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a space in the query", b"GET /a.txt?a b HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("Latin-1 in the path", b"GET /caf\xe9 HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("half a character of UTF-8", b"GET /\xe5\xae HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a slash in overlong UTF-8", b"GET /..\xc0\xafa.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("absolute-form with a user", b"GET http://u@x/a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("absolute-form with user and password", b"GET http://u:p@x/a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("absolute-form with an empty user", b"GET http://@x/a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("absolute-form without a host", b"GET http:///a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("absolute-form with a port and no host", b"GET http://:80/a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("absolute-form and nothing after the slashes", b"GET http:// HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("absolute-form with one slash", b"GET http:/a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("absolute-form without slashes", b"GET http:a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("absolute-form with a bad port", b"GET http://x:8o/a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("absolute-form with a port beyond TCP's", b"GET http://x:65536/a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("absolute-form with an open bracket", b"GET http://[::1/a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("absolute-form of another scheme", b"GET ftp://x/a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("absolute-form of no scheme", b"GET ://x/a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a file's URI", b"GET file:///etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("absolute-form without Host", b"GET http://x/a.txt HTTP/1.1\r\n\r\n"),
        ("absolute-form with a bad Host", b"GET http://x/a.txt HTTP/1.1\r\nHost: x/y\r\n\r\n"),
        ("CONNECT without a port", b"CONNECT x HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("CONNECT with an empty port", b"CONNECT x: HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("CONNECT with a bad port", b"CONNECT x:99999 HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("CONNECT without a host", b"CONNECT :80 HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("CONNECT to a path", b"CONNECT /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("CONNECT in absolute-form", b"CONNECT http://x:80/ HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("CONNECT to nobody", b"CONNECT * HTTP/1.1\r\nHost: x\r\n\r\n"),
    ]);
    table.each(page(400), &[
        ("a percent sign at the end", b"GET /a% HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("half an escape", b"GET /a%2 HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("an escape that is none", b"GET /a%2g HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("an escaped NUL", b"GET /a%00 HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("above the root", b"GET /../a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
    ]);
    table.each(A, &[
        ("absolute-form", b"GET http://x/a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("absolute-form with a port", b"GET http://x:8080/a.txt HTTP/1.1\r\nHost: x:8080\r\n\r\n"),
        ("absolute-form with an empty port", b"GET http://x:/a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("absolute-form with another Host", b"GET http://x/a.txt HTTP/1.1\r\nHost: y:1\r\n\r\n"),
        ("absolute-form with an empty Host", b"GET http://x/a.txt HTTP/1.1\r\nHost:\r\n\r\n"),
        ("absolute-form, the scheme in capitals", b"GET HTTP://x/a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("absolute-form with an IPv6 address", b"GET http://[2001:db8::1]:80/a.txt?q HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a query with a URI in it", b"GET /a.txt?u=http://u@y/ HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a query with question marks", b"GET /a.txt??q=?&/ HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a query with raw UTF-8", b"GET /a.txt?\xe6\x96\x87 HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a query with a broken escape", b"GET /a.txt?%zz HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a query with braces, as browsers send it", b"GET /a.txt?{|}^[`] HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("an escaped unreserved letter", b"GET /%61.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("escapes in small letters", b"GET /%61%2etxt HTTP/1.1\r\nHost: x\r\n\r\n"),
    ]);
    table.add("absolute-form in 1.0", "GET http://x/a.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &[A_KEPT]);
    table.add("raw UTF-8 in the path", format!("GET /{REPORT} HTTP/1.1\r\nHost: x\r\n\r\n"), &[Want::Report]);
    table.add("raw UTF-8 in absolute-form", format!("GET http://x/{REPORT} HTTP/1.1\r\nHost: x\r\n\r\n"), &[Want::Report]);
    table.add("a fragment, escaped", "GET /a.txt%23top HTTP/1.1\r\nHost: x\r\n\r\n", &[page(404)]);
    table.add("an https URI", "GET https://x/a.txt HTTP/1.1\r\nHost: x\r\n\r\n", &[end(421)]);
    table.add("an https URI with a user", "GET https://u@x/a.txt HTTP/1.1\r\nHost: x\r\n\r\n", &[BAD]);
}

#[rustfmt::skip] // one case a line
fn versions(table: &mut Table<'_>) {
    table.each(BAD, &[
        ("HTTP in small letters", b"GET /a.txt http/1.1\r\nHost: x\r\n\r\n"),
        ("HTTP in mixed letters", b"GET /a.txt Http/1.1\r\nHost: x\r\n\r\n"),
        ("no minor version", b"GET /a.txt HTTP/1\r\nHost: x\r\n\r\n"),
        ("no digit after the dot", b"GET /a.txt HTTP/1.\r\nHost: x\r\n\r\n"),
        ("no digit before the dot", b"GET /a.txt HTTP/.1\r\nHost: x\r\n\r\n"),
        ("two digits after the dot", b"GET /a.txt HTTP/1.10\r\nHost: x\r\n\r\n"),
        ("two digits before the dot", b"GET /a.txt HTTP/11.1\r\nHost: x\r\n\r\n"),
        ("a zero before the version", b"GET /a.txt HTTP/01.1\r\nHost: x\r\n\r\n"),
        ("a third number", b"GET /a.txt HTTP/1.1.1\r\nHost: x\r\n\r\n"),
        ("a comma for the dot", b"GET /a.txt HTTP/1,1\r\nHost: x\r\n\r\n"),
        ("letters for digits", b"GET /a.txt HTTP/x.y\r\nHost: x\r\n\r\n"),
        ("a sign in the version", b"GET /a.txt HTTP/+1.1\r\nHost: x\r\n\r\n"),
        ("a space in the version", b"GET /a.txt HTTP/ 1.1\r\nHost: x\r\n\r\n"),
        ("no slash in the version", b"GET /a.txt HTTP1.1\r\nHost: x\r\n\r\n"),
        ("a backslash in the version", b"GET /a.txt HTTP\\1.1\r\nHost: x\r\n\r\n"),
        ("another protocol", b"GET /a.txt HTTPS/1.1\r\nHost: x\r\n\r\n"),
        ("yet another", b"GET /a.txt ICAP/1.0\r\nHost: x\r\n\r\n"),
        ("a superscript one", b"GET /a.txt HTTP/1.\xb9\r\nHost: x\r\n\r\n"),
        ("a later 1.x without Host", b"GET /a.txt HTTP/1.2\r\n\r\n"),
    ]);
    table.each(end(505), &[
        ("2.0", b"GET /a.txt HTTP/2.0\r\nHost: x\r\n\r\n"),
        ("0.9 by name", b"GET /a.txt HTTP/0.9\r\n\r\n"),
        ("3.0", b"GET /a.txt HTTP/3.0\r\nHost: x\r\n\r\n"),
        ("9.9", b"GET /a.txt HTTP/9.9\r\nHost: x\r\n\r\n"),
        ("2.1", b"GET /a.txt HTTP/2.1\r\nHost: x\r\n\r\n"),
        ("0.0", b"GET /a.txt HTTP/0.0\r\nHost: x\r\n\r\n"),
        ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ]);
    table.each(A, &[
        ("1.2 is answered as 1.1", b"GET /a.txt HTTP/1.2\r\nHost: x\r\n\r\n"),
        ("1.9 is answered as 1.1", b"GET /a.txt HTTP/1.9\r\nHost: x\r\n\r\n"),
    ]);
    table.add("1.2 and a chunked body", format!("GET /a.txt HTTP/1.2\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n{NEXT}"), &[A, NEXT_ANSWER]);
    table.add("1.2 that closes", "GET /a.txt HTTP/1.2\r\nHost: x\r\nConnection: close\r\n\r\n", &[A_CLOSE]);
    table.add("HEAD of another version", "HEAD /a.txt HTTP/2.0\r\nHost: x\r\n\r\n", &[Want::PageHead(505, "Connection: close\r\n")]);
}

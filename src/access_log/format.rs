//! What a line looks like: the Common Log Format, the same with referer and user agent
//! ("combined"), or an object of JSON. Nothing that a client sends can end a line, or
//! look like another field.

use super::text::{address, number, quoted, quoted_or_dash, string};
use crate::calendar::Calendar;
use crate::site::Now;
use httpdate::HttpDate;
use std::net::SocketAddrV4;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `10.0.0.2 - alice [21/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 1024`.
    Common,
    /// That and `"referer" "user agent"`.
    Combined,
    /// An object a line, with what the others lack: host, time taken, connection and
    /// number of the request on it.
    Json,
}

/// What a client asked for, as it was sent.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who asked.
    pub remote: SocketAddrV4,
    /// Which connection: a number that no other of this worker's has.
    pub connection: u64,
    /// Which request on it, from 1 on.
    pub number: u32,
    /// The request line without its CRLF, or the beginning of what was none.
    pub line: &'a [u8],
    /// The fields' values; empty if there were none.
    pub host: &'a [u8],
    /// See there.
    pub referer: &'a [u8],
    /// See there.
    pub agent: &'a [u8],
    /// Whom its credentials proved to be; empty if nobody was asked for.
    pub user: &'a [u8],
}

/// What became of it.
#[derive(Clone, Copy, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Bytes of the body that were handed over for sending.
    pub body_bytes: u64,
    /// From the head's end to the last byte's being handed over.
    pub taken: Now,
    /// It could not be completed.
    pub is_aborted: bool,
}

/// The time of day as the formats write it, made once a second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    common: String,
    iso: String,
}

impl Clock {
    /// The clock at `date`.
    pub fn new(date: HttpDate) -> Clock {
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let at = Calendar::of(date.into());
        let name = MONTHS[at.month as usize - 1];
        let Calendar {
            year,
            day,
            hour,
            minute,
            second,
            ..
        } = at;
        Clock {
            common: format!("{day:02}/{name}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000"),
            iso: at.to_string(),
        }
    }
}

impl Format {
    /// Appends a line.
    pub fn write(
        self,
        out: &mut Vec<u8>,
        clock: &Clock,
        request: &Request<'_>,
        response: &Response,
    ) {
        match self {
            Format::Common => common(out, clock, request, response),
            Format::Combined => {
                common(out, clock, request, response);
                for value in [request.referer, request.agent] {
                    out.extend_from_slice(b" \"");
                    quoted_or_dash(out, value);
                    out.push(b'"');
                }
            }
            Format::Json => json(out, clock, request, response),
        }
        out.push(b'\n');
    }
}

fn common(out: &mut Vec<u8>, clock: &Clock, request: &Request<'_>, response: &Response) {
    address(out, request.remote);
    out.extend_from_slice(b" - ");
    // A name with a space would be two fields.
    match request.user.contains(&b' ') {
        true => request
            .user
            .split(|&byte| byte == b' ')
            .for_each(|part| quoted(out, part)),
        false => quoted_or_dash(out, request.user),
    }
    out.extend_from_slice(b" [");
    out.extend_from_slice(clock.common.as_bytes());
    out.extend_from_slice(b"] \"");
    quoted_or_dash(out, request.line);
    out.extend_from_slice(b"\" ");
    number(out, response.status.into());
    out.push(b' ');
    match response.body_bytes {
        0 => out.push(b'-'),
        bytes => number(out, bytes),
    }
}

fn json(out: &mut Vec<u8>, clock: &Clock, request: &Request<'_>, response: &Response) {
    let (method, target, protocol) = words(request.line);
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(clock.iso.as_bytes());
    out.extend_from_slice(b"\",\"remote\":\"");
    address(out, request.remote);
    out.extend_from_slice(b"\",\"port\":");
    number(out, request.remote.port().into());
    for (name, value) in [
        ("user", request.user),
        ("host", request.host),
        ("method", method),
        ("target", target),
        ("protocol", protocol),
        ("referer", request.referer),
        ("agent", request.agent),
    ] {
        key(out, name);
        string(out, value);
    }
    for (name, value) in [
        ("status", response.status.into()),
        ("bytes", response.body_bytes),
        ("taken_us", response.taken.as_micros() as u64),
        ("connection", request.connection),
        ("request", request.number.into()),
    ] {
        key(out, name);
        number(out, value);
    }
    key(out, "aborted");
    out.extend_from_slice(if response.is_aborted {
        b"true"
    } else {
        b"false"
    });
    out.push(b'}');
}

/// Method, target and protocol of a request line; what is none is all method.
fn words(line: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let is_space = |&byte: &u8| byte == b' ';
    let (Some(first), Some(last)) = (
        line.iter().position(is_space),
        line.iter().rposition(is_space),
    ) else {
        return (line, b"", b"");
    };
    let target = line.get(first + 1..last).unwrap_or_default();
    (&line[..first], target, &line[last + 1..])
}

fn key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;
    use std::time::{Duration, UNIX_EPOCH};

    const REQUEST: Request<'static> = Request {
        remote: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 255), 50_001),
        connection: 12,
        number: 3,
        line: b"GET /a%20b?c=d HTTP/1.1",
        host: b"example.org",
        referer: b"http://example.org/",
        agent: b"curl/8.0",
        user: b"",
    };
    const RESPONSE: Response = Response {
        status: 200,
        body_bytes: 1_024,
        taken: Now::from_micros(1_250),
        is_aborted: false,
    };

    fn line(format: Format, request: &Request<'_>, response: &Response) -> String {
        let clock = Clock::new((UNIX_EPOCH + Duration::from_secs(1795257605)).into());
        let mut out = Vec::new();
        format.write(&mut out, &clock, request, response);
        String::from_utf8(out).expect("lines are UTF-8")
    }

    #[test]
    fn lines_of_each_format() {
        let nothing = Request {
            line: b"",
            host: b"",
            referer: b"",
            agent: b"",
            user: b"ann lee",
            ..REQUEST
        };
        let broken = Response {
            status: 400,
            body_bytes: 0,
            is_aborted: true,
            ..RESPONSE
        };
        for (format, request, response, want) in [
            (
                Format::Common,
                REQUEST,
                RESPONSE,
                "10.0.0.255 - - [21/Nov/2026:10:40:05 +0000] \"GET /a%20b?c=d HTTP/1.1\" 200 1024\n",
            ),
            (
                Format::Combined,
                REQUEST,
                RESPONSE,
                "10.0.0.255 - - [21/Nov/2026:10:40:05 +0000] \"GET /a%20b?c=d HTTP/1.1\" 200 1024 \
                 \"http://example.org/\" \"curl/8.0\"\n",
            ),
            (
                Format::Combined,
                nothing,
                broken,
                "10.0.0.255 - annlee [21/Nov/2026:10:40:05 +0000] \"-\" 400 - \"-\" \"-\"\n",
            ),
            (
                Format::Json,
                REQUEST,
                RESPONSE,
                "{\"time\":\"2026-11-21T10:40:05Z\",\"remote\":\"10.0.0.255\",\"port\":50001,\"user\":\"\",\
                 \"host\":\"example.org\",\"method\":\"GET\",\"target\":\"/a%20b?c=d\",\"protocol\":\"HTTP/1.1\",\
                 \"referer\":\"http://example.org/\",\"agent\":\"curl/8.0\",\"status\":200,\"bytes\":1024,\
                 \"taken_us\":1250,\"connection\":12,\"request\":3,\"aborted\":false}\n",
            ),
        ] {
            assert_eq!(line(format, &request, &response), want);
        }
    }

    #[test]
    fn what_clients_send_is_escaped() {
        for (sent, quoted, json) in [
            (&b"a\"b\\c"[..], r#"a\x22b\x5Cc"#, r#"a\"b\\c"#),
            (
                b"a\nb\r\0\x1b[31m",
                r"a\x0Ab\x0D\x00\x1B[31m",
                r"a\u000Ab\u000D\u0000\u001B[31m",
            ),
            ("\u{80}".as_bytes(), r"\xC2\x80", r"\u0080"),
            ("é\u{7f}".as_bytes(), r"\xC3\xA9\x7F", r"é\u007F"),
            (b"\xffx\xc3", r"\xFFx\xC3", "\u{fffd}x\u{fffd}"),
        ] {
            let request = Request {
                agent: sent,
                ..REQUEST
            };
            let text = line(Format::Combined, &request, &RESPONSE);
            assert!(text.ends_with(&format!(" \"{quoted}\"\n")), "{text}");
            let text = line(Format::Json, &request, &RESPONSE);
            assert!(text.contains(&format!("\"agent\":\"{json}\",")), "{text}");
        }
    }

    #[test]
    fn words_of_lines_that_are_none() {
        for (line, method, target, protocol) in [
            (
                &b"GET / HTTP/1.1"[..],
                &b"GET"[..],
                &b"/"[..],
                &b"HTTP/1.1"[..],
            ),
            (b"GET /a b HTTP/1.1", b"GET", b"/a b", b"HTTP/1.1"),
            (b"GET /", b"GET", b"", b"/"),
            (b"\x16\x03\x01", b"\x16\x03\x01", b"", b""),
            (b" ", b"", b"", b""),
            (b"", b"", b"", b""),
        ] {
            assert_eq!(words(line), (method, target, protocol));
        }
    }

    proptest! {
        #[test]
        fn one_line_each_of_printable_characters(
            sent in prop::collection::vec(any::<u8>(), 0..60),
            user in prop::collection::vec(any::<u8>(), 0..10),
            bytes in any::<u64>(),
        ) {
            let request = Request { line: &sent, referer: &sent, host: &sent, user: &user, ..REQUEST };
            let response = Response { body_bytes: bytes, ..RESPONSE };
            for format in [Format::Common, Format::Combined, Format::Json] {
                let text = line(format, &request, &response);
                prop_assert!(!text.trim_end_matches('\n').contains(char::is_control));
                prop_assert_eq!(text.matches('\n').count(), 1);
            }
            let text = line(Format::Combined, &request, &response);
            prop_assert_eq!(text.matches('"').count(), 6);
            prop_assert_eq!(text.split('"').next().map(|head| head.split(' ').count()), Some(6));
        }
    }
}

//! `uri-host [ ":" port ]`: what a `Host` field and an absolute target name (RFC 9110 section 7.2, RFC 3986
//! section 3.2). The names of users are no part of it (RFC 9110 section 4.2.4).

use std::net::Ipv6Addr;

use super::bytes::alphanumeric_and;

/// A valid authority: what of it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Authority {
    /// Whether the host is not empty.
    pub has_host: bool,
    /// Whether the port is not empty.
    pub has_port: bool,
}

impl Authority {
    /// Judges `bytes`; an empty host is a valid one by the grammar.
    pub fn parse(bytes: &[u8]) -> Option<Authority> {
        let host_len = match bytes {
            [b'[', rest @ ..] => {
                let len = rest.iter().position(|&byte| byte == b']')?;
                is_ip_literal(&rest[..len]).then_some(len + 2)?
            }
            _ => reg_name_len(bytes)?,
        };
        let port = match &bytes[host_len..] {
            [] => &[],
            [b':', port @ ..] => port,
            _ => return None,
        };
        is_port(port).then_some(Authority {
            has_host: host_len > 0,
            has_port: !port.is_empty(),
        })
    }
}

/// What stands in brackets: `IPv6address` or `IPvFuture`. Zones have no meaning but on the client's machine.
fn is_ip_literal(bytes: &[u8]) -> bool {
    match bytes {
        [b'v' | b'V', future @ ..] => is_ip_future(future),
        _ => str::from_utf8(bytes).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok()),
    }
}

/// `1*HEXDIG "." 1*( unreserved / sub-delims / ":" )`.
fn is_ip_future(bytes: &[u8]) -> bool {
    let Some(dot) = bytes.iter().position(|&byte| byte == b'.') else {
        return false;
    };
    let (version, address) = (&bytes[..dot], &bytes[dot + 1..]);
    let in_address = |&byte: &u8| byte == b':' || (byte != b'%' && IN_REG_NAME[usize::from(byte)]);
    !version.is_empty()
        && version.iter().all(u8::is_ascii_hexdigit)
        && !address.is_empty()
        && address.iter().all(in_address)
}

/// The length of `*( unreserved / pct-encoded / sub-delims )` at the beginning, which IPv4 addresses are too.
fn reg_name_len(bytes: &[u8]) -> Option<usize> {
    let mut len = 0;
    let mut escapes = false;
    while let Some(&byte) = bytes
        .get(len)
        .filter(|&&byte| IN_REG_NAME[usize::from(byte)])
    {
        escapes |= byte == b'%';
        len += 1;
    }
    (!escapes || has_whole_escapes(&bytes[..len])).then_some(len)
}

fn has_whole_escapes(bytes: &[u8]) -> bool {
    let mut parts = bytes.split(|&byte| byte == b'%');
    let before = parts.next();
    before.is_some()
        && parts.all(|part| {
            matches!(part, [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
        })
}

/// `*DIGIT`, and a number that TCP has.
fn is_port(bytes: &[u8]) -> bool {
    let mut port = 0_u32;
    for byte in bytes {
        if !byte.is_ascii_digit() {
            return false;
        }
        port = (port * 10 + u32::from(byte - b'0')).min(1 << 16);
    }
    port < 1 << 16
}

/// With the percent sign of escapes.
const IN_REG_NAME: [bool; 256] = alphanumeric_and(b"-._~!$&'()*+,;=%");

#[cfg(test)]
mod tests {
    use super::Authority;

    #[test]
    fn hosts_and_ports_by_the_grammar() {
        let valid = [
            "x",
            "x:",
            "x:80",
            "x:0",
            "x:65535",
            "x:000080",
            "127.0.0.1",
            "127.0.0.1:8080",
            "999.1.1.1",
            "a-b.c_d~e",
            "%41%zz".split_at(3).0,
            "x%2fy",
            "!$&'()*+,;=",
            "[::1]",
            "[::1]:",
            "[::1]:80",
            "[2001:db8::192.0.2.1]",
            "[v1.a:b]",
            "[VF.~]:1",
        ];
        for text in valid {
            let authority = Authority::parse(text.as_bytes());
            assert!(authority.is_some_and(|found| found.has_host), "{text}");
            let has_port = text.ends_with(|last: char| last.is_ascii_digit())
                && text
                    .rsplit_once(':')
                    .is_some_and(|(_, port)| !port.contains(']'));
            assert_eq!(
                authority.map(|found| found.has_port),
                Some(has_port),
                "{text}"
            );
        }
        for text in ["", ":", ":80"] {
            let authority = Authority::parse(text.as_bytes());
            assert!(authority.is_some_and(|found| !found.has_host), "{text}");
        }
    }

    #[test]
    fn what_is_no_authority() {
        let invalid = [
            "x y",
            "x/y",
            "x?y",
            "x#y",
            "u@x",
            "u:p@x",
            "@",
            "x:80:80",
            "x:8o",
            "x:-1",
            "x:+1",
            "x: 80",
            "x:65536",
            "x:4294967376",
            "x:99999999999999999999",
            "::1",
            "2001:db8::1",
            "[",
            "]",
            "[]",
            "[::1",
            "::1]",
            "[::1]x",
            "[::1]80",
            "[[::1]]",
            "[::g]",
            "[1]",
            "[127.0.0.1]",
            "[fe80::1%25eth0]",
            "[fe80::1%eth0]",
            "[::1]:8x",
            "[v.a]",
            "[v1.]",
            "[v1a]",
            "[vg.a]",
            "[v1.a%41]",
            "x%",
            "x%4",
            "x%4g",
            "%%41",
            "x\\y",
            "x\"",
            "x<y>",
            "x|y",
            "x^y",
            "x`y",
            "x{y}",
            "x\t",
            "caf\u{e9}",
            "x\0",
            "x\x7f",
            "a,b c",
        ];
        for text in invalid {
            assert_eq!(Authority::parse(text.as_bytes()), None, "{text:?}");
        }
    }
}

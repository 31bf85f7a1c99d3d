//! Bytes of a line: numbers, and what clients send, escaped so that it ends no field.

use std::net::SocketAddrV4;

/// Four numbers with dots between.
pub(super) fn address(out: &mut Vec<u8>, address: SocketAddrV4) {
    for (index, octet) in address.ip().octets().into_iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        number(out, octet.into());
    }
}

/// Decimal, without the cost of formatting.
pub(super) fn number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// What stands for nothing is a dash.
pub(super) fn quoted_or_dash(out: &mut Vec<u8>, bytes: &[u8]) {
    match bytes {
        [] => out.push(b'-'),
        _ => quoted(out, bytes),
    }
}

/// As nginx and Apache do it: what is not printable ASCII, a quote or a backslash
/// becomes `\xHH`.
pub(super) fn quoted(out: &mut Vec<u8>, bytes: &[u8]) {
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| !is_plain(byte)) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(&[b'\\', b'x', hex(rest[at] >> 4), hex(rest[at])]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// RFC 8259 section 7, and no control characters of Unicode either; bytes that are no
/// UTF-8 become U+FFFD.
pub(super) fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' | '\\' => out.extend_from_slice(&[b'\\', character as u8]),
                '\0'..='\x1f' | '\x7f'..='\u{9f}' => {
                    let byte = character as u8;
                    out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte)]);
                }
                _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

fn hex(digit: u8) -> u8 {
    b"0123456789ABCDEF"[usize::from(digit & 15)]
}

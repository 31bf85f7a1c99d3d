//! From the path of a request target to a name beneath the root.
//!
//! 1. The path splits at `/` (RFC 3986 section 3.3), before anything is decoded.
//! 2. Each component is percent-decoded exactly once; names are bytes, so UTF-8 works raw and encoded alike.
//! 3. Empty and `.` components vanish, `..` takes the component before it away (section 5.2.4).
//! 4. What is left must not name a dotfile, unless they are served.

use std::mem;

/// Why a path names nothing that could be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A bad percent escape, a NUL, no leading slash, or `..` above the root: answered with 400, as nginx does.
    ///
    /// RFC 3986 would clamp `..` at the root, but nobody sends such a path in good faith.
    Malformed,
    /// A well-formed path that no file of a site can have: answered with 404.
    NoSuchName,
}

/// The one first component with a leading dot that is public by its purpose (RFC 8615).
const WELL_KNOWN: &[u8] = b".well-known";

/// Whether names with a component that begins with a dot are served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Dotfiles {
    /// They are not, but for `.well-known` at the root.
    #[default]
    Hidden,
    /// As any other.
    Served,
}

/// Writes to `out` the name, relative to the root, that `path` (absolute, without its query) stands for.
///
/// The name has neither empty nor dot components and no leading slash. It ends with a slash, or is empty, exactly
/// when the path asks for a directory. `out` is cleared first; on an error its contents mean nothing.
///
/// # Errors
/// [`Refusal`]; nothing that escapes the root is ever returned as a name.
pub fn resolve(path: &[u8], out: &mut Vec<u8>, dotfiles: Dotfiles) -> Result<(), Refusal> {
    out.clear();
    let relative = path.strip_prefix(b"/").ok_or(Refusal::Malformed)?;
    if is_plain(relative) {
        out.extend_from_slice(relative);
        return Ok(());
    }
    let mut directory = true;
    for component in relative.split(|&byte| byte == b'/') {
        let start = out.len();
        decode(component, out)?;
        directory = match &out[start..] {
            b"" | b"." => {
                out.truncate(start);
                true
            }
            b".." => {
                out.truncate(start);
                pop_component(out)?;
                true
            }
            _ => {
                out.push(b'/');
                false
            }
        };
    }
    if !directory {
        out.pop();
    }
    match dotfiles {
        Dotfiles::Hidden => refuse_dotfiles(out),
        Dotfiles::Served => Ok(()),
    }
}

/// Whether `relative` is its own name, as most are: nothing to decode, no component that vanishes but an empty last one,
/// and none that begins with a dot.
fn is_plain(relative: &[u8]) -> bool {
    let mut before = b'/';
    relative.iter().all(|&byte| {
        let begins = mem::replace(&mut before, byte) == b'/';
        let is_special = matches!(byte, b'%' | 0) || (begins && matches!(byte, b'/' | b'.'));
        !is_special
    })
}

/// Appends `component` with its escapes decoded.
fn decode(component: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
    let mut bytes = component.iter().copied();
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' {
            hex(bytes.next())? << 4 | hex(bytes.next())?
        } else {
            byte
        };
        match byte {
            0 => return Err(Refusal::Malformed),
            // `%2F` is data, not a separator (RFC 3986 section 2.2), and no file name can hold it.
            b'/' => return Err(Refusal::NoSuchName),
            _ => out.push(byte),
        }
    }
    Ok(())
}

fn hex(digit: Option<u8>) -> Result<u8, Refusal> {
    match digit {
        Some(digit @ b'0'..=b'9') => Ok(digit - b'0'),
        Some(digit @ b'a'..=b'f') => Ok(digit - b'a' + 10),
        Some(digit @ b'A'..=b'F') => Ok(digit - b'A' + 10),
        _ => Err(Refusal::Malformed),
    }
}

/// Removes the last component of `out`, which is empty or ends with a slash.
fn pop_component(out: &mut Vec<u8>) -> Result<(), Refusal> {
    out.pop().ok_or(Refusal::Malformed)?;
    let start = out
        .iter()
        .rposition(|&byte| byte == b'/')
        .map_or(0, |slash| slash + 1);
    out.truncate(start);
    Ok(())
}

fn refuse_dotfiles(name: &[u8]) -> Result<(), Refusal> {
    for (index, component) in name.split(|&byte| byte == b'/').enumerate() {
        if component.starts_with(b".") && !(index == 0 && component == WELL_KNOWN) {
            return Err(Refusal::NoSuchName);
        }
    }
    Ok(())
}

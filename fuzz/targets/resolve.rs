//! Any path: the name is what a reading with a stack of components says, and can
//! neither leave the root nor name a dotfile. Written again as a path, it is the same
//! name.

use std::path::Path;
use xdphttpd::site::resolve::{Dotfiles, Refusal, resolve};

pub fn run(_site: &Path, path: &[u8]) {
    let mut name = b"left over".to_vec();
    let got = resolve(path, &mut name, Dotfiles::Hidden).map(|()| name.as_slice());
    let want = named(path);
    assert_eq!(got, want.as_deref().map_err(|&refusal| refusal));
    let Ok(name) = want else { return };
    assert!(name.len() <= path.len() && !name.contains(&0));
    let mut components: Vec<&[u8]> = name.split(|&byte| byte == b'/').collect();
    if components.last().is_some_and(|last| last.is_empty()) {
        components.pop();
    }
    for (at, component) in components.into_iter().enumerate() {
        assert!(!component.is_empty());
        assert!(!component.starts_with(b".") || (at == 0 && component == b".well-known"));
    }
    let again = escaped(&name);
    let mut second = Vec::new();
    assert_eq!(resolve(&again, &mut second, Dotfiles::Hidden), Ok(()));
    assert_eq!(second, name);
}

/// The same by the book: split, decode, walk.
fn named(path: &[u8]) -> Result<Vec<u8>, Refusal> {
    let Some((b'/', relative)) = path.split_first() else {
        return Err(Refusal::Malformed);
    };
    let mut stack: Vec<Vec<u8>> = Vec::new();
    let mut is_directory = true;
    for raw in relative.split(|&byte| byte == b'/') {
        let component = decoded(raw)?;
        is_directory = matches!(&component[..], b"" | b"." | b"..");
        match &component[..] {
            b"" | b"." => {}
            b".." => drop(stack.pop().ok_or(Refusal::Malformed)?),
            _ => stack.push(component),
        }
    }
    let is_hidden = |(at, component): (usize, &Vec<u8>)| {
        component.starts_with(b".") && (at > 0 || component != b".well-known")
    };
    if stack.iter().enumerate().any(is_hidden) {
        return Err(Refusal::NoSuchName);
    }
    let mut name = stack.join(&b'/');
    if is_directory && !name.is_empty() {
        name.push(b'/');
    }
    Ok(name)
}

/// One component, whose first offence is what counts.
fn decoded(raw: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut component = Vec::new();
    let mut at = 0;
    while at < raw.len() {
        let mut byte = raw[at];
        at += 1;
        if byte == b'%' {
            let digits = raw.get(at..at + 2).ok_or(Refusal::Malformed)?;
            let digits = std::str::from_utf8(digits).map_err(|_| Refusal::Malformed)?;
            if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(Refusal::Malformed);
            }
            byte = u8::from_str_radix(digits, 16).map_err(|_| Refusal::Malformed)?;
            at += 2;
        }
        match byte {
            0 => return Err(Refusal::Malformed),
            b'/' => return Err(Refusal::NoSuchName),
            _ => component.push(byte),
        }
    }
    Ok(component)
}

/// A path that stands for `name`, with as many escapes as there can be.
fn escaped(name: &[u8]) -> Vec<u8> {
    let mut path = b"/".to_vec();
    for &byte in name {
        match byte {
            b'/' => path.push(byte),
            _ => path.extend(format!("%{byte:02x}").bytes()),
        }
    }
    path
}

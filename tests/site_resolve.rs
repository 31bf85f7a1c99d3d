//! Paths to names.

use proptest::prelude::*;
use xdphttpd::site::resolve::{Dotfiles, Refusal, resolve};

fn name(path: &[u8]) -> Result<String, Refusal> {
    let mut out = b"left over".to_vec();
    resolve(path, &mut out, Dotfiles::Hidden).map(|()| String::from_utf8_lossy(&out).into_owned())
}

#[test]
fn names_what_the_path_says() {
    let table: &[(&str, &str)] = &[
        ("/", ""),
        ("/a", "a"),
        ("/a/", "a/"),
        ("/a/b.html", "a/b.html"),
        ("//a///b//", "a/b/"),
        ("/./a/./b", "a/b"),
        ("/a/.", "a/"),
        ("/a/b/..", "a/"),
        ("/a/b/../c", "a/c"),
        ("/a/../b/../", ""),
        ("/a//../b", "b"),
        ("/a%20b", "a b"),
        ("/%61/%62", "a/b"),
        ("/a/%2e%2E/b", "b"),
        ("/a/%2e/b", "a/b"),
        ("/%2561", "%61"),
        ("/a+b", "a+b"),
        ("/a%3Fb", "a?b"),
        ("/a\\b", "a\\b"),
        ("/你好.html", "你好.html"),
        ("/%E4%BD%A0%e5%a5%bd.html", "你好.html"),
        ("/.well-known/security.txt", ".well-known/security.txt"),
        ("/.well-known", ".well-known"),
        ("/.git/../a", "a"),
    ];
    for (path, expected) in table {
        assert_eq!(name(path.as_bytes()).as_deref(), Ok(*expected), "{path}");
    }
}

#[test]
fn names_are_bytes() {
    let mut out = Vec::new();
    resolve(b"/caf%E9", &mut out, Dotfiles::Hidden).unwrap();
    assert_eq!(out, b"caf\xE9");
}

#[test]
fn refuses_malformed_paths() {
    let table: &[&[u8]] = &[
        b"",
        b"a",
        b"*",
        b"/%",
        b"/%4",
        b"/%zz",
        b"/%g1",
        b"/a%2",
        b"/%00",
        b"/a%00.html",
        b"/a\0b",
        b"/..",
        b"/../a",
        b"/a/../..",
        b"/a/../../a",
        b"/%2e%2e/",
        b"/.%2e/etc/passwd",
        b"/./../a",
        b"//../a",
        b"/a/%2E%2E/%2E%2E/b",
    ];
    for path in table {
        assert_eq!(
            name(path),
            Err(Refusal::Malformed),
            "{}",
            String::from_utf8_lossy(path)
        );
    }
}

#[test]
fn refuses_names_that_no_file_has_or_may_show() {
    let table: &[&str] = &[
        "/a%2Fb",
        "/..%2f..%2fetc%2fpasswd",
        "/%2f",
        "/.htaccess",
        "/a/.git/config",
        "/%2egit/config",
        "/.well-known/.x",
        "/a/.well-known/x",
        "/...",
        "/..\\..\\etc\\passwd",
        "/.well-knownx",
        "/a/..b",
    ];
    for path in table {
        assert_eq!(name(path.as_bytes()), Err(Refusal::NoSuchName), "{path}");
    }
}

#[test]
fn dotfiles_are_names_as_any_other_where_they_are_served() {
    let served = |path: &[u8]| {
        let mut out = Vec::new();
        resolve(path, &mut out, Dotfiles::Served)
            .map(|()| String::from_utf8_lossy(&out).into_owned())
    };
    for (path, want) in [
        ("/.htaccess", Ok(".htaccess")),
        ("/a/%2egit/config", Ok("a/.git/config")),
        ("/...", Ok("...")),
        ("/a/..b/", Ok("a/..b/")),
        ("/.", Ok("")),
        ("/a/..", Ok("")),
        ("/%2e%2e/a", Err(Refusal::Malformed)),
        ("/..%2fa", Err(Refusal::NoSuchName)),
    ] {
        let want = want.map(str::to_owned);
        assert_eq!(served(path.as_bytes()), want, "{path}");
    }
}

/// Pieces that traversal attempts are made of.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::sample::select(vec![
            "/", "..", ".", "%2e", "%2F", "%5c", "a", "%00", "\\", "%252e", "~"
        ])
        .prop_map(|piece| piece.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ]
}

proptest! {
    #[test]
    fn no_name_leads_out_of_the_root(pieces in prop::collection::vec(piece(), 0..24)) {
        let path = [b"/".to_vec(), pieces.concat()].concat();
        let mut out = Vec::new();
        if resolve(&path, &mut out, Dotfiles::Hidden).is_ok() {
            prop_assert!(!out.starts_with(b"/"));
            prop_assert!(!out.contains(&0));
            let name = out.strip_suffix(b"/").unwrap_or(&out);
            for (index, component) in name.split(|&byte| byte == b'/').enumerate() {
                prop_assert!(name.is_empty() || !component.is_empty());
                prop_assert!(!component.starts_with(b".") || (index == 0 && component == b".well-known"));
            }
        }
    }
}

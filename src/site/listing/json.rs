//! A listing for programs.

use super::{Item, href};
use crate::calendar::Calendar;
use std::fmt::Write;

/// An array of objects; names that are no UTF-8 have U+FFFD in them, and `href` leads to
/// the file all the same.
pub(super) fn render(items: &[Item]) -> String {
    let mut out = String::from("[");
    for (index, item) in items.iter().enumerate() {
        out.push_str(if index == 0 { "\n" } else { ",\n" });
        let kind = if item.is_directory {
            "directory"
        } else {
            "file"
        };
        let _ = write!(out, "{{\"name\":\"{}\",", escaped(&item.name));
        let _ = write!(out, "\"href\":\"{}\",\"type\":\"{kind}\",", href(item));
        if !item.is_directory {
            let _ = write!(out, "\"size\":{},", item.size_bytes);
        }
        let _ = write!(out, "\"modified\":\"{}\"}}", Calendar::of(item.modified));
    }
    out.push_str("\n]\n");
    out
}

/// RFC 8259 section 7.
fn escaped(name: &[u8]) -> String {
    let mut out = String::new();
    for character in String::from_utf8_lossy(name).chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\0'..='\x1f' | '\x7f' => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::item;
    use super::*;

    #[test]
    fn json_has_every_item() {
        let items = [item(b"d/", 0, 86_400), item(b"a\"\\\n\xff", 7, 951_782_400)];
        assert_eq!(
            render(&items),
            "[\n{\"name\":\"d\",\"href\":\"./d/\",\"type\":\"directory\",\"modified\":\"1970-01-02T00:00:00Z\"},\n\
             {\"name\":\"a\\\"\\\\\\u000a\u{fffd}\",\"href\":\"./a%22%5C%0A%FF\",\"type\":\"file\",\"size\":7,\
             \"modified\":\"2000-02-29T00:00:00Z\"}\n]\n"
        );
        assert_eq!(render(&[]), "[\n]\n");
    }
}

//! A listing for people.

use super::{Item, Order, View, href};
use crate::calendar::Calendar;
use std::fmt::Write;

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8883;--quiet:#777}\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.25rem;font-weight:600;overflow-wrap:anywhere}\
h1 a,th a{color:inherit}\
table{width:100%;border-collapse:collapse}\
th{font-weight:500;text-align:left;color:var(--quiet);white-space:nowrap}\
th a{text-decoration:none}th a:hover{text-decoration:underline}\
td,th{padding:.3rem .5rem;border-bottom:1px solid var(--line)}\
td:first-child{overflow-wrap:anywhere}\
td:nth-child(n+2),th:nth-child(n+2){text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}\
td:nth-child(n+2){color:var(--quiet)}\
td a{text-decoration:none}td a:hover{text-decoration:underline}\
tr.d a{font-weight:600}\
p{color:var(--quiet)}\
@media(max-width:32rem){td:nth-child(3),th:nth-child(3){display:none}}";

pub(super) fn render(name: &[u8], items: &[Item], is_cut: bool, view: View) -> String {
    let title = escaped(name);
    let mut out = String::with_capacity(2_048 + items.len() * 160);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>/{title}</title>\n<style>{STYLE}</style>\n<h1>{}</h1>\n<table>\n<thead><tr>",
        crumbs(name),
    );
    for (order, word, text) in [
        (Order::Name, "name", "Name"),
        (Order::Size, "size", "Size"),
        (Order::Time, "time", "Changed (UTC)"),
    ] {
        let (mark, sorted, descending) = match (view.order == order, view.is_descending) {
            (false, _) => ("", "none", ""),
            (true, false) => (" ▴", "ascending", "&amp;desc"),
            (true, true) => (" ▾", "descending", ""),
        };
        let _ = write!(
            out,
            "<th scope=\"col\" aria-sort=\"{sorted}\"><a href=\"?sort={word}{descending}\">{text}{mark}</a></th>"
        );
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    if !name.is_empty() {
        out.push_str("<tr class=\"d\"><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
    }
    items.iter().for_each(|item| row(&mut out, item));
    out.push_str("</tbody>\n</table>\n");
    let _ = write!(out, "<p>{}</p>\n</html>\n", summary(items, is_cut));
    out
}

fn row(out: &mut String, item: &Item) {
    let name = escaped(&item.name);
    let time = minutes(item);
    let _ = match item.is_directory {
        true => writeln!(
            out,
            "<tr class=\"d\"><td><a href=\"{0}\">{name}/</a></td><td></td><td>{time}</td></tr>",
            href(item)
        ),
        false => writeln!(
            out,
            "<tr><td><a href=\"{0}\">{name}</a></td><td title=\"{2} bytes\">{1}</td><td>{time}</td></tr>",
            href(item),
            size(item.size_bytes),
            item.size_bytes
        ),
    };
}

/// The way from the root, each part of it a link.
fn crumbs(name: &[u8]) -> String {
    let parts: Vec<&[u8]> = name
        .split(|&byte| byte == b'/')
        .filter(|part| !part.is_empty())
        .collect();
    let up = |levels: usize| match levels {
        0 => "./".to_owned(),
        _ => "../".repeat(levels),
    };
    let mut out = format!("<a href=\"{}\">/</a>", up(parts.len()));
    for (index, part) in parts.iter().enumerate() {
        let _ = write!(
            out,
            "<a href=\"{}\">{}</a>/",
            up(parts.len() - 1 - index),
            escaped(part)
        );
    }
    out
}

fn summary(items: &[Item], is_cut: bool) -> String {
    let directories = items.iter().filter(|item| item.is_directory).count();
    let files = items.len() - directories;
    let bytes: u64 = items
        .iter()
        .filter(|item| !item.is_directory)
        .map(|item| item.size_bytes)
        .sum();
    let counted = |count, one, many| format!("{count} {}", if count == 1 { one } else { many });
    let mut out = format!(
        "{}, {}, {}",
        counted(directories, "directory", "directories"),
        counted(files, "file", "files"),
        size(bytes)
    );
    if is_cut {
        out.push_str("; there are more, which are not shown");
    }
    out
}

/// Text, in an element or an attribute; what is no UTF-8 becomes U+FFFD.
fn escaped(name: &[u8]) -> String {
    let mut out = String::with_capacity(name.len());
    for character in String::from_utf8_lossy(name).chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Line ends and marks that turn the direction of writing would show another name.
            '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            _ => out.push(character),
        }
    }
    out
}

/// `1.5 MiB`: three digits at most, of powers of 1024.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let mut amount = bytes as f64 / 1_024.0;
    let mut unit = 0;
    while amount >= 999.5 && unit + 1 < UNITS.len() {
        amount /= 1_024.0;
        unit += 1;
    }
    let places = usize::from(amount < 9.95);
    format!("{amount:.places$} {}", UNITS[unit])
}

/// `2026-11-21 22:50`: to the minute, for people.
fn minutes(item: &Item) -> String {
    let at = Calendar::of(item.modified);
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}",
        at.year, at.month, at.day, at.hour, at.minute
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::item;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_escaped_for_where_they_stand() {
        let items = [
            item(b"<b>&\"'.html", 1_536, 0),
            item("实验 报告?.md".as_bytes(), 0, 0),
            item(b"javascript:alert(1)", 1, 0),
            item(b"\xff\n", 1, 0),
            item(b"sub#/", 0, 0),
        ];
        let page = render(b"a & b/c/", &items, true, View::default());
        for part in [
            "<title>/a &amp; b/c/</title>",
            "<h1><a href=\"../../\">/</a><a href=\"../\">a &amp; b</a>/<a href=\"./\">c</a>/</h1>",
            "<a href=\"../\">../</a>",
            "<a href=\"./%3Cb%3E%26%22%27.html\">&lt;b&gt;&amp;&quot;&#39;.html</a></td><td title=\"1536 bytes\">1.5 KiB</td>",
            "<a href=\"./%E5%AE%9E%E9%AA%8C%20%E6%8A%A5%E5%91%8A%3F.md\">实验 报告?.md</a>",
            "<a href=\"./javascript%3Aalert%281%29\">javascript:alert(1)</a>",
            "<a href=\"./%FF%0A\">\u{fffd}\u{fffd}</a>",
            "<tr class=\"d\"><td><a href=\"./sub%23/\">sub#/</a></td><td></td><td>1970-01-01 00:00</td></tr>",
            "<a href=\"?sort=name&amp;desc\">Name ▴</a>",
            "<a href=\"?sort=size\">Size</a>",
            "<p>1 directory, 4 files, 1.5 KiB; there are more, which are not shown</p>",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
        assert!(!render(b"", &[], false, View::default()).contains("../"));
    }

    #[test]
    fn sizes_have_three_digits_at_most() {
        for (bytes, want) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (10_240, "10 KiB"),
            (1_023_487, "999 KiB"),
            (1_023_488, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(size(bytes), want, "{bytes}");
        }
    }

    proptest! {
        #[test]
        fn no_name_gets_out_of_its_place(name in prop::collection::vec(1..=255u8, 1..20)) {
            let is_name = !name.contains(&b'/');
            prop_assume!(is_name);
            let items = [item(&name, 1, 0)];
            let page = render(b"", &items, false, View::default());
            let plain = render(b"", &[item(b"x", 1, 0)], false, View::default());
            for mark in ['<', '>', '"', '\n'] {
                prop_assert_eq!(page.matches(mark).count(), plain.matches(mark).count());
            }
        }
    }
}

//! What a directory without an index looks like, when listing is allowed: a page that
//! works without scripts, or JSON.
//!
//! Made by the loader, not on the packet path: a directory may be large.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Entries of one directory that are shown at most.
pub const MAX_ITEMS: usize = 10_000;

/// What stays as it is in a reference to a name (RFC 3986 section 2.3).
const NAME_ESCAPES: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its name: bytes, as the file system has it.
    pub name: Vec<u8>,
    /// It is a directory; anything else that is shown is a regular file.
    pub is_directory: bool,
    /// Length, bytes; of no meaning for a directory.
    pub size_bytes: u64,
    /// When it was last changed.
    pub modified: SystemTime,
}

/// By what items are ordered; directories come first all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// By name, as bytes without regard to ASCII case.
    #[default]
    Name,
    /// By length.
    Size,
    /// By the time of the last change.
    Time,
}

/// How a listing is to be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// By what.
    pub order: Order,
    /// The other way round.
    pub is_descending: bool,
    /// JSON instead of a page.
    pub is_json: bool,
}

/// What parts a name from the view behind it; no name has it.
const BEFORE_VIEW: u8 = 0;
const ORDERS: [Order; 3] = [Order::Name, Order::Size, Order::Time];

impl View {
    /// Appends it to the name of a directory, unless it is the usual one: each view of a directory is an entry of its
    /// own.
    pub fn append_to(self, name: &mut Vec<u8>) {
        if self != View::default() {
            let order = ORDERS.iter().position(|&order| order == self.order);
            let flags = u8::from(self.is_descending) | u8::from(self.is_json) << 1;
            name.extend([BEFORE_VIEW, (order.unwrap_or_default() as u8) << 2 | flags]);
        }
    }

    /// A name, and the view behind it.
    pub fn of_key(key: &[u8]) -> (&[u8], View) {
        let Some((name, &[BEFORE_VIEW, view])) = key.split_last_chunk() else {
            return (key, View::default());
        };
        let view = View {
            order: ORDERS
                .get(usize::from(view >> 2))
                .copied()
                .unwrap_or_default(),
            is_descending: view & 1 != 0,
            is_json: view & 2 != 0,
        };
        (name, view)
    }

    /// The media type of what it makes.
    pub fn media_type(self) -> &'static str {
        match self.is_json {
            true => "application/json",
            false => "text/html; charset=utf-8",
        }
    }

    /// What a query asks for: `json`, `sort=name|size|time`, `desc`, joined by `&`.
    /// What it does not know it ignores.
    pub fn of_query(query: &[u8]) -> View {
        let mut view = View::default();
        for word in query.split(|&byte| byte == b'&') {
            match word {
                b"json" => view.is_json = true,
                b"desc" => view.is_descending = true,
                b"sort=name" => view.order = Order::Name,
                b"sort=size" => view.order = Order::Size,
                b"sort=time" => view.order = Order::Time,
                _ => {}
            }
        }
        view
    }

    /// Puts `items` in order.
    pub fn sort(self, items: &mut [Item]) {
        items.sort_by(|a, b| {
            let by_name = || folded(a).cmp(folded(b)).then_with(|| a.name.cmp(&b.name));
            let order = match self.order {
                Order::Name => by_name(),
                Order::Size if a.is_directory => by_name(),
                Order::Size => a.size_bytes.cmp(&b.size_bytes).then_with(by_name),
                Order::Time => a.modified.cmp(&b.modified).then_with(by_name),
            };
            let order = if self.is_descending {
                order.reverse()
            } else {
                order
            };
            b.is_directory.cmp(&a.is_directory).then(order)
        });
    }
}

fn folded(item: &Item) -> impl Iterator<Item = u8> + '_ {
    item.name.iter().map(u8::to_ascii_lowercase)
}

/// The listing of the directory `name` (relative to the root, with its final slash, empty
/// for the root itself), its items in order. `is_cut` says that there are more.
pub fn render(name: &[u8], items: &[Item], is_cut: bool, view: View) -> String {
    match view.is_json {
        true => json(items),
        false => html(name, items, is_cut, view),
    }
}

// --- JSON --------------------------------------------------------------------

/// An array of objects; names that are no UTF-8 have U+FFFD in them, and `href` leads to
/// the file all the same.
fn json(items: &[Item]) -> String {
    let mut out = String::from("[");
    for (index, item) in items.iter().enumerate() {
        out.push_str(if index == 0 { "\n" } else { ",\n" });
        let kind = if item.is_directory {
            "directory"
        } else {
            "file"
        };
        let _ = write!(out, "{{\"name\":\"{}\",", json_escaped(&item.name));
        let _ = write!(out, "\"href\":\"{}\",\"type\":\"{kind}\",", href(item));
        if !item.is_directory {
            let _ = write!(out, "\"size\":{},", item.size_bytes);
        }
        let _ = write!(out, "\"modified\":\"{}\"}}", iso(item.modified));
    }
    out.push_str("\n]\n");
    out
}

/// RFC 8259 section 7.
fn json_escaped(name: &[u8]) -> String {
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

// --- the page ----------------------------------------------------------------

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

fn html(name: &[u8], items: &[Item], is_cut: bool, view: View) -> String {
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
    let time = minutes(item.modified);
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

/// A relative reference. `./` keeps a name with a colon from being a scheme (RFC 3986
/// section 4.2).
fn href(item: &Item) -> String {
    let slash = if item.is_directory { "/" } else { "" };
    format!("./{}{slash}", percent_encode(&item.name, NAME_ESCAPES))
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

/// `2026-11-21T22:50:07Z`; times before 1970 are its beginning.
fn iso(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The same to the minute, for people.
fn minutes(time: SystemTime) -> String {
    iso(time).get(..16).unwrap_or_default().replace('T', " ")
}

/// Year, month and day of the proleptic Gregorian calendar, counted from 1970-01-01: in
/// years that begin in March the leap day comes last.
fn date(days: u64) -> (u64, u64, u64) {
    const ERA_DAYS: u64 = 146_097;
    let days = days + 719_468;
    let (era, day) = (days / ERA_DAYS, days % ERA_DAYS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn item(name: &[u8], size_bytes: u64, modified_s: u64) -> Item {
        Item {
            name: name.strip_suffix(b"/").unwrap_or(name).to_vec(),
            is_directory: name.ends_with(b"/"),
            size_bytes,
            modified: UNIX_EPOCH + Duration::from_secs(modified_s),
        }
    }

    fn names(view: View) -> Vec<String> {
        let mut items = [
            item(b"b", 5, 30),
            item(b"z/", 9, 10),
            item(b"A", 5, 20),
            item(b"c", 1, 20),
            item(b"y/", 3, 40),
            item(b"a", 7, 1),
        ];
        view.sort(&mut items);
        let name = |item: &Item| String::from_utf8_lossy(&item.name).into_owned();
        items.iter().map(name).collect()
    }

    #[test]
    fn a_query_decides_about_the_order() {
        for (query, want) in [
            ("", ["y", "z", "A", "a", "b", "c"]),
            ("sort=name&desc", ["z", "y", "c", "b", "a", "A"]),
            ("sort=size", ["y", "z", "c", "A", "b", "a"]),
            ("desc&sort=size&x", ["z", "y", "a", "b", "A", "c"]),
            ("sort=time", ["z", "y", "a", "A", "c", "b"]),
            ("sort=color", ["y", "z", "A", "a", "b", "c"]),
        ] {
            assert_eq!(names(View::of_query(query.as_bytes())), want, "{query}");
        }
        assert!(View::of_query(b"json").is_json && !View::of_query(b"json=1").is_json);
    }

    #[test]
    fn a_view_goes_behind_a_name_and_comes_back() {
        for query in [
            "",
            "json",
            "desc",
            "sort=size",
            "sort=time&desc&json",
            "sort=size&json",
        ] {
            let view = View::of_query(query.as_bytes());
            let mut key = b"a/".to_vec();
            view.append_to(&mut key);
            assert_eq!(key == b"a/", query.is_empty());
            assert_eq!(View::of_key(&key), (&b"a/"[..], view), "{query}");
        }
        for name in ["", "a", "a/"] {
            assert_eq!(
                View::of_key(name.as_bytes()),
                (name.as_bytes(), View::default())
            );
        }
    }

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
    fn json_has_every_item() {
        let items = [item(b"d/", 0, 86_400), item(b"a\"\\\n\xff", 7, 951_782_400)];
        let view = View::of_query(b"json");
        assert_eq!(
            render(b"", &items, false, view),
            "[\n{\"name\":\"d\",\"href\":\"./d/\",\"type\":\"directory\",\"modified\":\"1970-01-02T00:00:00Z\"},\n\
             {\"name\":\"a\\\"\\\\\\u000a\u{fffd}\",\"href\":\"./a%22%5C%0A%FF\",\"type\":\"file\",\"size\":7,\
             \"modified\":\"2000-02-29T00:00:00Z\"}\n]\n"
        );
        assert_eq!(render(b"", &[], false, view), "[\n]\n");
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
        fn dates_are_those_of_the_http_dates(seconds in 0..253_402_300_800u64) {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            let ours = iso(time);
            let theirs = httpdate::fmt_http_date(time);
            prop_assert_eq!(&ours[..4], &theirs[12..16]);
            prop_assert_eq!(&ours[8..10], &theirs[5..7]);
            prop_assert_eq!(&ours[11..19], &theirs[17..25]);
        }

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

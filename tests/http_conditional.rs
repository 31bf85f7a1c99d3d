//! Conditional requests (RFC 9110 section 13).

mod http_support;
mod represent;

use std::fs::File;
use std::time::{Duration, SystemTime};

use http_support::*;
use proptest::prelude::*;
use represent::*;
use xdphttpd::http::conditional::{Comparison, matches_any};

const BEFORE: &str = "Sun, 09 Sep 2001 01:46:39 GMT";
const SAME: &str = LAST_MODIFIED;
const AFTER: &str = "Sun, 09 Sep 2001 01:46:41 GMT";

fn fixture() -> Fixture {
    Fixture::new(&[
        ("a.txt", b"alphabet\n"),
        ("dir/index.html", b"<h1>dir</h1>"),
    ])
}

/// What a condition comes to.
#[derive(Clone, Copy)]
enum Comes {
    Ok,
    NotModified,
    Failed,
    /// The first three bytes.
    Part,
}
use Comes::{Failed, NotModified, Ok, Part};

/// Fields, with `{}` for the current entity tag, and what a GET with them comes to.
#[rustfmt::skip] // one case a line
fn table() -> Vec<(String, Comes)> {
    let fixed = [
        // If-None-Match: weak comparison.
        ("If-None-Match: {}\r\n", NotModified),
        ("If-None-Match: W/{}\r\n", NotModified),
        ("if-none-match:{}\r\n", NotModified),
        ("IF-NONE-MATCH:\t{} \t\r\n", NotModified),
        ("If-None-Match: *\r\n", NotModified),
        ("If-None-Match:  * \r\n", NotModified),
        ("If-None-Match: \"other\"\r\n", Ok),
        ("If-None-Match: \"\"\r\n", Ok),
        ("If-None-Match: \"other\", {}\r\n", NotModified),
        ("If-None-Match: {}, \"other\"\r\n", NotModified),
        ("If-None-Match: \"other\",{},W/\"third\"\r\n", NotModified),
        ("If-None-Match: W/\"other\" , W/{}\r\n", NotModified),
        ("If-None-Match: ,, {} ,\r\n", NotModified),
        ("If-None-Match: \"a,b\", {}\r\n", NotModified),
        ("If-None-Match: \"a,{\", {}\r\n", NotModified),
        ("If-None-Match: \"other\"\r\nIf-None-Match: {}\r\n", NotModified),
        ("If-None-Match: {}\r\nIf-None-Match: \"other\"\r\n", NotModified),
        ("If-None-Match: \"other\"\r\nX: y\r\nIf-None-Match: \"third\"\r\n", Ok),
        // Malformed lists match nothing.
        ("If-None-Match:\r\n", Ok),
        ("If-None-Match: ,\r\n", Ok),
        ("If-None-Match: other\r\n", Ok),
        ("If-None-Match: {\r\n", Ok),
        ("If-None-Match: {} other\r\n", Ok),
        ("If-None-Match: {}{}\r\n", Ok),
        ("If-None-Match: {}, other\r\n", Ok),
        ("If-None-Match: {}, \"other\r\n", Ok),
        ("If-None-Match: other, {}\r\n", Ok),
        ("If-None-Match: w/{}\r\n", Ok),
        ("If-None-Match: W/ {}\r\n", Ok),
        ("If-None-Match: *, {}\r\n", Ok),
        ("If-None-Match: {}, *\r\n", Ok),
        ("If-None-Match: \"*\"\r\n", Ok),
        ("If-None-Match: \"a b\", {}\r\n", Ok),
        // If-Match: strong comparison.
        ("If-Match: {}\r\n", Ok),
        ("If-Match: *\r\n", Ok),
        ("If-Match: \"other\", {}\r\n", Ok),
        ("If-Match: \"other\"\r\nIf-Match: {}\r\n", Ok),
        ("If-Match: W/{}\r\n", Failed),
        ("If-Match: \"other\"\r\n", Failed),
        ("If-Match: \"other\", \"third\"\r\n", Failed),
        ("If-Match:\r\n", Failed),
        ("If-Match: other\r\n", Failed),
        ("If-Match: {}, other\r\n", Failed),
        // Dates that are none, are none of these fields' formats, or are two, do not count.
        ("If-Modified-Since:\r\n", Ok),
        ("If-Modified-Since: yesterday\r\n", Ok),
        ("If-Modified-Since: 1000000000\r\n", Ok),
        ("If-Modified-Since: Mon, 09 Sep 2001 01:46:40 GMT\r\n", Ok),
        ("If-Modified-Since: Sun, 31 Feb 2100 01:46:40 GMT\r\n", Ok),
        ("If-Modified-Since: Sun, 09 Sep 2001 25:46:40 GMT\r\n", Ok),
        ("If-Modified-Since: 2001-09-09T01:46:40Z\r\n", Ok),
        ("If-Modified-Since: {}\r\n", Ok),
        ("If-Modified-Since: \u{fc}\r\n", Ok),
        ("If-Unmodified-Since: yesterday\r\n", Ok),
        ("If-Unmodified-Since: \r\n", Ok),
        // The other two formats (RFC 9110 section 5.6.7).
        ("If-Modified-Since: Sunday, 09-Sep-01 01:46:40 GMT\r\n", NotModified),
        ("If-Modified-Since: Sunday, 09-Sep-01 01:46:39 GMT\r\n", Ok),
        ("If-Modified-Since: Sun Sep  9 01:46:40 2001\r\n", NotModified),
        ("If-Modified-Since: Sun Sep  9 01:46:39 2001\r\n", Ok),
        ("If-Unmodified-Since: Sunday, 09-Sep-01 01:46:39 GMT\r\n", Failed),
        ("If-Unmodified-Since: Sun Sep  9 01:46:39 2001\r\n", Failed),
        ("If-Unmodified-Since: Sun Sep  9 01:46:40 2001\r\n", Ok),
        // If-Range does nothing alone.
        ("If-Range: {}\r\n", Ok),
        ("If-Range: {}\r\nRange: bytes=0-2\r\n", Part),
        ("If-Range:{} \r\nRange: bytes=0-2\r\n", Part),
        ("Range: bytes=0-2\r\nIf-Range: {}\r\n", Part),
        ("If-Range: W/{}\r\nRange: bytes=0-2\r\n", Ok),
        ("If-Range: \"other\"\r\nRange: bytes=0-2\r\n", Ok),
        ("If-Range: \"other\"\r\nRange: bytes=100-\r\n", Ok),
        ("If-Range: {}, {}\r\nRange: bytes=0-2\r\n", Ok),
        ("If-Range: *\r\nRange: bytes=0-2\r\n", Ok),
        ("If-Range:\r\nRange: bytes=0-2\r\n", Ok),
        ("If-Range: {}\r\nIf-Range: {}\r\nRange: bytes=0-2\r\n", Ok),
        // What comes first decides (section 13.2.2).
        ("If-Match: {}\r\nIf-None-Match: {}\r\n", NotModified),
        ("If-None-Match: {}\r\nIf-Match: \"other\"\r\n", Failed),
        ("If-Match: \"other\"\r\nRange: bytes=0-2\r\n", Failed),
        ("If-Match: {}\r\nRange: bytes=0-2\r\n", Part),
        ("If-None-Match: {}\r\nRange: bytes=0-2\r\n", NotModified),
        ("If-None-Match: {}\r\nRange: bytes=100-\r\n", NotModified),
        ("If-None-Match: \"other\"\r\nRange: bytes=0-2\r\n", Part),
        ("If-None-Match: {}\r\nIf-Range: {}\r\nRange: bytes=0-2\r\n", NotModified),
    ];
    let dates = [
        (format!("If-Modified-Since: {BEFORE}\r\n"), Ok),
        (format!("If-Modified-Since: {SAME}\r\n"), NotModified),
        (format!("If-Modified-Since: {AFTER}\r\n"), NotModified),
        ("If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT\r\n".to_owned(), NotModified),
        (format!("If-Modified-Since: {SAME}\r\nIf-Modified-Since: {SAME}\r\n"), Ok),
        (format!("If-Modified-Since: {SAME}, {SAME}\r\n"), Ok),
        (format!("If-Unmodified-Since: {BEFORE}\r\n"), Failed),
        (format!("If-Unmodified-Since: {SAME}\r\n"), Ok),
        (format!("If-Unmodified-Since: {AFTER}\r\n"), Ok),
        (format!("If-None-Match: \"other\"\r\nIf-Modified-Since: {SAME}\r\n"), Ok),
        (format!("If-Modified-Since: {SAME}\r\nIf-None-Match: other\r\n"), Ok),
        (format!("If-None-Match: {{}}\r\nIf-Modified-Since: {BEFORE}\r\n"), NotModified),
        (format!("If-Match: {{}}\r\nIf-Unmodified-Since: {BEFORE}\r\n"), Ok),
        (format!("If-Match: \"other\"\r\nIf-Unmodified-Since: {AFTER}\r\n"), Failed),
        (format!("If-Match: {{}}\r\nIf-Modified-Since: {SAME}\r\n"), NotModified),
        (format!("If-Unmodified-Since: {SAME}\r\nIf-Modified-Since: {SAME}\r\n"), NotModified),
        (format!("If-Unmodified-Since: {BEFORE}\r\nIf-None-Match: {{}}\r\n"), Failed),
        (format!("If-Modified-Since: {SAME}\r\nRange: bytes=0-2\r\n"), NotModified),
        (format!("If-Range: {SAME}\r\nRange: bytes=0-2\r\n"), Part),
        ("If-Range: Sun Sep  9 01:46:40 2001\r\nRange: bytes=0-2\r\n".to_owned(), Part),
        (format!("If-Range: {BEFORE}\r\nRange: bytes=0-2\r\n"), Ok),
        (format!("If-Range: {AFTER}\r\nRange: bytes=0-2\r\n"), Ok),
        ("If-Range: yesterday\r\nRange: bytes=0-2\r\n".to_owned(), Ok),
    ];
    let fixed = fixed.map(|(fields, comes)| (fields.to_owned(), comes));
    fixed.into_iter().chain(dates).collect()
}

#[test]
fn conditions_come_to_what_they_say() {
    let fixture = fixture();
    let file = Sent::plain(&fixture, "a.txt", TEXT);
    let mut cases = Vec::new();
    for (fields, comes) in table() {
        let fields = fields.replace("{}", &file.etag());
        for method in ["GET", "HEAD"] {
            let whole = match comes {
                NotModified => file.not_modified(),
                Failed => file.failed(),
                Part if method == "GET" => file.part(0, 2),
                Part | Ok => file.ok(),
            };
            cases.push(Case {
                what: "condition".to_owned(),
                request: request(method, "/a.txt", &fields),
                response: match method {
                    "GET" => whole,
                    _ => head_of(&whole),
                },
            });
        }
    }
    check(&fixture, &cases);
}

/// Conditions do not count where the answer would not be 200 without them (RFC 9110 section 13.2.1).
#[test]
fn conditions_do_not_matter_to_other_answers() {
    let fixture = fixture();
    let text = "What you asked for is at another address.";
    let location = "Location: /dir/\r\n";
    let moved = error(301, "Moved Permanently", text, location, "");
    let malformed = bad_request_then("");
    let mut cases = Vec::new();
    for fields in [
        "If-Match: *\r\n",
        "If-Match: \"a\"\r\n",
        "If-None-Match: *\r\n",
        "If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT\r\n",
        "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n",
        "Range: bytes=0-2\r\n",
        "Range: bytes=9999-\r\n",
    ] {
        let not_found = not_found("");
        for (target, response) in [("/nope", &not_found), ("/dir", &moved), ("/%", &malformed)] {
            cases.push(Case {
                what: "no file".to_owned(),
                request: request("GET", target, fields),
                response: response.clone().into(),
            });
        }
    }
    check(&fixture, &cases);
}

#[test]
fn a_connection_goes_on_after_each_answer() {
    let fixture = fixture();
    let file = Sent::plain(&fixture, "a.txt", TEXT);
    let tag = file.etag();
    let requests = [
        request("GET", "/a.txt", &format!("If-None-Match: {tag}\r\n")),
        request("GET", "/a.txt", "If-Match: \"other\"\r\n"),
        request("HEAD", "/a.txt", "If-Match: \"other\"\r\n"),
        request("GET", "/a.txt", "Range: bytes=9-\r\n"),
        request("GET", "/a.txt", "Range: bytes=8-\r\n"),
        request("GET", "/a.txt", ""),
    ];
    let expected = [
        file.not_modified(),
        file.failed(),
        head_of(&file.failed()),
        file.unsatisfiable(),
        file.part(8, 8),
        file.ok(),
    ];
    let mut client = fixture.client();
    client.feed(requests.concat().as_bytes());
    assert_same(&client.sent, &expected.concat(), "one after another");
    assert_eq!(client.counters.responses_2xx, 2);
    assert_eq!(client.counters.responses_3xx, 1);
    assert_eq!(client.counters.responses_4xx, 3);
}

#[test]
fn a_date_of_this_second_is_not_strong_enough_for_a_range() {
    let fixture = fixture();
    let path = fixture.path().join("a.txt");
    let now = SystemTime::now();
    // However long this takes, the file is from the future, and so never older than a second when it is read.
    let modified = now + Duration::from_secs(3600);
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(modified).unwrap();
    let mut client = fixture.client();
    let whole = client.exchange(request("GET", "/a.txt", "").as_bytes());
    let whole = String::from_utf8(whole).unwrap();
    let field = |name: &str| {
        let mut lines = whole.lines();
        let line = lines.find_map(|line| line.strip_prefix(name));
        line.unwrap().to_owned()
    };
    let by_date = format!(
        "If-Range: {}\r\nRange: bytes=0-2\r\n",
        field("Last-Modified: ")
    );
    let sent = client.exchange(request("GET", "/a.txt", &by_date).as_bytes());
    assert_same(&sent, whole.as_bytes(), "by date");
    let by_tag = format!("If-Range: {}\r\nRange: bytes=0-2\r\n", field("ETag: "));
    let sent = client.exchange(request("GET", "/a.txt", &by_tag).as_bytes());
    assert!(sent.starts_with(b"HTTP/1.1 206 ") && sent.ends_with(b"\r\n\r\nalp"));
}

#[test]
fn what_is_kept_while_a_file_is_looked_up_is_counted() {
    let fixture = fixture();
    let mut client = fixture.client();
    let tags = "\"a\"".repeat(500);
    client.input(request("GET", "/a.txt", &format!("If-None-Match: {tags}\r\n")).as_bytes());
    assert!(client.conn.in_response());
    assert_eq!(client.conn.held_bytes(), 1500);
    client.pump();
    assert_eq!(client.conn.held_bytes(), 0);
}

#[test]
fn entity_tags_compare_as_the_table_of_the_rfc_says() {
    // RFC 9110 section 8.8.3.2; the second one is always the server's and so never weak.
    let table = [
        ("W/\"1\"", "\"1\"", false, true),
        ("W/\"2\"", "\"1\"", false, false),
        ("\"1\"", "\"1\"", true, true),
        ("\"2\"", "\"1\"", false, false),
    ];
    for (theirs, ours, strong, weak) in table {
        let matches = |comparison| matches_any(theirs.as_bytes(), ours, comparison);
        assert_eq!(matches(Comparison::Strong), strong, "{theirs}");
        assert_eq!(matches(Comparison::Weak), weak, "{theirs}");
    }
}

proptest! {
    /// Against the rules read one by one, however the list is written; and nothing once a part is malformed.
    #[test]
    fn a_list_matches_if_one_of_its_tags_does(
        tags in prop::collection::vec((any::<bool>(), "[a-c,/W\\*\u{e9}]{0,2}"), 0..6),
        comma in "[ \t]{0,2},[ \t]{0,2}(,[ \t]?)?",
        garbage in prop::option::of("[a-z\\*]|\"|W/|\"a b\"|\"a\"\"a\""),
        ours in "[a-c]{0,2}",
    ) {
        let written = tags.iter().map(|(weak, tag)| match weak {
            true => format!("W/\"{tag}\""),
            false => format!("\"{tag}\""),
        });
        let well_formed: Vec<_> = written.collect();
        let list = well_formed.iter().cloned().chain(garbage.clone()).collect::<Vec<_>>().join(&comma);
        let ours = format!("\"{ours}\"");
        let all = list.trim_ascii() == "*";
        let equal = |(_, tag): &&(bool, String)| format!("\"{tag}\"") == ours;
        let weak = garbage.is_none() && tags.iter().any(|tag| equal(&tag));
        let strong = garbage.is_none() && tags.iter().any(|tag| !tag.0 && equal(&tag));
        let matches = |comparison| matches_any(list.as_bytes(), &ours, comparison);
        prop_assert_eq!(matches(Comparison::Weak), all || weak, "{}", list);
        prop_assert_eq!(matches(Comparison::Strong), all || strong, "{}", list);
    }

    /// Whatever is wished of a file, the answer is the same at once and after a look-up, in one piece and in many.
    #[test]
    fn wishes_outlast_a_look_up(
        fields in prop::collection::vec(
            (prop::sample::select(vec![
                "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "Range",
                "Accept-Encoding",
            ]),
            prop::sample::select(vec![
                "*", "\"other\"", "{}", "W/{}", SAME, BEFORE, AFTER, "bytes=0-2", "bytes=99-", "bytes=1-1,3-3", "gzip", "",
            ])),
            0..5),
        method in prop::sample::select(vec!["GET", "HEAD"]),
    ) {
        let fixture = fixture();
        fixture.write("a.txt.gz", b"by gzip");
        let tag = Sent::plain(&fixture, "a.txt", TEXT).etag();
        let lines: Vec<_> = fields
            .iter()
            .map(|(name, value)| format!("{name}: {}\r\n", value.replace("{}", &tag)))
            .collect();
        let request = request(method, "/a.txt", &lines.concat());
        let mut client = fixture.client();
        let cold = client.exchange(request.as_bytes());
        let warm = client.exchange(request.as_bytes());
        assert_same(&warm, &cold, &request);
        client.reconnect();
        for byte in request.as_bytes().chunks(1) {
            client.feed(byte);
        }
        assert_same(&client.sent, &cold, &request);
        prop_assert!(client.conn.is_idle());
        let status = str::from_utf8(&cold[9..12]).unwrap();
        prop_assert!(["200", "206", "304", "412", "416"].contains(&status), "{}", status);
        prop_assert!(method == "GET" || head_of(&cold).len() == cold.len());
    }
}

//! The media type that a name's extension tells.

/// Extensions for which the table of the library is behind the registrations: RFC 9239 has one type for every
/// JavaScript, RFC 8081 types for fonts; a `.ts` on a web site is a piece of HLS video (RFC 8216), a `.map` JSON.
const BETTER_KNOWN: [(&str, &str); 5] = [
    ("map", "application/json"),
    ("mjs", "text/javascript"),
    ("otf", "font/otf"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("ts", "video/mp2t"),
];

/// The media type of the file that `name` stands for; a directory's is that of its `index.html`.
///
/// Text is said to be UTF-8. JSON is UTF-8 and nothing else, so that its type has no such parameter (RFC 8259
/// section 11), and XML outside of `text/` says itself what it is.
pub(super) fn of(name: &[u8]) -> String {
    let base = name.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let extension = match base.iter().rposition(|&byte| byte == b'.') {
        Some(dot) => str::from_utf8(&base[dot + 1..]).unwrap_or_default(),
        None if base.is_empty() => "html",
        None => "",
    };
    let better = BETTER_KNOWN
        .iter()
        .find(|(other, _)| other.eq_ignore_ascii_case(extension));
    let media_type = match better {
        Some((_, media_type)) => media_type,
        None => mime_guess::from_ext(extension)
            .first_raw()
            .unwrap_or("application/octet-stream"),
    };
    if media_type.starts_with("text/") {
        format!("{media_type}; charset=utf-8")
    } else {
        media_type.to_owned()
    }
}

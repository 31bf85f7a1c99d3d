//! TCP options, also malformed ones.

use crate::conform::script::*;

/// RFC 9293 §3.7.1: what a peer takes that has not said otherwise.
const DEFAULT_MSS: usize = 536;

pub fn scripts() -> Vec<Script> {
    [sizes(), lists(), malformed()].concat()
}

fn sizes() -> Vec<Script> {
    let big = big();
    let with_mss = |name, options: &[u8], largest| {
        script(name, "RFC 9293 §3.7.1, MUST-14 to MUST-16")
            .open_with(seg("S").options(options))
            .send(seg("PA").data(BIG_REQUEST))
            .read_segments(c(1 + BIG_REQ), &big, largest)
    };
    vec![
        with_mss("no MSS option: 536 bytes a segment", &[], DEFAULT_MSS),
        with_mss("MSS 1460", &[2, 4, 0x05, 0xb4], 1_460),
        with_mss("MSS 300", &[2, 4, 0x01, 0x2c], 300),
        with_mss(
            "MSS 65535: no more than the link carries",
            &[2, 4, 0xff, 0xff],
            1_460,
        ),
        // Nothing says what 0 means: the default for all we know.
        with_mss("MSS 0", &[2, 4, 0, 0], DEFAULT_MSS),
        // Neither Linux nor we send single bytes for the asking.
        script("MSS 1", "RFC 9293 §3.7.1")
            .open_with(seg("S").options(&[2, 4, 0, 1]))
            .alive(1),
        script("window scale 14", "RFC 7323 §2.3")
            .open_with(seg("S").options(&[3, 3, 14]))
            .alive(1),
        script("window scale 15 counts as 14", "RFC 7323 §2.3")
            .open_with(seg("S").options(&[3, 3, 15]))
            .alive(1),
        script("window scale 255 counts as 14", "RFC 7323 §2.3")
            .open_with(seg("S").options(&[3, 3, 255]))
            .alive(1),
    ]
}

fn lists() -> Vec<Script> {
    let open = |name, options: &[u8]| {
        script(name, "RFC 9293 §3.1, §3.2")
            .open_with(seg("S").options(options))
            .alive(1)
    };
    let unknown = [253, 4, 0xbe, 0xef];
    vec![
        open(
            "options in an odd order",
            &[4, 2, 1, 3, 3, 7, 1, 1, 2, 4, 5, 180],
        ),
        open(
            "unknown options",
            &[253, 4, 1, 2, 200, 2, 2, 4, 5, 180, 99, 3, 0],
        ),
        open("padding only: end of list", &[0; 40]),
        open("padding only: no-operation", &[1; 40]),
        open(
            "garbage after the end of the list",
            &[0, 2, 255, 255, 3, 0, 8, 99],
        ),
        open(
            "no-operations between everything",
            &[1, 1, 2, 4, 5, 180, 1, 1, 1, 4, 2, 1, 1, 0],
        ),
        open("MSS twice", &[2, 4, 5, 180, 2, 4, 2, 24]),
        open(
            "MD5 signature asked for",
            &[19, 18, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5],
        ),
        open("Fast Open cookie asked for", &[34, 2, 1, 1]),
        script("unknown options on data", "RFC 9293 §3.2, MUST-6")
            .open()
            .send(seg("PA").more_options(&unknown).data(REQUEST))
            .read(c(1 + REQ), ONE),
        script(
            "options of a SYN on data",
            "RFC 9293 §3.2: MSS, window scale, SACK permitted",
        )
        .open()
        .send(
            seg("PA")
                .more_options(&[2, 4, 0, 9, 3, 3, 14, 4, 2, 1, 1, 1])
                .data(REQUEST),
        )
        .read(c(1 + REQ), ONE),
        script("SACK blocks that nobody asked for", "RFC 2018 §4")
            .open()
            .send(
                seg("PA")
                    .more_options(&[1, 1, 5, 10, 0, 0, 0, 9, 255, 0, 0, 9])
                    .data(REQUEST),
            )
            .read(c(1 + REQ), ONE),
    ]
    .into_iter()
    .map(|script| match script.name {
        "MD5 signature asked for" => script.not_linux("drops what it has no key for"),
        _ => script,
    })
    .collect()
}

fn malformed() -> Vec<Script> {
    let cases: [(&str, &[u8]); 9] = [
        ("option length 0", &[2, 0, 5, 180]),
        ("option length 1", &[2, 1, 5, 180]),
        ("option length beyond the header", &[2, 9, 5, 180]),
        ("option length 255", &[253, 255, 1, 1]),
        ("option without length at the end", &[1, 1, 1, 2]),
        ("MSS of three bytes", &[2, 3, 5, 1]),
        ("window scale of four bytes", &[3, 4, 7, 7]),
        ("timestamps of four bytes", &[8, 4, 7, 7]),
        ("SACK block of three bytes", &[5, 3, 7, 1]),
    ];
    let mut scripts = Vec::new();
    for (name, options) in cases {
        // RFC 9293 §3.1, MUST-7: "must be prepared to handle an illegal option
        // length": dropping and ignoring are both sane; others are served on.
        scripts.push(
            script(name, "RFC 9293 §3.1, MUST-7, in a SYN")
                .send(seg("S").options(options))
                .maybe(&[syn_ack()])
                .other_port()
                .open()
                .alive(1),
        );
        scripts.push(
            script(name, "RFC 9293 §3.1, MUST-7, in data")
                .open()
                .send(seg("PA").options(options).data(&REQUEST[..5]))
                .maybe(&[ack(c(1)), ack(c(6))])
                .alive(1),
        );
    }
    scripts
}

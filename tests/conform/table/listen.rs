//! Segments of no connection to a listening port.

use crate::conform::script::*;

/// Numbers that belong to nothing.
const STRAY_SEQ: Num = Num::Raw(70_000);
const STRAY_ACK: Num = Num::Raw(0xdead_beef);

pub fn scripts() -> Vec<Script> {
    let strays = |flags| seg(flags).seq(STRAY_SEQ).ack(STRAY_ACK).options(&[]);
    let mut scripts: Vec<Script> = [
        ("stray ACK", strays("A")),
        ("stray FIN, ACK", strays("FA")),
        ("stray SYN, ACK", strays("SA")),
        ("stray data", strays("PA").data(REQUEST)),
        ("stray urgent data", strays("PAU").data(b"GET").urgent(3)),
        ("stray SYN, FIN, ACK", strays("SFA")),
    ]
    .into_iter()
    .map(|(name, segment)| {
        script(name, "RFC 9293 §3.10.7.2, second: ACK")
            .send(segment)
            .answer(rst(STRAY_ACK))
            .silence()
    })
    .collect();
    scripts.extend(
        [
            ("stray RST", "RFC 9293 §3.10.7.2, first: RST", strays("R")),
            (
                "stray RST, ACK",
                "RFC 9293 §3.10.7.2, first: RST",
                strays("RA"),
            ),
            (
                "SYN and RST",
                "RFC 9293 §3.10.7.2, first: RST",
                strays("SR"),
            ),
            (
                "everything set",
                "RFC 9293 §3.10.7.2, first: RST",
                strays("FSRPAUEC"),
            ),
            ("FIN alone", "RFC 9293 §3.10.7.2, fourth", strays("F")),
            ("nothing set", "RFC 9293 §3.10.7.2, fourth", strays("")),
            (
                "data without ACK",
                "RFC 9293 §3.10.7.2, fourth",
                strays("P").data(REQUEST),
            ),
            (
                "FIN, PSH, URG: a Christmas tree",
                "RFC 9293 §3.10.7.2, fourth",
                strays("FPU").urgent(1),
            ),
            // RFC 9293 would allow a handshake. Nobody opens a connection so
            // but to get past filters: Linux drops it, and so do we.
            ("SYN and FIN", "RFC 9293 §3.10.7.2, third", seg("SF")),
            (
                "SYN, FIN and data",
                "RFC 9293 §3.10.7.2, third",
                seg("SF").data(REQUEST),
            ),
        ]
        .map(|(name, rfc, segment)| script(name, rfc).send(segment).silence()),
    );
    scripts
}

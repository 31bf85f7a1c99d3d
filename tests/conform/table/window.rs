//! The client's receive window.

use crate::conform::script::*;

const SCALE_7: &[u8] = &[2, 4, 5, 180, 3, 3, 7];

pub fn scripts() -> Vec<Script> {
    let big = big();
    vec![
        script("a closed window holds the response", "RFC 9293 §3.8.6.1")
            .open()
            .send(seg("PA").window(0).data(REQUEST))
            .answer(ack(c(1 + REQ)))
            .silence()
            .send(seg("A").seq(c(1 + REQ)))
            .read(c(1 + REQ), ONE)
            .alive(1 + REQ),
        script("a window of 10 bytes", "RFC 9293 §3.8.6.2.1")
            .open_with_window(10)
            .send(seg("PA").window(10).data(REQUEST))
            .data_at_most(10)
            .send(seg("A").seq(c(1 + REQ)))
            .read(c(1 + REQ), ONE),
        script(
            "a window of 1000 bytes, opened wide later",
            "RFC 9293 §3.8.6",
        )
        .open_with_window(1_000)
        .send(seg("PA").window(1_000).data(BIG_REQUEST))
        .data_at_most(1_000)
        .send(seg("A").seq(c(1 + BIG_REQ)))
        .read(c(1 + BIG_REQ), &big)
        .alive(1 + BIG_REQ),
        script(
            "a window that shrinks before the response",
            "RFC 9293 §3.8.6, MUST-34",
        )
        .open()
        .send(seg("PA").window(1_000).data(BIG_REQUEST))
        .data_at_most(1_000)
        .send(seg("A").seq(c(1 + BIG_REQ)))
        .read(c(1 + BIG_REQ), &big)
        .not_linux("takes a smaller window only with a newer number"),
        script("a window that closes within a response", "RFC 9293 §3.8.6")
            .open_with_window(3_000)
            .send(seg("PA").window(3_000).data(BIG_REQUEST))
            .data_at_most(3_000)
            .send(seg("A").seq(c(1 + BIG_REQ)).window(0))
            .data_at_most(0)
            .send(seg("A").seq(c(1 + BIG_REQ)))
            .read(c(1 + BIG_REQ), &big),
        script("a scaled window: 2 means 256 bytes", "RFC 7323 §2.2")
            .send(seg("S").options(SCALE_7).window(256))
            .answer(syn_ack())
            .send(seg("A").window(2))
            .send(seg("PA").window(2).data(BIG_REQUEST))
            .data_at_most(256)
            .send(seg("A").seq(c(1 + BIG_REQ)).window(1_000))
            .read(c(1 + BIG_REQ), &big),
        // Linux offers a scale in return, and then the SYN's window still is not scaled.
        script("the SYN's own window is never scaled", "RFC 7323 §2.2")
            .send(seg("S").options(SCALE_7).window(100))
            .answer(syn_ack())
            .send(seg("PA").window(0).data(REQUEST))
            .answer(ack(c(1 + REQ)))
            .data_at_most(0)
            .send(seg("A").seq(c(1 + REQ)).window(500))
            .read(c(1 + REQ), ONE),
        script(
            "a closed window is probed until it opens",
            "RFC 9293 §3.8.6.1, MUST-35, MUST-36",
        )
        .open()
        .send(seg("PA").window(0).data(REQUEST))
        .answer(ack(c(1 + REQ)))
        .probes(c(1 + REQ), 30)
        .send(seg("A").seq(c(1 + REQ)))
        .read(c(1 + REQ), ONE)
        .alive(1 + REQ)
        .memory_only("probes come seconds apart"),
        // TCP keeps such a connection for ever; our limit on a response that stands
        // still, a minute, is the server's (RFC 6429 §3).
        script(
            "a window closed for almost a minute",
            "RFC 9293 §3.8.6.1, MUST-37; RFC 1122 §4.2.2.17",
        )
        .open()
        .send(seg("PA").window(1_000).data(BIG_REQUEST))
        .data_at_most(1_000)
        .send(seg("A").seq(c(1 + BIG_REQ)).window(0))
        .probes(c(1 + BIG_REQ), 55)
        .send(seg("A").seq(c(1 + BIG_REQ)))
        .read(c(1 + BIG_REQ), &big)
        .memory_only("a minute passes"),
    ]
}

//! SYN inside a connection.

use crate::conform::script::*;

pub fn scripts() -> Vec<Script> {
    let challenged = |name, segment: Seg| {
        script(name, "RFC 5961 §4.2, RFC 9293 §3.10.7.4, fourth")
            .open()
            .send(segment)
            .answer(ack(c(1)))
            .silence()
            .alive(1)
    };
    vec![
        challenged("SYN at RCV.NXT", seg("S").seq(c(1))),
        challenged("SYN within the window", seg("S").seq(c(5_000))),
        challenged("SYN outside the window", seg("S").seq(c(77_000_000))),
        challenged("SYN below the window", seg("S").seq(c(-77_000_000))),
        challenged("the first SYN again", seg("S")),
        challenged("SYN and FIN", seg("SF").seq(c(1))),
        challenged("SYN with a request", seg("S").seq(c(1)).data(REQUEST)),
        challenged("SYN, ACK within the window", seg("SA").seq(c(1)).ack(s(1))),
        challenged(
            "SYN, ACK outside the window",
            seg("SA").seq(c(-9)).ack(s(1)),
        ),
        challenged(
            "SYN, ACK of what was never sent",
            seg("SA").seq(c(1)).ack(s(1_000_000)),
        ),
        script("SYN after half a request", "RFC 5961 §4.2")
            .open()
            .send(seg("PA").data(&REQUEST[..9]))
            .answer(ack(c(10)))
            .send(seg("S").seq(c(77_000_000)))
            .answer(ack(c(10)))
            .send(seg("PA").seq(c(10)).data(&REQUEST[9..]))
            .read(c(1 + REQ), ONE),
        script(
            "a client that has forgotten begins anew",
            "RFC 9293 §3.5.1, figure 9",
        )
        .open()
        .send(seg("S").seq(c(500_000_000)))
        .answer(ack(c(1)))
        .send(seg("R").seq(c(1)))
        .silence()
        .send(seg("S").seq(c(500_000_000)))
        .answer(want("SA").ack(c(500_000_001))),
        script("a thousand SYNs within the window", "RFC 5961 §7")
            .open()
            .burst(seg("S").seq(c(300)), 1_000, 20)
            .alive(1),
        script("a thousand SYNs outside the window", "RFC 5961 §7")
            .open()
            .burst(seg("S").seq(c(77_000_000)), 1_000, 20)
            .alive(1),
    ]
}

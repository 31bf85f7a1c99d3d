//! RST inside a connection.

use crate::conform::script::*;

pub fn scripts() -> Vec<Script> {
    [exact(), inexact(), elsewhere()].concat()
}

fn exact() -> Vec<Script> {
    let resets = |name, segment: Seg| {
        script(name, "RFC 5961 §3.2 (1), RFC 9293 §3.10.7.4, second")
            .open()
            .send(segment)
            .silence()
            .gone(1)
    };
    vec![
        resets("exact RST", seg("R")),
        resets("exact RST, ACK", seg("RA")),
        resets("exact RST and FIN", seg("RF")),
        resets("exact RST with data", seg("R").data(b"connection lost")),
        resets("exact RST and SYN", seg("SR").seq(c(1))),
        resets("exact RST with a closed window", seg("R").window(0)),
        // The RST is looked at before the ACK is.
        resets(
            "exact RST with an ACK of what was not sent",
            seg("RA").ack(s(1_000_000)),
        ),
        script("exact RST after half a request", "RFC 5961 §3.2 (1)")
            .open()
            .send(seg("PA").data(&REQUEST[..9]))
            .answer(ack(c(10)))
            .send(seg("R").seq(c(10)))
            .silence()
            .gone(10),
        script("exact RST after a response", "RFC 5961 §3.2 (1)")
            .open()
            .alive(1)
            .send(seg("R").seq(c(1 + REQ)))
            .silence()
            .gone(1 + REQ),
        script(
            "after a RST the client may connect again",
            "RFC 9293 §3.10.7.4, second",
        )
        .open()
        .send(seg("R"))
        .silence()
        .open_with(seg("S"))
        .alive(1),
    ]
}

fn inexact() -> Vec<Script> {
    let challenged = |name, segment: Seg| {
        script(name, "RFC 5961 §3.2 (2)")
            .open()
            .send(segment)
            .answer(ack(c(1)))
            .silence()
            .alive(1)
    };
    vec![
        challenged("RST just beyond RCV.NXT", seg("R").seq(c(2))),
        challenged("RST in the middle of the window", seg("R").seq(c(10_000))),
        challenged("RST at the end of the window", seg("R").seq(edge(-1))),
        challenged("RST, ACK within the window", seg("RA").seq(c(2))),
        challenged("RST and FIN within the window", seg("RF").seq(c(5))),
        challenged(
            "RST with data within the window",
            seg("R").seq(c(5)).data(b"bye"),
        ),
        script(
            "RST within the window after half a request",
            "RFC 5961 §3.2 (2)",
        )
        .open()
        .send(seg("PA").data(&REQUEST[..9]))
        .answer(ack(c(10)))
        .send(seg("R").seq(c(500)))
        .answer(ack(c(10)))
        .send(seg("PA").seq(c(10)).data(&REQUEST[9..]))
        .read(c(1 + REQ), ONE),
        script(
            "the client answers the challenge with a right RST",
            "RFC 5961 §3.2 (2)",
        )
        .open()
        .send(seg("R").seq(c(300)))
        .answer(ack(c(1)))
        .send(seg("R").seq(c(1)))
        .silence()
        .gone(1),
        script("a thousand RSTs within the window", "RFC 5961 §7")
            .open()
            .burst(seg("R").seq(c(300)), 1_000, 20)
            .alive(1),
    ]
}

fn elsewhere() -> Vec<Script> {
    let ignored = |name, segment: Seg| {
        script(name, "RFC 5961 §3.2 (3)")
            .open()
            .alive(1)
            .send(segment)
            .silence()
            .alive(1 + REQ)
    };
    vec![
        ignored("RST just below RCV.NXT", seg("R").seq(c(REQ))),
        ignored("RST at the initial number", seg("R").seq(c(0))),
        ignored("RST at the right edge", seg("R").seq(edge(0)))
            .not_linux("counts the edge to the window"),
        ignored("RST far above", seg("R").seq(c(100_000_000))),
        ignored("RST far below", seg("RA").seq(c(-100_000_000))),
    ]
}

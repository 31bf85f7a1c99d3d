//! From the SYN to the first byte.

use crate::conform::script::*;

/// A server that keeps nothing of a handshake cannot tell a wrong SEG.SEQ from a
/// stray, and answers with RST.
fn challenge_or_stray(number: Num) -> [Want; 2] {
    [ack(c(1)), rst(number)]
}

const REFUSES_ITS_OWN: &str = "refuses the timestamp of its own ACK, if it is echoed";

pub fn scripts() -> Vec<Script> {
    [opening(), interrupted(), wrong()].concat()
}

fn opening() -> Vec<Script> {
    vec![
        script("handshake and request", "RFC 9293 §3.5")
            .open()
            .silence()
            .alive(1),
        script(
            "the request comes with the third segment",
            "RFC 9293 §3.10.7.4, SYN-RECEIVED",
        )
        .send(seg("S"))
        .answer(syn_ack())
        .alive(1),
        script(
            "the request and FIN come with the third segment",
            "RFC 9293 §3.10.7.4, SYN-RECEIVED",
        )
        .send(seg("S"))
        .answer(syn_ack())
        .send(seg("PAF").data(REQUEST))
        .read_to_fin(c(2 + REQ), ONE)
        .send(seg("A").seq(c(2 + REQ)))
        .silence(),
        // Taking the data early is allowed (RFC 9293 §3.10.7.2: "should be queued").
        script("data on the SYN", "RFC 9293 §3.10.7.2, third")
            .send(seg("S").data(REQUEST))
            .one_of(&[syn_ack(), want("SA").ack(c(1 + REQ))])
            .alive(1),
        script("SYN with ECN set-up", "RFC 3168 §6.1.1")
            .open_with(seg("SEC"))
            .alive(1),
        script("SYN with PSH and URG", "RFC 9293 §3.10.7.2")
            .open_with(seg("SPU").urgent(9))
            .alive(1),
        script("SYN with a window of 0", "RFC 9293 §3.10.7.2")
            .open_with(seg("S").window(0))
            .alive(1),
        script("two connections from two ports", "RFC 9293 §3.4.1")
            .open()
            .alive(1)
            .other_port()
            .open()
            .alive(1),
    ]
}

fn interrupted() -> Vec<Script> {
    vec![
        script(
            "the SYN comes again: the same SYN-ACK",
            "RFC 9293 §3.10.7.4, RFC 6528",
        )
        .send(seg("S"))
        .answer(syn_ack())
        .send(seg("S"))
        .answer(syn_ack().seq(s(0)))
        .send(seg("A"))
        .silence()
        .alive(1),
        script(
            "the SYN comes again after half a second",
            "RFC 9293 §3.10.7.4, RFC 6528",
        )
        .send(seg("S"))
        .answer(syn_ack())
        .pass(550)
        .send(seg("S"))
        .answer(syn_ack().seq(s(0)))
        .alive(1),
        script(
            "no ACK comes: the SYN-ACK is repeated ever more seldom",
            "RFC 9293 §3.8.1, RFC 6298 §5",
        )
        .send(seg("S"))
        .answer(syn_ack())
        .back_off(syn_ack().seq(s(0)), 180)
        .gone(1)
        .memory_only("minutes pass"),
        script("a repeated SYN-ACK still opens", "RFC 9293 §3.8.1")
            .send(seg("S"))
            .answer(syn_ack())
            .pass(2_500)
            .answer(syn_ack().seq(s(0)))
            .send(seg("A"))
            .maybe(&[syn_ack().seq(s(0))])
            .alive(1)
            .memory_only("waits for a retransmission"),
        script(
            "exact RST in SYN-RECEIVED ends it",
            "RFC 9293 §3.10.7.4, SYN-RECEIVED; RFC 5961 §3.2",
        )
        .send(seg("S"))
        .answer(syn_ack())
        .send(seg("R"))
        .silence()
        .gone(1),
        script(
            "exact RST, ACK in SYN-RECEIVED ends it",
            "RFC 9293 §3.10.7.4, SYN-RECEIVED",
        )
        .send(seg("S"))
        .answer(syn_ack())
        .send(seg("RA"))
        .silence()
        .gone(1),
        script(
            "after such a RST the client may try again",
            "RFC 9293 §3.10.7.4, SYN-RECEIVED",
        )
        .send(seg("S"))
        .answer(syn_ack())
        .send(seg("R"))
        .silence()
        .open()
        .alive(1),
        script("inexact RST in SYN-RECEIVED ends nothing", "RFC 5961 §3.2")
            .send(seg("S"))
            .answer(syn_ack())
            .send(seg("R").seq(c(100)))
            .maybe(&[ack(c(1))])
            .alive(1)
            .not_linux("any RST in the window removes its request socket"),
        script(
            "RST outside the window in SYN-RECEIVED is ignored",
            "RFC 5961 §3.2",
        )
        .send(seg("S"))
        .answer(syn_ack())
        .send(seg("R").seq(c(1_000_000)))
        .silence()
        .alive(1)
        .not_linux("answers with an ACK, which does no harm"),
    ]
}

fn wrong() -> Vec<Script> {
    let mut scripts: Vec<Script> = [
        ("ACK of ISN in SYN-RECEIVED", s(0)),
        ("ACK beyond the SYN in SYN-RECEIVED", s(2)),
        ("ACK far below in SYN-RECEIVED", s(-1_000_000)),
        ("ACK far above in SYN-RECEIVED", s(1_000_000)),
    ]
    .into_iter()
    .map(|(name, number)| {
        script(name, "RFC 9293 §3.10.7.4, fifth: SYN-RECEIVED")
            .send(seg("S"))
            .answer(syn_ack())
            .send(seg("A").ack(number))
            .answer(rst(number))
            .alive(1)
    })
    .collect();
    scripts.extend([
        script(
            "a wrong ACK brings data",
            "RFC 9293 §3.10.7.4, fifth: SYN-RECEIVED",
        )
        .send(seg("S"))
        .answer(syn_ack())
        .send(seg("PA").ack(s(5)).data(REQUEST))
        .answer(rst(s(5)))
        .silence()
        .alive(1),
        script(
            "a right ACK with a number outside the window",
            "RFC 9293 §3.10.7.4, first",
        )
        .send(seg("S"))
        .answer(syn_ack())
        .send(seg("A").seq(c(10_000_000)))
        .one_of(&challenge_or_stray(s(1)))
        .alive(1)
        .not_linux(REFUSES_ITS_OWN),
        script(
            "FIN in SYN-RECEIVED with a wrong ACK",
            "RFC 9293 §3.10.7.4, fifth: SYN-RECEIVED",
        )
        .send(seg("S"))
        .answer(syn_ack())
        .send(seg("FA").ack(s(7)))
        .answer(rst(s(7)))
        .alive(1),
        script(
            "data without ACK in SYN-RECEIVED",
            "RFC 9293 §3.10.7.4, fifth: no ACK, drop",
        )
        .send(seg("S"))
        .answer(syn_ack())
        .send(seg("P").data(REQUEST))
        .silence()
        .alive(1),
        // The client has forgotten and begins anew. RFC 9293 would ask it with
        // an ACK; the SYN-ACK again asks as well; a server without state answers
        // the new SYN.
        script(
            "another SYN in SYN-RECEIVED",
            "RFC 9293 §3.10.7.4, first and fourth",
        )
        .send(seg("S"))
        .answer(syn_ack())
        .send(seg("S").seq(c(500_000_000)))
        .one_of(&[
            ack(c(1)),
            syn_ack().seq(s(0)),
            want("SA").ack(c(500_000_001)),
        ]),
        script(
            "SYN, ACK in SYN-RECEIVED",
            "RFC 9293 §3.10.7.4, fourth; RFC 5961 §4.2",
        )
        .send(seg("S"))
        .answer(syn_ack())
        .send(seg("SA").seq(c(0)).ack(s(1)))
        .maybe(&[ack(c(1)), rst(s(1)), syn_ack().seq(s(0))])
        .alive(1)
        .not_linux(REFUSES_ITS_OWN),
    ]);
    scripts
}

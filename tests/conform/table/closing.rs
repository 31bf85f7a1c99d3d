//! The end of connections, from either side.

use crate::conform::script::*;

const SECOND: i64 = 1 + LAST_REQ;

pub fn scripts() -> Vec<Script> {
    [by_client(), by_server(), disturbed()].concat()
}

/// What follows the client's FIN at `c(n)`: ACK and FIN, together or not.
fn closed_by_server(script: Script, n: i64) -> Script {
    script
        .answer(want("FA").ack(c(n + 1)).at_last())
        .send(seg("A").seq(c(n + 1)))
        .silence()
}

fn by_client() -> Vec<Script> {
    let rfc = "RFC 9293 §3.6.1, §3.10.7.4, eighth";
    let big = big();
    vec![
        closed_by_server(
            script("FIN of an idle client", rfc).open().send(seg("FA")),
            1,
        )
        .gone(2),
        closed_by_server(
            script("FIN after a response", rfc)
                .open()
                .alive(1)
                .send(seg("FA").seq(c(1 + REQ))),
            1 + REQ,
        )
        .gone(2 + REQ),
        script("FIN with the request: the response, then FIN", rfc)
            .open()
            .send(seg("PAF").data(REQUEST))
            .read_to_fin(c(2 + REQ), ONE)
            .send(seg("A").seq(c(2 + REQ)))
            .silence()
            .gone(2 + REQ),
        script("FIN after the request: the response, then FIN", rfc)
            .open()
            .send(seg("PA").data(REQUEST))
            .send(seg("FA").seq(c(1 + REQ)))
            .read_to_fin(c(2 + REQ), ONE)
            .send(seg("A").seq(c(2 + REQ)))
            .silence()
            .gone(2 + REQ),
        script(
            "half-close before a large response: all of it, then FIN",
            "RFC 1122 §4.2.2.13",
        )
        .open()
        .send(seg("PAF").data(BIG_REQUEST))
        .read_to_fin(c(2 + BIG_REQ), &big)
        .send(seg("A").seq(c(2 + BIG_REQ)))
        .silence()
        .gone(2 + BIG_REQ)
        .not_linux("nginx gives up what it has not sent"),
        // Whether an early FIN is remembered is the server's affair; an ACK for
        // it is asked for by RFC 5681 §4.2 (SHOULD).
        script("FIN overtakes the request", rfc)
            .open()
            .send(seg("FA").seq(c(1 + REQ)))
            .maybe(&[ack(c(1))])
            .send(seg("PA").data(REQUEST))
            .read_and_perhaps_fin(c(1 + REQ), ONE)
            .send(seg("FA").seq(c(1 + REQ)))
            .one_of(&[ack(c(2 + REQ)), want("FA").ack(c(2 + REQ))]),
        script(
            "FIN comes again while ours is under way",
            "RFC 9293 §3.10.7.4, first and eighth",
        )
        .open()
        .send(seg("FA"))
        .answer(want("FA").ack(c(2)).at_last())
        .send(seg("FA").ack(next(-1)))
        .one_of(&[ack(c(2)), want("FA").seq(next(-1)).ack(c(2))])
        .send(seg("A").seq(c(2)))
        .silence()
        .gone(2),
    ]
}

fn by_server() -> Vec<Script> {
    let closing = |name, rfc| {
        script(name, rfc)
            .open()
            .send(seg("PA").data(LAST_REQUEST))
            .read_to_fin(c(SECOND), ONE)
    };
    let rfc = "RFC 9293 §3.6, §3.10.7.4, eighth";
    vec![
        closing("the server closes, the client after it", rfc)
            .send(seg("A").seq(c(SECOND)))
            .silence()
            .send(seg("FA").seq(c(SECOND)))
            .answer(ack(c(SECOND + 1)))
            .silence(),
        closing("FIN and the ACK of ours in one", rfc)
            .send(seg("FA").seq(c(SECOND)))
            .answer(ack(c(SECOND + 1)))
            .silence(),
        closing("both close at once", "RFC 9293 §3.6, figure 13")
            .send(seg("FA").seq(c(SECOND)).ack(next(-1)))
            .answer(ack(c(SECOND + 1)))
            .send(seg("A").seq(c(SECOND + 1)))
            .silence()
            .send(seg("FA").seq(c(SECOND)))
            .answer(ack(c(SECOND + 1))),
        closing(
            "both close at once, and the FIN comes again",
            "RFC 9293 §3.10.7.4, CLOSING",
        )
        .send(seg("FA").seq(c(SECOND)).ack(next(-1)))
        .answer(ack(c(SECOND + 1)))
        .send(seg("FA").seq(c(SECOND)).ack(next(-1)))
        .one_of(&[
            ack(c(SECOND + 1)),
            want("FA").seq(next(-1)).ack(c(SECOND + 1)),
        ])
        .send(seg("A").seq(c(SECOND + 1)))
        .silence(),
        closing(
            "our FIN is repeated until it is acknowledged",
            "RFC 9293 §3.8.1, RFC 6298 §5",
        )
        .send(seg("A").seq(c(SECOND)).ack(next(-1)))
        .back_off(want("FA").seq(next(-1)).ack(c(SECOND)), 180)
        .memory_only("minutes pass"),
        closing(
            "our FIN in LAST-ACK is repeated too",
            "RFC 9293 §3.8.1, RFC 6298 §5",
        )
        .send(seg("FA").seq(c(SECOND)).ack(next(-1)))
        .answer(ack(c(SECOND + 1)))
        .back_off(want("FA").seq(next(-1)).ack(c(SECOND + 1)), 180)
        .memory_only("minutes pass"),
        closing("a repeated FIN is acknowledged at last", "RFC 9293 §3.8.1")
            .send(seg("A").seq(c(SECOND)).ack(next(-1)))
            .pass(1_500)
            .answer(want("FA").seq(next(-1)).ack(c(SECOND)))
            .send(seg("A").seq(c(SECOND)))
            .silence()
            .send(seg("FA").seq(c(SECOND)))
            .answer(ack(c(SECOND + 1)))
            .memory_only("waits for a retransmission"),
        // Nobody reads it any more: RST is what RFC 1122 wants, an ACK that lets
        // it run into the void is what a server with a lingering close does.
        closing(
            "data after our FIN",
            "RFC 1122 §4.2.2.13; RFC 9293 §3.10.7.4, FIN-WAIT-2",
        )
        .send(seg("A").seq(c(SECOND)))
        .silence()
        .send(seg("PA").seq(c(SECOND)).data(REQUEST))
        .one_of(&[ack(c(SECOND + REQ)), rst(next(0)), want("RA").seq(next(0))]),
        closing("keep-alive probe after our FIN", "RFC 1122 §4.2.3.6")
            .send(seg("A").seq(c(SECOND)))
            .silence()
            .send(seg("A").seq(c(SECOND - 1)))
            .answer(ack(c(SECOND)))
            .send(seg("FA").seq(c(SECOND)))
            .answer(ack(c(SECOND + 1))),
    ]
}

fn disturbed() -> Vec<Script> {
    // The states in which the server may be, and the client's next number.
    let fin_wait_1 = |name, rfc| {
        script(name, rfc)
            .open()
            .send(seg("PA").data(LAST_REQUEST))
            .read_to_fin(c(SECOND), ONE)
            .send(seg("A").seq(c(SECOND)).ack(next(-1)))
            .silence()
    };
    let fin_wait_2 = |name, rfc| {
        script(name, rfc)
            .open()
            .send(seg("PA").data(LAST_REQUEST))
            .read_to_fin(c(SECOND), ONE)
            .send(seg("A").seq(c(SECOND)))
            .silence()
    };
    let last_ack = |name, rfc| {
        script(name, rfc)
            .open()
            .send(seg("FA"))
            .answer(want("FA").ack(c(2)).at_last())
    };
    let repeat = |n| want("FA").seq(next(-1)).ack(c(n));
    let (exact, inexact) = ("RFC 5961 §3.2 (1)", "RFC 5961 §3.2 (2)");
    vec![
        fin_wait_1("exact RST in FIN-WAIT-1", exact)
            .send(seg("R").seq(c(SECOND)))
            .silence()
            .gone(SECOND),
        fin_wait_2("exact RST in FIN-WAIT-2", exact)
            .send(seg("R").seq(c(SECOND)))
            .silence()
            .gone(SECOND),
        last_ack("exact RST in LAST-ACK", exact)
            .send(seg("R").seq(c(2)))
            .silence()
            .gone(2),
        fin_wait_1("inexact RST in FIN-WAIT-1", inexact)
            .send(seg("R").seq(c(SECOND + 5)))
            .answer(ack(c(SECOND)))
            .send(seg("FA").seq(c(SECOND)))
            .answer(ack(c(SECOND + 1))),
        fin_wait_2("inexact RST in FIN-WAIT-2", inexact)
            .send(seg("R").seq(c(SECOND + 5)))
            .answer(ack(c(SECOND)))
            .send(seg("FA").seq(c(SECOND)))
            .answer(ack(c(SECOND + 1)))
            .not_linux("believes any RST in FIN-WAIT-2"),
        last_ack("inexact RST in LAST-ACK", inexact)
            .send(seg("R").seq(c(9)))
            .answer(ack(c(2)))
            .send(seg("A").seq(c(2)))
            .silence()
            .gone(2),
        fin_wait_2("RST outside the window in FIN-WAIT-2", "RFC 5961 §3.2 (3)")
            .send(seg("R").seq(c(SECOND - 1)))
            .silence()
            .send(seg("FA").seq(c(SECOND)))
            .answer(ack(c(SECOND + 1)))
            .not_linux("answers with an ACK, which does no harm"),
        fin_wait_2("SYN in FIN-WAIT-2", "RFC 5961 §4.2")
            .send(seg("S").seq(c(77_000_000)))
            .answer(ack(c(SECOND)))
            .send(seg("FA").seq(c(SECOND)))
            .answer(ack(c(SECOND + 1))),
        last_ack("SYN in LAST-ACK", "RFC 5961 §4.2")
            .send(seg("S").seq(c(77_000_000)))
            .answer(ack(c(2)))
            .send(seg("A").seq(c(2)))
            .maybe(&[repeat(2)])
            .gone(2),
        last_ack(
            "ACK of what was not sent in LAST-ACK",
            "RFC 9293 §3.10.7.4, fifth",
        )
        .send(seg("A").seq(c(2)).ack(next(9)))
        .answer(ack(c(2)))
        .send(seg("A").seq(c(2)))
        .silence()
        .gone(2),
        last_ack(
            "data after the client's FIN",
            "RFC 9293 §3.10.7.4, seventh: should not occur",
        )
        .send(seg("PA").seq(c(2)).ack(next(-1)).data(REQUEST))
        .maybe(&[
            ack(c(2)),
            repeat(2),
            rst(next(-1)),
            rst(next(0)),
            want("RA"),
        ]),
    ]
}

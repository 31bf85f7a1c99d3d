//! After both sides have closed, the server first.

use crate::conform::script::*;

/// The client's next number.
const END: i64 = 2 + LAST_REQ;

pub fn scripts() -> Vec<Script> {
    [stray(), anew(), reset()].concat()
}

/// The FIN once more, which shows that TIME-WAIT still holds.
fn holds(script: Script) -> Script {
    script
        .pass(550)
        .send(seg("FA").seq(c(END - 1)))
        .answer(ack(c(END)))
}

fn stray() -> Vec<Script> {
    let in_time_wait = |name, rfc| script(name, rfc).time_wait();
    vec![
        holds(in_time_wait(
            "FIN comes again: ACK comes again",
            "RFC 9293 §3.10.7.4, eighth: TIME-WAIT",
        )),
        holds(
            in_time_wait("an ACK that says nothing new", "RFC 9293 §3.10.7.4")
                .send(seg("A").seq(c(END)))
                .silence(),
        ),
        holds(
            in_time_wait(
                "the request again, and then FIN",
                "RFC 9293 §3.10.7.4, first",
            )
            .send(seg("PA").data(LAST_REQUEST))
            .answer(ack(c(END))),
        ),
        holds(
            in_time_wait("data far outside the window", "RFC 9293 §3.10.7.4, first")
                .send(seg("PA").seq(c(100_000_000)).data(REQUEST))
                .answer(ack(c(END))),
        ),
        in_time_wait("new data", "RFC 9293 §3.10.7.4, seventh: should not occur")
            .send(seg("PA").seq(c(END)).data(REQUEST))
            .one_of(&[ack(c(END)), rst(next(0)), want("RA")])
            .other_port()
            .open()
            .alive(1),
        in_time_wait("TIME-WAIT ends", "RFC 9293 §3.6.1: 2 MSL")
            .pass(300_000)
            .send(seg("A").seq(c(END)))
            .answer(rst(next(0)))
            .open()
            .alive(1)
            .memory_only("minutes pass"),
        in_time_wait(
            "FIN again restarts the 2 MSL, but not for ever",
            "RFC 9293 §3.10.7.4, eighth: TIME-WAIT",
        )
        .pass(5_000)
        .send(seg("FA").seq(c(END - 1)))
        .answer(ack(c(END)))
        .pass(6_000)
        .send(seg("FA").seq(c(END - 1)))
        .answer(ack(c(END)))
        .pass(300_000)
        .send(seg("A").seq(c(END)))
        .answer(rst(next(0)))
        .memory_only("minutes pass"),
    ]
}

fn anew() -> Vec<Script> {
    let rfc = "RFC 9293 §3.10.7.4, first: TIME-WAIT; RFC 1122 §4.2.2.13";
    let again = |name, number| {
        script(name, rfc)
            .time_wait()
            .send(seg("S").seq(c(number)))
            .answer(want("SA").ack(c(number + 1)).after(next(0)))
            .send(seg("A").seq(c(number + 1)))
            .silence()
            .alive(number + 1)
    };
    let older = |name, number| {
        // Without timestamps, by which RFC 6191 would tell a new SYN from an old one.
        holds(
            script(name, rfc)
                .time_wait()
                .send(seg("S").options(&[]).seq(c(number)))
                .answer(ack(c(END))),
        )
    };
    vec![
        again("a newer SYN opens anew", END + 100_000),
        again("a SYN just after the end opens anew", END + 1),
        older("the first SYN again", 0),
        older("a much older SYN", -1_000_000_000),
        older("a SYN just before the end", END - 1),
        holds(
            script("SYN, ACK", rfc)
                .time_wait()
                .send(seg("SA").seq(c(END + 1_000)))
                .answer(ack(c(END))),
        ),
        script("a thousand old SYNs", "RFC 5961 §7")
            .time_wait()
            .pass(550)
            .burst(seg("S").options(&[]).seq(c(-9)), 1_000, 20),
    ]
}

fn reset() -> Vec<Script> {
    let linux = "believes it unless net.ipv4.tcp_rfc1337 is set";
    let ignored = |name, segment: Seg| {
        holds(
            script(name, "RFC 1337 §3, fix F1")
                .time_wait()
                .send(segment)
                .silence(),
        )
    };
    vec![
        ignored("exact RST", seg("R").seq(c(END))).not_linux(linux),
        ignored("exact RST, ACK", seg("RA").seq(c(END))).not_linux(linux),
        ignored("RST outside the window", seg("R").seq(c(-5))),
        // Either a challenge (RFC 5961 §3.2) or nothing at all.
        holds(
            script("RST within the window", "RFC 1337 §3, fix F1")
                .time_wait()
                .send(seg("R").seq(c(END + 100)))
                .maybe(&[ack(c(END))]),
        )
        .not_linux(linux),
    ]
}

//! The client's receive window.

use crate::conform::script::*;

const SCALE_7: &[u8] = &[2, 4, 5, 180, 3, 3, 7];

pub fn scripts() -> Vec<Script> {
    [opening(), shrunk()].concat()
}

/// The window closes behind a response, and behind the FIN after it, that are
/// under way: neither may be sent again and again (RFC 9293 §3.8.6, MUST-34).
fn shrunk() -> Vec<Script> {
    let rfc = "RFC 9293 §3.8.6, MUST-34; RFC 6298 §5";
    let cases = [
        ("nothing of a response and FIN acknowledged", 1),
        ("half of a response and FIN acknowledged", 100),
    ];
    let closing = cases.map(|(name, acknowledged)| {
        let end = c(1 + LAST_REQ);
        script(name, rfc)
            .open()
            .send(seg("PA").data(LAST_REQUEST))
            .pass(50)
            .send(seg("A").seq(end).ack(s(acknowledged)).window(0))
            .at_most(30, 30)
            .send(seg("A").seq(end))
            .at_most(3, 3)
            .send(seg("FA").seq(end))
            .answer(ack(c(2 + LAST_REQ)))
            .memory_only("half a minute passes")
    });
    let going_on = script("half of a response acknowledged", rfc)
        .open()
        .send(seg("PA").data(REQUEST))
        .pass(50)
        .send(seg("A").seq(c(1 + REQ)).ack(s(100)).window(0))
        .at_most(30, 30)
        .send(seg("A").seq(c(1 + REQ)).ack(s(100)))
        .at_most(3, 3)
        .send(seg("A").seq(c(1 + REQ)))
        .silence()
        .memory_only("half a minute passes");
    let only_fin = script("all of a response acknowledged, but not FIN", rfc)
        .open()
        .send(seg("PA").data(LAST_REQUEST))
        .read_to_fin(c(1 + LAST_REQ), ONE)
        .send(seg("A").seq(c(1 + LAST_REQ)).ack(next(-1)).window(0))
        .at_most(30, 10)
        .send(seg("A").seq(c(1 + LAST_REQ)))
        .at_most(3, 3)
        .send(seg("FA").seq(c(1 + LAST_REQ)))
        .answer(ack(c(2 + LAST_REQ)))
        .memory_only("ten seconds pass");
    // Nothing is left to probe the closed window for.
    let all_after_half = script("half of a response acknowledged, then all", rfc)
        .open()
        .send(seg("PA").data(REQUEST))
        .read(c(1 + REQ), ONE)
        .send(seg("PA").seq(c(1 + REQ)).data(REQUEST))
        .answer(want("A").ack(c(1 + 2 * REQ)).with_data().at_last())
        .send(seg("A").seq(c(1 + 2 * REQ)).ack(next(-9)).window(0))
        .send(seg("A").seq(c(1 + 2 * REQ)).window(0))
        .at_most(30, 30)
        .memory_only("half a minute passes");
    let all_and_fin = script("half of a response acknowledged, then all and FIN", rfc)
        .open()
        .send(seg("PA").data(LAST_REQUEST))
        .read_to_fin(c(1 + LAST_REQ), ONE)
        .send(seg("A").seq(c(1 + LAST_REQ)).ack(next(-9)).window(0))
        .send(seg("A").seq(c(1 + LAST_REQ)).window(0))
        .at_most(10, 10)
        .send(seg("FA").seq(c(1 + LAST_REQ)).window(0))
        .answer(ack(c(2 + LAST_REQ)))
        .memory_only("ten seconds pass");
    let before_fin = script("FIN while the window is closed", rfc)
        .open()
        .send(seg("FA").window(0))
        .at_most(30, 30)
        .send(seg("A").seq(c(2)))
        .at_most(3, 3)
        .memory_only("half a minute passes");
    [
        closing.to_vec(),
        vec![going_on, only_fin, all_after_half, all_and_fin, before_fin],
    ]
    .concat()
}

fn opening() -> Vec<Script> {
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
        script(
            "a window that closes after the client's FIN",
            "RFC 9293 §3.8.6, §3.10.7.4, fifth: CLOSE-WAIT",
        )
        .open_with_window(10)
        .send(seg("FPA").window(10).data(REQUEST))
        .data_at_most(10)
        .send(seg("A").seq(c(2 + REQ)).window(0))
        .data_at_most(0)
        .send(seg("A").seq(c(2 + REQ)))
        .one_of(&["A", "FA"].map(|flags| want(flags).seq(next(0)).with_data())),
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

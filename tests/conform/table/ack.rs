//! Acknowledgements inside a connection.

use crate::conform::script::*;

/// More than any window that the scripts announce.
const TOO_OLD: i64 = -70_000;

pub fn scripts() -> Vec<Script> {
    let challenged = |name, rfc, segment: Seg| {
        script(name, rfc)
            .open()
            .send(segment)
            .answer(ack(c(1)))
            .silence()
            .alive(1)
    };
    let unsent = "RFC 9293 §3.10.7.4, fifth: ACK of what is not yet sent; RFC 5961 §5.2";
    let too_old = "RFC 5961 §5.2: SEG.ACK < SND.UNA - MAX.SND.WND";
    let linux_drops = "drops it without an answer in ESTABLISHED";
    vec![
        challenged("ACK of one byte not yet sent", unsent, seg("A").ack(s(2)))
            .not_linux(linux_drops),
        challenged(
            "ACK of much not yet sent",
            unsent,
            seg("A").ack(s(100_000_000)),
        )
        .not_linux(linux_drops),
        challenged(
            "ACK of what was not sent brings data",
            unsent,
            seg("PA").ack(s(2)).data(REQUEST),
        )
        .not_linux(linux_drops),
        challenged(
            "ACK of what was not sent brings FIN",
            unsent,
            seg("FA").ack(s(2)),
        )
        .not_linux(linux_drops),
        script("ACK beyond a response", unsent)
            .open()
            .alive(1)
            .send(seg("A").seq(c(1 + REQ)).ack(next(1)))
            .answer(ack(c(1 + REQ)))
            .alive(1 + REQ)
            .not_linux(linux_drops),
        challenged("ACK that is too old", too_old, seg("A").ack(s(TOO_OLD))),
        challenged(
            "ACK that is much too old",
            too_old,
            seg("A").ack(s(-1_000_000_000)),
        ),
        challenged(
            "too old an ACK brings data",
            too_old,
            seg("PA").ack(s(TOO_OLD)).data(REQUEST),
        ),
        challenged(
            "too old an ACK brings FIN",
            too_old,
            seg("FA").ack(s(TOO_OLD)),
        ),
        script("a thousand ACKs that are too old", "RFC 5961 §7")
            .open()
            .burst(seg("A").ack(s(TOO_OLD)), 1_000, 20)
            .alive(1),
        script("a thousand ACKs of what was not sent", "RFC 5961 §7")
            .open()
            .burst(seg("A").ack(s(1_000)), 1_000, 20)
            .alive(1)
            .not_linux(linux_drops),
        script("old ACK within reach: its data counts", "RFC 5961 §5.2")
            .open()
            .alive(1)
            .send(seg("PA").seq(c(1 + REQ)).ack(s(1)).data(REQUEST))
            .read(c(1 + 2 * REQ), ONE),
        script("ten ACKs that say nothing new", "RFC 9293 §3.10.7.4, fifth")
            .open()
            .alive(1)
            .send(seg("A").seq(c(1 + REQ)))
            .send(seg("A").seq(c(1 + REQ)))
            .send(seg("A").seq(c(1 + REQ)))
            .send(seg("A").seq(c(1 + REQ)))
            .silence()
            .alive(1 + REQ),
        script(
            "data without ACK is dropped",
            "RFC 9293 §3.10.7.4, fifth: ACK bit off",
        )
        .open()
        .send(seg("P").data(REQUEST))
        .silence()
        .alive(1),
        script(
            "FIN without ACK is dropped",
            "RFC 9293 §3.10.7.4, fifth: ACK bit off",
        )
        .open()
        .send(seg("F"))
        .silence()
        .alive(1),
        script(
            "nothing set at all",
            "RFC 9293 §3.10.7.4, fifth: ACK bit off",
        )
        .open()
        .send(seg(""))
        .silence()
        .alive(1),
        script(
            "a response that is acknowledged piece by piece",
            "RFC 9293 §3.10.7.4, fifth",
        )
        .open()
        .send(seg("PA").data(REQUEST))
        .answer(want("A").ack(c(1 + REQ)).with_data().at_last())
        .send(seg("A").seq(c(1 + REQ)).ack(s(2)))
        .send(seg("A").seq(c(1 + REQ)).ack(s(3)))
        .send(seg("A").seq(c(1 + REQ)))
        .maybe(&[want("A").with_data()])
        .send(seg("A").seq(c(1 + REQ)))
        .silence()
        .send(seg("PA").seq(c(1 + REQ)).data(REQUEST))
        .answer(
            want("A")
                .seq(next(0))
                .ack(c(1 + 2 * REQ))
                .with_data()
                .at_last(),
        ),
    ]
}

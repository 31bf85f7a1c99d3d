//! Data: in order, out of order, twice, outside the window.

use crate::conform::script::*;

const TWO: usize = 12;

pub fn scripts() -> Vec<Script> {
    [pieces(), misplaced(), marked()].concat()
}

fn pieces() -> Vec<Script> {
    let rfc = "RFC 9293 §3.10.7.4, seventh";
    let (first, second) = REQUEST.split_at(TWO);
    let mut bytewise = script("a request byte by byte", rfc).open();
    for (n, byte) in REQUEST.iter().enumerate() {
        bytewise = bytewise.send(seg("PA").seq(c(1 + n as i64)).data(&[*byte]));
    }
    let mut backwards = script("a request byte by byte, last byte first", rfc).open();
    // Every other byte alone would be more holes than smoltcp keeps (32): as
    // each piece joins its neighbour, there is one hole only.
    for (n, byte) in REQUEST.iter().enumerate().rev() {
        backwards = backwards.send(seg("PA").seq(c(1 + n as i64)).data(&[*byte]));
    }
    vec![
        bytewise.read(c(1 + REQ), ONE),
        backwards.read(c(1 + REQ), ONE),
        script("a request in two segments", rfc)
            .open()
            .send(seg("PA").data(first))
            .answer(ack(c(1 + TWO as i64)))
            .send(seg("PA").seq(c(1 + TWO as i64)).data(second))
            .read(c(1 + REQ), ONE),
        script("two requests in one segment", rfc)
            .open()
            .send(seg("PA").data(&[REQUEST, REQUEST].concat()))
            .read(c(1 + 2 * REQ), ONE)
            .read(c(1 + 2 * REQ), ONE),
        script("without PSH", rfc)
            .open()
            .send(seg("A").data(REQUEST))
            .read(c(1 + REQ), ONE),
        script(
            "the second half first",
            "RFC 9293 §3.10.7.4, seventh; RFC 5681 §4.2",
        )
        .open()
        .send(seg("PA").seq(c(1 + TWO as i64)).data(second))
        .answer(ack(c(1)))
        .send(seg("PA").data(first))
        .read(c(1 + REQ), ONE),
        script(
            "thirds in the order 3, 2, 1",
            "RFC 9293 §3.10.7.4, seventh; RFC 5681 §4.2",
        )
        .open()
        .send(seg("PA").seq(c(21)).data(&REQUEST[20..]))
        .answer(ack(c(1)))
        .send(seg("PA").seq(c(11)).data(&REQUEST[10..20]))
        .answer(ack(c(1)))
        .send(seg("PA").data(&REQUEST[..10]))
        .read(c(1 + REQ), ONE),
    ]
}

fn misplaced() -> Vec<Script> {
    let first = "RFC 9293 §3.10.7.4, first: sequence number";
    vec![
        script("a request again", first)
            .open()
            .alive(1)
            .send(seg("PA").data(REQUEST))
            .answer(ack(c(1 + REQ)))
            .silence()
            .alive(1 + REQ),
        script("a request twice at once is answered once", first)
            .open()
            .send(seg("PA").data(REQUEST))
            .send(seg("PA").data(REQUEST))
            .read(c(1 + REQ), ONE)
            .maybe(&[ack(c(1 + REQ))])
            .alive(1 + REQ),
        script("data far below the window", first)
            .open()
            .send(seg("PA").seq(c(-1_000_000)).data(REQUEST))
            .answer(ack(c(1)))
            .alive(1),
        script("data beyond the window", first)
            .open()
            .send(seg("PA").seq(edge(0)).data(REQUEST))
            .answer(ack(c(1)))
            .alive(1),
        script("data far beyond the window", first)
            .open()
            .send(seg("PA").seq(c(1_000_000_000)).data(REQUEST))
            .answer(ack(c(1)))
            .alive(1),
        script("an empty segment beyond the window", first)
            .open()
            .send(seg("A").seq(edge(10)))
            .answer(ack(c(1)))
            .alive(1),
        script("FIN beyond the window", first)
            .open()
            .send(seg("FA").seq(edge(10)))
            .answer(ack(c(1)))
            .alive(1),
        script(
            "data that begins before the window",
            "RFC 9293 §3.10.7.4: trimmed",
        )
        .open()
        .send(seg("PA").data(&REQUEST[..TWO]))
        .answer(ack(c(1 + TWO as i64)))
        .send(seg("PA").data(REQUEST))
        .read(c(1 + REQ), ONE)
        .alive(1 + REQ),
        script(
            "data that ends beyond the window",
            "RFC 9293 §3.10.7.4: trimmed",
        )
        .open()
        .send(seg("PA").seq(edge(-10)).data(&[b'x'; 20]))
        .answer(ack(c(1)))
        .alive(1),
        script("pieces that overlap", "RFC 9293 §3.10.7.4, seventh")
            .open()
            .send(seg("PA").seq(c(9)).data(&REQUEST[8..24]))
            .answer(ack(c(1)))
            .send(seg("PA").seq(c(5)).data(&REQUEST[4..16]))
            .answer(ack(c(1)))
            .send(seg("PA").seq(c(17)).data(&REQUEST[16..]))
            .answer(ack(c(1)))
            .send(seg("PA").data(&REQUEST[..12]))
            .read(c(1 + REQ), ONE)
            .alive(1 + REQ),
        script("keep-alive probe without data", "RFC 1122 §4.2.3.6")
            .open()
            .alive(1)
            .send(seg("A").seq(c(REQ)))
            .answer(ack(c(1 + REQ)))
            .silence()
            .alive(1 + REQ),
        script(
            "keep-alive probe with a byte of garbage",
            "RFC 1122 §4.2.3.6",
        )
        .open()
        .alive(1)
        .send(seg("A").seq(c(REQ)).data(b"\0"))
        .answer(ack(c(1 + REQ)))
        .silence()
        .alive(1 + REQ),
        script(
            "keep-alive probe before the first byte",
            "RFC 1122 §4.2.3.6",
        )
        .open()
        .send(seg("A").seq(c(0)))
        .answer(ack(c(1)))
        .alive(1),
    ]
}

fn marked() -> Vec<Script> {
    // What the HTTP server does with a byte that Linux takes out of the stream
    // is another matter: SO_OOBINLINE is off there.
    let linux = "takes the urgent byte out of the stream";
    vec![
        script("urgent data is read in line", "RFC 9293 §3.8.5, RFC 6093")
            .open()
            .send(seg("PAU").urgent(3).data(REQUEST))
            .read(c(1 + REQ), ONE)
            .not_linux(linux),
        script("an urgent pointer beyond the data", "RFC 9293 §3.8.5")
            .open()
            .send(seg("PAU").urgent(40_000).data(REQUEST))
            .read(c(1 + REQ), ONE)
            .alive(1 + REQ),
        script("an urgent pointer without data", "RFC 9293 §3.8.5")
            .open()
            .send(seg("AU").urgent(1))
            .silence()
            .alive(1)
            .not_linux(linux),
        script("an urgent pointer without URG", "RFC 9293 §3.1")
            .open()
            .send(seg("PA").urgent(3).data(REQUEST))
            .read(c(1 + REQ), ONE),
        script("ECE and CWR on data", "RFC 3168 §6.1")
            .open()
            .send(seg("PAEC").data(REQUEST))
            .read(c(1 + REQ), ONE)
            .alive(1 + REQ),
    ]
}

//! What is odd below TCP: frames, IP headers, checksums, addresses.

use crate::common::segment::{Odd, Source};
use crate::conform::script::*;
use std::net::Ipv4Addr;

type Change = fn(&mut Odd);

pub fn scripts() -> Vec<Script> {
    [harmless(), dropped(), padded(), from_nowhere()].concat()
}

/// Neither SYN nor data minds.
fn harmless() -> Vec<Script> {
    let cases: [(&str, &str, Change); 8] = [
        ("TTL 1", "RFC 1122 §3.2.1.7", |odd| odd.time_to_live = 1),
        ("TTL 255", "RFC 1122 §3.2.1.7", |odd| {
            odd.time_to_live = 255
        }),
        ("DSCP EF", "RFC 1122 §3.2.1.6", |odd| odd.service = 0xb8),
        ("ECN CE", "RFC 3168 §5", |odd| odd.service = 3),
        ("DF not set", "RFC 791 §3.1", |odd| odd.fragment = 0),
        ("IP options: no-operation", "RFC 1122 §3.2.1.8", |odd| {
            odd.ip_options = vec![1, 1, 1, 0];
        }),
        ("IP option: record route", "RFC 1122 §3.2.1.8 (d)", |odd| {
            odd.ip_options = [&[7, 15, 4][..], &[0; 12]].concat();
        }),
        ("40 bytes of IP options", "RFC 1122 §3.2.1.8", |odd| {
            odd.ip_options = [vec![1; 39], vec![0]].concat();
        }),
    ];
    cases
        .into_iter()
        .map(|(name, rfc, change)| {
            script(name, rfc)
                .send(seg("S").odd(change))
                .answer(syn_ack())
                .send(seg("A").odd(change))
                .silence()
                .send(seg("PA").data(REQUEST).odd(change))
                .read(c(1 + REQ), ONE)
                .alive(1 + REQ)
        })
        .collect()
}

/// No SYN, no data, no RST is believed.
fn dropped() -> Vec<Script> {
    let cases: [(&str, &str, Change); 10] = [
        ("wrong TCP checksum", "RFC 9293 §3.1, MUST-3", |odd| {
            odd.tcp_checksum = 1
        }),
        ("TCP checksum 0xffff off", "RFC 9293 §3.1, MUST-3", |odd| {
            odd.tcp_checksum = 0x5555
        }),
        ("wrong IP checksum", "RFC 1122 §3.2.1.2", |odd| {
            odd.ip_checksum = 1
        }),
        ("data offset 0", "RFC 9293 §3.1", |odd| {
            odd.data_offset = Some(0)
        }),
        ("data offset 4", "RFC 9293 §3.1", |odd| {
            odd.data_offset = Some(4)
        }),
        ("IP total length beyond the frame", "RFC 791 §3.1", |odd| {
            odd.total_length = 9
        }),
        (
            "IP total length within the IP header",
            "RFC 791 §3.1",
            |odd| odd.total_length = -30,
        ),
        (
            "IP total length within the TCP header",
            "RFC 791 §3.1",
            |odd| odd.total_length = -1,
        ),
        ("sent to a group MAC", "RFC 1122 §3.3.6", |odd| {
            odd.server_mac = Some([0x01, 0, 0x5e, 0, 0, 1]);
        }),
        ("sent to the broadcast MAC", "RFC 1122 §3.3.6", |odd| {
            odd.server_mac = Some([0xff; 6])
        }),
    ];
    let mut scripts: Vec<Script> = cases
        .into_iter()
        .map(|(name, rfc, change)| {
            let script = script(name, rfc)
                .send(seg("S").odd(change))
                .silence()
                .send(seg("A").ack(raw(9)).odd(change))
                .silence()
                .open()
                .send(seg("R").odd(change))
                .silence()
                .alive(1);
            if name.starts_with("IP total length within the TCP") {
                // A request would have its last byte cut off, and a wrong checksum.
                return script;
            }
            script
                .send(seg("PA").seq(c(1 + REQ)).data(REQUEST).odd(change))
                .silence()
                .alive(1 + REQ)
        })
        .collect();
    scripts.push(
        script("data offset beyond the segment", "RFC 9293 §3.1")
            .send(seg("S").odd(|odd| odd.data_offset = Some(15)).options(&[]))
            .silence()
            .open()
            .send(seg("R").odd(|odd| odd.data_offset = Some(15)).options(&[]))
            .silence()
            .alive(1),
    );
    scripts.push(
        script("a first fragment alone", "RFC 791 §3.2")
            .send(seg("S").odd(|odd| odd.fragment = 0x2000))
            .silence()
            .open()
            .alive(1),
    );
    scripts
}

/// Ethernet frames have 60 bytes at least; what fills them up is no data.
fn padded() -> Vec<Script> {
    let garbage: Change = |odd| odd.padding = vec![0xaa; 6];
    let much: Change = |odd| odd.padding = vec![b'G'; 60];
    [
        ("garbage after short frames", garbage),
        ("60 bytes of it", much),
    ]
    .map(|(name, change)| {
        script(name, "RFC 894, RFC 1042: padding is not part of the packet")
            .send(seg("S").odd(change))
            .answer(syn_ack())
            .send(seg("A").odd(change))
            .silence()
            .send(seg("PA").data(REQUEST).odd(change))
            .read(c(1 + REQ), ONE)
            .alive(1 + REQ)
            .send(seg("FA").seq(c(1 + 2 * REQ)).odd(change))
            .answer(want("FA").ack(c(2 + 2 * REQ)).at_last())
            .send(seg("A").seq(c(2 + 2 * REQ)).odd(change))
            .silence()
    })
    .to_vec()
}

fn from_nowhere() -> Vec<Script> {
    let cases: [(&str, &str, [u8; 4]); 5] = [
        ("source 255.255.255.255", "RFC 1122 §3.2.1.3 (c)", [255; 4]),
        ("source 0.0.0.0", "RFC 1122 §3.2.1.3 (a)", [0; 4]),
        ("source 224.0.0.1", "RFC 1122 §3.2.1.3", [224, 0, 0, 1]),
        ("source 239.1.2.3", "RFC 1122 §3.2.1.3", [239, 1, 2, 3]),
        ("source 127.0.0.1", "RFC 1122 §3.2.1.3 (g)", [127, 0, 0, 1]),
    ];
    let mut scripts: Vec<Script> = cases
        .into_iter()
        .map(|(name, rfc, address)| {
            let from = move |odd: &mut Odd| odd.source = Source::Other(Ipv4Addr::from(address));
            script(name, rfc)
                .send(seg("S").odd(from))
                .silence()
                .send(seg("A").ack(raw(9)).odd(from))
                .silence()
                .open()
                .alive(1)
        })
        .collect();
    // What is said to nobody cannot be heard here: the next client is served.
    let unheard: [(&str, Change); 2] = [
        ("source port 0", |odd| odd.source_port = Some(0)),
        ("from the server to itself", |odd| {
            (odd.source, odd.source_port) = (Source::Server, Some(80));
        }),
    ];
    scripts.extend(unheard.map(|(name, change)| {
        script(name, "RFC 9293 §3.1; RFC 6274 §3.2")
            .send(seg("S").odd(change))
            .silence()
            .send(seg("PA").ack(raw(9)).data(REQUEST).odd(change))
            .silence()
            .open()
            .alive(1)
    }));
    scripts
}

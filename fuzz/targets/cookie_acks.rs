//! Segments that look like the last of a handshake, while the stack has more
//! half-open connections than it keeps.
//!
//! ```text
//! input = { who:u8 whose:u8 how:u8 seq:distance ack:distance time:u8 }
//! ```
//!
//! `who` sends, with the numbers of `whose`. No connection may arise but from a
//! number that the server has issued to the very same client. (A cookie has
//! fewer than 32 secret bits: one forgery in some million inputs is chance.)

use super::input::Input;
use super::world::World;
use crate::common::segment::{Answer, Segment, flag_bits};
use crate::common::{ENDS, stack_config};
use std::collections::HashSet;
use std::path::Path;
use xdphttpd::net::Duration;

const CONNECTIONS: usize = 128;
/// Half-open connections that the stack keeps, and clients that ask for one.
const HALF_OPEN: usize = 16;
const CLIENTS: u16 = 24;
const FIRST_PORT: u16 = 30_000;

/// Bits of `how`.
const TIMESTAMPS: u8 = 1;
const DATA: u8 = 2;
const FIN: u8 = 4;
const SYN_INSTEAD: u8 = 8;
const TIME_PASSES: u8 = 16;

pub fn run(site: &Path, input: &[u8]) {
    let mut config = stack_config(CONNECTIONS);
    config.limits.max_half_open = HALF_OPEN;
    let mut crowd = Crowd {
        world: World::new(site, &config),
        issued: HashSet::new(),
        last: [0; CLIENTS as usize],
    };
    (0..CLIENTS).for_each(|client| crowd.syn(client, client % 2 == 1));
    let mut input = Input(input);
    while !input.is_empty() {
        let (who, whose) = (input.u8(), input.u8());
        let (who, whose) = (u16::from(who) % CLIENTS, u16::from(whose) % CLIENTS);
        let how = input.u8();
        if how & SYN_INSTEAD != 0 {
            crowd.syn(who, how & TIMESTAMPS != 0);
        } else {
            let (seq, ack) = (input.distance(), input.distance());
            crowd.ack(who, whose, how, seq as u32, ack as u32);
        }
        if how & TIME_PASSES != 0 {
            let answers = crowd.world.pass(Duration::from_micros(input.time_us()));
            crowd.hear(&answers);
        }
    }
    crowd.world.settle();
}

/// The clients, and what the server has told them.
struct Crowd {
    world: World,
    /// Ports and numbers of all SYN-ACKs.
    issued: HashSet<(u16, u32)>,
    /// The last number told to each client.
    last: [u32; CLIENTS as usize],
}

fn iss(client: u16) -> u32 {
    u32::from(client) * 0x0101_0101
}

impl Crowd {
    fn syn(&mut self, client: u16, timestamps: bool) {
        let syn = Segment {
            port: FIRST_PORT + client,
            flags: flag_bits("S"),
            seq: iss(client),
            window: 5_000,
            options: options(timestamps, 0),
            ..Segment::default()
        };
        let answers = self.world.frame(&syn.frame(&ENDS));
        self.hear(&answers);
    }

    fn ack(&mut self, who: u16, whose: u16, how: u8, seq: u32, ack: u32) {
        let number = self.last[usize::from(whose)].wrapping_add(ack);
        let port = FIRST_PORT + who;
        let segment = Segment {
            port,
            flags: if how & FIN != 0 {
                flag_bits("FA")
            } else {
                flag_bits("A")
            },
            seq: iss(whose).wrapping_add(1).wrapping_add(seq),
            ack: number.wrapping_add(1),
            window: 5_000,
            options: options(how & TIMESTAMPS != 0, 7),
            payload: if how & DATA != 0 {
                b"GET /one HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()
            } else {
                Vec::new()
            },
            ..Segment::default()
        };
        let accepted = self.world.stack.counters.accepted;
        let answers = self.world.frame(&segment.frame(&ENDS));
        let opened = self.world.stack.counters.accepted - accepted;
        assert!(
            opened == 0 || self.issued.contains(&(port, number)),
            "a connection from a number that was never issued: {number}"
        );
        self.hear(&answers);
    }

    fn hear(&mut self, answers: &[Answer]) {
        for answer in answers.iter().filter(|answer| answer.tcp.syn) {
            let (port, number) = (answer.tcp.destination_port, answer.tcp.sequence_number);
            self.issued.insert((port, number));
            self.last[usize::from(port - FIRST_PORT)] = number;
        }
    }
}

fn options(timestamps: bool, echo: u32) -> Vec<u8> {
    if timestamps {
        [&[8, 10, 0, 0, 0, 9][..], &echo.to_be_bytes()].concat()
    } else {
        vec![2, 4, 5, 180]
    }
}

//! Attacks by who sees the wire, or guesses, and has no connection of its own.

use super::attack::{Attack, Cx, below, pick};
use super::raw::{Place, Raw};
use super::watch::Flow;
use std::net::Ipv4Addr;
use xdphttpd::net::Duration;
use xdphttpd::wire::SplitMix;

/// SYNs from addresses at which nobody is.
pub struct SynFlood {
    pub left: u32,
    pub every: Duration,
}

impl Attack for SynFlood {
    fn act(&mut self, me: Place, random: &mut SplitMix, cx: &mut Cx<'_>) -> Option<Duration> {
        let number = random.next_u64();
        let spoofed = Place {
            address: Ipv4Addr::new(10, 99, number as u8, (number >> 8) as u8),
            port: 1_024 | (number >> 16) as u16,
            ..me
        };
        cx.send(&Raw::new(spoofed, "S", (number >> 32) as u32, 0));
        self.left -= 1;
        (self.left > 0).then_some(self.every)
    }
}

/// Segments with numbers near those of other peers' connections, never right
/// ones: knows who talks to whom, not how far they are.
pub struct Forger {
    pub left: u32,
    pub every: Duration,
    /// Forges RSTs inside the window too.
    pub in_window_rst: bool,
    /// Gives itself away by its own Ethernet address.
    pub own_mac: bool,
}

/// The server's receive window reaches at least so far, and no honest client
/// sends so much.
const IN_WINDOW: std::ops::Range<u64> = 6_000..20_000;

impl Forger {
    /// One that stays outside the window with its RSTs, and behind its victims'
    /// own neighbours.
    pub fn new(left: u32, every: Duration) -> Forger {
        Forger {
            left,
            every,
            in_window_rst: false,
            own_mac: false,
        }
    }

    fn segment(&self, from: Place, flow: &Flow, random: &mut SplitMix) -> Raw {
        let inside = IN_WINDOW.start + below(random, IN_WINDOW.end - IN_WINDOW.start);
        let inside = flow.client_next.wrapping_add(inside as u32);
        let outside = 70_000 + below(random, 1 << 31) as u32;
        let outside = flow.client_next.wrapping_add(outside);
        let far = 1_000_000 + below(random, 1 << 30) as u32;
        let stale = flow.acked.wrapping_sub(far);
        let future = flow.server_next.wrapping_add(far);
        let wrong = pick(random, &[stale, future]);
        match below(random, 9) {
            0 if self.in_window_rst => Raw::new(from, pick(random, &["R", "RA"]), inside, wrong),
            0 | 1 => Raw::new(from, pick(random, &["R", "RA"]), outside, flow.acked),
            2 => Raw::new(from, "S", pick(random, &[inside, outside]), 0),
            3 => Raw::new(from, "SA", inside, flow.acked),
            4 => Raw::new(from, "FA", pick(random, &[inside, outside]), wrong),
            5 => Raw::new(from, "FA", outside, flow.acked),
            6 => Raw::new(from, "A", inside, wrong).window(0),
            7 => Raw::new(from, "PA", outside, flow.acked).payload(b"GET /forged HTTP/1.1\r\n"),
            _ => Raw::new(
                from,
                pick(random, &["", "SF", "FPU", "SFRPU"]),
                inside,
                wrong,
            ),
        }
    }
}

impl Attack for Forger {
    fn act(&mut self, me: Place, random: &mut SplitMix, cx: &mut Cx<'_>) -> Option<Duration> {
        let open = cx.watch.flows.iter().filter(|(_, flow)| flow.open);
        let victims: Vec<_> = open.collect();
        if !victims.is_empty() {
            let (endpoint, flow) = pick(random, &victims);
            let mac = if self.own_mac { me.mac } else { flow.mac };
            let from = Place {
                mac,
                address: endpoint.address,
                port: endpoint.port,
            };
            let forged = self.segment(from, flow, random);
            cx.send(&forged);
        }
        self.left -= 1;
        (self.left > 0).then_some(self.every)
    }
}

/// Frames of others, as they once were or nearly so, and pure noise.
pub struct Replay {
    pub left: u32,
    pub every: Duration,
    /// How many copies of the one frame at once: an ACK storm, with many.
    pub copies: u32,
    /// Bits flipped, tails cut off, noise.
    pub garble: bool,
}

impl Attack for Replay {
    fn act(&mut self, _me: Place, random: &mut SplitMix, cx: &mut Cx<'_>) -> Option<Duration> {
        let captured = &cx.watch.captured;
        if !captured.is_empty() {
            let mut frame = captured[below(random, captured.len() as u64) as usize].clone();
            if self.garble {
                garble(&mut frame, random);
            }
            for _ in 0..self.copies {
                cx.send_frame(frame.clone());
            }
        }
        self.left -= 1;
        (self.left > 0).then_some(self.every)
    }
}

fn garble(frame: &mut Vec<u8>, random: &mut SplitMix) {
    match below(random, 3) {
        0 => frame.truncate(below(random, frame.len() as u64 + 1) as usize),
        1 => frame
            .iter_mut()
            .for_each(|byte| *byte = random.next_u64() as u8),
        // One bit past the Ethernet addresses, so that a checksum is wrong.
        _ => {
            let at = 12 + below(random, frame.len().saturating_sub(12).max(1) as u64) as usize;
            if let Some(byte) = frame.get_mut(at) {
                *byte ^= 1 << below(random, 8);
            }
        }
    }
}

/// First segments that open nothing, from its own address.
pub struct Oddities {
    pub left: u32,
    pub every: Duration,
}

impl Attack for Oddities {
    fn act(&mut self, me: Place, random: &mut SplitMix, cx: &mut Cx<'_>) -> Option<Duration> {
        let flags = [
            "", "F", "R", "A", "SA", "SF", "SR", "FA", "FPU", "SFRPUA", "PA",
        ];
        let number = random.next_u64();
        let from = me.at_port(1_024 | number as u16);
        let raw = Raw::new(
            from,
            pick(random, &flags),
            number as u32,
            (number >> 32) as u32,
        );
        cx.send(&raw.payload(b"odd"));
        self.left -= 1;
        (self.left > 0).then_some(self.every)
    }
}

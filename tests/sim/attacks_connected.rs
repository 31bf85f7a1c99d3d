//! Attacks by peers with connections of their own.

use super::attack::{Attack, Cx, below};
use super::raw::{Place, Raw, Seen};
use xdphttpd::net::{Duration, Instant};
use xdphttpd::wire::SplitMix;

/// SYNs whose answers are never acknowledged, from one address.
pub struct HalfOpen {
    pub left: u16,
    pub every: Duration,
}

impl Attack for HalfOpen {
    fn act(&mut self, me: Place, random: &mut SplitMix, cx: &mut Cx<'_>) -> Option<Duration> {
        let from = me.at_port(2_000 + self.left);
        cx.send(&Raw::new(from, "S", random.next_u64() as u32, 0));
        self.left -= 1;
        (self.left > 0).then_some(self.every)
    }
}

/// The little TCP that a hostile peer needs.
#[derive(Default)]
struct Tcp {
    seq: u32,
    ack: u32,
    connected: bool,
    /// The server has ended the connection.
    ended: bool,
}

impl Tcp {
    fn connect(&mut self, me: Place, random: &mut SplitMix, window: u16, cx: &mut Cx<'_>) {
        self.seq = random.next_u64() as u32;
        cx.send(&Raw::new(me, "S", self.seq, 0).window(window));
        self.seq = self.seq.wrapping_add(1);
    }

    /// Takes what comes in order; whether there is anything to acknowledge.
    fn hear(&mut self, seen: &Seen) -> bool {
        if seen.syn && seen.ack_flag && seen.ack == self.seq && !self.connected {
            self.connected = true;
            self.ack = seen.seq;
        }
        self.ended |= seen.rst || seen.fin;
        if seen.seq == self.ack && !seen.rst {
            self.ack = seen.end();
        }
        !seen.rst && (seen.syn || seen.fin || seen.payload_bytes > 0)
    }

    fn segment(&self, me: Place, window: u16) -> Raw {
        Raw::new(me, "A", self.seq, self.ack).window(window)
    }

    fn say(&mut self, me: Place, window: u16, payload: &[u8], cx: &mut Cx<'_>) {
        cx.send(&self.segment(me, window).payload(payload));
        self.seq = self.seq.wrapping_add(payload.len() as u32);
    }
}

/// A request head without an end, byte by byte.
#[derive(Default)]
pub struct SlowDrip {
    tcp: Tcp,
    pub left: u32,
    pub every: Duration,
    said: usize,
    began: Option<Instant>,
    overdue: bool,
    /// Up to where the server has taken it.
    acked: u32,
    /// When the server first took some of it all the same.
    taken_at: Option<Instant>,
    dripped_on: bool,
}

/// No request head may take this long, whatever the server's limit is.
const LONGEST_HEAD: Duration = Duration::from_secs(180);

impl SlowDrip {
    pub fn new(left: u32, every: Duration) -> SlowDrip {
        SlowDrip {
            left,
            every,
            ..SlowDrip::default()
        }
    }
}

impl Attack for SlowDrip {
    fn act(&mut self, me: Place, random: &mut SplitMix, cx: &mut Cx<'_>) -> Option<Duration> {
        const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: lab\r\nX-Slow: ";
        if !self.tcp.connected {
            self.tcp.connect(me, random, 64_000, cx);
        } else if !self.tcp.ended {
            let began = *self.began.get_or_insert(cx.now);
            self.overdue = cx.now >= began + LONGEST_HEAD;
            let byte = HEAD.get(self.said).copied().unwrap_or(b'x');
            self.tcp.say(me, 64_000, &[byte], cx);
            self.said += 1;
        }
        self.left -= 1;
        (self.left > 0).then_some(self.every)
    }

    fn hear(&mut self, me: Place, seen: &Seen, cx: &mut Cx<'_>) {
        // Neither a RST nor what a half-open connection says that somebody has forged
        // in its name takes anything.
        let is_taken = !seen.rst && !seen.syn && seen.ack != self.acked;
        self.acked = seen.ack;
        if self.overdue && is_taken {
            // Not at one time only: a server that was stopped takes what has
            // waited for it before it looks at the clock.
            let first = *self.taken_at.get_or_insert(cx.now);
            self.dripped_on |= cx.now >= first + Duration::from_secs(10);
        }
        if self.tcp.hear(seen) {
            cx.send(&self.tcp.segment(me, 64_000));
        }
    }

    fn success(&self) -> Option<&'static str> {
        self.dripped_on
            .then_some("a request head dripped in for minutes")
    }
}

/// Asks for much and reads nothing: its window closes and stays closed, and it
/// answers every probe.
#[derive(Default)]
pub struct ReadsNothing {
    tcp: Tcp,
    pub opening_window: u16,
    asked: bool,
    pub left: u32,
}

impl ReadsNothing {
    pub fn new(opening_window: u16, left: u32) -> ReadsNothing {
        ReadsNothing {
            opening_window,
            left,
            ..ReadsNothing::default()
        }
    }
}

impl Attack for ReadsNothing {
    fn act(&mut self, me: Place, random: &mut SplitMix, cx: &mut Cx<'_>) -> Option<Duration> {
        if !self.tcp.connected {
            self.tcp.connect(me, random, self.opening_window, cx);
        } else if !self.asked {
            self.asked = true;
            let request = b"GET /1000000 HTTP/1.1\r\nHost: lab\r\n\r\n";
            self.tcp.say(me, self.opening_window, request, cx);
        }
        self.left -= 1;
        (self.left > 0).then_some(Duration::from_secs(2))
    }

    fn hear(&mut self, me: Place, seen: &Seen, cx: &mut Cx<'_>) {
        if self.tcp.hear(seen) {
            let window = if self.asked { 0 } else { self.opening_window };
            cx.send(&self.tcp.segment(me, window));
        }
    }
}

/// On a connection of its own: acknowledges what was never sent, repeats old
/// ACKs by the dozen, offers bytes far beyond the window.
#[derive(Default)]
pub struct Liar {
    tcp: Tcp,
    pub left: u32,
}

impl Liar {
    pub fn new(left: u32) -> Liar {
        Liar {
            left,
            ..Liar::default()
        }
    }
}

impl Attack for Liar {
    fn act(&mut self, me: Place, random: &mut SplitMix, cx: &mut Cx<'_>) -> Option<Duration> {
        if !self.tcp.connected {
            self.tcp.connect(me, random, 20_000, cx);
        } else {
            let request = b"GET /100000 HTTP/1.1\r\nHost: lab\r\n\r\n";
            let honest = self.tcp.segment(me, 20_000);
            match below(random, 4) {
                0 => self.tcp.say(me, 20_000, request, cx),
                1 => (0..50).for_each(|_| cx.send(&honest)),
                2 => {
                    let ack = honest.ack.wrapping_add(1 + below(random, 1 << 20) as u32);
                    cx.send(&Raw { ack, ..honest });
                }
                _ => {
                    let seq = honest.seq.wrapping_add(below(random, 1 << 20) as u32);
                    cx.send(&Raw { seq, ..honest }.payload(request));
                }
            }
        }
        self.left -= 1;
        (self.left > 0).then_some(Duration::from_millis(1 + below(random, 300)))
    }

    fn hear(&mut self, me: Place, seen: &Seen, cx: &mut Cx<'_>) {
        if self.tcp.hear(seen) {
            cx.send(&self.tcp.segment(me, 20_000));
        }
    }
}

/// Connects, asks, and resets, again and again from one port.
#[derive(Default)]
pub struct Flapper {
    tcp: Tcp,
    pub left: u32,
}

impl Flapper {
    pub fn new(left: u32) -> Flapper {
        Flapper {
            left,
            ..Flapper::default()
        }
    }
}

impl Attack for Flapper {
    fn act(&mut self, me: Place, random: &mut SplitMix, cx: &mut Cx<'_>) -> Option<Duration> {
        if self.tcp.connected {
            let seq = self.tcp.seq;
            cx.send(&Raw::new(me, "R", seq, 0));
            self.tcp = Tcp::default();
        }
        self.tcp.connect(me, random, 64_000, cx);
        self.left -= 1;
        (self.left > 0).then_some(Duration::from_millis(5 + below(random, 200)))
    }

    fn hear(&mut self, me: Place, seen: &Seen, cx: &mut Cx<'_>) {
        if self.tcp.hear(seen) && seen.syn {
            let request = b"GET /200000 HTTP/1.1\r\nHost: lab\r\n\r\n";
            self.tcp.say(me, 64_000, request, cx);
        }
    }
}

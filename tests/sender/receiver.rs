//! A receiver by the book (RFC 5681 §4.2, RFC 2018, RFC 2883), or nearly so: it may
//! take back what it has SACKed (RFC 2018 §8), and its application may be slow.

use crate::raw::{MTU_BYTES, Place, SERVER, SERVER_MAC, SERVER_PORT, Seen, after};
use etherparse::{PacketBuilder, TcpHeader, TcpOptionElement};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use xdphttpd::net::{Duration, Instant};
use xdphttpd::wire::SplitMix;

/// How long it waits before it says something again.
const REPEAT: Duration = Duration::from_secs(1);
const ISS: u32 = u32::MAX - 20;

/// What it can do, and how it behaves.
#[derive(Clone, Debug)]
pub struct Habits {
    pub mss: u16,
    pub sack: bool,
    pub timestamps: bool,
    pub window_shift: Option<u8>,
    /// Receive buffer.
    pub buffer_bytes: usize,
    /// Its application reads as often as this; `ZERO`: at once.
    pub reads_every: Duration,
    pub ack_delay: Duration,
    /// How often it throws away what has come out of order.
    pub reneges: f64,
    /// FIN follows the request.
    pub half_closes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    SynSent,
    Open,
    /// It has answered the server's FIN with its own, or had sent that before.
    Closed,
    Reset,
}

/// See the [module](self).
pub struct Receiver {
    habits: Habits,
    place: Place,
    request: Vec<u8>,
    state: State,
    random: SplitMix,
    /// ISS of the server, once known.
    irs: u32,
    /// What came in order, read or not.
    pub text: Vec<u8>,
    unread: usize,
    /// Out of order: bytes by offset, and when they came.
    beyond: BTreeMap<usize, (Vec<u8>, u64)>,
    count: u64,
    /// Where FIN stands in the text, and whether all before it has come.
    fin_at: Option<usize>,
    /// SND.UNA and SND.NXT.
    una: u32,
    nxt: u32,
    /// The right edge that the server was told of, as an offset.
    edge: usize,
    ts_recent: u32,
    unanswered: u32,
    ack_at: Option<Instant>,
    read_at: Option<Instant>,
    repeat_at: Option<Instant>,
    out: Vec<Vec<u8>>,
}

impl Receiver {
    pub fn new(habits: Habits, path: &str, seed: u64) -> Receiver {
        Receiver {
            habits,
            place: Place {
                mac: [2, 0, 0, 0, 0, 2],
                address: Ipv4Addr::new(10, 11, 1, 2),
                port: 40_000,
            },
            request: format!("GET {path} HTTP/1.0\r\nHost: lab\r\n\r\n").into_bytes(),
            state: State::SynSent,
            random: SplitMix(seed),
            irs: 0,
            text: Vec::new(),
            unread: 0,
            beyond: BTreeMap::new(),
            count: 0,
            fin_at: None,
            una: ISS,
            nxt: ISS,
            edge: 0,
            ts_recent: 0,
            unanswered: 0,
            ack_at: None,
            read_at: None,
            repeat_at: Some(Instant::from_millis(1)),
            out: Vec::new(),
        }
    }

    pub fn is_done(&self) -> bool {
        self.state == State::Closed
    }

    pub fn is_reset(&self) -> bool {
        self.state == State::Reset
    }

    pub fn next_at(&self) -> Option<Instant> {
        let times = [self.ack_at, self.read_at, self.repeat_at];
        times.into_iter().flatten().min()
    }

    pub fn take_frames(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.out)
    }

    fn has_all(&self) -> bool {
        self.fin_at == Some(self.text.len())
    }

    // --- what comes ----------------------------------------------------------

    pub fn hear(&mut self, seen: &Seen, payload: &[u8], now: Instant) {
        if seen.rst {
            if self.state != State::Closed {
                self.state = State::Reset;
            }
            return;
        }
        match self.state {
            State::SynSent if seen.syn && seen.ack == ISS.wrapping_add(1) => {
                self.irs = seen.seq;
                self.una = seen.ack;
                self.ts_recent = seen.stamp.unwrap_or(0);
                self.state = State::Open;
                self.ask(now);
            }
            State::Open | State::Closed if seen.syn => self.ack(None, now),
            State::Open | State::Closed => self.take(seen, payload, now),
            State::SynSent | State::Reset => {}
        }
    }

    fn take(&mut self, seen: &Seen, payload: &[u8], now: Instant) {
        if seen.stamp.is_some_and(|stamp| after(self.ts_recent, stamp)) {
            return self.ack(None, now); // PAWS
        }
        if after(seen.ack, self.una) {
            self.una = seen.ack;
        }
        if payload.is_empty() && !seen.fin {
            return;
        }
        let start = seen.seq.wrapping_sub(self.irs.wrapping_add(1)) as i32;
        let next = self.text.len();
        if start <= next as i32 {
            self.ts_recent = seen.stamp.unwrap_or(0);
        }
        let Ok(start) = usize::try_from(start) else {
            return self.ack(None, now);
        };
        if seen.fin {
            self.fin_at = Some(start + payload.len());
        }
        let end = start + payload.len();
        let had_hole = !self.beyond.is_empty();
        let twice = self.store(start, payload);
        let is_in_order = start == next && !had_hole && twice.is_none();
        if self.beyond.len() > 1 && self.random.chance(self.habits.reneges) {
            self.beyond.clear();
        }
        self.unanswered += 1;
        self.read_at = self.read_at.or(Some(now + self.habits.reads_every));
        if self.habits.reads_every == Duration::ZERO {
            self.unread = 0;
            self.read_at = None;
        }
        if self.has_all() {
            self.say_fin(now);
        } else if !is_in_order || self.unanswered > 1 || end > self.edge {
            self.ack(twice, now);
        } else {
            self.ack_at = Some(now + self.habits.ack_delay);
        }
    }

    /// Keeps what there is room for; what of it came twice.
    fn store(&mut self, start: usize, payload: &[u8]) -> Option<(usize, usize)> {
        let end = start + payload.len();
        let room = self.text.len() + self.habits.buffer_bytes - self.unread;
        let is_old = end <= self.text.len() && !payload.is_empty();
        let is_held =
            |(&at, (bytes, _)): (&usize, &(Vec<u8>, u64))| at <= start && end <= at + bytes.len();
        if is_old || (!payload.is_empty() && self.beyond.iter().any(is_held)) {
            return Some((start, end));
        }
        let kept = &payload[..payload.len().min(room.saturating_sub(start))];
        self.count += 1;
        if !kept.is_empty() {
            self.beyond.insert(start, (kept.to_vec(), self.count));
        }
        while let Some((&at, _)) = self.beyond.first_key_value()
            && at <= self.text.len()
        {
            let (bytes, _) = self.beyond.remove(&at).expect("the first");
            let known = self.text.len() - at;
            if let Some(new) = bytes.get(known..) {
                self.text.extend_from_slice(new);
                self.unread += new.len();
            }
        }
        None
    }

    // --- what goes -----------------------------------------------------------

    /// What is due.
    pub fn act(&mut self, now: Instant) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.read_at) {
            self.read_at = None;
            let was_small = self.window() < usize::from(self.habits.mss);
            self.unread = 0;
            if was_small {
                self.ack(None, now); // a window update
            }
        }
        if is_due(self.ack_at) {
            self.ack(None, now);
        }
        if is_due(self.repeat_at) {
            match self.state {
                State::SynSent => self.send("S", ISS, Vec::new(), b"", now),
                State::Open if !self.is_asked() => self.ask(now),
                State::Closed if !self.is_over() => self.say_fin(now),
                _ => return self.repeat_at = None,
            }
            self.repeat_at = Some(now + REPEAT);
        }
    }

    fn asked_end(&self) -> u32 {
        ISS.wrapping_add(1 + self.request.len() as u32)
    }

    fn is_asked(&self) -> bool {
        let fin = u32::from(self.habits.half_closes);
        !after(self.asked_end().wrapping_add(fin), self.una)
    }

    /// Whether the server has acknowledged its FIN.
    fn is_over(&self) -> bool {
        after(self.una, self.asked_end())
    }

    fn ask(&mut self, now: Instant) {
        let flags = if self.habits.half_closes { "FA" } else { "A" };
        let request = self.request.clone();
        self.send(flags, ISS.wrapping_add(1), Vec::new(), &request, now);
        self.repeat_at = Some(now + REPEAT);
    }

    fn say_fin(&mut self, now: Instant) {
        self.state = State::Closed;
        if self.is_over() {
            return self.ack(None, now);
        }
        let fin_at = self.asked_end();
        self.send("FA", fin_at, Vec::new(), b"", now);
        self.repeat_at = Some(now + REPEAT);
    }

    fn ack(&mut self, twice: Option<(usize, usize)>, now: Instant) {
        let blocks = match self.habits.sack {
            true => self.blocks(twice),
            false => Vec::new(),
        };
        self.send("A", self.nxt, blocks, b"", now);
    }

    /// A D-SACK, and then what came last first.
    fn blocks(&self, twice: Option<(usize, usize)>) -> Vec<(usize, usize)> {
        let mut runs: Vec<(u64, usize, usize)> = Vec::new();
        for (&start, (bytes, at)) in &self.beyond {
            let end = start + bytes.len();
            match runs.last_mut() {
                Some(run) if start <= run.2 => *run = (run.0.max(*at), run.1, run.2.max(end)),
                _ => runs.push((*at, start, end)),
            }
        }
        runs.sort_by_key(|&(at, ..)| Reverse(at));
        let most = if self.habits.timestamps { 3 } else { 4 };
        let runs = runs.into_iter().map(|(_, start, end)| (start, end));
        twice.into_iter().chain(runs).take(most).collect()
    }

    fn window(&self) -> usize {
        self.habits.buffer_bytes - self.unread.min(self.habits.buffer_bytes)
    }

    fn send(
        &mut self,
        flags: &str,
        seq: u32,
        blocks: Vec<(usize, usize)>,
        payload: &[u8],
        now: Instant,
    ) {
        let is_syn = flags == "S";
        let shift = if is_syn {
            0
        } else {
            self.habits.window_shift.unwrap_or(0)
        };
        let window = (self.window() >> shift).min(65_535) as u16;
        let mut tcp = TcpHeader::new(self.place.port, SERVER_PORT, seq, window);
        (tcp.syn, tcp.ack, tcp.fin) = (is_syn, !is_syn, flags.contains('F'));
        let at = |offset: usize| self.irs.wrapping_add(1 + offset as u32);
        if !is_syn {
            let fin = usize::from(self.has_all());
            tcp.acknowledgment_number = at(self.text.len() + fin);
            self.edge = self
                .edge
                .max(self.text.len() + (usize::from(window) << shift));
        }
        let mut options = Vec::new();
        if self.habits.timestamps {
            let time = 1 + now.total_millis() as u32;
            options.push(TcpOptionElement::Timestamp(time, self.ts_recent));
        }
        if is_syn {
            options.push(TcpOptionElement::MaximumSegmentSize(self.habits.mss));
            if self.habits.sack {
                options.push(TcpOptionElement::SelectiveAcknowledgementPermitted);
            }
            options.extend(self.habits.window_shift.map(TcpOptionElement::WindowScale));
        } else if let Some((first, rest)) = blocks.split_first() {
            let number = |&(start, end): &(usize, usize)| (at(start), at(end));
            let mut others = rest.iter().map(number);
            let others = [(); 3].map(|()| others.next());
            options.push(TcpOptionElement::SelectiveAcknowledgement(
                number(first),
                others,
            ));
        }
        let end = seq.wrapping_add(payload.len() as u32 + u32::from(tcp.syn || tcp.fin));
        if after(end, self.nxt) {
            self.nxt = end;
        }
        tcp.set_options(&options).expect("room for the options");
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(self.place.mac, SERVER_MAC)
            .ipv4(self.place.address.octets(), SERVER.octets(), 64)
            .tcp_header(tcp)
            .write(&mut frame, payload)
            .expect("writing to a Vec");
        assert!(frame.len() <= MTU_BYTES);
        self.out.push(frame);
        self.unanswered = 0;
        self.ack_at = None;
    }
}

//! Who watches the wire: the digest, the trace, and what every flow looks like
//! to somebody who sees all.

use super::raw::{Endpoint, Seen, after};
use super::rules::Rules;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use xdphttpd::net::{Duration, FrameSink, Instant};
use xdphttpd::wire::Sender;

/// The least silence of a peer after which the server may end a connection
/// that was not idle.
const LEAST_PATIENCE: Duration = Duration::from_secs(10);
/// Frames that the wire must have lost in that silence to be blamed for it ...
const BLAMED_LOSSES: u32 = 2;
/// ... or one, if the silence is as long as a retransmission timer backs off to.
const LONG_SILENCE: Duration = Duration::from_secs(60);
/// Who sends again and gives up within this time has not waited for the answer.
const HASTE: Duration = Duration::from_secs(1);
/// Frames kept for who replays them.
const CAPTURED_FRAMES: usize = 256;

/// One flow, as the whole wire shows it.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Where its SYN came from.
    pub mac: [u8; 6],
    client_first: u32,
    server_first: u32,
    /// SND.NXT and RCV.NXT of the server, as it said.
    pub server_next: u32,
    pub client_next: u32,
    /// What the client has acknowledged.
    pub acked: u32,
    /// The handshake was completed, and nobody has ended the connection since.
    pub open: bool,
    /// When the server last got a frame of it, and what the wire has lost since.
    heard_at: Instant,
    lost_since: u32,
    /// When the client last closed its window.
    pub closed_window_at: Option<Instant>,
    sent_at: Instant,
    /// When the server gave up right after having sent something again.
    pub hasty_at: Option<Instant>,
    /// When the wire, or the line at the server's door, had kept server and client
    /// apart for so long that either may have given up.
    pub blamed_at: Option<Instant>,
    rules: Rules,
}

/// Sees every frame.
pub struct Watch {
    pub now: Instant,
    digest: DefaultHasher,
    trace: bool,
    pub flows: BTreeMap<Endpoint, Flow>,
    /// The latest frames that reached the server.
    pub captured: Vec<Vec<u8>>,
    captures: usize,
    /// Until when nothing passed, or nobody was there, for a time worth naming.
    pub blackout_until: Instant,
    /// Larger frames of the server's are swallowed, and that is no loss to blame the
    /// wire for: a sender has to find it out.
    black_hole_bytes: Option<usize>,
    /// What the server sent and should not have.
    pub complaints: Vec<String>,
}

impl Watch {
    pub fn new(trace: bool, black_hole_bytes: Option<usize>) -> Watch {
        Watch {
            now: Instant::ZERO,
            digest: DefaultHasher::new(),
            trace,
            flows: BTreeMap::new(),
            captured: Vec::new(),
            captures: 0,
            blackout_until: Instant::ZERO,
            black_hole_bytes,
            complaints: Vec::new(),
        }
    }

    /// All frames so far, their times and their order, as one number.
    pub fn digest(&self) -> u64 {
        self.digest.finish()
    }

    /// Says something in the trace.
    pub fn say(&self, what: &str) {
        if self.trace {
            eprintln!("{:>14.6} {what}", self.now.total_micros() as f64 / 1e6);
        }
    }

    /// A client's frame has been put on the wire.
    pub fn sent_to_server(&mut self, frame: &[u8], lost: bool) {
        if let Some(seen) = Seen::read(frame).filter(|_| lost) {
            self.note_loss(seen.from);
            self.show("->X", &seen, seen.from);
        }
    }

    /// A frame has been taken by the server, after it stood in line for it.
    pub fn reached_server(&mut self, frame: &[u8], stood: Duration) {
        self.hash(b'>', frame);
        self.capture(frame);
        let Some(seen) = Seen::read(frame) else {
            return self.say(&format!("->  {} bytes of no segment", frame.len()));
        };
        self.judge_silence(seen.from);
        let now = self.now;
        if stood >= LEAST_PATIENCE
            && let Some(flow) = self.flows.get_mut(&seen.from)
        {
            flow.blamed_at = Some(now);
        }
        if seen.syn && !seen.ack_flag && !seen.rst && !self.flows.contains_key(&seen.from) {
            self.flows.insert(seen.from, Flow::begin(&seen, now));
        }
        if let Some(flow) = self.flows.get_mut(&seen.from) {
            flow.rules.hear(&seen);
            flow.hear(&seen, now);
        }
        self.show("-> ", &seen, seen.from);
    }

    /// The server has put a frame on the wire.
    fn sent_by_server(&mut self, frame: &[u8], lost: bool) {
        self.hash(b'<', frame);
        let Some(seen) = Seen::read(frame) else {
            return self.say("<-  a frame that is no segment");
        };
        let is_swallowed = self
            .black_hole_bytes
            .is_some_and(|largest| frame.len() > largest);
        if lost && !is_swallowed {
            self.note_loss(seen.to);
        }
        self.judge_silence(seen.to);
        let now = self.now;
        if let Some(flow) = self.flows.get_mut(&seen.to) {
            if let Some(what) = flow.rules.judge(&seen) {
                let Endpoint { address, port } = seen.to;
                self.complaints
                    .push(format!("at {now} the server {what}, to {address}:{port}"));
            }
            flow.be_told(&seen, now);
        }
        self.show(if lost { "X<-" } else { " <-" }, &seen, seen.to);
    }

    /// A flow as it looks now.
    pub fn flow(&mut self, whose: Endpoint) -> Option<&Flow> {
        self.judge_silence(whose);
        self.flows.get(&whose)
    }

    fn note_loss(&mut self, whose: Endpoint) {
        if let Some(flow) = self.flows.get_mut(&whose) {
            flow.lost_since += 1;
        }
    }

    fn judge_silence(&mut self, whose: Endpoint) {
        if let Some(flow) = self.flows.get_mut(&whose) {
            // A blackout also makes retransmission timers back off: one more loss
            // after it, and they are silent for long.
            let losses = flow.lost_since;
            let blackout = self.blackout_until;
            let blamed = losses >= BLAMED_LOSSES
                || blackout >= flow.heard_at
                || (losses > 0 && blackout > Instant::ZERO);
            let silence = self.now - flow.heard_at;
            let blamed = blamed || (losses > 0 && silence >= LONG_SILENCE);
            let silent = silence >= LEAST_PATIENCE;
            if silent && blamed {
                flow.blamed_at = Some(self.now);
            }
        }
    }

    fn capture(&mut self, frame: &[u8]) {
        if self.captured.len() < CAPTURED_FRAMES {
            self.captured.push(frame.to_vec());
        } else {
            self.captured[self.captures % CAPTURED_FRAMES] = frame.to_vec();
        }
        self.captures += 1;
    }

    fn hash(&mut self, direction: u8, frame: &[u8]) {
        self.digest.write_i64(self.now.total_micros());
        self.digest.write_u8(direction);
        self.digest.write(frame);
    }

    /// Numbers are shown relative to the flow's first ones.
    fn show(&self, arrow: &str, seen: &Seen, whose: Endpoint) {
        if !self.trace {
            return;
        }
        let flow = self.flows.get(&whose);
        let (client, server) = flow.map_or((0, 0), |flow| (flow.client_first, flow.server_first));
        let (seq, ack) = if seen.from == whose {
            (client, server)
        } else {
            (server, client)
        };
        let Endpoint { address, port } = whose;
        let Seen {
            window,
            payload_bytes,
            ..
        } = seen;
        self.say(&format!(
            "{address}:{port} {arrow} {:<3} seq {} ack {} window {window} length {payload_bytes}",
            seen.flags(),
            seen.seq.wrapping_sub(seq) as i32,
            seen.ack.wrapping_sub(ack) as i32,
        ));
    }
}

impl Flow {
    fn begin(syn: &Seen, now: Instant) -> Flow {
        Flow {
            mac: syn.from_mac,
            client_first: syn.seq,
            server_first: 0,
            server_next: 0,
            client_next: syn.end(),
            acked: 0,
            open: false,
            heard_at: now,
            lost_since: 0,
            closed_window_at: None,
            sent_at: now,
            hasty_at: None,
            blamed_at: None,
            rules: Rules::default(),
        }
    }

    fn hear(&mut self, seen: &Seen, now: Instant) {
        if !seen.syn {
            self.begin_silence(now);
        }
        if seen.window == 0 && seen.ack_flag && !after(self.acked, seen.ack) {
            self.closed_window_at = Some(now);
        }
        if seen.ack_flag && after(seen.ack, self.acked) && !after(seen.ack, self.server_next) {
            self.acked = seen.ack;
            self.open = true;
        }
        if seen.rst || seen.fin {
            self.open = false;
        }
    }

    fn begin_silence(&mut self, now: Instant) {
        self.heard_at = now;
        self.lost_since = 0;
    }

    fn be_told(&mut self, seen: &Seen, now: Instant) {
        if seen.syn && seen.seq != self.server_first {
            // A new connection.
            self.begin_silence(now);
            self.server_first = seen.seq;
            self.server_next = seen.end();
            self.client_first = seen.ack.wrapping_sub(1);
            self.client_next = seen.ack;
            self.acked = seen.seq;
            self.open = false;
        }
        if seen.rst || seen.fin {
            self.open = false;
        }
        let given_up = seen.rst && now >= self.heard_at + LEAST_PATIENCE;
        if given_up && now < self.sent_at + HASTE {
            self.hasty_at = Some(now);
        }
        self.sent_at = now;
        if !seen.rst && after(seen.end(), self.server_next) {
            self.server_next = seen.end();
        }
        if seen.ack_flag && !seen.rst && after(seen.ack, self.client_next) {
            self.client_next = seen.ack;
        }
    }
}

/// The server's end of the wire, watched.
pub struct Watched<'a> {
    pub sender: Sender<'a>,
    pub watch: &'a mut Watch,
}

impl FrameSink for Watched<'_> {
    fn ready(&mut self) -> bool {
        self.sender.ready()
    }

    fn reserve(&mut self, len_bytes: usize) -> Option<&mut [u8]> {
        self.sender.reserve(len_bytes)
    }

    fn submit(&mut self, len_bytes: usize) {
        let frame = self.sender.reserved().to_vec();
        let before = self.sender.tally().lost;
        self.sender.submit(len_bytes);
        let lost = self.sender.tally().lost > before;
        self.watch.sent_by_server(&frame, lost);
    }
}

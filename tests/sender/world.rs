//! The server, the receiver, the path between them, and who watches it.

use crate::raw::{ETHERNET_BYTES, MTU_BYTES, Seen, after};
use crate::receiver::{Habits, Receiver};
use crate::rules::Rules;
use etherparse::TcpHeaderSlice;
use xdphttpd::net::congestion::initial_window_bytes;
use xdphttpd::net::options;
use xdphttpd::net::{Algorithm, Duration, FrameSink, Instant, Stack};
use xdphttpd::service::HttpService;
use xdphttpd::site::InlineLoader;
use xdphttpd::wire::{Bursts, Direction, Impairments, Sender, SplitMix};

/// More time than any case takes.
const LONGEST: Duration = Duration::from_secs(3_600);
/// RFC 6298 §2.5, and what a turn may be late.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(61);
/// Losses in a row after which the server may give up: its timer, doubled each time,
/// runs out about so often within the patience with a response that does not move.
const HOPELESS: u32 = 5;
/// A pause below this is no silence.
const SILENCE: Duration = Duration::from_millis(150);
/// More than the server's ring needs to hold on any path.
const RING_FRAMES: usize = 1 << 16;

/// What a seed stands for.
#[derive(Clone, Debug)]
pub struct Case {
    pub seed: u64,
    pub congestion: Algorithm,
    pub habits: Habits,
    pub path: [Impairments; 2],
}

fn pick<T: Clone>(random: &mut SplitMix, items: &[T]) -> T {
    items[random.next_u64() as usize % items.len()].clone()
}

impl Case {
    pub fn draw(seed: u64) -> Case {
        let random = &mut SplitMix(seed.wrapping_mul(0x9e37_79b9));
        let ms = Duration::from_millis;
        let habits = Habits {
            mss: pick(random, &[1_460, 1_460, 1_220, 536]),
            sack: !random.chance(0.2),
            timestamps: random.chance(0.5),
            window_shift: pick(random, &[None, Some(0), Some(4), Some(7)]),
            buffer_bytes: pick(random, &[3_000, 16_000, 65_535, 300_000, 1_000_000]),
            reads_every: ms(pick(random, &[0, 0, 0, 3, 50])),
            ack_delay: ms(pick(random, &[0, 40, 200])),
            reneges: pick(random, &[0.0, 0.0, 0.0, 0.01]),
            half_closes: random.chance(0.3),
        };
        let delay = Duration::from_micros(pick(random, &[50, 1_000, 10_000, 50_000, 150_000]));
        let rates = [1, 10, 100, 1_000].map(|mbit| Some(mbit * 125_000));
        let rate = pick(random, &rates).filter(|_| !random.chance(0.3));
        let wait = ms(pick(random, &[5, 50, 500]));
        let path = [(); 2].map(|()| Impairments {
            loss: pick(random, &[0.0, 0.001, 0.01, 0.05, 0.1]),
            bursts: pick(
                random,
                &[
                    None,
                    None,
                    Some(Bursts {
                        begin: 0.005,
                        end: 0.3,
                    }),
                ],
            ),
            duplicate: pick(random, &[0.0, 0.0, 0.01, 0.1]),
            reorder: pick(random, &[0.0, 0.0, 0.01, 0.1, 0.3]),
            corrupt: pick(random, &[0.0, 0.0, 0.01]),
            delay,
            jitter: pick(random, &[Duration::ZERO, delay / 4]),
            hold: pick(random, &[ms(2), delay, delay * 2]),
            bytes_per_s: rate,
            longest_wait: wait,
            black_hole_bytes: None,
        });
        let algorithms = [Algorithm::Cubic, Algorithm::Bbr, Algorithm::None];
        Case {
            seed,
            congestion: pick(random, &algorithms),
            habits,
            path,
        }
    }

    /// RFC 6298: no first retransmission timeout is longer. The variance is at most
    /// the longest round trip, and so is the mean.
    fn longest_timeout(&self) -> Duration {
        let way = |path: &Impairments| {
            let line = path
                .bytes_per_s
                .map_or(Duration::ZERO, |_| path.longest_wait);
            path.delay + path.jitter + path.hold + line
        };
        let trip = way(&self.path[0]) + way(&self.path[1]) + self.habits.ack_delay;
        Duration::from_millis(1_100) + trip * 5
    }
}

/// What the server has sent, and whether it should have.
struct Judge {
    rules: Rules,
    case: Case,
    is_shown: bool,
    mss_bytes: u64,
    /// ISS, once known.
    iss: u32,
    /// All text that was sent, from its first byte on.
    text: Vec<u8>,
    has_repeated: bool,
    acked_bytes: u64,
    /// The same, or SACKed.
    reached_bytes: u64,
    is_open_window: bool,
    /// What the wire has lost since the server last heard of progress: of the client's
    /// frames, and of the server's those with the first byte that is missing.
    lost_since: u32,
    /// When the server last sent or heard something, and how many silences it has
    /// broken by itself since it last heard of progress.
    stirred_at: Instant,
    silences: u32,
    complaint: Option<String>,
}

impl Judge {
    /// Numbers are relative to the server's first.
    fn show(&self, arrow: &str, seen: &Seen, more: &str, now: Instant) {
        if !self.is_shown {
            return;
        }
        let at = |number: u32| number.wrapping_sub(self.iss);
        let (flags, bytes, window) = (seen.flags(), seen.payload_bytes, seen.window);
        let (seq, ack) = match arrow.starts_with('-') {
            true => (seen.seq, at(seen.ack)),
            false => (at(seen.seq), seen.ack),
        };
        eprintln!("{now} {arrow} {flags} seq {seq} ack {ack} window {window} length {bytes}{more}");
    }

    /// Whether the frame has the first byte that is missing.
    fn is_first(&self, frame: &[u8]) -> bool {
        let start = self.iss.wrapping_add(1 + self.acked_bytes as u32);
        Seen::read(frame).is_some_and(|seen| !after(seen.seq, start))
    }

    fn note_loss(&mut self, frames: u64) {
        self.lost_since += frames as u32;
        if self.is_shown && frames > 0 {
            eprintln!("that was lost");
        }
    }

    fn complain(&mut self, what: String) {
        self.complaint.get_or_insert(what);
    }

    fn hear(&mut self, frame: &[u8], now: Instant) {
        let Some(seen) = Seen::read(frame) else {
            return;
        };
        self.rules.hear(&seen);
        self.is_open_window = seen.window > 0;
        self.stirred_at = now;
        if !seen.ack_flag || seen.rst {
            return;
        }
        // With FIN, which is no text.
        let most = self.text.len() as u64;
        let bytes = |seq: u32| u64::from(seq.wrapping_sub(self.iss.wrapping_add(1)));
        let known = |seq: u32| (bytes(seq) <= most + 1).then(|| bytes(seq).min(most));
        let acked = known(seen.ack).unwrap_or(0);
        let tcp = TcpHeaderSlice::from_slice(&frame[ETHERNET_BYTES + 20..]).expect("it was read");
        let sacked = options::sacks(tcp.options()).filter_map(|(_, end)| known(end));
        let reached = sacked.fold(acked, u64::max);
        let blocks: Vec<_> = options::sacks(tcp.options())
            .map(|(start, end)| (bytes(start), bytes(end)))
            .collect();
        self.show("->", &seen, &format!(" sacks {blocks:?}"), now);
        if acked > self.acked_bytes {
            // RFC 6298 §5.7: what says no more than before ends no back-off.
            self.silences = 0;
            self.lost_since = 0;
            self.acked_bytes = acked;
        }
        self.reached_bytes = self.reached_bytes.max(reached);
    }

    fn judge(&mut self, frame: &[u8], now: Instant) {
        let Some(seen) = Seen::read(frame) else {
            return self.complain("it sent a frame that is none".to_owned());
        };
        if let Some(why) = self.rules.judge(&seen) {
            self.complain(format!("at {now} it {why}"));
        }
        if seen.syn {
            self.iss = seen.seq;
        }
        self.show("<-", &seen, "", now);
        if seen.syn || seen.rst || seen.payload_bytes == 0 {
            return;
        }
        let at = seen.seq.wrapping_sub(self.iss.wrapping_add(1)) as usize;
        let payload = &frame[frame.len() - seen.payload_bytes..];
        self.judge_silence(now);
        let known = self.text.len().saturating_sub(at).min(payload.len());
        if at > self.text.len() || self.text[at..at + known] != payload[..known] {
            self.complain(format!(
                "at {now} it altered or left out bytes from {at} on"
            ));
        }
        self.has_repeated |= known > 0;
        self.text.extend_from_slice(&payload[known..]);
        self.judge_slow_start(now);
    }

    /// While nothing was repeated, what is in flight is at most the first window, and
    /// for each byte that arrived one more (RFC 5681 §3.1); and a probe.
    fn judge_slow_start(&mut self, now: Instant) {
        let first = initial_window_bytes(self.mss_bytes as u16);
        let most = first + 2 * self.reached_bytes + self.mss_bytes;
        let sent = self.text.len() as u64;
        if self.case.congestion != Algorithm::None && !self.has_repeated && sent > most {
            let reached = self.reached_bytes;
            self.complain(format!(
                "at {now} it has sent {sent}, of which {reached} arrived"
            ));
        }
    }

    /// RFC 6298 §5.5: each silence is at most twice as long as the one before.
    fn judge_silence(&mut self, now: Instant) {
        let silence = now - self.stirred_at;
        let most = self.case.longest_timeout() * (1 << self.silences.min(6));
        let most = most.min(LONGEST_TIMEOUT);
        let is_owing = (self.acked_bytes as usize) < self.text.len();
        if is_owing && self.is_open_window && silence > most {
            self.complain(format!("at {now} it was silent for {silence}"));
        }
        self.silences += u32::from(silence >= SILENCE);
        self.stirred_at = now;
    }
}

/// The server's end of the wire, judged.
struct Judged<'a> {
    sender: Sender<'a>,
    judge: &'a mut Judge,
    now: Instant,
}

impl FrameSink for Judged<'_> {
    fn ready(&mut self) -> bool {
        self.sender.ready()
    }

    fn reserve(&mut self, len_bytes: usize) -> Option<&mut [u8]> {
        self.sender.reserve(len_bytes)
    }

    fn submit(&mut self, len_bytes: usize) {
        self.judge.judge(self.sender.reserved(), self.now);
        let lost = self.sender.tally().lost;
        let is_first = self.judge.is_first(self.sender.reserved());
        self.sender.submit(len_bytes);
        let lost = self.sender.tally().lost - lost;
        self.judge.note_loss(lost * u64::from(is_first));
    }
}

/// See the [module](self).
pub struct World {
    stack: Stack<HttpService<InlineLoader>>,
    to_server: Direction,
    to_client: Direction,
    receiver: Receiver,
    judge: Judge,
    now: Instant,
}

impl World {
    pub fn new(case: Case, stack: Stack<HttpService<InlineLoader>>, file_bytes: usize) -> World {
        let frame_bytes = MTU_BYTES + ETHERNET_BYTES;
        let direction = |how, seed| Direction::new(how, RING_FRAMES, frame_bytes, seed);
        let path = format!("/{file_bytes}");
        World {
            stack,
            to_server: direction(case.path[0], case.seed),
            to_client: direction(case.path[1], !case.seed),
            receiver: Receiver::new(case.habits.clone(), &path, case.seed),
            judge: Judge {
                rules: Rules::default(),
                mss_bytes: case.habits.mss.into(),
                case,
                is_shown: std::env::var_os("XDPHTTPD_TRACE").is_some(),
                iss: 0,
                text: Vec::new(),
                has_repeated: false,
                acked_bytes: 0,
                reached_bytes: 0,
                is_open_window: false,
                lost_since: 0,
                stirred_at: Instant::ZERO,
                silences: 0,
                complaint: None,
            },
            now: Instant::from_millis(1),
        }
    }

    /// Until the receiver has `body` and the server has forgotten it; or what was
    /// wrong.
    pub fn run(&mut self, body: &[u8]) -> Result<(), String> {
        let end = self.now + LONGEST;
        while !(self.receiver.is_done() && self.stack.connections() == 0) {
            // The RST may be lost too.
            let is_quiet = self.next_at().is_none();
            if (is_quiet || self.receiver.is_reset()) && self.judge.lost_since >= HOPELESS {
                return Ok(()); // the wire has kept them apart
            }
            if is_quiet {
                return Err(format!("at {} nothing moves any more", self.now));
            }
            if self.receiver.is_reset() {
                return Err(format!(
                    "at {} reset, {} received",
                    self.now,
                    self.receiver.text.len()
                ));
            }
            if self.now >= end {
                return Err(format!(
                    "it does not end, {} received",
                    self.receiver.text.len()
                ));
            }
            self.round();
            if let Some(complaint) = self.judge.complaint.take() {
                return Err(complaint);
            }
        }
        let text = &self.receiver.text;
        match text == &self.judge.text && text.ends_with(body) && text.starts_with(b"HTTP/1.1 200 ")
        {
            true => Ok(()),
            false => Err("what was received is not what was to be sent".to_owned()),
        }
    }

    fn round(&mut self) {
        self.serve();
        while let Some(frame) = self.to_client.deliver(self.now) {
            if let Some(seen) = Seen::read(&frame) {
                let payload = &frame[frame.len() - seen.payload_bytes..];
                self.receiver.hear(&seen, payload, self.now);
            }
        }
        self.receiver.act(self.now);
        for frame in self.receiver.take_frames() {
            let lost = self.to_server.tally.lost;
            assert!(self.to_server.sender(self.now).send(&frame));
            self.judge.note_loss(self.to_server.tally.lost - lost);
        }
        let soon = self.now + Duration::from_micros(1);
        self.now = self.next_at().map_or(soon, |next| next.max(soon));
    }

    fn next_at(&self) -> Option<Instant> {
        let next = [
            self.to_server.next_at(),
            self.to_client.next_at(),
            self.receiver.next_at(),
            self.stack.next_at(),
        ];
        next.into_iter().flatten().min()
    }

    fn serve(&mut self) {
        let now = self.now;
        let mut sink = Judged {
            sender: self.to_client.sender(now),
            judge: &mut self.judge,
            now,
        };
        self.stack.poll(now, &mut sink);
        while sink.ready()
            && let Some(frame) = self.to_server.deliver(now)
        {
            sink.judge.hear(&frame, now);
            self.stack.frame(&frame, now, &mut sink);
        }
        while let Some((id, event)) = self.stack.app.completed() {
            self.stack.wake(id, now, &mut sink, |app, conn| {
                app.deliver(id, conn, event, now)
            });
        }
    }
}

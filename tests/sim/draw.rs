//! Scenarios drawn from seeds.

use super::attack::{below, pick};
use super::attacks_blind::{Forger, Oddities, Replay, SynFlood};
use super::attacks_connected::{Flapper, HalfOpen, Liar, ReadsNothing, SlowDrip};
use super::files::{Files, SIZES};
use super::known::Known;
use super::raw::ETHERNET_BYTES;
use super::scenario::{Scenario, place};
use super::script::{Dialect, Ending, Pacing, Request, Script, Session, Vanish};
use super::world::Event;
use xdphttpd::net::{Algorithm, Duration, Instant};
use xdphttpd::wire::{Bursts, Impairments, SplitMix};

/// Receive buffers of clients, bytes: from less than two segments to scaled windows.
const WINDOWS: [usize; 8] = [
    65_535, 65_535, 16_384, 4_096, 2_000, 200_000, 500_000, 1_048_576,
];

/// The longest way with a short ring.
const SHORT_RING_DELAY: Duration = Duration::from_millis(20);

impl Scenario {
    /// The scenario of `seed`.
    pub fn draw(seed: u64, files: &Files) -> Scenario {
        let mut draw = Draw {
            random: SplitMix(seed.wrapping_mul(0x9e37_79b9)),
            files,
        };
        let mut scenario = Scenario::plain(seed);
        scenario.impairments = [draw.weather(), draw.weather()];
        if !draw.one_in(3) {
            scenario.impairments = draw.long_path();
        }
        let algorithms = [Algorithm::Cubic, Algorithm::Bbr, Algorithm::None];
        scenario.congestion = pick(&mut draw.random, &algorithms);
        if draw.one_in(20) {
            let largest = pick(&mut draw.random, &[576, 1_000, 1_280, 1_400]);
            scenario.impairments[1].black_hole_bytes = Some(ETHERNET_BYTES + largest);
            scenario = scenario.exposing(Known::BlackHole);
        }
        // The ring holds what is under way: with more of a delay, a short one would be
        // a link of a few frames a second.
        if draw.one_in(3) && scenario.impairments[1].delay <= SHORT_RING_DELAY {
            scenario.tx_frames = pick(&mut draw.random, &[4, 6, 16, 64]);
        }
        if draw.one_in(5) {
            scenario.max_connections = pick(&mut draw.random, &[1, 2, 4, 8]);
        }
        if draw.one_in(4) {
            scenario.sockets = Some(pick(&mut draw.random, &[1, 2, 4, 8]));
        }
        if draw.one_in(3) {
            scenario.max_half_open = pick(&mut draw.random, &[1, 2, 8]);
        }
        if draw.one_in(4) {
            scenario.max_time_wait = pick(&mut draw.random, &[1, 4]);
        }
        if draw.one_in(2) {
            scenario.load_latency = Duration::from_millis(pick(&mut draw.random, &[1, 20, 300]));
        }
        if draw.one_in(20) {
            scenario.read_failures = 0.2;
        }
        for number in 0..=draw.up_to(10) as u8 {
            scenario.clients.push(draw.script(number));
        }
        while draw.one_in(3) {
            scenario = draw.trouble(scenario);
        }
        while draw.one_in(2) {
            scenario = draw.attack(scenario);
        }
        scenario
    }
}

struct Draw<'a> {
    random: SplitMix,
    files: &'a Files,
}

impl Draw<'_> {
    fn up_to(&mut self, most: u64) -> u64 {
        below(&mut self.random, most + 1)
    }

    fn one_in(&mut self, many: u64) -> bool {
        below(&mut self.random, many) == 0
    }

    fn millis(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.up_to(most))
    }

    /// A moment in the first half minute.
    fn moment(&mut self) -> Instant {
        let most = pick(&mut self.random, &[10, 1_000, 30_000]);
        Instant::from_millis(1) + self.millis(most)
    }

    fn weather(&mut self) -> Impairments {
        let delay = Duration::from_micros(pick(&mut self.random, &[5, 50, 1_000, 20_000, 100_000]));
        let still = Impairments {
            delay,
            hold: delay * 4,
            ..Impairments::NONE
        };
        let lossy = Impairments {
            loss: 0.02,
            duplicate: 0.02,
            reorder: 0.10,
            corrupt: 0.002,
            ..still
        };
        let rates = [Some(50_000), Some(1_000_000), Some(12_500_000), None];
        match self.up_to(4) {
            0 => Impairments::NONE,
            1 => still,
            2 => Impairments {
                bytes_per_s: pick(&mut self.random, &rates),
                ..lossy
            },
            3 => lossy,
            _ => Impairments {
                loss: 0.08,
                reorder: 0.3,
                duplicate: 0.1,
                ..lossy
            },
        }
    }

    /// Two directions of one path.
    fn long_path(&mut self) -> [Impairments; 2] {
        let delay_us = pick(&mut self.random, &[50, 500, 5_000, 25_000, 75_000, 150_000]);
        let delay = Duration::from_micros(delay_us);
        let rates = [1, 3, 10, 30, 100, 300, 1_000].map(|mbit| Some(mbit * 125_000));
        let rate = pick(&mut self.random, &rates).filter(|_| !self.one_in(4));
        let queue_ms = pick(&mut self.random, &[2, 20, 100, 500]);
        [(); 2].map(|()| Impairments {
            delay,
            bytes_per_s: rate,
            longest_wait: Duration::from_millis(queue_ms),
            ..self.mishaps(delay)
        })
    }

    /// What else may happen to frames, in any combination.
    fn mishaps(&mut self, delay: Duration) -> Impairments {
        let random = &mut self.random;
        let bursts = Some(Bursts {
            begin: 0.005,
            end: 0.3,
        });
        Impairments {
            loss: pick(random, &[0.0, 0.0, 0.001, 0.01, 0.03, 0.1]),
            bursts: pick(random, &[None, None, None, None, bursts]),
            duplicate: pick(random, &[0.0, 0.0, 0.01, 0.1]),
            reorder: pick(random, &[0.0, 0.0, 0.01, 0.1, 0.3]),
            corrupt: pick(random, &[0.0, 0.0, 0.001, 0.01]),
            jitter: pick(random, &[Duration::ZERO, Duration::ZERO, delay / 4]),
            hold: pick(random, &[Duration::from_millis(2), delay, delay * 4]),
            ..Impairments::NONE
        }
    }

    fn dialect(&mut self) -> Dialect {
        let delays = [0, 10, 40, 200].map(Duration::from_millis);
        Dialect {
            sack: !self.one_in(4),
            timestamps: self.one_in(2),
            window_scale: !self.one_in(6),
            ack_delay: Some(pick(&mut self.random, &delays)).filter(|&delay| delay > delays[0]),
        }
    }

    fn script(&mut self, number: u8) -> Script {
        let place = place(number);
        let count = 1 + self.up_to(2) * self.up_to(1);
        let same_port = self.one_in(3);
        let sessions = (0..count as u16)
            .map(|nth| self.session(place.port + if same_port { 0 } else { nth }))
            .collect();
        let mut script = Script::new(place, self.moment(), sessions);
        script.mtu_bytes = pick(&mut self.random, &[1_500, 1_500, 1_280, 576]);
        script.window_bytes = pick(&mut self.random, &WINDOWS);
        script.dialect = self.dialect();
        if self.one_in(8) {
            script.moves_after = self.up_to(20_000) as usize;
            script.next_mac = [2, 0, 0, 0, 2, number];
        }
        if self.one_in(8) {
            let bytes = self.up_to(100_000) as usize;
            let points = [
                Vanish::AfterSyn,
                Vanish::MidRequest,
                Vanish::AfterBytes(0),
                Vanish::AfterBytes(bytes),
                Vanish::OnFin,
            ];
            script = script.vanishing(pick(&mut self.random, &points));
        }
        script
    }

    fn session(&mut self, port: u16) -> Session {
        let count = 1 + self.up_to(1) * self.up_to(7);
        let requests: Vec<Request> = (0..count).map(|_| self.request("1.1", "")).collect();
        let mut session = Session::new(port, requests);
        if self.one_in(2) {
            session.pacing = Pacing::Pipelined;
        } else if self.one_in(4) {
            session.pacing = Pacing::OneByOne {
                think: self.millis(10_000),
            };
        }
        session.ending = match self.up_to(9) {
            0 | 1 => Ending::HalfClose,
            2 | 3 => Ending::ClientCloses,
            4 => Ending::Abort(self.up_to(50_000) as usize),
            _ => Ending::Server,
        };
        if session.ending == Ending::Server && !self.one_in(8) {
            session.requests.pop();
            let closing = [("1.0", ""), ("1.1", "Connection: close\r\n")];
            let (version, header) = pick(&mut self.random, &closing);
            session.requests.push(self.request(version, header));
        }
        if self.one_in(12) {
            let at = self.up_to(60_000) as usize;
            session.pause = Some((at, self.millis(20_000)));
        }
        session
    }

    fn request(&mut self, version: &str, header: &str) -> Request {
        let small = SIZES.len() as u64 - 5;
        let last = if self.one_in(12) {
            SIZES.len() as u64
        } else {
            small
        };
        let mut bytes = SIZES[below(&mut self.random, last) as usize];
        if self.one_in(20) {
            bytes = 404;
        }
        let method = if self.one_in(10) { "HEAD" } else { "GET" };
        Request::new(self.files, method, bytes, version, header)
    }

    fn trouble(&mut self, scenario: Scenario) -> Scenario {
        let at = self.moment();
        let most = pick(&mut self.random, &[500, 1_500, 8_000, 200_000]);
        let lasts = self.millis(most);
        let (to_server, to_clients) = pick(
            &mut self.random,
            &[(true, true), (true, true), (true, false), (false, true)],
        );
        let cut = Event::Cut {
            to_server,
            to_clients,
        };
        match self.up_to(9) {
            0 => scenario.event(at, Event::Leap(lasts)),
            1 => scenario.event(at, Event::Leap(lasts * 100)),
            2 | 3 => scenario.event(at, Event::Stop(lasts)),
            4 => scenario.event(at, Event::Drain),
            _ => scenario.event(at, cut).event(at + lasts, Event::Mend),
        }
    }

    fn attack(&mut self, scenario: Scenario) -> Scenario {
        let at = self.moment();
        let left = 1 + self.up_to(200) as u32;
        let every = pick(&mut self.random, &[20, 1_000, 50_000]);
        let every = Duration::from_micros(every);
        match self.up_to(9) {
            0 => scenario.attack(at, SynFlood { left, every }),
            1 => {
                let left = left as u16;
                scenario.attack(at, HalfOpen { left, every })
            }
            2 => {
                let drip = SlowDrip::new(80, Duration::from_secs(4));
                scenario.attack(at, drip)
            }
            3 => {
                let window = pick(&mut self.random, &[0, 100, 1_460, 10_000]);
                scenario.attack(at, ReadsNothing::new(window, 100))
            }
            4 => scenario.attack(at, Liar::new(left)),
            5 => scenario.attack(at, Flapper::new(left.min(40))),
            6 => scenario.attack(at, Oddities { left, every }),
            7 => {
                let (copies, garble) =
                    pick(&mut self.random, &[(1, false), (40, false), (1, true)]);
                let replay = Replay {
                    left,
                    every,
                    copies,
                    garble,
                };
                scenario.attack(at, replay)
            }
            _ => self.forger(scenario, left, every),
        }
    }

    fn forger(&mut self, scenario: Scenario, left: u32, every: Duration) -> Scenario {
        let forger = Forger {
            in_window_rst: self.one_in(2),
            own_mac: self.one_in(2),
            ..Forger::new(left, every)
        };
        let at = self.moment();
        let mut exposes = Vec::new();
        if forger.in_window_rst {
            exposes.push(Known::ForgedRst);
        }
        if forger.own_mac {
            exposes.push(Known::ForgedMac);
        }
        exposes
            .into_iter()
            .fold(scenario.attack(at, forger), Scenario::exposing)
    }
}

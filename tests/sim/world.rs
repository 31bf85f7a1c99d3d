//! One server core, its peers, the wire between them, and the time.

use super::attack::{Attacker, Cx};
use super::client::Client;
use super::files::{Files, LateLoader, LoaderClock};
use super::raw::{ETHERNET_BYTES, MTU_BYTES, SERVER, SERVER_PORT, Seen};
use super::scenario::Scenario;
use super::watch::{Watch, Watched};
use std::collections::VecDeque;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration as StdDuration, SystemTime, UNIX_EPOCH};
use xdphttpd::net::{Duration, FrameSink, Instant, Policy, RxChecksum, Stack, StackConfig};
use xdphttpd::service::HttpService;
use xdphttpd::site::{Limits, Site};
use xdphttpd::wire::{Direction, Impairments};

/// Clients and hostile peers have so long before the wire is healed and the
/// hostile ones fall silent.
const ACTION: Duration = Duration::from_secs(900);
/// From then on, honest clients have so long to end, and the server to be quiet.
const PEACE: Duration = Duration::from_secs(4 * 3_600);
/// Rounds without anything moving for which the server may ask in a row.
const IDLE_ROUNDS: u32 = 2_000;
/// What the ring towards the server holds: more than anybody sends at once.
const RX_FRAMES: usize = 1 << 20;
/// A blackout shorter than this is no excuse for anything.
const WORTH_NAMING: Duration = Duration::from_secs(2);

/// What happens to the world as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing passes towards the server, or from it, or neither, until mended.
    Cut {
        to_server: bool,
        to_clients: bool,
    },
    Mend,
    /// The server's process is stopped for a while; frames wait for it.
    Stop(Duration),
    /// The clock of everybody leaps: the machines were suspended.
    Leap(Duration),
    /// The server is told to end.
    Drain,
}

/// See the [module](self).
pub struct World {
    pub stack: Stack<HttpService<LateLoader>>,
    pub to_server: Direction,
    pub to_clients: Direction,
    pub watch: Watch,
    pub clients: Vec<Client>,
    pub attackers: Vec<Attacker>,
    pub loader: Rc<LoaderClock>,
    pub now: Instant,
    /// Ways in which the server misbehaved while it ran.
    pub complaints: Vec<String>,
    events: VecDeque<(Instant, Event)>,
    stopped_until: Instant,
    cut_since: Option<Instant>,
    idle_rounds: u32,
    leapt: Duration,
    full_since: Option<Instant>,
    /// The longest time for which the server had left no room to send in any round.
    pub longest_full: Duration,
}

/// The only place that knows how a server is made.
fn server(
    root: &Path,
    loader: Rc<LoaderClock>,
    scenario: &Scenario,
) -> Stack<HttpService<LateLoader>> {
    let Scenario {
        seed,
        load_latency,
        read_failures,
        ..
    } = *scenario;
    let loader = LateLoader::new(root, loader, load_latency, read_failures, seed ^ 0x10ad);
    let config = StackConfig {
        policy: Policy {
            port: SERVER_PORT,
            addresses: Some(vec![SERVER]),
            rx_checksum: RxChecksum::Strict,
        },
        mtu_bytes: MTU_BYTES,
        congestion: scenario.congestion,
        limits: scenario.limits(),
    };
    let site = Site::new(loader, Limits::default());
    Stack::new(
        &config,
        &[42; 32],
        HttpService::new(site, 64 << 20, wall(Instant::ZERO)),
    )
}

/// The time of day.
fn wall(now: Instant) -> SystemTime {
    UNIX_EPOCH
        + StdDuration::from_secs(1_700_000_000)
        + StdDuration::from(Duration::from_micros(now.total_micros() as u64))
}

impl World {
    pub fn new(scenario: Scenario, files: &Files, trace: bool) -> World {
        let loader = Rc::new(LoaderClock::default());
        let seed = scenario.seed;
        let [inwards, outwards] = scenario.impairments;
        let direction =
            |how, frames, seed| Direction::new(how, frames, MTU_BYTES + ETHERNET_BYTES, seed);
        let mut events = scenario.events.clone();
        events.sort_by_key(|(at, _)| *at);
        World {
            stack: server(files.root(), loader.clone(), &scenario),
            to_server: direction(inwards, RX_FRAMES, seed),
            to_clients: direction(outwards, scenario.tx_frames, seed ^ 0x5555_5555),
            watch: Watch::new(trace, outwards.black_hole_bytes),
            clients: (seed..)
                .zip(scenario.clients)
                .map(|(seed, script)| Client::new(script, seed))
                .collect(),
            attackers: scenario.attackers,
            loader,
            now: Instant::from_millis(1),
            complaints: Vec::new(),
            events: events.into(),
            stopped_until: Instant::ZERO,
            cut_since: None,
            idle_rounds: 0,
            leapt: Duration::ZERO,
            full_since: None,
            longest_full: Duration::ZERO,
        }
    }

    /// From the first frame to the last.
    pub fn run(&mut self) {
        let end = self.now + ACTION;
        while self.now < end && !self.action_is_over() {
            self.round();
        }
        self.make_peace();
        let end = self.now + PEACE;
        while self.now < end && self.complaints.is_empty() && !self.is_quiet() {
            self.round();
        }
        for client in &mut self.clients {
            client.give_up();
            client.compare(&mut self.watch);
        }
    }

    /// The time that passed in the ordinary way.
    pub fn simulated(&self) -> Duration {
        self.now - Instant::ZERO - self.leapt
    }

    pub fn in_flight(&self) -> usize {
        self.to_server.in_flight() + self.to_clients.in_flight()
    }

    fn action_is_over(&self) -> bool {
        self.clients.iter().all(Client::is_done)
            && self.attackers.iter().all(|attacker| attacker.due.is_none())
            && self.events.is_empty()
    }

    /// Whether nobody wants to do anything any more.
    fn is_quiet(&self) -> bool {
        self.clients.iter().all(Client::is_done)
            && self.stack.connections() == 0
            && self.stack.next_at().is_none()
            && self.in_flight() == 0
    }

    /// Heals the wire and silences the hostile.
    fn make_peace(&mut self) {
        self.watch.say("peace");
        self.events.clear();
        self.mend();
        for direction in [&mut self.to_server, &mut self.to_clients] {
            direction.impair(Impairments::NONE);
        }
        for attacker in &mut self.attackers {
            attacker.fall_silent();
        }
    }

    /// Everybody does what there is to do now; then the time passes.
    fn round(&mut self) {
        self.happen();
        self.watch.now = self.now;
        self.loader.now.set(self.now);
        let moved = self.serve();
        self.look_for_stray_timers();
        self.deliver();
        self.let_peers_act();
        self.pass_time(moved);
    }

    /// Lets the server do everything that it can do now; whether a frame moved.
    fn serve(&mut self) -> bool {
        let now = self.now;
        if now < self.stopped_until {
            return true;
        }
        let before = (self.to_server.tally, self.to_clients.tally);
        let mut sink = Watched {
            sender: self.to_clients.sender(now),
            watch: &mut self.watch,
        };
        self.stack.app.tick(now, || wall(now));
        // Before new frames take the room, as a worker does.
        self.stack.poll(now, &mut sink);
        while sink.ready() {
            let due = self.to_server.next_at().unwrap_or(now);
            let Some(frame) = self.to_server.deliver(now) else {
                break;
            };
            sink.watch.reached_server(&frame, now - due);
            self.stack.frame(&frame, now, &mut sink);
        }
        let mut woken = false;
        while let Some((id, event)) = self.stack.app.completed() {
            woken = true;
            self.stack.wake(id, now, &mut sink, |app, conn| {
                app.deliver(id, conn, event, now)
            });
        }
        self.full_since = (!sink.ready()).then(|| self.full_since.unwrap_or(now));
        let full_for = self.full_since.map_or(Duration::ZERO, |since| now - since);
        self.longest_full = self.longest_full.max(full_for);
        woken || before != (self.to_server.tally, self.to_clients.tally)
    }

    /// Without a connection there is nothing to wait for.
    fn look_for_stray_timers(&mut self) {
        let stack = &self.stack;
        let full = self.full_since.is_some() || self.now < self.stopped_until;
        if stack.connections() == 0 && stack.next_at().is_some() && !full {
            let what = format!("at {} a timer without a connection", self.now);
            self.complaints.push(what);
        }
    }

    /// Brings frames to those that they are addressed to.
    fn deliver(&mut self) {
        let mut out = Vec::new();
        while let Some(frame) = self.to_clients.deliver(self.now) {
            let Some(seen) = Seen::read(&frame) else {
                continue;
            };
            if let Some(client) = self.clients.iter_mut().find(|c| c.is_addressed_by(&seen)) {
                client.step(Some((&frame, &seen)), self.now, &mut out);
            } else if let Some(attacker) =
                self.attackers.iter_mut().find(|a| a.is_addressed_by(&seen))
            {
                attacker.hear(&seen, &mut Cx::new(self.now, &self.watch, &mut out));
            }
        }
        self.send(out);
    }

    fn let_peers_act(&mut self) {
        let mut out = Vec::new();
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= self.now);
        for client in self.clients.iter_mut().filter(|client| due(client.due)) {
            client.step(None, self.now, &mut out);
        }
        for client in &mut self.clients {
            client.compare(&mut self.watch);
        }
        for attacker in self.attackers.iter_mut().filter(|a| due(a.due)) {
            attacker.act(&mut Cx::new(self.now, &self.watch, &mut out));
        }
        self.send(out);
    }

    fn send(&mut self, frames: Vec<Vec<u8>>) {
        for frame in frames {
            let lost = self.to_server.tally.lost;
            // What is larger than the link carries never gets onto it.
            self.to_server.sender(self.now).send(&frame);
            let lost = self.to_server.tally.lost > lost;
            self.watch.sent_to_server(&frame, lost);
        }
    }

    fn happen(&mut self) {
        while let Some((at, event)) = self.events.front().copied()
            && at <= self.now
        {
            self.events.pop_front();
            self.watch.say(&format!("{event:?}"));
            match event {
                Event::Cut {
                    to_server,
                    to_clients,
                } => self.cut(to_server, to_clients),
                Event::Mend => self.mend(),
                Event::Stop(time) => {
                    self.stopped_until = self.now + time;
                    self.note_blackout(self.now, self.now + time);
                }
                Event::Leap(time) => {
                    self.note_blackout(self.now, self.now + time);
                    self.now += time;
                    self.leapt += time;
                }
                Event::Drain => self.drain(),
            }
        }
    }

    fn drain(&mut self) {
        let mut sink = Watched {
            sender: self.to_clients.sender(self.now),
            watch: &mut self.watch,
        };
        self.stack.drain(self.now, &mut sink);
    }

    fn cut(&mut self, to_server: bool, to_clients: bool) {
        if to_server {
            self.to_server.cut();
        }
        if to_clients {
            self.to_clients.cut();
        }
        self.cut_since.get_or_insert(self.now);
    }

    fn mend(&mut self) {
        self.to_server.mend();
        self.to_clients.mend();
        if let Some(since) = self.cut_since.take() {
            self.note_blackout(since, self.now);
        }
    }

    fn note_blackout(&mut self, from: Instant, to: Instant) {
        if to >= from + WORTH_NAMING {
            self.watch.blackout_until = self.watch.blackout_until.max(to);
        }
    }

    /// Moves the clock to whatever happens next.
    fn pass_time(&mut self, moved: bool) {
        let stopped = self.now < self.stopped_until;
        let has_room = self.to_clients.sender(self.now).ready();
        let mut next: Vec<Instant> = [
            self.to_clients.next_at(),
            self.events.front().map(|(at, _)| *at),
        ]
        .into_iter()
        .flatten()
        .collect();
        next.extend(self.clients.iter().filter_map(|client| client.due));
        next.extend(self.attackers.iter().filter_map(|attacker| attacker.due));
        if stopped {
            next.push(self.stopped_until);
        } else {
            next.extend(self.loader.next_at.get());
            if has_room {
                next.extend(self.to_server.next_at());
                next.extend(self.stack.next_at());
            }
        }
        let floor = self.now + Duration::from_micros(1);
        let next = next.into_iter().min().unwrap_or(floor + WORTH_NAMING);
        self.count_idle(moved || next > floor);
        self.now = next.max(floor);
    }

    /// A server that wants to be woken at once, again and again, and then does
    /// nothing, would burn its core.
    fn count_idle(&mut self, useful: bool) {
        self.idle_rounds = if useful { 0 } else { self.idle_rounds + 1 };
        if self.idle_rounds == IDLE_ROUNDS {
            let what = format!("at {} the world spins", self.now);
            self.complaints.push(what);
        }
    }
}

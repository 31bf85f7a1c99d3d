//! What a seed stands for: who does what, when, and over which wire.

use super::attack::{Attack, Attacker};
use super::known::Known;
use super::raw::Place;
use super::script::{Script, Session};
use super::world::Event;
use std::net::Ipv4Addr;
use xdphttpd::net::{Algorithm, Duration, Instant, Limits, pool};
use xdphttpd::wire::Impairments;

/// Connections that no scenario of this size can fill.
pub const PLENTY: usize = 2_000;

/// See the [module](self). Built by hand from [`Scenario::plain`], or drawn.
pub struct Scenario {
    pub seed: u64,
    pub clients: Vec<Script>,
    pub attackers: Vec<Attacker>,
    pub events: Vec<(Instant, Event)>,
    /// Towards the server, and from it.
    pub impairments: [Impairments; 2],
    pub congestion: Algorithm,
    /// Room of the server's TX ring.
    pub tx_frames: usize,
    pub max_connections: usize,
    /// Sockets that the server has memory for; `None`: for all.
    pub sockets: Option<usize>,
    pub max_half_open: usize,
    pub max_time_wait: usize,
    /// What a look at the disk takes at most, and how often a read fails.
    pub load_latency: Duration,
    pub read_failures: f64,
    /// What honest clients may suffer from its hostile peers.
    pub exposes: Vec<Known>,
}

impl Scenario {
    /// A perfect wire and nobody on it.
    pub fn plain(seed: u64) -> Scenario {
        Scenario {
            seed,
            clients: Vec::new(),
            attackers: Vec::new(),
            events: Vec::new(),
            impairments: [Impairments::NONE; 2],
            congestion: Algorithm::Cubic,
            tx_frames: 2_048,
            max_connections: PLENTY,
            sockets: None,
            max_half_open: PLENTY,
            max_time_wait: PLENTY,
            load_latency: Duration::ZERO,
            read_failures: 0.0,
            exposes: Vec::new(),
        }
    }

    /// Adds a client with a place of its own.
    pub fn client(mut self, start: Instant, sessions: Vec<Session>) -> Scenario {
        let place = place(self.clients.len() as u8);
        self.clients.push(Script::new(place, start, sessions));
        self
    }

    /// Adds a hostile peer with a place of its own.
    pub fn attack(mut self, start: Instant, attack: impl Attack + 'static) -> Scenario {
        let number = self.attackers.len() as u8;
        let place = Place {
            mac: [2, 0, 0, 66, 0, number],
            address: Ipv4Addr::new(10, 66, 0, number + 1),
            port: 6_666,
        };
        let seed = self.seed ^ (u64::from(number) << 32);
        self.attackers
            .push(Attacker::new(place, start, seed, attack));
        self
    }

    pub fn event(mut self, at: Instant, event: Event) -> Scenario {
        self.events.push((at, event));
        self
    }

    pub fn exposing(mut self, known: Known) -> Scenario {
        self.exposes.push(known);
        self
    }

    /// Whether a client may find no place.
    pub fn is_crowded(&self) -> bool {
        self.max_connections < PLENTY || self.sockets.is_some()
    }

    /// What the server may hold.
    pub fn limits(&self) -> Limits {
        let most = self.max_connections;
        let plenty = Limits::default();
        let memory = |sockets| pool::bytes_for(most, sockets);
        Limits {
            max_connections: most,
            memory_bytes: self.sockets.map_or(plenty.memory_bytes, memory),
            max_half_open: self.max_half_open,
            max_time_wait: self.max_time_wait,
            ..plenty
        }
    }

    pub fn drains(&self) -> bool {
        self.events.iter().any(|(_, event)| *event == Event::Drain)
    }
}

/// The place of the client of this number: addresses of their own, but some
/// behind the same neighbour, and every eighth at the address of another.
pub fn place(number: u8) -> Place {
    let host = if number % 8 == 7 { number - 7 } else { number };
    Place {
        mac: [2, 0, 0, 0, 1, host % 5],
        address: Ipv4Addr::new(10, 11, 2, host + 1),
        port: 40_000 + u16::from(number) * 16,
    }
}

//! Hostile peers: scripts of raw segments.

use super::raw::{Place, Raw, Seen};
use super::watch::Watch;
use xdphttpd::net::{Duration, Instant};
use xdphttpd::wire::SplitMix;

/// What an attack can see and do.
pub struct Cx<'a> {
    pub now: Instant,
    /// Everything that passed on the wire.
    pub watch: &'a Watch,
    out: &'a mut Vec<Vec<u8>>,
}

impl<'a> Cx<'a> {
    pub fn new(now: Instant, watch: &'a Watch, out: &'a mut Vec<Vec<u8>>) -> Cx<'a> {
        Cx { now, watch, out }
    }

    pub fn send(&mut self, raw: &Raw) {
        self.out.push(raw.frame());
    }

    pub fn send_frame(&mut self, frame: Vec<u8>) {
        self.out.push(frame);
    }
}

/// A hostile script.
pub trait Attack {
    /// Its next act, and how long until the one after; `None` when it is through.
    fn act(&mut self, me: Place, random: &mut SplitMix, cx: &mut Cx<'_>) -> Option<Duration>;

    /// A segment for it has come.
    fn hear(&mut self, _me: Place, _seen: &Seen, _cx: &mut Cx<'_>) {}

    /// What the server should not have let it do, if it did.
    fn success(&self) -> Option<&'static str> {
        None
    }
}

impl Attack for Box<dyn Attack> {
    fn act(&mut self, me: Place, random: &mut SplitMix, cx: &mut Cx<'_>) -> Option<Duration> {
        (**self).act(me, random, cx)
    }

    fn hear(&mut self, me: Place, seen: &Seen, cx: &mut Cx<'_>) {
        (**self).hear(me, seen, cx);
    }

    fn success(&self) -> Option<&'static str> {
        (**self).success()
    }
}

/// An attack and where it comes from.
pub struct Attacker {
    place: Place,
    attack: Box<dyn Attack>,
    random: SplitMix,
    silent: bool,
    /// When it acts next.
    pub due: Option<Instant>,
}

impl Attacker {
    pub fn new(place: Place, start: Instant, seed: u64, attack: impl Attack + 'static) -> Attacker {
        Attacker {
            place,
            attack: Box::new(attack),
            random: SplitMix(seed),
            silent: false,
            due: Some(start),
        }
    }

    pub fn is_addressed_by(&self, seen: &Seen) -> bool {
        seen.to.address == self.place.address && seen.to_mac == self.place.mac
    }

    pub fn act(&mut self, cx: &mut Cx<'_>) {
        let next = self.attack.act(self.place, &mut self.random, cx);
        self.due = next.map(|after| cx.now + after);
    }

    pub fn hear(&mut self, seen: &Seen, cx: &mut Cx<'_>) {
        if !self.silent {
            self.attack.hear(self.place, seen, cx);
        }
    }

    pub fn fall_silent(&mut self) {
        self.silent = true;
        self.due = None;
    }

    pub fn success(&self) -> Option<&'static str> {
        self.attack.success()
    }
}

/// A random number below `limit`.
pub fn below(random: &mut SplitMix, limit: u64) -> u64 {
    random.next_u64() % limit
}

/// One of `items`.
pub fn pick<T: Copy>(random: &mut SplitMix, items: &[T]) -> T {
    items[below(random, items.len() as u64) as usize]
}

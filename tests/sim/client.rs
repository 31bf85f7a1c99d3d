//! An honest client: a host with smoltcp that asks for files, connection after
//! connection, until its script is through or it vanishes.

use super::phy::Device;
use super::raw::{ETHERNET_BYTES, Endpoint, Place, Raw, SERVER, SERVER_PORT, Seen};
use super::response::Reader;
use super::script::{Script, Session, Vanish};
use super::talk::{End, PATIENCE, Talk};
use super::watch::{Flow, Watch};
use smoltcp::iface::{Config, Interface, PollResult, SocketSet};
use smoltcp::socket::tcp::{self, State};
use smoltcp::wire::{HardwareAddress, IpCidr};
use std::collections::VecDeque;
use xdphttpd::net::{Duration, Instant};

/// What one connection brought.
#[derive(Debug)]
pub struct Outcome {
    pub endpoint: Endpoint,
    pub session: Session,
    pub began: Instant,
    pub end: End,
    /// Whole responses received.
    pub done: usize,
    /// A further response had begun.
    pub short: bool,
    pub fault: Option<String>,
    /// What the wire had shown of it by then.
    pub flow: Option<Flow>,
}

/// See the [module](self).
pub struct Client {
    place: Place,
    script: Script,
    interface: Interface,
    sockets: SocketSet<'static>,
    talk: Option<Talk>,
    /// The sequence number after the latest segment sent, and what it acknowledged.
    said: (u32, u32),
    gone: bool,
    /// When it wants to be stepped next.
    pub due: Option<Instant>,
    pub outcomes: Vec<Outcome>,
    compared: usize,
}

impl Client {
    pub fn new(script: Script, seed: u64) -> Client {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut nowhere = Vec::new();
        let mut device = Device {
            packet: None,
            mac: script.place.mac,
            mtu_bytes: script.mtu_bytes,
            dialect: script.dialect,
            now: Instant::ZERO,
            out: &mut nowhere,
        };
        let mut interface = Interface::new(config, &mut device, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            let _ = addresses.push(IpCidr::new(script.place.address.into(), 0));
        });
        Client {
            place: script.place,
            due: Some(script.start),
            script,
            interface,
            sockets: SocketSet::new(vec![]),
            talk: None,
            said: (0, 0),
            gone: false,
            outcomes: Vec::new(),
            compared: 0,
        }
    }

    /// Whether nothing of its script is left.
    pub fn is_done(&self) -> bool {
        let ended = |talk: &Talk| talk.end.is_some();
        self.gone || (self.script.sessions.is_empty() && self.talk.as_ref().is_none_or(ended))
    }

    /// Whether the frame is for this host, whatever its port.
    pub fn is_addressed_by(&self, seen: &Seen) -> bool {
        // A host that has moved is still reached through its old neighbour.
        seen.to.address == self.place.address
            && self.script.ports().any(|port| port == seen.to.port)
            && (seen.to_mac == self.place.mac || seen.to_mac == self.script.place.mac)
    }

    /// Takes a frame, if there is one, and does what there is to do now.
    pub fn step(&mut self, frame: Option<(&[u8], &Seen)>, now: Instant, out: &mut Vec<Vec<u8>>) {
        if self.gone || now < self.script.start {
            return;
        }
        if let Some((_, seen)) = frame
            && self.must_challenge(seen)
        {
            let from = self.place.at_port(seen.to.port);
            return out.push(Raw::new(from, "A", self.said.0, self.said.1).frame());
        }
        let frame = frame.map(|(frame, _)| frame);
        let kept = out.len();
        let mut device = Device {
            packet: frame.map(|frame| &frame[ETHERNET_BYTES..]),
            mac: self.place.mac,
            mtu_bytes: self.script.mtu_bytes,
            dialect: self.script.dialect,
            now,
            out,
        };
        if frame.is_some() {
            self.interface
                .poll_ingress_single(now, &mut device, &mut self.sockets);
        }
        if let Some(talk) = self.talk.as_mut().filter(|_| frame.is_some()) {
            talk.heard_at = now;
        }
        self.follow_script(now);
        if self.vanishes_now() {
            self.vanish();
            device.out.truncate(kept);
            return;
        }
        device.mac = self.place.mac;
        while self
            .interface
            .poll_egress(now, &mut device, &mut self.sockets)
            != PollResult::None
        {}
        if self.last_session() && self.script.vanish == Some(Vanish::AfterSyn) && out.len() > kept {
            return self.vanish();
        }
        if let Some(seen) = out[kept..]
            .iter()
            .filter_map(|sent| Seen::read(sent))
            .next_back()
        {
            self.said = (seen.end(), seen.ack);
        }
        self.due = self.next_due(now);
    }

    /// RFC 5961 §3.2, which smoltcp does not know: an RST that is not exactly what
    /// is expected next ends no connection.
    fn must_challenge(&self, seen: &Seen) -> bool {
        let here = |talk: &Talk| talk.opened && talk.session.port == seen.to.port;
        seen.rst && seen.seq != self.said.1 && self.talk.as_ref().is_some_and(here)
    }

    /// Notes with new outcomes what the wire has shown.
    pub fn compare(&mut self, watch: &mut Watch) {
        for outcome in &mut self.outcomes[self.compared..] {
            outcome.flow = watch.flow(outcome.endpoint).cloned();
        }
        self.compared = self.outcomes.len();
    }

    /// Closes the books at the end of the world.
    pub fn give_up(&mut self) {
        self.end_talk(End::Unfinished);
        while !self.gone
            && let Some(session) = self.script.sessions.pop_front()
        {
            self.outcomes.push(Outcome {
                endpoint: self.place.at_port(session.port).endpoint(),
                session,
                began: Instant::ZERO,
                end: End::Unfinished,
                done: 0,
                short: false,
                fault: None,
                flow: None,
            });
        }
    }

    fn follow_script(&mut self, now: Instant) {
        if self.talk.as_ref().is_none_or(|talk| talk.end.is_some()) && self.may_reconnect() {
            self.connect(now);
        }
        let Some(talk) = &mut self.talk else { return };
        let socket = self.sockets.get_mut::<tcp::Socket>(talk.socket);
        talk.receive(socket, now);
        if talk.received >= self.script.moves_after {
            self.place.mac = self.script.next_mac;
        }
        talk.ask(socket, now);
        talk.notice_end(socket, now);
        talk.close(socket);
        if let Some(end) = talk.end {
            self.end_talk(end);
        }
    }

    /// A host's next connection waits until the last one's socket is free, and
    /// its port too if it is the same.
    fn may_reconnect(&mut self) -> bool {
        let (Some(talk), Some(next)) = (&self.talk, self.script.sessions.front()) else {
            return true;
        };
        match self.sockets.get::<tcp::Socket>(talk.socket).state() {
            State::Closed => true,
            State::TimeWait => next.port != talk.session.port,
            _ => false,
        }
    }

    fn connect(&mut self, now: Instant) {
        let Some(session) = self.script.sessions.pop_front() else {
            return;
        };
        if let Some(old) = self.talk.take() {
            self.sockets.remove(old.socket);
        }
        let receive = tcp::SocketBuffer::new(vec![0; self.script.window_bytes]);
        let send = tcp::SocketBuffer::new(vec![0; 8 * 1024]);
        let mut socket = tcp::Socket::new(receive, send);
        let dialect = self.script.dialect;
        socket.set_ack_delay(dialect.ack_delay);
        // The device writes the time.
        socket.set_tsval_generator(dialect.timestamps.then_some(|| 0));
        socket
            .connect(
                self.interface.context(),
                (SERVER, SERVER_PORT),
                session.port,
            )
            .expect("a new socket connects");
        let expected = session.requests.iter().map(|ask| ask.expected.clone());
        self.talk = Some(Talk {
            reader: Reader::new(expected),
            session,
            began: now,
            socket: self.sockets.add(socket),
            received: 0,
            asked: 0,
            to_send: VecDeque::new(),
            opened: false,
            closed: false,
            end: None,
            heard_at: now,
            reads_at: now,
            asks_at: now,
        });
    }

    fn last_session(&self) -> bool {
        self.script.sessions.is_empty()
    }

    fn vanishes_now(&self) -> bool {
        let Some(talk) = self.talk.as_ref().filter(|_| self.last_session()) else {
            return false;
        };
        match self.script.vanish {
            Some(Vanish::AfterBytes(bytes)) => talk.opened && talk.received >= bytes,
            Some(Vanish::MidRequest) => talk.opened && talk.asked > 0,
            Some(Vanish::OnFin) => talk.end == Some(End::Clean),
            Some(Vanish::AfterSyn) | None => false,
        }
    }

    fn vanish(&mut self) {
        self.end_talk(End::Left);
        self.gone = true;
        self.due = None;
    }

    /// Notes the outcome, once.
    fn end_talk(&mut self, end: End) {
        let Some(talk) = &mut self.talk else { return };
        let noted = self.outcomes.len() + self.script.sessions.len();
        if noted == self.script.sessions_in_all {
            return;
        }
        talk.end = Some(end);
        self.outcomes.push(Outcome {
            endpoint: self.place.at_port(talk.session.port).endpoint(),
            session: talk.session.clone(),
            began: talk.began,
            end,
            done: talk.reader.done,
            short: talk.reader.is_within(),
            fault: talk.reader.fault.clone(),
            flow: None,
        });
    }

    fn next_due(&mut self, now: Instant) -> Option<Instant> {
        let reconnect = (!self.last_session() && self.may_reconnect()).then_some(now);
        let smoltcp = self.interface.poll_at(now, &self.sockets);
        let own = self.talk.iter().flat_map(|talk| {
            let gives_up_at = talk.heard_at + PATIENCE;
            [talk.reads_at, talk.asks_at, gives_up_at]
        });
        let soon = now + Duration::from_millis(1);
        let later = own.filter(|&at| at > now);
        smoltcp
            .into_iter()
            .chain(reconnect)
            .map(|at| at.max(soon))
            .chain(later)
            .min()
    }
}

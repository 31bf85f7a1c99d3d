//! What a script is made of: segments to send and answers to expect, with
//! numbers relative to both initial sequence numbers.

use crate::common::segment::Odd;

/// A request for `/one` on a connection that goes on.
pub const REQUEST: &[u8] = b"GET /one HTTP/1.1\r\nHost: lab\r\n\r\n";
/// Its length in sequence numbers.
pub const REQ: i64 = REQUEST.len() as i64;
/// The same request, after which the server closes.
pub const LAST_REQUEST: &[u8] = b"GET /one HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n";
pub const LAST_REQ: i64 = LAST_REQUEST.len() as i64;
/// A request for `/big`.
pub const BIG_REQUEST: &[u8] = b"GET /big HTTP/1.1\r\nHost: lab\r\n\r\n";
pub const BIG_REQ: i64 = BIG_REQUEST.len() as i64;
/// The windows that segments announce if they say nothing else.
pub const WINDOW: u16 = 64_000;

/// What `/one` contains.
pub const ONE: &[u8] = b"1";

/// What `/big` contains.
pub fn big() -> Vec<u8> {
    (0..200_000u32)
        .flat_map(|n| n.to_be_bytes())
        .take(200_000)
        .collect()
}

/// A sequence number.
#[derive(Clone, Copy, Debug)]
pub enum Num {
    /// The client's initial sequence number and so many.
    Client(i64),
    /// The server's initial sequence number and so many.
    Server(i64),
    /// The end of what has come from the server in order, and so many.
    Next(i64),
    /// The right edge of the server's receive window, and so many.
    Edge(i64),
    /// A number.
    Raw(u32),
}

/// ISS + n: the first byte is 1.
pub fn c(n: i64) -> Num {
    Num::Client(n)
}
/// The server's ISN + n: the first byte is 1.
pub fn s(n: i64) -> Num {
    Num::Server(n)
}
/// What the client should acknowledge, + n.
pub fn next(n: i64) -> Num {
    Num::Next(n)
}
/// The first number beyond the server's receive window, + n.
pub fn edge(n: i64) -> Num {
    Num::Edge(n)
}
pub fn raw(n: u32) -> Num {
    Num::Raw(n)
}

/// The TCP options of a segment.
#[derive(Clone, Debug)]
pub enum Options {
    /// What the dialect says: in a SYN all that it offers, later timestamps if
    /// both sides have offered them.
    Dialect,
    /// Those of the dialect, after these bytes.
    Before(Vec<u8>),
    /// These bytes, whatever was negotiated.
    Exactly(Vec<u8>),
}

/// A segment to send.
#[derive(Clone, Debug)]
pub struct Seg {
    pub flags: &'static str,
    pub seq: Num,
    pub ack: Num,
    pub window: u16,
    pub urgent: u16,
    pub options: Options,
    pub payload: Vec<u8>,
    pub odd: Odd,
}

/// A segment with these flags: `c(1)`, acknowledging all that has come. SYN is
/// `c(0)`.
pub fn seg(flags: &'static str) -> Seg {
    Seg {
        flags,
        seq: c(i64::from(!flags.contains('S'))),
        ack: if flags.contains('A') { next(0) } else { raw(0) },
        window: WINDOW,
        urgent: 0,
        options: Options::Dialect,
        payload: Vec::new(),
        odd: Odd::default(),
    }
}

impl Seg {
    pub fn seq(self, seq: Num) -> Seg {
        Seg { seq, ..self }
    }
    pub fn ack(self, ack: Num) -> Seg {
        Seg { ack, ..self }
    }
    pub fn window(self, window: u16) -> Seg {
        Seg { window, ..self }
    }
    pub fn urgent(self, urgent: u16) -> Seg {
        Seg { urgent, ..self }
    }
    pub fn data(self, bytes: &[u8]) -> Seg {
        let payload = bytes.to_vec();
        Seg { payload, ..self }
    }
    /// With exactly these options.
    pub fn options(self, bytes: &[u8]) -> Seg {
        let options = Options::Exactly(bytes.to_vec());
        Seg { options, ..self }
    }
    /// With these options before those of the dialect.
    pub fn more_options(self, bytes: &[u8]) -> Seg {
        let options = Options::Before(bytes.to_vec());
        Seg { options, ..self }
    }
    /// In a frame that is odd in some way.
    pub fn odd(mut self, change: impl FnOnce(&mut Odd)) -> Seg {
        change(&mut self.odd);
        self
    }
}

/// How much payload an answer has.
#[derive(Clone, Copy, Debug)]
pub enum Load {
    None,
    Some,
}

/// An answer to expect.
#[derive(Clone, Debug)]
pub struct Want {
    /// Without PSH.
    pub flags: &'static str,
    pub seq: Option<Num>,
    pub ack: Option<Num>,
    pub load: Load,
    /// Its sequence number is after this one.
    pub after: Option<Num>,
    /// Pure acknowledgements may come before it.
    pub skips_acks: bool,
}

/// An answer with these flags and no payload.
pub fn want(flags: &'static str) -> Want {
    Want {
        flags,
        seq: None,
        ack: None,
        load: Load::None,
        after: None,
        skips_acks: false,
    }
}

/// An ACK of everything before `number`, from SND.NXT.
pub fn ack(number: Num) -> Want {
    want("A").seq(next(0)).ack(number)
}

/// `<SEQ=number><CTL=RST>`.
pub fn rst(number: Num) -> Want {
    want("R").seq(number)
}

/// The SYN-ACK for `c(0)`.
pub fn syn_ack() -> Want {
    want("SA").ack(c(1))
}

impl Want {
    pub fn seq(self, seq: Num) -> Want {
        let seq = Some(seq);
        Want { seq, ..self }
    }
    pub fn ack(self, ack: Num) -> Want {
        let ack = Some(ack);
        Want { ack, ..self }
    }
    pub fn after(self, number: Num) -> Want {
        let after = Some(number);
        Want { after, ..self }
    }
    pub fn with_data(self) -> Want {
        let load = Load::Some;
        Want { load, ..self }
    }
    /// Pure acknowledgements may come before it.
    pub fn at_last(self) -> Want {
        Want {
            skips_acks: true,
            ..self
        }
    }
}

/// Whether FIN follows a response. It is not acknowledged with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fin {
    No,
    Yes,
    May,
}

/// How a response is read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// SEG.SEQ of our acknowledgements.
    pub seq: Num,
    pub body: Vec<u8>,
    pub fin: Fin,
    /// Payload that a segment may have at most.
    pub largest: usize,
}

/// One step.
#[derive(Clone, Debug)]
pub enum Step {
    Send(Seg),
    /// The next answer is one of these; or there is none, if `silence` is set.
    Answer {
        wants: Vec<Want>,
        silence: bool,
    },
    /// A response, which is acknowledged as it comes.
    Read(Reading),
    /// Data may come, but only as much as this from `next(0)`.
    DataAtMost(u32),
    /// So many copies of a segment get one answer at least and so many at most.
    Burst {
        seg: Seg,
        count: u32,
        most: u32,
    },
    /// The answer is repeated at growing distances, and no longer after a while.
    BackOff {
        want: Want,
        seconds: u32,
    },
    /// A closed window is probed for so long; each probe is answered.
    Probes {
        seq: Num,
        seconds: u32,
    },
    /// So many segments may come in so much time, no more.
    AtMost {
        segments: u32,
        seconds: u32,
    },
    /// Time passes, milliseconds.
    Pass(u32),
    /// The client goes on from another port, as if nothing had been.
    OtherPort,
}

/// A case: what is sent, what must come back, and who says so.
#[derive(Clone, Debug)]
pub struct Script {
    pub name: &'static str,
    /// RFC and section.
    pub rfc: &'static str,
    pub steps: Vec<Step>,
    /// Why it cannot run in real time.
    pub memory_only: Option<&'static str>,
    /// What Linux does otherwise, so that it fails there.
    pub not_linux: Option<&'static str>,
}

/// An empty script.
pub fn script(name: &'static str, rfc: &'static str) -> Script {
    Script {
        name,
        rfc,
        steps: Vec::new(),
        memory_only: None,
        not_linux: None,
    }
}

impl Script {
    fn step(mut self, step: Step) -> Script {
        self.steps.push(step);
        self
    }

    pub fn memory_only(self, reason: &'static str) -> Script {
        let memory_only = Some(reason);
        Script {
            memory_only,
            ..self
        }
    }

    pub fn not_linux(self, reason: &'static str) -> Script {
        let not_linux = Some(reason);
        Script { not_linux, ..self }
    }

    pub fn send(self, seg: Seg) -> Script {
        self.step(Step::Send(seg))
    }

    pub fn answer(self, want: Want) -> Script {
        self.one_of(&[want])
    }

    /// The next answer is one of these.
    pub fn one_of(self, wants: &[Want]) -> Script {
        self.step(Step::Answer {
            wants: wants.to_vec(),
            silence: false,
        })
    }

    /// The next answer is one of these, or there is none.
    pub fn maybe(self, wants: &[Want]) -> Script {
        self.step(Step::Answer {
            wants: wants.to_vec(),
            silence: true,
        })
    }

    pub fn silence(self) -> Script {
        self.maybe(&[])
    }

    pub fn pass(self, milliseconds: u32) -> Script {
        self.step(Step::Pass(milliseconds))
    }

    pub fn other_port(self) -> Script {
        self.step(Step::OtherPort)
    }

    pub fn burst(self, seg: Seg, count: u32, most: u32) -> Script {
        self.step(Step::Burst { seg, count, most })
    }

    pub fn back_off(self, want: Want, seconds: u32) -> Script {
        self.step(Step::BackOff { want, seconds })
    }

    pub fn probes(self, seq: Num, seconds: u32) -> Script {
        self.step(Step::Probes { seq, seconds })
    }

    /// No more than so many segments in so many seconds.
    pub fn at_most(self, segments: u32, seconds: u32) -> Script {
        self.step(Step::AtMost { segments, seconds })
    }

    pub fn data_at_most(self, bytes: u32) -> Script {
        self.step(Step::DataAtMost(bytes))
    }

    /// A response with `body`, while the client is at `seq`.
    pub fn read(self, seq: Num, body: &[u8]) -> Script {
        self.read_segments(seq, body, usize::MAX)
    }

    /// The same, in segments of at most `largest` bytes of payload.
    pub fn read_segments(self, seq: Num, body: &[u8], largest: usize) -> Script {
        self.step(Step::Read(Reading {
            seq,
            body: body.to_vec(),
            fin: Fin::No,
            largest,
        }))
    }

    /// The same, and then FIN, which is not acknowledged yet.
    pub fn read_to_fin(self, seq: Num, body: &[u8]) -> Script {
        self.step(Step::Read(Reading {
            seq,
            body: body.to_vec(),
            fin: Fin::Yes,
            largest: usize::MAX,
        }))
    }

    /// The same, with FIN or without.
    pub fn read_and_perhaps_fin(self, seq: Num, body: &[u8]) -> Script {
        self.step(Step::Read(Reading {
            seq,
            body: body.to_vec(),
            fin: Fin::May,
            largest: usize::MAX,
        }))
    }

    /// A handshake.
    pub fn open(self) -> Script {
        self.open_with(seg("S"))
    }

    /// A handshake with this SYN. Nothing answers its third segment, or else the
    /// next step would see it.
    pub fn open_with(self, syn: Seg) -> Script {
        self.send(syn).answer(syn_ack()).send(seg("A"))
    }

    /// A handshake in which the client's window is small from the beginning.
    pub fn open_with_window(self, window: u16) -> Script {
        self.send(seg("S").window(window))
            .answer(syn_ack())
            .send(seg("A").window(window))
    }

    /// The connection answers a request that begins at `c(n)`.
    pub fn alive(self, n: i64) -> Script {
        self.send(seg("PA").seq(c(n)).data(REQUEST))
            .read(c(n + REQ), ONE)
    }

    /// There is no such connection: an ACK is a stray.
    pub fn gone(self, n: i64) -> Script {
        self.send(seg("A").seq(c(n)).ack(next(0)))
            .answer(rst(next(0)))
    }

    /// A connection that the server has closed, after a request at `c(1)`, and
    /// the client too: the server is in TIME-WAIT.
    pub fn time_wait(self) -> Script {
        self.open()
            .send(seg("PA").data(LAST_REQUEST))
            .read_to_fin(c(1 + LAST_REQ), ONE)
            .send(seg("FA").seq(c(1 + LAST_REQ)))
            .answer(ack(c(2 + LAST_REQ)))
    }
}

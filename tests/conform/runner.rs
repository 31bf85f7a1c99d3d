//! Runs a script over a link and says where the server left it.

use super::dialect::{Dialect, Negotiated};
use super::script::{Fin, Load, Num, Options, Reading, Script, Seg, Step, Want};
use crate::common::segment::{Answer, Ends, Segment, flag_bits};
use std::collections::VecDeque;
use std::fmt::Write;

/// How long an answer is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// It should come: long enough for a delayed ACK and a busy machine.
    Answer,
    /// It should not come: until that seems certain.
    Silence,
    /// So many microseconds.
    Microseconds(u64),
}

/// What carries frames between the scripts and the server.
pub trait Link {
    fn ends(&self) -> Ends;
    fn send(&mut self, frame: &[u8]);
    /// The next frame from the server.
    fn receive(&mut self, wait: Wait) -> Option<Vec<u8>>;
    /// Lets time pass; what comes is kept for [`Link::receive`].
    fn pass_ms(&mut self, milliseconds: u32);
    /// Microseconds since some beginning.
    fn now_us(&self) -> u64;
    /// Whether the machine may be so slow that the server sends things again.
    fn is_live(&self) -> bool;
}

/// What went wrong, without saying where.
type Outcome = Result<(), String>;

/// One run of one script.
pub struct Runner<'a, L> {
    link: &'a mut L,
    dialect: Dialect,
    negotiated: Negotiated,
    port: u16,
    /// The server's initial sequence number.
    isn: Option<u32>,
    /// The end of what came in order.
    next: u32,
    /// RCV.NXT and RCV.WND as the server last said.
    acked: u32,
    window: u32,
    stream: Vec<u8>,
    pushed_back: VecDeque<Answer>,
    began_us: u64,
    transcript: String,
}

/// Runs `script` from client port `port`, which is its own, and the one after.
///
/// # Errors
/// What was expected, what came, and all segments until then.
pub fn run<L: Link>(link: &mut L, dialect: Dialect, port: u16, script: &Script) -> Outcome {
    let mut runner = Runner::new(link, dialect, port);
    for (number, step) in script.steps.iter().enumerate() {
        runner.step(step).map_err(|error| {
            format!(
                "{} ({}), {dialect:?}, step {}: {error}\n{}",
                script.name,
                script.rfc,
                number + 1,
                runner.transcript
            )
        })?;
    }
    Ok(())
}

impl<'a, L: Link> Runner<'a, L> {
    pub fn new(link: &'a mut L, dialect: Dialect, port: u16) -> Self {
        Runner {
            began_us: link.now_us(),
            link,
            dialect,
            negotiated: Negotiated::default(),
            port,
            isn: None,
            next: 0,
            acked: 0,
            window: 0,
            stream: Vec::new(),
            pushed_back: VecDeque::new(),
            transcript: String::new(),
        }
    }

    fn step(&mut self, step: &Step) -> Outcome {
        match step {
            Step::Send(seg) => self.send(seg),
            Step::Answer { wants, silence } => self.answer(wants, *silence)?,
            Step::Read(reading) => self.read(reading)?,
            Step::DataAtMost(bytes) => self.data_at_most(*bytes)?,
            Step::Burst { seg, count, most } => self.burst(seg, *count, *most)?,
            Step::BackOff { want, seconds } => self.back_off(want, *seconds)?,
            Step::Probes { seq, seconds } => self.probes(*seq, *seconds)?,
            Step::AtMost { segments, seconds } => self.at_most(*segments, *seconds)?,
            Step::Pass(milliseconds) => self.link.pass_ms(*milliseconds),
            Step::OtherPort => {
                self.port += 1;
                self.isn = None;
                self.stream.clear();
                self.negotiated = Negotiated::default();
            }
        }
        Ok(())
    }

    fn number(&self, number: Num) -> u32 {
        let (base, offset) = match number {
            Num::Client(n) => (self.dialect.iss(), n),
            Num::Server(n) => (self.isn.unwrap_or_default(), n),
            Num::Next(n) => (self.next, n),
            Num::Edge(n) => (self.acked.wrapping_add(self.window), n),
            Num::Raw(n) => (n, 0),
        };
        base.wrapping_add(offset as u32)
    }

    fn send(&mut self, seg: &Seg) {
        let options = match &seg.options {
            Options::Exactly(bytes) => bytes.clone(),
            Options::Dialect => self.negotiated.options(self.dialect, seg.flags),
            Options::Before(bytes) => [
                bytes.clone(),
                self.negotiated.options(self.dialect, seg.flags),
            ]
            .concat(),
        };
        if seg.flags.contains('S') && !seg.flags.contains('A') {
            self.negotiated.offer(&options);
        }
        let segment = Segment {
            port: self.port,
            flags: flag_bits(seg.flags),
            seq: self.number(seg.seq),
            ack: self.number(seg.ack),
            window: seg.window,
            urgent: seg.urgent,
            options,
            payload: seg.payload.clone(),
            odd: seg.odd.clone(),
        };
        let frame = segment.frame(&self.link.ends());
        let (seq, ack) = (
            segment.seq.wrapping_sub(self.dialect.iss()) as i32,
            segment.ack.wrapping_sub(self.isn.unwrap_or_default()) as i32,
        );
        let _ = writeln!(
            self.transcript,
            "{:>9} µs > {:4} c({seq}) ack s({ack}) win {} len {}",
            self.link.now_us() - self.began_us,
            seg.flags,
            segment.window,
            segment.payload.len()
        );
        self.link.send(&frame);
    }

    /// The next answer on our port, noted.
    fn receive(&mut self, wait: Wait) -> Result<Option<Answer>, String> {
        if let Some(answer) = self.pushed_back.pop_front() {
            return Ok(Some(answer));
        }
        let ends = self.link.ends();
        loop {
            let Some(frame) = self.link.receive(wait) else {
                return Ok(None);
            };
            let answer = Answer::read(&frame, &ends)?;
            if answer.tcp.destination_port != self.port {
                continue;
            }
            let (seq, ack) = (
                answer
                    .tcp
                    .sequence_number
                    .wrapping_sub(self.isn.unwrap_or_default()) as i32,
                answer
                    .tcp
                    .acknowledgment_number
                    .wrapping_sub(self.dialect.iss()) as i32,
            );
            let _ = writeln!(
                self.transcript,
                "{:>9} µs < {:4} s({seq}) ack c({ack}) win {} len {}",
                self.link.now_us() - self.began_us,
                answer.flags(),
                answer.tcp.window_size,
                answer.payload.len()
            );
            if (answer.destination, answer.source) != (ends.client_mac, ends.server_mac) {
                return Err(format!("wrong MAC addresses: {answer:?}"));
            }
            return Ok(Some(answer));
        }
    }

    /// Takes what an answer tells.
    fn note(&mut self, answer: &Answer) -> Outcome {
        let tcp = &answer.tcp;
        self.negotiated.hear(tcp)?;
        if tcp.rst {
            return Ok(());
        }
        let scale = if tcp.syn { 0 } else { self.negotiated.scale() };
        self.acked = tcp.acknowledgment_number;
        self.window = u32::from(tcp.window_size) << scale;
        if tcp.syn {
            self.isn = Some(tcp.sequence_number);
            self.next = answer.end();
            self.stream.clear();
            return Ok(());
        }
        let old = self.next.wrapping_sub(tcp.sequence_number);
        if old <= answer.len() {
            let known = (old as usize).min(answer.payload.len());
            self.stream.extend(&answer.payload[known..]);
            self.next = answer.end();
        }
        Ok(())
    }

    fn matches(&self, answer: &Answer, want: &Want) -> bool {
        let tcp = &answer.tcp;
        let is = |got: u32, want: Option<Num>| want.is_none_or(|want| got == self.number(want));
        answer.bits() == flag_bits(want.flags)
            && is(tcp.sequence_number, want.seq)
            && is(tcp.acknowledgment_number, want.ack)
            && answer.payload.is_empty() == matches!(want.load, Load::None)
            && want.after.is_none_or(|number| {
                tcp.sequence_number.wrapping_sub(self.number(number)) as i32 > 0
            })
    }

    /// Whether a live server only says again what it has said.
    fn is_repeat(&self, answer: &Answer) -> bool {
        self.link.is_live()
            && self.isn.is_some()
            && answer.len() > 0
            && self.next.wrapping_sub(answer.end()) as i32 >= 0
    }

    fn answer(&mut self, wants: &[Want], silence: bool) -> Outcome {
        let wait = if silence { Wait::Silence } else { Wait::Answer };
        loop {
            let Some(answer) = self.receive(wait)? else {
                return if silence {
                    Ok(())
                } else {
                    Err(format!("expected {}, got silence", names(wants)))
                };
            };
            if wants.iter().any(|want| self.matches(&answer, want)) {
                return self.note(&answer);
            }
            let pure_ack = answer.flags() == "A" && answer.len() == 0;
            if pure_ack && wants.iter().any(|want| want.skips_acks) {
                self.note(&answer)?;
            } else if !self.is_repeat(&answer) {
                return Err(format!(
                    "expected {}{}, got the last segment below",
                    names(wants),
                    if silence { " or silence" } else { "" }
                ));
            }
        }
    }

    fn read(&mut self, reading: &Reading) -> Outcome {
        let mut body_is_there = false;
        loop {
            if !body_is_there && let Some(body) = take_response(&mut self.stream)? {
                if body != reading.body {
                    return Err(format!("a body of {} other bytes", body.len()));
                }
                body_is_there = true;
                if reading.fin != Fin::Yes {
                    return Ok(());
                }
            }
            let Some(answer) = self.receive(Wait::Answer)? else {
                return Err("the response is not complete".into());
            };
            if answer.tcp.rst || answer.tcp.syn {
                return Err("no part of a response".into());
            }
            if answer.payload.len() > reading.largest {
                return Err(format!("a segment of {} bytes", answer.payload.len()));
            }
            let before = self.next;
            self.note(&answer)?;
            if answer.tcp.fin && self.next != before {
                if reading.fin == Fin::No {
                    return Err("an unexpected FIN".into());
                }
                let body = take_response(&mut self.stream)?;
                return match body {
                    Some(body) if body == reading.body => Ok(()),
                    None if body_is_there => Ok(()),
                    _ => Err("FIN, and the response is not complete".into()),
                };
            }
            if !answer.payload.is_empty() {
                self.send(&super::script::seg("A").seq(reading.seq));
            }
        }
    }

    fn data_at_most(&mut self, bytes: u32) -> Outcome {
        let edge = self.next.wrapping_add(bytes);
        while let Some(answer) = self.receive(Wait::Silence)? {
            let repeats = self.is_repeat(&answer);
            if !repeats
                && (answer.flags() != "A" || edge.wrapping_sub(answer.end()) as i32 > bytes as i32)
            {
                return Err("neither data nor an ACK".into());
            }
            if edge.wrapping_sub(answer.end()) as i32 <= -1 {
                return Err(format!("data beyond the window of {bytes} bytes"));
            }
            self.note(&answer)?;
        }
        Ok(())
    }

    fn burst(&mut self, seg: &Seg, count: u32, most: u32) -> Outcome {
        let length = self.transcript.len();
        let mut answers = 0;
        for number in 1..=count {
            self.send(seg);
            // Pauses, so that no ring on the way is full, nor other clients'
            // frames lost for it.
            let pause_us = if number % 64 == 0 { 10_000 } else { 20 };
            while let Some(answer) = self.receive(Wait::Microseconds(pause_us))? {
                if answer.flags() != "A" {
                    return Err("expected ACKs only".into());
                }
                self.note(&answer)?;
                answers += 1;
            }
        }
        while let Some(answer) = self.receive(Wait::Silence)? {
            self.note(&answer)?;
            answers += 1;
        }
        self.transcript.truncate(length);
        let _ = writeln!(self.transcript, "  > {count} segments: {answers} answers");
        if (1..=most).contains(&answers) {
            Ok(())
        } else {
            Err(format!("expected 1 to {most} answers, got {answers}"))
        }
    }

    fn back_off(&mut self, want: &Want, seconds: u32) -> Outcome {
        let end = self.link.now_us() + u64::from(seconds) * 1_000_000;
        let mut times = vec![self.link.now_us()];
        while self.link.now_us() < end {
            let left = Wait::Microseconds(end - self.link.now_us());
            let Some(answer) = self.receive(left)? else {
                break;
            };
            if answer.tcp.rst {
                break;
            }
            if !self.matches(&answer, want) {
                return Err(format!("expected {} again", want.flags));
            }
            times.push(self.link.now_us());
        }
        let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        // RFC 6298 §5.5: doubled each time, though timers need not be exact.
        let grows = gaps.windows(2).all(|pair| 2 * pair[1] >= 3 * pair[0]);
        let ended = self.receive(Wait::Microseconds(120_000_000))?.is_none();
        if gaps.len() >= 2 && grows && ended {
            Ok(())
        } else {
            Err(format!(
                "expected repeats at growing distances, then silence; got {gaps:?} µs, silence {ended}"
            ))
        }
    }

    fn at_most(&mut self, segments: u32, seconds: u32) -> Outcome {
        let end = self.link.now_us() + u64::from(seconds) * 1_000_000;
        for _ in 0..=segments {
            let left = Wait::Microseconds(end.saturating_sub(self.link.now_us()));
            match self.receive(left)? {
                Some(answer) => self.note(&answer)?,
                None => return Ok(()),
            }
        }
        Err(format!("more than {segments} segments in {seconds} s"))
    }

    fn probes(&mut self, seq: Num, seconds: u32) -> Outcome {
        let end = self.link.now_us() + u64::from(seconds) * 1_000_000;
        let mut count = 0;
        let closed = super::script::seg("A").seq(seq).window(0);
        while self.link.now_us() < end {
            let left = Wait::Microseconds(end - self.link.now_us());
            let Some(answer) = self.receive(left)? else {
                break;
            };
            if answer.flags() != "A" || answer.payload.len() > 1 {
                return Err("no probe of a closed window".into());
            }
            // The byte of a probe is not taken.
            count += 1;
            self.send(&closed);
        }
        if count < 3 {
            return Err(format!("{count} probes in {seconds} s"));
        }
        Ok(())
    }
}

fn names(wants: &[Want]) -> String {
    let names: Vec<String> = wants
        .iter()
        .map(|want| {
            let mut name = want.flags.to_owned();
            for (what, number) in [("seq", want.seq), ("ack", want.ack), ("after", want.after)] {
                if let Some(number) = number {
                    let _ = write!(name, " {what} {number:?}");
                }
            }
            name
        })
        .collect();
    if names.is_empty() {
        "nothing".into()
    } else {
        names.join(" | ")
    }
}

/// Takes a whole response from the beginning of the stream: its body.
fn take_response(stream: &mut Vec<u8>) -> Result<Option<Vec<u8>>, String> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut fields);
    let head = match response.parse(stream).map_err(|error| error.to_string())? {
        httparse::Status::Complete(head) => head,
        httparse::Status::Partial => return Ok(None),
    };
    if response.code != Some(200) {
        return Err(format!("status {:?}", response.code));
    }
    let length = response
        .headers
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("content-length"))
        .and_then(|field| std::str::from_utf8(field.value).ok()?.parse::<usize>().ok())
        .ok_or("no Content-Length")?;
    if stream.len() < head + length {
        return Ok(None);
    }
    let body = stream[head..head + length].to_vec();
    stream.drain(..head + length);
    Ok(Some(body))
}

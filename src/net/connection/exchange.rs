//! What a connection does in a turn: smoltcp takes what came, repairs are made,
//! the application moves, and smoltcp sends.

use super::{Connection, Next};
use crate::net::app::{Application, Outcome, Stream, Way};
use crate::net::checksum::TextSum;
use crate::net::demux::{Segment, after};
use crate::net::device::{Device, TextSent};
use crate::net::flow::ConnId;
use crate::net::link::FrameSink;
use crate::net::reply::Reply;
use crate::net::tcb::Resting;
use smoltcp::iface::{Interface, PollResult};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::TcpControl;

/// When smoltcp wants to act at once and yet does nothing, it is asked again
/// this much later instead of in a loop.
const STUCK_RETRY: Duration = Duration::from_millis(10);

/// Segments of text that may wait to be sent aside: a turn's.
const ASIDE_SEGMENTS: usize = 32;

impl<A: Application> Connection<A> {
    /// The packet of `segment` as smoltcp is to see it: see
    /// [`shadow`](crate::net::sender::Sender::shadow). Nobody looks at its checksum any more.
    pub fn shadowed<'a>(&self, segment: &Segment<'a>, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        let (ack, window) = self.sender.shadow();
        let ack = ack.wrapping_sub(self.aside_bytes);
        if (segment.ack, segment.window) == (ack, window) {
            return segment.packet;
        }
        scratch.clear();
        scratch.extend_from_slice(segment.packet);
        let header = scratch.len() - segment.payload_bytes as usize - segment.options.len() - 20;
        scratch[header + 8..header + 12].copy_from_slice(&ack.to_be_bytes());
        scratch[header + 14..header + 16].copy_from_slice(&window.to_be_bytes());
        scratch
    }

    /// Hands the device's packet to smoltcp.
    pub fn receive<S: FrameSink>(
        &mut self,
        interface: &mut Interface,
        device: &mut Device<'_, S>,
        now: Instant,
    ) {
        if let Some(tcb) = &mut self.tcb {
            interface.poll_ingress_single(now, device, &mut tcb.sockets);
        }
        self.note(device.told.take());
    }

    /// Tells smoltcp that what recovery has taken over is acknowledged, if it does
    /// not know: no segment has come to say so.
    pub fn shadow<S: FrameSink>(
        &mut self,
        interface: &mut Interface,
        device: &mut Device<'_, S>,
        now: Instant,
    ) {
        let Some(tcb) = &mut self.tcb else {
            return;
        };
        if !self.sender.owes_shadow(tcb.peek().send_queue()) {
            return;
        }
        let (ack, window) = self.sender.shadow();
        let heard = Resting {
            snd_nxt: ack.wrapping_sub(self.aside_bytes),
            rcv_nxt: self.rcv_nxt(),
            window,
            ..self.resting()
        };
        let mut buffer = [0; 80];
        let packet = heard.ack().as_if_received(self.flow, &mut buffer);
        let mut local = Device {
            packet: Some(packet),
            sink: &mut *device.sink,
            ..*device
        };
        if let Some(tcb) = &mut self.tcb {
            interface.poll_ingress_single(now, &mut local, &mut tcb.sockets);
        }
        (device.sent, device.told) = (local.sent, local.told);
    }

    /// Lets the application move; `is_short` when memory is.
    pub fn drive(&mut self, id: ConnId, app: &mut A, is_short: bool, now: Instant) -> Outcome {
        let allowance = self.sender.allowance(is_short, now);
        let room = self.choose_way();
        let (Some(tcb), Some(text)) = (&mut self.tcb, self.sender.text()) else {
            return Outcome::default();
        };
        let mut stream = Stream::new(tcb.socket(), text, allowance, self.way, room);
        app.drive(id, &mut self.app, &mut stream, now);
        let outcome = stream.outcome;
        self.rcv_base = self.rcv_base.wrapping_add(outcome.received as u32);
        let has_more = outcome.was_held_back || outcome.wants_room;
        self.sender
            .note_handed_over(outcome.sent, has_more, &allowance, now);
        self.is_paced = has_more && allowance.by_pace;
        self.waits_until = outcome.waits_until;
        self.closed |= outcome.closed;
        outcome
    }

    /// Chooses how what is handed over next is sent; how many bytes may be.
    fn choose_way(&mut self) -> usize {
        let Some(tcb) = &self.tcb else {
            return 0;
        };
        let segment_bytes = usize::from(self.sender.segment_bytes());
        if self.sender.has_sent_all() {
            let may_be_aside = tcb.peek().send_queue() == 0 && self.sender.may_go_aside();
            self.way = match may_be_aside && !self.owes_ack() {
                true => Way::Aside,
                // What is behind the segment with the ACK goes aside.
                false if may_be_aside => {
                    self.way = Way::Socket;
                    return segment_bytes;
                }
                false => Way::Socket,
            };
        }
        match self.way {
            Way::Socket => usize::MAX,
            Way::Aside => ASIDE_SEGMENTS * segment_bytes,
        }
    }

    /// Sends what goes aside, until that is all, the sink is full, or the turn's
    /// `frames` are used up; false when there is no room for more.
    fn send_aside<S: FrameSink>(
        &mut self,
        device: &mut Device<'_, S>,
        frames: &mut u32,
        now: Instant,
    ) -> bool {
        while let Some(next) = self.sender.next_text(now) {
            if *frames == 0 || !device.sink.ready() {
                return false;
            }
            let has_fin = next.is_last && self.closed;
            let control = match next.is_last {
                true if has_fin => TcpControl::Fin,
                true => TcpControl::Psh,
                false => TcpControl::None,
            };
            let reply = Reply {
                seq: next.seq,
                ..self.acknowledge(control, now)
            };
            let bytes = (next.text.end - next.text.start) as u32;
            let (sender, text) = (&self.sender, next.text.clone());
            let write = |place: &mut [u8], sum: &mut TextSum| sender.write_text(text, place, sum);
            if !reply.send_with(self.flow, self.link, bytes as usize, write, device.sink) {
                return false;
            }
            *frames -= 1;
            device.sent += 1;
            self.aside_bytes = self.aside_bytes.wrapping_add(bytes);
            device.aside_bytes = self.aside_bytes;
            let end = next.seq.wrapping_add(bytes + u32::from(has_fin));
            self.said.end = end;
            if has_fin {
                self.is_passive = self.peer_closed();
            }
            self.sender.on_sent_aside(&next, has_fin, now);
        }
        true
    }

    /// Sends until smoltcp has nothing more to send, the sink is full, or the
    /// turn's `frames` are used up.
    pub fn send<S: FrameSink>(
        &mut self,
        interface: &mut Interface,
        device: &mut Device<'_, S>,
        frames: &mut u32,
        now: Instant,
    ) -> Next {
        device.fin_at = self.closed.then_some(self.sender.end());
        let is_aside = self.way == Way::Aside;
        if is_aside && !self.send_aside(device, frames, now) {
            return Next::Room;
        }
        // What has just been handed over is due: no need to ask.
        let mut is_due = !is_aside && !self.sender.has_sent_all();
        while *frames > 0 {
            let Some(tcb) = &mut self.tcb else {
                return Next::Until(None);
            };
            if !std::mem::take(&mut is_due) {
                let at = interface.poll_at(now, &tcb.sockets);
                if at.is_none_or(|at| at > now) {
                    return self.say_fin(device, at, now);
                }
            }
            if !device.sink.ready() {
                return Next::Room;
            }
            let sent = device.sent;
            device.taken_over = Some(self.sender.taken_over());
            let moved = interface.poll_egress(now, device, &mut tcb.sockets);
            if moved == PollResult::None && device.sent == sent {
                // A timer was due with nothing to send for it: asked again, unless it
                // still is.
                let at = interface.poll_at(now, &tcb.sockets);
                if at.is_some_and(|at| at <= now) {
                    return self.wait(Some(now + STUCK_RETRY), now);
                }
            }
            *frames -= 1;
            self.note(device.told.take());
            if let Some(text) = device.text.take() {
                self.note_sent(&text, now);
                if self.sender.has_taken_over_all() {
                    // That carried the ACK, and smoltcp's timers mean nothing now.
                    return self.say_fin(device, None, now);
                }
            }
        }
        Next::Room
    }

    /// What it waits for: smoltcp's time `at`, or its own.
    fn wait(&mut self, at: Option<Instant>, now: Instant) -> Next {
        let held = self.sender.held_until().filter(|&until| until > now);
        let paced = match self.is_paced {
            true => self.sender.pace_at(now),
            false => None,
        };
        let times = [at, self.sender.next_at(), held, paced, self.waits_until];
        Next::Until(times.into_iter().flatten().min())
    }

    /// FIN, if the last text left without it.
    fn say_fin<S: FrameSink>(
        &mut self,
        device: &mut Device<'_, S>,
        at: Option<Instant>,
        now: Instant,
    ) -> Next {
        let fin = self.sender.end();
        if !self.closed || !self.sender.has_sent_all() || after(self.said.end, fin) {
            return self.wait(at, now);
        }
        if !device.sink.ready() {
            return Next::Room;
        }
        let reply = Reply {
            seq: fin,
            ..self.acknowledge(TcpControl::Fin, now)
        };
        device.sent += u64::from(reply.send(self.flow, self.link, device.sink));
        self.said.end = fin.wrapping_add(1);
        let text = TextSent {
            seq: fin,
            bytes: 0,
            has_fin: true,
        };
        self.note_sent(&text, now);
        self.wait(at, now)
    }

    fn note_sent(&mut self, text: &TextSent, now: Instant) {
        if text.has_fin {
            self.is_passive = self.peer_closed();
        }
        self.sender.on_sent(text, now);
    }

    /// Sends again what is lost, as far as the window allows; with `probe`, also a
    /// tail loss probe that nothing new was to be had for. False when there is no
    /// room for more.
    pub fn repair<S: FrameSink>(
        &mut self,
        device: &mut Device<'_, S>,
        scratch: &mut Vec<u8>,
        probe: bool,
        now: Instant,
    ) -> bool {
        while self.sender.wants_repair(probe) {
            if !device.sink.ready() {
                return false;
            }
            let Some((repair, seq, has_fin)) = self.sender.next_repair(probe, scratch) else {
                break;
            };
            let control = if has_fin {
                TcpControl::Fin
            } else {
                TcpControl::Psh
            };
            let reply = Reply {
                seq,
                ..self.acknowledge(control, now)
            };
            let sent = reply.send_text(self.flow, self.link, scratch, device.sink);
            device.sent += u64::from(sent);
            self.sender.on_repair(repair, now);
        }
        true
    }
}

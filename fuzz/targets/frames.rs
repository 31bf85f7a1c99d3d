//! Any frames at any times.
//!
//! ```text
//! input = { control:u8 time:u8 length:u16 frame:length }
//! ```
//!
//! Left to chance no checksum would ever be right and no number be known, so
//! that the bits of `control` decide what is put right, when they are clear:
//! 0 the IP checksum, 1 the TCP checksum, 2 Ethernet type and destination.
//! Bit 3 set adds the server's last ISN to the acknowledgement.

use super::input::Input;
use super::world::World;
use crate::common::segment::Answer;
use crate::common::{ENDS, stack_config};
use etherparse::checksum::Sum16BitWords;
use std::path::Path;
use xdphttpd::net::Duration;

const LEAVE_IP_CHECKSUM: u8 = 1;
const LEAVE_TCP_CHECKSUM: u8 = 2;
const LEAVE_DESTINATION: u8 = 4;
const ADD_ISN: u8 = 8;
const CONNECTIONS: usize = 64;
const LARGEST_FRAME_BYTES: usize = 1_514;

pub fn run(site: &Path, input: &[u8]) {
    let mut input = Input(input);
    let mut world = World::new(site, &stack_config(CONNECTIONS));
    let mut isn = 0;
    while !input.is_empty() {
        let control = input.u8();
        let time = Duration::from_micros(input.time_us());
        let length = usize::from(input.u16()).min(LARGEST_FRAME_BYTES);
        let mut frame = input.take(length).to_vec();
        put_right(&mut frame, control, isn);
        let mut answers = world.pass(time);
        answers.extend(world.frame(&frame));
        isn = last_isn(&answers).unwrap_or(isn);
    }
    world.settle();
}

fn last_isn(answers: &[Answer]) -> Option<u32> {
    let syn_ack = answers.iter().rfind(|answer| answer.tcp.syn)?;
    Some(syn_ack.tcp.sequence_number)
}

/// Puts right what `control` does not leave, as far as the frame has it.
fn put_right(frame: &mut [u8], control: u8, isn: u32) {
    if frame.len() < 14 + 20 + 20 {
        return;
    }
    if control & LEAVE_DESTINATION == 0 {
        frame[..6].copy_from_slice(&ENDS.server_mac);
        frame[12..14].copy_from_slice(&[0x08, 0x00]);
        frame[30..34].copy_from_slice(&ENDS.server.octets());
    }
    let packet = &mut frame[14..];
    let header = usize::from(packet[0] & 15) * 4;
    let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    if header < 20 || total < header + 20 || total > packet.len() {
        return;
    }
    if control & LEAVE_DESTINATION == 0 {
        let port = ENDS.server_port.to_be_bytes();
        packet[header + 2..header + 4].copy_from_slice(&port);
    }
    if control & ADD_ISN != 0 {
        let field: &mut [u8] = &mut packet[header + 8..header + 12];
        let ack = u32::from_be_bytes([field[0], field[1], field[2], field[3]]);
        field.copy_from_slice(&ack.wrapping_add(isn).to_be_bytes());
    }
    if control & LEAVE_IP_CHECKSUM == 0 {
        packet[10..12].fill(0);
        let sum = Sum16BitWords::new().add_slice(&packet[..header]);
        packet[10..12].copy_from_slice(&sum.ones_complement().to_ne_bytes());
    }
    if control & LEAVE_TCP_CHECKSUM == 0 {
        packet[header + 16..header + 18].fill(0);
        let sum = Sum16BitWords::new()
            .add_slice(&packet[12..20])
            .add_2bytes([0, 6])
            .add_2bytes(((total - header) as u16).to_be_bytes())
            .add_slice(&packet[header..total]);
        packet[header + 16..header + 18].copy_from_slice(&sum.ones_complement().to_ne_bytes());
    }
}

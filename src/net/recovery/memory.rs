//! What a connection at rest keeps of its recovery.

use super::rack::{Rack, Reordering};
use super::rate::Sampler;
use super::rtt::Rtt;
use super::scoreboard::Scoreboard;
use super::{Duration, Instant, Mode, Recovery, Tally};
use crate::net::mtu::BlackHole;

/// Segments that there is memory for from one connection to the next.
const KEPT_SEGMENTS: usize = 64;

/// What outlasts a rest, when nothing is in flight: what was learnt of the path and
/// of the peer.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    rtt: Rtt,
    sampler: Sampler,
    reordering: Reordering,
    has_sack: bool,
    cut_bytes: u32,
    black_hole: BlackHole,
}

impl Memory {
    /// Nothing has been sent. A path proves to be one by `black_hole`; the handshake
    /// took `rtt` (RFC 6298 §2.2), so that the first response need not wait for a
    /// whole second when it is lost.
    pub fn new(black_hole: BlackHole, rtt: Option<Duration>, now: Instant) -> Memory {
        let mut memory = Memory {
            rtt: Rtt::default(),
            sampler: Sampler::new(now),
            reordering: Reordering::default(),
            has_sack: false,
            cut_bytes: u32::MAX,
            black_hole,
        };
        if let Some(rtt) = rtt {
            memory.rtt.sample(rtt, now);
        }
        memory
    }
}

impl Recovery {
    /// Nothing has been sent; the first byte is at `offset`.
    pub fn new(offset: u64, now: Instant) -> Recovery {
        let memory = Memory::new(BlackHole::NONE, None, now);
        Recovery::with(Scoreboard::default(), &memory, offset, now)
    }

    fn with(board: Scoreboard, memory: &Memory, offset: u64, now: Instant) -> Recovery {
        Recovery {
            board,
            rack: Rack::new(memory.reordering),
            rtt: memory.rtt,
            sampler: memory.sampler,
            una: offset,
            nxt: offset,
            mode: Mode::Open,
            point: offset,
            doubt: None,
            may_be_spurious: false,
            has_sack: memory.has_sack,
            probe: None,
            is_probing: false,
            must_repair: false,
            backoffs: 0,
            presumed: 0,
            dup_acks: 0,
            timeout_at: now,
            timer: None,
            limited_until: offset,
            untold_bytes: 0,
            cut_bytes: memory.cut_bytes,
            black_hole: memory.black_hole,
            tally: Tally::default(),
        }
    }

    /// Goes on for a connection with this `memory`; the next byte is at `offset`.
    pub fn resume(&mut self, memory: &Memory, offset: u64, now: Instant) {
        let board = std::mem::take(&mut self.board);
        *self = Recovery::with(board, memory, offset, now);
    }

    /// What to [resume](Recovery::resume) with. What is in flight is forgotten, if
    /// anything is.
    pub fn rest(&mut self) -> Memory {
        self.board.clear(KEPT_SEGMENTS);
        Memory {
            rtt: self.rtt,
            sampler: self.sampler,
            reordering: self.rack.reordering(),
            has_sack: self.has_sack,
            cut_bytes: self.cut_bytes,
            black_hole: self.black_hole,
        }
    }
}

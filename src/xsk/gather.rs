//! A received packet that came in several chunks, put together.
//!
//! The descriptors of one packet may be split over two looks at the RX ring, so what
//! has come of it is kept in between. Its chunks go back one by one, as soon as their
//! bytes are copied, whatever becomes of the packet.

use super::config::MAX_FRAME;

/// What has come of a packet whose end is still to come.
#[derive(Default)]
pub(super) struct Gather {
    state: State,
    /// A buffer for the next one.
    spare: Option<Box<[u8]>>,
}

#[derive(Default)]
enum State {
    /// The next descriptor begins a packet.
    #[default]
    Between,
    /// So many bytes have come.
    Within(Box<[u8]>, usize),
    /// What is left of it is thrown away.
    Spoilt,
}

/// What a piece has made of the packet.
pub(super) enum Gathered {
    /// More is to come.
    Part,
    /// It is whole, in the buffer's first bytes.
    Whole(Box<[u8]>, usize),
    /// It had to be thrown away, and this was its end.
    Bad,
}

impl Gather {
    /// Whether a packet has begun.
    #[inline]
    pub fn is_within(&self) -> bool {
        !matches!(self.state, State::Between)
    }

    /// Adds the next piece; `None` if it was bad. `is_last` when the packet ends here.
    pub fn add(&mut self, piece: Option<&[u8]>, is_last: bool) -> Gathered {
        let state = match (std::mem::take(&mut self.state), piece) {
            (State::Between, Some(piece)) => {
                let buffer = self.spare.take();
                let buffer = buffer.unwrap_or_else(|| vec![0; MAX_FRAME as usize].into());
                self.append(buffer, 0, piece)
            }
            (State::Within(buffer, len), Some(piece)) => self.append(buffer, len, piece),
            (State::Within(buffer, _), None) => {
                self.give(buffer);
                State::Spoilt
            }
            (State::Between, None) | (State::Spoilt, _) => State::Spoilt,
        };
        match (is_last, state) {
            (true, State::Within(buffer, len)) => Gathered::Whole(buffer, len),
            (true, _) => Gathered::Bad,
            (false, state) => {
                self.state = state;
                Gathered::Part
            }
        }
    }

    /// A packet longer than any can be is spoilt.
    fn append(&mut self, mut buffer: Box<[u8]>, len: usize, piece: &[u8]) -> State {
        let end = len + piece.len();
        match buffer.get_mut(len..end) {
            Some(place) => {
                place.copy_from_slice(piece);
                State::Within(buffer, end)
            }
            None => {
                self.give(buffer);
                State::Spoilt
            }
        }
    }

    /// Takes a buffer back.
    pub fn give(&mut self, buffer: Box<[u8]>) {
        self.spare = Some(buffer);
    }
}

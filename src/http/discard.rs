//! A request's body, which is read only to find where the next request begins.

use super::chunked::Chunked;
use super::limits::Limits;
use super::status::Status;

/// What of a body is still to be thrown away.
#[derive(Debug, Clone, Copy)]
pub(super) enum Discard {
    /// So many bytes.
    Length(u64),
    /// What its own framing says.
    Chunked(Chunked),
}

impl Default for Discard {
    fn default() -> Self {
        Discard::Length(0)
    }
}

impl Discard {
    /// Whether nothing is left.
    pub fn is_done(&self) -> bool {
        match self {
            Discard::Length(left) => *left == 0,
            Discard::Chunked(chunked) => chunked.is_done(),
        }
    }

    /// Throws away what of `bytes` belongs to the body, and returns how many.
    ///
    /// # Errors
    /// The status to end the connection with.
    pub fn take(&mut self, bytes: &[u8], limits: &Limits) -> Result<usize, Status> {
        match self {
            Discard::Length(left) => {
                let len = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                *left -= len as u64;
                Ok(len)
            }
            Discard::Chunked(chunked) => chunked.take(bytes, limits),
        }
    }
}

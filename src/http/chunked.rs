//! The chunked coding of request bodies (RFC 9112 section 7.1), read to its end.
//!
//! A state machine over single bytes, so that cuts make no difference; only chunk data is skipped at once. It is strict
//! about all of the grammar, since what one server skips as an odd chunk another one takes for a request.

use super::bytes::{is_field_char, is_token_char};
use super::limits::Limits;
use super::status::Status;

/// A body whose end has not been found.
#[derive(Debug, Clone, Copy)]
pub struct Chunked {
    state: State,
    /// Bytes of the current chunk's data that are to come; its size as far as it was read.
    size: u64,
    /// Bytes of the current chunk's line, then of the trailer section.
    line_bytes: usize,
    /// Bytes that the body may still take.
    left_bytes: u64,
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The first digit of a chunk's size.
    Size,
    MoreSize,
    /// White space between a size or an extension's value and a semicolon.
    BeforeSemicolon,
    /// An extension's name, with white space before it.
    Name,
    MoreName,
    /// White space between a name and what may follow it.
    AfterName,
    /// An extension's value, with white space before it.
    Value,
    Token,
    Quoted,
    QuotedPair,
    /// What follows a closing quote.
    AfterQuoted,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// The beginning of a trailer field, or of the end.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

impl Chunked {
    /// A body that begins now.
    pub fn new(limits: &Limits) -> Self {
        Chunked {
            state: State::Size,
            size: 0,
            line_bytes: 0,
            left_bytes: limits.body_bytes,
        }
    }

    /// The same, however long it is.
    pub fn unbounded() -> Self {
        Chunked {
            state: State::Size,
            size: 0,
            line_bytes: 0,
            left_bytes: u64::MAX,
        }
    }

    /// Whether its end has been read.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Reads on and returns how many of `bytes` belong to the body: all, unless it ends.
    ///
    /// # Errors
    /// 400, or the status of the limit that was exceeded; no request can be found after it.
    pub fn take(&mut self, bytes: &[u8], limits: &Limits) -> Result<usize, Status> {
        let mut taken = 0;
        while taken < bytes.len() && !self.is_done() {
            taken += self.take_line(&bytes[taken..], limits)?;
            taken += self.take_data(bytes.len() - taken)?;
        }
        Ok(taken)
    }

    /// Reads on to where data begins, or the body ends: how many of `bytes` are before it.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn take_line(&mut self, bytes: &[u8], limits: &Limits) -> Result<usize, Status> {
        let mut taken = 0;
        while taken < bytes.len() && !matches!(self.state, State::Data | State::Done) {
            self.count_line_byte(limits)?;
            self.state = self.next(bytes[taken])?;
            self.count(1)?;
            taken += 1;
        }
        Ok(taken)
    }

    /// How many of `most` bytes are data, which are taken.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn take_data(&mut self, most: usize) -> Result<usize, Status> {
        if self.state != State::Data {
            return Ok(0);
        }
        let taken = self.skip_data(most);
        self.count(taken)?;
        Ok(taken)
    }

    /// Of so many further bytes those that are data.
    pub fn data_ahead(&self, most: usize) -> usize {
        match self.state {
            State::Data => usize::try_from(self.size).unwrap_or(usize::MAX).min(most),
            _ => 0,
        }
    }

    fn count(&mut self, bytes: usize) -> Result<(), Status> {
        let left = self.left_bytes.checked_sub(bytes as u64);
        self.left_bytes = left.ok_or(Status::ContentTooLarge)?;
        Ok(())
    }

    /// Skips data, of which `most` bytes are there.
    fn skip_data(&mut self, most: usize) -> usize {
        let len = self.data_ahead(most);
        self.size -= len as u64;
        if self.size == 0 {
            self.state = State::DataCr;
        }
        len
    }

    /// Counts a byte of a chunk's line, or of the trailer section, against its limit.
    fn count_line_byte(&mut self, limits: &Limits) -> Result<(), Status> {
        use State::*;
        let (limit, excess) = match self.state {
            Data | DataCr | DataLf | Done => return Ok(()),
            Trailer | TrailerName | TrailerValue | TrailerLf | EndLf => {
                (limits.trailer_bytes, Status::HeaderFieldsTooLarge)
            }
            _ => (limits.chunk_line_bytes, Status::BadRequest),
        };
        self.line_bytes += 1;
        if self.line_bytes > limit {
            return Err(excess);
        }
        Ok(())
    }

    /// The state after `byte`.
    fn next(&mut self, byte: u8) -> Result<State, Status> {
        use State::*;
        let next = match (self.state, byte) {
            (Size, _) => self.add_digit(0, byte)?,
            (MoreSize, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.add_digit(self.size, byte)?
            }
            (MoreSize | BeforeSemicolon | MoreName | AfterName | Token | AfterQuoted, b';') => Name,
            (MoreSize | MoreName | Token | AfterQuoted, b'\r') => SizeLf,
            (MoreSize | BeforeSemicolon | Token | AfterQuoted, b' ' | b'\t') => BeforeSemicolon,
            (Name, b' ' | b'\t') => Name,
            (Name | MoreName, _) if is_token_char(byte) => MoreName,
            (MoreName | AfterName, b' ' | b'\t') => AfterName,
            (MoreName | AfterName, b'=') => Value,
            (Value, b' ' | b'\t') => Value,
            (Value, b'"') => Quoted,
            (Value | Token, _) if is_token_char(byte) => Token,
            (Quoted, b'"') => AfterQuoted,
            (Quoted, b'\\') => QuotedPair,
            (Quoted | QuotedPair, _) if is_field_char(byte) => Quoted,
            (SizeLf, b'\n') => return self.begin_data(),
            (DataCr, b'\r') => DataLf,
            (DataLf, b'\n') => Size,
            (Trailer, b'\r') => EndLf,
            (Trailer | TrailerName, _) if is_token_char(byte) => TrailerName,
            (TrailerName, b':') => TrailerValue,
            (TrailerValue, b'\r') => TrailerLf,
            (TrailerValue, _) if is_field_char(byte) => TrailerValue,
            (TrailerLf, b'\n') => Trailer,
            (EndLf, b'\n') => Done,
            _ => return Err(Status::BadRequest),
        };
        Ok(next)
    }

    /// Takes a digit of the size that is `before` without it.
    fn add_digit(&mut self, before: u64, byte: u8) -> Result<State, Status> {
        let digit = char::from(byte).to_digit(16).ok_or(Status::BadRequest)?;
        let size = before
            .checked_mul(16)
            .map(|size| size | u64::from(digit))
            .ok_or(Status::BadRequest)?;
        self.size = size;
        Ok(State::MoreSize)
    }

    /// What follows a chunk's line.
    fn begin_data(&mut self) -> Result<State, Status> {
        self.line_bytes = 0;
        match self.size {
            0 => Ok(State::Trailer),
            size if size < self.left_bytes => Ok(State::Data),
            _ => Err(Status::ContentTooLarge),
        }
    }
}

//! An input read as numbers. What lies behind its end is zeros.

/// The rest of an input.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// At most so many bytes.
    pub fn take(&mut self, bytes: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(bytes.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub fn u8(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.u8(), self.u8()])
    }

    pub fn u32(&mut self) -> u32 {
        u32::from(self.u16()) << 16 | u32::from(self.u16())
    }

    /// A distance between sequence numbers: small ones most of the time.
    pub fn distance(&mut self) -> i32 {
        match self.u8() {
            0x80 => i32::from(self.u16() as i16),
            0x81 => self.u32() as i32,
            near => i32::from(near as i8),
        }
    }

    /// A time up to about two minutes, microseconds.
    pub fn time_us(&mut self) -> u64 {
        1 << (self.u8() % 28)
    }
}

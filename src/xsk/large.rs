//! Frames that span chunks, on the way out: neighbours set aside at the start, so
//! that a frame is one slice however large it is.

/// Which stretches of neighbouring chunks are free.
pub(super) struct Large {
    /// The number, within the TX half, of the first chunk of the first stretch.
    first: u32,
    /// Chunks of a stretch; 1 when no frame needs more.
    chunks: u32,
    /// Of each stretch, how many chunks the kernel has.
    with_kernel: Box<[u32]>,
    /// Stretches that are free, the one used last on top.
    free: Vec<u32>,
}

impl Large {
    /// `count` stretches of so many `chunks`, all free, from chunk `first` on.
    pub fn new(first: u32, count: u32, chunks: u32) -> Large {
        Large {
            first,
            chunks,
            with_kernel: vec![0; count as usize].into_boxed_slice(),
            free: (0..count).rev().collect(),
        }
    }

    /// Chunks that the largest frame takes: TX slots that any frame may need.
    pub fn chunks(&self) -> u32 {
        self.chunks
    }

    /// Whether a frame of any size has a place.
    pub fn has_room(&self) -> bool {
        self.chunks == 1 || !self.free.is_empty()
    }

    /// The first chunk of the stretch that is used next.
    pub fn next(&self) -> Option<u32> {
        let &stretch = self.free.last()?;
        Some(self.first + stretch * self.chunks)
    }

    /// The first `chunks` of the stretch that is used next go to the kernel.
    pub fn give(&mut self, chunks: u32) {
        if let Some(stretch) = self.free.pop() {
            self.with_kernel[stretch as usize] = chunks;
        }
    }

    /// Whether `chunk` is one of a stretch's.
    pub fn holds(&self, chunk: u32) -> bool {
        chunk >= self.first
    }

    /// A chunk has come back that the kernel had.
    pub fn take(&mut self, chunk: u32) {
        let stretch = (chunk - self.first) / self.chunks;
        let left = &mut self.with_kernel[stretch as usize];
        *left -= 1;
        if *left == 0 {
            self.free.push(stretch);
        }
    }
}

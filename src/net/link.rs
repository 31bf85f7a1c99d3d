//! The seam: what the sans-IO core needs of whatever carries its frames.
//!
//! Two links implement it: the AF_XDP socket's TX half, and the in-memory wire
//! that tests, fuzzers and benchmarks use. Receiving needs no trait: a received
//! frame is just bytes handed to [`Stack::segment`](crate::net::Stack).

/// Where frames leave. Backpressure, never loss: who asks
/// [`ready`](FrameSink::ready) first is never refused.
pub trait FrameSink {
    /// Whether one more frame can be sent now.
    fn ready(&mut self) -> bool;

    /// The bytes of the next frame, to be written in place; they hold anything.
    /// `None` when there is no room, or `len_bytes` is not what the link carries.
    fn reserve(&mut self, len_bytes: usize) -> Option<&mut [u8]>;

    /// Sends the frame that was reserved last, with the length it was reserved
    /// with.
    fn submit(&mut self, len_bytes: usize);

    /// Whether the link makes the rest of TCP's checksum, or the device behind it: see
    /// [`checksum`](super::checksum). Always the same of one link.
    fn finishes_checksums(&self) -> bool {
        false
    }
}

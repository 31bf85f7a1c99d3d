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

    /// Sends a frame of `len_bytes`, written in place by `fill`. `None` when
    /// there is no room or the length is not one the link can carry; `fill` is
    /// not called then.
    fn send<R>(&mut self, len_bytes: usize, fill: impl FnOnce(&mut [u8]) -> R) -> Option<R>;
}

//! Congestion controllers over a model of a path: no TCP, no frames, no wall clock.
//!
//! - [`model`]: senders, each with a controller, that share a bottleneck.
//! - [`flow`]: one of these senders.
//! - [`path`]: that the model itself is right.
//! - [`cubic`]: CUBIC over it.
//! - [`bbr`]: what becomes of BBR there.

mod bbr;
mod cubic;
mod flow;
mod model;
mod path;

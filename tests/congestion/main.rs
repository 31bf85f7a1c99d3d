//! Congestion controllers over a model of a path: no TCP, no frames, no wall clock.
//!
//! - [`model`]: senders, each with a controller, that share a bottleneck.
//! - [`flow`]: one of these senders.
//! - [`path`]: that the model itself is right.
//! - [`bbr`]: what becomes of BBR there.

mod bbr;
mod flow;
mod model;
mod path;

//! Loss recovery against a scripted peer, a modelled path, and a hostile one.

#![allow(clippy::single_range_in_vec_init, reason = "SACK blocks, often one")]

#[path = "recovery/hostile.rs"]
mod hostile;
#[path = "recovery/model.rs"]
mod model;
#[path = "recovery/pieces.rs"]
mod pieces;
#[path = "recovery/probe.rs"]
mod probe;
#[path = "recovery/reno.rs"]
mod reno;
#[path = "recovery/sack.rs"]
mod sack;
#[path = "recovery/script.rs"]
mod script;
#[path = "recovery/timeout.rs"]
mod timeout;
#[path = "recovery/undo.rs"]
mod undo;

//! TCP over IPv4, sans-IO: frames in, frames out.
//!
//! A frame's way, module by module: [`demux`] reads its headers, [`flow`] finds
//! its connection or [`accept`] says what it deserves ([`isn`] numbers a new
//! connection), [`stack`] gives the `connection` its turn: smoltcp (`tcb`,
//! [`device`]) and the [`app`]lication move, [`timers`] remembers when the connection
//! wants another, and what it sends leaves through a [`link`].

pub mod accept;
pub mod app;
mod connection;
pub mod demux;
pub mod device;
pub mod flow;
pub mod isn;
pub mod link;
pub mod stack;
mod tcb;
pub mod timers;

pub use app::{Application, Patience, Stream};
pub use demux::{Policy, RxChecksum};
pub use flow::ConnId;
pub use link::FrameSink;
pub use smoltcp::time::{Duration, Instant};
pub use stack::{Secret, Stack, StackConfig};

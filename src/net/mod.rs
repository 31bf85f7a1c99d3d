//! TCP over IPv4, sans-IO: frames in, frames out.
//!
//! A frame's way, module by module: [`demux`] reads its headers and [`flow`]
//! finds its connection. [`accept`] says what a first segment deserves, and
//! [`handshake`] makes a connection of it: with a record, or with a [`cookie`]
//! and no memory at all ([`isn`] numbers it, [`options`] says what was agreed
//! on). In a connection [`check`] judges the segment before anything believes
//! it; then [`stack`] gives the `connection` its turn: smoltcp (`tcb`, from the
//! [`pool`], over a [`device`]) and the [`app`]lication move, [`timers`]
//! remembers when it wants another, and what it sends leaves, sealed with its
//! `checksum`, through a [`link`].
//! The `sender` of a connection holds what is in flight: [`congestion`] says how
//! much may be, [`recovery`] what of it is lost and to be sent again, and [`mtu`]
//! how large its segments are.
//! Once all is said, [`closing`] keeps what is left of it.
//!
//! [`limits`] bound all of that, [`ranks`] and [`sources`] find whom they hit, and
//! [`figures`] are what an operator is shown of it.

pub mod accept;
pub mod app;
pub mod check;
pub mod checksum;
pub mod closing;
pub mod congestion;
mod connection;
pub mod cookie;
pub mod demux;
pub mod device;
pub mod figures;
pub mod flow;
pub mod handshake;
pub mod isn;
pub mod limits;
pub mod link;
pub mod mtu;
pub mod options;
pub mod pool;
pub mod ranks;
pub mod recovery;
pub mod reply;
mod sender;
pub mod sources;
pub mod stack;
mod tcb;
pub mod timers;

pub use app::{Application, Stage, Stream, Waits};
pub use congestion::Algorithm;
pub use demux::{Policy, RxChecksum};
pub use flow::ConnId;
pub use limits::Limits;
pub use link::FrameSink;
pub use smoltcp::time::{Duration, Instant};
pub use stack::{Secret, Stack, StackConfig};

//! The XDP side: the program that picks our frames out, its maps, how it gets onto a device, and
//! what that device is.
//!
//! - [`program`]: opens and loads the embedded program, or another object file.
//! - [`maps`]: typed handles on its maps, and their layout as C and Rust share it.
//! - [`attach`]: the ladder native → generic, and what happens to a program already there.
//! - [`device`]: a device's addresses, MTU, queues and state, once and followed live.
//! - [`features`]: what it says it does for frames of AF_XDP.
//! - [`error`]: what can go wrong, one line each.
//!
//! Underneath: `bpf` and `object` make libbpf's calls safe to use, `occupant` knows who else has a
//! program on the device, `log` sends libbpf's own words to [`tracing`].
//!
//! ```no_run
//! # async fn example() -> Result<(), xdphttpd::xdp::Error> {
//! use xdphttpd::xdp::{ModeWanted, Program, Source, device};
//!
//! let veth0 = device::inspect("veth0").await?;
//! let program = Program::load(Source::Embedded, veth0.rx_queues)?;
//! if let (Some(ports), Some(addresses)) = (program.ports(), program.addresses()) {
//!     ports.insert(80)?;
//!     for address in &veth0.addresses {
//!         addresses.insert(*address)?;
//!     }
//! }
//! // ... one AF_XDP socket a queue: program.xsks().set(queue, socket) ...
//! let attachment = program.attach(veth0.ifindex, &veth0.name, ModeWanted::Auto, false)?;
//! println!("attached in {} mode", attachment.mode());
//! # Ok(())
//! # }
//! ```

pub mod attach;
mod bpf;
pub mod device;
pub mod error;
pub mod features;
mod log;
pub mod maps;
mod object;
mod occupant;
pub mod program;

pub use attach::{Attachment, Mode, ModeWanted};
pub use device::{Device, Event, Watch};
pub use error::Error;
pub use maps::{Addresses, Ports, Verdicts, XskMap};
pub use program::{Program, Source};

//! Conformance of the TCP endpoint: a table of scripts, each a case of an RFC,
//! that runs in memory and on the live server alike.
//!
//! - [`script`]: what scripts are made of.
//! - [`table`]: the scripts.
//! - [`dialect`]: the two ways in which each is spoken.
//! - [`runner`]: runs one over a link: [`memory`] or [`live`].
//! - [`isn`]: what needs more than one connection: initial sequence numbers.

pub mod dialect;
pub mod isn;
pub mod live;
pub mod memory;
pub mod runner;
pub mod script;
pub mod table;

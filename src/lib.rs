//! xdphttpd: a TCP/HTTP server in user space on AF_XDP.

#[allow(unsafe_code)]
pub mod xdp;
#[allow(unsafe_code)]
pub mod xsk;

pub mod cli;
pub mod config;
pub mod http;
pub mod net;
pub mod report;
pub mod server;
pub mod service;
pub mod site;
pub mod stats;
pub mod wire;
pub mod worker;

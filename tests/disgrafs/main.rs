//! DisGraFS as it is deployed: its pages, a distributed file system beneath them at
//! `/jfs`, and its other programs on ports of the same address. The real server, real
//! clients in a namespace, a real FUSE file system. Needs root and /dev/fuse.
//!
//! - [`tree`]: the files of its pages, with made-up content.
//! - [`site`]: all of that served, and a client's connection.
//! - [`pages`]: every file, over one connection and over six.
//! - [`remote`]: a mount that is slow, fails or hangs, and what is beside it.
//! - [`browser`]: a page in a real browser, with a WebSocket through the proxy.
//! - [`changes`]: files that come, go and change, also while they are sent.
//! - [`ports`]: programs on other ports, a WebSocket among them.

#[path = "../lab/mod.rs"]
mod lab;
#[path = "../mount/mod.rs"]
mod mount;

mod browser;
mod changes;
mod pages;
mod ports;
mod remote;
mod site;
mod tree;

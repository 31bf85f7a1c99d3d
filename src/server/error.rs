//! Why the server did not start or did not go on, each in one line for the user.

use crate::{access_log, config::packets, fleet, xdp, xsk};

/// Why the server did not start or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A privilege is missing.
    #[error("not permitted: {0} missing; run as root (sudo) or grant it")]
    Privilege(String),
    /// The device is down.
    #[error("{0} is down; bring it up: ip link set dev {0} up")]
    Down(String),
    /// There is no address to serve.
    #[error(
        "{0} has no IPv4 address; give it one (ip address add ADDRESS/BITS dev {0}) or serve any \
         address with --any-address"
    )]
    NoAddress(String),
    /// `-Q` names a queue that is not there.
    #[error("-Q {queue}: {dev} has {}", queue_range(*.queues))]
    Queue {
        /// The device.
        dev: String,
        /// The queue asked for.
        queue: u32,
        /// How many there are.
        queues: u32,
    },
    /// `-Q` names a queue that could only receive.
    #[error(
        "-Q {queue}: {dev} has {}, so nothing could be sent there; leave -Q away",
        tx_queue_range(*.queues)
    )]
    TxQueue {
        /// The device.
        dev: String,
        /// The queue asked for.
        queue: u32,
        /// How many of the device can send.
        queues: u32,
    },
    /// Frames of the device's MTU take several chunks, which the program or the device
    /// does not allow, or are larger than IPv4 packets can be.
    #[error(
        "{dev} has an MTU of {mtu} bytes and AF_XDP frames here hold {most}; lower it: ip link \
         set dev {dev} mtu {most}"
    )]
    Mtu {
        /// The device.
        dev: String,
        /// Its MTU, bytes.
        mtu: u32,
        /// The largest that works, bytes.
        most: u32,
    },
    /// The device was deleted while serving.
    #[error("{0} is gone: the device was deleted")]
    Gone(String),
    /// The XDP side failed.
    #[error(transparent)]
    Xdp(#[from] xdp::Error),
    /// The AF_XDP side failed.
    #[error(transparent)]
    Xsk(#[from] xsk::Error),
    /// Packets would take too much memory.
    #[error(transparent)]
    Packets(#[from] packets::Error),
    /// The root cannot be served.
    #[error(transparent)]
    Root(#[from] crate::site::RootError),
    /// The access log cannot be written.
    #[error(transparent)]
    Log(#[from] access_log::OpenError),
    /// The workers did not start, or one failed.
    #[error(transparent)]
    Fleet(#[from] fleet::Error),
    /// The operating system refused something basic.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What it said.
        source: std::io::Error,
    },
}

/// What goes before what the operating system said.
pub(super) fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::System { what, source }
}

fn queue_range(queues: u32) -> String {
    match queues {
        0 | 1 => "only RX queue 0".to_owned(),
        queues => format!("RX queues 0 to {}", queues - 1),
    }
}

fn tx_queue_range(queues: u32) -> String {
    match queues {
        0 | 1 => "TX queue 0 only".to_owned(),
        queues => format!("TX queues 0 to {} only", queues - 1),
    }
}

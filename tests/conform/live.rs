//! A server behind a veth pair, in real time: frames by hand from a packet
//! socket in the namespace, from an address and a MAC that its kernel does not
//! know, so that only the script answers.

use super::runner::{Link, Wait};
use super::script::{ONE, big};
use crate::common::segment::Ends;
use crate::lab::{self, INNER, Lab, Running};
use smoltcp::phy::{self, Device, Medium, RawSocket, RxToken, TxToken};
use std::collections::VecDeque;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::{Duration, Instant};

const ANSWER: Duration = Duration::from_secs(3);
/// Longer than any ACK is delayed here or on Linux (40 ms), shorter than a first
/// retransmission.
const SILENCE: Duration = Duration::from_millis(80);
/// Room for whole Ethernet frames where only packets are counted.
const INNER_MTU_BYTES: u32 = 1_600;

/// Puts what scripts ask for where the server finds it.
pub fn prepare(lab: &Lab) {
    lab.file("one", ONE);
    lab.file("big", &big());
    lab::ip(&format!(
        "-n {} link set {INNER} mtu {INNER_MTU_BYTES}",
        lab.name
    ));
}

/// nginx on the outer address, for comparison: Linux's TCP. It must see whole
/// segments with checksums of their own, and know the client's MAC.
pub fn nginx(lab: &Lab) -> Running {
    for client in 0..crate::CLIENTS as u8 {
        let address = ends(lab, client).client;
        lab::ip(&format!(
            "neigh replace {address} lladdr 02:00:00:00:00:{client:02x} nud permanent dev {}",
            lab.name
        ));
    }
    let ends = ends(lab, 0);
    let off = ["tx", "tso", "gso", "gro"].map(|feature| [feature, "off"]);
    let status = Command::new("ethtool")
        .args(["-K", &lab.name])
        .args(off.as_flattened())
        .status()
        .expect("ethtool is installed");
    assert!(status.success());
    let root = lab.root().display();
    let config = lab.file(
        "nginx.conf",
        format!(
            "daemon off; master_process off; user root; pid {root}/nginx.pid; error_log stderr;
             events {{}}
             http {{ access_log off; server {{ listen {}:80; root {root}; }} }}",
            ends.server
        )
        .as_bytes(),
    );
    let nginx = Running::start(Command::new("nginx").arg("-c").arg(config));
    lab::wait_until("nginx", || {
        TcpStream::connect((ends.server, ends.server_port)).is_ok()
    });
    nginx
}

/// The ends of a lab's wire, of which `client` (below 100) is one.
pub fn ends(lab: &Lab, client: u8) -> Ends {
    let link = lab::ip(&format!("-o link show dev {}", lab.name));
    let (_, mac) = link.split_once("link/ether ").expect("an Ethernet device");
    let mut server_mac = [0; 6];
    for (byte, digits) in server_mac.iter_mut().zip(mac[..17].split(':')) {
        *byte = u8::from_str_radix(digits, 16).expect("a MAC address");
    }
    Ends {
        client: [10, 77, lab.number, 100 + client].into(),
        server: lab.outer().parse().expect("an address"),
        client_mac: [2, 0, 0, 0, 0, client],
        server_mac,
        server_port: 80,
    }
}

/// A packet socket at the inner end.
pub struct Live {
    ends: Ends,
    socket: RawSocket,
    inbox: VecDeque<Vec<u8>>,
    begin: Instant,
}

impl Live {
    /// To be called inside the namespace.
    pub fn new(ends: Ends) -> Live {
        Live {
            ends,
            socket: RawSocket::new(INNER, Medium::Ip).expect("a packet socket"),
            inbox: VecDeque::new(),
            begin: Instant::now(),
        }
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        let at = smoltcp::time::Instant::ZERO;
        let (token, _) = self.socket.receive(at)?;
        Some(token.consume(<[u8]>::to_vec))
    }

    fn receive_until(&mut self, end: Instant) -> Option<Vec<u8>> {
        loop {
            while let Some(frame) = self.take() {
                if self.is_ours(&frame) {
                    return Some(frame);
                }
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let left = smoltcp::time::Duration::from_micros(left.as_micros() as u64);
            phy::wait(self.socket.as_raw_fd(), Some(left)).expect("select");
        }
    }

    fn is_ours(&self, frame: &[u8]) -> bool {
        frame.get(..6) == Some(&self.ends.client_mac)
            && frame.get(12..14) == Some(&[0x08, 0x00])
            && frame.get(23) == Some(&6)
    }
}

impl Link for Live {
    fn ends(&self) -> Ends {
        self.ends
    }

    fn send(&mut self, frame: &[u8]) {
        let at = smoltcp::time::Instant::ZERO;
        let token = self.socket.transmit(at).expect("always given");
        token.consume(frame.len(), |buffer| buffer.copy_from_slice(frame));
    }

    fn receive(&mut self, wait: Wait) -> Option<Vec<u8>> {
        let patience = match wait {
            Wait::Answer => ANSWER,
            Wait::Silence => SILENCE,
            Wait::Microseconds(us) => Duration::from_micros(us),
        };
        self.inbox
            .pop_front()
            .or_else(|| self.receive_until(Instant::now() + patience))
    }

    fn pass_ms(&mut self, milliseconds: u32) {
        let end = Instant::now() + Duration::from_millis(milliseconds.into());
        // Read on, or frames for other clients fill the socket's buffer.
        while let Some(frame) = self.receive_until(end) {
            self.inbox.push_back(frame);
        }
    }

    fn now_us(&self) -> u64 {
        self.begin.elapsed().as_micros() as u64
    }

    fn is_live(&self) -> bool {
        true
    }
}

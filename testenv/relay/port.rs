//! A packet socket on one network device: every frame that the device receives,
//! and frames to send, as they are on the wire (packet(7)).

use nix::cmsg_space;
use nix::sys::socket::{
    self, AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType,
    recvmsg, sockopt,
};
use nix::sys::time::TimeSpec;
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Frames that wait in the kernel while the relay does something else: more than
/// 10 ms at 10 Gbit/s.
const RECEIVE_BUFFER_BYTES: usize = 16 << 20;

/// A frame that came.
pub struct Received {
    /// Its length, which may be more than there was room for.
    pub bytes: usize,
    /// When it came, however long it lay here, as time since the Epoch.
    pub at: Option<Duration>,
}

/// One of the relay's two devices.
pub struct Port {
    name: String,
    socket: OwnedFd,
    /// Room for what the kernel says about a frame.
    control: Vec<u8>,
}

impl Port {
    /// Listens on the device `name`. What the relay itself sends there doesn't
    /// come back: the kernel never gives a packet socket its own frames.
    pub fn open(name: &str) -> io::Result<Port> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let protocol = SockProtocol::EthAll;
        let socket = socket::socket(AddressFamily::Packet, SockType::Raw, flags, protocol)?;
        socket::bind(socket.as_raw_fd(), &link_address(name)?)?;
        socket::setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES)?;
        socket::setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        let mut port = Port {
            name: name.to_owned(),
            socket,
            control: cmsg_space!(TimeSpec),
        };
        // Before it was bound, any device's frames came.
        while port.receive(&mut [])?.is_some() {}
        Ok(port)
    }

    /// Receives a frame into `room`, unless there is none.
    pub fn receive(&mut self, room: &mut [u8]) -> io::Result<Option<Received>> {
        let fd = self.socket.as_raw_fd();
        let mut slices = [IoSliceMut::new(room)];
        match recvmsg::<()>(
            fd,
            &mut slices,
            Some(&mut self.control),
            MsgFlags::MSG_TRUNC,
        ) {
            Ok(message) => Ok(Some(Received {
                bytes: message.bytes,
                at: message.cmsgs()?.find_map(arrival),
            })),
            Err(nix::Error::EAGAIN | nix::Error::EINTR) => Ok(None),
            Err(error) => Err(self.failure(Errno::from_raw_os_error(error as i32))),
        }
    }

    /// Sends a frame; false if the device didn't take it.
    pub fn send(&self, frame: &[u8]) -> io::Result<bool> {
        match send(&self.socket, frame, SendFlags::DONTWAIT) {
            Ok(_) => Ok(true),
            Err(Errno::AGAIN | Errno::NOBUFS | Errno::MSGSIZE | Errno::INVAL) => Ok(false),
            Err(error) => Err(self.failure(error)),
        }
    }

    /// `NetworkDown` if the device is down or gone. The kernel tells once, when a
    /// device goes down, and not again when it is removed then: both are the end.
    fn failure(&self, error: Errno) -> io::Error {
        let kind = match error {
            Errno::NETDOWN | Errno::NXIO | Errno::NODEV => io::ErrorKind::NetworkDown,
            _ => error.kind(),
        };
        io::Error::new(kind, format!("device {}: {error}", self.name))
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn arrival(message: ControlMessageOwned) -> Option<Duration> {
    match message {
        ControlMessageOwned::ScmTimestampns(at) => Some(at.into()),
        _ => None,
    }
}

/// The device's own link address, which carries its index.
fn link_address(name: &str) -> io::Result<LinkAddr> {
    nix::ifaddrs::getifaddrs()?
        .filter(|device| device.interface_name == name)
        .find_map(|device| device.address?.as_link_addr().copied())
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("there is no device {name} here"),
            )
        })
}

//! A packet socket on one network device: every frame that the device receives,
//! and frames to send, as they are on the wire (packet(7)).

use nix::net::if_::if_nametoindex;
use nix::sys::socket::{self, AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Frames that wait in the kernel while the relay does something else: more than
/// 10 ms at 10 Gbit/s.
const RECEIVE_BUFFER_BYTES: usize = 16 << 20;

/// One of the relay's two devices.
pub struct Port {
    name: String,
    socket: OwnedFd,
}

impl Port {
    /// Listens on the device `name`. What the relay itself sends there doesn't
    /// come back: the kernel never gives a packet socket its own frames.
    pub fn open(name: &str) -> io::Result<Port> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let protocol = SockProtocol::EthAll;
        let socket = socket::socket(AddressFamily::Packet, SockType::Raw, flags, protocol)?;
        socket::bind(socket.as_raw_fd(), &link_address(name)?)?;
        sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER_BYTES)?;
        Ok(Port {
            name: name.to_owned(),
            socket,
        })
    }

    /// Receives a frame into `room` and says how long it is, unless there is none.
    /// One that is longer than `room` is cut short.
    pub fn receive(&self, room: &mut [u8]) -> io::Result<Option<usize>> {
        match recv(
            &self.socket,
            &mut *room,
            RecvFlags::DONTWAIT | RecvFlags::TRUNC,
        ) {
            Ok((_, bytes)) => Ok(Some(bytes)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => self.unless_down(error).map(|()| None),
        }
    }

    /// Sends a frame; false if the device didn't take it.
    pub fn send(&self, frame: &[u8]) -> io::Result<bool> {
        match send(&self.socket, frame, SendFlags::DONTWAIT) {
            Ok(_) => Ok(true),
            Err(Errno::AGAIN | Errno::NOBUFS | Errno::MSGSIZE | Errno::INVAL) => Ok(false),
            Err(error) => self.unless_down(error).map(|()| false),
        }
    }

    /// A device that is down may come up again; one that is gone won't.
    fn unless_down(&self, error: Errno) -> io::Result<()> {
        if matches!(error, Errno::NETDOWN | Errno::NXIO | Errno::NODEV) && self.is_there() {
            return Ok(());
        }
        Err(io::Error::new(
            error.kind(),
            format!("device {}: {error}", self.name),
        ))
    }

    /// Whether the device still exists.
    pub fn is_there(&self) -> bool {
        if_nametoindex(self.name.as_str()).is_ok()
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
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

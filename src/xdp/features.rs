//! What a device says it does for frames of AF_XDP: the family `netdev` of generic netlink
//! (linux/netdev.h, Linux 6.3).

use std::io;

use rtnetlink::packet_core::{
    DecodeError, DefaultNla, Emitable, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader,
    NetlinkMessage, NetlinkPayload, NetlinkSerializable, NlasIterator,
};
use rtnetlink::sys::protocols::NETLINK_GENERIC;
use rtnetlink::sys::{Socket, SocketAddr};
use rustix::io::Errno;

use super::Error;

/// `GENL_ID_CTRL`: the family that knows the numbers of the others.
const CONTROL: u16 = 0x10;
/// `CTRL_CMD_GETFAMILY`.
const GET_FAMILY: u8 = 3;
/// `CTRL_ATTR_FAMILY_ID`.
const FAMILY_ID: u16 = 1;
/// `CTRL_ATTR_FAMILY_NAME`.
const FAMILY_NAME: u16 = 2;
/// `NETDEV_FAMILY_NAME`.
const NETDEV: &[u8] = b"netdev\0";
/// `NETDEV_CMD_DEV_GET`.
const GET_DEVICE: u8 = 1;
/// `NETDEV_A_DEV_IFINDEX`.
const IFINDEX: u16 = 1;
/// `NETDEV_A_DEV_XSK_FEATURES` (Linux 6.8).
const XSK_FEATURES: u16 = 6;
/// `NETDEV_XSK_FLAGS_TX_CHECKSUM`.
const TX_CHECKSUM: u64 = 1 << 1;

/// Whether a device finishes checksums of frames that are sent on AF_XDP sockets, in zero
/// copy too. A kernel that knows of no such thing has no such devices.
///
/// # Errors
/// [`Error::Netlink`].
pub fn finishes_tx_checksums(ifindex: u32) -> Result<bool, Error> {
    ask_features(ifindex)
        .map(|features| features & TX_CHECKSUM != 0)
        .map_err(|source| Error::Netlink {
            about: format!("the AF_XDP features of device {ifindex}"),
            source,
        })
}

/// `xsk-features` of a device.
fn ask_features(ifindex: u32) -> io::Result<u64> {
    let mut socket = Socket::new(NETLINK_GENERIC)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let family = match ask(&socket, CONTROL, GET_FAMILY, (FAMILY_NAME, NETDEV)) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => return Ok(0),
        family => family?,
    };
    let id = family.value(FAMILY_ID).and_then(|id| id.try_into().ok());
    let Some(netdev) = id.map(u16::from_ne_bytes) else {
        return Ok(0);
    };
    let device = ask(
        &socket,
        netdev,
        GET_DEVICE,
        (IFINDEX, &ifindex.to_ne_bytes()),
    )?;
    let features = device.value(XSK_FEATURES);
    Ok(features.map_or(0, |bits| bits.try_into().map_or(0, u64::from_ne_bytes)))
}

/// Sends a request with one attribute; what the kernel answers at once.
fn ask(socket: &Socket, family: u16, command: u8, about: (u16, &[u8])) -> io::Result<Generic> {
    let mut request = NetlinkMessage::from(Generic {
        family,
        command,
        attributes: vec![(about.0, about.1.to_vec())],
    });
    request.header.flags = NLM_F_REQUEST;
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<Generic>::deserialize(&answer).map_err(io::Error::other)?;
    match answer.payload {
        NetlinkPayload::InnerMessage(message) => Ok(message),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        other => Err(io::Error::other(format!("no answer but {other:?}"))),
    }
}

/// A message of generic netlink: `struct genlmsghdr` and attributes.
#[derive(Debug)]
struct Generic {
    family: u16,
    command: u8,
    attributes: Vec<(u16, Vec<u8>)>,
}

/// Size of `struct genlmsghdr`: command, version, and two bytes of nothing.
const HEADER_BYTES: usize = 4;
/// `NETDEV_FAMILY_VERSION`; the control family does not mind.
const VERSION: u8 = 1;

impl Generic {
    fn value(&self, kind: u16) -> Option<&[u8]> {
        let attribute = self.attributes.iter().find(|(has, _)| *has == kind)?;
        Some(&attribute.1)
    }

    fn encoded(&self) -> Vec<DefaultNla> {
        let encode = |(kind, value): &(u16, Vec<u8>)| DefaultNla::new(*kind, value.clone());
        self.attributes.iter().map(encode).collect()
    }
}

impl From<Generic> for NetlinkPayload<Generic> {
    fn from(message: Generic) -> Self {
        NetlinkPayload::InnerMessage(message)
    }
}

impl NetlinkSerializable for Generic {
    fn message_type(&self) -> u16 {
        self.family
    }

    fn buffer_len(&self) -> usize {
        HEADER_BYTES + self.encoded().as_slice().buffer_len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        let (header, attributes) = buffer.split_at_mut(HEADER_BYTES);
        header.copy_from_slice(&[self.command, VERSION, 0, 0]);
        self.encoded().as_slice().emit(attributes);
    }
}

impl NetlinkDeserializable for Generic {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Generic, DecodeError> {
        let (generic, attributes) = payload
            .split_at_checked(HEADER_BYTES)
            .ok_or_else(|| DecodeError::from("a message of generic netlink without header"))?;
        let decode = |attribute: Result<rtnetlink::packet_core::NlaBuffer<&[u8]>, _>| {
            attribute.map(|attribute| (attribute.kind(), attribute.value().to_vec()))
        };
        Ok(Generic {
            family: header.message_type,
            command: generic[0],
            attributes: NlasIterator::new(attributes)
                .map(decode)
                .collect::<Result<_, DecodeError>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_the_kernel_has_them() {
        let mut message = NetlinkMessage::from(Generic {
            family: CONTROL,
            command: GET_FAMILY,
            attributes: vec![(FAMILY_NAME, NETDEV.to_vec())],
        });
        message.header.flags = NLM_F_REQUEST;
        message.finalize();
        let mut bytes = vec![0xa5; message.buffer_len()];
        message.serialize(&mut bytes);
        // struct nlmsghdr, struct genlmsghdr, and an attribute padded to words.
        let mut want = 32u32.to_ne_bytes().to_vec();
        want.extend(0x10u16.to_ne_bytes());
        want.extend(1u16.to_ne_bytes());
        want.extend([0; 8]);
        want.extend([3, 1, 0, 0]);
        want.extend(11u16.to_ne_bytes());
        want.extend(2u16.to_ne_bytes());
        want.extend(b"netdev\0\0");
        assert_eq!(bytes, want);
        let read = NetlinkMessage::<Generic>::deserialize(&bytes).expect("what was written");
        let NetlinkPayload::InnerMessage(read) = read.payload else {
            panic!("{read:?}")
        };
        assert_eq!(read.value(FAMILY_NAME), Some(NETDEV));
        assert_eq!(read.value(FAMILY_ID), None);
    }

    #[test]
    fn the_loopback_device_finishes_nothing_and_no_device_is_an_error() {
        // Every network namespace has it, as number 1.
        assert!(matches!(finishes_tx_checksums(1), Ok(false)));
        let error = finishes_tx_checksums(u32::MAX / 2).expect_err("no such device");
        assert!(error.to_string().contains("AF_XDP features"), "{error}");
    }
}

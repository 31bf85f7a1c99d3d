//! What a device is (addresses, MTU, queues, state), asked once and followed live by rtnetlink.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;

use futures_util::{Stream, StreamExt, TryStreamExt};
use rtnetlink::packet_core::NetlinkPayload;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{Handle, MulticastGroup, new_connection, new_multicast_connection};
use tokio::task::JoinHandle;

use super::Error;

/// A network device as it was when asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its number in this network namespace.
    pub ifindex: u32,
    /// Its name.
    pub name: String,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// The largest IP packet it carries, in bytes.
    pub mtu: u32,
    /// Whether it is switched on (IFF_UP: `ip link set ... up`).
    pub up: bool,
    /// Whether frames can flow: on, with a carrier (IFF_RUNNING).
    pub running: bool,
    /// How many RX queues are in use.
    pub rx_queues: u32,
    /// How many TX queues are in use.
    pub tx_queues: u32,
    /// Its IPv4 addresses.
    pub addresses: Vec<Ipv4Addr>,
}

/// Asks the kernel about the device `name`. To be called within a tokio runtime.
///
/// # Errors
/// [`Error::NoSuchDevice`] with the names that exist; [`Error::NotEthernet`]; [`Error::Netlink`].
pub async fn inspect(name: &str) -> Result<Device, Error> {
    let (connection, handle, _) = new_connection().map_err(|error| netlink("devices", error))?;
    let _connection = Task(tokio::spawn(connection));

    let links: Vec<LinkMessage> = handle
        .link()
        .get()
        .execute()
        .try_collect()
        .await
        .map_err(|error| netlink("devices", io::Error::other(error)))?;
    let Some(link) = links.iter().find(|link| name_of(link) == name) else {
        return Err(Error::NoSuchDevice {
            name: name.to_owned(),
            existing: links.iter().map(name_of).collect::<Vec<_>>().join(", "),
        });
    };
    let addresses = addresses_of(&handle, link.header.index, name).await?;
    describe(link, name, addresses)
}

async fn addresses_of(handle: &Handle, ifindex: u32, name: &str) -> Result<Vec<Ipv4Addr>, Error> {
    let messages: Vec<AddressMessage> = handle
        .address()
        .get()
        .set_link_index_filter(ifindex)
        .execute()
        .try_collect()
        .await
        .map_err(|error| netlink(&format!("the addresses of {name}"), io::Error::other(error)))?;
    Ok(messages.iter().filter_map(ipv4_of).collect())
}

fn describe(link: &LinkMessage, name: &str, addresses: Vec<Ipv4Addr>) -> Result<Device, Error> {
    let (mut mac, mut mtu, mut allocated) = (None, 0, [1, 1]);
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::Address(bytes) => mac = bytes.as_slice().try_into().ok(),
            LinkAttribute::Mtu(bytes) => mtu = *bytes,
            LinkAttribute::NumRxQueues(queues) => allocated[0] = *queues,
            LinkAttribute::NumTxQueues(queues) => allocated[1] = *queues,
            _ => {}
        }
    }
    let ifindex = link.header.index;
    let (up, running) = state_of(link);
    let [rx_queues, tx_queues] = queues_in_use(name, ifindex).unwrap_or(allocated);
    Ok(Device {
        ifindex,
        name: name.to_owned(),
        mac: mac.ok_or_else(|| Error::NotEthernet {
            name: name.to_owned(),
        })?,
        mtu,
        up,
        running,
        rx_queues,
        tx_queues,
        addresses,
    })
}

/// RX and TX queues. Sysfs has a directory for each in use; netlink counts those allocated, which
/// may be more. `None` if there is no such device in sysfs, or a namesake of another network namespace.
fn queues_in_use(name: &str, ifindex: u32) -> Option<[u32; 2]> {
    let device = format!("/sys/class/net/{name}");
    let there = fs::read_to_string(format!("{device}/ifindex")).ok()?;
    if there.trim().parse() != Ok(ifindex) {
        return None;
    }
    let queues = fs::read_dir(format!("{device}/queues")).ok()?;
    let names = queues.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let (mut rx, mut tx) = (0, 0);
    for name in names {
        rx += u32::from(name.starts_with("rx-"));
        tx += u32::from(name.starts_with("tx-"));
    }
    (rx > 0 && tx > 0).then_some([rx, tx])
}

/// What happened to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The device has this IPv4 address (perhaps not since now).
    AddressAdded(Ipv4Addr),
    /// The device no longer has this IPv4 address.
    AddressRemoved(Ipv4Addr),
    /// The device's state changed; the first time, what it is.
    Link {
        /// As [`Device::up`].
        up: bool,
        /// As [`Device::running`].
        running: bool,
    },
    /// The device was deleted, or moved to another network namespace.
    Gone,
    /// The kernel had more to say than there was room for, and messages were lost: [`inspect`]
    /// again.
    Resync,
}

/// Follows one device: its IPv4 addresses and its state.
///
/// Open it before the first [`inspect`]: what changes in between is then told twice, not missed.
pub struct Watch {
    ifindex: u32,
    subscription: Subscription,
    /// The last state told, so that a message about something else (statistics, promiscuity, XDP)
    /// is not told as a change of state.
    state: Option<(bool, bool)>,
}

/// Membership in the kernel's groups RTNLGRP_LINK and RTNLGRP_IPV4_IFADDR.
struct Subscription {
    messages: Pin<Box<dyn Stream<Item = Payload> + Send>>,
    _connection: Task,
}

type Payload = NetlinkPayload<RouteNetlinkMessage>;

impl Subscription {
    fn open() -> Result<Self, Error> {
        let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr];
        let (connection, _, messages) = new_multicast_connection(&groups)
            .map_err(|error| netlink("changes of devices", error))?;
        Ok(Subscription {
            messages: Box::pin(messages.map(|(message, _)| message.payload)),
            _connection: Task(tokio::spawn(connection)),
        })
    }
}

impl Watch {
    /// Begins to listen. To be called within a tokio runtime.
    pub async fn open(ifindex: u32) -> Result<Watch, Error> {
        Ok(Watch {
            ifindex,
            subscription: Subscription::open()?,
            state: None,
        })
    }

    /// The next event; `None` once the kernel can't be heard any more. May be cancelled: no event
    /// is lost by dropping the future.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let event = match self.subscription.messages.next().await? {
                NetlinkPayload::InnerMessage(message) => self.event(message),
                NetlinkPayload::Overrun(_) => Some(self.resync()),
                _ => None,
            };
            if event.is_some() {
                return event;
            }
        }
    }

    /// Starts afresh. Having told once that its buffer is full, a netlink socket drops without a
    /// word until it has been read empty (`netlink_overrun` in the kernel's net/netlink): what
    /// happens meanwhile would be missed. A new socket has nothing to catch up with.
    fn resync(&mut self) -> Event {
        match Subscription::open() {
            Ok(subscription) => self.subscription = subscription,
            Err(error) => tracing::warn!("{error}"),
        }
        self.state = None;
        Event::Resync
    }

    fn event(&mut self, message: RouteNetlinkMessage) -> Option<Event> {
        use RouteNetlinkMessage::{DelAddress, DelLink, NewAddress, NewLink};
        match message {
            NewAddress(address) if address.header.index == self.ifindex => {
                ipv4_of(&address).map(Event::AddressAdded)
            }
            DelAddress(address) if address.header.index == self.ifindex => {
                ipv4_of(&address).map(Event::AddressRemoved)
            }
            NewLink(link) if self.is_about(&link) => self.state_event(&link),
            DelLink(link) if self.is_about(&link) => Some(Event::Gone),
            _ => None,
        }
    }

    /// A bridge speaks of its ports by link messages of a family of its own: a port that leaves its
    /// bridge is not a device that goes.
    fn is_about(&self, link: &LinkMessage) -> bool {
        link.header.index == self.ifindex && link.header.interface_family == AddressFamily::Unspec
    }

    fn state_event(&mut self, link: &LinkMessage) -> Option<Event> {
        let (up, running) = state_of(link);
        match self.state.replace((up, running)) {
            Some(told) if told == (up, running) => None,
            _ => Some(Event::Link { up, running }),
        }
    }
}

/// The kernel sets IFF_RUNNING by operstate: up, or unknown to a driver that can't tell.
fn state_of(link: &LinkMessage) -> (bool, bool) {
    let flags = link.header.flags;
    (
        flags.contains(LinkFlags::Up),
        flags.contains(LinkFlags::Running),
    )
}

fn name_of(link: &LinkMessage) -> &str {
    let names = link
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.as_str()),
            _ => None,
        });
    names.unwrap_or_default()
}

/// IFA_LOCAL is the device's own address; IFA_ADDRESS is the peer's on a point-to-point link.
fn ipv4_of(message: &AddressMessage) -> Option<Ipv4Addr> {
    message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Local(IpAddr::V4(address)) => Some(*address),
            _ => None,
        })
}

fn netlink(about: &str, source: io::Error) -> Error {
    Error::Netlink {
        about: about.to_owned(),
        source,
    }
}

/// A task that ends with its owner.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

//! Typed handles on the program's maps.
//!
//! The layout, as `bpf/xdphttpd.bpf.c` and this file share it:
//!
//! | map | type | key | value |
//! | --- | --- | --- | --- |
//! | `xsks_map` | XSKMAP | u32, RX queue id | u32, descriptor of an AF_XDP socket |
//! | `ports` | HASH | u16, TCP port, network byte order | u8, unused |
//! | `addresses` | HASH | 4 octets of an IPv4 address | u8, unused |
//! | `any_address` | ARRAY of 1 | u32, 0 | u32, not 0: every address is ours |
//! | `verdicts` | PERCPU_ARRAY | u32, index of a field of [`Verdicts`] | u64, frames |
//!
//! Integers are in host byte order unless said otherwise. Only `xsks_map` must be there: an object
//! file of the user's own that lacks one of the others, or has a map of that name and another
//! layout, goes without.

use std::ffi::c_void;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use libbpf_sys as sys;

use super::{Error, bpf};

/// A map whose type, key size and value size were compared with these when it was taken over.
#[derive(Debug)]
pub(super) struct Map<const TYPE: u32, const KEY_BYTES: usize, const VALUE_BYTES: usize> {
    fd: OwnedFd,
    max_entries: u32,
}

pub(super) type XskFds = Map<{ sys::BPF_MAP_TYPE_XSKMAP }, 4, 4>;
pub(super) type PortSet = Map<{ sys::BPF_MAP_TYPE_HASH }, 2, 1>;
pub(super) type AddressSet = Map<{ sys::BPF_MAP_TYPE_HASH }, 4, 1>;
pub(super) type Flag = Map<{ sys::BPF_MAP_TYPE_ARRAY }, 4, 4>;
pub(super) type PerCpuCounters = Map<{ sys::BPF_MAP_TYPE_PERCPU_ARRAY }, 4, 8>;

impl<const TYPE: u32, const K: usize, const V: usize> Map<TYPE, K, V> {
    /// Takes over a map's descriptor.
    ///
    /// # Safety
    /// `fd` must be a map of this type with keys and values of these sizes: the kernel takes both
    /// by address alone, and the calls below lend it as many bytes as the type says.
    pub(super) unsafe fn adopt(fd: OwnedFd, max_entries: u32) -> Self {
        Map { fd, max_entries }
    }

    fn update(&self, key: [u8; K], value: [u8; V]) -> io::Result<()> {
        let (fd, key, value) = (self.fd.as_raw_fd(), address_of(&key), address_of(&value));
        // SAFETY: `key` and `value` have the sizes that the map has (see `adopt`).
        bpf::check(unsafe { sys::bpf_map_update_elem(fd, key, value, sys::BPF_ANY.into()) })?;
        Ok(())
    }

    /// Deleting what isn't there is no error.
    fn delete(&self, key: [u8; K]) -> io::Result<()> {
        // SAFETY: `key` has the size that the map's keys have (see `adopt`).
        let returned = unsafe { sys::bpf_map_delete_elem(self.fd.as_raw_fd(), address_of(&key)) };
        match bpf::check(returned) {
            Err(error) if error.raw_os_error() != Some(libc::ENOENT) => Err(error),
            _ => Ok(()),
        }
    }

    fn keys(&self) -> io::Result<Vec<[u8; K]>> {
        let mut keys: Vec<[u8; K]> = Vec::new();
        for _ in 0..self.max_entries {
            let previous = keys.last().map_or(ptr::null(), address_of);
            let mut next = [0; K];
            let next_address = (&raw mut next).cast::<c_void>();
            // SAFETY: `previous` is null or a key, `next` has a key's size (see `adopt`).
            let returned =
                unsafe { sys::bpf_map_get_next_key(self.fd.as_raw_fd(), previous, next_address) };
            match bpf::check(returned) {
                Ok(_) => keys.push(next),
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(keys)
    }
}

impl PerCpuCounters {
    /// The sum of one entry over all CPUs.
    fn sum(&self, index: u32) -> io::Result<u64> {
        let mut columns = vec![0u64; bpf::possible_cpus()?];
        let (key, values) = (index.to_ne_bytes(), columns.as_mut_ptr().cast::<c_void>());
        // SAFETY: the kernel writes one 8-byte value a possible CPU, and so many are there.
        bpf::check(unsafe {
            sys::bpf_map_lookup_elem(self.fd.as_raw_fd(), address_of(&key), values)
        })?;
        Ok(columns.iter().sum())
    }
}

fn address_of<const N: usize>(bytes: &[u8; N]) -> *const c_void {
    bytes.as_ptr().cast()
}

/// RX queue → AF_XDP socket. A slot empties by itself when its socket closes.
#[derive(Debug, Clone, Copy)]
pub struct XskMap<'a>(pub(super) &'a XskFds);

impl XskMap<'_> {
    /// How many queues there is room for.
    pub fn queues(&self) -> u32 {
        self.0.max_entries
    }

    /// From now on the frames of `queue` that are ours go to `socket`, which must have its UMEM,
    /// its RX ring and its fill ring, and be bound to that queue of the device.
    pub fn set(&self, queue: u32, socket: BorrowedFd<'_>) -> Result<(), Error> {
        self.0
            .update(queue.to_ne_bytes(), socket.as_raw_fd().to_ne_bytes())
            .map_err(failed(
                format!("set the socket of queue {queue}"),
                "xsks_map",
            ))
    }

    /// From now on the frames of `queue` go to the kernel. A slot already empty is no error.
    pub fn clear(&self, queue: u32) -> Result<(), Error> {
        self.0.delete(queue.to_ne_bytes()).map_err(failed(
            format!("clear the socket of queue {queue}"),
            "xsks_map",
        ))
    }
}

/// The TCP ports that are ours.
#[derive(Debug, Clone, Copy)]
pub struct Ports<'a>(pub(super) &'a PortSet);

impl Ports<'_> {
    /// Adds a port (host byte order). One already there is no error.
    pub fn insert(&self, port: u16) -> Result<(), Error> {
        self.0
            .update(port.to_be_bytes(), [1])
            .map_err(failed(format!("add port {port}"), "ports"))
    }

    /// Takes a port away. One that isn't there is no error.
    pub fn remove(&self, port: u16) -> Result<(), Error> {
        self.0
            .delete(port.to_be_bytes())
            .map_err(failed(format!("remove port {port}"), "ports"))
    }

    /// All ports, in ascending order.
    pub fn list(&self) -> Result<Vec<u16>, Error> {
        let keys = self.0.keys().map_err(failed("list", "ports"))?;
        let mut ports: Vec<u16> = keys.into_iter().map(u16::from_be_bytes).collect();
        ports.sort_unstable();
        Ok(ports)
    }
}

/// The IPv4 addresses that are ours.
#[derive(Debug, Clone, Copy)]
pub struct Addresses<'a>(pub(super) &'a AddressSet);

impl Addresses<'_> {
    /// Adds an address. One already there is no error.
    pub fn insert(&self, address: Ipv4Addr) -> Result<(), Error> {
        self.0
            .update(address.octets(), [1])
            .map_err(failed(format!("add {address}"), "addresses"))
    }

    /// Takes an address away. One that isn't there is no error.
    pub fn remove(&self, address: Ipv4Addr) -> Result<(), Error> {
        self.0
            .delete(address.octets())
            .map_err(failed(format!("remove {address}"), "addresses"))
    }

    /// All addresses, in ascending order.
    pub fn list(&self) -> Result<Vec<Ipv4Addr>, Error> {
        let keys = self.0.keys().map_err(failed("list", "addresses"))?;
        let mut addresses: Vec<Ipv4Addr> = keys.into_iter().map(Ipv4Addr::from).collect();
        addresses.sort_unstable();
        Ok(addresses)
    }
}

/// How many frames the program has seen since it was loaded, by what became of them; summed over
/// all CPUs. The order is that of `enum verdict` in the program: a field's place is its index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// Ours, handed to the queue's socket.
    pub redirected: u64,
    /// Ours, but the queue has no socket: to the kernel.
    pub empty_slot: u64,
    /// Another EtherType (ARP, IPv6, VLAN).
    pub not_ipv4: u64,
    /// Lengths or version contradict each other or the frame.
    pub malformed: u64,
    /// An IPv4 fragment, the first one included.
    pub fragment: u64,
    /// Another protocol over IPv4.
    pub not_tcp: u64,
    /// TCP, but not to one of our ports.
    pub other_port: u64,
    /// To one of our ports, at an address that isn't ours.
    pub other_address: u64,
}

impl Verdicts {
    pub(super) fn read(counters: &PerCpuCounters) -> Result<Self, Error> {
        let sum = |index| counters.sum(index).map_err(failed("count", "verdicts"));
        Ok(Verdicts {
            redirected: sum(0)?,
            empty_slot: sum(1)?,
            not_ipv4: sum(2)?,
            malformed: sum(3)?,
            fragment: sum(4)?,
            not_tcp: sum(5)?,
            other_port: sum(6)?,
            other_address: sum(7)?,
        })
    }
}

pub(super) fn set_flag(flag: &Flag, map: &'static str, on: bool) -> Result<(), Error> {
    flag.update(0u32.to_ne_bytes(), u32::from(on).to_ne_bytes())
        .map_err(failed(format!("write {on}"), map))
}

fn failed(action: impl Into<String>, map: &'static str) -> impl FnOnce(io::Error) -> Error {
    let action = action.into();
    move |source| Error::Map {
        action,
        map,
        source,
    }
}

//! Who may ask: lists of IPv4 networks that are let in or kept out.

use std::net::Ipv4Addr;
use std::str::FromStr;

/// What is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Neither an address nor one with the length of a prefix.
    #[error("{0:?} is no IPv4 network; 192.0.2.0/24 is one, 192.0.2.7 another")]
    Malformed(String),
    /// Bits are set that the prefix does not reach: a slip, and nobody knows in which half.
    #[error("{0} has bits behind its prefix; {1} has not")]
    Host(String, String),
}

/// The addresses that begin with a prefix (RFC 4632).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    bits: u32,
    mask: u32,
}

impl Network {
    /// All addresses.
    pub const ALL: Network = Network { bits: 0, mask: 0 };

    /// Whether `address` is one of its own.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask == self.bits
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let malformed = || NetworkError::Malformed(text.to_owned());
        let (address, length) = text.split_once('/').unwrap_or((text, "32"));
        let address: Ipv4Addr = address.parse().map_err(|_| malformed())?;
        let is_number = length.bytes().all(|byte| byte.is_ascii_digit());
        let length = length.parse().ok().filter(|_| is_number);
        let length: u32 = length
            .filter(|&length| length <= 32)
            .ok_or_else(malformed)?;
        let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
        let bits = address.to_bits() & mask;
        if bits != address.to_bits() {
            let meant = format!("{}/{length}", Ipv4Addr::from_bits(bits));
            return Err(NetworkError::Host(text.to_owned(), meant));
        }
        Ok(Network { bits, mask })
    }
}

/// What becomes of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is answered.
    Allow,
    /// It is told that it may not ask: 403.
    Deny,
}

/// Networks in order: the first that a client is in decides about it. Who is in none may ask, so a list that lets some
/// in ends with [`Network::ALL`] denied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<(Admission, Network)>);

impl Networks {
    /// A list of these.
    pub fn new(list: Vec<(Admission, Network)>) -> Self {
        Networks(list)
    }

    /// These are let in and nobody else.
    pub fn only(networks: impl IntoIterator<Item = Network>) -> Self {
        let allowed = networks
            .into_iter()
            .map(|network| (Admission::Allow, network));
        Networks(allowed.chain([(Admission::Deny, Network::ALL)]).collect())
    }

    /// Whether a client at `address` may ask.
    pub fn allow(&self, address: Ipv4Addr) -> bool {
        let mut list = self.0.iter();
        let first = list.find(|(_, network)| network.contains(address));
        first.is_none_or(|(admission, _)| *admission == Admission::Allow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().expect("a network")
    }

    #[test]
    fn networks_and_their_addresses() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.1.2", "11.0.0.0"),
            ("192.0.2.128/25", "192.0.2.255", "192.0.2.127"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.7/32", "192.0.2.7", "192.0.2.8"),
            ("128.0.0.0/1", "255.255.255.255", "127.255.255.255"),
        ] {
            let contains = |address: &str| network(text).contains(address.parse().expect("one"));
            assert!(contains(inside) && !contains(outside), "{text}");
        }
        assert_eq!(network("0.0.0.0/0"), Network::ALL);
        for text in [
            "",
            "/",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0/8",
            "::1",
            "10.0.0.0/8/8",
            " 10.0.0.1",
            "010.0.0.1",
        ] {
            let error = NetworkError::Malformed(text.to_owned());
            assert_eq!(text.parse::<Network>(), Err(error), "{text}");
        }
        let error = "10.1.0.0/8".parse::<Network>().expect_err("a host");
        assert_eq!(
            error.to_string(),
            "10.1.0.0/8 has bits behind its prefix; 10.0.0.0/8 has not"
        );
    }

    #[test]
    fn the_first_network_decides() {
        use Admission::{Allow, Deny};
        let list = Networks::new(vec![
            (Deny, network("10.0.0.5")),
            (Allow, network("10.0.0.0/24")),
            (Deny, network("10.0.0.0/8")),
        ]);
        let only = Networks::only([network("10.0.0.0/24"), network("192.0.2.1")]);
        for (networks, address, want) in [
            (&list, "10.0.0.5", false),
            (&list, "10.0.0.6", true),
            (&list, "10.0.1.6", false),
            (&list, "11.0.0.1", true),
            (&only, "10.0.0.5", true),
            (&only, "192.0.2.1", true),
            (&only, "192.0.2.2", false),
            (&Networks::default(), "192.0.2.2", true),
        ] {
            let got = networks.allow(address.parse().expect("an address"));
            assert_eq!(got, want, "{address}");
        }
    }
}

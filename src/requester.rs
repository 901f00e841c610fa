//! The client for which work is done, so that limits can be shared fairly between clients.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The bits of an IPv6 address that identify a network; one client usually has a whole /64.
const NETWORK: u128 = u128::MAX << 64;

/// The client that waits for a piece of work. Clients behind one proxy or NAT share an address and its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Requester {
    /// A connection of a client.
    Client { address: Address, port: u16 },
    /// The gate itself: a command, or a refresh in the background.
    Gate,
}

/// An IPv4 address, or an IPv6 /64 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address(IpAddr);

impl Requester {
    /// The address of the client; `None` if it is the gate itself.
    pub const fn address(self) -> Option<Address> {
        match self {
            Self::Client { address, .. } => Some(address),
            Self::Gate => None,
        }
    }
}

impl From<SocketAddr> for Requester {
    fn from(client: SocketAddr) -> Self {
        let address = match client.ip().to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
            v4 @ IpAddr::V4(_) => v4,
        };
        Self::Client { address: Address(address), port: client.port() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_ipv6_network_share_their_limits() {
        let of = |client: &str| Requester::from(client.parse::<SocketAddr>().unwrap()).address();
        assert_eq!(of("[2001:db8:1:2:3::4]:1"), of("[2001:db8:1:2::]:2"));
        assert_ne!(of("[2001:db8:1:2::1]:1"), of("[2001:db8:1:3::1]:1"));
        assert_eq!(of("[::ffff:192.0.2.1]:1"), of("192.0.2.1:1"));
        assert_ne!(of("192.0.2.1:1"), of("192.0.2.2:1"));
    }
}

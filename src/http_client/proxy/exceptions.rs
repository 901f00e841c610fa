//! `NO_PROXY`: targets that are reached without a proxy. The syntax and the meaning are Go's: hosts with their
//! subdomains, `.domain` and `*.domain` for the subdomains alone, addresses, networks, each host or address with an
//! optional port, and `*` for everything. The gate itself (`localhost`, loopback addresses) is always reached directly.

use std::net::IpAddr;

use url::Host;

/// The targets that are reached directly.
#[derive(Debug, Default)]
pub(super) struct Exceptions {
    all: bool,
    entries: Vec<Entry>,
}

#[derive(Debug)]
enum Entry {
    Network { address: IpAddr, prefix: u8 },
    Address { address: IpAddr, port: Option<u16> },
    Domain { name: String, itself: bool, port: Option<u16> },
}

impl Exceptions {
    /// Parses a list with commas. Ignores entries that can match nothing, as Go does.
    pub(super) fn parse(list: &str) -> Self {
        let texts = list.split(',').map(str::trim).filter(|text| !text.is_empty());
        let all = texts.clone().any(|text| text == "*");
        Self { all, entries: texts.filter_map(Entry::parse).collect() }
    }

    /// Whether the target is reached directly. `host` may be an address, also in brackets.
    pub(super) fn include(&self, host: &str, port: u16) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
        self.all
            || host == "localhost"
            || address.is_some_and(|address| address.is_loopback())
            || self.entries.iter().any(|entry| entry.covers(&host, address, port))
    }
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        if let Some((address, prefix)) = text.split_once('/') {
            let address: IpAddr = address.parse().ok()?;
            let prefix: u8 = prefix.parse().ok()?;
            let bits = if address.is_ipv4() { 32 } else { 128 };
            return (prefix <= bits).then_some(Self::Network { address, prefix });
        }
        let (host, port) = split(text);
        let port = match port {
            None | Some("") => None,
            Some(port) => Some(port.parse().ok()?),
        };
        if let Ok(address) = host.parse::<IpAddr>() {
            return Some(Self::Address { address: address.to_canonical(), port });
        }
        let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
        let (name, itself) = host.strip_prefix('.').map_or((host, true), |name| (name, false));
        let name = match Host::parse(name) {
            Ok(Host::Domain(name)) => name,
            Ok(Host::Ipv4(_) | Host::Ipv6(_)) | Err(_) => return None,
        };
        Some(Self::Domain { name, itself, port })
    }

    fn covers(&self, host: &str, at: Option<IpAddr>, target_port: u16) -> bool {
        let is_port = |port: &Option<u16>| port.is_none_or(|port| port == target_port);
        match self {
            Self::Network { address, prefix } => at.is_some_and(|at| within(at, *address, *prefix)),
            Self::Address { address, port } => at == Some(*address) && is_port(port),
            Self::Domain { name, itself, port } => {
                let of_it = host.strip_suffix(name.as_str());
                of_it
                    .is_some_and(|rest| if rest.is_empty() { *itself } else { rest.ends_with('.') })
                    && is_port(port)
            }
        }
    }
}

/// Splits off the port of `host:port` and `[address]:port`.
fn split(text: &str) -> (&str, Option<&str>) {
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (address, rest.strip_prefix(':'));
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        Some(_) | None => (text, None),
    }
}

/// Whether `address` is in a network.
fn within(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    let same = |one: u128, other: u128, bits: u8| {
        let rest = u32::from(bits.saturating_sub(prefix));
        one.checked_shr(rest).unwrap_or(0) == other.checked_shr(rest).unwrap_or(0)
    };
    match (address, network) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            same(u32::from(one).into(), u32::from(other).into(), 32)
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => same(one.into(), other.into(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of Go's `TestUseProxy`, and what its documentation says.
    #[test]
    fn the_list_means_what_it_means_in_go() {
        let list = "foobar.com, .barbaz.net, 10.1.0.0/16, 192.168.1.1, 192.168.1.2:81, 192.168.1.3:80, \
                    [2001:db8::52:0:2], [2001:db8::52:0:3]:443, 2002:db8:a::45/64, *.deep.example, ports.example:5000, \
                    BÜCHER.example, 300.0.0.0/8, ,";
        let exceptions = Exceptions::parse(list);
        for (host, port, is_direct) in [
            ("localhost", 80, true),
            ("LOCALHOST", 80, true),
            ("127.0.0.1", 80, true),
            ("127.0.0.2", 80, true),
            ("[::1]", 80, true),
            ("[::ffff:127.0.0.1]", 80, true),
            ("localhost.net", 80, false),
            ("local.localhost", 80, false),
            ("foobar.com", 80, true),
            ("www.foobar.com", 80, true),
            ("FooBAR.com", 443, true),
            ("foofoobar.com", 80, false),
            ("foobar.com.evil.example", 80, false),
            ("baz.com", 80, false),
            ("barbaz.net", 80, false),
            ("www.barbaz.net", 80, true),
            ("a.deep.example", 80, true),
            ("deep.example", 80, false),
            ("ports.example", 5000, true),
            ("a.ports.example", 5000, true),
            ("ports.example", 443, false),
            ("xn--bcher-kva.example", 443, true),
            ("10.1.2.3", 80, true),
            ("10.2.0.1", 80, false),
            ("192.168.1.1", 443, true),
            ("192.168.1.2", 80, false),
            ("192.168.1.2", 81, true),
            ("192.168.1.3", 80, true),
            ("192.168.1.4", 80, false),
            ("[2001:db8::52:0:2]", 80, true),
            ("[2001:db8::52:0:3]", 443, true),
            ("[2001:db8::52:0:3]", 80, false),
            ("[2002:db8:a:0::1]", 80, true),
            ("[2002:db8:a:1::1]", 80, false),
        ] {
            assert_eq!(exceptions.include(host, port), is_direct, "{host}:{port}");
        }
    }

    #[test]
    fn a_star_alone_excepts_everything() {
        for list in ["*", "a.example, *"] {
            assert!(Exceptions::parse(list).include("r.example", 443), "{list}");
        }
        assert!(!Exceptions::parse("a.*").include("r.example", 443));
        assert!(Exceptions::parse("0.0.0.0/0").include("10.0.0.1", 1));
        assert!(!Exceptions::parse("").include("r.example", 443));
    }
}

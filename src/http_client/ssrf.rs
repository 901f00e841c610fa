//! Guards against SSRF. A registry names other hosts (a token realm, the location of a blob); a compromised registry
//! must not make the gate connect to hosts behind the firewall.
//!
//! # The rule
//!
//! The gate may always connect to the configured host, whatever its address, because an operator chose it. Hosts that
//! *it* names may have public addresses; private ones only if the configured host itself has a private or loopback
//! address; loopback ones only if it has a loopback address. All other addresses (link-local with the cloud's metadata
//! services, unspecified, multicast, reserved) are always forbidden. The guard checks the resolved address when it
//! connects, so a name that resolves differently the second time gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;
use url::{Host, Url};

/// A server named a target that the gate does not connect to.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ForbiddenTarget {
    #[error("{named} is not a public address, and {configured} must not redirect there")]
    Address { named: String, configured: String },
    #[error("{0:?} is not an http or https URL, or contains a user name")]
    Url(String),
}

/// What an address can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Public,
    Private,
    Loopback,
    /// Link-local, unspecified, multicast, reserved: no server for blobs or tokens has such an address.
    Never,
}

/// Checks the connections to hosts that a server names.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    configured: Host<String>,
}

impl Guard {
    /// A guard for the targets that the server at `configured` names.
    pub(super) fn new(configured: Host<String>) -> Self {
        Self { configured }
    }

    /// The permitted ones of `addresses`, to which `named` resolves; an error if there are none.
    pub(super) async fn permitted(
        &self,
        named: &str,
        addresses: Vec<IpAddr>,
    ) -> Result<Vec<IpAddr>, ForbiddenTarget> {
        let public = |address: &IpAddr| reach(*address) == Reach::Public;
        if self.is_configured(named) || addresses.iter().all(public) {
            return Ok(addresses);
        }
        let own = self.configured_addresses().await;
        let permitted: Vec<_> =
            addresses.into_iter().filter(|address| is_permitted(*address, &own)).collect();
        if permitted.is_empty() {
            let configured = self.configured.to_string();
            return Err(ForbiddenTarget::Address { named: named.to_owned(), configured });
        }
        Ok(permitted)
    }

    fn is_configured(&self, named: &str) -> bool {
        match Host::parse(named) {
            Ok(named) => named == self.configured,
            Err(_) => false,
        }
    }

    /// The current addresses of the configured host. If it does not resolve, the list is empty, and only public
    /// addresses are permitted.
    async fn configured_addresses(&self) -> Vec<IpAddr> {
        match &self.configured {
            Host::Ipv4(address) => vec![IpAddr::V4(*address)],
            Host::Ipv6(address) => vec![IpAddr::V6(*address)],
            Host::Domain(name) => match tokio::net::lookup_host((name.as_str(), 0)).await {
                Ok(addresses) => addresses.map(|address| address.ip()).collect(),
                Err(error) => {
                    tracing::debug!(%error, host = %name, "the configured host does not resolve");
                    Vec::new()
                }
            },
        }
    }
}

/// Whether a server may name `url` at all: http or https, a host, no user name.
pub(super) fn check_url(url: &Url) -> Result<(), ForbiddenTarget> {
    let web = matches!(url.scheme(), "http" | "https") && url.host().is_some();
    if web && url.username().is_empty() && url.password().is_none() {
        return Ok(());
    }
    let shown = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
    Err(ForbiddenTarget::Url(shown.chars().take(255).collect()))
}

fn is_permitted(address: IpAddr, configured: &[IpAddr]) -> bool {
    let has = |wanted: Reach| configured.iter().any(|own| reach(*own) == wanted);
    match reach(address) {
        Reach::Public => true,
        Reach::Private => has(Reach::Private) || has(Reach::Loopback),
        Reach::Loopback => has(Reach::Loopback),
        Reach::Never => false,
    }
}

fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    match address.octets() {
        [127, ..] => Reach::Loopback,
        // 100.64/10: carrier-grade NAT, and the private networks of several clouds.
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Reach::Private,
        // "This network", link-local, IETF protocols, documentation, the old 6to4 relays, benchmarks, multicast and
        // above.
        [0, ..]
        | [169, 254, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [224..=255, ..] => Reach::Never,
        [1..=223, ..] => Reach::Public,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        reach_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Reach::Loopback,
        // Mapped, compatible, translated, NAT64: all of them reach the IPv4 address they contain.
        [0, 0, 0, 0, 0, 0xffff | 0, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        // 6to4 contains it in the first bits after the prefix.
        [0x2002, high, low, ..] => embedded(high, low),
        [0xfc00..=0xfdff, ..] => Reach::Private,
        // Teredo, benchmarks and documentation are within public ranges.
        [0x2001, 0 | 2 | 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Reach::Never,
        [0x2000..=0x3fff, ..] => Reach::Public,
        // Link-local, multicast, local NAT64, and unassigned ranges.
        [..] => Reach::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach_of(text: &str) -> Reach {
        reach(text.parse().unwrap())
    }

    #[test]
    fn address_ranges_are_classified_as_registered() {
        for text in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1", "64:ff9b::808:808"] {
            assert_eq!(reach_of(text), Reach::Public, "{text}");
        }
        for text in ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1"] {
            assert_eq!(reach_of(text), Reach::Private, "{text}");
            assert_eq!(reach_of(&format!("::ffff:{text}")), Reach::Private, "{text}");
            assert_eq!(reach_of(&format!("64:ff9b::{text}")), Reach::Private, "{text}");
        }
        for text in ["fc00::1", "fd12:3456::1", "2002:a00:1::"] {
            assert_eq!(reach_of(text), Reach::Private, "{text}");
        }
        for text in ["127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1", "::127.0.0.1"] {
            assert_eq!(reach_of(text), Reach::Loopback, "{text}");
        }
        for text in [
            "0.0.0.0",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2001:db8::1",
            "2002:a9fe:a9fe::",
            "fec0::1",
            "64:ff9b:1::1",
            "2001:0:1::1",
        ] {
            assert_eq!(reach_of(text), Reach::Never, "{text}");
        }
    }

    async fn permits(configured: &str, named: &str) -> bool {
        let url = Url::parse(&format!("http://{named}/")).unwrap();
        let address = match url.host().unwrap() {
            Host::Ipv4(address) => IpAddr::V4(address),
            Host::Ipv6(address) => IpAddr::V6(address),
            Host::Domain(name) => panic!("{name} is not an address"),
        };
        let guard = Guard::new(Host::parse(configured).unwrap());
        guard.permitted(url.host_str().unwrap(), vec![address]).await.is_ok()
    }

    #[tokio::test]
    async fn a_public_host_may_name_public_addresses_only() {
        assert!(permits("8.8.8.8", "1.1.1.1").await);
        for named in [
            "127.0.0.1",
            "0x7f.1",
            "2130706433",
            "0177.0.0.1",
            "127.1",
            "[::ffff:7f00:1]",
            "[::1]",
            "10.1.2.3",
            "0x0a010203",
            "[fd00::1]",
            "169.254.169.254",
            "0xa9fea9fe",
            "0",
            "0.0.0.0",
        ] {
            assert!(!permits("8.8.8.8", named).await, "{named}");
        }
    }

    #[tokio::test]
    async fn a_private_host_may_name_private_addresses_but_not_this_machine() {
        assert!(permits("10.0.0.5", "192.168.0.9").await);
        assert!(permits("127.0.0.1", "10.0.0.5").await);
        assert!(permits("127.0.0.1", "127.0.0.2").await);
        assert!(permits("localhost", "127.0.0.2").await);
        assert!(!permits("10.0.0.5", "127.0.0.1").await);
        assert!(!permits("10.0.0.5", "0.0.0.0").await);
    }

    #[tokio::test]
    async fn a_link_local_address_is_reached_only_as_the_configured_host() {
        assert!(permits("169.254.169.254", "169.254.169.254").await);
        for configured in ["127.0.0.1", "10.0.0.5", "169.254.1.1", "8.8.8.8"] {
            assert!(!permits(configured, "169.254.169.254").await, "{configured}");
            assert!(!permits(configured, "[fe80::1]").await, "{configured}");
        }
    }

    #[tokio::test]
    async fn only_permitted_addresses_are_tried() {
        let guard = Guard::new(Host::parse("8.8.8.8").unwrap());
        let both = vec!["10.0.0.1".parse().unwrap(), "1.1.1.1".parse().unwrap()];
        let permitted = guard.permitted("rebound.example", both).await.unwrap();
        assert_eq!(permitted, ["1.1.1.1".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn only_http_urls_without_a_user_may_be_named() {
        for text in ["http://a/", "https://a:1/b?c"] {
            assert_eq!(check_url(&Url::parse(text).unwrap()), Ok(()), "{text}");
        }
        for text in ["file:///etc/passwd", "ftp://a/", "gopher://a/", "http://u:p@a/", "data:,x"] {
            let error = check_url(&Url::parse(text).unwrap()).unwrap_err();
            assert!(!error.to_string().contains(":p@"), "{error}");
        }
    }
}

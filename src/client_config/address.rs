//! The address of the gate, as users give it and as clients' files contain it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;
use url::Url;

/// Why a text is not the address of a gate.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvalidAddress {
    #[error("write a scheme, a host and optionally a port: `https://gate.example.com`")]
    Form,
    #[error(
        "over http, an attacker on the network can impersonate the gate: give the gate a certificate \
         (`tls_cert`, `tls_key`) and write `https://…`; http is for loopback addresses only"
    )]
    Plain,
}

/// Scheme, host and port of a gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateAddress {
    secure: bool,
    /// An IPv6 address in brackets.
    host: String,
    port: u16,
}

impl GateAddress {
    /// The server of an endpoint in a client's file: a URL, or `host[:port][/path]` for HTTPS.
    pub fn of_endpoint(text: &str) -> Option<Self> {
        let whole = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let url = Url::parse(&whole).ok()?;
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = url.host_str()?.to_ascii_lowercase();
        Some(Self { secure, host, port: url.port_or_known_default()? })
    }

    /// `host[:port]`, without the scheme's default port, as in image names and file names.
    pub fn authority(&self) -> String {
        if self.port == self.default_port() {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The IP address, if the host is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.trim_matches(['[', ']']).parse().ok()
    }

    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Whether this is an address of the local machine.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.ip().is_some_and(|address| address.is_loopback())
    }

    /// Whether both are the same server.
    pub fn is_same_server(&self, other: &Self) -> bool {
        (&self.host, self.port) == (&other.host, other.port)
    }

    fn default_port(&self) -> u16 {
        if self.secure { 443 } else { 80 }
    }
}

impl FromStr for GateAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let url = Url::parse(text).map_err(|_| InvalidAddress::Form)?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !bare || !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidAddress::Form);
        }
        let address = Self::of_endpoint(text).filter(|_| text.contains("://"));
        // The host of a URL may contain characters that files and commands would have to quote.
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_[]:".contains(c);
        let address = address.filter(|address| address.host.chars().all(plain));
        let address = address.ok_or(InvalidAddress::Form)?;
        if address.secure || address.is_loopback() {
            Ok(address)
        } else {
            Err(InvalidAddress::Plain)
        }
    }
}

impl fmt::Display for GateAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.secure { "https" } else { "http" }, self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_scheme_a_host_and_optionally_a_port() {
        let address: GateAddress = "https://Gate.example.com:8443".parse().unwrap();
        assert_eq!(address.to_string(), "https://gate.example.com:8443");
        assert_eq!(address.authority(), "gate.example.com:8443");
        let address: GateAddress = "https://gate.example.com:443/".parse().unwrap();
        assert_eq!(address.to_string(), "https://gate.example.com");
        for text in [
            "gate.example.com",
            "gate.example.com:5050",
            "https://",
            "ftp://gate.example.com",
            "https://gate.example.com/v2/",
            "https://user@gate.example.com",
            "https://gate.example.com?ns=docker.io",
        ] {
            assert_eq!(text.parse::<GateAddress>(), Err(InvalidAddress::Form), "{text}");
        }
    }

    #[test]
    fn plain_http_is_only_for_the_local_machine() {
        for text in ["http://127.0.0.1:5050", "http://localhost:5050", "http://[::1]:5050"] {
            assert!(text.parse::<GateAddress>().is_ok(), "{text}");
        }
        let plain = "http://gate.example.com".parse::<GateAddress>();
        assert_eq!(plain, Err(InvalidAddress::Plain));
    }

    #[test]
    fn an_endpoint_is_the_gate_by_host_and_port() {
        let gate: GateAddress = "https://gate.example.com".parse().unwrap();
        for (endpoint, same) in [
            ("https://gate.example.com/v2/docker.io", true),
            ("gate.example.com/docker.io", true),
            ("GATE.example.com:443", true),
            ("http://gate.example.com", false),
            ("gate.example.com.evil.example", false),
            ("https://registry-1.docker.io", false),
        ] {
            let found = GateAddress::of_endpoint(endpoint).unwrap();
            assert_eq!(gate.is_same_server(&found), same, "{endpoint}");
        }
        assert_eq!(GateAddress::of_endpoint("not a host"), None);
    }
    #[test]
    fn a_host_that_files_would_have_to_quote_is_rejected() {
        for host in ["a\"b", "$(id)", "a;b", "a'b", "a`b", "a*b", "a{b}", "a=b", "a&b", "a,b"] {
            let address = format!("https://{host}.example").parse::<GateAddress>();
            assert_eq!(address, Err(InvalidAddress::Form), "{host}");
        }
        for text in ["https://[::1]:5050", "https://bücher.example", "https://a-b_c.example"] {
            assert!(text.parse::<GateAddress>().is_ok(), "{text}");
        }
    }
}

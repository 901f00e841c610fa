//! `[server]`: where the public listener is, and what it allows its clients.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::settings::Section;

use super::limits::Limits;

/// What an operator says of the public listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub listen: SocketAddr,
    /// The files of the certificate chain and of its key; without them it is plain HTTP.
    pub tls: Option<(PathBuf, PathBuf)>,
    pub limits: Limits,
}

impl Config {
    /// Reads `[server]`.
    pub fn read(section: &Section<'_>) -> Option<Self> {
        let listen = section.listen("listen");
        let tls = match (section.file("tls_cert"), section.file("tls_key")) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (Some(_), None) => {
                section.wrong("tls_cert", "`tls_key` goes with it");
                None
            }
            (None, Some(_)) => {
                section.wrong("tls_key", "`tls_cert` goes with it");
                None
            }
        };
        let standard = Limits::default();
        let count =
            |key, most| section.count(key, 1, most).and_then(|count| usize::try_from(count).ok());
        let patience = |key| {
            let patience = section.duration(key)?;
            if patience.is_zero() {
                section.wrong(key, "no client can do anything within no time");
            }
            Some(patience)
        };
        let limits = Limits {
            max_connections: count("max_connections", 1_000_000)
                .unwrap_or(standard.max_connections),
            max_header_bytes: max_header_bytes(section).unwrap_or(standard.max_header_bytes),
            handshake_timeout: patience("handshake_timeout").unwrap_or(standard.handshake_timeout),
            header_timeout: patience("header_timeout").unwrap_or(standard.header_timeout),
            idle_timeout: patience("idle_timeout").unwrap_or(standard.idle_timeout),
            write_timeout: patience("write_timeout").unwrap_or(standard.write_timeout),
            drain_timeout: section.duration("drain_timeout").unwrap_or(standard.drain_timeout),
            ..standard
        };
        section.finish();
        Some(Self { listen: listen?, tls, limits })
    }
}

fn max_header_bytes(section: &Section<'_>) -> Option<u32> {
    let bytes = section.size("max_header_bytes")?;
    let within = (u64::from(Limits::MIN_HEADER_BYTES)..=1 << 20).contains(&bytes);
    if !within {
        section.wrong("max_header_bytes", "from \"8KiB\" to \"1MiB\"");
    }
    u32::try_from(bytes).ok().filter(|_| within)
}

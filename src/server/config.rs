//! `[server]` and `[mirror]`: where the listeners for clients are, and what they allow them.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::toml_reader::Section;

use super::limits::Limits;

/// What an operator says of the public listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub listen: SocketAddr,
    /// The files of the certificate chain and of its key; without them it is plain HTTP.
    pub tls: Option<TlsFiles>,
    pub limits: Limits,
    pub denial_status: DenialStatus,
}

/// A certificate chain, and its key.
pub type TlsFiles = (PathBuf, PathBuf);

/// What an operator says of the listener for clients that use the gate as a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    pub listen: SocketAddr,
    /// That of the public listener where nothing else is said.
    pub tls: Option<TlsFiles>,
}

/// With which status a manifest is denied that is absent or refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DenialStatus {
    /// 404 `MANIFEST_UNKNOWN`, which every client takes for an answer.
    #[default]
    NotFound,
    /// 403 `DENIED`, of which newer containerd and docker show the message.
    Forbidden,
}

impl Config {
    /// Reads `[server]`.
    pub fn read(section: &Section<'_>) -> Option<Self> {
        let listen = section.listen("listen");
        let tls = tls_files(section);
        let denial_status = denial_status(section).unwrap_or_default();
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
            max_requests: count("max_requests", 1_000_000).unwrap_or(standard.max_requests),
            max_list_bytes: max_list_bytes(section).unwrap_or(standard.max_list_bytes),
            max_header_bytes: max_header_bytes(section).unwrap_or(standard.max_header_bytes),
            handshake_timeout: patience("handshake_timeout").unwrap_or(standard.handshake_timeout),
            header_timeout: patience("header_timeout").unwrap_or(standard.header_timeout),
            idle_timeout: patience("idle_timeout").unwrap_or(standard.idle_timeout),
            write_timeout: patience("write_timeout").unwrap_or(standard.write_timeout),
            drain_timeout: section.duration("drain_timeout").unwrap_or(standard.drain_timeout),
            ..standard
        };
        section.finish();
        Some(Self { listen: listen?, tls, limits, denial_status })
    }
}

impl Mirror {
    /// Reads `[mirror]`; `otherwise` is the certificate where it names none.
    pub fn read(section: &Section<'_>, otherwise: Option<&TlsFiles>) -> Option<Self> {
        let listen = section.listen("listen");
        let tls = tls_files(section).or_else(|| otherwise.cloned());
        section.finish();
        Some(Self { listen: listen?, tls })
    }
}

fn tls_files(section: &Section<'_>) -> Option<TlsFiles> {
    match (section.file("tls_cert"), section.file("tls_key")) {
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
    }
}

fn denial_status(section: &Section<'_>) -> Option<DenialStatus> {
    match section.count("denial_status", 400, 599)? {
        404 => Some(DenialStatus::NotFound),
        403 => Some(DenialStatus::Forbidden),
        other => {
            section.wrong("denial_status", format!("404 or 403, found {other}"));
            None
        }
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

fn max_list_bytes(section: &Section<'_>) -> Option<usize> {
    let bytes = section.size("max_list_bytes")?;
    let within = (1 << 20..=1 << 40).contains(&bytes);
    if !within {
        section.wrong("max_list_bytes", "from \"1MiB\" to \"1024GiB\"");
    }
    usize::try_from(bytes).ok().filter(|_| within)
}

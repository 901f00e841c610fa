//! `[server]` and `[mirror]`: the listeners for clients, and their limits.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::toml_reader::Section;

use super::limits::Limits;

/// The settings of the public listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub listen: SocketAddr,
    /// The certificate chain and its key; without them the listener uses plain HTTP.
    pub tls: Option<TlsFiles>,
    pub limits: Limits,
    pub denial_status: DenialStatus,
}

/// The files of a certificate chain and of its key.
pub type TlsFiles = (PathBuf, PathBuf);

/// The settings of the listener for clients that use the gate as a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    pub listen: SocketAddr,
    /// The certificate; by default that of the public listener.
    pub tls: Option<TlsFiles>,
}

/// The status of the response for a manifest that is absent or refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DenialStatus {
    /// 404 `MANIFEST_UNKNOWN`, which every client accepts as an answer.
    #[default]
    NotFound,
    /// 403 `DENIED`, whose message newer versions of containerd and docker show.
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
                section.wrong(key, "must be greater than zero");
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
    /// Reads `[mirror]`; `otherwise` is the certificate to use if it names none.
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
            section.wrong("tls_cert", "needs `tls_key`, too");
            None
        }
        (None, Some(_)) => {
            section.wrong("tls_key", "needs `tls_cert`, too");
            None
        }
    }
}

fn denial_status(section: &Section<'_>) -> Option<DenialStatus> {
    match section.count("denial_status", 400, 599)? {
        404 => Some(DenialStatus::NotFound),
        403 => Some(DenialStatus::Forbidden),
        other => {
            section.wrong("denial_status", format!("expected 404 or 403, found {other}"));
            None
        }
    }
}

fn max_header_bytes(section: &Section<'_>) -> Option<u32> {
    let bytes = section.size("max_header_bytes")?;
    let within = (u64::from(Limits::MIN_HEADER_BYTES)..=1 << 20).contains(&bytes);
    if !within {
        section.wrong("max_header_bytes", "expected from \"8KiB\" to \"1MiB\"");
    }
    u32::try_from(bytes).ok().filter(|_| within)
}

fn max_list_bytes(section: &Section<'_>) -> Option<usize> {
    let bytes = section.size("max_list_bytes")?;
    let within = (1 << 20..=1 << 40).contains(&bytes);
    if !within {
        section.wrong("max_list_bytes", "expected from \"1MiB\" to \"1024GiB\"");
    }
    usize::try_from(bytes).ok().filter(|_| within)
}

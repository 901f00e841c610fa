//! Outgoing HTTP: one client for each server, with a size limit and a deadline for everything. A [`Client`] only reads
//! (`GET`, `HEAD`), and its server may be in this process ([`local`]); an [`Uploader`] writes, and only a command creates one.
//! The module knows HTTP, TLS and addresses, but no registries, signatures or permissions.

mod body;
mod client;
mod connect;
mod credentials;
mod error;
mod informational;
mod limit;
pub mod local;
mod named_certificates;
mod proxy;
mod retry;
mod reuse;
mod ssrf;
mod timeouts;
mod tls;
mod tunnel;
mod turns;
mod upload;
pub mod via;

pub use body::Body;
pub use client::{Client, Method};
pub use credentials::{Credentials, InvalidCredentials};
pub use error::{NetError, Stage};
pub use limit::ReadError;
pub use local::{LocalBody, LocalServer, Pieces, WrongContent};
pub use proxy::{InvalidProxy, InvalidVariable, Proxies, ProxyConfig, ProxyServer};
pub use retry::{patiently, retry_after};
pub use ssrf::ForbiddenTarget;
pub use timeouts::Timeouts;
pub use tls::{TlsError, check_certificates};
pub use turns::{Crowded, Limits, Turn, Turns, less_an_eighth};
pub use upload::{UploadMethod, Uploader};

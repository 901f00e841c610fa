//! How we call out: one HTTP client for one server, with a ceiling and a deadline on everything, that
//! only ever reads (`GET`, `HEAD`). Knows HTTP, TLS and addresses; knows nothing of registries, of
//! signatures, or of who may see what.

mod body;
mod client;
mod connect;
mod error;
mod informational;
mod limit;
mod named_certificates;
mod retry;
mod ssrf;
mod tls;
mod turns;
pub mod via;

pub use body::Body;
pub use client::{Client, Method, Timeouts};
pub use error::{NetError, Stage};
pub use limit::ReadError;
pub use retry::{patiently, retry_after};
pub use ssrf::ForbiddenTarget;
pub use tls::TlsError;
pub use turns::{Crowded, Limits, Turn, Turns, less_an_eighth};

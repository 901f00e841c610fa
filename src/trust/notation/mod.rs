//! The Notary Project: signature envelopes in JWS and COSE, made with X.509 certificates.
//!
//! Judging is pure: the bytes of one envelope, the anchor's certificates and `now` in, and out what it
//! proves:
//!
//! ```text
//! bytes ─ jws, cose ─► Parts ─ envelope ─► Envelope ─ payload, judge ─► Judged
//!                                              │
//!                                            chain
//! ```
//!
//! Knows nothing of where envelopes are found.

mod algorithm;
mod anchor;
mod cbor;
mod chain;
mod config;
mod cose;
mod envelope;
mod identity;
mod judge;
mod jws;
mod level;
mod payload;
mod revocation_client;
mod revocation;
mod statement;
mod timestamps;
mod trust_policy;
mod trust_store;
mod warnings;

pub use anchor::Anchor;
pub use config::Config;
pub use envelope::MAX_ENVELOPE;
pub use judge::{Judged, Proven};
pub use revocation::{Answer, Method, RevocationQuery, Revocations};
pub use revocation_client::RevocationClient;

use super::signature::{Flaw, LIMIT};

/// Part of an envelope exceeds a limit: it is not examined.
fn too_much(found: impl Into<String>, wanted: impl Into<String>) -> Flaw {
    flaw(LIMIT, found, wanted)
}

/// A check that was not passed: what was found, and what would have been good.
fn flaw(check: &'static str, found: impl Into<String>, wanted: impl Into<String>) -> Flaw {
    Flaw { check, found: found.into(), wanted: wanted.into() }
}

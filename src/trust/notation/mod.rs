//! The Notary Project: signature envelopes in JWS and COSE, made with X.509 certificates.
//!
//! Verification is pure: it takes the bytes of one envelope, the anchor's certificates and `now`, and returns what they
//! prove:
//!
//! ```text
//! bytes ─ jws, cose ─► Parts ─ envelope ─► Envelope ─ payload, judge ─► Judged
//!                                              │
//!                                            chain
//! ```
//!
//! It does not know where envelopes are found.

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
pub use revocation::{Answer, Method, RevocationQuery, Revocations, made_at};
pub use revocation_client::{KeptResponse, RevocationClient, RevocationUpstream};

use super::signature::{Flaw, LIMIT};

/// Part of an envelope exceeds a limit: it is not examined.
fn too_much(found: impl Into<String>, wanted: impl Into<String>) -> Flaw {
    flaw(LIMIT, found, wanted)
}

/// A failed check: what was found, and what is required.
fn flaw(check: &'static str, found: impl Into<String>, wanted: impl Into<String>) -> Flaw {
    Flaw { check, found: found.into(), wanted: wanted.into() }
}

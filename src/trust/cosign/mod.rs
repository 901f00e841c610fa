//! Signatures of cosign: with keys, keyless with Fulcio and Rekor, and with a private PKI.
//!
//! A candidate is taken apart, asked what it claims, and only then verified, bound to the digest that
//! is served:
//!
//! ```text
//! layer  ─┐            ┌ claim: payload or statement ─► the kind asked for? this digest?
//!         ├─► Signed ──┤ message, signature ──────────► a key, or the certificate's
//! bundle ─┘            └ evidence ────────────────────► Roots: chain, SCT, log entry, times
//! ```
//!
//! Everything here is pure: bytes, trust and `now` in, what is proven out. Where signatures are looked
//! for is not known here.

mod anchor;
mod certificate;
mod claim;
mod config;
mod evidence;
mod fits;
mod flaw;
mod identity;
mod key;
mod path;
mod restricted;
mod roots;
mod signed;
mod signed_identity;
mod time;

pub mod limits;

pub use anchor::Anchor;
pub use claim::SIGN_PREDICATE;
pub use config::{Config, Signers, Tlog};
pub use identity::Identity;
pub use key::Key;
pub use roots::Roots;
pub use signed::{DSSE_ENVELOPE, SIMPLE_SIGNING};
pub use signed_identity::SignedIdentity;

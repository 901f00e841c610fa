//! Signatures of cosign: with keys, keyless with Fulcio and Rekor, and with a private PKI.
//!
//! Verification reads a claim only from bytes whose signature verified, and compares it with the digest that is served:
//!
//! ```text
//! layer  ─┐            ┌ outline ─► the wanted kind? this digest? if not, it is skipped
//!         ├─► Signed ──┤ message, signature ─► the key's, or the certificate's ─► VerifiedBytes ─► Claim
//! bundle ─┘            └ evidence ───────────► Roots: chain, SCT, log entry, times
//! ```
//!
//! Everything here is pure: it takes bytes, trust and `now`, and returns what is proven. It does not know where signatures
//! are found.

mod anchor;
mod binding;
mod certificate;
mod claim;
mod config;
mod evidence;
mod fits;
mod flaw;
mod identity;
mod key;
mod keys;
mod log;
mod log_entry;
mod path;
mod restricted;
mod roots;
mod sct;
mod signed;
mod signed_identity;
mod statement;
mod time;
mod tsa;
mod witness;

pub mod limits;

pub use anchor::Anchor;
pub use claim::SIGN_PREDICATE;
pub use config::{Config, Signers, Tlog};
pub use identity::Identity;
pub use key::Key;
pub use keys::read_keys;
pub use roots::Roots;
pub use signed::{DSSE_ENVELOPE, SIMPLE_SIGNING};
pub use signed_identity::SignedIdentity;
pub use statement::VerifiedStatement;

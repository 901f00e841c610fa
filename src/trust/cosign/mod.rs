//! Signatures of cosign: with keys, keyless with Fulcio and Rekor, and with a private PKI.
//!
//! A candidate is taken apart. What it claims is read from bytes whose signature verified, and bound to the digest
//! that is served:
//!
//! ```text
//! layer  ─┐            ┌ outline ─► the kind that is asked for? this digest? if not, it is left aside
//!         ├─► Signed ──┤ message, signature ─► the key's, or the certificate's ─► VerifiedBytes ─► Claim
//! bundle ─┘            └ evidence ───────────► Roots: chain, SCT, log entry, times
//! ```
//!
//! Everything here is pure: bytes, trust and `now` in, what is proven out. Where signatures are looked
//! for is not known here.

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
mod time;
mod tsa;
mod witness;

pub mod limits;

pub use anchor::Anchor;
pub use claim::SIGN_PREDICATE;
pub use config::{Config, Signers, Tlog};
pub use identity::Identity;
pub use key::Key;
pub use roots::Roots;
pub use signed::{DSSE_ENVELOPE, SIMPLE_SIGNING};
pub use signed_identity::SignedIdentity;

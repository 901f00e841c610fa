//! Signs statements about images with a private key: an in-toto statement in a DSSE envelope, as a Sigstore bundle that a
//! referrer manifest attaches to its subject. `cosign verify-attestation --key` accepts the result.
//!
//! Only commands sign. The serving gate never holds a private key. Except for reading the key file, nothing here does
//! I/O: callers write or upload the result. A signature contains random numbers (ECDSA), so two bundles over the same
//! statement differ in the signature; all other bytes depend only on the input.

mod bundle;
mod key;
mod referrer;
mod statement;

pub use bundle::{BUNDLE_TYPE, SigstoreBundle};
pub use key::{KeyFileError, SigningFailed, SigningKey};
pub use referrer::{ReferrerManifest, SubjectManifest};
pub use statement::{Statement, StatementSubject};

//! The limits of one verification: the size of a candidate, and the work that it may cause. A registry controls every byte
//! of it.

use crate::trust::discovery::MAX_STATEMENT;

/// The longest simple signing payload, in bytes. Real ones have a few hundred.
pub const MAX_PAYLOAD: usize = 64 << 10;
/// The longest DSSE envelope in a layer, in bytes: an attestation may contain an SBOM. Longer ones are not fetched.
pub const MAX_ENVELOPE: usize = MAX_STATEMENT;
/// The longest bundle, in bytes. Longer ones are not fetched.
pub const MAX_BUNDLE: usize = MAX_STATEMENT;
/// The most JSON values of a bundle or an envelope, in which the signed content is one text.
pub const MAX_VALUES: usize = 10_000;
/// The most JSON values of a statement: their memory is a multiple of their text.
pub const MAX_STATEMENT_VALUES: usize = 1_000_000;
/// The longest annotation that is parsed, in bytes: a certificate chain, a log entry.
pub const MAX_ANNOTATION: usize = 256 << 10;
/// The longest signature, in bytes: RSA of 8192 bits has 1,024.
pub const MAX_SIGNATURE: usize = 2 << 10;
/// The longest certificate, in bytes.
pub const MAX_CERTIFICATE: usize = 32 << 10;
/// The most certificates of one candidate, the signer's own counted.
pub const MAX_CERTIFICATES: usize = 5;
/// The most names in one certificate.
pub const MAX_NAMES: usize = 16;
/// The most log entries of one candidate.
pub const MAX_ENTRIES: usize = 4;
/// The most hashes of one inclusion proof: a log of 2^64 entries needs 64.
pub const MAX_PROOF: usize = 64;
/// The most signatures on one checkpoint: the log's, and its witnesses'.
pub const MAX_CHECKPOINT_SIGNATURES: usize = 16;
/// The most timestamps of one candidate.
pub const MAX_TIMESTAMPS: usize = 4;
/// The longest timestamp token, in bytes.
pub const MAX_TIMESTAMP: usize = 32 << 10;
/// The most subjects of one statement, as in sigstore-go.
pub const MAX_SUBJECTS: usize = 1_024;
/// The longest text about a failed check, in bytes: it quotes the candidate, and is cached and logged.
pub const MAX_FOUND: usize = 512;

/// The most keys of one anchor.
pub const MAX_KEYS: usize = 16;
/// The longest identity pattern, in bytes.
pub const MAX_IDENTITY: usize = 1_024;
/// The most annotations that an anchor may require.
pub const MAX_ANNOTATIONS: usize = 32;
/// The most certificates of a configured chain.
pub const MAX_CHAIN: usize = 8;

//! The limits of a search: on requests to registries and on the data that they send. Content beyond a limit was not
//! examined, which never counts as absent.

use thiserror::Error;

use crate::oci::manifest::MAX_MANIFEST;

/// The most requests to registries for one decision. Tokens, redirects and failed attempts do not count: each has its
/// own limit.
pub const MAX_REQUESTS: usize = 100;
/// The most bytes that one decision may hold, from all sources.
pub const MAX_BYTES: usize = 32 << 20;
/// The most signatures that one search judges. Signatures with different content cost a request each, which
/// [`MAX_REQUESTS`] limits; this limits the work for those that share their content.
pub const MAX_CANDIDATES: usize = 1_000;
/// The most pages of one list of referrers.
pub const MAX_PAGES: usize = 10;
/// The largest page of a list of referrers, and the largest manifest of a tag, in bytes. This many bytes are reserved
/// until content of unknown size has arrived.
pub(super) const MAX_LIST: usize = MAX_MANIFEST / 2;
/// The largest manifest of a referrer, in bytes.
pub(super) const MAX_ARTIFACT: usize = 1 << 20;
/// The largest payload in the simple signing format, in bytes.
pub(super) const MAX_PAYLOAD: usize = 64 << 10;
/// The largest attestation and the largest bundle, in bytes. The bundle of an SBOM of 17 MiB, which cosign accepts, has
/// 23 MiB.
pub const MAX_STATEMENT: usize = 24 << 20;
/// Larger signatures, in bytes, are fetched after all smaller ones.
pub(super) const SMALL: u64 = 256 << 10;
/// The largest Notary Project envelope, in bytes.
pub(super) const MAX_ENVELOPE: usize = 1 << 20;
/// The most annotations of one layer, and their most bytes, including names.
pub(super) const MAX_ANNOTATIONS: usize = 64;
pub(super) const MAX_ANNOTATION_BYTES: usize = 128 << 10;
/// The most referrer manifests fetched at once.
pub(super) const OPENED_AT_ONCE: usize = 4;
/// The most signatures fetched at once and returned together.
pub(super) const FETCHED_AT_ONCE: usize = 8;

/// A limit that was reached.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Limit {
    #[error("the limit of {MAX_REQUESTS} registry requests for one decision is reached")]
    Requests,
    #[error("more than {MAX_BYTES} bytes for this decision")]
    Bytes,
    #[error("{left_out} signatures beyond the limit of {MAX_CANDIDATES}")]
    Candidates { left_out: usize },
    #[error("more than {MAX_PAGES} pages")]
    Pages,
    #[error("more than {ceiling} bytes")]
    Size { ceiling: usize },
    /// A manifest or a list has too many JSON values or lists too many manifests.
    #[error("more JSON values or entries than the limit")]
    Entries,
    #[error(
        "annotations of more than {MAX_ANNOTATION_BYTES} bytes, or more than {MAX_ANNOTATIONS}"
    )]
    Annotations,
}

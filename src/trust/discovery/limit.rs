//! What may be asked of registries, and what may come: every ceiling of this module, with its name.
//! What a limit leaves out was not looked at, which is never the same as not being there.

use thiserror::Error;

use crate::oci::manifest::MAX_MANIFEST;

/// How often registries may be asked for one decision. Tokens, redirects and tries that failed are not
/// counted: each of them is bounded by itself.
pub const MAX_REQUESTS: usize = 100;
/// How many bytes one decision may hold, wherever they come from.
pub const MAX_BYTES: usize = 16 << 20;
/// The most signatures that are judged in one search. Those that differ cost a request each, which
/// [`MAX_REQUESTS`] bounds; this bounds the work for those that share their content.
pub const MAX_CANDIDATES: usize = 1_000;
/// The most pages of one list of referrers.
pub const MAX_PAGES: usize = 10;
/// The largest page of a list of referrers, and the largest manifest behind a tag, in bytes: what came
/// under no size of its own is set aside whole until it is here.
pub(super) const MAX_LIST: usize = MAX_MANIFEST / 2;
/// The largest manifest of a referrer, in bytes.
pub(super) const MAX_ARTIFACT: usize = 1 << 20;
/// The largest payload in the simple signing format, in bytes.
pub(super) const MAX_PAYLOAD: usize = 64 << 10;
/// The largest attestation and the largest bundle, in bytes: some hold a list of all that is in an image.
pub const MAX_STATEMENT: usize = 4 << 20;
/// Signatures of more bytes are fetched after all smaller ones.
pub(super) const SMALL: u64 = 256 << 10;
/// The largest Notary Project envelope, in bytes.
pub(super) const MAX_ENVELOPE: usize = 1 << 20;
/// The most annotations of one layer, and the most bytes that they may take with their names.
pub(super) const MAX_ANNOTATIONS: usize = 64;
pub(super) const MAX_ANNOTATION_BYTES: usize = 128 << 10;
/// How many manifests of referrers are fetched at once.
pub(super) const OPENED_AT_ONCE: usize = 4;
/// How many signatures are fetched at once, and handed on together.
pub(super) const FETCHED_AT_ONCE: usize = 8;

/// A limit that was met.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Limit {
    #[error("registries were asked {MAX_REQUESTS} times for this decision")]
    Requests,
    #[error("more than {MAX_BYTES} bytes for this decision")]
    Bytes,
    #[error("{left_out} more than {MAX_CANDIDATES} signatures")]
    Candidates { left_out: usize },
    #[error("more than {MAX_PAGES} pages")]
    Pages,
    #[error("more than {ceiling} bytes")]
    Size { ceiling: usize },
    /// A manifest or a list has more JSON values, or lists more manifests, than are read.
    #[error("more JSON values or entries than are read")]
    Entries,
    #[error(
        "annotations of more than {MAX_ANNOTATION_BYTES} bytes, or more than {MAX_ANNOTATIONS}"
    )]
    Annotations,
}

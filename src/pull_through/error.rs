//! Errors: why content is missing or incomplete.

use std::sync::Arc;

use thiserror::Error;

use crate::http_client::NetError;
use crate::oci::manifest::InvalidManifest;
use crate::oci::{Mismatch, Registry};
use crate::registry_client::UpstreamError;

/// Why there is no content. Cheap to clone, so that all requests that wait for one fetch can have it.
#[derive(Clone, Debug, Error)]
pub enum FetchError {
    #[error("no upstream is configured for {0}")]
    NoUpstream(Registry),
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error(transparent)]
    Mismatch(Box<Mismatch>),
    /// The content matches the digest, but cannot be served as a manifest.
    #[error(transparent)]
    Invalid(Arc<InvalidManifest>),
}

impl FetchError {
    /// Whether the content exceeds a limit of this program.
    pub fn exceeds_limit(&self) -> bool {
        match self {
            Self::Upstream(UpstreamError::Protocol(violation)) => violation.exceeds_limit(),
            Self::Invalid(error) => error.exceeds_limit(),
            Self::NoUpstream(_) | Self::Upstream(_) | Self::Mismatch(_) => false,
        }
    }
}

/// Why a blob is not complete.
#[derive(Clone, Debug, Error)]
pub enum NotWhole {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Broken(#[from] BlobError),
}

/// Why a blob ends too early. The data until then was only the beginning of the blob.
#[derive(Clone, Debug, Error)]
pub enum BlobError {
    #[error("upstream failed in the middle of the blob")]
    Interrupted(#[from] NetError),
    #[error("cannot get the rest of the blob")]
    Resume(#[from] UpstreamError),
    #[error(transparent)]
    Mismatch(Box<Mismatch>),
    #[error("the blob is longer or shorter than upstream announced")]
    Length,
    #[error("upstream sent another part than the requested rest of the blob")]
    OtherPart,
    /// The data that arrived is on disk for slower clients, but cannot be read back.
    #[error("cannot read the blob back from the disk: {0}")]
    Unreadable(std::io::ErrorKind),
    /// Too many blobs are in memory while they are read.
    #[error("no memory is free to inspect the blob; retry")]
    NoRoom,
    #[error("the client read the blob too slowly while others waited")]
    TooSlow,
    #[error("the blob was evicted from the store during the download")]
    Removed,
    /// The download ended because the gate stops.
    #[error("the gate is stopping")]
    Stopping,
}

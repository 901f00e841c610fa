//! Why there is no content, or no more of it.

use std::sync::Arc;

use thiserror::Error;

use crate::http_client::NetError;
use crate::oci::manifest::InvalidManifest;
use crate::oci::{Mismatch, Registry};
use crate::registry_client::UpstreamError;

/// Why there is no content. Cheap to clone, so that all who wait for one fetch can have it.
#[derive(Clone, Debug, Error)]
pub enum FetchError {
    #[error("no upstream is configured for {0}")]
    NoUpstream(Registry),
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error(transparent)]
    Mismatch(Box<Mismatch>),
    /// It is the content of that digest, and nothing that can be served as a manifest.
    #[error(transparent)]
    Invalid(Arc<InvalidManifest>),
}

/// Why all of a blob is not here.
#[derive(Clone, Debug, Error)]
pub enum NotWhole {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Broken(#[from] BlobError),
}

/// Why a blob ends before its end. What came until then was no more than a beginning of it.
#[derive(Clone, Debug, Error)]
pub enum BlobError {
    #[error("upstream broke off")]
    Interrupted(#[from] NetError),
    #[error("the rest of the blob cannot be had")]
    Resume(#[from] UpstreamError),
    #[error(transparent)]
    Mismatch(Box<Mismatch>),
    #[error("upstream sent another length than it said")]
    Length,
    #[error("upstream was asked for the rest of the blob and sent something else")]
    OtherPart,
    /// What came is kept on disk for those who are slower, and cannot be read there.
    #[error("what came of the blob cannot be read again: {0}")]
    Unreadable(std::io::ErrorKind),
    /// Too many blobs are held in memory until they are whole.
    #[error("there is no room to look at the blob now")]
    NoRoom,
    #[error("the client took too little of the blob while others waited for their turn")]
    TooSlow,
    #[error("the blob was removed from the store to make room for others")]
    Removed,
    /// The download ended because the gate does.
    #[error("the gate is stopping")]
    Stopping,
}

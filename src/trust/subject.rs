//! The subject of signatures over content: one manifest in one repository.

use crate::oci::{Digest, MediaType, RepositoryRef};

/// The manifest whose signatures are judged. The digest is that of the served bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    pub repository: RepositoryRef,
    pub digest: Digest,
    pub media_type: MediaType,
    /// The length in bytes.
    pub size: u64,
}

//! What signatures over content are about: one manifest, at one place. Knows nothing of who signs.

use crate::oci::{Digest, MediaType, Registry, Repository};

/// The manifest whose signatures are judged. Its digest is the one that is served, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    pub registry: Registry,
    pub repository: Repository,
    pub digest: Digest,
    pub media_type: MediaType,
    /// Its length in bytes.
    pub size: u64,
}

//! Blobs: open by digest in a repository from which anything could be served, except what is known to
//! be a manifest. Clients ask for a manifest that they were denied once more as a blob.

use std::sync::Arc;

use crate::oci::{Digest, ErrorCode, ImageRef, Reference, Registry, Repository};
use crate::pull_through::{BlobStream, FetchError};
use crate::upstream::{ByteRange, UpstreamError};

use super::denial::Denial;
use super::{Gate, deny};

/// What of a blob is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobWanted {
    Length,
    Content(Option<ByteRange>),
}

/// What was wanted of a blob.
#[derive(Debug)]
pub enum BlobAnswer {
    /// Upstream has it; its length in bytes, if upstream says it.
    Length(Option<u64>),
    Content(Box<BlobStream>),
}

/// Why there is no blob.
#[derive(Debug)]
pub enum BlobDenial {
    Denied(Box<Denial>),
    /// The range is not within the blob, which has that many bytes, if upstream says it.
    RangeUnsatisfiable {
        size: Option<u64>,
    },
}

impl From<Denial> for BlobDenial {
    fn from(denial: Denial) -> Self {
        Self::Denied(Box::new(denial))
    }
}

impl Gate {
    /// The blob `digest` of `registry/repository`.
    pub async fn blob(
        &self,
        registry: &Registry,
        repository: &Repository,
        digest: &Digest,
        wanted: BlobWanted,
    ) -> Result<BlobAnswer, BlobDenial> {
        let shared = &self.shared;
        let image = ImageRef {
            registry: registry.clone(),
            repository: repository.clone(),
            reference: Reference::Digest(*digest),
        };
        if !shared.policy.serves(registry, repository, shared.clock.now()) {
            return Err(deny::no_rule(&image).into());
        }
        if shared.is_manifest(&image, digest).await? {
            let code = ErrorCode::BlobUnknown;
            let message = format!("{digest} is a manifest; ask for it as one");
            return Err(Denial::Missing { image, code, message }.into());
        }
        let answer = match wanted {
            BlobWanted::Length => {
                let length = shared.pull_through.blob_length(registry, repository, digest).await;
                length.map(BlobAnswer::Length)
            }
            BlobWanted::Content(range) => {
                let stream = shared.pull_through.blob(registry, repository, digest, range).await;
                stream.map(|stream| BlobAnswer::Content(Box::new(stream)))
            }
        };
        answer.map_err(|error| denied(&image, None, error))
    }
}

impl super::Shared {
    /// Whether `digest` is a manifest: one that is kept, or one that was denied, if upstream has it as
    /// one. A digest that somebody asked for as a manifest is none by that alone.
    async fn is_manifest(&self, image: &ImageRef, digest: &Digest) -> Result<bool, Denial> {
        let ImageRef { registry, repository, .. } = image;
        if self.pull_through.keeps_manifest(registry, repository, digest) {
            return Ok(true);
        }
        if !self.lineage.was_denied(image, digest) {
            return Ok(false);
        }
        match self.pull_through.manifest(registry, repository, digest).await {
            Ok(_) | Err(FetchError::Invalid(_) | FetchError::Mismatch(_)) => Ok(true),
            Err(FetchError::Upstream(UpstreamError::Absent { .. })) => Ok(false),
            Err(error @ (FetchError::NoUpstream(_) | FetchError::Upstream(_))) => {
                Err(deny::fetch(image, None, error))
            }
        }
    }
}

fn denied(image: &ImageRef, rule: Option<&Arc<str>>, error: FetchError) -> BlobDenial {
    match error {
        FetchError::Upstream(UpstreamError::RangeUnsatisfiable { size }) => {
            BlobDenial::RangeUnsatisfiable { size }
        }
        FetchError::Invalid(_)
        | FetchError::Mismatch(_)
        | FetchError::NoUpstream(_)
        | FetchError::Upstream(_) => deny::fetch(image, rule, error).into(),
    }
}

//! Blobs of which all is to be here before the first byte goes on, for those who must not be failed in the
//! middle. For others [`PullThrough::blob`] is sooner.

use http_body_util::BodyExt as _;

use super::PullThrough;
use super::blob_stream::{BlobStream, Origin};
use super::error::NotWhole;
use crate::oci::{Digest, Registry, Repository};
use crate::registry_client::ByteRange;

impl PullThrough {
    /// Waits until all of the blob `digest` came and is right. It is kept where it can be.
    pub async fn whole_blob(
        &self,
        registry: &Registry,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<(), NotWhole> {
        let mut blob = self.blob(registry, repository, digest, None).await?;
        if blob.origin() == Origin::Store {
            return Ok(());
        }
        while let Some(piece) = blob.frame().await {
            piece?;
        }
        Ok(())
    }

    /// As [`PullThrough::blob`], but what broke off lately at this registry begins only when all of it is here.
    pub async fn steady_blob(
        &self,
        registry: &Registry,
        repository: &Repository,
        digest: &Digest,
        range: Option<ByteRange>,
    ) -> Result<BlobStream, NotWhole> {
        if self.failures.has(registry, digest) {
            self.whole_blob(registry, repository, digest).await?;
        }
        Ok(self.blob(registry, repository, digest, range).await?)
    }
}

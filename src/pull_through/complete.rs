//! Blobs that are complete before the first byte is sent, for clients that must not see a failure in the middle. For
//! other clients, [`PullThrough::blob`] starts sooner.

use http_body_util::BodyExt as _;

use super::PullThrough;
use super::blob_stream::{BlobStream, Origin};
use super::error::NotWhole;
use crate::oci::{Digest, RepositoryRef};
use crate::registry_client::ByteRange;

impl PullThrough {
    /// Waits until all of the blob `digest` has arrived and matches its digest. It is stored if possible.
    pub async fn whole_blob(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
    ) -> Result<(), NotWhole> {
        let mut blob = self.blob(repository, digest, None).await?;
        if blob.origin() == Origin::Store {
            return Ok(());
        }
        while let Some(piece) = blob.frame().await {
            piece?;
        }
        Ok(())
    }

    /// As [`PullThrough::blob`], but a blob that recently failed at this registry begins only when it is complete.
    pub async fn steady_blob(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
        range: Option<ByteRange>,
    ) -> Result<BlobStream, NotWhole> {
        if self.failures.has(&repository.registry, digest) {
            self.whole_blob(repository, digest).await?;
        }
        Ok(self.blob(repository, digest, range).await?)
    }
}

//! Blobs: open by digest in a repository from which anything could be served, except what is known to
//! be a manifest. Clients ask for a manifest that they were denied once more as a blob.

use crate::oci::{Digest, ErrorCode, ImageRef, Reference, Registry, Repository};
use crate::pull_through::{BlobStream, FetchError};
use crate::upstream::{ByteRange, UpstreamError};

use super::admitted::Admitted;
use super::denial::Denial;
use super::{Gate, Shared, deny};

/// The largest config that is fetched before it is asked for.
const MAX_CONFIG: u64 = 16 << 20;

impl Gate {
    /// The blob `digest` of `registry/repository`, or a range of it, as it comes.
    pub async fn blob(
        &self,
        registry: &Registry,
        repository: &Repository,
        digest: &Digest,
        range: Option<ByteRange>,
    ) -> Result<BlobStream, Denial> {
        let image = named(registry, repository, digest);
        self.shared.open(&image, digest).await?;
        let stream = self.shared.pull_through.blob(registry, repository, digest, range).await;
        stream.map_err(|error| deny::fetch(&image, None, error))
    }

    /// Has the config of an image fetched and kept before the image is given to whoever could not do without
    /// it. What cannot be run needs none.
    pub async fn fetch_config(&self, image: &ImageRef, admitted: &Admitted) -> Result<(), Denial> {
        let manifest = admitted.fetched().manifest();
        let config = manifest.blobs().first().filter(|_| manifest.is_runnable());
        let Some(config) = config.filter(|config| config.size <= MAX_CONFIG) else { return Ok(()) };
        let ImageRef { registry, repository, .. } = image;
        let fetched =
            self.shared.pull_through.whole_blob(registry, repository, &config.digest).await;
        let rule = Some(admitted.pattern());
        fetched.map_err(|error| deny::no_config(deny::not_whole(image, rule, error)))
    }

    /// As [`Gate::blob`], for a client that must not be failed in the middle twice.
    pub async fn steady_blob(
        &self,
        registry: &Registry,
        repository: &Repository,
        digest: &Digest,
        range: Option<ByteRange>,
    ) -> Result<BlobStream, Denial> {
        let image = named(registry, repository, digest);
        self.shared.open(&image, digest).await?;
        let pull_through = &self.shared.pull_through;
        let stream = pull_through.steady_blob(registry, repository, digest, range).await;
        stream.map_err(|error| deny::not_whole(&image, None, error))
    }

    /// How many bytes the blob `digest` has; `None` if upstream has it and does not say.
    pub async fn blob_length(
        &self,
        registry: &Registry,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<u64>, Denial> {
        let image = named(registry, repository, digest);
        self.shared.open(&image, digest).await?;
        let length = self.shared.pull_through.blob_length(registry, repository, digest).await;
        length.map_err(|error| deny::fetch(&image, None, error))
    }
}

impl Shared {
    /// Denies a blob of a repository from which nothing is served, and a manifest.
    async fn open(&self, image: &ImageRef, digest: &Digest) -> Result<(), Denial> {
        if !self.policy.serves(&image.registry, &image.repository, self.clock.now()) {
            return Err(self.unserved(image));
        }
        self.not_denied(image, digest)?;
        if self.is_manifest(image, digest).await? {
            let message = format!("{digest} is a manifest; ask for it as one");
            return Err(Denial::Missing {
                image: image.clone(),
                code: ErrorCode::BlobUnknown,
                message,
            });
        }
        Ok(())
    }

    /// Whether `digest` is a manifest: one that was fetched as one, or one that was denied, if upstream has it as
    /// one. A digest that somebody asked for as a manifest is none by that alone.
    async fn is_manifest(&self, image: &ImageRef, digest: &Digest) -> Result<bool, Denial> {
        let ImageRef { registry, repository, .. } = image;
        if self.pull_through.is_manifest(registry, repository, digest) {
            return Ok(true);
        }
        if !self.lineage.was_denied(image, digest)
            || self.pull_through.is_no_manifest(registry, repository, digest)
        {
            return Ok(false);
        }
        match self.pull_through.manifest(registry, repository, digest).await {
            Ok(_) | Err(FetchError::Invalid(_) | FetchError::Mismatch(_)) => Ok(true),
            Err(FetchError::Upstream(UpstreamError::Absent { .. })) => {
                // Else whoever asks for a blob as a manifest has upstream be asked for ever.
                self.lineage.no_manifest(image, digest).await;
                Ok(false)
            }
            Err(error @ (FetchError::NoUpstream(_) | FetchError::Upstream(_))) => {
                Err(deny::fetch(image, None, error))
            }
        }
    }
}

fn named(registry: &Registry, repository: &Repository, digest: &Digest) -> ImageRef {
    ImageRef {
        registry: registry.clone(),
        repository: repository.clone(),
        reference: Reference::Digest(*digest),
    }
}

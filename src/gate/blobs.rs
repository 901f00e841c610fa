//! Blobs: open by digest in a repository from which anything could be served, except what reads as a manifest, which is
//! served only if it is admitted as one. Clients follow a descriptor by its media type and not by where content is
//! stored, and ask once more for a blob where they were denied a manifest.

use tokio::time::timeout;

use crate::oci::{Digest, ErrorCode, ImageRef, Reference, Registry, Repository};
use crate::pull_through::{BlobStream, Inspected};
use crate::requester::Requester;
use crate::upstream::ByteRange;

use super::admitted::Admitted;
use super::decision::Decision;
use super::denial::Denial;
use super::{Gate, MAX_DECISION, Shared, deny};

/// The largest config that is fetched before it is asked for.
const MAX_PREFETCHED_CONFIG: u64 = 16 << 20;

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
        let _pass = self.pass_for_blob(&image).await?;
        self.shared.blob(self.requester, &image, digest, range, false).await
    }

    /// Has the config of an image fetched and kept before the image is given to whoever could not do without
    /// it. What cannot be run needs none.
    pub async fn fetch_config(&self, image: &ImageRef, admitted: &Admitted) -> Result<(), Denial> {
        let manifest = admitted.fetched().manifest();
        let config = manifest.blobs().first().filter(|_| manifest.is_runnable());
        let Some(config) = config.filter(|config| config.size <= MAX_PREFETCHED_CONFIG) else {
            return Ok(());
        };
        let ImageRef { registry, repository, .. } = image;
        let pull_through = self.shared.pull_through.on_behalf_of(self.requester);
        let fetched = pull_through.whole_blob(registry, repository, &config.digest).await;
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
        let _pass = self.pass_for_blob(&image).await?;
        self.shared.blob(self.requester, &image, digest, range, true).await
    }

    /// The length in bytes of the blob `digest`, which is judged as for [`Gate::blob`]; `None` if upstream has it and does not
    /// say.
    pub async fn blob_length(
        &self,
        registry: &Registry,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<u64>, Denial> {
        let (shared, image) = (&self.shared, named(registry, repository, digest));
        let _pass = self.pass_for_blob(&image).await?;
        let pull_through = shared.pull_through.on_behalf_of(self.requester);
        shared.open(&image, digest)?;
        if shared.inspects_blobs(&image) {
            let length = pull_through.inspected_length(registry, repository, digest).await;
            match length.map_err(|error| deny::not_whole(&image, None, error))? {
                Some(length) => return Ok(length),
                None => Box::pin(shared.admitted_manifest(&image, digest)).await?,
            }
        }
        let length = pull_through.blob_length(registry, repository, digest).await;
        length.map_err(|error| deny::fetch(&image, None, error))
    }
}

impl Shared {
    /// The blob, unless it reads as a manifest that is not admitted.
    async fn blob(
        &self,
        requester: Requester,
        image: &ImageRef,
        digest: &Digest,
        range: Option<ByteRange>,
        steady: bool,
    ) -> Result<BlobStream, Denial> {
        self.open(image, digest)?;
        let ImageRef { registry, repository, .. } = image;
        let failed = |error| deny::not_whole(image, None, error);
        let pull_through = self.pull_through.on_behalf_of(requester);
        if self.inspects_blobs(image) {
            let inspected =
                pull_through.inspected_blob(registry, repository, digest, range, steady);
            match inspected.await.map_err(failed)? {
                Inspected::Blob(stream) => return Ok(stream),
                Inspected::Manifest => Box::pin(self.admitted_manifest(image, digest)).await?,
            }
        }
        match steady {
            true => pull_through.steady_blob(registry, repository, digest, range).await,
            false => {
                let stream = pull_through.blob(registry, repository, digest, range).await;
                stream.map_err(Into::into)
            }
        }
        .map_err(failed)
    }

    /// Denies a blob of a repository from which nothing is served, and one that a rule denies.
    fn open(&self, image: &ImageRef, digest: &Digest) -> Result<(), Denial> {
        match self.policy.serves(&image.registry, &image.repository, self.clock.now()) {
            true => self.not_denied(image, digest),
            false => Err(self.unserved(image)),
        }
    }

    /// Whether a blob of that repository is served only after it was looked at: where a manifest may be denied.
    fn inspects_blobs(&self, image: &ImageRef) -> bool {
        !self.serves_any_digest(image) || self.policy.denies_digests()
    }

    /// Denies a blob that reads as a manifest, unless it is admitted as one.
    async fn admitted_manifest(&self, image: &ImageRef, digest: &Digest) -> Result<(), Denial> {
        let decision = Decision::new();
        let decided = timeout(MAX_DECISION, self.decide(image, digest, &decision)).await;
        match decided.unwrap_or_else(|_| Err(deny::too_slow(image))) {
            // A rule may deny the same content by a digest of another algorithm.
            Ok(admitted) => self.serves_none_denied(image, &admitted),
            Err(open @ (Denial::Undecided(_) | Denial::Throttled { .. })) => Err(open),
            Err(
                Denial::Absent(_)
                | Denial::Refused(_)
                | Denial::Missing { .. }
                | Denial::Unsatisfiable { .. },
            ) => Err(Denial::Missing {
                image: image.clone(),
                code: ErrorCode::BlobUnknown,
                message: format!(
                    "{digest} reads as a manifest, or is JSON of more than 20 MiB, and is not admitted as a manifest"
                ),
            }),
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

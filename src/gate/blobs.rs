//! Blobs: open by digest in a repository from which anything could be served, except what reads as a manifest, which is
//! served only if it is admitted as one. Clients follow a descriptor by its media type and not by where content is
//! stored, and ask once more for a blob where they were denied a manifest.

use crate::oci::{Digest, ImageRef, Registry, Repository};
use crate::registry_client::ByteRange;

use super::admitted::Admitted;
use super::denial::Denial;
use super::open_blob::OpenBlob;
use super::resource::Resource;
use super::{Gate, deny};

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
    ) -> Result<OpenBlob, Denial> {
        let image = ImageRef::by_digest(registry, repository, digest);
        let of_blob = |denial| deny::of_other(denial, Resource::blob(registry, repository, digest));
        async {
            let _pass = self.pass_for_blob(&image).await?;
            self.shared.open(self.requester, &image, digest)?.blob(range, false).await
        }
        .await
        .map_err(of_blob)
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
    ) -> Result<OpenBlob, Denial> {
        let image = ImageRef::by_digest(registry, repository, digest);
        let of_blob = |denial| deny::of_other(denial, Resource::blob(registry, repository, digest));
        async {
            let _pass = self.pass_for_blob(&image).await?;
            self.shared.open(self.requester, &image, digest)?.blob(range, true).await
        }
        .await
        .map_err(of_blob)
    }

    /// The length in bytes of the blob `digest`, which is judged as for [`Gate::blob`]; `None` if upstream has it and does not
    /// say.
    pub async fn blob_length(
        &self,
        registry: &Registry,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<u64>, Denial> {
        let image = ImageRef::by_digest(registry, repository, digest);
        let of_blob = |denial| deny::of_other(denial, Resource::blob(registry, repository, digest));
        async {
            let _pass = self.pass_for_blob(&image).await?;
            self.shared.open(self.requester, &image, digest)?.length().await
        }
        .await
        .map_err(of_blob)
    }
}

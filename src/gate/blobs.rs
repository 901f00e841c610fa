//! Blobs. The gate serves a blob by digest if any image of the repository could be served. A blob that could be read as
//! a manifest must be admitted as a manifest: clients follow a descriptor by its media type, wherever the content is
//! stored, and may request a denied manifest again as a blob.

use crate::oci::{Digest, ImageRef, RepositoryRef};
use crate::registry_client::ByteRange;

use super::admitted::Admitted;
use super::denial::Denial;
use super::open_blob::OpenBlob;
use super::resource::Resource;
use super::{Gate, deny};

/// The largest config that the gate fetches before a client requests it, in bytes.
const MAX_PREFETCHED_CONFIG: u64 = 16 << 20;

impl Gate {
    /// The blob `digest` of `registry/repository`, or a range of it, as a stream.
    pub async fn blob(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
        range: Option<ByteRange>,
    ) -> Result<OpenBlob, Denial> {
        self.blob_stream(repository, digest, range, false).await
    }

    /// Fetches and stores the config of an image, for clients that must not receive the image if its config is
    /// unavailable. A manifest that cannot be run needs no config.
    pub async fn fetch_config(&self, image: &ImageRef, admitted: &Admitted) -> Result<(), Denial> {
        let manifest = admitted.fetched().manifest();
        let config = manifest.blobs().first().filter(|_| manifest.is_runnable());
        let Some(config) = config.filter(|config| config.size <= MAX_PREFETCHED_CONFIG) else {
            return Ok(());
        };
        let ImageRef { repository, .. } = image;
        let pull_through = self.shared.pull_through.on_behalf_of(self.requester);
        let fetched = pull_through.whole_blob(repository, &config.digest).await;
        let rule = Some(admitted.pattern());
        fetched.map_err(|error| deny::no_config(deny::not_whole(image, rule, error)))
    }

    /// Like [`Gate::blob`], for a client that must not see a second interrupted download.
    pub async fn steady_blob(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
        range: Option<ByteRange>,
    ) -> Result<OpenBlob, Denial> {
        self.blob_stream(repository, digest, range, true).await
    }

    async fn blob_stream(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
        range: Option<ByteRange>,
        steady: bool,
    ) -> Result<OpenBlob, Denial> {
        let image = ImageRef::by_digest(repository, digest);
        let of_blob = |denial| deny::of_other(denial, Resource::blob(repository, digest));
        async {
            let _pass = self.pass_for_blob(&image).await?;
            self.shared.open(self.requester, &image, digest)?.blob(range, steady).await
        }
        .await
        .map_err(of_blob)
    }

    /// The length of the blob `digest` in bytes, after the same checks as in [`Gate::blob`]; `None` if the upstream has
    /// the blob but does not state its length.
    pub async fn blob_length(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
    ) -> Result<Option<u64>, Denial> {
        let image = ImageRef::by_digest(repository, digest);
        let of_blob = |denial| deny::of_other(denial, Resource::blob(repository, digest));
        async {
            let _pass = self.pass_for_blob(&image).await?;
            self.shared.open(self.requester, &image, digest)?.length().await
        }
        .await
        .map_err(of_blob)
    }
}

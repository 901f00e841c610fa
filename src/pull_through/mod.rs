//! Content from upstream, held against its digest: manifests whole, and kept in memory; blobs on the
//! way. What comes out of here is what its name says it is. Whether anyone trusts that is not known
//! here, nor what a client may see.

mod blob;
mod fetched;

use std::collections::BTreeMap;
use std::sync::Arc;

use moka::Equivalent;
use moka::future::Cache;
use thiserror::Error;

pub use blob::{BlobError, BlobStream};
pub use fetched::Fetched;

pub use crate::oci::Mismatch;

use crate::oci::manifest::InvalidManifest;
use crate::oci::{Digest, Reference, Registry, Repository, Tag};
use crate::upstream::{ByteRange, Upstream, UpstreamError};

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

type Key = (Registry, Repository, Digest);

/// A [`Key`] to look with.
#[derive(Hash)]
struct Sought<'a>(&'a Registry, &'a Repository, &'a Digest);

impl Equivalent<Key> for Sought<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self.2 == key.2 && *self.1 == key.1 && *self.0 == key.0
    }
}

/// The configured upstreams, and the manifests that they gave lately.
#[derive(Clone, Debug)]
pub struct PullThrough {
    upstreams: Arc<BTreeMap<Registry, Upstream>>,
    manifests: Cache<Key, Fetched>,
}

impl PullThrough {
    /// How much memory manifests may take where nothing else is said, in bytes.
    pub const CACHE: u64 = 64 << 20;

    /// Asks `upstreams`, each for the registry it is; keeps at most `cache` bytes of manifests.
    pub fn new(upstreams: impl IntoIterator<Item = Upstream>, cache: u64) -> Self {
        let upstreams =
            upstreams.into_iter().map(|upstream| (upstream.registry().clone(), upstream));
        let manifests = Cache::builder()
            .max_capacity(cache)
            .weigher(|_: &Key, fetched: &Fetched| fetched.weight())
            .build();
        Self { upstreams: Arc::new(upstreams.collect()), manifests }
    }

    /// The upstream of `registry`, for what is only relayed: tag lists, referrers.
    pub fn upstream(&self, registry: &Registry) -> Result<&Upstream, FetchError> {
        self.upstreams.get(registry).ok_or_else(|| FetchError::NoUpstream(registry.clone()))
    }

    /// The manifest `digest`: the kept one, or upstream's, asked for once however many want it.
    pub async fn manifest(
        &self,
        registry: &Registry,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Fetched, FetchError> {
        if let Some(kept) = self.manifests.get(&Sought(registry, repository, digest)).await {
            return Ok(kept);
        }
        // On the heap, so that whoever finds a kept one does not carry the room for this around.
        Box::pin(self.fetch_manifest(registry, repository, digest)).await
    }

    async fn fetch_manifest(
        &self,
        registry: &Registry,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Fetched, FetchError> {
        let upstream = self.upstream(registry)?;
        let fetch = async {
            let answer = upstream.manifest(repository, &Reference::Digest(*digest)).await?;
            Fetched::new(digest, answer)
        };
        let key = (registry.clone(), repository.clone(), *digest);
        let entry = self.manifests.entry(key).or_try_insert_with(fetch).await;
        let entry = entry.map_err(Arc::unwrap_or_clone)?;
        if entry.is_fresh() {
            // Else room is made some time later, and until then manifests pile up.
            self.manifests.run_pending_tasks().await;
        }
        Ok(entry.into_value())
    }

    /// Whether `digest` is among the manifests that are kept.
    pub fn keeps_manifest(
        &self,
        registry: &Registry,
        repository: &Repository,
        digest: &Digest,
    ) -> bool {
        self.manifests.contains_key(&Sought(registry, repository, digest))
    }

    /// The digest that `tag` stands for at this moment, by upstream's word.
    pub async fn resolve(
        &self,
        registry: &Registry,
        repository: &Repository,
        tag: &Tag,
    ) -> Result<Digest, FetchError> {
        Ok(self.upstream(registry)?.resolve(repository, tag).await?)
    }

    /// The blob `digest`, or a range of it, as it comes.
    pub async fn blob(
        &self,
        registry: &Registry,
        repository: &Repository,
        digest: &Digest,
        range: Option<ByteRange>,
    ) -> Result<BlobStream, FetchError> {
        let upstream = self.upstream(registry)?.clone();
        Ok(BlobStream::open(upstream, repository, digest, range).await?)
    }

    /// How many bytes the blob `digest` has; `None` if upstream has it and does not say.
    pub async fn blob_length(
        &self,
        registry: &Registry,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<u64>, FetchError> {
        Ok(self.upstream(registry)?.blob_length(repository, digest).await?)
    }
}

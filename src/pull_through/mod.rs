//! Content by digest: from memory, from the store, otherwise from upstream and stored on the way. All content that it
//! returns matches its digest and comes from a repository that holds it. This module knows neither trust nor the
//! permissions of clients.

mod blob_stream;
mod blobs;
mod failures;
mod by_piece;
mod download;
mod error;
mod fetched;
mod in_flight;
mod inspect;
mod joined;
mod kept;
mod manifests;
mod metrics;
mod progress;
mod sharing;
mod bounded;
mod source;
mod straight;
mod unstored;
mod wakers;
mod window;
mod complete;

use std::collections::BTreeMap;
use std::sync::Arc;

use moka::future::Cache;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use blob_stream::{BlobStream, Origin};
pub use error::{BlobError, FetchError, NotWhole};
pub use fetched::Fetched;
pub use inspect::Inspected;
pub use metrics::Metrics;

use crate::oci::{Digest, Registry, RepositoryRef, Tag};
use crate::registry_client::Upstream;
use crate::requester::Requester;
use crate::store::Store;
use failures::Failures;
use in_flight::InFlight;
use inspect::Natures;
use manifests::Key;
use sharing::Sharing;

/// The number of digests whose tag is cached.
const MAX_TAGS: u64 = 10_000;

/// The configured upstreams, and the content that they delivered.
#[derive(Clone)]
pub struct PullThrough {
    upstreams: Arc<BTreeMap<Registry, Upstream>>,
    /// Recently used manifests.
    manifests: Cache<Key, Fetched>,
    /// The tag that recently had each digest.
    tags: moka::sync::Cache<Key, Tag>,
    /// `None`: no content is stored on disk.
    store: Option<Store>,
    in_flight: InFlight,
    sharing: Sharing,
    failures: Failures,
    natures: Natures,
    /// Work that continues without clients.
    tasks: TaskTracker,
    stop: CancellationToken,
    requester: Requester,
}

impl PullThrough {
    /// The default memory for manifests, in bytes.
    pub const CACHE: u64 = 64 << 20;

    /// Uses `upstreams`, each for its registry; keeps at most `cache` bytes of manifests in memory, and nothing on
    /// disk.
    pub fn new(upstreams: impl IntoIterator<Item = Upstream>, cache: u64) -> Self {
        let manifests = Cache::builder()
            .max_capacity(cache)
            .weigher(|_: &Key, fetched: &Fetched| fetched.weight())
            .build();
        let failures = Failures::new(Metrics::default());
        Self {
            upstreams: Arc::new(by_registry(upstreams)),
            manifests,
            tags: moka::sync::Cache::new(MAX_TAGS),
            store: None,
            in_flight: InFlight::default(),
            sharing: Sharing::new(failures.clone()),
            failures,
            natures: Natures::new(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            requester: Requester::Gate,
        }
    }

    /// The same, but stores fetched content in `store`.
    pub fn keeping(self, store: Store, metrics: Metrics) -> Self {
        let failures = Failures::new(metrics);
        Self { store: Some(store), sharing: Sharing::new(failures.clone()), failures, ..self }
    }

    /// The same content and downloads with other upstreams. Downloads in progress keep their upstreams.
    #[must_use]
    pub fn asking(&self, upstreams: impl IntoIterator<Item = Upstream>) -> Self {
        Self { upstreams: Arc::new(by_registry(upstreams)), ..self.clone() }
    }

    /// The same content and downloads on behalf of `requester`: its blobs wait in the queue of that client.
    #[must_use]
    pub fn on_behalf_of(&self, requester: Requester) -> Self {
        Self { requester, ..self.clone() }
    }

    /// The upstream of `registry`, for content that is only relayed: tag lists, referrers.
    pub fn upstream(&self, registry: &Registry) -> Result<&Upstream, FetchError> {
        self.upstreams.get(registry).ok_or_else(|| FetchError::NoUpstream(registry.clone()))
    }

    /// The current digest of `tag` at upstream.
    pub async fn resolve(
        &self,
        repository: &RepositoryRef,
        tag: &Tag,
    ) -> Result<Digest, FetchError> {
        let digest = self.upstream(&repository.registry)?.resolve(&repository.name, tag).await?;
        self.tags.insert((repository.clone(), digest), tag.clone());
        Ok(digest)
    }

    /// Ends the downloads without clients, and waits for pending writes.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn by_registry(upstreams: impl IntoIterator<Item = Upstream>) -> BTreeMap<Registry, Upstream> {
    upstreams.into_iter().map(|upstream| (upstream.registry().clone(), upstream)).collect()
}

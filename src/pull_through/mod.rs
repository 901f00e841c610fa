//! Content by its digest: out of memory, out of the store, else from upstream and kept on the way. What
//! comes out of here is what its name says it is, and of a repository that holds it. Whether anyone
//! trusts that is not known here, nor what a client may see.

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
mod bounded;
mod source;
mod straight;
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

use crate::oci::{Digest, Registry, Repository, Tag};
use crate::registry_client::Upstream;
use crate::requester::Requester;
use crate::store::Store;
use failures::Failures;
use in_flight::InFlight;
use inspect::Natures;
use manifests::Key;

/// The number of digests whose tag is known.
const MAX_TAGS: u64 = 10_000;

/// The configured upstreams, and what they gave.
#[derive(Clone)]
pub struct PullThrough {
    upstreams: Arc<BTreeMap<Registry, Upstream>>,
    /// The manifests that were wanted lately.
    manifests: Cache<Key, Fetched>,
    /// The tag that lately had each digest.
    tags: moka::sync::Cache<Key, Tag>,
    /// None: nothing is kept on disk.
    store: Option<Store>,
    in_flight: InFlight,
    failures: Failures,
    natures: Natures,
    /// What goes on though no client waits for it.
    tasks: TaskTracker,
    stop: CancellationToken,
    requester: Requester,
}

impl PullThrough {
    /// How much memory manifests may take where nothing else is said, in bytes.
    pub const CACHE: u64 = 64 << 20;

    /// Asks `upstreams`, each for the registry it is; keeps at most `cache` bytes of manifests, and
    /// nothing on disk.
    pub fn new(upstreams: impl IntoIterator<Item = Upstream>, cache: u64) -> Self {
        let manifests = Cache::builder()
            .max_capacity(cache)
            .weigher(|_: &Key, fetched: &Fetched| fetched.weight())
            .build();
        Self {
            upstreams: Arc::new(by_registry(upstreams)),
            manifests,
            tags: moka::sync::Cache::new(MAX_TAGS),
            store: None,
            in_flight: InFlight::default(),
            failures: Failures::new(Metrics::default()),
            natures: Natures::new(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            requester: Requester::Gate,
        }
    }

    /// The same, which keeps in `store` what it fetches.
    pub fn keeping(self, store: Store, metrics: Metrics) -> Self {
        Self { store: Some(store), failures: Failures::new(metrics), ..self }
    }

    /// The same content and the same downloads, and other upstreams. What is under way goes on with those
    /// that it began with.
    #[must_use]
    pub fn asking(&self, upstreams: impl IntoIterator<Item = Upstream>) -> Self {
        Self { upstreams: Arc::new(by_registry(upstreams)), ..self.clone() }
    }

    /// The same content and downloads, for `requester`: its blobs wait in the queue of that client.
    #[must_use]
    pub fn on_behalf_of(&self, requester: Requester) -> Self {
        Self { requester, ..self.clone() }
    }

    /// The upstream of `registry`, for what is only relayed: tag lists, referrers.
    pub fn upstream(&self, registry: &Registry) -> Result<&Upstream, FetchError> {
        self.upstreams.get(registry).ok_or_else(|| FetchError::NoUpstream(registry.clone()))
    }

    /// The digest that upstream has under `tag` now.
    pub async fn resolve(
        &self,
        registry: &Registry,
        repository: &Repository,
        tag: &Tag,
    ) -> Result<Digest, FetchError> {
        let digest = self.upstream(registry)?.resolve(repository, tag).await?;
        self.tags.insert((registry.clone(), repository.clone(), digest), tag.clone());
        Ok(digest)
    }

    /// Ends the downloads that nobody waits for any more, and waits until all is written that can be.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn by_registry(upstreams: impl IntoIterator<Item = Upstream>) -> BTreeMap<Registry, Upstream> {
    upstreams.into_iter().map(|upstream| (upstream.registry().clone(), upstream)).collect()
}

//! Which blobs broke off on their way, or were something else than their digest says: counted and told to
//! the operator, and remembered for a while for those who must not be failed twice.

use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::error::BlobError;
use super::metrics::Metrics;
use crate::oci::Digest;

/// The most blobs that are remembered, and for how long: clients ask again within a minute or so.
const MAX_BLOBS: u64 = 10_000;
const LATELY: Duration = Duration::from_secs(10 * 60);

/// The clones are one.
#[derive(Clone)]
pub(super) struct Breaks {
    metrics: Metrics,
    lately: Cache<Digest, ()>,
}

impl Breaks {
    pub(super) fn new(metrics: Metrics) -> Self {
        let lately = Cache::builder().max_capacity(MAX_BLOBS).time_to_live(LATELY);
        Self { metrics, lately: lately.eviction_policy(EvictionPolicy::lru()).build() }
    }

    /// `digest` did not come whole.
    pub(super) fn note(&self, digest: &Digest, error: &BlobError) {
        self.metrics.broke_off(digest, error);
        self.lately.insert(*digest, ());
    }

    pub(super) fn has(&self, digest: &Digest) -> bool {
        self.lately.contains_key(digest)
    }
}

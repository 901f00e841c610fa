//! Which blobs of which registry broke off on their way, or did not match their digest: counted, logged,
//! and remembered for a while, so that a client of the mirror does not fail twice. A registry that breaks
//! off does not delay the same blob of another registry.

use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::error::BlobError;
use super::metrics::Metrics;
use crate::oci::{Digest, Registry};

/// The most blobs that are remembered, and for how long: clients ask again within a minute or so.
const MAX_BLOBS: u64 = 10_000;
const LATELY: Duration = Duration::from_secs(10 * 60);

/// All clones share it.
#[derive(Clone)]
pub(super) struct Failures {
    metrics: Metrics,
    lately: Cache<(Registry, Digest), ()>,
}

impl Failures {
    pub(super) fn new(metrics: Metrics) -> Self {
        let lately = Cache::builder().max_capacity(MAX_BLOBS).time_to_live(LATELY);
        Self { metrics, lately: lately.eviction_policy(EvictionPolicy::lru()).build() }
    }

    /// `digest` did not come whole from `registry`.
    pub(super) fn note(&self, registry: &Registry, digest: &Digest, error: &BlobError) {
        self.metrics.broke_off(digest, error);
        // A slow client says nothing about the registry.
        if !matches!(error, BlobError::TooSlow) {
            self.lately.insert((registry.clone(), *digest), ());
        }
    }

    pub(super) fn has(&self, registry: &Registry, digest: &Digest) -> bool {
        self.lately.contains_key(&(registry.clone(), *digest))
    }
}

//! Counts and logs blobs that failed on their way from upstream or did not match their digest. Remembers them for a
//! while, so that a client of the mirror does not fail twice. Failures of one registry do not delay the same blob from
//! another registry.

use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::error::BlobError;
use super::metrics::Metrics;
use crate::oci::{Digest, Registry};

/// The most blobs to remember, and for how long: clients retry within about a minute.
const MAX_BLOBS: u64 = 10_000;
const LATELY: Duration = Duration::from_secs(10 * 60);

/// Clones share the state.
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

    /// Records that `digest` did not arrive complete from `registry`.
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

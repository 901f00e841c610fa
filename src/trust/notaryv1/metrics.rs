//! How refreshes of trust data went, and how long it still holds.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::clock::Clock;

use super::cache::TrustCache;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    scheme: &'static str,
    result: &'static str,
}

/// The counter of all anchors. The clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    refreshes: Family<Labels, Counter>,
}

impl Metrics {
    /// Makes the counter and registers it in `registry`.
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "countersign_trust_refresh",
            "Refreshes of trust data by result: ok, absent, refused, unreachable",
            metrics.refreshes.clone(),
        );
        metrics
    }

    pub(super) fn refreshed(&self, result: &'static str) {
        let scheme = crate::trust::Scheme::NotaryV1.as_str();
        self.refreshes.get_or_create(&Labels { scheme, result }).inc();
    }
}

/// How long the trust data that is known still holds: `countersign_trust_expiry_seconds`.
pub struct Expiries {
    cache: TrustCache,
    clock: Clock,
}

impl Expiries {
    /// Has every reading of `registry` tell what `cache` knows at that moment.
    pub fn register(registry: &mut Registry, cache: &TrustCache, clock: &Clock) {
        registry.register_collector(Box::new(Self { cache: cache.clone(), clock: clock.clone() }));
    }
}

impl fmt::Debug for Expiries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expiries").finish_non_exhaustive()
    }
}

impl Collector for Expiries {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut encoder = encoder.encode_descriptor(
            "countersign_trust_expiry_seconds",
            "Until the trust data of a repository ends",
            None,
            MetricType::Gauge,
        )?;
        let now = self.clock.now();
        for (anchor, gun, expires) in self.cache.expiries() {
            let labels = [("anchor", &*anchor), ("repository", gun.as_str())];
            let left = expires.unix().saturating_sub(now.unix());
            ConstGauge::new(left).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

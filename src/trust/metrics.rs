//! Metrics of all schemes: the results of refreshes, and the time until trust data expires.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::clock::{Clock, Timestamp};

use super::findings::AnchorVerdicts;
use super::notaryv1::TrustCache;
use super::scheme::Scheme;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    scheme: &'static str,
    result: &'static str,
}

/// The counter of refreshes by all anchors. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    refreshes: Family<Labels, Counter>,
}

impl Metrics {
    /// Creates the counter and registers it in `registry`.
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "countersign_trust_refresh",
            "Refreshes of trust data by result: ok, absent, refused, unreachable",
            metrics.refreshes.clone(),
        );
        metrics
    }

    pub(super) fn refreshed(&self, scheme: Scheme, result: &'static str) {
        let scheme = scheme.as_str();
        self.refreshes.get_or_create(&Labels { scheme, result }).inc();
    }
}

/// Collects `countersign_trust_expiry_seconds`: the time until the known trust data expires.
pub struct Expiries {
    names: TrustCache,
    content: AnchorVerdicts,
    clock: Clock,
}

impl Expiries {
    /// Registers the collector, and that of the ends of frozen anchors. They report the state at the time of each scrape.
    pub fn register(
        registry: &mut Registry,
        names: &TrustCache,
        content: &AnchorVerdicts,
        clock: &Clock,
    ) {
        let (names, content, clock) = (names.clone(), content.clone(), clock.clone());
        let frozen = FrozenEnds { names: names.clone(), clock: clock.clone() };
        registry.register_collector(Box::new(frozen));
        registry.register_collector(Box::new(Self { names, content, clock }));
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
            "Seconds until the trust data of a repository expires",
            None,
            MetricType::Gauge,
        )?;
        let now = self.clock.now();
        let names = self.names.expiries();
        let names = names.map(|(anchor, gun, expires)| ((anchor, gun.to_string()), expires));
        // The earliest expiry of each repository.
        let mut ends: BTreeMap<(Arc<str>, String), Timestamp> = BTreeMap::new();
        for (of, expires) in names.chain(self.content.expiries()) {
            ends.entry(of).and_modify(|end| *end = expires.min(*end)).or_insert(expires);
        }
        for ((anchor, repository), expires) in ends {
            let labels = [("anchor", &*anchor), ("repository", &*repository)];
            let left = expires.unix().saturating_sub(now.unix());
            ConstGauge::new(left).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// Collects `countersign_trust_frozen_seconds`: the time until each frozen anchor ends.
struct FrozenEnds {
    names: TrustCache,
    clock: Clock,
}

impl fmt::Debug for FrozenEnds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrozenEnds").finish_non_exhaustive()
    }
}

impl Collector for FrozenEnds {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut encoder = encoder.encode_descriptor(
            "countersign_trust_frozen_seconds",
            "Seconds until a frozen anchor ends; present only for frozen anchors",
            None,
            MetricType::Gauge,
        )?;
        let now = self.clock.now();
        for (anchor, until) in self.names.frozen_anchors() {
            let left = until.unix().saturating_sub(now.unix());
            let labels = [("anchor", &*anchor)];
            ConstGauge::new(left).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

//! How refreshes of trust data went: `countersign_trust_refresh_total`.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

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

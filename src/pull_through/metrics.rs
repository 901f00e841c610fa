//! What is counted of blobs on their way.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::error::BlobError;
use crate::oci::Digest;

/// The counters of downloads. The clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    broken: Family<BrokenLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BrokenLabels {
    reason: BreakReason,
}

/// Why a blob did not come whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum BreakReason {
    /// It was other content than its digest says.
    Mismatch,
    /// It ended early, or went on after its end.
    Length,
    /// Upstream broke off, and did not give the rest.
    Interrupted,
    /// What had come could not be read again.
    Unreadable,
    /// There was no room to look at it.
    NoRoom,
    /// Its client took too little of it while others waited.
    TooSlow,
    /// The gate was stopped.
    Stopping,
}

impl BreakReason {
    const ALL: [Self; 7] = [
        Self::Mismatch,
        Self::Length,
        Self::Interrupted,
        Self::Unreadable,
        Self::NoRoom,
        Self::TooSlow,
        Self::Stopping,
    ];
}

impl EncodeLabelValue for BreakReason {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        let name = match self {
            Self::Mismatch => "mismatch",
            Self::Length => "length",
            Self::Interrupted => "interrupted",
            Self::Unreadable => "unreadable",
            Self::NoRoom => "no_room",
            Self::TooSlow => "too_slow",
            Self::Stopping => "stopping",
        };
        EncodeLabelValue::encode(&name, encoder)
    }
}

impl Metrics {
    /// Makes the counters and registers them in `registry`.
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        // What is counted from nothing on shows its first time as a rise.
        for reason in BreakReason::ALL {
            drop(metrics.broken.get_or_create(&BrokenLabels { reason }));
        }
        registry.register(
            "countersign_blobs_broken",
            "Blobs from upstream that did not come whole and right, by why",
            metrics.broken.clone(),
        );
        metrics
    }

    /// Counts and logs that `digest` did not come whole.
    pub(super) fn broke_off(&self, digest: &Digest, error: &BlobError) {
        let reason = match error {
            BlobError::Mismatch(_) => BreakReason::Mismatch,
            BlobError::Length | BlobError::OtherPart => BreakReason::Length,
            BlobError::Interrupted(_) | BlobError::Resume(_) => BreakReason::Interrupted,
            BlobError::NoRoom => BreakReason::NoRoom,
            BlobError::Unreadable(_) | BlobError::Removed => BreakReason::Unreadable,
            BlobError::TooSlow => BreakReason::TooSlow,
            BlobError::Stopping => BreakReason::Stopping,
        };
        self.broken.get_or_create(&BrokenLabels { reason }).inc();
        let error = error as &dyn std::error::Error;
        tracing::warn!(%digest, error, "a blob did not come whole, and is not kept");
    }
}

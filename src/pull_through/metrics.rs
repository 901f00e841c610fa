//! The metrics of blobs from upstream.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::error::BlobError;
use crate::oci::Digest;

/// The counters of downloads. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    broken: Family<BrokenLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BrokenLabels {
    reason: BreakReason,
}

/// Why a blob was incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum BreakReason {
    /// The content does not match its digest.
    Mismatch,
    /// It ended early or was too long.
    Length,
    /// Upstream failed in the middle and did not send the rest.
    Interrupted,
    /// The data that had arrived could not be read back.
    Unreadable,
    /// No memory was free to inspect it.
    NoRoom,
    /// Its client read too slowly while others waited.
    TooSlow,
    /// The gate stopped.
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
    /// Creates the counters and registers them in `registry`.
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        // A counter that starts at zero shows its first event as an increase.
        for reason in BreakReason::ALL {
            drop(metrics.broken.get_or_create(&BrokenLabels { reason }));
        }
        registry.register(
            "countersign_blobs_broken",
            "Blobs from upstream that were incomplete or wrong, by reason",
            metrics.broken.clone(),
        );
        metrics
    }

    /// Counts and logs that `digest` is incomplete or wrong.
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
        tracing::warn!(%digest, error, "a blob from upstream is incomplete or wrong and is not stored");
    }
}

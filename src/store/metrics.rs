//! The metrics of the store.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// An operation that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    /// Opening or reading content.
    Read,
    /// Writing content that is being ingested.
    Write,
    /// Publishing complete content.
    Publish,
    /// Removing content.
    Remove,
    /// Reading or writing the index.
    Index,
    /// Writing trust memory.
    TrustMemory,
}

impl Operation {
    const ALL: [Self; 6] =
        [Self::Read, Self::Write, Self::Publish, Self::Remove, Self::Index, Self::TrustMemory];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Publish => "publish",
            Self::Remove => "remove",
            // The label of the first release: dashboards use it.
            Self::Index => "facts",
            Self::TrustMemory => "trust_memory",
        }
    }
}

impl EncodeLabelValue for Operation {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        EncodeLabelValue::encode(&self.as_str(), encoder)
    }
}

/// Why stored content is unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fault {
    /// The file has another length.
    Length,
    /// The bytes have another digest.
    Digest,
    /// The disk cannot read the bytes.
    Unreadable,
    /// The file is missing.
    Missing,
}

impl Fault {
    const ALL: [Self; 4] = [Self::Length, Self::Digest, Self::Unreadable, Self::Missing];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Digest => "digest",
            Self::Unreadable => "unreadable",
            Self::Missing => "missing",
        }
    }
}

impl EncodeLabelValue for Fault {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        EncodeLabelValue::encode(&self.as_str(), encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failed {
    operation: Operation,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Lost {
    fault: Fault,
}

/// The metrics of one store. All clones share the counters.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub(super) bytes: Gauge,
    pub(super) usable: Gauge,
    pub(super) hits: Counter,
    pub(super) misses: Counter,
    pub(super) evictions: Counter,
    lost: Family<Lost, Counter>,
    failures: Family<Failed, Counter>,
}

impl Metrics {
    /// Creates the metrics and registers them in `registry`.
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        // Start each counter at 0, so that the first event shows as an increase.
        for operation in Operation::ALL {
            drop(metrics.failures.get_or_create(&Failed { operation }));
        }
        for fault in Fault::ALL {
            drop(metrics.lost.get_or_create(&Lost { fault }));
        }
        registry.register(
            "countersign_store_bytes",
            "Bytes of stored content",
            metrics.bytes.clone(),
        );
        registry.register(
            "countersign_store_usable",
            "1 if the store works, 0 while its disk fails",
            metrics.usable.clone(),
        );
        registry.register(
            "countersign_store_hits",
            "Lookups that found content",
            metrics.hits.clone(),
        );
        registry.register(
            "countersign_store_misses",
            "Lookups that found no content",
            metrics.misses.clone(),
        );
        registry.register(
            "countersign_store_evictions",
            "Contents evicted to free space",
            metrics.evictions.clone(),
        );
        registry.register(
            "countersign_store_lost",
            "Stored contents found corrupt or missing, by fault: length, digest, unreadable, missing",
            metrics.lost.clone(),
        );
        registry.register(
            "countersign_store_failures",
            "Failed disk operations, by operation: read, write, publish, remove, facts",
            metrics.failures.clone(),
        );
        metrics
    }

    pub(super) fn failed(&self, operation: Operation) {
        self.failures.get_or_create(&Failed { operation }).inc();
    }

    pub(super) fn lost(&self, fault: Fault) {
        self.lost.get_or_create(&Lost { fault }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_and_losses_are_counted_by_kind() {
        let mut registry = Registry::default();
        let metrics = Metrics::registered(&mut registry);
        metrics.failed(Operation::Write);
        metrics.lost(Fault::Length);
        metrics.hits.inc();
        metrics.bytes.set(7);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "countersign_store_bytes 7",
            "countersign_store_hits_total 1",
            "countersign_store_misses_total 0",
            r#"countersign_store_failures_total{operation="write"} 1"#,
            r#"countersign_store_lost_total{fault="length"} 1"#,
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}

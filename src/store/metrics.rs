//! What the store keeps, finds and loses.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    /// Opening or reading content.
    Read,
    /// Writing what arrives.
    Write,
    /// Giving what is complete its name.
    Publish,
    /// Removing content.
    Remove,
    /// Reading or writing what is known of content.
    ContentIndex,
}

impl Operation {
    const ALL: [Self; 5] =
        [Self::Read, Self::Write, Self::Publish, Self::Remove, Self::ContentIndex];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Publish => "publish",
            Self::Remove => "remove",
            Self::ContentIndex => "facts",
        }
    }
}

impl EncodeLabelValue for Operation {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        EncodeLabelValue::encode(&self.as_str(), encoder)
    }
}

/// Why content is not what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fault {
    /// The file has another length.
    Length,
    /// The bytes have another digest.
    Digest,
    /// The disk does not give them.
    Unreadable,
    /// There is no file.
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

/// The counters of one store. The clones count together.
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
    /// Makes the counters and registers them in `registry`.
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        // What is counted from nothing on shows its first time as a rise.
        for operation in Operation::ALL {
            drop(metrics.failures.get_or_create(&Failed { operation }));
        }
        for fault in Fault::ALL {
            drop(metrics.lost.get_or_create(&Lost { fault }));
        }
        registry.register(
            "countersign_store_bytes",
            "Bytes of content that are kept",
            metrics.bytes.clone(),
        );
        registry.register(
            "countersign_store_usable",
            "1, or 0 while the disk does not do what it is told",
            metrics.usable.clone(),
        );
        registry.register(
            "countersign_store_hits",
            "How often content was found",
            metrics.hits.clone(),
        );
        registry.register(
            "countersign_store_misses",
            "How often content was not found",
            metrics.misses.clone(),
        );
        registry.register(
            "countersign_store_evictions",
            "Contents removed to make room",
            metrics.evictions.clone(),
        );
        registry.register(
            "countersign_store_lost",
            "Contents that were no longer what they were, by fault: length, digest, unreadable, missing",
            metrics.lost.clone(),
        );
        registry.register(
            "countersign_store_failures",
            "What the disk did not do, by operation: read, write, publish, remove, facts",
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
    fn failures_and_losses_are_counted_by_their_kind() {
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

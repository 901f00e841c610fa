//! Histograms of response times. Counting takes no lock, because every request counts. Knows nothing of what is
//! measured.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Upper bounds in seconds: from a response out of memory to a cold pull of a large image.
const BOUNDS: [f64; 15] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5,
    10.0, 30.0,
];

/// A histogram of durations. Clones share their counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Durations(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// One count for each bound, of durations above the previous bound; the last is for durations above all bounds.
    within: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

impl Durations {
    pub(super) fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let at = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.0.within[at].fetch_add(1, Relaxed);
        self.0.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }
}

impl EncodeMetric for Durations {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        let within = self.0.within.iter().map(|count| count.load(Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(within).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let seconds = Duration::from_nanos(self.0.nanos.load(Relaxed)).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(seconds, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for Durations {
    const TYPE: MetricType = MetricType::Histogram;
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn durations_are_exported_as_a_histogram_of_seconds() {
        let durations = Durations::default();
        let mut registry = Registry::default();
        registry.register("took", "Time", durations.clone());
        for took in [0, 100, 101, 1_500_000, 31_000_000] {
            durations.observe(Duration::from_micros(took));
        }
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "took_sum 32.500201",
            "took_count 5",
            r#"took_bucket{le="0.0001"} 2"#,
            r#"took_bucket{le="0.00025"} 3"#,
            r#"took_bucket{le="1.0"} 3"#,
            r#"took_bucket{le="2.5"} 4"#,
            r#"took_bucket{le="30.0"} 4"#,
            r#"took_bucket{le="+Inf"} 5"#,
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} is not in:\n{text}");
        }
    }
}

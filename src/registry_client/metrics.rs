//! Counts requests to upstreams by endpoint and status: `countersign_upstream_requests_total`.

use std::fmt;

use http::StatusCode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// The kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    Manifest,
    Blob,
    Tags,
    Referrers,
    /// The token server.
    Token,
    /// A host that the upstream redirected us to.
    Redirect,
    /// A Notary server.
    Notary,
}

impl EncodeLabelValue for Endpoint {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        let name = match self {
            Self::Manifest => "manifest",
            Self::Blob => "blob",
            Self::Tags => "tags",
            Self::Referrers => "referrers",
            Self::Token => "token",
            Self::Redirect => "redirect",
            Self::Notary => "notary",
        };
        EncodeLabelValue::encode(&name, encoder)
    }
}

/// `status` is the status of the answer, or 0 without an answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    endpoint: Endpoint,
    status: u16,
}

/// The counter for all upstreams. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    requests: Family<Labels, Counter>,
}

impl Metrics {
    /// Creates the counter and registers it in `registry`.
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "countersign_upstream_requests",
            "Requests to registries, token and Notary servers by endpoint and status; 0 is no answer",
            metrics.requests.clone(),
        );
        metrics
    }

    /// Counts one request and its answer, regardless of retries.
    pub(super) fn count(&self, endpoint: Endpoint, status: Option<StatusCode>) {
        let status = status.map_or(0, |status| status.as_u16());
        self.requests.get_or_create(&Labels { endpoint, status }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_endpoint_and_status() {
        let mut registry = Registry::default();
        let metrics = Metrics::registered(&mut registry);
        metrics.count(Endpoint::Blob, Some(StatusCode::OK));
        metrics.count(Endpoint::Blob, Some(StatusCode::OK));
        metrics.count(Endpoint::Token, None);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            r#"countersign_upstream_requests_total{endpoint="blob",status="200"} 2"#,
            r#"countersign_upstream_requests_total{endpoint="token",status="0"} 1"#,
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}

//! The metrics of the public listener, with the names of the contract.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::StatusCode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::gate::{Remark, Verdict};
use crate::pull_through::Origin;
use crate::trust::{Reason, Scheme};

use super::durations::Durations;

/// The kind of path that was requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum RequestKind {
    Base,
    Blob,
    Malformed,
    Manifest,
    NotFound,
    Referrers,
    Tags,
    Token,
    TrustMetadata,
    Unsupported,
}

impl RequestKind {
    /// All kinds, in the order of their declaration.
    const ALL: [Self; 10] = [
        Self::Base,
        Self::Blob,
        Self::Malformed,
        Self::Manifest,
        Self::NotFound,
        Self::Referrers,
        Self::Tags,
        Self::Token,
        Self::TrustMetadata,
        Self::Unsupported,
    ];
}

impl EncodeLabelValue for RequestKind {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        let name = match self {
            Self::Base => "base",
            Self::Blob => "blob",
            Self::Malformed => "malformed",
            Self::Manifest => "manifest",
            Self::NotFound => "not_found",
            Self::Referrers => "referrers",
            Self::Tags => "tags",
            Self::Token => "token",
            Self::TrustMetadata => "trust_metadata",
            Self::Unsupported => "unsupported",
        };
        EncodeLabelValue::encode(&name, encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: RequestKind,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: RequestKind,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabels {
    verdict: &'static str,
    reason: &'static str,
    scheme: &'static str,
}

impl VerdictLabels {
    fn new(verdict: Verdict, reason: Option<&'static str>, scheme: Option<Scheme>) -> Self {
        let scheme = scheme.map_or("", Scheme::as_str);
        Self { verdict: verdict.as_str(), reason: reason.unwrap_or_default(), scheme }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ActionLabels {
    action: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabels {
    source: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnchorLabels {
    anchor: AnchorName,
}

/// Counters by anchor. A warm request finds its counter without a lock.
#[derive(Clone, Debug, Default)]
struct ByAnchor {
    family: Family<AnchorLabels, Counter>,
    /// Those that have counted something. There are few: one for each combination of anchors in the rules.
    used: Arc<ArcSwap<Vec<OfAnchor>>>,
}

#[derive(Clone, Debug)]
struct OfAnchor {
    anchor: Arc<str>,
    counter: Counter,
}

impl ByAnchor {
    fn count(&self, anchor: &Arc<str>) {
        if let Some(used) = self.used.load().iter().find(|used| used.anchor == *anchor) {
            used.counter.inc();
            return;
        }
        let labels = AnchorLabels { anchor: AnchorName(anchor.clone()) };
        let counter = self.family.get_or_create_owned(&labels);
        counter.inc();
        self.used.rcu(|used| {
            let new = OfAnchor { anchor: anchor.clone(), counter: counter.clone() };
            used.iter().cloned().chain([new]).collect::<Vec<_>>()
        });
    }
}

/// The name of an anchor; of several, separated by commas.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct AnchorName(Arc<str>);

impl EncodeLabelValue for AnchorName {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        EncodeLabelValue::encode(&&*self.0, encoder)
    }
}

/// The counters of the public listener. Clones share their counts.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    /// The counters of `requests` for status 200, by kind; avoids a lookup per request.
    answered: [Counter; RequestKind::ALL.len()],
    durations: [Durations; RequestKind::ALL.len()],
    verdicts: Family<VerdictLabels, Counter>,
    /// The counters of `verdicts` for admissions, by scheme; avoids a lookup per request.
    admitted: [Counter; Scheme::ALL.len()],
    held: Counter,
    exempted: Counter,
    by_notaryv1_alone: ByAnchor,
    would_refuse: Family<ReasonLabels, Counter>,
    rollbacks: Family<ActionLabels, Counter>,
    blob_bytes: Family<SourceLabels, Counter>,
}

impl Metrics {
    /// Creates the counters and registers them in `registry`.
    pub fn registered(registry: &mut Registry) -> Self {
        let requests = Family::<RequestLabels, Counter>::default();
        let durations = Family::<RouteLabels, Durations>::default();
        let verdicts = Family::<VerdictLabels, Counter>::default();
        let metrics = Self {
            answered: RequestKind::ALL
                .map(|route| requests.get_or_create_owned(&RequestLabels { route, status: 200 })),
            durations: RequestKind::ALL
                .map(|route| durations.get_or_create_owned(&RouteLabels { route })),
            requests,
            admitted: Scheme::ALL.map(|scheme| {
                verdicts.get_or_create_owned(&VerdictLabels::new(
                    Verdict::Admitted,
                    None,
                    Some(scheme),
                ))
            }),
            verdicts,
            held: Counter::default(),
            exempted: Counter::default(),
            by_notaryv1_alone: ByAnchor::default(),
            would_refuse: Family::default(),
            rollbacks: Family::default(),
            blob_bytes: Family::default(),
        };
        // A counter that starts at zero shows its first increment as a rise.
        for action in ["warn", "refuse"] {
            drop(metrics.rollbacks.get_or_create(&ActionLabels { action }));
        }
        for reason in Reason::ALL {
            let verdict = if reason.is_absence() { Verdict::Absent } else { Verdict::Refused };
            drop(metrics.would_refuse.get_or_create(&ReasonLabels { reason: reason.as_str() }));
            for scheme in Scheme::ALL.map(Some).into_iter().chain([None]) {
                let labels = VerdictLabels::new(verdict, Some(reason.as_str()), scheme);
                drop(metrics.verdicts.get_or_create(&labels));
            }
        }
        for origin in [Origin::Store, Origin::Upstream] {
            metrics.blob_bytes(origin);
        }
        registry.register(
            "countersign_requests",
            "Client requests by route and status",
            metrics.requests.clone(),
        );
        registry.register(
            "countersign_request_duration_seconds",
            "Time from the request headers to the response headers",
            durations,
        );
        registry.register(
            "countersign_verdicts",
            "Decisions that reached a client; the reason is empty for admissions, and the \
             scheme is empty if none was consulted",
            metrics.verdicts.clone(),
        );
        registry.register(
            "countersign_held",
            "Responses with the previous image of a tag, because the tag moved to an unsigned image",
            metrics.held.clone(),
        );
        registry.register(
            "countersign_exempted",
            "Responses with an unsigned image that is exempted",
            metrics.exempted.clone(),
        );
        registry.register(
            "countersign_notaryv1_alone",
            "Admissions that only Notary v1 anchors endorse, by anchor",
            metrics.by_notaryv1_alone.family.clone(),
        );
        registry.register(
            "countersign_would_refuse",
            "Responses under an audit rule that enforcement would deny; the \
             reason is empty if the registry itself refused",
            metrics.would_refuse.clone(),
        );
        registry.register(
            "countersign_rollbacks",
            "Requests for tags that moved to an image signed earlier: warn (served) or refuse",
            metrics.rollbacks.clone(),
        );
        registry.register(
            "countersign_blob_bytes",
            "Bytes of blobs sent to clients, by source",
            metrics.blob_bytes.clone(),
        );
        metrics
    }

    pub(super) fn count_request(&self, route: RequestKind, status: StatusCode, took: Duration) {
        match status.as_u16() {
            200 => self.answered[route as usize].inc(),
            status => self.requests.get_or_create(&RequestLabels { route, status }).inc(),
        };
        self.durations[route as usize].observe(took);
    }

    pub(super) fn count_admitted(&self, scheme: Option<Scheme>) {
        match scheme {
            Some(scheme) => self.admitted[scheme as usize].inc(),
            None => self
                .verdicts
                .get_or_create(&VerdictLabels::new(Verdict::Admitted, None, None))
                .inc(),
        };
    }

    /// Counts an admission that only the Notary v1 anchor (or anchors) of this name endorse.
    pub(super) fn count_by_notaryv1_alone(&self, anchor: &Arc<str>) {
        self.by_notaryv1_alone.count(anchor);
    }

    pub(super) fn count_denied(
        &self,
        verdict: Verdict,
        reason: Option<&'static str>,
        scheme: Option<Scheme>,
    ) {
        self.verdicts.get_or_create(&VerdictLabels::new(verdict, reason, scheme)).inc();
    }

    /// Counts a remark about an admission.
    pub(super) fn count_remark(&self, remark: &Remark) {
        match remark {
            Remark::Held { .. } => self.held.inc(),
            Remark::RolledBack { .. } => self.count_rollback("warn"),
            Remark::Exempted { .. } => self.exempted.inc(),
        };
    }

    /// Counts what an audit rule served and enforcement would have denied.
    pub(super) fn count_would_refuse(&self, reason: Option<&'static str>) {
        let reason = reason.unwrap_or_default();
        self.would_refuse.get_or_create(&ReasonLabels { reason }).inc();
    }

    pub(super) fn count_rollback_refused(&self) {
        self.count_rollback("refuse");
    }

    fn count_rollback(&self, action: &'static str) -> u64 {
        self.rollbacks.get_or_create(&ActionLabels { action }).inc()
    }

    /// The counter of blob bytes from that source.
    pub(super) fn blob_bytes(&self, origin: Origin) -> Counter {
        let source = match origin {
            Origin::Store => "store",
            Origin::Upstream => "upstream",
        };
        self.blob_bytes.get_or_create_owned(&SourceLabels { source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_counted_from_zero() {
        let mut registry = Registry::default();
        let _metrics = Metrics::registered(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            r#"countersign_would_refuse_total{reason="expired"} 0"#,
            r#"countersign_verdicts_total{verdict="absent",reason="tag_not_signed",scheme="notaryv1"} 0"#,
            r#"countersign_verdicts_total{verdict="refused",reason="root_not_pinned",scheme="notaryv1"} 0"#,
            r#"countersign_verdicts_total{verdict="refused",reason="no_rule",scheme=""} 0"#,
        ] {
            assert!(text.contains(line), "{line} is not in:\n{text}");
        }
    }

    #[test]
    fn the_names_are_those_of_the_contract() {
        let mut registry = Registry::default();
        let metrics = Metrics::registered(&mut registry);
        metrics.count_request(RequestKind::Manifest, StatusCode::OK, Duration::from_micros(300));
        metrics.count_denied(Verdict::Absent, Some("tag_not_signed"), Some(Scheme::NotaryV1));
        metrics.count_admitted(Some(Scheme::NotaryV1));
        metrics.count_admitted(None);
        for anchor in ["hub", "hub", "hub,team"] {
            metrics.count_by_notaryv1_alone(&Arc::from(anchor));
        }
        metrics.count_remark(&Remark::Held { moved_to: None, because: String::new() });
        metrics.count_rollback_refused();
        metrics.count_would_refuse(Some("expired"));
        metrics.blob_bytes(Origin::Upstream).inc_by(7);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            r#"countersign_requests_total{route="manifest",status="200"} 1"#,
            r#"countersign_request_duration_seconds_bucket{le="0.00025",route="manifest"} 0"#,
            r#"countersign_request_duration_seconds_bucket{le="0.0005",route="manifest"} 1"#,
            r#"countersign_verdicts_total{verdict="absent",reason="tag_not_signed",scheme="notaryv1"} 1"#,
            r#"countersign_verdicts_total{verdict="admitted",reason="",scheme="notaryv1"} 1"#,
            r#"countersign_verdicts_total{verdict="admitted",reason="",scheme=""} 1"#,
            r#"countersign_notaryv1_alone_total{anchor="hub"} 2"#,
            r#"countersign_notaryv1_alone_total{anchor="hub,team"} 1"#,
            "countersign_held_total 1",
            r#"countersign_would_refuse_total{reason="expired"} 1"#,
            r#"countersign_rollbacks_total{action="refuse"} 1"#,
            r#"countersign_blob_bytes_total{source="upstream"} 7"#,
        ] {
            assert!(text.contains(line), "{line} is not in:\n{text}");
        }
    }
}

//! The record of every decision that reached a client: one event and one count for each. Knows what
//! a decision is, and nothing of how it was answered.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracing::info;

use crate::gate::{Admitted, Denial, Remark};
use crate::oci::{ImageRef, Reference};
use crate::trust::Scheme;

use super::metrics::Metrics;

/// The name of one request, in its denial and in the audit event; of no meaning, and not repeated
/// within one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestId(u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Names requests.
#[derive(Debug)]
pub(super) struct RequestIds {
    start: u64,
    count: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        // Seeded by the system. Nothing rests on it, and TLS's own random numbers, which take tens of
        // milliseconds to begin, need not begin before the listener.
        let start = RandomState::new().build_hasher().finish();
        Self { start, count: AtomicU64::new(0) }
    }

    /// A permutation (splitmix64) of a count that starts anywhere, so that no two are the same and
    /// none looks like the one before it.
    pub(super) fn next(&self) -> RequestId {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let mut id = self.start.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        id = (id ^ (id >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        id = (id ^ (id >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        RequestId(id ^ (id >> 31))
    }
}

/// Who asked, and when: what is recorded tells how long the decision took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) client: SocketAddr,
    pub(super) id: RequestId,
    pub(super) started: Instant,
}

/// Records that `image` was admitted.
pub(super) fn admitted(metrics: &Metrics, asked: Asked, image: &ImageRef, admitted: &Admitted) {
    let scheme = admitted.scheme();
    metrics.count_admitted(scheme);
    if let Some(remark) = admitted.remark() {
        metrics.count_remark(remark);
    }
    // What a rule that only audits would have said instead, and who would have.
    let would = admitted.would();
    let grounds = would.map(|denial| Grounds::of(denial)).unwrap_or_default();
    if let Some(denial) = would {
        metrics.count_would_refuse(denial.reason());
    }
    info!(
        target: "countersign::audit",
        {
        image.registry = image.registry.as_str(),
        image.repository = image.repository.as_str(),
        image.reference = %image.reference,
        manifest.digest = %admitted.digest(),
        verdict = "admitted",
        reason = would.and_then(|denial| denial.reason()),
        rule = admitted.rule(),
        anchor = anchors(admitted, &grounds).map(display),
        scheme = scheme.or(grounds.scheme).map(|scheme| scheme.as_str()),
        would = would.map(|denial| denial.would()),
        because = would.map(display),
        remark = admitted.remark().map(Remark::as_str),
        client.address = %asked.client,
        request_id = %asked.id,
        duration_ms = milliseconds(asked.started.elapsed()),
        },
        "verdict"
    );
}

/// Records a denial, if it is a decision: what upstream does not have is none.
pub(super) fn denied(metrics: &Metrics, asked: Asked, denial: &Denial) {
    let Some(verdict) = denial.verdict() else { return };
    let grounds = Grounds::of(denial);
    let image = denial.image();
    let digest = match &image.reference {
        Reference::Digest(digest) => Some(digest),
        Reference::Tag(_) => None,
    };
    metrics.count_denied(verdict, denial.reason(), grounds.scheme);
    if denial.is_tag_rolled_back() {
        metrics.count_rollback_refused();
    }
    info!(
        target: "countersign::audit",
        {
        image.registry = image.registry.as_str(),
        image.repository = image.repository.as_str(),
        image.reference = %image.reference,
        manifest.digest = digest.map(display),
        verdict,
        reason = denial.reason(),
        rule = grounds.rule,
        anchor = grounds.anchor,
        scheme = grounds.scheme.map(|scheme| scheme.as_str()),
        client.address = %asked.client,
        request_id = %asked.id,
        duration_ms = milliseconds(asked.started.elapsed()),
        },
        "verdict"
    );
}

/// What a denial rests on, as far as there is any.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Grounds<'a> {
    pub(super) rule: Option<&'a str>,
    pub(super) anchor: Option<&'a str>,
    pub(super) scheme: Option<Scheme>,
}

impl<'a> Grounds<'a> {
    pub(super) fn of(denial: &'a Denial) -> Self {
        let (rule, anchor, scheme) = match denial {
            Denial::Absent(denied) | Denial::Refused(denied) => {
                (&denied.rule, &denied.anchor, denied.scheme)
            }
            Denial::Undecided(undecided) => (&undecided.rule, &undecided.anchor, undecided.scheme),
            Denial::Missing { .. } | Denial::Throttled { .. } | Denial::Unsatisfiable { .. } => {
                return Self::default();
            }
        };
        Self { rule: rule.as_deref(), anchor: anchor.as_deref(), scheme }
    }
}

/// Who vouches, or else who would have to.
fn anchors<'a>(admitted: &'a Admitted, would: &Grounds<'a>) -> Option<Anchors<'a>> {
    let vouch = admitted.scheme().map(|_| admitted.anchors());
    vouch.or_else(|| Some(vec![would.anchor?])).map(Anchors)
}

/// The names of several anchors, between commas.
struct Anchors<'a>(Vec<&'a str>);

impl fmt::Display for Anchors<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, anchor) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "," })?;
            f.write_str(anchor)?;
        }
        Ok(())
    }
}

/// In milliseconds, to the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    let micros = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
    f64::from(micros) / 1000.0
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_requests_have_the_same_name() {
        let ids = RequestIds::new();
        let names: HashSet<_> = (0..10_000).map(|_| ids.next().to_string()).collect();
        assert_eq!(names.len(), 10_000);
        assert!(names.iter().all(|name| name.len() == 16));
    }

    #[test]
    fn durations_are_in_milliseconds() {
        assert!((milliseconds(Duration::from_micros(1234)) - 1.234).abs() < 1e-9);
        assert_eq!(Anchors(vec!["a", "b"]).to_string(), "a,b");
        assert_eq!(Anchors(vec![]).to_string(), "");
    }
}

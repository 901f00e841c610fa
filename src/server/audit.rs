//! Counts and records each decision that reached a client, once.

use crate::audit::{Audit, Record, RequestInfo};
use crate::gate::{Admitted, Denial};
use crate::oci::ImageRef;

use super::metrics::Metrics;

/// Records that `image` was admitted.
pub(super) fn admitted(
    audit: &Audit,
    metrics: &Metrics,
    request: RequestInfo,
    image: &ImageRef,
    admitted: &Admitted,
) {
    metrics.count_admitted(admitted.scheme());
    if let Some(remark) = admitted.remark() {
        metrics.count_remark(remark);
    }
    if let Some(denial) = admitted.dry_run_denial() {
        metrics.count_would_refuse(denial.reason());
    }
    let record = Record::admitted(request, audit.now(), image, admitted);
    if admitted.is_by_notaryv1_alone()
        && let Some(anchor) = record.anchor()
    {
        metrics.count_by_notaryv1_alone(anchor);
    }
    audit.record(record);
}

/// Records a denial, if it is a decision; "not found" upstream is not one.
pub(super) fn denied(audit: &Audit, metrics: &Metrics, request: RequestInfo, denial: &Denial) {
    let Some(record) = Record::denied(request, audit.now(), denial) else { return };
    metrics.count_denied(record.verdict(), denial.reason(), record.scheme());
    if denial.is_tag_rolled_back() {
        metrics.count_rollback_refused();
    }
    audit.record(record);
}

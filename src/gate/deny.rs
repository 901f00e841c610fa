//! The constructors of denials: one for each cause.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::oci::{Digest, ErrorCode, ImageRef};
use crate::policy::Unmet;
use crate::pull_through::{BlobError, FetchError, NotWhole};
use crate::registry_client::{Busy, UpstreamError};
use crate::trust::tags::TagsError;
use crate::trust::{Reason, Refusal, Scheme, Trust, Unendorsed};

use super::MAX_DECISION;
use super::denial::{Denial, Denied, Doubt, Shortage, Undecided};
use super::resource::Resource;

/// The denial if no rule matches. If the repository begins with the name of a registry, the client means an upstream that
/// the gate does not have.
pub(super) fn no_rule(resource: impl Into<Resource>) -> Denial {
    let resource = resource.into();
    if let Some((host, _)) = resource.repository.name.as_str().split_once('/')
        && (host.contains('.') || host == "localhost")
    {
        let message =
            format!("no upstream is configured for {host}, and no rule matches {resource}");
        return Denial::Missing { resource, code: ErrorCode::NameUnknown, message };
    }
    let because = "no rule matches this image";
    plain(resource, Refusal::new(Reason::NoRule, because), None)
}

/// The denial by a deny rule.
pub(super) fn by_rule(
    resource: impl Into<Resource>,
    rule: &Arc<str>,
    reason: Option<&str>,
) -> Denial {
    let because = match reason {
        Some(reason) => format!("the rule for {rule} denies it: {reason}"),
        None => format!("the rule for {rule} denies it"),
    };
    plain(resource, Refusal::new(Reason::DeniedByRule, because), Some(rule))
}

/// A denial with a reason that does not come from an anchor.
pub(super) fn plain(
    resource: impl Into<Resource>,
    refusal: Refusal,
    rule: Option<&Arc<str>>,
) -> Denial {
    Denial::of(Denied {
        resource: resource.into(),
        refusal,
        rule: rule.cloned(),
        anchor: None,
        scheme: None,
    })
}

/// The denial of an image that does not meet the requirement of its rule.
pub(super) fn unmet(
    resource: impl Into<Resource>,
    rule: Option<&Arc<str>>,
    unmet: Unmet,
    trust: &Trust,
    now: Timestamp,
) -> Denial {
    let Unmet { anchor, why } = unmet;
    let asked = anchor.as_ref().and_then(|anchor| trust.anchor(anchor));
    let scheme: Option<Scheme> = asked.map(crate::trust::Anchor::scheme);
    let notice = asked.and_then(|anchor| anchor.notice(now));
    let noted = |because: String| match &notice {
        Some(notice) => format!("{because}; {notice}"),
        None => because,
    };
    let rule = rule.cloned();
    match why {
        Unendorsed::Refused(mut refusal) => {
            if let Some(anchor) = anchor.as_ref().filter(|_| refusal.reason.is_absence()) {
                refusal.because = format!("no signature by {anchor}: {}", refusal.because);
            }
            refusal.because = noted(refusal.because);
            Denial::of(Denied { resource: resource.into(), refusal, rule, anchor, scheme })
        }
        Unendorsed::Throttled(retry_after) => {
            Denial::Throttled { resource: resource.into(), retry_after }
        }
        Unendorsed::Undecided(because) => Denial::Undecided(Undecided {
            resource: resource.into(),
            doubt: Doubt::TrustUnreachable,
            because: noted(because),
            rule,
            anchor,
            scheme,
        }),
    }
}

/// The denial after content could not be fetched from upstream.
pub(super) fn fetch(
    resource: impl Into<Resource>,
    rule: Option<&Arc<str>>,
    error: FetchError,
) -> Denial {
    let resource = resource.into();
    let undecided = |doubt, because| undecided(&resource, rule, doubt, because);
    match error {
        FetchError::NoUpstream(_) => Denial::no_upstream(resource),
        FetchError::Mismatch(mismatch) => {
            plain(resource, Refusal::new(Reason::ContentMismatch, mismatch.to_string()), rule)
        }
        FetchError::Invalid(invalid) => {
            plain(resource, Refusal::new(Reason::Malformed, invalid.to_string()), rule)
        }
        FetchError::Upstream(error) => match error {
            UpstreamError::Absent { code, message } => {
                let said = if message.is_empty() { "not found" } else { message.as_str() };
                let message = format!("the upstream registry does not have {resource}: {said}");
                Denial::Missing { resource, code, message }
            }
            UpstreamError::TooManyRequests { retry_after } => {
                Denial::Throttled { resource, retry_after }
            }
            UpstreamError::Refused { .. } => undecided(Doubt::UpstreamRefused, error.to_string()),
            UpstreamError::RangeUnsatisfiable { size } => Denial::Unsatisfiable { resource, size },
            UpstreamError::Busy(busy) => {
                let shortage = match busy {
                    Busy::BlobQueue(_) | Busy::Blobs(_) => Shortage::Blobs,
                    Busy::Requests => Shortage::Requests,
                };
                undecided(Doubt::GateBusy(shortage), error.to_string())
            }
            // A retry would get the same answer.
            UpstreamError::Protocol(violation) if violation.is_final() => {
                let message = format!("the upstream registry cannot serve {resource}: {violation}");
                Denial::Missing { resource, code: ErrorCode::Unsupported, message }
            }
            UpstreamError::Protocol(_) | UpstreamError::Unreachable(_) => {
                undecided(Doubt::UpstreamUnreachable, error.to_string())
            }
        },
    }
}

/// The denial after a blob could not be fetched completely.
pub(super) fn not_whole(
    resource: impl Into<Resource>,
    rule: Option<&Arc<str>>,
    error: NotWhole,
) -> Denial {
    let error = match error {
        NotWhole::Fetch(error) => return fetch(resource, rule, error),
        NotWhole::Broken(error) => error,
    };
    match error {
        BlobError::Mismatch(mismatch) => fetch(resource, rule, FetchError::Mismatch(mismatch)),
        BlobError::Resume(error) => fetch(resource, rule, FetchError::Upstream(error)),
        BlobError::Interrupted(_)
        | BlobError::Length
        | BlobError::OtherPart
        | BlobError::Unreadable(_)
        | BlobError::NoRoom
        | BlobError::TooSlow
        | BlobError::Removed
        | BlobError::Stopping => exhausted(resource, rule, error.to_string()),
    }
}

/// The denial of an admitted manifest whose config cannot be fetched.
pub(super) fn no_config(denial: Denial) -> Denial {
    match denial {
        Denial::Undecided(undecided) => {
            let because = format!("its config cannot be fetched: {}", undecided.because);
            Denial::Undecided(Undecided { because, ..undecided })
        }
        Denial::Missing { resource, code, message } => {
            Denial::Missing { resource, code, message: format!("{message} (its config)") }
        }
        denial @ (Denial::Absent(_)
        | Denial::Refused(_)
        | Denial::Throttled { .. }
        | Denial::Unsatisfiable { .. }) => denial,
    }
}

/// The denial if the history of tags cannot be read or written.
pub(super) fn no_memory(
    resource: impl Into<Resource>,
    rule: Option<&Arc<str>>,
    error: &TagsError,
) -> Denial {
    undecided(
        resource,
        rule,
        Doubt::TrustUnreachable,
        format!("the trust memory cannot be used: {error}"),
    )
}

/// The denial of a manifest under an artifact tag of `subject` that is not a permitted artifact, and why.
pub(super) fn no_artifact(
    resource: impl Into<Resource>,
    rule: Option<&Arc<str>>,
    subject: Digest,
    why: &str,
) -> Denial {
    let because = format!("it is not a permitted artifact of {subject}: {why}");
    plain(resource, Refusal::new(Reason::DigestNotSigned, because), rule)
}

/// The denial of the list of referrers to `subject` under a tag.
pub(super) fn no_list(image: &ImageRef, rule: Option<&Arc<str>>, subject: Digest) -> Denial {
    let repository = &image.repository.name;
    let because = format!(
        "the gate does not serve lists of referrers under tags; it answers the referrers API, \
         GET /v2/{repository}/referrers/{subject}"
    );
    plain(image, Refusal::new(Reason::DigestNotSigned, because), rule)
}

/// The same denial for another resource, which depends on the one that was denied.
pub(super) fn of_other(denial: Denial, resource: impl Into<Resource>) -> Denial {
    let resource = resource.into();
    match denial {
        Denial::Absent(denied) => Denial::Absent(Denied { resource, ..denied }),
        Denial::Refused(denied) => Denial::Refused(Denied { resource, ..denied }),
        Denial::Undecided(undecided) => Denial::Undecided(Undecided { resource, ..undecided }),
        Denial::Missing { code, message, .. } => Denial::Missing { resource, code, message },
        Denial::Throttled { retry_after, .. } => Denial::Throttled { resource, retry_after },
        Denial::Unsatisfiable { size, .. } => Denial::Unsatisfiable { resource, size },
    }
}

/// The denial of a decision that reached its limits.
pub(super) fn exhausted(
    resource: impl Into<Resource>,
    rule: Option<&Arc<str>>,
    because: String,
) -> Denial {
    undecided(resource, rule, Doubt::UpstreamUnreachable, because)
}

/// The finding of an audit rule that does not wait for the decision.
pub(super) fn not_awaited(resource: impl Into<Resource>, because: String) -> Denial {
    undecided(resource, None, Doubt::TrustUnreachable, because)
}

/// The denial if too many requests for unknown names are in progress or waiting.
pub(super) fn busy(resource: impl Into<Resource>, because: String) -> Denial {
    undecided(resource, None, Doubt::GateBusy(Shortage::UnknownNames), because)
}

pub(super) fn too_slow(resource: impl Into<Resource>) -> Denial {
    exhausted(resource, None, format!("it took longer than {} seconds", MAX_DECISION.as_secs()))
}

fn undecided(
    resource: impl Into<Resource>,
    rule: Option<&Arc<str>>,
    doubt: Doubt,
    because: String,
) -> Denial {
    let (resource, rule) = (resource.into(), rule.cloned());
    Denial::Undecided(Undecided { resource, doubt, because, rule, anchor: None, scheme: None })
}

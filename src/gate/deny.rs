//! Makes denials of what went wrong, each in one place.

use std::sync::Arc;

use crate::oci::{Digest, ErrorCode, ImageRef};
use crate::policy::Unmet;
use crate::pull_through::{BlobError, FetchError, NotWhole};
use crate::registry_client::{Busy, UpstreamError};
use crate::trust::tags::TagsError;
use crate::trust::{Reason, Refusal, Scheme, Trust, Unendorsed};

use super::MAX_DECISION;
use super::denial::{Denial, Denied, Doubt, Shortage, Undecided};

/// No rule matches. If the repository begins with the name of a registry, the client means an upstream that the gate
/// does not have.
pub(super) fn no_rule(image: &ImageRef) -> Denial {
    if let Some((host, _)) = image.repository.as_str().split_once('/')
        && (host.contains('.') || host == "localhost")
    {
        let message = format!("no upstream is configured for {host}, and no rule matches {image}");
        return Denial::Missing { image: image.clone(), code: ErrorCode::NameUnknown, message };
    }
    let because = "no rule is for this image, and what no rule is for is not served";
    plain(image, Refusal::new(Reason::NoRule, because), None)
}

/// A rule that says no.
pub(super) fn by_rule(image: &ImageRef, rule: &Arc<str>, reason: Option<&str>) -> Denial {
    let because = match reason {
        Some(reason) => format!("the rule for {rule} denies it: {reason}"),
        None => format!("the rule for {rule} denies it"),
    };
    plain(image, Refusal::new(Reason::DeniedByRule, because), Some(rule))
}

/// A refusal that no anchor gave.
pub(super) fn plain(image: &ImageRef, refusal: Refusal, rule: Option<&Arc<str>>) -> Denial {
    Denial::of(Denied {
        image: image.clone(),
        refusal,
        rule: rule.cloned(),
        anchor: None,
        scheme: None,
    })
}

/// A requirement that is not met.
pub(super) fn unmet(image: &ImageRef, rule: &Arc<str>, unmet: Unmet, trust: &Trust) -> Denial {
    let Unmet { anchor, why } = unmet;
    let scheme: Option<Scheme> = trust.anchor(&anchor).map(crate::trust::Anchor::scheme);
    match why {
        Unendorsed::Refused(mut refusal) => {
            if refusal.reason.is_absence() {
                refusal.because = format!("no signature by {anchor}: {}", refusal.because);
            }
            Denial::of(Denied {
                image: image.clone(),
                refusal,
                rule: Some(rule.clone()),
                anchor: Some(anchor),
                scheme,
            })
        }
        Unendorsed::Throttled(retry_after) => {
            Denial::Throttled { image: image.clone(), retry_after }
        }
        Unendorsed::Undecided(because) => Denial::Undecided(Undecided {
            image: image.clone(),
            doubt: Doubt::TrustUnreachable,
            because,
            rule: Some(rule.clone()),
            anchor: Some(anchor),
            scheme,
        }),
    }
}

/// What came between us and the upstream's content.
pub(super) fn fetch(image: &ImageRef, rule: Option<&Arc<str>>, error: FetchError) -> Denial {
    let undecided = |doubt, because| undecided(image, rule, doubt, because);
    match error {
        FetchError::NoUpstream(_) => Denial::no_upstream(image.clone()),
        FetchError::Mismatch(mismatch) => {
            plain(image, Refusal::new(Reason::ContentMismatch, mismatch.to_string()), rule)
        }
        FetchError::Invalid(invalid) => {
            plain(image, Refusal::new(Reason::Malformed, invalid.to_string()), rule)
        }
        FetchError::Upstream(error) => match error {
            UpstreamError::Absent { code, message } => {
                let said = if message.is_empty() { "not found" } else { message.as_str() };
                let message = format!("the upstream registry does not have {image}: {said}");
                Denial::Missing { image: image.clone(), code, message }
            }
            UpstreamError::TooManyRequests { retry_after } => {
                Denial::Throttled { image: image.clone(), retry_after }
            }
            UpstreamError::Refused { .. } => undecided(Doubt::UpstreamRefused, error.to_string()),
            UpstreamError::RangeUnsatisfiable { size } => {
                Denial::Unsatisfiable { image: image.clone(), size }
            }
            UpstreamError::Busy(busy) => {
                let shortage = match busy {
                    Busy::BlobQueue(_) | Busy::Blobs(_) => Shortage::Blobs,
                    Busy::Requests => Shortage::Requests,
                };
                undecided(Doubt::GateBusy(shortage), error.to_string())
            }
            UpstreamError::Protocol(_) | UpstreamError::Unreachable(_) => {
                undecided(Doubt::UpstreamUnreachable, error.to_string())
            }
        },
    }
}

/// All of a blob was to be here, and is not.
pub(super) fn not_whole(image: &ImageRef, rule: Option<&Arc<str>>, error: NotWhole) -> Denial {
    let error = match error {
        NotWhole::Fetch(error) => return fetch(image, rule, error),
        NotWhole::Broken(error) => error,
    };
    match error {
        BlobError::Mismatch(mismatch) => fetch(image, rule, FetchError::Mismatch(mismatch)),
        BlobError::Resume(error) => fetch(image, rule, FetchError::Upstream(error)),
        BlobError::Interrupted(_)
        | BlobError::Length
        | BlobError::OtherPart
        | BlobError::Unreadable(_)
        | BlobError::NoRoom
        | BlobError::TooSlow
        | BlobError::Removed
        | BlobError::Stopping => exhausted(image, rule, error.to_string()),
    }
}

/// The manifest could be served, and the config that it names cannot be had.
pub(super) fn no_config(denial: Denial) -> Denial {
    match denial {
        Denial::Undecided(undecided) => {
            let because = format!("its config cannot be fetched: {}", undecided.because);
            Denial::Undecided(Undecided { because, ..undecided })
        }
        Denial::Missing { image, code, message } => {
            Denial::Missing { image, code, message: format!("{message} (its config)") }
        }
        denial @ (Denial::Absent(_)
        | Denial::Refused(_)
        | Denial::Throttled { .. }
        | Denial::Unsatisfiable { .. }) => denial,
    }
}

/// What is remembered of tags cannot be read or written.
pub(super) fn no_memory(image: &ImageRef, rule: Option<&Arc<str>>, error: &TagsError) -> Denial {
    undecided(
        image,
        rule,
        Doubt::TrustUnreachable,
        format!("the trust memory cannot be used: {error}"),
    )
}

/// What is kept under a tag for artifacts about `subject` is none that is served, and why.
pub(super) fn no_artifact(
    image: &ImageRef,
    rule: Option<&Arc<str>>,
    subject: Digest,
    why: &str,
) -> Denial {
    let because = format!("it is no artifact about {subject} that is served: {why}");
    plain(image, Refusal::new(Reason::DigestNotSigned, because), rule)
}

/// The list of referrers to `subject` is not served under a tag.
pub(super) fn no_list(image: &ImageRef, rule: Option<&Arc<str>>, subject: Digest) -> Denial {
    let repository = &image.repository;
    let because = format!(
        "the gate does not serve lists of referrers under tags; it answers the referrers API, \
         GET /v2/{repository}/referrers/{subject}"
    );
    plain(image, Refusal::new(Reason::DigestNotSigned, because), rule)
}

/// The same denial of another image, which rests on the one that was denied.
pub(super) fn of_other(denial: Denial, image: &ImageRef) -> Denial {
    let image = image.clone();
    match denial {
        Denial::Absent(denied) => Denial::Absent(Denied { image, ..denied }),
        Denial::Refused(denied) => Denial::Refused(Denied { image, ..denied }),
        Denial::Undecided(undecided) => Denial::Undecided(Undecided { image, ..undecided }),
        Denial::Missing { code, message, .. } => Denial::Missing { image, code, message },
        Denial::Throttled { retry_after, .. } => Denial::Throttled { image, retry_after },
        Denial::Unsatisfiable { size, .. } => Denial::Unsatisfiable { image, size },
    }
}

/// The bounds of one decision were reached before it was taken.
pub(super) fn exhausted(image: &ImageRef, rule: Option<&Arc<str>>, because: String) -> Denial {
    undecided(image, rule, Doubt::UpstreamUnreachable, because)
}

/// What a rule that audits would say is not known yet, and it is not waited for.
pub(super) fn not_awaited(image: &ImageRef, because: String) -> Denial {
    undecided(image, None, Doubt::TrustUnreachable, because)
}

/// Too many requests for unknown names are in progress or wait.
pub(super) fn busy(image: &ImageRef, because: String) -> Denial {
    undecided(image, None, Doubt::GateBusy(Shortage::UnknownNames), because)
}

pub(super) fn too_slow(image: &ImageRef) -> Denial {
    exhausted(image, None, format!("it took longer than {} seconds", MAX_DECISION.as_secs()))
}

fn undecided(image: &ImageRef, rule: Option<&Arc<str>>, doubt: Doubt, because: String) -> Denial {
    let (image, rule) = (image.clone(), rule.cloned());
    Denial::Undecided(Undecided { image, doubt, because, rule, anchor: None, scheme: None })
}

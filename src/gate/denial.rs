//! Denials: the gate's answer if it does not admit. They do not depend on HTTP; the server maps each variant to a status.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::oci::ErrorCode;
use crate::trust::{Reason, Refusal, Scheme};

use super::resource::Resource;
use super::verdict::Verdict;

/// Why a request is denied.
#[derive(Clone, Debug)]
pub enum Denial {
    /// No trust data names the image.
    Absent(Denied),
    /// Trust data or a rule refuses the image.
    Refused(Denied),
    /// The gate cannot decide at the moment.
    Undecided(Undecided),
    /// Upstream does not have it. The message is upstream's own.
    Missing { resource: Resource, code: ErrorCode, message: String },
    /// Upstream answered 429.
    Throttled { resource: Resource, retry_after: Option<Duration> },
    /// The requested range is outside the blob of that size.
    Unsatisfiable { resource: Resource, size: Option<u64> },
}

/// A denial with a reason.
#[derive(Clone, Debug)]
pub struct Denied {
    pub resource: Resource,
    pub refusal: Refusal,
    /// The pattern of the rule that decided; `None` if no rule matches.
    pub rule: Option<Arc<str>>,
    /// The anchor that does not endorse the image, if one was asked.
    pub anchor: Option<Arc<str>>,
    pub scheme: Option<Scheme>,
}

/// A decision that the gate cannot make at the moment.
#[derive(Clone, Debug)]
pub struct Undecided {
    pub resource: Resource,
    pub doubt: Doubt,
    /// One clause for people: what failed, and why.
    pub because: String,
    pub rule: Option<Arc<str>>,
    pub anchor: Option<Arc<str>>,
    pub scheme: Option<Scheme>,
}

/// What prevents a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Doubt {
    /// The gate is too busy to begin.
    GateBusy(Shortage),
    TrustUnreachable,
    UpstreamRefused,
    UpstreamUnreachable,
}

/// The exhausted resource of a busy gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shortage {
    /// Concurrent blobs of one upstream.
    Blobs,
    /// Concurrent requests to one upstream.
    Requests,
    /// Concurrent requests for names that the gate does not know.
    UnknownNames,
}

impl Doubt {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GateBusy(_) => "gate_busy",
            Self::TrustUnreachable => "trust_unreachable",
            Self::UpstreamRefused => "upstream_refused",
            Self::UpstreamUnreachable => "upstream_unreachable",
        }
    }
}

impl Denial {
    /// `Absent` or `Refused`, depending on the reason.
    pub(super) fn of(denied: Denied) -> Self {
        if denied.refusal.reason.is_absence() {
            Self::Absent(denied)
        } else {
            Self::Refused(denied)
        }
    }

    /// The denial of an image whose registry is not a configured upstream.
    pub fn no_upstream(resource: impl Into<Resource>) -> Self {
        let resource = resource.into();
        let message = format!("no upstream is configured for {}", resource.repository.registry);
        Self::Missing { resource, code: ErrorCode::NameUnknown, message }
    }

    /// The denial for clients that wait no longer than `waited`, whatever the gate still waits for.
    pub fn late(resource: impl Into<Resource>, waited: Duration) -> Self {
        let because = format!(
            "neither the registry nor the trust server answered within {} seconds",
            waited.as_secs()
        );
        let (doubt, rule, anchor) = (Doubt::UpstreamUnreachable, None, None);
        let resource = resource.into();
        Self::Undecided(Undecided { resource, doubt, because, rule, anchor, scheme: None })
    }

    /// The recorded outcome; `None` if upstream, and not the gate, denied the request.
    pub const fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Absent(_) => Some(Verdict::Absent),
            Self::Refused(_) => Some(Verdict::Refused),
            Self::Undecided(_) => Some(Verdict::Undecided),
            Self::Missing { .. } | Self::Throttled { .. } | Self::Unsatisfiable { .. } => None,
        }
    }

    /// The outcome that an audit rule records. Content that upstream does not have counts as absent.
    pub const fn dry_run_verdict(&self) -> Verdict {
        match self {
            Self::Absent(_) | Self::Missing { .. } | Self::Unsatisfiable { .. } => Verdict::Absent,
            Self::Refused(_) => Verdict::Refused,
            Self::Undecided(_) | Self::Throttled { .. } => Verdict::Undecided,
        }
    }

    /// Whether the same request may be admitted soon.
    pub const fn is_undecided(&self) -> bool {
        matches!(self.dry_run_verdict(), Verdict::Undecided)
    }

    /// Whether no anchor endorses the image. A tag that moved to such an image may be held at its last admitted digest.
    pub(super) fn is_unsigned(&self) -> bool {
        match self {
            Self::Absent(_) => true,
            Self::Refused(denied) => denied.refusal.reason == Reason::SignatureInvalid,
            Self::Undecided(_)
            | Self::Missing { .. }
            | Self::Throttled { .. }
            | Self::Unsatisfiable { .. } => false,
        }
    }

    /// Whether a digest may still be admitted through another manifest: nothing refuses it, and no anchor that answered
    /// endorses it.
    pub(super) fn may_be_admitted_through_another(&self) -> bool {
        match self {
            Self::Absent(_) => true,
            Self::Undecided(undecided) => undecided.doubt == Doubt::TrustUnreachable,
            Self::Refused(_)
            | Self::Missing { .. }
            | Self::Throttled { .. }
            | Self::Unsatisfiable { .. } => false,
        }
    }

    /// Whether an exemption applies: the image is not endorsed, or the gate could not find out.
    pub(super) fn may_be_exempted(&self) -> bool {
        match self {
            Self::Absent(_) | Self::Undecided(_) | Self::Throttled { .. } => true,
            Self::Refused(denied) => {
                let reason = denied.refusal.reason;
                !reason.is_of_rules() && reason != Reason::ContentMismatch
            }
            Self::Missing { .. } | Self::Unsatisfiable { .. } => false,
        }
    }

    pub const fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Absent(denied) | Self::Refused(denied) => Some(denied.refusal.reason.as_str()),
            Self::Undecided(undecided) => Some(undecided.doubt.as_str()),
            Self::Missing { .. } | Self::Throttled { .. } | Self::Unsatisfiable { .. } => None,
        }
    }

    /// Whether a tag moved back to an image that was signed earlier. An anchor that refuses older trust data does not
    /// count.
    pub fn is_tag_rolled_back(&self) -> bool {
        match self {
            Self::Refused(denied) => {
                denied.refusal.reason == Reason::Rollback && denied.anchor.is_none()
            }
            Self::Absent(_)
            | Self::Undecided(_)
            | Self::Missing { .. }
            | Self::Throttled { .. }
            | Self::Unsatisfiable { .. } => false,
        }
    }

    /// The pattern of the deny rule, if one denies it.
    pub fn denied_by(&self) -> Option<&Arc<str>> {
        match self {
            Self::Refused(denied) if denied.refusal.reason == Reason::DeniedByRule => {
                denied.rule.as_ref()
            }
            Self::Absent(_)
            | Self::Refused(_)
            | Self::Undecided(_)
            | Self::Missing { .. }
            | Self::Throttled { .. }
            | Self::Unsatisfiable { .. } => None,
        }
    }

    /// What is denied.
    pub const fn resource(&self) -> &Resource {
        match self {
            Self::Absent(denied) | Self::Refused(denied) => &denied.resource,
            Self::Undecided(undecided) => &undecided.resource,
            Self::Missing { resource, .. }
            | Self::Throttled { resource, .. }
            | Self::Unsatisfiable { resource, .. } => resource,
        }
    }
}

impl fmt::Display for Denial {
    /// One full sentence for people. `Absent` begins with the words that docker users know.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(denied) => {
                write!(
                    f,
                    "remote trust data does not exist for {}: {}",
                    denied.resource, denied.refusal
                )
            }
            Self::Refused(Denied { resource, refusal, .. }) => match refusal.reason.is_of_rules() {
                true => write!(f, "{resource} is denied: {refusal}"),
                false => write!(f, "trust data for {resource} was refused: {refusal}"),
            },
            Self::Undecided(undecided) => {
                write!(f, "cannot decide about {} now: {}", undecided.resource, undecided.because)
            }
            Self::Missing { message, .. } => f.write_str(message),
            Self::Throttled { resource, .. } => {
                write!(f, "the upstream registry of {resource} answered 429 (too many requests)")
            }
            Self::Unsatisfiable { resource, .. } => {
                write!(f, "the requested range is outside {resource}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::oci::ImageRef;

    use super::*;

    #[test]
    fn the_reason_chooses_between_absent_and_refused() {
        let denied = |reason| Denied {
            resource: "r.example/a:1".parse::<ImageRef>().unwrap().into(),
            refusal: Refusal::new(reason, "why"),
            rule: None,
            anchor: None,
            scheme: None,
        };
        let absent = Denial::of(denied(Reason::TagNotSigned));
        assert_eq!(absent.verdict(), Some(Verdict::Absent));
        assert_eq!(absent.to_string(), "remote trust data does not exist for r.example/a:1: why");
        let refused = Denial::of(denied(Reason::Expired));
        assert_eq!(
            (refused.verdict(), refused.reason()),
            (Some(Verdict::Refused), Some("expired"))
        );
        assert_eq!(refused.to_string(), "trust data for r.example/a:1 was refused: why");
        // No trust data was examined.
        let denied = Denial::of(denied(Reason::DeniedByRule));
        assert_eq!(denied.to_string(), "r.example/a:1 is denied: why");
    }
}

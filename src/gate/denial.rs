//! What the gate says instead of a manifest. Knows nothing of HTTP: the server turns each kind into
//! its status, once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::oci::ErrorCode;
use crate::trust::{Reason, Refusal, Scheme};

use super::resource::Resource;

/// Why a manifest is not served.
#[derive(Clone, Debug)]
pub enum Denial {
    /// No trust data names it.
    Absent(Denied),
    /// There is trust data, or a rule, and it says no.
    Refused(Denied),
    /// It could not be found out.
    Undecided(Undecided),
    /// Admitted by trust, but upstream does not have it: upstream's own words.
    Missing { resource: Resource, code: ErrorCode, message: String },
    /// Upstream asks us to come back later.
    Throttled { resource: Resource, retry_after: Option<Duration> },
    /// The range is not within the blob, whose size this is.
    Unsatisfiable { resource: Resource, size: Option<u64> },
}

/// A denial with a reason.
#[derive(Clone, Debug)]
pub struct Denied {
    pub resource: Resource,
    pub refusal: Refusal,
    /// The pattern of the rule that decided; none where no rule matches.
    pub rule: Option<Arc<str>>,
    /// The anchor that does not vouch, where one was asked.
    pub anchor: Option<Arc<str>>,
    pub scheme: Option<Scheme>,
}

/// A decision that could not be taken.
#[derive(Clone, Debug)]
pub struct Undecided {
    pub resource: Resource,
    pub doubt: Doubt,
    /// One clause for people: what could not be reached, and why.
    pub because: String,
    pub rule: Option<Arc<str>>,
    pub anchor: Option<Arc<str>>,
    pub scheme: Option<Scheme>,
}

/// What could not be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Doubt {
    /// The gate did not begin, because it is busy.
    GateBusy(Shortage),
    TrustUnreachable,
    UpstreamRefused,
    UpstreamUnreachable,
}

/// What a busy gate has too few of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shortage {
    /// Turns for blobs of one upstream.
    Blobs,
    /// Requests to one upstream at once.
    Requests,
    /// Turns for names that the gate does not know.
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
    /// The denial that `denied`'s reason makes: absent or refused.
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
        let message = format!("no upstream is configured for {}", resource.registry);
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

    /// The outcome as it is recorded; `None` where upstream said no to something admitted.
    pub const fn verdict(&self) -> Option<&'static str> {
        match self {
            Self::Absent(_) => Some("absent"),
            Self::Refused(_) => Some("refused"),
            Self::Undecided(_) => Some("undecided"),
            Self::Missing { .. } | Self::Throttled { .. } | Self::Unsatisfiable { .. } => None,
        }
    }

    /// The outcome of what a rule that only audits would have said: upstream's own no is an absence, too.
    pub const fn dry_run_verdict(&self) -> &'static str {
        match self {
            Self::Absent(_) | Self::Missing { .. } | Self::Unsatisfiable { .. } => "absent",
            Self::Refused(_) => "refused",
            Self::Undecided(_) | Self::Throttled { .. } => "undecided",
        }
    }

    pub const fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Absent(denied) | Self::Refused(denied) => Some(denied.refusal.reason.as_str()),
            Self::Undecided(undecided) => Some(undecided.doubt.as_str()),
            Self::Missing { .. } | Self::Throttled { .. } | Self::Unsatisfiable { .. } => None,
        }
    }

    /// Whether a tag went back to an image that was signed earlier. An anchor's own refusal of older trust
    /// data is another matter.
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

    /// The pattern of the rule that denies it, if that is why.
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
    /// One full sentence for people. Docker's users know the first words of an absence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(denied) => {
                write!(
                    f,
                    "remote trust data does not exist for {}: {}",
                    denied.resource, denied.refusal
                )
            }
            Self::Refused(denied) => {
                write!(f, "trust data for {} was refused: {}", denied.resource, denied.refusal)
            }
            Self::Undecided(undecided) => {
                write!(f, "cannot decide about {} now: {}", undecided.resource, undecided.because)
            }
            Self::Missing { message, .. } => f.write_str(message),
            Self::Throttled { resource, .. } => {
                write!(f, "the upstream registry of {resource} asks for fewer requests")
            }
            Self::Unsatisfiable { resource, .. } => {
                write!(f, "the range is not within {resource}")
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
        assert_eq!(absent.verdict(), Some("absent"));
        assert_eq!(absent.to_string(), "remote trust data does not exist for r.example/a:1: why");
        let refused = Denial::of(denied(Reason::Expired));
        assert_eq!((refused.verdict(), refused.reason()), (Some("refused"), Some("expired")));
        assert_eq!(refused.to_string(), "trust data for r.example/a:1 was refused: why");
    }
}

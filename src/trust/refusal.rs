//! Why nobody trusted vouches: the one reason of a denial, and a sentence that says it.

use std::fmt;
use std::time::Duration;

/// The reasons of the contract that a trust scheme can give. Each has one name everywhere: in the
/// denial, the log, the metrics and `why`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    ContentMismatch,
    DeniedByRule,
    DigestNotSigned,
    Expired,
    Malformed,
    MixAndMatch,
    NoRule,
    NoTrustData,
    Rollback,
    RootNotPinned,
    SignatureInvalid,
    SignerMissing,
    SignersDisagree,
    TagNotSigned,
    TrustRemoved,
    WrongRepository,
}

impl Reason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ContentMismatch => "content_mismatch",
            Self::DeniedByRule => "denied_by_rule",
            Self::DigestNotSigned => "digest_not_signed",
            Self::Expired => "expired",
            Self::Malformed => "malformed",
            Self::MixAndMatch => "mix_and_match",
            Self::NoRule => "no_rule",
            Self::NoTrustData => "no_trust_data",
            Self::Rollback => "rollback",
            Self::RootNotPinned => "root_not_pinned",
            Self::SignatureInvalid => "signature_invalid",
            Self::SignerMissing => "signer_missing",
            Self::SignersDisagree => "signers_disagree",
            Self::TagNotSigned => "tag_not_signed",
            Self::TrustRemoved => "trust_removed",
            Self::WrongRepository => "wrong_repository",
        }
    }

    /// Whether there simply is no signature; every other reason is about one that is no good.
    pub const fn is_absence(self) -> bool {
        matches!(self, Self::NoTrustData | Self::TagNotSigned | Self::DigestNotSigned)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The key of an `[[anchor]]` that leaves out a signature that verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restriction {
    MaxAge,
    MaxTimestampLife,
    NotAfter,
    Revoked,
    SignedIdentity,
}

impl Restriction {
    const ALL: [Self; 5] =
        [Self::MaxAge, Self::MaxTimestampLife, Self::NotAfter, Self::Revoked, Self::SignedIdentity];

    /// The key as it is written in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MaxAge => "max_age",
            Self::MaxTimestampLife => "max_timestamp_life",
            Self::NotAfter => "not_after",
            Self::Revoked => "revoked",
            Self::SignedIdentity => "signed_identity",
        }
    }

    /// The restriction whose check failed, if `check` names one: checks have the names of their keys.
    pub(super) fn of_check(check: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|restriction| restriction.as_str() == check)
    }
}

/// Why nobody trusted vouches for an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    /// One clause for people, without a full stop: what was found, and where.
    pub because: String,
    /// The key of the anchor without which the signature would count.
    pub restriction: Option<Restriction>,
    /// The root of trust that no pin names, with `root_not_pinned`.
    pub unpinned: Option<Box<UnpinnedRoot>>,
}

/// A root of trust that no pin names (Notary v1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnpinnedRoot {
    /// The root keys that signed it, by their canonical ids: `root_keys` takes them.
    pub canonical_ids: Vec<String>,
    /// The one of them that `root_keys` names by another certificate: the root key is the same.
    pub same_key: Option<String>,
}

impl Refusal {
    pub fn new(reason: Reason, because: impl Into<String>) -> Self {
        Self { reason, because: because.into(), restriction: None, unpinned: None }
    }

    /// The same refusal, caused by a key of the anchor.
    #[must_use]
    pub fn by(self, restriction: Restriction) -> Self {
        Self { restriction: Some(restriction), ..self }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.because)
    }
}

impl std::error::Error for Refusal {}

/// Why there is no endorsement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unendorsed {
    /// Nobody trusted vouches.
    Refused(Refusal),
    /// It could not be found out, and why.
    Undecided(String),
    /// A registry asks to be asked again later: after so long, if it says.
    Throttled(Option<Duration>),
}

impl Unendorsed {
    /// Whether it may still turn out that somebody vouches.
    pub const fn is_open(&self) -> bool {
        match self {
            Self::Refused(_) => false,
            Self::Undecided(_) | Self::Throttled(_) => true,
        }
    }
}

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

/// Why nobody trusted vouches for an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    /// One clause for people, without a full stop: what was found, and where.
    pub because: String,
}

impl Refusal {
    pub fn new(reason: Reason, because: impl Into<String>) -> Self {
        Self { reason, because: because.into() }
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

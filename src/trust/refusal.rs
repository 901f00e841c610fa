//! Why no trusted signer vouches for an image: one reason, and a sentence that explains it.

use std::fmt;
use std::time::Duration;

/// The reason of a denial. Denials, logs, metrics and `why` use the same names.
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
    /// All reasons, in the order of their declaration.
    pub const ALL: [Self; 16] = [
        Self::ContentMismatch,
        Self::DeniedByRule,
        Self::DigestNotSigned,
        Self::Expired,
        Self::Malformed,
        Self::MixAndMatch,
        Self::NoRule,
        Self::NoTrustData,
        Self::Rollback,
        Self::RootNotPinned,
        Self::SignatureInvalid,
        Self::SignerMissing,
        Self::SignersDisagree,
        Self::TagNotSigned,
        Self::TrustRemoved,
        Self::WrongRepository,
    ];

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

    /// Whether there is no signature. Every other reason is about a signature or trust data that is not valid, or about a
    /// rule.
    pub const fn is_absence(self) -> bool {
        matches!(self, Self::NoTrustData | Self::TagNotSigned | Self::DigestNotSigned)
    }

    /// Whether the rules alone deny the image, so that no trust data was examined.
    pub const fn is_of_rules(self) -> bool {
        matches!(self, Self::NoRule | Self::DeniedByRule)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The key of an `[[anchor]]` that excludes a valid signature.
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

    /// The key in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MaxAge => "max_age",
            Self::MaxTimestampLife => "max_timestamp_life",
            Self::NotAfter => "not_after",
            Self::Revoked => "revoked",
            Self::SignedIdentity => "signed_identity",
        }
    }

    /// The restriction with the name `check`, if there is one: checks have the names of their keys.
    pub(super) fn of_check(check: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|restriction| restriction.as_str() == check)
    }
}

/// Why no trusted signer vouches for an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    /// A clause for people, without a full stop: what was found, and where.
    pub because: String,
    /// The key of the anchor that excludes an otherwise valid signature.
    pub restriction: Option<Restriction>,
    /// The root that is not pinned, with `root_not_pinned`.
    pub unpinned: Option<Box<UnpinnedRoot>>,
}

/// A root that is not pinned (Notary v1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnpinnedRoot {
    /// The canonical ids of the root keys that signed it. `root_keys` accepts them.
    pub canonical_ids: Vec<String>,
    /// The canonical id of the root key that `root_keys` already names by another certificate.
    pub same_key: Option<String>,
}

impl Refusal {
    pub fn new(reason: Reason, because: impl Into<String>) -> Self {
        Self { reason, because: because.into(), restriction: None, unpinned: None }
    }

    /// The same refusal, caused by this key of the anchor.
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
    /// No trusted signer vouches for the image.
    Refused(Refusal),
    /// It could not be determined, for this reason.
    Undecided(String),
    /// A registry limits the rate of requests. Contains its `Retry-After`, if it sent one.
    Throttled(Option<Duration>),
}

impl Unendorsed {
    /// Whether a trusted signer may still be found.
    pub const fn is_open(&self) -> bool {
        match self {
            Self::Refused(_) => false,
            Self::Undecided(_) | Self::Throttled(_) => true,
        }
    }
}

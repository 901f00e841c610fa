//! One interface for the schemes that sign content instead of names: the verdict of an anchor on one manifest. Knows
//! which scheme verifies which signatures, where to search for them, and how long a verdict is used. Does not know tags
//! or rules.

mod judging;
mod verdict;
mod verdicts;

use std::sync::Arc;

pub use verdict::{AnchorVerdict, Evidence, Objection, Outcome, Weight};
pub use verdicts::AnchorVerdicts;

use super::cosign;
use super::discovery::SignatureKind;
use super::lifetimes::Lifetimes;
use super::notation;
use super::scheme::Scheme;
use crate::oci::{Digest, RepositoryRef};

/// An anchor whose scheme signs content.
#[derive(Clone, Debug)]
pub enum Anchor {
    Cosign(Arc<cosign::Anchor>),
    /// With the client for revocation queries about its certificates.
    Notation(Arc<notation::Anchor>, notation::RevocationClient),
}

impl Anchor {
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::Cosign(anchor) => anchor.name(),
            Self::Notation(anchor, _) => anchor.name(),
        }
    }

    pub const fn scheme(&self) -> Scheme {
        match self {
            Self::Cosign(_) => Scheme::Cosign,
            Self::Notation(..) => Scheme::Notation,
        }
    }

    /// The kind of signatures to search for.
    pub fn kind(&self) -> SignatureKind {
        match self {
            Self::Cosign(anchor) if anchor.wants_attestation() => SignatureKind::CosignAttestation,
            Self::Cosign(_) => SignatureKind::CosignSignature,
            Self::Notation(..) => SignatureKind::Notation,
        }
    }

    /// Where signatures are stored, if not beside the image.
    pub fn signature_repository(&self) -> Option<&RepositoryRef> {
        match self {
            Self::Cosign(anchor) => anchor.config().signature_repository.as_ref(),
            Self::Notation(anchor, _) => anchor.config().signature_repository.as_ref(),
        }
    }

    /// Identifies everything that a verdict depends on other than the image and the time.
    pub fn fingerprint(&self) -> Digest {
        match self {
            Self::Cosign(anchor) => anchor.fingerprint(),
            Self::Notation(anchor, _) => anchor.fingerprint(),
        }
    }

    /// How long its verdicts are used.
    pub fn lifetimes(&self) -> Lifetimes {
        let (refresh, max_stale) = match self {
            Self::Cosign(anchor) => (anchor.config().refresh, anchor.config().max_stale),
            Self::Notation(anchor, _) => (anchor.config().refresh, anchor.config().max_stale),
        };
        Lifetimes { refresh, max_stale }
    }
}

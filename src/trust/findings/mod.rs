//! The schemes that sign content and not names, behind one face: what an anchor says of one manifest.
//! Knows which scheme is judged by whom, where its signatures are looked for, and for how long an answer
//! is used; not what a tag stands for, nor what is required.

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
use crate::oci::{Digest, Registry, Repository};

/// An anchor whose scheme signs content.
#[derive(Clone, Debug)]
pub enum Anchor {
    Cosign(Arc<cosign::Anchor>),
    /// With whom to ask whether its certificates were revoked.
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

    /// What is looked for.
    pub fn kind(&self) -> SignatureKind {
        match self {
            Self::Cosign(anchor) if anchor.wants_attestation() => SignatureKind::CosignAttestation,
            Self::Cosign(_) => SignatureKind::CosignSignature,
            Self::Notation(..) => SignatureKind::Notation,
        }
    }

    /// Where signatures are, if not beside the image.
    pub fn signature_repository(&self) -> Option<&(Registry, Repository)> {
        match self {
            Self::Cosign(anchor) => anchor.config().signature_repository.as_ref(),
            Self::Notation(anchor, _) => anchor.config().signature_repository.as_ref(),
        }
    }

    /// Stands for all that a verdict depends on beside the image and the time.
    pub fn fingerprint(&self) -> Digest {
        match self {
            Self::Cosign(anchor) => anchor.fingerprint(),
            Self::Notation(anchor, _) => anchor.fingerprint(),
        }
    }

    /// How long its answers are used.
    pub fn lifetimes(&self) -> Lifetimes {
        let (refresh, max_stale) = match self {
            Self::Cosign(anchor) => (anchor.config().refresh, anchor.config().max_stale),
            Self::Notation(anchor, _) => (anchor.config().refresh, anchor.config().max_stale),
        };
        Lifetimes { refresh, max_stale }
    }
}

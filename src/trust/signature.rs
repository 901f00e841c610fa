//! One signature over content: the candidate from a registry, and the result of verifying it. Knows neither the rules
//! of a scheme nor where signatures are stored.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::oci::Digest;

use super::keys::VerifiedBytes;
use super::signer::SignerIds;

/// A signature from a registry that matches its digest, but is not verified.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Where it was found, for display: `sha256-….sig, layer 2` or `referrer sha256:…`.
    pub place: String,
    /// The digest of the manifest of a referrer, or of the layer of a tag's manifest.
    pub source: Digest,
    pub content: SignatureContent,
}

/// The content of a candidate, by the media type of its own manifest and layer.
#[derive(Clone, Debug)]
pub enum SignatureContent {
    /// A layer of a cosign `.sig` or `.att` manifest: its payload and the annotations of its descriptor.
    Layer { media_type: String, payload: Bytes, annotations: BTreeMap<String, String> },
    /// A Sigstore bundle.
    Bundle { json: Bytes },
    /// A Notary Project signature envelope, JWS or COSE.
    Envelope { media_type: String, bytes: Bytes },
}

impl SignatureContent {
    /// Its size in bytes.
    pub fn length(&self) -> usize {
        match self {
            Self::Layer { payload: bytes, .. }
            | Self::Bundle { json: bytes }
            | Self::Envelope { bytes, .. } => bytes.len(),
        }
    }
}

/// The claims of a valid signature. Only [`VerifiedSignature::by`] creates one, from bytes whose signature was
/// verified:
///
/// ```
/// use countersign::trust::keys::VerifiedBytes;
/// use countersign::trust::{SignerIds, VerifiedSignature};
/// fn proven(verified: VerifiedBytes<'_>, signer: String, signer_ids: SignerIds) -> VerifiedSignature {
///     VerifiedSignature::by(verified, signer, signer_ids)
/// }
/// ```
///
/// Other modules cannot create one:
///
/// ```compile_fail,E0451
/// use countersign::trust::{SignerIds, VerifiedSignature};
/// fn invented(vouched: &VerifiedSignature, signer: String, signer_ids: SignerIds) -> VerifiedSignature {
///     let VerifiedSignature { proven, signed, expires, renew_by, .. } = vouched.clone();
///     VerifiedSignature { signer, signer_ids, proven, signed, expires, renew_by, sealed: panic!() }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedSignature {
    /// The signer, as the scheme names it: a key's id, or a certificate's identity and issuer.
    pub signer: String,
    /// The keys and names that identify the same signer under another anchor.
    pub signer_ids: SignerIds,
    /// The earliest time at which a log or an authority saw the signature. The signature is not newer, but can be
    /// older: anybody can log or timestamp an old signature again.
    pub proven: Option<Timestamp>,
    /// The signing time, from a source that only the signer can change: the time stated in the signed content, or the
    /// validity of a short-lived certificate. Never later than `proven` or than the time of verification. `None` if
    /// there is neither: then its age is unknown.
    pub signed: Option<Timestamp>,
    /// The earliest expiry of what it is based on; `None` if nothing expires.
    pub expires: Option<Timestamp>,
    /// The earliest expiry that only a person can extend, by signing again; `None` if there is none.
    pub renew_by: Option<Timestamp>,
    sealed: Sealed,
}

/// Prevents other modules from constructing a [`VerifiedSignature`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sealed;

impl VerifiedSignature {
    /// A verified signature of `signer`, without a time or an expiry so far.
    pub fn by(_: VerifiedBytes<'_>, signer: String, signer_ids: SignerIds) -> Self {
        let (proven, signed, expires, renew_by) = (None, None, None, None);
        Self { signer, signer_ids, proven, signed, expires, renew_by, sealed: Sealed }
    }

    /// It expires at `end` at the latest, unless a person signs again.
    pub(super) fn expires_at(&mut self, end: Timestamp) {
        for expiry in [&mut self.expires, &mut self.renew_by] {
            *expiry = Some(expiry.map_or(end, |sooner| sooner.min(end)));
        }
    }

    /// It expires at `end` at the latest, unless a server publishes newer data.
    pub(super) fn is_current_until(&mut self, end: Timestamp) {
        self.expires = Some(self.expires.map_or(end, |sooner| sooner.min(end)));
    }
}

/// Why a candidate is not a valid signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// It is not what the anchor requires: another kind of statement, about another subject. Says nothing against the
    /// image.
    Beside(Flaw),
    /// It is what the anchor requires, but invalid.
    Flawed(Flaw),
    /// Its validity could not be determined, for this reason.
    Undecided(String),
    /// It exceeds a limit of this program and was not examined. Anyone who can push can add such content, so it does not
    /// extend the use of an earlier verdict.
    Unexamined(String),
}

/// The check that a candidate does not exceed a limit of this program.
pub(super) const LIMIT: &str = "limit";

/// A candidate that exceeds a limit was not examined, so its validity is unknown.
impl From<Flaw> for Rejection {
    fn from(flaw: Flaw) -> Self {
        match flaw.check {
            LIMIT => Self::Unexamined(format!("not examined: {} ({})", flaw.found, flaw.wanted)),
            _ => Self::Flawed(flaw),
        }
    }
}

/// One check that a candidate failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The name of the check, stable for programs: `signature`, `identity`, `transparency_log`, …
    pub check: &'static str,
    /// What was found: one clause, without a full stop.
    pub found: String,
    /// What the check requires: one clause.
    pub wanted: String,
}

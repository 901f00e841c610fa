//! One signature over content: as a registry gave it, and what judging it gives. Knows no scheme's
//! rules, and not where signatures are looked for.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::clock::Timestamp;

use super::keys::VerifiedBytes;
use super::signer::SignerIds;

/// One signature as a registry gave it, held against the digest that names it, and not yet believed.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Where it was found, for people: `sha256-….sig, layer 2` or `referrer sha256:…`.
    pub place: String,
    pub content: SignatureContent,
}

/// What a candidate is, by the media type of its own manifest and layer.
#[derive(Clone, Debug)]
pub enum SignatureContent {
    /// A layer of a cosign `.sig` or `.att` manifest: its payload, and what its descriptor is annotated
    /// with.
    Layer { media_type: String, payload: Bytes, annotations: BTreeMap<String, String> },
    /// A Sigstore bundle.
    Bundle { json: Bytes },
    /// A Notary Project signature envelope, JWS or COSE.
    Envelope { media_type: String, bytes: Bytes },
}

impl SignatureContent {
    /// How many bytes it has.
    pub fn length(&self) -> usize {
        match self {
            Self::Layer { payload: bytes, .. }
            | Self::Bundle { json: bytes }
            | Self::Envelope { bytes, .. } => bytes.len(),
        }
    }
}

/// What one good signature says, beside that it is good. Only [`VerifiedSignature::by`] makes one, out of bytes whose
/// signature verified:
///
/// ```
/// use countersign::trust::keys::VerifiedBytes;
/// use countersign::trust::{SignerIds, VerifiedSignature};
/// fn proven(verified: VerifiedBytes<'_>, signer: String, signer_ids: SignerIds) -> VerifiedSignature {
///     VerifiedSignature::by(verified, signer, signer_ids)
/// }
/// ```
///
/// Nothing else does:
///
/// ```compile_fail,E0451
/// use countersign::trust::{SignerIds, VerifiedSignature};
/// fn invented(vouched: &VerifiedSignature, signer: String, signer_ids: SignerIds) -> VerifiedSignature {
///     let VerifiedSignature { proven, signed, expires, .. } = vouched.clone();
///     VerifiedSignature { signer, signer_ids, proven, signed, expires, sealed: panic!() }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedSignature {
    /// Who signed, as the scheme names it: a key's id, a certificate's identity and issuer.
    pub signer: String,
    /// The keys and names by which the same signer is recognised under another anchor.
    pub signer_ids: SignerIds,
    /// The earliest time at which a log or an authority saw the signature. The signature is no younger, but
    /// can be older: anybody can have an old signature logged or stamped again.
    pub proven: Option<Timestamp>,
    /// When it was signed, by what nobody but the signer can change: the time that the signer states in
    /// what the key signed, or that the life of a short-lived certificate bounds. Never later than
    /// `proven` and than it was judged. None if neither tells: then nobody knows how old it is.
    pub signed: Option<Timestamp>,
    /// The earliest end of what it rests on; none where nothing of it ends.
    pub expires: Option<Timestamp>,
    sealed: Sealed,
}

/// Keeps other modules from writing a [`VerifiedSignature`] down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sealed;

impl VerifiedSignature {
    /// What `signer` vouches for by a signature that verified, without a time and without an end so far.
    pub fn by(_: VerifiedBytes<'_>, signer: String, signer_ids: SignerIds) -> Self {
        Self { signer, signer_ids, proven: None, signed: None, expires: None, sealed: Sealed }
    }
}

/// Why a candidate proves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// It is not what the anchor asks for: another kind of statement, about something else. Says
    /// nothing against the image.
    Beside(Flaw),
    /// It is what the anchor asks for, and it does not hold.
    Flawed(Flaw),
    /// It could not be found out, and why.
    Undecided(String),
}

/// The check that a candidate does not exceed a limit of this program.
pub(super) const LIMIT: &str = "limit";

/// A candidate that exceeds a limit was not examined, so nobody knows whether it is good.
impl From<Flaw> for Rejection {
    fn from(flaw: Flaw) -> Self {
        match flaw.check {
            LIMIT => Self::Undecided(format!("not examined: {} ({})", flaw.found, flaw.wanted)),
            _ => Self::Flawed(flaw),
        }
    }
}

/// One check that a candidate did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The check, by one stable word for programs: `signature`, `identity`, `transparency_log`, …
    pub check: &'static str,
    /// One clause for people, without a full stop: what was found.
    pub found: String,
    /// One clause: what would have satisfied it.
    pub wanted: String,
}

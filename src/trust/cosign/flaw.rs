//! The names of the checks of this scheme, which are stable, and functions that create their failures.

use crate::trust::refusal::Restriction;
use crate::trust::signature::{Flaw, Rejection};

use super::limits::MAX_FOUND;

/// The candidate has the format of its media type.
pub(super) const FORMAT: &str = "format";
pub(super) use crate::trust::signature::LIMIT;
/// It is of the kind that the anchor requires: a signature, or an attestation of one type.
pub(super) const KIND: &str = "kind";
/// It is about the digest that is served.
pub(super) const SUBJECT: &str = "subject";
/// The signature verifies with the key, or with the certificate's.
pub(super) const SIGNATURE: &str = "signature";
/// The certificate, and every one above it, was valid at the time of signing.
pub(super) const CERTIFICATE: &str = "certificate";
/// The certificate is for a wanted identity.
pub(super) const IDENTITY: &str = "identity";
/// The certificate names the wanted issuer.
pub(super) const ISSUER: &str = "issuer";
/// A log contains this signature.
pub(super) const TRANSPARENCY_LOG: &str = "transparency_log";
/// The time of signing is proven.
pub(super) const TIME: &str = "time";
/// It names the repository of the image.
pub(super) const SIGNED_IDENTITY: &str = Restriction::SignedIdentity.as_str();
/// The signed annotations are the wanted ones.
pub(super) const ANNOTATIONS: &str = "annotations";

pub(super) fn flaw(
    check: &'static str,
    found: impl Into<String>,
    wanted: impl Into<String>,
) -> Flaw {
    let mut found = found.into();
    if found.len() > MAX_FOUND {
        let end = (0..=MAX_FOUND).rev().find(|at| found.is_char_boundary(*at));
        found.truncate(end.unwrap_or_default());
        found.push('…');
    }
    Flaw { check, found, wanted: wanted.into() }
}

/// It is what the anchor requires, but it is not valid.
pub(super) fn flawed(
    check: &'static str,
    found: impl Into<String>,
    wanted: impl Into<String>,
) -> Rejection {
    flaw(check, found, wanted).into()
}

/// It is not what the anchor requires.
pub(super) fn beside(
    check: &'static str,
    found: impl Into<String>,
    wanted: impl Into<String>,
) -> Rejection {
    Rejection::Beside(flaw(check, found, wanted))
}

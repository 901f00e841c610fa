//! Whether a certificate was valid at a time: there is a path to a root, and every certificate on it was valid then. Knows
//! no names, and not whose roots they are.

use std::time::Duration;

use der::asn1::AnyRef;
use der::{Encode as _, Tag};
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::clock::Timestamp;
use crate::trust::revoked::RevokedSet;

/// id-kp-codeSigning, 1.3.6.1.5.5.7.3.3, as DER has its content.
const CODE_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 3];

/// Why there is no valid path.
#[derive(Debug)]
pub(super) enum Broken {
    /// Every path contains a certificate that this entry of `revoked` names.
    Revoked(String),
    Invalid(String),
}

/// Verifies that the first of `certificates` is issued below the last of `chain`, through any of the others that are not
/// revoked, and that all on that path are valid at `at`. A certificate with purposes must be for signing code. Returns the
/// SubjectPublicKeyInfo (DER) of the issuer.
pub(super) fn holds(
    certificates: &[Vec<u8>],
    chain: &[CertificateDer<'_>],
    at: Timestamp,
    revoked: &RevokedSet,
) -> Result<Vec<u8>, Broken> {
    let all = certificates.iter().map(Vec::as_slice).chain(chain.iter().map(AsRef::as_ref));
    let entry = all.into_iter().find_map(|der| revoked.certificate(der));
    let counts = |der: &[u8]| entry.is_none() || revoked.certificate(der).is_none();
    let held = path(certificates, chain, at, counts);
    match (held, entry) {
        (Err(_), Some(entry)) if path(certificates, chain, at, |_| true).is_ok() => {
            Err(Broken::Revoked(entry.to_owned()))
        }
        (held, _) => held.map_err(Broken::Invalid),
    }
}

/// The same, through the certificates that `counts` accepts.
fn path(
    certificates: &[Vec<u8>],
    chain: &[CertificateDer<'_>],
    at: Timestamp,
    counts: impl Fn(&[u8]) -> bool,
) -> Result<Vec<u8>, String> {
    let (Some((leaf, carried)), Some((root, between))) =
        (certificates.split_first(), chain.split_last())
    else {
        return Err("there is no certificate".to_owned());
    };
    if !counts(leaf) || !counts(root) {
        return Err("a certificate is revoked".to_owned());
    }
    valid(root, at)?;
    if !is_valid(leaf, at) {
        return Err("its validity does not include that time".to_owned());
    }
    let anchor =
        anchor_from_trusted_cert(root).map_err(|e| format!("the root cannot be read: {e}"))?;
    let between: Vec<CertificateDer<'_>> = between
        .iter()
        .cloned()
        .chain(carried.iter().map(|der| CertificateDer::from(der.as_slice())))
        .filter(|der| counts(der))
        .collect();
    let leaf = CertificateDer::from(leaf.as_slice());
    let leaf = EndEntityCert::try_from(&leaf).map_err(|e| format!("it cannot be read: {e}"))?;
    let usage = KeyUsage::required_if_present(CODE_SIGNING);
    let seconds = u64::try_from(at.unix()).map_err(|_| "it is before 1970".to_owned())?;
    let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let anchors = [anchor];
    let verified =
        leaf.verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, &between, at, usage, None, None);
    let verified = verified.map_err(|e| e.to_string())?;
    match verified.intermediate_certificates().next() {
        Some(issuer) => Ok(issuer.subject_public_key_info().as_ref().to_vec()),
        // webpki keeps the content of the anchor's SEQUENCE.
        None => AnyRef::new(Tag::Sequence, verified.anchor().subject_public_key_info.as_ref())
            .and_then(|spki| spki.to_der())
            .map_err(|e| format!("the key of the root cannot be read: {e}")),
    }
}

/// Whether `at` is within the validity of this certificate (DER), to the fraction of a second.
pub(super) fn is_valid(certificate: &[u8], at: Timestamp) -> bool {
    validity(certificate).is_ok_and(|(from, to)| from <= at && at <= to)
}

/// The first instant after `at` at which one of the certificates ends: no path that holds at `at`
/// holds longer than all of them.
pub(super) fn end(
    certificates: &[Vec<u8>],
    chain: &[CertificateDer<'_>],
    at: Timestamp,
) -> Option<Timestamp> {
    let all = certificates.iter().map(Vec::as_slice).chain(chain.iter().map(AsRef::as_ref));
    let ends = all.filter_map(|der| validity(der).ok()).map(|(_, to)| to);
    ends.filter(|to| *to >= at).min()
}

/// A root is trusted for what it is, and only for its time.
fn valid(root: &CertificateDer<'_>, at: Timestamp) -> Result<(), String> {
    let (from, to) = validity(root).map_err(|e| format!("the root cannot be read: {e}"))?;
    if at < from || to < at {
        return Err(format!("the root is valid from {from} to {to}"));
    }
    Ok(())
}

/// The first and the last instant, both of the time that the certificate is valid.
fn validity(der: &[u8]) -> Result<(Timestamp, Timestamp), String> {
    let (_, parsed) = X509Certificate::from_der(der).map_err(|e| e.to_string())?;
    let validity = parsed.validity();
    Ok((
        Timestamp::from_unix(validity.not_before.timestamp()),
        Timestamp::from_unix(validity.not_after.timestamp()),
    ))
}

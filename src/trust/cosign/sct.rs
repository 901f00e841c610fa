//! Certificate transparency (RFC 6962): whether a log of the trusted root has seen a certificate. Pure.

use x509_parser::asn1_rs::{Oid, oid};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{ParsedExtension, SignedCertificateTimestamp as Timestamped};
use x509_parser::prelude::FromDer;

use der::{Encode as _, Tag};
use sha2::{Digest as _, Sha256};

use crate::clock::Timestamp;
use crate::trust::signature::Flaw;
use crate::trust::x509::asn1::{Elements, context};
use crate::trust::x509::{Hash, SignatureAlgorithm};

use super::flaw::{CERTIFICATE, flaw};
use super::log::Log;

/// The extension with the timestamps.
const TIMESTAMPS: Oid<'static> = oid!(1.3.6.1.4.1.11129.2.4.2);

/// Verifies that one of `logs` has signed that it saw the certificate, issued by the key of `issuer_spki` (DER).
pub(super) fn seen(certificate: &[u8], issuer_spki: &[u8], logs: &[Log]) -> Result<(), Flaw> {
    let found = verified(certificate, issuer_spki, logs);
    let wanted = "a certificate that a certificate log of the trusted root has seen (SCT)";
    found.map_err(|found| flaw(CERTIFICATE, found, wanted))
}

fn verified(certificate: &[u8], issuer_spki: &[u8], logs: &[Log]) -> Result<(), &'static str> {
    let (_, parsed) =
        X509Certificate::from_der(certificate).map_err(|_| "the certificate cannot be read")?;
    let extension = parsed.get_extension_unique(&TIMESTAMPS);
    let extension = extension.map_err(|_| "the certificate has two lists of timestamps")?;
    let extension = extension.ok_or("no certificate log has seen the certificate")?;
    let ParsedExtension::SCT(timestamps) = extension.parsed_extension() else {
        return Err("the certificate has unreadable timestamps");
    };
    let precertificate = without_timestamps(parsed.tbs_certificate.as_ref())
        .ok_or("the certificate has unreadable extensions")?;
    let issuer: [u8; 32] = Sha256::digest(issuer_spki).into();
    let good = |timestamp: &Timestamped<'_>| is_good(timestamp, &precertificate, &issuer, logs);
    match timestamps.iter().any(|timestamp| good(timestamp).unwrap_or(false)) {
        true => Ok(()),
        false => Err("no certificate log of the trusted root has seen the certificate"),
    }
}

/// Whether the log signed the timestamp while it was in use.
fn is_good(
    timestamp: &Timestamped<'_>,
    precertificate: &[u8],
    issuer: &[u8; 32],
    logs: &[Log],
) -> Option<bool> {
    let signature = &timestamp.signature;
    // SignatureAndHashAlgorithm of RFC 5246.
    let hash = match signature.hash_alg_id {
        4 => Hash::Sha256,
        5 => Hash::Sha384,
        6 => Hash::Sha512,
        _ => return None,
    };
    let algorithm = match signature.sign_alg_id {
        1 => SignatureAlgorithm::RsaPkcs1(hash),
        3 => SignatureAlgorithm::Ecdsa(hash),
        _ => return None,
    };
    let at = i64::try_from(timestamp.timestamp / 1_000).ok()?;
    let log = logs.iter().find(|log| log.id == timestamp.id.key_id)?;
    let length = u32::try_from(precertificate.len()).ok()?.to_be_bytes();
    let extensions = timestamp.extensions.0;
    // Version 1, certificate_timestamp; then precert_entry.
    let message = [
        &[0, 0][..],
        &timestamp.timestamp.to_be_bytes(),
        &[0, 1],
        issuer,
        length.get(1..)?,
        precertificate,
        &u16::try_from(extensions.len()).ok()?.to_be_bytes(),
        extensions,
    ]
    .concat();
    let is_v1 = timestamp.version.0 == 0 && precertificate.len() < 1 << 24;
    let verified = algorithm.verify(log.key.public(), &message, signature.data);
    Some(is_v1 && log.covers(Timestamp::from_unix(at)) && verified.is_ok())
}

/// A TBSCertificate without its timestamps, as the log saw it.
fn without_timestamps(tbs: &[u8]) -> Option<Vec<u8>> {
    let mut parts = Elements::of(tbs)?;
    let mut content = Vec::new();
    while !parts.is_finished() {
        let Some(extensions) = parts.optional(context(3, true)) else {
            content.extend_from_slice(parts.raw()?);
            continue;
        };
        let mut list = Elements::of(extensions)?;
        let mut kept = Vec::new();
        while !list.is_finished() {
            let extension = list.raw()?;
            let oid = Elements::of(extension)?.content(Tag::ObjectIdentifier)?;
            if oid != TIMESTAMPS.as_bytes() {
                kept.extend_from_slice(extension);
            }
        }
        let kept = element(Tag::Sequence, &kept)?;
        content.extend(element(context(3, true), &kept)?);
    }
    element(Tag::Sequence, &content)
}

fn element(tag: Tag, content: &[u8]) -> Option<Vec<u8>> {
    der::asn1::AnyRef::new(tag, content).ok()?.to_der().ok()
}

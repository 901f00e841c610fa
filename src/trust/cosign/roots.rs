//! A Sigstore trusted root: the certificate authorities, logs and timestamp authorities that are trusted, each for its
//! time. Knows no identity and no key of an anchor. Uses only the caller's time.

use std::fmt;

use rustls::pki_types::CertificateDer;
use sigstore_trust_root::{
    SIGSTORE_GITHUB_TRUSTED_ROOT, SIGSTORE_PRODUCTION_TRUSTED_ROOT, SIGSTORE_STAGING_TRUSTED_ROOT,
    TrustedRoot,
};
use webpki::anchor_from_trusted_cert;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::clock::Timestamp;
use crate::oci::Digest;
use crate::trust::restrictions::revoked_flaw;
use crate::trust::revoked::RevokedSet;
use crate::trust::signature::Flaw;

use super::flaw::{CERTIFICATE, flaw};
use super::log::{Log, checked, covers};
use super::path::{self, Broken};
use super::tsa::Tsa;

/// The trusted certificate authorities, logs and timestamp authorities.
pub struct Roots {
    root: TrustedRoot,
    logs: Vec<Log>,
    certificate_logs: Vec<Log>,
    timestamp_authorities: Vec<Tsa>,
    fingerprint: Digest,
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Roots").field(&self.fingerprint).finish()
    }
}

impl Roots {
    /// The root of the public-good instance, as it was when this program was built.
    pub fn public_good() -> Result<Self, String> {
        Self::parse(SIGSTORE_PRODUCTION_TRUSTED_ROOT)
    }

    /// Reads a `trusted_root.json`.
    ///
    /// # Errors
    /// It cannot be read, or names a key or certificate with which nothing can be verified.
    pub fn parse(json: &str) -> Result<Self, String> {
        let root = TrustedRoot::from_json(json)
            .map_err(|e| format!("is not a trusted_root.json of Sigstore: {e}"))?;
        let logs = root
            .tlogs
            .iter()
            .map(|log| Log::new(&log.base_url, &log.log_id.key_id, &log.public_key));
        let logs = distinct(logs.collect::<Result<Vec<_>, _>>()?)?;
        let seen = root
            .ctlogs
            .iter()
            .map(|log| Log::new(&log.base_url, &log.log_id.key_id, &log.public_key));
        let certificate_logs = distinct(seen.collect::<Result<Vec<_>, _>>()?)?;
        for authority in &root.certificate_authorities {
            let unfit = |why: &str| {
                format!("cannot be used: the certificate authority {:?} {why}", authority.uri)
            };
            checked(authority.valid_for).map_err(|why| unfit(&why))?;
            if authority.cert_chain.certificates.is_empty() {
                return Err(unfit("has no certificate"));
            }
            for one in &authority.cert_chain.certificates {
                anchor_from_trusted_cert(&CertificateDer::from(one.raw_bytes.as_bytes()))
                    .map_err(|e| unfit(&format!("has an unreadable certificate: {e}")))?;
            }
        }
        let authorities = root.timestamp_authorities.iter().map(Tsa::new);
        let timestamp_authorities = authorities.collect::<Result<_, _>>()?;
        let fingerprint = Digest::of(json.as_bytes());
        Ok(Self { root, logs, certificate_logs, timestamp_authorities, fingerprint })
    }

    pub fn fingerprint(&self) -> Digest {
        self.fingerprint
    }

    /// Whether it trusts a certificate authority of the public Sigstore, which gives everyone a certificate;
    /// also where the root comes from a file.
    pub fn certifies_everyone(&self) -> bool {
        certifies_everyone(certificates(&self.root))
    }

    pub fn has_logs(&self) -> bool {
        !self.root.tlogs.is_empty()
    }

    pub fn has_timestamp_authorities(&self) -> bool {
        !self.root.timestamp_authorities.is_empty()
    }

    /// Whether it names certificate authorities, and the logs that their certificates are in.
    pub fn has_authorities(&self) -> bool {
        !self.root.certificate_authorities.is_empty() && !self.root.ctlogs.is_empty()
    }

    pub(super) fn logs(&self) -> &[Log] {
        &self.logs
    }

    pub(super) fn certificate_logs(&self) -> &[Log] {
        &self.certificate_logs
    }

    pub(super) fn timestamp_authorities(&self) -> &[Tsa] {
        &self.timestamp_authorities
    }

    /// Verifies that an authority issued the first of `certificates`, and that it and every certificate above it was valid
    /// at `at` (CVE-2026-24122). Returns the issuer's SubjectPublicKeyInfo (DER).
    pub(super) fn issued(
        &self,
        certificates: &[Vec<u8>],
        at: Timestamp,
        revoked: &RevokedSet,
    ) -> Result<Vec<u8>, Flaw> {
        let leaf = certificates.first().map_or(&[][..], Vec::as_slice);
        if !is_for_code(leaf) {
            let wanted = "a certificate for signing code (extendedKeyUsage codeSigning)";
            return Err(flaw(CERTIFICATE, "the certificate is not for signing code", wanted));
        }
        let mut why = "no authority was in use then".to_owned();
        let mut named = None;
        for authority in &self.root.certificate_authorities {
            if !covers(authority.valid_for, at) {
                continue;
            }
            let chain = authority.cert_chain.certificates.iter();
            let chain: Vec<_> =
                chain.map(|one| CertificateDer::from(one.raw_bytes.as_bytes())).collect();
            match path::holds(certificates, &chain, at, revoked) {
                Ok(issuer) => return Ok(issuer),
                Err(Broken::Revoked(entry)) => named = Some(entry),
                Err(Broken::Invalid(reason)) => why = reason,
            }
        }
        if let Some(entry) = named {
            return Err(revoked_flaw("a certificate above the signer's", &entry));
        }
        let wanted =
            "a certificate of an authority in the trusted root, valid at the time of signing";
        Err(flaw(CERTIFICATE, format!("the certificate was not valid at {at}: {why}"), wanted))
    }
}

/// The logs, if no two have the same id.
fn distinct(logs: Vec<Log>) -> Result<Vec<Log>, String> {
    let twice =
        logs.iter().enumerate().find(|(at, log)| logs[..*at].iter().any(|it| it.id == log.id));
    match twice {
        Some((_, log)) => {
            Err(format!("cannot be used: two logs have the id {}", hex::encode(&log.id)))
        }
        None => Ok(logs),
    }
}

/// Whether one of these certificates (DER) is one of the public Sigstore's authorities, or has the key of one:
/// they give everyone a certificate.
pub(super) fn certifies_everyone<'a>(mut ders: impl Iterator<Item = &'a [u8]>) -> bool {
    let public = [
        SIGSTORE_PRODUCTION_TRUSTED_ROOT,
        SIGSTORE_STAGING_TRUSTED_ROOT,
        SIGSTORE_GITHUB_TRUSTED_ROOT,
    ];
    let public: Result<Vec<TrustedRoot>, _> =
        public.into_iter().map(TrustedRoot::from_json).collect();
    // An unreadable embedded root could contain any authority: assume the worst.
    let Ok(public) = public else { return true };
    let keys: Vec<Vec<u8>> = public.iter().flat_map(certificates).filter_map(key).collect();
    ders.any(|der| key(der).is_none_or(|key| keys.contains(&key)))
}

/// Whether the purposes of a certificate (DER) include signing code.
fn is_for_code(der: &[u8]) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(der) else { return false };
    let purposes = parsed.extended_key_usage();
    purposes.is_ok_and(|purposes| purposes.is_some_and(|it| it.value.code_signing))
}

/// The SubjectPublicKeyInfo of a certificate.
fn key(der: &[u8]) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    Some(parsed.public_key().raw.to_vec())
}

/// The certificates of all certificate authorities, DER.
fn certificates(root: &TrustedRoot) -> impl Iterator<Item = &[u8]> {
    let chains = root.certificate_authorities.iter().map(|authority| &authority.cert_chain);
    chains.flat_map(|chain| &chain.certificates).map(|entry| entry.raw_bytes.as_bytes())
}

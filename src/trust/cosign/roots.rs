//! A Sigstore trusted root: the certificate authorities, logs and timestamp authorities that are
//! believed, each for its time. Hands signatures to the library with it, and checks what the library
//! leaves out. Knows no identity and no key of an anchor.
//!
//! The library reads the machine's clock itself, to refuse what is from the future and logs that have
//! not begun; both are held against the caller's `now` here as well, so that its clock can only refuse
//! more.

use std::fmt;

use rustls::pki_types::CertificateDer;
use sigstore_verify::trust_root::{
    SIGSTORE_GITHUB_TRUSTED_ROOT, SIGSTORE_PRODUCTION_TRUSTED_ROOT, SIGSTORE_STAGING_TRUSTED_ROOT,
    TrustedRoot,
};
use sigstore_verify::types::{DerPublicKey, TimeRange};
use sigstore_verify::{
    Error, Policy, PublicKeyVerificationPolicy, VerificationPolicy, VerificationResult, Verifier,
};

use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::clock::Timestamp;
use crate::oci::Digest;
use crate::trust::restrictions::revoked_flaw;
use crate::trust::revoked::RevokedSet;
use crate::trust::signature::Flaw;
use crate::trust::subject::Subject;

use super::flaw::{CERTIFICATE, FORMAT, SIGNATURE, TIME, TRANSPARENCY_LOG, flaw};
use super::key::Key;
use super::path::{self, Broken};
use super::signed::{Shown, Signed};

/// Whom to believe about certificates, logs and times.
pub struct Roots {
    root: TrustedRoot,
    verifier: Verifier,
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
    pub fn parse(json: &str) -> Result<Self, String> {
        let root = TrustedRoot::from_json(json)
            .map_err(|e| format!("is no trusted_root.json of Sigstore: {e}"))?;
        let verifier = Verifier::new(&root).map_err(|e| format!("cannot be used: {e}"))?;
        Ok(Self { root, verifier, fingerprint: Digest::of(json.as_bytes()) })
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

    /// The times at which logs and authorities saw the signature, made by `key`; none where what is
    /// shown proves none.
    pub(super) fn saw_key(
        &self,
        signed: &Signed,
        subject: &Subject,
        key: &Key,
        shown: Shown,
        now: Timestamp,
    ) -> Result<Vec<Timestamp>, Flaw> {
        let policy = PublicKeyVerificationPolicy::new(DerPublicKey::from_bytes(key.spki()));
        let policy = if shown.entries { policy } else { policy.skip_tlog_unsafe() };
        let result = self.verify(signed, subject, false, shown, &policy)?;
        self.times(signed, &result, shown, now)
    }

    /// The times at which logs and authorities saw the signature, made by its certificate: one at
    /// least. With `issued`, the certificate also is one of these authorities', logged as such, and no
    /// certificate above it is among those that are revoked.
    pub(super) fn saw_certificate(
        &self,
        signed: &Signed,
        subject: &Subject,
        issued: Option<&RevokedSet>,
        shown: Shown,
        now: Timestamp,
    ) -> Result<Vec<Timestamp>, Flaw> {
        let mut policy = VerificationPolicy::any_identity();
        if !shown.entries {
            policy = policy.skip_tlog_unsafe();
        }
        if issued.is_none() {
            policy = policy.skip_certificate_chain();
        }
        let result = self.verify(signed, subject, true, shown, &policy)?;
        let proven = result.tlog_verified() || !shown.entries;
        if !proven
            || (issued.is_some() && !(result.certificate_verified() && result.sct_verified()))
        {
            let wanted = "certificate, SCT and log entry verified";
            return Err(flaw(CERTIFICATE, "a check that was left out", wanted));
        }
        let times = self.times(signed, &result, shown, now)?;
        if times.is_empty() {
            return Err(flaw(TIME, "no proven time of signing", "a log entry or a timestamp"));
        }
        if let Some(revoked) = issued {
            for at in &times {
                self.issued(signed.certificates()?, *at, revoked)?;
            }
        }
        Ok(times)
    }

    fn verify(
        &self,
        signed: &Signed,
        subject: &Subject,
        certified: bool,
        shown: Shown,
        policy: &(impl Policy + ?Sized),
    ) -> Result<VerificationResult, Flaw> {
        let bundle = signed.to_bundle(certified, shown)?;
        let artifact = signed.artifact(subject)?;
        self.verifier.verify(artifact, &bundle, policy).map_err(|e| told(&e))
    }

    /// The proven times, none of them from the future or outside the time of the log that saw it.
    fn times(
        &self,
        signed: &Signed,
        result: &VerificationResult,
        shown: Shown,
        now: Timestamp,
    ) -> Result<Vec<Timestamp>, Flaw> {
        let times = result.verified_timestamps().iter();
        let times: Vec<_> = times.map(|at| Timestamp::from_unix(at.as_second())).collect();
        if let Some(late) = times.iter().find(|at| **at > now) {
            return Err(flaw(
                TIME,
                format!("signed at {late}, which is yet to come"),
                "a past time",
            ));
        }
        if shown.entries {
            // An entry of no proven time could be of any: then its log must be in use still.
            self.logs_cover(
                signed,
                if times.is_empty() { std::slice::from_ref(&now) } else { &times },
            )?;
        }
        Ok(times)
    }

    /// Whether every log that signed for an entry was in use at every proven time. The library looks
    /// at the end of a log's time only where the entry has a promise.
    fn logs_cover(&self, signed: &Signed, times: &[Timestamp]) -> Result<(), Flaw> {
        for entry in signed.entries()? {
            let proof = entry.inclusion_proof.as_ref();
            let checkpoint = proof.and_then(|proof| proof.checkpoint.checkpoint());
            let hints = checkpoint.map_or(&[][..], |checkpoint| checkpoint.signatures());
            let signers = self.root.tlogs.iter().filter(|log| {
                let id = log.log_id.key_id.as_bytes();
                id == entry.log_id.key_id.as_bytes()
                    || hints.iter().any(|hint| id.starts_with(hint.key_id.as_bytes()))
            });
            for log in signers {
                let window = log.public_key.valid_for;
                if let Some(at) = times.iter().find(|at| !covers(window, **at)) {
                    let found =
                        format!("a log entry of {}, which was not in use at {at}", log.base_url);
                    return Err(flaw(
                        TRANSPARENCY_LOG,
                        found,
                        "a log in use at the time of signing",
                    ));
                }
            }
        }
        Ok(())
    }

    /// Whether one authority issued the first of `certificates`, and it and everything above it held
    /// at `at`. The library takes an authority's own certificates for good at any time
    /// (CVE-2026-24122).
    fn issued(
        &self,
        certificates: &[Vec<u8>],
        at: Timestamp,
        revoked: &RevokedSet,
    ) -> Result<(), Flaw> {
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
                Ok(()) => return Ok(()),
                Err(Broken::Revoked(entry)) => named = Some(entry),
                Err(Broken::Invalid(reason)) => why = reason,
            }
        }
        if let Some(entry) = named {
            return Err(revoked_flaw("a certificate above the signer's", &entry));
        }
        let wanted = "a certificate and a chain that all held when it was signed";
        Err(flaw(CERTIFICATE, format!("the certificate did not hold at {at}: {why}"), wanted))
    }
}

/// Both ends belong to the window; none is all of time.
fn covers(window: Option<TimeRange>, at: Timestamp) -> bool {
    window.is_none_or(|window| {
        window.start.as_second() <= at.unix()
            && window.end.is_none_or(|end| at.unix() <= end.as_second())
    })
}

/// What the library found, by our words.
fn told(error: &Error) -> Flaw {
    let (check, wanted) = match error {
        Error::SignatureInvalid(_) => (SIGNATURE, "a signature by the certificate or key"),
        Error::Certificate(_) => (
            CERTIFICATE,
            "a certificate of an authority in the trusted root, logged, and valid when it was used",
        ),
        Error::Timestamp(_) => (TIME, "a time of signing proven by the trusted root's authorities"),
        Error::Types(_) | Error::Crypto(_) => (FORMAT, "evidence that can be read"),
        Error::TransparencyLog(_)
        | Error::ArtifactMismatch(_)
        | Error::UnsupportedArtifact(_)
        | Error::InvalidBundle(_)
        | Error::UnsupportedBundle(_)
        | Error::Bundle(_) => {
            (TRANSPARENCY_LOG, "an entry for this very signature, in a log of the trusted root")
        }
        Error::InvalidTrustRoot(_) | Error::TrustRoot(_) | Error::TrustedCertificate(_) => {
            (CERTIFICATE, "a trusted root that can be used")
        }
        Error::IdentityMismatch { .. }
        | Error::IssuerMismatch { .. }
        | Error::ArtifactRead(_)
        | _ => (FORMAT, "evidence that can be verified"),
    };
    flaw(check, error.to_string(), wanted)
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
    // A root that this program brings along and that cannot be read could be any: assume the worst.
    let Ok(public) = public else { return true };
    let keys: Vec<Vec<u8>> = public.iter().flat_map(certificates).filter_map(key).collect();
    ders.any(|der| key(der).is_none_or(|key| keys.contains(&key)))
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

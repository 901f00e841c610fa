//! A private certificate authority: one root certificate, and the certificates that it issues. It checks
//! nobody's identity.

use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, IsCa, Issuer,
    KeyUsagePurpose,
};
use time::OffsetDateTime;

use crate::clock::Timestamp;

use super::key::{Key, SigningError, failed};

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

pub(super) struct Authority {
    key: Key,
    params: CertificateParams,
    certificate: Certificate,
}

impl Authority {
    /// A root of this common name, valid from a year before `now` until ten years after it.
    pub(super) fn new(common_name: &str, now: Timestamp) -> Result<Self, SigningError> {
        let key = Key::new()?;
        let mut params = params(common_name, a_year_before(now), 11 * YEAR)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(key.pair()).map_err(failed)?;
        Ok(Self { key, params, certificate })
    }

    /// A certificate for `key`.
    pub(super) fn issue(
        &self,
        params: &CertificateParams,
        key: &Key,
    ) -> Result<Certificate, SigningError> {
        let issuer = Issuer::from_params(&self.params, self.key.pair());
        params.signed_by(key.pair(), &issuer).map_err(failed)
    }

    pub(super) fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The public key (SubjectPublicKeyInfo, DER).
    pub(super) fn public(&self) -> Vec<u8> {
        self.key.public()
    }
}

/// What a signer's certificate says: a name, and that its key makes signatures.
pub(super) fn params(
    common_name: &str,
    from: Timestamp,
    lasts: Duration,
) -> Result<CertificateParams, SigningError> {
    let at = |time: Timestamp| OffsetDateTime::from_unix_timestamp(time.unix()).map_err(failed);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for (kind, text) in [
        (DnType::CountryName, "US"),
        (DnType::StateOrProvinceName, "WA"),
        (DnType::OrganizationName, "Acme"),
        (DnType::CommonName, common_name),
    ] {
        params.distinguished_name.push(kind, text);
    }
    params.not_before = at(from)?;
    params.not_after = at(from.plus(lasts))?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    Ok(params)
}

pub(super) fn a_year_before(now: Timestamp) -> Timestamp {
    Timestamp::from_unix(now.unix() - 365 * 24 * 60 * 60)
}

/// A certificate as files contain it.
pub(super) fn pem(certificate: &Certificate) -> String {
    certificate.pem().replace("\r\n", "\n")
}

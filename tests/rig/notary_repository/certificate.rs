//! The certificates that contain root keys.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

use super::json::NOW;
use super::keys::Key;

/// The content of a certificate; the default is that of a root key's certificate from Notary.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub common_name: String,
    /// Days from now.
    pub from: i64,
    pub until: i64,
    pub ca: bool,
}

impl Certificate {
    pub fn named(common_name: &str) -> Self {
        Self { common_name: common_name.to_owned(), from: -30, until: 3650, ca: false }
    }

    /// A certificate that signs others.
    pub fn authority(common_name: &str) -> Self {
        Self { ca: true, ..Self::named(common_name) }
    }

    fn params(&self) -> CertificateParams {
        let now = OffsetDateTime::from_unix_timestamp(NOW).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, self.common_name.as_str());
        params.not_before = now + Duration::days(self.from);
        params.not_after = now + Duration::days(self.until);
        if self.ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        } else {
            params.is_ca = IsCa::ExplicitNoCa;
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        }
        params
    }

    /// The PEM of this certificate for `key`, signed by `key` itself.
    pub fn self_signed(&self, key: &Key) -> String {
        unix_lines(&self.params().self_signed(&*key.pair).unwrap().pem())
    }

    /// The PEM of this certificate for `key`, signed with `authority_key` in the name of `authority`.
    pub fn issued(&self, key: &Key, authority: &Self, authority_key: &Key) -> String {
        let params = authority.params();
        let issuer = Issuer::from_params(&params, &*authority_key.pair);
        unix_lines(&self.params().signed_by(&*key.pair, &issuer).unwrap().pem())
    }

    /// `key` in this certificate.
    pub fn of(&self, key: &Key) -> Key {
        key.in_certificate(self.self_signed(key))
    }
}

/// Notary writes PEM with Unix line ends, and ids cover every byte.
fn unix_lines(pem: &str) -> String {
    pem.replace("\r\n", "\n")
}

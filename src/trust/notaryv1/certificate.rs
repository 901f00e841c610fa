//! The certificates of root keys. A certificate binds a key to a GUN by its common name, for a time. It is self-signed:
//! pins and the trust memory decide whether it is trusted.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::{
    OID_PKCS1_RSASSAPSS, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA,
    OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512,
};
use x509_parser::prelude::FromDer;

use crate::clock::Timestamp;
use crate::trust::keys::PublicKey;

use super::gun::Gun;
use super::tuf_key::{KeyId, family};

/// The most certificates of one key.
const MAX_CERTIFICATES: usize = 8;
/// How many seconds before its start a certificate already counts, to allow for clock differences
/// (`utils.ValidateCertificate`).
const EARLY: i64 = 24 * 60 * 60;

/// The relevant fields of a leaf certificate. Intermediates may follow it in the PEM; they are not used.
#[derive(Clone, Debug)]
pub(super) struct Certificates {
    common_name: String,
    key: PublicKey,
    canonical_id: KeyId,
    der: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Certificates {
    /// Reads PEM exactly as Notary writes it: one leaf certificate, its intermediates, and nothing else.
    pub(super) fn parse(pem: &[u8]) -> Option<Self> {
        let certificates =
            CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().ok()?;
        if certificates.len() > MAX_CERTIFICATES || encode(&certificates).as_bytes() != pem {
            return None;
        }
        let (leaf, intermediates) = certificates.split_first()?;
        for intermediate in intermediates {
            let (_, parsed) = X509Certificate::from_der(intermediate).ok()?;
            if !parsed.is_ca() {
                return None;
            }
        }
        Self::leaf(leaf)
    }

    fn leaf(der: &CertificateDer<'_>) -> Option<Self> {
        let (rest, parsed) = X509Certificate::from_der(der).ok()?;
        let strong = [
            OID_PKCS1_RSASSAPSS,
            OID_PKCS1_SHA256WITHRSA,
            OID_PKCS1_SHA384WITHRSA,
            OID_PKCS1_SHA512WITHRSA,
            OID_SIG_ECDSA_WITH_SHA256,
            OID_SIG_ECDSA_WITH_SHA384,
            OID_SIG_ECDSA_WITH_SHA512,
        ];
        let validity = parsed.validity();
        if !rest.is_empty()
            || parsed.is_ca()
            || !strong.contains(&parsed.signature_algorithm.algorithm)
            || validity.not_before > validity.not_after
        {
            return None;
        }
        let spki = parsed.public_key().raw;
        let key = PublicKey::from_spki(spki)?;
        let canonical_id = KeyId::of(family(&key)?, spki);
        let common_name = parsed.subject().iter_common_name().last()?.as_str().ok()?.to_owned();
        Some(Self {
            common_name,
            key,
            canonical_id,
            der: der.to_vec(),
            not_before: Timestamp::from_unix(validity.not_before.timestamp()),
            not_after: Timestamp::from_unix(validity.not_after.timestamp()),
        })
    }

    pub(super) fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The id of the key without its certificate. Docker names private key files by it.
    pub(super) fn canonical_id(&self) -> KeyId {
        self.canonical_id
    }

    pub(super) fn der(&self) -> &[u8] {
        &self.der
    }

    pub(super) fn not_after(&self) -> Timestamp {
        self.not_after
    }

    pub(super) fn common_name(&self) -> &str {
        &self.common_name
    }

    /// Whether the certificate is for `gun`: its common name is the GUN or, if `wildcards`, a parent with `/*`. A bare `*`
    /// matches nothing.
    pub(super) fn names(&self, gun: &Gun, wildcards: bool) -> bool {
        match self.common_name.strip_suffix("/*") {
            Some(parent) if wildcards && !parent.is_empty() && !parent.contains('*') => {
                gun.as_str().strip_prefix(parent).is_some_and(|rest| rest.starts_with('/'))
            }
            Some(_) | None => self.common_name == gun.as_str(),
        }
    }

    pub(super) fn valid_at(&self, now: Timestamp) -> bool {
        self.not_before.unix() <= now.unix().saturating_add(EARLY) && now <= self.not_after
    }
}

/// PEM as Go's `pem.EncodeToMemory` writes it: lines of 64 characters, nothing before or between the blocks.
fn encode(certificates: &[CertificateDer<'_>]) -> String {
    let mut pem = String::new();
    for certificate in certificates {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = STANDARD.encode(certificate);
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = after;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    pem
}

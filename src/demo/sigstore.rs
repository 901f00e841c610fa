//! A private Sigstore: a certificate authority (Fulcio), the log of its certificates, and a log of signatures
//! (Rekor v1). It gives everyone the certificate that they ask for. The logs keep nothing: they sign a promise
//! that they include an entry.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CustomExtension, DistinguishedName, ExtendedKeyUsagePurpose, SanType};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::clock::Timestamp;

use super::authority::{Authority, a_year_before, params, pem};
use super::key::{Key, SigningError, failed};

/// Who vouches for the people that get certificates.
pub(super) const ISSUER: &str = "https://login.acme.example";

/// How long a signer's certificate is valid.
const CERTIFICATE_LASTS: Duration = Duration::from_secs(10 * 60);

/// The extension with the issuer (Fulcio, OID information).
const ISSUER_EXTENSION: &[u64] = &[1, 3, 6, 1, 4, 1, 57264, 1, 8];
/// The extension with signed certificate timestamps (RFC 6962, 3.3).
const TIMESTAMPS_EXTENSION: &[u64] = &[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];

pub(super) struct Sigstore {
    fulcio: Authority,
    certificate_log: Key,
    rekor: Key,
    since: Timestamp,
}

/// A person's certificate, and its key.
pub(super) struct Certified {
    pub(super) key: Key,
    pub(super) pem: String,
}

impl Sigstore {
    pub(super) fn new(now: Timestamp) -> Result<Self, SigningError> {
        Ok(Self {
            fulcio: Authority::new("demo Fulcio", now)?,
            certificate_log: Key::new()?,
            rekor: Key::new()?,
            since: a_year_before(now),
        })
    }

    /// Its `trusted_root.json`.
    pub(super) fn trusted_root(&self) -> Value {
        let valid_for = json!({ "start": self.since.to_string() });
        let log = |key: &Key, url: &str| {
            json!({
                "baseUrl": url,
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": STANDARD.encode(key.public()),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": valid_for,
                },
                "logId": { "keyId": STANDARD.encode(id(key)) },
            })
        };
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(&self.rekor, "https://rekor.acme.example")],
            "certificateAuthorities": [{
                "subject": { "organization": "Acme", "commonName": "demo Fulcio" },
                "uri": "https://fulcio.acme.example",
                "certChain": { "certificates": [
                    { "rawBytes": STANDARD.encode(self.fulcio.certificate().der()) },
                ] },
                "validFor": valid_for,
            }],
            "ctlogs": [log(&self.certificate_log, "https://ct.acme.example")],
            "timestampAuthorities": [],
        })
    }

    /// The certificate of the authority, PEM.
    pub(super) fn chain(&self) -> String {
        pem(self.fulcio.certificate())
    }

    /// A certificate for the person with this mail address, with the proof that it is in the log of
    /// certificates.
    pub(super) fn certify(&self, mail: &str, at: Timestamp) -> Result<Certified, SigningError> {
        let key = Key::new()?;
        let mut params = params("", at, CERTIFICATE_LASTS)?;
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::Rfc822Name(mail.try_into().map_err(failed)?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        let mut extend = |oid: &[u64], content| {
            params.custom_extensions.push(CustomExtension::from_oid_content(oid, content));
            self.fulcio.issue(&params, &key)
        };
        // A short UTF8String.
        let issuer = [&[0x0c, short::<u8>(ISSUER.len())?], ISSUER.as_bytes()].concat();
        let unlogged = extend(ISSUER_EXTENSION, issuer)?;
        let (_, unlogged) = X509Certificate::from_der(unlogged.der()).map_err(failed)?;
        let timestamps = self.certificate_timestamps(unlogged.tbs_certificate.as_ref(), at)?;
        let pem = pem(&extend(TIMESTAMPS_EXTENSION, timestamps)?);
        Ok(Certified { key, pem })
    }

    /// A list of one signed certificate timestamp (RFC 6962, 3.2 and 3.3), in its OCTET STRING.
    fn certificate_timestamps(
        &self,
        certificate: &[u8],
        at: Timestamp,
    ) -> Result<Vec<u8>, SigningError> {
        let at = (at.unix() * 1000).to_be_bytes();
        let issuer: [u8; 32] = Sha256::digest(self.fulcio.public()).into();
        let length = short::<u32>(certificate.len())?.to_be_bytes();
        // v1, certificate_timestamp, time, precert_entry, issuer, certificate, no extensions.
        let signed =
            [&[0, 0][..], &at, &[0, 1], &issuer, &length[1..], certificate, &[0, 0]].concat();
        let signature = self.certificate_log.sign(&signed)?;
        let prefixed =
            |bytes: &[u8]| Ok([&short::<u16>(bytes.len())?.to_be_bytes()[..], bytes].concat());
        // v1, the log, time, no extensions, SHA-256 with ECDSA.
        let log = id(&self.certificate_log);
        let one = [&[0][..], &log, &at, &[0, 0, 4, 3], &prefixed(&signature)?].concat();
        let list = prefixed(&prefixed(&one)?)?;
        Ok([&[0x04, short::<u8>(list.len())?][..], &list].concat())
    }

    /// The log's entry for the signature of `payload` by `certificate` (PEM), as cosign annotates a signature
    /// with it.
    pub(super) fn log(
        &self,
        payload: &[u8],
        signature: &[u8],
        certificate: &str,
        at: Timestamp,
    ) -> Result<Value, SigningError> {
        let hash = hex::encode(Sha256::digest(payload));
        let body = json!({
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": { "hash": { "algorithm": "sha256", "value": hash } },
                "signature": {
                    "content": STANDARD.encode(signature),
                    "publicKey": { "content": STANDARD.encode(certificate) },
                },
            },
        });
        // Its members are in the order of canonical JSON.
        let promised = json!({
            "body": STANDARD.encode(body.to_string()),
            "integratedTime": at.unix(),
            "logID": hex::encode(id(&self.rekor)),
            "logIndex": 1,
        });
        let promise = self.rekor.sign(promised.to_string().as_bytes())?;
        Ok(json!({ "SignedEntryTimestamp": STANDARD.encode(promise), "Payload": promised }))
    }
}

/// What a log is known by: the hash of its public key.
fn id(key: &Key) -> [u8; 32] {
    Sha256::digest(key.public()).into()
}

fn short<T: TryFrom<usize, Error: ToString>>(length: usize) -> Result<T, SigningError> {
    T::try_from(length).map_err(failed)
}

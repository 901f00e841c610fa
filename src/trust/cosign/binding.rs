//! Whether a log entry records this very signature (CVE-2022-36056, CVE-2026-22703): the signature, the key or certificate,
//! and the hash of what was signed. Pure; whether the entry is in a log is verified elsewhere.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::trust::signature::Flaw;
use crate::trust::x509::Hash;

use super::claim::{Form, enveloped};
use super::flaw::{TRANSPARENCY_LOG, flaw};
use super::key::Key;
use super::log_entry::LogEntry;
use super::signed::Signed;

/// Who made a signature.
#[derive(Clone, Copy, Debug)]
pub(super) enum By<'a> {
    /// A key of the anchor. The entry may also have a certificate with this key, as hardware tokens have one.
    Key(&'a Key),
    /// A certificate, DER.
    Certificate(&'a [u8]),
}

impl LogEntry {
    /// Verifies that the entry records `signed`, signed by `by`.
    pub(super) fn records(&self, signed: &Signed, by: By<'_>) -> Result<(), Flaw> {
        let found = self.mismatch(signed, by);
        found.map_err(|found| flaw(TRANSPARENCY_LOG, found, "an entry for this very signature"))
    }

    fn mismatch(&self, signed: &Signed, by: By<'_>) -> Result<(), String> {
        let (kind, version) = self.kind();
        let body: Body = self.read()?;
        if (body.kind.as_str(), body.api_version.as_str()) != (kind, version) {
            return Err("the log entry is of another kind than it says".to_owned());
        }
        let entry = match (kind, version, signed.form) {
            // Rekor v1 records the envelope of a statement with the other kinds.
            ("hashedrekord", "0.0.1", Form::Payload) => {
                self.read::<Spec<HashedRekord>>()?.entry()?
            }
            ("hashedrekord", "0.0.2", _) => self.read::<Spec<HashedRekord2>>()?.entry()?,
            ("dsse", "0.0.1", Form::Statement(_)) => self.read::<Spec<Dsse>>()?.entry()?,
            ("intoto", "0.0.1", Form::Statement(_)) => self.read::<Spec<InToto1>>()?.entry()?,
            ("intoto", "0.0.2", Form::Statement(_)) => self.read::<Spec<InToto2>>()?.entry()?,
            _ => return Err(format!("an entry of kind {kind} {version} for such a signature")),
        };
        if entry.signature.is_some_and(|signature| signature != signed.signature) {
            return Err("the log entry is of another signature".to_owned());
        }
        for hashed in entry.hashes {
            let content = match hashed.of {
                Content::Message => Some(signed.message.as_slice()),
                Content::Payload => enveloped(&signed.message),
                Content::Envelope => signed.envelope.as_deref(),
            };
            let content = content.ok_or("the hash of the log entry is of something else")?;
            if hashed.hash.of(content) != hashed.value {
                return Err("the log entry is about other content".to_owned());
            }
        }
        entry.verifier.is(by)
    }

    fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_slice(self.canonicalized_body.as_bytes())
            .map_err(|e| format!("an unreadable log entry: {e}"))
    }
}

/// What an entry records. At least one hash covers the signed content; without `signature`, one covers the envelope, which
/// contains the signature.
struct Recorded {
    signature: Option<Vec<u8>>,
    hashes: Vec<Hashed>,
    verifier: Verifier,
}

struct Hashed {
    of: Content,
    hash: Hash,
    value: Vec<u8>,
}

/// Content that entries hash.
#[derive(Clone, Copy)]
enum Content {
    /// The signed bytes.
    Message,
    /// The statement in an envelope.
    Payload,
    /// The whole envelope, as it was sent to the log.
    Envelope,
}

/// The key or certificate that an entry records.
enum Verifier {
    Key(Vec<u8>),
    Certificate(Vec<u8>),
}

impl Verifier {
    /// Reads the base64 of one PEM key or certificate.
    fn from_pem(text: &str) -> Result<Self, String> {
        let pem = decoded(text)?;
        let wrong =
            |e: rustls::pki_types::pem::Error| format!("an unreadable key in the entry: {e}");
        let is_certificate = pem.windows(17).any(|window| window == b"BEGIN CERTIFICATE");
        match is_certificate {
            true => CertificateDer::from_pem_slice(&pem)
                .map(|der| Self::Certificate(der.to_vec()))
                .map_err(wrong),
            false => SubjectPublicKeyInfoDer::from_pem_slice(&pem)
                .map(|der| Self::Key(der.to_vec()))
                .map_err(wrong),
        }
    }

    fn is(&self, by: By<'_>) -> Result<(), String> {
        let same = match (self, by) {
            (Self::Key(der), By::Key(key)) => is_key(der, key),
            (Self::Certificate(der), By::Key(key)) => X509Certificate::from_der(der)
                .is_ok_and(|(_, parsed)| is_key(parsed.public_key().raw, key)),
            (Self::Certificate(der), By::Certificate(certificate)) => der == certificate,
            (Self::Key(_), By::Certificate(_)) => false,
        };
        match same {
            true => Ok(()),
            false => Err("the log entry is of another key or certificate".to_owned()),
        }
    }
}

fn is_key(spki: &[u8], key: &Key) -> bool {
    Key::from_spki(spki).is_ok_and(|other| other.public() == key.public())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    kind: String,
    api_version: String,
}

#[derive(Deserialize)]
struct Spec<T> {
    spec: T,
}

/// A hash in hexadecimal.
#[derive(Deserialize)]
struct HexHash {
    algorithm: String,
    value: String,
}

impl HexHash {
    fn over(&self, of: Content) -> Result<Hashed, String> {
        let value = hex::decode(&self.value).map_err(|e| format!("a hash of the entry: {e}"))?;
        Ok(Hashed { of, hash: hash(&self.algorithm)?, value })
    }
}

/// `hashedrekord` 0.0.1.
#[derive(Deserialize)]
struct HashedRekord {
    data: HashedData,
    signature: PemSignature,
}

#[derive(Deserialize)]
struct HashedData {
    hash: HexHash,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PemSignature {
    content: String,
    public_key: PemKey,
}

#[derive(Deserialize)]
struct PemKey {
    content: String,
}

impl Spec<HashedRekord> {
    fn entry(self) -> Result<Recorded, String> {
        let HashedRekord { data, signature } = self.spec;
        Ok(Recorded {
            signature: Some(decoded(&signature.content)?),
            hashes: vec![data.hash.over(Content::Message)?],
            verifier: Verifier::from_pem(&signature.public_key.content)?,
        })
    }
}

/// `hashedrekord` 0.0.2, of Rekor v2.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HashedRekord2 {
    hashed_rekord_v002: HashedRekord2Content,
}

#[derive(Deserialize)]
struct HashedRekord2Content {
    data: HashedRekord2Data,
    signature: HashedRekord2Signature,
}

#[derive(Deserialize)]
struct HashedRekord2Data {
    algorithm: String,
    digest: String,
}

#[derive(Deserialize)]
struct HashedRekord2Signature {
    content: String,
    verifier: HashedRekord2Verifier,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HashedRekord2Verifier {
    x509_certificate: Option<Raw>,
    public_key: Option<Raw>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    raw_bytes: String,
}

impl Spec<HashedRekord2> {
    fn entry(self) -> Result<Recorded, String> {
        let HashedRekord2Content { data, signature } = self.spec.hashed_rekord_v002;
        let verifier = match (signature.verifier.x509_certificate, signature.verifier.public_key) {
            (Some(certificate), None) => Verifier::Certificate(decoded(&certificate.raw_bytes)?),
            (None, Some(key)) => Verifier::Key(decoded(&key.raw_bytes)?),
            (Some(_), Some(_)) | (None, None) => {
                return Err("a log entry without exactly one key or certificate".to_owned());
            }
        };
        let hashed = Hashed {
            of: Content::Message,
            hash: hash(&data.algorithm)?,
            value: decoded(&data.digest)?,
        };
        let signature = Some(decoded(&signature.content)?);
        Ok(Recorded { signature, hashes: vec![hashed], verifier })
    }
}

/// `dsse` 0.0.1. Its hash of the envelope is that of the JSON sent to the log, which a bundle does not keep.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dsse {
    payload_hash: HexHash,
    signatures: Vec<DsseSignature>,
}

#[derive(Deserialize)]
struct DsseSignature {
    signature: String,
    verifier: String,
}

impl Spec<Dsse> {
    fn entry(self) -> Result<Recorded, String> {
        let [signature] = self.spec.signatures.as_slice() else {
            return Err("a log entry without exactly one signature".to_owned());
        };
        Ok(Recorded {
            signature: Some(decoded(&signature.signature)?),
            hashes: vec![self.spec.payload_hash.over(Content::Payload)?],
            verifier: Verifier::from_pem(&signature.verifier)?,
        })
    }
}

/// `intoto` 0.0.1, of cosign 1 and 2: it records the hash of the envelope, and not the signature.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InToto1 {
    content: InToto1Content,
    public_key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InToto1Content {
    hash: HexHash,
    payload_hash: Option<HexHash>,
}

impl Spec<InToto1> {
    fn entry(self) -> Result<Recorded, String> {
        let content = self.spec.content;
        let mut hashes = vec![content.hash.over(Content::Envelope)?];
        if let Some(hash) = content.payload_hash {
            hashes.push(hash.over(Content::Payload)?);
        }
        let verifier = Verifier::from_pem(&self.spec.public_key)?;
        Ok(Recorded { signature: None, hashes, verifier })
    }
}

/// `intoto` 0.0.2.
#[derive(Deserialize)]
struct InToto2 {
    content: InToto2Content,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InToto2Content {
    envelope: InToto2Envelope,
    payload_hash: HexHash,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InToto2Envelope {
    payload_type: String,
    signatures: Vec<InToto2Signature>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InToto2Signature {
    sig: String,
    public_key: String,
}

impl Spec<InToto2> {
    fn entry(self) -> Result<Recorded, String> {
        let InToto2Content { envelope, payload_hash } = self.spec.content;
        if envelope.payload_type != super::claim::STATEMENT_TYPE {
            return Err(format!("a log entry of the payload type {:?}", envelope.payload_type));
        }
        let [signature] = envelope.signatures.as_slice() else {
            return Err("a log entry without exactly one signature".to_owned());
        };
        // Rekor encodes the signature of these entries twice.
        let once = String::from_utf8(decoded(&signature.sig)?).map_err(|e| e.to_string())?;
        Ok(Recorded {
            signature: Some(decoded(&once)?),
            hashes: vec![payload_hash.over(Content::Payload)?],
            verifier: Verifier::from_pem(&signature.public_key)?,
        })
    }
}

fn decoded(text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|e| format!("a part of the log entry is not base64: {e}"))
}

/// A hash by the names of Rekor v1 and v2.
fn hash(name: &str) -> Result<Hash, String> {
    match name {
        "sha256" | "SHA2_256" => Ok(Hash::Sha256),
        "sha384" | "SHA2_384" => Ok(Hash::Sha384),
        "sha512" | "SHA2_512" => Ok(Hash::Sha512),
        other => Err(format!("a log entry with the hash {other:?}")),
    }
}

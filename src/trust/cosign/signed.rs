//! A candidate taken apart: what is claimed, the bytes that were signed, and the evidence beside them.
//! Everything is read and nothing is believed. Evidence that the anchor may not ask for is read when
//! it is asked for, so that what is broken in it harms only those who need it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use sigstore_verify::types::{
    Artifact, ArtifactDigest, Bundle, DerCertificate, DigestBytes, DsseEnvelope, HashAlgorithm,
    MediaType, MessageDigest, MessageSignature, PublicKeyIdentifier, Rfc3161Timestamp,
    SignatureBytes, SignatureContent as BundleContent, TimestampVerificationData,
    TransparencyLogEntry, VerificationMaterial, VerificationMaterialContent, X509Certificate,
};

use crate::oci::digest::Algorithm;
use crate::trust::signature::{Flaw, Rejection, SignatureContent};
use crate::trust::subject::Subject;

use super::claim::{Form, Outline, STATEMENT_TYPE};
use super::evidence::{self, Evidence};
use super::flaw::{FORMAT, KIND, LIMIT, SUBJECT, beside, flaw, flawed};
use super::limits::{MAX_CERTIFICATE, MAX_CERTIFICATES, MAX_ENVELOPE, MAX_SIGNATURE};

/// The media type of a simple signing payload.
pub const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The media type of an attestation in a layer of its own.
pub const DSSE_ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

/// One signature with what belongs to it.
pub(super) struct Signed {
    /// What it says that it is; what it claims is read once the signature verified.
    pub(super) outline: Outline,
    pub(super) form: Form,
    /// The bytes that the signature is over.
    pub(super) message: Vec<u8>,
    pub(super) signature: Vec<u8>,
    content: BundleContent,
    version: Option<MediaType>,
    evidence: Evidence,
}

/// Which of the evidence is to be shown to the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) entries: bool,
    pub(super) timestamps: bool,
}

impl Signed {
    pub(super) fn read(content: &SignatureContent) -> Result<Self, Rejection> {
        match content {
            SignatureContent::Layer { media_type, payload, annotations } => {
                match media_type.as_str() {
                    SIMPLE_SIGNING => Self::simple(payload, annotations),
                    DSSE_ENVELOPE => Self::attestation(payload, annotations),
                    other => Err(beside(
                        KIND,
                        format!("a layer of the media type {other:?}"),
                        format!("{SIMPLE_SIGNING}, {DSSE_ENVELOPE} or a Sigstore bundle"),
                    )),
                }
            }
            SignatureContent::Bundle { json } => Self::bundle(json),
            SignatureContent::Envelope { media_type, .. } => Err(beside(
                KIND,
                format!("a Notary Project signature, {media_type}"),
                "a signature of cosign",
            )),
        }
    }

    fn simple(payload: &[u8], annotations: &BTreeMap<String, String>) -> Result<Self, Rejection> {
        let form = Form::Payload;
        let outline = Outline::read(form, payload).map_err(Rejection::from)?;
        let signature = annotations.get(SIGNATURE).filter(|text| !text.is_empty());
        let signature = signature.and_then(|text| STANDARD.decode(text).ok());
        let signature = signature.ok_or_else(|| {
            flawed(FORMAT, "the layer bears no signature", format!("base64 in {SIGNATURE}"))
        })?;
        let digest = DigestBytes::new(Sha256::digest(payload).to_vec());
        let content = BundleContent::MessageSignature(
            MessageSignature::new(SignatureBytes::from_bytes(&signature))
                .with_message_digest(MessageDigest::new(HashAlgorithm::Sha2256, digest)),
        );
        let evidence = Evidence::of_layer(annotations, true);
        Self::new((form, outline), payload.to_vec(), signature, content, None, evidence)
    }

    fn attestation(
        envelope: &[u8],
        annotations: &BTreeMap<String, String>,
    ) -> Result<Self, Rejection> {
        let envelope: DsseEnvelope =
            evidence::strict(envelope, MAX_ENVELOPE, "DSSE envelope").map_err(Rejection::from)?;
        // A timestamp beside it is over the whole envelope and not over the signature: it proves
        // nothing of that, and is left alone.
        let evidence = Evidence::of_layer(annotations, false);
        Self::enveloped(envelope, None, evidence)
    }

    fn bundle(json: &[u8]) -> Result<Self, Rejection> {
        let (bundle, evidence) = Evidence::of_bundle(json).map_err(Rejection::from)?;
        match bundle.content {
            BundleContent::DsseEnvelope(envelope) => {
                Self::enveloped(envelope, Some(bundle.media_type), evidence)
            }
            BundleContent::MessageSignature(_) => Err(beside(
                KIND,
                "a bundle with a signature over a file",
                "a bundle with a statement about an image",
            )),
            _ => Err(beside(KIND, "a bundle of an unknown kind", "a bundle with a statement")),
        }
    }

    fn enveloped(
        envelope: DsseEnvelope,
        version: Option<MediaType>,
        evidence: Evidence,
    ) -> Result<Self, Rejection> {
        if envelope.payload_type != STATEMENT_TYPE {
            return Err(flawed(
                FORMAT,
                format!("an envelope around {:?}", envelope.payload_type),
                STATEMENT_TYPE,
            ));
        }
        let form = Form::Statement;
        let outline = Outline::read(form, envelope.payload.as_bytes()).map_err(Rejection::from)?;
        let (message, signature) = (envelope.pae(), envelope.signature.sig.as_bytes().to_vec());
        let content = BundleContent::DsseEnvelope(envelope);
        Self::new((form, outline), message, signature, content, version, evidence)
    }

    fn new(
        (form, outline): (Form, Outline),
        message: Vec<u8>,
        signature: Vec<u8>,
        content: BundleContent,
        version: Option<MediaType>,
        evidence: Evidence,
    ) -> Result<Self, Rejection> {
        if signature.len() > MAX_SIGNATURE {
            let found = format!("a signature of {} bytes", signature.len());
            return Err(flawed(LIMIT, found, format!("at most {MAX_SIGNATURE} bytes")));
        }
        Ok(Self { outline, form, message, signature, content, version, evidence })
    }

    /// What the library is to hold the signature against: the payload, or the image in a statement.
    pub(super) fn artifact(&self, subject: &Subject) -> Result<Artifact<'_>, Flaw> {
        if matches!(self.content, BundleContent::MessageSignature(_)) {
            return Ok(Artifact::from_blob(&self.message));
        }
        let algorithm = match subject.digest.algorithm() {
            Algorithm::Sha256 => HashAlgorithm::Sha2256,
            Algorithm::Sha512 => HashAlgorithm::Sha2512,
        };
        let digest = ArtifactDigest::new(algorithm, subject.digest.raw())
            .map_err(|e| flaw(SUBJECT, e.to_string(), subject.digest.to_string()))?;
        Ok(Artifact::from_digest(digest))
    }

    /// Refuses a certificate chain in a bundle 0.3: the public Sigstore writes one certificate there. cosign writes a
    /// chain for a private PKI.
    pub(super) fn has_one_certificate_in_0_3(&self) -> Result<(), Flaw> {
        match (&self.version, self.evidence.is_chain) {
            (Some(MediaType::Bundle0_3), true) => Err(flaw(
                FORMAT,
                "a bundle 0.3 with a certificate chain",
                "one certificate; a chain needs an anchor with `certificate_chain`",
            )),
            (Some(_) | None, _) => Ok(()),
        }
    }

    /// The certificates that came along, DER, the signer's own first: at least one.
    pub(super) fn certificates(&self) -> Result<&[Vec<u8>], Flaw> {
        let certificates = self.evidence.certificates.as_deref().map_err(Clone::clone)?;
        if certificates.len() > MAX_CERTIFICATES {
            let found = format!("{} certificates", certificates.len());
            return Err(flaw(LIMIT, found, format!("at most {MAX_CERTIFICATES}")));
        }
        if certificates.iter().any(|der| der.len() > MAX_CERTIFICATE) {
            let wanted = format!("at most {MAX_CERTIFICATE} bytes");
            return Err(flaw(LIMIT, "a very long certificate", wanted));
        }
        Ok(certificates)
    }

    pub(super) fn entries(&self) -> Result<&[TransparencyLogEntry], Flaw> {
        self.evidence.entries.as_deref().map_err(Clone::clone)
    }

    pub(super) fn timestamps(&self) -> Result<&[Rfc3161Timestamp], Flaw> {
        self.evidence.timestamps.as_deref().map_err(Clone::clone)
    }

    /// The whole as a bundle that the library verifies, with its certificates or for a key.
    pub(super) fn to_bundle(&self, certified: bool, shown: Shown) -> Result<Bundle, Flaw> {
        let material = if certified {
            let certificates = self.certificates()?.iter();
            let certificates =
                certificates.map(|der| X509Certificate::new(DerCertificate::from_bytes(der)));
            VerificationMaterialContent::X509CertificateChain {
                certificates: certificates.collect(),
            }
        } else {
            VerificationMaterialContent::PublicKey(PublicKeyIdentifier::new(""))
        };
        let mut material = VerificationMaterial::new(material);
        if shown.entries {
            material = material.with_tlog_entries(self.entries()?.to_vec());
        }
        if shown.timestamps {
            material = material.with_timestamp_verification_data(TimestampVerificationData::new(
                self.timestamps()?.to_vec(),
            ));
        }
        // A layer has the log's promise alone, as bundles 0.1 do; 0.3 and 0.2 ask for the same
        // evidence, and only 0.2 has room for a chain.
        let version = match self.version {
            None | Some(MediaType::Bundle0_1) if shown.entries => MediaType::Bundle0_1,
            None | Some(_) => MediaType::Bundle0_2,
        };
        Ok(Bundle::new(version, material, self.content.clone()))
    }
}

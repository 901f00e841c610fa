//! The parts of a candidate: the claim, the signed bytes and the evidence. Parses them, and verifies nothing. An error in
//! evidence counts only if the anchor requires that evidence.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sigstore_types::{
    DsseEnvelope, MediaType, Rfc3161Timestamp, SignatureContent as BundleContent,
};

use crate::trust::signature::{Flaw, Rejection, SignatureContent};

use super::claim::{Form, Names, Outline, STATEMENT_TYPE};
use super::evidence::{self, Evidence};
use super::flaw::{FORMAT, KIND, LIMIT, TRANSPARENCY_LOG, beside, flaw, flawed};
use super::limits::{MAX_CERTIFICATE, MAX_CERTIFICATES, MAX_ENVELOPE, MAX_SIGNATURE};
use super::log_entry::LogEntry;

/// The media type of a simple signing payload.
pub const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The media type of an attestation in a layer of its own.
pub const DSSE_ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

/// One signature with its evidence.
pub(super) struct Signed {
    /// The unverified claim. The claim itself is read after the signature verified.
    pub(super) outline: Outline,
    pub(super) form: Form,
    /// The bytes that the signature covers.
    pub(super) message: Vec<u8>,
    pub(super) signature: Vec<u8>,
    /// The envelope of a layer, as received. It contains the signature.
    pub(super) envelope: Option<Bytes>,
    /// The version of a bundle; `None` for a layer.
    version: Option<MediaType>,
    evidence: Evidence,
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
            flawed(FORMAT, "the layer has no signature", format!("base64 in {SIGNATURE}"))
        })?;
        let evidence = Evidence::of_layer(annotations);
        Self::new((form, outline), payload.to_vec(), signature, None, evidence)
    }

    fn attestation(
        layer: &Bytes,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Self, Rejection> {
        let envelope: DsseEnvelope =
            evidence::strict(layer, MAX_ENVELOPE, "DSSE envelope").map_err(Rejection::from)?;
        let signed = Self::enveloped(&envelope, None, Evidence::of_layer(annotations))?;
        Ok(Self { envelope: Some(layer.clone()), ..signed })
    }

    fn bundle(json: &[u8]) -> Result<Self, Rejection> {
        let (bundle, evidence) = Evidence::of_bundle(json).map_err(Rejection::from)?;
        match bundle.content {
            BundleContent::DsseEnvelope(envelope) => {
                Self::enveloped(&envelope, Some(bundle.media_type), evidence)
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
        envelope: &DsseEnvelope,
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
        let names = if version.is_some() { Names::Exact } else { Names::AnyCase };
        let form = Form::Statement(names);
        let outline = Outline::read(form, envelope.payload.as_bytes()).map_err(Rejection::from)?;
        let (message, signature) = (envelope.pae(), envelope.signature.sig.as_bytes().to_vec());
        Self::new((form, outline), message, signature, version, evidence)
    }

    fn new(
        (form, outline): (Form, Outline),
        message: Vec<u8>,
        signature: Vec<u8>,
        version: Option<MediaType>,
        evidence: Evidence,
    ) -> Result<Self, Rejection> {
        if signature.len() > MAX_SIGNATURE {
            let found = format!("a signature of {} bytes", signature.len());
            return Err(flawed(LIMIT, found, format!("at most {MAX_SIGNATURE} bytes")));
        }
        Ok(Self { outline, form, message, signature, envelope: None, version, evidence })
    }

    /// The bytes that its timestamps cover: the envelope of an attestation in a layer, which contains the signature; the
    /// signature of everything else.
    pub(super) fn timestamped(&self) -> &[u8] {
        self.envelope.as_deref().unwrap_or(&self.signature)
    }

    /// Refuses a log entry without the evidence that its format requires: a promise in a layer and in a bundle 0.1, a
    /// proof in later bundles.
    pub(super) fn has_evidence_of_its_version(&self, entry: &LogEntry) -> Result<(), Flaw> {
        let (has, what) = match self.version {
            None | Some(MediaType::Bundle0_1) => {
                (entry.inclusion_promise.is_some(), "promise (SET)")
            }
            Some(_) => (entry.inclusion_proof.is_some(), "proof"),
        };
        match has {
            true => Ok(()),
            false => {
                let found = format!("a log entry without its inclusion {what}");
                Err(flaw(TRANSPARENCY_LOG, found, format!("an entry with its {what}")))
            }
        }
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

    /// The certificates of the signature, DER, the signer's own first: at least one.
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

    pub(super) fn entries(&self) -> Result<&[LogEntry], Flaw> {
        self.evidence.entries.as_deref().map_err(Clone::clone)
    }

    pub(super) fn timestamps(&self) -> Result<&[Rfc3161Timestamp], Flaw> {
        self.evidence.timestamps.as_deref().map_err(Clone::clone)
    }
}

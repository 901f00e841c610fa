//! The shape of a manifest with signatures of a kind: its own type, its layers and its subject. Pure. Does not trust
//! lists or tags; the scheme judges the content of a signature.

use std::collections::BTreeMap;

use super::SignatureKind;
use super::limit::{
    Limit, MAX_ANNOTATION_BYTES, MAX_ANNOTATIONS, MAX_ENVELOPE, MAX_PAYLOAD, MAX_STATEMENT,
};
use super::located::shown;
use super::order::Class;
use crate::oci::{Artifact, Layer, Referrer};
use crate::trust::Subject;

const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const DSSE: &str = "application/vnd.dsse.envelope.v1+json";
/// The prefix of the media types of Sigstore bundles: `…+json;version=0.1` to `….v0.3+json`.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
/// The type of cosign's `.sig` and `.att` manifests with a subject, from its OCI 1.1 experiment.
const COSIGN_SIGNATURE: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
const COSIGN_ATTESTATION: &str = "application/vnd.dev.cosign.artifact.att.v1+json";
/// cosign's type for attestations with a subject that are not bundles.
const IN_TOTO: &str = "application/vnd.in-toto+json";
pub(super) const NOTATION: &str = "application/vnd.cncf.notary.signature";
const ENVELOPES: [&str; 2] = ["application/jose+json", "application/cose"];
/// The config type of a manifest without a config.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// cosign's annotation of a bundle's manifest, and its value for a signature.
const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";
const SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";

/// The format of a layer's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Layer,
    Bundle,
    Envelope,
}

/// The signatures of a manifest.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signatures {
    /// The layers that are signatures, numbered from 1.
    pub(super) layers: Vec<(usize, Form, Layer)>,
    /// A description of the other layers.
    pub(super) others: Option<String>,
    /// What the manifest says it is, if that is not a signature and it is too large to examine: a software bill of
    /// materials leaves no doubt whether there is a signature.
    pub(super) beside: Option<String>,
}

/// The class of an entry according to the list. Only for the order: the manifest's own content decides.
pub(super) fn class(kind: SignatureKind, referrer: &Referrer) -> Class {
    let Some(said) = said(referrer) else { return Class::Unnamed };
    let own = match kind {
        SignatureKind::CosignSignature => said == COSIGN_SIGNATURE,
        SignatureKind::CosignAttestation => said == COSIGN_ATTESTATION || said == IN_TOTO,
        SignatureKind::Notation => said == NOTATION,
    };
    let bundle = kind != SignatureKind::Notation && said.starts_with(BUNDLE);
    let other = other_predicate(kind, &referrer.annotations).is_some();
    match (own || bundle, bundle && other) {
        (true, false) => Class::Wanted,
        (true, true) => Class::OtherPredicate,
        (false, _) => Class::SomethingElse,
    }
}

/// The type of an entry according to the list, if it names one.
pub(super) fn said(referrer: &Referrer) -> Option<&str> {
    referrer.artifact_type.as_deref().filter(|said| *said != EMPTY)
}

/// The signatures in the manifest that the tag of `kind` names.
pub(super) fn of_tag(
    kind: SignatureKind,
    subject: &Subject,
    artifact: &Artifact,
) -> Result<Signatures, String> {
    if artifact.subject.as_ref().is_some_and(|named| named.digest != subject.digest) {
        return Err(other_subject(artifact));
    }
    signatures(kind, artifact)
}

/// The signatures in a manifest that refers to `subject`.
pub(super) fn of_referrer(
    kind: SignatureKind,
    subject: &Subject,
    artifact: &Artifact,
) -> Result<Signatures, String> {
    let named = artifact.subject.as_ref().ok_or("it has no subject")?;
    if named.digest != subject.digest {
        return Err(other_subject(artifact));
    }
    let own = artifact.own_type();
    match kind {
        SignatureKind::CosignSignature | SignatureKind::CosignAttestation
            if own.starts_with(BUNDLE) =>
        {
            only_layer(artifact)?;
            let mut signatures = signatures(kind, artifact)?;
            let too_large = signatures.layers.iter().any(|(_, _, layer)| fits(layer).is_err());
            let other = other_predicate(kind, &artifact.annotations).filter(|_| too_large);
            signatures.beside = other.map(|other| format!("a large bundle of {}", shown(other)));
            return Ok(signatures);
        }
        SignatureKind::CosignSignature if own == COSIGN_SIGNATURE => {}
        SignatureKind::CosignAttestation if [COSIGN_ATTESTATION, IN_TOTO].contains(&own) => {}
        SignatureKind::Notation if own == NOTATION => {
            if artifact.artifact_type.is_some() && artifact.config_type != EMPTY {
                return Err(format!("its config is {}", shown(&artifact.config_type)));
            }
            let is = (named.media_type.as_str(), named.size);
            if is != (subject.media_type.as_str(), subject.size) {
                return Err("its subject has another media type or size".to_owned());
            }
            only_layer(artifact)?;
        }
        // Some tools and registries drop the type or write another one. The layers and the signature decide.
        SignatureKind::CosignSignature | SignatureKind::CosignAttestation => {
            let signatures = signatures(kind, artifact);
            let signatures = signatures.map_err(|_| format!("it is {}", shown(own)))?;
            if signatures.layers.iter().any(|(_, form, _)| *form == Form::Bundle) {
                only_layer(artifact)?;
            }
            return Ok(signatures);
        }
        SignatureKind::Notation => return Err(format!("it is {}", shown(own))),
    }
    signatures(kind, artifact)
}

/// The most bytes that a signature layer of that media type may have.
pub(super) fn ceiling(layer: &Layer) -> usize {
    match layer.media_type.as_str() {
        SIMPLE_SIGNING => MAX_PAYLOAD,
        media_type if ENVELOPES.contains(&media_type) => MAX_ENVELOPE,
        _ => MAX_STATEMENT,
    }
}

/// The number of bytes of `layer` to fetch; an error if it exceeds the limit.
pub(super) fn fits(layer: &Layer) -> Result<usize, Limit> {
    let ceiling = ceiling(layer);
    let annotations = layer.annotations.iter().map(|(name, value)| name.len() + value.len());
    if layer.annotations.len() > MAX_ANNOTATIONS
        || annotations.sum::<usize>() > MAX_ANNOTATION_BYTES
    {
        return Err(Limit::Annotations);
    }
    match usize::try_from(layer.size) {
        Ok(size) if size <= ceiling => Ok(size),
        Ok(_) | Err(_) => Err(Limit::Size { ceiling }),
    }
}

fn signatures(kind: SignatureKind, artifact: &Artifact) -> Result<Signatures, String> {
    let mut layers = Vec::new();
    let mut others: Vec<&str> = Vec::new();
    for (at, layer) in artifact.layers.iter().enumerate() {
        match form(kind, &layer.media_type) {
            Some(form) => layers.push((at + 1, form, layer.clone())),
            None => others.push(&layer.media_type),
        }
    }
    let first = others.first().map(|first| shown(first));
    match (layers.is_empty(), first) {
        (true, None) => Err("it has no layers".to_owned()),
        (true, Some(first)) => Err(format!("its layers are not such signatures, but {first}")),
        (false, first) => {
            let others = first.map(|first| format!("{} of its layers: {first}", others.len()));
            Ok(Signatures { layers, others, beside: None })
        }
    }
}

fn form(kind: SignatureKind, media_type: &str) -> Option<Form> {
    match kind {
        SignatureKind::CosignSignature if media_type == SIMPLE_SIGNING => Some(Form::Layer),
        SignatureKind::CosignAttestation if media_type == DSSE => Some(Form::Layer),
        SignatureKind::CosignSignature | SignatureKind::CosignAttestation
            if media_type.starts_with(BUNDLE) =>
        {
            Some(Form::Bundle)
        }
        SignatureKind::Notation if ENVELOPES.contains(&media_type) => Some(Form::Envelope),
        SignatureKind::CosignSignature
        | SignatureKind::CosignAttestation
        | SignatureKind::Notation => None,
    }
}

/// The predicate type that a bundle is annotated with, if signatures of `kind` have another.
fn other_predicate(kind: SignatureKind, annotations: &BTreeMap<String, String>) -> Option<&str> {
    let predicate = annotations.get(PREDICATE_TYPE)?;
    ((predicate == SIGNATURE) != (kind == SignatureKind::CosignSignature)).then_some(predicate)
}

fn only_layer(artifact: &Artifact) -> Result<(), String> {
    match artifact.layers.len() {
        1 => Ok(()),
        count => Err(format!("it has {count} layers instead of one")),
    }
}

fn other_subject(artifact: &Artifact) -> String {
    match &artifact.subject {
        Some(named) => format!("its subject is {}", named.digest),
        None => "it has no subject".to_owned(),
    }
}

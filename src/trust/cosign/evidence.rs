//! The evidence of a signature: certificates, log entries and timestamps, from the annotations of a layer or from a bundle.
//! Parses it within limits; verifies nothing.

use std::collections::BTreeMap;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::de::DeserializeOwned;
use serde_json::json;
use sigstore_types::{
    Bundle, Rfc3161Timestamp, TimestampVerificationData, VerificationMaterialContent,
};

use crate::json::Document;
use crate::trust::signature::Flaw;

use super::flaw::{CERTIFICATE, FORMAT, LIMIT, TIME, flaw};
use super::limits::{
    MAX_ANNOTATION, MAX_BUNDLE, MAX_CERTIFICATES, MAX_TIMESTAMP, MAX_TIMESTAMPS, MAX_VALUES,
};
use super::log_entry::LogEntry;

/// The annotation with the signer's certificate.
pub(super) const LEAF: &str = "dev.sigstore.cosign/certificate";
const CHAIN: &str = "dev.sigstore.cosign/chain";
const ENTRY: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

/// The evidence of a signature. Each part may be invalid without affecting the others.
pub(super) struct Evidence {
    pub(super) certificates: Result<Vec<Vec<u8>>, Flaw>,
    /// Whether a bundle has `x509CertificateChain` instead of `certificate`.
    pub(super) is_chain: bool,
    pub(super) entries: Result<Vec<LogEntry>, Flaw>,
    pub(super) timestamps: Result<Vec<Rfc3161Timestamp>, Flaw>,
}

impl Evidence {
    /// The evidence in the annotations of a layer.
    pub(super) fn of_layer(annotations: &BTreeMap<String, String>) -> Self {
        let there = |name: &str| annotations.get(name).filter(|text| !text.is_empty());
        let entries = there(ENTRY).map(|text| entry(text).map(|entry| vec![entry]));
        let timestamps = there(TIMESTAMP).map(|text| timestamp(text));
        Self {
            certificates: certificates(there(LEAF), there(CHAIN)),
            is_chain: false,
            entries: entries.unwrap_or_else(|| Ok(Vec::new())).and_then(LogEntry::bounded),
            timestamps: timestamps.unwrap_or_else(|| Ok(Vec::new())),
        }
    }

    /// Splits a bundle into its content and its evidence.
    pub(super) fn of_bundle(json: &[u8]) -> Result<(Bundle, Self), Flaw> {
        let mut value: serde_json::Value = strict(json, MAX_BUNDLE, "bundle")?;
        let wanted = "a Sigstore bundle 0.1, 0.2 or 0.3";
        let one_of = |value: &serde_json::Value, names: &[&str]| {
            names.iter().filter(|name| value.get(name).is_some_and(|it| !it.is_null())).count() == 1
        };
        let material = value.get("verificationMaterial");
        let single = one_of(&value, &["messageSignature", "dsseEnvelope"])
            && material.is_some_and(|material| {
                one_of(material, &["certificate", "x509CertificateChain", "publicKey"])
            });
        if !single || !value.get("mediaType").is_some_and(serde_json::Value::is_string) {
            let found = "a bundle that is not of one kind, by one signer, of one version";
            return Err(flaw(FORMAT, found, wanted));
        }
        let mut take = |name: &str| {
            let member = value.get_mut("verificationMaterial").and_then(|it| it.get_mut(name));
            member.map(serde_json::Value::take).filter(|member| !member.is_null())
        };
        let entries = take("tlogEntries").map(LogEntry::from_bundle);
        let timestamps = take("timestampVerificationData").map(|data| {
            let data = serde_json::from_value::<TimestampVerificationData>(data);
            data.map(|data| data.rfc3161_timestamps).map_err(|e| {
                flaw(TIME, format!("timestamps that cannot be read: {e}"), "RFC 3161 tokens")
            })
        });
        if let Some(serde_json::Value::Object(material)) = value.get_mut("verificationMaterial") {
            material.remove("tlogEntries");
            material.remove("timestampVerificationData");
        }
        let bundle: Bundle = serde_json::from_value(value)
            .map_err(|e| flaw(FORMAT, format!("the bundle cannot be read: {e}"), wanted))?;
        let content = &bundle.verification_material.content;
        let is_chain = matches!(content, VerificationMaterialContent::X509CertificateChain { .. });
        let certificates = match content {
            VerificationMaterialContent::Certificate(one) => {
                Ok(vec![one.raw_bytes.as_bytes().to_vec()])
            }
            VerificationMaterialContent::X509CertificateChain { certificates } => {
                Ok(certificates.iter().map(|one| one.raw_bytes.as_bytes().to_vec()).collect())
            }
            VerificationMaterialContent::PublicKey(_) | _ => Ok(Vec::new()),
        };
        let evidence = Self {
            certificates: certificates.and_then(some),
            is_chain,
            entries: entries.unwrap_or_else(|| Ok(Vec::new())).and_then(LogEntry::bounded),
            timestamps: timestamps.unwrap_or_else(|| Ok(Vec::new())).and_then(few),
        };
        Ok((bundle, evidence))
    }
}

/// Reads JSON strictly, so that all parsers read the same.
pub(super) fn strict<T: DeserializeOwned>(json: &[u8], most: usize, what: &str) -> Result<T, Flaw> {
    if json.len() > most {
        let found = format!("a {what} of {} bytes", json.len());
        return Err(flaw(LIMIT, found, format!("at most {most} bytes")));
    }
    let wrong =
        |e: String| flaw(FORMAT, format!("a {what} that cannot be read: {e}"), "strict JSON");
    Document::parse_within(json, MAX_VALUES).map_err(|e| match e.exceeds_limit() {
        true => {
            flaw(LIMIT, format!("a {what} with many JSON values"), format!("at most {MAX_VALUES}"))
        }
        false => wrong(e.to_string()),
    })?;
    serde_json::from_slice(json).map_err(|e| wrong(e.to_string()))
}

fn certificates(leaf: Option<&String>, chain: Option<&String>) -> Result<Vec<Vec<u8>>, Flaw> {
    let mut certificates = Vec::new();
    for pem in [leaf, chain].into_iter().flatten() {
        if pem.len() > MAX_ANNOTATION {
            let found = "certificates in a very long annotation";
            return Err(flaw(LIMIT, found, format!("at most {MAX_ANNOTATION} bytes")));
        }
        for one in CertificateDer::pem_slice_iter(pem.as_bytes()).take(MAX_CERTIFICATES + 1) {
            let one = one.map_err(|e| {
                flaw(CERTIFICATE, format!("a certificate that is not PEM: {e}"), "PEM")
            })?;
            certificates.push(one.to_vec());
        }
    }
    // A chain without the signer's certificate names no signer.
    if leaf.is_none() {
        certificates.clear();
    }
    some(certificates)
}

fn some(certificates: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Flaw> {
    if certificates.is_empty() {
        let found = "the signature was made with a key and has no certificate";
        return Err(flaw(CERTIFICATE, found, "a certificate that says who signed"));
    }
    Ok(certificates)
}

/// The log entry in the annotation of a layer.
fn entry(text: &str) -> Result<LogEntry, Flaw> {
    LogEntry::from_annotation(&strict(text.as_bytes(), MAX_ANNOTATION, "log entry")?)
}

/// The RFC 3161 token in the annotation of a layer.
fn timestamp(text: &str) -> Result<Vec<Rfc3161Timestamp>, Flaw> {
    let value: serde_json::Value = strict(text.as_bytes(), MAX_ANNOTATION, "timestamp")?;
    let token = value.get("SignedRFC3161Timestamp").cloned().unwrap_or_default();
    let token = serde_json::from_value(json!({ "signedTimestamp": token }));
    let token = token.map_err(|e| {
        flaw(TIME, format!("a timestamp that cannot be read: {e}"), "an RFC 3161 token")
    })?;
    few(vec![token])
}

fn few(timestamps: Vec<Rfc3161Timestamp>) -> Result<Vec<Rfc3161Timestamp>, Flaw> {
    if timestamps.len() > MAX_TIMESTAMPS {
        let found = format!("{} timestamps", timestamps.len());
        return Err(flaw(LIMIT, found, format!("at most {MAX_TIMESTAMPS}")));
    }
    if timestamps.iter().any(|one| one.signed_timestamp.as_bytes().len() > MAX_TIMESTAMP) {
        let wanted = format!("at most {MAX_TIMESTAMP} bytes");
        return Err(flaw(LIMIT, "a very long timestamp", wanted));
    }
    Ok(timestamps)
}

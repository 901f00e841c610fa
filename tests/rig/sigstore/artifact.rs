//! The artifacts that cosign stores next to an image: layers of `.sig` and `.att` manifests, and bundles.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::fulcio::Certified;
use super::key::Key;
use super::rekor::Entry;

const STATEMENT_TYPE: &str = "application/vnd.in-toto+json";

/// A layer with its annotations.
#[derive(Clone)]
pub struct Layer {
    pub media_type: String,
    pub payload: Vec<u8>,
    pub annotations: BTreeMap<String, String>,
}

/// The simple signing payload for `digest`.
pub fn payload(digest: &str, optional: impl Into<Value>) -> String {
    json!({
        "critical": {
            "identity": { "docker-reference": "registry.test/app" },
            "image": { "docker-manifest-digest": digest },
            "type": "cosign container image signature",
        },
        "optional": optional.into(),
    })
    .to_string()
}

/// The statement about `digest`, `sha256:<hex>`.
pub fn statement(digest: &str, predicate_type: &str) -> String {
    let (algorithm, hex) = digest.split_once(':').unwrap();
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "digest": { algorithm: hex } }],
        "predicateType": predicate_type,
        "predicate": {},
    })
    .to_string()
}

/// The signed content of an envelope.
pub fn pae(statement: &str) -> Vec<u8> {
    let (kind, length) = (STATEMENT_TYPE, statement.len());
    format!("DSSEv1 {} {kind} {length} {statement}", kind.len()).into_bytes()
}

pub fn envelope(statement: &str, signature: &[u8]) -> Value {
    json!({
        "payloadType": STATEMENT_TYPE,
        "payload": STANDARD.encode(statement),
        "signatures": [{ "sig": STANDARD.encode(signature) }],
    })
}

/// A bundle 0.3 with `statement`, signed with a certificate, or with a key if there is no certificate.
pub fn bundle(
    statement: &str,
    signature: &[u8],
    certified: Option<&Certified>,
    entries: &[Entry],
    timestamps: &[Vec<u8>],
) -> Value {
    let mut material = match certified {
        Some(certified) => {
            json!({ "certificate": { "rawBytes": STANDARD.encode(&certified.der) } })
        }
        None => json!({ "publicKey": { "hint": "" } }),
    };
    material["tlogEntries"] = entries.iter().map(Entry::in_bundle).collect();
    let token = |token: &Vec<u8>| json!({ "signedTimestamp": STANDARD.encode(token) });
    let tokens: Vec<Value> = timestamps.iter().map(token).collect();
    material["timestampVerificationData"] = json!({ "rfc3161Timestamps": tokens });
    json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": material,
        "dsseEnvelope": envelope(statement, signature),
    })
}

impl Layer {
    /// The layer of `cosign sign`.
    pub fn simple(payload: &str, signature: &[u8]) -> Self {
        let layer = Self {
            media_type: "application/vnd.dev.cosign.simplesigning.v1+json".to_owned(),
            payload: payload.as_bytes().to_vec(),
            annotations: BTreeMap::new(),
        };
        layer.annotated("dev.cosignproject.cosign/signature", STANDARD.encode(signature))
    }

    /// The same, signed by `key`.
    pub fn signed(payload: &str, key: &Key) -> Self {
        Self::simple(payload, &key.sign(payload.as_bytes()))
    }

    /// The layer of `cosign attest`.
    pub fn attestation(statement: &str, signature: &[u8]) -> Self {
        let layer = Self {
            media_type: "application/vnd.dsse.envelope.v1+json".to_owned(),
            payload: envelope(statement, signature).to_string().into_bytes(),
            annotations: BTreeMap::new(),
        };
        layer.annotated("dev.cosignproject.cosign/signature", "")
    }

    pub fn annotated(mut self, name: &str, value: impl Into<String>) -> Self {
        self.annotations.insert(name.to_owned(), value.into());
        self
    }

    pub fn by(self, certified: &Certified) -> Self {
        self.annotated("dev.sigstore.cosign/certificate", certified.pem())
            .annotated("dev.sigstore.cosign/chain", certified.chain_pem())
    }

    pub fn logged(self, entry: &Entry) -> Self {
        self.annotated("dev.sigstore.cosign/bundle", entry.annotation())
    }

    pub fn stamped(self, token: &[u8]) -> Self {
        let timestamp = json!({ "SignedRFC3161Timestamp": STANDARD.encode(token) });
        self.annotated("dev.sigstore.cosign/rfc3161timestamp", timestamp.to_string())
    }

    /// The signature in its annotation.
    pub fn signature(&self) -> Vec<u8> {
        STANDARD.decode(&self.annotations["dev.cosignproject.cosign/signature"]).unwrap()
    }
}

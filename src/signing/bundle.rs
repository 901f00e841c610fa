//! Sigstore bundles, version 0.3, of statements signed with a key: a DSSE envelope and a hint at the public key. They
//! contain no log entry and no timestamp.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::json;
use sigstore_types::dsse::pae;

use super::key::{SigningFailed, SigningKey};
use super::statement::Statement;

/// The media type of the bundle, and the artifact type of its referrer manifest.
pub const BUNDLE_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// The DSSE payload type of in-toto statements.
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// A signed statement. Only signing creates one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigstoreBundle {
    json: Bytes,
    predicate_type: String,
}

impl SigstoreBundle {
    /// Signs `statement` with `key` (DSSE, version 1).
    pub fn sign(statement: &Statement, key: &SigningKey) -> Result<Self, SigningFailed> {
        let payload = statement.to_json();
        let signature = key.sign(&pae(PAYLOAD_TYPE, &payload))?;
        let bundle = json!({
            "mediaType": BUNDLE_TYPE,
            "verificationMaterial": { "publicKey": { "hint": key.hint() } },
            "dsseEnvelope": {
                "payload": STANDARD.encode(payload),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{ "sig": STANDARD.encode(signature) }],
            },
        });
        let predicate_type = statement.predicate_type().to_owned();
        Ok(Self { json: bundle.to_string().into(), predicate_type })
    }

    /// The bundle as JSON.
    pub fn as_bytes(&self) -> &Bytes {
        &self.json
    }

    pub fn predicate_type(&self) -> &str {
        &self.predicate_type
    }
}

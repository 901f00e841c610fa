//! Signatures as `notation sign` writes them: a JWS envelope with the certificate chain, in an artifact that
//! refers to the image (Notary Project, signature specification).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::Certificate;
use serde_json::json;

use crate::clock::Timestamp;
use crate::oci::form::EMPTY;
use crate::oci::{MediaType, Repository};

use super::authority::{Authority, params, pem};
use super::image::{Pushed, descriptor, put};
use super::key::{Key, SigningError};
use super::registry::MemoryRegistry;

const SIGNATURE: &str = "application/vnd.cncf.notary.signature";
const PAYLOAD: &str = "application/vnd.cncf.notary.payload.v1+json";
const SCHEME: &str = "io.cncf.notary.signingScheme";

/// A signer with a certificate of a private authority.
pub(super) struct Signer {
    root: Authority,
    key: Key,
    certificate: Certificate,
}

impl Signer {
    /// A signer below a new root of this name.
    pub(super) fn new(root: &str, now: Timestamp) -> Result<Self, SigningError> {
        let root = Authority::new(root, now)?;
        let key = Key::new()?;
        let lasts = Duration::from_secs(90 * 24 * 60 * 60);
        let certificate = root.issue(&params("release", now, lasts)?, &key)?;
        Ok(Self { root, key, certificate })
    }

    /// The root certificate: what a trust store contains.
    pub(super) fn root(&self) -> String {
        pem(self.root.certificate())
    }

    /// The envelope of a signature of `image`.
    pub(super) fn sign(&self, image: &Pushed, now: Timestamp) -> Result<String, SigningError> {
        let protected = json!({
            "alg": "ES256",
            "cty": PAYLOAD,
            "crit": [SCHEME],
            SCHEME: "notary.x509",
            "io.cncf.notary.signingTime": now.to_string(),
        });
        let protected = URL_SAFE_NO_PAD.encode(protected.to_string());
        let payload = json!({ "targetArtifact": image.descriptor() }).to_string();
        let payload = URL_SAFE_NO_PAD.encode(payload);
        let signature = self.key.sign_fixed(format!("{protected}.{payload}").as_bytes())?;
        let chain = [&self.certificate, self.root.certificate()];
        let chain = chain.map(|certificate| STANDARD.encode(certificate.der()));
        let envelope = json!({
            "payload": payload,
            "protected": protected,
            "header": { "x5c": chain, "io.cncf.notary.signingAgent": "countersign-demo/1" },
            "signature": URL_SAFE_NO_PAD.encode(signature),
        });
        Ok(envelope.to_string())
    }
}

/// Puts an envelope beside `subject`, as a signature of it.
pub(super) fn put_signature(
    registry: &MemoryRegistry,
    repository: &Repository,
    subject: &Pushed,
    envelope: String,
) {
    let config = "{}";
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciImage.as_str(),
        "artifactType": SIGNATURE,
        "config": descriptor(EMPTY, config.as_bytes()),
        "layers": [descriptor("application/jose+json", envelope.as_bytes())],
        "subject": subject.descriptor(),
    });
    registry.put_blob(repository, config);
    registry.put_blob(repository, envelope);
    put(registry, repository, MediaType::OciImage, &manifest);
}

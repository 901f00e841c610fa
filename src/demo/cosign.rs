//! Signatures as `cosign sign` writes them: a payload that names the digest, and its signature in the
//! annotations of a layer under the tag `sha256-<digest>.sig`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::clock::Timestamp;
use crate::oci::{Digest, MediaType, Repository};
use crate::trust::cosign::SIMPLE_SIGNING;

use super::exhibits::{REGISTRY, SetUpError};
use super::image::{CONFIG, descriptor, put};
use super::key::{Key, SigningError};
use super::registry::MemoryRegistry;
use super::sigstore::{Certified, Sigstore};

/// The signature of one image.
pub(super) struct Signature {
    payload: String,
    signature: Vec<u8>,
    annotations: Map<String, Value>,
}

impl Signature {
    /// Signs `digest`.
    pub(super) fn new(
        repository: &Repository,
        digest: &Digest,
        key: &Key,
    ) -> Result<Self, SigningError> {
        let payload = json!({
            "critical": {
                "identity": { "docker-reference": format!("{REGISTRY}/{repository}") },
                "image": { "docker-manifest-digest": digest.to_string() },
                "type": "cosign container image signature",
            },
            "optional": null,
        })
        .to_string();
        let signature = key.sign(payload.as_bytes())?;
        let annotations = Map::from_iter([(
            "dev.cosignproject.cosign/signature".to_owned(),
            json!(STANDARD.encode(&signature)),
        )]);
        Ok(Self { payload, signature, annotations })
    }

    /// The log's entry for this signature, made with `certified`.
    pub(super) fn log(
        &self,
        sigstore: &Sigstore,
        certified: &Certified,
        at: Timestamp,
    ) -> Result<Value, SigningError> {
        sigstore.log(self.payload.as_bytes(), &self.signature, &certified.pem, at)
    }

    /// The signature with the certificate of its key and a log entry beside it.
    pub(super) fn keyless(
        mut self,
        sigstore: &Sigstore,
        certified: &Certified,
        entry: &Value,
    ) -> Self {
        self.annotate("dev.sigstore.cosign/certificate", certified.pem.clone());
        self.annotate("dev.sigstore.cosign/chain", sigstore.chain());
        self.annotate("dev.sigstore.cosign/bundle", entry.to_string());
        self
    }

    fn annotate(&mut self, name: &str, value: String) {
        self.annotations.insert(name.to_owned(), Value::String(value));
    }

    /// Puts the signature where clients look for the signatures of `subject`.
    pub(super) fn put(
        &self,
        registry: &MemoryRegistry,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<(), SetUpError> {
        let mut layer = descriptor(SIMPLE_SIGNING, self.payload.as_bytes());
        layer["annotations"] = Value::Object(self.annotations.clone());
        let config = "{}";
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OciImage.as_str(),
            "config": descriptor(CONFIG, config.as_bytes()),
            "layers": [layer],
        });
        registry.put_blob(repository, config);
        registry.put_blob(repository, self.payload.clone());
        let signature = put(registry, repository, MediaType::OciImage, &manifest);
        let tag = format!("sha256-{}.sig", subject.hex()).parse()?;
        registry.put_tag(repository, tag, signature.digest);
        Ok(())
    }
}

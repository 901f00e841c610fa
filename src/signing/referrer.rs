//! The manifest that attaches a bundle to its subject (OCI 1.1), as cosign 3 writes it: the empty config, the bundle as
//! its only layer, and the subject.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::bundle::{BUNDLE_TYPE, SigstoreBundle};
use crate::clock::Timestamp;
use crate::oci::{Digest, MediaType};

/// The config of a manifest without a config (image-spec, "Guidance for an empty descriptor").
const EMPTY: &[u8] = b"{}";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";

/// The manifest that a referrer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubjectManifest {
    pub media_type: MediaType,
    pub digest: Digest,
    /// The length in bytes.
    pub size: u64,
}

/// A referrer manifest with a bundle, and the blobs that it lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferrerManifest {
    json: Bytes,
    bundle: Bytes,
    annotations: Map<String, Value>,
}

impl ReferrerManifest {
    /// Attaches `bundle` to `subject`. Without `created`, equal input gives equal bytes.
    pub fn new(
        subject: &SubjectManifest,
        bundle: &SigstoreBundle,
        created: Option<Timestamp>,
    ) -> Self {
        let mut annotations = Map::new();
        if let Some(created) = created {
            let created = format!("{created:#}");
            annotations.insert("org.opencontainers.image.created".to_owned(), created.into());
        }
        annotations.insert("dev.sigstore.bundle.content".to_owned(), "dsse-envelope".into());
        let predicate_type = bundle.predicate_type();
        annotations.insert("dev.sigstore.bundle.predicateType".to_owned(), predicate_type.into());
        let bundle = bundle.as_bytes();
        let descriptor = |media_type: &str, digest: Digest, size: u64| json!({ "mediaType": media_type, "digest": digest.to_string(), "size": size });
        let of = |media_type: &str, content: &[u8]| {
            descriptor(media_type, Digest::of(content), content.len() as u64)
        };
        let json = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OciImage.as_str(),
            "artifactType": BUNDLE_TYPE,
            "config": of(EMPTY_TYPE, EMPTY),
            "layers": [of(BUNDLE_TYPE, bundle)],
            "subject": descriptor(subject.media_type.as_str(), subject.digest, subject.size),
            "annotations": annotations,
        });
        Self { json: json.to_string().into(), bundle: bundle.clone(), annotations }
    }

    /// The manifest. Its media type is that of an OCI image manifest.
    pub fn as_bytes(&self) -> &Bytes {
        &self.json
    }

    pub fn digest(&self) -> Digest {
        Digest::of(&self.json)
    }

    /// The blobs that must exist before the manifest: the config and the bundle.
    pub fn blobs(&self) -> [(Digest, Bytes); 2] {
        let with_digest = |content: Bytes| (Digest::of(&content), content);
        [with_digest(Bytes::from_static(EMPTY)), with_digest(self.bundle.clone())]
    }

    /// The descriptor of the manifest, as a list of referrers contains it (distribution-spec, "Listing Referrers").
    pub fn descriptor(&self) -> Value {
        json!({
            "mediaType": MediaType::OciImage.as_str(),
            "artifactType": BUNDLE_TYPE,
            "digest": self.digest().to_string(),
            "size": self.json.len(),
            "annotations": self.annotations,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Artifact;
    use crate::signing::key::tests::key;
    use crate::signing::{Statement, StatementSubject};

    #[test]
    fn the_manifest_and_the_bundle_have_the_form_that_cosign_writes() {
        let key = key();
        let digest = Digest::of(b"image");
        let subject = StatementSubject { name: "registry.test/app".to_owned(), digest };
        let statement = Statement::new(vec![subject], "https://test/type", json!({ "a": 1 }));
        let bundle = SigstoreBundle::sign(&statement, &key).unwrap();
        let manifest = MediaType::OciIndex;
        let subject = SubjectManifest { media_type: manifest, digest, size: 5 };
        let created = Timestamp::from_unix(1_768_435_200);
        let referrer = ReferrerManifest::new(&subject, &bundle, Some(created));

        let artifact = Artifact::parse(referrer.as_bytes()).unwrap();
        assert_eq!(artifact.artifact_type.as_deref(), Some(BUNDLE_TYPE));
        assert_eq!(artifact.config_type, EMPTY_TYPE);
        assert_eq!(artifact.subject.unwrap().digest, digest);
        let blobs = referrer.blobs();
        assert_eq!(artifact.layers.len(), 1);
        assert_eq!((artifact.layers[0].digest, &blobs[1].1), (blobs[1].0, bundle.as_bytes()));
        let annotation = |name: &str| artifact.annotations.get(name).map(String::as_str);
        assert_eq!(annotation("dev.sigstore.bundle.predicateType"), Some("https://test/type"));
        assert_eq!(annotation("org.opencontainers.image.created"), Some("2026-01-15T00:00:00Z"));

        let json: Value = serde_json::from_slice(bundle.as_bytes()).unwrap();
        assert_eq!(json["mediaType"], BUNDLE_TYPE);
        assert_eq!(json["verificationMaterial"]["publicKey"]["hint"], key.hint());
        let parsed = sigstore_types::Bundle::from_json(&json.to_string()).unwrap();
        let sigstore_types::SignatureContent::DsseEnvelope(envelope) = parsed.content else {
            panic!("the bundle has no envelope")
        };
        assert_eq!(envelope.payload.as_bytes(), statement.to_json());
        let signed: Value = serde_json::from_slice(&statement.to_json()).unwrap();
        assert_eq!(signed["subject"][0]["digest"]["sha256"], digest.hex());
        assert_eq!(signed["predicate"]["a"], 1);
    }

    #[test]
    fn equal_input_without_a_time_gives_an_equal_manifest() {
        let key = key();
        let statement = Statement::new(Vec::new(), "https://test/type", Value::Null);
        let bundle = SigstoreBundle::sign(&statement, &key).unwrap();
        let digest = Digest::of(b"image");
        let subject = SubjectManifest { media_type: MediaType::OciImage, digest, size: 5 };
        let once = ReferrerManifest::new(&subject, &bundle, None);
        assert_eq!(once, ReferrerManifest::new(&subject, &bundle, None));
        assert_eq!(once.descriptor()["digest"], Digest::of(once.as_bytes()).to_string());
    }
}

//! Stores signatures next to the images of a registry, as cosign and notation do, with the tests' own signers.
//! Independent of the verification code.

#![allow(clippy::unwrap_used, reason = "a rig that fails is a test that fails")]
#![allow(dead_code, unreachable_pub, reason = "shared by tests that each use a part of it")]

use std::sync::LazyLock;

use countersign::oci::{Digest, MediaType, Repository};
use countersign::trust::Subject;
use serde_json::{Value, json};

use crate::fake_registry::{FakeRegistry, hosted};
use crate::notation_signer::{Certified, Signing};
use crate::sigstore::{Key, Kind, Layer, Leaf, Sigstore, bundle, pae, payload, statement};
use crate::whole_gate::{app, described};

pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
pub const NOTATION: &str = "application/vnd.cncf.notary.signature";
pub const JOSE: &str = "application/jose+json";
pub const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

/// The key that anchors of the tests trust.
pub static MINE: LazyLock<Key> = LazyLock::new(|| Key::new(Kind::P256));
/// A key that no anchor trusts.
pub static OTHER: LazyLock<Key> = LazyLock::new(|| Key::new(Kind::P256));
/// The root that anchors of the tests trust.
pub static ROOT: LazyLock<Certified> = LazyLock::new(|| Certified::root("conformance root"));
/// A root that no anchor trusts.
pub static OTHER_ROOT: LazyLock<Certified> = LazyLock::new(|| Certified::root("another root"));

/// The tag under which cosign stores signatures (or attestations) of `manifest`.
pub fn tag_of(manifest: &[u8], suffix: &str) -> String {
    format!("sha256-{}{suffix}", Digest::of(manifest).hex())
}

pub fn subject_of(manifest: &[u8]) -> Subject {
    let said: Value = serde_json::from_slice(manifest).unwrap();
    Subject {
        repository: hosted(app()),
        digest: Digest::of(manifest),
        media_type: MediaType::parse(said["mediaType"].as_str().unwrap()).unwrap(),
        size: manifest.len() as u64,
    }
}

/// The layer of `cosign sign --key`.
pub fn layer(manifest: &[u8], key: &Key) -> Layer {
    Layer::signed(&payload(&Digest::of(manifest).to_string(), json!(null)), key)
}

/// The layer of `cosign sign -a timestamp=…` at `at`, logged at that time.
pub fn layer_at(manifest: &[u8], key: &Key, at: i64) -> Layer {
    let stated = json!({ "timestamp": at.to_string() });
    let layer = Layer::signed(&payload(&Digest::of(manifest).to_string(), stated), key);
    let log = &Sigstore::shared().rekor;
    let entry = log.hashedrekord(&layer.payload, &layer.signature(), &key.pem(), at);
    layer.logged(&entry)
}

/// The layer of a keyless `cosign sign` at `at`, with a certificate for `leaf`.
pub fn keyless(manifest: &[u8], leaf: &Leaf, at: i64) -> Layer {
    let shared = Sigstore::shared();
    let certified = shared.certify(leaf);
    let layer = layer(manifest, &certified.key).by(&certified);
    let entry = shared.rekor.hashedrekord(&layer.payload, &layer.signature(), &certified.pem(), at);
    layer.logged(&entry)
}

/// The bundle of `cosign sign --key`.
pub fn key_bundle(manifest: &[u8], key: &Key) -> Value {
    let statement = statement(&Digest::of(manifest).to_string(), SIGN);
    bundle(&statement, &key.sign(&pae(&statement)), None, &[], &[])
}

/// The envelope of `notation sign` at `at`, by a signer below `root`.
pub fn envelope(manifest: &[u8], root: &Certified, at: i64) -> Signing {
    Signing { signed: at, ..Signing::new(&root.signer(), &subject_of(manifest)) }
}

/// Stores a manifest with these layers under the `.sig` tag of `subject` in `repository`, and returns it.
pub fn put_sig(
    registry: &FakeRegistry,
    repository: &Repository,
    subject: &[u8],
    layers: &[Layer],
) -> Vec<u8> {
    let listed: Vec<Value> = layers
        .iter()
        .map(|layer| {
            registry.registry().put_blob(repository, layer.payload.clone());
            let mut listed = described(&layer.media_type, &layer.payload);
            listed["annotations"] = json!(layer.annotations);
            listed
        })
        .collect();
    let config = b"{}".to_vec();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciImage.as_str(),
        "config": described("application/vnd.oci.image.config.v1+json", &config),
        "layers": listed,
    });
    registry.registry().put_blob(repository, config);
    put_tagged(registry, repository, subject, ".sig", MediaType::OciImage, &manifest)
}

/// Stores a manifest with the subject `subject` under a tag, and returns it.
pub fn put_tagged(
    registry: &FakeRegistry,
    repository: &Repository,
    subject: &[u8],
    suffix: &str,
    media_type: MediaType,
    manifest: &Value,
) -> Vec<u8> {
    let bytes = manifest.to_string().into_bytes();
    let digest = registry.registry().put_manifest(repository, media_type.as_str(), bytes.clone());
    let tag = tag_of(subject, suffix).parse().unwrap();
    registry.registry().put_tag(repository, tag, digest);
    bytes
}

/// Stores a referrer of `subject` with `content`, and returns its manifest.
pub fn put_referrer(
    registry: &FakeRegistry,
    subject: &[u8],
    artifact_type: &str,
    layer_type: &str,
    content: &[u8],
) -> Vec<u8> {
    let about = subject_of(subject);
    registry.registry().put_blob(&app(), b"{}".to_vec());
    registry.registry().put_blob(&app(), content.to_vec());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciImage.as_str(),
        "artifactType": artifact_type,
        "config": described(EMPTY, b"{}"),
        "layers": [described(layer_type, content)],
        "subject": described(about.media_type.as_str(), subject),
    });
    let bytes = manifest.to_string().into_bytes();
    registry.registry().put_manifest(&app(), MediaType::OciImage.as_str(), bytes.clone());
    bytes
}

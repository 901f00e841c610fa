//! All forms of artifacts that legitimate tools attach to a signed image are served.

use std::time::Duration;

use countersign::oci::{Digest, MediaType};
use serde_json::{Value, json};

use super::{DSSE, Door, IN_TOTO, OCI, OCI_CONFIG, SPDX};
use crate::attached::{JOSE, NOTATION};
use crate::whole_gate::{APP, described};

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Longer than trust data is cached.
const LATER: Duration = Duration::from_secs(600);
const DOCKER_ATTESTATION: &str = "application/vnd.docker.attestation.manifest.v1+json";

async fn serves_tagged(door: &Door, suffix: &str, manifest: &Value) {
    let bytes = manifest.to_string().into_bytes();
    let digest = door.put_tagged(suffix, manifest["mediaType"].as_str().unwrap(), &bytes);
    door.world.pull(door.tag(suffix)).await.serves(&bytes);
    door.world.pull(digest).await.serves(&bytes);
}

/// The config that go-containerregistry writes for cosign 2: `mutate.Append(empty.Image, layers…)`.
fn cosign_config(layers: &[&[u8]]) -> Vec<u8> {
    let digests: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    let history: Vec<Value> =
        layers.iter().map(|_| json!({"created": "0001-01-01T00:00:00Z"})).collect();
    json!({"architecture": "", "created": "0001-01-01T00:00:00Z", "history": history, "os": "",
           "rootfs": {"type": "layers", "diff_ids": digests}, "config": {}})
    .to_string()
    .into_bytes()
}

#[tokio::test]
async fn cosign_2_tag_attachments_are_served() {
    let door = Door::new().await;
    for (suffix, layer_type) in [
        (".sig", SIMPLE_SIGNING),
        (".att", DSSE),
        (".sbom", "text/spdx"),
        (".sbom", "text/spdx+json"),
        (".sbom", "text/spdx+xml"),
        (".sbom", "application/vnd.cyclonedx"),
        (".sbom", "application/vnd.cyclonedx+json"),
        (".sbom", "application/vnd.cyclonedx+xml"),
        (".sbom", "application/vnd.syft+json"),
    ] {
        let layers: [&[u8]; 2] = [b"{\"one\":1}", b"{\"two\":2}"];
        let config = cosign_config(&layers);
        door.blob(&config);
        let mut manifest = door.tagged(layer_type, layers[0]);
        door.blob(layers[1]);
        manifest["config"] = described(OCI_CONFIG, &config);
        let mut second = described(layer_type, layers[1]);
        second["annotations"] =
            json!({"dev.cosignproject.cosign/signature": "MEUC", "predicateType": "x"});
        manifest["layers"].as_array_mut().unwrap().push(second);
        serves_tagged(&door, suffix, &manifest).await;

        // COSIGN_DOCKER_MEDIA_TYPES=1
        manifest["mediaType"] = json!(MediaType::DockerImage.as_str());
        manifest["config"]["mediaType"] = json!("application/vnd.docker.container.image.v1+json");
        serves_tagged(&door, suffix, &manifest).await;
    }
}

/// SBOMs of large images, and attestations with them, have many MiB.
#[tokio::test]
async fn a_large_sbom_and_a_large_attestation_under_a_tag_are_served() {
    let mut door = Door::new().await;
    for (suffix, layer_type) in [(".sbom", "text/spdx+json"), (".att", DSSE)] {
        let large = json!({"packages": "x".repeat(17 << 20), "of": suffix}).to_string();
        let manifest = door.tagged(layer_type, large.as_bytes());
        serves_tagged(&door, suffix, &manifest).await;
        door.gives_blob(large.as_bytes()).await;
        // From the store.
        door.world.restart().await;
        serves_tagged(&door, suffix, &manifest).await;
    }
}

#[tokio::test]
async fn cosign_oci_1_1_attachments_are_served() {
    let door = Door::new().await;
    for (kind, layer_type) in [("sig", SIMPLE_SIGNING), ("att", DSSE), ("sbom", "text/spdx+json")] {
        let own = format!("application/vnd.dev.cosign.artifact.{kind}.v1+json");
        let mut referrer = door.referrer(&own, layer_type, b"{\"a\":1}");
        let config = cosign_config(&[b"{\"a\":1}"]);
        door.blob(&config);
        referrer["config"] = described(&own, &config);
        door.serves_referrer(&referrer).await;
        referrer.as_object_mut().unwrap().remove("artifactType");
        door.serves_referrer(&referrer).await;
    }
}

#[tokio::test]
async fn cosign_3_attachments_are_served() {
    let door = Door::new().await;
    for bundle in [
        BUNDLE,
        "application/vnd.dev.sigstore.bundle+json;version=0.1",
        "application/vnd.dev.sigstore.bundle+json;version=0.3",
    ] {
        let mut referrer = door.referrer(bundle, bundle, b"{\"mediaType\":\"bundle\"}");
        referrer["config"]["artifactType"] = json!(bundle);
        referrer["layers"][0]["annotations"] =
            json!({"org.opencontainers.image.title": "sha256-a.sigstore.json"});
        referrer["annotations"] = json!({
            "dev.sigstore.bundle.content": "dsse-envelope",
            "dev.sigstore.bundle.predicateType": "https://sigstore.dev/cosign/sign/v1",
            "org.opencontainers.image.created": "2026-11-29T00:00:00Z",
        });
        door.serves_referrer(&referrer).await;
    }
    let mut attestation = door.referrer(IN_TOTO, DSSE, b"{\"payload\":\"\"}");
    attestation["config"]["artifactType"] = json!(IN_TOTO);
    door.serves_referrer(&attestation).await;
}

#[tokio::test]
async fn notation_attachments_are_served() {
    let door = Door::new().await;
    for envelope in [JOSE, "application/cose"] {
        let mut referrer = door.referrer(NOTATION, envelope, b"{\"payload\":\"\"}");
        referrer["annotations"] = json!({"io.cncf.notary.x509chain.thumbprint#S256": "[\"a\"]"});
        door.serves_referrer(&referrer).await;
        referrer["config"]["data"] = json!("e30=");
        door.serves_referrer(&referrer).await;
        // notation 1.0
        referrer.as_object_mut().unwrap().remove("artifactType");
        referrer["config"] = described(NOTATION, b"{}");
        door.serves_referrer(&referrer).await;
    }
}

#[tokio::test]
async fn oras_attachments_are_served() {
    let door = Door::new().await;
    for sbom in [SPDX, "application/vnd.cyclonedx+json", "application/vnd.syft+json", "text/spdx"] {
        for layer in [sbom, "application/json"] {
            let mut referrer = door.referrer(sbom, layer, b"{\"spdxVersion\":\"SPDX-2.3\"}");
            // ocispec.DescriptorEmptyJSON
            referrer["config"]["data"] = json!("e30=");
            referrer["layers"][0]["annotations"] =
                json!({"org.opencontainers.image.title": "sbom.json"});
            referrer["annotations"] =
                json!({"org.opencontainers.image.created": "2026-11-29T00:00:00Z"});
            door.serves_referrer(&referrer).await;
        }
    }
}

#[tokio::test]
async fn buildkit_attachments_are_served() {
    let mut door = Door::new().await;
    let statement = b"{\"_type\":\"https://in-toto.io/Statement/v0.1\",\"subject\":[]}";
    let mut attestation = door.referrer(DOCKER_ATTESTATION, IN_TOTO, statement);
    attestation["config"]["data"] = json!("e30=");
    attestation["layers"][0]["annotations"] =
        json!({"in-toto.io/predicate-type": "https://slsa.dev/provenance/v1"});
    door.serves_referrer(&attestation).await;

    // As in a signed index, in both forms.
    let amd64 = door.world.put_image("amd64");
    attestation["subject"] = described(OCI.as_str(), &amd64);
    let mut before = door.tagged(IN_TOTO, statement);
    before["config"] = described(OCI_CONFIG, b"{}");
    let new = door.world.put(OCI, &attestation);
    let old = door.world.put(OCI, &before);
    let index = door.world.put_index(&[&amd64, &new, &old]);
    door.world.put_tag("multi", &index);
    door.world.sign("multi", &index);
    door.world.pass(LATER);
    door.world.pull("multi").await.serves(&index);
    for child in [&amd64, &new, &old] {
        door.world.pull(Digest::of(child)).await.serves(child);
    }
}

/// A child of a signed index whose subject is another child, with an unlisted type, and the gate has not seen the
/// index.
#[tokio::test]
async fn a_child_of_a_signed_index_is_served_whatever_artifact_it_is() {
    let mut door = Door::new().await;
    let amd64 = door.world.put_image("amd64");
    let mut other = door.referrer("application/vnd.example.report", "text/plain", b"text");
    other["subject"] = described(OCI.as_str(), &amd64);
    let other = door.world.put(OCI, &other);
    let index = door.world.put_index(&[&amd64, &other]);
    door.world.put_tag("multi", &index);
    door.world.sign("multi", &index);
    door.world.pass(LATER);
    door.world.pull(Digest::of(&other)).await.serves(&other);
}

#[tokio::test]
async fn clients_find_attachments_by_the_referrers_api() {
    let door = Door::new().await;
    let mut referrer = door.referrer(BUNDLE, BUNDLE, b"{\"mediaType\":\"bundle\"}");
    referrer["annotations"] = json!({"dev.sigstore.bundle.content": "dsse-envelope"});
    let bytes = door.world.put(OCI, &referrer);
    let path = format!("/v2/{APP}/referrers/{}?artifactType={BUNDLE}", Digest::of(&door.image));
    let got = door.world.get(&path.replace('+', "%2B")).await;
    let list: Value = serde_json::from_slice(&got.body).unwrap();
    assert_eq!(got.header("oci-filters-applied"), "artifactType");
    let entry = &list["manifests"][0];
    assert_eq!(entry["digest"], Digest::of(&bytes).to_string());
    assert_eq!(entry["artifactType"], BUNDLE);
    assert_eq!(entry["annotations"]["dev.sigstore.bundle.content"], "dsse-envelope");
    assert_eq!(entry["size"], bytes.len());
}

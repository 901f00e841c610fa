//! Unsigned images disguised as artifacts of a signed image. Artifacts are served by digest to everyone, so an
//! artifact must not be anything that an engine runs.

use countersign::oci::{Digest, MediaType};
use serde_json::{Value, json};

use crate::whole_gate::{World, app, described};

const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// An artifact of `subject` whose config has that type.
fn about(subject: &[u8], media_type: MediaType, config: &str) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": media_type.as_str(),
        "config": described(config, b"{}"),
        "layers": [described("application/spdx+json", b"{}")],
        "subject": described(MediaType::OciImage.as_str(), subject),
    })
}

/// Pushes `manifest` and pulls it by its digest: it must be denied.
async fn is_denied(world: &World, media_type: MediaType, manifest: &str) {
    let bytes = manifest.as_bytes().to_vec();
    let digest = world.registry.registry().put_manifest(&app(), media_type.as_str(), bytes);
    let got = world.pull(digest).await;
    assert_eq!(got.status.as_u16(), 404, "{manifest} was served");
}

#[tokio::test]
async fn an_image_whose_config_docker_accepts_is_not_an_artifact() {
    let mut world = World::new().await;
    let image = world.push_signed("v1", "one");
    // moby, `distribution/registry.go`: `defaultImageTypes` and `pluginTypes`.
    for config in [
        OCI_CONFIG,
        "application/vnd.docker.container.image.v1+json",
        "application/vnd.docker.plugin.v1+json",
        "application/octet-stream",
        "application/json",
        "text/html",
        "Text/HTML",
        "",
    ] {
        let dressed = about(&image, MediaType::OciImage, config).to_string();
        is_denied(&world, MediaType::OciImage, &dressed).await;
    }
}

#[tokio::test]
async fn a_manifest_with_image_layers_is_not_an_artifact_whatever_its_config() {
    let mut world = World::new().await;
    let image = world.push_signed("v1", "one");
    for layer in [
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
    ] {
        let mut dressed = about(&image, MediaType::OciImage, EMPTY);
        dressed["layers"][0]["mediaType"] = json!(layer);
        is_denied(&world, MediaType::OciImage, &dressed.to_string()).await;
    }
}

#[tokio::test]
async fn an_image_in_docker_format_is_not_an_artifact_whatever_its_config() {
    let mut world = World::new().await;
    let image = world.push_signed("v1", "one");
    // containers/image runs such an image without checking the type of its config.
    let dressed = about(&image, MediaType::DockerImage, EMPTY).to_string();
    is_denied(&world, MediaType::DockerImage, &dressed).await;
}

#[tokio::test]
async fn an_image_config_in_another_letter_case_is_not_an_artifact() {
    let mut world = World::new().await;
    let image = world.push_signed("v1", "one");
    let about = about(&image, MediaType::OciImage, EMPTY);
    let real = described(OCI_CONFIG, b"{\"a\":1}").to_string();
    for (of, extra) in [
        ("", format!(r#""Config":{real}"#)),
        ("", format!(r#""CONFIG":{real}"#)),
        ("config", format!(r#""MediaType":"{OCI_CONFIG}""#)),
        ("", format!(r#""Manifests":[{real}]"#)),
        ("", r#""mediatype":"application/vnd.docker.distribution.manifest.v2+json""#.to_owned()),
    ] {
        let mut text = about.to_string();
        let end = if of.is_empty() {
            text.len() - 1
        } else {
            let start = text.find(&format!("\"{of}\":{{")).unwrap();
            start + text[start..].find('}').unwrap()
        };
        text.insert_str(end, &format!(",{extra}"));
        serde_json::from_str::<Value>(&text).unwrap();
        is_denied(&world, MediaType::OciImage, &text).await;
    }
}

#[tokio::test]
async fn an_sbom_of_a_signed_image_is_an_artifact() {
    let mut world = World::new().await;
    let image = world.push_signed("v1", "one");
    for own_type in [Some("application/spdx+json"), Some("application/vnd.syft+json"), None] {
        let config = if own_type.is_some() { EMPTY } else { "application/spdx+json" };
        let mut sbom = about(&image, MediaType::OciImage, config);
        if let Some(own_type) = own_type {
            sbom["artifactType"] = json!(own_type);
        }
        let sbom = sbom.to_string().into_bytes();
        world.registry.registry().put_manifest(&app(), MediaType::OciImage.as_str(), sbom.clone());
        world.pull(Digest::of(&sbom)).await.serves(&sbom);
    }
}

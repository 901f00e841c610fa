//! Endorsed manifests: inline content must match its descriptor, and other manifests that they list need their own
//! admission.

use countersign::oci::{Digest, MediaType};
use serde_json::{Value, json};

use super::{Door, OCI, OCI_CONFIG, image_of, inlined};
use crate::whole_gate::described;

const INDEX: MediaType = MediaType::OciIndex;

/// Pushes `manifest`, and signs it as `v2`.
fn sign(door: &mut Door, media_type: MediaType, manifest: &Value) -> Vec<u8> {
    let bytes = door.world.put(media_type, manifest);
    door.world.put_tag("v2", &bytes);
    door.world.sign("v2", &bytes);
    bytes
}

async fn is_malformed(door: &mut Door, media_type: MediaType, manifest: &Value) {
    let bytes = sign(door, media_type, manifest);
    door.world.pass(std::time::Duration::from_secs(600));
    for reference in ["v2".to_owned(), Digest::of(&bytes).to_string()] {
        let got = door.world.pull(&reference).await;
        assert_eq!(got.status, 404, "{manifest}: {got:?}");
    }
    door.world.pull("v2").await.is_refused("malformed");
}

async fn is_served(door: &mut Door, media_type: MediaType, manifest: &Value) {
    let bytes = sign(door, media_type, manifest);
    door.world.pass(std::time::Duration::from_secs(600));
    door.world.pull("v2").await.serves(&bytes);
    door.world.pull(Digest::of(&bytes)).await.serves(&bytes);
}

fn index(manifests: &Value) -> Value {
    json!({"schemaVersion": 2, "mediaType": INDEX.as_str(), "manifests": manifests})
}

#[tokio::test]
async fn inline_data_that_matches_its_descriptor_is_served() {
    let mut door = Door::new().await;
    let mut image = image_of("two");
    image["config"] = inlined(OCI_CONFIG, b"{}");
    is_served(&mut door, OCI, &image).await;
    let child = door.evil();
    is_served(&mut door, INDEX, &index(&json!([inlined(OCI.as_str(), &child)]))).await;
    door.world.pull(Digest::of(&child)).await.serves(&child);
}

#[tokio::test]
async fn inline_data_that_differs_from_its_descriptor_is_refused() {
    let mut door = Door::new().await;
    let (child, other) = (door.evil(), door.hidden());
    for data in [json!("e30"), json!("e31="), json!(1), inlined("", &other)["data"].clone()] {
        let mut image = image_of("two");
        image["config"]["data"] = data.clone();
        is_malformed(&mut door, OCI, &image).await;
        let mut entry = described(OCI.as_str(), &child);
        entry["data"] = data;
        is_malformed(&mut door, INDEX, &index(&json!([entry]))).await;
    }
    let mut image = image_of("two");
    image["config"] = inlined(OCI_CONFIG, b"{}");
    image["config"]["size"] = json!(3);
    is_malformed(&mut door, OCI, &image).await;
}

#[tokio::test]
async fn a_manifest_outside_manifests_needs_its_own_signature() {
    let mut door = Door::new().await;
    let (unsigned, signed) = (door.evil(), door.image.clone());
    for media_type in [
        "application/vnd.oci.image.manifest.v1+json",
        "APPLICATION/vnd.oci.image.index.v1+json;a=b",
        " application/vnd.docker.distribution.manifest.v2+json",
    ] {
        for place in ["/config", "/layers/0"] {
            for inline in [false, true] {
                let describe = if inline { inlined } else { described };
                let mut image = image_of("two");
                *image.pointer_mut(place).unwrap() = describe(media_type, &unsigned);
                is_malformed(&mut door, OCI, &image).await;
                *image.pointer_mut(place).unwrap() = describe(media_type, &signed);
                is_served(&mut door, OCI, &image).await;
            }
        }
    }
}

#[tokio::test]
async fn a_manifest_inlined_under_another_type_needs_its_own_signature() {
    let mut door = Door::new().await;
    let hidden = door.hidden();
    let mut image = image_of("two");
    image["layers"][0] = inlined("text/plain", &hidden);
    is_malformed(&mut door, OCI, &image).await;
}

#[tokio::test]
async fn a_child_that_points_at_an_unsigned_manifest_is_refused() {
    let mut door = Door::new().await;
    let unsigned = door.evil();
    let mut child = image_of("child");
    child["layers"][0] = described(OCI.as_str(), &unsigned);
    let child = door.world.put(OCI, &child);
    let entries = json!([described(OCI.as_str(), &child)]);
    is_served(&mut door, INDEX, &index(&entries)).await;
    assert_eq!(door.world.pull(Digest::of(&child)).await.status, 404);
    // With inline content, no client would request it.
    is_malformed(&mut door, INDEX, &index(&json!([inlined(OCI.as_str(), &child)]))).await;
}

#[tokio::test]
async fn an_undecided_outside_manifest_makes_its_parent_undecided() {
    let mut door = Door::new().await;
    let signed = door.world.push_signed("other", "other");
    let mut image = image_of("two");
    image["layers"][0] = described(OCI.as_str(), &signed);
    let bytes = sign(&mut door, OCI, &image);
    door.world.pass(std::time::Duration::from_secs(600));
    let path = format!("/manifests/{}", Digest::of(&signed));
    door.world.registry.hook(move |asked| {
        asked.path.ends_with(&path).then_some(crate::fake_registry::Fault::Drop)
    });
    assert_eq!(door.world.pull("v2").await.status, 503);
    door.world.registry.hook(|_| None);
    door.world.pass(std::time::Duration::from_secs(600));
    door.world.pull("v2").await.serves(&bytes);
}

#[tokio::test]
async fn manifests_that_point_at_each_other_are_decided_in_bounded_time() {
    let mut door = Door::new().await;
    let inner = door.evil();
    let mut parent = index(&json!([described(OCI.as_str(), &inner)]));
    parent["other"] = json!([described(OCI.as_str(), &inner)]);
    is_malformed(&mut door, INDEX, &parent).await;
    assert_eq!(door.world.pull(Digest::of(&inner)).await.status, 404);
}

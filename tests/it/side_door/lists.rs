//! Lists of referrers, by tag and by API: the gate writes them itself and never serves upstream's bytes.

use countersign::oci::{Digest, MediaType};
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::{Door, OCI, SPDX, inlined};
use crate::fake_registry::{Fault, respond, with};
use crate::whole_gate::{APP, described};

const INDEX: &str = MediaType::OciIndex.as_str();

fn index(manifests: &Value) -> Value {
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})
}

/// The gate's list for the signed image.
async fn listed(door: &Door) -> Value {
    let path = format!("/v2/{APP}/referrers/{}", Digest::of(&door.image));
    let got = door.world.get(&path).await;
    assert_eq!((got.status.as_u16(), got.header("content-type")), (200, INDEX));
    serde_json::from_slice(&got.body).unwrap()
}

/// (a) of the attacks that ran on real clients.
#[tokio::test]
async fn an_index_under_a_list_tag_with_an_inline_manifest_is_not_served() {
    let door = Door::new().await;
    let hidden = door.hidden();
    let list = index(&json!([inlined(OCI.as_str(), &hidden)]));
    door.refuses_tagged("", &list).await;
    door.keeps_back(&hidden).await;
}

#[tokio::test]
async fn an_index_of_unsigned_images_under_a_list_tag_is_not_served() {
    let door = Door::new().await;
    let evil = door.evil();
    door.refuses_tagged("", &index(&json!([described(OCI.as_str(), &evil)]))).await;
    door.keeps_back(&evil).await;
}

#[tokio::test]
async fn a_legitimate_list_under_its_tag_is_served_only_through_the_api() {
    let door = Door::new().await;
    let sbom = door.world.put(OCI, &door.referrer(SPDX, SPDX, b"{}"));
    let entry = described(OCI.as_str(), &sbom);
    door.put_tagged("", INDEX, index(&json!([entry])).to_string().as_bytes());
    let got = door.world.pull(door.tag("")).await;
    got.is_absent("digest_not_signed");
    let text = String::from_utf8_lossy(&got.body).into_owned();
    assert!(text.contains(&format!("/v2/{APP}/referrers/{}", Digest::of(&door.image))), "{text}");

    door.world.registry.hook(|asked| {
        asked
            .path
            .contains("/referrers/")
            .then(|| Fault::Respond(respond(404, "404 page not found")))
    });
    assert_eq!(listed(&door).await, index(&json!([entry])));
    door.world.pull(Digest::of(&sbom)).await.serves(&sbom);
}

#[tokio::test]
async fn a_signed_image_is_served_under_any_other_tag() {
    let door = Door::new().await;
    door.put_tagged("", OCI.as_str(), &door.image);
    door.world.pull(door.tag("")).await.serves(&door.image);
}

#[tokio::test]
async fn the_gate_rewrites_upstreams_list_of_referrers() {
    let door = Door::new().await;
    let hidden = door.hidden();
    let sbom = door.world.put(OCI, &door.referrer(SPDX, SPDX, b"{}"));
    let mut entry = described(OCI.as_str(), &sbom);
    (entry["artifactType"], entry["annotations"]) = (json!(SPDX), json!({"a": "b"}));
    let honest = entry.clone();
    entry["data"] = json!("e30=");
    entry["urls"] = json!(["https://evil.example"]);
    entry["platform"] = json!({"os": "linux", "architecture": "amd64"});
    let mut runnable = inlined(OCI.as_str(), &hidden);
    runnable["artifactType"] = json!("application/vnd.cncf.helm.config.v1+json");
    let list = index(&json!([
        entry,
        runnable,
        inlined(INDEX, &hidden),
        described(MediaType::DockerImage.as_str(), &hidden),
        described("application/vnd.oci.image.manifest.v1+json; a=b", &hidden),
    ]));
    let list = list.to_string();
    door.world.registry.hook(move |asked| {
        let answer = || Fault::Respond(with(respond(200, list.clone()), CONTENT_TYPE, INDEX));
        asked.path.contains("/referrers/").then(answer)
    });
    assert_eq!(listed(&door).await, index(&json!([honest])));
}

#[tokio::test]
async fn an_entry_of_a_list_admits_nothing() {
    let door = Door::new().await;
    let evil = door.evil();
    let mut entry = inlined(OCI.as_str(), &evil);
    entry["artifactType"] = json!("application/vnd.cncf.notary.signature");
    let list = index(&json!([entry])).to_string();
    door.world.registry.hook(move |asked| {
        let answer = || Fault::Respond(with(respond(200, list.clone()), CONTENT_TYPE, INDEX));
        asked.path.contains("/referrers/").then(answer)
    });
    let listed = listed(&door).await;
    assert_eq!(listed["manifests"][0].get("data"), None, "{listed}");
    door.keeps_back(&evil).await;
}

#[tokio::test]
async fn an_index_with_a_signed_subject_is_not_an_artifact() {
    let door = Door::new().await;
    let hidden = door.hidden();
    let mut about = index(&json!([inlined(OCI.as_str(), &hidden)]));
    about["artifactType"] = json!(SPDX);
    about["subject"] = described(OCI.as_str(), &door.image);
    let bytes = door.world.put(MediaType::OciIndex, &about);
    assert_eq!(door.world.pull(Digest::of(&bytes)).await.status, 404);
    assert_eq!(listed(&door).await["manifests"], json!([]));
    for suffix in [".sig", ".att", ".sbom", ""] {
        door.refuses_tagged(suffix, &about).await;
    }
}

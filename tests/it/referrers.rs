//! Referrers, for clients that verify signatures themselves: they find everything that upstream has, with their first
//! request.

use countersign::oci::{Digest, MediaType};
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::fake_registry::{Fault, respond, with};
use crate::whole_gate::{APP, World, app, described};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A gate with the signed image `v1`, which has a list of referrers under a tag; upstream answers requests for
/// referrers like this.
async fn listed(media_type: &str, referrers: (u16, &'static str)) -> (World, Vec<u8>, String) {
    let mut world = World::new().await;
    let image = world.push_signed("v1", "one");
    let sbom = described(MediaType::OciImage.as_str(), b"an SBOM's manifest");
    let list = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": [sbom]});
    let list = list.to_string();
    let registry = world.registry.registry();
    let digest = registry.put_manifest(&app(), media_type, list.clone().into_bytes());
    let tag = Digest::of(&image).to_string().replace(':', "-");
    registry.put_tag(&app(), tag.parse().unwrap(), digest);
    world.registry.hook(move |asked| {
        let (status, body) = referrers;
        let answer = || Fault::Respond(with(respond(status, body), CONTENT_TYPE, INDEX));
        asked.path.contains("/referrers/").then(answer)
    });
    (world, image, list)
}

/// The gate's list for `image`, which must succeed.
async fn referrers(world: &World, image: &[u8]) -> String {
    let answer = world.get(&format!("/v2/{APP}/referrers/{}", Digest::of(image))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), INDEX);
    String::from_utf8(answer.body.to_vec()).unwrap()
}

#[tokio::test]
async fn without_the_api_the_list_under_the_tag_is_served() {
    let (world, image, list) = listed(INDEX, (404, "404 page not found")).await;
    let listed: Value = serde_json::from_str(&referrers(&world, &image).await).unwrap();
    assert_eq!(listed, serde_json::from_str::<Value>(&list).unwrap());
}

#[tokio::test]
async fn with_the_api_upstreams_own_list_is_served() {
    const EMPTY: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    let (world, image, _) = listed(INDEX, (200, EMPTY)).await;
    let listed: Value = serde_json::from_str(&referrers(&world, &image).await).unwrap();
    assert_eq!(listed, serde_json::from_str::<Value>(EMPTY).unwrap());
}

#[tokio::test]
async fn a_list_of_referrers_must_be_an_oci_index() {
    let (world, image, _) = listed(MediaType::DockerIndex.as_str(), (404, "")).await;
    let none: Value = serde_json::from_str(&referrers(&world, &image).await).unwrap();
    assert_eq!(none["manifests"], json!([]));
}

/// A proxy's page says nothing about the referrers of the image.
#[tokio::test]
async fn a_web_page_instead_of_the_list_under_the_tag_is_undecided() {
    let (world, image, _) = listed(INDEX, (404, "404 page not found")).await;
    let tag = Digest::of(&image).to_string().replace(':', "-");
    world.registry.hook(move |asked| {
        if asked.path.contains("/referrers/") {
            return Some(Fault::Respond(respond(404, "404 page not found")));
        }
        let page = || Fault::Respond(with(respond(200, "<html></html>"), CONTENT_TYPE, INDEX));
        asked.path.ends_with(&tag).then(page)
    });
    let answer = world.get(&format!("/v2/{APP}/referrers/{}", Digest::of(&image))).await;
    assert_eq!(answer.status, 503, "{answer:?}");
}

#[tokio::test]
async fn an_unsigned_image_reveals_no_referrers() {
    let (world, ..) = listed(INDEX, (404, "")).await;
    let other = world.push("v2", "two");
    let answer = world.get(&format!("/v2/{APP}/referrers/{}", Digest::of(&other))).await;
    let list: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status.as_u16(), &list["manifests"]), (200, &json!([])));
}

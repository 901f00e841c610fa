//! Blobs at the mirror listener: the gate avoids errors, because after an error docker requests the whole image, by
//! tag, from the registry itself.

use countersign::oci::{Digest, MediaType};
use http::{Method, StatusCode};
use serde_json::json;

use super::{FINAL, blobs, manifests};
use crate::fake_registry::{Fault, respond};
use crate::whole_gate::{World, app, described};

#[tokio::test]
async fn an_image_is_not_admitted_without_its_config() {
    let mut world = World::new().await;
    let config = br#"{"architecture":"amd64"}"#.to_vec();
    let digest = Digest::of(&config);
    let media_type = MediaType::OciImage.as_str();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type, "layers": [],
        "config": described("application/vnd.oci.image.config.v1+json", &config),
    });
    let manifest = world.put(MediaType::OciImage, &manifest);
    world.put_tag("v1", &manifest);
    world.sign("v1", &manifest);
    let words = "the upstream registry does not have registry.example.com/library/app:v1";
    world.sticks(&manifests("v1"), words).await;
    // Clients of the public listener do not fall back, so an error is fine.
    world.pull("v1").await.serves(&manifest);

    world.registry.registry().put_blob(&app(), config.clone());
    let path = blobs(digest);
    world
        .registry
        .hook(move |asked| (asked.path == path && asked.before == 1).then(|| Fault::Truncate(3)));
    world.mirror(&manifests("v1")).await.serves(&manifest);
    world.registry.hook(|_| Some(Fault::Drop));
    world.mirror(&manifests("v1")).await.serves(&manifest);
    assert_eq!(world.mirror(&blobs(digest)).await.body, config);
}

#[tokio::test]
async fn an_unavailable_blob_gets_the_final_error_of_a_layer() {
    let world = World::new().await;
    world.push("v1", "something else");
    let missing = format!("sha256:{}", "0".repeat(64));
    let none = world.mirror(&blobs(&missing)).await;
    assert_eq!(none.error(), (501, "BLOB_UNKNOWN".to_owned()));
    assert!(none.reason.starts_with("the upstream registry does not have"), "{}", none.reason);
    assert!(none.reason.ends_with(FINAL), "{}", none.reason);
    none.is_never_kept();
    let plain = world.get(&blobs(&missing)).await;
    assert_eq!((plain.error(), plain.reason.as_str()), ((404, "BLOB_UNKNOWN".to_owned()), ""));
}

#[tokio::test(start_paused = true)]
async fn the_gate_waits_for_a_blob_while_the_registry_is_down() {
    let world = World::new().await;
    let blob = b"a layer".to_vec();
    let digest = world.registry.registry().put_blob(&app(), blob.clone());
    world.registry.hook(|asked| (asked.before < 12).then(|| Fault::Respond(respond(503, ""))));
    assert_eq!(world.get(&blobs(digest)).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(world.mirror(&blobs(digest)).await.body, blob);

    let never = world.registry.registry().put_blob(&app(), b"never".to_vec());
    world.registry.hook(|_| Some(Fault::Respond(respond(503, ""))));
    let begun = tokio::time::Instant::now();
    let failed = world.mirror(&blobs(never)).await;
    assert_eq!(failed.error(), (501, "UNAVAILABLE".to_owned()));
    assert!(failed.reason.starts_with("cannot decide about"), "{}", failed.reason);
    assert!((10..40).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_blob_continues_after_an_outage_of_the_registry() {
    let world = World::new().await;
    let blob = vec![7; 100_000];
    let digest = world.registry.registry().put_blob(&app(), blob.clone());
    world.registry.hook(|asked| match asked.before {
        0 => Some(Fault::Truncate(40_000)),
        1..=9 => Some(Fault::Respond(respond(502, ""))),
        _ => None,
    });
    assert_eq!(world.mirror(&blobs(digest)).await.body, blob);
}

/// Docker resumes an interrupted layer, and reports the last of a few errors.
#[tokio::test]
async fn a_blob_that_failed_before_fails_before_its_first_byte() {
    let world = World::new().await;
    let blob = vec![7; 100_000];
    let digest = world.registry.registry().put_blob(&app(), blob.clone());
    world.registry.hook(|_| Some(Fault::Corrupt));
    assert!(world.try_mirror(&blobs(digest)).await.is_err(), "the response was not interrupted");
    for headers in [&[][..], &[("range", "bytes=99000-")]] {
        let failed = world.as_mirror(Method::GET, &blobs(digest), headers).await;
        assert_eq!(failed.error(), (501, "DENIED".to_owned()));
        assert!(failed.reason.contains("was refused: upstream sent"), "{}", failed.reason);
        assert!(failed.reason.ends_with(FINAL), "{}", failed.reason);
    }
    world.registry.hook(|_| None);
    let rest = world.as_mirror(Method::GET, &blobs(digest), &[("range", "bytes=99000-")]).await;
    assert_eq!((rest.status, &rest.body[..]), (StatusCode::PARTIAL_CONTENT, &blob[99_000..]));
}

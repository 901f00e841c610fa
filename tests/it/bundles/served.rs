//! A gate that serves images from bundles.

use countersign::oci::Digest;
use http::Method;
use serde_json::Value;

use super::{Site, is_unknown};
use crate::fake_registry::{Fault, respond};
use crate::whole_gate::APP;

#[tokio::test]
async fn a_gate_without_a_network_serves_a_signed_image_from_a_bundle() {
    let site = Site::new(false).await;
    let manifest = site.push_signed("v1", "one");
    is_unknown(&site.world.pull("v1").await);
    site.carry("a.tar");
    site.world.pull("v1").await.serves(&manifest);
    site.world.pull(Digest::of(&manifest)).await.serves(&manifest);
    let layer = site.world.get(&format!("/v2/{APP}/blobs/{}", Digest::of(b"one"))).await;
    assert_eq!(&*layer.body, b"one");
    let tags = site.world.get(&format!("/v2/{APP}/tags/list")).await;
    let tags: Value = serde_json::from_slice(&tags.body).unwrap();
    assert!(tags["tags"].as_array().unwrap().iter().any(|tag| tag == "v1"), "{tags}");
    assert_eq!(site.world.registry.asked().len(), 0);
}

#[tokio::test]
async fn an_unsigned_image_in_a_bundle_is_not_served() {
    let site = Site::new(false).await;
    let manifest = site.world.push("v1", "one");
    site.carry("a.tar");
    site.world.pull("v1").await.is_absent("no_trust_data");
    site.world.pull(Digest::of(&manifest)).await.is_absent("no_trust_data");
}

#[tokio::test]
async fn files_that_appear_change_and_disappear_need_no_restart() {
    let site = Site::new(false).await;
    let first = site.push_signed("v1", "one");
    site.carry("a.tar");
    site.world.pull("v1").await.serves(&first);
    let second = site.push_signed("v2", "two");
    is_unknown(&site.world.pull("v2").await);
    site.carry("a.tar");
    site.world.pull("v2").await.serves(&second);
    let third = site.push_signed("v3", "three");
    site.carry("b.tar");
    site.world.pull("v3").await.serves(&third);
    let fourth = site.push_signed("v4", "four");
    is_unknown(&site.world.pull("v4").await);
    std::fs::remove_file(site.path("a.tar")).unwrap();
    site.carry("b.tar");
    site.world.pull("v4").await.serves(&fourth);
}

#[tokio::test]
async fn of_two_bundles_with_one_tag_the_newest_wins_and_the_older_one_keeps_its_content() {
    let site = Site::new(false).await;
    let old = site.push_signed("v1", "old");
    let fetched = |at: i64| {
        let mut carried = site.carried();
        carried.notaryv1.push(serde_json::json!({ "gun": "x/y", "anchor": "a", "server": "",
            "fetched": at }));
        carried
    };
    fetched(1_000).write(&site.path("z-old.tar"));
    let new = site.push_signed("v1", "new");
    fetched(2_000).write(&site.path("a-new.tar"));
    // The name of the file and the time of its last change do not decide.
    let bytes = std::fs::read(site.path("z-old.tar")).unwrap();
    crate::carried::put(&site.path("z-old.tar"), &bytes);
    site.world.pull("v1").await.serves(&new);
    site.world.pull(Digest::of(&old)).await.serves(&old);
}

#[tokio::test]
async fn beside_a_registry_content_comes_from_the_bundle_and_tags_from_the_registry() {
    let site = Site::new(true).await;
    let first = site.push_signed("v1", "one");
    site.carry("a.tar");
    site.world.pull("v1").await.serves(&first);
    assert_eq!(site.world.registry.asked_for(&Digest::of(&first).to_string()).len(), 0);
    assert!(!site.world.registry.asked_for("/manifests/v1").is_empty());
    // The registry moves the tag.
    let second = site.push_signed("v1", "two");
    site.world.pass(std::time::Duration::from_secs(600));
    site.world.pull("v1").await.serves(&second);
}

#[tokio::test]
async fn if_the_registry_does_not_answer_the_bundle_does() {
    for fault in [503, 500, 429, 0] {
        let site = Site::new(true).await;
        let manifest = site.push_signed("v1", "one");
        site.carry("a.tar");
        site.world.registry.hook(move |_| {
            Some(match fault {
                0 => Fault::Drop,
                status => Fault::Respond(respond(status, "")),
            })
        });
        site.world.pull("v1").await.serves(&manifest);
    }
}

#[tokio::test]
async fn a_registry_that_does_not_have_a_tag_has_the_last_word() {
    let site = Site::new(true).await;
    site.push_signed("v1", "one");
    site.carry("a.tar");
    site.world.registry.hook(|asked| {
        let error = r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#;
        asked.path.ends_with("/v1").then(|| Fault::Respond(respond(404, error)))
    });
    is_unknown(&site.world.pull("v1").await);
}

#[tokio::test]
async fn blobs_are_served_in_ranges() {
    let site = Site::new(false).await;
    let manifest = site.push_signed("v1", "0123456789");
    site.carry("a.tar");
    site.world.pull("v1").await.serves(&manifest);
    let path = format!("/v2/{APP}/blobs/{}", Digest::of(b"0123456789"));
    for (range, status, body) in [
        ("bytes=2-4", 206, "234"),
        ("bytes=7-", 206, "789"),
        ("bytes=-2", 206, "89"),
        ("bytes=8-99", 206, "89"),
        ("bytes=10-", 416, ""),
    ] {
        let answer = site.world.send(Method::GET, &path, &[("range", range)]).await;
        assert_eq!(answer.status, status, "{range}: {answer:?}");
        if status == 206 {
            assert_eq!(&*answer.body, body.as_bytes(), "{range}");
        }
    }
    let head = site.world.send(Method::HEAD, &path, &[]).await;
    assert_eq!((head.status.as_u16(), head.header("content-length")), (200, "10"));
}

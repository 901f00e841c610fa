//! While upstream does not answer, stored and endorsed content is served, other signed content is undecided, and unsigned
//! content is absent. Stored content does not change a verdict.

use std::time::Duration;

use countersign::oci::Digest;
use http::{Method, StatusCode};

use crate::fake_registry::Fault;
use crate::whole_gate::{APP, World, app};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// The config that `put_image` creates.
const CONFIG: &[u8] = b"{}";

fn blob_path(content: &[u8]) -> String {
    format!("/v2/{APP}/blobs/{}", Digest::of(content))
}

/// A gate that served a signed image, was restarted on the same store, and whose upstream is down now.
async fn cut_off() -> (World, Vec<u8>) {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.push_signed("v2", "two");
    world.push("v3", "three");
    world.pull("v1").await.serves(&manifest);
    for content in [CONFIG, b"one"] {
        assert_eq!(world.get(&blob_path(content)).await.body, content);
    }
    world.restart().await;
    world.registry.hook(|_| Some(Fault::Drop));
    (world, manifest)
}

#[tokio::test]
async fn stored_and_endorsed_content_is_served() {
    let (world, manifest) = cut_off().await;
    let digest = Digest::of(&manifest);
    world.pull("v1").await.serves(&manifest);
    world.pull(digest).await.serves(&manifest);
    for content in [CONFIG, b"one"] {
        let blob = world.get(&blob_path(content)).await;
        assert_eq!((blob.status, &blob.body[..]), (StatusCode::OK, content));
        let head = world.send(Method::HEAD, &blob_path(content), &[]).await;
        assert_eq!(head.header("content-length"), content.len().to_string());
    }
    let part = world.send(Method::GET, &blob_path(b"one"), &[("range", "bytes=1-")]).await;
    assert_eq!((part.status, &part.body[..]), (StatusCode::PARTIAL_CONTENT, &b"ne"[..]));
    assert_eq!(part.header("content-range"), "bytes 1-2/3");
}

#[tokio::test]
async fn content_that_is_not_stored_is_undecided_and_unsigned_content_is_absent() {
    let (world, _) = cut_off().await;
    world.pull("v2").await.is_undecided("upstream_unreachable");
    world.pull("v3").await.is_absent("tag_not_signed");
    for method in [Method::GET, Method::HEAD] {
        let blob = world.send(method, &blob_path(b"two"), &[]).await;
        assert_eq!(blob.status, StatusCode::SERVICE_UNAVAILABLE);
    }
}

#[tokio::test]
async fn if_the_notary_server_is_down_too_max_stale_limits_the_service() {
    let (mut world, manifest) = cut_off().await;
    world.notary.goes_down();
    world.restart().await;
    world.pass(24 * HOUR);
    world.pull("v1").await.serves(&manifest);
    world.pass(Duration::from_secs(1));
    world.pull("v1").await.is_undecided("trust_unreachable");
}

#[tokio::test]
async fn a_stored_image_that_is_no_longer_signed_is_refused() {
    let (mut world, _) = cut_off().await;
    world.signer.untag(crate::notary_repository::RELEASES, "v1");
    world.publish();
    world.pass(HOUR);
    world.pull("v1").await.is_absent("tag_not_signed");
}

#[tokio::test]
async fn stored_children_of_a_stored_index_are_served_by_digest() {
    let mut world = World::new().await;
    let (amd64, arm64) = (world.put_image("amd64"), world.put_image("arm64"));
    let index = world.put_index(&[&amd64, &arm64]);
    world.registry.registry().put_tag(&app(), "v1".parse().unwrap(), Digest::of(&index));
    world.sign("v1", &index);
    world.pull("v1").await.serves(&index);
    world.pull(Digest::of(&amd64)).await.serves(&amd64);
    world.restart().await;
    world.registry.hook(|_| Some(Fault::Drop));
    world.pull(Digest::of(&amd64)).await.serves(&amd64);
    world.pull(Digest::of(&arm64)).await.is_undecided("upstream_unreachable");
}

#[tokio::test]
async fn a_stored_manifest_is_served_as_a_blob_only_while_it_is_admitted() {
    let (world, manifest) = cut_off().await;
    let blob = world.get(&blob_path(&manifest)).await;
    assert_eq!((blob.status, &blob.body[..]), (StatusCode::OK, &manifest[..]));
    world.pass(std::time::Duration::from_secs(400 * 86_400));
    let blob = world.get(&blob_path(&manifest)).await;
    assert!(!blob.status.is_success(), "{blob:?}");
}

#[tokio::test]
async fn every_verdict_is_the_same_without_the_store() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.push("v2", "two");
    let index = world.put_index(&[&manifest]);
    for emptied in [false, true] {
        if emptied {
            world.restart_without_content().await;
        }
        world.pull("v1").await.serves(&manifest);
        world.pull(Digest::of(&manifest)).await.serves(&manifest);
        world.pull("v2").await.is_absent("tag_not_signed");
        world.pull(Digest::of(&index)).await.is_absent("digest_not_signed");
        assert_eq!(world.get(&blob_path(b"one")).await.body, &b"one"[..]);
    }
}

#[tokio::test]
async fn a_client_that_already_has_the_blob_gets_a_304_without_its_bytes() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    let etag = format!("\"{}\"", Digest::of(b"one"));
    for method in [Method::GET, Method::HEAD] {
        let headers = [("if-none-match", etag.as_str()), ("range", "bytes=0-0")];
        let answer = world.send(method, &blob_path(b"one"), &headers).await;
        assert_eq!((answer.status, answer.body.len()), (StatusCode::NOT_MODIFIED, 0));
        assert_eq!(answer.header("etag"), etag);
    }
    let other = [("if-none-match", "\"sha256:0\"")];
    let answer = world.send(Method::GET, &blob_path(b"one"), &other).await;
    assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"one"[..]));
    let missing = world.send(Method::GET, &blob_path(b"never"), &[("if-none-match", "*")]).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
}

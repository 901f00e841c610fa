//! `on_unsigned = "hold"`: after a tag moves to an unsigned image, the gate continues to serve the previous image as long
//! as that is endorsed.

use std::time::Duration;

use serde_json::json;

use super::{push_signed, world};
use crate::attached::tag_of;
use crate::audit::Page;
use crate::fake_registry::{Fault, respond};
use crate::whole_gate::World;

const REFRESH: Duration = Duration::from_secs(5 * 60);

async fn holding() -> World {
    world("", "on_unsigned = \"hold\"").await
}

/// A gate that has served `v1`. The tag then moves to an unsigned image.
async fn moved() -> (World, Vec<u8>, Vec<u8>) {
    let world = holding().await;
    let manifest = push_signed(&world, "v1", "one");
    world.pull("v1").await.serves(&manifest);
    let unsigned = world.push("v1", "two");
    world.pass(REFRESH);
    (world, manifest, unsigned)
}

#[tokio::test]
async fn the_last_admitted_image_is_served_after_a_tag_moves_to_an_unsigned_one() {
    let (world, manifest, unsigned) = moved().await;
    world.pull("v1").await.serves(&manifest);
    // `hold` applies to tags, not to digests.
    world.pull(countersign::oci::Digest::of(&unsigned)).await.is_absent("no_trust_data");
    // Once the new image is signed, it is served.
    super::sign(&world, &unsigned);
    world.pass(REFRESH);
    world.pull("v1").await.serves(&unsigned);
}

#[tokio::test]
async fn a_held_tag_is_logged_counted_and_explained() {
    let (world, _, unsigned) = moved().await;
    let page = Page::default();
    let _here = page.is_written();
    world.pull("v1").await;
    let events = page.all();
    assert!(events.iter().any(|event| event["remark"] == "held"), "{events:?}");
    let warns = |event: &&serde_json::Value| {
        event["level"] == "WARN"
            && event["message"].as_str().unwrap().contains("serving the previous image")
    };
    assert!(events.iter().any(|event| warns(&event)), "{events:?}");
    let metrics = world.metrics().await;
    assert!(metrics.contains("countersign_held_total 1\n"), "{metrics}");

    let why = world.why("v1").await;
    assert_eq!(why.verdict, "admitted");
    let remark = why.remark.clone().unwrap();
    let digest = countersign::oci::Digest::of(&unsigned).to_string();
    assert!(remark.contains("held") && remark.contains(&digest), "{remark}");
    assert!(why.to_text().contains("remark    held: "), "{}", why.to_text());
}

#[tokio::test]
async fn a_held_image_that_is_no_longer_endorsed_is_not_served() {
    let (world, manifest, _) = moved().await;
    let gone = tag_of(&manifest, ".sig");
    world
        .registry
        .hook(move |asked| asked.path.ends_with(&gone).then(|| Fault::Respond(respond(404, ""))));
    world.pull("v1").await.is_absent("no_trust_data");
}

#[tokio::test]
async fn a_tag_is_not_held_while_it_is_unknown_whether_the_new_image_is_signed() {
    let (world, _, unsigned) = moved().await;
    let silent = tag_of(&unsigned, ".sig");
    world.registry.hook(move |asked| asked.path.ends_with(&silent).then_some(Fault::Drop));
    world.pull("v1").await.is_undecided("trust_unreachable");
}

#[tokio::test]
async fn a_tag_is_held_after_a_restart_too() {
    let (mut world, manifest, _) = moved().await;
    world.restart().await;
    world.pull("v1").await.serves(&manifest);
}

#[tokio::test]
async fn a_tag_that_never_had_a_signed_image_is_not_held() {
    let world = holding().await;
    world.push("v1", "one");
    push_signed(&world, "v2", "two");
    world.pull("v2").await;
    world.pull("v1").await.is_absent("no_trust_data");
}

#[tokio::test]
async fn a_tag_that_moves_to_an_image_of_another_signer_is_held() {
    let (world, manifest, unsigned) = moved().await;
    let layer = crate::attached::layer(&unsigned, &crate::attached::OTHER);
    super::put(&world, &unsigned, &[layer]);
    world.pull("v1").await.serves(&manifest);
}

#[tokio::test]
async fn without_hold_a_tag_that_moved_to_an_unsigned_image_is_absent() {
    let world = world("", "").await;
    let manifest = push_signed(&world, "v1", "one");
    world.pull("v1").await.serves(&manifest);
    world.push("v1", "two");
    world.pass(REFRESH);
    world.pull("v1").await.is_absent("no_trust_data");
    assert_eq!(json!(world.why("v1").await)["verdict"], "absent");
}

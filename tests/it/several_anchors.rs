//! Rules with several anchors, not all of which work.

use countersign::oci::Digest;

use crate::fake_registry::REGISTRY;
use crate::whole_gate::{DEFAULTS, World};

#[tokio::test]
async fn an_unreachable_anchor_affects_only_images_that_it_could_vouch_for() {
    let other = format!(
        r#"
        [[anchor]]
        name = "other"
        scheme = "notaryv1"
        url = "http://127.0.0.1:1"
        root_keys = ["{}"]

        [[rule]]
        images = ["{REGISTRY}/library/app:other-*"]
        require = ["other"]
        "#,
        "0".repeat(64)
    );
    let mut world = World::with(DEFAULTS, &other).await;
    let child = world.put_image("amd64");
    let index = world.put_index(&[&child]);
    world.sign("v1", &index);
    world.pull(&Digest::of(&child).to_string()).await.serves(&child);
    let stranger = world.put_image("stranger");
    let stranger = world.pull(&Digest::of(&stranger).to_string()).await;
    stranger.is_undecided("trust_unreachable");
}

//! Rules that deny a digest, with anchors that sign content.

use std::time::Duration;

use countersign::oci::Digest;

use super::{push_signed, world};
use crate::attached::{JOSE, NOTATION, ROOT, envelope, put_referrer, tag_of};
use crate::fake_registry::REGISTRY;
use crate::sigstore::NOW;
use crate::whole_gate::{APP, World};

const SPDX: &str = "application/spdx+json";
const REFRESH: Duration = Duration::from_secs(5 * 60);

/// Restarts the gate with a rule that denies the digest of `manifest`.
async fn deny(world: &mut World, manifest: &[u8]) {
    let digest = Digest::of(manifest);
    let mut setup = world.setup.clone();
    setup.tables +=
        &format!("[[rule]]\nimages = [\"{REGISTRY}/{APP}@{digest}\"]\nmode = \"deny\"\n");
    world.restart_with(setup).await;
}

#[tokio::test]
async fn a_signed_image_whose_digest_is_denied_is_denied_with_its_signatures() {
    let mut world = world("", "").await;
    let (bad, good) = (push_signed(&world, "v1", "one"), push_signed(&world, "v2", "two"));
    world.pull("v1").await.serves(&bad);
    deny(&mut world, &bad).await;
    world.pull("v1").await.is_refused("denied_by_rule");
    world.pull(Digest::of(&bad)).await.is_refused("denied_by_rule");
    world.pull(tag_of(&bad, ".sig")).await.is_refused("denied_by_rule");
    world.pull("v2").await.serves(&good);
    assert_eq!(world.pull(tag_of(&good, ".sig")).await.status, 200);
}

#[tokio::test]
async fn a_tag_is_not_held_at_a_denied_digest() {
    let mut world = world("", "on_unsigned = \"hold\"").await;
    let last = push_signed(&world, "v1", "one");
    world.pull("v1").await.serves(&last);
    world.push("v1", "two");
    world.pass(REFRESH);
    world.pull("v1").await.serves(&last);
    deny(&mut world, &last).await;
    assert_eq!(world.pull("v1").await.denied().0, 404);
}

/// `cosign sign --attachment sbom`: the subject of the signature is the SBOM, and the SBOM's is the image.
#[tokio::test]
async fn referrers_of_a_denied_artifact_are_not_served() {
    let mut world = world("", "").await;
    let image = push_signed(&world, "v1", "one");
    let sbom = put_referrer(&world.registry, &image, SPDX, SPDX, b"{\"spdxVersion\":\"SPDX-2.3\"}");
    let signed = envelope(&sbom, &ROOT, NOW).jws();
    let signature = put_referrer(&world.registry, &sbom, NOTATION, JOSE, &signed);
    world.pull(Digest::of(&signature)).await.serves(&signature);
    deny(&mut world, &sbom).await;
    world.pull(Digest::of(&sbom)).await.is_refused("denied_by_rule");
    assert_eq!(world.pull(Digest::of(&signature)).await.status, 404);
    world.pull("v1").await.serves(&image);
}

/// A denied image was never admitted, so an older image after it is not a rollback.
#[tokio::test]
async fn a_tag_moved_to_a_denied_digest_is_denied_and_may_move_back() {
    let mut world = world("", "on_unsigned = \"hold\"\non_rollback = \"refuse\"").await;
    let good = super::push_signed_at(&world, "v1", "one", NOW - 60);
    world.pull("v1").await.serves(&good);
    let bad = super::push_signed_at(&world, "v1", "two", NOW);
    deny(&mut world, &bad).await;
    world.pass(REFRESH);
    world.pull("v1").await.is_refused("denied_by_rule");
    world.put_tag("v1", &good);
    world.pass(REFRESH);
    world.pull("v1").await.serves(&good);
}

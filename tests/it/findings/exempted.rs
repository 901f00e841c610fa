//! Exemptions with anchors that sign content.

use std::time::Duration;

use countersign::exemptions::{ExemptionFile, Said};
use countersign::oci::Digest;

use super::{push_signed_at, put, world};
use crate::attached::layer;
use crate::fake_registry::hosted;
use crate::sigstore::{Key, Kind, NOW};
use crate::whole_gate::{World, app};

fn exempt(world: &World, manifest: &[u8]) {
    let made = world.clock.now();
    let said = Said {
        repository: hosted(app()),
        digest: Digest::of(manifest),
        reason: "OPS-12".to_owned(),
        by: "alice".to_owned(),
        made,
        until: made.plus(Duration::from_secs(3600)),
    };
    ExemptionFile::below(&world.store()).add(said).unwrap();
    world.pass(Duration::from_secs(1));
}

#[tokio::test]
async fn unsigned_and_foreign_signed_images_are_served_while_exempted() {
    let world = world("", "").await;
    let child = world.put_image("amd64");
    let index = world.put_index(&[&child]);
    world.put_tag("v1", &index);
    let forged = world.push("v2", "two");
    put(&world, &forged, &[layer(&forged, &Key::new(Kind::P256))]);
    world.pull("v1").await.is_absent("no_trust_data");
    world.pull("v2").await.is_refused("signature_invalid");
    exempt(&world, &index);
    exempt(&world, &forged);
    world.pull(Digest::of(&child)).await.serves(&child);
    world.pull("v1").await.serves(&index);
    world.pull("v2").await.serves(&forged);
    world.pull(Digest::of(&forged)).await.serves(&forged);
    world.pass(Duration::from_secs(3600));
    world.pull("v1").await.is_absent("no_trust_data");
    world.pull("v2").await.is_refused("signature_invalid");
    assert_eq!(world.pull(Digest::of(&child)).await.status, 404);
}

#[tokio::test]
async fn an_exempted_rollback_is_served_and_not_recorded() {
    let world = world("refresh = \"0s\"", "on_rollback = \"refuse\"").await;
    let new = push_signed_at(&world, "v1", "new", NOW + 100);
    world.pull("v1").await.serves(&new);
    let old = push_signed_at(&world, "v1", "old", NOW);
    world.pull("v1").await.is_refused("rollback");
    exempt(&world, &old);
    world.pull("v1").await.serves(&old);
    world.pass(Duration::from_secs(3600));
    world.pull("v1").await.is_refused("rollback");
}

#[tokio::test]
async fn a_held_tag_is_unchanged_while_an_exempted_digest_is_served() {
    let world = world("refresh = \"0s\"", "on_unsigned = \"hold\"").await;
    let signed = push_signed_at(&world, "v1", "one", NOW);
    world.pull("v1").await.serves(&signed);
    let unsigned = world.push("v1", "two");
    exempt(&world, &unsigned);
    world.pull("v1").await.serves(&signed);
    world.pull(Digest::of(&unsigned)).await.serves(&unsigned);
}

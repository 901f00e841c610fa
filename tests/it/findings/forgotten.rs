//! `countersign forget` next to a running gate.

use std::time::Duration;

use countersign::commands::forget::{Forgettable, NotForgettable};
use countersign::oci::Digest;

use super::{TEAM, ci, push_signed_at, rule, setup, world};
use crate::fake_registry::REGISTRY;
use crate::sigstore::NOW;
use crate::whole_gate::{APP, World};

fn forget(world: &World, tag: &str) -> String {
    let config = world.config();
    let image = format!("{REGISTRY}/{APP}{tag}");
    let tag = Forgettable::parse(&image, &config).unwrap();
    tag.forget(&config, &world.clock).unwrap().to_string()
}

#[tokio::test]
async fn a_running_gate_serves_an_older_image_after_forget() {
    let world = world("", "on_rollback = \"refuse\"").await;
    let older = push_signed_at(&world, "old", "older", NOW);
    let newer = push_signed_at(&world, "latest", "newer", NOW + 60);
    world.pull("latest").await.serves(&newer);
    world.put_tag("latest", &older);
    world.pass(Duration::from_secs(5 * 60));
    world.pull("latest").await.is_refused("rollback");
    let reported = forget(&world, "");
    assert!(
        reported.contains(&format!("forgot {REGISTRY}/{APP}:latest: its digest was ")),
        "{reported}"
    );
    assert!(reported.contains(&Digest::of(&newer).to_string()), "{reported}");
    world.pull("latest").await.serves(&older);
}

#[tokio::test]
async fn a_tag_without_pulls_has_no_history() {
    let world = world("", "").await;
    let reported = forget(&world, ":v1");
    assert_eq!(reported, format!("nothing was remembered of {REGISTRY}/{APP}:v1\n"));
}

#[tokio::test]
async fn forget_keeps_notary_v1_metadata_and_reports_that() {
    let tables = [TEAM.to_owned(), ci(""), rule("require = [\"team\", \"ci\"]")];
    let world = World::of(setup(&tables)).await;
    let reported = forget(&world, ":v1");
    assert!(reported.contains("the trust memory of team [notaryv1] is unchanged"), "{reported}");
    assert!(!reported.contains("ci"), "{reported}");
}

#[tokio::test]
async fn forget_rejects_a_digest_and_an_unknown_registry() {
    let world = world("", "").await;
    let config = world.config();
    let digest = format!("{REGISTRY}/{APP}:v1@{}", Digest::of(b""));
    assert!(matches!(Forgettable::parse(&digest, &config), Err(NotForgettable::Digest)));
    let elsewhere = Forgettable::parse("elsewhere.example.com/a:v1", &config);
    assert!(matches!(elsewhere, Err(NotForgettable::Registry(_))));
}

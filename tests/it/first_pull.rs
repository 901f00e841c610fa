//! What a first pull costs: requests to upstream, and after a restart, what it reads from the store.

use crate::attached::{MINE, layer, put_sig};
use crate::fake_registry::REGISTRY;
use crate::sigstore::Sigstore;
use crate::whole_gate::{DEFAULTS, Setup, World, app};

async fn cosign() -> World {
    let tables = format!(
        "[[anchor]]\nname = \"ci\"\nscheme = \"cosign\"\nkeys = [\"mine.pub\"]\n\
         trusted_root = \"root.json\"\n[[rule]]\nimages = [\"{REGISTRY}/**\"]\nrequire = [\"ci\"]\n"
    );
    let setup = Setup::new(tables)
        .file("mine.pub", MINE.pem())
        .file("root.json", Sigstore::shared().trusted_root().to_string());
    World::of(setup).await
}

/// How often the store was asked for content that it had.
async fn hits(world: &World) -> u64 {
    let metrics = world.metrics().await;
    let line = metrics.lines().find_map(|line| line.strip_prefix("countersign_store_hits_total "));
    line.unwrap().parse().unwrap()
}

/// What upstream was asked for since `before`.
fn paths(world: &World, before: usize) -> Vec<String> {
    let asked = world.registry.asked();
    asked[before..].iter().map(|asked| format!("{} {}", asked.method, asked.path)).collect()
}

#[tokio::test]
async fn a_first_pull_of_a_cosign_signed_image_takes_four_requests() {
    let world = cosign().await;
    let image = world.push("v1", "signed");
    put_sig(&world.registry, &app(), &image, &[layer(&image, &MINE)]);
    world.pull("v1").await.serves(&image);
    let asked = paths(&world, 0);
    assert_eq!(asked.len(), 4, "{asked:#?}");
    assert!(asked[0].starts_with("HEAD") && asked[0].ends_with("/manifests/v1"), "{asked:#?}");
}

#[tokio::test]
async fn a_first_pull_of_a_notary_signed_image_takes_one_request() {
    let mut world = World::with(DEFAULTS, "").await;
    let image = world.push_signed("v1", "signed");
    world.pull("v1").await.serves(&image);
    let asked = paths(&world, 0);
    assert_eq!(asked.len(), 1, "{asked:#?}");
    assert!(asked[0].starts_with("GET") && asked[0].contains("/manifests/sha256:"), "{asked:#?}");
}

#[tokio::test]
async fn after_a_restart_a_manifest_is_read_from_the_store_once() {
    let mut world = cosign().await;
    let image = world.push("v1", "signed");
    put_sig(&world.registry, &app(), &image, &[layer(&image, &MINE)]);
    world.pull("v1").await.serves(&image);
    world.stop().await;
    world.start().await;
    let before = world.registry.asked().len();
    world.pull("v1").await.serves(&image);
    let asked = paths(&world, before);
    // The image and the payload of its signature.
    assert_eq!(hits(&world).await, 2, "{asked:#?}");
}

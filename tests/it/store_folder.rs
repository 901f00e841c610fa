//! A store whose folder is removed while the gate runs: another process may own the new folder at its path.

use std::time::{Duration, Instant};

use countersign::app::App;

use crate::folder::Folder;
use crate::whole_gate::World;

const PATIENCE: Duration = Duration::from_secs(30);

async fn becomes(world: &World, status: u16) -> String {
    let start = Instant::now();
    loop {
        let ready = world.ask_admin("/readyz").await;
        if ready.status == status {
            return String::from_utf8_lossy(&ready.body).into_owned();
        }
        assert!(start.elapsed() < PATIENCE, "/readyz stays {}", ready.status);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_second_gate_on_a_removed_store_never_shares_it_with_the_first() {
    let mut world = World::new().await;
    world.push_signed("v1", "one");
    assert_eq!(world.pull("v1").await.status, 200);
    let config = world.config();

    // In one step, because the gate may be writing there.
    let away = Folder::new("removed");
    std::fs::rename(world.store(), away.join("store")).unwrap();
    drop(away);
    let ready = becomes(&world, 503).await;
    assert!(ready.contains("store"), "{ready}");
    // Its trust data still counts, and it creates no new folder.
    assert_eq!(world.pull("v1").await.status, 200);
    world.pass(Duration::from_secs(600));
    world.push_signed("v2", "two");
    world.pull("v2").await;
    assert!(!world.store().exists());

    // Another process owns the new folder exclusively.
    let second = App::start(&config, world.clock.clone()).await.unwrap();
    let trusted = |world: &World| world.files("memory.json").len();
    assert_eq!(trusted(&world), 0);
    world.push_signed("v3", "three");
    world.pull("v3").await;
    assert_eq!(trusted(&world), 0, "the first gate wrote into the folder of the second");
    becomes(&world, 503).await;
    second.stop().await;
    world.stop().await;
}

#[tokio::test]
async fn a_restored_store_is_used_again() {
    let mut world = World::new().await;
    world.push_signed("v1", "one");
    let away = Folder::new("away");
    std::fs::rename(world.store(), away.join("store")).unwrap();
    becomes(&world, 503).await;
    std::fs::rename(away.join("store"), world.store()).unwrap();
    becomes(&world, 200).await;
    assert_eq!(world.pull("v1").await.status, 200);
    world.stop().await;
}

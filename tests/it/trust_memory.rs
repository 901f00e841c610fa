//! The trust memory across restarts, damaged folders and floods of names, and background refreshes.

use std::fs;
use std::time::Duration;

use countersign::app::{App, Keeping};
use countersign::clock::{Clock, Timestamp};
use countersign::config::Config;
use countersign::toml_reader::Document;

use crate::fake_notary::FakeNotary;
use crate::fake_registry::{Fault, REGISTRY};
use crate::folder::Folder;
use crate::notary_repository::{GUN, NOW, NotaryRepository};
use crate::whole_gate::{APP, World};

const HOUR: Duration = Duration::from_secs(60 * 60);

#[tokio::test]
async fn a_refusal_does_not_erase_the_remembered_versions() {
    let mut world = World::new().await;
    world.push_signed("v1", "one");
    let old = world.signer.publish();
    let fixed = world.push_signed("v1", "one, fixed");
    world.pull("v1").await.serves(&fixed);
    world.notary.remove(GUN);
    world.pass(HOUR);
    world.pull("v1").await.is_refused("trust_removed");
    world.restart().await;
    world.notary.publish(GUN, old);
    world.pull("v1").await.is_refused("rollback");
}

#[tokio::test]
async fn a_foreign_folder_in_the_trust_memory_does_not_prevent_updates() {
    let mut world = World::new().await;
    let one = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&one);
    let memory = world.files("memory.json").remove(0);
    fs::create_dir(memory.with_file_name("lost+found")).unwrap();
    let two = world.push_signed("v1", "two");
    world.pass(HOUR);
    world.pull("v1").await.serves(&two);
}

/// A gate for `why` only, with one anchor at `notary`. It has no listener.
fn gate(notary: &FakeNotary, pin: &str, folder: &Folder, clock: &Clock) -> App {
    let text = format!(
        r#"
        [server]
        listen = "127.0.0.1:0"
        [store]
        path = "store"
        [[upstream]]
        registry = "registry.example.com"
        url = "http://127.0.0.1:1"
        [[anchor]]
        name = "team"
        scheme = "notaryv1"
        url = "{}"
        root_keys = ["{pin}"]
        [[rule]]
        images = ["registry.example.com/**"]
        require = ["team"]
        "#,
        notary.url()
    );
    let document = Document::from_text(&folder.join("countersign.toml"), text);
    let config = Config::read(&document).unwrap();
    App::new(&config, clock.clone(), Keeping::OnlyRead).unwrap()
}

async fn admit(app: &App, image: &str) {
    drop(app.gate().admit(&image.parse().unwrap()).await);
}

#[tokio::test]
async fn unsigned_names_are_not_refreshed_in_the_background() {
    let (notary, folder) = (FakeNotary::start().await, Folder::new("floods"));
    let clock = Clock::manual(Timestamp::from_unix(NOW));
    let pin = "0".repeat(64);
    let app = gate(&notary, &pin, &folder, &clock);
    for number in 0..10 {
        admit(&app, &format!("registry.example.com/made/up-{number}:v1")).await;
    }
    for _ in 0..3 {
        clock.advance(Duration::from_secs(11));
        assert_eq!(app.gate().trust().tend().len(), 0);
    }
}

#[tokio::test]
async fn an_aborted_refresh_is_started_again() {
    let (notary, folder) = (FakeNotary::start().await, Folder::new("breaks"));
    let clock = Clock::manual(Timestamp::from_unix(NOW));
    let mut signer = NotaryRepository::signed();
    notary.publish(GUN, signer.publish());
    let pin = signer.role("root").keys[0].canonical_id();
    let app = gate(&notary, &pin, &folder, &clock);
    admit(&app, &format!("{GUN}:v1")).await;
    clock.advance(Duration::from_secs(4 * 60 + 1));
    notary.hook(|_| Some(Fault::Silence));
    let started = app.gate().trust().tend();
    assert_eq!(started.len(), 1);
    assert_eq!(app.gate().trust().tend().len(), 0, "started twice");
    for refresh in started {
        refresh.abort();
        drop(refresh.await);
    }
    assert_eq!(app.gate().trust().tend().len(), 1);
}

#[tokio::test]
async fn trust_memory_that_cannot_be_written_is_reported_until_it_is_written() {
    let mut world = World::new().await;
    let signed = world.push_signed("v1", "one");
    let folder = world.store().join("trust/notaryv1/team");
    let elsewhere = world.store().join("trust/notaryv1/elsewhere");
    fs::rename(&folder, &elsewhere).unwrap();
    world.pull("v1").await.is_undecided("trust_unreachable");
    let ready = world.ask_admin("/readyz").await;
    let text = String::from_utf8_lossy(&ready.body);
    // The gate still serves what it has verified.
    assert_eq!(ready.status, 200);
    assert!(text.starts_with("ready\nthe trust memory cannot be written"), "{text}");
    let metrics = world.metrics().await;
    assert!(metrics.contains("countersign_store_usable 0\n"), "{metrics}");
    let failures = "countersign_store_failures_total{operation=\"trust_memory\"}";
    assert!(
        !metrics.contains(&format!("{failures} 0\n")) && metrics.contains(failures),
        "{metrics}"
    );
    let why = world.ask_admin(&format!("/why?image={REGISTRY}/{APP}:v1")).await;
    let why: serde_json::Value = serde_json::from_slice(&why.body).unwrap();
    let advice = why["advice"].as_str().unwrap();
    assert!(advice.contains("free disk space") && advice.contains("trust memory"), "{advice}");

    fs::rename(&elsewhere, &folder).unwrap();
    world.pass(Duration::from_secs(10));
    world.pull("v1").await.serves(&signed);
    assert_eq!(world.ask_admin("/readyz").await.body, "ready\n");
    assert!(world.metrics().await.contains("countersign_store_usable 1\n"));
}

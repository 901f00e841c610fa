//! Reloading the configuration: a valid one takes effect at once, an invalid one changes nothing, and requests in
//! progress continue.

use std::sync::Arc;

use countersign::exemptions::{ExemptionFile, Said};
use countersign::oci::Digest;
use tokio::sync::Semaphore;

use crate::fake_registry::{Fault, REGISTRY, hosted};
use crate::whole_gate::{APP, DEFAULTS, Setup, World, app};

/// The anchor of [`World::new`], and these rules.
fn rules(rules: &str) -> Setup {
    anchored("root_keys = [\"PIN\"]", rules)
}

fn anchored(pin: &str, rules: &str) -> Setup {
    Setup::new(format!(
        "[[anchor]]\nname = \"team\"\nscheme = \"notaryv1\"\nurl = \"NOTARY\"\n{pin}\n{DEFAULTS}\n{rules}"
    ))
}

fn enforced() -> String {
    format!("[[rule]]\nimages = [\"{REGISTRY}/**\"]\nrequire = [\"team\"]\n")
}

fn allowed() -> String {
    format!("[[rule]]\nimages = [\"{REGISTRY}/**\"]\nmode = \"allow\"\nreason = \"a test\"\n")
}

#[tokio::test]
async fn a_new_rule_applies_to_the_next_request() {
    let mut world = World::new().await;
    let signed = world.push_signed("v1", "one");
    let unsigned = world.push("dev", "two");
    world.pull("dev").await.is_absent("tag_not_signed");
    let mut reloader = world.reloader();
    world.configure(rules(&allowed()));
    assert!(reloader.reload().await);
    world.pull("dev").await.serves(&unsigned);
    world.configure(rules(&enforced()));
    assert!(reloader.reload().await);
    world.pull("dev").await.is_absent("tag_not_signed");
    world.pull("v1").await.serves(&signed);
    let metrics = world.metrics().await;
    assert!(metrics.contains("countersign_config_generation 3\n"), "{metrics}");
}

#[tokio::test]
async fn an_invalid_configuration_changes_nothing_and_is_reported_until_fixed() {
    let mut world = World::new().await;
    let signed = world.push_signed("v1", "one");
    let mut reloader = world.reloader();
    for bad in [
        "[[rule]]\nimages = [\"*\"]\nmode = \"allow\"\n",
        "this is not TOML",
        // Valid, except that a file that it names does not exist.
        "[[upstream]]\nregistry = \"r2.example\"\nca = \"missing.pem\"\n[[rule]]\nimages = [\"**\"]\nmode = \"deny\"\n",
    ] {
        world.configure(Setup::new(bad));
        assert!(!reloader.reload().await, "{bad}");
        world.pull("v1").await.serves(&signed);
        world.pull("v2").await.is_absent("tag_not_signed");
    }
    let metrics = world.metrics().await;
    let now = world.clock.now().unix();
    for line in [
        "countersign_config_generation 1\n".to_owned(),
        "countersign_config_last_reload_successful 0\n".to_owned(),
        format!("countersign_config_last_reload_failure_timestamp_seconds {now}\n"),
    ] {
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    world.configure(rules(&enforced()));
    assert!(reloader.reload().await);
    let metrics = world.metrics().await;
    assert!(metrics.contains("countersign_config_last_reload_successful 1\n"), "{metrics}");
}

#[tokio::test]
async fn a_new_pin_is_checked_against_known_metadata() {
    let mut world = World::new().await;
    let signed = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&signed);
    let mut reloader = world.reloader();
    let other = "ab".repeat(32);
    world.configure(anchored(&format!("root_keys = [\"{other}\"]"), &enforced()));
    assert!(reloader.reload().await);
    world.pull("v1").await.is_refused("root_not_pinned");
}

#[tokio::test]
async fn verified_images_are_served_after_a_reload_during_an_outage() {
    let mut world = World::new().await;
    let signed = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&signed);
    world.notary.goes_down();
    let mut reloader = world.reloader();
    assert!(reloader.reload().await);
    world.pull("v1").await.serves(&signed);
    world.pull("v2").await.is_absent("tag_not_signed");
}

#[tokio::test]
async fn a_rollback_is_remembered_through_a_reload() {
    let mut world = World::new().await;
    let older = world.push_signed("v1", "one");
    let files = world.signer.publish();
    let newer = world.push_signed("v1", "two");
    world.pull("v1").await.serves(&newer);
    assert_ne!(older, newer);
    world.notary.publish(crate::notary_repository::GUN, files);
    let mut reloader = world.reloader();
    assert!(reloader.reload().await);
    world.pass(std::time::Duration::from_secs(600));
    world.pull("v1").await.is_refused("rollback");
}

#[tokio::test]
async fn requests_in_progress_keep_their_configuration_during_a_reload() {
    let mut world = World::new().await;
    world.push_signed("v1", "one");
    let layer = vec![7_u8; 300_000];
    let digest = Digest::of(&layer);
    world.registry.registry().put_blob(&app(), layer.clone());
    let gate = Arc::new(Semaphore::new(1));
    let pieces = gate.clone();
    world.registry.hook(move |asked| {
        asked.path.contains("/blobs/").then(|| Fault::Gated(100_000, pieces.clone()))
    });
    let mut reloader = world.reloader();
    world.configure(Setup::new(format!(
        "[[rule]]\nimages = [\"{REGISTRY}/**\"]\nmode = \"deny\"\n"
    )));
    let path = format!("/v2/{APP}/blobs/{digest}");
    let (answer, ()) = tokio::join!(world.get(&path), async {
        while world.registry.asked_for(&digest.to_string()).is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(reloader.reload().await);
        gate.add_permits(100);
    });
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, layer.len()));
    assert!(answer.body == layer);
    world.pull("v1").await.is_refused("denied_by_rule");
}

#[tokio::test]
async fn a_changed_file_is_noticed_once_it_is_complete() {
    let mut world = World::new().await;
    world.push("dev", "two");
    let mut reloader = world.reloader();
    tokio::time::pause();
    let nothing = tokio::time::timeout(std::time::Duration::from_secs(60), reloader.changed());
    assert!(nothing.await.is_err(), "nothing has changed");
    world.configure(rules(&allowed()));
    reloader.changed().await;
    assert!(reloader.reload().await);
    let nothing = tokio::time::timeout(std::time::Duration::from_secs(60), reloader.changed());
    assert!(nothing.await.is_err(), "the change was already read");
    tokio::time::resume();
    assert_eq!(world.pull("dev").await.status, 200);
}

#[tokio::test]
async fn changes_during_the_start_are_noticed() {
    let mut world = World::new().await;
    world.push("dev", "two");
    let config = world.config();
    world.configure(rules(&allowed()));
    let mut reloader = world.reloader_of(config);
    tokio::time::pause();
    let noticed = tokio::time::timeout(std::time::Duration::from_secs(60), reloader.changed());
    assert!(noticed.await.is_ok());
    tokio::time::resume();
    assert!(reloader.reload().await);
    assert_eq!(world.pull("dev").await.status, 200);
}

#[tokio::test]
async fn a_file_completed_during_a_reload_is_read_completely() {
    let mut world = World::new().await;
    let mut reloader = world.reloader();
    // It is read before the users file, which is a pipe and waits for its writer.
    let named = format!("{}[clients]\nhtpasswd = \"users\"\n", enforced());
    world.configure(
        anchored("root_keys = [\"PIN\", \"root.pem\"]", &named).file("root.pem", "half"),
    );
    let folder = world.store().parent().unwrap().to_owned();
    let users = folder.join("users");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &users, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let line = format!("alice:{}\n", bcrypt::hash("alice", 4).unwrap());
    let writer = std::thread::spawn(move || {
        let mut pipe = std::fs::OpenOptions::new().write(true).open(&users).unwrap();
        let whole = rcgen::KeyPair::generate().unwrap().public_key_pem();
        let write = |name: &str, text: &str| {
            let mut file = std::fs::File::create(folder.join(name)).unwrap();
            std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        };
        write("root.pem", &whole);
        write("users.new", &line);
        std::fs::rename(folder.join("users.new"), &users).unwrap();
        std::io::Write::write_all(&mut pipe, line.as_bytes()).unwrap();
    });
    assert!(reloader.reload().await);
    writer.join().unwrap();
    assert_eq!(world.get("/v2/").await.status, 401);
}

#[tokio::test]
async fn an_exemption_outlives_a_reload_but_does_not_override_a_new_deny_rule() {
    let mut world = World::new().await;
    let unsigned = world.push("v1", "one");
    let made = world.clock.now();
    let said = Said {
        repository: hosted(app()),
        digest: Digest::of(&unsigned),
        reason: "OPS-12".to_owned(),
        by: "alice".to_owned(),
        made,
        until: made.plus(std::time::Duration::from_secs(3600)),
    };
    ExemptionFile::below(&world.store()).add(said).unwrap();
    let mut reloader = world.reloader();
    assert!(reloader.reload().await);
    world.pull("v1").await.serves(&unsigned);
    let denied = format!("[[rule]]\nimages = [\"{REGISTRY}/**\"]\nmode = \"deny\"\n");
    world.configure(rules(&denied));
    assert!(reloader.reload().await);
    world.pull("v1").await.is_refused("denied_by_rule");
    world.pull(Digest::of(&unsigned)).await.is_refused("denied_by_rule");
}

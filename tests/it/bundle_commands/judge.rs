//! `bundle verify` and `bundle import` judge a bundle with this side's roots, rules, memory and clock, and without any
//! connection.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use countersign::app::import::import;
use countersign::commands::bundle::import::accept::accept;
use countersign::oci::Digest;
use serde_json::Value;

use super::receiver::Receiver;
use super::{Exporter, TABLES, image, open};
use crate::attached::OTHER;
use crate::notary_repository::RELEASES;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A bundle of one image of Notary and one of cosign, and their manifests.
async fn two(exporter: &mut Exporter) -> [Vec<u8>; 2] {
    let signed = exporter.world.push_signed("v1", "by notary");
    let cosigned = exporter.push_cosigned("v2", "by cosign");
    exporter.bundle("a.tar", &["v1", "v2"]).await;
    [signed, cosigned]
}

#[tokio::test]
async fn a_bundle_is_verified_without_a_connection() {
    let mut exporter = Exporter::new().await;
    two(&mut exporter).await;
    let receiver = Receiver::new(&exporter).await;
    let verified = receiver.verify(&exporter.path("a.tar"), None).await;
    assert_eq!(verified.exit_status(), 0, "{verified}");
    receiver.asked_nobody();
    // Nothing is stored and nothing is remembered.
    assert!(!receiver.has(b"by notary") && receiver.world.files("memory.json").is_empty());
    let verified = receiver.verify(&exporter.path("a.tar"), Some(20_000 * DAY)).await;
    assert_eq!(verified.exit_status(), 3, "{verified}");
    assert!(verified.to_string().contains("EXPIRES SOON"), "{verified}");
}

#[tokio::test]
async fn this_sides_roots_decide_and_not_those_of_the_bundle() {
    let mut exporter = Exporter::new().await;
    two(&mut exporter).await;
    let tables = TABLES.replace("PIN", &"0".repeat(64));
    let receiver = Receiver::with(&exporter, &tables, OTHER.pem()).await;
    let path = exporter.path("a.tar");
    let verified = receiver.verify(&path, None).await;
    assert_eq!(verified.exit_status(), 3, "{verified}");
    assert!(verified.to_string().contains("0 of 2 images pass"), "{verified}");
    let imported = receiver.import(&path).await;
    assert_eq!(imported.exit_status(), 3, "{imported}");
    assert!(!receiver.has(b"by notary") && !receiver.has(b"by cosign"));
    assert!(receiver.world.files("memory.json").is_empty());
    // The roots of the bundle are written for the operator to read, and still decide nothing.
    let accepted = accept(&open(&path), &receiver.world.config()).unwrap().to_string();
    assert!(
        accepted.contains("nothing uses these files") && accepted.contains("mine.pub"),
        "{accepted}"
    );
    assert_eq!(receiver.verify(&path, None).await.exit_status(), 3);
    receiver.asked_nobody();
}

#[tokio::test]
async fn an_import_fills_the_store_and_the_trust_memory() {
    let mut exporter = Exporter::new().await;
    let manifests = two(&mut exporter).await;
    let mut receiver = Receiver::new(&exporter).await;
    let imported = receiver.import(&exporter.path("a.tar")).await;
    assert_eq!(imported.exit_status(), 0, "{imported}");
    receiver.asked_nobody();
    for content in [&manifests[0][..], &manifests[1], b"by notary", b"by cosign"] {
        assert!(receiver.has(content), "{}", String::from_utf8_lossy(content));
    }
    let memory = receiver.world.files("memory.json");
    let memory: Value = serde_json::from_slice(&fs::read(&memory[0]).unwrap()).unwrap();
    assert!(memory["roles"]["timestamp"]["version"].as_u64().unwrap() >= 1, "{memory:#}");
    // A gate serves the image of Notary from its store and its trust memory, without any server.
    receiver.world.start().await;
    assert_eq!(receiver.world.pull("v1").await.status, 200);
}

#[tokio::test]
async fn an_import_of_older_trust_data_is_refused() {
    let mut exporter = Exporter::new().await;
    two(&mut exporter).await;
    exporter.world.signer.untag(RELEASES, "v1");
    exporter.world.push_signed("v3", "newer");
    exporter.bundle("b.tar", &["v3"]).await;
    let receiver = Receiver::new(&exporter).await;
    assert_eq!(receiver.import(&exporter.path("b.tar")).await.exit_status(), 0);
    let before = fs::read(&receiver.world.files("memory.json")[0]).unwrap();
    let imported = receiver.import(&exporter.path("a.tar")).await;
    assert_eq!(imported.exit_status(), 3, "{imported}");
    let one = imported.images.iter().find(|it| it.image == image("v1").to_string()).unwrap();
    assert_ne!(one.result, "imported", "{imported}");
    assert!(!receiver.has(b"by notary"));
    assert_eq!(fs::read(&receiver.world.files("memory.json")[0]).unwrap(), before);
}

#[tokio::test]
async fn an_image_whose_assumed_content_is_missing_is_refused_as_a_whole() {
    let exporter = Exporter::new().await;
    exporter.push_cosigned("v1", "one");
    let path = exporter.path("a.tar");
    exporter.bundle("whole.tar", &["v1"]).await;
    let mut order = exporter.order("a.tar", &["v1"]);
    order.have = [Digest::of(b"one")].into();
    exporter.create(&order).await.unwrap();
    let receiver = Receiver::new(&exporter).await;
    let verified = receiver.verify(&path, None).await;
    assert_eq!(verified.exit_status(), 3, "{verified}");
    assert!(verified.to_string().contains(&Digest::of(b"one").to_string()), "{verified}");
    assert_eq!(receiver.import(&path).await.exit_status(), 3);
    assert!(!receiver.has(b"{}"), "a part of the image was imported");
    // Once this side has the layer, the same bundle passes.
    assert_eq!(receiver.import(&exporter.path("whole.tar")).await.exit_status(), 0);
    assert_eq!(receiver.verify(&path, None).await.exit_status(), 0);
    assert_eq!(receiver.import(&path).await.exit_status(), 0);
}

#[tokio::test]
async fn a_layer_that_does_not_match_its_digest_is_refused() {
    let exporter = Exporter::new().await;
    exporter.push_cosigned("v1", "the good layer");
    let path = exporter.path("a.tar");
    exporter.bundle("a.tar", &["v1"]).await;
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(14).rposition(|bytes| bytes == b"the good layer").unwrap();
    bytes[at..at + 14].copy_from_slice(b"the evil layer");
    exporter.folder.write("a.tar", bytes);
    let receiver = Receiver::new(&exporter).await;
    let verified = receiver.verify(&path, None).await;
    assert_eq!(verified.exit_status(), 3, "{verified}");
    assert!(verified.to_string().contains("does not match its digest"), "{verified}");
    assert_eq!(receiver.import(&path).await.exit_status(), 3);
    assert!(!receiver.has(b"the evil layer") && !receiver.has(b"the good layer"));
}

#[tokio::test]
async fn a_running_gate_imports_for_the_command() {
    let mut exporter = Exporter::new().await;
    two(&mut exporter).await;
    let mut receiver = Receiver::new(&exporter).await;
    receiver.world.start().await;
    let imported = receiver.import(&exporter.path("a.tar")).await;
    assert_eq!(imported.exit_status(), 0, "{imported}");
    assert!(receiver.has(b"by notary") && receiver.has(b"by cosign"));
    let missing = exporter.path("missing.tar");
    let (config, clock) = (receiver.world.config(), receiver.world.clock.clone());
    let failed = import(&config, clock, &missing, &|_| ()).await;
    let failed = format!("{:#}", failed.unwrap_err());
    assert!(failed.contains("missing.tar"), "{failed}");
    let left = fs::read_dir(receiver.world.store().join("import")).unwrap().count();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn two_imports_of_one_bundle_at_once_both_end() {
    let mut exporter = Exporter::new().await;
    two(&mut exporter).await;
    let mut receiver = Receiver::new(&exporter).await;
    receiver.world.start().await;
    let (path, config) = (exporter.path("a.tar"), receiver.world.config());
    let clock = &receiver.world.clock;
    let both = async {
        let one = import(&config, clock.clone(), &path, &|_| ());
        tokio::join!(one, import(&config, clock.clone(), &path, &|_| ()))
    };
    let (one, other) = tokio::time::timeout(Duration::from_secs(60), Box::pin(both)).await.unwrap();
    let ended = [one, other].map(|it| it.map(|it| it.exit_status()).map_err(|it| it.to_string()));
    assert!(ended.contains(&Ok(0)), "{ended:?}");
    let again =
        |it: &Result<u8, String>| it.as_ref().is_err_and(|it| it.contains("import it again"));
    assert!(ended.iter().all(|it| *it == Ok(0) || again(it)), "{ended:?}");
}

#[tokio::test]
async fn an_inventory_tells_the_exporter_what_to_leave_out() {
    let mut exporter = Exporter::new().await;
    two(&mut exporter).await;
    let receiver = Receiver::new(&exporter).await;
    receiver.import(&exporter.path("a.tar")).await;
    let inventory = exporter.path("inventory.json");
    let of = countersign::commands::inventory::Inventory::of(&receiver.world.config()).unwrap();
    of.write(&inventory).unwrap();
    let json: Value = serde_json::from_slice(&fs::read(&inventory).unwrap()).unwrap();
    assert!(json["notaryv1"][0]["versions"]["targets"].is_u64(), "{json:#}");
    let mut order = exporter.order("b.tar", &["v1", "v2"]);
    for have in ["inventory.json", "a.tar"] {
        let have = countersign::commands::inventory::digests_in(&exporter.path(have)).unwrap();
        order.have = have;
        let created = exporter.create(&order).await.unwrap();
        assert_eq!(created.exit_status(), 0, "{created}");
        let bundle = Arc::new(open(&exporter.path("b.tar")));
        assert!(bundle.blob(&Digest::of(b"by cosign")).is_none());
        assert_eq!(receiver.verify(&exporter.path("b.tar"), None).await.exit_status(), 0);
    }
}

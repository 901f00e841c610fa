//! Rollback of a tag to an older signed image: attacks of a registry on the recorded signing times.

use std::sync::Arc;
use std::time::Duration;

use countersign::oci::Digest;
use serde_json::json;
use tokio::sync::Semaphore;

use super::{DAY, Site, signatures_of};
use crate::fake_registry::{Fault, respond};
use crate::notary_repository::NOW;
use crate::sigstore::{Layer, Sigstore, payload};

const REFUSE: &str = "[[rule]]\nimages = [\"APP\"]\nrequire = [\"ci\"]\non_rollback = \"refuse\"\n";
/// Longer than any answer is cached.
const LATER: Duration = Duration::from_secs(600);

/// A signature without a stated time, with a log entry `days_ago` days ago.
fn logged(site: &Site, image: &[u8], days_ago: i64) -> Layer {
    let key = &site.keys["ci"];
    let text = payload(&Digest::of(image).to_string(), json!({}));
    let layer = Layer::signed(&text, key);
    let at = NOW - days_ago * DAY;
    let log = &Sigstore::shared().rekor;
    let entry = log.hashedrekord(text.as_bytes(), &layer.signature(), &key.pem(), at);
    layer.logged(&entry)
}

#[tokio::test]
async fn an_older_image_with_a_signature_without_a_time_is_a_rollback() {
    let site = Site::new(&["ci"], REFUSE).await;
    let (old, new) = (site.world.push("old", "one"), site.world.push("v1", "two"));
    site.put_signatures(&new, &[site.signature("ci", &new, 1)]);
    site.world.pull("v1").await.serves(&new);

    let mut stripped = logged(&site, &old, 9);
    stripped.annotations.remove("dev.sigstore.cosign/bundle");
    // A log entry does not prove the time of a key's signature: anybody can log the signature today.
    for layer in [stripped, logged(&site, &old, 0)] {
        site.put_signatures(&old, &[layer]);
        site.tag("v1", Digest::of(&old));
        site.world.pass(LATER);
        site.world.pull("v1").await.is_refused("rollback");
    }
    // The image that the tag had is not older than itself.
    site.tag("v1", Digest::of(&new));
    site.world.pass(LATER);
    site.world.pull("v1").await.serves(&new);
}

#[tokio::test]
async fn an_older_image_that_is_logged_again_is_a_rollback() {
    let site = Site::new(&["ci"], REFUSE).await;
    let (old, new) = (site.world.push("old", "one"), site.world.push("v1", "two"));
    site.put_signatures(&new, &[site.signature("ci", &new, 5)]);
    site.world.pull("v1").await.serves(&new);

    // The signer stated the time; anybody can log the signature today.
    let signature = site.signature("ci", &old, 9);
    let log = &Sigstore::shared().rekor;
    let pem = site.keys["ci"].pem();
    let entry = log.hashedrekord(&signature.payload, &signature.signature(), &pem, NOW - DAY);
    site.put_signatures(&old, &[signature.logged(&entry)]);
    site.tag("v1", Digest::of(&old));
    site.world.pass(LATER);
    site.world.pull("v1").await.is_refused("rollback");
}

#[tokio::test]
async fn an_older_image_signed_again_by_one_of_two_anchors_is_a_rollback() {
    let rule =
        "[[rule]]\nimages = [\"APP\"]\nrequire = [\"ci\", \"scan\"]\non_rollback = \"refuse\"\n";
    let site = Site::new(&["ci", "scan"], rule).await;
    let (old, new) = (site.world.push("old", "one"), site.world.push("v1", "two"));
    let both = |image: &[u8], built, scanned| {
        let layers = [site.signature("ci", image, built), site.signature("scan", image, scanned)];
        site.put_signatures(image, &layers);
    };
    both(&new, 5, 4);
    site.world.pull("v1").await.serves(&new);

    // A scanner signs all remaining images every day.
    both(&old, 9, 0);
    site.tag("v1", Digest::of(&old));
    site.world.pass(LATER);
    site.world.pull("v1").await.is_refused("rollback");
}

#[tokio::test]
async fn an_older_image_signed_again_by_a_scanner_is_a_rollback() {
    let rule =
        "[[rule]]\nimages = [\"APP\"]\nrequire = [\"ci\", \"scan\"]\non_rollback = \"refuse\"\n";
    let site = Site::new(&["ci", "scan"], rule).await;
    let (old, new) = (site.world.push("old", "one"), site.world.push("v1", "two"));
    site.put_signatures(&new, &[site.signature("ci", &new, 5), site.signature("scan", &new, 4)]);
    site.world.pull("v1").await.serves(&new);

    let undated = payload(&Digest::of(&old).to_string(), json!({}));
    let undated = Layer::signed(&undated, &site.keys["ci"]);
    site.put_signatures(&old, &[undated, site.signature("scan", &old, 0)]);
    site.tag("v1", Digest::of(&old));
    site.world.pass(LATER);
    site.world.pull("v1").await.is_refused("rollback");
}

#[tokio::test]
async fn an_older_image_requested_first_and_delivered_last_is_a_rollback() {
    let site = Site::new(&["ci"], REFUSE).await;
    let (old, new) = (site.world.push("v1", "one"), site.world.push("new", "two"));
    site.put_signatures(&old, &[site.signature("ci", &old, 9)]);
    site.put_signatures(&new, &[site.signature("ci", &new, 5)]);
    let (slow, gate) = (signatures_of(&old, ".sig"), Arc::new(Semaphore::new(0)));
    let held = gate.clone();
    let path = slow.clone();
    site.world.registry.hook(move |asked| {
        asked.path.ends_with(&path).then(|| Fault::Gated(1 << 20, held.clone()))
    });
    let meanwhile = async {
        while site.world.registry.asked_for(&slow).is_empty() {
            tokio::task::yield_now().await;
        }
        site.tag("v1", Digest::of(&new));
        site.world.pass(LATER);
        site.world.pull("v1").await.serves(&new);
        gate.add_permits(10);
    };
    let (last, ()) = tokio::join!(site.world.pull("v1"), meanwhile);
    last.is_refused("rollback");
    site.tag("v1", Digest::of(&old));
    site.world.pass(LATER);
    site.world.pull("v1").await.is_refused("rollback");
}

#[tokio::test]
async fn a_tag_is_not_held_at_an_image_that_is_no_longer_signed() {
    let hold = "[[rule]]\nimages = [\"APP\"]\nrequire = [\"ci\"]\non_unsigned = \"hold\"\n";
    let site = Site::new(&["ci"], hold).await;
    let image = site.push_signed("v1", "one", "ci");
    site.world.pull("v1").await.serves(&image);
    site.world.push("v1", "two");
    site.world.pass(LATER);
    site.world.pull("v1").await.serves(&image);

    site.put_signatures(&image, &[]);
    site.world.pass(LATER);
    site.world.pull("v1").await.is_absent("no_trust_data");
}

#[tokio::test]
async fn a_deleted_tag_does_not_return_during_an_outage() {
    let site = Site::new(&["ci"], "[[rule]]\nimages = [\"APP\"]\nrequire = [\"ci\"]\n").await;
    let image = site.push_signed("v1", "one", "ci");
    site.world.pull("v1").await.serves(&image);
    let answers = |status| {
        site.world.registry.hook(move |asked| {
            asked.path.ends_with("/manifests/v1").then(|| {
                let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"gone"}]}"#;
                Fault::Respond(respond(status, body))
            })
        });
    };
    answers(404);
    site.world.pass(LATER);
    assert_eq!(site.world.pull("v1").await.status, 404);
    answers(500);
    site.world.pass(LATER);
    assert_eq!(site.world.pull("v1").await.status, 503);
}

//! Audit rules: everything is served, each denial that enforcing would give is recorded, and clients do not wait long
//! for it.

use std::time::{Duration, Instant};

use countersign::oci::Digest;
use http::Method;
use serde_json::{Value, json};

use crate::attached::{MINE, ROOT, layer, put_sig, tag_of};
use crate::audit::Page;
use crate::fake_registry::{Fault, REGISTRY};
use crate::notary_repository::in_days;
use crate::sigstore::{HOUR, NOW, Sigstore};
use crate::whole_gate::{APP, DEFAULTS, Setup, World, app};

/// The extra time that an audit rule may take, plus the delay of a busy machine.
const PROMPTLY: Duration = Duration::from_secs(12);

/// A gate whose rule for [`APP`] audits the anchor `team`.
async fn world() -> World {
    let audit = format!(
        "[[rule]]\nimages = [\"{REGISTRY}/{APP}\"]\nrequire = [\"team\"]\nmode = \"audit\"\n"
    );
    World::with(DEFAULTS, &audit).await
}

/// The same with an anchor `ci` of cosign, and additional lines for the rule.
async fn content(lines: &str) -> World {
    let tables = format!(
        "[[anchor]]\nname = \"ci\"\nscheme = \"cosign\"\nkeys = [\"mine.pub\"]\n\
         trusted_root = \"root.json\"\n\
         [[rule]]\nimages = [\"{REGISTRY}/**\"]\nrequire = [\"ci\"]\nmode = \"audit\"\n{lines}\n"
    );
    let setup = Setup::new(tables)
        .file("mine.pub", MINE.pem())
        .file("root.json", Sigstore::shared().trusted_root().to_string())
        .file("root.crt", ROOT.pem())
        .at(NOW + HOUR);
    World::of(setup).await
}

/// The record of one pull of `manifest` as `reference`, which must be served.
async fn recorded(world: &World, reference: impl std::fmt::Display, manifest: &[u8]) -> Value {
    let page = Page::default();
    let _here = page.is_written();
    world.pull(reference).await.serves(manifest);
    let mut events = page.events();
    assert_eq!(events.len(), 1, "{events:?}");
    let event = events.remove(0);
    assert_eq!(event["verdict"], "admitted", "{event}");
    event
}

/// The fields that describe the verdict of enforcement.
fn would(event: &Value) -> [&str; 4] {
    ["would", "reason", "anchor", "scheme"].map(|name| event[name].as_str().unwrap_or_default())
}

const NOTHING: &str = "";

#[tokio::test]
async fn an_unsigned_image_is_served_and_its_denial_recorded() {
    let mut world = world().await;
    let signed = world.push_signed("signed", "signed");
    let image = world.push("v1", "one");
    let event = recorded(&world, Digest::of(&image), &image).await;
    assert_eq!(would(&event), ["absent", "digest_not_signed", "team", "notaryv1"]);
    let event = recorded(&world, "v1", &image).await;
    assert_eq!(would(&event), ["absent", "tag_not_signed", "team", "notaryv1"]);
    let because = event["because"].as_str().unwrap();
    assert!(because.starts_with("remote trust data does not exist for"), "{because}");
    assert_eq!(event["rule"], format!("{REGISTRY}/{APP}"));
    let event = recorded(&world, "signed", &signed).await;
    assert_eq!(would(&event), [NOTHING, NOTHING, "team", "notaryv1"]);
    assert_eq!(event["because"], Value::Null);
    let metrics = world.metrics().await;
    for reason in ["tag_not_signed", "digest_not_signed"] {
        let line = format!("countersign_would_refuse_total{{reason=\"{reason}\"}} 1");
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
}

#[tokio::test]
async fn why_shows_the_denial_that_an_audit_rule_would_enforce() {
    let mut world = world().await;
    world.push_signed("signed", "signed");
    world.push("v1", "one");
    let reported = world.why("v1").await;
    assert_eq!((&*reported.verdict, reported.reason.clone()), ("admitted", None));
    let text = reported.to_text();
    assert!(text.contains("audit     it would be absent (tag_not_signed)"), "{text}");
    let json = serde_json::to_value(&reported).unwrap();
    assert_eq!(json["would"]["verdict"], "absent");
    assert_eq!(json["would"]["reason"], "tag_not_signed");
    let signed = serde_json::to_value(world.why("signed").await).unwrap();
    assert_eq!(signed["would"], Value::Null);
}

#[tokio::test]
async fn only_children_of_a_signed_index_would_be_served() {
    let mut world = world().await;
    let (child, stranger) = (world.put_image("amd64"), world.put_image("stranger"));
    let (index, other) = (world.put_index(&[&child]), world.put_index(&[&stranger]));
    world.put_tag("signed", &index);
    world.sign("signed", &index);
    world.put_tag("other", &other);
    // With a cold cache: its index was not requested.
    let event = recorded(&world, Digest::of(&child), &child).await;
    assert_eq!(would(&event), [NOTHING, NOTHING, "team", "notaryv1"]);
    assert_eq!(recorded(&world, "other", &other).await["would"], "absent");
    assert_eq!(recorded(&world, Digest::of(&stranger), &stranger).await["would"], "absent");
}

#[tokio::test]
async fn audit_distinguishes_would_be_refused_from_absent() {
    let mut world = world().await;
    let image = world.push_signed("v1", "one");
    world.signer.role_mut("timestamp").expires = in_days(-1);
    world.publish();
    let event = recorded(&world, "v1", &image).await;
    assert_eq!(would(&event), ["refused", "expired", "team", "notaryv1"]);
}

#[tokio::test]
async fn a_notary_outage_blocks_no_pull() {
    let world = world().await;
    let image = world.push("v1", "one");
    world.notary.goes_down();
    let event = recorded(&world, "v1", &image).await;
    assert_eq!(would(&event), ["undecided", "trust_unreachable", "team", "notaryv1"]);
    let event = recorded(&world, Digest::of(&image), &image).await;
    assert_eq!(would(&event), ["undecided", "trust_unreachable", "team", "notaryv1"]);
}

#[tokio::test]
async fn a_silent_notary_server_delays_a_whole_pull_only_once() {
    let world = world().await;
    let child = world.put_image("amd64");
    let index = world.put_index(&[&child]);
    world.put_tag("v1", &index);
    world.notary.hook(|_| Some(Fault::Silence));
    let started = Instant::now();
    for (reference, manifest) in [
        ("v1".to_owned(), &index),
        (Digest::of(&index).to_string(), &index),
        (Digest::of(&child).to_string(), &child),
    ] {
        let event = recorded(&world, reference, manifest).await;
        assert_eq!(would(&event)[..2], ["undecided", "trust_unreachable"], "{event}");
    }
    assert!(started.elapsed() < PROMPTLY, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_silent_registry_of_signatures_delays_no_pull() {
    let world = content("").await;
    let image = world.push("v1", "one");
    let tag = tag_of(&image, "");
    world.registry.hook(move |asked| {
        let searched = asked.path.contains(&tag) || asked.path.contains("/referrers/");
        searched.then_some(Fault::Silence)
    });
    let started = Instant::now();
    let event = recorded(&world, "v1", &image).await;
    assert_eq!(would(&event)[..2], ["undecided", "trust_unreachable"], "{event}");
    assert!(started.elapsed() < PROMPTLY, "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_audit_rule_also_denies_bytes_that_do_not_match_their_digest() {
    let world = world().await;
    let image = world.push("v1", "one");
    world.registry.hook(|asked| {
        let manifest = asked.path.contains("/manifests/") && asked.method == Method::GET;
        manifest.then_some(Fault::Corrupt)
    });
    world.pull("v1").await.is_refused("content_mismatch");
    world.pull(Digest::of(&image)).await.is_refused("content_mismatch");
}

#[tokio::test]
async fn an_audit_rule_serves_signature_tags_of_signed_images() {
    let world = content("").await;
    let image = world.push("v1", "one");
    let signature = put_sig(&world.registry, &app(), &image, &[layer(&image, &MINE)]);
    let event = recorded(&world, tag_of(&image, ".sig"), &signature).await;
    assert_eq!(would(&event), [NOTHING, NOTHING, "ci", "cosign"]);
    let event = recorded(&world, "v1", &image).await;
    assert_eq!(would(&event), [NOTHING, NOTHING, "ci", "cosign"]);
}

#[tokio::test]
async fn a_rollback_would_be_refused_if_the_rule_says_so() {
    use crate::attached::layer_at;
    let world = content("on_rollback = \"refuse\"").await;
    let put = |tag: &str, text: &str, at: i64| {
        let image = world.push(tag, text);
        put_sig(&world.registry, &app(), &image, &[layer_at(&image, &MINE, at)]);
        image
    };
    let new = put("v1", "new", NOW + 100);
    assert_eq!(would(&recorded(&world, "v1", &new).await)[0], NOTHING);
    let old = put("v1", "old", NOW);
    world.pass(Duration::from_secs(600));
    let event = recorded(&world, "v1", &old).await;
    assert_eq!(would(&event)[..2], ["refused", "rollback"], "{event}");
}

#[tokio::test]
async fn a_tag_under_an_audit_rule_is_served_by_digest_with_its_children() {
    let audit = format!(
        "[[rule]]\nimages = [\"{REGISTRY}/{APP}:try-*\"]\nrequire = [\"team\"]\nmode = \"audit\"\n"
    );
    let world = World::with(DEFAULTS, &audit).await;
    let child = world.put_image("amd64");
    let index = world.put_index(&[&child]);
    world.put_tag("try-1", &index);
    world.pull(Digest::of(&index)).await.is_absent("no_trust_data");
    assert_eq!(recorded(&world, "try-1", &index).await["would"], "absent");
    assert_eq!(recorded(&world, Digest::of(&index), &index).await["would"], "absent");
    assert_eq!(recorded(&world, Digest::of(&child), &child).await["would"], "absent");
}

#[tokio::test]
async fn enforced_decisions_have_no_audit_fields() {
    let mut world = World::new().await;
    let image = world.push_signed("v1", "one");
    let event = recorded(&world, "v1", &image).await;
    let fields = ["would", "because", "reason", "remark"].map(|name| event.get(name).is_some());
    assert_eq!(fields, [false; 4], "{event}");
    assert_eq!(event["image.reference"], json!("v1"));
}

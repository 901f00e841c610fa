//! Break glass: an exempted digest is served for a limited time without an endorsement, and nothing else is. One test
//! per attack.

use std::time::{Duration, Instant};

use countersign::exemptions::{ExemptionFile, Said};
use countersign::oci::{Digest, MediaType};
use http::Method;
use serde_json::{Value, json};

use crate::audit::Page;
use crate::fake_registry::{Fault, REGISTRY, hosted};
use crate::notary_repository::in_days;
use crate::whole_gate::{APP, DEFAULTS, World, app, described};

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

/// Exempts a digest of `repository` for an hour, and waits until the gate applies it.
fn exempt_in(world: &World, repository: &str, digest: Digest) {
    exempt_because(world, repository, digest, "OPS-12");
}

pub(crate) fn exempt_because(world: &World, repository: &str, digest: Digest, reason: &str) {
    let made = world.clock.now();
    let said = Said {
        repository: hosted(repository.parse().unwrap()),
        digest,
        reason: reason.to_owned(),
        by: "alice (uid 1000)".to_owned(),
        made,
        until: made.plus(HOUR),
    };
    file(world).add(said).unwrap();
    world.pass(SECOND);
}

pub(crate) fn exempt(world: &World, manifest: &[u8]) {
    exempt_in(world, APP, Digest::of(manifest));
}

fn file(world: &World) -> ExemptionFile {
    ExemptionFile::below(&world.store())
}

#[tokio::test]
async fn an_exempted_digest_is_served_by_digest_and_by_its_tag() {
    let mut world = World::new().await;
    world.push_signed("signed", "something else");
    let image = world.push("v1", "one");
    world.pull("v1").await.is_absent("tag_not_signed");
    world.pull(Digest::of(&image)).await.is_absent("digest_not_signed");
    exempt(&world, &image);
    world.pull("v1").await.serves(&image);
    world.pull(Digest::of(&image)).await.serves(&image);
    let other = world.push("v1", "moved");
    world.pull("v1").await.is_absent("tag_not_signed");
    world.pull(Digest::of(&other)).await.is_absent("digest_not_signed");
}

#[tokio::test]
async fn an_exemption_applies_to_one_repository() {
    let world = World::new().await;
    let image = world.push("v1", "one");
    exempt_in(&world, "library/other", Digest::of(&image));
    world.pull("v1").await.is_absent("no_trust_data");
    world.pull(Digest::of(&image)).await.is_absent("no_trust_data");
}

#[tokio::test]
async fn an_exempted_index_admits_its_children_also_from_a_cold_gate_and_no_others() {
    let world = World::new().await;
    let (one, two, stranger) =
        (world.put_image("amd64"), world.put_image("arm64"), world.put_image("x"));
    let inner = world.put_index(&[&two]);
    let index = world.put_index(&[&one, &inner]);
    exempt(&world, &index);
    world.pull(Digest::of(&two)).await.serves(&two);
    world.pull(Digest::of(&one)).await.serves(&one);
    world.pull(Digest::of(&inner)).await.serves(&inner);
    world.pull(Digest::of(&index)).await.serves(&index);
    world.pull(Digest::of(&stranger)).await.is_absent("no_trust_data");
}

#[tokio::test]
async fn an_exemption_ends_on_time_also_for_children_and_stored_content() {
    let world = World::new().await;
    let child = world.put_image("amd64");
    let index = world.put_index(&[&child]);
    world.put_tag("v1", &index);
    exempt(&world, &index);
    world.pull("v1").await.serves(&index);
    world.pull(Digest::of(&child)).await.serves(&child);
    world.pass(HOUR - SECOND - Duration::from_millis(1));
    world.pull(Digest::of(&child)).await.serves(&child);
    world.pass(Duration::from_millis(1));
    world.pull("v1").await.is_absent("no_trust_data");
    world.pull(Digest::of(&index)).await.is_absent("no_trust_data");
    world.pull(Digest::of(&child)).await.is_absent("no_trust_data");
}

#[tokio::test]
async fn an_exemption_can_be_ended_early() {
    let world = World::new().await;
    let image = world.push("v1", "one");
    exempt(&world, &image);
    world.pull("v1").await.serves(&image);
    let ended = file(&world).end(&hosted(app()), &Digest::of(&image));
    assert!(ended.unwrap().is_some());
    world.pass(SECOND);
    world.pull("v1").await.is_absent("no_trust_data");
}

#[tokio::test]
async fn a_deny_rule_is_not_overridden() {
    let deny = format!("[[rule]]\nimages = [\"{REGISTRY}/{APP}\"]\nmode = \"deny\"\n");
    let world = World::with(DEFAULTS, &deny).await;
    let image = world.push("v1", "one");
    exempt(&world, &image);
    world.pull("v1").await.is_refused("denied_by_rule");
    assert_eq!(world.pull(Digest::of(&image)).await.status, 404);
}

#[tokio::test]
async fn a_deny_rule_for_a_tag_is_not_overridden_for_that_tag() {
    let deny = format!("[[rule]]\nimages = [\"{REGISTRY}/{APP}:bad\"]\nmode = \"deny\"\n");
    let world = World::with(DEFAULTS, &deny).await;
    let image = world.push("bad", "one");
    world.put_tag("good", &image);
    exempt(&world, &image);
    world.pull("bad").await.is_refused("denied_by_rule");
    world.pull("good").await.serves(&image);
}

#[tokio::test]
async fn bytes_that_differ_from_the_exempted_digest_are_refused() {
    let world = World::new().await;
    let image = world.push("v1", "one");
    exempt(&world, &image);
    let path = format!("/manifests/{}", Digest::of(&image));
    world.registry.hook(move |asked| {
        (asked.path.ends_with(&path) && asked.method == Method::GET).then_some(Fault::Corrupt)
    });
    world.pull("v1").await.is_refused("content_mismatch");
    world.pull(Digest::of(&image)).await.is_refused("content_mismatch");
}

#[tokio::test]
async fn an_exemption_overrides_a_refusal_also_for_children() {
    let mut world = World::new().await;
    world.push_signed("old", "old");
    let child = world.put_image("amd64");
    let index = world.put_index(&[&child]);
    world.put_tag("v1", &index);
    world.signer.role_mut("timestamp").expires = in_days(-1);
    world.publish();
    world.pull("v1").await.is_refused("expired");
    exempt(&world, &index);
    world.pull("v1").await.serves(&index);
    world.pull(Digest::of(&child)).await.serves(&child);
    world.pull("old").await.is_refused("expired");
}

#[tokio::test]
async fn an_exemption_applies_while_the_notary_server_is_down() {
    let world = World::new().await;
    let image = world.push("v1", "one");
    world.notary.goes_down();
    world.pull("v1").await.is_undecided("trust_unreachable");
    exempt(&world, &image);
    world.pull("v1").await.serves(&image);
    world.pull(Digest::of(&image)).await.serves(&image);
}

#[tokio::test]
async fn an_exemption_shortens_the_wait_for_a_silent_notary_server() {
    let world = World::new().await;
    let image = world.push("v1", "one");
    exempt(&world, &image);
    world.notary.hook(|_| Some(Fault::Silence));
    let started = Instant::now();
    world.pull("v1").await.serves(&image);
    world.pull(Digest::of(&image)).await.serves(&image);
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}

#[tokio::test]
async fn signed_images_are_served_without_reading_exemptions() {
    let mut world = World::new().await;
    let image = world.push_signed("v1", "one");
    exempt(&world, &image);
    let page = Page::default();
    let _here = page.is_written();
    world.pull("v1").await.serves(&image);
    let events = page.all();
    let verdict = events.iter().find(|event| event["message"] == "verdict").unwrap();
    assert_eq!((&verdict["anchor"], &verdict["remark"]), (&"team".into(), &Value::Null));
    assert!(world.metrics().await.contains("countersign_exempted_total 0"));
}

#[tokio::test]
async fn an_unreadable_file_exempts_nothing_and_stops_nothing_else() {
    let mut world = World::new().await;
    let signed = world.push_signed("signed", "signed");
    let image = world.push("v1", "one");
    exempt(&world, &image);
    world.pull("v1").await.serves(&image);
    world.break_file(&file(&world).path(), b"{\"format\": 1, \"exemptions\": [");
    world.pass(SECOND);
    world.pull("v1").await.is_absent("tag_not_signed");
    world.pull("signed").await.serves(&signed);
    let metrics = world.metrics().await;
    assert!(metrics.contains("countersign_exemptions_in_force 0"), "{metrics}");
    assert!(!metrics.contains("countersign_exemptions_unreadable_total 0"), "{metrics}");
}

#[tokio::test]
async fn the_exemption_of_a_signature_does_not_admit_its_subject() {
    let world = World::new().await;
    let image = world.push("v1", "one");
    let about = artifact(&world, &image);
    exempt(&world, &about);
    world.pull(Digest::of(&about)).await.serves(&about);
    world.pull(Digest::of(&image)).await.is_absent("no_trust_data");
    world.pull("v1").await.is_absent("no_trust_data");
}

#[tokio::test]
async fn artifacts_of_an_exempted_image_are_served_but_no_disguised_image() {
    let world = World::new().await;
    let image = world.push("v1", "one");
    let about = artifact(&world, &image);
    let config = json!({ "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers"} });
    let config = config.to_string().into_bytes();
    world.registry.registry().put_blob(&app(), config.clone());
    let dressed = world.put(
        MediaType::OciImage,
        &json!({
            "schemaVersion": 2, "mediaType": MediaType::OciImage.as_str(),
            "config": described("application/vnd.oci.image.config.v1+json", &config),
            "layers": [], "subject": described(MediaType::OciImage.as_str(), &image),
        }),
    );
    exempt(&world, &image);
    world.pull(Digest::of(&about)).await.serves(&about);
    world.pull(Digest::of(&dressed)).await.is_absent("no_trust_data");
}

#[tokio::test]
async fn the_exemption_of_a_blob_does_not_make_it_a_manifest() {
    let world = World::new().await;
    let image = world.push("v1", "one");
    exempt_in(&world, APP, Digest::of(b"one"));
    world.pull(Digest::of(b"one")).await.is_absent("no_trust_data");
    world.pull(Digest::of(&image)).await.is_absent("no_trust_data");
    let blob = world.get(&format!("/v2/{APP}/blobs/{}", Digest::of(b"one"))).await;
    assert_eq!((blob.status.as_u16(), &*blob.body), (200, &b"one"[..]));
}

#[tokio::test]
async fn a_reference_with_a_tag_and_a_digest_is_a_bad_request() {
    let world = World::new().await;
    let image = world.push("v1", "one");
    exempt(&world, &image);
    let answer = world.pull(format!("v2@{}", Digest::of(&image))).await;
    assert_eq!(answer.status.as_u16(), 400);
}

#[tokio::test]
async fn a_manifest_listed_with_another_size_is_not_a_child_of_an_exempted_index() {
    let world = World::new().await;
    let child = world.put_image("amd64");
    let mut listed = described(MediaType::OciImage.as_str(), &child);
    listed["size"] = (child.len() + 1).into();
    let index = json!({ "schemaVersion": 2, "mediaType": MediaType::OciIndex.as_str(),
        "manifests": [listed] });
    let index = world.put(MediaType::OciIndex, &index);
    exempt(&world, &index);
    world.pull(Digest::of(&child)).await.is_absent("no_trust_data");
}

#[tokio::test]
async fn an_exempted_index_that_cannot_be_read_leaves_its_children_undecided() {
    let world = World::new().await;
    let child = world.put_image("amd64");
    let index = world.put_index(&[&child]);
    exempt(&world, &index);
    let path = format!("/manifests/{}", Digest::of(&index));
    world.registry.hook(move |asked| asked.path.ends_with(&path).then_some(Fault::Drop));
    world.pull(Digest::of(&child)).await.is_undecided("upstream_unreachable");
    world.registry.hook(|_| None);
    world.pull(Digest::of(&child)).await.serves(&child);
}

#[tokio::test]
async fn each_use_is_recorded_in_the_audit_event_the_log_the_metrics_and_why() {
    let world = World::new().await;
    let child = world.put_image("amd64");
    let index = world.put_index(&[&child]);
    world.put_tag("v1", &index);
    exempt(&world, &index);
    let page = Page::default();
    let _here = page.is_written();
    world.pull("v1").await.serves(&index);
    world.pull(Digest::of(&child)).await.serves(&child);
    let events = page.all();
    let verdicts: Vec<_> = events.iter().filter(|event| event["message"] == "verdict").collect();
    assert_eq!(verdicts.len(), 2);
    for verdict in verdicts {
        assert_eq!(
            (&verdict["verdict"], &verdict["remark"]),
            (&"admitted".into(), &"exempted".into())
        );
        assert_eq!((&verdict["anchor"], &verdict["scheme"]), (&Value::Null, &Value::Null));
    }
    let used = |event: &&Value| event["by"] == "alice (uid 1000)" && event["why"] == "OPS-12";
    assert!(events.iter().filter(used).count() >= 2, "{events:?}");
    let metrics = world.metrics().await;
    for line in ["countersign_exempted_total 2", "countersign_exemptions_in_force 1"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    for reference in ["v1".to_owned(), Digest::of(&child).to_string()] {
        let reported = world.why(&reference).await;
        assert_eq!(
            (&*reported.verdict, reported.reason.clone()),
            ("admitted", None),
            "{reference}"
        );
        assert!(reported.because.contains("exempted until"), "{}", reported.because);
        let remark = reported.remark.unwrap();
        for words in ["alice (uid 1000)", "OPS-12", "no signature by team"] {
            assert!(remark.contains(words), "{words}: {remark}");
        }
    }
}

#[tokio::test]
async fn new_and_ended_exemptions_are_logged_once() {
    let world = World::new().await;
    let image = world.push("v1", "one");
    let page = Page::default();
    let _here = page.is_written();
    exempt(&world, &image);
    for _ in 0..3 {
        world.pull("v1").await.serves(&image);
    }
    world.pass(HOUR);
    for _ in 0..3 {
        world.pull("v1").await.is_absent("no_trust_data");
    }
    let events = page.all();
    let reported = |words: &str| {
        let message =
            |event: &&Value| event["message"].as_str().unwrap_or_default().contains(words);
        events.iter().filter(message).count()
    };
    assert_eq!((reported("an exemption is in force"), reported("an exemption has ended")), (1, 1));
}

/// Pushes an artifact of `image` that no engine runs.
fn artifact(world: &World, image: &[u8]) -> Vec<u8> {
    world.registry.registry().put_blob(&app(), b"{}".to_vec());
    world.put(
        MediaType::OciImage,
        &json!({
            "schemaVersion": 2, "mediaType": MediaType::OciImage.as_str(),
            "artifactType": "application/spdx+json",
            "config": described("application/vnd.oci.empty.v1+json", b"{}"),
            "layers": [described("application/spdx+json", b"{}")],
            "subject": described(MediaType::OciImage.as_str(), image),
        }),
    )
}

//! Deny rules: they take precedence over every other rule and may name a digest, so that an operator can block a
//! signed image on every path. One test per path.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign::app::{App, Keeping};
use countersign::exemptions::{ExemptionFile, Said};
use countersign::oci::{Algorithm, Digest, MediaType};
use http::Method;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::fake_registry::{Fault, REGISTRY, hosted, respond, with};
use crate::whole_gate::{APP, DEFAULTS, World, app, described};

fn deny(images: &str) -> String {
    format!("[[rule]]\nimages = [\"{REGISTRY}/{images}\"]\nmode = \"deny\"\nreason = \"CVE\"\n")
}

fn deny_digest(manifest: &[u8]) -> String {
    deny(&format!("{APP}@{}", Digest::of(manifest)))
}

/// Adds `tables` to the configuration, and restarts the gate on the same store.
async fn add(world: &mut World, tables: &str) {
    let mut setup = world.setup.clone();
    setup.tables += tables;
    world.restart_with(setup).await;
}

/// A gate that has served the signed image `v1`, and a rule that now denies its digest.
async fn denied(rules: &str) -> (World, Vec<u8>) {
    let mut world = World::with(DEFAULTS, rules).await;
    let image = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&image);
    add(&mut world, &deny_digest(&image)).await;
    (world, image)
}

fn exempt(world: &World, digest: Digest) {
    let made = world.clock.now();
    let said = Said {
        repository: hosted(app()),
        digest,
        reason: "OPS-12".to_owned(),
        by: "alice".to_owned(),
        made,
        until: made.plus(Duration::from_secs(3600)),
    };
    ExemptionFile::below(&world.store()).add(said).unwrap();
    world.pass(Duration::from_secs(1));
}

#[tokio::test]
async fn a_deny_rule_takes_precedence_over_more_specific_rules() {
    let allow = format!(
        "[[rule]]\nimages = [\"{REGISTRY}/{APP}:v1\"]\nmode = \"allow\"\nreason = \"x\"\n\
         [[rule]]\nimages = [\"{REGISTRY}/{APP}\"]\nrequire = [\"team\"]\n"
    );
    let mut world = World::with(DEFAULTS, &format!("{allow}{}", deny("library/*"))).await;
    let image = world.push_signed("v1", "one");
    world.pull("v1").await.is_refused("denied_by_rule");
    world.pull(Digest::of(&image)).await.is_refused("denied_by_rule");
    let list = world.get(&format!("/v2/{APP}/tags/list")).await;
    list.is_refused("denied_by_rule");
    let gun = format!("/v2/{REGISTRY}/{APP}/_trust/tuf/root.json");
    assert_eq!(world.get(&gun).await.status, 404);
    let why = world.why("v1").await;
    let beaten = json!(why)["beaten"].to_string();
    assert!(beaten.contains("takes precedence"), "{beaten}");
}

#[tokio::test]
async fn a_denied_digest_is_not_served_by_tag_by_digest_or_as_a_blob() {
    let (world, image) = denied("").await;
    let digest = Digest::of(&image);
    world.pull("v1").await.is_refused("denied_by_rule");
    world.pull(digest).await.is_refused("denied_by_rule");
    let head = world.send(Method::HEAD, &format!("/v2/{APP}/manifests/v1"), &[]).await;
    assert_eq!(head.status, 404);
    let blob = world.get(&format!("/v2/{APP}/blobs/{digest}")).await;
    blob.is_refused("denied_by_rule");
    let referrers = world.get(&format!("/v2/{APP}/referrers/{digest}")).await;
    referrers.is_refused("denied_by_rule");
    // Upstream also serves it as a blob.
    world.registry.registry().put_blob(&app(), image.clone());
    assert_eq!(world.get(&format!("/v2/{APP}/blobs/{digest}")).await.status, 404);
}

#[tokio::test]
async fn a_denied_digest_is_not_served_on_the_mirror_listener() {
    let (world, image) = denied("").await;
    for reference in ["v1".to_owned(), Digest::of(&image).to_string()] {
        let path = format!("/v2/{APP}/manifests/{reference}?ns={REGISTRY}");
        let answer = world.as_mirror(Method::GET, &path, &[]).await;
        assert_ne!(answer.body, image, "{answer:?}");
    }
    let blob = format!("/v2/{APP}/blobs/{}?ns={REGISTRY}", Digest::of(&image));
    let answer = world.try_mirror(&blob).await;
    assert!(answer.is_err() || answer.is_ok_and(|body| body != image));
}

#[tokio::test]
async fn only_the_signed_tag_with_a_denied_digest_is_not_listed() {
    let (mut world, _) = denied("").await;
    let good = world.push_signed("v2", "two");
    world.pass(Duration::from_secs(600));
    world.pull("v2").await.serves(&good);
    let listed = world.get(&format!("/v2/{APP}/tags/list")).await;
    let listed: Value = serde_json::from_slice(&listed.body).unwrap();
    assert_eq!(listed["tags"], json!(["v2"]));
}

#[tokio::test]
async fn only_the_denied_child_of_an_index_is_not_served() {
    let mut world = World::new().await;
    let (bad, good) = (world.put_image("bad"), world.put_image("good"));
    let index = world.put_index(&[&bad, &good]);
    world.sign("v1", &index);
    add(&mut world, &deny_digest(&bad)).await;
    world.pull("v1").await.serves(&index);
    world.pull(Digest::of(&good)).await.serves(&good);
    world.pull(Digest::of(&bad)).await.is_refused("denied_by_rule");
}

#[tokio::test]
async fn a_denied_index_admits_no_children_even_inside_another_index() {
    let mut world = World::new().await;
    let (child, other) = (world.put_image("amd64"), world.put_image("arm64"));
    let inner = world.put_index(&[&child]);
    let outer = world.put_index(&[&inner, &other]);
    world.put_tag("v1", &outer);
    world.sign("v1", &outer);
    world.pull(Digest::of(&child)).await.serves(&child);
    add(&mut world, &deny_digest(&inner)).await;
    world.pull(Digest::of(&child)).await.is_absent("digest_not_signed");
    world.pull(Digest::of(&inner)).await.is_refused("denied_by_rule");
    world.pull(Digest::of(&other)).await.serves(&other);
    // Another index that lists the child still admits it.
    let beside = world.put_index(&[&child, &other]);
    world.sign("v2", &beside);
    world.pass(Duration::from_secs(600));
    world.pull("v2").await.serves(&beside);
    world.pull(Digest::of(&child)).await.serves(&child);
}

/// Clients use inline content without a request.
#[tokio::test]
async fn an_index_with_an_inline_denied_child_is_denied_under_every_rule() {
    let allow = format!(
        "[[rule]]\nimages = [\"{REGISTRY}/{APP}:open\"]\nmode = \"allow\"\nreason = \"x\"\n"
    );
    let mut world = World::with(DEFAULTS, &allow).await;
    let bad = world.put_image("bad");
    let mut child = described(MediaType::OciImage.as_str(), &bad);
    child["data"] = json!(STANDARD.encode(&bad));
    let of = MediaType::OciIndex;
    let index = json!({ "schemaVersion": 2, "mediaType": of.as_str(), "manifests": [child] });
    let index = world.put(of, &index);
    world.put_tag("open", &index);
    world.sign("v1", &index);
    world.pull("v1").await.serves(&index);
    world.pull("open").await.serves(&index);
    add(&mut world, &deny_digest(&bad)).await;
    world.pull("v1").await.is_refused("denied_by_rule");
    world.pull("open").await.is_refused("denied_by_rule");
    world.pull(Digest::of(&index)).await.is_refused("denied_by_rule");
}

/// An artifact of `subject` in the registry.
fn sbom(world: &World, subject: &[u8]) -> Vec<u8> {
    let empty = "application/vnd.oci.empty.v1+json";
    world.registry.registry().put_blob(&app(), b"{}".to_vec());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciImage.as_str(),
        "artifactType": "application/spdx+json",
        "config": described(empty, b"{}"),
        "layers": [described("application/spdx+json", b"{}")],
        "subject": described(MediaType::OciImage.as_str(), subject),
    });
    let bytes = manifest.to_string().into_bytes();
    world.registry.registry().put_manifest(&app(), MediaType::OciImage.as_str(), bytes.clone());
    bytes
}

#[tokio::test]
async fn an_artifact_is_denied_with_its_subject_or_by_its_own_digest() {
    let mut world = World::new().await;
    let (one, two) = (world.push_signed("v1", "one"), world.push_signed("v2", "two"));
    let (about_one, about_two) = (sbom(&world, &one), sbom(&world, &two));
    world.pull(Digest::of(&about_one)).await.serves(&about_one);
    let denied = format!("{}{}", deny_digest(&one), deny_digest(&about_two));
    add(&mut world, &denied).await;
    assert_eq!(world.pull(Digest::of(&about_one)).await.status, 404);
    world.pull(Digest::of(&about_two)).await.is_refused("denied_by_rule");
    world.pull("v2").await.serves(&two);
}

#[tokio::test]
async fn no_exemption_overrides_a_denied_digest() {
    let mut world = World::new().await;
    let (child, other) = (world.put_image("amd64"), world.put_image("arm64"));
    let inner = world.put_index(&[&child]);
    let index = world.put_index(&[&inner, &other]);
    world.put_tag("v1", &index);
    exempt(&world, Digest::of(&index));
    exempt(&world, Digest::of(&other));
    world.pull(Digest::of(&child)).await.serves(&child);
    add(&mut world, &format!("{}{}", deny_digest(&inner), deny_digest(&other))).await;
    assert_eq!(world.pull(Digest::of(&child)).await.status, 404);
    world.pull(Digest::of(&inner)).await.is_refused("denied_by_rule");
    world.pull(Digest::of(&other)).await.is_refused("denied_by_rule");
    world.pull("v1").await.serves(&index);
    add(&mut world, &deny_digest(&index)).await;
    world.pull("v1").await.is_refused("denied_by_rule");
    world.pull(Digest::of(&index)).await.is_refused("denied_by_rule");
}

#[tokio::test]
async fn a_denied_digest_is_not_served_by_an_allow_or_audit_rule() {
    for mode in ["mode = \"allow\"\nreason = \"x\"", "mode = \"audit\"\nrequire = [\"team\"]"] {
        let rule = format!("[[rule]]\nimages = [\"{REGISTRY}/{APP}\"]\n{mode}\n");
        let mut world = World::with(DEFAULTS, &rule).await;
        let image = world.push("v1", "one");
        world.pull("v1").await.serves(&image);
        add(&mut world, &deny_digest(&image)).await;
        world.pull("v1").await.is_refused("denied_by_rule");
        world.pull(Digest::of(&image)).await.is_refused("denied_by_rule");
    }
}

/// A client may request the same manifest by a digest of another algorithm.
#[tokio::test]
async fn denied_content_is_not_served_by_a_digest_of_another_algorithm() {
    let allow =
        format!("[[rule]]\nimages = [\"{REGISTRY}/{APP}\"]\nmode = \"allow\"\nreason = \"x\"\n");
    let mut world = World::with(DEFAULTS, &allow).await;
    let image = world.push("v1", "one");
    let other = Digest::by(Algorithm::Sha512, &image);
    let asked = image.clone();
    world.registry.hook(move |request| {
        let answer = respond(200, asked.clone());
        let answer = with(answer, CONTENT_TYPE, MediaType::OciImage.as_str());
        let is_it = request.path.ends_with(&format!("/manifests/{other}"));
        is_it.then_some(Fault::Respond(answer))
    });
    assert_eq!(world.pull(other).await.body, image);
    add(&mut world, &deny_digest(&image)).await;
    assert_eq!(world.pull(other).await.status, 404);
}

#[tokio::test]
async fn the_digest_of_a_denied_tag_stays_available_until_it_is_denied() {
    let mut world = World::with(DEFAULTS, &deny(&format!("{APP}:v1*"))).await;
    let image = world.push_signed("v1.2", "one");
    world.sign("good", &image);
    world.pull("v1.2").await.is_refused("denied_by_rule");
    world.pull("good").await.serves(&image);
    world.pull(Digest::of(&image)).await.serves(&image);
    let listed = world.get(&format!("/v2/{APP}/tags/list")).await;
    let listed: Value = serde_json::from_slice(&listed.body).unwrap();
    assert!(!listed["tags"].to_string().contains("v1.2"), "{listed}");
    add(&mut world, &deny_digest(&image)).await;
    world.pull("good").await.is_refused("denied_by_rule");
}

#[tokio::test]
async fn a_recorded_pull_of_a_denied_digest_would_be_denied() {
    let (world, image) = denied("").await;
    let digest = Digest::of(&image);
    let app = App::new(&world.config(), world.clock.clone(), Keeping::OnlyRead).unwrap();
    for (reference, then) in
        [(":v1".to_owned(), None), (":v1".to_owned(), Some(&digest)), (format!("@{digest}"), None)]
    {
        let image = format!("{REGISTRY}/{APP}{reference}").parse().unwrap();
        let denial = app.gate().preview(&image, then).await.unwrap_err();
        assert_eq!(denial.reason(), Some("denied_by_rule"), "{reference} {then:?}");
    }
}

#[tokio::test]
async fn why_names_the_rule_that_denies_a_digest_or_its_tag() {
    let (world, image) = denied("").await;
    for reference in ["v1".to_owned(), Digest::of(&image).to_string()] {
        let why = json!(world.why(&reference).await);
        assert_eq!(
            (&why["verdict"], &why["reason"]),
            (&json!("refused"), &json!("denied_by_rule"))
        );
        let pattern = format!("{REGISTRY}/{APP}@{}", Digest::of(&image));
        assert_eq!(why["rule"]["images"], pattern, "{why:#}");
        assert_eq!(why["rule"]["reason"], "CVE");
    }
    let other = json!(world.why(Digest::of(b"other")).await);
    assert!(other["beaten"].to_string().contains("it denies another digest"), "{other:#}");
}

#[tokio::test]
async fn a_denied_digest_of_one_repository_is_not_denied_in_another() {
    let mut world = World::with(DEFAULTS, "").await;
    let image = world.push_signed("v1", "one");
    add(&mut world, &deny(&format!("library/other@{}", Digest::of(&image)))).await;
    world.pull("v1").await.serves(&image);
    add(&mut world, &deny(&format!("**@{}", Digest::of(&image)))).await;
    world.pull("v1").await.is_refused("denied_by_rule");
}

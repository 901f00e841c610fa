//! Rules with anchors of several schemes.

use std::time::Duration;

use countersign::oci::{Digest, MediaType};
use serde_json::{Value, json};

use super::{TEAM, ci, platform, push_signed, put, resolved, rule, setup, sign, world};
use crate::attached::{
    JOSE, MINE, NOTATION, OTHER, ROOT, envelope, layer, put_referrer, put_sig, put_tagged, tag_of,
};
use crate::audit::Page;
use crate::fake_registry::REGISTRY;
use crate::notary_repository::NOW;
use crate::whole_gate::{APP, World, app, described};

/// A gate with an anchor of each scheme and this one rule.
async fn mixed(says: &str) -> World {
    let tables = [TEAM.to_owned(), ci(""), platform(""), rule(says)];
    World::of(setup(&tables).at(NOW)).await
}

fn sign_as_platform(world: &World, manifest: &[u8]) {
    let signed = envelope(manifest, &ROOT, NOW - 60).jws();
    put_referrer(&world.registry, manifest, NOTATION, JOSE, &signed);
}

#[tokio::test]
async fn if_a_name_is_signed_content_anchors_judge_its_digest() {
    let mut world = mixed("require = [\"team\", \"ci\"]").await;
    let manifest = world.push_signed("v1", "one");
    sign(&world, &manifest);
    // Also signed by `ci`, but not as the digest of the tag.
    push_signed(&world, "v1", "another");
    world.pull("v1").await.serves(&manifest);
    world.pull(Digest::of(&manifest)).await.serves(&manifest);
    assert_eq!(resolved(&world, "v1"), 0);
}

#[tokio::test]
async fn a_rule_can_require_a_signed_name_and_signed_content() {
    let mut world = mixed("require = [\"team\", \"ci\"]").await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.is_absent("no_trust_data");
    world.pull(Digest::of(&manifest)).await.is_absent("no_trust_data");
    let only_content = push_signed(&world, "v2", "two");
    world.pull("v2").await.is_absent("tag_not_signed");
    world.pull(Digest::of(&only_content)).await.is_absent("digest_not_signed");
}

#[tokio::test]
async fn every_anchor_of_require_must_endorse_the_digest() {
    let mut world = mixed("require = [\"team\", \"ci\", \"platform\"]").await;
    let mut pushed = Vec::new();
    for missing in ["team", "ci", "platform", "none"] {
        let manifest = match missing {
            "team" => world.push(missing, missing),
            _ => world.push_signed(missing, missing),
        };
        if missing != "ci" {
            sign(&world, &manifest);
        }
        if missing != "platform" {
            sign_as_platform(&world, &manifest);
        }
        pushed.push((missing, manifest));
    }
    for (missing, manifest) in pushed {
        for reference in [missing.to_owned(), Digest::of(&manifest).to_string()] {
            let got = world.pull(&reference).await;
            match missing {
                "none" => got.serves(&manifest),
                missing => assert_eq!(got.denied().0, 404, "served without {missing}"),
            }
        }
    }
}

#[tokio::test]
async fn if_a_name_is_refused_no_signature_is_searched() {
    let mut world = mixed("require = [\"ci\", \"team\"]").await;
    push_signed(&world, "v1", "one");
    world.push_signed("v2", "two");
    world.pull("v1").await.is_absent("tag_not_signed");
    world.notary.goes_down();
    world.restart_afresh().await;
    world.pull("v1").await.is_undecided("trust_unreachable");
    assert!(world.registry.asked().is_empty(), "{:?}", world.registry.asked());
}

#[tokio::test]
async fn two_of_three_mixed_schemes_meet_the_threshold_and_one_does_not() {
    let says = "any_of = [\"team\", \"ci\", \"platform\"]\nthreshold = 2";
    let mut world = mixed(says).await;
    let all = world.push_signed("all", "all");
    sign(&world, &all);
    sign_as_platform(&world, &all);
    let names = world.push_signed("names", "names");
    sign_as_platform(&world, &names);
    let content = push_signed(&world, "content", "content");
    sign_as_platform(&world, &content);
    for (tag, manifest) in [("all", all), ("names", names), ("content", content)] {
        world.pull(tag).await.serves(&manifest);
        world.pull(Digest::of(&manifest)).await.serves(&manifest);
    }
    let one = push_signed(&world, "one", "one");
    assert_eq!(world.pull("one").await.denied().0, 404);
    assert_eq!(world.pull(Digest::of(&one)).await.denied().0, 404);
}

#[tokio::test]
async fn two_of_three_must_agree_on_the_digest() {
    let says = "any_of = [\"team\", \"ci\", \"platform\"]\nthreshold = 2";
    let mut world = mixed(says).await;
    let named = world.push_signed("v1", "one");
    // The signed name refers to the first, and upstream's tag to another one, which `ci` has signed.
    let other = push_signed(&world, "v1", "another");
    assert_eq!(world.pull("v1").await.denied().0, 404);
    assert_eq!(world.pull(Digest::of(&other)).await.denied().0, 404);
    sign(&world, &named);
    world.pass(Duration::from_secs(10));
    world.pull("v1").await.serves(&named);
}

/// An anchor that signs names endorses a tag; the two that sign content endorse the digest that the tag has upstream.
#[tokio::test]
async fn a_different_signed_name_does_not_hide_digests_endorsed_by_others() {
    let says = "any_of = [\"team\", \"ci\", \"platform\"]\nthreshold = 2";
    let mut world = mixed(says).await;
    world.push_signed("v1", "one");
    let other = push_signed(&world, "v1", "another");
    sign_as_platform(&world, &other);
    world.pull("v1").await.serves(&other);
    world.pull(Digest::of(&other)).await.serves(&other);
}

/// Upstream cannot move a tag away from the image that meets the rule by its name.
#[tokio::test]
async fn if_a_signed_name_suffices_upstreams_tag_has_no_effect() {
    let mut world = mixed("any_of = [\"team\", \"ci\", \"platform\"]\nthreshold = 1").await;
    let named = world.push_signed("v1", "one");
    let other = push_signed(&world, "v1", "another");
    sign_as_platform(&world, &other);
    world.pull("v1").await.serves(&named);
    assert_eq!(resolved(&world, "v1"), 0);
}

#[tokio::test]
async fn the_digest_of_a_required_name_takes_precedence() {
    let mut world = mixed("require = [\"team\"]\nany_of = [\"ci\", \"platform\"]").await;
    world.push_signed("v1", "one");
    let other = push_signed(&world, "v1", "another");
    sign_as_platform(&world, &other);
    assert_eq!(world.pull("v1").await.denied().0, 404);
    assert_eq!(resolved(&world, "v1"), 0);
}

/// The same anchor with the name `twin`.
fn twin(anchor: &str) -> String {
    let name = anchor.find("name = \"").unwrap();
    let end = anchor[name..].find('\n').unwrap() + name;
    format!("{}name = \"twin\"{}", &anchor[..name], &anchor[end..])
}

#[tokio::test]
async fn one_key_under_two_anchors_counts_once_towards_a_threshold() {
    let says = |anchor| rule(&format!("any_of = [\"{anchor}\", \"twin\"]\nthreshold = 2"));
    let world = World::of(setup(&[ci(""), twin(&ci("")), says("ci")])).await;
    let manifest = push_signed(&world, "v1", "one");
    world.pull("v1").await.is_refused("signature_invalid");
    world.pull(Digest::of(&manifest)).await.is_refused("signature_invalid");

    let other = twin(&ci("")).replace("mine.pub", "other.pub");
    let world = World::of(setup(&[ci(""), other, says("ci")]).file("other.pub", OTHER.pem())).await;
    let manifest = world.push("v1", "one");
    put(&world, &manifest, &[layer(&manifest, &MINE), layer(&manifest, &OTHER)]);
    world.pull("v1").await.serves(&manifest);
}

#[tokio::test]
async fn one_certificate_under_two_anchors_counts_once_towards_a_threshold() {
    let says = rule("any_of = [\"platform\", \"twin\"]\nthreshold = 2");
    let world = World::of(setup(&[platform(""), twin(&platform("")), says]).at(NOW)).await;
    let manifest = world.push("v1", "one");
    sign_as_platform(&world, &manifest);
    world.pull("v1").await.is_refused("signature_invalid");
}

#[tokio::test]
async fn one_notary_under_two_anchors_counts_once_towards_a_threshold() {
    let says = rule("any_of = [\"team\", \"twin\"]\nthreshold = 2");
    let tables = [TEAM.to_owned(), twin(TEAM), says];
    let mut world = World::of(setup(&tables).at(NOW)).await;
    world.push_signed("v1", "one");
    world.pull("v1").await.is_refused("signature_invalid");
}

#[tokio::test]
async fn an_audit_rule_serves_and_records_what_it_would_deny() {
    let world = world("", "mode = \"audit\"").await;
    let page = Page::default();
    let _here = page.is_written();
    let manifest = world.push("v1", "one");
    let would = |events: Vec<Value>| {
        events.iter().filter(|it| it["target"] == "countersign::would_refuse").count()
    };
    world.pull("v1").await.serves(&manifest);
    assert_eq!(would(page.all()), 1);
    world.pull(Digest::of(&manifest)).await.serves(&manifest);
    assert!(would(page.all()) > 0);
    let signed = push_signed(&world, "v2", "two");
    world.pull("v2").await.serves(&signed);
    assert_eq!(would(page.all()), 0);
}

#[tokio::test]
async fn allow_deny_and_enforce_rules_work_together() {
    let tables = [
        ci(""),
        rule("require = [\"ci\"]"),
        format!(
            "[[rule]]\nimages = [\"{REGISTRY}/{APP}:open-*\"]\nmode = \"allow\"\nreason = \"x\"\n"
        ),
        format!("[[rule]]\nimages = [\"{REGISTRY}/{APP}:shut-*\"]\nmode = \"deny\"\n"),
    ];
    let world = World::of(setup(&tables)).await;
    let open = world.push("open-1", "open");
    world.pull("open-1").await.serves(&open);
    push_signed(&world, "shut-1", "shut");
    world.pull("shut-1").await.is_refused("denied_by_rule");
    let signed = push_signed(&world, "v1", "signed");
    world.pull("v1").await.serves(&signed);
    world.push("v2", "unsigned");
    world.pull("v2").await.is_absent("no_trust_data");
}

/// A rule for some tags also applies to artifacts of their images, whose tags have other names.
#[tokio::test]
async fn artifacts_of_an_image_are_served_under_a_rule_for_tags() {
    let tables =
        [ci(""), format!("[[rule]]\nimages = [\"{REGISTRY}/{APP}:v*\"]\nrequire = [\"ci\"]\n")];
    let world = World::of(setup(&tables)).await;
    let manifest = world.push("v1", "one");
    let signature = put(&world, &manifest, &[layer(&manifest, &MINE)]);
    world.pull("v1").await.serves(&manifest);
    world.pull(tag_of(&manifest, ".sig")).await.serves(&signature);
    world.pull(Digest::of(&signature)).await.serves(&signature);
    let other = push_signed(&world, "other", "other");
    world.pull("other").await.is_refused("no_rule");
    world.pull(tag_of(&other, ".sig")).await.is_refused("no_rule");
}

/// `cosign sign --attachment sbom`.
#[tokio::test]
async fn a_signature_of_an_artifact_is_served() {
    let world = world("", "").await;
    let manifest = push_signed(&world, "v1", "one");
    let text = json!({ "spdxVersion": "SPDX-2.3" }).to_string().into_bytes();
    world.registry.registry().put_blob(&app(), text.clone());
    let of = MediaType::OciImage;
    let sbom = json!({ "schemaVersion": 2, "mediaType": of.as_str(),
        "config": described("application/vnd.oci.image.config.v1+json", b"{}"),
        "layers": [described("text/spdx+json", &text)] });
    let sbom = put_tagged(&world.registry, &app(), &manifest, ".sbom", of, &sbom);
    let signature = put(&world, &sbom, &[layer(&sbom, &OTHER)]);
    world.pull(tag_of(&manifest, ".sbom")).await.serves(&sbom);
    world.pull(tag_of(&sbom, ".sig")).await.serves(&signature);
}

/// A client that knows the digest requests it next, also after a restart.
#[tokio::test]
async fn a_digest_admitted_by_a_rule_for_tags_is_served_after_a_restart() {
    let tables =
        [ci(""), format!("[[rule]]\nimages = [\"{REGISTRY}/{APP}:v*\"]\nrequire = [\"ci\"]\n")];
    let mut world = World::of(setup(&tables)).await;
    let image = world.put_image("amd64");
    let index = world.put_index(&[&image]);
    world.put_tag("v1", &index);
    sign(&world, &index);
    world.pull("v1").await.serves(&index);
    world.restart().await;
    world.pull(Digest::of(&image)).await.serves(&image);
    world.pull(Digest::of(&index)).await.serves(&index);
}

/// Content is signed, not names: the gate could hide tags only after it checked each of them.
#[tokio::test]
async fn the_tag_list_is_upstreams_if_content_is_signed() {
    let world = world("", "").await;
    push_signed(&world, "v1", "one");
    world.push("v2", "two");
    let listed = world.get(&format!("/v2/{APP}/tags/list")).await;
    let listed: Value = serde_json::from_slice(&listed.body).unwrap();
    let tags: Vec<&str> =
        listed["tags"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let images: Vec<_> = tags.into_iter().filter(|tag| !tag.starts_with("sha256-")).collect();
    assert_eq!(images, ["v1", "v2"]);
}

#[tokio::test]
async fn signatures_are_found_in_the_signature_repository() {
    let elsewhere = format!("signature_repository = \"{REGISTRY}/signatures\"");
    let world = world(&elsewhere, "").await;
    let manifest = world.push("v1", "one");
    let apart = "signatures".parse().unwrap();
    put_sig(&world.registry, &apart, &manifest, &[layer(&manifest, &MINE)]);
    world.pull("v1").await.serves(&manifest);
    // No rule is weaker for it: the gate decides about that repository like about any other.
    assert_eq!(world.get("/v2/signatures/manifests/v1").await.status.as_u16(), 404);
}

#[tokio::test]
async fn an_invalid_signature_beside_a_valid_one_has_no_effect() {
    let world = world("", "").await;
    let manifest = world.push("v1", "one");
    put(&world, &manifest, &[layer(&manifest, &MINE), layer(&manifest, &OTHER)]);
    world.pull("v1").await.serves(&manifest);
}

#[tokio::test]
async fn another_key_or_rule_takes_effect_after_a_restart() {
    let mut world = world("", "").await;
    let manifest = push_signed(&world, "v1", "one");
    world.pull("v1").await.serves(&manifest);
    let changed = world.setup.clone().file("mine.pub", OTHER.pem());
    world.restart_with(changed).await;
    world.pull("v1").await.is_refused("signature_invalid");
}

/// The audit findings are about the served digest.
#[tokio::test]
async fn a_tag_moved_during_an_audit_decision_is_served_as_judged() {
    let world = mixed("require = [\"ci\"]\nmode = \"audit\"").await;
    let first = world.push("v1", "first");
    let second = world.put_image("second");
    let moved = Digest::of(&second).to_string();
    world.registry.hook(move |asked| {
        let again = asked.path.ends_with("/manifests/v1") && asked.before > 0;
        again.then(|| {
            let mut answer = crate::fake_registry::respond(200, Vec::new());
            let headers = answer.headers_mut();
            headers.insert("docker-content-digest", moved.parse().unwrap());
            headers.insert("content-type", MediaType::OciImage.as_str().parse().unwrap());
            crate::fake_registry::Fault::Respond(answer)
        })
    });
    let page = Page::default();
    let _here = page.is_written();
    world.pull("v1").await.serves(&first);
    let events = page.all();
    let digest = Digest::of(&first).to_string();
    assert!(events.iter().any(|event| event["manifest.digest"] == *digest), "{events:?}");
    assert_eq!(resolved(&world, "v1"), 1);
}

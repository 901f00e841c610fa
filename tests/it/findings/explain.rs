//! `countersign why` distinguishes a signature that was not copied, an invalid signature, and a failed lookup.

use serde_json::{Value, json};

use super::explained;
use super::{push_signed, put, world};
use crate::attached::{OTHER, layer, tag_of};
use crate::fake_registry::Fault;
use crate::whole_gate::World;

/// The explanation of `v1`, as text and as JSON.
async fn why(world: &World) -> (String, Value) {
    let why = world.why("v1").await;
    (why.to_text(), json!(why))
}

#[tokio::test]
async fn a_missing_signature_is_explained_with_every_place() {
    let world = world("", "").await;
    let manifest = world.push("v1", "one");
    let (text, json) = why(&world).await;
    assert_eq!(explained(&json), ["absent", "no_trust_data", "absent"]);
    for words in ["not copied to this registry", &tag_of(&manifest, ".sig"), "referrers of sha256:"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    let anchor = &json["anchors"][0];
    assert_eq!(anchor["looked"].as_array().unwrap().len(), 3, "{json:#}");
    assert!(anchor.get("objections").is_none(), "{json:#}");
}

#[tokio::test]
async fn an_invalid_signature_is_explained_with_the_failed_check() {
    let world = world("", "").await;
    let manifest = world.push("v1", "one");
    put(&world, &manifest, &[layer(&manifest, &OTHER)]);
    let (text, json) = why(&world).await;
    assert_eq!(explained(&json), ["refused", "signature_invalid", "refused"]);
    for words in ["none is valid", "does not hold: ", "needed: a signature by ci"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let objection = &json["anchors"][0]["objections"][0];
    assert_eq!(objection["check"], "signature", "{json:#}");
    assert_eq!(objection["weight"], "does not hold", "{json:#}");
}

#[tokio::test]
async fn an_excluded_signature_is_explained_with_the_key_and_the_fix() {
    for (line, advice) in [
        ("not_after = 2001-01-31", "set `not_after` of the anchor ci to a later time"),
        ("max_age = \"90d\"", "raise `max_age` of the anchor ci"),
        ("signed_identity = \"repository\"", "set `signed_identity = \"digest\"` in the anchor ci"),
    ] {
        let world = world(line, "").await;
        push_signed(&world, "v1", "one");
        let (_, json) = why(&world).await;
        assert_eq!(explained(&json), ["refused", "signature_invalid", "refused"], "{line}");
        let given = json["advice"].as_str().unwrap();
        assert!(given.contains(advice), "{line}: {given}");
    }
}

#[tokio::test]
async fn an_unread_place_is_neither_missing_nor_invalid() {
    let world = world("", "").await;
    world.push("v1", "one");
    world.registry.hook(|asked| asked.path.ends_with(".sig").then_some(Fault::Drop));
    let (text, json) = why(&world).await;
    assert_eq!(explained(&json), ["undecided", "trust_unreachable", "undecided"]);
    assert!(text.contains("UNREAD  "), "{text}");
    assert!(!text.contains("not copied") && !text.contains("none is valid"), "{text}");
    assert_eq!(json["anchors"][0]["unread"].as_array().unwrap().len(), 1, "{json:#}");
}

#[tokio::test]
async fn an_admitted_image_shows_the_signer_and_the_location() {
    // Only a record that a rule depends on is on disk before the image is served.
    let world = world("", "on_rollback = \"refuse\"").await;
    let manifest = push_signed(&world, "v1", "one");
    world.pull("v1").await.serves(&manifest);
    let (text, json) = why(&world).await;
    assert_eq!(json["verdict"], "admitted", "{json:#}");
    let digest = countersign::oci::Digest::of(&manifest).to_string();
    assert_eq!((&json["digest"], &json["memory"]["digest"]), (&json!(digest), &json!(digest)));
    let anchor = &json["anchors"][0];
    assert_eq!(anchor["answer"], "endorsed", "{json:#}");
    assert!(anchor["place"].as_str().unwrap().ends_with(".sig"), "{json:#}");
    for words in ["signed  by key sha256:", "memory    sha256:", "looked  "] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

//! A hostile registry causes bounded work. Anything skipped because of a limit is unread, never absent.

use countersign::oci::Digest;
use countersign::trust::discovery::{
    MAX_CANDIDATES, MAX_PAGES, MAX_REQUESTS, RequestBudget, SignatureKind,
};
use http::header::{CONTENT_TYPE, LINK};
use serde_json::{Value, json};

use super::site::{
    BUNDLE, INDEX, JOSE, NOTATION, PREDICATE, SIMPLE, Site, app, finds, is_none, is_unread, looked,
    tagged, unread,
};
use crate::fake_registry::{Fault, respond, with};

/// Layers whose content does not exist.
fn nowhere(count: usize) -> Vec<Value> {
    let layer = |number: usize| {
        let digest = Digest::of(&number.to_be_bytes()).to_string();
        json!({"mediaType": SIMPLE, "digest": digest, "size": 8})
    };
    (0..count).map(layer).collect()
}

#[tokio::test]
async fn endless_pages_are_limited() {
    let site = Site::new().await;
    site.fake.hook(|asked| {
        asked.path.contains("/referrers/").then(|| {
            let page = respond(200, r#"{"schemaVersion":2,"manifests":[]}"#);
            let link = format!(r#"</x?last=a{}>; rel="next""#, asked.query);
            let page = with(page, LINK, link);
            Fault::Respond(with(page, CONTENT_TYPE, INDEX))
        })
    });
    is_unread(&site.locate(SignatureKind::Notation).await, "more than 10 pages");
    assert_eq!(site.fake.asked().len(), MAX_PAGES);
}

#[tokio::test]
async fn of_ten_thousand_layers_only_the_request_limit_is_fetched() {
    let site = Site::new().await;
    site.tag(&app(), ".sig", &tagged(&nowhere(10_000)));
    let inquiry = RequestBudget::new();
    let located =
        site.places.locate(SignatureKind::CosignSignature, &site.subject, None, &inquiry).await;
    is_unread(&located, "9000 signatures beyond the limit of 1000");
    is_unread(&located, "limit of 100 registry requests");
    assert_eq!(inquiry.requests(), MAX_REQUESTS);
    // The other places were searched, too.
    assert!(looked(&located).contains("referrers of sha256:"), "{}", looked(&located));
}

#[tokio::test]
async fn of_ten_thousand_layers_with_one_content_a_thousand_are_judged() {
    let site = Site::new().await;
    let layer = site.layer(SIMPLE, "payload");
    site.tag(&app(), ".sig", &tagged(&vec![layer; 10_000]));
    let located = site.locate(SignatureKind::CosignSignature).await;
    assert_eq!(located.candidates.len(), MAX_CANDIDATES);
    assert!(unread(&located).contains("9000 signatures beyond the limit of 1000"));
}

#[tokio::test]
async fn of_a_thousand_referrers_only_the_request_limit_is_opened() {
    let site = Site::without_api().await;
    let numbered = |number: usize| {
        let mut bundle = site.bundle("bundle");
        bundle["annotations"] = json!({"number": number.to_string()});
        bundle
    };
    let manifests: Vec<Value> = (0..1000).map(numbered).collect();
    site.schema(&manifests);
    let located = site.locate(SignatureKind::CosignSignature).await;
    // The tag, the API twice, the list, and the content that they share.
    assert_eq!(located.candidates.len(), MAX_REQUESTS - 5);
    assert!(unread(&located).contains("limit of 100 registry requests"));
    let opened = site.fake.asked().iter().filter(|a| a.path.contains("manifests/sha256:")).count();
    assert_eq!(opened, MAX_REQUESTS - 5);
}

#[tokio::test]
async fn one_referrer_that_is_listed_a_thousand_times_is_opened_once() {
    let site = Site::without_api().await;
    let entry = site.entry(&site.bundle("bundle"));
    let list = vec![entry; 1000];
    site.tag(&app(), "", &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": list}));
    let located = site.locate(SignatureKind::CosignSignature).await;
    finds(&located, &["bundle"]);
    assert_eq!(unread(&located), "");
}

#[tokio::test]
async fn a_huge_payload_is_not_requested() {
    for (kind, media_type, size, why) in [
        (SignatureKind::CosignSignature, SIMPLE, (64 << 10) + 1, "more than 65536 bytes"),
        (SignatureKind::CosignSignature, SIMPLE, (1_u64 << 53) - 1, "more than 65536 bytes"),
        (SignatureKind::CosignSignature, BUNDLE, 10 << 30, "more than 25165824 bytes"),
        (SignatureKind::Notation, JOSE, (1 << 20) + 1, "more than 1048576 bytes"),
    ] {
        let site = Site::new().await;
        let mut layer = site.layer(media_type, "payload");
        layer["size"] = json!(size);
        site.tag(&app(), ".sig", &tagged(std::slice::from_ref(&layer)));
        if kind == SignatureKind::Notation {
            site.put(&app(), &site.about(NOTATION, &[layer]));
        }
        is_unread(&site.locate(kind).await, why);
        assert!(!site.fake.asked().iter().any(|asked| asked.path.contains("/blobs/")));
    }
}

#[tokio::test]
async fn a_huge_bundle_labeled_as_another_kind_is_not_unread() {
    let site = Site::new().await;
    let mut layer = site.layer(BUNDLE, "bill of materials");
    layer["size"] = json!(25 << 20);
    let mut bundle = site.about(BUNDLE, &[layer]);
    bundle["annotations"] = json!({PREDICATE: "https://spdx.dev/Document"});
    site.put(&app(), &bundle);
    let located = site.locate(SignatureKind::CosignSignature).await;
    is_none(&located);
    assert!(looked(&located).contains("not a signature: a large bundle of https://spdx.dev/"));
    is_unread(&site.locate(SignatureKind::CosignAttestation).await, "more than 25165824 bytes");
}

#[tokio::test]
async fn an_endless_payload_is_read_up_to_its_size() {
    let site = Site::new().await;
    let mut layer = site.layer(SIMPLE, &"x".repeat(60 << 10));
    layer["size"] = json!(10);
    site.tag(&app(), ".sig", &tagged(&[layer]));
    site.fake.hook(|asked| asked.path.contains("/blobs/").then_some(Fault::Unsized(1000)));
    finds(&site.locate(SignatureKind::CosignSignature).await, &[]);
}

#[tokio::test]
async fn a_huge_manifest_is_unread_behind_a_tag_and_in_a_list() {
    let site = Site::without_api().await;
    let mut huge = tagged(&[site.layer(SIMPLE, "payload")]);
    huge["annotations"] = json!({"a": "x".repeat(2 << 20)});
    site.tag(&app(), ".sig", &huge);
    let mut large = site.bundle("bundle");
    large["annotations"] = json!({"a": "x".repeat(1 << 20)});
    let mut entry = site.entry(&large);
    entry["annotations"] = json!({});
    entry["size"] = json!(7);
    site.tag(&app(), "", &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}));
    let located = site.locate(SignatureKind::CosignSignature).await;
    is_unread(&located, "more than 2097152 bytes");
    is_unread(&located, "more than 1048576 bytes");
}

#[tokio::test]
async fn too_many_annotations_are_unread() {
    let many: Value = (0..65).map(|number| (number.to_string(), json!("x"))).collect();
    for annotations in [many, json!({"a": "x".repeat(128 << 10)})] {
        let site = Site::new().await;
        let mut layer = site.layer(SIMPLE, "payload");
        layer["annotations"] = annotations;
        site.tag(&app(), ".sig", &tagged(&[layer]));
        is_unread(&site.locate(SignatureKind::CosignSignature).await, "annotations of more than");
    }
}

#[tokio::test]
async fn all_anchors_of_a_decision_share_a_hundred_requests() {
    let site = Site::new().await;
    let inquiry = RequestBudget::new();
    site.tag(&app(), ".sig", &tagged(&nowhere(50)));
    for number in 0..40 {
        let mut layer = site.layer(JOSE, "envelope");
        layer["digest"] = json!(Digest::of(format!("nowhere {number}").as_bytes()).to_string());
        site.put(&app(), &site.about(NOTATION, &[layer]));
    }
    let locate = async |kind| site.places.locate(kind, &site.subject, None, &inquiry).await;
    assert_eq!(unread(&locate(SignatureKind::CosignSignature).await), "");
    is_unread(&locate(SignatureKind::Notation).await, "limit of 100 registry requests");
    assert_eq!(inquiry.requests(), MAX_REQUESTS);
    assert_eq!(site.fake.asked().len(), MAX_REQUESTS);
}

#[tokio::test]
async fn one_decision_holds_at_most_32_mebibytes() {
    let site = Site::new().await;
    for number in 0..5 {
        let bundle = format!("{number}{}", "x".repeat((8 << 20) - 1));
        site.put(&app(), &site.bundle(&bundle));
    }
    let located = site.locate(SignatureKind::CosignSignature).await;
    assert_eq!(located.candidates.len(), 3);
    assert!(unread(&located).contains("more than 33554432 bytes for this decision"));
}

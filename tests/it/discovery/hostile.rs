//! Mislabeled lists, tags, manifests and layers. Each is reported with its location and is not a signature. Content
//! that could still be a signature is unread.

use countersign::oci::Digest;
use countersign::trust::discovery::SignatureKind;
use http::header::CONTENT_TYPE;
use serde_json::json;

use super::site::{
    BUNDLE, DSSE, EMPTY, INDEX, JOSE, NOTATION, OCI, SIMPLE, Site, app, contents, finds, is_none,
    is_unread, looked, tagged, unread,
};
use crate::fake_registry::{Fault, respond, with};

const SPDX: &str = "application/spdx+json";

/// Nothing is found and nothing is unread, for this reason.
#[track_caller]
fn is_unfit(located: &countersign::trust::discovery::Located, why: &str) {
    is_none(located);
    let wanted = format!("unusable: {why}");
    assert!(looked(located).contains(&wanted), "{}", looked(located));
}

#[tokio::test]
async fn a_descriptor_with_a_wrong_artifact_type_is_reported() {
    let site = Site::without_api().await;
    let sbom = site.about(SPDX, &[site.layer(JOSE, "envelope")]);
    let mut entry = site.entry(&sbom);
    for (kind, said) in
        [(SignatureKind::Notation, NOTATION), (SignatureKind::CosignSignature, BUNDLE)]
    {
        entry["artifactType"] = json!(said);
        site.tag(
            &app(),
            "",
            &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}),
        );
        is_unfit(&site.locate(kind).await, "it is application/spdx+json");
    }
}

#[tokio::test]
async fn referrers_listed_with_another_or_no_type_are_opened_last() {
    let site = Site::without_api().await;
    let mut entries = [site.entry(&site.bundle("one")), site.entry(&site.bundle("two"))];
    entries[0].as_object_mut().unwrap().remove("artifactType");
    entries[1]["artifactType"] = json!(SPDX);
    let mut sbom = site.entry(&site.about(SPDX, &[site.layer(SPDX, "sbom")]));
    sbom["artifactType"] = json!(EMPTY);
    let named = site.entry(&site.bundle("three"));
    let list = json!([entries[1], sbom, entries[0], named]);
    site.tag(&app(), "", &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": list}));
    let located = site.locate(SignatureKind::CosignSignature).await;
    let mut found = contents(&located.candidates);
    found.sort_unstable();
    assert_eq!(found, ["one", "three", "two"]);
    assert!(looked(&located).contains("not a signature: it is application/spdx+json"));
}

#[tokio::test]
async fn a_referrer_of_another_digest_is_not_a_signature_of_this_one() {
    let site = Site::without_api().await;
    for kind in
        [SignatureKind::CosignSignature, SignatureKind::CosignAttestation, SignatureKind::Notation]
    {
        let (artifact_type, layer) = match kind {
            SignatureKind::CosignSignature | SignatureKind::CosignAttestation => (BUNDLE, BUNDLE),
            SignatureKind::Notation => (NOTATION, JOSE),
        };
        let mut other = site.about(artifact_type, &[site.layer(layer, "other")]);
        other["subject"]["digest"] = json!(Digest::of(b"other").to_string());
        let mut none = site.about(artifact_type, &[site.layer(layer, "none")]);
        none.as_object_mut().unwrap().remove("subject");
        site.schema(&[other, none]);
        let located = site.locate(kind).await;
        is_unfit(&located, &format!("its subject is {}", Digest::of(b"other")));
        is_unfit(&located, "it has no subject");
    }
}

#[tokio::test]
async fn a_tag_whose_manifest_has_another_subject_has_no_signatures() {
    let site = Site::new().await;
    let mut manifest = site.about("", &[site.layer(SIMPLE, "payload")]);
    manifest["subject"]["digest"] = json!(Digest::of(b"other").to_string());
    site.tag(&app(), ".sig", &manifest);
    is_unfit(&site.locate(SignatureKind::CosignSignature).await, "its subject is ");
}

#[tokio::test]
async fn a_notation_signature_names_its_complete_subject() {
    for (member, value) in [("size", json!(8)), ("mediaType", json!(INDEX))] {
        let site = Site::new().await;
        let mut manifest = site.about(NOTATION, &[site.layer(JOSE, "envelope")]);
        manifest["subject"][member] = value;
        site.put(&app(), &manifest);
        let why = "its subject has another media type or size";
        is_unfit(&site.locate(SignatureKind::Notation).await, why);
    }
}

#[tokio::test]
async fn a_notation_signature_has_an_empty_config() {
    let site = Site::new().await;
    let mut manifest = site.about(NOTATION, &[site.layer(JOSE, "envelope")]);
    manifest["config"]["mediaType"] = json!("application/vnd.oci.image.config.v1+json");
    site.put(&app(), &manifest);
    is_unfit(
        &site.locate(SignatureKind::Notation).await,
        "its config is application/vnd.oci.image",
    );
}

#[tokio::test]
async fn an_index_is_not_a_signature() {
    let site = Site::without_api().await;
    let mut index = json!({"schemaVersion": 2, "mediaType": INDEX, "artifactType": BUNDLE,
        "manifests": []});
    site.tag(&app(), ".sig", &index);
    is_unfit(&site.locate(SignatureKind::CosignSignature).await, "it is an index");
    index["subject"] = site.bundle("bundle")["subject"].clone();
    site.schema(&[index]);
    is_unfit(&site.locate(SignatureKind::CosignAttestation).await, "it is an index");
}

#[tokio::test]
async fn an_image_is_neither_a_signature_nor_a_list_of_signatures() {
    let site = Site::without_api().await;
    let layer = "application/vnd.oci.image.layer.v1.tar+gzip";
    let image = tagged(&[site.layer(layer, "layer")]);
    site.tag(&app(), ".sig", &image);
    site.tag(&app(), "", &image);
    let located = site.locate(SignatureKind::CosignSignature).await;
    is_unfit(&located, &format!("its layers are not such signatures, but {layer}"));
    is_unfit(&located, "it is not an index");
}

#[tokio::test]
async fn signatures_and_attestations_are_not_interchangeable() {
    let site = Site::new().await;
    site.tag(&app(), ".att", &tagged(&[site.layer(SIMPLE, "payload")]));
    site.tag(&app(), ".sig", &tagged(&[site.layer(DSSE, "envelope")]));
    is_unfit(
        &site.locate(SignatureKind::CosignAttestation).await,
        "its layers are not such signatures",
    );
    is_unfit(
        &site.locate(SignatureKind::CosignSignature).await,
        "its layers are not such signatures",
    );
}

#[tokio::test]
async fn content_that_is_not_a_manifest_is_not_a_signature() {
    let site = Site::new().await;
    let bytes = r#"{"schemaVersion":2,"layers":[],"layers":[]}"#;
    let digest = site.fake.registry().put_manifest(&app(), OCI, bytes);
    site.fake.registry().put_tag(&app(), site.name(".sig").parse().unwrap(), digest);
    is_unfit(&site.locate(SignatureKind::CosignSignature).await, "");
}

/// The answer may come from a portal or a proxy, so it is unknown whether there is a signature.
#[tokio::test]
async fn an_answer_from_no_registry_leaves_its_location_unread() {
    for (media_type, bytes) in [
        (OCI, "{}"),
        (OCI, "<html>"),
        ("text/html", "<html>"),
        ("application/vnd.oci.artifact.manifest.v1+json", "{}"),
    ] {
        let site = Site::new().await;
        let digest = site.fake.registry().put_manifest(&app(), media_type, bytes);
        site.fake.registry().put_tag(&app(), site.name(".sig").parse().unwrap(), digest);
        is_unread(&site.locate(SignatureKind::CosignSignature).await, "registry");
    }
}

#[tokio::test]
async fn a_member_in_the_wrong_case_is_not_a_signature() {
    let site = Site::new().await;
    let mut manifest = tagged(&[site.layer(SIMPLE, "payload")]);
    manifest["Layers"] = json!([]);
    site.tag(&app(), ".sig", &manifest);
    is_unfit(
        &site.locate(SignatureKind::CosignSignature).await,
        "the manifest has the member \"Layers\"",
    );
}

#[tokio::test]
async fn texts_of_a_registry_are_shown_as_one_short_line() {
    let site = Site::new().await;
    let name = format!("\u{1b}[2J{}", "x".repeat(1 << 20));
    let mut twice = json!({"schemaVersion": 2}).to_string();
    let member = json!(name).to_string();
    twice.truncate(twice.len() - 1);
    let twice = format!("{twice},{member}:1,{member}:2}}");
    let digest = site.fake.registry().put_manifest(&app(), OCI, twice);
    site.fake.registry().put_tag(&app(), site.name(".sig").parse().unwrap(), digest);
    let mut sbom = site.about(&name, &[site.layer(&name, "layer")]);
    sbom["annotations"] = json!({});
    let mut entry = site.entry(&sbom);
    entry["artifactType"] = json!(null);
    site.fake.hook(move |asked| {
        let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
        let list = || with(respond(200, list.to_string()), CONTENT_TYPE, INDEX);
        asked.path.contains("/referrers/").then(|| Fault::Respond(list()))
    });
    let located = site.locate(SignatureKind::CosignSignature).await;
    for line in looked(&located).lines().chain(unread(&located).lines()) {
        assert!(line.len() < 600 && !line.contains('\u{1b}'), "{line}");
    }
}

#[tokio::test]
async fn a_bundle_or_envelope_must_be_the_only_layer() {
    for (kind, artifact_type, layer) in [
        (SignatureKind::CosignSignature, BUNDLE, BUNDLE),
        (SignatureKind::Notation, NOTATION, JOSE),
    ] {
        for count in [0, 2] {
            let site = Site::new().await;
            let layers = vec![site.layer(layer, "twice"); count];
            site.put(&app(), &site.about(artifact_type, &layers));
            is_unfit(&site.locate(kind).await, &format!("it has {count} layers instead of one"));
        }
    }
}

#[tokio::test]
async fn other_layers_are_reported_and_do_not_hide_signatures() {
    let site = Site::new().await;
    site.tag(&app(), ".sig", &tagged(&[site.layer(SPDX, "sbom"), site.layer(SIMPLE, "payload")]));
    let located = site.locate(SignatureKind::CosignSignature).await;
    finds(&located, &["payload"]);
    assert!(looked(&located).contains("unusable: 1 of its layers: application/spdx+json"));
}

#[tokio::test]
async fn a_payload_with_wrong_bytes_is_unread() {
    let site = Site::new().await;
    site.sig(&app(), &["payload"]);
    site.fake.hook(|asked| asked.path.contains("/blobs/").then_some(Fault::Corrupt));
    is_unread(&site.locate(SignatureKind::CosignSignature).await, "upstream sent sha256:");
}

#[tokio::test]
async fn a_manifest_with_wrong_bytes_is_unread() {
    let site = Site::without_api().await;
    let (good, bad) = (site.bundle("good"), site.bundle("bad"));
    site.schema(std::slice::from_ref(&good));
    let digest = Digest::of(good.to_string().as_bytes());
    site.fake.registry().put_manifest_as(&app(), digest, OCI, bad.to_string());
    is_unread(&site.locate(SignatureKind::CosignSignature).await, "upstream sent sha256:");
}

#[tokio::test]
async fn a_payload_of_the_wrong_size_is_not_a_candidate() {
    for (claimed, why) in
        [(6, "it has more than the 6 bytes of its descriptor"), (8, "it has 7 bytes instead of 8")]
    {
        let site = Site::new().await;
        let mut layer = site.layer(SIMPLE, "payload");
        layer["size"] = json!(claimed);
        site.tag(&app(), ".sig", &tagged(&[layer]));
        is_unfit(&site.locate(SignatureKind::CosignSignature).await, why);
    }
}

#[tokio::test]
async fn inline_data_of_a_descriptor_is_ignored() {
    let site = Site::new().await;
    let mut layer = site.layer(SIMPLE, "payload");
    layer["data"] = json!("Zm9yZ2Vk");
    site.tag(&app(), ".sig", &tagged(&[layer]));
    finds(&site.locate(SignatureKind::CosignSignature).await, &["payload"]);
}

#[tokio::test]
async fn listed_but_deleted_content_is_absent() {
    let site = Site::without_api().await;
    let bundle = site.bundle("bundle");
    site.schema(std::slice::from_ref(&bundle));
    let gone = format!("/manifests/{}", Digest::of(bundle.to_string().as_bytes()));
    site.fake.hook(move |asked| {
        let deleted = asked.path.ends_with(&gone) || asked.path.contains("/referrers/");
        deleted.then(|| Fault::Respond(respond(404, "")))
    });
    let located = site.locate(SignatureKind::CosignSignature).await;
    is_none(&located);
    assert!(looked(&located).contains(" is listed but does not exist"));
}

#[tokio::test]
async fn a_missing_payload_is_not_a_candidate() {
    let site = Site::new().await;
    let digest = Digest::of(b"nowhere").to_string();
    let layer = json!({"mediaType": SIMPLE, "digest": digest, "size": 7});
    site.tag(&app(), ".sig", &tagged(&[layer]));
    let located = site.locate(SignatureKind::CosignSignature).await;
    is_none(&located);
    let reported = format!(".sig: {} is listed but does not exist", Digest::of(b"nowhere"));
    assert!(looked(&located).contains(&reported));
}

#[tokio::test]
async fn a_mislabeled_candidate_hides_no_other() {
    let site = Site::without_api().await;
    let mut other = site.bundle("other");
    other["subject"]["digest"] = json!(Digest::of(b"other").to_string());
    site.schema(&[other, site.bundle("bundle")]);
    site.tag(&app(), ".sig", &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}));
    finds(&site.locate(SignatureKind::CosignSignature).await, &["bundle"]);
}

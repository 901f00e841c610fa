//! What is parsed from manifests and indexes, and which documents are rejected.

use serde_json::{Value as Json, json};

use super::*;

fn pointer(media_type: &str, content: &str) -> Json {
    json!({"mediaType": media_type, "digest": Digest::of(content.as_bytes()).to_string(), "size": 3})
}

fn image(config: &str) -> Json {
    json!({"schemaVersion": 2, "mediaType": MediaType::OciImage.as_str(),
           "config": pointer(config, "config"),
           "layers": [pointer("application/vnd.oci.image.layer.v1.tar+gzip", "layer")]})
}

fn index() -> Json {
    json!({"schemaVersion": 2, "manifests": [
        pointer(MediaType::OciImage.as_str(), "one"), pointer(MediaType::OciIndex.as_str(), "two")]})
}

fn parse(json: &Json, content_type: Option<&str>) -> Result<Manifest, InvalidManifest> {
    Manifest::parse(json.to_string().as_bytes(), content_type)
}

#[test]
fn an_index_lists_its_children() {
    let index = parse(&index(), Some(MediaType::DockerIndex.as_str())).unwrap();
    assert_eq!(index.media_type(), MediaType::DockerIndex);
    assert_eq!(index.children()[1].digest, Digest::of(b"two"));
    assert!(index.is_runnable());
}

#[test]
fn an_image_lists_its_blobs_and_its_subject() {
    let mut artifact = image("application/vnd.oci.empty.v1+json");
    artifact["layers"][0]["mediaType"] = json!("application/spdx+json");
    artifact["subject"] = pointer(MediaType::OciImage.as_str(), "subject");
    let artifact = parse(&artifact, None).unwrap();
    assert_eq!(artifact.blobs().len(), 2);
    assert_eq!(artifact.subject().unwrap().digest, Digest::of(b"subject"));
    assert!(!artifact.is_runnable());
    assert!(parse(&image(RUNNABLE[1]), None).unwrap().is_runnable());
}

#[test]
fn a_manifest_with_image_layers_is_runnable_whatever_its_config() {
    assert!(parse(&image("application/vnd.example.config"), None).unwrap().is_runnable());
}

#[test]
fn a_document_that_is_both_index_and_image_is_refused() {
    for member in ["layers", "config", "fsLayers"] {
        let mut both = index();
        both[member] = json!([]);
        assert!(matches!(parse(&both, None), Err(InvalidManifest::Ambiguous)), "{member}");
    }
}

#[test]
fn the_content_type_must_agree_with_the_document() {
    for said in [MediaType::OciIndex, MediaType::DockerImage] {
        let answer = parse(&image(RUNNABLE[1]), Some(said.as_str()));
        assert!(matches!(answer, Err(InvalidManifest::MediaType { .. })));
    }
    let answer = parse(&index(), Some(MediaType::OciImage.as_str()));
    assert!(matches!(answer, Err(InvalidManifest::MediaType { .. })));
    assert!(matches!(parse(&index(), Some("text/html")), Err(InvalidManifest::Unknown(_))));
}

#[test]
fn unimportant_members_may_be_absent() {
    for (at, remove) in [
        ("", "layers"),
        ("", "schemaVersion"),
        ("", "mediaType"),
        ("", "annotations"),
        ("/layers/0", "mediaType"),
        ("/config", "mediaType"),
    ] {
        for value in [None, Some(Json::Null)] {
            let mut image = image("a/b");
            let place = image.pointer_mut(at).unwrap().as_object_mut().unwrap();
            place.remove(remove);
            place.extend(value.map(|value| (remove.to_owned(), value)));
            assert!(parse(&image, None).is_ok(), "{image}");
        }
    }
    for platform in [json!(null), json!({}), json!({"os": "linux"}), json!({"os": null})] {
        let mut index = index();
        index["manifests"][0]["platform"] = platform;
        index["manifests"][1]["mediaType"] = json!("");
        assert_eq!(parse(&index, None).unwrap().children().len(), 2);
    }
    for list in [json!({"manifests": null}), json!({"manifests": []}), json!({"schemaVersion": 2})]
    {
        let index = parse(&list, Some(MediaType::OciIndex.as_str())).unwrap();
        assert!(index.media_type().is_index() && index.children().is_empty());
    }
}

#[test]
fn a_layer_without_a_type_may_be_the_layer_of_an_image() {
    let mut image = image("a/b");
    image["layers"][0]["mediaType"] = json!("a/layer");
    assert!(!parse(&image, None).unwrap().is_runnable());
    image["layers"][0]["mediaType"] = json!("");
    assert!(parse(&image, None).unwrap().is_runnable());
}

#[test]
fn an_error_names_the_required_member() {
    let without = |at: &str, member: &str| {
        let mut image = image("a/b");
        image.pointer_mut(at).unwrap().as_object_mut().unwrap().remove(member);
        parse(&image, None).unwrap_err().to_string()
    };
    assert_eq!(without("", "config"), "the manifest has no config");
    assert_eq!(without("/layers/0", "digest"), "the manifest has no layers[0].digest");
    assert_eq!(without("/config", "size"), "the manifest has no config.size");
    let mut index = index();
    index["manifests"][1]["size"] = json!("3");
    let error = parse(&index, None).unwrap_err().to_string();
    assert_eq!(error, "manifests[1].size in the manifest is not a whole number");
}

#[test]
fn a_repeated_member_is_refused() {
    let twice = br#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#;
    assert!(matches!(Manifest::parse(twice, None), Err(InvalidManifest::Json(_))));
}

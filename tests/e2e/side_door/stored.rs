//! A manifest that the attacker stored as a blob is not served as a blob, in any spelling that a client reads as a
//! manifest.

use bytes::Bytes;
use serde_json::{Value, json};

use super::lab::Lab;
use crate::requests;
use crate::smuggled::attack::index;
use crate::smuggled::runnable::{OCI_MANIFEST, Runnable};

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![a_manifest_that_is_stored_as_a_blob_is_not_served_as_one]
}

fn a_manifest_that_is_stored_as_a_blob_is_not_served_as_one() {
    let lab = Lab::new();
    let mut served = Vec::new();
    for (name, bytes) in spellings() {
        let digest = lab.registry.put_blob("library/app", bytes);
        let url = lab.gate.url(&format!("/v2/library/app/blobs/{digest}"));
        let (head, get) = (requests::head(&url).status, requests::get(&url).status);
        eprintln!("side door: stored: {name}: {} {}", head.as_u16(), get.as_u16());
        if head == 200 || get == 200 {
            served.push(name);
        }
    }
    assert!(served.is_empty(), "served as blobs: {served:?}");
}

/// Go's `json.Unmarshal` reads all of these, except the one with trailing bytes, which its `json.Decoder` reads.
fn spellings() -> Vec<(&'static str, Bytes)> {
    let image = Runnable::new(b"", "stored as a blob");
    let manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
    let text = manifest.to_string();
    let docker = text.replace(OCI_MANIFEST, crate::registry::DOCKER_MANIFEST);
    let mut untyped = manifest.clone();
    untyped.as_object_mut().unwrap().remove("mediaType");
    let mut without_version = untyped.clone();
    without_version.as_object_mut().unwrap().remove("schemaVersion");
    let mut typed_otherwise = manifest.clone();
    typed_otherwise["mediaType"] = json!("text/plain");
    let list = index(&[image.descriptor()]);
    let mut docker_list = list.clone();
    docker_list["mediaType"] = json!(crate::registry::DOCKER_LIST);
    let both = {
        let mut both = list.clone();
        for member in ["config", "layers"] {
            both[member] = manifest[member].clone();
        }
        both
    };
    let escaped = text.replace("\"layers\"", "\"l\\u0061yers\"");
    let padded = format!("{}{text}", " ".repeat((4 << 20) - text.len()));
    let spellings: [(&str, String); 15] = [
        ("an image manifest", text.clone()),
        ("a docker manifest", docker),
        ("one without a media type", untyped.to_string()),
        ("one without a version", without_version.to_string()),
        ("one with the media type of text", typed_otherwise.to_string()),
        ("an index", list.to_string()),
        ("a docker manifest list", docker_list.to_string()),
        ("both an index and an image", both.to_string()),
        ("one with white space around it", format!("\n\t {text} \r\n")),
        ("one of exactly 4 MiB", padded),
        ("one with an escaped member", escaped),
        ("one with a member in another case", text.replace("\"layers\"", "\"Layers\"")),
        ("one that names a member twice", text.replacen('{', "{\"layers\":[],", 1)),
        ("one with an empty list of manifests, too", text.replacen('{', "{\"manifests\":[],", 1)),
        ("one with trailing bytes", format!("{text}\n{{}}")),
    ];
    spellings.map(|(name, text)| (name, Bytes::from(text))).to_vec()
}

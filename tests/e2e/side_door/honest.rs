//! Attachments that legitimate tools add to a signed image are served and verify: signatures, attestations and SBOMs of
//! cosign 2 and 3, notation and oras, and BuildKit's attestations in an index.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::content_site::{Api, ContentSite};
use crate::cosign::{Cosign, Version};
use crate::folder::Folder;
use crate::gate::Gate;
use crate::go_tools::go_tool;
use crate::notation::{Format, Notation};
use crate::process::{must, run};
use crate::registry::digest_of;
use crate::requests;
use crate::smuggled::attack::index;
use crate::smuggled::runnable::{
    OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, architecture, config, described, manifest,
};

const IMAGE: &str = "library/app";
const BUILT: &str = "https://example.com/built-by/v1";
const SPDX: &str = "application/spdx+json";
const CYCLONEDX: &str = "application/vnd.cyclonedx+json";

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        cosign_3_attachments_are_served_by_the_referrers_api,
        cosign_3_attachments_are_served_without_the_referrers_api,
        cosign_2_attachments_are_served_by_the_referrers_api,
        cosign_2_attachments_are_served_without_the_referrers_api,
        the_attestations_in_a_signed_index_are_served,
    ]
}

fn cosign_3_attachments_are_served_by_the_referrers_api() {
    what_is_attached_comes(Version::V3, Api::Referrers);
}

fn cosign_3_attachments_are_served_without_the_referrers_api() {
    what_is_attached_comes(Version::V3, Api::None);
}

fn cosign_2_attachments_are_served_by_the_referrers_api() {
    what_is_attached_comes(Version::V2, Api::Referrers);
}

fn cosign_2_attachments_are_served_without_the_referrers_api() {
    what_is_attached_comes(Version::V2, Api::None);
}

fn what_is_attached_comes(version: Version, api: Api) {
    let site = ContentSite::new(api);
    let (cosign, notation) = (Cosign::new(version), Notation::new(api == Api::Referrers));
    let (name, digest) = site.push_to_sign(&format!("{IMAGE}:1"), "with attachments");
    cosign.sign(&name);
    cosign.attest(&name, BUILT);
    notation.sign(&name, Format::Jws);
    notation.sign(&name, Format::Cose);
    let sboms =
        [(SPDX, r#"{"spdxVersion":"SPDX-2.3"}"#), (CYCLONEDX, r#"{"bomFormat":"CycloneDX"}"#)];
    for (kind, text) in sboms {
        attach(&name, kind, text);
    }
    if version == Version::V2 {
        cosign.attach_sbom(&name, sboms[0].1);
    }
    if (version, api) == (Version::V2, Api::Referrers) {
        cosign.sign_as_referrer(&name);
    }
    let gate = site.gate(&tables(&cosign));

    let image = format!("{}/{IMAGE}@{digest}", gate.name());
    let said = cosign.verify(&image);
    assert!(said.ok(), "{}", said.all());
    let said = cosign.verify_attestation(&image, BUILT);
    assert!(said.ok(), "{}", said.all());
    let said = notation.verify(&image);
    assert!(said.ok(), "{}", said.all());
    if version == Version::V2 {
        assert_eq!(cosign.downloaded_sbom(&image).trim(), sboms[0].1);
    }
    everything_listed_is_served(&site, &gate, &digest);
    for (kind, text) in sboms {
        is_discovered_and_pulled(&gate, &digest, kind, text);
    }
}

/// Attaches a file as a user would.
fn attach(image: &str, kind: &str, text: &str) {
    let folder = Folder::new("attached");
    folder.write("sbom.json", text);
    let mut oras = go_tool("oras");
    oras.current_dir(folder.path()).args([
        "attach",
        "--plain-http",
        "--artifact-type",
        kind,
        image,
    ]);
    must(oras.arg(format!("sbom.json:{kind}")));
}

/// Lists the referrers of the image at the gate, and pulls the one of this type.
fn is_discovered_and_pulled(gate: &Gate, digest: &str, kind: &str, text: &str) {
    let image = format!("{}/{IMAGE}@{digest}", gate.name());
    let mut discover = go_tool("oras");
    discover.args([
        "discover",
        "--plain-http",
        "--format",
        "json",
        "--artifact-type",
        kind,
        &image,
    ]);
    let found: Value = serde_json::from_str(&must(&discover)).unwrap();
    let found = found["referrers"].as_array().or_else(|| found["manifests"].as_array()).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    let artifact = found[0]["digest"].as_str().unwrap();
    let folder = Folder::new("pulled");
    let mut pull = go_tool("oras");
    pull.current_dir(folder.path()).args(["pull", "--plain-http"]);
    let said = run(pull.arg(format!("{}/{IMAGE}@{artifact}", gate.name())));
    assert!(said.ok(), "{kind}: {}", said.all());
    assert_eq!(std::fs::read_to_string(folder.join("sbom.json")).unwrap(), text);
}

/// Checks that the gate lists everything that the registry lists (each entry once), and serves every entry and its
/// blobs.
fn everything_listed_is_served(site: &ContentSite, gate: &Gate, digest: &str) {
    let tag = digest.replace(':', "-");
    let listed = |base: &str, path: &str| -> Option<Vec<String>> {
        let answer = requests::get(&format!("{base}/v2/{IMAGE}/{path}"));
        if answer.status != 200 {
            return None;
        }
        let entries = answer.json()["manifests"].as_array().cloned().unwrap_or_default();
        let mut digests: Vec<_> =
            entries.iter().map(|it| it["digest"].as_str().unwrap().to_owned()).collect();
        digests.sort();
        digests.dedup();
        Some(digests)
    };
    let by_api = format!("referrers/{digest}");
    let by_tag = format!("manifests/{tag}");
    let of_registry = listed(&site.registry.url(), &by_api)
        .or_else(|| listed(&site.registry.url(), &by_tag))
        .unwrap();
    assert!(of_registry.len() >= 4, "{of_registry:?}");
    assert_eq!(listed(&gate.url(""), &by_api).unwrap(), of_registry);
    for referrer in &of_registry {
        let answer = gate.manifest(IMAGE, referrer);
        assert_eq!(answer.status, 200, "{referrer}: {}", answer.text());
        let manifest = answer.json();
        let layers = manifest["layers"].as_array().unwrap();
        for blob in layers.iter().chain([&manifest["config"]]) {
            let blob = blob["digest"].as_str().unwrap();
            let answer = requests::get(&gate.url(&format!("/v2/{IMAGE}/blobs/{blob}")));
            assert_eq!((answer.status.as_u16(), digest_of(&answer.body)), (200, blob.to_owned()));
        }
    }
}

/// BuildKit lists a provenance and an SBOM as an additional manifest of the index, without a platform.
fn the_attestations_in_a_signed_index_are_served() {
    let site = ContentSite::new(Api::Referrers);
    let cosign = Cosign::new(Version::V3);
    let registry = &site.registry;
    let layer = Bytes::from_static(b"");
    let config = config(&digest_of(&layer), &["true"]);
    let image = manifest(&config, &[described(OCI_LAYER, &layer)]);
    let statements = ["https://slsa.dev/provenance/v1", "https://spdx.dev/Document"].map(|kind| {
        let statement = json!({"_type": "https://in-toto.io/Statement/v0.1", "predicateType": kind,
            "subject": [{"name": "app", "digest": {"sha256": digest_of(&image)[7..]}}], "predicate": {}});
        let statement = Bytes::from(statement.to_string());
        registry.put_blob(IMAGE, statement.clone());
        let mut layer = described("application/vnd.in-toto+json", &statement);
        layer["annotations"] = json!({"in-toto.io/predicate-type": kind});
        layer
    });
    let unknown = json!({"architecture": "unknown", "os": "unknown"});
    let attestation_config = Bytes::from(
        json!({"architecture": "unknown", "os": "unknown", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [statements[0]["digest"], statements[1]["digest"]]}})
        .to_string(),
    );
    let attestation = Bytes::from(
        json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": described(OCI_CONFIG, &attestation_config), "layers": statements})
        .to_string(),
    );
    for blob in [&layer, &config, &attestation_config] {
        registry.put_blob(IMAGE, blob.clone());
    }
    let mut entries = [described(OCI_MANIFEST, &image), described(OCI_MANIFEST, &attestation)];
    entries[0]["platform"] = json!({"architecture": architecture(), "os": "linux"});
    entries[1]["platform"] = unknown;
    entries[1]["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": digest_of(&image)});
    for manifest in [&image, &attestation] {
        registry.put(IMAGE, None, OCI_MANIFEST, manifest);
    }
    let list = index(&entries).to_string();
    let digest = registry.put(IMAGE, Some("1"), OCI_INDEX, list.as_bytes());
    cosign.sign(&site.image(&format!("{IMAGE}@{digest}")));
    let gate = site.gate(&tables(&cosign));

    // A layout contains everything that an index lists.
    let folder = Folder::new("layout");
    let mut crane = go_tool("crane");
    crane.args(["pull", "--insecure", "--format", "oci"]);
    crane.arg(format!("{}/{IMAGE}:1", gate.name())).arg(folder.join("layout"));
    must(&crane);
    for content in [&image, &attestation, &attestation_config] {
        let hex = &digest_of(content)[7..];
        let file = folder.join("layout/blobs/sha256").join(hex);
        assert_eq!(std::fs::read(file).unwrap(), content[..], "{hex}");
    }
}

fn tables(cosign: &Cosign) -> String {
    let key = cosign.key();
    format!(
        "[[anchor]]\nname = \"team\"\nscheme = \"cosign\"\nkeys = [{key:?}]\n\n\
         [[rule]]\nimages = [\"REGISTRY/**\"]\nrequire = [\"team\"]\n"
    )
}

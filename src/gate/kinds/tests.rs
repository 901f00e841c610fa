//! Every form that honest tools write is listed, and similar forms are not.

use serde_json::{Value, json};

use super::*;
use crate::oci::Manifest;

fn part(media_type: &str, content: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::of(content).to_string(), "size": content.len()})
}

fn subject() -> Descriptor {
    let content = b"subject";
    let media_type = Some(MediaType::OciImage);
    Descriptor { digest: Digest::of(content), size: content.len() as u64, media_type }
}

fn manifest(config: &str, layer: &str) -> Value {
    json!({
        "schemaVersion": 2, "mediaType": MediaType::OciImage.as_str(),
        "config": part(config, b"{}"), "layers": [part(layer, b"layer")],
    })
}

fn referrer(artifact_type: Option<&str>, config: &str, layer: &str) -> Value {
    let mut referrer = manifest(config, layer);
    referrer["subject"] = part(MediaType::OciImage.as_str(), b"subject");
    if let Some(artifact_type) = artifact_type {
        referrer["artifactType"] = json!(artifact_type);
    }
    referrer
}

fn check(referrer: &Value, artifacts: Artifacts) -> Result<(), String> {
    let parsed = Manifest::parse(referrer.to_string().as_bytes(), None).unwrap();
    let form = parsed.form().ok_or("it has an image's layers")?;
    check_referrer(parsed.media_type(), form, &subject(), artifacts)
}

fn check_tag(tagged: &Value, suffix: Suffix) -> Result<(), String> {
    let parsed = Manifest::parse(tagged.to_string().as_bytes(), None).unwrap();
    let form = parsed.form().ok_or("it has an image's layers")?;
    check_tagged(parsed.media_type(), form, &subject(), suffix)
}

#[test]
fn referrers_of_honest_tools_are_listed() {
    let bundles = [
        "application/vnd.dev.sigstore.bundle.v0.3+json",
        "application/vnd.dev.sigstore.bundle+json;version=0.1",
    ];
    let sig = "application/vnd.dev.cosign.artifact.sig.v1+json";
    let sbom = "application/vnd.dev.cosign.artifact.sbom.v1+json";
    let docker = "application/vnd.docker.attestation.manifest.v1+json";
    for (own, config, layer) in [
        (Some(bundles[0]), EMPTY, bundles[0]),
        (Some(bundles[1]), EMPTY, bundles[1]),
        (Some(sig), sig, SIMPLE_SIGNING),
        (None, sig, SIMPLE_SIGNING),
        (Some(sbom), sbom, "text/spdx+json"),
        (Some(IN_TOTO), EMPTY, DSSE),
        (Some(IN_TOTO), EMPTY, IN_TOTO),
        (Some(NOTATION), EMPTY, "application/jose+json"),
        (None, NOTATION, "application/cose"),
        (Some(docker), EMPTY, IN_TOTO),
        (Some("application/spdx+json"), EMPTY, "application/spdx+json"),
        (Some("application/vnd.cyclonedx+json"), EMPTY, "application/vnd.cyclonedx+json"),
        (Some("application/vnd.syft+json"), EMPTY, "application/json"),
    ] {
        let mut referrer = referrer(own, config, layer);
        assert_eq!(check(&referrer, Artifacts::Listed), Ok(()), "{referrer}");
        assert_eq!(check(&referrer, Artifacts::All), Ok(()), "{referrer}");
        referrer["layers"][0]["annotations"] = json!({"org.opencontainers.image.title": "x"});
        referrer["annotations"] = json!({"a": "b"});
        if config == EMPTY {
            referrer["config"]["data"] = json!("e30=");
            referrer["config"]["artifactType"] = json!(own);
        }
        assert_eq!(check(&referrer, Artifacts::Listed), Ok(()), "{referrer}");
    }
}

#[test]
fn cosign_artifacts_under_tags_are_listed() {
    for (suffix, layer) in [
        (Suffix::Signature, SIMPLE_SIGNING),
        (Suffix::Attestation, DSSE),
        (Suffix::Sbom, "text/spdx"),
        (Suffix::Sbom, "text/spdx+json"),
        (Suffix::Sbom, "application/vnd.cyclonedx+xml"),
        (Suffix::Sbom, "application/vnd.syft+json"),
    ] {
        assert_eq!(check_tag(&manifest(OCI_CONFIG, layer), suffix), Ok(()), "{layer}");
        let mut docker = manifest(DOCKER_CONFIG, layer);
        docker["mediaType"] = json!(MediaType::DockerImage.as_str());
        assert_eq!(check_tag(&docker, suffix), Ok(()), "{layer}");
    }
}

#[test]
fn an_artifact_that_differs_from_its_kind_is_denied() {
    let good = || referrer(Some(NOTATION), EMPTY, "application/jose+json");
    let manifest_type = MediaType::OciImage.as_str();
    for (place, value) in [
        ("/config/mediaType", json!(OCI_CONFIG)),
        ("/config/mediaType", json!(format!("{OCI_CONFIG}; a=b"))),
        ("/config/mediaType", json!(format!(" {OCI_CONFIG}"))),
        ("/config/mediaType", json!(format!("{EMPTY};a=b"))),
        ("/config/mediaType", json!(manifest_type)),
        ("/config/digest", json!(Digest::of(b"other").to_string())),
        ("/config/size", json!(3)),
        ("/layers/0/mediaType", json!("application/octet-stream")),
        ("/layers/0/mediaType", json!("APPLICATION/JOSE+JSON")),
        ("/layers/0/mediaType", json!("application/jose+json ")),
        ("/layers/0/mediaType", json!(manifest_type)),
        ("/layers/0/mediaType", json!("application/vnd.oci.image.layer.v1.tar")),
        ("/layers/0/size", json!(0)),
        ("/layers/0/digest", json!(Digest::of(b"").to_string())),
        ("/layers", json!([])),
        ("/artifactType", json!(format!("{NOTATION};a=b"))),
        ("/artifactType", json!("application/vnd.cncf.helm.chart")),
        ("/artifactType", json!("")),
        ("/subject/digest", json!(Digest::of(b"other").to_string())),
        ("/subject/size", json!(8)),
        ("/subject/mediaType", json!(MediaType::OciIndex.as_str())),
        ("/mediaType", json!(MediaType::DockerImage.as_str())),
    ] {
        let mut changed = good();
        *changed.pointer_mut(place).unwrap() = value;
        assert!(check(&changed, Artifacts::Listed).is_err(), "{changed}");
    }
    let mut without = good();
    without.as_object_mut().unwrap().remove("subject");
    assert!(check(&without, Artifacts::All).is_err());
    let untyped = referrer(None, EMPTY, "application/spdx+json");
    assert!(check(&untyped, Artifacts::Listed).is_err());
}

#[test]
fn a_rule_may_serve_other_types_but_no_images() {
    let chart = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
    let helm = "application/vnd.cncf.helm.config.v1+json";
    let wasm = "application/vnd.wasm.config.v0+json";
    for (own, config, layer) in
        [(None, helm, chart), (None, wasm, "application/wasm"), (Some("a/b"), EMPTY, "c/d")]
    {
        let referrer = referrer(own, config, layer);
        assert!(check(&referrer, Artifacts::Listed).is_err(), "{referrer}");
        assert_eq!(check(&referrer, Artifacts::All), Ok(()), "{referrer}");
    }
    for (config, layer) in [
        (OCI_CONFIG, "c/d"),
        ("Application/VND.OCI.image.config.v1+json; x=y", "c/d"),
        (DOCKER_CONFIG, "c/d"),
        ("application/octet-stream", "c/d"),
        ("text/html ", "c/d"),
        ("", "c/d"),
        (helm, "application/vnd.oci.image.layer.v1.tar+gzip"),
        (helm, "application/vnd.oci.image.layer.nondistributable.v1.tar"),
        (helm, "application/vnd.docker.image.rootfs.diff.tar.gzip"),
        (helm, " APPLICATION/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
        (helm, "application/vnd.erofs.layer.v1"),
        (helm, "application/vnd.oci.image.index.v1+json"),
        (helm, "application/vnd.docker.distribution.manifest.v1+prettyjws"),
        ("application/vnd.oci.image.manifest.v1+json;x", "c/d"),
    ] {
        let referrer = referrer(Some("a/b"), config, layer);
        assert!(check(&referrer, Artifacts::All).is_err(), "{referrer}");
    }
}

#[test]
fn a_tag_permits_only_artifacts_of_its_own_kind() {
    for (suffix, config, layer) in [
        (Suffix::Signature, OCI_CONFIG, DSSE),
        (Suffix::Signature, OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar"),
        (Suffix::Attestation, OCI_CONFIG, "application/vnd.oci.image.manifest.v1+json"),
        (Suffix::Attestation, "application/vnd.oci.image.config.v1+json; a=b", DSSE),
        (Suffix::Attestation, DOCKER_CONFIG, DSSE),
        (Suffix::Sbom, OCI_CONFIG, "text/plain"),
        (Suffix::Sbom, "application/vnd.oci.image.index.v1+json", "text/spdx"),
    ] {
        assert!(check_tag(&manifest(config, layer), suffix).is_err(), "{config} {layer}");
    }
    let mut empty = manifest(OCI_CONFIG, "text/spdx");
    empty["layers"][0] = part("text/spdx", b"");
    assert!(check_tag(&empty, Suffix::Sbom).is_err());
}

#[test]
fn every_version_of_a_bundle_is_recognized_and_nothing_else() {
    for good in ["+json", "+json;version=0.1", "+json;version=0.3", ".v0.3+json", ".v1.10+json"] {
        assert!(is_bundle(&format!("{BUNDLE}{good}")), "{good}");
    }
    for bad in [
        "",
        "s+json",
        "+json;version=",
        "+json;version=0.1;x",
        "+json ",
        ".v+json",
        ".v0.3",
        ".v0.3+json;a",
        ".vx.y+json",
    ] {
        assert!(!is_bundle(&format!("{BUNDLE}{bad}")), "{bad}");
    }
    assert!(!is_bundle("Application/vnd.dev.sigstore.bundle+json"));
}

#[test]
fn a_list_keeps_referrers_that_could_be_served() {
    for stated in [None, Some(""), Some(EMPTY), Some(NOTATION), Some("text/spdx")] {
        assert!(could_be_listed(stated, Artifacts::Listed), "{stated:?}");
    }
    assert!(!could_be_listed(Some("a/b"), Artifacts::Listed));
    assert!(could_be_listed(Some("a/b"), Artifacts::All));
}

//! Artifacts of a signed image that lead a client to an unsigned image.

use countersign::oci::{Digest, MediaType};
use serde_json::{Value, json};

use super::{DSSE, Door, EMPTY, IN_TOTO, OCI, OCI_CONFIG, SPDX, inlined};
use crate::whole_gate::described;

const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const MANIFESTS: [&str; 8] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "Application/vnd.oci.image.MANIFEST.v1+json",
    " application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json; charset=utf-8",
];

/// (b) of the attacks that ran on real clients.
#[tokio::test]
async fn an_attestation_with_a_layer_of_a_manifest_type_is_not_served() {
    let door = Door::new().await;
    let hidden = door.hidden();
    let config = json!({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/evil"]}});
    let config = config.to_string().into_bytes();
    door.blob(&config);
    for media_type in MANIFESTS {
        let mut attestation = door.tagged(DSSE, &hidden);
        attestation["config"] = described(OCI_CONFIG, &config);
        attestation["layers"][0] = inlined(media_type, &hidden);
        door.refuses_tagged(".att", &attestation).await;
    }
    door.keeps_back(&hidden).await;
}

/// (c)
#[tokio::test]
async fn a_referrer_with_an_inline_layer_of_a_manifest_type_is_not_served() {
    let door = Door::new().await;
    let hidden = door.hidden();
    for media_type in MANIFESTS {
        let mut referrer = door.referrer(SPDX, SPDX, b"{}");
        referrer["layers"] = json!([inlined(media_type, &hidden)]);
        door.refuses_referrer(&referrer).await;
    }
    door.keeps_back(&hidden).await;
}

/// (d)
#[tokio::test]
async fn a_manifest_listed_as_text_and_as_a_manifest_is_not_served() {
    let door = Door::new().await;
    let hidden = door.hidden();
    for media_type in MANIFESTS {
        let mut referrer = door.referrer(SPDX, SPDX, &hidden);
        let as_manifest = described(media_type, &hidden);
        let layers = referrer["layers"].as_array_mut().unwrap();
        layers.push(as_manifest);
        door.refuses_referrer(&referrer).await;
    }
    door.keeps_back(&hidden).await;
}

/// (e)
#[tokio::test]
async fn a_manifest_listed_as_octets_by_an_artifact_is_not_served() {
    let door = Door::new().await;
    let hidden = door.hidden();
    for layer_type in ["application/octet-stream", "text/plain", SPDX, "application/json"] {
        let bytes = door.world.put(OCI, &door.referrer(SPDX, layer_type, &hidden));
        drop(door.world.pull(Digest::of(&bytes)).await);
        door.keeps_back(&hidden).await;
    }
    let index = json!({"schemaVersion": 2, "mediaType": MediaType::OciIndex.as_str(),
        "manifests": [described(OCI.as_str(), &hidden)]});
    let index = door.world.put(MediaType::OciIndex, &index);
    door.keeps_back(&index).await;
}

#[tokio::test]
async fn a_config_of_a_manifest_type_is_not_served() {
    let door = Door::new().await;
    let hidden = door.hidden();
    for media_type in MANIFESTS {
        for descriptor in [described(media_type, &hidden), inlined(media_type, &hidden)] {
            let mut referrer = door.referrer(SPDX, SPDX, b"{}");
            referrer["config"] = descriptor.clone();
            door.refuses_referrer(&referrer).await;
            let mut tagged = door.tagged(DSSE, b"{}");
            tagged["config"] = descriptor;
            door.refuses_tagged(".att", &tagged).await;
        }
    }
}

#[tokio::test]
async fn an_image_config_type_with_a_parameter_or_spaces_is_not_served() {
    let door = Door::new().await;
    let config = b"{\"architecture\":\"amd64\"}";
    door.blob(config);
    for media_type in [
        "application/vnd.oci.image.config.v1+json; charset=utf-8",
        "application/vnd.oci.image.config.v1+json ",
        " application/vnd.oci.image.config.v1+json",
        "application/vnd.oci.image.config.v1+json;",
        "APPLICATION/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json;a=b",
    ] {
        let mut referrer = door.referrer(SPDX, SPDX, b"{}");
        referrer["config"] = described(media_type, config);
        door.refuses_referrer(&referrer).await;
        referrer.as_object_mut().unwrap().remove("artifactType");
        door.refuses_referrer(&referrer).await;
        let mut tagged = door.tagged(DSSE, b"{}");
        tagged["config"] = described(media_type, config);
        door.refuses_tagged(".att", &tagged).await;
    }
}

#[tokio::test]
async fn the_empty_config_with_other_content_is_not_served() {
    let door = Door::new().await;
    let config = b"{\"config\":{\"Cmd\":[\"/evil\"]}}";
    door.blob(config);
    let mut referrer = door.referrer(SPDX, SPDX, b"{}");
    referrer["config"] = described(EMPTY, config);
    door.refuses_referrer(&referrer).await;
    referrer["config"] = inlined(EMPTY, config);
    door.refuses_referrer(&referrer).await;
}

#[tokio::test]
async fn an_sbom_with_an_empty_layer_is_not_served() {
    let door = Door::new().await;
    let empty_gzip = "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4";
    for layer in [
        described("text/spdx", b""),
        json!({"mediaType": "text/spdx", "digest": empty_gzip, "size": 32}),
    ] {
        let mut tagged = door.tagged("text/spdx", b"");
        tagged["layers"] = json!([layer]);
        door.refuses_tagged(".sbom", &tagged).await;
        tagged["layers"].as_array_mut().unwrap().push(described("text/spdx", b"text"));
        door.blob(b"text");
        door.refuses_tagged(".sbom", &tagged).await;
        let mut referrer = door.referrer(SPDX, SPDX, b"");
        referrer["layers"] = json!([layer]);
        door.refuses_referrer(&referrer).await;
    }
}

#[tokio::test]
async fn an_artifact_with_image_layers_is_denied_even_if_they_are_text() {
    let door = Door::new().await;
    for media_type in [
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/octet-stream",
        "text/plain",
        "",
    ] {
        for suffix in [".sig", ".att", ".sbom"] {
            door.refuses_tagged(suffix, &door.tagged(media_type, b"only text")).await;
        }
    }
    // Of another kind than that of the tag.
    door.refuses_tagged(".sig", &door.tagged(DSSE, b"{}")).await;
    door.refuses_tagged(".att", &door.tagged("text/spdx", b"text")).await;
}

#[tokio::test]
async fn a_large_binary_layer_under_a_tag_is_not_served() {
    let door = Door::new().await;
    let mut archive = vec![b'x'; 14 << 20];
    archive[13 << 20] = 0;
    let mut binary = vec![b'x'; 14 << 20];
    binary[13 << 20] = 0xff;
    for layer in [archive, binary, vec![b'x'; (24 << 20) + 1]] {
        door.refuses_tagged(".sbom", &door.tagged("text/spdx", &layer)).await;
    }
    // Several of them.
    let mut many = door.tagged("text/spdx", b"one");
    let half = vec![b'x'; 13 << 20];
    door.blob(&half);
    many["layers"] = json!([described("text/spdx", &half), described("text/spdx", &half)]);
    door.refuses_tagged(".sbom", &many).await;
}

/// Engines with the layers of an image find them by these digests, and need only a config to run them with another
/// command.
#[tokio::test]
async fn a_config_under_a_tag_that_runs_something_is_not_served() {
    let door = Door::new().await;
    let layer = Digest::of(b"one").to_string();
    for config in [
        json!({"config": {"Entrypoint": ["/bin/sh", "-c", "evil"]}}),
        json!({"config": {"OnBuild": ["ADD https://evil.example /"]}}),
        json!({"container_config": {"Cmd": ["evil"]}}),
        json!({"Config": {"Cmd": ["evil"]}}),
        json!({"rootfs": {"type": "layers", "diff_ids": [layer]}}),
        json!({"unknown": 1}),
    ] {
        let config = config.to_string().into_bytes();
        door.blob(&config);
        for (suffix, layer) in [(".sig", SIMPLE_SIGNING), (".att", DSSE), (".sbom", "text/spdx")] {
            let mut tagged = door.tagged(layer, b"{}");
            tagged["config"] = described(OCI_CONFIG, &config);
            door.refuses_tagged(suffix, &tagged).await;
        }
    }
}

#[tokio::test]
async fn inline_data_is_refused_everywhere_and_in_every_spelling() {
    let door = Door::new().await;
    let good = door.referrer(SPDX, SPDX, b"{\"a\":1}");
    door.serves_referrer(&good).await;
    for (place, value) in [
        ("/layers/0", json!(inlined(SPDX, b"{\"a\":1}")["data"])),
        ("/layers/0", json!("")),
        ("/layers/0", Value::Null),
        ("/config", json!("e30=\n")),
        ("/subject", json!("e30=")),
        ("", json!("e30=")),
    ] {
        let mut bad = good.clone();
        bad.pointer_mut(place).unwrap()["data"] = value;
        door.refuses_referrer(&bad).await;
    }
    for name in ["Data", "DATA", "d\\u0061ta", "dat\u{61}", "URLs", "Platform"] {
        let text = good.to_string().replacen(
            "\"layers\":[{",
            &format!("\"layers\":[{{\"{name}\":\"e30=\","),
            1,
        );
        assert_ne!(text, good.to_string());
        door.refuses_text(&text).await;
    }
}

#[tokio::test]
async fn members_that_a_permissive_reader_would_merge_are_refused() {
    let door = Door::new().await;
    let hidden = door.hidden();
    let good = door.referrer(SPDX, SPDX, b"{\"a\":1}").to_string();
    let layer = described(OCI.as_str(), &hidden).to_string();
    for extra in [
        format!("\"layers\":[{layer}]"),
        format!("\"Layers\":[{layer}]"),
        format!("\"layer\u{17f}\":[{layer}]"),
        format!("\"layer\\u017f\":[{layer}]"),
        format!("\"manifests\":[{layer}]"),
        format!("\"MANIFESTS\":[{layer}]"),
        format!("\"blobs\":[{layer}]"),
        format!("\"Blobs\":[{layer}]"),
        format!("\"fsLayers\":[{{\"blobSum\":\"{}\"}}]", Digest::of(&hidden)),
        format!("\"config\":{layer}"),
        format!("\"\u{212a}ind\":{layer}"),
        format!("\"unknown\":{layer}"),
        format!("\"unknown\":[[{layer}]]"),
        "\"mediaType\":\"application/vnd.oci.image.index.v1+json\"".to_owned(),
        "\"MediaType\":\"application/vnd.docker.distribution.manifest.v2+json\"".to_owned(),
    ] {
        let first = good.replacen('{', &format!("{{{extra},"), 1);
        let last = format!("{},{extra}}}", &good[..good.len() - 1]);
        for text in [first, last] {
            door.refuses_text(&text).await;
        }
    }
    door.refuses_text(&format!("{good} {{\"layers\":[{layer}]}}")).await;
}

#[tokio::test]
async fn annotations_that_contain_a_descriptor_are_refused() {
    let door = Door::new().await;
    let hidden = door.hidden();
    let mut referrer = door.referrer(SPDX, SPDX, b"{\"a\":1}");
    referrer["annotations"] = json!({"a": described(OCI.as_str(), &hidden)});
    door.refuses_referrer(&referrer).await;
}

#[tokio::test]
async fn other_formats_of_manifests_are_not_artifacts() {
    let door = Door::new().await;
    let hidden = door.hidden();
    let subject = described(OCI.as_str(), &door.image);
    for (media_type, manifest) in [
        (
            "application/vnd.oci.artifact.manifest.v1+json",
            json!({"mediaType": "application/vnd.oci.artifact.manifest.v1+json", "artifactType": SPDX,
                   "blobs": [described(OCI.as_str(), &hidden)], "subject": subject}),
        ),
        (
            "application/vnd.cncf.oras.artifact.manifest.v1+json",
            json!({"mediaType": "application/vnd.cncf.oras.artifact.manifest.v1+json", "artifactType": SPDX,
                   "blobs": [inlined(OCI.as_str(), &hidden)], "subject": subject}),
        ),
        (
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            json!({"schemaVersion": 1, "name": "x", "tag": "y", "subject": subject,
                   "fsLayers": [{"blobSum": Digest::of(b"hidden").to_string()}], "history": []}),
        ),
    ] {
        let bytes = manifest.to_string().into_bytes();
        for suffix in [".sig", ".att", ".sbom", ""] {
            let digest = door.put_tagged(suffix, media_type, &bytes);
            assert_ne!(door.world.pull(door.tag(suffix)).await.status, 200, "{manifest}");
            assert_ne!(door.world.pull(digest).await.status, 200, "{manifest}");
        }
    }
    // podman treats a Docker manifest as an image, whatever its config.
    let mut docker = door.referrer(SPDX, SPDX, b"{}");
    docker["mediaType"] = json!(MediaType::DockerImage.as_str());
    let bytes = door.world.put(MediaType::DockerImage, &docker);
    assert_eq!(door.world.pull(Digest::of(&bytes)).await.status, 404);
}

#[tokio::test]
async fn an_artifact_of_an_artifact_must_be_listed_itself() {
    let door = Door::new().await;
    let hidden = door.hidden();
    let sbom = door.world.put(OCI, &door.referrer(SPDX, SPDX, b"{}"));
    let mut nested = door.referrer(IN_TOTO, DSSE, b"{}");
    nested["subject"] = described(OCI.as_str(), &sbom);
    door.serves_referrer(&nested).await;
    nested["layers"][0] = described(OCI.as_str(), &hidden);
    door.refuses_referrer(&nested).await;

    let attestation = door.tagged(DSSE, b"{\"a\":1}").to_string().into_bytes();
    door.put_tagged(".att", OCI.as_str(), &attestation);
    door.world.pull(door.tag(".att")).await.serves(&attestation);
    let of_att = format!("sha256-{}.att", Digest::of(&attestation).hex());
    let mut evil = door.tagged(DSSE, b"{\"a\":1}");
    evil["layers"] = json!([inlined(OCI.as_str(), &hidden)]);
    let digest = Digest::of(&door.world.put(OCI, &evil));
    let registry = door.world.registry.registry();
    registry.put_tag(&crate::whole_gate::app(), of_att.parse().unwrap(), digest);
    assert_eq!(door.world.pull(&of_att).await.status, 404);
}

#[tokio::test]
async fn an_artifact_with_a_wrong_subject_descriptor_is_not_served() {
    let door = Door::new().await;
    let unsigned = door.evil();
    for (member, value) in [
        ("digest", json!(Digest::of(&unsigned).to_string())),
        ("size", json!(door.image.len() + 1)),
        ("mediaType", json!(MediaType::OciIndex.as_str())),
        ("urls", json!(["https://evil.example"])),
    ] {
        let mut referrer = door.referrer(SPDX, SPDX, b"{}");
        referrer["subject"][member] = value;
        door.refuses_referrer(&referrer).await;
    }
}

#[tokio::test]
async fn a_chart_or_module_of_a_signed_image_is_not_served_by_default() {
    let door = Door::new().await;
    for (config, layer) in [
        (
            "application/vnd.cncf.helm.config.v1+json",
            "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
        ),
        ("application/vnd.wasm.config.v0+json", "application/wasm"),
        ("application/vnd.example.unknown", "application/vnd.example.layer"),
    ] {
        let mut referrer = door.referrer(config, layer, b"content");
        door.refuses_referrer(&referrer).await;
        referrer["config"] = described(config, b"{}");
        door.refuses_referrer(&referrer).await;
        referrer.as_object_mut().unwrap().remove("artifactType");
        let bytes = door.world.put(OCI, &referrer);
        let got = door.world.pull(Digest::of(&bytes)).await;
        got.is_absent("digest_not_signed");
        assert!(String::from_utf8_lossy(&got.body).contains("artifacts = "), "{got:?}");
    }
}

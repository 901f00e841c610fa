//! Attacks with artifacts of a signed image: manifests with a subject, and the tags `.sig`, `.att` and `.sbom`. They
//! point to a manifest of the attacker.

use bytes::Bytes;
use serde_json::{Value, json};

use super::attack::{Attack, Target, index, inline};
use super::runnable::{OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, OCTETS, described};
use crate::registry::{DOCKER_LIST, DOCKER_MANIFEST, digest_of};

const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const UNKNOWN_CONFIG: &str = "application/vnd.example.config.v1+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// An artifact for the signed image with an empty config, whose blob is `{}`.
pub(crate) fn artifact(target: &Target, layers: &[Value]) -> Value {
    about(&target.signed.descriptor(), &described(EMPTY, b"{}"), layers)
}

pub(crate) fn about(subject: &Value, config: &Value, layers: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers,
        "subject": subject})
}

fn tagged(config: &Value, layers: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers})
}

pub(crate) fn attacks(target: &Target) -> Vec<Attack> {
    [manifests_among_layers(target), other_places(target), other_types(target)].concat()
}

fn manifests_among_layers(target: &Target) -> Vec<Attack> {
    let mut all = Vec::new();
    for (name, kind) in [
        ("signature_with_an_inline_manifest", ".sig"),
        ("attestation_with_an_inline_manifest", ".att"),
        ("sbom_with_an_inline_manifest", ".sbom"),
    ] {
        let (attack, image) = Attack::new(name, target);
        let config = described(OCI_CONFIG, &image.config);
        let lure = tagged(&config, &[inline(OCI_MANIFEST, &image.manifest)]);
        all.push(attack.tagged(&target.tag(kind), &lure));
    }

    let (attack, image) = Attack::new("artifact_with_an_inline_manifest", target);
    let config = described(UNKNOWN_CONFIG, &image.config);
    let layer = inline(OCI_MANIFEST, &image.manifest);
    all.push(attack.by_digest(&about(&target.signed.descriptor(), &config, &[layer])));

    let twice = |image: &super::runnable::Runnable| {
        [described("text/plain", &image.manifest), image.descriptor()]
    };
    let (attack, image) = Attack::new("artifact_that_lists_a_blob_as_text_and_as_manifest", target);
    let config = described(UNKNOWN_CONFIG, &image.config);
    let lure = about(&target.signed.descriptor(), &config, &twice(&image));
    all.push(attack.by_digest(&lure).again());

    let (attack, image) =
        Attack::new("attestation_that_lists_a_blob_as_text_and_as_manifest", target);
    let config = described(OCI_CONFIG, &image.config);
    let lure = tagged(&config, &twice(&image));
    all.push(attack.tagged(&target.tag(".att"), &lure).again());
    all
}

fn other_places(target: &Target) -> Vec<Attack> {
    let mut all = Vec::new();
    let subject = target.signed.descriptor();
    let text = described("text/plain", b"text");

    let (attack, image) = Attack::new("config_of_a_manifest_type", target);
    let lure = about(&subject, &image.descriptor(), std::slice::from_ref(&text));
    all.push(attack.blob("text").by_digest(&lure));

    let (attack, image) = Attack::new("inline_config_of_a_manifest_type", target);
    let lure = about(&subject, &inline(OCI_MANIFEST, &image.manifest), std::slice::from_ref(&text));
    all.push(attack.blob("text").by_digest(&lure));

    let (attack, image) = Attack::new("artifact_about_an_artifact", target);
    let first = artifact(target, std::slice::from_ref(&text)).to_string();
    let subject_of_second = described(OCI_MANIFEST, first.as_bytes());
    let config = described(UNKNOWN_CONFIG, &image.config);
    let second = about(&subject_of_second, &config, &[inline(OCI_MANIFEST, &image.manifest)]);
    let attack = attack.blob("{}").blob("text").pushed(None, OCI_MANIFEST, first.into());
    all.push(attack.by_digest(&second));

    let (attack, image) = Attack::new("data_of_another_digest", target);
    let mut layer = inline(OCI_MANIFEST, &image.manifest);
    layer["digest"] = json!(target.digest());
    let config = described(UNKNOWN_CONFIG, &image.config);
    all.push(attack.by_digest(&about(&subject, &config, &[layer])));

    let (attack, image) = Attack::new("data_in_the_subject", target);
    let mut subject = target.signed.descriptor();
    subject["data"] = inline(OCI_MANIFEST, &image.manifest)["data"].clone();
    let config = described(UNKNOWN_CONFIG, &image.config);
    all.push(attack.blob("text").by_digest(&about(&subject, &config, &[text])));
    all
}

fn other_types(target: &Target) -> Vec<Attack> {
    let mut all = Vec::new();
    let subject = target.signed.descriptor();
    for (name, media_type) in [
        ("manifest_type_with_a_parameter", format!("{OCI_MANIFEST}; charset=utf-8")),
        ("manifest_type_in_upper_case", OCI_MANIFEST.to_uppercase()),
    ] {
        let (attack, image) = Attack::new(name, target);
        let config = described(UNKNOWN_CONFIG, &image.config);
        let layer = inline(&media_type, &image.manifest);
        all.push(attack.by_digest(&about(&subject, &config, &[layer])));
    }

    let (attack, image) = Attack::new("artifact_with_an_inline_docker_manifest", target);
    let config = described(DOCKER_CONFIG, &image.config);
    let docker = json!({"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": config,
        "layers": [described(DOCKER_LAYER, &image.layer)]})
    .to_string();
    let config = described(UNKNOWN_CONFIG, &image.config);
    let lure = about(&subject, &config, &[inline(DOCKER_MANIFEST, docker.as_bytes())]);
    all.push(attack.blob(docker).by_digest(&lure));

    for (name, media_type) in [
        ("attestation_with_an_inline_list", OCI_INDEX),
        ("attestation_with_an_inline_docker_list", DOCKER_LIST),
    ] {
        let (attack, image) = Attack::new(name, target);
        let mut list = index(&[inline(OCI_MANIFEST, &image.manifest)]);
        list["mediaType"] = json!(media_type);
        let list = Bytes::from(list.to_string());
        let config = described(OCI_CONFIG, &image.config);
        let lure = tagged(&config, &[inline(media_type, &list)]);
        all.push(attack.blob(list).tagged(&target.tag(".att"), &lure));
    }

    // An image's config with a media type that is not exactly that of a config, and a layer of octets.
    for (name, config_type) in [
        ("image_config_type_with_a_parameter", format!("{OCI_CONFIG}; charset=utf-8")),
        ("image_config_type_with_a_space_before_it", format!(" {OCI_CONFIG}")),
        ("image_config_type_with_a_space_behind_it", format!("{OCI_CONFIG} ")),
        ("image_config_type_of_docker_and_a_parameter", format!("{DOCKER_CONFIG};a=b")),
        (
            "image_config_type_of_another_version",
            "application/vnd.oci.image.config.v2+json".to_owned(),
        ),
    ] {
        let (attack, image) = Attack::new(name, target);
        let config = described(&config_type, &image.config);
        all.push(attack.by_digest(&about(&subject, &config, &[described(OCTETS, &image.layer)])));
    }

    let (attack, image) = Attack::new("layer_type_with_a_space_before_it", target);
    let config = described(&format!("{OCI_CONFIG};a=b"), &image.config);
    let layer = described(&format!(" {OCI_LAYER}"), &image.layer);
    all.push(attack.by_digest(&about(&subject, &config, &[layer])));

    let (mut attack, image) = Attack::new("layers_from_elsewhere", target);
    let config = described(&format!("{OCI_CONFIG};a=b"), &image.config);
    let mut layer = described(OCTETS, &image.layer);
    layer["urls"] = json!([format!("{}/{}", target.elsewhere, digest_of(&image.layer))]);
    attack.pushes.push(super::attack::Push::Elsewhere(image.layer.clone()));
    all.push(attack.by_digest(&about(&subject, &config, &[layer])));
    all
}

//! Attacks that look like legitimate signatures, attestations and SBOMs by every media type, and hide an image in the
//! content: in the config, where cosign writes an image's config or an artifact has its own; or in a layer, as an SBOM.
//! The gate may serve the bytes as an SBOM, but no client may unpack or run them.

use bytes::Bytes;
use serde_json::{Value, json};

use super::artifacts::about;
use super::attack::{Attack, Target};
use super::borrowed::borrower;
use super::runnable::{OCI_CONFIG, described};

const SPDX: &str = "application/spdx+json";
const BUILDKIT: &str = "application/vnd.docker.attestation.manifest.v1+json";
const IN_TOTO: &str = "application/vnd.in-toto+json";

pub(crate) fn attacks(target: &Target) -> Vec<Attack> {
    let mut all = Vec::new();
    for (name, kind, layer_type) in [
        (
            "signature_of_cosigns_types_with_another_config",
            ".sig",
            "application/vnd.dev.cosign.simplesigning.v1+json",
        ),
        (
            "attestation_of_cosigns_types_with_another_config",
            ".att",
            "application/vnd.dsse.envelope.v1+json",
        ),
        ("sbom_of_cosigns_types_with_another_config", ".sbom", "text/spdx+json"),
    ] {
        let (attack, config) = borrower(name, target);
        let layer = described(layer_type, b"{\"a\":\"text\"}");
        let lure = super::runnable::manifest(&config, &[layer]);
        let attack = attack.blob("{\"a\":\"text\"}");
        all.push(attack.tagged(&target.tag(kind), &parsed(&lure)));
    }

    // The config of an artifact may be of the artifact's own type.
    for (name, kind, layer_type) in [
        ("sbom_with_an_image_config_of_its_own_type", SPDX, SPDX),
        ("attestation_with_an_image_config_of_its_own_type", BUILDKIT, IN_TOTO),
        (
            "notation_signature_with_an_image_config_of_its_own_type",
            "application/vnd.cncf.notary.signature",
            "application/jose+json",
        ),
    ] {
        let (attack, config) = borrower(name, target);
        let attack = attack.blob("{\"a\":\"text\"}");
        let layer = described(layer_type, b"{\"a\":\"text\"}");
        all.push(attack.by_digest(&typed(target, kind, &described(kind, &config), &layer)));
    }

    // The same with the layer of the attacker's image.
    for (name, kind, layer_type) in [
        ("sbom_with_an_image_as_its_content", SPDX, SPDX),
        ("sbom_with_an_image_as_its_json", SPDX, "application/json"),
        ("attestation_with_an_image_as_its_content", BUILDKIT, IN_TOTO),
    ] {
        let (attack, image) = Attack::new(name, target);
        let layer = described(layer_type, &image.layer);
        all.push(attack.by_digest(&typed(target, kind, &described(kind, &image.config), &layer)));
    }

    let (attack, config) = borrower("listed_artifact_type_with_an_image_config", target);
    let layer = described(SPDX, b"{\"a\":\"text\"}");
    let attack = attack.blob("{\"a\":\"text\"}");
    all.push(attack.by_digest(&typed(target, SPDX, &described(OCI_CONFIG, &config), &layer)));
    all.into_iter().map(|attack| Attack { may_be_held: true, ..attack }).collect()
}

fn typed(target: &Target, kind: &str, config: &Value, layer: &Value) -> Value {
    let layers = std::slice::from_ref(layer);
    let mut lure = about(&target.signed.descriptor(), config, layers);
    lure["artifactType"] = json!(kind);
    lure
}

fn parsed(manifest: &Bytes) -> Value {
    serde_json::from_slice(manifest).unwrap()
}

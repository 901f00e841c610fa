//! Attacks that run the signed image's files with the attacker's command: the victim already has the layers and pulls
//! only the config.

use bytes::Bytes;
use serde_json::json;

use super::artifacts::about;
use super::attack::{Attack, Push, Target};
use super::runnable::{OCI_CONFIG, OCI_LAYER, OCTETS, config, described, manifest};
use crate::registry::digest_of;

pub(crate) fn attacks(target: &Target) -> Vec<Attack> {
    let mut all = Vec::new();
    for (name, kind, layer) in [
        ("sbom_with_one_empty_layer", ".sbom", ""),
        ("attestation_with_a_text_as_image_layer", ".att", "a text that is not an archive"),
        ("signature_with_a_text_as_image_layer", ".sig", "a text that is not an archive"),
    ] {
        let (attack, config) = borrower(name, target);
        let layer = Bytes::from(layer);
        let lure = manifest(&config, &[described(OCI_LAYER, &layer)]);
        let tag = target.tag(kind);
        let attack = attack.blob(layer);
        all.push(attack.pushed(Some(&tag), super::runnable::OCI_MANIFEST, lure));
    }

    let (attack, config) = borrower("the_signed_layers_with_another_config", target);
    let config = described(&format!("{OCI_CONFIG}; charset=utf-8"), &config);
    let layers = [described(OCTETS, &target.signed.layer)];
    all.push(attack.by_digest(&about(&target.signed.descriptor(), &config, &layers)));

    let (attack, config) = borrower("attestation_with_an_inline_config", target);
    let mut lure: serde_json::Value =
        serde_json::from_slice(&manifest(&config, &[described("text/plain", b"text")])).unwrap();
    lure["config"] = super::attack::inline(OCI_CONFIG, &config);
    lure["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
    all.push(attack.blob("text").tagged(&target.tag(".att"), &lure));
    all
}

/// An attack with the layers of the signed image, which is pulled first, and the attacker's config.
pub(super) fn borrower(name: &'static str, target: &Target) -> (Attack, Bytes) {
    let message = format!("unsigned command by {name}");
    let config = config(&digest_of(&target.signed.layer), &["echo", &message]);
    let pushes = vec![Push::Blob(config.clone())];
    let pulls = vec![format!("@{}", target.digest())];
    (Attack { name, message, pushes, pulls, may_be_held: false }, config)
}

//! The registry's value of a tag does not matter: the gate requests the signed digest.

use crate::engines::Client;
use crate::notary::Keys;
use crate::registry::{DOCKER_MANIFEST, digest_of};
use crate::site::{PROMPT, Site};

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![a_tag_moved_to_an_unsigned_image_still_serves_the_signed_one]
}

fn a_tag_moved_to_an_unsigned_image_still_serves_the_signed_one() {
    let site = Site::new(Keys::InServer);
    let signer = site.signer();
    let digest = signer.push(&site.image("library/app:1"), "signed");
    let other = signer.push_unsigned(&site.image("library/other:1"), "not signed");
    let gate = site.gate(&signer, PROMPT);
    gate.comes_to("library/app", "1", Ok(&digest));

    // The gate has seen it before, and (after a restart without its store) never.
    let stranger = signer.push_unsigned(&site.image("library/app:1"), "put there by a stranger");
    assert_eq!(digest_of(&site.registry.manifest("library/app", "1")), stranger);
    assert_ne!(stranger, digest);
    still_signed(&gate, &digest);
    let mut gate = gate;
    gate.stop();
    gate.forget();
    gate.restart();
    still_signed(&gate, &digest);

    // The reverse: the signed image is gone, and its tag names another one.
    let manifest = site.registry.manifest("library/other", &other);
    assert_eq!(site.registry.put("library/other", Some("2"), DOCKER_MANIFEST, &manifest), other);
    signer.sign_digest(&site.image("library/app"), "2", b"{\"nowhere\": true}");
    let answer = gate.manifest("library/app", "2");
    assert_eq!(answer.status, 404, "{}", answer.text());
}

fn still_signed(gate: &crate::gate::Gate, digest: &str) {
    let image = format!("{}/library/app:1", gate.name());
    for client in Client::all() {
        let said = client.pull(&image);
        assert!(said.ok(), "{}: {}", client.name(), said.all());
        assert_eq!(client.digest(&image), digest, "{}", client.name());
        if let Some(printed) = client.run(&image) {
            assert_eq!(printed, "signed", "{}", client.name());
        }
        client.forget(&image);
    }
}

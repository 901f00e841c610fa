//! Every client can pull a signed image, gets the signed digest, and can run it.

use crate::engines::Client;
use crate::notary::Keys;
use crate::site::{PROMPT, Site};

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        the_rig_itself_signs_and_pulls_without_a_gate,
        a_tag_signed_by_the_repository_key_arrives_and_runs,
        a_tag_signed_by_a_delegation_arrives_and_runs,
    ]
}

fn a_tag_signed_by_the_repository_key_arrives_and_runs() {
    let site = Site::new(Keys::InServer);
    let signer = site.signer();
    let digest = signer.push(&site.image("library/app:1"), "signed by the repository key");
    let roles = site.notary.signed(&site.image("library/app"), "snapshot");
    assert!(roles["meta"]["targets/releases"].is_null(), "{roles}");

    let gate = site.gate(&signer, PROMPT);
    for client in Client::all() {
        arrives_and_runs(
            &client,
            &gate.name(),
            "library/app:1",
            &digest,
            "signed by the repository key",
        );
        let by_digest = format!("library/app@{digest}");
        arrives_and_runs(
            &client,
            &gate.name(),
            &by_digest,
            &digest,
            "signed by the repository key",
        );
    }
}

fn a_tag_signed_by_a_delegation_arrives_and_runs() {
    let site = Site::new(Keys::InSigner);
    let signer = site.signer();
    signer.add("alice", &site.image("library/app"));
    let digest = signer.push(&site.image("library/app:1"), "signed by alice");
    let releases = site.notary.signed(&site.image("library/app"), "targets/releases");
    assert!(releases["targets"]["1"].is_object(), "{releases}");
    let inspected = signer.inspect(&site.image("library/app")).to_string();
    assert!(inspected.contains("alice"), "{inspected}");

    let gate = site.gate(&signer, PROMPT);
    for client in Client::all() {
        arrives_and_runs(&client, &gate.name(), "library/app:1", &digest, "signed by alice");
    }
}

fn arrives_and_runs(client: &Client, from: &str, image: &str, digest: &str, message: &str) {
    let image = format!("{from}/{image}");
    let said = client.pull(&image);
    assert!(said.ok(), "{} {image}: {}", client.name(), said.all());
    assert_eq!(client.digest(&image), digest, "{} {image}", client.name());
    if let Some(printed) = client.run(&image) {
        assert_eq!(printed, message, "{} {image}", client.name());
    }
    client.forget(&image);
}

/// If this test fails, the rig is broken, and the results of the other tests are meaningless.
fn the_rig_itself_signs_and_pulls_without_a_gate() {
    let site = Site::new(Keys::InServer);
    let signer = site.signer();
    let digest = signer.push(&site.image("library/app:1"), "no gate between");
    let inspected = signer.inspect(&site.image("library/app:1")).to_string();
    assert!(inspected.contains(digest.trim_start_matches("sha256:")), "{inspected}");
    assert_eq!(signer.root_key_id().len(), 64);
    for client in Client::all() {
        arrives_and_runs(
            &client,
            &site.registry.name(),
            "library/app:1",
            &digest,
            "no gate between",
        );
    }
}

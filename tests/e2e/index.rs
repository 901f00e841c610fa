//! The signature of a multi-platform index covers its children.

use crate::engines::Client;
use crate::notary::Keys;
use crate::registry::digest_of;
use crate::site::{PROMPT, Site};

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![only_children_of_a_signed_index_arrive_by_digest]
}

fn only_children_of_a_signed_index_arrive_by_digest() {
    let site = Site::new(Keys::InServer);
    let signer = site.signer();
    let repository = site.image("library/app");
    signer.push(&format!("{repository}:base"), "base");
    let here = signer.push_unsigned(&format!("{repository}:here"), "on this platform");
    let there = signer.push_unsigned(&format!("{repository}:there"), "on that platform");
    let stray = signer.push_unsigned(&format!("{repository}:stray"), "listed by an unsigned index");
    let list =
        site.registry.put_list("library/app", "multi", &[(&here, platform()), (&there, "s390x")]);
    site.registry.put_list("library/app", "strays", &[(&stray, platform()), (&here, "s390x")]);
    signer.sign_digest(&repository, "multi", &list);
    let mut gate = site.gate(&signer, PROMPT);

    let children_arrive = |gate: &crate::gate::Gate| {
        for child in [&here, &there] {
            let answer = gate.manifest("library/app", child);
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(digest_of(&answer.body), **child);
        }
        let answer = gate.manifest("library/app", &stray);
        assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (404, "digest_not_signed"));
        assert_eq!(gate.manifest("library/app", "strays").reason(), "tag_not_signed");
    };

    // A gate without earlier requests; after a restart, it has also lost the index from memory.
    children_arrive(&gate);
    gate.restart();
    children_arrive(&gate);
    gate.stop();
    gate.forget();
    gate.restart();

    for client in Client::all() {
        let image = format!("{}/library/app:multi", gate.name());
        let said = client.pull(&image);
        assert!(said.ok(), "{}: {}", client.name(), said.all());
        if let Some(printed) = client.run(&image) {
            assert_eq!(printed, "on this platform", "{}", client.name());
        }
        client.forget(&image);
        gate.stop();
        gate.forget();
        gate.restart();
    }
    children_arrive(&gate);
    assert_eq!(digest_of(&gate.manifest("library/app", "multi").body), digest_of(&list));
}

/// This machine's architecture, as Go names it.
fn platform() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

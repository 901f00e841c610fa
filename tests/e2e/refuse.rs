//! No client can pull an unsigned image, and each client shows the reason.

use std::collections::BTreeSet;

use crate::engines::{Client, engines};
use crate::notary::Keys;
use crate::process::{must, tool};
use crate::requests;
use crate::site::{PROMPT, Site};

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        unsigned_images_are_denied_to_every_client_with_the_reason,
        a_client_sees_only_signed_tags_and_cannot_push,
    ]
}

fn unsigned_images_are_denied_to_every_client_with_the_reason() {
    let site = Site::new(Keys::InServer);
    let signer = site.signer();
    let signed = signer.push(&site.image("library/app:signed"), "signed");
    let unsigned = signer.push_unsigned(&site.image("library/app:unsigned"), "not signed");
    signer.push_unsigned(&site.image("library/bare:1"), "in a repository without trust data");
    let gate = site.gate(&signer, PROMPT);
    gate.comes_to("library/app", "signed", Ok(&signed));

    let unsigned_digest = format!("library/app@{unsigned}");
    for (image, reason) in [
        ("library/app:unsigned", "tag_not_signed"),
        ("library/bare:1", "no_trust_data"),
        (&unsigned_digest, "digest_not_signed"),
    ] {
        let (repository, reference) =
            image.split_once('@').or_else(|| image.split_once(':')).unwrap();
        let path = format!("/v2/{repository}/manifests/{reference}");
        let (get, head) = (requests::get(&gate.url(&path)), requests::head(&gate.url(&path)));
        assert_eq!((get.status.as_u16(), get.reason().as_str()), (404, reason), "{}", get.text());
        assert_eq!((head.status.as_u16(), head.body.len()), (404, 0));
        assert_eq!(get.header("cache-control"), "no-store");

        let sentence = format!("remote trust data does not exist for {}", site.image(image));
        for client in Client::all() {
            let said = client.pull(&format!("{}/{image}", gate.name()));
            assert!(!said.ok(), "{} {image}: {}", client.name(), said.all());
            // containerd sends HEAD and shows no message.
            if !matches!(client, Client::Containerd(_)) {
                assert!(said.all().contains(&sentence), "{}: {}", client.name(), said.all());
            }
        }
    }
}

fn a_client_sees_only_signed_tags_and_cannot_push() {
    let site = Site::new(Keys::InServer);
    let signer = site.signer();
    signer.push(&site.image("library/app:1"), "signed");
    signer.push(&site.image("library/app:2"), "signed");
    signer.push_unsigned(&site.image("library/app:unsigned"), "not signed");
    let gate = site.gate(&signer, PROMPT);

    let list = |from: &str| {
        let mut skopeo = tool("skopeo", "skopeo");
        skopeo
            .args(["list-tags", "--tls-verify=false"])
            .arg(format!("docker://{from}/library/app"));
        let listed: serde_json::Value = serde_json::from_str(&must(&skopeo)).unwrap();
        let listed = listed["Tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap());
        // The registry lists them in the order of its folder.
        let sorted: BTreeSet<String> = listed.map(str::to_owned).collect();
        sorted.into_iter().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(list(&site.registry.name()), "1 2 unsigned");
    assert_eq!(list(&gate.name()), "1 2");

    let docker = engines();
    let image = format!("{}/library/app:mine", gate.name());
    docker.docker.build(&image, "pushed to the gate");
    let cli = docker.docker.cli();
    let said = cli.run(&["push", &image]);
    assert!(!said.ok(), "{}", said.all());
    cli.must(&["rmi", &image]);
    assert_eq!(list(&site.registry.name()), "1 2 unsigned");
}

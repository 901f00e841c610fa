//! Upstream is down: the gate serves pulled images to every client, and all other images are undecided.

use crate::engines::{Client, arrives_and_runs};
use crate::gate::{Clock, Gate};
use crate::notary::Keys;
use crate::process::free_port;
use crate::registry::digest_of;
use crate::site::{PROMPT, Site};

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![pulled_images_are_served_and_run_while_the_registry_and_notary_server_are_down,]
}

fn pulled_images_are_served_and_run_while_the_registry_and_notary_server_are_down() {
    let mut site = Site::new(Keys::InServer);
    let signer = site.signer();
    let pulled = signer.push(&site.image("library/app:pulled"), "pulled before");
    let not_pulled = signer.push(&site.image("library/app:not-pulled"), "not pulled before");
    signer.push_unsigned(&site.image("library/app:unsigned"), "signed by nobody");
    // At the same address before and after, so that clients request the same images.
    let config = site.config(&[&signer.root_key_id()], PROMPT);
    let mut gate = Gate::start(free_port(), "", &config, Clock::Machine);
    let image = format!("{}/library/app:pulled", gate.name());
    for client in &Client::all()[..2] {
        let said = client.pull(&image);
        assert!(said.ok(), "{}: {}", client.name(), said.all());
        client.forget(&image);
    }

    site.registry.kill();
    gate.kill_and_restart();
    arrives_and_runs(&image, &pulled, "pulled before");
    not_decided_or_absent(&gate, &not_pulled);

    site.notary.stop();
    gate.kill_and_restart();
    arrives_and_runs(&image, &pulled, "pulled before");
    not_decided_or_absent(&gate, &not_pulled);

    site.registry.start_again();
    gate.comes_to("library/app", "not-pulled", Ok(&not_pulled));
    for client in Client::all() {
        let image = format!("{}/library/app:not-pulled", gate.name());
        let said = client.pull(&image);
        assert!(said.ok(), "{}: {}", client.name(), said.all());
        client.forget(&image);
    }
}

fn not_decided_or_absent(gate: &Gate, not_pulled: &str) {
    for reference in ["not-pulled", not_pulled] {
        let answer = gate.manifest("library/app", reference);
        assert_eq!(answer.status, 503, "{reference}: {}", answer.text());
        assert_eq!(answer.reason(), "upstream_unreachable", "{}", answer.text());
        assert_ne!(answer.header("retry-after"), "");
    }
    let answer = gate.manifest("library/app", "unsigned");
    assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (404, "tag_not_signed"));
    assert!(answer.text().contains("remote trust data does not exist for"), "{}", answer.text());
    let never = digest_of(b"a blob that nobody ever asked for");
    let blob = crate::requests::get(&gate.url(&format!("/v2/library/app/blobs/{never}")));
    assert_eq!(blob.status, 503, "{}", blob.text());
    for (tag, sentence) in
        [("not-pulled", ""), ("unsigned", "remote trust data does not exist for")]
    {
        let docker = &Client::all()[0];
        let said = docker.pull(&format!("{}/library/app:{tag}", gate.name()));
        assert!(!said.ok() && said.all().contains(sentence), "{tag}: {}", said.all());
    }
}

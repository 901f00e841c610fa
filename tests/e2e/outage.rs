//! While the Notary server is down, verified metadata remains valid for `max_stale`, and no longer.

use std::time::{Duration, Instant};

use crate::engines::Client;
use crate::folder::Folder;
use crate::gate::{Clock, Gate};
use crate::notary::Keys;
use crate::registry::digest_of;
use crate::requests;
use crate::site::Site;

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        verified_images_are_served_for_max_stale_without_the_server_and_after_a_restart,
        verified_images_are_never_served_after_their_metadata_expired,
    ]
}

fn verified_images_are_served_for_max_stale_without_the_server_and_after_a_restart() {
    let mut site = Site::new(Keys::InServer);
    let signer = site.signer();
    let digest = signer.push(&site.image("library/app:1"), "verified once");
    let id = signer.root_key_id();
    let config = site.config(&[&id], "refresh = \"1s\"\nmax_stale = \"8s\"");
    let mut gate = Gate::start(0, "", &config, Clock::Machine);
    gate.comes_to("library/app", "1", Ok(&digest));

    site.notary.stop();
    let stopped = Instant::now();
    gate.kill_and_restart();
    let answer = gate.manifest("library/app", "1");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(digest_of(&answer.body), digest);
    // The gate verified it before the server stopped, so it must not use it after this time.
    let end = stopped + Duration::from_secs(8);
    let undecided = loop {
        let asked = Instant::now();
        let answer = gate.manifest("library/app", "1");
        if answer.status == 503 {
            break answer;
        }
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(asked < end, "served after max_stale");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert!(stopped.elapsed() > Duration::from_secs(4), "not served for max_stale");
    assert_eq!(undecided.reason(), "trust_unreachable", "{}", undecided.text());
    assert_eq!(undecided.json()["errors"][0]["code"], "UNAVAILABLE");
    assert_ne!(undecided.header("retry-after"), "");

    let by_head = requests::head(&gate.url("/v2/library/app/manifests/1"));
    assert_eq!(by_head.status, 503);
    for (repository, reference) in
        [("library/app", digest.as_str()), ("library/app", "2"), ("library/never-seen", "1")]
    {
        let answer = gate.manifest(repository, reference);
        assert_eq!(answer.status, 503, "{repository} {reference}: {}", answer.text());
    }
    for client in Client::all() {
        let said = client.pull(&format!("{}/library/app:1", gate.name()));
        assert!(!said.ok(), "{}: {}", client.name(), said.all());
    }
}

/// The test advances the clock of the gate (see `changes`), as if the server had been down for two weeks.
fn verified_images_are_never_served_after_their_metadata_expired() {
    let mut site = Site::new(Keys::InServer);
    let signer = site.signer();
    let digest = signer.push(&site.image("library/app:1"), "signed for two weeks");
    let id = signer.root_key_id();
    let folder = Folder::new("clock");
    let clock = Clock::File(folder.write("offset", "+0\n"));
    let config = site.config(&[&id], "refresh = \"1s\"\nmax_stale = \"1000h\"");
    let gate = Gate::start(0, "", &config, clock);
    gate.comes_to("library/app", "1", Ok(&digest));

    site.notary.stop();
    folder.write("offset", "+13d\n");
    gate.comes_to("library/app", "1", Ok(&digest));
    folder.write("offset", "+15d\n");
    gate.comes_to("library/app", "1", Err("trust_unreachable"));
    assert_eq!(gate.manifest("library/app", "1").status, 503);
}

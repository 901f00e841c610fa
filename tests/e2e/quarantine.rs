//! A disk that returns other bytes than were written: the gate quarantines the content and fetches it again.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::capacity::size_below;
use crate::engines::Client;
use crate::gate::Gate;
use crate::notary::Keys;
use crate::process::wait_for;
use crate::random::Random;
use crate::requests;
use crate::site::{OpenSite, PROMPT, Site};

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        a_corrupted_layer_is_quarantined_and_fetched_again,
        a_layer_of_another_length_is_never_served,
    ]
}

/// The file with the content of that digest, once it is stored.
pub(crate) fn kept(gate: &Gate, digest: &str) -> PathBuf {
    let hex = digest.trim_start_matches("sha256:");
    let path = gate.store().join("content/sha256").join(&hex[..2]).join(hex);
    // The file exists before the gate finds it.
    wait_for("content to be stored", Duration::from_secs(10), || {
        let known = gate.metric("countersign_store_bytes");
        (path.is_file() && known == size_below(&gate.store().join("content"))).then_some(())
    });
    path
}

fn a_corrupted_layer_is_quarantined_and_fetched_again() {
    let site = Site::new(Keys::InServer);
    let signer = site.signer();
    let digest = signer.push(&site.image("library/app:1"), "what was pushed");
    let config = site.config(&[&signer.root_key_id()], PROMPT);
    let gate = Gate::start_keeping(0, "scrub_every = \"1s\"", &config);
    let image = format!("{}/library/app:1", gate.name());
    let docker = &Client::all()[0];
    let said = docker.pull(&image);
    assert!(said.ok(), "{}", said.all());
    docker.forget(&image);

    let manifest: serde_json::Value =
        serde_json::from_slice(&site.registry.manifest("library/app", &digest)).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    let largest = layers.iter().max_by_key(|layer| layer["size"].as_u64()).unwrap();
    let layer = largest["digest"].as_str().unwrap();
    let file = OpenOptions::new().read(true).write(true).open(kept(&gate, layer)).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 54_321).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 54_321).unwrap();

    wait_for("the layer to be scrubbed", Duration::from_secs(20), || {
        (gate.metric("countersign_store_lost_total{fault=\"digest\"}") == 1).then_some(())
    });
    assert_eq!(fs::read_dir(gate.store().join("rotten")).unwrap().count(), 1);
    let reported = gate.log();
    assert!(
        reported.lines().any(|line| line.contains("WARN") && line.contains(layer)),
        "{reported}"
    );
    let said = docker.pull(&image);
    assert!(said.ok(), "{}", said.all());
    assert_eq!(docker.run(&image).unwrap(), "what was pushed");
    docker.forget(&image);
    assert_eq!(site.registry.asked("GET", &format!("/v2/library/app/blobs/{layer}")), 2);
}

fn a_layer_of_another_length_is_never_served() {
    let mut site = OpenSite::new();
    let layer = Random::new(31).content(1 << 20);
    let digest = site.registry.put_blob("library/app", layer.clone());
    let gate = site.gate("");
    let path = format!("/v2/library/app/blobs/{digest}");
    let pull = || requests::get(&gate.url(&path));
    let lengthen = |by: isize| {
        let file = OpenOptions::new().write(true).open(kept(&gate, &digest)).unwrap();
        file.set_len(layer.len().checked_add_signed(by).unwrap() as u64).unwrap();
    };
    assert_eq!(pull().body, layer);
    for (times, by) in [(2, 1), (3, -1)] {
        lengthen(by);
        assert_eq!(pull().body, layer);
        assert_eq!(site.registry.asked("GET", &path), times);
    }
    lengthen(-1);
    site.registry.kill();
    assert_eq!(pull().status, 503);
    site.registry.start_again();
    assert_eq!(pull().body, layer);
    assert_eq!(gate.metric("countersign_store_lost_total{fault=\"length\"}"), 3);
}

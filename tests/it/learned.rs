//! How `learn` finds signatures of images that were never verified.

use std::collections::BTreeMap;

use countersign::app::{App, Keeping};
use countersign::audit::reader::{Pulls, Tally, read};
use countersign::commands::learn::{Current, Repositories, look, propose};
use countersign::oci::Digest;
use serde_json::json;

use crate::attached::{MINE, layer, put_sig};
use crate::fake_registry::REGISTRY;
use crate::folder::Folder;
use crate::notary_repository::{Certificate, Key};
use crate::whole_gate::{APP, DEFAULTS, World, app};

/// The record of a pull of `manifest` without an endorsement.
fn event(tag: &str, manifest: &[u8]) -> String {
    let event = json!({
        "target": "countersign::audit", "message": "verdict", "verdict": "admitted",
        "image.registry": REGISTRY, "image.repository": APP, "image.reference": tag,
        "manifest.digest": Digest::of(manifest).to_string(),
    });
    format!("{event}\n")
}

#[tokio::test]
async fn learn_reports_signatures_of_every_scheme_for_unverified_images() {
    let mut world = World::with(DEFAULTS, "").await;
    let (by_notary, by_cosign) = (world.push("v1", "one"), world.push("v2", "two"));
    let unsigned = world.push("v3", "three");
    world.sign("v1", &by_notary);
    put_sig(&world.registry, &app(), &by_cosign, &[layer(&by_cosign, &MINE)]);

    let pin = world.signer.role("root").keys[0].canonical_id();
    let folder = Folder::new("learned");
    let file = folder.write(
        "current.toml",
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = \"store\"\n\
             [[upstream]]\nregistry = \"{REGISTRY}\"\nurl = \"{}\"\n\
             [[anchor]]\nname = \"team\"\nscheme = \"notaryv1\"\nurl = \"{}\"\nroot_keys = [\"{pin}\"]\n\
             [[rule]]\nimages = [\"{REGISTRY}/**\"]\nmode = \"allow\"\nreason = \"a test\"\n",
            world.registry.url("127.0.0.1"),
            world.notary.url(),
        ),
    );
    let current = Current::load(&file).unwrap();
    let (mut pulls, mut tally) = (Pulls::default(), Tally::default());
    let log = event("v1", &by_notary) + &event("v2", &by_cosign) + &event("v3", &unsigned);
    read(log.as_bytes(), &mut pulls, &mut tally).unwrap();
    let seen = Repositories::of(&pulls);
    let app = App::new(&current.config, world.clock.clone(), Keeping::OnlyRead).unwrap();
    let found = look(&seen, &current, &app.gate()).await;
    let of: BTreeMap<&str, &Vec<String>> =
        found.iter().map(|(image, found)| (image.reference(), found)).collect();
    assert_eq!(*of["v1"], ["signed by team [notaryv1] as v1"]);
    let beside = "team [notaryv1] signs other images of this repository";
    assert_eq!(*of["v2"], ["a signature of cosign (.sig)", beside]);
    assert_eq!(*of["v3"], [beside]);

    let text = propose(&seen, Some(&current), &found);
    assert!(
        text.contains("#   v2: 1 pulls\n#     found: a signature of cosign (.sig)\n"),
        "{text}"
    );
    let proposed = folder.write("proposed.toml", &text);
    let proposed = Current::load(&proposed).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    assert!(proposed.config.policy.is_empty(), "{text}");
    assert_eq!(proposed.config.anchors.len(), 1);
}

#[tokio::test]
async fn another_certificate_of_the_same_root_key_is_not_reported_as_unsigned() {
    let mut world = World::with(DEFAULTS, "").await;
    let manifest = world.push_signed("v1", "one");
    let pinned = Certificate::named("registry.example.com/library/other").of(&Key::named("root"));
    let folder = Folder::new("learned-other");
    folder.write("root.pem", &pinned.public);
    let file = folder.write(
        "current.toml",
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = \"store\"\n\
             [[upstream]]\nregistry = \"{REGISTRY}\"\nurl = \"{}\"\n\
             [[anchor]]\nname = \"team\"\nscheme = \"notaryv1\"\nurl = \"{}\"\nroot_keys = [\"root.pem\"]\n\
             [[rule]]\nimages = [\"{REGISTRY}/**\"]\nmode = \"audit\"\nrequire = [\"team\"]\n",
            world.registry.url("127.0.0.1"),
            world.notary.url(),
        ),
    );
    let current = Current::load(&file).unwrap();
    let (mut pulls, mut tally) = (Pulls::default(), Tally::default());
    read(event("v1", &manifest).as_bytes(), &mut pulls, &mut tally).unwrap();
    let app = App::new(&current.config, world.clock.clone(), Keeping::OnlyRead).unwrap();
    let found = look(&Repositories::of(&pulls), &current, &app.gate()).await;
    let found = found.values().next().unwrap();
    let words = format!(
        "signed with the same root key in a different certificate: write \"{}\" into `root_keys` of team",
        pinned.canonical_id()
    );
    assert_eq!(*found, [words]);
}

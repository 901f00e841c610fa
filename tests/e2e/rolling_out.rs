//! Rollout from an audit rule to an enforced rule, and an exemption in an emergency.

use crate::engines::Client;
use crate::folder::Folder;
use crate::gate::{Clock, Gate};
use crate::notary::Keys;
use crate::process::Said;
use crate::registry::digest_of;
use crate::site::{PROMPT, Site};

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        an_exempted_image_is_served_with_its_children_until_the_exemption_ends,
        audited_pulls_can_be_replayed_and_learned_from,
    ]
}

fn an_exempted_image_is_served_with_its_children_until_the_exemption_ends() {
    let site = Site::new(Keys::InServer);
    let signer = site.signer();
    let repository = site.image("library/app");
    signer.push(&format!("{repository}:signed"), "signed");
    let here = signer.push_unsigned(&format!("{repository}:here"), "served by an exemption");
    let there = signer.push_unsigned(&format!("{repository}:there"), "on another platform");
    let platform = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let list =
        site.registry.put_list("library/app", "multi", &[(&here, platform), (&there, "s390x")]);
    let digest = digest_of(&list);
    let gate = site.gate(&signer, PROMPT);
    gate.comes_to("library/app", "multi", Err("tag_not_signed"));

    let image = format!("{repository}@{digest}");
    let exempt =
        |more: &[&str]| gate.command(&[&["exempt", &image], more].concat(), &gate.config());
    let said = exempt(&["--reason", "OPS-12", "--for", "2h"]);
    assert!(said.ok(), "{}", said.all());
    gate.comes_to("library/app", "multi", Ok(&digest));
    for client in Client::all() {
        for asked in ["library/app:multi".to_owned(), format!("library/app@{digest}")] {
            let asked = format!("{}/{asked}", gate.name());
            let said = client.pull(&asked);
            assert!(said.ok(), "{} {asked}: {}", client.name(), said.all());
            if let Some(printed) = client.run(&asked) {
                assert_eq!(printed, "served by an exemption", "{}", client.name());
            }
            client.forget(&asked);
        }
    }
    let why = gate.why(&format!("{repository}:multi"), &[]);
    assert!(why.ok() && why.stdout.contains("OPS-12"), "{}", why.all());
    assert_eq!(gate.metric("countersign_exemptions_in_force"), 1);
    assert!(gate.metric("countersign_exempted_total") > 0);
    assert!(gate.log().contains("an exemption is in force"));

    let said = exempt(&["--end"]);
    assert!(said.ok(), "{}", said.all());
    gate.comes_to("library/app", "multi", Err("tag_not_signed"));
    gate.comes_to("library/app", &here, Err("digest_not_signed"));

    let said = exempt(&["--reason", "OPS-12", "--for", "4s"]);
    assert!(said.ok(), "{}", said.all());
    gate.comes_to("library/app", "multi", Ok(&digest));
    gate.comes_to("library/app", "multi", Err("tag_not_signed"));
    assert_eq!(gate.metric("countersign_exemptions_in_force"), 0);
    for client in Client::all() {
        let said = client.pull(&format!("{}/library/app:multi", gate.name()));
        assert!(!said.ok(), "{}: {}", client.name(), said.all());
    }
}

fn audited_pulls_can_be_replayed_and_learned_from() {
    let site = Site::new(Keys::InServer);
    let signer = site.signer();
    signer.push(&site.image("library/app:1"), "signed");
    signer.push_unsigned(&site.image("library/app:2"), "not signed");
    signer.push_unsigned(&site.image("library/bare:1"), "in a repository without trust data");
    let enforced = site.config(&[&signer.root_key_id()], PROMPT);
    let audited =
        enforced.replace("require = [\"team\"]", "require = [\"team\"]\nmode = \"audit\"");
    let gate = Gate::start(0, "", &audited, Clock::Machine);
    for client in Client::all() {
        for image in ["library/app:1", "library/app:2", "library/bare:1"] {
            let image = format!("{}/{image}", gate.name());
            let said = client.pull(&image);
            assert!(said.ok(), "{} {image}: {}", client.name(), said.all());
            client.forget(&image);
        }
    }
    let would =
        |reason| gate.metric(&format!("countersign_would_refuse_total{{reason=\"{reason}\"}}"));
    assert!(would("tag_not_signed") > 0 && would("no_trust_data") > 0);

    let folder = Folder::new("rolling-out");
    let log = folder.write("audit.log", gate.log());
    let log = log.to_str().unwrap();
    let whole = |config: &str| {
        format!("[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = \"store\"\n\n{config}")
    };
    let replay = |config: &str| {
        let config = folder.write("new.toml", config);
        gate.command(&["replay", log], &config)
    };
    let refuses_what_is_not_signed = |said: &Said| {
        let would_refuse =
            |image: &str| said.stdout.contains(&format!("{}\n  WOULD DENY", site.image(image)));
        assert!(would_refuse("library/app:2") && would_refuse("library/bare:1"), "{}", said.all());
        assert!(!would_refuse("library/app:1"), "{}", said.all());
    };
    refuses_what_is_not_signed(&replay(&whole(&enforced)));
    assert!(replay(&whole(&audited)).ok());

    let learned = gate.command(&["learn", log], &gate.config());
    assert!(learned.ok(), "{}", learned.all());
    let text = &learned.stdout;
    assert!(text.contains(&format!("images = [\"{}\"]", site.image("library/app"))), "{text}");
    assert!(text.contains(&format!("# images = [\"{}\"]", site.image("library/bare"))), "{text}");
    let proposed = folder.write("proposed.toml", text);
    let checked = gate.command(&["check"], &proposed);
    assert!(checked.ok(), "{}\n{text}", checked.all());
    refuses_what_is_not_signed(&replay(text));
}

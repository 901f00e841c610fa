//! Leaving Docker Content Trust: the inventory of what Notary v1 signs, and the script that signs it again.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use countersign::app::{App, Keeping};
use countersign::audit::reader::{Pulls, Tally, read};
use countersign::commands::content_trust::{Exported, Format, Inventory, Scope, export, take};
use countersign::oci::Digest;
use serde_json::{Value, json};

use crate::attached::{MINE, OTHER, layer, put_sig};
use crate::fake_registry::{Fault, REGISTRY, respond};
use crate::folder::Folder;
use crate::notary_repository::{GUN, Key, RELEASES};
use crate::sigstore::Sigstore;
use crate::whole_gate::{APP, Setup, World, app};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A gate with a Notary v1 anchor and a cosign anchor, and these rules.
fn setup(rules: &str) -> Setup {
    let anchors = "[[anchor]]\nname = \"team\"\nscheme = \"notaryv1\"\nurl = \"NOTARY\"\n\
                   root_keys = [\"PIN\"]\n\
                   [[anchor]]\nname = \"ci\"\nscheme = \"cosign\"\nkeys = [\"mine.pub\"]\n\
                   trusted_root = \"root.json\"\n";
    Setup::new(format!("{anchors}{}", rules.replace("REGISTRY", REGISTRY)))
        .file("mine.pub", MINE.pem())
        .file("root.json", Sigstore::shared().trusted_root().to_string())
}

const BY_TEAM: &str = "[[rule]]\nimages = [\"REGISTRY/**\"]\nrequire = [\"team\"]\n";

/// The inventory that a separate process would take, of the trust memory and the rules, and of `more`.
async fn inventory(world: &World, more: impl FnOnce(&mut Scope, &App)) -> Inventory {
    let app = App::new(&world.config(), world.clock.clone(), Keeping::OnlyRead).unwrap();
    let (gate, mut scope) = (app.gate(), Scope::default());
    more(&mut scope, &app);
    scope.add_rules(&gate);
    scope.add_memory(&gate, &[REGISTRY.parse().unwrap()]).await;
    take(&gate, scope, &[Arc::from("ci")]).await
}

/// The same, as JSON.
async fn listed(world: &World) -> Value {
    json!(inventory(world, |_, _| {}).await)
}

fn named(scope: &mut Scope, app: &App) {
    scope.add_named(&app.gate(), &format!("{REGISTRY}/{APP}").parse().unwrap());
}

/// The entry of that tag in the first repository.
fn of<'a>(inventory: &'a Value, tag: &str) -> &'a Value {
    let tags = inventory["repositories"][0]["tags"].as_array().unwrap();
    tags.iter()
        .find(|listed| listed["tag"] == tag)
        .unwrap_or_else(|| panic!("{tag}: {inventory:#}"))
}

fn exported(inventory: &Inventory, world: &World, format: Format) -> Exported {
    export(inventory, format, DAY, world.clock.now())
}

/// A world with one digest that both anchors sign, and one that only Notary v1 signs.
async fn two() -> (World, Vec<u8>, Vec<u8>) {
    let mut world = World::of(setup(BY_TEAM)).await;
    let both = world.push_signed("both", "one");
    put_sig(&world.registry, &app(), &both, &[layer(&both, &MINE)]);
    let alone = world.push_signed("alone", "two");
    (world, both, alone)
}

#[tokio::test]
async fn the_inventory_lists_the_trust_memory_and_other_signatures_of_the_same_digests() {
    let (mut world, both, alone) = two().await;
    world.signer.delegate("targets/alice", Key::named("alice"));
    world.signer.tag("targets/alice", "both", &both);
    world.publish();
    // The gate remembers the repository; no rule names it.
    world.pull("both").await.serves(&both);
    let inventory = listed(&world).await;
    let repository = &inventory["repositories"][0];
    assert_eq!(repository["repository"], APP);
    assert_eq!((&repository["anchor"], &repository["status"]), (&json!("team"), &json!("signed")));
    assert!(repository["fetched"].is_string() && repository["expires"].is_string());
    let tag = of(&inventory, "both");
    assert_eq!(tag["digest"], Digest::of(&both).to_string());
    assert_eq!(tag["other"], json!({ "status": "signed", "anchors": ["ci"] }));
    let signers = tag["signers"].as_array().unwrap();
    let roles: Vec<&Value> = signers.iter().map(|signer| &signer["role"]).collect();
    assert_eq!(roles, ["targets/alice", RELEASES]);
    assert_eq!(signers[0]["keys"], json!([Key::named("alice").canonical_id()]));
    let tag = of(&inventory, "alone");
    assert_eq!((&tag["status"], &tag["other"]["status"]), (&json!("verified"), &json!("none")));
    assert_eq!(tag["digest"], Digest::of(&alone).to_string());
    let totals = &inventory["totals"];
    assert_eq!((&totals["digests"], &totals["with_another_signature"]), (&json!(2), &json!(1)));
    assert_eq!(totals["by_notaryv1_alone"], 1);

    let inventory = self::inventory(&world, |_, _| {}).await;
    assert_eq!(inventory.exit_status(), 0);
    let text = inventory.to_string();
    for words in
        ["1 of 2 digests have another signature", "other   ci", "other   NONE", "targets/alice"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    let csv = inventory.to_csv();
    assert_eq!(csv.lines().count(), 3, "{csv}");
    assert!(csv.contains(&format!("\"both\",\"{}\",\"team\"", Digest::of(&both))), "{csv}");
}

#[tokio::test]
async fn a_digest_with_two_tags_counts_once_and_a_signature_by_a_stranger_does_not_count() {
    let (mut world, both, alone) = two().await;
    world.sign("again", &both);
    put_sig(&world.registry, &app(), &alone, &[layer(&alone, &OTHER)]);
    let inventory = json!(inventory(&world, named).await);
    assert_eq!(inventory["totals"]["digests"], 2, "{inventory:#}");
    let other = &of(&inventory, "alone")["other"];
    assert_eq!(other["status"], "none");
    assert!(other["because"].as_str().unwrap().contains("no valid signature"), "{other}");
}

#[tokio::test]
async fn repositories_come_from_rules_logs_and_arguments() {
    let names = "[[rule]]\nimages = [\"REGISTRY/library/app:*\"]\nrequire = [\"team\"]\n";
    let mut world = World::of(setup(names)).await;
    world.push_signed("v1", "one");
    assert_eq!(of(&listed(&world).await, "v1")["status"], "verified");

    let mut world = World::of(setup(BY_TEAM)).await;
    world.push_signed("v1", "one");
    assert_eq!(listed(&world).await["repositories"], json!([]), "nothing names the repository yet");
    assert_eq!(of(&json!(inventory(&world, named).await), "v1")["status"], "verified");
    let log = json!({
        "target": "countersign::audit", "message": "verdict", "verdict": "absent",
        "image.registry": REGISTRY, "image.repository": APP, "image.reference": "v1",
    });
    let (mut pulls, mut tally) = (Pulls::default(), Tally::default());
    read(format!("{log}\n").as_bytes(), &mut pulls, &mut tally).unwrap();
    let from_log = |scope: &mut Scope, app: &App| scope.add_pulls(&app.gate(), &pulls, tally);
    let inventory = inventory(&world, from_log).await;
    assert_eq!((inventory.repositories.len(), inventory.exit_status()), (1, 0));
    tally.unreadable = 1;
    let from_log = |scope: &mut Scope, app: &App| scope.add_pulls(&app.gate(), &pulls, tally);
    let inventory = self::inventory(&world, from_log).await;
    assert_eq!(inventory.exit_status(), 4, "an unreadable line may name another repository");
}

#[tokio::test]
async fn a_search_that_fails_is_undecided_and_never_no_other_signature() {
    let (world, both, alone) = two().await;
    world.pull("both").await.serves(&both);
    let tag = format!("sha256-{}.sig", Digest::of(&alone).hex());
    world.registry.hook(move |asked| {
        asked.path.ends_with(&tag).then(|| Fault::Respond(respond(500, "broken")))
    });
    let inventory = inventory(&world, |_, _| {}).await;
    assert_eq!(inventory.exit_status(), 4);
    let json = json!(inventory);
    assert_eq!(of(&json, "alone")["other"]["status"], "undecided", "{json:#}");
    assert_eq!(json["totals"]["by_notaryv1_alone"], 0);
    assert!(inventory.to_string().contains("other   UNDECIDED"), "{inventory}");
    assert!(inventory.to_csv().contains("\"undecided\",\"\"\n"), "{}", inventory.to_csv());
}

#[tokio::test]
async fn a_notary_server_that_does_not_answer_is_undecided_and_never_not_signed() {
    let (mut world, both, _) = two().await;
    world.pull("both").await.serves(&both);
    world.notary.only_says(500);
    // Older than `max_stale`.
    world.pass(2 * DAY);
    let inventory = inventory(&world, |_, _| {}).await;
    assert_eq!(inventory.exit_status(), 4);
    assert_eq!(json!(inventory)["repositories"][0]["status"], "undecided");
    assert!(inventory.to_string().contains("UNDECIDED"), "{inventory}");
    let exported = exported(&inventory, &world, Format::List);
    assert_eq!((exported.text.as_str(), exported.exit_status()), ("", 4));
    world.stop().await;
}

#[tokio::test]
async fn a_damaged_trust_memory_is_shown_as_unreadable() {
    let (world, both, _) = two().await;
    world.pull("both").await.serves(&both);
    let memory = world.files("memory.json").remove(0);
    world.break_file(&memory, b"not json");
    let inventory = inventory(&world, |_, _| {}).await;
    assert_eq!((inventory.repositories.len(), inventory.exit_status()), (0, 4));
    let text = inventory.to_string();
    assert!(text.contains("UNREADABLE") && text.contains("memory.json"), "{text}");
    assert!(inventory.to_csv().contains("\"unreadable\""), "{}", inventory.to_csv());
    assert_eq!(exported(&inventory, &world, Format::Cosign).exit_status(), 4);
}

#[tokio::test]
async fn a_trust_memory_of_another_repository_is_not_believed() {
    let (world, both, _) = two().await;
    world.pull("both").await.serves(&both);
    let memory = world.files("memory.json").remove(0);
    let text = std::fs::read_to_string(&memory).unwrap();
    world.break_file(&memory, text.replace(GUN, &format!("{REGISTRY}/other")).as_bytes());
    let inventory = inventory(&world, |_, _| {}).await;
    assert_eq!((inventory.repositories.len(), inventory.exit_status()), (0, 4), "{inventory}");
}

#[tokio::test]
async fn the_export_contains_exactly_the_digests_that_verify() {
    let (mut world, both, alone) = two().await;
    let denied = world.push_signed("denied", "three");
    let gone = world.put_image("four");
    world.sign("gone", &gone);
    world.sign("also", &alone);
    let deny = format!(
        "{BY_TEAM}[[rule]]\nimages = [\"REGISTRY/{APP}@{}\"]\nmode = \"deny\"\n",
        Digest::of(&denied)
    );
    world.configure(setup(&deny));
    let path = format!("/manifests/{}", Digest::of(&gone));
    world
        .registry
        .hook(move |asked| asked.path.ends_with(&path).then(|| Fault::Respond(respond(404, "{}"))));
    let inventory = inventory(&world, named).await;
    let list = exported(&inventory, &world, Format::List);
    let mut expected =
        [&both, &alone].map(|manifest| format!("{REGISTRY}/{APP}@{}\n", Digest::of(manifest)));
    expected.sort();
    assert_eq!(list.text, expected.concat());
    assert_eq!(list.exit_status(), 3, "a rule denies one");
    assert!(list.left_out.iter().any(|why| why.contains(":gone: gone")), "{:?}", list.left_out);

    let script = exported(&inventory, &world, Format::Cosign).text;
    assert!(script.lines().any(|line| line == "set -eu"), "{script}");
    let line =
        format!("cosign sign \"$@\" '{REGISTRY}/{APP}@{}'  # alone also", Digest::of(&alone));
    assert!(script.lines().any(|it| it == line), "{line}: {script}");
    for tag in ["denied", "gone"] {
        let with = script.lines().filter(|line| line.contains(&format!(":{tag}: ")));
        assert!(
            with.clone().count() == 1 && with.clone().all(|it| it.starts_with('#')),
            "{script}"
        );
    }
}

#[tokio::test]
async fn the_script_gives_every_digest_and_its_own_arguments_to_the_program() {
    let (world, both, alone) = two().await;
    let inventory = inventory(&world, named).await;
    let folder = Folder::new("leaving");
    for (format, program) in [(Format::Cosign, "cosign"), (Format::Notation, "notation")] {
        let exported = exported(&inventory, &world, format);
        assert_eq!((exported.exit_status(), exported.digests), (0, 2));
        let script = folder.write("sign.sh", &exported.text);
        let run = format!("{program}() {{ printf '<%s>' \"$@\"; echo; }}; . {}", script.display());
        let output =
            Command::new("sh").args(["-c", &run, "sh", "--key", "a key"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let mut expected = [&both, &alone].map(|manifest| {
            format!("<sign><--key><a key><{REGISTRY}/{APP}@{}>\n", Digest::of(manifest))
        });
        expected.sort();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected.concat());
    }
}

#[tokio::test]
async fn trust_data_older_than_the_maximum_age_is_not_exported() {
    let (world, both, _) = two().await;
    world.pull("both").await.serves(&both);
    world.notary.goes_down();
    world.pass(DAY / 2);
    let inventory = inventory(&world, |_, _| {}).await;
    assert_eq!(json!(inventory)["repositories"][0]["status"], "signed", "within `max_stale`");
    let new = export(&inventory, Format::List, DAY, world.clock.now());
    assert_eq!((new.digests, new.exit_status()), (2, 0));
    let old = export(&inventory, Format::List, DAY / 4, world.clock.now());
    assert_eq!((old.text.as_str(), old.exit_status()), ("", 4));
}

#[tokio::test]
async fn trust_data_that_does_not_verify_is_refused_and_not_exported() {
    let (world, both, _) = two().await;
    world.pull("both").await.serves(&both);
    // Beyond the expiry of everything; the server still answers.
    world.pass(20 * 365 * DAY);
    let inventory = inventory(&world, |_, _| {}).await;
    let json = json!(inventory);
    let repository = &json["repositories"][0];
    assert_eq!(
        (&repository["status"], &repository["reason"]),
        (&json!("refused"), &json!("expired"))
    );
    assert_eq!(exported(&inventory, &world, Format::List).exit_status(), 3);
}

#[tokio::test]
async fn messages_about_dockers_own_server_name_its_shutdown() {
    let docker = setup(BY_TEAM);
    let tables = docker.tables.replace("NOTARY", "https://notary.docker.io");
    // No request leaves this machine.
    let tables = tables.replace("root_keys", "proxy = \"http://127.0.0.1:9\"\nroot_keys");
    let world = World::of(Setup { tables, ..docker }).await;
    world.push("v1", "one");
    let words = "notary.docker.io shuts down on 2026-12-08: see docs/leaving-content-trust.md";
    let denied = world.pull("v1").await;
    assert_eq!(denied.status, 503);
    let body = String::from_utf8_lossy(&denied.body);
    assert!(body.contains(words), "{body}");
    let why = world.why("v1").await.to_text();
    assert!(why.contains(&format!("    NOTICE  {words}")), "{why}");
    let warnings = countersign::commands::check::warnings(&world.config(), world.clock.now());
    assert!(warnings.contains(&format!("team: {words}")), "{warnings:?}");
}

#[tokio::test]
async fn a_metric_counts_admissions_by_notary_v1_alone() {
    let either = "[[rule]]\nimages = [\"REGISTRY/**\"]\nany_of = [\"team\", \"ci\"]\n";
    let mut world = World::of(setup(either)).await;
    let both = world.push_signed("both", "one");
    put_sig(&world.registry, &app(), &both, &[layer(&both, &MINE)]);
    let alone = world.push_signed("alone", "two");
    world.pull("both").await.serves(&both);
    let metric = "countersign_notaryv1_alone_total{anchor=\"team\"}";
    assert!(!world.metrics().await.contains(metric));
    world.pull("alone").await.serves(&alone);
    assert!(world.metrics().await.contains(&format!("{metric} 1\n")));
}

//! Frozen anchors: `countersign trust freeze` writes what still verifies, and a gate without a Notary server serves it until
//! the day that its configuration names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign::app::{App, Keeping};
use countersign::clock::Timestamp;
use countersign::commands::check;
use countersign::commands::content_trust::{Format, Scope, export, take};
use countersign::commands::freeze::{Frozen, NotFrozen, Order};
use countersign::config::Config;
use countersign::oci::Digest;
use countersign::toml_reader::Document;
use countersign::trust::Anchor;

use crate::config::problems;
use crate::fake_registry::{Fault, REGISTRY};
use crate::folder::Folder;
use crate::notary_repository::{GUN, Key, NotaryRepository, RELEASES, in_days};
use crate::whole_gate::{APP, Setup, World};

const DAY: Duration = Duration::from_secs(86_400);
/// Within a year of the clock of the tests, which is 2026-11-22.
const UNTIL: &str = "2027-06-30";

/// Freezes the trust data of the anchor of `world`.
async fn freeze(world: &World, until: Option<&str>, output: &Path) -> Result<Frozen, NotFrozen> {
    let (config, clock) = (world.config(), world.clock.clone());
    let now = clock.now();
    let app = App::new(&config, clock, Keeping::OnlyRead).unwrap();
    let gate = app.gate();
    let Some(Anchor::NotaryV1(anchor)) = gate.trust().anchor("team") else { panic!() };
    let end = |day: &str| Timestamp::parse_rfc3339(&format!("{day}T23:59:59Z")).unwrap();
    let (store, more) = (&*config.store.path, BTreeSet::new());
    Order { anchor, store, more, until: until.map(end), output }.freeze(now).await
}

/// The configuration of a gate with the frozen archive in `file`.
fn frozen(file: &Path, sha256: &str, until: &str) -> Setup {
    Setup::new(format!(
        r#"
        [[anchor]]
        name = "team"
        scheme = "notaryv1"
        frozen = {file:?}
        frozen_sha256 = "{sha256}"
        until = {until}
        root_keys = ["PIN"]

        [[rule]]
        images = ["{REGISTRY}/**"]
        require = ["team"]
        "#
    ))
}

/// A world whose signed image `v1` was pulled and frozen, and whose Notary server is gone since.
async fn after_the_shutdown() -> (World, Vec<u8>, Folder, PathBuf, String) {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    let folder = Folder::new("frozen");
    let file = folder.join("frozen.tar");
    let frozen = freeze(&world, Some(UNTIL), &file).await.unwrap();
    assert_eq!((frozen.guns.len(), frozen.left_out.len()), (1, 0), "{frozen:?}");
    assert_eq!(frozen.until, UNTIL);
    assert_eq!(frozen.sha256, Digest::of(&fs::read(&file).unwrap()).hex());
    let text = frozen.to_text();
    for line in [format!("frozen_sha256 = \"{}\"", frozen.sha256), format!("until = {UNTIL}")] {
        assert!(text.lines().any(|found| found == line), "{text}");
    }
    world.notary.hook(|_| Some(Fault::Silence));
    (world, manifest, folder, file, frozen.sha256)
}

#[tokio::test]
async fn a_frozen_anchor_serves_what_was_signed_until_its_end() {
    let (mut world, manifest, _folder, file, sha256) = after_the_shutdown().await;
    world.restart_with(frozen(&file, &sha256, UNTIL)).await;
    world.pull("v1").await.serves(&manifest);
    // The timestamp expires after 14 days.
    world.pass(60 * DAY);
    world.pull("v1").await.serves(&manifest);
    let metrics = world.metrics().await;
    let line = metrics.lines().find(|line| line.starts_with("countersign_trust_frozen_seconds"));
    let line = line.unwrap_or_else(|| panic!("{metrics}"));
    assert!(line.starts_with("countersign_trust_frozen_seconds{anchor=\"team\"} "), "{line}");
    world.pass(161 * DAY);
    world.pull("v1").await.is_refused("expired");
    let refused = String::from_utf8(world.pull("v1").await.body.to_vec()).unwrap();
    assert!(refused.contains("the archive is frozen and ended at 2027-06-30"), "{refused}");
}

/// A configuration that is not in use has no metric.
#[tokio::test]
async fn the_metric_of_a_frozen_anchor_follows_the_configuration_in_use() {
    let (mut world, _, _folder, file, sha256) = after_the_shutdown().await;
    let has_metric =
        async |world: &World| world.metrics().await.contains("countersign_trust_frozen_seconds{");
    let server = frozen(&file, &sha256, UNTIL).tables.replace("frozen = ", "url = \"NOTARY\" # ");
    let server = server.lines().filter(|line| !line.contains("_sha256") && !line.contains("until"));
    let server = server.collect::<Vec<_>>().join("\n");
    let mut reloader = world.reloader();
    assert!(!has_metric(&world).await);
    world.configure(frozen(&file, &sha256, UNTIL));
    assert!(reloader.reload().await);
    assert!(has_metric(&world).await);
    world.configure(Setup::new(format!("{server}\nunknown = 1\n")));
    assert!(!reloader.reload().await);
    assert!(has_metric(&world).await);
    world.configure(Setup::new(server));
    assert!(reloader.reload().await);
    assert!(!has_metric(&world).await);
}

/// `trust inspect` and `trust inventory` read the same archive as the gate.
#[tokio::test]
async fn a_frozen_archive_lists_every_signer_and_when_it_was_fetched() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.signer.delegate("targets/alice", Key::named("alice"));
    world.signer.tag("targets/alice", "v1", &manifest);
    world.publish();
    world.pull("v1").await.serves(&manifest);
    let (folder, fetched) = (Folder::new("frozen"), world.clock.now());
    let file = folder.join("frozen.tar");
    let archive = freeze(&world, Some(UNTIL), &file).await.unwrap();
    world.notary.hook(|_| Some(Fault::Silence));
    world.restart_with(frozen(&file, &archive.sha256, UNTIL)).await;
    world.pass(60 * DAY);
    let (now, config) = (world.clock.now(), world.config());
    let app = App::new(&config, world.clock.clone(), Keeping::OnlyRead).unwrap();
    let gate = app.gate();
    let Some(Anchor::NotaryV1(anchor)) = gate.trust().anchor("team") else { panic!() };
    let survey = anchor.survey(&GUN.parse().unwrap(), now).await.unwrap();
    let roles: Vec<String> = survey.signed.iter().map(|(role, _)| role.to_string()).collect();
    assert_eq!(roles, ["targets", "targets/alice", RELEASES]);
    let mut scope = Scope::default();
    scope.add_named(&gate, &format!("{REGISTRY}/{APP}").parse().unwrap());
    let inventory = take(&gate, scope, &[]).await;
    assert_eq!(inventory.repositories[0].fetched, Some(fetched));
    let exported = export(&inventory, Format::List, DAY, now);
    assert_eq!((exported.digests, exported.exit_status()), (0, 4), "{:?}", exported.left_out);
    let exported = export(&inventory, Format::List, 61 * DAY, now);
    assert_eq!((exported.digests, exported.exit_status()), (1, 0), "{:?}", exported.left_out);
}

#[tokio::test]
async fn a_manifest_from_a_frozen_archive_has_a_warning_with_its_end() {
    let (mut world, manifest, _folder, file, sha256) = after_the_shutdown().await;
    world.restart_with(frozen(&file, &sha256, UNTIL)).await;
    let answer = world.pull("v1").await;
    answer.serves(&manifest);
    let start =
        "299 - \"countersign: the signatures of team are a frozen archive, which counts until ";
    let warning = answer.header("warning");
    assert!(warning.starts_with(&format!("{start}{UNTIL}T")), "{warning}");
}

#[tokio::test]
async fn a_restart_after_the_timestamp_expired_changes_nothing() {
    let (mut world, manifest, _folder, file, sha256) = after_the_shutdown().await;
    world.restart_with(frozen(&file, &sha256, UNTIL)).await;
    world.pull("v1").await.serves(&manifest);
    world.pass(60 * DAY);
    world.restart().await;
    world.pull("v1").await.serves(&manifest);
    world.restart_afresh().await;
    world.pull("v1").await.serves(&manifest);
}

#[tokio::test]
async fn a_tag_that_a_frozen_archive_does_not_contain_is_denied_with_the_reason() {
    let (mut world, _, _folder, file, sha256) = after_the_shutdown().await;
    world.restart_with(frozen(&file, &sha256, UNTIL)).await;
    world.push("v2", "two");
    let denied = world.pull("v2").await;
    denied.is_absent("tag_not_signed");
    let text = String::from_utf8(denied.body.to_vec()).unwrap();
    for words in ["does not contain the tag v2", "frozen since 2026-11-22", "learns nothing"] {
        assert!(text.contains(words), "{text}");
    }
    let why = world.why("v2").await.to_text();
    assert!(why.contains("frozen.tar, frozen since 2026-11-22"), "{why}");
    assert!(why.contains("until 2027-06-30"), "{why}");
    let admitted = world.why("v1").await.to_text();
    assert!(admitted.contains("capture FROZEN since 2026-11-22"), "{admitted}");
    assert!(!why.contains("DOCKER_CONTENT_TRUST"), "{why}");
}

/// The memory of the server's newer trust data holds for the archive.
#[tokio::test]
async fn a_frozen_archive_that_is_older_than_the_trust_memory_is_a_rollback() {
    let mut world = World::new().await;
    let old = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&old);
    let folder = Folder::new("frozen");
    let file = folder.join("frozen.tar");
    let archive = freeze(&world, Some(UNTIL), &file).await.unwrap();
    let new = world.push_signed("v1", "one, fixed");
    world.pass(DAY / 24);
    world.pull("v1").await.serves(&new);
    world.restart_with(frozen(&file, &archive.sha256, UNTIL)).await;
    world.pull("v1").await.is_refused("rollback");
}

#[tokio::test]
async fn freeze_uses_the_trust_memory_if_the_server_does_not_answer() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    world.notary.hook(|_| Some(Fault::Drop));
    let folder = Folder::new("frozen");
    let file = folder.join("frozen.tar");
    let archive = freeze(&world, None, &file).await.unwrap();
    // At most one year, although the trust data would count for longer.
    assert_eq!(archive.until, "2027-11-22");
    world.restart_with(frozen(&file, &archive.sha256, UNTIL)).await;
    world.pull("v1").await.serves(&manifest);
}

#[tokio::test]
async fn freeze_reports_what_it_cannot_freeze_and_why() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    let folder = Folder::new("frozen");
    let file = folder.join("frozen.tar");
    world.notary.remove(GUN);
    let Err(NotFrozen::Nothing(left_out)) = freeze(&world, None, &file).await else { panic!() };
    assert_eq!(left_out.len(), 1);
    assert_eq!(left_out[0].gun, GUN);
    assert!(left_out[0].because.contains("trust_removed"), "{left_out:?}");
    assert!(!file.exists());
    let targets = world.signer.role_mut("targets");
    (targets.expires, targets.version) = (in_days(100), 2);
    world.publish();
    let Err(NotFrozen::Nothing(left_out)) = freeze(&world, Some(UNTIL), &file).await else {
        panic!()
    };
    assert!(left_out[0].because.contains("expires on 2027-03-02"), "{left_out:?}");
    let archive = freeze(&world, None, &file).await.unwrap();
    assert_eq!(archive.until, "2027-03-01");
}

#[tokio::test]
async fn check_warns_before_a_frozen_anchor_ends() {
    let (mut world, _, _folder, file, sha256) = after_the_shutdown().await;
    world.setup = frozen(&file, &sha256, UNTIL);
    let config = world.config();
    let about = |days: u32| {
        let now = world.clock.now().plus(days * DAY);
        let warnings = check::warnings(&config, now);
        let found = warnings.into_iter().find(|warning| warning.contains("frozen archive end"));
        found.unwrap_or_default()
    };
    assert_eq!(about(160), "");
    assert!(about(161).contains("ends on 2027-06-30, in 59 days"), "{}", about(161));
    assert!(about(221).contains("ended on 2027-06-30"), "{}", about(221));
}

/// Every error of a frozen anchor, with the key that causes it.
#[tokio::test]
async fn a_frozen_archive_that_cannot_be_used_is_a_config_error() {
    let (world, _, folder, file, sha256) = after_the_shutdown().await;
    let pin = world.signer.role("root").keys[0].canonical_id();
    let other = NotaryRepository::empty("registry.example.com/library/other");
    let read = |lines: &str| {
        let text = format!(
            r#"
            [server]
            listen = "127.0.0.1:0"
            [store]
            path = "store"
            [[upstream]]
            registry = "{REGISTRY}"
            [[anchor]]
            name = "team"
            scheme = "notaryv1"
            {lines}
            [[rule]]
            images = ["{REGISTRY}/**"]
            require = ["team"]
            "#
        );
        let document = Document::from_text(&folder.join("c.toml"), text);
        match Config::read_at(&document, world.clock.now()) {
            Ok(_) => "none".to_owned(),
            Err(problems) => {
                let problems = problems.0.iter().map(|one| format!("{}: {}", one.key, one.message));
                problems.collect::<Vec<_>>().join("\n")
            }
        }
    };
    let pins = format!("root_keys = [\"{pin}\"]");
    let keys = |file: &Path, sha256: &str, until: &str| {
        format!("{pins}\nfrozen = {file:?}\nfrozen_sha256 = \"{sha256}\"\nuntil = {until}")
    };
    let good = keys(&file, &sha256, UNTIL);
    assert_eq!(read(&good), "none");
    let zeros = "0".repeat(64);
    let image = folder.write("image.tar", b"no archive");
    let of_image = Digest::of(b"no archive").hex();
    for (lines, expected) in [
        (keys(&file, &zeros, UNTIL), "anchor.frozen_sha256: "),
        (keys(&file, &zeros, UNTIL), sha256.as_str()),
        (keys(&file, "abc", UNTIL), "in 64 hex digits"),
        (keys(&file, &sha256, "2027-11-24"), "anchor.until: it is more than one year away"),
        (keys(&folder.join("nothing.tar"), &sha256, UNTIL), "anchor.frozen: "),
        (keys(&image, &of_image, UNTIL), "anchor.frozen: it is not a bundle"),
        (format!("{good}\nurl = \"https://notary.example.com\""), "anchor.url: a frozen archive"),
        (format!("{good}\nmax_age = \"90d\""), "anchor.max_age: a frozen archive"),
        (format!("{pins}\nfrozen = {file:?}"), "set `until` as well"),
        (format!("{pins}\nfrozen = {file:?}"), "set `frozen_sha256` as well"),
        (format!("{pins}\nuntil = {UNTIL}"), "anchor.until: this key belongs to `frozen`"),
        (
            good.replace(&pin, &other.role("root").keys[0].id()),
            "anchor.frozen: none of its trust data verifies",
        ),
    ] {
        let found = read(&lines);
        assert!(found.contains(expected), "{lines}\n{found}");
    }
}

/// The archive of a repository whose targets expire in 100 days.
#[tokio::test]
async fn until_is_no_later_than_the_trust_data_allows() {
    let mut world = World::new().await;
    world.signer.role_mut("targets").expires = in_days(100);
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    let folder = Folder::new("frozen");
    let file = folder.join("frozen.tar");
    let archive = freeze(&world, None, &file).await.unwrap();
    world.setup = frozen(&file, &archive.sha256, &archive.until);
    world.config();
    world.setup = frozen(&file, &archive.sha256, "2027-03-02");
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.config()));
    let why = failed.unwrap_err().downcast::<String>().unwrap();
    assert!(why.contains("the latest day is 2027-03-01"), "{why}");
}

#[test]
fn exporters_and_max_age_belong_together() {
    let read = |lines: &str| {
        let text = format!(
            "[[anchor]]\nname = \"team\"\nscheme = \"notaryv1\"\nurl = \"https://notary.example.com\"\n\
             trust_on_first_use = true\n{lines}\n"
        );
        let found = problems(&text);
        let found = found.into_iter().filter(|one| one.key.starts_with("anchor."));
        found.map(|one| format!("{}: {}", one.key, one.message)).collect::<Vec<_>>().join("\n")
    };
    for (lines, expected) in [
        ("exporters = [\"keys/bridge.pub\"]", "anchor.exporters: set `max_age` as well"),
        ("max_age = \"90d\"", "anchor.max_age: Notary v1 does not prove signing times"),
        ("exporters = []\nmax_age = \"90d\"", "anchor.exporters: the list is empty"),
        ("exporters = [\"none.pub\"]\nmax_age = \"90d\"", "anchor.exporters: "),
        ("exporters = [\"none.pub\"]\nmax_age = \"0s\"", "anchor.max_age: with zero"),
    ] {
        let found = read(lines);
        assert!(found.contains(expected), "{lines}\n{found}");
    }
    assert_eq!(read(""), "");
}

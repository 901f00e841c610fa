//! Recorded pulls under another configuration: `replay` reports what a gate with that configuration would do.

use std::time::Duration;

use countersign::app::{App, Keeping};
use countersign::audit::reader::{Pulls, Tally, read};
use countersign::commands::replay::{Replayed, replay};
use countersign::exemptions::{ExemptionFile, Said};
use countersign::oci::{Digest, Reference};
use serde_json::Value;

use crate::attached::{MINE, layer, put_sig};
use crate::audit::Page;
use crate::fake_registry::{Fault, REGISTRY, hosted, respond};
use crate::sigstore::Sigstore;
use crate::whole_gate::{APP, Setup, World, app};

const TEAM: &str = "[[anchor]]\nname = \"team\"\nscheme = \"notaryv1\"\nurl = \"NOTARY\"\n\
                    root_keys = [\"PIN\"]\n";
const CI: &str = "[[anchor]]\nname = \"ci\"\nscheme = \"cosign\"\nkeys = [\"mine.pub\"]\n\
                  trusted_root = \"root.json\"\n";

fn setup(lines: &str) -> Setup {
    let rule = format!("[[rule]]\nimages = [\"{REGISTRY}/**\"]\n{lines}\n");
    Setup::new([TEAM, CI, &rule].concat())
        .file("mine.pub", MINE.pem())
        .file("root.json", Sigstore::shared().trusted_root().to_string())
}

const ALLOW: &str = "mode = \"allow\"\nreason = \"a test\"";
const BY_TEAM: &str = "require = [\"team\"]";
const BY_CI: &str = "require = [\"ci\"]";

/// The log of pulls of each of `references`.
async fn log(world: &World, references: &[String]) -> String {
    let page = Page::default();
    let _here = page.is_written();
    for reference in references {
        world.pull(reference).await;
    }
    page.all().iter().map(|event| format!("{event}\n")).collect()
}

/// The result of replaying `log` under a rule with those lines.
async fn replayed(world: &mut World, log: &str, lines: &str) -> (Value, Replayed) {
    let (mut pulls, mut tally) = (Pulls::default(), Tally::default());
    read(log.as_bytes(), &mut pulls, &mut tally).unwrap();
    world.setup = setup(lines);
    let app = App::new(&world.config(), world.clock.clone(), Keeping::OnlyRead).unwrap();
    let mut done = 0;
    let replayed = replay(&app.gate(), pulls, tally, |so_far| done = so_far).await;
    let json = serde_json::to_value(&replayed).unwrap();
    assert_eq!(json["images"].as_array().unwrap().len(), done);
    (json, replayed)
}

/// The entry of the image with that reference.
fn of(json: &Value, reference: impl std::fmt::Display) -> &Value {
    let end = reference.to_string();
    let images = json["images"].as_array().unwrap();
    images.iter().find(|image| image["image"].as_str().unwrap().ends_with(&end)).unwrap()
}

fn texts(references: &[&str]) -> Vec<String> {
    references.iter().map(|reference| (*reference).to_owned()).collect()
}

#[tokio::test]
async fn replay_refuses_unsigned_pulls_and_admits_signed_ones() {
    let mut world = World::of(setup(ALLOW)).await;
    let child = world.put_image("amd64");
    let index = world.put_index(&[&child]);
    world.put_tag("signed", &index);
    world.sign("signed", &index);
    world.push("v1", "one");
    let child = Digest::of(&child).to_string();
    let log = log(&world, &texts(&["signed", &child, "v1", "v1"])).await;
    let (json, replayed) = replayed(&mut world, &log, BY_TEAM).await;
    assert_eq!((&json["served"], &json["would_refuse"]), (&4.into(), &2.into()), "{json}");
    let v1 = of(&json, ":v1");
    assert_eq!((&v1["change"], &v1["pulls"]), (&"would_refuse".into(), &2.into()));
    assert_eq!((&v1["then"], &v1["now"]), (&"admitted".into(), &"absent".into()));
    assert_eq!(v1["reason"], "tag_not_signed");
    assert_eq!(of(&json, ":signed")["change"], "same");
    assert_eq!(of(&json, &child)["change"], "same");
    assert_eq!(replayed.exit_status(), 3);
    let text = replayed.to_string();
    assert!(text.contains("would deny 2 of 4 served pulls: 1 of 3 images"), "{text}");
    assert!(text.contains(":v1\n  WOULD DENY, 2 pulls"), "{text}");
    let (changes, alone) = text.split_once(" depend on Notary v1 alone (team):").unwrap();
    assert!(!changes.contains(":signed") && alone.contains(":signed"), "{text}");
}

#[tokio::test]
async fn replay_does_not_accept_an_image_that_upstream_lost() {
    let audit = "mode = \"audit\"\nrequire = [\"team\"]";
    for lines in [ALLOW, audit] {
        let mut world = World::of(setup(ALLOW)).await;
        world.push("v1", "one");
        let log = log(&world, &texts(&["v1"])).await;
        world.restart_without_content().await;
        world.registry.hook(|_| Some(Fault::Respond(respond(404, ""))));
        let (json, _) = replayed(&mut world, &log, lines).await;
        let v1 = of(&json, ":v1");
        assert_eq!((&v1["now"], &v1["change"]), (&"absent".into(), &"gone".into()), "{json}");
    }
}

#[tokio::test]
async fn replay_judges_a_tag_by_its_recorded_digest_and_reports_that_it_moved() {
    let mut world = World::of(setup(ALLOW)).await;
    let signed = world.push("v1", "signed");
    put_sig(&world.registry, &app(), &signed, &[layer(&signed, &MINE)]);
    world.push("v2", "unsigned");
    let log = log(&world, &texts(&["v1", "v2"])).await;
    let moved = world.push("v1", "moved and unsigned");
    let also = world.push("v2", "moved and signed");
    put_sig(&world.registry, &app(), &also, &[layer(&also, &MINE)]);
    let (json, replayed) = replayed(&mut world, &log, BY_CI).await;
    let (v1, v2) = (of(&json, ":v1"), of(&json, ":v2"));
    assert_eq!((&v1["change"], &v2["change"]), (&"same".into(), &"would_refuse".into()));
    assert_eq!(v1["digest"], Digest::of(&signed).to_string());
    assert_eq!(v1["moved_to"], Digest::of(&moved).to_string());
    assert!(replayed.to_string().contains(&format!("the tag now has {}", Digest::of(&also))));
}

#[tokio::test]
async fn a_tag_signed_as_another_digest_would_be_served_as_that_digest() {
    let mut world = World::of(setup(ALLOW)).await;
    let signed = world.push_signed("v1", "signed");
    world.push("v1", "moved by somebody");
    let log = log(&world, &texts(&["v1"])).await;
    let (json, replayed) = replayed(&mut world, &log, BY_TEAM).await;
    assert_eq!((&json["other_digest"], &json["would_refuse"]), (&1.into(), &0.into()), "{json}");
    assert_eq!(replayed.exit_status(), 0);
    // As in the gate's log.
    world.restart().await;
    world.pull("v1").await.serves(&signed);
}

#[tokio::test]
async fn replay_reports_undecided_pulls_separately_and_ranks_refusals_higher() {
    let mut world = World::of(setup(ALLOW)).await;
    world.push("v1", "one");
    let log = log(&world, &texts(&["v1"])).await;
    world.notary.goes_down();
    let (json, open) = replayed(&mut world, &log, BY_TEAM).await;
    assert_eq!(
        (&json["undecided"], of(&json, ":v1")["now"].as_str()),
        (&1.into(), Some("undecided"))
    );
    assert_eq!(open.exit_status(), 4);
    let both = format!("{BY_TEAM}\n[[rule]]\nimages = [\"{REGISTRY}/{APP}:v2\"]\nmode = \"deny\"");
    let more =
        log.clone() + &log.replace("\"image.reference\":\"v1\"", "\"image.reference\":\"v2\"");
    let (json, both) = replayed(&mut world, &more, &both).await;
    assert_eq!((&json["undecided"], &json["would_refuse"]), (&1.into(), &1.into()));
    assert_eq!(both.exit_status(), 3);
}

#[tokio::test]
async fn a_denied_pull_that_would_now_be_admitted_is_not_a_refusal() {
    let mut world = World::of(setup(BY_TEAM)).await;
    world.push("v1", "one");
    let log = log(&world, &texts(&["v1", "v1"])).await;
    let (json, replayed) = replayed(&mut world, &log, ALLOW).await;
    assert_eq!((&json["served"], &json["would_serve"]), (&0.into(), &2.into()));
    let v1 = of(&json, ":v1");
    assert_eq!((&v1["then"], &v1["then_reason"]), (&"absent".into(), &"no_trust_data".into()));
    assert_eq!(replayed.exit_status(), 0);
}

#[tokio::test]
async fn replay_counts_pulls_under_an_audit_rule_as_served() {
    let mut world = World::of(setup(ALLOW)).await;
    let image = world.push("v1", "one");
    let by_digest = Digest::of(&image).to_string();
    let log = log(&world, &texts(&["v1", &by_digest])).await;
    let audit = format!("{BY_TEAM}\nmode = \"audit\"");
    let (json, replayed) = replayed(&mut world, &log, &audit).await;
    assert_eq!((&json["would_record"], &json["would_refuse"]), (&2.into(), &0.into()));
    assert_eq!(of(&json, ":v1")["reason"], "no_trust_data");
    assert_eq!(replayed.exit_status(), 0);
}

#[tokio::test]
async fn replay_reports_deleted_images_as_gone_and_not_refused() {
    let mut world = World::of(setup(ALLOW)).await;
    let image = world.push("v1", "one");
    put_sig(&world.registry, &app(), &image, &[layer(&image, &MINE)]);
    let log = log(&world, &texts(&["v1"])).await;
    let gone = Digest::of(&image).to_string();
    world.registry.hook(move |asked| {
        let is_it = asked.path.ends_with(&gone) || asked.path.ends_with("/v1");
        is_it.then(|| Fault::Respond(respond(404, "")))
    });
    let (json, replayed) = replayed(&mut world, &log, BY_CI).await;
    assert_eq!((&json["gone"], &json["would_refuse"]), (&1.into(), &0.into()));
    assert_eq!(replayed.exit_status(), 0);
}

#[tokio::test]
async fn a_current_exemption_hides_no_refusal() {
    let mut world = World::of(setup(ALLOW)).await;
    let image = world.push("v1", "one");
    let by_digest = Digest::of(&image).to_string();
    let log = log(&world, &texts(&["v1", &by_digest])).await;
    let made = world.clock.now();
    let said = Said {
        repository: hosted(app()),
        digest: Digest::of(&image),
        reason: "OPS-12".to_owned(),
        by: "alice".to_owned(),
        made,
        until: made.plus(Duration::from_secs(60)),
    };
    ExemptionFile::below(&world.store()).add(said).unwrap();
    let (json, _) = replayed(&mut world, &log, BY_TEAM).await;
    assert_eq!(json["would_refuse"], 2);
}

#[tokio::test]
async fn replay_agrees_with_the_gate() {
    let mut world = World::of(setup(ALLOW)).await;
    let child = world.put_image("amd64");
    let index = world.put_index(&[&child]);
    world.put_tag("index", &index);
    put_sig(&world.registry, &app(), &index, &[layer(&index, &MINE)]);
    let unsigned = world.push("v1", "one");
    let references = [
        "index".to_owned(),
        "v1".to_owned(),
        Digest::of(&index).to_string(),
        Digest::of(&unsigned).to_string(),
    ];
    let log = log(&world, &references).await;
    for lines in [BY_CI, BY_TEAM, ALLOW, "mode = \"deny\"", "any_of = [\"ci\", \"team\"]"] {
        let (json, _) = replayed(&mut world, &log, lines).await;
        world.restart().await;
        for reference in &references {
            let served = world.pull(reference).await.status == 200;
            let separator = match reference.parse::<Reference>().unwrap() {
                Reference::Tag(_) => ':',
                Reference::Digest(_) => '@',
            };
            let reported = of(&json, format!("{separator}{reference}"))["now"] == "admitted";
            assert_eq!(reported, served, "{lines} {reference}: {json}");
        }
    }
}

#[tokio::test]
async fn replay_names_the_images_that_depend_on_notary_v1_alone() {
    let mut world = World::of(setup(ALLOW)).await;
    let both = world.push_signed("both", "one");
    put_sig(&world.registry, &app(), &both, &[layer(&both, &MINE)]);
    world.push_signed("alone", "two");
    let log = log(&world, &texts(&["both", "alone", "alone"])).await;
    let (json, replayed) = replayed(&mut world, &log, "any_of = [\"team\", \"ci\"]").await;
    assert_eq!(json["by_notaryv1_alone"], 2, "{json}");
    assert_eq!(of(&json, ":both")["anchors"], serde_json::json!(["team", "ci"]));
    assert_eq!(of(&json, ":both")["by_notaryv1_alone"], false);
    assert_eq!(of(&json, ":alone")["by_notaryv1_alone"], true);
    let text = replayed.to_string();
    let words = format!(
        "2 pulls of 1 images depend on Notary v1 alone (team):\n  {REGISTRY}/{APP}:alone\n"
    );
    assert!(text.contains(&words), "{text}");
    let (json, replayed) = self::replayed(&mut world, &log, BY_CI).await;
    assert_eq!((&json["by_notaryv1_alone"], &json["would_refuse"]), (&0.into(), &2.into()));
    assert!(!replayed.to_string().contains("Notary v1 alone"), "{replayed}");
}

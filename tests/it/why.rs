//! `countersign why` for signed names: it explains every rule and mode, the digest of a tag, the signer, and what
//! would change the decision.

use std::process::Command;
use std::time::Duration;

use countersign::clock::Timestamp;
use countersign::commands::why::Explanation;
use countersign::oci::Digest;
use serde_json::{Value, json};

use crate::fake_registry::REGISTRY;
use crate::notary_repository::NOW;
use crate::whole_gate::{APP, DEFAULTS, World};

fn rule(images: &str, lines: &str) -> String {
    format!("\n[[rule]]\nimages = [\"{REGISTRY}/{images}\"]\n{lines}\n")
}

/// The explanation of an image of [`APP`], as text and as JSON.
async fn why(world: &World, reference: impl std::fmt::Display) -> (String, Value) {
    let reported = world.why(reference).await;
    (reported.to_text(), json!(reported))
}

#[track_caller]
fn advises(reported: &Value, words: &[&str]) {
    let advice = reported["advice"].as_str().unwrap();
    for word in words {
        assert!(advice.contains(word), "{word}: {reported:#}");
    }
    assert!(!advice.contains('\n') && !advice.ends_with('.'), "{advice}");
}

#[tokio::test]
async fn why_lists_rules_that_did_not_decide_in_order_with_the_reason() {
    let rules = [
        rule("library/app:v2", "require = [\"team\"]"),
        rule("library/app", "mode = \"allow\"\nreason = \"while we move\"\nuntil = 2001-01-31"),
        rule("library/*", "mode = \"deny\"\nreason = \"frozen\""),
    ];
    let world = World::with(DEFAULTS, &rules.concat()).await;
    world.push("v1", "one");
    let (text, reported) = why(&world, "v1").await;
    assert_eq!(
        (&reported["verdict"], &reported["reason"]),
        (&json!("refused"), &json!("denied_by_rule"))
    );
    assert_eq!(reported["rule"]["images"], format!("{REGISTRY}/library/*"));
    assert_eq!(reported["rule"]["means"], "denied: frozen");
    let beaten: Vec<(String, String)> = reported["beaten"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| {
            let text = |key: &str| rule[key].as_str().unwrap().to_owned();
            (text("images"), text("because"))
        })
        .collect();
    let expected = [
        ("library/app:v2", "it matches other tags".to_owned()),
        ("library/app", "it expired at 2001-01-31T23:59:59.999999999Z".to_owned()),
        ("**", format!("the deny rule {REGISTRY}/library/* takes precedence")),
    ];
    assert_eq!(beaten, expected.map(|(images, why)| (format!("{REGISTRY}/{images}"), why)));
    for (images, because) in &beaten {
        assert!(text.contains(images) && text.contains(because), "{text}");
    }
    advises(&reported, &["takes precedence over every other rule", "library/*"]);
    // No server is asked if no signature changes the decision.
    assert!(reported.get("tag").is_none(), "{reported:#}");
}

#[tokio::test]
async fn why_shows_a_moved_tag_and_the_signed_digest() {
    let mut world = World::new().await;
    let signed = Digest::of(&world.push_signed("v1", "one")).to_string();
    let moved = Digest::of(&world.push("v1", "two")).to_string();
    let (text, reported) = why(&world, "v1").await;
    assert_eq!((&reported["verdict"], &reported["digest"]), (&json!("admitted"), &json!(signed)));
    assert_eq!(reported["tag"], json!({ "tag": "v1", "upstream": moved, "differs": signed }));
    assert_eq!(reported["upstream"]["registry"], REGISTRY);
    assert!(reported["upstream"]["url"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    let vouched = &reported["endorsements"][0];
    assert_eq!((&vouched["anchor"], &vouched["tag"]), (&json!("team"), &json!("v1")));
    assert_eq!(vouched["digest"], signed);
    assert!(!vouched["signed_by"].as_array().unwrap().is_empty(), "{reported:#}");
    let roles = reported["anchors"][0]["roles"].as_array().unwrap();
    assert!(roles.iter().all(|role| role["keys"][0].as_str().unwrap().len() == 64), "{reported:#}");
    for words in [moved.as_str(), signed.as_str(), "  endorsed  team [notaryv1]: sha256:", "until "]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    advises(&reported, &["no action needed", "expires at"]);
}

#[tokio::test]
async fn a_child_of_a_signed_index_names_the_index() {
    let mut world = World::new().await;
    let child = world.put_image("amd64");
    let index = world.put_index(&[&child]);
    world.sign("v1", &index);
    let (child, index) = (Digest::of(&child).to_string(), Digest::of(&index).to_string());
    let (_, reported) = why(&world, &child).await;
    assert_eq!((&reported["verdict"], &reported["digest"]), (&json!("admitted"), &json!(child)));
    let because = reported["because"].as_str().unwrap();
    assert!(because.contains(&index) && because.contains("which lists"), "{because}");
    assert_eq!(reported["endorsements"][0]["digest"], index);
}

#[tokio::test]
async fn why_shows_what_an_audit_rule_would_refuse() {
    let audit = rule("library/app", "mode = \"audit\"\nrequire = [\"team\"]");
    let mut world = World::with(DEFAULTS, &audit).await;
    let signed = Digest::of(&world.push_signed("v1", "one")).to_string();
    let unsigned = Digest::of(&world.push("v2", "two")).to_string();
    for (reference, reason) in [("v2", "tag_not_signed"), (unsigned.as_str(), "digest_not_signed")]
    {
        let (text, reported) = why(&world, reference).await;
        assert_eq!(
            (&reported["verdict"], &reported["digest"]),
            (&json!("admitted"), &json!(unsigned))
        );
        let would = &reported["would"];
        assert_eq!((&would["verdict"], &would["reason"]), (&json!("absent"), &json!(reason)));
        assert!(text.contains(&format!("  audit     it would be absent ({reason})")), "{text}");
        advises(&reported, &["mode = \"enforce\"", "sign it", "docker push"]);
    }
    // A child of a signed index would be served.
    let child = world.put_image("amd64");
    let index = world.put_index(&[&child]);
    world.sign("v3", &index);
    let child = Digest::of(&child).to_string();
    for reference in ["v1", &signed] {
        let (_, reported) = why(&world, reference).await;
        assert_eq!(reported["verdict"], "admitted");
        assert!(reported.get("would").is_none(), "{reported:#}");
        advises(&reported, &["it is served with `mode = \"enforce\"`, too"]);
    }
    let (_, reported) = why(&world, &child).await;
    assert_eq!(reported["verdict"], "admitted");
    assert!(reported.get("would").is_none(), "{reported:#}");
}

#[tokio::test]
async fn each_denial_names_the_next_step() {
    let rules = rule("library/app:free-*", "mode = \"allow\"\nreason = \"a trial\"");
    let anchor = format!("{DEFAULTS}\nsigners = [\"alice\"]");
    let mut world = World::with(&anchor, &rules).await;
    let unsigned = Digest::of(&world.push("v0", "zero")).to_string();
    let (_, reported) = why(&world, "v0").await;
    assert_eq!(reported["reason"], "no_trust_data");
    let command = format!("docker push {REGISTRY}/{APP}:v0");
    advises(
        &reported,
        &["publisher: sign it", "DOCKER_CONTENT_TRUST_SERVER=http", &command, "`gun`"],
    );

    world.push_signed("v1", "one");
    for (reference, reason, words) in [
        ("v1", "signer_missing", "signers alice: each sign this digest"),
        ("v0", "tag_not_signed", "spelling of the tag"),
        (unsigned.as_str(), "digest_not_signed", "pull a signed tag"),
    ] {
        let (text, reported) = why(&world, reference).await;
        assert_eq!(reported["reason"], reason, "{reported:#}");
        advises(&reported, &[words]);
        assert!(text.contains("  advice    "), "{text}");
    }
    world.push("free-1", "free");
    let (_, reported) = why(&world, "free-1").await;
    assert_eq!(reported["verdict"], "admitted");
    advises(&reported, &["operator of the gate", "name an anchor in `require`"]);
    let (_, reported) = why(&world, "free-2").await;
    assert_eq!((&reported["verdict"], reported.get("reason")), (&json!("missing"), None));
    advises(&reported, &["push the image to"]);
    assert!(reported["tag"]["unread"].is_string(), "{reported:#}");
}

#[tokio::test]
async fn a_notary_server_that_does_not_answer_is_named_in_the_advice() {
    let silent = "[[anchor]]\nname = \"silent\"\nscheme = \"notaryv1\"\nurl = \"http://127.0.0.1:1\"\n\
                  trust_on_first_use = true\n";
    let rules = silent.to_owned() + &rule("library/app", "require = [\"silent\"]");
    let world = World::with(DEFAULTS, &rules).await;
    let (_, reported) = why(&world, "v1").await;
    assert_eq!(reported["reason"], "trust_unreachable");
    advises(&reported, &["operator of the gate", "http://127.0.0.1:1/", "anchor silent"]);
}

/// A running gate and a separate process with its configuration give the same explanation.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_queries_a_running_gate_and_prints_the_same() {
    let mut world = World::new().await;
    world.push_signed("v1", "one");
    world.push("v2", "two");
    for (tag, status) in [("v1", 0), ("v2", 3)] {
        let image = format!("{REGISTRY}/{APP}:{tag}");
        let gate = world.admin();
        let ask = move |more: &'static [&'static str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
            command.args(["why", &image, "--gate", &gate]).args(more);
            tokio::task::spawn_blocking(move || command.output().unwrap())
        };
        let said = ask(&["--json"]).await.unwrap();
        assert_eq!(said.status.code(), Some(status), "{}", String::from_utf8_lossy(&said.stderr));
        let said: Value = serde_json::from_slice(&said.stdout).unwrap();
        let (text, reported) = why(&world, tag).await;
        assert_eq!(said, reported);
        let said = ask(&[]).await.unwrap();
        assert_eq!(String::from_utf8(said.stdout).unwrap(), text);
    }
}

/// The command `denials` of a running gate, and its exit status.
async fn denials(world: &World, more: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.args(["denials", "--gate", &world.admin()]).args(more);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn denials_lists_what_a_running_gate_denied() {
    let mut world = World::new().await;
    let signed = world.push_signed("v1", "one");
    assert_eq!(denials(&world, &[]).await, (Some(0), "no denials in the last 1h\n".to_owned()));
    let first: Value = serde_json::from_slice(&world.pull("v2").await.body).unwrap();
    let first = &first["errors"][0];
    world.pass(Duration::from_secs(2 * 60 * 60));
    world.pull("v3").await.is_absent("tag_not_signed");
    world.pull("v1").await.serves(&signed);

    let (status, text) = denials(&world, &[]).await;
    assert_eq!((status, text.lines().count()), (Some(0), 2), "{text}");
    let image = format!("absent (tag_not_signed)  {REGISTRY}/{APP}:v3  client 127.0.0.1:");
    assert!(text.contains(&image), "{text}");
    assert!(text.contains("  remote trust data does not exist for "), "{text}");

    let (_, json) = denials(&world, &["--since", "24h", "--json"]).await;
    let listed: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(listed["denials"][0]["image.reference"], "v3");
    let older = &listed["denials"][1];
    assert_eq!(older["request_id"], first["detail"]["request_id"]);
    // Every denial text ends with the id.
    let id = format!(" (request {})", older["request_id"].as_str().unwrap());
    let message = first["message"].as_str().unwrap();
    assert_eq!(message.strip_suffix(&id), older["because"].as_str(), "{message}");
    assert_eq!(
        (&older["rule"], &older["anchor"]),
        (&json!(format!("{REGISTRY}/**")), &json!("team"))
    );
    assert_eq!((&listed["omitted"], &listed["kept"]), (&json!(0), &json!(10_000)));

    let (status, text) = denials(&world, &["--since", "yesterday"]).await;
    assert_eq!(status, Some(2), "{text}");
    let wrong = world.ask_admin("/denials?until=1h").await;
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn why_shows_when_trust_data_was_fetched_and_when_it_is_fetched_next() {
    let mut world = World::new().await;
    world.push_signed("v1", "one");
    world.pull("v1").await;
    let at = |seconds: i64| json!(Timestamp::from_unix(NOW + seconds).to_string());
    let explained = async |world: &World| {
        let answer = world.ask_admin(&format!("/why?image={REGISTRY}/{APP}:v1")).await;
        let explanation: Explanation = serde_json::from_slice(&answer.body).unwrap();
        (json!(explanation)["anchors"][0].clone(), explanation.to_text())
    };
    world.pass(Duration::from_secs(60));
    let asked = world.notary.asked().len();
    let (anchor, text) = explained(&world).await;
    // Four fifths of `refresh`: from then on, a request also refreshes it.
    assert_eq!((&anchor["fetched"], &anchor["next"]), (&at(0), &at(240)), "{anchor:#}");
    let line =
        format!("    fetched at {}; next query with the first request after {}", at(0), at(240));
    assert!(text.contains(&line.replace('"', "")), "{text}");
    assert_eq!(world.notary.asked().len(), asked, "it reports the cache, and asked the server");

    world.notary.goes_down();
    world.pass(Duration::from_secs(600));
    let (anchor, text) = explained(&world).await;
    assert_eq!((&anchor["fetched"], &anchor["unanswered"]), (&at(0), &at(660)), "{anchor:#}");
    assert_eq!(anchor["next"], at(665));
    assert!(text.contains("; no answer to the query at "), "{text}");
}

//! Proposals from logs: that they are configurations, and what they never say.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::*;
use crate::audit::reader::{Pulls, Tally, read};
use crate::config::Config;
use crate::oci::{Digest, ImageRef};
use crate::policy::Mode;
use crate::toml_reader::Document;

/// A verdict about an image; `anchors` vouched for it, if any.
fn event(image: &str, verdict: &str, anchors: &str, scheme: &str) -> String {
    let image: ImageRef = image.parse().unwrap();
    let mut event = json!({
        "timestamp": "2026-11-23T06:00:00Z", "target": "countersign::audit", "message": "verdict",
        "image.registry": image.repository.registry.as_str(), "image.repository": image.repository.name.as_str(),
        "image.reference": image.reference.to_string(), "verdict": verdict,
    });
    if verdict == "admitted" {
        event["manifest.digest"] = Digest::of(image.to_string().as_bytes()).to_string().into();
    }
    if !anchors.is_empty() {
        (event["anchor"], event["scheme"]) = (anchors.into(), scheme.into());
    }
    event.to_string() + "\n"
}

fn seen(events: &[String]) -> Repositories {
    let mut pulls = Pulls::default();
    let mut tally = Tally::default();
    read(events.concat().as_bytes(), &mut pulls, &mut tally).unwrap();
    assert_eq!(tally.unreadable, 0);
    Repositories::of(&pulls)
}

fn proposed(events: &[String]) -> String {
    propose(&seen(events), None, &BTreeMap::new())
}

/// The configuration that it is, once its blanks are filled in.
fn filled_in(text: &str) -> Config {
    let key = "0".repeat(64);
    let text = text
        .replace("FILL-IN: the Notary server", "https://notary.example.com")
        .replace("FILL-IN: the id of the root key, 64 hex digits", &key);
    let document = Document::from_text(Path::new("/etc/countersign.toml"), text.clone());
    Config::read(&document).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

#[test]
fn what_was_signed_becomes_rules_with_general_patterns_and_anchors_with_blanks() {
    let text = proposed(&[
        event("r.example/team/a:1", "admitted", "team", "notaryv1"),
        event("r.example/team/b:1", "admitted", "team", "notaryv1"),
        event("r.example/other:1", "admitted", "team,second", "notaryv1"),
    ]);
    assert!(text.contains("images = [\"r.example/team/**\"]\nrequire = [\"team\"]"), "{text}");
    assert!(
        text.contains("images = [\"r.example/other\"]\nrequire = [\"second\", \"team\"]"),
        "{text}"
    );
    assert!(text.contains("the log does not contain its scheme"), "{text}");
    let config = filled_in(&text);
    assert_eq!((config.policy.len(), config.anchors.len(), config.upstreams.len()), (2, 2, 1));
}

#[test]
fn images_that_different_people_signed_need_one_of_them() {
    let text = proposed(&[
        event("r.example/a:1", "admitted", "team", "notaryv1"),
        event("r.example/a:2", "admitted", "second", "notaryv1"),
    ]);
    assert!(text.contains("any_of = [\"second\", \"team\"]\nthreshold = 1"), "{text}");
    filled_in(&text);
}

#[test]
fn what_is_not_signed_stands_in_comments_alone_with_how_often_it_was_pulled() {
    let unsigned = event("r.example/tools/x:1", "admitted", "", "");
    let text = proposed(&[
        unsigned.clone(),
        unsigned,
        event("r.example/team/a:1", "admitted", "team", "notaryv1"),
        event("r.example/team/a:2", "admitted", "", ""),
        event("r.example/never:1", "absent", "", ""),
    ]);
    for line in [
        "# images = [\"r.example/tools/x\"]",
        "# r.example/tools/x:\n#   1: 2 pulls",
        "# NOT SIGNED in r.example/team/a, and denied by this rule:\n#   2: 1 pulls",
        "#   r.example/never: 1 pulls",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let active = text.lines().filter(|line| !line.starts_with('#'));
    let active: Vec<_> =
        active.filter(|line| line.contains("mode") || line.contains("tools")).collect();
    assert_eq!(active, Vec::<&str>::new());
    let config = filled_in(&text);
    let tools = "r.example/tools/x".parse().unwrap();
    let now = crate::clock::Timestamp::from_unix(0);
    assert!(config.policy.rule_for(&tools, None, now).is_none());
    let team = config.policy.rule_for(&"r.example/team/a".parse().unwrap(), None, now).unwrap();
    assert!(matches!(team.rule().mode, Mode::Enforce(_)));
}

#[test]
fn where_nothing_is_signed_no_rule_serves_anything() {
    let text = proposed(&[event("r.example/a:1", "admitted", "", "")]);
    assert!(filled_in(&text).policy.is_empty(), "{text}");
    let nothing = proposed(&[]);
    assert!(nothing.contains("# which should be. Pulls: 0 repositories"), "{nothing}");
}

#[test]
fn a_comment_takes_what_was_found_and_no_second_line() {
    let seen = seen(&[event("r.example/a:1", "admitted", "", "")]);
    let image = seen.all.values().next().unwrap().unsigned[0].0.clone();
    let found = BTreeMap::from([(image, vec!["a signature of cosign (.sig)".to_owned()])]);
    let text = propose(&seen, None, &found);
    assert!(text.contains("#   1: 1 pulls\n#     found: a signature of cosign (.sig)\n"), "{text}");
    filled_in(&text);
}

#[test]
fn repositories_that_depend_on_notary_v1_alone_are_named_with_their_anchors() {
    let text = proposed(&[
        event("r.example/a:1", "admitted", "hub", "notaryv1"),
        event("r.example/a:1", "admitted", "hub", "notaryv1"),
        event("r.example/b:1", "admitted", "ci", "cosign"),
        event("r.example/c:1", "admitted", "ci,hub", "cosign"),
        event("r.example/d:1", "admitted", "hub,unknown", "notaryv1"),
        event("r.example/e:1", "admitted", "", ""),
    ]);
    let named: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.starts_with("# Admitted by Notary v1 alone"))
        .skip(1)
        .take_while(|line| line.starts_with("#   "))
        .collect();
    let expected = [
        "#   r.example/a: 2 pulls by hub",
        "#   r.example/d: 1 pulls by hub, unknown, if that is Notary v1",
    ];
    assert_eq!(named, expected, "{text}");
}

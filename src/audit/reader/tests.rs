//! Valid and malformed logs.

use std::io::BufReader;

use serde_json::{Value, json};

use super::*;
use crate::gate::Verdict;
use crate::oci::Digest;

fn digest(content: &str) -> String {
    Digest::of(content.as_bytes()).to_string()
}

/// A verdict about `reference` of one repository.
fn event(reference: &str, content: Option<&str>, verdict: &str, at: u32) -> Value {
    json!({
        "timestamp": format!("2026-11-23T06:00:{at:02}Z"), "level": "INFO",
        "target": "countersign::audit", "message": "verdict",
        "image.registry": "r.example", "image.repository": "app", "image.reference": reference,
        "manifest.digest": content.map(digest), "verdict": verdict, "rule": "r.example/**",
        "client.address": "127.0.0.1:1", "request_id": "0", "duration_ms": 0.5,
    })
}

fn also(mut event: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        event[name] = value.clone();
    }
    event
}

fn read_all(text: &str) -> (Pulls, Tally) {
    let (mut pulls, mut tally) = (Pulls::default(), Tally::default());
    // A buffer smaller than a line.
    read(BufReader::with_capacity(7, text.as_bytes()), &mut pulls, &mut tally).unwrap();
    (pulls, tally)
}

fn log(events: &[Value]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}

#[test]
fn each_image_has_one_entry_with_its_count_and_last_verdict() {
    let signed = also(
        event("v1", Some("one"), "admitted", 1),
        &json!({"anchor": "team,ci", "scheme": "notaryv1"}),
    );
    let refused = also(
        event("v2", None, "absent", 2),
        &json!({"reason": "tag_not_signed", "anchor": "team"}),
    );
    let moved = event("v1", Some("two"), "admitted", 3);
    let (pulls, tally) = read_all(&log(&[signed.clone(), refused, moved, signed]));
    assert_eq!(tally, Tally { verdicts: 4, other: 0, unreadable: 0 });
    let seen: Vec<_> = pulls.images().collect();
    assert_eq!(seen.len(), 3);
    let of = |reference: &str, content: Option<&str>| {
        let digest = content.map(|content| Digest::of(content.as_bytes()));
        let is = |image: &&(&Image, &PullSummary)| {
            image.0.reference() == reference && image.0.digest == digest
        };
        seen.iter().find(is).unwrap().1
    };
    let one = of("v1", Some("one"));
    assert_eq!((one.pulls, one.served, one.verdict), (2, 2, Verdict::Admitted));
    assert_eq!(
        (&one.anchors[..], one.unsigned),
        (&["team".to_owned(), "ci".to_owned()][..], false)
    );
    assert!(of("v1", Some("two")).unsigned);
    let two = of("v2", None);
    assert_eq!((two.pulls, two.served, two.verdict), (1, 0, Verdict::Absent));
    assert_eq!(two.reason.as_deref(), Some("tag_not_signed"));
    assert!(two.anchors.is_empty(), "a denied image has no endorsing anchor");
}

#[test]
fn images_served_by_an_audit_rule_or_an_exemption_count_as_unsigned() {
    let audited = json!({"would": "absent", "anchor": "team", "scheme": "notaryv1"});
    let exempted = json!({"remark": "exempted"});
    for more in [audited, exempted] {
        let (pulls, _) = read_all(&log(&[also(event("v1", Some("one"), "admitted", 1), &more)]));
        let (_, seen) = pulls.images().next().unwrap();
        assert!(seen.unsigned && seen.anchors.is_empty() && seen.scheme.is_none(), "{more}");
    }
}

#[test]
fn the_newest_verdict_counts_in_any_order_of_rotated_logs() {
    let (new, old) = (event("v1", None, "absent", 9), event("v1", None, "undecided", 1));
    let (pulls, _) = read_all(&log(&[new, old]));
    assert_eq!(pulls.images().next().unwrap().1.verdict, Verdict::Absent);
}

#[test]
fn lines_that_are_not_verdicts_are_counted_and_skipped() {
    let good = event("v1", Some("one"), "admitted", 1);
    let text = [
        json!({"timestamp": "2026-11-23T06:00:00Z", "level": "INFO", "target": "countersign", "message": "listening"}).to_string(),
        String::new(),
        "2026-11-23T06:00:00Z  INFO human text".to_owned(),
        good.to_string()[..40].to_owned(),
        "[1, 2]".to_owned(),
        also(good.clone(), &json!({"image.repository": "../etc"})).to_string(),
        also(good.clone(), &json!({"image.reference": "v1@x"})).to_string(),
        also(good.clone(), &json!({"manifest.digest": "sha256:0"})).to_string(),
        also(good.clone(), &json!({"verdict": "maybe"})).to_string(),
        also(good.clone(), &json!({"verdict": 7})).to_string(),
        also(good.clone(), &json!({"anchor": "x\"]\n[[rule]]"})).to_string(),
        good.to_string(),
    ];
    let (pulls, tally) = read_all(&text.join("\n"));
    assert_eq!(tally, Tally { verdicts: 1, other: 2, unreadable: 9 });
    assert_eq!(pulls.len(), 1);
}

#[test]
fn a_denied_tag_list_or_blob_is_not_a_pull() {
    let pull = event("v1", None, "absent", 1);
    let mut list = also(pull.clone(), &json!({"operation": "tags"}));
    list.as_object_mut().unwrap().remove("image.reference");
    let digest = digest("layer");
    let blob = also(pull.clone(), &json!({"operation": "blob", "image.reference": digest}));
    let (pulls, tally) = read_all(&log(&[list, blob, pull]));
    assert_eq!((pulls.len(), tally), (1, Tally { verdicts: 1, other: 2, unreadable: 0 }));
}

#[test]
fn a_line_that_is_too_long_is_skipped() {
    let good = event("v1", Some("one"), "admitted", 1);
    let long = also(good.clone(), &json!({"because": "x".repeat(MAX_LINE)}));
    let (pulls, tally) = read_all(&log(&[long, good]));
    assert_eq!((pulls.len(), tally), (1, Tally { verdicts: 1, other: 0, unreadable: 1 }));
}

#[test]
fn bytes_that_are_not_text_are_skipped() {
    let (mut pulls, mut tally) = (Pulls::default(), Tally::default());
    read(&b"\xff\xfe\x00\n\n{\"target\": \"\xff\"}"[..], &mut pulls, &mut tally).unwrap();
    assert_eq!((pulls.is_empty(), tally), (true, Tally { verdicts: 0, other: 1, unreadable: 2 }));
}

#[test]
fn a_reason_or_scheme_must_be_one_plain_word() {
    let of = |more: &Value| also(event("v1", Some("one"), "absent", 1), more);
    let long = "a".repeat(MAX_LINE / 2);
    for word in ["\u{1b}[8m", "a\nverdict admitted", "two words", "\u{202e}", &long] {
        for field in ["reason", "scheme"] {
            let (pulls, tally) = read_all(&log(&[of(&json!({ field: word }))]));
            assert_eq!((pulls.len(), tally.unreadable), (0, 1), "{field}: {word:?}");
        }
    }
}

//! J1-J7: JSON that two parsers could read differently is refused.

use countersign::oci::Digest;
use countersign::trust::Reason;
use serde_json::{Value, json};

use super::judge::{Judge, resolved};
use crate::notary_repository::*;

const ROLES: [&str; 5] = ["root", "timestamp", "snapshot", "targets", RELEASES];

fn valid() -> (Judge, NotaryRepository) {
    let repository = NotaryRepository::signed();
    (Judge::pinned_to(&repository), repository)
}

#[track_caller]
fn refused_with_text(role: &str, edit: impl Fn(String) -> String + Send + Sync + 'static) {
    let (judge, mut repository) = valid();
    repository.edit_text(role, edit);
    judge.refuses(Reason::Malformed, &repository.publish());
}

#[test]
fn j1_a_second_targets_member_that_some_parsers_merge_is_refused() {
    let evil = entry(b"evil").to_string();
    for role in ["targets", RELEASES] {
        for name in ["targets", "\\u0074argets", "tar\\u0067ets"] {
            let injected = format!("\"{name}\":{{\"evil\":{evil}}},");
            let first = injected.clone();
            refused_with_text(role, move |text| {
                text.replacen("\"targets\":{\"", &format!("{first}\"targets\":{{\""), 1)
            });
            refused_with_text(role, move |text| {
                text.replacen("\"version\"", &format!("{injected}\"version\""), 1)
            });
        }
    }
}

/// The position and name of each object member in `text`.
fn members(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut rest = 0;
    while let Some(end) = text[rest..].find("\":").map(|at| rest + at) {
        let begin = text[..end].rfind('"').unwrap();
        found.push((begin, text[begin + 1..end].to_owned()));
        rest = end + 2;
    }
    found
}

#[test]
fn j1_a_duplicate_member_is_refused_at_every_level_also_if_it_is_escaped() {
    for role in ROLES {
        let mut repository = NotaryRepository::signed();
        repository.publish();
        let places = members(std::str::from_utf8(repository.file(role)).unwrap());
        assert!(places.len() > 10);
        for index in 0..places.len() {
            for escape in [false, true] {
                refused_with_text(role, move |mut text| {
                    let (begin, name) = members(&text)[index].clone();
                    let (first, rest) = name.split_at(1);
                    let escaped = format!("\\u{:04x}{rest}", u32::from(first.as_bytes()[0]));
                    let spelt = if escape { escaped } else { name };
                    text.insert_str(begin, &format!("\"{spelt}\":null,"));
                    text
                });
            }
        }
    }
}

#[test]
fn j2_metadata_without_its_signed_part_is_refused() {
    let edits: [fn(&mut Value); 5] = [
        |envelope| envelope["signed"] = Value::Null,
        |envelope| drop(envelope.as_object_mut().unwrap().remove("signed")),
        |envelope| envelope["signatures"] = json!({}),
        |envelope| envelope["signatures"] = json!([null]),
        |envelope| *envelope = json!(null),
    ];
    for role in ROLES {
        for edit in edits {
            let (judge, mut repository) = valid();
            repository.edit_envelope(role, edit);
            judge.refuses(Reason::Malformed, &repository.publish());
        }
        for other in [json!([]), json!("signed"), json!({}), json!(1), json!(true)] {
            // A root lists its own keys, so it is read before it is verified.
            let root = role == "root";
            let reason = if root { Reason::Malformed } else { Reason::SignatureInvalid };
            let (judge, mut repository) = valid();
            repository.edit_envelope(role, move |envelope| envelope["signed"] = other.clone());
            judge.refuses(reason, &repository.publish());
        }
    }
}

#[test]
fn j2_members_of_another_type_are_refused() {
    for role in ROLES {
        let (_, mut repository) = valid();
        repository.publish();
        let document: Value = serde_json::from_slice(repository.file(role)).unwrap();
        let names: Vec<_> = document["signed"].as_object().unwrap().keys().cloned().collect();
        // Members that the verifier does not use may have any type.
        let unread = ["consistent_snapshot", if role == RELEASES { "delegations" } else { "" }];
        for name in names.iter().filter(|name| !unread.contains(&name.as_str())) {
            for wrong in [json!(true), json!([[]]), json!(17.5)] {
                let (judge, mut repository) = valid();
                let (name, wrong) = (name.clone(), wrong.clone());
                repository.edit_signed(role, move |signed| signed[&name] = wrong.clone());
                judge.refuses(Reason::Malformed, &repository.publish());
            }
        }
    }
}

#[test]
fn j3_a_hundred_thousand_levels_are_refused_without_a_crash() {
    for role in ["root", "timestamp"] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep =
                |levels: usize| format!("{}null{}", open.repeat(levels), close.repeat(levels));
            for levels in [100, 10_000, 100_000] {
                let (judge, mut repository) = valid();
                let mut files = repository.publish();
                let text = String::from_utf8(files[role].clone()).unwrap();
                let text = text.replacen('{', &format!("{{\"x\":{},", deep(levels)), 1);
                files.insert(role.to_owned(), text.into_bytes());
                judge.refuses(Reason::Malformed, &files);
            }
        }
    }
}

#[test]
fn j4_members_of_the_document_in_another_case_are_refused() {
    for role in ROLES {
        for (name, variant) in [
            ("signed", "Signed"),
            ("signatures", "SIGNATURES"),
            ("signatures", "\u{17f}ignatures"),
            ("method", "Method"),
            ("keyid", "\u{212a}eyid"),
            ("sig", "Sig"),
        ] {
            let (from, to) = (format!("\"{name}\":"), format!("\"{variant}\":"));
            // Instead of the correct member, and in addition to it.
            let (own, other) = (from.clone(), to.clone());
            refused_with_text(role, move |text| text.replace(&own, &other));
            refused_with_text(role, move |text| text.replace(&from, &format!("{to}null,{from}")));
        }
    }
}

#[test]
fn j4_signed_members_in_another_case_are_refused() {
    for role in ROLES {
        let (_, mut repository) = valid();
        repository.publish();
        let document: Value = serde_json::from_slice(repository.file(role)).unwrap();
        for name in document["signed"].as_object().unwrap().keys() {
            if name == "consistent_snapshot" {
                continue;
            }
            for keep in [false, true] {
                let (judge, mut repository) = valid();
                let name = name.clone();
                repository.edit_signed(role, move |signed| {
                    let value = signed[&name].clone();
                    if !keep {
                        signed.as_object_mut().unwrap().remove(&name);
                    }
                    signed[name.to_uppercase()] = value;
                });
                judge.refuses(Reason::Malformed, &repository.publish());
            }
        }
    }
}

#[test]
fn j4_bytes_before_or_after_the_document_are_refused() {
    for role in ROLES {
        refused_with_text(role, |text| format!("\u{feff}{text}"));
        for after in ["{}", "x", "\0", ",", "]"] {
            refused_with_text(role, move |text| format!("{text}{after}"));
        }
        refused_with_text(role, |mut text| {
            text.pop();
            text
        });
    }
}

#[test]
fn j4_invalid_utf8_and_lone_surrogates_are_refused() {
    for role in ROLES {
        for inserted in [&b"\"x\":\"\xff\","[..], b"\"x\":\"\xc3\x28\",", b"\"\xed\xa0\x80\":1,"] {
            let (judge, mut repository) = valid();
            repository.edit_file(role, move |file| [&file[..1], inserted, &file[1..]].concat());
            judge.refuses(Reason::Malformed, &repository.publish());
        }
        for half in ["\\ud800", "\\udc00", "\\ud800x", "\\ud800\\u0041"] {
            refused_with_text(role, move |text| {
                text.replacen('{', &format!("{{\"x\":\"{half}\","), 1)
            });
        }
    }
}

/// `value` with its members in reverse order, much white space, and every character of every string escaped.
fn spread(value: &Value) -> String {
    let quoted = |text: &str| {
        let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
        format!("\"{escaped}\"")
    };
    match value {
        Value::Object(members) => {
            let members: Vec<_> = members
                .iter()
                .rev()
                .map(|(name, value)| format!("{}\t:\r\n{}", quoted(name), spread(value)))
                .collect();
            format!("{{ {} }}", members.join(" ,\n"))
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(spread).collect();
            format!("[ {} ]", items.join(" , "))
        }
        Value::String(text) => quoted(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

#[test]
fn j5_white_space_escapes_and_member_order_do_not_matter() {
    for role in ROLES {
        let (judge, mut repository) = valid();
        repository.edit_signed(role, |signed| {
            signed["custom"] = json!({ "html": "<a href=\"\\\">&\u{2028}\u{e9}\u{1f600}\n\u{0}",
                "\u{ffff}": 1, "\u{1f600}": 2, "a": -1, "B": [], "": {} });
        });
        repository.edit_text(role, |text| {
            format!("\n{}\n", spread(&serde_json::from_str(&text).unwrap()))
        });
        let updated = judge.admits(&repository.publish());
        assert_eq!(resolved(&updated, "v1"), Digest::of(V1));
    }
}

#[test]
fn j5_the_canonical_form_is_signed_not_the_bytes_on_the_wire() {
    let (judge, mut repository) = valid();
    repository.edit_signed("targets", |signed| signed["custom"] = json!("<>&"));
    let key = repository.role("targets").keys[0].clone();
    repository.edit_envelope("targets", move |envelope| {
        let wire = envelope["signed"].to_string().replace('<', "\\u003c");
        envelope["signatures"] = json!([Signer::of(&key).sign(wire.as_bytes())]);
    });
    repository.edit_text("targets", |text| text.replace('<', "\\u003c"));
    judge.refuses(Reason::SignatureInvalid, &repository.publish());
}

#[test]
fn j6_signed_numbers_that_are_not_exact_integers_are_refused() {
    for role in ROLES {
        for (signed_as, written) in [
            ("1.5", "1.5"),
            ("1", "1.0"),
            ("1000", "1e3"),
            ("1", "1e400"),
            ("9007199254740992", "9007199254740993"),
            ("9007199254740993", "9007199254740993"),
            ("-9223372036854775808", "9223372036854775808"),
            ("0", "-0"),
            ("1", "1e-400"),
        ] {
            let (judge, mut repository) = valid();
            repository.edit_signed(role, move |signed| {
                signed["custom"] = serde_json::from_str(signed_as).unwrap();
            });
            repository.edit_text(role, move |text| {
                let (from, to) =
                    (format!("\"custom\":{signed_as}"), format!("\"custom\":{written}"));
                assert!(text.contains(&from));
                text.replace(&from, &to)
            });
            judge.refuses(Reason::Malformed, &repository.publish());
        }
    }
}

#[test]
fn j7_times_that_are_not_rfc_3339_with_a_zone_are_refused() {
    for role in ROLES {
        for expires in [
            "",
            "2126-11-22",
            "2126-11-22T12:00:00",
            "12126-11-22T12:00:00Z",
            "2126-12-31T23:59:60Z",
            "2126-11-22T24:00:00Z",
            "2126-11-22t12:00:00Z",
            "2126-11-22T12:00:00z",
            "2126-11-22 12:00:00Z",
            "2126-02-30T12:00:00Z",
            "2126-11-22T12:00:00+0100",
            "never",
        ] {
            let (judge, mut repository) = valid();
            repository.role_mut(role).expires = expires.to_owned();
            judge.refuses(Reason::Malformed, &repository.publish());
        }
        let (judge, mut repository) = valid();
        repository.edit_signed(role, |signed| {
            signed.as_object_mut().unwrap().remove("expires");
        });
        judge.refuses(Reason::Malformed, &repository.publish());
    }
}

#[test]
fn j7_times_with_a_fraction_or_another_zone_are_accepted() {
    for expires in ["2126-11-22T12:00:00.123456789Z", "2126-11-22T12:00:00.1-05:00"] {
        let (judge, mut repository) = valid();
        for role in ROLES {
            repository.role_mut(role).expires = expires.to_owned();
        }
        // A timestamp may not expire so far in the future, in any notation.
        let patient = judge.on(|terms| terms.max_timestamp_life = std::time::Duration::MAX);
        patient.admits(&repository.publish());
    }
}
